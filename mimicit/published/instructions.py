"""The ids of all instructions of a release by number, and which examples each was trained with."""

import hashlib
import itertools
from array import array
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from mimicit.columns import column, places_in
from mimicit.errors import SourceError
from mimicit.progress import Track
from mimicit.published.pictures import each_once
from mimicit.published.release import File, Release, Subset
from mimicit.published.rows import WINDOW_ROWS, Trained, records, trained
from mimicit.schema import SPLITS

ID_ROWS = 65536


class Fault(NamedTuple):
    """What is wrong with an entry of an `X_train.json`.

    Attributes:
        file: Its name.
        entry: The entry.
        reason: Short and countable.
        detail: What was found, in words.
        mended: Leaving out what is wrong mends it.
    """

    file: str
    entry: Trained
    reason: str
    detail: str
    mended: bool = False


class Instructions:
    """The instructions of a release, numbered file after file. Memory holds ids and numbers.

    Attributes:
        subsets: The files that could be read, as far as they could.
        starts: Number of each one's first record, and at the end the number of all.
        ids: Every id.
        first: Number of the first record of the same id: its own, where none came before.
        splits: Number of each one's split among `SPLITS`, where it is the first of its id. What a
            file of a held-out split asks is held out, wherever else it stands. What it only shows
            as an example, or repeats of a file that is trained on, is of the train split; all else
            in it is held out as well.
        problems: Files that are damaged: name, and what is wrong.
    """

    def __init__(self, release: Release, track: Track, *, strict: bool) -> None:
        """Read all ids, and what was trained on.

        Raises:
            SourceError: a file is damaged, and `strict` asks for all of them.
        """
        self.subsets: Sequence[Subset] = release.subsets
        self.starts = [0]
        self.problems: list[tuple[str, str]] = []
        self._strict = strict
        self._contents = array("Q")
        chunks: list[pa.Array] = []
        for subset in track(release.subsets, "find", "files of instructions"):
            chunks += self._read(subset.file)
            self.starts.append(len(self._contents))
        self.ids = pa.chunked_array(chunks, pa.string())
        self.first = places_in(self.ids, self.ids)
        self._queries = np.full(len(self.ids), -1, np.int32)
        self._firsts, self._contexts = array("q", [0]), array("i")
        self.faults: list[Fault] = []
        sizes = np.diff(self.starts)
        codes = np.array([SPLITS.index(each.split) for each in self.subsets], np.int8)
        self.splits = np.repeat(codes, sizes)
        self._asked = np.zeros(len(self.ids), np.int8)
        for subset, bounds in zip(release.subsets, itertools.pairwise(self.starts), strict=True):
            if subset.train:
                self._read_trained(subset, subset.train, range(*bounds))
        self.splits = np.maximum(self.splits, self._asked)

    def __len__(self) -> int:
        return len(self.ids)

    def is_copy(self, number: int) -> bool:
        """Tell whether a record says just what the first one of its id says."""
        return self._contents[number] == self._contents[int(self.first[number])]

    def is_repeated(self, number: int) -> bool:
        """Tell whether a record says just what one of its id says that came before."""
        return number != int(self.first[number]) and self.is_copy(number)

    def file_of(self, number: int) -> str:
        """Give the name of the file that a record stands in."""
        which = int(np.searchsorted(self.starts, number, side="right")) - 1
        return self.subsets[which].file.name

    def name(self, number: int) -> str:
        """Give the id of a record."""
        found: str = self.ids[number].as_py()
        return found

    def find(self, names: pa.Array) -> np.ndarray:
        """Look ids up: the number of the first record of each, or -1."""
        return places_in(self.ids, names)

    def trained_with(self, number: int) -> np.ndarray | None:
        """Give the examples that a record was trained with, as numbers; None where none are named.

        An example that is not in the release is -1.
        """
        query = int(self._queries[number])
        if query < 0:
            return None
        found: np.ndarray = np.frombuffer(
            self._contexts, np.int32, self._firsts[query + 1] - self._firsts[query],
            4 * self._firsts[query],
        )  # fmt: skip
        return found

    def _tolerated(self, name: str, items: Iterator[Any]) -> Iterator[Any]:
        """Read as far as a file can be read; note why no further, where damage is no error."""
        try:
            yield from items
        except SourceError as error:
            if self._strict:
                raise
            self.problems.append((name, str(error)))

    def _read(self, file: File) -> Iterator[pa.Array]:
        names: list[str] = []
        for name, value in self._tolerated(file.name, records(file)):
            names.append(name)
            self._contents.append(_digest(value))
            if len(names) == ID_ROWS:
                yield column(names, pa.string())
                names = []
        yield column(names, pa.string())

    def _read_trained(self, subset: Subset, file: File, rows: range) -> None:
        gathered: list[Trained] = []
        for entry in self._tolerated(file.name, trained(file)):
            gathered.append(entry)
            if len(gathered) == WINDOW_ROWS:
                self._add(subset, file, rows, gathered)
                gathered = []
        self._add(subset, file, rows, gathered)

    def _add(self, subset: Subset, file: File, rows: range, entries: list[Trained]) -> None:
        own = self.find(column([entry.query for entry in entries], pa.string()))
        names, codes = each_once([entry.contexts for entry in entries])
        numbers = self.find(names)[codes]
        asked = own[own >= 0]
        self._asked[asked] = np.maximum(self._asked[asked], SPLITS.index(subset.split))
        self.splits[numbers[(numbers >= rows.start) & (numbers < rows.stop)]] = 0
        owners = np.repeat(np.arange(len(entries)), [len(entry.contexts) for entry in entries])
        bad = faulty(own, owners, numbers)
        wrong: dict[int, list[int]] = {}
        for place in np.flatnonzero(bad).tolist():
            wrong.setdefault(int(owners[place]), []).append(place)
        ends = np.searchsorted(owners, np.arange(len(entries)), side="right").tolist()
        for row, entry in enumerate(entries):
            number, start = int(own[row]), ends[row - 1] if row else 0
            if entry.problem:
                self.faults.append(Fault(file.name, entry, "malformed-record", entry.problem))
            elif number < 0:
                detail = "this query is no instruction of the release"
                self.faults.append(Fault(file.name, entry, "unknown-query", detail))
            elif self._queries[number] >= 0:
                detail = "this query stands here a second time"
                self.faults.append(Fault(file.name, entry, "duplicate-record", detail))
            else:
                self._queries[number] = len(self._firsts) - 1
                self._contexts.extend(numbers[start : ends[row]].tolist())
                self._firsts.append(len(self._contexts))
                if row in wrong:
                    first = entry.contexts[wrong[row][0] - start]
                    detail = faults_in_words(len(entry.contexts), len(wrong[row]), first)
                    self.faults.append(
                        Fault(file.name, entry, "unknown-context", detail, mended=True)
                    )


