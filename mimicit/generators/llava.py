"""LLaVA: conversations about photographs, one scene a conversation.

Several records tell of one photograph: a conversation, a description, a line of reasoning, all
under its id. What tells them apart is what is said in them.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from mimicit.annotations import Annotation, Dialogue, Note
from mimicit.errors import SourceError, UsageError
from mimicit.generators import generator
from mimicit.generators._coco_names import image_part, is_coco
from mimicit.generators._conversations import pairs
from mimicit.media_files import licence_of
from mimicit.progress import Counted
from mimicit.records import digest, numbered, read_file, records, reject
from mimicit.schema import ImageRef, Rejection, Scene

NAME = "llava"

KINDS = {
    "complex_reasoning": "reasoning",
    "conversation": "conversation",
    "detail": "detail",
}
"""What the names of the official files begin with, and the sort of questions in them."""

FOLDERS = ("images", "train2017", "val2017", "")
"""Where the photographs may be, below the directory; the first that has one counts."""


class _Record(msgspec.Struct, gc=False):
    """A record of the file."""

    conversations: list[msgspec.Raw]
    image: str | None = None
    id: int | str | None = None


@dataclass(frozen=True, slots=True)
class _Read:
    """A record that is a scene, and what of it is left out. Nothing else is kept of it."""

    scene_id: str
    file: str
    name: str
    raw: msgspec.Raw

    @property
    def order(self) -> tuple[str, str, bytes]:
        return self.scene_id, self.file, bytes(self.raw)


@generator(
    prefix="LLAVA",
    link="conversation,similar-image,similar-text",
    origin=(
        "LLaVA-Instruct's conversation_58k.json, detail_23k.json and complex_reasoning_77k.json "
        "are described at https://github.com/haotian-liu/LLaVA/blob/main/docs/Data.md; the "
        "photographs are COCO's train2017.zip, from https://cocodataset.org/#download."
    ),
)
class Llava:
    """Conversations about photographs that somebody has written already, as in LLaVA-Instruct.

    All *.json files of the directory are read, or the one that is named: lists of records with an
    image and its conversation. The text is used as it is; a model, where one is asked, rewrites it.
    """

    root: Path | None = field(
        default=None, metadata={"help": "Directory with *.json files and the photographs."}
    )
    annotations: Path | None = field(
        default=None, metadata={"help": "The one annotation file to read."}
    )
    images: Path | None = field(default=None, metadata={"help": "Directory of the photographs."})
    licence: str = field(
        default="",
        metadata={"help": "SPDX id or words of the media's licence, where it is the same for all."},
    )

    def scenes(self) -> Iterator[Scene | Rejection]:
        """Yield one scene a conversation, by ascending id, and what had to be left out."""
        paths = self._annotation_files()
        photographs = _Photographs(self._image_root(), self.licence)
        found: list[_Read] = []
        refused: list[Rejection] = []
        for path in paths:
            raws = read_file(path, list[msgspec.Raw], "a list of records")
            for name, raw in numbered(raws):
                for item in _look([(f"{path.name} {name}", raw)], path.stem):
                    if isinstance(item, Rejection):
                        refused.append(item)
                    else:
                        found.append(item)
        found.sort(key=lambda read: read.order)
        return Counted(_walk(found, refused, photographs), len(found))

    def _annotation_files(self) -> list[Path]:
        if self.annotations:
            return [self.annotations]
        if self.root is None:
            raise UsageError(f"{NAME}: name --root DIR, or -o annotations=FILE and -o images=DIR")
        if not self.root.is_dir():
            raise SourceError(f"no directory {str(self.root)!r}")
        found = sorted(path for path in self.root.glob("*.json") if path.is_file())
        if not found:
            raise UsageError(
                f"{NAME}: no *.json in {str(self.root)!r}; name the file with -o annotations=FILE"
            )
        return found

    def _image_root(self) -> Path:
        root = self.images or self.root
        if root is None:
            raise UsageError(f"{NAME}: say where the photographs are: -o images=DIR or --root DIR")
        if not root.is_dir():
            raise SourceError(f"no directory {str(root)!r}")
        return root


class _Photographs:
    """Names photographs, looking for each in the folders that may have it."""

    def __init__(self, root: Path, licence: str) -> None:
        self._licence = licence_of(root, licence)
        there = [name for name in FOLDERS if (root / name).is_dir()]
        # a folder that the user has linked from elsewhere is trusted as a root of its own
        inside = {name: (root / name).resolve().is_relative_to(root.resolve()) for name in there}
        self._folders = [
            (str(root), f"{name}/" if name else "")
            if inside[name]
            else (str((root / name).resolve()), "")
            for name in there
        ]

    def of(self, name: str) -> ImageRef:
        """Refer to a photograph, under the name of the record or COCO's newer one.

        Whether the name stays below the directory is judged where it is opened.
        """
        part = image_part(name)
        newer = [f"{part}.jpg"] if is_coco(name) else []
        places = [
            (root, folder + spelled)
            for spelled in dict.fromkeys([name, *newer])
            for root, folder in self._folders
        ]
        # unlike `Path.exists` it raises nothing, whatever the name
        there = (place for place in places if os.path.exists("/".join(place)))  # noqa: PTH110
        root, found = next(there, (self._folders[-1][0], name))
        return ImageRef(id=f"LLAVA_IMG_{part}", root=root, name=found, licence=self._licence)


def _look(item: list[tuple[str, msgspec.Raw]], stem: str) -> Iterator[_Read | Rejection]:
    """Decode a record to learn its scene's id; if it has none, say why."""
    for read in records(item, _Record, NAME):
        if isinstance(read, Rejection):
            yield read
            continue
        name, record = read
        name = name if record.id is None else f"{name}, id {record.id}"
        if not (record.image or "").strip():
            yield reject(NAME, "no-file-name", name, "it names no image")
            continue
        part = image_part(record.image or "")
        turns, problems = pairs(record.conversations)
        if turns:
            yield _Read(f"{part}_{digest(*turns)}", stem, name, item[0][1])
            continue
        for reason, where, detail in problems:
            yield reject(NAME, reason, f"{name}, {where}", detail, part)
        yield reject(NAME, "no-turns", name, "no question with an answer is left of it", part)


def _walk(
    found: list[_Read], refused: list[Rejection], photographs: _Photographs
) -> Iterator[Scene | Rejection]:
    yield from refused
    last = ""
    for read in found:
        record = msgspec.json.decode(read.raw, type=_Record, strict=False)
        turns, problems = pairs(record.conversations)
        for reason, where, detail in problems:
            yield reject(NAME, reason, f"{read.name}, {where}", detail, read.scene_id)
        if read.scene_id == last:
            detail = "the same turns about the same photograph are there already"
            yield reject(NAME, "duplicate-record", read.name, detail, read.scene_id)
            continue
        last = read.scene_id
        image = photographs.of(record.image or "")
        kinds = [kind for start, kind in KINDS.items() if read.file.startswith(start)]
        said: list[Annotation] = [Dialogue(tuple(turns)), *(Note("kind", k) for k in kinds)]
        yield Scene(
            source=NAME,
            id=read.scene_id,
            prefix="LLAVA",
            images=(image,),
            annotations=tuple(said),
            groups=(image.id.removeprefix("LLAVA_IMG_"),),
        )
