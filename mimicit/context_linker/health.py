"""How good the links of a view are: what a card tells of them."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mimicit.catalogue import Catalogue
from mimicit.context_linker.choosing import Chooser, Chosen
from mimicit.context_linker.guards import Guards
from mimicit.context_linker.material import Material
from mimicit.context_linker.spec import STRATEGIES
from mimicit.context_linker.strategies import PROPOSING, mixed

SAMPLED = 2000
"""Queries that similarities and overlaps are measured on."""


@dataclass(frozen=True, slots=True)
class Health:
    """What is to be known of the links of one view.

    Attributes:
        queries: Instructions.
        full: Those that have all the examples they may have.
        some: Those that have fewer, but one at least.
        strategies: Examples by the strategy that found them.
        used: Part of the instructions of train that are an example of any other.
        in_degree: How often those of train are an example: median, 90th and 99th percentile, most.
        similarity: Mean cosine of query and example, what was said about both as the embedded
            text encoder has it; the example that is shown last first. None where texts played no
            part.
        random_similarity: The same of instructions that were drawn by chance.
        overlap: Mean part of the words of a query's answer that stand in one of its examples.
        random_overlap: The same of as many examples drawn by chance.
        turned_away: How many proposals each guard turned away.
        leaks: Examples that are what none may be: of a held-out split, the query itself, or, where
            they were to be about other pictures, of its scene or group or with a picture that
            nearly equals one of its own. 0, or something is wrong with the linker.
        searches: What searched for neighbours, and the recall of it where it is not exact.
    """

    queries: int
    full: int
    some: int
    strategies: Mapping[str, int]
    used: float
    in_degree: tuple[int, int, int, int]
    similarity: tuple[float, ...] | None
    random_similarity: float | None
    overlap: float
    random_overlap: float
    turned_away: Mapping[str, int]
    leaks: int
    searches: Mapping[str, Mapping[str, Any]]

    def record(self) -> dict[str, Any]:
        """Give it as plain values, as the manifest keeps it."""
        return asdict(self)


def examine(catalogue: Catalogue, chooser: Chooser, material: Material) -> Health:
    """Measure the links of one view, once all are chosen."""
    chosen = chooser.chosen
    counts, shots = chosen.counts, chooser.shots
    there = chosen.places >= 0
    used = np.bincount(chosen.places[there], minlength=len(catalogue))[catalogue.train]
    found = Counter(chosen.found_by(catalogue, np.arange(len(catalogue))))
    sample = _sample(catalogue)
    drawn = _drawn(catalogue, sample, chosen.places.shape[1])
    similarity, by_chance = _similarities(catalogue, chosen, material, sample, drawn)
    overlap = _overlap(catalogue, sample, chosen.places[sample])
    return Health(
        queries=len(catalogue),
        full=int(((counts >= shots) & (counts > 0)).sum()),
        some=int(((counts > 0) & (counts < shots)).sum()),
        strategies=dict(found.most_common()),
        used=round(float((used > 0).mean()), 4) if len(used) else 0.0,
        in_degree=_quantiles(used),
        similarity=similarity,
        random_similarity=by_chance,
        overlap=overlap,
        random_overlap=_overlap(catalogue, sample, drawn),
        turned_away={k: n for k, n in sorted(chooser.guards.turned_away.items()) if n},
        leaks=_leaks(catalogue, chosen, chooser.guards),
        searches={
            name: {"index": result.index, "recall": result.recall, "sampled": result.sampled}
            for name, result in sorted(material.searches.items())
            if name in material.used
        },
    )


def _quantiles(used: np.ndarray) -> tuple[int, int, int, int]:
    if not len(used):
        return 0, 0, 0, 0
    half, most, nearly, all_ = np.percentile(used, [50, 90, 99, 100], method="higher").tolist()
    return int(half), int(most), int(nearly), int(all_)


def _sample(catalogue: Catalogue) -> np.ndarray:
    """Choose some queries by the hashes of their ids."""
    return np.sort(np.argsort(catalogue.hashes, kind="stable")[:SAMPLED])


def _drawn(catalogue: Catalogue, queries: np.ndarray, shots: int) -> np.ndarray:
    """Draw as many examples by chance, of other groups than each query's; -1 where one is not."""
    pool = np.flatnonzero(catalogue.train)
    if not len(pool):
        return np.full((len(queries), shots), -1)
    chance = mixed(~catalogue.hashes[queries][:, None], np.arange(shots, dtype=np.uint64))
    places = pool[(chance % np.uint64(len(pool))).astype(np.int64)]
    apart = catalogue.groups[places] != catalogue.groups[queries][:, None]
    return np.where(apart, places, -1)


def _similarities(
    catalogue: Catalogue,
    chosen: Chosen,
    material: Material,
    queries: np.ndarray,
    drawn: np.ndarray,
) -> tuple[tuple[float, ...] | None, float | None]:
    """Compare queries with their examples, from the last one shown, and with others."""
    if not catalogue.scene_texts:
        return None, None
    means = []
    places, counts = chosen.places[queries], chosen.counts[queries]
    for rank in range(places.shape[1]):
        has = counts > rank
        if has.any():
            rows = np.flatnonzero(has)
            others = places[rows, counts[rows] - 1 - rank]
            means.append(_mean(material.scene_cosines(queries[rows], others)))
    rows, columns = np.nonzero(drawn >= 0)
    by_chance = material.scene_cosines(queries[rows], drawn[rows, columns])
    return tuple(means), _mean(by_chance) if len(rows) else None


def _overlap(catalogue: Catalogue, queries: np.ndarray, places: np.ndarray) -> float:
    """Measure which part of an answer's words stands in the examples, on the mean."""
    told = catalogue.told[queries]
    shown = np.zeros_like(told)
    for column in places.T:
        shown |= np.where((column >= 0)[:, None], catalogue.words[column], 0).astype(shown.dtype)
    total = np.bitwise_count(told).sum(axis=1, dtype=np.int64)
    found = np.bitwise_count(told & shown).sum(axis=1, dtype=np.int64)
    return _mean((found / np.maximum(total, 1))[total > 0])


def _mean(values: np.ndarray) -> float:
    return round(float(values.mean()), 4) if len(values) else 0.0


def _leaks(catalogue: Catalogue, chosen: Chosen, guards: Guards) -> int:
    """Count examples that are what none may be, from the links as they are."""
    queries, columns = np.nonzero(chosen.places >= 0)
    places = chosen.places[queries, columns].astype(np.int64)
    crosses = np.array([PROPOSING[name].crosses for name in STRATEGIES])
    apart = crosses[chosen.strategies[queries, columns]]
    wrong = ~catalogue.train[places] | (places == queries)
    same = catalogue.scenes[places] == catalogue.scenes[queries]
    same |= catalogue.groups[places] == catalogue.groups[queries]
    wrong |= apart & same
    rows = np.flatnonzero(apart & ~wrong)
    counted = guards.turned_away.copy()
    wrong[rows] |= guards.alike(queries[rows], places[rows])
    guards.turned_away = counted
    return int(wrong.sum())
