"""Texts and pictures as vectors of whole numbers, whose neighbours are like them in meaning.

Two text encoders are embedded, run without a download, and give the same numbers on every
machine: `static` (English), which is the default, and `ngrams` (any language). Models of one's
own and endpoints are adapters; what they give is kept (`mimicit.encoders.cache`).

Whole numbers are what makes neighbours reproducible. Vectors are brought to the length
`length(d)` and rounded to int8, so that the products of two of them, and all sums of such
products on the way to their inner product, stay below (length(d) + sqrt(d)) ** 2
(Cauchy-Schwarz), which is below 2**24 up to 30,000 dimensions. There float32 arithmetic is exact,
in whatever order a library adds.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
from PIL import Image

from mimicit.errors import UsageError

MOST_DIMENSIONS = 30_000
"""Up to how many dimensions the inner product of two vectors is exact in float32."""

TEXT_SPECS = ("static", "ngrams", "sentence-transformers:MODEL_OR_DIR", "openai:MODEL")
"""How text encoders are named."""

IMAGE_SPECS = ("sentence-transformers:MODEL_OR_DIR",)
"""How picture encoders are named."""

FILLS = 4
"""How often a vector is lengthened again that lost length by clipping."""


class TextEncoder(Protocol):
    """Turns texts into vectors.

    Attributes:
        name: Says what made the vectors; of one name all are comparable.
        dimensions: How many numbers a vector has.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def dimensions(self) -> int: ...  # noqa: D102

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Give an int8 row of length `length(dimensions)` for each text.

        The row of a text without words is zero. All texts that are to be compared come in one
        call: `ngrams` weighs words by how rare they are among them.
        """


class ImageEncoder(Protocol):
    """Turns pictures into vectors.

    Attributes:
        name: Says what made the vectors; of one name all are comparable.
        dimensions: How many numbers a vector has.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def dimensions(self) -> int: ...  # noqa: D102

    def encode(self, digests: Sequence[str], read: Callable[[int], Image.Image]) -> np.ndarray:
        """Give an int8 row of length `length(dimensions)` for each picture.

        Args:
            digests: Hex SHA-256 of each picture's content, by which its vector is kept.
            read: Opens the picture at a place in `digests`, upright. It is called only for
                pictures whose vector is not kept yet, and for no more than a batch of them
                before these are let go.
        """


def length(dimensions: int) -> int:
    """Give the Euclidean length that vectors have: as long as int8 can hold with ease.

    A number of such a vector is 22.5 on average (root mean square), and 127 at most.

    Raises:
        UsageError: there are so many dimensions that products would not be exact.
    """
    if dimensions > MOST_DIMENSIONS:
        raise UsageError(
            f"vectors of {dimensions:,} numbers are too long to be compared exactly; take a "
            f"model that gives {MOST_DIMENSIONS:,} at most"
        )
    return round(22.5 * math.sqrt(dimensions))


def quantise(vectors: np.ndarray) -> np.ndarray:
    """Bring vectors to the length `length(dimensions)` and round them to int8.

    Rows of zeros stay so. Numbers beyond 127 are clipped, and the others of the row enlarged as
    far as it then lacks length, so that a vector and itself have a cosine of about 1.

    Args:
        vectors: Finite numbers, float64 of shape (n, dimensions). Where they are whole numbers
            the sum of whose squares is below 2**53, every machine gives the same.
    """
    count, dimensions = vectors.shape
    wanted = length(dimensions)
    # By powers of two, which changes no digit, so that no square is too large or too small.
    _, exponents = np.frexp(np.abs(vectors).max(axis=1, initial=0.0))
    vectors = np.ldexp(vectors, -exponents[:, None])
    norms = np.sqrt((vectors * vectors).sum(axis=1))
    scales = np.divide(wanted, norms, out=np.zeros(count), where=norms > 0)
    rounded = _rounded(vectors, scales)
    short = np.flatnonzero((np.abs(rounded) == 127).any(axis=1))
    for _ in range(FILLS):
        if not len(short):
            break
        lengths = np.sqrt(np.square(rounded[short], dtype=np.int64).sum(axis=1))
        scales[short] *= wanted / lengths
        rounded[short] = _rounded(vectors[short], scales[short])
    return rounded


def _rounded(vectors: np.ndarray, scales: np.ndarray) -> np.ndarray:
    rounded: np.ndarray = np.clip(np.rint(vectors * scales[:, None]), -127, 127).astype(np.int8)
    return rounded


def batches(texts: Sequence[str], most: int, letters: int) -> Iterator[tuple[int, list[str]]]:
    """Cut texts into batches, so that few are in memory at once.

    Args:
        texts: All of them.
        most: How many a batch has at most.
        letters: How long its texts are together at most, unless it has one alone.

    Yields:
        The place of a batch's first text, and its texts.
    """
    start, batch, size = 0, list[str](), 0
    for place, text in enumerate(texts):
        if batch and (len(batch) >= most or size + len(text) > letters):
            yield start, batch
            start, batch, size = place, [], 0
        batch.append(text)
        size += len(text)
    if batch:
        yield start, batch


def open_text(spec: str = "static") -> TextEncoder:
    """Open a text encoder by what a user calls it (`TEXT_SPECS`).

    Raises:
        UsageError: there is none of this name, or what it needs is not installed.
    """
    kind, _, model = spec.partition(":")
    if spec == "static":
        from mimicit.encoders.static import Static  # noqa: PLC0415

        return Static()
    if spec == "ngrams":
        from mimicit.encoders.ngrams import Ngrams  # noqa: PLC0415

        return Ngrams()
    if kind == "sentence-transformers" and model:
        from mimicit.encoders.sentence_transformers import TextModel  # noqa: PLC0415

        return TextModel(model)
    if kind == "openai" and model:
        from mimicit.encoders.endpoint import EmbeddingEndpoint  # noqa: PLC0415

        return EmbeddingEndpoint(model)
    raise _unknown("text", spec, TEXT_SPECS)


def open_image(spec: str) -> ImageEncoder:
    """Open a picture encoder by what a user calls it (`IMAGE_SPECS`).

    Raises:
        UsageError: there is none of this name, or what it needs is not installed.
    """
    kind, _, model = spec.partition(":")
    if kind == "sentence-transformers" and model:
        from mimicit.encoders.sentence_transformers import ImageModel  # noqa: PLC0415

        return ImageModel(model)
    raise _unknown("picture", spec, IMAGE_SPECS)


def _unknown(what: str, spec: str, known: Sequence[str]) -> UsageError:
    return UsageError(f"there is no {what} encoder {spec!r}; there are: {', '.join(known)}")
