"""Pictures by id, from a dataset's `images` table: a mapping from image id to picture.

The shards are plain Parquet, which anyone opens; their pictures lie in them as they are, and an
index beside them (`mimicit.store_index`) says where, so that reading one is one read of the disk.
Shards that somebody wrote anew, compressed or with other rows, are read as Parquet instead, a row
group at a time.
"""

import contextlib
import functools
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from mimicit import store_index
from mimicit.errors import SourceError
from mimicit.images import UnusablePicture, decode
from mimicit.plain_values import NotPlain, column_check, value_places
from mimicit.shards import Shards
from mimicit.store_index import (
    Place,
    StoreIndex,
    UnusableIndex,
    check_of,
    entries_of,
    in_memory,
)

HELD_BYTES = 4 * 2**20
"""An index up to this size, of 100,000 pictures, is held; of a larger one as much as is needed."""

COLUMN = "image.bytes"
"""The column with the pictures' files."""


class ImageStore(Mapping[str, Image.Image]):
    """A dataset's pictures. `store[id]` is the picture, upright; `store.read(id)` the stored bytes.

    It holds neither ids nor pictures, only open files. Any number of threads may read from it; it
    may be open while a process forks, and be handed to worker processes, which open it again.
    """

    def __init__(self, shards: Shards | None) -> None:
        self._shards = shards
        self._source: _Source = _Nothing() if shards is None else _open(shards)

    @classmethod
    def open(cls, directory: str | Path) -> "ImageStore":
        """Open the pictures of a dataset directory, or the directory of its `images` table.

        Raises:
            SourceError: there is no such directory, or it has no shards.
        """
        directory = Path(directory)
        inner = directory / "images"
        folder = inner if inner.is_dir() else directory
        if not folder.is_dir():
            raise SourceError(f"no directory {str(directory)!r}")
        return cls(_shards(folder))

    def read(self, image_id: str) -> bytes:
        """Return a picture's file, as it was stored.

        Raises:
            KeyError: there is no such picture.
            SourceError: the shards are damaged, or were replaced since the store was opened.
        """
        if not isinstance(image_id, str):
            raise KeyError(image_id)
        return self._source.read(image_id)

    def __getitem__(self, image_id: str) -> Image.Image:
        data = self.read(image_id)
        try:
            return decode(data)
        except UnusablePicture as error:
            raise SourceError(f"picture {image_id!r} does not decode: {error}") from error

    def __contains__(self, image_id: object) -> bool:
        return isinstance(image_id, str) and self._source.has(image_id)

    def __iter__(self) -> Iterator[str]:
        return self._source.ids()

    def __len__(self) -> int:
        return self._source.images

    def __getstate__(self) -> dict[str, Any]:
        """Hand a worker process the place, not the open files."""
        return {"folder": self._shards and self._shards.folder}

    def __setstate__(self, state: dict[str, Any]) -> None:
        folder = state["folder"]
        self.__init__(folder and _shards(folder))  # type: ignore[misc]  # all there is to it


def _shards(folder: Path) -> Shards:
    try:
        return Shards(folder)
    except OSError as error:
        raise SourceError(f"cannot read {str(folder)!r}: {error.strerror}") from error


class _Source(Protocol):
    """A way to read pictures."""

    images: int

    def read(self, image_id: str) -> bytes: ...
    def has(self, image_id: str) -> bool: ...
    def ids(self) -> Iterator[str]: ...


class _Nothing:
    """The pictures of a dataset that has none."""

    images = 0

    def read(self, image_id: str) -> bytes:
        raise KeyError(image_id)

    def has(self, _image_id: str) -> bool:
        return False

    def ids(self) -> Iterator[str]:
        return iter(())


class _Indexed:
    """Shards whose pictures lie in them as they are.

    Args:
        shards: The folder.
        index: Where they lie.
        checked: The index has the check sum of every picture.
    """

    def __init__(self, shards: Shards, index: StoreIndex, *, checked: bool) -> None:
        self._shards = shards
        self._index = index
        self._checked = checked
        self._recognised: set[int] = set()
        self.images = index.images

    def read(self, image_id: str) -> bytes:
        place = self._find(image_id)
        if place is None:
            raise KeyError(image_id)
        number, offset, length, check = place
        if number not in self._recognised:
            self._recognise(number)
        name, size = self._index.files[number] if number in self._recognised else ("", 0)
        # Whatever a damaged index says, no more is read than there is.
        data = self._shards.read(name, length, offset) if offset + length <= size else b""
        if len(data) != length or (self._checked and check_of(data) != check) or not name:
            raise SourceError(
                f"picture {image_id!r} is not what it was when {str(self._shards.folder / name)!r} "
                "was written: that file or the index is damaged; `mimicit validate` says where"
            )
        return data

    def _recognise(self, number: int) -> None:
        """Make sure, once, that there is such a shard, and that it has the index's ids.

        Raises:
            SourceError: it has others, or cannot be read.
        """
        if number >= len(self._index.files):
            return
        if self._checked:
            name, _ = self._index.files[number]
            with _explained(self._shards, name):
                if ids_check(self._shards, number) != self._index.ids[number]:
                    raise ValueError(
                        f"its rows are not those that {store_index.NAME!r} was made of; remove "
                        "that file, and pictures are found without it"
                    )
        self._recognised.add(number)

    def _find(self, image_id: str) -> Place | None:
        try:
            return self._index.find(image_id)
        except UnusableIndex as error:
            where = str(self._shards.folder / store_index.NAME)
            raise SourceError(f"{where!r} is damaged: {error}") from error

    def has(self, image_id: str) -> bool:
        return self._find(image_id) is not None

    def ids(self) -> Iterator[str]:
        for name, _ in self._index.files:
            with _explained(self._shards, name), self._shards.open(name) as file:
                yield from _image_ids(pq.ParquetFile(file))


