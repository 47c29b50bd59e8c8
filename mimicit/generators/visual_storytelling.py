"""Visual storytelling: stories over the photographs of an album, one scene a story.

Reads VIST's "story in sequence" files. Several people told stories of one album, often over other
photographs or in another order, and photographs vanish from Flickr with the years. So each story
is a scene of its own: a photograph that is gone costs the stories that need it, and no other.
"""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mimicit.annotations import Note, Story
from mimicit.errors import SourceError, UsageError
from mimicit.generators import generator
from mimicit.generators._album_files import (
    Album,
    File,
    Known,
    Line,
    Lost,
    Photo,
    Text,
    Told,
    read_known,
    read_sentences,
)
from mimicit.media_files import PICTURES, MediaFiles, licence_of
from mimicit.names import escape_id
from mimicit.progress import Counted
from mimicit.records import plain, read_file, reject
from mimicit.schema import ImageRef, Rejection, Scene

NAME = "visual_storytelling"


@generator(
    prefix="VST",
    link="same-group,similar-text",
    origin=(
        "VIST's stories (SIS: train, val and test.story-in-sequence.json) and its photographs are "
        "at https://visionandlanguage.net/VIST/dataset.html; nothing is fetched from Flickr."
    ),
)
class VisualStorytelling:
    """Stories over the photographs of albums: VIST.

    The annotation file is *.story-in-sequence*.json in the directory, or in its folders
    `annotations` or `sis`. Photographs are files by their Flickr ids, such as 4283249791.jpg, in
    `images/SPLIT`, `images`, `photos`, `SPLIT` or the directory itself; SPLIT is how the annotation
    file begins, such as `train`. A scene is a story; what a split keeps whole is the album.
    """

    root: Path | None = field(
        default=None, metadata={"help": "Directory with annotations and photographs."}
    )
    split: str = field(default="", metadata={"help": "Which split of it, such as val."})
    annotations: Path | None = field(
        default=None, metadata={"help": "The annotation file, where there are several."}
    )
    images: Path | None = field(default=None, metadata={"help": "Directory of the photographs."})
    licence: str = field(
        default="",
        metadata={
            "help": "SPDX id or words of the media's licence, where it is the same for all; a "
            "photograph's own licence in the file counts first."
        },
    )

    def scenes(self) -> Iterator[Scene | Rejection]:
        """Yield one scene a story, by ascending id, and the records that were left out."""
        path = self._annotation_file()
        media = self.images or self.root
        if media is None:
            raise UsageError(f"{NAME}: say where the photographs are: -o images=DIR or --root DIR")
        split = path.name.partition(".")[0]
        folders = [f"images/{split}", "images", f"photos/{split}", "photos", split, ""]
        files = MediaFiles(media, folders, PICTURES)
        licence = licence_of(media, self.licence)
        content = read_file(path, File, "in VIST's layout, with `images` and `annotations`")
        known, refused = read_known(content, NAME)
        stories = _Stories(known)
        for item in read_sentences(content.annotations, NAME):
            if isinstance(item, Rejection):
                refused.append(item)
            else:
                stories.add(item)
        found = _walk(stories, refused, _Pictures(files, licence, known))
        return Counted(found, len(stories.told))

    def _annotation_file(self) -> Path:
        if self.annotations:
            return self.annotations
        if self.root is None:
            raise UsageError(f"{NAME}: name --root DIR, or -o annotations=FILE and -o images=DIR")
        if not self.root.is_dir():
            raise SourceError(f"no directory {str(self.root)!r}")
        start = self.split or "*"
        found = sorted(
            path
            for folder in (self.root, self.root / "annotations", self.root / "sis")
            for path in folder.glob(f"{start}.story-in-sequence*.json")
        )
        if not found:
            raise SourceError(f"no {start}.story-in-sequence*.json in {str(self.root)!r}")
        if len(found) > 1:
            listed = "".join(f"\n  -o annotations={path}" for path in found)
            raise UsageError(
                f"{NAME}: several annotation files; choose one with -o split=NAME, or:{listed}"
            )
        return found[0]


@dataclass(frozen=True)
class _Pictures:
    """Where photographs are, and under which licence each is."""

    files: MediaFiles
    licence: str
    known: Known

    def of(self, photo: str) -> ImageRef:
        """Name a photograph by its Flickr id."""
        code = self.known.photos[photo].license
        own = "" if code is None else plain(str(code))
        return ImageRef(
            id=f"VST_IMG_{escape_id(photo)}",
            root=self.files.root,
            name=self.files.find(photo),
            licence=self.known.licences.get(own, "" if own.isdigit() else own) or self.licence,
        )


class _Stories:
    """The sentences of stories, by the ids of their scenes, and which could not be read."""

    def __init__(self, known: Known) -> None:
        self.known = known
        self.told: dict[str, list[Line]] = {}
        self._lost: dict[tuple[str, str], list[str]] = {}
        self._first: set[int] = set()

    def add(self, item: Line | Lost) -> None:
        """Put a sentence to its story."""
        if isinstance(item, Lost):
            album = item.album or self._album_of(item.photo)
            record = f"{item.record}: photograph {item.photo}" if item.photo else item.record
            self._lost.setdefault((item.story, album), []).append(record)
        else:
            self.told.setdefault(_scene_id(item[1], self.known), []).append(item)
            self._first.add(item[1].worker_arranged_photo_order)

    def lost(self, told: Told) -> list[str]:
        """Name the records of a sentence's story that cannot be read."""
        story, album = str(told.story_id), _album(told, self.known)
        # one that names no album either is of each story of that id
        return sorted({*self._lost.get((story, album), []), *self._lost.get((story, ""), [])})

    @property
    def first(self) -> int:
        """The place of a story's first sentence: some count from 1."""
        return 0 if 0 in self._first else 1

    def _album_of(self, photo: str) -> str:
        known = self.known.photos.get(photo)
        return str((known and known.album_id) or "")


