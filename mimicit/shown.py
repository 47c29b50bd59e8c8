"""The pictures of a dataset directory, as linking looks at them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image

from mimicit.columns import column, to_numpy
from mimicit.image_store import ImageStore
from mimicit.lookalikes import LENGTH


class ShownPictures:
    """What a dataset's `images` table says of its pictures, and the pictures themselves.

    Args:
        directory: The dataset, whose pictures are written.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._store: ImageStore | None = None

    def descriptors(self, ids: Sequence[str]) -> np.ndarray:
        """Give what each looks like: int8 of shape (ids, LENGTH); zeros where unknown."""
        found = np.zeros((len(ids), LENGTH), np.int8)
        for places, values in self._columns(ids, "descriptor"):
            known = [n for n, value in enumerate(values) if value]
            if known:
                data = b"".join(values[n] for n in known)
                found[places[known]] = np.frombuffer(data, np.int8).reshape(-1, LENGTH)
        return found

    def digests(self, ids: Sequence[str]) -> list[str]:
        """Give the SHA-256 of each one's file."""
        found = [""] * len(ids)
        for places, values in self._columns(ids, "sha256"):
            for place, value in zip(places.tolist(), values, strict=True):
                found[place] = value
        return found

    def _columns(self, ids: Sequence[str], name: str) -> Any:
        """Read a column of the pictures that have these ids: their places in `ids`, and values."""
        wanted = column(list(ids), pa.string())
        for path in sorted((self._directory / "images").glob("*.parquet")):
            with pq.ParquetFile(path) as file:
                if name not in file.schema_arrow.names:
                    continue  # a dataset of an older schema
                for batch in file.iter_batches(65536, columns=["image_id", name]):
                    places = pc.index_in(batch.column("image_id"), value_set=wanted)
                    known = pc.is_valid(places)
                    yield (
                        to_numpy(places.filter(known)).astype(np.int64),
                        batch.column(name).filter(known).to_pylist(),
                    )

    def read(self, image_id: str) -> Image.Image:
        """Decode one, upright, in RGB."""
        if self._store is None:
            self._store = ImageStore.open(self._directory)
        return self._store[image_id].convert("RGB")
