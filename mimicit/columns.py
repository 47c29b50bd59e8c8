"""Python values as Arrow columns, and columns as numpy arrays.

`pyarrow.array` and `to_numpy` do this too, but import pandas to see whether a list is one of its
own, which takes 70 MB and a third of a second, and the former copies bytes twice.
"""

import itertools
import math
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Get = Callable[[Any, str], Any]
"""Gives a field of a row: `getattr`, or a dictionary's own way."""

_NUMBERS = {pa.int64(): np.int64, pa.float64(): np.float64}


def to_batch(rows: Sequence[Any], schema: pa.Schema, get: Get = getattr) -> pa.RecordBatch:
    """Turn rows into a record batch, column by column.

    Args:
        rows: Objects, or whatever `get` knows the fields of.
        schema: Columns of strings, bytes, 64-bit integers and floats, lists and structs of these.
        get: Gives a row's field by its name.

    Raises:
        TypeError: a value is not of its column's type, or is None where that cannot be. Nothing is
            converted but integers to floats: no float is taken for an integer, no boolean for a
            number, no bytes for a string, no string for bytes or for a list.
        ValueError: a value of the right type cannot be stored: an integer beyond 64 bits, or which
            no float equals; a string with half of a surrogate pair; more than 2 GB in a column.
    """
    names = schema.names
    if get is getattr and len(names) > 1:
        values = list(zip(*map(operator.attrgetter(*names), rows), strict=True))
        values = values or [()] * len(names)
    else:
        values = [tuple(get(row, name) for row in rows) for name in names]
    columns = [column(v, f.type, get) for v, f in zip(values, schema, strict=True)]
    batch = pa.RecordBatch.from_arrays(columns, schema=schema)
    for field, made in zip(schema, columns, strict=True):
        _refuse_missing(field, made)
    return batch


def _refuse_missing(field: pa.Field, made: pa.Array) -> None:
    if made.null_count and not field.nullable:
        raise TypeError(f"{field.name} is None in a row, and must not be")


def column(values: Sequence[Any], kind: pa.DataType, get: Get = getattr) -> pa.Array:
    """Turn one column's values into an array.

    Raises:
        TypeError, ValueError: as `to_batch`.
    """
    validity = None
    if any(map(operator.is_, values, itertools.repeat(None))):
        there = np.array([value is not None for value in values])
        validity = pa.py_buffer(np.packbits(there, bitorder="little"))
    if kind in _NUMBERS:
        return _numbers(values, kind, validity)
    if pa.types.is_struct(kind):
        return _structs(values, kind, validity, get)
    if pa.types.is_list(kind):
        return _lists(values, kind, validity, get)
    if kind == pa.string():
        _refuse_others(values, str, kind)
        texts = ["" if value is None else value for value in values] if validity else values
        whole = "".join(texts)
        # A letter is as long as its byte in most columns: their texts need not be encoded singly.
        encoded: Sequence[Any] = [whole.encode()]
        lengths = map(len, texts)
        if not whole.isascii():
            encoded = [text.encode() for text in texts]
            lengths = map(len, encoded)
    elif kind == pa.binary():
        _refuse_others(values, (bytes, bytearray), kind)
        encoded = [b"" if value is None else value for value in values] if validity else values
        lengths = map(len, encoded)
    else:
        raise TypeError(f"columns of {kind} are not made here")
    data = b"".join(encoded)
    if len(data) >= 2**31:
        raise ValueError("more than 2 GB in one column of a row group")
    buffers = [validity, _offsets(lengths), pa.py_buffer(data)]
    return pa.Array.from_buffers(kind, len(values), buffers)


def to_numpy(values: pa.Array, null: float = 0) -> np.ndarray:
    """Give a column of numbers or booleans as numpy has it.

    Args:
        values: The column. It is not copied where none of it is null and it is of numbers.
        null: What stands for a null.
    """
    if pa.types.is_boolean(values.type):
        return to_numpy(values.cast(pa.uint8()), null).view(bool)
    kind = np.dtype(values.type.to_pandas_dtype())
    buffer = values.buffers()[1]
    if buffer is None:  # of no values, or of nulls only
        return np.full(len(values), null, kind)
    found = np.frombuffer(buffer, kind, len(values), values.offset * kind.itemsize)
    if not values.null_count:
        return found
    return np.where(to_numpy(pc.is_null(values)), kind.type(null), found)


