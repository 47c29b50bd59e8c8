"""Pictures by id, from a dataset's `images` table: a mapping from image id to picture."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from mimicit.errors import SourceError
from mimicit.images import UnusablePicture, decode


class ImageStore(Mapping[str, Image.Image]):
    """A dataset's pictures. `store[id]` is the picture, upright; `store.read(id)` the stored bytes.

    Opening reads the ids only. Reading one picture reads its row group, which is kept until the
    next one is asked for.
    """

    def __init__(self, files: list[Path]) -> None:
        self._files = files
        self._places: dict[str, tuple[int, int, int]] = {}
        for number, path in enumerate(files):
            parquet = pq.ParquetFile(path)
            for group in range(parquet.num_row_groups):
                ids = parquet.read_row_group(group, columns=["image_id"]).column(0).to_pylist()
                self._places.update((name, (number, group, row)) for row, name in enumerate(ids))
        self._last: tuple[tuple[int, int], pa.Array] | None = None

    @classmethod
    def open(cls, directory: str | Path) -> "ImageStore":
        """Open the pictures of a dataset directory, or the directory of its `images` table.

        Raises:
            SourceError: there is no such directory.
        """
        directory = Path(directory)
        if not directory.is_dir():
            raise SourceError(f"no directory {str(directory)!r}")
        inner = directory / "images"
        return cls(sorted((inner if inner.is_dir() else directory).glob("[!.]*.parquet")))

    def read(self, image_id: str) -> bytes:
        """Return a picture's file, as it was stored.

        Raises:
            KeyError: there is no such picture.
        """
        file, group, row = self._places[image_id]
        if self._last is None or self._last[0] != (file, group):
            self._last = (file, group), self._read_group(file, group)
        return cast("bytes", self._last[1][row].as_py())

    def __getitem__(self, image_id: str) -> Image.Image:
        data = self.read(image_id)
        try:
            return decode(data)
        except UnusablePicture as error:
            raise SourceError(f"picture {image_id!r} does not decode: {error}") from error

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __getstate__(self) -> dict[str, object]:
        """Leave the row group behind when a store is handed to a worker process."""
        return {**self.__dict__, "_last": None}

    def _read_group(self, file: int, group: int) -> pa.Array:
        table = pq.ParquetFile(self._files[file]).read_row_group(group, columns=["image.bytes"])
        return table.column("image").combine_chunks().field("bytes")
