"""Nearest vectors by usearch's graph (HNSW, Malkov and Yashunin 2018, arXiv:1603.09320).

The graph only proposes. What it proposes is scored again, exactly, and sorted as an exact search
would sort it. How much it misses is measured each time, on vectors chosen by a hash of their
places, against what an exact search finds for them.

One thread builds the graph: with several, what it looks like would depend on which was faster.
"""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from mimicit.errors import UsageError
from mimicit.neighbours import exact
from mimicit.neighbours.exact import HIGHEST

CONNECTIVITY = 16
EXPANSION_ADD = 96
"""How many edges a vector has, and how many candidates they are chosen from."""

EXPANSIONS = (64, 128, 256, 512)
"""How many candidates a search keeps: each is tried until enough is found."""

ENOUGH = 0.95
"""Share of the true neighbours that a search has to find."""

MEASURED = 16
SAMPLED = 2000
"""Of how many neighbours the share is taken, and over how many vectors."""

SPARE = 8
"""How many more than asked for are scored again, so that ties are settled by place."""

ADDED_BLOCK = 8192
SEARCHED_BLOCK = 2048
"""Vectors added and searched for at a time."""

SCORED_BYTES = 4 * 2**20
"""Memory for the vectors, as float32, that are scored at a time."""

ADVICE = "an index finds nearly the same in a fraction of the time: pip install 'mimicit[index]'"
"""What to tell a user who searches through very many without one."""

