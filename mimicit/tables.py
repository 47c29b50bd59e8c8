"""Arrow schemas and Hugging Face features of the published rows, derived from `schema.py`.

`datasets` reads the features from the Parquet files' own metadata (key `huggingface`) and from
the card; both are made here, so that they cannot disagree.
Format: https://huggingface.co/docs/datasets/about_dataset_features
"""

import json
from typing import Any, get_args, get_origin

import pyarrow as pa

from mimicit.schema import ImageBytes, ImageRow, Instruction, Links, Rejection, Row

TABLES: dict[str, type[Row]] = {
    "instructions": Instruction,
    "images": ImageRow,
    "links": Links,
    "rejected": Rejection,
}
"""Every table of a dataset directory, by the name of its folder and its config."""

_SCALARS = {
    str: ("string", pa.string()),
    int: ("int64", pa.int64()),
    float: ("float32", pa.float32()),
}


def _plain(annotation: Any) -> Any:
    """Strip `Annotated` and `Literal` down to the type that is stored."""
    if get_origin(annotation) is list:
        return list[_plain(get_args(annotation)[0])]  # type: ignore[misc]  # built at run time
    if hasattr(annotation, "__metadata__"):
        return _plain(annotation.__origin__)
    if annotation not in _SCALARS and annotation is not ImageBytes:
        return type(get_args(annotation)[0])
    return annotation


def _field_types(model: type[Row]) -> dict[str, Any]:
    return {name: _plain(field.annotation) for name, field in model.model_fields.items()}


def _arrow_type(kind: Any) -> pa.DataType:
    if kind is ImageBytes:
        return pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])
    if get_origin(kind) is list:
        item = _SCALARS[get_args(kind)[0]][1]
        return pa.list_(pa.field("element", item, nullable=False))
    return _SCALARS[kind][1]


def _feature(kind: Any) -> dict[str, Any]:
    if kind is ImageBytes:
        return {"_type": "Image"}
    if get_origin(kind) is list:
        return {"feature": _feature(get_args(kind)[0]), "_type": "List"}
    return {"dtype": _SCALARS[kind][0], "_type": "Value"}


def arrow_schema(table: str) -> pa.Schema:
    """Derive the Arrow schema of a table, Hugging Face features in its metadata.

    Raises:
        KeyError: `table` is not one of `TABLES`.
    """
    kinds = _field_types(TABLES[table])
    features = {name: _feature(kind) for name, kind in kinds.items()}
    fields = [
        # `datasets` knows an Image only by its own exact type, which is nullable
        pa.field(name, _arrow_type(kind), nullable=kind is ImageBytes)
        for name, kind in kinds.items()
    ]
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return pa.schema(fields, metadata=metadata)


def card_features(table: str) -> list[dict[str, Any]]:
    """Derive the `dataset_info.features` list of a dataset card for a table."""
    entries: list[dict[str, Any]] = []
    for name, kind in _field_types(TABLES[table]).items():
        if kind is ImageBytes:
            entries.append({"name": name, "dtype": "image"})
        elif get_origin(kind) is list:
            entries.append({"name": name, "list": _SCALARS[get_args(kind)[0]][0]})
        else:
            entries.append({"name": name, "dtype": _SCALARS[kind][0]})
    return entries
