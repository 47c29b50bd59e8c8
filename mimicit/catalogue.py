"""What linking keeps of every instruction: numbers in arrays, some 150 bytes each, and its id."""

import hashlib
import re
from array import array
from collections.abc import Iterable, Sequence
from typing import NamedTuple

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


class Codes:
    """Numbers for values, from 0, in the order in which they are first met."""

    def __init__(self) -> None:
        self.names: dict[object, int] = {}
        self.values = array("i")

    def add(self, value: object) -> int:
        """Note the value of the next row, and give its number."""
        number = self.names.setdefault(value, len(self.names))
        self.values.append(number)
        return number


class Catalogue:
    """All instructions by their places, from 0, in the order of the dataset.

    Args:
        instructions: All of them, read once; those of one scene must follow each other.
        with_text: Whether to keep the words of each scene, and of each set of pictures.
        with_tokens: Whether to count the tokens of each.

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
        tokens: Tokens of each one's question and answer, where they were to be counted.
        times: Seconds at which the middle one of its frames is shown; its scene's number where
            its pictures are no frames.
        sources: Each one's source, as a place in `source_names`.
        kinds: Each one's kind, as a number; and so on.
        variants: Each one's replicate and language: those of one scene that share it are turns of
            one reply.
        pictures: Each one's pictures, as a place in `picture_sets`.
        train: Whether each one may be an example.
        picture_sets: Pictures, as places in `image_ids`.
        representatives: Up to `REPRESENTATIVES` pictures of each set; -1 for none.
        scene_texts: What the answers about each scene say, where that was to be kept.
        picture_texts: What the answers about each set of pictures say.
    """

    def __init__(
        self, instructions: Iterable[Linkable], *, with_text: bool, with_tokens: bool = False
    ) -> None:
        questions, hashes, tokens = array("Q"), array("Q"), array("i")
        classes, lengths, times = array("i"), array("i"), array("d")
        told, words, is_train = bytearray(), bytearray(), bytearray()
        told_sentences, sentences = array("I"), array("I")
        first = array("q")
        sources, kinds, groups, languages, variants, sets = (Codes() for _ in range(6))
        images: dict[str, int] = {}
        ids: list[pa.Array] = []
        names: list[str] = []
        said: dict[int, list[str]] = {}
        self.scene_texts: list[str] = []
        scene: list[str] = []
        last = None
        for place, row in enumerate(instructions):
            if (row.source, row.scene_id) != last:
                last = row.source, row.scene_id
                first.append(place)
                if with_text and place:
                    self.scene_texts.append("\n".join(scene))
                    scene = []
            sources.add(row.source)
            kinds.add(row.kind)
            groups.add((row.source, row.group))
            languages.add(row.language)
            variants.add(variant(row.id))
            members = tuple(images.setdefault(name, len(images)) for name in row.image_ids)
            number = sets.add(members)
            if with_text:  # questions are worded alike whatever the picture shows
                scene.append(row.answer)
                said.setdefault(number, []).append(row.answer)
            questions.append(answers.digest(row.instruction, row.answer))
            classes.append(answers.answer_class(row.answer))
            added, all_words = answers.content(row.instruction, row.answer)
            told += added.to_bytes(8 * answers.WORDS, "little")
            words += all_words.to_bytes(8 * answers.WORDS, "little")
            lengths.append(min(len(row.answer), 1 << 30))
            _append(told_sentences, row.answer, answers.SENTENCES, 0)
            quoted = f"{row.instruction}\n{row.answer}"
            _append(sentences, quoted, 2 * answers.SENTENCES, 2)
            if with_tokens:
                tokens.append(text_tokens(row.instruction) + text_tokens(row.answer))
            found = _FRAME_TIME.search(row.image_ids[len(row.image_ids) // 2])
            times.append(int(found[1]) / 1000 if found else len(first) - 1)
            is_train.append(row.split == "train")
            hashes.append(_hash(row.id))
            names.append(row.id)
            if len(names) == ID_CHUNK:
                ids.append(column(names, pa.string()))
                names = []
        if with_text and last:
            self.scene_texts.append("\n".join(scene))
        self.ids = pa.concat_arrays([*ids, column(names, pa.string())])
        first.append(len(questions))
        self.questions, self.hashes = _array(questions, np.uint64), _array(hashes, np.uint64)
        self.classes, self.lengths = _array(classes, np.int32), _array(lengths, np.int32)
        self.tokens, self.times = _array(tokens, np.int32), _array(times, np.float64)
        self.told, self.words = (
            np.frombuffer(bytes(bits), "<u8").reshape(-1, answers.WORDS) for bits in (told, words)
        )
        self.told_sentences = _array(told_sentences, np.uint32).reshape(-1, answers.SENTENCES)
        self.sentences = _array(sentences, np.uint32).reshape(-1, 2 * answers.SENTENCES)
        self.sources, self.kinds, self.groups, self.languages, self.variants, self.pictures = (
            _array(codes.values, np.int32)
            for codes in (sources, kinds, groups, languages, variants, sets)
        )
        self.first = _array(first, np.int64)
        self.scenes = np.repeat(
            np.arange(len(self.first) - 1, dtype=np.int32), np.diff(self.first)
        )
        self.train = np.frombuffer(bytes(is_train), np.bool_)
        self.source_names = [str(name) for name in sources.names]
        self.picture_sets: list[tuple[int, ...]] = [*sets.names]  # type: ignore[list-item]  # of ints
        self.image_ids = list(images)
        self.representatives = _representatives(self.picture_sets)
        self.picture_texts = ["\n".join(said.get(n, ())) for n in range(len(self.picture_sets))]

    def __len__(self) -> int:
        return len(self.questions)

    def id(self, place: int) -> str:
        """Give the id of the instruction at a place."""
        found: str = self.ids[place].as_py()
        return found

    @property
    def scene_count(self) -> int:
        """How many scenes there are."""
        return len(self.first) - 1


def _append(hashes: "array[int]", text: str, most: int, filler: int) -> None:
    found = answers.sentences(text, most)
    hashes.extend(found)
    hashes.extend([filler] * (most - len(found)))


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


def _hash(text: str) -> int:
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")