NOTHING = np.iinfo(np.int64).max
"""Sorts after every key of a score and a place."""


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What an approximate search found.

    Attributes:
        places: As `exact.nearest` gives them.
        scores: The same.
        expansion: How many candidates the search kept.
        recall: Share of the true neighbours that were found, of the sampled vectors.
        sampled: How many vectors that is measured on.
    """

    places: np.ndarray
    scores: np.ndarray
    expansion: int
    recall: float
    sampled: int


def installed() -> bool:
    """Tell whether there is a library for it."""
    return find_spec("usearch") is not None


def nearest(
    vectors: np.ndarray,
    asking: np.ndarray,
    pool: np.ndarray,
    k: int,
    advance: Callable[[int], None],
) -> Found:
    """Find for some vectors the nearest of a pool, or nearly so.

    Args:
        vectors: As for `exact.nearest`, and so are the others.
        asking: Places of those to find neighbours for.
        pool: Places of those that may be found.
        k: How many to find.
        advance: Called with how many more have been added to the index or answered.

    Raises:
        UsageError: usearch is not installed.
    """
    index = _built(vectors, pool, k, advance)
    speaking = asking[vectors[asking].any(axis=1)]
    sample = np.sort(speaking[np.argsort(_hashed(speaking), kind="stable")[:SAMPLED]])
    true = exact.nearest(vectors, sample, pool, min(k, MEASURED), _quietly)
    for expansion in EXPANSIONS:
        index.expansion_search = expansion
        recall = _recall(true, _searched(index, vectors, sample, k, _quietly))
        if recall >= ENOUGH:
            break
    places, scores = _searched(index, vectors, asking, k, advance)
    return Found(places, scores, expansion, recall, len(sample))


def _quietly(_count: int) -> None:
    """Tell nobody."""


def _built(vectors: np.ndarray, pool: np.ndarray, k: int, advance: Callable[[int], None]) -> Any:
    try:
        library = import_module("usearch.index")
    except ImportError as exc:
        raise UsageError(f"there is no index to search in; {ADVICE}") from exc
    index = library.Index(
        ndim=vectors.shape[1],
        metric="ip",
        dtype="i8",
        connectivity=CONNECTIVITY,
        expansion_add=EXPANSION_ADD,
    )
    order = _apart(vectors, pool, k)
    advance(len(pool) - len(order))
    for start in range(0, len(order), ADDED_BLOCK):
        part = order[start : start + ADDED_BLOCK]
        index.add(part.astype(np.uint64), vectors[part], threads=1)
        advance(len(part))
    return index


def _apart(vectors: np.ndarray, pool: np.ndarray, k: int) -> np.ndarray:
    """Order a pool so that equal vectors do not follow each other.

    A graph to which many are added in a row has no way from the rest to some of them. Those that
    no search can find are left out: of equal vectors the first k + 1 take all places.
    """
    digests = (blake2b(vectors[place].tobytes(), digest_size=8).digest() for place in pool)
    hashes = np.frombuffer(b"".join(digests), "<u8")
    order = np.argsort(hashes, kind="stable")
    alike = hashes[order]
    before = np.empty(len(pool), np.int64)  # how many equal ones come before each
    before[order] = np.arange(len(pool)) - np.searchsorted(alike, alike)
    (kept,) = np.nonzero(before <= k)
    apart: np.ndarray = pool[kept[np.argsort(before[kept], kind="stable")]]
    return apart


def _hashed(places: np.ndarray) -> np.ndarray:
    """Mix places into numbers that have no order left (splitmix64)."""
    mixed = places.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    hashed: np.ndarray = mixed ^ (mixed >> np.uint64(31))
    return hashed


def _recall(true: tuple[np.ndarray, np.ndarray], found: tuple[np.ndarray, np.ndarray]) -> float:
    """Give the share of neighbours that are as good as the true ones, whichever they are."""
    there = true[0] >= 0
    least = np.where(there, true[1], HIGHEST).min(axis=1, keepdims=True)
    good = (found[0] >= 0) & (found[1] >= least)
    hits = np.minimum(good.sum(axis=1), there.sum(axis=1)).sum()
    return float(hits / max(1, there.sum()))


def _searched(
    index: Any,
    vectors: np.ndarray,
    asking: np.ndarray,
    k: int,
    advance: Callable[[int], None],
) -> tuple[np.ndarray, np.ndarray]:
    """Let the index propose, score what it proposes, and keep the best."""
    places = np.full((len(asking), k), -1, np.int32)
    scores = np.zeros((len(asking), k), np.int32)
    speaking = np.flatnonzero(vectors[asking].any(axis=1))
    advance(len(asking) - len(speaking))
    for start in range(0, len(speaking), SEARCHED_BLOCK):
        rows = speaking[start : start + SEARCHED_BLOCK]
        queries = asking[rows]
        keys = np.sort(_scored(vectors, queries, _proposed(index, vectors[queries], k)), axis=1)
        found = keys != NOTHING
        places[rows] = np.where(found, keys & 0xFFFFFFFF, -1)[:, :k]
        scores[rows] = np.where(found, HIGHEST - (keys >> 32), 0)[:, :k]
        advance(len(rows))
    return places, scores


def _proposed(index: Any, queries: np.ndarray, k: int) -> np.ndarray:
    """Give the places that the index proposes, int64 of shape (queries, k + 1 + SPARE), or -1."""
    count = k + 1 + SPARE  # one finds itself
    twice = np.concatenate([queries, queries[:1]])  # what comes back for one alone has no rows
    found = index.search(twice, count, threads=exact.threads())
    filled = np.arange(count) < found.counts[:, None]
    places: np.ndarray = np.where(filled, found.keys.astype(np.int64), -1)[:-1]
    return places


def _scored(vectors: np.ndarray, queries: np.ndarray, proposed: np.ndarray) -> np.ndarray:
    """Give each proposed place a key that sorts by score, then by place."""
    shape = -1, proposed.shape[1], vectors.shape[1]
    rows = max(1, SCORED_BYTES // (4 * shape[1] * shape[2]))
    keys = np.empty(proposed.shape, np.int64)
    with exact.blas().limit(limits=1, user_api="blas"):
        for start in range(0, len(queries), rows):
            part = slice(start, start + rows)
            asking = vectors[queries[part]].astype(np.float32)[:, :, None]
            others = vectors.take(proposed[part].reshape(-1), axis=0).astype(np.float32)
            scores = np.matmul(others.reshape(shape), asking)[:, :, 0]
            keys[part] = (HIGHEST - scores.astype(np.int64)) << 32 | proposed[part]
    keys[(proposed < 0) | (proposed == queries[:, None])] = NOTHING
    return keys
