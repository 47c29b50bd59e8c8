"""Vectors of texts by how they are spelt: embedded, and of no language in particular.

Words and all runs of three letters in them are hashed into 1,024 signed buckets (feature
hashing, Weinberger et al. 2009, arXiv:0902.2206), weighted by how rare a bucket is (tf-idf). The
runs find what words have in common whose endings differ, in any script, and also where words are
not parted by spaces.

A short text fills few buckets, with numbers larger than int8 holds. So vectors are turned by a
fixed rotation (Walsh-Hadamard), which spreads them over all 1,024 numbers and leaves every inner
product what it was. All of it is arithmetic with whole numbers, the same on every machine.
"""

import functools
import itertools
import math
import re
import sys
import unicodedata
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from mimicit.encoders import batches, quantise

DIMENSIONS = 1024

RUN = 3
"""Letters in a run."""

MOST_TIMES = 3
"""As how often a word counts at most in one text."""

MOST_COUNT = 50
"""What a bucket counts at most in one text. With RARITY_UNIT it keeps all sums below 2**24."""

RARITY_UNIT = 8
"""Steps of rarity for each halving of how many texts fill a bucket."""

BATCH_TEXTS = 1024
BATCH_LETTERS = 2**18

KNOWN_LETTERS = 32
"""Words of up to so many letters are remembered with their buckets."""


class Ngrams:
    """The embedded encoder of text in any language."""

    name = "ngrams-1024"
    dimensions = DIMENSIONS

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Give an int8 row for each text, words weighed by how rare they are among these texts.

        The row of a text without words is zero.
        """
        counted = [_count(batch) for _, batch in batches(texts, BATCH_TEXTS, BATCH_LETTERS)]
        frequency = np.zeros(DIMENSIONS, np.int64)
        for part in counted:
            frequency += np.bincount(part.buckets, minlength=DIMENSIONS)
        # Whole numbers, so that a logarithm that differs in its last bit does not show.
        rarity = np.array(
            [
                round(RARITY_UNIT * math.log2((len(texts) + 1) / (n + 1))) + 1
                for n in frequency.tolist()
            ]
        )
        vectors = np.zeros((len(texts), DIMENSIONS), np.int8)
        start = 0
        for part in counted:
            end = start + len(part.sizes)
            vectors[start:end] = quantise(_turned(part, rarity))
            start = end
        return vectors


class _Counts(NamedTuple):
    """What texts fill which buckets: for each text how many, and one after the other."""

    sizes: np.ndarray
    buckets: np.ndarray
    counts: np.ndarray


def _count(texts: Sequence[str]) -> _Counts:
    """Count words and runs of letters by bucket."""
    places: list[int] = []
    times: list[int] = []
    for row, text in enumerate(texts):
        offset = row * DIMENSIONS
        for word, count in Counter(_words(text)).items():
            found = _known(word) if len(word) <= KNOWN_LETTERS else tuple(_hashed(word))
            places += [offset + bucket for bucket, _ in found]
            times += [sign * min(count, MOST_TIMES) for _, sign in found]
    summed = np.bincount(places, times, len(texts) * DIMENSIONS) if places else np.zeros(0)
    filled = np.flatnonzero(summed)
    sizes = np.bincount(filled // DIMENSIONS, minlength=len(texts))
    counts = np.clip(summed[filled], -MOST_COUNT, MOST_COUNT)
    return _Counts(sizes, (filled % DIMENSIONS).astype(np.int16), counts.astype(np.int8))


def _turned(part: _Counts, rarity: np.ndarray) -> np.ndarray:
    """Weigh the counts of texts and turn them: float64 of shape (texts, DIMENSIONS)."""
    side = math.isqrt(DIMENSIONS)
    weights = np.zeros((len(part.sizes), DIMENSIONS), np.float32)
    rows = np.repeat(np.arange(len(part.sizes)), part.sizes)
    weights[rows, part.buckets] = part.counts * rarity[part.buckets]
    turned: np.ndarray = _rotation() @ weights.reshape(-1, side, side) @ _rotation()
    return turned.reshape(-1, DIMENSIONS).astype(np.float64)


@functools.cache
def _rotation() -> np.ndarray:
    """Make the matrix of ones and minus ones whose product with itself over two axes it is."""
    matrix = np.ones((1, 1), np.float32)
    while len(matrix) < math.isqrt(DIMENSIONS):
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix


def _words(text: str) -> list[str]:
    """Find the words of a text, spelt one way."""
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    return _any_word().findall(unicodedata.normalize("NFKC", text).casefold())


_ASCII_WORD = re.compile(r"\w+", re.ASCII)


@functools.cache
def _any_word() -> re.Pattern[str]:
    """Compile what a word is: letters, digits, and the marks that some scripts put on them."""
    letters = map(chr, range(sys.maxunicode + 1))
    marks = "".join(each for each in letters if unicodedata.category(each).startswith("M"))
    return re.compile(rf"[\w{marks}]+")


@functools.lru_cache(maxsize=2**16)
def _known(word: str) -> tuple[tuple[int, int], ...]:
    return tuple(_hashed(word))


def _hashed(word: str) -> Iterator[tuple[int, int]]:
    """Give bucket and sign of a word, and of each run of letters in it, its ends marked."""
    marked = f"<{word}>"
    ends = range(RUN, len(marked) + 1)
    for feature in itertools.chain([word], (marked[end - RUN : end] for end in ends)):
        hashed = zlib.crc32(feature.encode("utf-8", "surrogatepass"))
        yield hashed % DIMENSIONS, 1 if hashed & 0x80000000 else -1
