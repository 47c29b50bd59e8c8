"""Python values as Arrow columns.

`pyarrow.array` does this too, but imports pandas to see whether a list is one of its own, which
takes 70 MB and a third of a second, and copies bytes twice.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

Get = Callable[[Any, str], Any]
"""Gives a field of a row: `getattr`, or a dictionary's own way."""

_NUMBERS = {pa.int64(): np.int64, pa.float64(): np.float64}


def to_batch(rows: Sequence[Any], schema: pa.Schema, get: Get = getattr) -> pa.RecordBatch:
    """Turn rows into a record batch, column by column.

    Args:
        rows: Objects, or whatever `get` knows the fields of.
        schema: Columns of strings, bytes, integers, floats, lists and structs of these.
        get: Gives a row's field by its name.

    Raises:
        TypeError: a value is not of its column's type, or is None where that cannot be.
    """
    columns = [column([get(row, f.name) for row in rows], f.type, get) for f in schema]
    batch = pa.RecordBatch.from_arrays(columns, schema=schema)
    for field, made in zip(schema, columns, strict=True):
        if made.null_count and not field.nullable:
            raise TypeError(f"{field.name} is None in a row, and must not be")
    return batch


def column(values: Sequence[Any], kind: pa.DataType, get: Get = getattr) -> pa.Array:
    """Turn one column's values into an array.

    Raises:
        TypeError: a value is not of this type.
    """
    missing = [value is None for value in values]
    validity = None
    if any(missing):
        bits = np.packbits(~np.array(missing), bitorder="little")
        validity = pa.py_buffer(bits)
    if kind in _NUMBERS:
        return _numbers(values, kind, validity)
    if pa.types.is_struct(kind):
        fields = list(kind)
        inner = [column([get(v, f.name) for v in values], f.type, get) for f in fields]
        return pa.StructArray.from_arrays(inner, fields=fields)
    if pa.types.is_list(kind):
        offsets = _offsets(len(value) for value in values)
        flat = list(itertools.chain.from_iterable(values))
        inner = [column(flat, kind.value_type, get)]
        return pa.Array.from_buffers(kind, len(values), [validity, offsets], children=inner)
    if kind == pa.string():
        values = [b"" if value is None else value.encode() for value in values]
    elif validity is not None:
        values = [value or b"" for value in values]
    data = b"".join(values)
    if len(data) >= 2**31:
        raise TypeError("more than 2 GB in one row group")
    buffers = [validity, _offsets(map(len, values)), pa.py_buffer(data)]
    return pa.Array.from_buffers(kind, len(values), buffers)


def _numbers(values: Sequence[Any], kind: pa.DataType, validity: pa.Buffer | None) -> pa.Array:
    filled = [0 if value is None else value for value in values]
    numbers = np.array(filled, _NUMBERS[kind]) if filled else np.zeros(0, _NUMBERS[kind])
    return pa.Array.from_buffers(kind, len(values), [validity, pa.py_buffer(numbers)])


def _offsets(lengths: Any) -> pa.Buffer:
    ends = list(itertools.accumulate(lengths, initial=0))
    return pa.py_buffer(np.array(ends, np.int32))
