"""Bring your own data: lines of JSON, or a table of Hugging Face's or of Parquet.

docs/bring_your_own.md is the whole of the format; `_lines.py` reads what a line says, `_tables.py`
the rows of a table.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from mimicit.errors import SourceError, UsageError
from mimicit.generators import generator
from mimicit.generators._line_keys import Line, Unfit, hinted
from mimicit.generators._line_licences import Licences
from mimicit.generators._lines import Media, annotations
from mimicit.generators._table_files import Columns
from mimicit.generators._tables import rows
from mimicit.media_files import licence_of
from mimicit.moments import At, Clip, Uniform
from mimicit.names import escape_id
from mimicit.progress import Counted
from mimicit.records import read_lines, reject
from mimicit.schema import ImageRef, Rejection, Scene

NAME = "jsonl"

_LINE = msgspec.json.Decoder(Line)
_LANGUAGE = re.compile(r"[a-z]{2,3}")
_SHOWN = 80

_Found = tuple[str, bytes, str]
"""A line that was read: its scene's id, its text and its name in what users are told."""


@generator(
    prefix="MM",
    link="same-group,similar-text",
    origin=(
        "These are your own files: DIR/*.jsonl, one object a line, as "
        "https://jsonlines.org has them, and pictures or videos beside them; "
        "docs/bring_your_own.md has every key."
    ),
)
class Jsonl:
    """Your own pictures and videos: lines of JSON, a Hugging Face dataset, or Parquet.

    All *.jsonl files of the directory are read, or the one that is named. With `dataset`, the
    rows of a table are read instead: a directory that `save_to_disk` wrote, or Parquet.
    """

    root: Path | None = field(
        default=None, metadata={"help": "Directory with *.jsonl files, and pictures and videos."}
    )
    annotations: Path | None = field(default=None, metadata={"help": "The one file to read."})
    images: Path | None = field(
        default=None, metadata={"help": "Directory that the paths of pictures and videos start at."}
    )
    frames: int = field(
        default=8, metadata={"help": "Frames of a video whose line does not say how many."}
    )
    prefix: str = field(default="MM", metadata={"help": "What all ids begin with."})
    licence: str = field(
        default="",
        metadata={"help": "SPDX id or words of the media's licence, where it is the same for all."},
    )
    language: str = field(default="en", metadata={"help": "ISO 639 code of the text."})
    dataset: Path | None = field(
        default=None,
        metadata={"help": "A directory that save_to_disk wrote, or Parquet: a file or several."},
    )
    image_column: str = field(default="image", metadata={"help": "Column of the pictures."})
    text_column: str = field(default="", metadata={"help": "Column of captions."})
    question_column: str = field(default="", metadata={"help": "Column of questions."})
    answer_column: str = field(default="", metadata={"help": "Column of their answers."})
    id_column: str = field(
        default="", metadata={"help": "Column of ids; without one they are made of the content."}
    )

    def scenes(self) -> Iterator[Scene | Rejection]:
        """Yield one scene a line or row, by ascending id, and what had to be left out."""
        if self.frames < 1:
            raise UsageError(f"{NAME}: -o frames=… is 1 or more, not {self.frames}")
        if not re.fullmatch(r"[A-Z0-9]+", self.prefix):
            raise UsageError(f"{NAME}: a prefix is of A-Z and 0-9, not {self.prefix!r}")
        if not _LANGUAGE.fullmatch(self.language):
            raise UsageError(f"{NAME}: a language is a code such as en, not {self.language!r}")
        if self.dataset:
            return self._rows(self.dataset)
        return self._lines()

    def _rows(self, dataset: Path) -> Iterator[Scene | Rejection]:
        if self.root or self.annotations or self.images:
            raise UsageError(
                f"{NAME}: a dataset has pictures of its own, so leave out root, annotations and "
                "images"
            )
        columns = Columns(
            image=self.image_column,
            text=self.text_column,
            question=self.question_column,
            answer=self.answer_column,
            id=self.id_column,
        )
        home = dataset if dataset.is_dir() else dataset.parent
        licence = licence_of(home, self.licence)
        return rows(dataset, columns, self.prefix, licence, self.language)

    def _lines(self) -> Iterator[Scene | Rejection]:
        paths, home = self._files()
        maker = _Maker(self, str(home), Licences(licence_of(home, self.licence)))
        found: list[_Found] = []
        refused: list[Rejection] = []
        for path in paths:
            for number, text in read_lines(path):
                name = f"{path.name} {number}"
                line = _decoded(name, text)
                if isinstance(line, Rejection):
                    refused.append(line)
                else:
                    found.append((escape_id(str(line.id)), text, name))
        if not found and not refused:
            names = ", ".join(repr(str(path)) for path in paths)
            raise SourceError(f"nothing stands in {names}: write one object a line")
        found.sort()
        return Counted(_walk(found, refused, maker), len(found))

    def _files(self) -> tuple[list[Path], Path]:
        """Say which files to read, and where the pictures and videos are."""
        home = self.images or self.root
        if home is None:
            raise UsageError(
                f"{NAME}: name --root DIR, or -o annotations=FILE and -o images=DIR, or "
                "-o dataset=PATH"
            )
        for folder in filter(None, (self.root, self.images)):
            if not folder.is_dir():
                raise SourceError(f"no directory {str(folder)!r}")
        if self.annotations:
            return [self.annotations], home
        found = sorted(path for path in (self.root or home).glob("*.jsonl") if path.is_file())
        if not found:
            raise UsageError(
                f"{NAME}: no *.jsonl in {str(self.root or home)!r}; name the file with "
                "-o annotations=FILE, or a table with -o dataset=PATH"
            )
        return found, home


