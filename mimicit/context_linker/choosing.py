"""Choosing: proposals that pass the guards, until each query has its examples; then their order."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mimicit.catalogue import Catalogue
from mimicit.context_linker.guards import Guards
from mimicit.context_linker.material import Material
from mimicit.context_linker.spec import STRATEGIES, LinkSpec
from mimicit.context_linker.strategies import PROPOSING, Proposer, mixed

BLOCK = 4096
"""Queries that are dealt with at once."""

MOST_ROUNDS = 64
"""Rounds in which queries that lost an example to a cap may look for another."""

CONVERSATION = STRATEGIES.index("conversation")


@dataclass(slots=True)
class Chosen:
    """The examples of every query, best first until `arrange` puts them in the order to show.

    Attributes:
        places: Of shape (queries, shots); -1 where there are fewer.
        scores: Similarities; of the same shape.
        strategies: Which strategy found each, as a place in `STRATEGIES`.
        labels: What each strategy is called in the links of each source: of shape (sources,
            strategies).
    """

    places: np.ndarray
    scores: np.ndarray
    strategies: np.ndarray
    labels: np.ndarray

    @classmethod
    def none(cls, queries: int, specs: Sequence[LinkSpec]) -> "Chosen":
        """Make room."""
        shape = (queries, max((spec.shots for spec in specs), default=0))
        labels = np.array([[spec.label(name) for name in STRATEGIES] for spec in specs], object)
        places, scores = np.full(shape, -1, np.int32), np.zeros(shape)
        return cls(places, scores, np.zeros(shape, np.int8), labels)

    def found_by(self, catalogue: Catalogue, queries: np.ndarray) -> list[str]:
        """Say what found the examples of some queries, one after the other."""
        there = self.places[queries] >= 0
        sources = np.broadcast_to(catalogue.sources[queries][:, None], there.shape)[there]
        found: list[str] = self.labels[sources, self.strategies[queries][there]].tolist()
        return found

    @property
    def counts(self) -> np.ndarray:
        """How many examples each query has."""
        return self.counts_of(slice(None))

    def counts_of(self, queries: np.ndarray | slice) -> np.ndarray:
        """How many examples some queries have."""
        found: np.ndarray = (self.places[queries] >= 0).sum(axis=1)
        return found

    def keep(self, queries: np.ndarray, kept: np.ndarray) -> None:
        """Leave out the examples of some queries that are not kept, and close the gaps."""
        order = np.argsort(~kept, axis=1, kind="stable")
        for table in (self.places, self.scores, self.strategies):
            rows = np.take_along_axis(table[queries], order, 1)
            if table is self.places:
                rows[~np.take_along_axis(kept, order, 1)] = -1
            table[queries] = rows


@dataclass(slots=True)
class _Full:
    """Instructions that are examples as often as they may be, and what it takes to be preferred.

    Attributes:
        places: Whether each is full.
        scores: Score of the last query that each serves.
        queries: That query.
    """

    places: np.ndarray
    scores: np.ndarray
    queries: np.ndarray

    def refuse(self, queries: np.ndarray, places: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """Tell which proposals are refused: the example has better queries than that."""
        worse = scores < self.scores[places]
        tied = scores == self.scores[places]
        refused: np.ndarray = self.places[places] & (
            worse | (tied & (queries > self.queries[places]))
        )
        return refused


class Chooser:
    """Chooses the examples of the queries of one view.

    Args:
        catalogue: All instructions.
        specs: How to link the queries of each source, by its name.
        material: What they are compared by.

    Attributes:
        shots: How many examples each query may have.
        guards: What was turned away, and why.
        chosen: What was chosen, once `choose` has come to its end.
    """

    chosen: Chosen

    def __init__(
        self,
        catalogue: Catalogue,
        specs: Mapping[str, LinkSpec],
        material: Material,
    ) -> None:
        self._catalogue = catalogue
        material.used = set()
        self._specs = [specs[name] for name in catalogue.source_names]
        self.shots = np.array([spec.shots for spec in self._specs], int)[catalogue.sources]
        self.guards = Guards(catalogue, material.descriptors)
        self._proposers: list[dict[str, Proposer]] = [
            {name: PROPOSING[name].prepare(catalogue, spec, material) for name in spec.strategies}
            for spec in self._specs
        ]

    def choose(self) -> Iterator[int]:
        """Choose for all queries, telling after each block how many were dealt with.

        `chosen` holds the result at the end.
        """
        catalogue = self._catalogue
        self.chosen = Chosen.none(len(catalogue), self._specs)
        for start in range(0, len(catalogue), BLOCK):
            queries = np.arange(start, min(start + BLOCK, len(catalogue)))
            self._fill(queries, None)
            yield len(queries)
        self._cap()
        self._keep_within_tokens()
        arrange(self.chosen, catalogue, self._specs)

    def _fill(self, queries: np.ndarray, full: _Full | None) -> None:
        """Choose anew for some queries."""
        self.chosen.places[queries] = -1
        sources = self._catalogue.sources[queries]
        for source in np.unique(sources).tolist():
            spec, mine = self._specs[source], queries[sources == source]
            for name in spec.strategies:
                short = mine[self.chosen.counts_of(mine) < spec.shots]
                if len(short):
                    self._take(short, name, self._proposers[source][name], spec, full)

    def _take(
        self,
        queries: np.ndarray,
        name: str,
        propose: Proposer,
        spec: LinkSpec,
        full: _Full | None,
    ) -> None:
        """Take a strategy's proposals, the best ones first, as far as the guards let them."""
        strategy = PROPOSING[name]
        proposed = propose(queries)
        allowed = self.guards.allowed(queries, proposed, strategy, spec)
        if full is not None:
            places = np.where(proposed.places >= 0, proposed.places, 0)
            allowed &= ~full.refuse(queries[:, None], places, proposed.scores)
        mine = _Set(self._catalogue, self.chosen, queries, spec)
        for place, score, good in zip(proposed.places.T, proposed.scores.T, allowed.T, strict=True):
            rows = np.flatnonzero(good)
            rows = rows[mine.fits(rows, place[rows], crosses=strategy.crosses)]
            if strategy.crosses:
                rows = rows[~self.guards.alike(queries[rows], place[rows])]
            mine.add(rows, place[rows], score[rows], STRATEGIES.index(name))
            if mine.complete:
                break
        mine.store()

    def _cap(self) -> None:
        """Let no instruction be an example more often than its queries' caps allow.

        Each keeps the queries that are most like it, of equal ones those that come first; the
        others look for another example, which may fill that one in turn. A cut-off only ever
        rises, so that this ends (deferred acceptance, Gale and Shapley 1962).
        """
        caps = {spec.most_used for spec in self._specs if spec.most_used}
        if not caps:
            return
        cap, total = min(caps), len(self._catalogue)
        full = _Full(np.zeros(total, np.bool_), np.zeros(total), np.zeros(total, np.int64))
        for turn in range(MOST_ROUNDS):
            losers = self._cut(cap, full)
            if not len(losers):
                return
            self.guards.turned_away["used often enough"] += len(losers)
            for start in range(0, len(losers) if turn < MOST_ROUNDS - 1 else 0, BLOCK):
                self._fill(losers[start : start + BLOCK], full)
        for query in losers.tolist():  # whoever still lost one goes without it
            kept = self.chosen.places[query] >= 0
            places = np.where(kept, self.chosen.places[query], 0)
            kept &= ~full.refuse(np.full(len(kept), query), places, self.chosen.scores[query])
            self.chosen.keep(np.array([query]), kept[None])

    def _cut(self, cap: int, full: _Full) -> np.ndarray:
        """Set the cut-off of each instruction that is used too often; list who lost it."""
        rows, columns = np.nonzero(self.chosen.places >= 0)
        places, scores = self.chosen.places[rows, columns], self.chosen.scores[rows, columns]
        order = np.lexsort((rows, -scores, places))
        rows, places, scores = rows[order], places[order], scores[order]
        starts = np.searchsorted(places, places, side="left")
        rank = np.arange(len(places)) - starts
        last = rank == cap - 1
        full.places[places[last]] = True
        full.scores[places[last]], full.queries[places[last]] = scores[last], rows[last]
        return np.unique(rows[rank >= cap])

    def _keep_within_tokens(self) -> None:
        """Leave out the least similar examples where query and examples are too long together."""
        for source, spec in enumerate(self._specs):
            if spec.tokens:
                mine = np.flatnonzero(self._catalogue.sources == source)
                places = self.chosen.places[mine]
                each = np.where(places >= 0, self._catalogue.tokens[places], 0)
                total = self._catalogue.tokens[mine][:, None] + np.cumsum(each, axis=1)
                kept = (places >= 0) & (total <= spec.tokens)
                lost = int((places >= 0).sum() - kept.sum())
                self.guards.turned_away["too long together"] += lost
                self.chosen.keep(mine, kept)


