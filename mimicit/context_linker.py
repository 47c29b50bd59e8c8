"""Which instructions are shown before which, as in-context examples.

MIMIC-IT (arXiv:2306.05425, section 3.1) gives each instruction related ones by a function of its
source; the code for it was never published. Here a strategy proposes candidates for a query, best
first, and the same guards hold for all of them: never the query itself, never the same question
and answer twice, only instructions of the train split, and, for strategies that look at other
pictures, none that shares a picture with the query, and one from each scene.

Strategies are combined by fallback: with `same-group,similar-text` the second fills what the first
leaves empty.
"""

import hashlib
import itertools
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from mimicit.catalogue import Catalogue, Linkable, Sharing
from mimicit.encoders import LENGTH
from mimicit.errors import UsageError
from mimicit.neighbours import nearest
from mimicit.schema import Links

DEFAULT_SHOTS = 3


@dataclass(frozen=True, slots=True)
class LinkSpec:
    """How to link: which strategies, each filling what those before it left, and how many shots.

    Raises:
        UsageError: a strategy is unknown or named twice, or `shots` is out of range.
    """

    strategies: tuple[str, ...]
    shots: int = DEFAULT_SHOTS
    seed: int = 0

    def __post_init__(self) -> None:
        for name in self.strategies:
            if name not in STRATEGIES:
                raise UsageError(
                    f"there is no link strategy {name!r}; there are: {', '.join(STRATEGIES)}"
                )
        if not self.strategies or len(set(self.strategies)) < len(self.strategies):
            raise UsageError(f"--link takes different strategies, separated by commas, not {self}")
        if not 0 <= self.shots <= 64:
            raise UsageError(f"--shots takes a number from 0 to 64, not {self.shots}")

    @classmethod
    def parse(cls, text: str, shots: int = DEFAULT_SHOTS, seed: int = 0) -> "LinkSpec":
        """Read strategies as a user writes them: `same-group,similar-text`."""
        return cls(tuple(name.strip() for name in text.split(",") if name.strip()), shots, seed)

    def __str__(self) -> str:
        return ",".join(self.strategies)


Candidates = Iterable[tuple[int, float]]
"""(place in the catalogue, score), best first."""

Proposer = Callable[[int], Candidates]
"""Proposes candidates for the query at a place; called with ascending places."""


Chosen = list[tuple[int, float, str]]
"""Examples as they are to be shown, the best one last: place, score, strategy that found it."""


@dataclass(frozen=True, slots=True)
class Strategy:
    """A way to find examples. `crosses` says that they must be about other pictures."""

    prepare: Callable[[Catalogue, LinkSpec], Proposer]
    crosses: bool


def link(instructions: Iterable[Linkable], specs: Mapping[str, LinkSpec]) -> Iterator[Links]:
    """Choose the in-context examples of every instruction.

    Args:
        instructions: All of them, those of one scene together, in the order of a dataset.
        specs: How to link the queries of each source, by its name. Their examples may come from
            any source.

    Yields:
        One `Links` for each instruction that has examples, in the same order; the best example
        comes last, next to the query, because that is the one that models copy most.
    """
    catalogue = catalogue_of(instructions, specs)
    for query, chosen in enumerate(choose(catalogue, specs)):
        if chosen:
            yield Links(
                query_id=catalogue.id(query),
                context_ids=[catalogue.id(place) for place, _, _ in chosen],
                scores=[score for _, score, _ in chosen],
                strategies=[strategy for _, _, strategy in chosen],
            )


def catalogue_of(instructions: Iterable[Linkable], specs: Mapping[str, LinkSpec]) -> Catalogue:
    """Read all instructions, as far as the strategies need."""
    with_text = any("similar-text" in spec.strategies for spec in specs.values())
    return Catalogue(instructions, with_text=with_text)


def choose(catalogue: Catalogue, specs: Mapping[str, LinkSpec]) -> Iterator[Chosen]:
    """Choose the in-context examples of every instruction: `link` by places.

    Yields:
        For each place, also where nothing was found, the examples.
    """
    proposers = {
        source: {name: STRATEGIES[name].prepare(catalogue, spec) for name in spec.strategies}
        for source, spec in specs.items()
    }
    for query, code in enumerate(catalogue.sources):
        source = catalogue.source_names[code]
        chosen: dict[int, tuple[float, str]] = {}
        for name, propose in proposers[source].items():
            if len(chosen) < specs[source].shots:
                _fill(chosen, specs[source].shots, catalogue, query, name, propose(query))
        yield [(place, round(score, 4), by) for place, (score, by) in reversed(chosen.items())]


