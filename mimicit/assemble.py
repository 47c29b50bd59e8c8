"""Scenes in, published rows out. No network, no clock, no chance but the seed."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from mimicit import templates
from mimicit.card import Tally
from mimicit.checks import check
from mimicit.context_linker import LinkSpec, link
from mimicit.errors import InvalidDataset, SourceError
from mimicit.media import Media
from mimicit.progress import Track
from mimicit.schema import Exchange, Instruction, Links, Rejection, Scene
from mimicit.writer import FileEntry, Spool, TableWriter


class Assembly:
    """Writes the tables of one dataset: `add` every scene, then `finish`."""

    def __init__(self, directory: Path, media: Media, seed: int) -> None:
        self.tally = Tally()
        self._media = media
        self._seed = seed
        self._tables = {
            name: TableWriter(directory, name)
            for name in ("instructions", "images", "links", "rejected")
        }
        self._spool = Spool(directory / "spool.arrow")
        self._first_detail = ""
        self._scenes: set[str] = set()
        self._pictures: set[str] = set()
        self._digests: set[str] = set()

    def add(self, item: Scene | Rejection) -> None:
        """Write the pictures and the rejections of a scene; keep its instructions to be linked."""
        self.tally.scenes += isinstance(item, Scene)
        published = False
        for row in self._rows(item):
            if isinstance(row, Rejection):
                self.tally.rejected[row.stage, row.reason] += 1
                self._first_detail = self._first_detail or f"{row.record}: {row.detail}"
                self._tables["rejected"].write(row)
            else:
                self.tally.kinds[row.kind] += 1
                self.tally.languages[row.language] += 1
                self._spool.write(row)
                published = True
        if published and isinstance(item, Scene):
            self._store_pictures(item)

    def finish(self, specs: dict[str, LinkSpec], track: Track) -> list[FileEntry]:
        """Link the instructions, write them, and list the finished files.

        Raises:
            SourceError: there is not one instruction.
        """
        tally, spool = self.tally, self._spool
        if not len(spool):
            why = ", ".join(f"{reason} ({n:,})" for (_, reason), n in tally.rejected.most_common(5))
            raise SourceError(
                f"not one instruction came out of {tally.scenes:,} scenes: {why}\n"
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

    def _rows(self, item: Scene | Rejection) -> Iterator[Instruction | Rejection]:
        """Make a scene's instructions, and say what was turned away on the way."""
        if isinstance(item, Rejection):
            yield item
            return
        name = f"{item.prefix}_{item.id}"
        if name in self._scenes:
            detail = "another scene has the same id"
            yield item.reject("annotations", "duplicate-scene", name, detail)
            return
        self._scenes.add(name)
        problems = list(self._media.problems(item))
        if problems:
            yield from problems
            return
        scene, misfits = self._media.fit(item)
        yield from misfits
        yield from _written(scene, self._seed)

    def _store_pictures(self, scene: Scene) -> None:
        for ref in scene.images:
            if ref.id not in self._pictures:
                self._pictures.add(ref.id)
                row = self._media.row(ref)
                self._tables["images"].write(row)
                self.tally.licences[row.licence] += 1
                self.tally.equal_pictures += row.sha256 in self._digests
                self._digests.add(row.sha256)


def _written(scene: Scene, seed: int) -> Iterator[Instruction | Rejection]:
    exchanges = templates.write(scene, seed)
    if not exchanges:
        detail = "no annotation supports a question"
        yield scene.reject("templates", "nothing-to-say", scene.id, detail)
    for ordinal, (exchange, reason) in enumerate(check(exchanges)):
        if reason:
            detail = f"{exchange.instruction!r}: {exchange.answer!r}"[:500]
            yield scene.reject("checks", reason, scene.instruction_id(ordinal), detail)
        else:
            yield _instruction(scene, ordinal, exchange)


def _instruction(scene: Scene, ordinal: int, exchange: Exchange) -> Instruction:
    return Instruction(
        id=scene.instruction_id(ordinal),
        instruction=exchange.instruction,
        answer=exchange.answer,
        image_ids=[ref.id for ref in scene.images],
        rel_ins_ids=[],
        source=scene.source,
        split="train",
        language=scene.language,
        kind=exchange.kind,
        scene_id=scene.id,
        group=scene.groups[0],
        licence=scene.licence,
        teacher=templates.NAME,
        prompt_sha256=templates.wording_sha256(),
        request_key="",
    )


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
