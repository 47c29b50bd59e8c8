"""Arrow schemas and Hugging Face features of the published rows, derived from `schema.py`.

`datasets` reads the features from the Parquet files' own metadata (key `huggingface`) and from
the card; both are made here, so that they cannot disagree.
Format: https://huggingface.co/docs/datasets/about_dataset_features
"""

import json
import re
from collections.abc import Iterable
from types import UnionType
from typing import Any, get_args, get_origin

import pyarrow as pa

from mimicit.schema import SCHEMA_VERSION, ImageBytes, ImageRow, Instruction, Links, Rejection, Row

TABLES: dict[str, type[Row]] = {
    "instructions": Instruction,
    "images": ImageRow,
    "links": Links,
    "rejected": Rejection,
}
"""Every table of a dataset directory, by the name of its folder and its config."""

_VIEW = re.compile(r"links_[a-z][a-z0-9_]{0,31}")


def is_view(table: str) -> bool:
    """Tell whether a table holds a further view of the links: `links_NAME`."""
    return _VIEW.fullmatch(table) is not None


def model_of(table: str) -> type[Row]:
    """Give the row of a table: one of `TABLES`, or a further view of the links.

    Raises:
        KeyError: there is no such table.
    """
    return Links if is_view(table) else TABLES[table]


def in_order(tables: Iterable[str]) -> list[str]:
    """Sort names of tables as a dataset lists them: the further views behind the links."""
    order = list(TABLES)
    return sorted(tables, key=lambda name: (order.index("links" if is_view(name) else name), name))


_SCALARS = {
    str: ("string", pa.string()),
    int: ("int64", pa.int64()),
    float: ("float64", pa.float64()),
    bytes: ("binary", pa.binary()),
}


def _plain(annotation: Any) -> Any:
    """Strip `Annotated`, `Literal` and `None` down to the type that is stored."""
    if get_origin(annotation) is list:
        return list[_plain(get_args(annotation)[0])]  # type: ignore[misc]  # built at run time
    if hasattr(annotation, "__metadata__"):
        return _plain(annotation.__origin__)
    if get_origin(annotation) is UnionType:
        return _plain(get_args(annotation)[0])
    if annotation not in _SCALARS and not _is_struct(annotation):
        return type(get_args(annotation)[0])
    return annotation


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and not get_origin(kind) and issubclass(kind, Row)


def _field_types(model: type[Row]) -> dict[str, Any]:
    return {name: _plain(field.annotation) for name, field in model.model_fields.items()}


def _fields(model: type[Row]) -> list[pa.Field]:
    """Derive the Arrow fields of a row, or of a row inside of one."""
    return [
        # `datasets` knows an Image only by its own exact type, which is nullable
        pa.field(name, _arrow_type(kind), nullable=kind is ImageBytes or _may_be_none(model, name))
        for name, kind in _field_types(model).items()
    ]


def _may_be_none(model: type[Row], name: str) -> bool:
    return type(None) in get_args(model.model_fields[name].annotation)


def _arrow_type(kind: Any) -> pa.DataType:
    if kind is ImageBytes:
        return pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])
    if _is_struct(kind):
        return pa.struct(_fields(kind))
    if get_origin(kind) is list:
        item = _SCALARS[get_args(kind)[0]][1]
        return pa.list_(pa.field("element", item, nullable=False))
    return _SCALARS[kind][1]


def _feature(kind: Any) -> dict[str, Any]:
    if kind is ImageBytes:
        return {"_type": "Image"}
    if _is_struct(kind):
        return {name: _feature(inner) for name, inner in _field_types(kind).items()}
    if get_origin(kind) is list:
        return {"feature": _feature(get_args(kind)[0]), "_type": "List"}
    return {"dtype": _SCALARS[kind][0], "_type": "Value"}


def arrow_schema(table: str) -> pa.Schema:
    """Derive the Arrow schema of a table, Hugging Face features in its metadata.

    Raises:
        KeyError: there is no such table.
    """
    model = model_of(table)
    features = {name: _feature(kind) for name, kind in _field_types(model).items()}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return pa.schema(_fields(model), metadata=metadata)


def card_features(table: str) -> list[dict[str, Any]]:
    """Derive the `dataset_info.features` list of a dataset card for a table."""
    return _card_features(model_of(table))


def _card_features(model: type[Row]) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = []
    for name, kind in _field_types(model).items():
        if kind is ImageBytes:
            entries.append({"name": name, "dtype": "image"})
        elif _is_struct(kind):
            entries.append({"name": name, "struct": _card_features(kind)})
        elif get_origin(kind) is list:
            entries.append({"name": name, "list": _SCALARS[get_args(kind)[0]][0]})
        else:
            entries.append({"name": name, "dtype": _SCALARS[kind][0]})
    return entries


def instruction_json_schema() -> dict[str, Any]:
    """Derive the JSON Schema of a published instruction row."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    head["$comment"] = f"mimicit schema version {SCHEMA_VERSION}"
    return head | Instruction.model_json_schema()