def _decoded(name: str, text: bytes) -> Line | Rejection:
    try:
        line = _LINE.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        shown = text[:_SHOWN].decode(errors="replace").strip()
        why = hinted(str(error), Line)
        if not shown.startswith("{") or "truncated" in why:  # a list, or an object over many lines
            why += "; write one object a line"
        return reject(NAME, "malformed-record", name, f"{why}: {shown}")
    if not str(line.id).strip():
        return reject(NAME, "no-image-id", name, "its id is empty")
    return line


def _walk(
    found: list[_Found], refused: list[Rejection], maker: "_Maker"
) -> Iterator[Scene | Rejection]:
    yield from refused
    kept: list[_Found] = []
    last = "", ""
    for scene_id, text, name in found:
        if scene_id == last[0]:
            detail = f"its id is that of {last[1]}, which stays"
            yield reject(NAME, "duplicate-scene", name, detail, scene_id)
            continue
        last = scene_id, name
        try:
            maker.settle_licence(name, _LINE.decode(text))
        except Unfit as problem:
            yield reject(NAME, problem.reason, name, problem.detail, scene_id)
        else:
            kept.append((scene_id, text, name))
    for scene_id, text, name in kept:
        yield from maker.scene(scene_id, name, _LINE.decode(text))


@dataclass(frozen=True, slots=True)
class _Maker:
    """Makes scenes of lines."""

    options: Jsonl
    home: str
    licences: Licences

    def settle_licence(self, name: str, line: Line) -> None:
        """Note the licence that a line states of its pictures and its video.

        Raises:
            Unfit: another line states another one, or the line cannot be used at all.
        """
        if line.licence and line.licence.strip():
            images, clips, _, _ = self._parts(line)
            paths = [*(ref.name for ref in images), *(clip.name for clip in clips)]
            self.licences.state(name, line.licence, paths)

    def scene(self, scene_id: str, name: str, line: Line) -> Iterator[Scene | Rejection]:
        """Make the scene of one line, after what of it cannot be used."""
        try:
            images, clips, groups, language = self._parts(line)
        except Unfit as problem:
            yield reject(NAME, problem.reason, name, problem.detail, scene_id)
            return
        media = Media(len(images), bool(clips), tuple(ref.size for ref in images if ref.size))
        said = []
        for one in annotations(line, media):
            if isinstance(one, tuple):
                yield reject(NAME, one[0], f"{name}, {one[1]}", one[2], scene_id)
            else:
                said.append(one)
        yield Scene(
            source=NAME,
            id=scene_id,
            prefix=self.options.prefix,
            images=images,
            annotations=tuple(said),
            groups=groups,
            language=language,
            clips=clips,
        )

    def _parts(
        self, line: Line
    ) -> tuple[tuple[ImageRef, ...], tuple[Clip, ...], tuple[str, ...], str]:
        """Read all of a line but what it says.

        Raises:
            Unfit: some of it is not right.
        """
        return self._pictures(line), self._clips(line), _groups(line), self._language(line)

    def _id(self, path: str) -> str:
        return f"{self.options.prefix}_IMG_{escape_id(path)}"

    def _language(self, line: Line) -> str:
        language = line.language or self.options.language
        if not _LANGUAGE.fullmatch(language):
            raise Unfit("malformed-record", f"language {language!r} is no code such as en")
        return language

    def _pictures(self, line: Line) -> tuple[ImageRef, ...]:
        paths = _paths(line)
        sizes: list[tuple[int, int]] | list[None] = line.sizes or [None] * len(paths)
        if len(sizes) != len(paths):
            raise Unfit("uneven-lists", f"{len(sizes)} sizes for {len(paths)} pictures")
        for size in line.sizes or []:
            if min(size) < 1:
                raise Unfit("malformed-record", f"{list(size)} is no size of a picture")
        return tuple(
            ImageRef(self._id(path), self.home, path, size, self.licences.of(path))
            for path, size in zip(paths, sizes, strict=True)
        )

    def _clips(self, line: Line) -> tuple[Clip, ...]:
        if line.video is None:
            if line.frames is not None or line.times is not None:
                raise Unfit("malformed-record", "frames or times, but no video")
            return ()
        if line.frames is not None and line.times is not None:
            raise Unfit("malformed-record", "frames and times; say one of them")
        try:
            sampler = (
                At(tuple(sorted(set(line.times))))
                if line.times is not None
                else Uniform(line.frames if line.frames is not None else self.options.frames)
            )
        except ValueError as error:
            raise Unfit("malformed-record", str(error)) from error
        clip = Clip(
            id=self._id(line.video),
            root=self.home,
            name=line.video,
            sampler=sampler,
            licence=self.licences.of(line.video),
        )
        return (clip,)


def _paths(line: Line) -> list[str]:
    """List a line's pictures, and refuse lines that name none, or one twice, or a video badly."""
    if line.image is not None and line.images is not None:
        raise Unfit("malformed-record", "image and images; say one of them")
    paths = [line.image] if line.image is not None else line.images or []
    if not paths and line.video is None:
        raise Unfit("no-file-name", "neither image, images nor video")
    if not all(path.strip() for path in [*paths, *([] if line.video is None else [line.video])]):
        raise Unfit("no-file-name", "a path is empty")
    if len(set(paths)) < len(paths):
        raise Unfit("malformed-record", "images names one picture twice")
    return paths


def _groups(line: Line) -> tuple[str, ...]:
    """Say what a line belongs to: its groups, else its first picture or its video."""
    given = [*([line.group] if line.group is not None else []), *(line.groups or [])]
    named = [str(name) for name in given]
    if not all(name.strip() for name in named):
        raise Unfit("malformed-record", "a group without a name")
    media = [*_paths(line), *([line.video] if line.video else [])]
    return tuple(dict.fromkeys(escape_id(name) for name in named or media[:1]))
