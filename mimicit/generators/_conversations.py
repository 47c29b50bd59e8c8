"""Conversations in LLaVA's form: turns of a human and of a model, each with its text."""

import re
from collections.abc import Iterable, Sequence

import msgspec

USERS = frozenset({"human", "user"})
MODELS = frozenset({"gpt", "assistant"})

Problem = tuple[str, str, str]
"""(reason, which turn, what was found)"""

_IMAGE = re.compile(r"\s*<image>\s*", re.IGNORECASE)
_LINE_END = re.compile(r"[ \t]+\n")
_LEANS = re.compile(
    r"^\W*(and|but|so|then|why|how so|which one|what about|how about|what else)\b\W"
    r"|\b(else|another|others?|he|she|they|them|his|her|hers|their|theirs|its|him)\b"
    r"|\bit\b(?! (?:be|seem|look|appear|possible|likely|safe|true|raining|snowing|sunny))"
    r"|\bthis\b(?!\W*$| (?:\w+ )?(?:image|picture|photo|photograph|scene|view)\b)"
    r"|\b(that|these|those)\b(?! (?:\w+ )?(?:images|pictures|photos|photographs)\b)"
    r"|^\W*(\w+\W+){0,2}$",
    re.IGNORECASE,
)
"""Questions that are understood only by those who heard what was said before."""


class Turn(msgspec.Struct, gc=False, rename={"role": "from"}):
    """One turn as the file has it."""

    role: str
    value: str


_TURN = msgspec.json.Decoder(Turn)


def clean(text: str) -> str:
    """Take out the image token with the white space around it, and what hangs at lines' ends.

    A quotation mark that the official questions have by mistake ("What is this about'?") goes too.
    """
    if "<" in text:  # looking first takes a tenth of the time, and most texts have nothing of it
        text = _IMAGE.sub(" ", text)
    if "\n" in text or "\r" in text:
        text = _LINE_END.sub("\n", text.replace("\r\n", "\n").replace("\r", "\n"))
    text = text.strip()
    return f"{text[:-2]}?" if text.endswith("about'?") else text


def exchanges(turns: Iterable[tuple[str, str]]) -> tuple[list[tuple[str, str]], list[Problem]]:
    """Pair each question with the answer that follows it, or say why it is left out.

    A question that leans on one that was left out ("Why is it there?") is left out as well.

    Args:
        turns: (question, answer) as written; "" where there is none.
    """
    kept: list[tuple[str, str]] = []
    problems: list[Problem] = []
    lost = False
    for number, (asked, answered) in enumerate(turns, 1):
        question, answer = clean(asked), clean(answered)
        where = f"turn {number}"
        if not question or not answer:
            missing = "question" if not question else "answer"
            problems.append(("empty-turn", where, f"no {missing}: {question or answer!r}"))
        elif lost and _LEANS.search(question):
            detail = f"{question!r} may refer to the turn before it, which was left out"
            problems.append(("leaning-turn", where, detail))
        else:
            kept.append((question, answer))
        lost = bool(problems) and problems[-1][1] == where
    return kept, problems


def pairs(items: Sequence[msgspec.Raw]) -> tuple[list[tuple[str, str]], list[Problem]]:
    """Read turns of LLaVA's form: those that are kept, and what had to be left out, in order."""
    found: list[tuple[str, str]] = []
    problems: list[Problem] = []
    waiting: str | None = None
    for number, raw in enumerate(items, 1):
        where = f"message {number}"
        try:
            turn = _TURN.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            problems.append(("malformed-record", where, str(error)))
            continue
        role = turn.role.strip().lower()
        if role in USERS:
            if waiting is not None:
                found.append((waiting, ""))
            waiting = turn.value
        elif role in MODELS:
            found.append((waiting or "", turn.value))
            waiting = None
        else:
            detail = f"{turn.role!r} is neither human nor gpt, user nor assistant"
            problems.append(("unknown-speaker", where, detail))
    if waiting is not None:
        found.append((waiting, ""))
    kept, rest = exchanges(found)
    return kept, problems + rest
