"""What linking keeps of every instruction: numbers in arrays, some 150 bytes each, and its id."""

import re
from array import array
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from mimicit import answers
from mimicit.columns import column
from mimicit.schema import Instruction
from mimicit.tokens import text_tokens

ID_CHUNK = 65536

REPRESENTATIVES = 3
"""Pictures of a series that stand for all when look-alikes are sought: first, middle and last."""

_FRAME_TIME = re.compile(r"_(\d{9})$")
"""How the id of a video's frame ends: its time in milliseconds."""

_TAIL = re.compile(r"_\d+((?:_r\d+)?(?:_[a-z]{2,3})?)$")
"""How the id of an instruction ends: its place in the reply, replicate and language."""


class LinkRow(NamedTuple):
    """As much of an instruction as linking looks at."""

    id: str
    instruction: str
    answer: str
    image_ids: Sequence[str]
    source: str
    split: str
    language: str
    kind: str
    scene_id: str
    group: str


Linkable = Instruction | LinkRow
"""What can be linked."""

Wider = Callable[[str], str]
"""Tells the wider group that a group belongs to."""


class Codes:
    """Numbers for values, from 0, in the order in which they are first met."""

    def __init__(self) -> None:
        self.names: dict[Any, int] = {}
        self.values = array("i")

    def add(self, value: Any) -> int:
        """Note the value of the next row, and give its number."""
        number = self.names.setdefault(value, len(self.names))
        self.values.append(number)
        return number


class _Said:
    """What is kept of the words of each instruction."""

    def __init__(self) -> None:
        self._questions, self._classes, self._lengths = array("Q"), array("i"), array("i")
        self._told, self._words = bytearray(), bytearray()
        self._told_sentences, self._sentences = array("I"), array("I")

    def add(self, row: Linkable) -> None:
        """Note the next one."""
        self._questions.append(answers.digest(row.instruction, row.answer))
        self._classes.append(answers.answer_class(row.answer))
        self._lengths.append(min(len(row.answer), 1 << 30))
        told, words = answers.content(row.instruction, row.answer)
        self._told += told.to_bytes(8 * answers.WORDS, "little")
        self._words += words.to_bytes(8 * answers.WORDS, "little")
        most = answers.SENTENCES
        said = answers.sentences(row.answer, most)
        both = said + answers.sentences(row.instruction, most)
        self._told_sentences.extend(said + [0] * (most - len(said)))
        self._sentences.extend(both + [2] * (2 * most - len(both)))

    def give(self, catalogue: "Catalogue") -> None:
        """Hand all of it over."""
        catalogue.questions = _array(self._questions, np.uint64)
        catalogue.classes = _array(self._classes, np.int32)
        catalogue.lengths = _array(self._lengths, np.int32)
        catalogue.told, catalogue.words = (
            np.frombuffer(bytes(bits), "<u8").reshape(-1, answers.WORDS)
            for bits in (self._told, self._words)
        )
        told = _array(self._told_sentences, np.uint32)
        catalogue.told_sentences = told.reshape(-1, answers.SENTENCES)
        sentences = _array(self._sentences, np.uint32)
        catalogue.sentences = sentences.reshape(-1, 2 * answers.SENTENCES)


