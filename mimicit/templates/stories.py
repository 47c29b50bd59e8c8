"""A story over photographs: telling it, how it begins, goes on and ends, and what belongs where.

The sentences are somebody's invention, so no question takes them for facts: what is asked for is
always a story, or the photograph that a sentence was written for. A story with a sentence that
cannot be published is not told as a whole; only sentences that stand on their own are used then.
"""

import re
from collections.abc import Iterator
from functools import cache, cached_property
from itertools import pairwise

from pydantic import BaseModel

from mimicit.annotations import Story
from mimicit.checks import text_problem
from mimicit.facts import words_of
from mimicit.schema import Exchange, Scene
from mimicit.templates._untokenised import mended
from mimicit.templates.wording import Choice, Forms, Phrases, ask, wording

ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth")

FEWEST = 3
"""Sentences that make a story."""


class _Wording(BaseModel, extra="forbid"):
    """The file `prompts/templates/stories.yaml`."""

    story: Phrases
    opening: Phrases
    ending: Phrases
    continuation: Phrases
    matching: Forms
    names: tuple[str, ...]
    seeable: frozenset[str]
    dependent: frozenset[str]

    @cached_property
    def capitals(self) -> dict[str, str]:
        """Names by how they read in lower case."""
        return {name.lower(): name for name in self.names}


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
    sentence = mended(text, _wording().capitals)
    return sentence if sentence and not text_problem(sentence) else ""


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
    if first and not _leans(first) and not re.match(r"[A-Z](?!uring|orning|vening)\w+ing\b", first):
        yield Exchange(choice.of(f"opening {slot}", form.opening), first, "opening")
    if last and all(sentences):
        told = " ".join(sentences[:-1])
        question = choice.of(f"ending {slot}", form.ending).format(story=told)
        yield Exchange(question, last, "ending")


def _leans(sentence: str) -> bool:
    """Tell whether a sentence takes up something that was said before it."""
    words = words_of(sentence)
    return not words or words[0] in _wording().dependent


def _continuation(
    scene: Scene, story: Story, sentences: list[str], choice: Choice
) -> Iterator[Exchange]:
    """Ask how the story goes on from one photograph to the next: not to the last, see `_whole`."""
    if not _in_order(scene, story):
        return
    pairs = [
        (place, one, following)
        for place, (one, following) in enumerate(pairwise(sentences[:-1]))
        if one and following and (place == 0 or not _leans(one))
    ]
    pairs = [pair for pair in pairs if pair[0] + 1 < len(ORDINALS)]
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
    seen = [_things(text) for text in story.sentences]
    clear = [
        place
        for place, sentence in enumerate(sentences)
        if sentence
        and story.images[place] < len(ORDINALS)
        and _wording().dependent.isdisjoint(words_of(sentence)[:1])
        and seen[place].difference(*(other for at, other in enumerate(seen) if at != place))
    ]
    if clear:
        place = choice.of(f"matching {story.id}", clear)
        words = {"text": sentences[place], "ordinal": ORDINALS[story.images[place]]}
        words["number"] = str(story.images[place] + 1)
        words["Ordinal"] = words["ordinal"].capitalize()
        yield ask("matching", choice, _wording().matching, slot=story.id, **words)


def _things(text: str) -> frozenset[str]:
    """List the things of a sentence that a photograph shows, each by its singular."""
    named = _wording().seeable
    found = {word.removesuffix("'s") for word in words_of(text)}
    singular = {word if word in named else word.removesuffix("s") for word in found}
    return frozenset(singular) & named
