"""Instructions on disk between being read and being written, with numbers in place of ids."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from mimicit.columns import column, take_rows, to_numpy

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string()),
        pa.field("instruction", pa.string()),
        pa.field("answer", pa.string()),
        pa.field("kind", pa.string()),
        pa.field("split", pa.string()),
        pa.field("images", pa.list_(pa.int64())),
        pa.field("contexts", pa.list_(pa.int64())),
        pa.field("repeats", pa.int64()),
        pa.field("changes", pa.list_(pa.string())),
    ]
)


RESPELLED = "respelled"
"""What was changed of an instruction whose id is of another form."""


class Shelved(NamedTuple):
    """An instruction that is fit to be published, if its pictures are.

    Attributes:
        id: Its published id.
        instruction: What is asked.
        answer: What is answered.
        kind: The subset that it is of.
        split: The split that it is of.
        images: Numbers of its pictures.
        contexts: Numbers of its in-context examples.
        repeats: How many more were left out, since they stood there before.
        changes: What of it was changed, each once: mistakes that were mended, and `RESPELLED`.
    """

    id: str
    instruction: str
    answer: str
    kind: str
    split: str
    images: Sequence[int]
    contexts: Sequence[int]
    repeats: int
    changes: Sequence[str]


class Shelf:
    """A temporary file of instructions: written in order, then read in any, as often as needed.

    Args:
        path: Where; it is removed at the end.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stack = ExitStack()
        sink = self._stack.enter_context(pa.OSFile(str(path), "wb"))
        self._writer = self._stack.enter_context(pa.ipc.new_file(sink, SCHEMA))
        self._starts = [0]
        self._reader: pa.ipc.RecordBatchFileReader | None = None

    def __len__(self) -> int:
        return self._starts[-1]

    def write(self, rows: Sequence[Shelved]) -> None:
        """Add some."""
        if rows:
            values = zip(*rows, strict=True)
            columns = [column(v, f.type) for v, f in zip(values, SCHEMA, strict=True)]
            self._writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=SCHEMA))
            self._starts.append(self._starts[-1] + len(rows))

    def finish(self) -> None:
        """Be done with writing; from here on it can be read."""
        self._stack.close()
        source = self._stack.enter_context(pa.memory_map(str(self._path)))
        self._reader = self._stack.enter_context(pa.ipc.open_file(source))

    def close(self) -> None:
        """Remove it."""
        self._reader = None
        self._stack.close()
        self._path.unlink(missing_ok=True)

    def batches(self) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Read all, in order: the place of the first row of each batch, and the batch."""
        for number, start in enumerate(self._starts[:-1]):
            yield start, self._batch(number)

    def take(self, places: np.ndarray) -> pa.RecordBatch:
        """Read the rows at some places, in that order."""
        return take_rows(self._batch, self._starts, places)

    def _batch(self, number: int) -> pa.RecordBatch:
        if self._reader is None:
            raise ValueError("it is still being written")
        return self._reader.get_batch(number)


def lists(values: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Give a column of lists of numbers as what is in them, and how many each row has."""
    counts = np.diff(to_numpy(values.offsets)).astype(np.int64)
    return to_numpy(values.flatten()), counts
