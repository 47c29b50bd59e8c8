"""Which licences of pictures a build takes."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

UNKNOWN = "unknown"
"""The pattern that takes a picture whose licence is not stated. No other one does, not even `*`."""

JOINT = " AND "
"""What stands between licences that hold at once, as in an SPDX expression."""


def allowed(licence: str, patterns: Sequence[str]) -> bool:
    """Tell whether a licence is one of those that are taken.

    Letters' case and the amount of white space make no difference. A pattern is a shell's: `*`,
    `?`, `[…]`. Mind that `CC-BY-*` takes `CC-BY-NC-ND-4.0` too; `CC-BY-[0-9]*` does not.

    Args:
        licence: As a source states it: an SPDX id or its own words, several joined by " AND ", or
            empty where nothing is stated.
        patterns: What is taken; none for everything.
    """
    if not patterns:
        return True
    taken = [_plain(pattern) for pattern in patterns]
    return all(_one_allowed(_plain(part), taken) for part in _parts(licence))


def _parts(licence: str) -> list[str]:
    return " ".join(licence.split()).split(JOINT)


def _one_allowed(licence: str, taken: Sequence[str]) -> bool:
    if not licence:
        return UNKNOWN in taken
    return any(fnmatchcase(licence, pattern) for pattern in taken)


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()
