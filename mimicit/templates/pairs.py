"""Several pictures with captions and boxes: what each shows, what they share, how they differ.

That a thing is in one picture and not in the other is said only where it was looked for in both,
and how many there are only where the number is beyond doubt (`mimicit.facts`).
"""

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from pydantic import BaseModel

from mimicit import nouns
from mimicit.annotations import Caption
from mimicit.facts import Thing, absent, best_captions, things
from mimicit.schema import Exchange, Scene
from mimicit.templates import _spoken
from mimicit.templates.pictures import COUNTABLE, named
from mimicit.templates.wording import Choice, Forms, Phrases, ask, wording

ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth")
MOST = 4
"""How many things are listed at once."""


class _Which(BaseModel, extra="forbid"):
    """A way to ask which picture shows a thing, and what to say if one, both or neither does."""

    ask: str
    one: str
    both: str
    neither: str


class _Wording(BaseModel, extra="forbid"):
    """The file `prompts/templates/pairs.yaml`."""

    each: Phrases
    each_of_two: Phrases
    single: Phrases
    common: Forms
    differences: Phrases
    only: Phrases
    which: tuple[_Which, ...]
    count: Forms
    same_count: Phrases
    more: Forms
    spoken: _spoken.Words


@cache
def _wording() -> _Wording:
    return wording("pairs", _Wording)


class _Two(NamedTuple):
    """What is known of two pictures, and what is known not to be in each."""

    things: tuple[list[Thing], list[Thing]]
    absent: tuple[list[str], list[str]]

    def shown(self, image: int) -> list[Thing]:
        """List what can be seen well and is beyond doubt."""
        return [t for t in self.things[image] if t.share > 0.006 and t.certainty != "unknown"]

    def only(self, image: int) -> list[Thing]:
        """List what is in one picture and not in the other."""
        missing = set(self.absent[1 - image])
        return [thing for thing in self.shown(image) if thing.label in missing]

    def common(self) -> list[tuple[Thing, Thing]]:
        """List what is in both."""
        others = {thing.label: thing for thing in self.shown(1)}
        return [(t, others[t.label]) for t in self.shown(0) if t.label in others]

    def counted(self) -> list[tuple[Thing, Thing]]:
        """List what is in both, in a number that is beyond doubt and easily checked."""
        return [
            (one, other)
            for one, other in self.common()
            if all(
                thing.certainty == "exact"
                and thing.smallest > COUNTABLE
                and thing.label not in nouns.MASS | nouns.PAIRS
                for thing in (one, other)
            )
        ]

    def uneven(self) -> list[tuple[Thing, Thing]]:
        """List what one picture has so many of that not all are known, and the other fewer.

        The fewer ones are certain; of what is easily overlooked there are far more in the other.
        """
        return [
            (one, other)
            for one, other in self.common()
            for few, many in ((one, other), (other, one))
            if few.certainty == "exact"
            and few.smallest > COUNTABLE
            and many.certainty == "at least"
            and many.count > few.count * (2 if few.label in nouns.OVERLOOKED else 1)
            and few.label not in nouns.MASS | nouns.PAIRS
        ]


def write(scene: Scene, choice: Choice) -> Iterator[Exchange]:
    """Write what captions and boxes support, in a fixed order of kinds.

    Args:
        scene: A scene of several pictures; of more than two, only what each shows is told.
        choice: Varies the wording and the choice among things that could be asked.
    """
    yield from _descriptions(scene, choice)
    if len(scene.images) != 2:
        return
    found = (things(scene, 0), things(scene, 1))
    two = _Two(found, (absent(scene, found[0], 0), absent(scene, found[1], 1)))
    yield from _common(scene, two, choice)
    yield from _differences(two, choice)
    yield from _which(two, choice)
    yield from _counts(two, choice)


def _descriptions(scene: Scene, choice: Choice) -> Iterator[Exchange]:
    pictures = range(min(len(scene.images), len(ORDINALS)))
    told = [(n, captions[0]) for n in pictures if (captions := best_captions(scene, n))]
    form = _wording()
    if len(told) > 1 and len(told) == len(scene.images):
        said = " ".join(f"{ORDINALS[n].capitalize()} picture: {caption}" for n, caption in told)
        questions = form.each_of_two if len(told) == 2 else form.each
        yield Exchange(choice.of("each", questions), said, "description")
    if told:
        number, brief = choice.of("single", told)
        others = best_captions(scene, number)[1:3]
        question = choice.of("single ask", form.single).format(ordinal=ORDINALS[number])
        yield Exchange(question, max(others, key=len, default=brief), "description")


def _common(scene: Scene, two: _Two, choice: Choice) -> Iterator[Exchange]:
    shared = [_shared(one, other) for one, other in two.common()][:MOST]
    if not shared and not scene.vocabulary:
        shared = _spoken_of(scene)
    if shared:
        yield ask("common", choice, _wording().common, list=nouns.enumerate_nouns(shared))


