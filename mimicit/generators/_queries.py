"""Pairs of photographs with the text of both, as MIMIC-IT's `csd_query.json` has them.

`{pair: {"sentences": text, "image_1": file, "image_2": file}}`, where the text says in lines what
each photograph shows. Two ways of writing it are about, which are read as one: every line begins
with `Image 1:` or `Image 2:`; or `image a:` and `image b:` stand above their lines. A line is a
caption, or a label and its boxes in pixels, `dog: [x, y, width, height]`.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from mimicit.annotations import Annotation, Box, Caption
from mimicit.generators._coco_files import scene_id
from mimicit.generators._pairs import Pair, grouped
from mimicit.generators.coco import PLAIN_NAMES
from mimicit.media_files import PICTURES, MediaFiles
from mimicit.progress import Counted
from mimicit.records import plain, read_file, records, reject
from mimicit.schema import ImageRef, Rejection, Scene

_NAMES = {name: called for (_, name), called in PLAIN_NAMES.items()}

_HEADER = re.compile(r"\s*image[ _]*([12ab])\s*:(.*)", re.IGNORECASE)
_BOXES = re.compile(r"(.*?\w.*?)\s*:\s*((?:\[[^\[\]A-Za-z]*\][\s,;.]*)+)")
_FOLDERS = ("images", "train2017", "val2017", "")


class _Record(msgspec.Struct, gc=False):
    """A pair of the file."""

    sentences: str
    image_1: str = ""
    image_2: str = ""


class _Query(NamedTuple):
    """A record whose photographs are known, by its order."""

    pair: Pair
    name: str
    files: tuple[str, str]
    text: str


class Queries:
    """A file of pairs.

    Args:
        source: Name of the source.
        path: The file.
        folder: Directory of the photographs.
        names: Folders in it to be looked into first.
        licence: Licence of all of them.

    Raises:
        SourceError: a file or directory is not there, or not what it should be.
    """

    def __init__(
        self, source: str, path: Path, folder: Path, names: Sequence[str], licence: str
    ) -> None:
        self._source = source
        self._items = read_file(path, dict[str, msgspec.Raw], "an object with a pair for each id")
        self._files = MediaFiles(folder, (*names, *_FOLDERS), PICTURES)
        self._licence = licence

    def scenes(self) -> Iterator[Scene | Rejection]:
        """Yield one scene a pair, by ascending id, and what was left out."""
        refused: list[Rejection] = []
        found = sorted(self._queries(refused))
        groups = [pair.group for pair in grouped(query.pair for query in found)]
        return Counted(self._walk(found, groups, refused), len(found))

    def _queries(self, refused: list[Rejection]) -> Iterator[_Query]:
        items = ((name, item) for name, item in self._items.items())
        for item in records(items, _Record, self._source):
            if isinstance(item, Rejection):
                refused.append(item)
                continue
            name, record = item
            files = _file_names(name, record)
            photos = [_photo(file) for file in files]
            if len(photos) != 2 or not all(photos):
                detail = "neither image_1 and image_2 nor its id say which photographs it is about"
                refused.append(reject(self._source, "no-file-name", name, detail))
            elif photos[0] == photos[1]:
                detail = f"{photos[0]!r} stands beside itself"
                refused.append(reject(self._source, "no-pair", name, detail))
            else:
                pair = Pair(photos[0], photos[1])
                yield _Query(pair, name, (files[0], files[1]), record.sentences)

    def _walk(
        self, found: list[_Query], groups: list[str], refused: list[Rejection]
    ) -> Iterator[Scene | Rejection]:
        yield from refused
        order = sorted(range(len(found)), key=lambda n: (found[n].pair.scene_id, found[n]))
        before = ""
        for place in order:
            query, scene = found[place], found[place].pair.scene_id
            if scene == before:
                detail = "another record is of the same two photographs"
                yield reject(self._source, "duplicate-pair", query.name, detail, scene)
                continue
            before = scene
            known: list[Annotation] = []
            for record, told in read_text(query.text):
                if isinstance(told, str):
                    reason, _, detail = told.partition(": ")
                    name = f"{query.name}, {record}"
                    yield reject(self._source, reason, name, detail, scene)
                else:
                    known.append(told)
            yield self._scene(query, groups[place], known)

    def _scene(self, query: _Query, group: str, known: list[Annotation]) -> Scene:
        refs = (
            ImageRef(f"CGD_IMG_{photo}", self._files.root, self._place(file), licence=self._licence)
            for photo, file in zip(query.pair[:2], query.files, strict=True)
        )
        ordered = sorted(known, key=lambda a: (a.image, isinstance(a, Box)))  # type: ignore[union-attr]
        return Scene(
            source=self._source,
            id=query.pair.scene_id,
            prefix="CGD",
            images=tuple(refs),
            annotations=tuple(ordered),
            groups=(group,),
        )

    def _place(self, file: str) -> str:
        """Give the path of a photograph below the root; it is judged where it is opened."""
        stem, extension = _stem(file)
        if "/" in file or "\\" in file:
            return file
        folder, _, name = self._files.find(stem).rpartition("/")
        name = file if extension else name
        return f"{folder}/{name}" if folder else name


def _file_names(name: str, record: _Record) -> list[str]:
    """Name the two photographs: as the record says, or by its id, `FIRST_SECOND`."""
    if record.image_1 or record.image_2:
        return [record.image_1.strip(), record.image_2.strip()]
    return name.strip().split("_")


def _stem(file: str) -> tuple[str, str]:
    """Split a file's name at the extension, if it has one that pictures have."""
    stem, _, extension = file.rpartition(".")
    return (stem, extension) if stem and extension.lower() in PICTURES else (file, "")


def _photo(file: str) -> str:
    """Give a photograph's id, as COCO names its files: twelve digits, or letters as they are."""
    stem, _ = _stem(re.split(r"[/\\]", file)[-1])
    return scene_id(stem) if stem else ""


def read_text(text: str) -> Iterator[tuple[str, Annotation | str]]:
    """Read what the text says: (line, annotation), or (line, "reason: detail") of what is none."""
    image: int | None = None
    said: set[tuple[int, str]] = set()
    for number, whole in enumerate(text.splitlines(), 1):
        header = _HEADER.fullmatch(whole)
        if header:
            image = "12ab".index(header[1].lower()) % 2
        line = plain(header[2] if header else whole)
        if not line:
            continue
        record = f"line {number}"
        boxes = _BOXES.fullmatch(line)
        if image is None:
            yield record, f"unknown-image: {line!r} stands before the name of a picture"
        elif boxes:
            yield from ((record, told) for told in _boxes(boxes[1], boxes[2], image))
        elif (key := (image, line.casefold().rstrip(". "))) in said:
            yield record, f"duplicate-caption: {line!r} stands there already"
        else:
            said.add(key)
            yield record, Caption(line, image)


def _boxes(label: str, text: str, image: int) -> Iterable[Annotation | str]:
    """Read `[x, y, width, height]`, or several of them."""
    called = _NAMES.get(label, label)
    for piece in re.findall(r"\[[^\[\]]*\]", text):
        try:
            x, y, width, height = msgspec.convert(
                json.loads(piece), tuple[float, float, float, float]
            )
        except (ValueError, msgspec.ValidationError, RecursionError) as error:
            yield f"malformed-box: {piece} is not [x, y, width, height]: {error}"
            continue
        if not (width > 0 and height > 0 and math.isfinite(x + y + width * height)):
            yield f"empty-box: {piece} covers nothing"
        else:
            yield Box(called, x, y, width, height, image=image)