def _scene_id(told: Told, known: Known) -> str:
    """Name a story by its album and its own id; "_" stands between them and nowhere else."""
    return f"{_part(_album(told, known))}_{_part(str(told.story_id))}"


def _part(text: str) -> str:
    return escape_id(text).replace("_", "~5f~")


def _album(told: Told, known: Known) -> str:
    photo = known.photos.get(str(told.photo_flickr_id))
    return str(told.album_id or (photo and photo.album_id) or "")


def _walk(
    stories: _Stories, refused: list[Rejection], pictures: _Pictures
) -> Iterator[Scene | Rejection]:
    yield from sorted(refused, key=lambda item: (item.record, item.detail))
    seen: dict[tuple[tuple[str, str], ...], str] = {}
    for scene_id in sorted(stories.told):
        told: list[Told] = []
        missing = stories.lost(stories.told[scene_id][0][1])
        for item in _usable(scene_id, stories.told[scene_id], stories.known):
            if isinstance(item, Told):
                told.append(item)
                continue
            yield item
            if item.reason != "duplicate-record":
                missing.append(item.record)
        reason, detail = _problem(told, missing, stories.first)
        content = tuple((str(one.photo_flickr_id), _sentence(one)) for one in told)
        if not reason and content in seen:
            reason, detail = "duplicate-story", f"told word for word in {seen[content]}"
        if reason:
            yield reject(NAME, reason, scene_id, detail, scene_id)
        else:
            seen[content] = scene_id
            yield _scene(scene_id, told, stories.known, pictures)


def _problem(told: list[Told], missing: list[str], first: int) -> tuple[str, str]:
    """Say why a story is left out, a reason and words; or ("", "")."""
    if not told:
        return "no-sentence", "no sentence is left of it"
    places = [one.worker_arranged_photo_order for one in told]
    if len(set(places)) < len(places):
        return "unclear-order", f"two photographs have one place in it: {places}"
    gaps: list[str] = []
    for place in places:
        if place > first:
            gaps.append(
                f"place {first}" if place == first + 1 else f"places {first} to {place - 1}"
            )
        first = place + 1
    lost = ", ".join([*gaps, *missing])
    return ("incomplete-story", f"a sentence of it is missing: {lost}") if lost else ("", "")


def _usable(scene_id: str, lines: list[Line], known: Known) -> Iterator[Told | Rejection]:
    """Give a story's sentences in its order, and say which of them cannot be used."""
    seen: set[tuple[str, int, str]] = set()
    for name, told in sorted(lines, key=lambda line: _order(line[1])):
        photo, text = str(told.photo_flickr_id), plain(told.text)
        record = f"{name}: photograph {photo}"
        if photo not in known.photos:
            yield reject(NAME, "unknown-image", record, "it is not in `images`", scene_id)
        elif not text:
            yield reject(NAME, "empty-sentence", record, "no text", scene_id)
        elif (photo, told.worker_arranged_photo_order, text) in seen:
            yield reject(NAME, "duplicate-record", record, text, scene_id)
        else:
            seen.add((photo, told.worker_arranged_photo_order, text))
            yield told


def _order(told: Told) -> tuple[int, str, str, str]:
    rest = str(told.photo_flickr_id), told.text, told.original_text or ""
    return told.worker_arranged_photo_order, *rest


def _sentence(told: Told) -> str:
    """Choose how a sentence is spelled: as it was typed, unless that names what `text` hides."""
    text, typed = plain(told.text), plain(told.original_text or "")
    return typed if typed and _letters(typed) == _letters(text) else text


def _letters(text: str) -> str:
    return re.sub(r"\W+", "", text).casefold()


def _scene(scene_id: str, told: list[Told], known: Known, pictures: _Pictures) -> Scene:
    photos = list(dict.fromkeys(str(one.photo_flickr_id) for one in told))
    story = Story(
        id=str(told[0].story_id),
        sentences=tuple(_sentence(one) for one in told),
        images=tuple(photos.index(str(one.photo_flickr_id)) for one in told),
    )
    album = _album(told[0], known)
    return Scene(
        source=NAME,
        id=scene_id,
        prefix="VST",
        images=tuple(pictures.of(photo) for photo in photos),
        annotations=(story, *_notes(known.albums.get(album), [known.photos[p] for p in photos])),
        groups=(_part(album) or scene_id,),
    )


def _notes(album: Album | None, photos: list[Photo]) -> Iterator[Note]:
    """Give what is known of an album and its photographs, without the mark-up of the web."""
    said: list[tuple[str, Text, int | None]] = []
    if album:
        said += [("album", album.title, None), ("album description", album.description, None)]
    for place, photo in enumerate(photos):
        said += [("title", photo.title, place), ("description", photo.text, place)]
        said += [("tags", photo.tags, place)]
    for name, raw, image in said:
        text = plain(html.unescape(re.sub(r"<[^<>]*>", " ", "" if raw is None else str(raw))))
        if text:
            yield Note(name, text, image)
