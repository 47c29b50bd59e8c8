"""A room, and sentences about its objects: what is in it, where, and what is next to what.

Everything said is taken from `_referring.facts`, which settles what is told for certain.
"""

import re
from collections.abc import Iterator
from functools import cache

from pydantic import BaseModel

from mimicit import nouns
from mimicit.annotations import Utterance
from mimicit.facts import words_of
from mimicit.schema import Exchange, Scene
from mimicit.templates._referring import Fact, Words, facts
from mimicit.templates.wording import Choice, Forms, Phrases, ask, wording

EACH = 2
"""Most questions of a kind that a room gives, where it gives several."""

MOST = 4
"""Facts that a description has at most."""


class _Wording(BaseModel, extra="forbid"):
    """The file `prompts/templates/rooms.yaml`."""

    description: Phrases
    statement: Phrases
    further: Phrases
    objects: Forms
    location: Forms
    nearby: Forms
    words: Words


@cache
def _wording() -> _Wording:
    return wording("rooms", _Wording)


def write(scene: Scene, choice: Choice) -> Iterator[Exchange]:
    """Write what the sentences about a room support, in a fixed order of kinds.

    Args:
        scene: A scene with sentences about objects.
        choice: Varies the wording and the choice among objects that could be asked about.
    """
    said = [a for a in scene.annotations if isinstance(a, Utterance)]
    said.sort(key=lambda a: (a.object, a.text))
    known = facts(said, _wording().words)
    yield from _description(known, choice)
    yield from _objects(said, choice)
    yield from _locations(known, choice)
    yield from _nearby(known, choice)


def _some(fact: Fact) -> str:
    return _wording().words.some(fact.noun, fact.looks)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _by_thing(known: list[Fact]) -> dict[str, list[Fact]]:
    """Sort facts by what they are about."""
    found: dict[str, list[Fact]] = {}
    for fact in known:
        found.setdefault(fact.kind, []).append(fact)
    return found


def _is(fact: Fact) -> str:
    return "are" if _wording().words.is_plural(fact.noun) else "is"


def _description(known: list[Fact], choice: Choice) -> Iterator[Exchange]:
    """Tell of several things, each of another kind."""
    form = _wording()
    kinds = _by_thing([fact for fact in known if not form.words.names_room(fact.where)])
    told: list[Fact] = []
    for kind in choice.order("description", sorted(kinds)):
        fact = choice.of(f"described {kind}", kinds[kind])
        if len(told) < MOST and not any(_turned_round(fact, other) for other in told):
            told.append(fact)
    if len(told) < 2:
        return
    sentences, before = [], ""
    for number, fact in enumerate(told):
        ways = _fitting(form.further if number else form.statement, fact)
        start = number + choice.of("further", range(len(ways)))
        way, other = (ways[place % len(ways)] for place in (start, start + 1))
        way = other if way == before else way
        before = way
        words = {"some": _some(fact), "where": fact.where, "is": _is(fact)}
        sentences.append(_capital(way.format(**words)))
    yield Exchange(choice.of("describe", form.description), " ".join(sentences), "description")


def _fitting(ways: Phrases, fact: Fact) -> Phrases:
    """Leave out wording that does not go with a place or a thing.

    "In this room there is a shelf in the hallway" contradicts itself, and "a trash can can be
    found" reads badly.
    """
    odd = ["this room"] if re.search(r"\broom\b", fact.where) else []
    odd += ["this room"] if _wording().words.names_room(fact.where) else []
    odd += ["{Some} can"] if fact.noun.endswith(" can") else []
    return tuple(way for way in ways if not any(part in way for part in odd))


def _turned_round(fact: Fact, other: Fact) -> bool:
    """Tell whether two facts may say the same: a lamp above a bed, and a bed below a lamp."""
    return fact.kind in other.where and other.kind in fact.where


def _objects(said: list[Utterance], choice: Choice) -> Iterator[Exchange]:
    """List the kinds of objects, those only that somebody calls by their name."""
    words = _wording().words
    named: dict[str, str] = {}
    for utterance in said:
        last = words.single(utterance.object).split()[-1:]
        spoken = {words.single(word) for word in words_of(utterance.text)}
        known = utterance.object in words.things or words.is_plural(utterance.object)
        if known and last and spoken & {*last, utterance.object.split()[-1]}:
            shown = named.setdefault(words.single(last[0]), utterance.object)
            # "cabinet" and "kitchen cabinet" are one kind here: the plainest name is sure
            named[words.single(last[0])] = min(shown, utterance.object, key=lambda n: (len(n), n))
    if len(named) >= 3:
        chosen = choice.order("objects", sorted(named.values()))[:7]
        listed = nouns.enumerate_nouns([words.some(name) for name in chosen])
        yield ask("objects", choice, _wording().objects, list=listed)


def _locations(known: list[Fact], choice: Choice) -> Iterator[Exchange]:
    kinds = _by_thing(known)
    words = _wording().words
    for kind in choice.order("location", sorted(kinds))[:EACH]:
        fact = choice.of(f"location {kind}", kinds[kind])
        forms = _wording().location
        yield ask(
            "location",
            choice,
            Forms(ask=_fitting(forms.ask, fact), answer=_fitting(forms.answer, fact)),
            slot=kind,
            thing=words.some(fact.noun),
            some=_some(fact),
            Some=_capital(_some(fact)),
            where=fact.where,
            **{"is": _is(fact)},
        )


def _nearby(known: list[Fact], choice: Choice) -> Iterator[Exchange]:
    """Ask what is at a place, if a thing is told to be there and nowhere else."""
    found: dict[str, dict[str, Fact]] = {}
    for fact in known:
        if fact.places == 1:
            found.setdefault(fact.where, {}).setdefault(fact.kind, fact)
    for where in choice.order("nearby", sorted(found))[:EACH]:
        here = [_wording().words.some(fact.noun) for _, fact in sorted(found[where].items())]
        listed = nouns.enumerate_nouns(here)
        told = {"where": where, "list": listed, "List": _capital(listed)}
        yield ask("nearby", choice, _wording().nearby, slot=where, **told)
