"""Spot-the-Diff: pairs of pictures of one place, and what people say differs; a scene each.

A pair comes up once for each person who looked at it. Which picture came first is not annotated:
some speak of "before" and "after" or of left and right, most do not say.
"""

from collections.abc import Iterable, Iterator
from dataclasses import field
from pathlib import Path
from typing import NamedTuple

import msgspec

from mimicit.annotations import Difference
from mimicit.errors import SourceError, UsageError
from mimicit.generators import generator
from mimicit.media_files import PICTURES, MediaFiles, licence_of
from mimicit.progress import Counted
from mimicit.records import (
    digest,
    numbered,
    padded,
    plain,
    read_file,
    records,
    reject,
)
from mimicit.schema import ImageRef, Rejection, Scene

NAME = "spot_the_diff"

FOLDERS = ("annotations", "data/annotations", "")
"""Where a directory keeps its annotations: the first of these that has a JSON file."""

MEDIA_FOLDERS = ("resized_images", "images", "data/resized_images", "data/images", "")

EXTENSIONS = ("png", *(extension for extension in PICTURES if extension != "png"))


class Record(msgspec.Struct, gc=False):
    """What one person says of one pair."""

    img_id: int | str
    sentences: list[str]


class _Said(NamedTuple):
    """A record that has been looked at: by its order, then what is known of it."""

    scene_id: str
    name: str
    pair: str
    sentences: tuple[str, ...]


@generator(
    prefix="SD",
    link="similar-text",
    origin=(
        "Spot-the-Diff's annotations (train.json, val.json, test.json) and its pictures "
        "(resized_images, a link there) are at https://github.com/harsh19/spot-the-diff; put them "
        "side by side, so that there are DIR/annotations/*.json and DIR/resized_images/*.png."
    ),
)
class SpotTheDiff:
    """Pairs of nearly equal pictures and sentences on how they differ (Spot-the-Diff).

    Official files: https://github.com/harsh19/spot-the-diff. Pictures are `ID.png` and `ID_2.png`.
    """

    root: Path | None = field(
        default=None, metadata={"help": "Directory with annotations/*.json and the pictures."}
    )
    split: str = field(default="", metadata={"help": "Which of its files, such as val."})
    annotations: Path | None = field(default=None, metadata={"help": "An annotation file."})
    images: Path | None = field(default=None, metadata={"help": "Directory of the pictures."})
    licence: str = field(
        default="",
        metadata={"help": "SPDX id or words of the pictures' licence, where it is one for all."},
    )

    def scenes(self) -> Iterator[Scene | Rejection]:
        """Yield one scene a record, by ascending id, and what was left out."""
        items = read_file(self._file(), list[msgspec.Raw], "a list of records")
        folder = self.images or self.root
        if folder is None:
            raise UsageError(f"{NAME}: say where the pictures are: -o images=DIR or --root DIR")
        names = ("",) if self.images else MEDIA_FOLDERS
        files = MediaFiles(folder, names, EXTENSIONS)
        licence = licence_of(folder, self.licence)
        refused: list[Rejection] = []
        found = sorted(_looked_at(numbered(items), refused))
        return Counted(_walk(found, refused, files, licence), len(found))

    def _file(self) -> Path:
        if self.annotations:
            return self.annotations
        if self.root is None:
            raise UsageError(f"{NAME}: name --root DIR, or -o annotations=FILE")
        if not self.root.is_dir():
            raise SourceError(f"no directory {str(self.root)!r}")
        paths = (sorted((self.root / name).glob("*.json")) for name in FOLDERS)
        found = {path.stem: path for path in next(filter(None, paths), [])}
        if not found:
            raise SourceError(f"no annotations/*.json in {str(self.root)!r}")
        splits = ", ".join(found)
        if self.split and self.split not in found:
            raise UsageError(
                f"{NAME}: no split {self.split!r} in {str(self.root)!r}; there are: {splits}"
            )
        if not self.split and len(found) > 1:
            raise UsageError(
                f"{NAME}: {str(self.root)!r} has several splits ({splits}): choose one with "
                "-o split=NAME"
            )
        return found[self.split or next(iter(found))]


def _looked_at(
    items: Iterable[tuple[str, msgspec.Raw]], refused: list[Rejection]
) -> Iterator[_Said]:
    """Mend the records' white space, and name those that are none."""
    for item in records(items, Record, NAME):
        if isinstance(item, Rejection):
            refused.append(item)
            continue
        name, record = item
        if not str(record.img_id).strip():
            refused.append(reject(NAME, "no-image-id", name, "its img_id is empty"))
            continue
        sentences = tuple(plain(sentence) for sentence in record.sentences)
        scene_id = f"{padded(record.img_id, 5)}_{digest(*sentences)}"
        yield _Said(scene_id, f"img_id {record.img_id}", str(record.img_id), sentences)


def _walk(
    found: list[_Said], refused: list[Rejection], files: MediaFiles, licence: str
) -> Iterator[Scene | Rejection]:
    yield from refused
    differing = {_pair_id(said) for said in found if _names_a_difference(said.sentences)}
    before = ""
    for said in found:
        if said.scene_id == before:
            detail = "the same sentences stand there already"
            yield reject(NAME, "duplicate-record", said.name, detail, said.scene_id)
            continue
        before = said.scene_id
        kept: list[Difference] = []
        for number, sentence in enumerate(said.sentences, 1):
            problem = _problem(sentence, kept, contradicted=_pair_id(said) in differing)
            if problem:
                reason, _, detail = problem.partition(": ")
                record = f"{said.name}, sentence {number}"
                yield reject(NAME, reason, record, detail, said.scene_id)
            else:
                kept.append(Difference(sentence))
        if not kept:
            detail = f"nothing is left of its {len(said.sentences)} sentences"
            yield reject(NAME, "no-sentence", said.name, detail, said.scene_id)
            continue
        yield _scene(said, kept, files, licence)


def _scene(said: _Said, kept: list[Difference], files: MediaFiles, licence: str) -> Scene:
    pair = _pair_id(said)
    stems = (said.pair, f"{said.pair}_2")
    images = tuple(
        ImageRef(f"SD_IMG_{pair}_{number}", *files.place(stem), licence=licence)
        for number, stem in enumerate(stems, 1)
    )
    return Scene(
        source=NAME,
        id=said.scene_id,
        prefix="SD",
        images=images,
        annotations=tuple(kept),
        groups=(pair,),
    )


def _pair_id(said: _Said) -> str:
    return padded(said.pair, 5)


def _has_words(sentence: str) -> bool:
    return any(letter.isalpha() for letter in sentence)


def _names_a_difference(sentences: tuple[str, ...]) -> bool:
    return any(_has_words(text) and not Difference(text).none for text in sentences)


def _problem(sentence: str, kept: list[Difference], *, contradicted: bool) -> str:
    """Say why a sentence is left out, or "": that nothing differs is no news where others see it.

    Args:
        sentence: What is said.
        kept: What the same person has said before.
        contradicted: Somebody says how this pair differs.
    """
    if not _has_words(sentence):
        return f"empty-sentence: {sentence!r} has no word"
    if any(sentence.casefold() == one.text.casefold() for one in kept):
        return f"duplicate-sentence: {sentence!r} stands there already"
    if contradicted and Difference(sentence).none:
        return f"contradicted: {sentence!r}, where a difference of this pair is named"
    return ""
