"""Where pictures lie in their files: found in the pages, or told by the index."""

import functools
import io
import json
import os
import random
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_image_store import SMALL, check, check_right_or_error, write

from mimicit import image_store, store_index
from mimicit.errors import SourceError
from mimicit.image_store import ImageStore
from mimicit.plain_values import HEADER_BYTES, NotPlain, ReadAt, value_places
from mimicit.store_index import ENTRY, MAGIC, Place, in_memory, key_of, spell

COLUMN = "image.bytes"


def table_of(values: list[bytes | None], *, outer: bool = True, inner: bool = True) -> pa.Table:
    """Make a table whose pictures, or the structs that they are in, may or may not be null."""
    field = pa.field("bytes", pa.binary(), nullable=inner)
    kind = pa.struct([pa.field("path", pa.string()), field])
    rows = [{"image": {"path": str(n), "bytes": value}} for n, value in enumerate(values)]
    return pa.Table.from_pylist(rows, pa.schema([pa.field("image", kind, nullable=outer)]))


def written(table: pa.Table, **options: Any) -> bytes:
    file = io.BytesIO()
    plain = {"compression": "none", "use_dictionary": False}
    pq.write_table(table, file, **{**plain, **options})
    return file.getvalue()


def reading(data: bytes, most: int = 100_000) -> ReadAt:
    """Read as `os.pread` does, counting; nothing large is ever asked for."""
    count = 0

    def read(length: int, offset: int) -> bytes:
        nonlocal count
        count += 1
        assert count <= most, "it does not come to an end"
        assert 0 <= length <= HEADER_BYTES
        assert offset >= 0
        return data[offset : offset + length]

    return read


def places_of(
    data: bytes, column: str = COLUMN, whole: bytes | None = None
) -> list[tuple[int, int]]:
    """Find the values of a file, whose footer may be that of an undamaged one."""
    metadata = pq.read_metadata(io.BytesIO(whole or data))
    return list(value_places(reading(data), metadata, column))


# With statistics, the shortest and the longest value stand twice in the header of their page, and
# must not make it longer than what is read.
VALUES = st.lists(st.binary(max_size=40) | st.integers(0, 900).map(bytes), max_size=60)
OPTIONS = st.fixed_dictionaries(
    {
        "write_batch_size": st.integers(1, 9),
        "data_page_size": st.integers(1, 4000),
        "row_group_size": st.integers(1, 70),
        "write_statistics": st.booleans(),
        "write_page_index": st.booleans(),
        "write_page_checksum": st.booleans(),
    }
)


@given(VALUES, OPTIONS, st.booleans(), st.booleans())
@settings(max_examples=50)
def test_every_value_is_found(
    values: list[bytes], options: dict[str, Any], outer: bool, inner: bool
) -> None:
    table = table_of([*values], outer=outer, inner=inner)
    data = written(table, **options)
    found = [data[offset : offset + length] for offset, length in places_of(data)]
    read = pq.read_table(io.BytesIO(data)).flatten().column(COLUMN).to_pylist()
    assert found == read == values


def test_many_values_in_one_page_and_many_pages_in_one_group_are_found() -> None:
    values = [bytes([n % 251]) * (n % 7) for n in range(20_000)]
    for options in ({"write_batch_size": 100_000}, {"write_batch_size": 4, "data_page_size": 4}):
        data = written(table_of([*values]), data_page_version="1.0", **options)
        found = value_places(reading(data, 300_000), pq.read_metadata(io.BytesIO(data)), COLUMN)
        assert [data[offset : offset + length] for offset, length in found] == values


def test_a_column_of_strings_outside_of_a_struct_is_found() -> None:
    data = written(pa.table({"n": [1, 2], "text": ["é", ""]}))
    assert [data[offset:][:length].decode() for offset, length in places_of(data, "text")] == [
        "é",
        "",
    ]


