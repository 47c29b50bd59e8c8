"""Boxes and times against their pictures and videos, whose true sizes and lengths are known now."""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mimicit.annotations import Annotation, Box, Narration, Note, Segment
from mimicit.schema import ImageInfo, ImageRef, Rejection, Scene

SAME_SHAPE = 0.02
"""How much the ratio of a picture's sides may differ from the stated one, for rounding."""

EDGE = 1.0
"""Pixels by which a box may reach over the edge of its picture, for rounding."""

SAME_LENGTH = 1.0
"""Seconds by which a video may differ from its stated length: sound may outlast the frames."""

ROUNDING = 0.01
"""Seconds by which times may run over the stated length, which is rounded to hundredths."""

_BESIDE = {"narrator": Narration, "evidence": Segment}
"""Notes of which there is one for each of such annotations, in their order."""


@dataclass(frozen=True, slots=True)
class FrameVerdict(ImageInfo):
    """The verdict on a frame of a video.

    Attributes:
        video_length: Seconds to the end of the video's last frame.
    """

    video_length: float = 0.0


def fit_boxes(scene: Scene, infos: Sequence[ImageInfo]) -> tuple[Scene, list[Rejection]]:
    """Give pictures without a stated size their own; drop what was made for another picture.

    Boxes are in pixels of the picture that was annotated. One that was only scaled since has
    the same ratio of its sides; with another ratio it was cropped or turned, and its boxes
    are wrong. What is told of times after the end of a video is dropped as well.

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
            annotations, problems = _cut(annotations, place, real)
            rejections += [
                scene.reject("annotations", reason, ref.id, detail) for reason, detail in problems
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
    lengths = {info.video_length for info in infos if isinstance(info, FrameVerdict)}
    if len(lengths) != 1:  # of several videos, which one is meant is not said
        return fitted, rejections
    fitted, late = _fit_times(fitted, lengths.pop())
    return fitted, [*rejections, *late]


def cut_boxes(boxes: Sequence[Box], size: tuple[int, int]) -> Iterator[Box | tuple[str, str]]:
    """Cut the boxes of one picture to its size; of those that cannot be, say (reason, detail).

    A box that reaches over the edge was taken for another: [left, top, right, bottom]. Where all
    boxes of a picture can be read like that, and one of them only like that, all are doubted.

    Args:
        boxes: All of the picture.
        size: (width, height) of the picture they were drawn on.
    """
    over = [_reaches_over(box, size) for box in boxes]
    corners = any(over) and all(_could_be_corners(box, size) for box in boxes)
    for box, outside in zip(boxes, over, strict=True):
        spelled = f"{box.label!r} {[box.x, box.y, box.width, box.height]}"
        inside = box.within(size)
        if inside is None and not corners:
            yield "empty-box", f"{spelled} covers nothing of the picture of {size}"
        elif inside is None or outside or corners:
            what = "reaches over" if outside else "is like one that reaches over"
            asked = "[left, top, right, bottom]? width and height are meant"
            yield "other-boxes", f"{spelled} {what} the edge of the picture of {size}: {asked}"
        else:
            yield inside


def _reaches_over(box: Box, size: tuple[int, int]) -> bool:
    right, bottom = box.x + box.width, box.y + box.height
    return max(-box.x, -box.y, right - size[0], bottom - size[1]) > EDGE


def _could_be_corners(box: Box, size: tuple[int, int]) -> bool:
    """Tell whether what is given as width and height may be the right and the bottom edge."""
    across = 0 <= box.x < box.width <= size[0] + EDGE
    return across and 0 <= box.y < box.height <= size[1] + EDGE


def _cut(
    annotations: tuple[Annotation, ...], image: int, size: tuple[int, int]
) -> tuple[tuple[Annotation, ...], list[tuple[str, str]]]:
    """Cut the boxes of one picture to its size; say as well what is wrong with the others."""
    boxes = [a for a in annotations if isinstance(a, Box) and a.image == image]
    if not boxes:
        return annotations, []
    made = list(cut_boxes(boxes, size))
    following = iter(made)
    fitted = [
        next(following) if isinstance(a, Box) and a.image == image else a for a in annotations
    ]
    kept = tuple(one for one in fitted if not isinstance(one, tuple))
    return kept, [one for one in made if isinstance(one, tuple)]


# ---------------------------------------------------------------------- times


def _fit_times(scene: Scene, length: float) -> tuple[Scene, list[Rejection]]:
    """Cut what is told of a video to its length, and turn away what begins after its end.

    A stated length that is about the true one holds: whoever stated it cut the times to it.
    """
    told = scene.annotations
    stated = [seconds for a in told if (seconds := _stated_length(a)) is not None]
    agreeing = [seconds for seconds in stated if abs(seconds - length) <= SAME_LENGTH]
    end = agreeing[0] if agreeing else length
    late = _late(told, end)
    kept: list[Annotation] = []
    problems: list[str] = []
    for place, one in enumerate(told):
        if place in late:
            if isinstance(one, Segment | Narration):
                when = f"at {_begins(one):.12g} s begins {one.text!r}"
                problems.append(f"{when}, after the end of the video at {length:.3f} s")
        elif isinstance(one, Segment) and one.end > end + ROUNDING:
            kept.append(dataclasses.replace(one, end=end))
        elif isinstance(one, Note) and _stated_length(one) is not None and not agreeing:
            problems.append(
                f"its stated length is {one.text} s, but the video takes {length:.3f} s"
            )
            kept.append(Note("duration", f"{round(length, 2):.12g}"))
        else:
            kept.append(one)
    rejections = [scene.reject("annotations", "bad-times", scene.id, why) for why in problems]
    return dataclasses.replace(scene, annotations=tuple(kept)), rejections


def _stated_length(one: Annotation) -> float | None:
    """Give the seconds that a source says its video takes, where this is what it says."""
    if not (isinstance(one, Note) and one.name == "duration"):
        return None
    try:
        return float(one.text)
    except ValueError:
        return None


def _late(told: Sequence[Annotation], end: float) -> set[int]:
    """List the places of what begins after the end, and of the notes beside it."""
    late: set[int] = set()
    for name, kind in _BESIDE.items():
        items = [n for n, one in enumerate(told) if isinstance(one, kind)]
        notes = [n for n, one in enumerate(told) if isinstance(one, Note) and one.name == name]
        beside = notes if len(notes) == len(items) else items
        for item, note in zip(items, beside, strict=True):
            if _begins(told[item]) >= end:
                late |= {item, note}
    return late


def _begins(one: Annotation) -> float:
    if isinstance(one, Segment):
        return one.start
    return one.time if isinstance(one, Narration) else 0.0
