"""COCO: photographs with captions and boxes, one scene a photograph.

Reads a captions file, an instances file, or both, and joins them by image id: a picture with only
captions, or only boxes, is a scene all the same.
"""

import math
import os
from collections.abc import Iterator
from dataclasses import field
from pathlib import Path
from typing import cast

import msgspec

from mimicit.annotations import Box, Caption
from mimicit.errors import SourceError, UsageError
from mimicit.generators import generator
from mimicit.generators._coco_files import (
    MAX_SIDE,
    AnnotationFile,
    AnnotationRecord,
    Id,
    Picture,
    by_scene,
    category_names,
    find_official,
    merge_images,
    plain_id,
    read_file,
)
from mimicit.progress import Counted
from mimicit.schema import ImageRef, Rejection, Scene

PLAIN_NAMES: dict[tuple[Id, str], str] = {
    (37, "sports ball"): "ball",
    (67, "dining table"): "table",
    (72, "tv"): "TV",
    (74, "mouse"): "computer mouse",
    (75, "remote"): "remote control",
    (89, "hair drier"): "hair dryer",
}
"""What a person calls the official categories whose names read like labels, by (id, name)."""

_BBOX = msgspec.json.Decoder(tuple[float, float, float, float], strict=False)

Folder = tuple[Path, str]
"""A trusted root, and a folder below it in which pictures are looked for."""


@generator(
    prefix="LA",
    link="similar-text",
    origin=(
        "COCO's captions and instances are annotations_trainval2017.zip, its photographs "
        "train2017.zip and val2017.zip, from https://cocodataset.org/#download; unpack them "
        "side by side, so that there are DIR/annotations/*.json and DIR/val2017/*.jpg."
    ),
)
class Coco:
    """COCO photographs with captions and boxes.

    Official files: https://cocodataset.org/#download (annotations CC BY 4.0; photographs under
    the licence each names). Any dataset in the same layout will do.
    """

    root: Path | None = field(default=None, metadata={"help": "Directory in the official layout."})
    split: str = field(default="", metadata={"help": "Which split of it, such as val2017."})
    captions: Path | None = field(default=None, metadata={"help": "A captions file."})
    instances: Path | None = field(default=None, metadata={"help": "An instances file."})
    images: Path | None = field(default=None, metadata={"help": "Directory of the photographs."})
    exhaustive: bool = field(
        default=True,
        metadata={
            "help": "Whether every category was looked for in every picture, as in COCO, so that "
            "one without a box is absent. Say false for partly labelled data."
        },
    )

    def scenes(self) -> Iterator[Scene | Rejection]:
        """Yield one scene a picture, by ascending id, and the records that were left out."""
        paths, split = self._annotation_files()
        folders = self._folders(split)
        files = [read_file(path) for path in paths]
        pictures, lost = merge_images(files)
        refused = [
            _reject(scene, "malformed-record", record, detail)
            for content in files
            for scene, record, detail in content.broken
        ]
        for scene_id, said in lost:
            detail = f"{pictures[scene_id].file_name!r} has the same image id, and stays"
            refused.append(_reject(scene_id, "duplicate-image-id", said, detail))
        return Counted(self._walk(files, pictures, refused, folders), len(pictures))

    def _annotation_files(self) -> tuple[list[Path], str]:
        paths = [path for path in (self.captions, self.instances) if path]
        for path in paths:
            if not path.is_file():
                raise SourceError(f"no annotation file {str(path)!r}")
        if paths:
            return paths, self.split
        if self.root is None:
            raise UsageError("coco: name --root DIR, or -o captions=FILE, or -o instances=FILE")
        return find_official(self.root, self.split)

    def _folders(self, split: str) -> list[Folder]:
        """List where pictures may stand: the first that has a picture is where it is read."""
        root = self.images or self.root
        if root is None:
            raise UsageError("coco: say where the photographs are: -o images=DIR or --root DIR")
        if not root.is_dir():
            raise SourceError(f"no directory {str(root)!r}")
        names = [""] if self.images else [split, f"images/{split}", "images", ""]
        folders = [name for name in dict.fromkeys(names) if (root / name).is_dir()]
        return [_trusted(root, name) for name in folders]

    def _walk(
        self,
        files: list[AnnotationFile],
        pictures: dict[str, Picture],
        refused: list[Rejection],
        folders: list[Folder],
    ) -> Iterator[Scene | Rejection]:
        """Merge pictures and annotations, both by ascending scene id."""
        yield from refused
        names = category_names(files)
        categories = {id_: PLAIN_NAMES.get((id_, name), name) for id_, name in names.items()}
        doubted = {scene_id for content in files for scene_id, _, _ in content.broken}
        partly = any(picture.federated for picture in pictures.values())
        looked_for = (
            () if partly or not self.exhaustive else tuple(sorted({*categories.values()} - {""}))
        )
        annotated = by_scene(files)
        following = next(annotated, None)
        for scene_id in sorted(pictures):
            while following and following[0] < scene_id:
                yield from _orphans(*following)
                following = next(annotated, None)
            records: list[AnnotationRecord] = []
            if following and following[0] == scene_id:
                records = following[1]
                following = next(annotated, None)
            sure = () if scene_id in doubted else looked_for
            yield from _read_scene(scene_id, pictures[scene_id], records, categories, sure, folders)
        while following:
            yield from _orphans(*following)
            following = next(annotated, None)