class _Set:
    """The examples that some queries have so far, and what goes with them.

    Args:
        catalogue: All instructions.
        chosen: Where they are kept.
        queries: The queries.
        spec: How many there may be, and whether their answers must differ.
    """

    def __init__(
        self, catalogue: Catalogue, chosen: Chosen, queries: np.ndarray, spec: LinkSpec
    ) -> None:
        self._catalogue, self._chosen, self._queries, self._spec = catalogue, chosen, queries, spec
        self._places = chosen.places[queries].astype(np.int64)
        self._scores, self._strategies = chosen.scores[queries], chosen.strategies[queries]
        self._counts = (self._places >= 0).sum(axis=1)

    @property
    def complete(self) -> bool:
        """Whether every query has all it may have."""
        return bool((self._counts >= self._spec.shots).all())

    def fits(self, rows: np.ndarray, places: np.ndarray, *, crosses: bool) -> np.ndarray:
        """Tell which of the places go with what each row has: bool of their length."""
        known, has = self._catalogue, self._places[rows]
        there = has >= 0
        good = self._counts[rows] < self._spec.shots
        good &= ~(has == places[:, None]).any(axis=1)
        same = known.questions[has] == known.questions[places][:, None]
        good &= ~(there & same).any(axis=1)
        if crosses:
            same = known.scenes[has] == known.scenes[places][:, None]
            good &= ~(there & same).any(axis=1)
        if self._spec.balance and self._spec.shots > 1:
            classes = known.classes[places]
            # The second one already, so that no examples that are left of a set are all alike.
            alike = there.any(axis=1) & (known.classes[has[:, 0]] == classes)
            good &= ~((self._counts[rows] == 1) & alike & (classes > 0))
        return np.asarray(good)

    def add(self, rows: np.ndarray, places: np.ndarray, scores: np.ndarray, by: int) -> None:
        """Add an example to each of some rows."""
        at = self._counts[rows]
        self._places[rows, at], self._scores[rows, at] = places, scores
        self._strategies[rows, at] = by
        self._counts[rows] += 1

    def store(self) -> None:
        """Write them back."""
        self._chosen.places[self._queries] = self._places
        self._chosen.scores[self._queries] = self._scores
        self._chosen.strategies[self._queries] = self._strategies


def arrange(chosen: Chosen, catalogue: Catalogue, specs: list[LinkSpec]) -> None:
    """Put the examples of every query in the order in which they are shown."""
    for source, spec in enumerate(specs):
        for start in range(0, len(catalogue), 16 * BLOCK):
            block = np.arange(start, min(start + 16 * BLOCK, len(catalogue)))
            queries = block[catalogue.sources[block] == source]
            places = chosen.places[queries].astype(np.int64)
            ranks = np.broadcast_to(np.arange(places.shape[1]), places.shape)
            if spec.order == "similar-last":
                keys = -ranks
            elif spec.order == "similar-first":
                keys = ranks
            elif spec.order == "time":
                keys = places
            else:
                chance = mixed(
                    catalogue.hashes[queries][:, None] + spec.chance,
                    catalogue.hashes[places],
                )
                keys = (chance >> np.uint64(2)).astype(np.int64)
            turns = chosen.strategies[queries] == CONVERSATION
            never = np.int64(1) << 62
            order = np.lexsort(
                (np.where(turns, places, keys), np.where(places < 0, never, turns)), axis=1
            )
            for table in (chosen.places, chosen.scores, chosen.strategies):
                table[queries] = np.take_along_axis(table[queries], order, 1)
