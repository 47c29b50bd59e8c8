"""Reading annotation files in COCO's layout: https://cocodataset.org/#format-data.

The full training set is half a gigabyte of JSON, so a file is decoded straight into typed records,
polygons skipped, and a box stays undecoded until its picture's turn comes.
"""

import heapq
import itertools
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import TypeVar

import msgspec

from mimicit.errors import SourceError, UsageError
from mimicit.names import escape_id

MAX_SIDE = 10**7
"""Largest width or height that is believed, in pixels."""

Id = int | str
Number = int | float


class ImageRecord(msgspec.Struct, gc=False):
    """An entry of `images`. `neg_category_ids` marks partly labelled data, as LVIS has."""

    id: Id
    file_name: str = ""
    width: Number | None = None
    height: Number | None = None
    license: Id | None = None
    neg_category_ids: list[Id] | None = None


class AnnotationRecord(msgspec.Struct, gc=False):
    """An entry of `annotations`: a caption, a box, or both."""

    image_id: Id
    id: Id = 0
    category_id: Id | None = None
    bbox: msgspec.Raw = msgspec.Raw()
    area: Number | None = None
    iscrowd: int | bool | None = 0
    caption: str | None = None


class CategoryRecord(msgspec.Struct, gc=False):
    """An entry of `categories`."""

    id: Id
    name: str = ""


class LicenceRecord(msgspec.Struct, gc=False):
    """An entry of `licenses`."""

    id: Id
    name: str = ""
    url: str = ""


class AnnotationFile(msgspec.Struct):
    """One annotation file.

    `broken` holds (scene id or "", record, why) of those that are not of these types.
    """

    images: list[ImageRecord]
    annotations: list[AnnotationRecord]
    categories: list[CategoryRecord] | None = None
    licenses: list[LicenceRecord] | None = None
    broken: list[tuple[str, str, str]] = []


class _RawFile(msgspec.Struct):
    images: list[msgspec.Raw]
    annotations: list[msgspec.Raw]
    categories: list[msgspec.Raw] | None = None
    licenses: list[msgspec.Raw] | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """What all files say of one picture.

    `boxed` is set where a file with categories lists it, `federated` where only some categories
    were looked for in it.
    """

    file_name: str
    size: tuple[int, int] | None
    licence: str
    boxed: bool
    federated: bool


S = TypeVar("S", bound=msgspec.Struct)


def find_official(root: Path, wanted: str) -> tuple[list[Path], str]:
    """Find `annotations/{captions,instances}_SPLIT.json` of the one split there is or is wanted.

    Raises:
        SourceError: `root` holds no annotations.
        UsageError: it has several splits, or not the one wanted.
    """
    if not root.is_dir():
        raise SourceError(f"no directory {str(root)!r}")
    found: dict[str, list[Path]] = {}
    for kind in ("captions", "instances"):
        for path in sorted((root / "annotations").glob(f"{kind}_*.json")):
            found.setdefault(path.stem.partition("_")[2], []).append(path)
    splits = ", ".join(sorted(found))
    if not found:
        raise SourceError(
            f"no annotations/captions_*.json and no annotations/instances_*.json in {str(root)!r}"
        )
    if wanted and wanted not in found:
        raise UsageError(f"coco: no split {wanted!r} in {str(root)!r}; there are: {splits}")
    if not wanted and len(found) > 1:
        raise UsageError(
            f"coco: {str(root)!r} has several splits ({splits}): choose one with -o split=NAME"
        )
    split = wanted or next(iter(found))
    return found[split], split


def read_file(path: Path) -> AnnotationFile:
    """Decode one annotation file; records of the wrong shape are set aside, not fatal.

    Raises:
        SourceError: the file as a whole is not JSON in COCO's layout.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SourceError(f"cannot read {str(path)!r}: {error.strerror}") from error
    text = memoryview(data)[3:] if data.startswith(b"\xef\xbb\xbf") else data
    try:
        try:
            return msgspec.json.decode(text, type=AnnotationFile)
        except msgspec.ValidationError:
            return _read_tolerantly(msgspec.json.decode(text, type=_RawFile))
        except (msgspec.DecodeError, UnicodeDecodeError):
            return _read_tolerantly(_read_loosely(text))
    except msgspec.ValidationError as error:
        raise SourceError(
            f"{str(path)!r} is not in COCO's layout, an object with the lists `images` and "
            f"`annotations`: {error}"
        ) from error
    except (msgspec.DecodeError, ValueError) as error:
        raise SourceError(f"{str(path)!r} is not valid JSON: {error}") from error
    except RecursionError as error:
        raise SourceError(f"{str(path)!r} is nested too deeply to be annotations") from error


def _read_loosely(text: bytes | memoryview) -> _RawFile:
    """Decode what Python writes and JSON does not have (NaN, halves of surrogate pairs)."""
    content = json.loads(bytes(text))
    if isinstance(content, dict):
        content = {
            name: [msgspec.Raw(json.dumps(item).encode()) for item in value]
            for name, value in content.items()
            if name in _RawFile.__struct_fields__ and isinstance(value, list)
        }
    return msgspec.convert(content, _RawFile)


def _read_tolerantly(raw: _RawFile) -> AnnotationFile:
    """Decode record by record, keeping what fits and naming what does not."""
    broken: list[tuple[str, str, str]] = []

    def records(name: str, items: list[msgspec.Raw] | None, kind: type[S]) -> list[S]:
        kept = []
        for item in items or ():
            try:
                kept.append(msgspec.json.decode(item, type=kind, strict=False))
            except (msgspec.DecodeError, RecursionError) as error:
                record = f"{name} {bytes(item)[:80].decode(errors='replace')}"
                broken.append((_scene_of(item), record, str(error)))
        return kept

    images = records("images", raw.images, ImageRecord)
    annotations = records("annotations", raw.annotations, AnnotationRecord)
    categories = records("categories", raw.categories, CategoryRecord)
    licences = records("licenses", raw.licenses, LicenceRecord)
    return AnnotationFile(images, annotations, categories, licences, sorted(broken))


class _ImageIdOnly(msgspec.Struct):
    image_id: Id


def _scene_of(item: msgspec.Raw) -> str:
    """Find which scene a broken annotation was about, or ""."""
    try:
        return scene_id(msgspec.json.decode(item, type=_ImageIdOnly, strict=False).image_id)
    except (msgspec.DecodeError, RecursionError):
        return ""


def plain_id(value: Id) -> Id:
    """Take an id written as text, "12", for the number that it is."""
    return int(value) if isinstance(value, str) and re.fullmatch(r"[0-9]{1,18}", value) else value


def scene_id(image_id: Id) -> str:
    """Spell an image id: COCO's twelve digits for a number, letters as they are otherwise."""
    image_id = plain_id(image_id)
    return f"{image_id:012d}" if isinstance(image_id, int) else escape_id(image_id)


