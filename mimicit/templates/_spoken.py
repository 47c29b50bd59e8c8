"""What most captions of a picture speak of by name, where nobody has outlined anything in it.

A word counts where it names the thing itself, and not what belongs to it or is made like it: "a dog
on a bed", but not "a dog bed", "a toy dog" or "a statue of a dog".
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel

from mimicit import nouns
from mimicit.facts import words_of

Several = bool | None
"""Whether all that speak of a thing mean several of it; None where they disagree."""


class Words(BaseModel, extra="forbid"):
    """The part `spoken` of `prompts/templates/pairs.yaml`.

    Attributes:
        things: Labels, and other words that mean nothing else.
        likeness: Words of pictures and figures of things; they make all of a picture doubtful.
        before: What makes another thing of one if it stands before its name.
        after: What may stand after a name that is a whole one.
    """

    things: Mapping[str, tuple[str, ...]]
    likeness: frozenset[str]
    before: frozenset[str]
    after: frozenset[str]


@dataclass(frozen=True, slots=True)
class Spoken:
    """A thing, how many captions speak of it, and whether they mean several."""

    label: str
    captions: int
    several: Several


def spoken(captions: Collection[str], words: Words) -> dict[str, Spoken]:
    """Find what more than half of the captions, and two at least, speak of."""
    texts = [words_of(text) for text in captions]
    if any(not words.likeness.isdisjoint(text) for text in texts):
        return {}
    found: dict[str, Spoken] = {}
    for label, others in words.things.items():
        told = [_meant(text, (label.lower(), *others), words) for text in texts]
        said = [several for one in told for several in one]
        count = sum(bool(one) for one in told)
        if count >= 2 and 2 * count > len(texts):
            found[label] = Spoken(label, count, said[0] if len(set(said)) == 1 else None)
    return found


def _meant(text: Sequence[str], names: Collection[str], words: Words) -> list[bool]:
    """List each time that one of some names is meant: whether several of it are."""
    found = []
    for name in names:
        for several, spelled in ((False, name), (True, nouns.many(name).lower())):
            parts = spelled.split()
            for place in range(len(text) - len(parts) + 1):
                end = place + len(parts)
                if list(text[place:end]) == parts and _is_itself(text, place, end, words):
                    found.append(several)
    return found


def _is_itself(text: Sequence[str], start: int, end: int, words: Words) -> bool:
    follows = text[end] if end < len(text) else ""
    whole = not follows or follows in words.after or follows.endswith("ing")
    return whole and not (start and text[start - 1] in words.before)
