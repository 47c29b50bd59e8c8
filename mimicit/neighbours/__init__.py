"""Nearest vectors: exactly, or nearly so by an index where there are too many to compare all.

Vectors are whole numbers, so that their products are the same on every machine, in whatever order
a library adds, and so are the neighbours: the best first, of equally good ones the smaller place.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mimicit.neighbours import approximate, exact

IndexChoice = Literal["auto", "exact", "approximate"]
"""What to search with."""

EXACT_WORK = 185_000**2 * 256
"""Multiplications up to which `auto` searches exactly: all of 185,000 static vectors with all.

That takes some 3 minutes of a core (`tools/bench_linker.py`), and misses none. An index is faster
from about 25,000 on, and misses one or two of a hundred; at 185,000 it takes a minute.
"""


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """The nearest of each vector.

    Attributes:
        places: int32 of shape (asking, at most k): places in `vectors`, the best first; -1 where
            there are fewer.
        scores: int32 of the same shape: dot products; 0 where there is no neighbour.
        index: What searched: `exact` or `usearch`.
        expansion: How many candidates the index kept in a search; None for an exact one.
        recall: Share of the true neighbours, of the first 16 at most, that an index found for
            those it was measured on; None for an exact search, which finds all.
        sampled: How many vectors that was measured on.
        advice: What would make the next search faster, in a line for the user, or "".
    """

    places: np.ndarray
    scores: np.ndarray
    index: str = "exact"
    expansion: int | None = None
    recall: float | None = None
    sampled: int = 0
    advice: str = ""


def search(  # noqa: PLR0913  # the last three by name only
    vectors: np.ndarray,
    pool: np.ndarray,
    k: int,
    *,
    asking: np.ndarray | None = None,
    index: IndexChoice = "auto",
    tick: Callable[[int], None] | None = None,
) -> Neighbours:
    """Find for every vector its nearest in a pool. None finds itself, and a zero row nothing.

    Args:
        vectors: int8 of shape (n, d). Rows of up to 1,023 numbers are never too long.
        pool: Places of the vectors that may be found, ascending.
        k: How many to find.
        asking: Places of the vectors to find neighbours for; all where it is None.
        index: `auto` searches exactly up to `EXACT_WORK`, and above it where usearch is missing.
        tick: Called now and then with how many more are done, of as many as ask.

    Raises:
        UsageError: `index` is `approximate`, and usearch is not installed.
        ValueError: the vectors are so long that float32 could not add their products exactly.
    """
    pool = np.asarray(pool, np.int64)
    asking = np.arange(len(vectors)) if asking is None else np.asarray(asking, np.int64)
    _check(vectors)
    k = min(k, len(pool))
    many = len(asking) * len(pool) * vectors.shape[1] > EXACT_WORK
    if not (len(asking) and k):
        index = "exact"
    if index == "approximate" or (index == "auto" and many and approximate.installed()):
        told = _Told(tick, len(asking), len(pool) + len(asking))
        found = approximate.nearest(vectors, asking, pool, k, told.advance)
        return Neighbours(
            places=found.places,
            scores=found.scores,
            index="usearch",
            expansion=found.expansion,
            recall=found.recall,
            sampled=found.sampled,
        )
    told = _Told(tick, len(asking), len(asking))
    places, scores = exact.nearest(vectors, asking, pool, k, told.advance)
    missing = index == "auto" and many and not approximate.installed()
    return Neighbours(places, scores, advice=approximate.ADVICE if missing else "")


@dataclass(slots=True)
class _Told:
    """Tells how far a search is, in vectors of those that ask, whatever else it has to do."""

    tick: Callable[[int], None] | None
    asking: int
    steps: int
    done: int = 0

    def advance(self, steps: int) -> None:
        """Count steps, of as many as there are in all."""
        before = self.asking * self.done // self.steps
        self.done += steps
        more = self.asking * self.done // self.steps - before
        if self.tick and more:
            self.tick(more)


def _check(vectors: np.ndarray) -> None:
    if vectors.dtype != np.int8 or vectors.ndim != 2:
        raise ValueError(f"vectors are int8 of shape (n, d), not {vectors.dtype} {vectors.shape}")
    if vectors.shape[1] * 128**2 < exact.LIMIT:
        return
    for start in range(0, len(vectors), 4096):
        block = vectors[start : start + 4096].astype(np.int32)
        longest = int(np.einsum("nd,nd->n", block, block).max())
        if longest >= exact.LIMIT:
            raise ValueError(f"a vector's squares sum up to {longest}, and not below 2**24 - 1")
