"""Instructions with their examples, and why they have these: written in step."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from mimicit.columns import column, lists_of
from mimicit.context_linker.choosing import Chosen
from mimicit.linking import FIRST, Linked
from mimicit.schema import SPLITS, Split
from mimicit.tables import arrow_schema
from mimicit.writer import FileEntry, Format, TableWriter


class LinkWriter:
    """Writes the tables `instructions`, `links` and those of the further views.

    Args:
        directory: The dataset.
        linked: What was chosen for each of its instructions.
        form: How rows are written.
    """

    def __init__(self, directory: Path, linked: Linked, form: Format) -> None:
        self._linked = linked
        self._done = 0
        self._tables = {
            (table, split): TableWriter(directory, table, split, form)
            for table in ("instructions", *linked.chosen)
            for split in SPLITS
        }

    def write(self, batch: pa.RecordBatch) -> None:
        """Write the next instructions, in the order in which they were linked."""
        queries = np.arange(self._done, self._done + batch.num_rows)
        self._done += batch.num_rows
        splits: list[Split] = batch.column("split").to_pylist()
        for split in sorted(set(splits)):
            rows = [row for row, name in enumerate(splits) if name == split]
            some = batch if len(rows) == batch.num_rows else batch.take(column(rows, pa.int64()))
            self._write(split, some, queries[rows])

    def _write(self, split: Split, batch: pa.RecordBatch, queries: np.ndarray) -> None:
        for table, chosen in self._linked.chosen.items():
            contexts = self._contexts(chosen, queries)
            if table == FIRST:
                place = batch.schema.get_field_index("rel_ins_ids")
                linked = batch.set_column(place, batch.schema.field(place), contexts)
                self._tables["instructions", split].write_batch(linked)
            names = chosen.found_by(self._linked.catalogue, queries)
            links = _links(batch.column("id"), contexts, chosen, queries, names)
            if links.num_rows:
                self._tables[table, split].write_batch(links)

    def _contexts(self, chosen: Chosen, queries: np.ndarray) -> pa.Array:
        places = chosen.places[queries]
        ids = self._linked.catalogue.ids.take(column(places[places >= 0].tolist(), pa.int64()))
        return lists_of(chosen.counts_of(queries), ids)

    def close(self) -> list[FileEntry]:
        """Finish all tables, and list their files."""
        return [entry for table in self._tables.values() for entry in table.close()]

    def stop(self) -> None:
        """Give up whatever is not finished."""
        for table in self._tables.values():
            table.stop()


def _links(
    ids: pa.Array, contexts: pa.Array, chosen: Chosen, queries: np.ndarray, names: list[str]
) -> pa.RecordBatch:
    """Give the rows of a view's table for some instructions: those that have examples."""
    counts = chosen.counts_of(queries)
    there = chosen.places[queries] >= 0
    some = column(np.flatnonzero(counts).tolist(), pa.int64())
    schema = arrow_schema(FIRST)
    scores = column(np.round(chosen.scores[queries][there], 4).tolist(), pa.float64())
    columns = [
        ids.take(some),
        contexts.take(some),
        lists_of(counts, scores).take(some),
        lists_of(counts, column(names, pa.string())).take(some),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)