def _spoken_of(scene: Scene) -> list[str]:
    """Name what most captions of both pictures speak of."""
    words = _wording().spoken
    one, other = (
        _spoken.spoken(
            [a.text for a in scene.annotations if isinstance(a, Caption) and a.image == image],
            words,
        )
        for image in (0, 1)
    )
    both = sorted(one.keys() & other, key=lambda x: (-min(one[x].captions, other[x].captions), x))
    said = []
    for label in both[:MOST]:
        several = {one[label].several, other[label].several}
        if len(several) > 1 or None in several:
            said.append(f"at least {nouns.counted(label, 1)}")
        else:
            said.append(nouns.many(label) if True in several else nouns.one(label))
    return said


def _shared(one: Thing, other: Thing) -> str:
    """Name what is in both with as much of a number as holds for both."""
    several = [thing.count > 1 or thing.crowd for thing in (one, other)]
    same = one.certainty == other.certainty == "exact" and one.count == other.count > 1
    if same and one.label not in nouns.MASS | nouns.PAIRS:
        return nouns.counted(one.label, one.count)
    if all(several):
        return nouns.many(one.label)
    if any(several) and one.label not in nouns.MASS | nouns.PAIRS:
        return f"at least {nouns.counted(one.label, 1)}"
    return nouns.one(one.label)


def _differences(two: _Two, choice: Choice) -> Iterator[Exchange]:
    """Tell what is in one picture only, and of what there is another number."""
    form = _wording()
    said = []
    for image in (0, 1):
        listed = [named(thing) for thing in two.only(image)[:MOST]]
        if listed:
            way = choice.of(f"only {image}", form.only)
            named_list = nouns.enumerate_nouns(listed)
            said.append(way.format(ordinal=ORDINALS[image], list=named_list))
    uneven = [(one, other) for one, other in two.counted() if one.count != other.count]
    uneven += two.uneven()
    said += [_numbers(one, other) for one, other in uneven[:2]]
    if said:
        yield Exchange(choice.of("differ", form.differences), " ".join(said), "differences")


def _numbers(one: Thing, other: Thing) -> str:
    """Say how many there are in each, where that differs."""
    are = "is" if one.count == 1 else "are"
    first = _least(one) + nouns.counted(one.label, one.count)
    second = _least(other) + nouns.number(other.count)
    if (one.count == 1) == (other.count == 1):
        return f"There {are} {first} in the first picture and {second} in the second."
    verb = "is" if other.count == 1 else "are"
    return f"There {are} {first} in the first picture, and there {verb} {second} in the second."


def _least(thing: Thing) -> str:
    return "at least " if thing.certainty == "at least" else ""


def _which(two: _Two, choice: Choice) -> Iterator[Exchange]:
    """Ask which picture shows a thing: one that is in one only, and one that is in both or none."""
    single = [(ORDINALS[image], thing) for image in (0, 1) for thing in two.only(image)]
    single = [(o, thing) for o, thing in single if thing.label not in nouns.MASS | nouns.PAIRS]
    if not single:
        return
    ordinal, thing = choice.of("which one", single)
    both = [one.label for one, _ in two.common() if one.label not in nouns.MASS | nouns.PAIRS]
    neither = sorted(set(two.absent[0]) & set(two.absent[1]))
    seen = frozenset(t.label for found in two.things for t in found)
    plausible = sorted(nouns.same_setting(seen).intersection(neither))
    asked = [("one", thing.label)]
    rest = [("both", choice.of("which both", both))] if both else []
    if neither:
        rest.append(("neither", choice.of("which neither", plausible or neither)))
    asked += [choice.of("which rest", rest)] if rest else []
    for slot, label in choice.order("which order", asked):
        way = choice.of(f"which {slot}", _wording().which)
        words = {
            "thing": nouns.one(label),
            "things": nouns.many(label),
            "ordinal": ordinal,
            "found": named(thing),
        }
        yield Exchange(way.ask.format(**words), getattr(way, slot).format(**words), "which")


def _counts(two: _Two, choice: Choice) -> Iterator[Exchange]:
    countable = [(a, b) for a, b in two.counted() if max(a.count, b.count) > 1] or two.uneven()
    if not countable:
        return
    one, other = choice.of("count", countable)
    form, label = _wording(), one.label
    words = {"things": nouns.many(label)}
    if one.count == other.count:
        forms = Forms(ask=form.count.ask, answer=form.same_count)
        yield ask("count", choice, forms, **words, counted=nouns.counted(label, one.count))
        return
    more, fewer = (0, 1) if one.count > other.count else (1, 0)
    counts = (one.count, other.count)
    words |= {
        "sentence": _numbers(one, other),
        "more": ORDINALS[more],
        "many": _least((one, other)[more]) + nouns.number(counts[more]),
        "fewer": ORDINALS[fewer],
        "few": nouns.number(counts[fewer]),
    }
    exact = one.certainty == other.certainty == "exact"
    if exact and choice.of("count way", (True, False)):
        yield ask("count", choice, form.count, **words)
    else:
        yield ask("count", choice, form.more, slot="more", **words)
