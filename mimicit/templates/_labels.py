"""Labels of boxes as templates say them: words for one thing, in lower case."""

import re
from dataclasses import replace
from functools import cache

from mimicit import nouns
from mimicit.annotations import Annotation, Box
from mimicit.schema import Scene

_NO_WORDS = re.compile(r"\d|[^\W_]_+[^\W_]")
"""Labels for machines: "n02084071", "HUMAN_FACE"."""


def said(scene: Scene) -> Scene:
    """Give a scene whose labels can be said, and without the boxes whose labels are no words.

    Labels that were looked for in every picture are a source's own, and stay as they are.
    """
    if not any(isinstance(one, Box) for one in scene.annotations):
        return scene
    made = [_said(one, scene) if isinstance(one, Box) else one for one in scene.annotations]
    return replace(scene, annotations=tuple(one for one in made if one is not None))


def _said(box: Box, scene: Scene) -> Annotation | None:
    if box.label in scene.vocabulary:
        return box
    label = _lower(box.label)
    if not label:
        return None
    one = nouns.single(label)
    if not one and label == box.label:
        return box
    return replace(box, label=one or label, crowd=box.crowd or bool(one))


@cache
def _lower(label: str) -> str:
    """Spell a label in lower case, but for letters such as "TV"; "" where it is no words."""
    if _NO_WORDS.search(label):
        return ""
    words = label.split()
    return " ".join(word if len(word) == 2 and word.isupper() else word.lower() for word in words)
