"""Scenes in, published rows out. No network, no clock, no chance but the seed."""

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mimicit.authors import Author, Pending, Written
from mimicit.card import Tally
from mimicit.catalogue import Catalogue
from mimicit.columns import column
from mimicit.context_linker import Chosen, LinkSpec, catalogue_of, choose
from mimicit.errors import Incomplete, SourceError
from mimicit.media import Media
from mimicit.progress import Counted, Track
from mimicit.schema import SPLITS, ImageRow, Instruction, Rejection, Reply, Scene, Split
from mimicit.spool import Spool
from mimicit.tables import arrow_schema
from mimicit.writer import FileEntry, Format, TableWriter

ROWS_UNDER_WAY = 16
"""Pictures that children may be changing while the next scene is read."""


class Assembly:
    """Writes the tables of one dataset: `read` the scenes, then `finish`.

    Leaving it as a context ends it, finished or not.

    Args:
        directory: Where the tables go.
        form: How rows are written; pictures are Parquet in any case.

    Attributes:
        tally: What was written and turned away.
    """

    def __init__(self, directory: Path, form: Format = "parquet") -> None:
        self.tally = Tally()
        self._instructions, self._links = (
            {split: TableWriter(directory, table, split, form) for split in SPLITS}
            for table in ("instructions", "links")
        )
        self._images = TableWriter(directory, "images", form=form)
        self._rejected = TableWriter(directory, "rejected", form=form)
        self._spool = Spool(directory / "spool.arrow")
        self._first_detail = ""
        self._pictures: set[str] = set()
        self._digests: set[bytes] = set()
        self._rows: deque[Callable[[], ImageRow]] = deque()

    def __enter__(self) -> "Assembly":
        return self

    def __exit__(self, *_: object) -> None:
        for table in self._tables():
            table.stop()
        self._spool.close()

    def read(
        self,
        scenes: Iterable[tuple[Scene | None, Sequence[Rejection]]],
        media: Media,
        author: Author,
    ) -> None:
        """Write what is turned away, and the pictures; keep the instructions to be linked.

        Args:
            scenes: Scenes that can be used, and what sources and media pass turned away: as
                `Media.judged` gives them.
            media: The pictures.
            author: Who makes a scene's exchanges.
        """
        for scene, rejections in scenes:
            for rejection in rejections:
                self._reject(rejection)
            if scene and self._add(author.write(scene)):
                self._store_pictures(scene, media)
        self.tally.scenes = media.scenes
        self._write_pictures(0)

    def _add(self, written: Iterable[Written]) -> bool:
        """Keep what came of a scene; tell whether there is an instruction among it."""
        published = False
        for row in written:
            if isinstance(row, Rejection):
                self._reject(row)
            elif isinstance(row, Pending):
                self.tally.pending += 1
            elif isinstance(row, Reply):
                self.tally.replies += 1
                self.tally.input_tokens += row.input_tokens
                self.tally.output_tokens += row.output_tokens
            else:
                self._count(row)
                self._spool.write(row)
                published = True
        return published

    def _count(self, row: Instruction) -> None:
        tally = self.tally
        tally.kinds[row.kind] += 1
        tally.languages[row.language] += 1
        tally.splits[row.split] += 1
        tally.sources[row.source] += 1
        tally.prompts[row.source] = row.prompt_sha256

    def _reject(self, rejection: Rejection) -> None:
        self.tally.rejected[rejection.stage, rejection.reason] += 1
        self._first_detail = self._first_detail or f"{rejection.record}: {rejection.detail}"
        self._rejected.write(rejection)

    def finish(self, specs: dict[str, LinkSpec], track: Track) -> list[FileEntry]:
        """Link the instructions, write them, and list the finished files.

        Raises:
            SourceError: there is not one instruction.
            Incomplete: there is none yet, but requests are pending.
        """
        self._refuse_nothing()
        self._spool.finish()
        catalogue = catalogue_of(self._spool.link_rows(), specs)
        chosen = track(Counted(choose(catalogue, specs), len(catalogue)), "link", "instructions")
        for batch in self._spool.batches():
            found = list(itertools.islice(chosen, batch.num_rows))
            for split in SPLITS:
                if self.tally.splits[split]:
                    self._write(split, *self._of_split(split, batch, found), catalogue)
        next(chosen, None)  # so that its progress ends
        self._spool.close()
        return [entry for table in self._tables() for entry in table.close()]

    def _tables(self) -> list[TableWriter]:
        divided = [*self._instructions.values(), *self._links.values()]
        return [*divided, self._images, self._rejected]

    def _refuse_nothing(self) -> None:
        """Refuse to publish a dataset without an instruction.

        Raises:
            SourceError: there is not one.
            Incomplete: there is none yet, but requests are pending.
        """
        tally = self.tally
        if len(self._spool):
            return
        why = ", ".join(f"{reason} ({n:,})" for (_, reason), n in tally.rejected.most_common(5))
        if tally.pending:
            raise Incomplete(f"not one of {tally.pending:,} requests has a usable reply yet")
        raise SourceError(
            f"not one instruction came out of {tally.scenes:,} scenes: {why}\n"
            f"the first: {self._first_detail}"
        )

    def _of_split(
        self, split: Split, batch: pa.RecordBatch, chosen: list[Chosen]
    ) -> tuple[pa.RecordBatch, list[Chosen]]:
        """Give the instructions of one split, and what was chosen for them."""
        if self.tally.splits[split] == len(self._spool):
            return batch, chosen
        names = batch.column("split").to_pylist()
        places = [place for place, name in enumerate(names) if name == split]
        return batch.take(column(places, pa.int64())), [chosen[place] for place in places]

    def _write(
        self, split: Split, batch: pa.RecordBatch, chosen: list[Chosen], catalogue: Catalogue
    ) -> None:
        """Write instructions of a split, and their links."""
        linked, links = with_contexts(batch, chosen, catalogue)
        if linked.num_rows:
            self._instructions[split].write_batch(linked)
        if links.num_rows:
            self._links[split].write_batch(links)
            self.tally.links += len(pc.list_flatten(links.column("context_ids")))
            self.tally.strategies.update(pc.list_flatten(links.column("strategies")).to_pylist())

    def _store_pictures(self, scene: Scene, media: Media) -> None:
        for ref in scene.images:
            if ref.id not in self._pictures:
                self._pictures.add(ref.id)
                self._rows.append(media.row(ref))
                self._write_pictures(ROWS_UNDER_WAY)

    def _write_pictures(self, left: int) -> None:
        """Write pictures in order until so many are left that children may still work on."""
        while len(self._rows) > left:
            row = self._rows.popleft()()
            self._images.write(row)
            self.tally.licences[row.licence] += 1
            digest = bytes.fromhex(row.sha256)
            self.tally.equal_pictures += digest in self._digests
            self._digests.add(digest)


