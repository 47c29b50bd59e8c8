"""Texts by the column: which of them may have a problem, at two million a second.

`mimicit.checks` decides; here those it need not look at are told apart. RE2, the engine behind
Arrow's, runs in linear time but knows no lookahead and less of Unicode than Python, so the patterns
are widened where the two differ: what is passed over is free of problems, and what is not may be.
"""

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mimicit.checks import CLUES, HIDDEN, LEAKS, REFUSALS
from mimicit.columns import column, to_numpy

_SPACE = (
    r"\s\x{b}\x{1c}-\x{1f}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}"
    r"\x{3000}"
)

_ODD_CASE = r"[\x{130}\x{131}\x{17f}\x{212a}]"
"""Letters whose other case is an ASCII letter to one of the engines only."""

_LETTER = (
    r"[0-9A-Za-z\x{c0}-\x{d6}\x{d8}-\x{f6}\x{391}-\x{3a1}\x{3b1}-\x{3c9}\x{400}-\x{481}"
    r"\x{5d0}-\x{5ea}\x{620}-\x{64a}\x{904}-\x{939}\x{e01}-\x{e30}\x{3041}-\x{3096}"
    r"\x{30a1}-\x{30fa}\x{4e00}-\x{9fa5}\x{ac00}-\x{d7a3}]"
)
"""Letters and digits that every version of Unicode knows to be such."""


def may_have_problem(texts: pa.Array) -> np.ndarray:
    """Tell which texts `checks.text_problem` has to look at.

    Args:
        texts: Valid UTF-8, without nulls.

    Returns:
        Booleans: true for every text with a problem, and for a few others.
    """
    found = ~to_numpy(pc.match_substring_regex(texts, _LETTER))
    # Most texts have none of the words that every pattern wants one of: one pass tells them apart.
    suspects = np.flatnonzero(to_numpy(pc.match_substring_regex(texts, _CLUES)))
    some = texts.take(column(suspects.tolist(), pa.int64()))
    for pattern in _PATTERNS:
        found[suspects] |= to_numpy(pc.match_substring_regex(some, pattern))
    return found


def _wide(pattern: str) -> str:
    """Widen a pattern until RE2 takes it: no lookahead, any white space for one, any apostrophe."""
    while "(?!" in pattern:
        start = pattern.index("(?!")
        pattern = pattern[:start] + pattern[_closing(pattern, start) + 1 :]
    pattern = pattern.replace("[^.!?]{0,40}?", "[^.!?]*")  # white space counts once in there
    pattern = pattern.replace(r"\w", r"[\pL\pN\pM_]")
    pattern = pattern.replace("'", "['\u2019]")
    pattern = pattern.replace("[ -]?", f"[{_SPACE}-]*").replace("[ -]", f"[{_SPACE}-]+")
    return pattern.replace(" ?", f"[{_SPACE}]*").replace(" ", f"[{_SPACE}]+")


def _closing(pattern: str, start: int) -> int:
    """Find the parenthesis that closes the one at `start`; of ours none is escaped."""
    depth = 0
    for at in range(start, len(pattern)):
        depth += {"(": 1, ")": -1}.get(pattern[at], 0)
        if not depth:
            return at
    raise ValueError(pattern)


def _hidden() -> str:
    """Spell the class of hidden characters for RE2; UTF-8 has no halves of surrogate pairs."""
    known = re.sub(r"\\ud800-\\udfff", "", HIDDEN.pattern)
    return re.sub(r"\\[xu]([0-9a-f]{2,4})", r"\\x{\1}", known)


_PATTERNS = [
    f"(?i){_wide(LEAKS.pattern)}",
    f"(?i){_wide(REFUSALS.pattern)}",
    rf"{_hidden()}|{_ODD_CASE}|[<\[]",  # every special token begins with one of the last two
]
"""Each by itself: RE2 is fast as long as it need not keep too many states."""

_CLUES = f"(?i:{'|'.join(map(_wide, CLUES))})|{_PATTERNS[-1]}"
"""What every text has something of in which one of the patterns finds something."""
