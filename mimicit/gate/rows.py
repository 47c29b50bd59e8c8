"""The rows of a table: read in batches whatever they are written in, and fitted to their model."""

import io
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json
import pyarrow.parquet as pq

from mimicit.columns import column, plain
from mimicit.gate.files import Findings, Shard
from mimicit.gate.models import misfits, row_problems
from mimicit.tables import arrow_schema, model_of

MAX_GROUP_BYTES = 2**30
"""Largest row group that is read; the writer's are 8 MB and one row."""

BATCH_ROWS = 65536
"""Rows held at a time; with pictures in them, `PICTURE_ROWS`."""

PICTURE_ROWS = 16

REPEATED = [
    *("source", "language", "kind", "scene_id", "group", "licence", "teacher"),
    *("prompt_sha256", "request_key", "stage", "reason"),
]
"""Columns whose values come again and again: each is looked at once."""

BLOCK_BYTES = 16 * 2**20
"""JSON that is read at a time; a line may be as long."""


DAMAGE = (OSError, pa.ArrowException, ValueError, LookupError, OverflowError, MemoryError)
"""What reading a damaged file raises."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a shard that fit their model: their numbers in the file, and what they hold."""

    shard: Shard
    numbers: np.ndarray
    batch: pa.RecordBatch


def fitting(
    findings: Findings,
    table: str,
    columns: Sequence[str] | None = None,
    trusted: Collection[str] = (),
) -> Iterator[Rows]:
    """Read a table and give the rows that fit its model; what is wrong with others is noted.

    Args:
        findings: What is found is added here.
        table: The table.
        columns: What is read of it; None for all.
        trusted: Columns whose values are checked elsewhere.
    """
    key = next(iter(model_of(table).model_fields))
    for shard, first, batch in batches(findings, table, columns):
        numbers = np.arange(first, first + batch.num_rows)
        legible = _legible(findings, shard, first, batch, key)
        if not legible.all():
            batch, numbers = _kept(batch, legible), numbers[legible]  # noqa: PLW2901
        bad = misfits(batch, table, trusted)
        for place in np.flatnonzero(bad).tolist():
            row = batch.slice(place, 1).to_pylist()[0]
            if table == "images":
                row["image"] = {"bytes": b"", **(row["image"] or {})}
            for problem in row_problems(row, table):
                findings.add(shard.name, problem, int(numbers[place]), row.get(key) or "")
        if bad.any():
            batch, numbers = _kept(batch, ~bad), numbers[~bad]  # noqa: PLW2901
        yield Rows(shard, numbers, batch)


def _kept(batch: pa.RecordBatch, which: np.ndarray) -> pa.RecordBatch:
    return batch.take(column(np.flatnonzero(which).tolist(), pa.int64()))


def _legible(
    findings: Findings, shard: Shard, first: int, batch: pa.RecordBatch, key: str
) -> np.ndarray:
    """Tell which rows hold valid UTF-8 only, and note the others."""
    try:
        batch.validate(full=True)
    except pa.ArrowInvalid:
        legible = np.ones(batch.num_rows, bool)
        for place in range(batch.num_rows):
            try:
                batch.slice(place, 1).to_pylist()
            except ValueError as error:
                keys = plain(batch.column(key)).view(pa.binary())
                found: bytes | None = keys[place].as_py()
                name = (found or b"").decode(errors="ignore")
                name = name if name.encode() == found else ""
                findings.add(shard.name, f"is not valid UTF-8: {error}"[:200], first + place, name)
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
                yield shard, first, batch
        except DAMAGE as error:
            findings.add(shard.name, f"cannot be read: {' '.join(str(error).split())[:200]}")


def _parquet(
    findings: Findings, shard: Shard, table: str, columns: Sequence[str] | None
) -> Iterator[tuple[int, pa.RecordBatch]]:
    rows, first = PICTURE_ROWS if table == "images" and columns is None else BATCH_ROWS, 0
    repeated = [name for name in pq.read_schema(shard.path).names if name in REPEATED]
    with pq.ParquetFile(shard.path, read_dictionary=repeated) as parquet:
        # What its footer says stands for a file whose rows cannot be read, or not all of them.
        findings.rows[shard.name] = parquet.metadata.num_rows
        if _right_schema(findings, shard, table, parquet.schema_arrow) and _bounded(
            findings, shard, parquet.metadata
        ):
            for batch in parquet.iter_batches(rows, columns=columns):
                yield first, batch
                first += batch.num_rows
            findings.rows[shard.name] = first


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
    if len(set(schema.names)) < len(schema.names):
        findings.add(shard.name, "a column stands twice")
        return False
    fields = model_of(table).model_fields
    # What came with a later version of the schema may be missing in a file of an older one.
    names = [n for n in expected.names if n in schema.names or fields[n].is_required()]
    wrong = [
        f"column {column!r} is {_type_of(schema, column)}, not {_type_of(expected, column)}"
        for column in names
        if _type_of(schema, column) != _type_of(expected, column)
    ]
    unknown = [column for column in schema.names if column not in expected.names]
    wrong += [f"unknown column {column!r}" for column in unknown]
    for what in wrong:
        findings.add(shard.name, what)
    return not wrong