def with_contexts(
    batch: pa.RecordBatch, chosen: Sequence[Chosen], catalogue: Catalogue
) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """Put the contexts of a batch's instructions into it; give the links too.

    Args:
        batch: Instructions.
        chosen: What was chosen for each.
        catalogue: All instructions.
    """
    flat = column([place for found in chosen for place, _, _ in found], pa.int64())
    counts = list(map(len, chosen))
    contexts = _lists(batch.schema.field("rel_ins_ids").type, counts, catalogue.ids.take(flat))
    linked = batch.set_column(
        batch.schema.get_field_index("rel_ins_ids"), batch.schema.field("rel_ins_ids"), contexts
    )
    some = column([number for number, count in enumerate(counts) if count], pa.int64())
    schema = arrow_schema("links")
    columns = [
        batch.column("id").take(some),
        contexts.take(some),
        column(
            [[score for _, score, _ in found] for found in chosen], schema.field("scores").type
        ).take(some),
        column(
            [[by for _, _, by in found] for found in chosen], schema.field("strategies").type
        ).take(some),
    ]
    return linked, pa.RecordBatch.from_arrays(columns, schema=schema)


def _lists(kind: pa.DataType, counts: Sequence[int], values: pa.Array) -> pa.Array:
    ends = np.array(list(itertools.accumulate(counts, initial=0)), np.int32)
    return pa.Array.from_buffers(kind, len(counts), [None, pa.py_buffer(ends)], children=[values])
