"""What the wearer of a camera does, told to the wearer: what, in which order, who and what else.

Wearer and others are never mixed up, and what the narrator was unsure of is not used. Order is told
of what one narrator wrote: two of them tell of the same action at slightly different times.
"""

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import pairwise

from pydantic import BaseModel

from mimicit.annotations import Narration, Note
from mimicit.schema import Exchange, Scene
from mimicit.templates._actions import Action, read
from mimicit.templates._verbs import Grammar
from mimicit.templates._words import tokens
from mimicit.templates.wording import Choice, Forms, Phrases, ask, wording

LONGEST = 8
"""Actions that an account of a scene has at most."""

MOST_THINGS = 12
"""Objects that are listed at most."""

APART = 0.5
"""Seconds that two actions are apart, or which of them is first is not asked."""


class _Wording(BaseModel, extra="forbid"):
    """The file `prompts/templates/narrations.yaml`."""

    action: Forms
    sequence: Phrases
    some: Phrases
    one: Phrases
    after: Forms
    before: Forms
    first: Forms
    others: Phrases
    things: Forms
    grammar: Grammar


@cache
def _wording() -> _Wording:
    return wording("narrations", _Wording)


_Told = tuple[float, Action | None]
"""When something is done, and what; None where it cannot be told properly."""


def write(scene: Scene, choice: Choice) -> Iterator[Exchange]:
    """Write what the narrations of a scene support, in a fixed order of kinds.

    Args:
        scene: A scene with narrations in order of time.
        choice: Varies the wording and the choice among actions that could be asked about.
    """
    narrations = _of_one_narrator(scene)
    told = [
        (one.time, _wearers(one.text) if one.actor == "wearer" else None)
        for one in narrations
        if one.actor != "other"
    ]
    yield from _all(told, choice)
    yield from _order(told, choice)
    yield from _others(narrations, choice)
    things = [name for a in scene.annotations if isinstance(a, Narration) for name in a.objects]
    yield from _things(things, choice)


_UNTOLD = {
    "wearer": "cannot be put into plain English surely",
    "other": "is of somebody else, and says not plainly of whom or what",
    "unsure": "does not say surely whose it is",
}


def silence(scene: Scene) -> str:
    """Say why nothing is written about a scene with narrations."""
    actors = [a.actor for a in scene.annotations if isinstance(a, Narration)]
    counts = ", ".join(f"{count} {_UNTOLD[actor]}" for actor, count in Counter(actors).items())
    total = f"{len(actors)} {'narration' if len(actors) == 1 else 'narrations'}"
    return f"of {total} none can be told: {counts}"


def _of_one_narrator(scene: Scene) -> list[Narration]:
    """Give what one narrator wrote: of several the one who wrote most that can be told."""
    narrations = [a for a in scene.annotations if isinstance(a, Narration)]
    notes = [a for a in scene.annotations if isinstance(a, Note)]
    names = [note.text for note in notes if note.name == "narrator"]
    if len(names) != len(narrations):
        return narrations
    by_name: dict[str, list[Narration]] = {}
    for name, narration in zip(names, narrations, strict=True):
        by_name.setdefault(name, []).append(narration)
    usable = {
        name: sum(a.actor == "wearer" and _wearers(a.text) is not None for a in written)
        for name, written in by_name.items()
    }
    return by_name[max(sorted(by_name), key=lambda name: usable[name])]


def _wearers(text: str) -> Action | None:
    words = tokens(text, _wording().grammar)
    return read(words, _wording().grammar, wearer=True) if words else None


# --------------------------------------------------------------------- wearer


def _all(told: list[_Told], choice: Choice) -> Iterator[Exchange]:
    """Tell what the wearer does from first to last."""
    actions = [action for _, action in told if action]
    told_in_order: list[Action] = []
    for action in actions:
        before = told_in_order[-1] if told_in_order else None
        if action.broad:
            continue
        if before and action.repeats(before):
            told_in_order[-1] = max(before, action, key=lambda one: len(one.words))
        else:
            told_in_order.append(action)
    forms = _wording()
    if len(told) == 1 and actions:
        yield ask("action", choice, forms.action, doing=actions[0].doing)
    elif 2 <= len(told_in_order) <= LONGEST:
        complete = len(actions) == len(told) and not any(action.broad for action in actions)
        asked = choice.of("sequence", forms.sequence if complete else forms.some)
        yield Exchange(asked, _listed([action.do for action in told_in_order]), "sequence")
    elif actions:
        action = choice.of("one action", actions)
        yield Exchange(choice.of("one", forms.one), f"You {action.do}.", "action")


