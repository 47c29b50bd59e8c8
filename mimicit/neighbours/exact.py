"""Every vector of a pool compared with every one that asks, in blocks, on all cores.

A product of two blocks of vectors is a product of matrices, and costs what the BLAS makes it cost.
What is left is to find the few best of thousands of scores for next to nothing: a score is looked
at only where it is above the worst that its row still keeps, so that after the first blocks hardly
any is. Each such score becomes one number with its row and its place, no two of which are equal;
sorting those settles everything at once, ties too.
"""

import functools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from threadpoolctl import ThreadpoolController

LIMIT = 2**24 - 1
"""What the squares of a vector must sum up to less than: up to there float32 adds exactly."""

ASKING_BLOCK = 768
POOL_BLOCK = 768
"""Sides of a block, 2 MB of scores for each thread; by powers of two the cache would be worse used.

Rows are numbered in the 10 bits above a key's place and score.
"""

MOST_THREADS = 16

PLACE_BITS, SCORE_BITS = 28, 25
ROW_SHIFT = PLACE_BITS + SCORE_BITS
HIGHEST = 2**24
NOTHING = (1 << ROW_SHIFT) - 1
"""Stands in a row where nothing is found: worse than any score."""


@functools.cache
def blas() -> ThreadpoolController:
    """Give the hold on how many threads a product of matrices takes.

    It takes one. OpenBLAS waits for the others by turning round and round: where there was more
    to do than there were cores, as with several builds at once, it was seen to do so for minutes.
    """
    return ThreadpoolController()


def threads() -> int:
    """Count the cores that this process may use, up to a limit."""
    own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(own or 1, MOST_THREADS))


def nearest(
    vectors: np.ndarray,
    asking: np.ndarray,
    pool: np.ndarray,
    k: int,
    advance: Callable[[int], None],
) -> tuple[np.ndarray, np.ndarray]:
    """Find for some vectors the nearest of a pool.

    Args:
        vectors: int8 of shape (n, d); no row's squares sum up to `LIMIT`.
        asking: Places of those to find neighbours for.
        pool: Places of those that may be found, ascending.
        k: How many to find, at most as many as there are in the pool.
        advance: Called with how many more of those that ask have been answered.

    Returns:
        Places and scores, int32 of shape (len(asking), k): the best first, of equal ones the
        smaller place; where there are fewer, -1 and 0.
    """
    places = np.full((len(asking), k), -1, np.int32)
    scores = np.zeros((len(asking), k), np.int32)
    if not (len(asking) and k):
        return places, scores
    workers = threads()
    rows = min(ASKING_BLOCK, max(64, -(-len(asking) // workers)))

    def answer(start: int) -> int:
        part = slice(start, start + rows)
        keys = _best(vectors, asking[part], pool, k)
        found = keys & NOTHING != NOTHING
        places[part] = np.where(found, pool[np.where(found, keys & ((1 << PLACE_BITS) - 1), 0)], -1)
        scores[part] = np.where(found, _score(keys), 0)
        return len(keys)

    starts = range(0, len(asking), rows)
    with blas().limit(limits=1, user_api="blas"), ThreadPoolExecutor(workers) as executor:
        for answered in executor.map(answer, starts):
            advance(answered)
    return places, scores


def _score(keys: np.ndarray) -> np.ndarray:
    return HIGHEST - ((keys >> PLACE_BITS) & ((1 << SCORE_BITS) - 1))


def _best(vectors: np.ndarray, asking: np.ndarray, pool: np.ndarray, k: int) -> np.ndarray:
    """Find the best of a pool for one block: keys of shape (len(asking), k), ascending.

    A key is made of the row, how far the score is below the highest there can be, and the place
    in the pool, so that the smallest of a row is its best.
    """
    rows = np.arange(len(asking), dtype=np.int64) << ROW_SHIFT
    best = np.repeat(rows | NOTHING, k).reshape(-1, k)
    silent = ~vectors[asking].any(axis=1)
    worst = np.where(silent, np.inf, -np.inf).astype(np.float32)
    pending: list[np.ndarray] = []
    waiting = 0
    better = np.empty((POOL_BLOCK, len(asking)), np.bool_)
    for start, scores in _products(vectors, asking, pool):
        hits = _hits(scores, worst, k, better[: len(scores)])
        place, row = np.divmod(hits, len(asking))
        below = HIGHEST - scores.reshape(-1)[hits].astype(np.int64)
        pending.append(row << ROW_SHIFT | below << PLACE_BITS | (place + start))
        waiting += len(hits)
        if waiting > best.size:  # sorting in what was found costs as much for one as for many
            best = _merged(best, rows, pending)
            worst = np.where(silent, np.inf, _score(best[:, -1])).astype(np.float32)
            pending, waiting = [], 0
    return _merged(best, rows, pending)


def _products(
    vectors: np.ndarray, asking: np.ndarray, pool: np.ndarray
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the start of each block of the pool and its scores, float32 of (block, asking).

    A vector's score with itself, and what fills up the last block, is minus infinity.
    """
    width = min(POOL_BLOCK, 1 << (len(pool) - 1).bit_length())
    columns = np.ascontiguousarray(vectors[asking].T, np.float32)
    block = np.empty((width, vectors.shape[1]), np.float32)
    scores = np.empty((width, len(asking)), np.float32)
    own = np.searchsorted(pool, asking)
    own[pool[np.minimum(own, len(pool) - 1)] != asking] = -1
    for start in range(0, len(pool), width):
        filled = min(width, len(pool) - start)
        block[:filled] = vectors[pool[start : start + filled]]
        np.matmul(block[:filled], columns, out=scores[:filled])
        scores[filled:] = -np.inf
        (inside,) = np.nonzero((own >= start) & (own < start + filled))
        scores[own[inside] - start, inside] = -np.inf
        yield start, scores


def _hits(scores: np.ndarray, worst: np.ndarray, k: int, better: np.ndarray) -> np.ndarray:
    """List where in a block a score is better than the worst that its column keeps."""
    np.greater(scores, worst, out=better)
    if np.count_nonzero(better) > better.size // 16:
        # As in the first block. What is not among the best k of this block alone can go.
        np.greater(scores, np.maximum(worst, _kth(scores, k) - 1), out=better)
    hits: np.ndarray = np.flatnonzero(better)
    return hits


def _kth(scores: np.ndarray, k: int) -> np.ndarray:
    """Give for each column a score that at least k of it reach, close to the k-th best.

    That is the k-th best of the maxima of groups, of which there are fewer to look at.
    """
    width, columns = scores.shape
    if k > width:
        return np.full(columns, -np.inf, np.float32)
    size = 1
    while width // (2 * size) > 2 * k:
        size *= 2
    maxima = scores.reshape(-1, size, columns).max(axis=1)
    kth: np.ndarray = np.partition(maxima, len(maxima) - k, axis=0)[len(maxima) - k]
    return kth


def _merged(best: np.ndarray, rows: np.ndarray, pending: list[np.ndarray]) -> np.ndarray:
    """Sort new keys in with the best so far, and keep as many for each row."""
    keys = np.concatenate([best.reshape(-1), *pending])
    keys.sort(kind="stable")
    firsts = np.searchsorted(keys, rows)
    kept: np.ndarray = keys[firsts[:, None] + np.arange(best.shape[1])]
    return kept