def places_in(known: pa.Array, values: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """Look values up: the place of each among those that are known, the first one's, or -1.

    All at once: whatever is known is put in order anew by each call.
    """
    found = pc.index_in(values, value_set=known)
    if isinstance(found, pa.Array):
        return to_numpy(found, null=-1)
    none = np.zeros(0, np.int32)
    return np.concatenate([none, *(to_numpy(chunk, null=-1) for chunk in found.chunks)])


def flat(lists: pa.ChunkedArray) -> pa.ChunkedArray:
    """Give what is in a column of lists of strings, one list behind the other."""
    return pa.chunked_array([chunk.flatten() for chunk in lists.chunks], pa.string())


def lists_of(counts: Sequence[int] | np.ndarray, values: pa.Array) -> pa.Array:
    """Give a column of lists, as rows are published: how many values each has, and all of these."""
    kind = pa.list_(pa.field("element", values.type, nullable=False))
    ends = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return pa.Array.from_buffers(kind, len(counts), [None, pa.py_buffer(ends)], children=[values])


def take_rows(
    batch: Callable[[int], pa.RecordBatch], starts: Sequence[int] | np.ndarray, places: np.ndarray
) -> pa.RecordBatch:
    """Give the rows at some places of a table that lies in batches, in the order asked for.

    Arrow's own way copies all of the table first.

    Args:
        batch: Gives a batch by its number.
        starts: Place of the first row of each batch, and at the end the number of all rows.
        places: Places of the rows; some may be asked for again.
    """
    within = np.searchsorted(starts, places, side="right") - 1
    order = np.argsort(within, kind="stable")
    taken = []
    for number in np.unique(within).tolist() or [0]:
        inside = places[order][within[order] == number] - starts[number]
        taken.append(batch(number).take(column(inside.tolist(), pa.int64())))
    back = np.empty(len(order), np.int64)
    back[order] = np.arange(len(order))
    return pa.concat_batches(taken).take(column(back.tolist(), pa.int64()))


def plain(values: pa.Array) -> pa.Array:
    """Give a column without a dictionary."""
    return values.dictionary_decode() if pa.types.is_dictionary(values.type) else values


def _refuse_others(values: Sequence[Any], kinds: Any, kind: pa.DataType) -> set[type]:
    """Check the type of every value that is there; give all types but None's."""
    found = set(map(type, values)) - {type(None)}
    for each in found:
        if not issubclass(each, kinds) or each is bool:
            raise TypeError(f"a value of type {each.__name__} in a column of {kind}")
    return found


def _numbers(values: Sequence[Any], kind: pa.DataType, validity: pa.Buffer | None) -> pa.Array:
    whole = kind == pa.int64()
    kinds = (int, np.integer) if whole else (float, np.floating, int, np.integer)
    found = _refuse_others(values, kinds, kind)
    filled = [0 if value is None else value for value in values] if validity else values
    if not found <= {int if whole else float}:
        filled = [operator.index(v) if whole else _float(v) for v in filled]
    try:
        numbers = np.array(filled, _NUMBERS[kind])
    except OverflowError as error:
        raise ValueError(f"an integer of more than 64 bits in a column of {kind}") from error
    return pa.Array.from_buffers(kind, len(values), [validity, pa.py_buffer(numbers)])


def _float(value: Any) -> float:
    if isinstance(value, float | np.floating):
        return float(value)
    whole = operator.index(value)
    try:
        number = float(whole)
    except OverflowError:
        number = math.inf
    if number != whole:
        raise ValueError(f"no float equals the integer {str(whole)[:40]}")
    return number


def _lists(
    values: Sequence[Any], kind: pa.DataType, validity: pa.Buffer | None, get: Get
) -> pa.Array:
    _refuse_others(values, (list, tuple), kind)
    present = [value or () for value in values]
    offsets = _offsets(map(len, present))
    inner = column(list(itertools.chain.from_iterable(present)), kind.value_type, get)
    _refuse_missing(kind.value_field, inner)
    return pa.Array.from_buffers(kind, len(values), [validity, offsets], children=[inner])


def _structs(
    values: Sequence[Any], kind: pa.DataType, validity: pa.Buffer | None, get: Get
) -> pa.Array:
    inner = []
    for field in kind:
        # Below a struct that is None lies something all the same.
        hidden = None if field.nullable else _blank(field.type)
        try:
            found = [hidden if v is None or v is _BLANK else get(v, field.name) for v in values]
        except (AttributeError, LookupError) as error:
            raise TypeError(f"a value in a column of {kind} has no {field.name!r}") from error
        inner.append(column(found, field.type, get))
        _refuse_missing(field, inner[-1])
    return pa.Array.from_buffers(kind, len(values), [validity], children=inner)


_BLANK = object()
"""Stands for a struct that nobody sees."""


def _blank(kind: pa.DataType) -> Any:
    """Give what may lie where nobody sees it, and where None must not."""
    if kind in _NUMBERS:
        return 0
    if pa.types.is_struct(kind):
        return _BLANK
    return () if pa.types.is_list(kind) else "" if kind == pa.string() else b""


def _offsets(lengths: Iterable[int]) -> pa.Buffer:
    ends = np.fromiter(itertools.accumulate(lengths, initial=0), np.int64)
    if ends[-1] >= 2**31:
        raise ValueError("more than 2**31 values in one column of a row group")
    return pa.py_buffer(ends.astype(np.int32))