SOME = [b"abc" * 9, b"", b"abc" * 9, b"x"]


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "snappy"},
        {"compression": "zstd"},
        {"compression": "gzip"},
        {"use_dictionary": True},
        {"column_encoding": {COLUMN: "DELTA_BYTE_ARRAY"}},
        {"column_encoding": {COLUMN: "DELTA_LENGTH_BYTE_ARRAY"}},
        {"data_page_version": "2.0"},
        # The shortest and the longest value go into the header of a page.
        {"write_statistics": True, "values": [b"a" * 4000, b"b" * 4000]},
        {"values": [*SOME, None]},
        {"values": [None]},
        {"values": [*SOME, None], "write_batch_size": 1, "data_page_size": 1},
    ],
    ids=lambda options: str(options)[:40],
)
def test_values_that_do_not_lie_there_as_they_are_are_refused(options: dict[str, Any]) -> None:
    values = options.pop("values", SOME)
    data = written(table_of(values), **options)
    with pytest.raises(NotPlain):
        assert len(places_of(data)) != len(values)


def test_a_struct_that_is_null_is_refused() -> None:
    kind = pa.struct([pa.field("bytes", pa.binary(), nullable=False)])
    data = written(pa.table({"image": pa.array([{"bytes": b"x"}, None], kind)}))
    with pytest.raises(NotPlain):
        places_of(data)


@pytest.mark.parametrize("column", ["none", "image", "numbers", "lists.list.element"])
def test_other_columns_are_refused(column: str) -> None:
    table = pa.table({"numbers": [1], "lists": [[b"x"]], "image": [{"bytes": b"x"}]})
    with pytest.raises(NotPlain):
        places_of(written(table), column)


# ------------------------------------------------------------------------- damage

WHOLE = [
    written(
        table_of([bytes([n]) * (n * 7 % 50) for n in range(40)], outer=nullable, inner=nullable),
        write_batch_size=4,
        data_page_size=100,
        row_group_size=30,
        write_statistics=nullable,
    )
    for nullable in (True, False)
]
ONE = written(table_of([b"0123456789" * 20]), write_statistics=False)


def column_of(data: bytes) -> tuple[int, int]:
    """Say where the first row group has its pictures."""
    group = pq.read_metadata(io.BytesIO(data)).row_group(0)
    (chunk,) = (
        group.column(n)
        for n in range(group.num_columns)
        if group.column(n).path_in_schema == COLUMN
    )
    return chunk.data_page_offset, chunk.data_page_offset + chunk.total_compressed_size


def check_damaged(data: bytes, whole: bytes) -> None:
    count = 0
    try:
        metadata = pq.read_metadata(io.BytesIO(whole))
        for offset, length in value_places(reading(data), metadata, COLUMN):
            assert 0 <= offset <= offset + length <= len(data)
            count += 1
    except NotPlain:
        return
    assert count == 40


@given(
    st.sampled_from(WHOLE), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=5)
)
@settings(max_examples=200)
def test_damage_is_noticed_or_leads_nowhere_else(
    whole: bytes, damage: list[tuple[float, int]]
) -> None:
    start, end = column_of(whole)
    data = bytearray(whole)
    for where, byte in damage:
        data[start + int(where * (end - 1 - start))] = byte
    check_damaged(bytes(data), whole)


@pytest.mark.parametrize("whole", WHOLE)
def test_every_byte_of_the_first_headers_may_be_damaged(whole: bytes) -> None:
    start, _ = column_of(whole)
    for place in range(start, start + 90):
        for byte in (0, 1, 0x18, 0x7F, 0x80, 0xFF):
            check_damaged(whole[:place] + bytes([byte]) + whole[place + 1 :], whole)


@given(st.sampled_from(WHOLE), st.binary(max_size=80))
@settings(max_examples=200)
def test_garbage_in_the_place_of_pages_is_noticed(whole: bytes, garbage: bytes) -> None:
    start, end = column_of(whole)
    filled = (garbage * (end - start))[: end - start] if garbage else bytes(end - start)
    check_damaged(whole[:start] + filled + whole[end:], whole)


@given(st.sampled_from([*WHOLE, ONE]), st.floats(0, 1))
def test_a_file_that_ends_too_early_is_noticed(whole: bytes, share: float) -> None:
    _, end = column_of(whole)
    with pytest.raises(NotPlain):
        places_of(whole[: int(share * (end - 1))], whole=whole)


def header(size: int, values: int, levels: int, encoding: int) -> bytes:
    """Spell the header of a plain page: numbers below 64 take one byte, doubled."""
    numbers = (values, encoding, levels, levels)
    inner = b"".join(bytes([0x15, number * 2]) for number in numbers) + b"\0"
    return bytes([0x15, 0, 0x15, size * 2, 0x15, size * 2, 0x2C]) + inner + b"\0"


