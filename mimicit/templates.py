"""The embedded teacher: questions and answers written by rule from typed annotations, for free.

Everything said is taken from `mimicit.facts`, which settles what may be claimed; here it is put
into words. Wording varies by a hash of the seed, the scene and the kind of question, so that the
same scene always reads the same whatever stands beside it.
"""

import hashlib
from collections.abc import Iterator, Sequence
from typing import TypeVar

from mimicit import nouns
from mimicit.facts import GENERIC, Thing, best_captions, place, things, words_of
from mimicit.schema import Caption, Exchange, Scene

NAME = "templates"
"""Teacher id of what is written here."""

T = TypeVar("T")

BRIEF = (
    "Describe this picture in one sentence.",
    "What does this picture show?",
    "Give a short caption for this picture.",
    "In one sentence, what can be seen here?",
    "Sum up what is in this image.",
    "Write a brief caption for this image.",
    "How would you describe this picture to someone who cannot see it, in one sentence?",
    "What is this a picture of?",
)
DETAIL = (
    "Describe this picture in more detail.",
    "Tell me more about what can be seen in this picture.",
    "What is in this picture? Mention the smaller things too.",
    "Describe this image and the things in it.",
    "Give a fuller description of this picture.",
    "What can you tell me about this image?",
)
DETAIL_ENDINGS = (
    "You can also see {list}.",
    "{List} can be seen as well.",
    "The picture also shows {list}.",
)
WHAT = (
    "What things can you make out in this picture?",
    "What can be seen in this picture? Just list the things.",
    "Which objects are in this image?",
    "List what you can see in this picture.",
    "What are the things visible in this image?",
    "Name some of the things in this picture.",
)
WHAT_ANSWERS = (
    "The picture shows {list}.",
    "I can see {list}.",
    "You can see {list}.",
    "In this picture I can make out {list}.",
)
HOW_MANY = (
    "How many {things} are there in this picture?",
    "How many {things} can you see?",
    "What is the number of {things} in this image?",
    "Count the {things} in this picture.",
    "How many {things} are in the picture?",
)
COUNT_ANSWERS = (
    "There {are} {counted} in the picture.",
    "I can see {counted}.",
    "There {are} {counted}.",
    "I count {counted}.",
)
AT_LEAST_ANSWERS = (
    "There are at least {counted} in the picture.",
    "I can see at least {counted}.",
    "At least {number}, and there may be more.",
    "I can make out at least {counted}.",
)
IS_THERE = (
    ("Is there {one} in this picture?", "there is {found}", "there is no {label}"),
    ("Can you see {one} in this image?", "I can see {found}", "I can't see {one}"),
    ("Does this picture show {one}?", "it shows {found}", "it doesn't show {one}"),
    ("Are there any {things} in this picture?", "there {are} {found}", "there are no {things}"),
    ("Do you see any {things} here?", "I see {found}", "I don't see any {things}"),
)
WHERE = (
    "Where in the picture is the {label}?",
    "Where is the {label}?",
    "In which part of the image is the {label}?",
    "Whereabouts in this picture can I find the {label}?",
)
WHERE_ANSWERS = ("The {label} is {place}.", "You can find the {label} {place}.", "{It} {is} {place}.")
BIGGER = (
    (
        "Which takes up more of the picture, the {a} or the {b}?",
        "The {big} takes up more of the picture than the {small}.",
    ),
    ("Does the {a} or the {b} fill more of this image?", "The {big} fills more of it than the {small}."),
    (
        "Which appears larger in this picture, the {a} or the {b}?",
        "The {big} appears larger than the {small}.",
    ),
)
SIDE = (
    "Is the {a} to the left or to the right of the {b} in this picture?",
    "On which side of the {b} is the {a}, as seen in the picture?",
    "Looking at the picture, is the {a} left or right of the {b}?",
)
SIDE_ANSWERS = ("The {a} is to the {side} of the {b}.", "{It} {is} to the {side} of the {b}.")
HIGHER = (
    (
        "Which is higher up in the picture, the {a} or the {b}?",
        "The {high} is higher up than the {low}.",
    ),
    (
        "Of the {a} and the {b}, which one is nearer to the top of the image?",
        "The {high} is nearer to the top than the {low}.",
    ),
)


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
    return [
        *_descriptions(captions, found, choice),
        *_what(found, choice),
        *_counts(found, choice),
        *_presence(scene, found, choice),
        *_where(found, choice),
        *_comparisons(found, choice),
    ]


