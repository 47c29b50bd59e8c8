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
    Photo,
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
        stories: dict[str, list[Line]] = {}
        for item in read_sentences(content.annotations, NAME):
            if isinstance(item, Rejection):
                refused.append(item)
            else:
                stories.setdefault(_scene_id(item[1], known), []).append(item)
        found = _walk(stories, known, refused, _Pictures(files, licence, known))
        return Counted(found, len(stories))

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


def _scene_id(told: Told, known: Known) -> str:
    """Name a story by its album and its own id; "_" stands between them and nowhere else."""
    return f"{_part(_album(told, known))}_{_part(str(told.story_id))}"


def _part(text: str) -> str:
    return escape_id(text).replace("_", "~5f~")


def _album(told: Told, known: Known) -> str:
    photo = known.photos.get(str(told.photo_flickr_id))
    return str(told.album_id or (photo and photo.album_id) or "")


def _walk(
    stories: dict[str, list[Line]], known: Known, refused: list[Rejection], pictures: _Pictures
) -> Iterator[Scene | Rejection]:
    yield from sorted(refused, key=lambda item: (item.record, item.detail))
    seen: dict[tuple[tuple[str, str], ...], str] = {}
    for scene_id in sorted(stories):
        told: list[Told] = []
        for item in _usable(scene_id, stories[scene_id], known):
            if isinstance(item, Rejection):
                yield item
            else:
                told.append(item)
        if not told:
            yield reject(NAME, "no-sentence", scene_id, "no sentence is left of it", scene_id)
            continue
        places = [one.worker_arranged_photo_order for one in told]
        if len(set(places)) < len(places):
            detail = f"two photographs have one place in it: {places}"
            yield reject(NAME, "unclear-order", scene_id, detail, scene_id)
            continue
        content = tuple((str(one.photo_flickr_id), _sentence(one)) for one in told)
        if content in seen:
            detail = f"told word for word in {seen[content]}"
            yield reject(NAME, "duplicate-story", scene_id, detail, scene_id)
            continue
        seen[content] = scene_id
        yield _scene(scene_id, told, known, pictures)


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
    said: list[tuple[str, str | None, int | None]] = []
    if album:
        said += [("album", album.title, None), ("album description", album.description, None)]
    for place, photo in enumerate(photos):
        said += [("title", photo.title, place), ("description", photo.text, place)]
        said += [("tags", photo.tags, place)]
    for name, raw, image in said:
        text = plain(html.unescape(re.sub(r"<[^<>]*>", " ", raw or "")))
        if text:
            yield Note(name, text, image)
