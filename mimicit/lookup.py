"""Finding rows of a dataset by the value of one column, without reading the rest of them.

Of each file only that column is read, and of a row group that cannot hold the value not even
that; then what was asked for of the rows that were found. Pictures are never read.
"""

import contextlib
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mimicit import columns as arrow
from mimicit.errors import SourceError


@dataclass(frozen=True, slots=True)
class Found:
    """A row of a table, and where it stands.

    Attributes:
        file: Its file, below the dataset's directory.
        row: Its number in that file, from 0.
        values: What was asked for of it, by column.
    """

    file: str
    row: int
    values: dict[str, Any]


def find(
    directory: Path,
    table: str,
    column: str,
    wanted: Collection[str],
    columns: Sequence[str],
) -> Iterator[Found]:
    """Find the rows of a table that have one of some values in a column, reading as far as asked.

    Args:
        directory: A dataset.
        table: One of its tables; one that is absent has no rows.
        column: A column of text, or of lists of text: then one of them is enough.
        wanted: The values.
        columns: What is read of the rows; a part of a column as `image.path`.

    Raises:
        SourceError: a file cannot be read, or lacks a column.
    """
    wanted = {value for value in wanted if utf8(value) == value}  # nothing else is in a file
    for path in _files(directory, table) if wanted else ():
        search = _in_lines if path.suffix == ".jsonl" else _in_parquet
        with _explained(path):
            for row, values in search(path, column, wanted, columns):
                yield Found(f"{table}/{path.name}", row, values)


def column_of(directory: Path, table: str, column: str) -> pa.ChunkedArray:
    """Read one column of text of a table, whole.

    Raises:
        SourceError: a file cannot be read, or lacks it.
    """
    chunks: list[pa.Array] = []
    for path in _files(directory, table):
        with _explained(path):
            if path.suffix == ".jsonl":
                with path.open("rb") as lines:
                    chunks.append(pa.array([json.loads(line)[column] for line in lines]))
            else:
                with pq.ParquetFile(path) as file:
                    chunks += file.read(columns=[column]).column(column).chunks
    return pa.chunked_array(chunks, pa.string())


def utf8(text: str) -> str:
    """Put `?` for the halves of surrogate pairs, which no file holds."""
    return text.encode("utf-8", "replace").decode()


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{str(path)!r} cannot be read: {error}") from error


def _files(directory: Path, table: str) -> list[Path]:
    folder = directory / table
    return sorted(p for p in folder.glob("[!.]*.*") if p.suffix in {".parquet", ".jsonl"})


def _in_parquet(
    path: Path, column: str, wanted: Collection[str], columns: Sequence[str]
) -> Iterator[tuple[int, dict[str, Any]]]:
    with pq.ParquetFile(path) as file:
        missing = {name.partition(".")[0] for name in (column, *columns)}
        missing -= set(file.schema_arrow.names)
        if missing:  # they would be left out without a word
            raise ValueError(f"it has no column {min(missing)!r}")
        start = 0
        for number in range(file.num_row_groups):
            group = file.metadata.row_group(number)
            if _may_hold(group, column, wanted):
                values = file.read_row_group(number, columns=[column]).column(column)
                places = _places(values.combine_chunks(), wanted)
                if len(places):
                    rows = file.read_row_group(number, columns=list(columns)).take(places)
                    numbers = (start + place for place in places.to_pylist())
                    yield from zip(numbers, rows.to_pylist(), strict=True)
            start += group.num_rows


def _may_hold(group: pq.RowGroupMetaData, column: str, wanted: Collection[str]) -> bool:
    """Ask the row group's statistics, where it has some."""
    for place in range(group.num_columns):
        chunk = group.column(place)
        if chunk.path_in_schema == column:
            known = chunk.statistics
            if known is None or not known.has_min_max or not isinstance(known.min, str):
                return True
            return any(known.min <= value <= known.max for value in wanted)
    return True  # of a list, whose column has a longer name


def _places(values: pa.Array, wanted: Collection[str]) -> pa.Array:
    """List the places of the values that are wanted, or of the lists that hold one."""
    among = arrow.column(sorted(wanted), pa.string())
    if not pa.types.is_list(values.type):
        return pc.indices_nonzero(pc.is_in(values, among))
    held = pc.is_in(pc.list_flatten(values), among)
    return pc.unique(pc.list_parent_indices(values).filter(held))


def _in_lines(
    path: Path, column: str, wanted: Collection[str], columns: Sequence[str]
) -> Iterator[tuple[int, dict[str, Any]]]:
    # Reading a line as JSON takes long. Ids are spelt the same in it; other text may not be.
    plain = all(value.isascii() and json.dumps(value) == f'"{value}"' for value in wanted)
    marks = [f'"{value}"'.encode() for value in wanted] if plain else [b""]
    among = set(wanted)
    with path.open("rb") as lines:
        for number, line in enumerate(lines):
            if any(mark in line for mark in marks):
                content = json.loads(line)
                value = content[column]
                if not among.isdisjoint(value if isinstance(value, list) else [value]):
                    yield number, {name: content[name] for name in columns}
