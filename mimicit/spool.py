"""Instructions on disk between being made and being linked, so that memory holds none."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from mimicit.catalogue import LinkRow
from mimicit.columns import to_batch
from mimicit.schema import Instruction
from mimicit.tables import arrow_schema

BATCH_ROWS = 4096
BATCH_CHARACTERS = 8 * 2**20
"""How much is gathered before it is written."""


class Spool:
    """A temporary file of instructions: written in order, then read as often as needed.

    Args:
        path: Where; it is removed at the end.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._schema = arrow_schema("instructions")
        self._pending: list[Instruction] = []
        self._characters = 0
        self._rows = 0
        self._stack = ExitStack()
        sink = self._stack.enter_context(pa.OSFile(str(path), "wb"))
        self._writer = self._stack.enter_context(pa.ipc.new_file(sink, self._schema))

    def write(self, row: Instruction) -> None:
        """Add an instruction."""
        self._pending.append(row)
        self._rows += 1
        self._characters += len(row.instruction) + len(row.answer)
        if len(self._pending) >= BATCH_ROWS or self._characters >= BATCH_CHARACTERS:
            self._flush()

    def finish(self) -> None:
        """Write what is left; from here on it can be read."""
        self._flush()
        self._stack.close()

    def close(self) -> None:
        """Remove it."""
        self._stack.close()
        self._path.unlink(missing_ok=True)

    def _flush(self) -> None:
        if self._pending:
            self._writer.write_batch(to_batch(self._pending, self._schema))
            self._pending, self._characters = [], 0

    def __len__(self) -> int:
        return self._rows

    def of_splits(
        self, splits: Sequence[str], columns: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Read it split after split, as a dataset lists them, or some of its columns."""
        if len(splits) == 1:
            yield from self.batches(columns)
            return
        for split in splits:
            for batch in self.batches(columns):
                yield batch.filter(pc.equal(batch.column("split"), split))

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Read it in order, or some of its columns."""
        wanted = columns and [self._schema.get_field_index(name) for name in columns]
        options = pa.ipc.IpcReadOptions(included_fields=wanted)
        with (
            pa.OSFile(str(self._path), "rb") as source,
            pa.ipc.open_file(source, options=options) as reader,
        ):
            for number in range(reader.num_record_batches):
                yield reader.get_batch(number)

    def link_rows(self, splits: Sequence[str]) -> Iterator[LinkRow]:
        """Read what linking looks at, split after split."""
        for batch in self.of_splits(splits, LinkRow._fields):
            yield from link_rows(batch)


def link_rows(batch: pa.RecordBatch) -> Iterator[LinkRow]:
    """Give what linking looks at of some instructions."""
    columns = (batch.column(name).to_pylist() for name in LinkRow._fields)
    yield from map(LinkRow._make, zip(*columns, strict=True))
