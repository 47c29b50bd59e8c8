"""Writing a dataset: Parquet shards, the card, the manifest."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mimicit.schema import SCHEMA_VERSION, ImageRow, Instruction, Row
from mimicit.tables import TABLES, arrow_schema

SHARD_BYTES = 500_000_000
"""A shard is closed when it is larger than this."""

GROUP_BYTES = 32 * 2**20
"""A row group is closed when its values are larger than this (the Hub's viewer takes 100 MB)."""

GROUP_ROWS = 20_000

SPLIT = "train"


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file of a dataset as its manifest lists it; `rows` is None for what is no table."""

    path: str
    bytes: int
    sha256: str
    rows: int | None = None


class TableWriter:
    """Writes one table as numbered Parquet shards with a bounded number of rows in memory.

    A table that gets no rows leaves no file, since an empty one does not load.
    """

    def __init__(self, directory: Path, table: str) -> None:
        self.table = table
        self._schema = arrow_schema(table)
        self._folder = directory / table
        self._pending: list[Row] = []
        self._pending_bytes = 0
        self._shard: pq.ParquetWriter | None = None
        self._shard_rows: list[int] = []

    def write(self, row: Row) -> None:
        """Add a row."""
        self._pending.append(row)
        self._pending_bytes += len(row.image.bytes) if isinstance(row, ImageRow) else 0
        if self._pending_bytes >= GROUP_BYTES or len(self._pending) >= GROUP_ROWS:
            self._flush()

    def close(self) -> list[FileEntry]:
        """Write what is left, give the shards their final names, and list them."""
        self._flush()
        if self._shard is not None:
            self._shard.close()
            self._shard = None
        count = len(self._shard_rows)
        entries = []
        for number, rows in enumerate(self._shard_rows):
            name = f"{SPLIT}-{number:05d}-of-{count:05d}.parquet"
            path = self._part(number).rename(self._folder / name)
            entries.append(describe(path, f"{self.table}/{name}", rows))
        return entries

    def _part(self, number: int) -> Path:
        return self._folder / f"part-{number}"

    def _flush(self) -> None:
        if not self._pending:
            return
        batch = to_batch(self._pending, self._schema)
        if self._shard is None:
            self._folder.mkdir(exist_ok=True)
            self._shard = self._open_shard(len(self._shard_rows))
            self._shard_rows.append(0)
        self._shard.write_batch(batch, row_group_size=len(self._pending))
        self._shard_rows[-1] += len(self._pending)
        self._pending, self._pending_bytes = [], 0
        if self._part(len(self._shard_rows) - 1).stat().st_size > SHARD_BYTES:
            self._shard.close()
            self._shard = None

    def _open_shard(self, number: int) -> pq.ParquetWriter:
        pictures = self.table == "images"
        return pq.ParquetWriter(
            self._part(number),
            self._schema,
            # Pictures are compressed already; plain values lie in the file as they are.
            compression="none" if pictures else "zstd",
            use_dictionary=not pictures,
            write_page_index=True,
            write_batch_size=16 if pictures else 1024,
            store_schema=True,
        )


def to_batch(rows: Sequence[Row], schema: pa.Schema) -> pa.RecordBatch:
    """Turn rows into a record batch, column by column."""
    columns = []
    for field in schema:
        values: list[Any] = [getattr(row, field.name) for row in rows]
        if pa.types.is_struct(field.type):
            values = [dict(value) for value in values]
        columns.append(pa.array(values, type=field.type))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


class Spool:
    """Instructions on disk between being made and being linked, so that memory holds none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._schema = arrow_schema("instructions")
        self._pending: list[Instruction] = []
        self._stack = ExitStack()
        sink = self._stack.enter_context(pa.OSFile(str(path), "wb"))
        self._writer = self._stack.enter_context(pa.ipc.new_file(sink, self._schema))
        self._rows = 0

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        self._path.unlink(missing_ok=True)

    def write(self, row: Instruction) -> None:
        """Add an instruction."""
        self._pending.append(row)
        self._rows += 1
        if len(self._pending) >= 4096:
            self._flush()

    def finish(self) -> None:
        """Write what is left; from here on it can be read."""
        self._flush()
        self._stack.close()

    def _flush(self) -> None:
        if self._pending:
            self._writer.write_batch(to_batch(self._pending, self._schema))
            self._pending = []

    def __len__(self) -> int:
        return self._rows

    def __iter__(self) -> Iterator[Instruction]:
        with pa.OSFile(str(self._path), "rb") as source, pa.ipc.open_file(source) as reader:
            for number in range(reader.num_record_batches):
                for values in reader.get_batch(number).to_pylist():
                    yield Instruction.model_construct(**values)


def describe(path: Path, name: str, rows: int | None = None) -> FileEntry:
    """Measure a finished file for the manifest."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return FileEntry(name, path.stat().st_size, digest, rows)


def count_rows(entries: Iterable[FileEntry]) -> dict[str, int]:
    """Add up the rows of every table, absent ones being 0."""
    counts = dict.fromkeys(TABLES, 0)
    for entry in entries:
        if entry.rows is not None:
            counts[entry.path.split("/")[0]] += entry.rows
    return counts


def write_manifest(
    directory: Path, entries: Sequence[FileEntry], provenance: Mapping[str, object]
) -> None:
    """Write `manifest.json`: schema version, every file with digest and rows, provenance."""
    files = {
        entry.path: {"bytes": entry.bytes, "sha256": entry.sha256}
        | ({} if entry.rows is None else {"rows": entry.rows})
        for entry in sorted(entries, key=lambda entry: entry.path)
    }
    content = {"schema_version": SCHEMA_VERSION, **provenance, "files": files}
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    (directory / "manifest.json").write_text(text, encoding="utf-8")
