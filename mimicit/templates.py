"""The embedded teacher: questions and answers written by rule from typed annotations, for free.

Everything said is taken from `mimicit.facts`, which settles what may be claimed; here it is put
into words, which are in `prompts/templates.yaml`. Wording varies by a hash of the seed, the scene
and the kind of question, so that the same scene always reads the same whatever stands beside it.
"""

import hashlib
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Annotated, TypeVar

from pydantic import BaseModel, Field

from mimicit import nouns
from mimicit.facts import Region, Thing, best_captions, place, things, words_of
from mimicit.schema import Caption, Exchange, Scene
from mimicit.shipped import parse_shipped, shipped

NAME = "templates"
"""Teacher id of what is written here."""

T = TypeVar("T")
Phrases = Annotated[tuple[str, ...], Field(min_length=1)]
COUNTABLE = 0.0015
"""Smallest part of a picture that a thing covers which a reader is asked to count."""

_Placed = tuple[Thing, Region]


class _Forms(BaseModel, extra="forbid"):
    """Ways to ask, and ways to answer, that go together freely."""

    ask: Phrases
    answer: Phrases
    at_least: tuple[str, ...] = ()


class _Pair(BaseModel, extra="forbid"):
    """A way to ask, and the answer that goes with it."""

    ask: str
    answer: str


class _Presence(BaseModel, extra="forbid"):
    """A way to ask after a thing, and what to say if it is there and if it is not."""

    ask: str
    yes: str
    no: str


class _Wording(BaseModel, extra="forbid"):
    """The file `prompts/templates.yaml`."""

    description: Phrases
    detail: _Forms
    objects: _Forms
    count: _Forms
    presence: tuple[_Presence, ...]
    location: _Forms
    size: tuple[_Pair, ...]
    side: _Forms
    height: tuple[_Pair, ...]


@cache
def _wording_file() -> bytes:
    return shipped(__name__, "prompts", "templates.yaml").read_bytes()


@cache
def _wording() -> _Wording:
    return _Wording.model_validate(parse_shipped(_wording_file()))


def wording_sha256() -> str:
    """Return the digest of the wording, which is to templates what a prompt is to a model."""
    return hashlib.sha256(_wording_file()).hexdigest()


class _Choice:
    """Picks by hash, so that nothing depends on order, on other scenes or on a random state."""

    def __init__(self, seed: int, scene: Scene) -> None:
        self._prefix = f"{seed}\0{scene.source}\0{scene.id}\0"

    def of(self, slot: str, options: Sequence[T]) -> T:
        digest = hashlib.blake2b((self._prefix + slot).encode(), digest_size=8).digest()
        return options[int.from_bytes(digest, "big") % len(options)]

    def order(self, slot: str, options: Sequence[T]) -> list[T]:
        rest, ordered = list(options), []
        while rest:
            chosen = self.of(f"{slot}{len(rest)}", range(len(rest)))
            ordered.append(rest.pop(chosen))
        return ordered


def write(scene: Scene, seed: int) -> list[Exchange]:
    """Write all exchanges that a scene's annotations support, in a fixed order of kinds.

    Args:
        scene: A scene of one picture, whose size is known if it has boxes.
        seed: Varies the wording and the choice among things that could be asked.
    """
    choice = _Choice(seed, scene)
    found = things(scene)
    captions = best_captions(scene)
    located = _located(found, choice)
    return [
        *_descriptions(captions, found, choice),
        *_what(found, choice),
        *_counts(found, choice),
        *_presence(scene, found, located, choice),
        *_where(located, choice),
        *_comparisons(found, choice),
    ]


def _descriptions(captions: list[str], found: list[Thing], choice: _Choice) -> Iterator[Exchange]:
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
        listed = nouns.enumerate_nouns([_named(thing) for thing in unsaid[:4]])
        yield _ask(
            "detail",
            choice,
            _wording().detail,
            caption=fuller,
            list=listed,
            List=listed[:1].upper() + listed[1:],
        )


def _ask(kind: str, choice: "_Choice", forms: _Forms, slot: str = "", **words: str) -> Exchange:
    """Fill a way to ask and a way to answer with the same words."""
    question = choice.of(f"{kind} {slot} ask", forms.ask)
    answer = choice.of(f"{kind} {slot} answer", forms.answer)
    return Exchange(question.format(**words), answer.format(**words), kind)


