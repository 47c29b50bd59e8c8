"""Pairs of photographs with the text of both, as MIMIC-IT's `csd_query.json` has them.

`{pair: {"sentences": text, "image_1": file, "image_2": file}}`, where the text says in lines what
each photograph shows. Two ways of writing it are about, which are read as one: every line begins
with `Image 1:` or `Image 2:`; or `image a:` and `image b:` stand above their lines. A line is a
caption, or a label and its boxes in pixels, `dog: [x, y, width, height]`.

Where both photographs have boxes, and all labels are COCO's, everything that COCO labels was looked
for in them.
"""

import json
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from mimicit.annotations import Box, Caption
from mimicit.generators._coco_names import LABELS, image_part
from mimicit.generators._pairs import Pair, grouped
from mimicit.generators.coco import PLAIN_NAMES
from mimicit.media_files import PICTURES, MediaFiles
from mimicit.progress import Counted
from mimicit.records import plain, read_table, records, reject
from mimicit.schema import ImageRef, Rejection, Scene

_NAMES = {name: called for (_, name), called in PLAIN_NAMES.items()}

_VOCABULARY = tuple(sorted(_NAMES.get(label, label) for label in LABELS))

_HEADER = re.compile(r"\s*image[ _]*(\d+|[a-z])\s*:(.*)", re.IGNORECASE)
_START = re.compile(r": ?\[")
_PIECE = re.compile(r"\[[^\[\]]*\]")
_PLACES = {"1": 0, "2": 1, "a": 0, "b": 1}
_SHOWN = 80
"""Characters of a line that are shown where it is turned away."""
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
        self._table = read_table(path, "an object with a pair for each id", source)
        self._folder = folder
        self._files = MediaFiles(folder, (*names, *_FOLDERS), PICTURES)
        self._licence = licence

    def scenes(self) -> Iterator[Scene | Rejection]:
        """Yield one scene a pair, by ascending id, and what was left out."""
        refused = [*self._table.refused]
        found = sorted(self._queries(refused))
        groups = [pair.group for pair in grouped(query.pair for query in found)]
        return Counted(self._walk(found, groups, refused), len(found))

    def _queries(self, refused: list[Rejection]) -> Iterator[_Query]:
        items = ((name, item) for name, item in self._table.items.items())
        for item in records(items, _Record, self._source):
            if isinstance(item, Rejection):
                refused.append(item)
                continue
            name, record = item
            files = _file_names(name, record)
            photos = [self._photo(file) for file in files]
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
            known: list[Caption | Box] = []
            whole = True
            for record, told in read_text(query.text):
                if isinstance(told, str):
                    reason, _, detail = told.partition(": ")
                    whole = whole and reason == "duplicate-caption"
                    name = f"{query.name}, {record}"
                    yield reject(self._source, reason, name, detail, scene)
                else:
                    known.append(told)
            yield self._scene(query, groups[place], known, sure=whole and _is_coco(known))

    def _scene(self, query: _Query, group: str, known: list[Caption | Box], *, sure: bool) -> Scene:
        refs = (
            ImageRef(f"CGD_IMG_{photo}", *self._place(file), licence=self._licence)
            for photo, file in zip(query.pair[:2], query.files, strict=True)
        )
        ordered = sorted(known, key=lambda a: (a.image, isinstance(a, Box)))
        return Scene(
            source=self._source,
            id=query.pair.scene_id,
            prefix="CGD",
            images=tuple(refs),
            annotations=tuple(ordered),
            groups=(group,),
            vocabulary=_VOCABULARY if sure else (),
        )

    def _place(self, file: str) -> tuple[str, str]:
        """Give the root of a photograph and its path below; it is judged where it is opened."""
        stem, extension = _stem(file)
        if "/" in file or "\\" in file:
            return str(self._folder), file
        root, path = self._files.place(stem)
        folder, _, name = path.rpartition("/")
        name = file if extension else name
        return root, f"{folder}/{name}" if folder else name

    def _photo(self, file: str) -> str:
        """Give a photograph's id: COCO's twelve digits, else its whole name."""
        stem, extension = _stem(file)
        if not stem:
            return ""
        whole = file if extension or "/" in file or "\\" in file else self._place(file)[1]
        return image_part(whole if whole == file else whole.rpartition("/")[2])


def _file_names(name: str, record: _Record) -> list[str]:
    """Name the two photographs: as the record says, or by its id, `FIRST_SECOND`."""
    if record.image_1 or record.image_2:
        return [record.image_1.strip(), record.image_2.strip()]
    return name.strip().split("_")


def _stem(file: str) -> tuple[str, str]:
    """Split a file's name at the extension, if it has one that pictures have."""
    stem, _, extension = file.rpartition(".")
    return (stem, extension) if stem and extension.lower() in PICTURES else (file, "")


def _is_coco(known: Sequence[Caption | Box]) -> bool:
    """Tell whether both photographs have boxes, and all are of what COCO labels."""
    boxes = [a for a in known if isinstance(a, Box)]
    return {box.image for box in boxes} == {0, 1} and {b.label for b in boxes} <= {*_VOCABULARY}


def read_text(text: str) -> Iterator[tuple[str, Caption | Box | str]]:
    """Read what the text says: (line, annotation), or (line, "reason: detail") of what is none."""
    image: int | None = None
    said: set[tuple[int, str]] = set()
    for number, whole in enumerate(text.splitlines(), 1):
        header = _HEADER.fullmatch(whole)
        if header:
            image = _PLACES.get(header[1].lower())
        line = plain(header[2] if header else whole)
        record = f"line {number}"
        if image is None and (line or header):
            yield record, f"unknown-image: {plain(whole)[:_SHOWN]!r} is of no picture that is known"
        elif image is None or not line:
            continue
        elif boxes := _split(line):
            yield from ((record, told) for told in _boxes(*boxes, image))
        elif (key := (image, line.casefold().rstrip(". "))) in said:
            yield record, f"duplicate-caption: {line[:_SHOWN]!r} stands there already"
        else:
            said.add(key)
            yield record, Caption(line, image)


def _split(line: str) -> tuple[str, str] | None:
    """Split a line that has boxes into the label and them; None where it has none."""
    start = _START.search(line)
    return (line[: start.start()].rstrip(), line[start.end() - 1 :]) if start else None


def _boxes(label: str, text: str, image: int) -> Iterator[Box | str]:
    """Read `[x, y, width, height]`, or several of them."""
    called = _NAMES.get(label, label)
    if not re.search(r"\w", label) or _PIECE.sub("", text).strip(" ,;."):
        yield f"malformed-box: {label[:_SHOWN]}: {text[:_SHOWN]} is not [x, y, width, height]"
        return
    for piece in _PIECE.findall(text):
        shown = piece[:_SHOWN]
        try:
            numbers = json.loads(piece, parse_constant=_refuse)
            x, y, width, height = msgspec.convert(numbers, tuple[float, float, float, float])
        except (ValueError, msgspec.ValidationError, RecursionError) as error:
            yield f"malformed-box: {shown} is not [x, y, width, height]: {error}"
            continue
        if not (width > 0 and height > 0 and math.isfinite(x + y + width * height)):
            yield f"empty-box: {shown} covers nothing"
        else:
            yield Box(called, x, y, width, height, image=image)


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no number")
