"""Where the values of a Parquet column lie in their file, byte by byte.

An uncompressed, plainly encoded binary column is a file of blobs: each value stands whole behind
its length of four bytes, so that one read at an offset gets it. pyarrow tells where a column begins
but not where its pages do; here their headers are read, every number in them bounded by the file.

Formats: https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift
(PageHeader, DataPageHeader), https://parquet.apache.org/docs/file-format/data-pages/encodings/ and
https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow.parquet as pq
import xxhash

HEADER_BYTES = 4096
"""Longest header of a page that is read: those without statistics take about 30 bytes."""

MAX_OFFSET = 2**63 - 1
"""Of a file, as systems count."""

DATA_PAGE, PLAIN, RLE = 0, 0, 3

ReadAt = Callable[[int, int], bytes]
"""Reads so many bytes at an offset of a file: (length, offset) to bytes, as `os.pread`."""


class NotPlain(Exception):  # noqa: N818  # never reaches a user: another way to read is taken
    """The values do not lie in the file as they are."""


def value_places(
    read_at: ReadAt, metadata: pq.FileMetaData, column: str
) -> Iterator[tuple[int, int]]:
    """Find every value of a binary column: (offset in the file, length), both in bytes.

    Args:
        read_at: Reads the file.
        metadata: Its footer.
        column: Path of the column in the schema, such as `image.bytes`. It may be optional, also
            inside of an optional struct, as long as no value is null.

    Raises:
        NotPlain: the column is compressed, encoded, repeated, has nulls, or is damaged.
    """
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        chunk = next(
            (c for c in map(group.column, range(group.num_columns)) if c.path_in_schema == column),
            None,
        )
        if chunk is None or chunk.compression != "UNCOMPRESSED" or chunk.has_dictionary_page:
            raise NotPlain(f"column {column!r} is missing, compressed or has a dictionary")
        if chunk.file_path or chunk.num_values != group.num_rows:
            raise NotPlain(f"column {column!r} lies in another file, or has not a value a row")
        schema = metadata.schema.column(_place(metadata, column))
        if schema.max_repetition_level or schema.physical_type != "BYTE_ARRAY":
            raise NotPlain(f"column {column!r} is no plain sequence of bytes")
        yield from _chunk(read_at, chunk, schema.max_definition_level)


def column_check(read_at: ReadAt, metadata: pq.FileMetaData, column: str, size: int) -> int:
    """Compute the XXH3 of a column's bytes as they lie in a file, however they are encoded.

    Args:
        read_at: Reads the file.
        metadata: Its footer.
        column: Path of the column in the schema.
        size: How long the file is: no more is read, whatever its footer says.

    Raises:
        ValueError: there is no such column.
    """
    place = _place(metadata, column)
    digest = xxhash.xxh3_64()
    for number in range(metadata.num_row_groups):
        chunk = metadata.row_group(number).column(place)
        start = chunk.dictionary_page_offset or chunk.data_page_offset
        length = chunk.total_compressed_size
        if not 0 <= start <= start + length <= size:
            raise ValueError(f"column {column!r} lies outside of its file")
        digest.update(read_at(length, start))
    return digest.intdigest()


def _place(metadata: pq.FileMetaData, column: str) -> int:
    return [metadata.schema.column(i).path for i in range(metadata.num_columns)].index(column)


def _chunk(
    read_at: ReadAt, chunk: pq.ColumnChunkMetaData, levels: int
) -> Iterator[tuple[int, int]]:
    """Walk the pages of one column of one row group."""
    position = chunk.data_page_offset
    end = position + chunk.total_compressed_size
    left = chunk.num_values
    if left <= 0:
        return
    if not 0 <= position < end <= MAX_OFFSET:
        raise NotPlain("a column lies nowhere")
    _exactly(read_at, 1, end - 1)  # so that whatever lies within the column lies in the file
    while left > 0:
        page, header_bytes = _page_header(read_at(min(HEADER_BYTES, end - position), position))
        start = position + header_bytes
        position = start + page.size
        # A page without values is none that anybody writes, and could come without end.
        if page.encoding != PLAIN or not 0 < page.values <= left or position > end:
            raise NotPlain("a page is not plain, or says more than its column")
        at = start + (_levels(read_at, start, page, levels) if levels else 0)
        for _ in range(page.values):
            length = int.from_bytes(_exactly(read_at, 4, at), "little")
            if at + 4 + length > position:
                raise NotPlain("a value is longer than its page")
            yield at + 4, length
            at += 4 + length
        if at != position:
            raise NotPlain("a page is longer than its values")
        left -= page.values


def _exactly(read_at: ReadAt, length: int, offset: int) -> bytes:
    data = read_at(length, offset)
    if len(data) != length:
        raise NotPlain("the file ends too early")
    return data


@dataclass(frozen=True, slots=True)
class _Page:
    size: int
    values: int
    encoding: int
    level_encoding: int


def _levels(read_at: ReadAt, start: int, page: _Page, highest: int) -> int:
    """Check that no value of a page is null; give the bytes that say so.

    They are one run of the highest level: its length in four bytes, the run's length doubled as a
    varint, the level.
    """
    size = int.from_bytes(_exactly(read_at, 4, start), "little")
    if page.level_encoding != RLE or size > min(16, page.size - 4):
        raise NotPlain("not every value is there")
    levels = _exactly(read_at, size, start + 4)
    try:
        run, used = _varint(levels, 0)
    except IndexError:
        raise NotPlain("a page's levels do not end") from None
    level = levels[used:]
    if run & 1 or run >> 1 != page.values or level != bytes([highest]):
        raise NotPlain("not every value is there")
    return 4 + size


# ------------------------------------------------- Thrift's compact protocol, as far as is needed

TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, STRUCT = 1, 2, 3, 4, 5, 6, 7, 8, 12


def _page_header(data: bytes) -> tuple[_Page, int]:
    """Read a page's header; give it and how long it is."""
    try:
        fields, used = _struct(data, 0, 0)
    except IndexError:
        raise NotPlain("a page's header does not end") from None
    inner = fields.get(5)
    if fields.get(1) != DATA_PAGE or not isinstance(inner, dict):
        raise NotPlain("a page is of another kind")
    numbers = [fields.get(3), inner.get(1), inner.get(2), inner.get(3)]
    if not all(isinstance(number, int) and number >= 0 for number in numbers):
        raise NotPlain("a page's header is incomplete")
    return _Page(*numbers), used  # type: ignore[arg-type]  # they are integers, as just checked