class _Belongs:
    """What each instruction belongs to: its source, scene, pictures and so on, by number."""

    def __init__(self) -> None:
        names = "sources kinds groups languages variants pictures"
        self._codes = {name: Codes() for name in names.split()}
        self._images: dict[str, int] = {}
        self._times, self._first, self._train = array("d"), array("q"), bytearray()
        self._last: tuple[str, str] | None = None

    def add(self, row: Linkable) -> tuple[int, int]:
        """Note the next one; give the numbers of its scene and of its set of pictures."""
        codes = self._codes
        if (row.source, row.scene_id) != self._last:
            self._last = row.source, row.scene_id
            self._first.append(len(self._train))
        codes["sources"].add(row.source)
        codes["kinds"].add(row.kind)
        codes["groups"].add((row.source, row.group))
        codes["languages"].add(row.language)
        codes["variants"].add(variant(row.id))
        images = self._images
        members = tuple(images.setdefault(name, len(images)) for name in row.image_ids)
        pictures = codes["pictures"].add(members)
        scene = len(self._first) - 1
        found = _FRAME_TIME.search(row.image_ids[len(row.image_ids) // 2])
        self._times.append(int(found[1]) / 1000 if found else scene)
        self._train.append(row.split == "train")
        return scene, pictures

    def give(self, catalogue: "Catalogue", wider: Mapping[str, Wider]) -> None:
        """Hand all of it over."""
        above = Codes()
        for source, group in self._codes["groups"].names:
            above.add((source, wider[source](group) if source in wider else group))
        catalogue.wider = _array(above.values, np.int32)[self._codes["groups"].values]
        for name, codes in self._codes.items():
            setattr(catalogue, name, _array(codes.values, np.int32))
        self._first.append(len(self._train))
        catalogue.first = _array(self._first, np.int64)
        scenes = np.arange(len(self._first) - 1, dtype=np.int32)
        catalogue.scenes = np.repeat(scenes, np.diff(catalogue.first))
        catalogue.times = _array(self._times, np.float64)
        catalogue.train = np.frombuffer(bytes(self._train), np.bool_)
        catalogue.source_names = [str(name) for name in self._codes["sources"].names]
        sets: list[Any] = list(self._codes["pictures"].names)
        catalogue.picture_sets, catalogue.image_ids = sets, list(self._images)
        catalogue.representatives = _representatives(sets)
        chosen = map(set, catalogue.representatives.tolist())
        long = [not set(members) <= some for members, some in zip(sets, chosen, strict=True)]
        catalogue.is_long = np.array(long, np.bool_)


class Catalogue:
    """All instructions by their places, from 0, in the order of the dataset.

    Args:
        instructions: All of them, read once; those of one scene must follow each other.
        wanted: What is wanted besides: the `scenes`' texts, the `pictures`' texts, the `tokens`.
        wider: For sources whose groups belong to wider ones, such as clips to a show, what tells
            the wider one of a group.

    Attributes:
        ids: Their ids, as an Arrow array.
        hashes: Hash of each one's id: chance that depends on nothing else.
        questions: Hash of each one's question and answer.
        classes: Class of each one's answer (`mimicit.answers`).
        told: Words that each one's answer adds to its question, as bits.
        words: All words of each one, as bits.
        told_sentences: Hashes of the sentences of each one's answer, filled up with zeros.
        sentences: Those of its question and answer, filled up with twos: no sentence has either.
        lengths: Characters of each one's answer.
        tokens: Tokens of each one's question and answer, where they were wanted.
        times: Seconds at which the middle one of its frames is shown; its scene's number where
            its pictures are no frames.
        sources: Each one's source, as a place in `source_names`.
        kinds: Each one's kind, as a number; so are scenes, groups, wider groups and languages.
        first: Place of the first instruction of each scene, and the number of all.
        variants: Each one's replicate and language: those of one scene that share it are turns of
            one reply.
        pictures: Each one's pictures, as a place in `picture_sets`.
        train: Whether each one may be an example.
        picture_sets: Pictures, as places in `image_ids`.
        representatives: Up to `REPRESENTATIVES` pictures of each set; -1 for none.
        is_long: Whether each set has pictures besides its representatives.
        scene_texts: What the answers about each scene say, where they were wanted.
        picture_texts: What the answers about each set of pictures say.
    """

    hashes: np.ndarray
    questions: np.ndarray
    classes: np.ndarray
    told: np.ndarray
    words: np.ndarray
    told_sentences: np.ndarray
    sentences: np.ndarray
    lengths: np.ndarray
    tokens: np.ndarray
    times: np.ndarray
    sources: np.ndarray
    source_names: list[str]
    kinds: np.ndarray
    scenes: np.ndarray
    first: np.ndarray
    groups: np.ndarray
    wider: np.ndarray
    languages: np.ndarray
    variants: np.ndarray
    pictures: np.ndarray
    train: np.ndarray
    picture_sets: list[tuple[int, ...]]
    image_ids: list[str]
    representatives: np.ndarray
    is_long: np.ndarray

    def __init__(
        self,
        instructions: Iterable[Linkable],
        wanted: Collection[str] = frozenset(),
        wider: Mapping[str, Wider] | None = None,
    ) -> None:
        hashes, tokens = array("Q"), array("i")
        ids: list[pa.Array] = []
        names: list[str] = []
        by_scene: dict[int, list[str]] = {}
        by_pictures: dict[int, list[str]] = {}
        said, belongs = _Said(), _Belongs()
        for row in instructions:
            said.add(row)
            scene, pictures = belongs.add(row)
            # Questions are worded alike whatever a picture shows.
            if "scenes" in wanted:
                by_scene.setdefault(scene, []).append(row.answer)
            if "pictures" in wanted:
                by_pictures.setdefault(pictures, []).append(row.answer)
            if "tokens" in wanted:
                tokens.append(text_tokens(row.instruction) + text_tokens(row.answer))
            hashes.append(answers.hash64(row.id))
            names.append(row.id)
            if len(names) == ID_CHUNK:
                ids.append(column(names, pa.string()))
                names = []
        said.give(self)
        belongs.give(self, wider or {})
        self.hashes, self.tokens = _array(hashes, np.uint64), _array(tokens, np.int32)
        self.ids = pa.concat_arrays([*ids, column(names, pa.string())])
        self.scene_texts = ["\n".join(texts) for texts in by_scene.values()]
        self.picture_texts = ["\n".join(texts) for texts in by_pictures.values()]

    def __len__(self) -> int:
        return len(self.questions)

    def id(self, place: int) -> str:
        """Give the id of the instruction at a place."""
        found: str = self.ids[place].as_py()
        return found


def variant(instruction_id: str) -> str:
    """Read replicate and language off the id of an instruction: `_r1_fr`, or "" as a rule."""
    found = _TAIL.search(instruction_id)
    return found[1] if found else ""


def _array(values: array, kind: type) -> np.ndarray:  # type: ignore[type-arg]  # of any numbers
    return np.frombuffer(values, kind) if len(values) else np.zeros(0, kind)


def _representatives(sets: Sequence[tuple[int, ...]]) -> np.ndarray:
    chosen = np.full((len(sets), REPRESENTATIVES), -1, np.int32)
    for row, members in zip(chosen, sets, strict=True):
        some = dict.fromkeys((members[0], members[len(members) // 2], members[-1]))
        row[: len(some)] = list(some)
    return chosen