def _listed(actions: list[str]) -> str:
    if len(actions) == 2:
        return f"You {actions[0]}, and then you {actions[1]}."
    middle = "".join(f", then you {action}" for action in actions[1:-1])
    return f"First you {actions[0]}{middle}, and finally you {actions[-1]}."


def _order(told: list[_Told], choice: Choice) -> Iterator[Exchange]:
    """Ask what comes after, before or first, of actions that follow each other."""
    counts = Counter(action.do for _, action in told if action)
    pairs = [
        (one, other)
        for (start, one), (end, other) in pairwise(told)
        if one
        and other
        and end - start >= APART
        and counts[one.do] == counts[other.do] == 1
        and not (one.lasting or other.lasting or one.repeats(other))
    ]
    forms = _wording()
    chosen = choice.order("pairs", pairs)
    for one, other in chosen[:1]:
        words = {"doing": _mine(one.doing), "your_doing": one.doing, "other_do": other.do}
        yield ask("after", choice, forms.after, **words)
    for one, other in chosen[1:2]:
        words = {"doing": _mine(other.doing), "your_doing": other.doing, "other_do": one.do}
        yield ask("before", choice, forms.before, **words)
    for one, other in chosen[2:3]:
        shown = choice.order("first shown", [one, other])
        yield ask(
            "first",
            choice,
            forms.first,
            doing=_mine(shown[0].doing),
            Doing=_capital(_mine(shown[0].doing)),
            other_doing=_mine(shown[1].doing),
            first_do=one.do,
            First_doing=_capital(one.doing),
        )


def _mine(text: str) -> str:
    """Say of the wearer's own things what the wearer says of them."""
    return re.sub(r"\byour(self)?\b", lambda found: f"my{found[1] or ''}", text)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


# --------------------------------------------------------------------- others

_SUBJECT = re.compile(
    r"(?:(?:an?|the|another|one) )?(?:other )?(?P<looks>(?:(?:old|young|little|small|tall) )?)"
    r"(?P<noun>man|woman|lady|girl|boy|person|child|kid|guy|baby)(?: (?P<letter>[A-Z]))? "
    r"(?P<rest>\S.*)",
    re.IGNORECASE,
)


def _others(narrations: list[Narration], choice: Choice) -> Iterator[Exchange]:
    """Tell what other people do: all of it where it is sure who is who, else one thing."""
    found: list[tuple[str, str, Action]] = []
    said = [one for one in narrations if one.actor == "other"]
    for one in said:
        if subject := _SUBJECT.fullmatch(one.text.strip(" .")):
            words = tokens(subject["rest"], _wording().grammar)
            action = read(words, _wording().grammar, wearer=False) if words else None
            if action:
                name = f"{subject['looks'].lower()}{subject['noun'].lower()}"
                found.append((name, subject["letter"] or "", action))
    if not found:
        return
    people = {(name, letter) for name, letter, _ in found}
    if len({name for name, _ in people}) < len(people) or (
        len(found) > 1 and not all(letter for _, letter in people)
    ):
        found = found[:1]
    sentences: list[str] = []
    for name, letter in dict.fromkeys((name, letter) for name, letter, _ in found):
        does = [a.doing for n, x, a in found if (n, x) == (name, letter)]
        does = [text for place, text in enumerate(does) if text not in does[:place]]
        article = "An" if name.startswith("o") else "A"
        sentences.append(f"{article} {name} is {', and then '.join(does[:3])}.")
    yield Exchange(choice.of("others", _wording().others), " ".join(sentences), "others")


# --------------------------------------------------------------------- things


def _things(names: list[str], choice: Choice) -> Iterator[Exchange]:
    """List the objects that the source names, each once."""
    each = {name.strip(" .").casefold(): name.strip(" .") for name in reversed(names)}
    found = [each[key] for key in dict.fromkeys(n.strip(" .").casefold() for n in names) if key]
    if found:
        listed = ", ".join(found[:MOST_THINGS])
        yield ask("objects", choice, _wording().things, things=listed)