def merge_images(files: list[AnnotationFile]) -> tuple[dict[str, Picture], list[tuple[str, str]]]:
    """Join the image lists by scene id, whatever their order.

    Of entries that disagree on the file name or the size the smaller one stays; the others are
    returned as (scene id, what they say).
    """
    pictures: dict[str, Picture] = {}
    lost: set[tuple[str, str]] = set()
    for content in files:
        licences = _unambiguous((entry.id, _spdx(entry)) for entry in content.licenses or ())
        for image in content.images:
            key = scene_id(image.id)
            new = _picture(image, licences, boxed=bool(content.categories))
            old = pictures.get(key)
            if old is not None:
                new, said = _joined(old, new)
                lost |= {(key, said)} if said else set()
            pictures[key] = new
    return pictures, sorted(lost)


def _joined(a: Picture, b: Picture) -> tuple[Picture, str]:
    """Join two entries of one picture; say what the one says that is given up, if it differs."""
    first, second = sorted((a, b), key=lambda p: (not p.file_name, p.file_name, p.size or (0, 0)))
    said = ""
    size = first.size
    if second.file_name and second.file_name != first.file_name:
        said = second.file_name
    elif first.size and second.size and first.size != second.size:
        said = f"{second.file_name} of size {second.size}"
    else:
        size = first.size or second.size
    boxed, federated = a.boxed or b.boxed, a.federated or b.federated
    licence = min(filter(None, (a.licence, b.licence)), default="")
    return Picture(first.file_name, size, licence, boxed, federated), said


def _unambiguous(pairs: Iterable[tuple[Id, str]]) -> dict[Id, str]:
    """Make a table of pairs; a key with two meanings has none."""
    table: dict[Id, str] = {}
    for key, value in pairs:
        plain = plain_id(key)
        table[plain] = value if table.get(plain, value) == value else ""
    return table


def category_names(files: list[AnnotationFile]) -> dict[Id, str]:
    """Name the categories of all files by id, white space mended; an id with two names has none."""
    entries = (entry for content in files for entry in content.categories or ())
    return _unambiguous((entry.id, " ".join(entry.name.split())) for entry in entries)


def _picture(image: ImageRecord, licences: dict[Id, str], *, boxed: bool) -> Picture:
    size = None
    if (
        image.width
        and image.height
        and all(1 <= n <= MAX_SIDE for n in (image.width, image.height))
    ):
        size = (int(image.width), int(image.height))
    licence = "" if image.license is None else licences.get(plain_id(image.license), "")
    return Picture(image.file_name, size, licence, boxed, image.neg_category_ids is not None)


def _spdx(licence: LicenceRecord) -> str:
    """Spell a licence as its SPDX id (https://spdx.org/licenses) where its URL says which."""
    found = re.search(r"creativecommons\.org/licenses/([a-z-]+)/([0-9.]+)", licence.url)
    if found:
        return f"CC-{found[1].upper()}-{found[2].rstrip('.')}"
    if "creativecommons.org/publicdomain/zero" in licence.url:
        return "CC0-1.0"
    return " ".join(licence.name.split())


def by_scene(files: list[AnnotationFile]) -> Iterator[tuple[str, list[AnnotationRecord]]]:
    """Yield (scene id, its annotations) by ascending scene id; sorts the lists in place."""
    merged = heapq.merge(*(_grouped(content.annotations) for content in files), key=itemgetter(0))
    for key, groups in itertools.groupby(merged, key=itemgetter(0)):
        yield key, [record for _, records in groups for record in records]


def _grouped(records: list[AnnotationRecord]) -> Iterator[tuple[str, list[AnnotationRecord]]]:
    """Yield (scene id, the annotations of one file with one image id) by ascending scene id."""
    of_image = attrgetter("image_id")
    if all(type(r.image_id) is int and 0 <= r.image_id < 10**12 for r in records):
        records.sort(key=of_image)  # twelve digits: in the order of their spelling, and faster
    else:
        records.sort(key=lambda r: scene_id(r.image_id))
    for image_id, group in itertools.groupby(records, key=of_image):
        yield scene_id(image_id), list(group)