def value(text: bytes) -> bytes:
    return len(text).to_bytes(4, "little") + text


def page(content: bytes, values: int = 1, levels: int = 3, encoding: int = 0) -> bytes:
    return header(len(content), values, levels, encoding) + content


PRESENT = b"\2\0\0\0\2\2"
"""The levels of one value that is there: a run of one 2."""


@pytest.mark.parametrize(
    "pages",
    [
        page(b"\0\0\0\0" + value(b"x")),  # no levels at all
        page(b"\1\0\0\0\x80" + value(b"x")),  # a run that does not end
        page(b"\2\0\0\0\4\2" + value(b"x")),  # a run of two
        page(b"\2\0\0\0\3\2" + value(b"x")),  # packed bits
        page(b"\2\0\0\0\2\1" + value(b"x")),  # the struct is there, its bytes are not
        page(b"\3\0\0\0\2\2\2" + value(b"x")),  # more than its levels
        page(b"\xff\xff\xff\xff\2\2" + value(b"x")),  # levels without end
        page(PRESENT + value(b"x"), levels=4),  # levels packed in another way
        page(PRESENT + b"\xff\xff\xff\x7f"),  # a value that is longer than the file
        page(PRESENT + value(b"x") + b"y"),  # more than its values
        page(b"\2\0\0\0\0\2", 0) * 6 + page(PRESENT + value(b"x")),  # nothing, again and again
        page(PRESENT + value(b"x"), encoding=6),
        page(b"\4\0" + value(b"x"), 2),  # more values than the column has
        page(b""),
        page(b"\2\0"),
        b"\x15",
        b"\x80" * 99,
        b"\x1c" * 99,
        b"\x18\xff\xff\xff\xff\x7f",  # a text of many gigabytes
        b"\x00",
    ],
    ids=bytes.hex,
)
def test_a_page_made_up_is_refused(pages: bytes) -> None:
    start, end = column_of(ONE)
    data = ONE[:start] + pages.ljust(end - start, b"\0") + ONE[end:]
    with pytest.raises(NotPlain):
        places_of(data, whole=ONE)


def test_a_page_made_up_is_read() -> None:
    """Else the pages above were refused for another reason."""
    start, end = column_of(ONE)
    pages = page(PRESENT + value(b"x"))
    data = ONE[:start] + pages.ljust(end - start, b"\0") + ONE[end:]
    ((offset, length),) = places_of(data, whole=ONE)
    assert data[offset : offset + length] == b"x"


def test_a_footer_that_points_outside_of_the_file_is_noticed() -> None:
    """The footer of a file with more in front of it, for a file that is shorter."""
    longer = written(table_of([b"x" * 5000, b"y" * 5000]), row_group_size=1)
    with pytest.raises(NotPlain):
        places_of(ONE, whole=longer)


