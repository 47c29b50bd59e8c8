"""A conversation that somebody has written already: its turns, word for word."""

from collections.abc import Iterator

from mimicit.annotations import Dialogue, Note
from mimicit.schema import Exchange, Scene
from mimicit.templates.wording import Choice


def write(scene: Scene, _choice: Choice) -> Iterator[Exchange]:
    """Give the turns in order.

    A note named `kind` says what sort of questions they are. Where they are of several sorts, notes
    named `turn` say it of each, in the order of the turns.
    """
    notes = [note for note in scene.annotations if isinstance(note, Note)]
    kinds = [note.text for note in notes if note.name == "kind"]
    of_turns = iter([note.text for note in notes if note.name == "turn"])
    for annotation in scene.annotations:
        if isinstance(annotation, Dialogue):
            for question, answer in annotation.turns:
                kind = next(of_turns, kinds[0] if kinds else "conversation")
                yield Exchange(question, answer, kind)
