"""A dataset as its user wants it: examples with their pictures and their context."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from mimicit.errors import SourceError
from mimicit.image_store import ImageStore
from mimicit.tables import arrow_schema


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
    """A dataset directory, opened. Tables are Arrow tables; one that is absent has no rows."""

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        if not (self.directory / "manifest.json").is_file():
            raise SourceError(f"{str(directory)!r} is not a dataset: it has no manifest.json")
        self.images = (
            ImageStore.open(self.directory / "images") if self._files("images") else ImageStore([])
        )

    def _files(self, table: str) -> list[Path]:
        return sorted((self.directory / table).glob("[!.]*.parquet"))

    def _table(self, name: str) -> pa.Table:
        files = self._files(name)
        if not files:
            return arrow_schema(name).empty_table()
        return pa.concat_tables([pq.read_table(path, memory_map=True) for path in files])

    @cached_property
    def instructions(self) -> pa.Table:
        """All instructions."""
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

    def __len__(self) -> int:
        return int(self.instructions.num_rows)

    def __getitem__(self, key: int | str | slice) -> Any:
        """Return the example at a place, or with an id.

        Raises:
            IndexError: there is no such place.
            KeyError: there is no such id.
        """
        if isinstance(key, slice):
            return [self[place] for place in range(*key.indices(len(self)))]
        place = self._places[key] if isinstance(key, str) else range(len(self))[key]
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


def load(directory: str | Path) -> Dataset:
    """Open a dataset directory.

    Raises:
        SourceError: it is not one.
    """
    return Dataset(directory)