# ------------------------------------------------------------------------- a damaged index


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of 60 pictures in 10 shards; tests must leave it as it is."""
    return write(tmp_path_factory.mktemp("index") / "out", SMALL, group=300, shard=1000)


@pytest.fixture
def copy(dataset: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    return Path(shutil.copytree(dataset, tmp_path / "copy"))


BODY = 60 * ENTRY.itemsize
STARTS = 5 * 8


def heading(data: bytes, **fields: Any) -> bytes:
    """Change what the header of an index says."""
    start = len(MAGIC) + 4
    old = json.loads(data[start : -BODY - STARTS])
    text = json.dumps({**old, **fields}).encode()
    return MAGIC + len(text).to_bytes(4, "little") + text + data[-BODY - STARTS :]


def starts(data: bytes, *numbers: int) -> bytes:
    """Change where the keys of each first bits begin."""
    return data[: -BODY - STARTS] + np.array(numbers, "<u8").tobytes() + data[-BODY:]


def entries(data: bytes, **fields: Any) -> bytes:
    """Change every entry; a field may be a function of what it was."""
    made = np.frombuffer(data[-BODY:], ENTRY).copy()
    for name, value in fields.items():
        made[name] = value(made[name]) if callable(value) else value
    return data[:-BODY] + made.tobytes()


@pytest.mark.parametrize(
    "change",
    [
        lambda data: b"",
        lambda data: data[:10],
        lambda data: data[:200],
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: MAGIC.replace(b"1", b"2") + data[len(MAGIC) :],
        lambda data: MAGIC + b"\xff\xff\xff\xff" + data[len(MAGIC) + 4 :],
        lambda data: random.Random(0).randbytes(len(data)),
        lambda data: MAGIC + b"\x08\0\0\0" + b'{"a": 1}',
        lambda data: MAGIC + b"\x02\0\0\0" + b"[]",
        lambda data: MAGIC + b"\x20\x4e\0\0" + b"[" * 20_000,
        functools.partial(heading, images=2**60),
        functools.partial(heading, images=-1),
        functools.partial(heading, images=float("inf")),
        functools.partial(heading, images="many"),
        functools.partial(heading, bits=60),
        functools.partial(heading, bits=-1),
        functools.partial(heading, bits=3),
        functools.partial(heading, files=[]),
        functools.partial(heading, files=[["other.parquet", 5]]),
        functools.partial(heading, files=[5]),
        lambda data: starts(data, 1, 10, 20, 30, 60),
        lambda data: starts(data, 0, 10, 20, 30, 61),
        lambda data: starts(data, 0, 30, 20, 30, 60),
        lambda data: starts(data, 0, 2**63, 20, 30, 60),
    ],
)
def test_an_index_that_cannot_be_is_passed_over(
    change: Callable[[bytes], bytes], copy: Path
) -> None:
    index = copy / "images" / store_index.NAME
    index.write_bytes(change(index.read_bytes()))
    tracemalloc.start()
    check(ImageStore.open(copy), SMALL)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * 2**20


@pytest.mark.parametrize(
    "fields",
    [
        {"offset": lambda old: old + 1},
        {"offset": 2**64 - 1},
        {"offset": 2**63},
        {"length": 2**32 - 1},
        {"length": lambda old: old - 1},
        {"length": 0, "offset": 0, "check": 0},
        {"offset": lambda old: old + 1, "check": 0},
        {"check": lambda old: old ^ np.uint64(1)},
        {"file": 2**32 - 1},
        {"file": 10_000},
        {"file": lambda old: old[::-1]},
    ],
    ids=list,
)
def test_an_index_that_points_elsewhere_gives_no_wrong_picture(
    fields: dict[str, Any], copy: Path
) -> None:
    index = copy / "images" / store_index.NAME
    index.write_bytes(entries(index.read_bytes(), **fields))
    store = ImageStore.open(copy)
    assert check_right_or_error(store, SMALL) > 45
    with pytest.raises(SourceError, match="is damaged; `mimicit validate` says where"):
        store.read(list(SMALL)[1])


DAMAGE = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=20)


@given(DAMAGE, st.floats(0, 1), st.booleans())
@settings(max_examples=30)
def test_whatever_happens_to_the_index_no_wrong_picture_is_read(
    dataset: Path, damage: list[tuple[float, int]], share: float, cut: bool
) -> None:
    index = dataset / "images" / store_index.NAME
    whole = index.read_bytes()
    data = bytearray(whole)
    for where, byte in damage:
        data[int(where * len(data))] = byte
    try:
        index.write_bytes(data[: int(share * len(data))] if cut else data)
        tracemalloc.start()
        check_right_or_error(ImageStore.open(dataset), SMALL)
        assert tracemalloc.get_traced_memory()[1] < 5 * 2**20
    finally:
        tracemalloc.stop()
        index.write_bytes(whole)


def test_a_key_across_two_entries_is_not_taken_for_one() -> None:
    key = key_of("x")
    halves = [int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")]
    made = np.array([(bytes(16), *halves, 1, 0), (key, 2, 3, 4, 5)], ENTRY)
    assert in_memory(spell([], made)).find("x") == Place(file=5, offset=3, length=4, check=2)
    assert in_memory(spell([], made[:1])).find("x") is None


def test_an_index_that_is_no_file_is_passed_over(copy: Path) -> None:
    (copy / "images" / store_index.NAME).unlink()
    (copy / "images" / store_index.NAME).mkdir()
    check(ImageStore.open(copy), SMALL)


def test_an_index_that_becomes_shorter_is_an_error(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_store, "HELD_BYTES", 0)  # as for an index that is larger
    store = ImageStore.open(copy)
    os.truncate(copy / "images" / store_index.NAME, 1500)
    assert 0 < check_right_or_error(store, SMALL) <= 60
    with pytest.raises(SourceError, match="ends too early"):
        any(name in store for name in [*SMALL, *map(str, range(99))])
