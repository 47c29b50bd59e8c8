"""A story over photographs: telling it, how it begins, goes on and ends, and what belongs where.

The sentences are somebody's invention, so no question takes them for facts: what is asked for is
always a story, or the photograph that a sentence was written for. A story with a sentence that
cannot be published is not told as a whole; only sentences that stand on their own are used then.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cache, cached_property
from itertools import pairwise
from typing import Annotated

from pydantic import BaseModel, Field

from mimicit.annotations import Story
from mimicit.checks import text_problem
from mimicit.facts import words_of
from mimicit.schema import Exchange, Scene
from mimicit.templates import _pronouns
from mimicit.templates._clauses import Verbs
from mimicit.templates._untokenised import mended
from mimicit.templates.wording import Choice, Pair, Phrases, wording

ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth")

_TAKING_UP = [["the", word] for word in ("other", "others", "rest", "same", "third", "last")]

FEWEST = 3
"""Sentences that make a story."""


class _Wording(BaseModel, extra="forbid"):
    """The file `prompts/templates/stories.yaml`."""

    story: Phrases
    opening: Phrases
    ending: Phrases
    continuation: Phrases
    matching: Annotated[tuple[Pair, ...], Field(min_length=1)]
    names: tuple[str, ...]
    persons: frozenset[str]
    seeable: frozenset[str]
    kin: tuple[frozenset[str], ...]
    other_senses: Phrases
    dependent: frozenset[str]
    continuing: frozenset[str]
    elsewhere: frozenset[str]
    verbs: Verbs
    mistakes: Phrases

    @cached_property
    def capitals(self) -> dict[str, str]:
        """Names by how they read in lower case."""
        return {name.lower(): name for name in self.names}

    @cached_property
    def mistaken(self) -> re.Pattern[str]:
        """What shows that a word of a sentence is not the one that was meant."""
        return re.compile("|".join(f"(?:{one})" for one in self.mistakes), re.IGNORECASE)

    @cached_property
    def unseen(self) -> re.Pattern[str]:
        """Phrases in which the name of a thing does not stand for one."""
        return re.compile(rf"\b(?:{'|'.join(self.other_senses)})\b", re.IGNORECASE)

    def kin_of(self, thing: str) -> frozenset[str]:
        """List a thing, and by which other words one speaks of it."""
        return frozenset({thing}).union(*(words for words in self.kin if thing in words))


@cache
def _wording() -> _Wording:
    return wording("stories", _Wording)


def write(scene: Scene, choice: Choice) -> Iterator[Exchange]:
    """Write what a story supports, in a fixed order of kinds.

    Args:
        scene: A scene with stories over its photographs.
        choice: Varies the wording and the choice among sentences that could be asked about.
    """
    for story in (a for a in scene.annotations if isinstance(a, Story)):
        sentences = [_publishable(text) for text in story.sentences]
        yield from _whole(scene, story, sentences, choice)
        yield from _continuation(scene, story, sentences, choice)
        yield from _matching(scene, story, sentences, choice)


def _publishable(text: str) -> str:
    """Give a sentence as it can be published; "" where it is none, or is not certain."""
    form = _wording()
    sentence = mended(text, form.capitals, form.persons)
    if not sentence or text_problem(sentence) or form.mistaken.search(sentence):
        return ""
    return sentence if form.verbs.are_whole(sentence) else ""


def _in_order(scene: Scene, story: Story) -> bool:
    """Tell whether the story has one sentence for each photograph, in the order shown."""
    return story.images == tuple(range(len(scene.images)))


def _whole(scene: Scene, story: Story, sentences: list[str], choice: Choice) -> Iterator[Exchange]:
    if not _in_order(scene, story) or len(sentences) < FEWEST:
        return
    form = _wording()
    slot = story.id
    if all(sentences):
        words = {"number": str(len(sentences))}
        question = choice.of(f"story {slot}", form.story).format(**words)
        yield Exchange(question, " ".join(sentences), "story")
    first, last = sentences[0], sentences[-1]
    if first and not _leans(first):
        yield Exchange(choice.of(f"opening {slot}", form.opening), first, "opening")
    if last and all(sentences):
        told = " ".join(sentences[:-1])
        question = choice.of(f"ending {slot}", form.ending).format(story=told)
        yield Exchange(question, last, "ending")


def _leans(sentence: str) -> bool:
    """Tell whether a sentence takes up something that was said before it."""
    words = words_of(sentence)
    if not words or words[0] in _wording().dependent or words[:2] in _TAKING_UP:
        return True
    return not _pronouns.are_clear(sentence)


def _continuation(
    scene: Scene, story: Story, sentences: list[str], choice: Choice
) -> Iterator[Exchange]:
    """Ask how the story goes on from one photograph to the next: not to the last, see `_whole`."""
    if not _in_order(scene, story):
        return
    pairs = [
        (place, one, following)
        for place, (one, following) in enumerate(pairwise(sentences[:-1][: len(ORDINALS)]))
        if one and following and _pronouns.are_clear(one) and (place == 0 or not _leans(one))
        if _pronouns.are_clear(following, told=one)
    ]
    if pairs:
        place, one, following = choice.of(f"continuation {story.id}", pairs)
        form = choice.of(f"continuation ask {story.id}", _wording().continuation)
        here, there = ORDINALS[place], ORDINALS[place + 1]
        yield Exchange(form.format(text=one, here=here, there=there), following, "continuation")


def _matching(
    scene: Scene, story: Story, sentences: list[str], choice: Choice
) -> Iterator[Exchange]:
    """Ask for which photograph a sentence was written, if it names what no other one does."""
    if len(scene.images) < FEWEST or len(set(story.images)) < len(story.images):
        return
    clear = [
        place
        for place, sentence in enumerate(sentences)
        if sentence
        and story.images[place] < len(ORDINALS)
        and not _leans(sentence)
        and _is_of_one(place, story.sentences)
    ]
    if clear:
        place = choice.of(f"matching {story.id}", clear)
        pair = choice.of(f"matching wording {story.id}", _wording().matching)
        words = {"text": sentences[place], "ordinal": ORDINALS[story.images[place]]}
        words["number"] = str(story.images[place] + 1)
        yield Exchange(pair.ask.format(**words), pair.answer.format(**words), "matching")


def _is_of_one(place: int, told: Sequence[str]) -> bool:
    """Tell whether a sentence names a thing that a photograph shows, and the others do not."""
    form = _wording()
    mine = words_of(told[place].replace(" n't", " not"))
    following = words_of(told[place + 1]) if place + 1 < len(told) else []
    if not form.elsewhere.isdisjoint(mine) or "n't" in told[place]:
        return False  # "we went by train, as I do not have a car"
    if not form.continuing.isdisjoint(following[:1]) or "ones" in following:
        return False  # "It was very long": the next photograph may show the same
    others = {word for at, text in enumerate(told) if at != place for word in _singulars(text)}
    named = _singulars(form.unseen.sub(" ", told[place])) & form.seeable
    return any(others.isdisjoint(form.kin_of(thing)) for thing in named)


def _singulars(text: str) -> frozenset[str]:
    """List the words of a sentence; those that may be plurals, in the singular as well."""
    found = {word.removesuffix("'s") for word in words_of(text)}
    found |= {word.removesuffix("ies") + "y" for word in found if word.endswith("ies")}
    return frozenset(word.removesuffix(ending) for word in found for ending in ("", "s", "es"))
