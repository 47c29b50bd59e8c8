"""What linking keeps of every instruction: numbers in arrays, some 60 bytes each, and its id."""

import hashlib
from array import array
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from mimicit.columns import column
from mimicit.encoders import TextVectors
from mimicit.schema import Instruction

ID_CHUNK = 65536


class LinkRow(NamedTuple):
    """As much of an instruction as linking looks at."""

    id: str
    instruction: str
    answer: str
    image_ids: Sequence[str]
    source: str
    split: str
    kind: str
    scene_id: str
    group: str


Linkable = Instruction | LinkRow
"""What can be linked."""


class Catalogue:
    """All instructions by their places, from 0, in the order of the dataset.

    Args:
        instructions: All of them, read once; those of one scene must follow each other.
        with_text: Whether to keep the words of each scene.

    Attributes:
        questions: A hash of each one's question and answer.
        sources: Each one's source, as a place in `source_names`.
        kinds: Each one's kind, as a number.
        scenes: Each one's scene, as a number.
        groups: Each one's group, as a number.
        pictures: Each one's pictures, as a place in `picture_sets`.
        ids: Their ids, as an Arrow array.
        is_train: Whether each one may be an example: 1 or 0.
        train: The same, as an array.
        source_names: The sources.
        picture_sets: Pictures, as numbers.
        texts: The words of each scene.
    """

    def __init__(self, instructions: Iterable[Linkable], *, with_text: bool) -> None:
        self.texts = TextVectors()
        self.questions = array("Q")
        self.sources, self.kinds, self.scenes = array("i"), array("i"), array("i")
        self.groups, self.pictures = array("i"), array("i")
        self.is_train = bytearray()
        self._first = array("q")
        ids: list[pa.Array] = []
        sources, kinds = dict[str, int](), dict[str, int]()
        groups, images = dict[tuple[str, str], int](), dict[str, int]()
        sets = dict[tuple[int, ...], int]()
        names: list[str] = []
        words: list[str] = []
        last = None
        for place, row in enumerate(instructions):
            if (row.source, row.scene_id) != last:
                last = row.source, row.scene_id
                self._first.append(place)
                if with_text and place:
                    self.texts.add("\n".join(words))
                    words = []
            if with_text:
                words.append(row.answer)  # questions are worded alike whatever the picture shows
            pictures = tuple(images.setdefault(name, len(images)) for name in row.image_ids)
            self.sources.append(sources.setdefault(row.source, len(sources)))
            self.kinds.append(kinds.setdefault(row.kind, len(kinds)))
            self.scenes.append(len(self._first) - 1)
            self.groups.append(groups.setdefault((row.source, row.group), len(groups)))
            self.pictures.append(sets.setdefault(pictures, len(sets)))
            self.questions.append(_question(row))
            self.is_train.append(row.split == "train")
            names.append(row.id)
            if len(names) == ID_CHUNK:
                ids.append(column(names, pa.string()))
                names = []
        if with_text and last:
            self.texts.add("\n".join(words))
        self.ids = pa.concat_arrays([*ids, column(names, pa.string())])
        self._first.append(len(self.questions))
        self.source_names = list(sources)
        self.picture_sets = list(map(frozenset, sets))
        self.train = np.frombuffer(self.is_train, np.bool_)

    def __len__(self) -> int:
        return len(self.questions)

    def id(self, place: int) -> str:
        """Give the id of the instruction at a place."""
        found: str = self.ids[place].as_py()
        return found

    def of_scene(self, scene: int) -> range:
        """Give the places of a scene's instructions."""
        return range(self._first[scene], self._first[scene + 1])

    @property
    def scene_count(self) -> int:
        """How many scenes there are."""
        return len(self._first) - 1


class Sharing:
    """The places of the train split that share a number, such as that of their group.

    Args:
        numbers: A number for each place, from 0.
        train: Which places may be found.
    """

    def __init__(self, numbers: Sequence[int], train: np.ndarray) -> None:
        self._numbers = numbers
        codes = np.array(numbers, np.int32)
        places = np.flatnonzero(train)
        self._places = places[np.argsort(codes[places], kind="stable")].astype(np.int32)
        count = int(codes.max(initial=-1)) + 1
        self._starts = np.searchsorted(codes[self._places], np.arange(count + 1))

    def with_place(self, place: int) -> list[int]:
        """List the places that share the number of this one, ascending."""
        number = self._numbers[place]
        first, last = self._starts[number], self._starts[number + 1]
        found: list[int] = self._places[first:last].tolist()
        return found


def _question(row: Linkable) -> int:
    text = f"{row.instruction}\0{row.answer}".casefold().encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")