def _fill(  # noqa: PLR0913  # one step of `choose`, with its state
    chosen: dict[int, tuple[float, str]],
    shots: int,
    catalogue: Catalogue,
    query: int,
    name: str,
    candidates: Candidates,
) -> None:
    """Take a strategy's candidates that pass the guards until there are enough."""
    crosses = STRATEGIES[name].crosses
    questions, scenes, is_train = catalogue.questions, catalogue.scenes, catalogue.is_train
    asked = {questions[query], *(questions[place] for place in chosen)}
    shown = {scenes[query], *(scenes[place] for place in chosen)}
    pictures = catalogue.picture_sets[catalogue.pictures[query]]
    for place, score in candidates:
        if len(chosen) >= shots:
            return
        if (
            place == query
            or place in chosen
            or not is_train[place]
            or questions[place] in asked
            or (
                crosses
                and (
                    scenes[place] in shown
                    or not pictures.isdisjoint(catalogue.picture_sets[catalogue.pictures[place]])
                )
            )
        ):
            continue
        chosen[place] = (score, name)
        asked.add(questions[place])
        shown.add(scenes[place])


def _rotate(places: list[int], query: int) -> Candidates:
    """Propose the places after the query's, round and round, so that none is always first."""
    start = bisect_right(places, query)
    turned = itertools.chain(
        itertools.islice(places, start, None), itertools.islice(places, 0, start)
    )
    return ((place, 1.0) for place in turned)


def _same_image(catalogue: Catalogue, _spec: LinkSpec) -> Proposer:
    """Other instructions about exactly the same pictures, in their order."""
    same = Sharing(catalogue.pictures, catalogue.train)
    return lambda query: _rotate(same.with_place(query), query)


def _same_group(catalogue: Catalogue, _spec: LinkSpec) -> Proposer:
    """Other instructions of the same image, video, album or room, in their order."""
    same = Sharing(catalogue.groups, catalogue.train)
    return lambda query: _rotate(same.with_place(query), query)


def _similar_text(catalogue: Catalogue, spec: LinkSpec) -> Proposer:
    """Instructions of the query's kind from the scenes whose answers are most alike, then others.

    Searching scenes instead of instructions keeps ten questions about one picture from filling
    the list, and the wording of a question from outweighing what the picture shows.
    """
    vectors = catalogue.texts.matrix()
    scenes = range(catalogue.scene_count)
    pool = np.array([s for s in scenes if catalogue.train[catalogue.of_scene(s)[0]]], np.int64)
    rows = nearest(vectors, pool, 4 * spec.shots + 8, LENGTH) if len(pool) else iter(())
    scene, found = -1, (np.array([], np.int64), np.array([]))

    def propose(query: int) -> Iterator[tuple[int, float]]:
        nonlocal scene, found
        while scene < catalogue.scenes[query]:
            scene, found = scene + 1, next(rows, found)
        kind = catalogue.kinds[query]
        proposed = []
        for other, score in zip(found[0].tolist(), found[1].tolist(), strict=True):
            places = catalogue.of_scene(other)
            start = _hash(spec.seed, catalogue.id(query), catalogue.id(places[0])) % len(places)
            turned = itertools.chain(places[start:], places[:start])
            proposed += [(place, score) for place in turned]
        yield from (each for each in proposed if catalogue.kinds[each[0]] == kind)
        yield from (each for each in proposed if catalogue.kinds[each[0]] != kind)

    return propose


def _random(catalogue: Catalogue, spec: LinkSpec) -> Proposer:
    """Any instructions about other pictures, by seed: the baseline other strategies must beat."""
    pool = np.flatnonzero(catalogue.train).astype(np.int32)

    def propose(query: int) -> Iterator[tuple[int, float]]:
        for draw in range(8 * spec.shots + 32 if len(pool) else 0):
            yield int(pool[_hash(spec.seed, catalogue.id(query), draw) % len(pool)]), 0.0

    return propose


def _hash(*parts: object) -> int:
    digest = hashlib.blake2b("\0".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")


STRATEGIES: dict[str, Strategy] = {
    "same-image": Strategy(_same_image, crosses=False),
    "same-group": Strategy(_same_group, crosses=False),
    "similar-text": Strategy(_similar_text, crosses=True),
    "random": Strategy(_random, crosses=True),
}
"""Every strategy by the name it has on the command line."""