def _descriptions(captions: list[str], found: list[Thing], choice: _Choice) -> Iterator[Exchange]:
    if not captions:
        return
    brief = captions[0]
    yield Exchange(choice.of("brief", BRIEF), brief, "description")
    fuller = max(captions[:3], key=len)
    said = frozenset(words_of(fuller))
    unsaid = [
        thing
        for thing in found
        if thing.label != "person"
        and thing.certainty != "unknown"
        and thing.share > 0.004
        and not nouns.speaks_of(said, thing.label)
    ]
    if unsaid and not said & GENERIC:
        names = [_named(thing) for thing in unsaid[:4]]
        listed = nouns.enumerate_nouns(names)
        ending = choice.of("ending", DETAIL_ENDINGS).format(list=listed, List=listed[:1].upper() + listed[1:])
        yield Exchange(choice.of("detail", DETAIL), f"{fuller} {ending}", "detail")


def _named(thing: Thing) -> str:
    """Name a thing with as much of a number as is sure: "a dog", "two dogs", "several dogs"."""
    if thing.count == 1 and not thing.crowd:
        return nouns.one(thing.label)
    if thing.certainty == "exact" and thing.label not in nouns.MASS:
        return nouns.counted(thing.label, thing.count)
    if thing.count == 2 and not thing.crowd:
        return f"some {nouns.many(thing.label)}"
    if thing.label == "person" and thing.crowd:
        return "a group of people"
    return f"several {nouns.many(thing.label)}"


def _what(found: list[Thing], choice: _Choice) -> Iterator[Exchange]:
    shown = [t for t in found if t.share > 0.002 and t.certainty != "unknown"][:7]
    if len(shown) >= 2:
        listed = nouns.enumerate_nouns([_named(thing) for thing in shown])
        yield Exchange(
            choice.of("what", WHAT), choice.of("what-answer", WHAT_ANSWERS).format(list=listed), "objects"
        )


def _counts(found: list[Thing], choice: _Choice) -> Iterator[Exchange]:
    countable = [
        thing
        for thing in found
        if thing.label not in nouns.MASS
        and (thing.certainty == "exact" or (thing.certainty == "at least" and thing.count > 1))
    ]
    several = [thing for thing in countable if thing.count > 1]
    single = [thing for thing in countable if thing.count == 1 and thing.share > 0.01]
    chosen = choice.order("count", several)[:2] or choice.order("count-one", single)[:1]
    for thing in chosen:
        slot = f"count {thing.label}"
        counted = nouns.counted(thing.label, thing.count)
        answers = COUNT_ANSWERS if thing.certainty == "exact" else AT_LEAST_ANSWERS
        yield Exchange(
            choice.of(slot, HOW_MANY).format(things=nouns.many(thing.label)),
            choice.of(f"{slot} answer", answers).format(
                counted=counted,
                number=nouns.number(thing.count),
                are="is" if thing.count == 1 else "are",
            ),
            "count",
        )


