"""Writing a dataset: shards of rows, the pictures' index, the manifest."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mimicit import store_index
from mimicit.columns import to_batch
from mimicit.image_store import entries_of_shard, ids_check
from mimicit.schema import SCHEMA_VERSION, ImageRow, Row
from mimicit.shards import Shards
from mimicit.tables import TABLES, arrow_schema

SHARD_BYTES = 500_000_000
"""A shard is closed when it is larger than this."""

GROUP_BYTES = 8 * 2**20
"""A row group is closed when its values are larger than this (the Hub's viewer takes 100 MB)."""

GROUP_ROWS = 20_000

SPLIT = "train"
"""Split of the tables that are looked things up in: `datasets` wants one for every file."""

Format = Literal["parquet", "jsonl"]


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file of a dataset as its manifest lists it; `rows` is None for what is no table."""

    path: str
    bytes: int
    sha256: str
    rows: int | None = None


class _Shard(Protocol):
    """A file of rows under construction."""

    def write(self, batch: pa.RecordBatch) -> None: ...
    def close(self) -> None: ...


class _ParquetShard:
    """Rows as Parquet, a row group for each batch."""

    def __init__(self, path: Path, table: str) -> None:
        pictures = table == "images"
        self._writer = pq.ParquetWriter(
            path,
            arrow_schema(table),
            # Pictures are compressed already; plain values lie in the file as they are.
            compression="none" if pictures else "zstd",
            use_dictionary=False if pictures else REPEATED,
            write_statistics=[] if pictures else True,
            write_page_index=not pictures,
            write_batch_size=4 if pictures else 1024,  # a page is closed between two of these
            store_schema=True,
        )

    def write(self, batch: pa.RecordBatch) -> None:
        # As a table: a batch would be held until its row group ends.
        table = pa.Table.from_batches([batch])
        self._writer.write_table(table, row_group_size=batch.num_rows)

    def close(self) -> None:
        self._writer.close()


class _JsonLinesShard:
    """Rows as JSON Lines."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")

    def write(self, batch: pa.RecordBatch) -> None:
        self._file.write(msgspec.json.Encoder().encode_lines(batch.to_pylist()))

    def close(self) -> None:
        self._file.close()


