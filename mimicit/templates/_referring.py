"""What sentences that pick one object out of a room say for certain: that there is one, and where.

"The small trash can next to the fridge." tells that there is a small trash can next to a fridge.
Which one of several is meant, what is left or right of what, and what is nearest, depend on the
others and on where somebody stands; so only sentences are used that consist of known words for
things, their looks and their places, and nothing else.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from pydantic import BaseModel

from mimicit import nouns
from mimicit.annotations import Utterance


@dataclass(frozen=True, slots=True)
class Fact:
    """A thing in a room, and where one like it is.

    Attributes:
        kind: What sort of thing it is, in a word, however it is called: "cabinet".
        noun: What it is called, in the form in which it was said.
        looks: Words for its looks, such as "white"; may be empty.
        where: Where it is, such as "next to a fridge".
        places: How many places that names: "on a shelf, next to a fridge" are two.
    """

    kind: str
    noun: str
    looks: str
    where: str
    places: int


class Words(BaseModel, extra="forbid"):
    """The part `words` of `prompts/templates/rooms.yaml`."""

    things: tuple[str, ...]
    plurals: tuple[str, ...]
    mass: frozenset[str]
    same: Mapping[str, tuple[str, ...]]
    looks: tuple[str, ...]
    relations: tuple[str, ...]
    faced: tuple[str, ...]
    facing: tuple[str, ...]
    parts: Mapping[str, str]
    surfaces: frozenset[str]
    rooms: tuple[str, ...]

    @cached_property
    def _many(self) -> dict[str, str]:
        """Each plural, and its singular."""
        return {nouns.many(one): one for one in self.things if one not in self.mass}

    @cached_property
    def _known(self) -> str:
        return _any([*self.things, *self._many, *self.plurals])

    @cached_property
    def head(self) -> re.Pattern[str]:
        """A sentence: a thing with its looks, and perhaps where it is."""
        lead = (
            r"(?:(?:please )?(?:choose|select|pick|find)(?: out)? |it is |it's |this is |these are "
            r"|there is |i am |the correct [a-z]+ is )?"
        )
        verb = r"(?:,? (?:that|which)(?: is| are|'s)| is| are)?"
        posture = r"(?: (?:located|sitting|standing|placed|hanging|lying|mounted|resting))?"
        article = "(?:the |a |an |this |these |some )?"
        looks = rf"(?P<looks>(?:{_any(self.looks)},? (?:and )?)*)"
        rest = rf"(?P<rest>$|,? (?:{self._relation}) .+)"
        return re.compile(rf"{lead}{article}{looks}(?P<noun>{self._known}){verb}{posture}{rest}")

    @cached_property
    def tail(self) -> re.Pattern[str]:
        """A sentence that goes on about a thing: only its looks, or only where it is."""
        looks = rf"(?: {_any(self.looks)}(?:,? and(?= )|,)?)+"
        posture = r"(?: (?:located|sitting|standing|placed|hanging|lying|mounted|resting))?"
        subject = rf"(?P<subject>it|they|this|these|the (?P<noun>{self._known}))"
        rest = rf"(?P<rest> (?:{self._relation}) .+)"
        return re.compile(rf"{subject}(?: (?:is|are)|'s|'re)(?:{posture}{rest}|{looks})")

    @cached_property
    def _room(self) -> re.Pattern[str]:
        return re.compile(rf"\b{_any(self.rooms)}(?! area)\b")

    def names_room(self, where: str) -> bool:
        """Tell whether a place is that of a whole room, which may not be the one that is seen."""
        return bool(self._room.search(where))

    @cached_property
    def _relation(self) -> str:
        return _any([*self.relations, *self.facing])

    @cached_property
    def place(self) -> re.Pattern[str]:
        """The first of several places."""
        thing = (
            rf"(?P<article>the |a |an )?(?P<looks>(?:{_any(self.looks)},? (?:and )?)*)"
            rf"(?P<noun>{self._known})"
        )
        then = rf"(?=$|,? (?:and )?(?:{self._relation}) )"
        return re.compile(
            rf"(?P<joint>,? (?:and )?)(?P<relation>{self._relation}) "
            rf"(?:(?P<part>{_any(self.parts)})|{thing}){then}"
        )

    def is_called(self, noun: str, label: str) -> bool:
        """Tell whether a noun may name what has a label."""
        names = (label, *self.same.get(self.single(label), ()))
        said = self.single(noun)
        return any(said.split()[-1:] == self.single(name).split()[-1:] for name in names)

    def single(self, noun: str) -> str:
        """Give the singular of a noun that is known."""
        return self._many.get(noun, noun)

    def is_plural(self, noun: str) -> bool:
        """Tell whether a noun stands for several things."""
        return noun in self._many or noun in self.plurals

    def some(self, noun: str, looks: str = "") -> str:
        """Name a thing without saying which: "a white desk", "some books"."""
        named = f"{looks} {noun}".strip()
        if noun in self.mass or self.is_plural(noun):
            return f"some {named}"
        return nouns.one(named)


def facts(said: list[Utterance], words: Words) -> list[Fact]:
    """Read from sentences what they say for certain, each fact once."""
    found = (_fact(utterance, words) for utterance in said)
    return list(dict.fromkeys(fact for fact in found if fact))


def _fact(utterance: Utterance, words: Words) -> Fact | None:
    text = " ".join(utterance.text.lower().replace("\u2019", "'").split())
    text = re.sub(r"\b(white|chalk)\s(board)\b|\b(night)\s(stand)\b", _joined, text)
    first, *more = [
        part.strip(" .!") for part in re.split(r"[.;](?:\s+|$)", text) if part.strip(" .!")
    ] or [""]
    head = words.head.fullmatch(first)
    if not head or not words.is_called(head["noun"], utterance.object):
        return None
    rests = [head["rest"]] if head["rest"] else []
    rests += _going_on(more, head["noun"], words)
    found = [list(_places(rest, head["noun"], words)) for rest in rests]
    if not found or not all(found):
        return None
    where = " and ".join("".join(group) for group in found)
    if where == "in the room":
        return None
    looks = head["looks"].strip(" ,").removesuffix(" and")
    kind = words.single(utterance.object or head["noun"]).split()[-1]
    return Fact(words.single(kind), head["noun"], looks, where, sum(map(len, found)))


def _going_on(parts: list[str], thing: str, words: Words) -> Iterator[str]:
    """Give where a thing is by the sentences after the first, up to one that is not about it.

    "There is a lamp on the table. It is under the window." may put the lamp under the window.
    """
    several = words.is_plural(thing)
    for part in parts:
        tail = words.tail.fullmatch(part)
        if not tail:
            return
        noun = tail["noun"]
        fits = noun == thing if noun else (tail["subject"] in {"they", "these"}) == several
        if not fits:
            return
        if tail["rest"]:
            yield tail["rest"]


def _joined(found: re.Match[str]) -> str:
    return "".join(filter(None, found.groups()))


def _places(rest: str, thing: str, words: Words) -> Iterator[str]:
    """Give each place of a sentence as it follows the one before; none where any is not certain."""
    found: list[str] = []
    while rest:
        place = words.place.match(rest)
        if not place or not _is_certain(place, thing, words):
            return
        named = (
            words.parts[place["part"]]
            if place["part"]
            else words.some(place["noun"], place["looks"].strip(" ,").removesuffix(" and"))
        )
        joint = place["joint"] if found else ""
        found.append(f"{joint}{place['relation']} {named}")
        rest = rest[place.end() :]
    yield from found


def _is_certain(place: re.Match[str], thing: str, words: Words) -> bool:
    """Tell whether a place is the same from wherever one looks, and is not that of the thing."""
    noun = place["noun"]
    if place["relation"] in {"in", "inside", "inside of"} and place["part"] in words.surfaces:
        return False
    if noun and words.single(noun) == words.single(thing):
        return False
    if place["relation"] in words.facing:
        return bool(noun) and words.single(noun) in words.faced
    return True


def _any(texts: object) -> str:
    """Match any of some texts, the longest first."""
    ordered = sorted(map(str, texts), key=len, reverse=True)  # type: ignore[call-overload]
    return f"(?:{'|'.join(map(re.escape, ordered))})"
