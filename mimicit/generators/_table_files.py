"""A table's files and its rows: Arrow of Hugging Face's datasets, and Parquet."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mimicit.errors import SourceError, UsageError

NAME = "jsonl"

ROWS = 32
"""Rows that are in memory at a time, pictures and all."""

BUFFER = 2**20
"""Bytes of a column that are read ahead, so that a group of rows need not be in memory whole."""

Table = tuple[Path, str]
"""A file, and its name in what users are told."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of the columns; "" for those that there are not."""

    image: str
    text: str
    question: str
    answer: str
    id: str


def tables(dataset: Path) -> list[Table]:
    """List the files of a table, in order.

    Raises:
        SourceError: there are none.
        UsageError: it is several tables, one a split.
    """
    if dataset.is_file():
        return [(dataset, dataset.name)]
    if not dataset.is_dir():
        raise SourceError(f"no dataset {str(dataset)!r}: neither a file nor a directory")
    if (dataset / "dataset_dict.json").is_file():
        listed = "".join(
            f"\n  -o dataset={path.parent}" for path in sorted(dataset.glob("*/dataset_info.json"))
        )
        raise UsageError(f"{NAME}: {str(dataset)!r} has several splits; say which one:{listed}")
    found = _saved(dataset) or sorted(dataset.rglob("*.parquet"))
    if not found:
        raise SourceError(
            f"no *.arrow and no *.parquet in {str(dataset)!r}; a dataset is a directory that "
            "save_to_disk wrote, or Parquet"
        )
    return [(path, path.relative_to(dataset).as_posix()) for path in found]


def _saved(dataset: Path) -> list[Path]:
    """List what `save_to_disk` wrote: `state.json` says so, as others' files may lie beside it."""
    state = dataset / "state.json"
    if not state.is_file():
        return sorted(dataset.glob("*.arrow"))
    try:
        names = [one["filename"] for one in json.loads(state.read_bytes())["_data_files"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(
            f"{str(state)!r} does not list the files of a dataset: {error}"
        ) from error
    there = {path.name: path for path in dataset.glob("*.arrow")}
    missing = [name for name in names if name not in there]
    if missing:
        raise SourceError(f"{str(state)!r} names {missing[0]!r}, which is not there")
    return [there[name] for name in names]


def batches(table: Table, columns: Columns) -> Iterator[pa.RecordBatch]:
    """Read a file's rows, a few at a time, in the columns that are asked for.

    Raises:
        SourceError: it cannot be read, or is no table.
    """
    path, shown = table
    wanted = list(dict.fromkeys(filter(None, _names(columns))))
    try:
        if path.suffix == ".parquet":
            with pq.ParquetFile(path, buffer_size=BUFFER) as file:
                _check(file.schema_arrow, columns, shown)
                yield from file.iter_batches(batch_size=ROWS, columns=wanted)
            return
        with pa.memory_map(str(path)) as source:
            opened = _opened(source)
            _check(opened.schema, columns, shown)
            for batch in _all(opened):
                for start in range(0, batch.num_rows, ROWS):
                    yield batch.select(wanted).slice(start, ROWS)
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{str(path)!r} is no table that can be read: {error}") from error


def _names(columns: Columns) -> tuple[str, ...]:
    """List the columns' names."""
    return columns.image, columns.text, columns.question, columns.answer, columns.id


def _opened(source: pa.MemoryMappedFile) -> Any:
    """Open an Arrow file: the stream that `datasets` writes, or the format with a footer."""
    try:
        return pa.ipc.open_stream(source)
    except pa.ArrowInvalid:
        source.seek(0)
        return pa.ipc.open_file(source)


def _all(opened: Any) -> Iterator[pa.RecordBatch]:
    if isinstance(opened, pa.ipc.RecordBatchFileReader):
        return (opened.get_batch(number) for number in range(opened.num_record_batches))
    return iter(opened)


def _check(schema: pa.Schema, columns: Columns, shown: str) -> None:
    """Check that the columns are there, and of the right types.

    Raises:
        UsageError: one is not; the message says which there are.
    """
    listed = ", ".join(f"{one.name} ({_kind(one.type)})" for one in schema)
    for option in ("image", "text", "question", "answer", "id"):
        name = getattr(columns, option)
        if not name:
            continue
        places = schema.get_all_field_indices(name)
        if len(places) != 1:
            raise UsageError(
                f"{NAME}: {shown} has no column {name!r} for {option}_column; it has: {listed}"
            )
        kind = _kind(schema.field(places[0]).type)
        wanted = {"image": {"pictures"}, "id": {"text", "numbers"}}
        texts = {"text", "lists of text", "null", "lists of null"}  # null: all of it is missing
        if kind not in wanted.get(option, texts):
            raise UsageError(
                f"{NAME}: column {name!r} of {shown} cannot be the {option}_column, as it holds "
                f"{kind}; there are: {listed}"
            )


def _kind(of: pa.DataType) -> str:
    """Say in words what a column holds."""
    types = pa.types
    if types.is_dictionary(of):
        return _kind(of.value_type)
    if types.is_binary(of) or types.is_large_binary(of):
        return "pictures"
    if types.is_struct(of):
        inner = {one.name: one.type for one in of}
        return "pictures" if "bytes" in inner and _kind(inner["bytes"]) == "pictures" else "objects"
    if types.is_string(of) or types.is_large_string(of) or types.is_string_view(of):
        return "text"
    if types.is_list(of) or types.is_large_list(of) or types.is_fixed_size_list(of):
        return f"lists of {_kind(of.value_type)}"
    return "numbers" if types.is_integer(of) else str(of)
