"""Boxes against the pictures they were drawn on, whose true sizes are known by now."""

import dataclasses
from collections.abc import Sequence

from mimicit.annotations import Annotation, Box
from mimicit.schema import ImageInfo, ImageRef, Rejection, Scene

SAME_SHAPE = 0.02
"""How much the ratio of a picture's sides may differ from the stated one, for rounding."""


def fit_boxes(scene: Scene, infos: Sequence[ImageInfo]) -> tuple[Scene, list[Rejection]]:
    """Give pictures without a stated size their own; drop boxes made for another picture.

    Boxes are in pixels of the picture that was annotated. One that was only scaled since has
    the same ratio of its sides; with another ratio it was cropped or turned, and its boxes
    are wrong.

    Args:
        scene: What is to be fitted.
        infos: The verdicts on its pictures, in order, all of them good.
    """
    refs: list[ImageRef] = []
    rejections: list[Rejection] = []
    annotations: tuple[Annotation, ...] = scene.annotations
    for place, (ref, info) in enumerate(zip(scene.images, infos, strict=True)):
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