class TableWriter:
    """Writes one split of a table as numbered shards, with a bounded number of rows in memory.

    A table that gets no rows leaves no file, since an empty one does not load.

    Args:
        directory: Directory of the dataset.
        table: One of `TABLES`, or a further view of the links. Pictures get an index beside
            their shards.
        split: Which split.
        form: How rows are written; pictures are Parquet in any case.
    """

    def __init__(
        self, directory: Path, table: str, split: str = SPLIT, form: Format = "parquet"
    ) -> None:
        self.table = table
        self._split = split
        self._schema = arrow_schema(table)
        self._folder = directory / table
        self._suffix = "parquet" if table == "images" else form
        self._rows: list[Row] = []
        self._batches: list[pa.RecordBatch] = []
        self._bytes = 0
        self._checks: list[int] = []
        self._shard: _Shard | None = None
        self._shard_rows: list[int] = []
        self._shard_checks: list[int] = []
        self._written: Future[int] | None = None
        self._measured: list[Future[_Measured]] = []
        # One row group is written, and one shard hashed, while the next rows are made.
        self._writing, self._hashing = ThreadPoolExecutor(1), ThreadPoolExecutor(1)

    def write(self, row: Row) -> None:
        """Add a row."""
        self._rows.append(row)
        if isinstance(row, ImageRow):
            self._bytes += len(row.image.bytes)
            self._checks.append(store_index.check_of(row.image.bytes))
        if self._bytes >= GROUP_BYTES or len(self._rows) >= GROUP_ROWS:
            self._flush()

    def write_batch(self, batch: pa.RecordBatch) -> None:
        """Add rows, of the table's schema."""
        self._batches.append(batch)
        self._bytes += batch.nbytes
        if self._bytes >= GROUP_BYTES or sum(b.num_rows for b in self._batches) >= GROUP_ROWS:
            self._flush()

    def close(self) -> list[FileEntry]:
        """Write what is left, give the shards their final names, and list them.

        Raises:
            OSError: something could not be written.
        """
        self._flush()
        self._close_shard()
        count = len(self._measured)
        measured = [future.result() for future in self._measured]
        self._measured.clear()
        entries = []
        for number, each in enumerate(measured):
            name = f"{self._split}-{number:05d}-of-{count:05d}.{self._suffix}"
            self._part(number).rename(self._folder / name)
            entries.append(replace(each.entry, path=f"{self.table}/{name}"))
        self.stop()
        if self.table == "images" and entries:
            entries.append(self._write_index(entries, measured))
        return entries

    def stop(self) -> None:
        """Let go of it, finished or not: nothing is written any more after this."""
        for executor in (self._writing, self._hashing):
            executor.shutdown(cancel_futures=True)

    def _part(self, number: int) -> Path:
        return self._folder / f"{self._split}.part-{number}"

    def _flush(self) -> None:
        """Write a row group, while the next one is gathered."""
        if self._rows:
            self._batches.append(to_batch(self._rows, self._schema))
        if not self._batches:
            return
        batch = pa.concat_batches(self._batches) if len(self._batches) > 1 else self._batches[0]
        self._rows, self._batches, self._bytes = [], [], 0
        if self._wait() > SHARD_BYTES:
            self._close_shard()
        if self._shard is None:
            self._folder.mkdir(exist_ok=True)
            self._shard = self._open_shard(self._part(len(self._shard_rows)))
            self._shard_rows.append(0)
        self._shard_rows[-1] += batch.num_rows
        self._shard_checks += self._checks
        self._checks = []
        part = self._part(len(self._shard_rows) - 1)
        self._written = self._writing.submit(_write, self._shard, batch, part)

    def _open_shard(self, part: Path) -> _Shard:
        if self._suffix == "parquet":
            return _ParquetShard(part, self.table)
        return _JsonLinesShard(part)

    def _wait(self) -> int:
        """Wait for the row group that is being written; give the size of its shard in bytes."""
        written, self._written = self._written, None
        return written.result() if written else 0

    def _close_shard(self) -> None:
        self._wait()
        if self._shard is None:
            return
        self._shard.close()
        self._shard = None
        checks, self._shard_checks = self._shard_checks, []
        number = len(self._shard_rows) - 1
        self._measured.append(self._hashing.submit(self._measure, number, checks))

    def _measure(self, number: int, checks: list[int]) -> "_Measured":
        path = self._part(number)
        entry = describe(path, path.name, self._shard_rows[number])
        if self.table != "images":
            return _Measured(entry)
        shards = Shards(self._folder, [path.name])
        entries = entries_of_shard(shards, 0, checks)
        entries["file"] = number
        return _Measured(entry, entries, ids_check(shards, 0))

    def _write_index(self, entries: list[FileEntry], measured: "list[_Measured]") -> FileEntry:
        files = [(entry.path.rpartition("/")[2], entry.bytes) for entry in entries]
        path = self._folder / store_index.NAME
        ids = [each.ids for each in measured]
        places = np.concatenate([each.places for each in measured])
        measured.clear()  # a million places are 40 MB
        with path.open("wb") as file:
            file.writelines(store_index.spell(files, places, ids))
        return describe(path, f"{self.table}/{path.name}")


class _Measured(NamedTuple):
    """A finished shard; of pictures also where they lie, and the check sum of their ids."""

    entry: FileEntry
    places: Any = None
    ids: int = 0


def _write(shard: _Shard, batch: pa.RecordBatch, path: Path) -> int:
    """Write a row group; give the size of the shard in bytes."""
    shard.write(batch)
    return path.stat().st_size


REPEATED = [
    "image_ids.list.element",
    "source",
    "split",
    "language",
    "kind",
    "scene_id",
    "group",
    "licence",
    "teacher",
    "prompt_sha256",
    "request_key",
    "strategies.list.element",
    "stage",
    "reason",
]
"""Columns whose values come again and again, over all tables."""


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
            table = entry.path.split("/")[0]
            counts[table] = counts.get(table, 0) + entry.rows
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
