"""A picture with captions and boxes: description, things, counts, presence, place, comparison.

Everything said is taken from `mimicit.facts`, which settles what may be claimed.
"""

from collections.abc import Iterator
from functools import cache

from pydantic import BaseModel

from mimicit import nouns
from mimicit.facts import Region, Thing, absent, best_captions, place, things, words_of
from mimicit.schema import Exchange, Scene
from mimicit.templates.wording import Choice, Forms, Pair, Phrases, ask, ask_pair, wording

COUNTABLE = 0.0015
"""Smallest part of a picture that a thing covers which a reader is asked to count."""

_Placed = tuple[Thing, Region]


class _Presence(BaseModel, extra="forbid"):
    """A way to ask after a thing, and what to say if it is there and if it is not."""

    ask: str
    yes: str
    no: str


class _Wording(BaseModel, extra="forbid"):
    """The file `prompts/templates/pictures.yaml`."""

    description: Phrases
    detail: Forms
    objects: Forms
    count: Forms
    presence: tuple[_Presence, ...]
    location: Forms
    size: tuple[Pair, ...]
    side: Forms
    height: tuple[Pair, ...]


@cache
def _wording() -> _Wording:
    return wording("pictures", _Wording)


def write(scene: Scene, choice: Choice) -> Iterator[Exchange]:
    """Write what captions and boxes support, in a fixed order of kinds.

    Args:
        scene: A scene of one picture, whose size is known if it has boxes.
        choice: Varies the wording and the choice among things that could be asked.
    """
    found = things(scene)
    captions = best_captions(scene)
    located = _located(found, choice)
    yield from _descriptions(captions, found, choice)
    yield from _what(found, choice)
    yield from _counts(found, choice)
    yield from _presence(scene, found, located, choice)
    yield from _where(located, choice)
    yield from _comparisons(found, choice)


def _descriptions(captions: list[str], found: list[Thing], choice: Choice) -> Iterator[Exchange]:
    if not captions:
        return
    brief = captions[0]
    yield Exchange(choice.of("brief", _wording().description), brief, "description")
    fuller = max(captions[1:4] or captions, key=len)  # not the brief one again
    said = frozenset(words_of(fuller))
    unsaid = [
        thing
        for thing in found
        if thing.label != "person"
        and thing.certainty != "unknown"
        and thing.share > 0.004
        and not nouns.speaks_of(said, thing.label)
    ]
    if unsaid and not said & nouns.GENERIC:
        listed = nouns.enumerate_nouns([named(thing) for thing in unsaid[:4]])
        yield ask(
            "detail",
            choice,
            _wording().detail,
            caption=fuller,
            list=listed,
            List=listed[:1].upper() + listed[1:],
        )


def named(thing: Thing) -> str:
    """Name a thing with as much of a number as is sure: "a dog", "two dogs", "several dogs"."""
    if thing.count == 1 and not thing.crowd:
        return nouns.one(thing.label)
    if thing.certainty == "exact" and thing.label not in nouns.MASS:
        return nouns.counted(thing.label, thing.count)
    if thing.count == 2 and not thing.crowd and thing.label not in nouns.MASS:
        return nouns.counted(thing.label, 2)
    if thing.label == "person" and thing.crowd:
        return "a group of people"
    return f"several {nouns.many(thing.label)}"


def _what(found: list[Thing], choice: Choice) -> Iterator[Exchange]:
    shown = [t for t in found if t.share > 0.002 and t.certainty != "unknown"][:7]
    if len(shown) >= 2:
        listed = nouns.enumerate_nouns([named(thing) for thing in shown])
        yield ask("objects", choice, _wording().objects, list=listed)


def _counts(found: list[Thing], choice: Choice) -> Iterator[Exchange]:
    countable = [
        thing
        for thing in found
        if thing.label not in nouns.MASS
        and thing.smallest > COUNTABLE
        and (thing.certainty == "exact" or (thing.certainty == "at least" and thing.count > 1))
    ]
    several = [thing for thing in countable if thing.count > 1]
    single = [t for t in countable if t.count == 1 and t.share > 0.01 and t.label != "person"]
    chosen = choice.order("count", several)[:2] or choice.order("count-one", single)[:1]
    forms = _wording().count
    for thing in chosen:
        sure = thing.certainty == "exact"
        yield ask(
            "count",
            choice,
            forms if sure else Forms(ask=forms.ask, answer=forms.at_least),
            slot=thing.label,
            things=nouns.many(thing.label),
            counted=nouns.counted(thing.label, thing.count),
            number=nouns.number(thing.count),
            are="is" if thing.count == 1 else "are",
        )


