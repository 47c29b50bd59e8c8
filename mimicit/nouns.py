"""English nouns for the labels of annotations: articles, plurals, numbers, other words for them.

Grammar is the library `inflect`'s. What keeps a template honest is in `prompts/nouns.yaml`.
"""

import re
from functools import cache
from typing import TYPE_CHECKING

from pydantic import BaseModel

from mimicit.shipped import parse_shipped, shipped

if TYPE_CHECKING:
    import inflect


class _Nouns(BaseModel, extra="forbid"):
    """The file `prompts/nouns.yaml`."""

    mass: frozenset[str]
    pairs: frozenset[str]
    overlooked: frozenset[str]
    vague: frozenset[str]
    generic: frozenset[str]
    lookalikes: tuple[frozenset[str], ...]
    settings: tuple[frozenset[str], ...]
    other_words: dict[str, tuple[str, ...]]


_KNOWN = _Nouns.model_validate(
    parse_shipped(shipped(__name__, "prompts", "nouns.yaml").read_bytes())
)
NUMBERS = (
    *("no", "one", "two", "three", "four", "five", "six"),
    *("seven", "eight", "nine", "ten", "eleven", "twelve"),
)
MASS, PAIRS, OVERLOOKED = _KNOWN.mass, _KNOWN.pairs, _KNOWN.overlooked
VAGUE, GENERIC = _KNOWN.vague, _KNOWN.generic


_PLAIN = re.compile(r"\w+(?:[ '-]\w+)*")
"""Labels that are words; in others the library finds a syntax of its own, such as `a|b`."""


_ENDS_LIKE_SEVERAL = re.compile(
    r"(?!(?:bikinis|emus|kiwis|menus|taxis)$).*(?:ss|us|is)"
    r"|abdomen|atlas|bias|canvas|christmas|corps|gas|lens|news|ramen|series|species|specimen"
)
"""Words for one thing in which the library sees several: "bus"."""


@cache
def _english() -> "inflect.engine":
    """Load the grammar when the first label needs it.

    It would have every function of its own rewritten to check the types of its arguments, which
    takes ten times as long as loading it; they are strings here.
    """
    import typeguard  # noqa: PLC0415

    checked = typeguard.typechecked
    typeguard.typechecked = lambda function: function  # type: ignore[assignment]  # see above
    try:
        import inflect  # noqa: PLC0415
    finally:
        typeguard.typechecked = checked
    return inflect.engine()


@cache
def one(label: str) -> str:
    """Name one of a thing: "an umbrella", "a pair of skis", "some broccoli"."""
    if label in MASS:
        return f"some {label}"
    if label in PAIRS:
        return f"a pair of {label}"
    return str(_english().a(label)) if _PLAIN.fullmatch(label) else f"a {label}"


@cache
def many(label: str) -> str:
    """Name several of a thing: "umbrellas", "pairs of skis", "pieces of broccoli"."""
    if label in MASS:
        return f"pieces of {label}"
    if label in PAIRS:
        return f"pairs of {label}"
    if label.isupper():
        return f"{label}s"
    return str(_english().plural_noun(label)) if _PLAIN.fullmatch(label) else f"{label}s"


@cache
def single(label: str) -> str:
    """Name one of what a label names several of: "dog" for "dogs"; "" where it names one."""
    last = label.rpartition(" ")[2]
    if last in MASS | PAIRS or _ENDS_LIKE_SEVERAL.fullmatch(last) or not _PLAIN.fullmatch(label):
        return ""
    found = _english().singular_noun(label)
    return str(found) if found and found != label else ""


def number(count: int) -> str:
    """Spell a number up to twelve, as prose does."""
    return NUMBERS[count] if count < len(NUMBERS) else str(count)


def counted(label: str, count: int) -> str:
    """Name so many of a thing: "one dog", "two dogs"."""
    return f"{number(count)} {many(label)}" if count != 1 else f"one {one(label).partition(' ')[2]}"


def enumerate_nouns(phrases: list[str]) -> str:
    """Join phrases as prose does: "a dog, two cats and a couch"."""
    if len(phrases) < 2:
        return "".join(phrases)
    return f"{', '.join(phrases[:-1])} and {phrases[-1]}"


@cache
def words_for(label: str) -> tuple[frozenset[str], frozenset[str]]:
    """List the words by which a caption may speak of a thing: (one of it, several of it).

    Lower case. The last word of a label counts by itself: a "teddy bear" may be called a bear.
    """
    singles = {label.lower(), label.lower().split()[-1], *_KNOWN.other_words.get(label, ())}
    plurals = {many(word).lower() for word in singles if word not in MASS | PAIRS}
    return frozenset(singles), frozenset(
        plurals - singles | ({"people"} if label == "person" else set())
    )


def speaks_of(words: frozenset[str], label: str) -> bool:
    """Tell whether any word may mean a thing, spelled as it may be: "skiis", "bookshelf"."""
    names = frozenset.union(*words_for(label))
    stems = tuple(name for name in names if len(name) >= 3)
    return bool(words & names) or any(word.startswith(stems) for word in words)


def same_setting(labels: frozenset[str]) -> frozenset[str]:
    """List what might well be where these things are; empty where that is not known."""
    return (
        max(_KNOWN.settings, key=lambda group: len(group & labels), default=frozenset())
        if labels
        else labels
    )


def lookalikes(label: str) -> frozenset[str]:
    """List what a thing is easily taken for, itself included."""
    return frozenset({label}).union(*(group for group in _KNOWN.lookalikes if label in group))
