"""Reading VIST's files: photographs, albums, and the sentences of stories one by one."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import msgspec

from mimicit.records import numbered, plain, records, reject
from mimicit.schema import Rejection

Id = int | str
Text = str | int | float | None
T = TypeVar("T", bound=msgspec.Struct)

FLICKR = {
    "0": "All rights reserved",
    "1": "CC-BY-NC-SA-2.0",
    "2": "CC-BY-NC-2.0",
    "3": "CC-BY-NC-ND-2.0",
    "4": "CC-BY-2.0",
    "5": "CC-BY-SA-2.0",
    "6": "CC-BY-ND-2.0",
    "7": "No known copyright restrictions",
    "8": "United States government work",
    "9": "CC0-1.0",
    "10": "CC-PDM-1.0",
}
"""Flickr's numbers for licences, which the files give without a table of their own."""


class Photo(msgspec.Struct, gc=False):
    """A photograph of `images`."""

    id: Id
    album_id: Id | None = None
    title: Text = None
    text: Text = None
    tags: Text = None
    license: Id | None = None


class Album(msgspec.Struct, gc=False):
    """An album of `albums`."""

    id: Id
    title: Text = None
    description: Text = None


class Told(msgspec.Struct, gc=False):
    """A sentence about one photograph, of one story."""

    photo_flickr_id: Id
    story_id: Id
    worker_arranged_photo_order: int
    text: str
    original_text: str | None = None
    album_id: Id | None = None


class Licence(msgspec.Struct, gc=False):
    """A licence of `licenses`, where there are any."""

    id: Id
    name: str


class File(msgspec.Struct):
    """A story-in-sequence file; its records are not decoded yet."""

    images: list[msgspec.Raw]
    annotations: list[msgspec.Raw]
    albums: list[msgspec.Raw] | None = None
    licenses: list[msgspec.Raw] | None = None


@dataclass(frozen=True)
class Known:
    """What the file says of photographs and albums, by their ids as text."""

    photos: dict[str, Photo]
    albums: dict[str, Album]
    licences: dict[str, str]


Line = tuple[str, Told]
"""A sentence, and what its record is called."""


class Lost(NamedTuple):
    """A sentence that cannot be read: what its record is called, and of what it is a part."""

    record: str
    story: str
    album: str
    photo: str


class _Named(msgspec.Struct, gc=False):
    """What may still be readable of a sentence that is not."""

    story_id: object = None
    album_id: object = None
    photo_flickr_id: object = None


def read_known(content: File, source: str) -> tuple[Known, list[Rejection]]:
    """Read all photographs, albums and licences; the smallest of several of one id stays."""
    refused: list[Rejection] = []
    photos: dict[str, Photo] = {}
    albums: dict[str, Album] = {}
    licences: dict[str, str] = {}
    for name, photo in _sorted(_named("image", content.images), Photo, source, refused):
        if str(photo.id) in photos:
            detail = "an entry of this id stands there already"
            refused.append(reject(source, "duplicate-image-id", f"{name}: {photo.id}", detail))
        else:
            photos[str(photo.id)] = photo
    for name, album in _sorted(_named("album", content.albums or []), Album, source, refused):
        if str(album.id) in albums:
            detail = "an album of this id stands there already"
            refused.append(reject(source, "duplicate-record", f"{name}: {album.id}", detail))
        else:
            albums[str(album.id)] = album
    for _, licence in _sorted(_named("licence", content.licenses or []), Licence, source, refused):
        licences.setdefault(str(licence.id), plain(licence.name))
    return Known(photos, albums, licences or FLICKR), refused


def _named(kind: str, items: list[msgspec.Raw]) -> Iterator[tuple[str, msgspec.Raw]]:
    return ((name.replace("record", kind), item) for name, item in numbered(items))


def _sorted(
    items: Iterator[tuple[str, msgspec.Raw]], kind: type[T], source: str, refused: list[Rejection]
) -> list[tuple[str, T]]:
    """Decode records, whatever their order; what cannot be decoded goes to `refused`."""
    found: list[tuple[str, T]] = []
    for item in records(items, kind, source):
        if isinstance(item, Rejection):
            refused.append(item)
        else:
            found.append(item)
    return sorted(found, key=lambda item: msgspec.json.encode(item[1]))


def read_sentences(items: list[msgspec.Raw], source: str) -> Iterator[Line | Lost | Rejection]:
    """Read the sentences: each stands in a list of its own, or does not."""
    for name, raw in _named("annotation", items):
        (item,) = records([(name, raw)], list[Told] | Told, source)  # type: ignore[arg-type]
        if isinstance(item, Rejection):
            yield item
            yield from _lost(name, raw)
            continue
        content = item[1]
        told = content if isinstance(content, list) else [content]
        if not told:
            yield reject(source, "no-content", name, "an empty list")
        for one in told:
            yield name, one


def _lost(name: str, raw: msgspec.Raw) -> Iterator[Lost]:
    """Say of which stories a record was that cannot be read, as far as it still says so."""
    try:
        content = _NAMED.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return
    for one in content if isinstance(content, list) else [content]:
        if isinstance(one.story_id, int | str):
            ids = (one.story_id, one.album_id, one.photo_flickr_id)
            yield Lost(name, *(str(part) if isinstance(part, int | str) else "" for part in ids))


_NAMED = msgspec.json.Decoder(list[_Named] | _Named, strict=False)
