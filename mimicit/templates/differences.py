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
from mimicit.templates.wording import Choice, Forms, Phrases, ask, wording

MOST = 4
"""How many differences of a pair are asked for one by one."""


class _Topic(BaseModel, extra="forbid"):
    """What a question may ask for: words that speak of it, and ways to ask."""

    words: frozenset[str]
    ask: Phrases


class _Wording(BaseModel, extra="forbid"):
    """The file `prompts/templates/differences.yaml`."""

    differences: Phrases
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
    said = [a for a in scene.annotations if isinstance(a, Difference)]
    if len(scene.images) != 2 or {(one.before, one.after) for one in said} != {(0, 1)}:
        return
    naming = [one.text for one in said if not one.none]
    if said and not naming:
        yield from _nothing_differs(choice)
        return
    told = _sentences(naming)
    if not told:
        return
    form = _wording()
    yield Exchange(choice.of("all ask", form.differences), " ".join(told), "differences")
    alone = [text for text in told if not _is_half(text, told)]
    if len(told) > 1:
        yield from _one_by_one(choice.order("which", alone)[:MOST], choice)
    if alone:
        yield ask("yes-no", choice, form.changed, difference=choice.of("yes", alone))


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


def _sentences(texts: list[str]) -> list[str]:
    sided = any(_mending.names_a_side(text) for text in texts)
    made = [_mending.sentence(text, _wording().mending, sided=sided) for text in texts]
    return list(dict.fromkeys(text for text in made if text))


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
