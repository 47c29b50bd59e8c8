"""The media pass: every picture that scenes name is judged before anything is asked about it."""

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mimicit.decoding import Picture, examine_all
from mimicit.errors import SourceError
from mimicit.images import read_unchanged
from mimicit.schema import (
    Annotation,
    Box,
    ImageBytes,
    ImageInfo,
    ImageRef,
    ImageRow,
    Rejection,
    Scene,
)

SAME_SHAPE = 0.02
"""How much the ratio of a picture's sides may differ from the stated one, for rounding."""


@dataclass(slots=True)
class Media:
    """The verdicts on all pictures, and which file each image id stands for.

    Attributes:
        infos: Verdicts by image id.
        places: Which picture of which file an image id was first used for.
        scenes: How many scenes were read.
        rejections: How many records the sources left out.
    """

    infos: dict[str, ImageInfo] = field(default_factory=dict)
    places: dict[str, tuple[object, ...]] = field(default_factory=dict)
    scenes: int = 0
    rejections: int = 0

    @classmethod
    def of(cls, items: Iterable[Scene | Rejection]) -> "Media":
        """Judge every picture of some scenes, each once, on all cores."""
        media = cls()
        for info in examine_all(media._pictures(items)):
            media.infos[info.id] = info
        return media

    def _pictures(self, items: Iterable[Scene | Rejection]) -> Iterator[Picture]:
        for item in items:
            self.rejections += isinstance(item, Rejection)
            if isinstance(item, Scene):
                self.scenes += 1
                for ref in item.images:
                    if ref.id not in self.places:
                        self.places[ref.id] = _place(ref)
                        yield ref.id, ref

    def judged(
        self, items: Iterable[Scene | Rejection]
    ) -> Iterator[tuple[Scene | None, list[Rejection]]]:
        """Give each scene that can be used, fitted to its pictures, and what is turned away.

        Every pass over the scenes goes through here, so that none pays for, or publishes, a scene
        that another one leaves out.

        Raises:
            SourceError: a scene was not there in the media pass.
        """
        seen: set[str] = set()
        for item in items:
            if isinstance(item, Rejection):
                yield None, [item]
                continue
            name = f"{item.prefix}_{item.id}"
            if name in seen:
                detail = "another scene has the same id"
                yield None, [item.reject("annotations", "duplicate-scene", name, detail)]
                continue
            seen.add(name)
            problems = list(self.problems(item))
            yield (None, problems) if problems else self.fit(item)

    def problems(self, scene: Scene) -> Iterator[Rejection]:
        """Say which of a scene's pictures cannot be used, and why.

        Raises:
            SourceError: the scene was not there in the media pass.
        """
        for ref in scene.images:
            if ref.id not in self.infos:
                raise SourceError(f"the files of {scene.source!r} changed while they were read")
            place, info = self.places[ref.id], self.infos[ref.id]
            if place != _place(ref):
                detail = f"{ref.source_ref!r} and {place[1]!r} have the same image id"
                yield scene.reject("media", "image-id-conflict", ref.id, detail)
            elif info.problem:
                yield scene.reject("media", info.problem, ref.id, info.detail)

    def fit(self, scene: Scene) -> tuple[Scene, list[Rejection]]:
        """Give pictures without a stated size their own; drop boxes made for another picture.

        Boxes are in pixels of the picture that was annotated. One that was only scaled since has
        the same ratio of its sides; with another ratio it was cropped or turned, and its boxes
        are wrong.
        """
        refs: list[ImageRef] = []
        rejections: list[Rejection] = []
        annotations: tuple[Annotation, ...] = scene.annotations
        for place, ref in enumerate(scene.images):
            info = self.infos[ref.id]
            real = (info.width, info.height)
            stated = ref.size or real
            refs.append(dataclasses.replace(ref, size=stated))
            if ref.size is None:
                annotations, outside = _cut(annotations, place, real)
                rejections += [
                    scene.reject(
                        "annotations", "empty-box", ref.id, f"{box.label!r} lies outside of {real}"
                    )
                    for box in outside
                ]
            if abs(stated[0] * real[1] / (stated[1] * real[0]) - 1) <= SAME_SHAPE:
                continue
            kept = tuple(a for a in annotations if not (isinstance(a, Box) and a.image == place))
            if len(kept) < len(annotations):
                count = len(annotations) - len(kept)
                detail = f"{count} boxes are for a picture of {stated}, but it is {real}"
                rejections.append(scene.reject("annotations", "size-mismatch", ref.id, detail))
            annotations = kept
        fitted = dataclasses.replace(
            scene,
            images=tuple(refs),
            annotations=annotations,
            vocabulary=() if rejections else scene.vocabulary,
        )
        return fitted, rejections

    def row(self, ref: ImageRef) -> ImageRow:
        """Read a picture for the image store: the bytes that were judged, and no others.

        Raises:
            SourceError: the file is not what it was.
        """
        info = self.infos[ref.id]
        data = read_unchanged(ref, info.sha256)
        return ImageRow(
            image_id=ref.id,
            image=ImageBytes(bytes=data, path=Path(ref.name).name),
            sha256=info.sha256,
            phash=info.phash,
            width=info.width,
            height=info.height,
            format=info.format,
            source_ref=ref.source_ref,
            licence=ref.licence,
        )


def _place(ref: ImageRef) -> tuple[object, ...]:
    return ref.root, ref.name, ref.member, ref.time


def _cut(
    annotations: tuple[Annotation, ...], image: int, size: tuple[int, int]
) -> tuple[tuple[Annotation, ...], list[Box]]:
    """Cut the boxes of one picture to its size; return those that lie outside as well."""
    kept: list[Annotation] = []
    outside: list[Box] = []
    for annotation in annotations:
        if not isinstance(annotation, Box) or annotation.image != image:
            kept.append(annotation)
            continue
        box = annotation.within(size)
        if box is None:
            outside.append(annotation)
        else:
            kept.append(box)
    return tuple(kept), outside
