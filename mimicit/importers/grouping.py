"""What belongs together: the scene that an instruction is about, and what a split keeps whole."""

import re
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from mimicit.columns import column, places_in
from mimicit.importers.gathering import Reject
from mimicit.importers.shelf import Shelf, lists
from mimicit.importers.spelling import Spelling
from mimicit.published.pictures import Pictures
from mimicit.schema import SPLITS
from mimicit.splits import lookalikes

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

    Attributes:
        spell: Spells the ids of pictures.
        names: Name of each scene.
    """

    def __init__(self, pictures: Pictures, wanted: np.ndarray) -> None:
        self.spell = Spelling("IMG", pictures.ids)
        codes: dict[str, int] = {}
        self._of_picture = np.full(len(pictures), -1, np.int32)
        for start in range(0, len(wanted), 65536):
            numbers = wanted[start : start + 65536]
            names = pictures.ids.take(column(numbers.tolist(), pa.int64())).to_pylist()
            scenes = (scene_of(self.spell(name)) for name in names)
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


def keep_apart(  # noqa: PLR0913  # the rows, what they show, where the others go
    shelf: Shelf,
    usable: np.ndarray,
    pictures: Pictures,
    scenes: Scenes,
    hashes: np.ndarray,
    reject: Reject,
) -> np.ndarray:
    """Turn away instructions by which a picture or a scene would be in two splits.

    What is tested on stays whole: an instruction of the validation split stays unless it shows a
    scene of the test split, and one of train unless it shows a scene of either, or a picture that
    looks like one of theirs.

    Args:
        shelf: The instructions.
        usable: Which of them are fit to be published.
        pictures: All pictures.
        scenes: Their scenes.
        hashes: The perceptual hash of each.
        reject: Takes what is turned away.

    Returns:
        Which instructions are left.
    """
    run = _Apart(shelf, usable.copy(), scenes, reject)
    present = np.unique(run.splits[usable]).tolist()
    if len(present) > 1:
        for code in reversed(present):
            run.turn_away_shared(code)
        run.turn_away_alike(pictures, hashes)
    return run.usable


class _Apart:
    """Instructions with their splits, of which some are turned away.

    Attributes:
        splits: Number of each one's split among `SPLITS`.
        usable: Which of them are left.
    """

    def __init__(self, shelf: Shelf, usable: np.ndarray, scenes: Scenes, reject: Reject) -> None:
        names = column(list(SPLITS), pa.string())
        codes = [places_in(names, batch.column("split")) for _, batch in shelf.batches()]
        self.splits, self.usable = np.concatenate(codes), usable
        self._shelf, self._scenes, self._reject = shelf, scenes, reject
        self._shown_in = np.zeros(len(scenes.names), np.int8)

    def turn_away_shared(self, code: int) -> None:
        """Turn away what is of a split, and shows a scene of one that was dealt with before."""
        names = self._scenes.names
        shown = np.zeros(len(names), bool)
        for start, batch, images, owners in self._shown(code):
            found = self._scenes.of(images)
            shared = np.flatnonzero(self._shown_in[found])
            rows, firsts = np.unique(owners[shared], return_index=True)
            for row, scene in zip(rows.tolist(), found[shared][firsts].tolist(), strict=True):
                split = SPLITS[self._shown_in[scene]]
                detail = f"shows {names[scene]!r}, as the {split} split does"
                self.usable[start + row] = False
                self._reject("split", "held-out-scene", _id(batch, row), detail)
            shown[found[self.usable[start + owners]]] = True
        self._shown_in[shown] = code

    def turn_away_alike(self, pictures: Pictures, hashes: np.ndarray) -> None:
        """Turn away what is trained on, and shows a picture that looks like a held-out one."""
        held, train = (np.zeros(len(hashes), bool) for _ in range(2))
        for code in range(len(SPLITS)):
            for _, _, images, _ in self._shown(code):
                (held if code else train)[images] = True
        mine, others = np.flatnonzero(train), np.flatnonzero(held)
        found = lookalikes(hashes[mine].tolist(), hashes[others].tolist())
        like = np.full(len(hashes), -1, np.int64)
        like[mine[found >= 0]] = others[found[found >= 0]]
        for start, batch, images, owners in self._shown(0):
            alike = np.flatnonzero(like[images] >= 0)
            rows, firsts = np.unique(owners[alike], return_index=True)
            for row, image in zip(rows.tolist(), images[alike][firsts].tolist(), strict=True):
                names = map(pictures.name, (image, int(like[image])))
                name, other = map(self._scenes.spell, names)
                detail = f"shows {name!r}, which looks like {other!r} of validation or test"
                self.usable[start + row] = False
                self._reject("split", "near-held-out", _id(batch, row), detail)

    def _shown(self, code: int) -> Iterator[tuple[int, pa.RecordBatch, np.ndarray, np.ndarray]]:
        """Give the pictures of what is left of a split, batch by batch, and the row of each."""
        for start, batch in self._shelf.batches():
            images, counts = lists(batch.column("images"))
            rows = slice(start, start + len(counts))
            some = np.repeat(self.usable[rows] & (self.splits[rows] == code), counts)
            yield start, batch, images[some], np.repeat(np.arange(len(counts)), counts)[some]


def _id(batch: pa.RecordBatch, row: int) -> str:
    found: str = batch.column("id")[row].as_py()
    return found
