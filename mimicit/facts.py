"""What the boxes and captions of a picture support, and nothing beyond it.

A careful reader objects to a count when some of the things are cut off or stand for a crowd, to
"the dog" when there may be two, and to "on the left" when it is nearly in the middle. Such doubts
are settled here, once, so that the templates only have to find words.
"""

import re
from dataclasses import dataclass, replace
from typing import Literal

from mimicit import nouns
from mimicit.annotations import Box, Caption
from mimicit.checks import text_problem
from mimicit.schema import Scene

Count = Literal["exact", "at least", "unknown"]
Region = tuple[float, float, float, float]
"""(left, top, right, bottom) as fractions of the picture's sides."""

NUMBER_WORDS = {
    word: value
    for value, words in {
        1: "one 1 single",
        2: "two 2 couple pair both",
        3: "three 3 trio",
        4: "four 4",
        5: "five 5",
        6: "six 6",
        7: "seven 7",
        8: "eight 8",
        9: "nine 9",
        10: "ten 10",
        12: "dozen twelve 12",
    }.items()
    for word in words.split()
}


@dataclass(frozen=True, slots=True)
class Thing:
    """All that is known of one label in one picture. Fractions are of the picture's sides.

    Attributes:
        label: What it is.
        count: Boxes, crowds left out.
        certainty: Whether `count` is all there are, a lower bound, or contradicted.
        crowd: A box stands for a group.
        share: Part of the picture that its boxes cover, overlaps counted twice.
        smallest: Part of the picture that its smallest box covers.
        only: Where the one box lies, if it is beyond doubt the only one.
        mask_share: Like `share`, of the pixels that belong to it, where the source knows them.
    """

    label: str
    count: int
    certainty: Count
    crowd: bool
    share: float
    smallest: float
    only: Region | None
    mask_share: float


def words_of(text: str) -> list[str]:
    """Split text into lower-case words."""
    return re.findall(r"[a-z0-9]+(?:[-'][a-z0-9]+)*", text.lower())


def best_captions(scene: Scene, image: int = 0) -> list[str]:
    """Order a picture's captions by how much they agree with all else: the best witness first.

    One that names a thing that was looked for and has no box ("an elephant using his truck") is
    doubted. Those that say nothing of the picture come last, so that they are used, and then
    rejected with their reason, only if there is nothing else.
    """
    captions = [a for a in scene.annotations if isinstance(a, Caption) and a.image == image]
    bags = [set(words_of(caption.text)) for caption in captions]
    boxed = {a.label for a in scene.annotations if isinstance(a, Box) and a.image == image}
    absent = set(scene.vocabulary) - boxed
    unseen = absent | {nouns.many(label) for label in absent}

    def agreement(index: int) -> float:
        mine = bags[index]
        others = [len(mine & bag) / max(1, len(mine | bag)) for bag in bags if bag is not mine]
        return sum(others) / max(1, len(others)) - 0.2 * len(mine & unseen)

    order = sorted(
        range(len(captions)),
        key=lambda i: (bool(text_problem(captions[i].text)), -agreement(i), captions[i].text),
    )
    return [tidy(captions[i].text) for i in order]


def tidy(text: str) -> str:
    """Mend a caption's white space, its first letter and its full stop, and nothing else."""
    text = _unquoted(" ".join(text.split()))
    text = re.sub(r"\s+([.,;:!?])", r"\1", text)
    text = text.rstrip(".") + "." if text.endswith("..") else text.rstrip(",;:- ")
    if text.isupper() and len(text) > 12:
        text = text.lower()
    text = text[:1].upper() + text[1:]
    return text if not text or text.rstrip('"')[-1:] in {".", "!", "?"} else text + "."


_APOSTROPHE = re.compile(r"(?<=\w)'(?=\w)|(?<=s)'")
"""What is no quotation mark."""


def _unquoted(text: str) -> str:
    """Take off quotation marks that stand around a whole text, and one that has no other."""
    for mark in ('"', "'"):
        start, end = text.startswith(mark), text.rstrip(". ").endswith(mark)
        count = (text if mark == '"' else _APOSTROPHE.sub("", text)).count(mark)
        if (start and end and count == 2) or (start != end and count == 1):
            text = text.removeprefix(mark)
            text = text[: text.rindex(mark)] if end else text
    return text.strip() if text.strip("\"' ") else ""


def things(scene: Scene, image: int = 0) -> list[Thing]:
    """Gather what is known of each label in one picture, the most prominent first.

    The picture's size must be known (`ImageRef.size`); without one there are no things.
    """
    size = scene.images[image].size
    if size is None:
        return []
    captions = [
        words_of(a.text) for a in scene.annotations if isinstance(a, Caption) and a.image == image
    ]
    by_label: dict[str, list[Box]] = {}
    for annotation in scene.annotations:
        if isinstance(annotation, Box) and annotation.image == image:
            by_label.setdefault(annotation.label, []).append(annotation)
    found = [_thing(label, boxes, size, captions, scene) for label, boxes in by_label.items()]
    spoken = frozenset(word for words in captions for word in words)
    found = [
        replace(t, certainty="unknown", only=None) if _mistaken(t.label, by_label, spoken) else t
        for t in found
    ]
    return sorted(found, key=lambda t: (-t.share, t.label))


