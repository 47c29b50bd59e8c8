"""Two pictures and sentences on how they differ: all of it, one by one, and whether anything does.

A sentence is used where it can be read by itself. Its direction is its own: what says which
picture shows a thing is told of the first or of the second one, and of what does not say so no more
is told than that one of them shows it.
"""

import re
from collections.abc import Iterator
from functools import cache

from pydantic import BaseModel

from mimicit.annotations import Difference
from mimicit.facts import words_of
from mimicit.schema import Exchange, Scene
from mimicit.templates import _mending
from mimicit.templates._naming import names_a_side
from mimicit.templates.wording import Choice, Forms, Phrases, ask, wording

MOST = 4
"""How many differences of a pair are asked for one by one."""

LONGEST = 500
"""Characters in which it is said why nothing is written."""

YES_OF = 30
"""One of so many pairs that differ is asked whether it does, as hardly any pair is known not to.

Of the 2,358 pairs of Spot-the-Diff's val and test one in 36 is.
"""


class _Topic(BaseModel, extra="forbid"):
    """What a question may ask for: words that speak of it, and ways to ask."""

    words: frozenset[str]
    ask: Phrases


class _Wording(BaseModel, extra="forbid"):
    """The file `prompts/templates/differences.yaml`."""

    differences: Phrases
    some: Phrases
    one: Phrases
    none: Phrases
    topics: dict[str, _Topic]
    changed: Forms
    unchanged: Phrases
    mending: _mending.Words


@cache
def _wording() -> _Wording:
    return wording("differences", _Wording)


def write(scene: Scene, choice: Choice) -> Iterator[Exchange]:
    """Write what the sentences support: nothing where none of them can be read by itself.

    Nor where "these two pictures" could be others, or "the second one" is the one that came first.
    """
    said = _said(scene)
    naming = [one for one in said if not one.none]
    if said and not naming:
        yield from _nothing_differs(choice)
        return
    mended = _mended(naming)
    told = list(dict.fromkeys(one.text for one in mended if one.text))
    if not told:
        return
    yield from _all_of_them(told, choice, whole=all(one.text for one in mended))
    form = _wording()
    alone = [text for text in told if not _is_half(text, told)]
    if len(told) > 1:
        yield from _one_by_one(choice.order("which", alone)[:MOST], choice)
    if alone and choice.of("yes of", range(YES_OF)) == 0:
        yield ask("yes-no", choice, form.changed, difference=choice.of("yes", alone))


def silence(scene: Scene) -> str:
    """Say why nothing is written: what is wrong with each sentence."""
    said = _said(scene)
    if not said:
        return "it is not said of its two pictures, the first and then the second, how they differ"
    naming = [one for one in said if not one.none]
    found = zip(naming, _mended(naming), strict=True)
    whole = "; ".join(f"{one.text!r}: {mended.problem}" for one, mended in found)
    return whole if len(whole) <= LONGEST else f"{whole[:LONGEST]} …"


def _said(scene: Scene) -> list[Difference]:
    """List what is said of both pictures; nothing where it is of others, or the other way round."""
    said = [a for a in scene.annotations if isinstance(a, Difference)]
    in_order = {(one.before, one.after) for one in said} == {(0, 1)}
    return said if len(scene.images) == 2 and in_order else []


def _all_of_them(told: list[str], choice: Choice, *, whole: bool) -> Iterator[Exchange]:
    """Ask what differs; for some of it, where not all that was typed can be told."""
    form = _wording()
    if whole:
        questions, kind = form.differences, "differences"
    elif len(told) > 1:
        questions, kind = form.some, "differences"
    else:
        questions, kind = form.one, "difference"
    yield Exchange(choice.of("all ask", questions), " ".join(told), kind)


_COMPARES = re.compile(
    r"\b(?:more|fewer|less|no|not|than|only|missing|gone|new|another|extra|additional|different|moved"
    r"|now|added|closer|farther|further|other|but|while|whereas|appears?|absent|disappeared)\b|n't"
)


def _is_half(text: str, told: list[str]) -> bool:
    """Tell whether a sentence says what one picture shows, and another one what the other does."""
    one, other = "first picture" in text, "second picture" in text
    if one == other or _COMPARES.search(text):
        return False
    missing = "second picture" if one else "first picture"
    return any(missing in another for another in told)


def _mended(said: list[Difference]) -> list[_mending.Mended]:
    sided = any(names_a_side(one.text) for one in said)
    words = _wording().mending
    return [_mending.sentence(one.text, words, sided=sided, directed=one.directed) for one in said]


def _nothing_differs(choice: Choice) -> Iterator[Exchange]:
    form = _wording()
    question = choice.of("all ask", form.differences)
    yield Exchange(question, choice.of("none", form.none), "differences")
    question = choice.of("yes-no  ask", form.changed.ask)
    yield Exchange(question, choice.of("unchanged", form.unchanged), "yes-no")


def _one_by_one(told: list[str], choice: Choice) -> Iterator[Exchange]:
    """Ask for one difference after the other, by what it is about where that is clear."""
    form = _wording()
    questions = {
        name: choice.order(name, topic.ask) for name, topic in sorted(form.topics.items())
    } | {"": choice.order("one", form.one)}
    for text in told:
        spoken = set(words_of(text))
        about = [name for name, topic in form.topics.items() if spoken & topic.words]
        left = questions[about[0] if len(about) == 1 else ""] or questions[""]
        if left:
            yield Exchange(left.pop(), text, "difference")
