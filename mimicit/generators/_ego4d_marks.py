"""The marks in Ego4D's narrations: who acts, and what the writer was not sure of.

"#C C opens a drawer" is told of the camera wearer, "#O A man X sits" of another person. Marks are
typed by hand: "#c c", "#CC", "# C C" and "#unsured" all occur.
"""

import re
from dataclasses import dataclass
from typing import Literal

from mimicit.records import plain

UNSURE = "(unsure)"
"""What stands for the writer's mark of doubt in a narration's text."""

_DOUBT = re.compile(r"#\s*(?:ub=nsure|unknown|uns+ure(?:d\b)?)", re.IGNORECASE)
_SUMMARY = re.compile(r"#\s*summ?[ae]ry\b[:.,]?\s*", re.IGNORECASE)
_PERSON = re.compile(
    r"#\s*(?:(?P<glued>(?-i:CC|OO))(?=[a-z])|(?P<letter>[a-z])(?P=letter)?(?![\w'’]))"  # noqa: RUF001
    r"(?P<twice>[ :,]+(?P=letter)(?![\w'’]))?[ :,]*",  # noqa: RUF001
    re.IGNORECASE,
)
_UNMARKED = re.compile(r"(?:C(?: C)?|c c)(?![\w'’])[ :,]*")  # noqa: RUF001
_SOMEBODY = re.compile(
    r"(?:an? |the |another |other )?(?:(?:old|young|little|small|tall) )?"
    r"(?:man|woman|lady|girl|boy|person|child|kid|guy|baby|people|men|women)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Marked:
    """What a narration says, its marks taken out.

    Attributes:
        text: The source's own words.
        actor: Who acts.
        summary: It sums up minutes, and is no narration.
    """

    text: str
    actor: Literal["wearer", "other", "unsure"]
    summary: bool = False


def read_marks(raw: str, unmarked: Literal["wearer", "unsure"]) -> Marked:
    """Take the marks out of a narration.

    Args:
        raw: What somebody typed.
        unmarked: Whose actions are told where neither a mark nor the first words say so.
    """
    text = plain(raw)
    if found := _SUMMARY.match(text):
        return Marked(text[found.end() :], "wearer", summary=True)
    doubted = bool(_DOUBT.match(text))
    text = plain(_DOUBT.sub(f" {UNSURE} ", text))
    if doubted:
        return Marked(_PERSON.sub(_kept, text), "unsure")
    if found := _PERSON.match(text):
        letter = (found["glued"] or found["letter"])[0].upper()
        rest = plain(_PERSON.sub(_kept, text[found.end() :]))
        if letter == "C":
            return Marked(rest, "wearer")
        return Marked(rest if letter == "O" else f"{letter} {rest}".strip(), "other")
    text = plain(_PERSON.sub(_kept, text))
    if found := _UNMARKED.match(text):
        return Marked(text[found.end() :], "wearer")
    return Marked(text, "other" if _SOMEBODY.match(text) else unmarked)


def _kept(found: re.Match[str]) -> str:
    """Keep who is meant by a mark inside of a sentence: "#C C" is C, "#O man X" is man X."""
    letter = (found["glued"] or found["letter"])[0].upper()
    named = found.string[found.end() : found.end() + 1].isalpha()
    return "" if letter == "O" and named and not found["twice"] else f"{letter} "