def _type_of(schema: pa.Schema, column: str) -> str:
    """Spell a column's type without what other writers of Parquet spell differently."""
    if column not in schema.names:
        return "missing"
    kind = schema.field(column).type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return str(kind).replace(" not null", "").replace("item: ", "element: ")


def _json_lines(
    findings: Findings, shard: Shard, table: str, columns: Sequence[str] | None
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Read JSON Lines, a block at a time; line by line where Arrow cannot."""
    first = 0
    with shard.path.open("rb") as file:
        for block in _blocks(file):
            lines = block.count(b"\n") + (not block.endswith(b"\n"))
            batch = _parsed(block, table, lines)
            found = [(first, batch)] if batch else _good_runs(findings, shard, table, first, block)
            for number, rows in found:
                yield number, rows.select(columns) if columns else rows
            first += lines
            findings.rows[shard.name] = max(findings.rows[shard.name], first)


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    """Cut a file into blocks of whole lines; of a line that is too long its beginning is given."""
    while block := file.read(BLOCK_BYTES):
        if not block.endswith(b"\n"):
            rest = file.readline(BLOCK_BYTES)
            block += rest
            while rest and not rest.endswith(b"\n"):
                rest = file.readline(BLOCK_BYTES)
        yield block


def _parsed(block: bytes, table: str, lines: int) -> pa.RecordBatch | None:
    """Read a block as rows, one a line; None where it is anything else.

    Arrow takes blank lines, several rows on one, and numbers that JSON does not have.
    """
    rows = block.count(b"\n{") + block.startswith(b"{")
    if rows != lines or (
        len(block) > BLOCK_BYTES and max(map(len, block.split(b"\n"))) > BLOCK_BYTES
    ):
        return None
    parse = pa.json.ParseOptions(
        explicit_schema=arrow_schema(table), unexpected_field_behavior="error"
    )
    read = pa.json.ReadOptions(block_size=len(block) + 1, use_threads=False)
    try:
        found = pa.json.read_json(io.BytesIO(block), read_options=read, parse_options=parse)
        (batch,) = found.combine_chunks().to_batches()
    except (pa.ArrowException, ValueError):
        return None
    return batch if batch.num_rows == lines and _finite(batch) else None


def _finite(batch: pa.RecordBatch) -> bool:
    """Tell whether all numbers in lists are such as JSON has."""
    lists = [c for c in batch.columns if pa.types.is_list(c.type)]
    numbers = [c.flatten() for c in lists if pa.types.is_floating(c.type.value_type)]
    return all(pc.all(pc.is_finite(each), min_count=0).as_py() for each in numbers)


def _good_runs(
    findings: Findings, shard: Shard, table: str, first: int, block: bytes
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Give the lines of a block that are rows, those in a row together; note the others."""
    run: list[pa.RecordBatch] = []
    number = first
    for number, line in enumerate(block.removesuffix(b"\n").split(b"\n"), first):
        row, problem = _read_line(line)
        wrong = [problem] if problem else row_problems(row, table, strict=True)
        batch = None if wrong else _parsed(line.strip(), table, 1)
        if batch:
            run.append(batch)
            continue
        name = next(iter(row.values()), "") if isinstance(row, dict) else ""
        for what in wrong or ["holds what no row can"]:
            findings.add(shard.name, what, number, name if isinstance(name, str) else "")
        if run:
            yield number - len(run), pa.concat_batches(run)
            run = []
    if run:
        yield number + 1 - len(run), pa.concat_batches(run)


def _read_line(line: bytes) -> tuple[object, str]:
    """Read a line as JSON; give what it says, or why it says nothing."""
    if len(line) > BLOCK_BYTES:
        return None, f"is a line of more than {BLOCK_BYTES:,} bytes"
    if not line.strip():
        return None, "is a blank line"
    try:
        text = line.decode("utf-8")
        return json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant), ""
    except (ValueError, RecursionError) as error:
        return None, f"is no JSON: {error}"[:200]


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        raise ValueError("a key stands twice")
    return row


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")