def _presence(
    scene: Scene, found: list[Thing], located: tuple[Thing, str] | None, choice: Choice
) -> Iterator[Exchange]:
    """Ask after one thing that is there and one that is not: both, or neither."""
    unnamed = nouns.MASS | nouns.PAIRS
    there = [
        t for t in found if t.share > 0.006 and t.label not in unnamed and t.certainty != "unknown"
    ]
    missing_labels = absent(scene, found)
    if not there or not missing_labels:
        return
    thing = choice.of("there", there)
    plausible = sorted(
        nouns.same_setting(frozenset(t.label for t in found)).intersection(missing_labels)
    )
    missing = choice.of("absent", plausible or missing_labels)
    # Where the next question asks for its place, the answer is not given away here.
    told = thing.only and not (located and located[0] == thing)
    where = place(thing.only) if thing.only and told else ""
    single = thing.count == 1 and not thing.crowd
    for slot, label in choice.order("yes-no", (("yes", thing.label), ("no", missing))):
        wording = choice.of(f"yes-no {slot}", _wording().presence)
        words = {
            "one": nouns.one(label),
            "things": nouns.many(label),
            "label": label,
            "found": f"{named(thing)} {where}".strip(),
            "are": "is" if single else "are",
        }
        answer = wording.yes if slot == "yes" else wording.no
        yield Exchange(wording.ask.format(**words), answer.format(**words), "yes-no")


def _located(found: list[Thing], choice: Choice) -> tuple[Thing, str] | None:
    """Choose a thing whose place is clear, and name the place."""
    single = [t for t in found if t.share > 0.008 and t.label not in nouns.PAIRS]
    placed = [(t, place(t.only)) for t in single if t.only]
    placed = [(thing, where) for thing, where in placed if where]
    return choice.of("where", placed) if placed else None


def _where(located: tuple[Thing, str] | None, choice: Choice) -> Iterator[Exchange]:
    if located:
        thing, where = located
        words = _pronoun(thing.label)
        yield ask("location", choice, _wording().location, label=thing.label, place=where, **words)


def _comparisons(found: list[Thing], choice: Choice) -> Iterator[Exchange]:
    """Compare two things of which there is one each: by size, by side, by height."""
    single = [
        (thing, thing.only)
        for thing in found
        if thing.only and thing.share > 0.008 and thing.label not in nouns.PAIRS
    ]
    pairs = [(one, other) for i, one in enumerate(single) for other in single[i + 1 :]]
    yield from _size([(one, other) for (one, _), (other, _) in pairs], choice)
    yield from _position(pairs, choice)


def _pronoun(label: str) -> dict[str, str]:
    return (
        {"It": "They", "is": "are"}
        if label in nouns.PAIRS | {"person"}
        else {"It": "It", "is": "is"}
    )


def _size(pairs: list[tuple[Thing, Thing]], choice: Choice) -> Iterator[Exchange]:
    clear = [
        (a, b)
        for a, b in pairs
        if a.share > 2 * b.share and a.mask_share > 2 * b.mask_share and a.share < 0.7
    ]
    if clear:
        big, small = choice.of("size", clear)
        a, b = choice.order("size order", (big.label, small.label))
        yield ask_pair("size", choice, _wording().size, a=a, b=b, big=big.label, small=small.label)


def _position(pairs: list[tuple[_Placed, _Placed]], choice: Choice) -> Iterator[Exchange]:
    """Ask which of two is to the left, or higher up, where their boxes leave no doubt."""
    beside, above = [], []
    for pair in pairs:
        (one, left_box), (other, right_box) = sorted(pair, key=lambda placed: placed[1][0])
        if left_box[2] < right_box[0] + 0.01:
            beside.append((one.label, other.label))
        (one, high_box), (other, low_box) = sorted(pair, key=lambda placed: placed[1][1])
        if high_box[3] < low_box[1] + 0.01:
            above.append((one.label, other.label))
    if beside and (not above or choice.of("axis", (True, False))):
        left, right = choice.of("side", beside)
        (a, side), (b, _) = choice.order("side order", ((left, "left"), (right, "right")))
        yield ask("position", choice, _wording().side, a=a, b=b, side=side, **_pronoun(a))
    elif above:
        high, low = choice.of("height", above)
        a, b = choice.order("height order", (high, low))
        yield ask_pair("position", choice, _wording().height, a=a, b=b, high=high, low=low)
