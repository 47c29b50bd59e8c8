"""Columns that are made of rows, and pictures that are read out of columns that others made."""

import enum
import math
import shutil
from operator import getitem
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_image_store import SMALL, Pictures, check

from mimicit.columns import column, flat, lists_of, places_in, take_rows, to_batch, to_numpy
from mimicit.errors import SourceError
from mimicit.image_store import ImageStore
from mimicit.tables import arrow_schema

SCALARS = [pa.string(), pa.binary(), pa.int64(), pa.float64()]
NAMES = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=4, unique=True)


def structs(inner: st.SearchStrategy[pa.DataType]) -> st.SearchStrategy[pa.DataType]:
    return NAMES.flatmap(lambda names: st.tuples(*(fields(inner, name) for name in names))).map(
        pa.struct
    )


def fields(
    kinds: st.SearchStrategy[pa.DataType], name: str = "element"
) -> st.SearchStrategy[pa.Field]:
    return st.builds(pa.field, st.just(name), kinds, st.booleans())


KINDS = st.recursive(
    st.sampled_from(SCALARS),
    lambda inner: st.one_of(fields(inner).map(pa.list_), structs(inner)),
    max_leaves=6,
)
SCHEMAS = NAMES.flatmap(lambda names: st.tuples(*(fields(KINDS, name) for name in names))).map(
    pa.schema
)


def values(field: pa.Field) -> st.SearchStrategy[Any]:
    """Make what a column may hold."""
    kind = field.type
    made: st.SearchStrategy[Any]
    if pa.types.is_struct(kind):
        made = st.fixed_dictionaries({each.name: values(each) for each in kind})
    elif pa.types.is_list(kind):
        made = st.lists(values(kind.value_field), max_size=4)
    else:
        made = {
            pa.string(): st.text(max_size=6),
            pa.binary(): st.binary(max_size=6),
            pa.int64(): st.integers(-(2**63), 2**63 - 1),
            pa.float64(): st.floats(allow_nan=False),
        }[kind]
    return st.none() | made if field.nullable else made


def as_object(value: Any) -> Any:
    """Make attributes of what is in dictionaries."""
    if isinstance(value, list):
        return [as_object(each) for each in value]
    if isinstance(value, dict):
        return SimpleNamespace(**{name: as_object(each) for name, each in value.items()})
    return value


@given(st.data(), SCHEMAS)
@settings(max_examples=70)
def test_rows_become_what_pyarrow_makes_of_them(data: st.DataObject, schema: pa.Schema) -> None:
    row = st.fixed_dictionaries({field.name: values(field) for field in schema})
    rows = data.draw(st.lists(row, max_size=10))
    made = to_batch(rows, schema, getitem)
    made.validate(full=True)
    assert made.schema.equals(schema)
    assert made.equals(pa.RecordBatch.from_pylist(rows, schema))
    assert made.to_pylist() == rows
    assert to_batch([as_object(row) for row in rows], schema).equals(made)


@given(st.lists(st.floats() | st.none()))
def test_floats_are_kept_to_the_bit(numbers: list[float | None]) -> None:
    made = column(numbers, pa.float64()).to_pylist()
    assert [n and np.float64(n).tobytes() for n in made] == [
        n and np.float64(n).tobytes() for n in numbers
    ]
    assert [str(n) for n in made] == [str(n) for n in numbers]


def test_a_struct_that_is_none_hides_fields_that_must_not_be() -> None:
    inner = pa.struct([pa.field("n", pa.int64(), nullable=False)])
    deep = [
        pa.field(f"f{number}", kind, nullable=False)
        for number, kind in enumerate([*SCALARS, pa.list_(pa.string()), inner])
    ]
    made = column([None, None], pa.struct(deep), getitem)
    made.validate(full=True)
    assert made.to_pylist() == [None, None]
    assert [made.field(n).null_count for n in range(len(deep))] == [0] * len(deep)


class Word(enum.StrEnum):
    """A string that is also something else."""

    YES = "yes"


@pytest.mark.parametrize(
    ("kind", "value", "stored"),
    [
        (pa.float64(), 3, 3.0),
        (pa.float64(), 2**60, float(2**60)),
        (pa.float64(), np.float32(0.5), 0.5),
        (pa.float64(), np.int16(-7), -7.0),
        (pa.int64(), np.uint8(7), 7),
        (pa.string(), Word.YES, "yes"),
        (pa.binary(), bytearray(b"ab"), b"ab"),
        (pa.list_(pa.int64()), (1, 2), [1, 2]),
    ],
)
def test_what_loses_nothing_is_taken(kind: pa.DataType, value: Any, stored: Any) -> None:
    for around in ([value], [None, value, None]):
        made = column(around, kind)
        made.validate(full=True)
        assert made.to_pylist() == [stored if each is value else None for each in around]


