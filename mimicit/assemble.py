"""Scenes in, published rows out. No network, no clock, no chance but the seed."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from mimicit.authors import Author, Pending
from mimicit.card import Tally
from mimicit.context_linker import LinkSpec, link
from mimicit.errors import Incomplete, InvalidDataset, SourceError
from mimicit.media import Media
from mimicit.progress import Track
from mimicit.schema import ImageRow, Instruction, Links, Rejection, Scene
from mimicit.writer import FileEntry, Spool, TableWriter

ROWS_UNDER_WAY = 16
"""Pictures that children may be changing while the next scene is read."""


class Assembly:
    """Writes the tables of one dataset: `add` every scene, then `finish`."""

    def __init__(self, directory: Path, media: Media, author: Author) -> None:
        self.tally = Tally()
        self._media = media
        self._author = author
        self._tables = {
            name: TableWriter(directory, name)
            for name in ("instructions", "images", "links", "rejected")
        }
        self._spool = Spool(directory / "spool.arrow")
        self._first_detail = ""
        self._pictures: set[str] = set()
        self._digests: set[str] = set()
        self._rows: deque[Callable[[], ImageRow]] = deque()

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
            else:
                self.tally.kinds[row.kind] += 1
                self.tally.languages[row.language] += 1
                self._spool.write(row)
                published = True
        if published:
            self._store_pictures(scene)

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
        tally, spool = self.tally, self._spool
        if not len(spool):
            why = ", ".join(f"{reason} ({n:,})" for (_, reason), n in tally.rejected.most_common(5))
            if tally.pending:
                raise Incomplete(f"not one of {tally.pending:,} requests has a usable reply yet")
            raise SourceError(
                f"not one instruction came out of {self._media.scenes:,} scenes: {why}\n"
                f"the first: {self._first_detail}"
            )
        spool.finish()
        with spool:
            for row, found in _paired(track(spool, "link", "instructions"), link(spool, specs)):
                self._tables["instructions"].write(row)
                if found:
                    self._tables["links"].write(found)
                    tally.links += len(found.context_ids)
                    tally.strategies.update(found.strategies)
        return [entry for table in self._tables.values() for entry in table.close()]

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
            self.tally.equal_pictures += row.sha256 in self._digests
            self._digests.add(row.sha256)


def _paired(
    rows: Iterable[Instruction], links: Iterator[Links]
) -> Iterator[tuple[Instruction, Links | None]]:
    """Pair each instruction with its links, which come in the same order, or with None."""
    following = next(links, None)
    for row in rows:
        if following and following.query_id == row.id:
            yield row.model_copy(update={"rel_ins_ids": following.context_ids}), following
            following = next(links, None)
        else:
            yield row, None
    if following:  # links out of step with their instructions would be lost: never published
        raise InvalidDataset([f"links: {following.query_id!r} is out of order"])
