"""The tables `instructions` and `links` of what was imported, the rows of a scene together."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mimicit.card import Tally
from mimicit.columns import column, lists_of, to_numpy
from mimicit.importers.grouping import Scenes
from mimicit.importers.shelf import Shelf, lists
from mimicit.progress import Counted, Track
from mimicit.published.pictures import Pictures
from mimicit.schema import SPLITS, Split
from mimicit.tables import arrow_schema
from mimicit.writer import FileEntry, TableWriter

BATCH_ROWS = 4096

TRAIN = SPLITS[0]
"""Split that in-context examples come from."""

TEXTS = ("id", "instruction", "answer", "kind", "split")
"""Columns that come from the shelf as they are."""

STRATEGY = "given"
"""What links call it that examples came with the release; nothing was compared, so they score 0."""


@dataclass(frozen=True, slots=True)
class Given:
    """What every row says that a release does not tell.

    Attributes:
        source: Name of the source.
        language: ISO 639 code of the texts.
        licence: Licence of the pictures, or "".
        teacher: Who wrote the texts.
    """

    source: str
    language: str
    licence: str
    teacher: str


class RowWriter:
    """Writes the instructions and their links.

    Args:
        directory: The dataset.
        given: What every row says.

    Attributes:
        fallen: Examples that were left out because they were turned away or held out themselves.
    """

    def __init__(self, directory: Path, given: Given) -> None:
        self.fallen = 0
        self._given = given
        self._tables = {
            (table, split): TableWriter(directory, table, split)
            for table in ("instructions", "links")
            for split in SPLITS
        }

    def stop(self) -> None:
        """Give up what is not finished."""
        for table in self._tables.values():
            table.stop()

    def close(self) -> list[FileEntry]:
        """Finish both tables, and list their files."""
        return [entry for table in self._tables.values() for entry in table.close()]

    def write_all(  # noqa: PLR0913  # the rows, and all that their numbers refer to
        self,
        shelf: Shelf,
        usable: np.ndarray,
        places: np.ndarray,
        pictures: Pictures,
        scenes: Scenes,
        tally: Tally,
        track: Track,
    ) -> None:
        """Write every usable instruction.

        Args:
            shelf: The instructions.
            usable: Which of them are to be published; no two splits show parts of one scene.
            places: Place on the shelf of each instruction by its number; -1 for none.
            pictures: All pictures.
            scenes: Their scenes.
            tally: What is counted for the card.
            track: Shows progress.
        """
        about = scenes.join_all(shelf, usable)
        ids, splits = (
            pa.concat_arrays([batch.column(name) for _, batch in shelf.batches()])
            for name in ("id", "split")
        )
        shown = usable & to_numpy(pc.equal(splits, TRAIN))
        there = (places >= 0) & shown[places]
        known = _Known(pictures, scenes, ids, np.where(there, places, -1))
        order = _together(about)
        tally.scenes = len(np.unique(about[order]))

        def rows() -> Iterator[int]:
            for start in range(0, len(order), BATCH_ROWS):
                some = order[start : start + BATCH_ROWS]
                for split, rows in _by_split(splits.take(column(some.tolist(), pa.int64()))):
                    batch = shelf.take(some[rows])
                    self._write(split, batch, about[some[rows]], known, tally)
                yield from some.tolist()

        for _ in track(Counted(rows(), len(order)), "write", "instructions"):
            pass

    def _write(
        self, split: Split, batch: pa.RecordBatch, about: np.ndarray, known: "_Known", tally: Tally
    ) -> None:
        count = batch.num_rows
        numbers, counts = lists(batch.column("contexts"))
        places = known.places[numbers]
        owners = np.repeat(np.arange(count), counts)[places >= 0]
        self.fallen += int((places < 0).sum())
        counts = np.bincount(owners, minlength=count)
        contexts = lists_of(
            counts, known.ids.take(column(places[places >= 0].tolist(), pa.int64()))
        )
        images, pictures = lists(batch.column("images"))
        names = known.pictures.ids.take(column(images.tolist(), pa.int64())).to_pylist()
        given = self._given
        groups = [known.scenes.names[known.scenes.group_of(scene)] for scene in about.tolist()]
        values = {
            **{name: batch.column(name) for name in TEXTS},
            "image_ids": lists_of(pictures, _texts(map(known.scenes.spell, names))),
            "rel_ins_ids": contexts,
            "scene_id": _texts(known.scenes.names[scene] for scene in about.tolist()),
            "group": _texts(groups),
        }
        constant = {
            "source": given.source,
            "language": given.language,
            "licence": given.licence,
            "teacher": given.teacher,
            "prompt_sha256": "",
            "request_key": "",
        }
        values |= {name: _texts([text] * count) for name, text in constant.items()}
        self._tables["instructions", split].write_batch(_batch("instructions", values))
        self._link(split, values["id"], contexts, counts)
        tally.kinds.update(values["kind"].to_pylist())
        for counter, name in (
            (tally.sources, given.source),
            (tally.languages, given.language),
            (tally.splits, split),
        ):
            counter[name] += count
        if len(contexts.values):
            tally.strategies[STRATEGY] += len(contexts.values)
        tally.links = tally.strategies.total()

    def _link(self, split: Split, ids: pa.Array, contexts: pa.Array, counts: np.ndarray) -> None:
        """Write why the instructions have the examples they have, of those that have any."""
        some = column(np.flatnonzero(counts).tolist(), pa.int64())
        total = int(counts.sum())
        values = {
            "query_id": ids.take(some),
            "context_ids": contexts.take(some),
            "scores": lists_of(counts, column([0.0] * total, pa.float64())).take(some),
            "strategies": lists_of(counts, _texts([STRATEGY] * total)).take(some),
        }
        if len(some):
            self._tables["links", split].write_batch(_batch("links", values))


@dataclass(frozen=True, slots=True)
class _Known:
    """What the numbers of rows stand for.

    Attributes:
        pictures: Pictures by number.
        scenes: Their scenes.
        ids: Ids of instructions by their places on the shelf.
        places: These places by number; -1 for instructions that are no examples: what is not
            published, or not in train.
    """

    pictures: Pictures
    scenes: Scenes
    ids: pa.Array
    places: np.ndarray


def _by_split(splits: pa.Array) -> Iterator[tuple[Split, np.ndarray]]:
    """Give the rows of each split that some are of."""
    for split in SPLITS:
        rows = np.flatnonzero(to_numpy(pc.equal(splits, split)))
        if len(rows):
            yield split, rows


def _texts(values: Iterable[str]) -> pa.Array:
    return column(list(values), pa.string())


def _batch(table: str, values: Mapping[str, pa.Array]) -> pa.RecordBatch:
    schema = arrow_schema(table)
    return pa.RecordBatch.from_arrays([values[name] for name in schema.names], schema=schema)


def _together(about: np.ndarray) -> np.ndarray:
    """Order rows by the first of their scene; those of none, which are not usable, are left out."""
    rows = np.flatnonzero(about >= 0)
    _, firsts, codes = np.unique(about[rows], return_index=True, return_inverse=True)
    order: np.ndarray = rows[np.argsort(firsts[codes], kind="stable")]
    return order
