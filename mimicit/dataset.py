"""A dataset as its user wants it: examples with their pictures and their context."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.json
import pyarrow.parquet as pq
from PIL import Image

from mimicit.errors import SourceError, UsageError
from mimicit.image_store import ImageStore
from mimicit.schema import SPLITS
from mimicit.shards import Shards
from mimicit.tables import arrow_schema

FORMS = (".parquet", ".jsonl")


@dataclass(frozen=True, slots=True)
class Example:
    """One instruction, its pictures decoded, its in-context examples in the order to show them.

    The examples of a context have no context of their own.
    """

    id: str
    instruction: str
    answer: str
    images: list[Image.Image]
    context: list["Example"]
    row: dict[str, Any]


class Dataset(Sequence[Example]):
    """A dataset directory, opened. Tables are Arrow tables; one that is absent has no rows.

    It stays what it was when it was opened: where the directory is replaced meanwhile, it goes on
    reading the old one, or raises `SourceError` for what it had not read before.

    Attributes:
        directory: The directory.
        images: Its pictures by id.
    """

    def __init__(self, directory: str | Path, split: str | None = None) -> None:
        self.directory = Path(directory).absolute()
        if split is not None and split not in SPLITS:
            raise UsageError(f"there is no split {split!r}; there are: {', '.join(SPLITS)}")
        self._split = split
        try:
            self._root = Shards(self.directory, ())
        except OSError as error:
            raise SourceError(f"cannot read {str(directory)!r}: {error.strerror}") from error
        if not self._root.has("manifest.json"):
            raise SourceError(f"{str(directory)!r} is not a dataset: it has no manifest.json")
        self._folders = {
            name: self._folder(name, FORMS if name != "images" else FORMS[:1])
            for name in ("instructions", "images", "links", "rejected")
        }
        self.images = ImageStore(self._folders["images"])

    def __reduce__(self) -> tuple[Any, ...]:
        """Hand another process the place, not the open files."""
        return Dataset, (self.directory, self._split)

    def _folder(self, name: str, forms: Sequence[str]) -> Shards | None:
        """Open the folder of a table, if it is there."""
        if not self._root.has(name):
            return None
        try:
            return Shards(self.directory / name, forms, self._root)
        except OSError as error:
            raise SourceError(
                f"cannot read {str(self.directory / name)!r}: {error.strerror}. If the dataset "
                "was replaced just now, open it again."
            ) from error

    def _table(self, name: str) -> pa.Table:
        folder = self._folders[name]
        schema = arrow_schema(name)
        if folder is None or not folder.files:
            return schema.empty_table()
        files = [file for file, _ in folder.files]
        order = sorted(files, key=lambda file: (_split_of(file), file))
        try:
            return pa.concat_tables([_read(folder, file, schema) for file in order])
        except (pa.ArrowException, OSError) as error:
            raise SourceError(f"{str(folder.folder)!r} cannot be read: {error}") from error

    @cached_property
    def instructions(self) -> pa.Table:
        """All instructions, of every split."""
        return self._table("instructions")

    @cached_property
    def links(self) -> pa.Table:
        """Why each instruction has the examples it has."""
        return self._table("links")

    @cached_property
    def rejected(self) -> pa.Table:
        """What was turned away."""
        return self._table("rejected")

    @cached_property
    def _places(self) -> dict[str, int]:
        return {
            name: place for place, name in enumerate(self.instructions.column("id").to_pylist())
        }

    @cached_property
    def _chosen(self) -> Sequence[int]:
        """The places of the split that was asked for."""
        if self._split is None:
            return range(self.instructions.num_rows)
        splits = self.instructions.column("split").to_pylist()
        return [place for place, split in enumerate(splits) if split == self._split]

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, key: int | str | slice) -> Any:
        """Return the example at a place, or with an id, of whatever split.

        Raises:
            IndexError: there is no such place.
            KeyError: there is no such id.
        """
        if isinstance(key, slice):
            return [self[place] for place in range(*key.indices(len(self)))]
        place = self._places[key] if isinstance(key, str) else self._chosen[key]
        row = self._row(place)
        return self._example(
            row, [self._example(self._row(self._places[i]), []) for i in row["rel_ins_ids"]]
        )

    def __iter__(self) -> Iterator[Example]:
        return (self[place] for place in range(len(self)))

    def _row(self, place: int) -> dict[str, Any]:
        rows: list[dict[str, Any]] = self.instructions.slice(place, 1).to_pylist()
        return rows[0]

    def _example(self, row: dict[str, Any], context: list[Example]) -> Example:
        return Example(
            id=row["id"],
            instruction=row["instruction"],
            answer=row["answer"],
            images=[self.images[name] for name in row["image_ids"]],
            context=context,
            row=row,
        )


def _split_of(file: str) -> int:
    """Give the place of a file's split among all; what has none comes first."""
    split = file.partition("-")[0]
    return [*SPLITS].index(split) if split in SPLITS else -1


def _read(folder: Shards, name: str, schema: pa.Schema) -> pa.Table:
    with folder.open(name) as file:
        if name.endswith(".parquet"):
            return pq.read_table(file)
        options = pa.json.ParseOptions(explicit_schema=schema)
        read = pa.json.ReadOptions(block_size=16 * 2**20)
        return pa.json.read_json(file, read_options=read, parse_options=options).cast(schema)


def load(directory: str | Path, split: str | None = None) -> Dataset:
    """Open a dataset directory.

    Args:
        directory: The directory.
        split: `train`, `validation` or `test`; None for all of them, in this order. In-context
            examples come from train in any case.

    Raises:
        SourceError: it is not one.
        UsageError: there is no such split.
    """
    return Dataset(directory, split)