def _named(thing: Thing) -> str:
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


def _what(found: list[Thing], choice: _Choice) -> Iterator[Exchange]:
    shown = [t for t in found if t.share > 0.002 and t.certainty != "unknown"][:7]
    if len(shown) >= 2:
        listed = nouns.enumerate_nouns([_named(thing) for thing in shown])
        yield _ask("objects", choice, _wording().objects, list=listed)


def _counts(found: list[Thing], choice: _Choice) -> Iterator[Exchange]:
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
        yield _ask(
            "count",
            choice,
            forms if sure else _Forms(ask=forms.ask, answer=forms.at_least),
            slot=thing.label,
            things=nouns.many(thing.label),
            counted=nouns.counted(thing.label, thing.count),
            number=nouns.number(thing.count),
            are="is" if thing.count == 1 else "are",
        )


def _presence(
    scene: Scene, found: list[Thing], located: tuple[Thing, str] | None, choice: _Choice
) -> Iterator[Exchange]:
    """Ask after one thing that is there and one that is not: both, or neither."""
    unnamed = nouns.MASS | nouns.PAIRS
    there = [
        t for t in found if t.share > 0.006 and t.label not in unnamed and t.certainty != "unknown"
    ]
    absent = _absent(scene, found)
    if not there or not absent:
        return
    thing = choice.of("there", there)
    plausible = sorted(nouns.same_setting(frozenset(t.label for t in found)).intersection(absent))
    missing = choice.of("absent", plausible or absent)
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
            "found": f"{_named(thing)} {where}".strip(),
            "are": "is" if single else "are",
        }
        answer = wording.yes if slot == "yes" else wording.no
        yield Exchange(wording.ask.format(**words), answer.format(**words), "yes-no")


def _absent(scene: Scene, found: list[Thing]) -> list[str]:
    """List labels that were looked for and are not there, beyond a careful reader's doubt."""
    spoken = frozenset(
        word for a in scene.annotations if isinstance(a, Caption) for word in words_of(a.text)
    )
    doubtful = frozenset().union(*(nouns.lookalikes(thing.label) for thing in found))
    doubtful |= nouns.MASS | nouns.PAIRS | nouns.OVERLOOKED
    return [
        label
        for label in scene.vocabulary
        if label not in doubtful and not nouns.speaks_of(spoken, label)
    ]


def _located(found: list[Thing], choice: _Choice) -> tuple[Thing, str] | None:
    """Choose a thing whose place is clear, and name the place."""
    single = [t for t in found if t.share > 0.008 and t.label not in nouns.PAIRS]
    placed = [(t, place(t.only)) for t in single if t.only]
    placed = [(thing, where) for thing, where in placed if where]
    return choice.of("where", placed) if placed else None


def _where(located: tuple[Thing, str] | None, choice: _Choice) -> Iterator[Exchange]:
    if located:
        thing, where = located
        words = _pronoun(thing.label)
        yield _ask("location", choice, _wording().location, label=thing.label, place=where, **words)


def _comparisons(found: list[Thing], choice: _Choice) -> Iterator[Exchange]:
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


def _size(pairs: list[tuple[Thing, Thing]], choice: _Choice) -> Iterator[Exchange]:
    clear = [
        (a, b)
        for a, b in pairs
        if a.share > 2 * b.share and a.mask_share > 2 * b.mask_share and a.share < 0.7
    ]
    if clear:
        big, small = choice.of("size", clear)
        a, b = choice.order("size order", (big.label, small.label))
        yield _pair("size", choice, _wording().size, a=a, b=b, big=big.label, small=small.label)


def _pair(kind: str, choice: "_Choice", pairs: tuple[_Pair, ...], **words: str) -> Exchange:
    """Fill a way to ask and its own answer."""
    chosen = choice.of(f"{kind} wording", pairs)
    return Exchange(chosen.ask.format(**words), chosen.answer.format(**words), kind)


def _position(pairs: list[tuple[_Placed, _Placed]], choice: _Choice) -> Iterator[Exchange]:
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
        yield _ask("position", choice, _wording().side, a=a, b=b, side=side, **_pronoun(a))
    elif above:
        high, low = choice.of("height", above)
        a, b = choice.order("height order", (high, low))
        yield _pair("position", choice, _wording().height, a=a, b=b, high=high, low=low)
