"""Markdown out of text that is not trusted, such as that of sources and of models.

In a sentence or a table such text stands as it is only if it holds nothing that Markdown could
take for its own, and in a code span otherwise; longer text stands in blocks that nothing inside of
them can close.
"""

import re
from collections.abc import Sequence

CELL = 120
"""Letters of a name, a licence or a reason that are shown."""

_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069"
    "\ud800-\udfff\ufeff\ufffe\uffff\U000e0000-\U000e0fff]"
)
"""Controls, ends of lines, halves of surrogate pairs, and what is there without being seen."""

_PLAIN = re.compile(r"(?!(?i:.*www\.))(?:[^\W_]|[ ,.;()/'+-])*(?:[^\W_]|[.)'+-])")
"""Text in which Markdown finds nothing: no mark-up, no address, no `@`, nothing that is escaped."""


def visible(text: str) -> str:
    """Spell out what is not seen, ends of lines among it."""
    return _HIDDEN.sub(lambda m: m[0].encode("unicode_escape").decode("ascii"), text)


def cut(text: str, length: int) -> str:
    """Leave out the end of what is too long."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def said(text: str) -> str:
    """Quote a name or a few words of a source within a sentence or a cell."""
    text = visible(cut(" ".join(text.split()), CELL)).replace("|", "\\x7c")  # it divides cells
    if not text or _PLAIN.fullmatch(text):
        return text
    ticks = "`" * (_longest_run(text) + 1)
    space = " " if text[0] == "`" or text[-1] == "`" else ""
    return f"{ticks}{space}{text}{space}{ticks}"


def fenced(lines: Sequence[str]) -> str:
    """Put lines of any text into a code block that none of them can close.

    Args:
        lines: Each is one line, whatever characters it holds.
    """
    shown = [visible(line) for line in lines]
    fence = "`" * max(3, _longest_run("\n".join(shown)) + 1)
    return "\n".join([f"{fence}text", *shown, fence]) + "\n"


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table. Its cells are Markdown already, and hold no `|`."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)
