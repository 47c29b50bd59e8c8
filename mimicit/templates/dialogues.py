"""A conversation that somebody has written already: its turns, word for word."""

from collections.abc import Iterator

from mimicit.annotations import Dialogue, Note
from mimicit.schema import Exchange, Scene
from mimicit.templates.wording import Choice


def write(scene: Scene, _choice: Choice) -> Iterator[Exchange]:
    """Give the turns in order; a note named `kind` says what sort of questions they are."""
    kinds = [
        note.text for note in scene.annotations if isinstance(note, Note) and note.name == "kind"
    ]
    for annotation in scene.annotations:
        if isinstance(annotation, Dialogue):
            for question, answer in annotation.turns:
                yield Exchange(question, answer, kinds[0] if kinds else "conversation")
