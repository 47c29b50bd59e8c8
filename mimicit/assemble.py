"""Scenes in, published rows out. No network, no clock, no chance but the seed."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from mimicit.authors import Author, Pending, Written
from mimicit.card import Tally
from mimicit.catalogue import Wider
from mimicit.errors import Incomplete, SourceError
from mimicit.link_tables import LinkWriter
from mimicit.linking import View, link_views
from mimicit.media import Media
from mimicit.progress import Track
from mimicit.schema import SPLITS, ImageRow, Instruction, Rejection, Reply, Scene
from mimicit.shown import ShownPictures
from mimicit.spool import Spool
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
        advice: What would make linking faster the next time, in lines for the user.
    """

    def __init__(self, directory: Path, form: Format = "parquet") -> None:
        self.tally = Tally()
        self.advice: Sequence[str] = ()
        self._directory, self._form = directory, form
        self._images = TableWriter(directory, "images", form=form)
        self._rejected = TableWriter(directory, "rejected", form=form)
        self._spool = Spool(directory / "spool.arrow")
        self._linked: LinkWriter | None = None
        self._first_detail = ""
        self._pictures: set[str] = set()
        self._digests: set[bytes] = set()
        self._rows: deque[Callable[[], ImageRow]] = deque()

    def __enter__(self) -> "Assembly":
        return self

    def __exit__(self, *_: object) -> None:
        for table in (self._images, self._rejected):
            table.stop()
        if self._linked:
            self._linked.stop()
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

    def finish(
        self, views: Sequence[View], wider: Mapping[str, Wider], track: Track
    ) -> list[FileEntry]:
        """Link the instructions, write them, and list the finished files.

        Raises:
            SourceError: there is not one instruction.
            Incomplete: there is none yet, but requests are pending.
            UsageError: an encoder that a view names is not known or not installed.
        """
        self._refuse_nothing()
        self._spool.finish()
        others = [*self._images.close(), *self._rejected.close()]  # linking looks at the pictures
        pictures = ShownPictures(self._directory)
        splits = [split for split in SPLITS if self.tally.splits[split]]
        linked = link_views(self._spool.link_rows(splits), views, wider, pictures, track)
        self._linked = LinkWriter(self._directory, linked, self._form)
        for batch in self._spool.of_splits(splits):
            self._linked.write(batch)
        self._spool.close()
        self.tally.count_links(linked.health)
        self.advice = linked.advice
        return [*self._linked.close(), *others]

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
