"""Vectors of texts by the words in them: the mean of one vector a token, without a model to run.

The table and its tokenizer come in the wheel of `wordllama` (MIT): the input embeddings of large
language models, trained further so that means of them compare texts, 256 numbers for each of
32,000 tokens of English and of what else Llama 2 spells. `wordllama` itself is not imported: it
is slow to, configures the root logger, and looks for downloads.

The table is rounded to whole numbers once, and whole numbers are added, so that a text has the
same vector on every machine, whatever texts it comes with. Word order counts for nothing.
"""

import functools
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tokenizers import Tokenizer

from mimicit.encoders import batches, quantise
from mimicit.errors import MimicitError

DIMENSIONS = 256
TOKENS = 32_000

TABLE = Path("weights", "l2_supercat_256.safetensors")
TOKENIZER = Path("tokenizers", "l2_supercat_tokenizer_config.json")

LARGEST = 2**14
"""The largest number of the table, once they are whole."""

BATCH_TEXTS = 4096
BATCH_LETTERS = 2**18

CHUNK = 2**14
"""Tokens whose vectors are looked up at once, so that few are in memory."""

EXACT_BITS = 22
"""Sums are cut to so many binary digits, so that the sum of their squares is exact in float64."""


class Static:
    """The embedded encoder of English text.

    Raises:
        MimicitError: the wheel of wordllama is damaged, or another one.
    """

    name = "wordllama-256"
    dimensions = DIMENSIONS

    def __init__(self) -> None:
        self._words = _load()

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Give an int8 row for each text; that of a text without words is zero."""
        vectors = np.zeros((len(texts), DIMENSIONS), np.int8)
        for start, batch in batches(texts, BATCH_TEXTS, BATCH_LETTERS):
            vectors[start : start + len(batch)] = quantise(_cut(self._sums(batch)))
        return vectors

    def _sums(self, texts: Sequence[str]) -> np.ndarray:
        """Add the vectors of each text's tokens: int64 of shape (texts, DIMENSIONS)."""
        found = self._words.tokenizer.encode_batch_fast(
            list(map(_plain, texts)), add_special_tokens=False
        )
        sums = np.zeros((len(texts), DIMENSIONS), np.int64)
        for row, each in enumerate(found):
            tokens = np.array(each.ids, np.int32)
            for start in range(0, len(tokens), CHUNK):
                sums[row] += self._words.table[tokens[start : start + CHUNK]].sum(axis=0)
        return sums


class _Words(NamedTuple):
    """A vector for each token, int32, and what finds a text's tokens."""

    table: np.ndarray
    tokenizer: Tokenizer


@functools.cache
def _load() -> _Words:
    """Read the table and the tokenizer out of the installed wheel."""
    from safetensors.numpy import load_file  # noqa: PLC0415

    spec = importlib.util.find_spec("wordllama")
    if spec is None or not spec.origin:
        raise _damaged("it is not installed")
    folder = Path(spec.origin).parent
    try:
        (table,) = load_file(folder / TABLE).values()
        tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    except Exception as error:  # of two libraries, which raise what they please
        raise _damaged(str(error)) from error
    if table.shape != (TOKENS, DIMENSIONS):
        raise _damaged(f"a table of {table.shape}, not {(TOKENS, DIMENSIONS)}")
    tokenizer.no_padding()
    tokenizer.no_truncation()
    numbers = table.astype(np.float64)
    numbers *= LARGEST / max(numbers.max(), -numbers.min())
    return _Words(np.rint(numbers, out=numbers).astype(np.int32), tokenizer)


def _damaged(detail: str) -> MimicitError:
    return MimicitError(
        f"the vectors of words cannot be read: {detail}. They come with the package wordllama: "
        "install it anew, version 0.4"
    )


def _plain(text: str) -> str:
    """Part words by single spaces, as the tokenizer knows them, and spell halves of letters."""
    return " ".join(text.split()).encode("utf-8", "replace").decode()


def _cut(sums: np.ndarray) -> np.ndarray:
    """Drop the last digits of rows with sums so large that their squares would not be exact."""
    _, bits = np.frexp(np.abs(sums).max(axis=1, initial=0).astype(np.float64))
    cut: np.ndarray = (sums >> np.maximum(bits - EXACT_BITS, 0)[:, None]).astype(np.float64)
    return cut
