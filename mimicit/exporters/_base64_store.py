"""Pictures as base64 text in a Parquet file that pandas reads with their ids as its index.

Otter's loader opens one file, reads it 1,000 rows at a time, and looks pictures up by the index.
"""

import base64
import json
from array import array
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq

from mimicit.columns import column

GROUP_ROWS = 1000
"""Rows of a row group at most: as many as the loader reads at once."""

GROUP_BYTES = 32 * 2**20
"""Text of a row group, in bytes: this much is held while the file is written."""

INDEX, TEXT = "id", "base64"


def _column(name: str) -> dict[str, str | None]:
    kinds = {"pandas_type": "unicode", "numpy_type": "object", "metadata": None}
    return {"name": name, "field_name": name, **kinds}


PANDAS = {
    "index_columns": [INDEX],
    "column_indexes": [{**_column(""), "name": None, "field_name": None}],
    "columns": [_column(TEXT), _column(INDEX)],
    "creator": {"library": "pyarrow", "version": pa.__version__},
    "pandas_version": "2.2.0",
}
"""What pandas writes of a frame whose index is its ids.

Format: https://pandas.pydata.org/docs/development/developer.html. Written here by hand, since
pandas would hold the whole frame.
"""

SCHEMA = pa.schema(
    # A column of small strings ends at 2 GB, which a batch of large pictures goes beyond.
    [pa.field(TEXT, pa.large_string()), pa.field(INDEX, pa.string())],
    metadata={"pandas": json.dumps(PANDAS)},
)


class Base64Store:
    """A file of pictures under construction; memory holds one row group.

    Args:
        path: Where it is written.
    """

    def __init__(self, path: Path) -> None:
        self.rows = 0
        self._ids: list[str] = []
        self._texts, self._ends = bytearray(), array("q", [0])
        self._writer = pq.ParquetWriter(
            # Six of eight bits of the text say something: the rest is taken out again.
            path,
            SCHEMA,
            compression="zstd",
            compression_level=1,
            use_dictionary=False,
            write_statistics=[INDEX],
        )

    def __enter__(self) -> "Base64Store":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: object, _trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._flush()
        self._writer.close()

    def write(self, image_id: str, data: bytes) -> None:
        """Add a picture's file."""
        self._ids.append(image_id)
        self._texts += base64.b64encode(data)
        self._ends.append(len(self._texts))
        self.rows += 1
        if len(self._ids) >= GROUP_ROWS or len(self._texts) >= GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._ids:
            buffers = [None, pa.py_buffer(self._ends), pa.py_buffer(self._texts)]
            texts = pa.Array.from_buffers(pa.large_string(), len(self._ids), buffers)
            table = pa.Table.from_arrays([texts, column(self._ids, pa.string())], schema=SCHEMA)
            self._writer.write_table(table, row_group_size=len(self._ids))
            self._ids, self._texts, self._ends = [], bytearray(), array("q", [0])
