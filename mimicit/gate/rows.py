"""The rows of a table: read in batches whatever they are written in, and fitted to their model."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.json
import pyarrow.parquet as pq

from mimicit.gate.files import Findings, Shard
from mimicit.gate.models import misfits, row_problems
from mimicit.tables import TABLES, arrow_schema

MAX_GROUP_BYTES = 2**30
"""Largest row group that is read; the writer's are 8 MB and one row."""

BATCH_ROWS = 65536
"""Rows held at a time; with pictures in them, `PICTURE_ROWS`."""

PICTURE_ROWS = 16

BLOCK_BYTES = 16 * 2**20
"""JSON that is read at a time; a line may be as long."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a shard that fit their model: their numbers in the file, and what they hold."""

    shard: Shard
    numbers: np.ndarray
    batch: pa.RecordBatch


def fitting(findings: Findings, table: str, columns: Sequence[str] | None = None) -> Iterator[Rows]:
    """Read a table and give the rows that fit its model; what is wrong with others is noted."""
    key = next(iter(TABLES[table].model_fields))
    for shard, first, batch in batches(findings, table, columns):
        numbers = np.arange(first, first + batch.num_rows)
        legible = _legible(findings, shard, first, batch)
        if not legible.all():
            batch, numbers = batch.filter(pa.array(legible)), numbers[legible]  # noqa: PLW2901
        bad = misfits(batch, table)
        for place in np.flatnonzero(bad).tolist():
            row = batch.slice(place, 1).to_pylist()[0]
            if table == "images":
                row["image"] = {"bytes": b"", **(row["image"] or {})}
            for problem in row_problems(row, table):
                findings.add(shard.name, problem, int(numbers[place]), str(row.get(key)))
        if bad.any():
            batch, numbers = batch.filter(pa.array(~bad)), numbers[~bad]  # noqa: PLW2901
        yield Rows(shard, numbers, batch)


def _legible(findings: Findings, shard: Shard, first: int, batch: pa.RecordBatch) -> np.ndarray:
    """Tell which rows hold valid UTF-8 only, and note the others."""
    try:
        batch.validate(full=True)
    except pa.ArrowInvalid:
        legible = np.ones(batch.num_rows, bool)
        for place in range(batch.num_rows):
            try:
                batch.slice(place, 1).to_pylist()
            except ValueError as error:
                findings.add(shard.name, f"is not valid UTF-8: {error}"[:200], first + place)
                legible[place] = False
        return legible
    return np.ones(batch.num_rows, bool)


def batches(
    findings: Findings, table: str, columns: Sequence[str] | None = None
) -> Iterator[tuple[Shard, int, pa.RecordBatch]]:
    """Read a table's shards in order: (shard, number of the first row, rows).

    Damage is a problem, not an error.
    """
    for shard in findings.shards[table]:
        findings.rows.setdefault(shard.name, 0)
        read = _parquet if shard.name.endswith(".parquet") else _json_lines
        try:
            for first, batch in read(findings, shard, table, columns):
                findings.rows[shard.name] = max(findings.rows[shard.name], first + batch.num_rows)
                yield shard, first, batch
        except (OSError, pa.ArrowException) as error:
            findings.add(shard.name, f"cannot be read: {' '.join(str(error).split())[:200]}")


def _parquet(
    findings: Findings, shard: Shard, table: str, columns: Sequence[str] | None
) -> Iterator[tuple[int, pa.RecordBatch]]:
    rows, first = PICTURE_ROWS if table == "images" and columns is None else BATCH_ROWS, 0
    with pq.ParquetFile(shard.path) as parquet:
        if _right_schema(findings, shard, table, parquet.schema_arrow) and _bounded(
            findings, shard, parquet.metadata
        ):
            for batch in parquet.iter_batches(rows, columns=columns):
                yield first, batch
                first += batch.num_rows


def _bounded(findings: Findings, shard: Shard, metadata: pq.FileMetaData) -> bool:
    """Refuse row groups that would fill the memory when they are decompressed."""
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    largest = max((group.total_byte_size for group in groups), default=0)
    if largest > MAX_GROUP_BYTES:
        what = f"has a row group of {largest:,} bytes, more than {MAX_GROUP_BYTES:,}"
        findings.add(shard.name, what)
    return largest <= MAX_GROUP_BYTES


def _right_schema(findings: Findings, shard: Shard, table: str, schema: pa.Schema) -> bool:
    expected = arrow_schema(table)
    wrong = [
        f"column {column!r} is {_type_of(schema, column)}, not {_type_of(expected, column)}"
        for column in expected.names
        if _type_of(schema, column) != _type_of(expected, column)
    ]
    unknown = [column for column in schema.names if column not in expected.names]
    wrong += [f"unknown column {column!r}" for column in unknown]
    if len(set(schema.names)) < len(schema.names):
        wrong.append("a column stands twice")
    for what in wrong:
        findings.add(shard.name, what)
    return not wrong


def _type_of(schema: pa.Schema, column: str) -> str:
    """Spell a column's type without what other writers of Parquet spell differently."""
    if column not in schema.names:
        return "missing"
    return str(schema.field(column).type).replace(" not null", "").replace("item: ", "element: ")


def _json_lines(
    findings: Findings, shard: Shard, table: str, columns: Sequence[str] | None
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Read JSON Lines; where Arrow cannot, line by line, to say which row is wrong."""
    schema = arrow_schema(table)
    parse = pa.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error")
    read = pa.json.ReadOptions(block_size=BLOCK_BYTES, use_threads=False)
    first = 0
    try:
        for batch in pa.json.open_json(shard.path, read_options=read, parse_options=parse):
            yield first, batch.select(columns) if columns else batch
            first += batch.num_rows
    except pa.ArrowInvalid:
        for number, row in _line_by_line(findings, shard, table, first):
            made = pa.RecordBatch.from_pylist([row], schema=schema)
            yield number, made.select(columns) if columns else made


def _line_by_line(
    findings: Findings, shard: Shard, table: str, first: int
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Give the lines from one on that are rows of the table, and note those that are not."""
    with shard.path.open("rb") as file:
        for number, line in enumerate(file):
            if number < first:
                continue
            findings.rows[shard.name] = number + 1
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                findings.add(shard.name, f"is no JSON: {error}"[:200], number)
                continue
            wrong = row_problems(row, table)
            for what in wrong:
                findings.add(shard.name, what, number)
            if not wrong:
                yield number, row