def _presence(scene: Scene, found: list[Thing], choice: _Choice) -> Iterator[Exchange]:
    """Ask after one thing that is there and one that is not: both, or neither."""
    unnamed = nouns.MASS | nouns.PAIRS
    there = [t for t in found if t.share > 0.006 and t.label not in unnamed and t.certainty != "unknown"]
    absent = _absent(scene, found)
    if not there or not absent:
        return
    thing = choice.of("there", there)
    plausible = sorted(nouns.same_setting(frozenset(t.label for t in found)).intersection(absent))
    missing = choice.of("absent", plausible or absent)
    for slot, label in choice.order("yes-no", (("yes", thing.label), ("no", missing))):
        question, yes, no = choice.of(f"{slot} wording", IS_THERE)
        words = {"one": nouns.one(label), "things": nouns.many(label), "label": label}
        if slot == "yes":
            where = place(thing.only) if thing.only else ""
            single = thing.count == 1 and not thing.crowd
            found_text = f"{_named(thing)} {where}".strip()
            answer = yes.format(found=found_text, are="is" if single else "are")
            answer = answer.replace("there is", "there are") if not single else answer
            yield Exchange(question.format(**words), f"Yes, {answer}.", "yes-no")
        else:
            yield Exchange(question.format(**words), f"No, {no.format(**words)}.", "yes-no")


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


def _where(found: list[Thing], choice: _Choice) -> Iterator[Exchange]:
    single = [t for t in found if t.share > 0.008 and t.label not in nouns.PAIRS]
    placed = [(t, place(t.only)) for t in single if t.only]
    placed = [(thing, where) for thing, where in placed if where]
    if placed:
        thing, where = choice.of("where", placed)
        yield Exchange(
            choice.of("where wording", WHERE).format(label=thing.label),
            choice.of("where answer", WHERE_ANSWERS).format(
                label=thing.label, place=where, **_pronoun(thing.label)
            ),
            "location",
        )


def _comparisons(found: list[Thing], choice: _Choice) -> Iterator[Exchange]:
    """Compare two things of which there is one each: by size, by side, by height."""
    single = [t for t in found if t.only and t.share > 0.008 and t.label not in nouns.PAIRS]
    pairs = [(a, b) for i, a in enumerate(single) for b in single[i + 1 :]]
    yield from _size(pairs, choice)
    yield from _position(pairs, choice)


def _pronoun(label: str) -> dict[str, str]:
    return {"It": "They", "is": "are"} if label in nouns.PAIRS | {"person"} else {"It": "It", "is": "is"}


def _size(pairs: list[tuple[Thing, Thing]], choice: _Choice) -> Iterator[Exchange]:
    clear = [(a, b) for a, b in pairs if a.share > 2 * b.share and a.mask_share > 2 * b.mask_share]
    if clear:
        big, small = choice.of("size", clear)
        a, b = choice.order("size order", (big.label, small.label))
        question, answer = choice.of("size wording", BIGGER)
        yield Exchange(
            question.format(a=a, b=b), answer.format(big=big.label, small=small.label), "size"
        )


def _position(pairs: list[tuple[Thing, Thing]], choice: _Choice) -> Iterator[Exchange]:
    beside, above = [], []
    for one, other in pairs:
        if one.only is None or other.only is None:
            continue
        left, right = sorted((one, other), key=lambda t: t.only or ())
        if (left.only or ())[2] < (right.only or ())[0] + 0.01:
            beside.append((left, right))
        high, low = sorted((one, other), key=lambda t: (t.only or ())[1])
        if (high.only or ())[3] < (low.only or ())[1] + 0.01:
            above.append((high, low))
    if beside and (not above or choice.of("axis", (True, False))):
        left, right = choice.of("side", beside)
        (a, side), (b, _) = choice.order("side order", ((left.label, "left"), (right.label, "right")))
        yield Exchange(
            choice.of("side wording", SIDE).format(a=a, b=b),
            choice.of("side answer", SIDE_ANSWERS).format(a=a, b=b, side=side, **_pronoun(a)),
            "position",
        )
    elif above:
        high, low = choice.of("height", above)
        a, b = choice.order("height order", (high.label, low.label))
        question, answer = choice.of("height wording", HIGHER)
        yield Exchange(
            question.format(a=a, b=b), answer.format(high=high.label, low=low.label), "position"
        )
