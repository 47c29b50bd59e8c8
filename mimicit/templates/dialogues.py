"""A conversation that somebody has written already: its turns, word for word."""

import re
from collections.abc import Iterator

from mimicit.annotations import Dialogue, Note
from mimicit.schema import Exchange, Scene
from mimicit.templates.wording import Choice

_PICTURE = r"(?:the|this) (?:\w+ )?(?:image|picture|photo|photograph|snapshot|scene)"

_DESCRIBE = re.compile(
    r"(?:please )?(?:can you |could you |would you )?(?:please )?(?:"
    rf"(?:describe|portray|narrate|characterize|analyze|explain|examine) {_PICTURE}(?: .*)?"
    r"|(?:(?:write|give|provide|offer|share|compose) an? (?:\w+ ){0,2}(?:description|depiction"
    r"|explanation|analysis|rundown|account|summary)"
    r"|(?:describe|explain|elaborate on|clarify|break down|walk through) the (?:\w+ ){0,2}\w+)"
    rf" of {_PICTURE}(?: .*)?"
    rf"|what(?: do you (?:see|think is)|'s| is) (?:happening|going on) in {_PICTURE}"
    rf"|what are the key elements in {_PICTURE}|what is {_PICTURE} about)",
    re.IGNORECASE,
)
"""Requests for a whole description, as those of LLaVA's detail_23k.json."""


def write(scene: Scene, _choice: Choice) -> Iterator[Exchange]:
    """Give the turns in order.

    A note named `kind` says what sort of questions they are. Where they are of several sorts, notes
    named `turn` say it of each, in the order of the turns. Where nothing says it, a single turn
    that asks for a description is one of `detail`, and all others are conversation.
    """
    notes = [note for note in scene.annotations if isinstance(note, Note)]
    kinds = [note.text for note in notes if note.name == "kind"]
    of_turns = iter([note.text for note in notes if note.name == "turn"])
    for annotation in scene.annotations:
        if isinstance(annotation, Dialogue):
            single = len(annotation.turns) == 1
            for question, answer in annotation.turns:
                likely = "detail" if single and asks_for_all(question) else "conversation"
                kind = next(of_turns, kinds[0] if kinds else likely)
                yield Exchange(question, answer, kind)


def asks_for_all(question: str) -> bool:
    """Tell whether a question is one of the well-known requests to describe a whole picture."""
    return bool(_DESCRIBE.fullmatch(" ".join(question.split()).rstrip(" .?!'")))
