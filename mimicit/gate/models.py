"""Rows by the column: which of them do not fit their model, as pydantic would say.

What a row must satisfy is read off the JSON Schema that pydantic makes of its model, so that it is
said once, in `mimicit.schema`; what is wrong with a row that does not fit, pydantic says itself.
"""

import functools
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ValidationError

from mimicit.columns import column, to_numpy
from mimicit.schema import Row
from mimicit.tables import model_of

Spec = Mapping[str, Any]


def misfits(batch: pa.RecordBatch, table: str, trusted: Collection[str] = ()) -> np.ndarray:
    """Tell which rows do not fit the model of their table.

    Args:
        batch: Valid rows with the types of the table's schema; columns may be missing.
        table: One of `tables.TABLES`.
        trusted: Columns whose values are checked elsewhere; here only that they are there.

    Returns:
        Booleans of shape (rows,).

    Raises:
        KeyError: the model asks for something that this does not check.
    """
    spec = _schema(table)
    bad = np.zeros(batch.num_rows, bool)
    for name in batch.schema.names:
        values = batch.column(name)
        if name in trusted:
            bad |= to_numpy(pc.is_null(values))
            continue
        bad |= _bad(values, spec["properties"][name], spec.get("$defs", {}))
    return bad


def row_problems(row: object, table: str, *, strict: bool = False) -> list[str]:
    """Say what is wrong with a row, each as `field: what`.

    Args:
        row: The row.
        table: Its table.
        strict: Whether a value of another type is wrong that could be taken for the right one.
    """
    try:
        model_of(table).model_validate(row, strict=strict)
    except ValidationError as error:
        found = [(".".join(map(str, p["loc"])), p["msg"]) for p in error.errors()]
        return [": ".join(filter(None, each)) for each in found]
    return []


@functools.cache
def _schema(table: str) -> Spec:
    model: type[Row] = model_of(table)
    return model.model_json_schema()


def _bad(values: pa.Array, spec: Spec, named: Spec) -> np.ndarray:
    """Check a column, or the values inside of one, against its part of a schema."""
    if "$ref" in spec:
        spec = named[spec["$ref"].rpartition("/")[2]]
    options = spec.get("anyOf", [spec])
    present = [option for option in options if option.get("type") != "null"]
    if len(present) != 1:
        raise KeyError(f"no check for {spec}")
    if pa.types.is_dictionary(values.type):  # each of its values once
        inner = _bad(values.dictionary, spec, named)
        codes = to_numpy(values.indices, null=len(inner))
        of_null = bool(_bad(pa.nulls(1, values.type.value_type), spec, named)[0])
        found: np.ndarray = np.append(inner, of_null)[codes]
        return found
    missing = to_numpy(pc.is_null(values))
    bad = np.zeros(len(values), bool) if len(options) > 1 else missing.copy()
    if pa.types.is_struct(values.type):
        inner = _bad_struct(values, present[0], named)
    elif pa.types.is_list(values.type):
        inner = _bad_list(values, present[0], named)
    else:
        inner = _bad_value(values, present[0])
    bad |= inner & ~missing
    return bad


def _bad_struct(values: pa.StructArray, spec: Spec, named: Spec) -> np.ndarray:
    if "$ref" in spec:
        spec = named[spec["$ref"].rpartition("/")[2]]
    bad = np.zeros(len(values), bool)
    for number, field in enumerate(values.type):
        inner = pc.struct_field(values, [number])
        bad |= _bad(inner, spec["properties"][field.name], named)
    return bad


def _bad_list(values: pa.ListArray, spec: Spec, named: Spec) -> np.ndarray:
    bad = np.zeros(len(values), bool)
    if spec.get("minItems"):
        bad |= to_numpy(pc.list_value_length(values), null=spec["minItems"]) < spec["minItems"]
    inside = _bad(pc.list_flatten(values), spec["items"], named)
    if inside.any():
        parents = to_numpy(pc.list_parent_indices(values))
        bad[parents[inside]] = True
    return bad


KNOWN = {
    *("type", "title", "description", "default", "format"),
    *("pattern", "minLength", "maxLength", "enum", "exclusiveMinimum"),
}
"""What is checked of a value, or needs no check: its type is that of its column."""


def _bad_value(values: pa.Array, spec: Spec) -> np.ndarray:
    unknown = spec.keys() - KNOWN
    if unknown:
        raise KeyError(f"no check for {unknown} of {spec}")
    bad = np.zeros(len(values), bool)
    if "pattern" in spec:
        bad |= ~to_numpy(pc.match_substring_regex(values, spec["pattern"]))
    least, most = spec.get("minLength", 0), spec.get("maxLength")
    if not pa.types.is_binary(values.type) and (least > 1 or most is not None):
        raise KeyError(f"no check for {spec}: letters are not bytes")
    if least:
        bad |= to_numpy(pc.binary_length(values), null=least) < least
    if most is not None:
        bad |= to_numpy(pc.binary_length(values), null=most) > most
    if "enum" in spec:
        bad |= ~to_numpy(pc.is_in(values, column(spec["enum"], pa.string())))
    if pa.types.is_floating(values.type):
        bad |= ~np.isfinite(to_numpy(values))
    if "exclusiveMinimum" in spec:
        least = spec["exclusiveMinimum"]
        bad |= to_numpy(values, null=least + 1) <= least
    return bad