def _read_scene(  # noqa: PLR0913  # what one picture is made of
    scene_id: str,
    picture: Picture,
    records: list[AnnotationRecord],
    categories: dict[Id, str],
    looked_for: tuple[str, ...],
    folders: list[Folder],
) -> Iterator[Scene | Rejection]:
    """Make the scene of one picture, after the records of it that say nothing."""
    if not scene_id:
        yield _reject("", "no-image-id", picture.file_name, "the image entry has an empty id")
        return
    if not picture.file_name.strip():
        yield _reject(scene_id, "no-file-name", scene_id, "the image entry has no file_name")
        return
    captions: dict[str, Caption] = {}
    boxes: list[Box] = []
    for record in _in_order(records):
        problems = []
        if record.caption is not None:
            problems.append(_add_caption(captions, record.caption))
        if record.category_id is not None or bytes(record.bbox):
            problem = _add_box(boxes, record, categories, picture.size)
            if problem:  # something is there that is not known: nothing is known to be absent
                looked_for = ()
            problems.append(problem)
        elif record.caption is None:
            problems.append("no-content: neither a caption nor a category")
        for problem in filter(None, problems):
            reason, _, detail = problem.partition(": ")
            yield _reject(scene_id, reason, f"annotation {record.id}", detail)
    root, name = _place(picture.file_name, folders)
    yield Scene(
        source="coco",
        id=scene_id,
        prefix="LA",
        images=(
            ImageRef(
                id=f"LA_IMG_{scene_id}",
                root=str(root),
                name=name,
                size=picture.size,
                licence=picture.licence,
            ),
        ),
        annotations=(*captions.values(), *boxes),
        groups=(scene_id,),
        vocabulary=looked_for if picture.boxed and boxes else (),
    )


def _trusted(root: Path, name: str) -> Folder:
    """Trust a folder that the user has linked into the root from elsewhere as a root of its own."""
    inside = (root / name).resolve().is_relative_to(root.resolve())
    return (root, name) if inside else ((root / name).resolve(), "")


def _place(file_name: str, folders: list[Folder]) -> tuple[Path, str]:
    """Choose the first folder that has the picture, or the first if none has.

    Whether the name stays below the root is not judged here but wherever it is opened.
    """
    if file_name.startswith(("/", "\\")):
        return folders[0][0], file_name
    root, folder = folders[0]
    if len(folders) > 1:
        plain = file_name.replace("\\", "/")
        # Unlike `Path.exists` it raises nothing, and takes a third of the time.
        there = (f for f in folders if os.path.exists(f"{f[0]}/{f[1]}/{plain}"))  # noqa: PTH110
        root, folder = next(there, folders[0])
    return root, f"{folder}/{file_name}" if folder else file_name


def _add_caption(captions: dict[str, Caption], raw: str) -> str:
    """Keep a caption with its white space mended, or say why not."""
    text = " ".join(raw.split())
    if not text:
        return "empty-caption: no text"
    key = text.casefold().rstrip(". ")
    if key in captions:
        return f"duplicate-caption: {text!r} stands there already"
    captions[key] = Caption(text)
    return ""


def _add_box(
    boxes: list[Box],
    record: AnnotationRecord,
    categories: dict[Id, str],
    size: tuple[int, int] | None,
) -> str:
    """Keep a box, cut to the picture where its size is known, or say why not."""
    category = None if record.category_id is None else plain_id(record.category_id)
    label = "" if category is None else categories.get(category, "")
    if not label:
        return f"unknown-category: category_id {record.category_id} is not in `categories`"
    if not bytes(record.bbox):
        return "no-box: no bbox"
    try:
        x, y, width, height = _BBOX.decode(record.bbox)
    except msgspec.ValidationError as error:
        return f"malformed-box: bbox is not [x, y, width, height]: {error}"
    if not (width > 0 and height > 0 and math.isfinite(x + y + width * height)):
        return f"empty-box: {bytes(record.bbox).decode()} covers nothing"
    area = None
    if record.area and 0 < record.area < MAX_SIDE**2:
        area = float(record.area)
    whole = Box(label, x, y, width, height, area, crowd=bool(record.iscrowd))
    box = whole.within(size) if size else whole
    if box is None:
        return f"empty-box: {bytes(record.bbox).decode()} covers nothing of the picture"
    boxes.append(box)
    return ""


def _in_order(records: list[AnnotationRecord]) -> list[AnnotationRecord]:
    """Sort a picture's records by id, then by content, whatever the order of the file."""
    numbers = {record.id for record in records if isinstance(record.id, int)}
    if len(numbers) == len(records):  # the usual case: different numbers
        return sorted(records, key=lambda r: cast("int", r.id))
    return sorted(records, key=_record_order)


def _record_order(record: AnnotationRecord) -> tuple[bool, int, str, bytes, str]:
    number = record.id if isinstance(record.id, int) else 0
    text = record.caption or ""
    rest = f"{record.id} {record.category_id} {record.area} {record.iscrowd}"
    return (isinstance(record.id, str), number, text, bytes(record.bbox), rest)


def _orphans(scene_id: str, records: list[AnnotationRecord]) -> Iterator[Rejection]:
    for record in _in_order(records):
        detail = "its image_id is not in `images`"
        yield _reject(scene_id, "unknown-image", f"annotation {record.id}", detail)


def _reject(scene_id: str, reason: str, record: str, detail: str) -> Rejection:
    return Rejection(
        scene_id=scene_id,
        source="coco",
        stage="annotations",
        reason=reason,
        record=record,
        detail=detail,
    )
