"""Nearest vectors, exactly, in blocks, with ties settled by position."""

import functools
from collections.abc import Iterator

import numpy as np
from threadpoolctl import ThreadpoolController

BLOCK_BYTES = 16 * 2**20
"""Memory for one block of scores."""


@functools.cache
def _blas() -> ThreadpoolController:
    """Give the hold on how many threads a product of matrices takes.

    It takes one. OpenBLAS waits for the others by turning round and round: where there was more
    to do than there were cores, as with several builds at once, it was seen to do so for minutes.
    """
    return ThreadpoolController()


def nearest(
    vectors: np.ndarray, pool: np.ndarray, k: int, length: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield, for every vector, its nearest in a pool, best first.

    Args:
        vectors: Integers of shape (n, d) whose products are exact in float32 (`mimicit.encoders`).
        pool: Indices of the vectors that may be found, ascending.
        k: How many to find. A vector in the pool finds itself as well.
        length: Euclidean length of the vectors, to bring scores to [-1, 1].

    Yields:
        For each vector in order (indices, cosine similarities), both of length min(k, len(pool)).
        Of equal ones the smaller index comes first.
    """
    k = min(k, len(pool))
    searched = vectors[pool].astype(np.float32).T
    rows = max(1, BLOCK_BYTES // (16 * max(1, len(pool))))
    for start in range(0, len(vectors), rows):
        block = vectors[start : start + rows].astype(np.float32)
        with _blas().limit(limits=1, user_api="blas"):
            scores = (block @ searched).astype(np.int64)
        # A score and a position in one number: no two are equal, so that any sort is stable.
        ranked = scores * len(pool) - np.arange(len(pool))
        best = np.argpartition(-ranked, k - 1, axis=1)[:, :k] if k < len(pool) else None
        for row in range(len(scores)):
            candidates = best[row] if best is not None else np.arange(len(pool))
            order = candidates[np.argsort(-ranked[row, candidates])]
            yield pool[order], scores[row, order] / (length * length)
