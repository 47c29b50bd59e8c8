"""How COCO calls its photographs and what is in them: https://cocodataset.org/#explore."""

import re

from mimicit.names import escape_id

_COCO = re.compile(
    r"(?:(?:coco/)?(?:images/)?(?:train|val|test)20\d\d/)?"
    r"(?:COCO_(?:train|val|test)20\d\d_)?(\d{12})\.jpg"
)
_DIGITS = 12

LABELS = frozenset(
    (
        *("airplane", "apple", "backpack", "banana", "baseball bat", "baseball glove", "bear"),
        *("bed", "bench", "bicycle", "bird", "boat", "book", "bottle", "bowl", "broccoli", "bus"),
        *("cake", "car", "carrot", "cat", "cell phone", "chair", "clock", "couch", "cow", "cup"),
        *("dining table", "dog", "donut", "elephant", "fire hydrant", "fork", "frisbee"),
        *("giraffe", "hair drier", "handbag", "horse", "hot dog", "keyboard", "kite", "knife"),
        *("laptop", "microwave", "motorcycle", "mouse", "orange", "oven", "parking meter"),
        *("person", "pizza", "potted plant", "refrigerator", "remote", "sandwich", "scissors"),
        *("sheep", "sink", "skateboard", "skis", "snowboard", "spoon", "sports ball"),
        *("stop sign", "suitcase", "surfboard", "teddy bear", "tennis racket", "tie", "toaster"),
        *("toilet", "toothbrush", "traffic light", "train", "truck", "tv", "umbrella", "vase"),
        *("wine glass", "zebra"),
    )
)
"""All eighty. Every one was looked for in every photograph that has instances."""


def image_part(name: str) -> str:
    """Spell a photograph's name for ids: the twelve digits of COCO's, else the path, escaped.

    `COCO_val2014_000000525439.jpg` and `000000525439.jpg` are one photograph of COCO.
    """
    coco = _COCO.fullmatch(name)
    if coco:
        return coco[1]
    text = escape_id(name)
    # what only looks like COCO's digits is told apart by an escaped first letter
    plain = len(text) == _DIGITS and text.isdigit()
    return f"~{ord(text[0]):x}~{text[1:]}" if plain else text


def is_coco(name: str) -> bool:
    """Tell whether a file's name is one that COCO gives to its photographs."""
    return bool(_COCO.fullmatch(name))
