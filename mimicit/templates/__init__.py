"""The embedded teacher: questions and answers written by rule from typed annotations, for free.

One file a kind of scene, and its words, where it needs any, in the file of the same name in
`prompts/templates/`.
"""

from collections.abc import Callable, Iterator

from mimicit.annotations import (
    Annotation,
    Box,
    Caption,
    Dialogue,
    Difference,
    Narration,
    Segment,
    Story,
    Utterance,
)
from mimicit.schema import Exchange, Scene
from mimicit.templates import (
    _labels,
    dialogues,
    differences,
    narrations,
    pairs,
    pictures,
    rooms,
    segments,
    stories,
    wording,
)
from mimicit.templates.wording import Choice

NAME = "templates"
"""Teacher id of what is written here."""

Writer = Callable[[Scene, Choice], Iterator[Exchange]]

WRITERS: dict[str, tuple[type[Annotation] | None, Writer]] = {
    "dialogues": (Dialogue, dialogues.write),
    "segments": (Segment, segments.write),
    "narrations": (Narration, narrations.write),
    "differences": (Difference, differences.write),
    "stories": (Story, stories.write),
    "rooms": (Utterance, rooms.write),
    "pictures": (None, pictures.write),
    "pairs": (None, pairs.write),
}
"""What writes about a scene, by the name of its wording: the first that has such an annotation.

Captions and boxes of several pictures are for `pairs`.
"""


SILENCES: dict[str, Callable[[Scene], str]] = {
    "segments": segments.silence,
    "narrations": narrations.silence,
    "differences": differences.silence,
}
"""What says why nothing is written about a scene, for templates that can."""


ENGLISH = frozenset({"en", "eng"})
"""Languages that templates ask in."""


def _writer(scene: Scene) -> str:
    kinds = {type(annotation) for annotation in scene.annotations}
    if scene.language not in ENGLISH:
        return "dialogues"  # whose words are all its own
    name = next(name for name, (kind, _) in WRITERS.items() if kind is None or kind in kinds)
    several = len(scene.images) > 1 and not kinds.isdisjoint({Caption, Box})
    return "pairs" if name == "pictures" and several else name


def write(scene: Scene, seed: int) -> list[Exchange]:
    """Write all exchanges that a scene's annotations support, in a fixed order of kinds.

    Of text that is not English only conversations are given, as they are.

    Args:
        scene: A scene whose pictures have been judged.
        seed: Varies the wording and the choice among things that could be asked.
    """
    _, writer = WRITERS[_writer(scene)]
    return list(writer(_labels.said(scene), Choice(seed, scene)))


def silence(scene: Scene) -> str:
    """Say why nothing is written about a scene."""
    if not scene.annotations:
        return (
            "it has no description, and templates do not see; a model that does can be asked: "
            "--teacher openai"
        )
    if scene.language not in ENGLISH:
        return (
            f"its language is {scene.language!r}, and templates ask in English; a model can be "
            "asked: --teacher openai"
        )
    if not _labels.said(scene).annotations:
        return "its labels are no words that can be said"
    say = SILENCES.get(_writer(scene))
    return say(scene) if say else "no annotation supports a question"


def wording_sha256(scene: Scene) -> str:
    """Return the digest of the wording of a scene's exchanges; "" where all words are its own."""
    return wording.sha256(_writer(scene))
