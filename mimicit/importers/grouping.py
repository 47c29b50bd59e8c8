"""What belongs together: the scene that an instruction is about, and what a split keeps whole."""

import re
from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from mimicit.columns import column
from mimicit.importers.shelf import Shelf, lists
from mimicit.importers.spelling import image_id
from mimicit.published.pictures import Pictures

_FRAME = re.compile(
    r"((?:DC|TVC|E4D|FunQA)(?:_\d+)?_IMG_.+)_\d{4,}|(SN(?:_\d+)?_IMG_.+)_color_\d+"
    r"|((?:SD|GSD)(?:_\d+)?_IMG_.+)_[12]",
    re.ASCII | re.DOTALL,
)
"""Ids of frames, of views of a room and of pairs, without what tells them apart."""


def scene_of(image_id: str) -> str:
    """Name what a picture shows a part of: a video, a room, a pair; itself, where it is alone."""
    found = _FRAME.fullmatch(image_id)
    return next(filter(None, found.groups())) if found else image_id


class Scenes:
    """Which scene each picture is of, and which scenes are one group.

    Scenes that an instruction shows together are one group, and so is whatever is linked by
    several such steps.

    Args:
        pictures: All pictures.
        wanted: Numbers of those that are used.
    """

    def __init__(self, pictures: Pictures, wanted: np.ndarray) -> None:
        codes: dict[str, int] = {}
        self._of_picture = np.full(len(pictures), -1, np.int32)
        for start in range(0, len(wanted), 65536):
            numbers = wanted[start : start + 65536]
            names = pictures.ids.take(column(numbers.tolist(), pa.int64())).to_pylist()
            scenes = (scene_of(image_id(name)) for name in names)
            self._of_picture[numbers] = [codes.setdefault(each, len(codes)) for each in scenes]
        self.names = list(codes)
        self._groups = list(range(len(codes)))

    def of(self, pictures: np.ndarray) -> np.ndarray:
        """Give the number of each picture's scene."""
        found: np.ndarray = self._of_picture[pictures]
        return found

    def group_of(self, scene: int) -> int:
        """Give the number of the first scene of a scene's group."""
        groups = self._groups
        while groups[scene] != scene:
            groups[scene] = groups[groups[scene]]
            scene = groups[scene]
        return scene

    def join(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Put the groups of two scenes together, for each pair."""
        for one, other in pairs:
            first, second = sorted((self.group_of(one), self.group_of(other)))
            self._groups[second] = first

    def join_all(self, shelf: Shelf, usable: np.ndarray) -> np.ndarray:
        """Join what usable instructions show together; give the scene of each instruction.

        An instruction is about the scene of its first picture.
        """
        about = np.full(len(shelf), -1, np.int32)
        for start, batch in shelf.batches():
            images, counts = lists(batch.column("images"))
            scenes = self.of(images)
            rows = slice(start, start + batch.num_rows)
            firsts = scenes[np.cumsum(counts) - counts]
            about[rows] = np.where(usable[rows], firsts, -1)
            owners = np.repeat(np.arange(len(counts)), counts)
            apart = (scenes != firsts[owners]) & usable[rows][owners]
            pairs = np.stack([firsts[owners][apart], scenes[apart]], axis=1)
            self.join((int(a), int(b)) for a, b in np.unique(pairs, axis=0))
        return about