def _thing(
    label: str, boxes: list[Box], size: tuple[int, int], captions: list[list[str]], scene: Scene
) -> Thing:
    single = [box for box in boxes if not box.crowd]
    crowd = len(single) < len(boxes)
    singles, plurals = nouns.words_for(label)
    several_said = any(set(words) & plurals for words in captions)
    doubled = any(
        _overlap(a, b) > 0.7 or (label != "person" and _nested(a, b))
        for i, a in enumerate(single)
        for b in single[:i]
    )
    certainty: Count = "exact"
    if (
        crowd
        or len(single) > 6
        or not scene.vocabulary
        or any(_cut_off(box, size) for box in single)
    ):
        certainty = "at least"
    names = frozenset() if label in nouns.PAIRS else singles | plurals  # "a pair of" is no number
    said = {n for words in captions for n in _numbers_before(words, names)}
    contradicted = (
        said - {len(single)} if certainty == "exact" else {n for n in said if n < len(single)}
    )
    if len(single) > 1 and said == {len(single)} and not crowd:
        certainty = "exact"
    if doubled or contradicted or (len(single) == 1 and several_said):
        certainty = "unknown"
    only = None
    if len(single) == 1 and not crowd and certainty != "unknown":
        box = single[0]
        only = (
            box.x / size[0],
            box.y / size[1],
            (box.x + box.width) / size[0],
            (box.y + box.height) / size[1],
        )
    pixels = size[0] * size[1]
    return Thing(
        label=label,
        count=len(single),
        certainty=certainty,
        crowd=crowd,
        share=sum(box.width * box.height for box in boxes) / pixels,
        only=only,
        smallest=min((box.width * box.height for box in single), default=0.0) / pixels,
        mask_share=sum(box.area or box.width * box.height for box in boxes) / pixels,
    )


def _mistaken(label: str, by_label: dict[str, list[Box]], spoken: frozenset[str]) -> bool:
    """Doubt a label that no caption bears out, where what it is easily taken for is boxed too."""
    if nouns.speaks_of(spoken, label):
        return False
    rivals = [other for other in by_label if other != label and other in nouns.lookalikes(label)]
    if any(
        _overlap(a, b) > 0.7 for other in rivals for b in by_label[other] for a in by_label[label]
    ):
        return True
    return bool(rivals and spoken) and label not in nouns.OVERLOOKED


def absent(scene: Scene, found: list[Thing], image: int = 0) -> list[str]:
    """List labels that were looked for and are not there, beyond a careful reader's doubt.

    Args:
        scene: The scene.
        found: What is known of the picture's things.
        image: The picture's place in the scene.
    """
    if scene.images[image].size is None:  # nothing is known of its things
        return []
    spoken = frozenset(
        word
        for a in scene.annotations
        if isinstance(a, Caption) and a.image == image
        for word in words_of(a.text)
    )
    doubtful = frozenset().union(*(nouns.lookalikes(thing.label) for thing in found))
    doubtful |= nouns.MASS | nouns.PAIRS | nouns.OVERLOOKED
    return [
        label
        for label in scene.vocabulary
        if label not in doubtful and not nouns.speaks_of(spoken, label)
    ]


def _cut_off(box: Box, size: tuple[int, int]) -> bool:
    """Tell whether a box touches the picture's edge, so that part of the thing is outside."""
    margin_x, margin_y = 0.005 * size[0], 0.005 * size[1]
    return (
        box.x <= margin_x
        or box.y <= margin_y
        or box.x + box.width >= size[0] - margin_x
        or box.y + box.height >= size[1] - margin_y
    )


def _shared(a: Box, b: Box) -> float:
    """Area that two boxes have in common, in pixels."""
    width = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
    height = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
    return max(width, 0.0) * max(height, 0.0)


def _overlap(a: Box, b: Box) -> float:
    """Intersection over union of two boxes."""
    inner = _shared(a, b)
    return inner / (a.width * a.height + b.width * b.height - inner)


def _nested(a: Box, b: Box) -> bool:
    """Tell whether one of two boxes lies almost wholly inside of the other."""
    return _shared(a, b) > 0.85 * min(a.width * a.height, b.width * b.height)


def _numbers_before(words: list[str], names: frozenset[str]) -> set[int]:
    """Collect the numbers said of a thing, up to three words before its name; 99 if vague."""
    said = set()
    for index, word in enumerate(words):
        if word in names:
            for before in words[max(0, index - 3) : index]:
                if before in NUMBER_WORDS:
                    said.add(NUMBER_WORDS[before])
                elif before in nouns.VAGUE:
                    said.add(99)
    return said


def place(box: Region) -> str:
    """Say in which part of the picture a box lies, or "" where that would be a guess."""
    across = _part(box[0], box[2], ("left", "right"))
    down = _part(box[1], box[3], ("upper", "lower"))
    if across in {"left", "right"}:
        if down in {"upper", "lower"}:
            return f"in the {down} {across} part of the picture"
        return f"on the {across} side of the picture"
    if across == "middle" and down == "middle" and box[2] - box[0] < 0.7:
        return "in the middle of the picture"
    if across == "middle" and down in {"upper", "lower"}:
        return f"in the {down} part of the picture"
    return ""


def _part(start: float, end: float, names: tuple[str, str]) -> str:
    """Name the part of one side that a stretch lies in: the first, the second or the middle."""
    centre = (start + end) / 2
    if end <= 0.56 and centre < 0.38:
        return names[0]
    if start >= 0.44 and centre > 0.62:
        return names[1]
    return "middle" if 0.41 <= centre <= 0.59 else ""
