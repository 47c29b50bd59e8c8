"""Published instructions to the shelf, as far as they can be used, and the others turned away."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from mimicit.columns import column, to_numpy
from mimicit.importers.shelf import RESPELLED, Shelf, Shelved
from mimicit.importers.spelling import Spelling
from mimicit.names import escape_id
from mimicit.progress import Counted, Track
from mimicit.published.instructions import Instructions
from mimicit.published.judging import BARE_LIST, Finding, Judged, judge
from mimicit.published.pictures import Pictures
from mimicit.published.release import Release
from mimicit.published.rows import Record, windows
from mimicit.schema import SPLITS

Reject = Callable[[str, str, str, str], None]
"""Turns something away: the stage, the reason, what it is, and what was found."""


@dataclass(slots=True)
class Gathered:
    """What came of reading the instructions.

    Attributes:
        places: Place on the shelf of each instruction, by its number; -1 for one that was turned
            away.
        read: How many records there were.
        repeated: How many of them repeat, in a file of a held-out split, what stands elsewhere.
        mendable: Instructions that were turned away for nothing but what could have been mended;
            whether their pictures decode is not known.
        changes: Of how many published instructions what was changed, as the shelf has it.
        doubled: Examples of these that a list named before, and that were left out.
    """

    places: np.ndarray
    read: int = 0
    repeated: int = 0
    mendable: int = 0
    changes: Counter[str] = field(default_factory=Counter)
    doubled: int = 0

    def count_changes(self, shelf: Shelf, published: np.ndarray) -> None:
        """Count what was changed of those that are published."""
        for start, batch in shelf.batches():
            rows = published[start : start + batch.num_rows]
            self.doubled += int(to_numpy(batch.column("repeats"))[rows].sum())
            changes = batch.column("changes")
            some = column(np.flatnonzero(rows).tolist(), pa.int64())
            self.changes.update(changes.take(some).flatten().to_pylist())


def gather(  # noqa: PLR0913  # what is read, by which rules, where it goes
    release: Release,
    instructions: Instructions,
    pictures: Pictures,
    shelf: Shelf,
    reject: Reject,
    *,
    repair: bool,
    track: Track,
) -> Gathered:
    """Read all instructions; put those that can be used on the shelf.

    Args:
        release: What is read.
        instructions: Their ids.
        pictures: The ids of all pictures.
        shelf: Where they go.
        reject: Takes the others.
        repair: Whether known mistakes are mended, where nothing is guessed.
        track: Shows progress.

    Raises:
        SourceError: a file changed since its ids were read.
    """
    run = _Gathering(release, instructions, pictures, shelf, reject, repair)
    for _ in track(Counted(run.rows(), len(instructions)), "read", "instructions"):
        pass
    for fault in instructions.faults:
        if not fault.mended:  # what is mended was turned away, or counted, with its row
            reject("annotations", fault.reason, fault.entry.query, f"{fault.file}: {fault.detail}")
    return run.made


class _Gathering:
    """Reads all instructions once."""

    def __init__(  # noqa: PLR0913  # as `gather`
        self,
        release: Release,
        instructions: Instructions,
        pictures: Pictures,
        shelf: Shelf,
        reject: Reject,
        repair: bool,  # noqa: FBT001
    ) -> None:
        self.made = Gathered(np.full(len(instructions), -1, np.int64))
        self._release, self._instructions, self._pictures = release, instructions, pictures
        self._shelf, self._reject, self._repair = shelf, reject, repair
        self._spell = Spelling("INS", instructions.ids)

    def rows(self) -> Iterator[Record]:
        """Give each record when it has been dealt with."""
        starts = self._instructions.starts
        for subset, start in zip(self._release.subsets, starts, strict=False):
            for window in windows(subset):
                judged = judge(window, start, self._instructions, self._pictures, used=True)
                found: dict[int, list[Finding]] = {}
                for finding in judged.findings:
                    if finding.reason != BARE_LIST:
                        found.setdefault(finding.row, []).append(finding)
                kind = escape_id(subset.name).lower() or "instructions"
                rows: list[Shelved] = []
                for row, record in enumerate(window.records):
                    number = int(judged.own[row])
                    self.made.read += 1
                    if subset.split != "train" and self._instructions.is_repeated(number):
                        self.made.repeated += 1
                    elif self._is_kept(record, found.get(row, ())):
                        self.made.places[number] = len(self._shelf) + len(rows)
                        split = SPLITS[self._instructions.splits[number]]
                        mended = sorted({each.mistake for each in found.get(row, ())})
                        rows.append(self._shelved(record, kind, split, judged, row, mended))
                    yield record
                self._shelf.write(rows)

    def _shelved(  # noqa: PLR0913  # a record, and what was made out about it
        self, record: Record, kind: str, split: str, judged: Judged, row: int, mended: Sequence[str]
    ) -> Shelved:
        name = self._spell(record.id)
        return Shelved(
            name,
            record.instruction,
            record.answer,
            kind,
            split,
            judged.images[row],
            judged.contexts[row],
            judged.repeats[row],
            [*mended, RESPELLED] if name != record.id else mended,
        )

    def _is_kept(self, record: Record, findings: Sequence[Finding]) -> bool:
        """Turn a record away if need be."""
        grave = [finding for finding in findings if not (self._repair and finding.mistake)]
        if grave:
            self._reject(grave[0].stage, grave[0].reason, record.id, grave[0].detail)
            self.made.mendable += all(finding.mistake for finding in grave)
        return not grave