@pytest.mark.parametrize("around", [[], [None]])
@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (pa.int64(), 1.0),
        (pa.int64(), 1.5),
        (pa.int64(), math.nan),
        (pa.int64(), True),
        (pa.int64(), np.bool_(True)),
        (pa.int64(), "5"),
        (pa.float64(), "5"),
        (pa.float64(), False),
        (pa.string(), b"x"),
        (pa.string(), 5),
        (pa.string(), ["x"]),
        (pa.binary(), "x"),
        (pa.binary(), ""),
        (pa.binary(), 0),
        (pa.binary(), memoryview(b"1234").cast("i")),
        (pa.list_(pa.string()), "abc"),
        (pa.list_(pa.string()), {"abc"}),
        (pa.list_(pa.string()), 5),
        (pa.list_(pa.string()), [5]),
        (pa.struct([("a", pa.int64())]), {}),
        (pa.struct([("a", pa.int64())]), {"a": "5"}),
    ],
)
def test_another_type_is_an_error(kind: pa.DataType, value: Any, around: list[None]) -> None:
    with pytest.raises(TypeError):
        column([*around, value], kind, getitem)


def test_a_struct_without_the_attribute_is_an_error() -> None:
    with pytest.raises(TypeError, match="has no 'a'"):
        column([5], pa.struct([("a", pa.int64())]))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (pa.int64(), 2**63),
        (pa.int64(), -(2**63) - 1),
        (pa.int64(), np.uint64(2**63)),
        (pa.float64(), 2**53 + 1),
        (pa.float64(), 10**400),
        (pa.string(), "half \ud800"),
    ],
)
@pytest.mark.parametrize("around", [[], [None]])
def test_what_does_not_fit_is_an_error(kind: pa.DataType, value: Any, around: list[None]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # in the words of whatever refuses it
        column([*around, value], kind)


@pytest.mark.parametrize(
    "kind", [pa.bool_(), pa.int32(), pa.large_string(), pa.large_list(pa.int64()), pa.null()]
)
def test_a_column_that_cannot_be_made_is_an_error(kind: pa.DataType) -> None:
    with pytest.raises(TypeError, match="are not made here"):
        column([], kind)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *((kind, None) for kind in SCALARS),
        (pa.list_(pa.string()), None),
        (pa.struct([("a", pa.int64())]), None),
        (pa.list_(pa.field("element", pa.string(), nullable=False)), [None]),
        (pa.struct([pa.field("a", pa.int64(), nullable=False)]), {"a": None}),
    ],
)
def test_none_where_it_must_not_be_is_an_error(kind: pa.DataType, value: Any) -> None:
    with pytest.raises(TypeError, match="is None in a row, and must not be"):
        to_batch([{"x": value}], pa.schema([pa.field("x", kind, nullable=False)]), getitem)


@given(st.data())
def test_a_column_of_numbers_is_one_of_numpy(data: st.DataObject) -> None:
    kind, values, null = data.draw(
        st.sampled_from(
            [
                (pa.bool_(), st.booleans(), False),
                (pa.int8(), st.integers(-128, 127), -1),
                (pa.int32(), st.integers(-(2**31), 2**31 - 1), -1),
                (pa.int64(), st.integers(-(2**63), 2**63 - 1), 7),
                (pa.float32(), st.floats(width=32, allow_nan=False), 0.5),
                (pa.float64(), st.floats(allow_nan=False), 0.5),
            ]
        )
    )
    wanted = data.draw(st.lists(st.none() | values, max_size=20))
    start = data.draw(st.integers(0, len(wanted)))
    found = to_numpy(pa.array(wanted, kind).slice(start), null)
    assert found.dtype == kind.to_pandas_dtype()
    assert found.tolist() == [null if value is None else value for value in wanted[start:]]


# ----------------------------------------------------- files of others


def other_table(pictures: Pictures, nullable: bool = True) -> pa.Table:
    inner = pa.struct([("path", pa.string()), pa.field("bytes", pa.binary(), nullable=nullable)])
    schema = pa.schema(
        [
            ("extra", pa.list_(pa.int64())),
            pa.field("image", inner, nullable=nullable),
            ("more", pa.string()),
            pa.field("image_id", pa.string(), nullable=nullable),
        ]
    )
    rows = [
        {"extra": [1], "image": {"bytes": data, "path": None}, "image_id": name}
        for name, data in pictures.items()
    ]
    return pa.Table.from_pylist(rows, schema)


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "snappy"},
        {"compression": "zstd", "use_dictionary": False},
        {"compression": "none"},
        {"compression": "none", "use_dictionary": False},
        {"compression": "none", "use_dictionary": False, "nullable": False},
        {"compression": "none", "use_dictionary": False, "data_page_version": "2.0"},
        {"compression": "none", "use_dictionary": False, "as_type": pa.large_binary()},
        {"compression": "zstd", "as_type": pa.large_binary()},
    ],
    ids=str,
)
def test_files_that_others_wrote_are_read(options: dict[str, Any], tmp_path: Path) -> None:
    names = list(SMALL)
    nullable, kind = options.pop("nullable", True), options.pop("as_type", None)
    for number in (0, 1):
        part = {name: SMALL[name] for name in names[number * 30 :][:30]}
        table = other_table(part, nullable)
        if kind:
            image = pa.struct([("bytes", kind)])
            table = table.set_column(1, "image", table.column("image").cast(image))
        pq.write_table(table, tmp_path / f"{number}.parquet", row_group_size=7, **options)
    pq.write_table(other_table({"hidden": b""}), tmp_path / "_hidden.parquet")
    check(ImageStore.open(tmp_path), SMALL)


