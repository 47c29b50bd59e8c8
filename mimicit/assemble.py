"""Scenes in, published rows out. No network, no clock, no chance but the seed."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from mimicit.authors import Author, Pending
from mimicit.card import Tally
from mimicit.columns import column
from mimicit.context_linker import LinkSpec, link
from mimicit.errors import Incomplete, InvalidDataset, Problem, SourceError
from mimicit.media import Media
from mimicit.progress import Counted, Track
from mimicit.schema import SPLITS, ImageRow, Instruction, Links, Rejection, Reply, Scene
from mimicit.spool import Spool
from mimicit.writer import FileEntry, Format, TableWriter

ROWS_UNDER_WAY = 16
"""Pictures that children may be changing while the next scene is read."""


class Assembly:
    """Writes the tables of one dataset: `add` every scene, then `finish`.

    Leaving it as a context ends it, finished or not.

    Args:
        directory: Where the tables go.
        media: The verdicts on all pictures.
        author: Who makes a scene's exchanges.
        form: How rows are written; pictures are Parquet in any case.
    """

    def __init__(
        self, directory: Path, media: Media, author: Author, form: Format = "parquet"
    ) -> None:
        self.tally = Tally()
        self._media = media
        self._author = author
        self._tables = {
            name: TableWriter(directory, name, form=form)
            for name in ("images", "links", "rejected")
        }
        self._splits = {
            split: TableWriter(directory, "instructions", split, form) for split in SPLITS
        }
        self._spool = Spool(directory / "spool.arrow")
        self._first_detail = ""
        self._pictures: set[str] = set()
        self._digests: set[bytes] = set()
        self._rows: deque[Callable[[], ImageRow]] = deque()

    def __enter__(self) -> "Assembly":
        return self

    def __exit__(self, *_: object) -> None:
        for table in [*self._tables.values(), *self._splits.values()]:
            table.stop()
        self._spool.close()

    def add(self, scene: Scene | None, rejections: Sequence[Rejection]) -> None:
        """Write what was turned away, and a scene's pictures; keep its instructions to be linked.

        Args:
            scene: A scene that can be used (`Media.judged`), if there is one.
            rejections: What the source and the media pass turned away.
        """
        for rejection in rejections:
            self._reject(rejection)
        if scene is None:
            return
        published = False
        for row in self._author.write(scene):
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
        if published:
            self._store_pictures(scene)

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
        self._tables["rejected"].write(rejection)

    def finish(self, specs: dict[str, LinkSpec], track: Track) -> list[FileEntry]:
        """Link the instructions, write them, and list the finished files.

        Raises:
            SourceError: there is not one instruction.
            Incomplete: there is none yet, but requests are pending.
        """
        self._write_pictures(0)
        self._refuse_nothing()
        self._spool.finish()
        links = link(self._spool.link_rows(), specs)
        following = track(Counted(links, len(self._spool)), "link", "instructions")
        for batch, found in _paired(self._spool.batches(), following):
            for row in found:
                self._tables["links"].write(row)
                self.tally.links += len(row.context_ids)
                self.tally.strategies.update(row.strategies)
            self._write(batch)
        self._spool.close()
        tables = [*self._splits.values(), *self._tables.values()]
        return [entry for table in tables for entry in table.close()]

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
            f"not one instruction came out of {self._media.scenes:,} scenes: {why}\n"
            f"the first: {self._first_detail}"
        )

    def _write(self, batch: pa.RecordBatch) -> None:
        """Write instructions, each into its split."""
        for split, table in self._splits.items():
            if self.tally.splits[split] == len(self._spool):
                table.write_batch(batch)
                return
            chosen = batch.filter(pc.equal(batch.column("split"), split))
            if chosen.num_rows:
                table.write_batch(chosen)

    def _store_pictures(self, scene: Scene) -> None:
        for ref in scene.images:
            if ref.id not in self._pictures:
                self._pictures.add(ref.id)
                self._rows.append(self._media.row(ref))
                self._write_pictures(ROWS_UNDER_WAY)

    def _write_pictures(self, left: int) -> None:
        """Write pictures in order until so many are left that children may still work on."""
        while len(self._rows) > left:
            row = self._rows.popleft()()
            self._tables["images"].write(row)
            self.tally.licences[row.licence] += 1
            digest = bytes.fromhex(row.sha256)
            self.tally.equal_pictures += digest in self._digests
            self._digests.add(digest)


def _paired(
    batches: Iterator[pa.RecordBatch], links: Iterator[Links]
) -> Iterator[tuple[pa.RecordBatch, list[Links]]]:
    """Put into each batch of instructions the contexts of its rows; give it with its links.

    Links come in the order of the instructions, and some of these have none.
    """
    following = next(links, None)
    for batch in batches:
        found: list[Links] = []
        contexts: list[list[str]] = []
        for name in batch.column("id").to_pylist():
            if following and following.query_id == name:
                found.append(following)
                contexts.append(following.context_ids)
                following = next(links, None)
            else:
                contexts.append([])
        place = batch.schema.get_field_index("rel_ins_ids")
        field = batch.schema.field(place)
        yield batch.set_column(place, field, column(contexts, field.type)), found
    if following:  # links out of step with their instructions would be lost: never published
        raise InvalidDataset([Problem("links", "is out of order", id=following.query_id)])
