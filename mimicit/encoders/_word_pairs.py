"""Text as vectors: embedded, without a download, the same on every machine.

Words and pairs of neighbouring words are hashed into 1,024 signed buckets (feature hashing,
Weinberger et al. 2009, arXiv:0902.2206), weighted by how rare a bucket is (tf-idf), brought to
one length and rounded to whole numbers. Whole numbers are what makes neighbours reproducible:
the sum of products of two such vectors stays below 2**24 (Cauchy-Schwarz), where float32
arithmetic is exact in whatever order a library adds.
"""

import itertools
import math
import re
import zlib
from collections import Counter

import numpy as np

DIMENSIONS = 1024
LENGTH = 4000
"""Euclidean length of every vector before rounding; `(LENGTH + sqrt(DIMENSIONS)) ** 2 < 2**24`."""


class TextVectors:
    """Vectors of many texts, built up by `add` and weighted once all are known."""

    def __init__(self) -> None:
        self._buckets: list[np.ndarray] = []
        self._counts: list[np.ndarray] = []

    def add(self, text: str) -> None:
        """Count a text's words; the texts keep the order in which they are added."""
        counts = _bucket_counts(text)
        self._buckets.append(np.fromiter(counts.keys(), np.int16, len(counts)))
        self._counts.append(np.fromiter(counts.values(), np.int8, len(counts)))

    def __len__(self) -> int:
        return len(self._buckets)

    def matrix(self) -> np.ndarray:
        """Weight and round: int16 of shape (texts, DIMENSIONS), every row of length LENGTH.

        The row of a text without words is zero.
        """
        total = len(self._buckets)
        frequency = np.zeros(DIMENSIONS, np.int64)
        for buckets in self._buckets:
            frequency[buckets] += 1
        # Whole numbers, so that a logarithm that differs in its last bit does not show.
        rarity = np.array(
            [round(64 * math.log2((total + 1) / (n + 1))) + 1 for n in frequency.tolist()]
        )
        vectors = np.zeros((total, DIMENSIONS), np.int16)
        for row, buckets, counts in zip(vectors, self._buckets, self._counts, strict=True):
            weights = counts.astype(np.int64) * rarity[buckets]
            length = math.sqrt(int((weights * weights).sum()))
            if length:
                row[buckets] = np.rint(weights * LENGTH / length)
        return vectors


def _bucket_counts(text: str) -> dict[int, int]:
    """Count a text's words and word pairs by bucket; the sign is part of the hash."""
    words = re.findall(r"\w+", text.lower())
    features = Counter(words)
    features.update(f"{a} {b}" for a, b in itertools.pairwise(words))
    counts: dict[int, int] = {}
    for feature, count in features.items():
        hashed = zlib.crc32(feature.encode("utf-8", "surrogatepass"))
        sign = 1 if hashed & 0x80000000 else -1
        bucket = hashed % DIMENSIONS
        counts[bucket] = counts.get(bucket, 0) + sign * min(count, 3)
    return {bucket: max(-100, min(100, count)) for bucket, count in counts.items() if count}