class _ByRowGroup:
    """Shards of any other kind. All ids are held; a row group is kept until another is needed."""

    def __init__(self, shards: Shards) -> None:
        self._shards = shards
        self._places: dict[str, tuple[str, int, int]] = {}
        for name, _ in shards.files:
            with _explained(shards, name), shards.open(name) as file:
                parquet = pq.ParquetFile(file)
                columns = map(parquet.schema.column, range(len(parquet.schema)))
                if COLUMN not in {column.path for column in columns}:
                    raise ValueError(f"it has no column {COLUMN!r}")
                for group in range(parquet.num_row_groups):
                    for row, each in enumerate(_image_ids(parquet, [group])):
                        self._places.setdefault(each, (name, group, row))
        self.images = len(self._places)
        self._last: tuple[tuple[str, int], pa.ChunkedArray] | None = None

    def read(self, image_id: str) -> bytes:
        name, group, row = self._places[image_id]
        last = self._last  # another thread may change it meanwhile
        if last is None or last[0] != (name, group):
            last = self._last = (name, group), self._row_group(name, group)
        with _explained(self._shards, name):
            data = last[1][row].as_py()
        if not isinstance(data, bytes):
            raise SourceError(f"picture {image_id!r} is not in {name!r}: its row has no bytes")
        return data

    def _row_group(self, name: str, group: int) -> pa.ChunkedArray:
        with _explained(self._shards, name), self._shards.open(name) as file:
            table = pq.ParquetFile(file).read_row_group(group, columns=[COLUMN])
            return table.flatten().column(COLUMN)

    def has(self, image_id: str) -> bool:
        return image_id in self._places

    def ids(self) -> Iterator[str]:
        return iter(self._places)


@contextlib.contextmanager
def _explained(shards: Shards, name: str) -> Iterator[None]:
    """Turn whatever is wrong with a shard into an error of ours.

    Raises:
        SourceError: there was something.
    """
    try:
        yield
    except (OSError, ValueError, LookupError, pa.ArrowException) as error:
        raise SourceError(f"{str(shards.folder / name)!r} cannot be read: {error}") from error


def _image_ids(parquet: pq.ParquetFile, groups: Sequence[int] | None = None) -> Iterator[str]:
    if "image_id" not in parquet.schema_arrow.names:
        raise ValueError("it has no column 'image_id'")
    for batch in parquet.iter_batches(65536, groups, columns=["image_id"]):
        ids = batch.column(0).to_pylist()
        if not set(map(type, ids)) <= {str}:
            raise ValueError("a row has an image_id that is no string")
        yield from ids


def _open(shards: Shards) -> _Source:
    """Open a folder of shards, the fastest way that its files allow.

    Raises:
        SourceError: there are none, or they are no Parquet files.
    """
    folder = shards.folder
    if not shards.files:
        raise SourceError(f"no pictures in {str(folder)!r}: it has no Parquet files")
    try:
        with contextlib.suppress(UnusableIndex):
            return _Indexed(shards, _written_index(shards), checked=True)
        with contextlib.suppress(NotPlain):
            return _Indexed(shards, _made_index(shards), checked=False)
        return _ByRowGroup(shards)
    except (OSError, ValueError, LookupError, pa.ArrowException) as error:
        raise SourceError(f"the pictures in {str(folder)!r} cannot be read: {error}") from error


def _written_index(shards: Shards) -> StoreIndex:
    """Open the index beside the shards, if it is theirs.

    Raises:
        UnusableIndex: it is not there, is damaged, or is that of other files.
    """
    if not shards.has(store_index.NAME):
        raise UnusableIndex("there is none")
    read = functools.partial(shards.read, store_index.NAME)
    try:
        size = shards.size(store_index.NAME)
        index = in_memory([read(size, 0)]) if size <= HELD_BYTES else StoreIndex(read, size)
    except SourceError as error:
        raise UnusableIndex("it cannot be read") from error
    if index.files != shards.files or len(index.ids) != len(index.files):
        raise UnusableIndex("it is that of other files")
    return index


def _made_index(shards: Shards) -> StoreIndex:
    """Find out what an index would say; damage to the pictures goes unnoticed.

    Raises:
        NotPlain: the pictures do not lie in their files as they are.
    """
    entries = [entries_of_shard(shards, number) for number in range(len(shards.files))]
    return in_memory(store_index.spell(shards.files, np.concatenate(entries)))


def entries_of_shard(
    shards: Shards, number: int, checks: Iterable[int] | None = None
) -> np.ndarray:
    """Make the index entries of one shard out of its file.

    Args:
        shards: The folder.
        number: Which of its shards.
        checks: `check_of` each of its pictures, in order, where damage is to be found.

    Raises:
        NotPlain: the pictures do not lie in the file as they are.
        OSError, ValueError, LookupError, pyarrow.ArrowException: it cannot be read.
    """
    name = shards.files[number][0]
    with shards.open(name) as file:
        parquet = pq.ParquetFile(file)
        places = value_places(functools.partial(shards.read, name), parquet.metadata, COLUMN)
        rows = parquet.metadata.num_rows
        known = itertools.repeat(0, rows) if checks is None else checks
        return entries_of(_image_ids(parquet), places, known, number)


def ids_check(shards: Shards, number: int) -> int:
    """Compute the check sum of a shard's image ids, as the index has it.

    Raises:
        OSError, ValueError, pyarrow.ArrowException: the shard cannot be read.
    """
    name, size = shards.files[number]
    with shards.open(name) as file:
        metadata = pq.read_metadata(file)
    return column_check(functools.partial(shards.read, name), metadata, "image_id", size)