@pytest.mark.parametrize("how", ["datasets", "duckdb", "duckdb, uncompressed"])
def test_files_of_other_programs_are_read(how: str, tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    images = [{"bytes": data, "path": None} for data in SMALL.values()]
    if how == "datasets":
        import datasets

        features = datasets.Features(image=datasets.Image(), image_id=datasets.Value("string"))
        columns = {"image": images, "image_id": list(SMALL)}
        datasets.Dataset.from_dict(columns, features=features).to_parquet(path)
    else:
        table = other_table(SMALL)
        form = "FORMAT parquet" + (", COMPRESSION uncompressed" if "un" in how else "")
        with duckdb.connect() as connection:
            connection.register("pictures", table).execute(f"COPY pictures TO '{path}' ({form})")
    check(ImageStore.open(tmp_path), SMALL)


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_a_picture_without_bytes_is_an_error(compression: str, tmp_path: Path) -> None:
    pictures: Any = {"a": b"a", "b": None, "c": b"c"}
    pq.write_table(other_table(pictures), tmp_path / "x.parquet", compression=compression)
    store = ImageStore.open(tmp_path)
    assert [store.read("a"), store.read("c"), list(store)] == [b"a", b"c", ["a", "b", "c"]]
    with pytest.raises(SourceError, match=r"'b' is not in 'x\.parquet'"):
        store.read("b")


ID, BYTES = pa.array(["a"]), pa.array([{"bytes": b"x"}])


@pytest.mark.parametrize(
    "columns",
    [
        {"image_id": ID},
        {"image": BYTES},
        {"image_id": pa.array([1]), "image": BYTES},
        {"image_id": pa.array([None], pa.string()), "image": BYTES},
        {"image_id": pa.array([b"\xff"]), "image": BYTES},
        {"image_id": ID, "image": pa.array([b"x"])},
        {"image_id": ID, "image": pa.array([{"bytes": [b"x"]}])},
        None,
    ],
    ids=lambda columns: ", ".join(f"{n}: {c.type}" for n, c in (columns or {}).items()),
)
@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_what_are_no_pictures_is_an_error(
    columns: dict[str, pa.Array] | None, compression: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.parquet"
    if columns:
        options = {"compression": compression, "use_dictionary": False}
        pq.write_table(pa.table(columns), path, **options)
    else:
        path.write_bytes(b"PAR1 this is none PAR1")
    with pytest.raises(SourceError, match=r"cannot be read: "):
        ImageStore.open(tmp_path)


def test_a_folder_without_pictures_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no Parquet files"):
        ImageStore.open(tmp_path)
    with pytest.raises(SourceError, match="no directory"):
        ImageStore.open(tmp_path / "none")
    (tmp_path / "x.parquet").mkdir()
    with pytest.raises(SourceError, match="cannot be read"):
        ImageStore.open(tmp_path)
    shutil.rmtree(tmp_path / "x.parquet")
    pq.write_table(other_table({}), tmp_path / "x.parquet", compression="none")
    check(ImageStore.open(tmp_path), {})


@given(
    st.lists(st.lists(st.text(max_size=3), max_size=5), max_size=4), st.lists(st.text(max_size=3))
)
def test_values_are_looked_up_in_chunks_as_in_one(
    chunks: list[list[str]], known: list[str]
) -> None:
    values = pa.chunked_array(chunks, pa.string())
    found = places_in(pa.array(known, pa.string()), values).tolist()
    every = [value for chunk in chunks for value in chunk]
    assert found == [known.index(value) if value in known else -1 for value in every]


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.data())
def test_rows_are_taken_in_the_order_asked_for(sizes: list[int], data: st.DataObject) -> None:
    starts = [sum(sizes[:number]) for number in range(len(sizes) + 1)]
    batches = [
        pa.record_batch({"row": pa.array(range(start, start + size))})
        for start, size in zip(starts, sizes, strict=False)
    ]
    places = data.draw(st.lists(st.integers(0, starts[-1] - 1)))
    taken = take_rows(batches.__getitem__, starts, np.array(places, np.int64))
    assert taken.column("row").to_pylist() == places


def test_lists_are_made_of_counts_and_laid_flat_again() -> None:
    made = lists_of([2, 0, 1], pa.array(["a", "b", "c"]))
    assert made.to_pylist() == [["a", "b"], [], ["c"]]
    assert made.type == arrow_schema("instructions").field("rel_ins_ids").type
    assert flat(pa.chunked_array([made, made[1:]])).to_pylist() == ["a", "b", "c", "c"]