def faulty(own: np.ndarray, owners: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Tell which contexts cannot be: such as are not there, or the query itself.

    Args:
        own: Number of each query.
        owners: The query of each context, as a place in `own`, in order.
        found: Number of each context, or -1.
    """
    bad: np.ndarray = (found < 0) | (found == own[owners])
    return bad


def repeated(owners: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Tell which contexts their query has named before.

    The original fills up lists that are too short, so they are no mistake, and shown once.

    Args:
        owners: As of `faulty`.
        found: As of `faulty`.
    """
    pairs = owners.astype(np.int64) << 32 | (found.astype(np.int64) & 0xFFFFFFFF)
    order = np.argsort(pairs, kind="stable")
    again = np.zeros(len(pairs), bool)
    again[order[1:]] = pairs[order[1:]] == pairs[order[:-1]]
    return again


def faults_in_words(count: int, wrong: int, first: str) -> str:
    """Say how many of a row's contexts cannot be, and which is the first of them."""
    return (
        f"{wrong:,} of its {count:,} in-context examples cannot be (not in the release, or the row "
        f"itself), the first {first!r}"
    )


SAID = ("instruction", "answer", "image_ids")
"""What two records have to have alike to say the same, whatever examples each has."""


def _digest(value: object) -> int:
    """Hash what a record says."""
    told = [value.get(key) for key in SAID] if isinstance(value, dict) else value
    try:
        said = repr(told).encode("utf-8", "surrogatepass")
    except RecursionError:  # lists in lists in lists
        said = b""
    return int.from_bytes(hashlib.blake2b(said, digest_size=8).digest(), "little")