Fields = dict[int, object]


def _struct(data: bytes, at: int, depth: int) -> tuple[Fields, int]:
    """Read the fields of a struct by their numbers; what is no number or struct is passed over."""
    fields: Fields = {}
    number = 0
    if depth > 4:
        raise NotPlain("a page's header is nested too deeply")
    while data[at]:
        kind, step = data[at] & 15, data[at] >> 4
        at += 1
        if step:
            number += step
        else:
            value, at = _varint(data, at)
            number = _signed(value)
        if kind == STRUCT:
            fields[number], at = _struct(data, at, depth + 1)
        elif kind in {I16, I32, I64}:
            value, at = _varint(data, at)
            fields[number] = _signed(value)
        elif kind in {TRUE, FALSE}:
            pass
        elif kind in {BYTE, DOUBLE}:
            at += 1 if kind == BYTE else 8
        elif kind == BINARY:
            value, at = _varint(data, at)
            at += value
        else:
            raise NotPlain("a page's header holds what none should")
    return fields, at + 1


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if shift > 63:
            raise NotPlain("a number is too long")
        byte = data[at] if at < len(data) else _end()
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def _end() -> int:
    raise IndexError


def _signed(value: int) -> int:
    """Undo the zigzag by which small negative numbers are short."""
    return (value >> 1) ^ -(value & 1)


def reader_of(handle: int) -> ReadAt:
    """Read a file by its descriptor, from any thread, without moving its position."""
    return lambda length, offset: os.pread(handle, length, offset)
