"""The ids of all pictures of a release by number, and looking up what instructions name."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mimicit.columns import column, places_in, to_numpy
from mimicit.errors import SourceError
from mimicit.progress import Track
from mimicit.published.mending import candidates
from mimicit.published.release import Release
from mimicit.published.stores import Store


@dataclass(frozen=True, slots=True)
class Found:
    """What became of some ids of pictures, each of them once.

    Attributes:
        numbers: Number of each one's picture; -1 where there is none.
        mistakes: What was wrong with those that were mended, else "".
        several: For those that are not there, and of which it is not sure what picture they stand
            for, what it may be: one or two.
    """

    numbers: np.ndarray
    mistakes: list[str]
    several: dict[int, list[str]]


class Pictures:
    """The pictures of a release, numbered store after store. Memory holds their ids.

    Attributes:
        stores: The stores that could be read.
        starts: Number of each one's first picture, and at the end the number of all.
        ids: Every id.
        first: Number of the first picture of the same id: its own, where none came before.
        problems: Stores that are damaged: name, and what is wrong.
    """

    def __init__(self, release: Release, track: Track, *, strict: bool) -> None:
        """Read all ids.

        Raises:
            SourceError: a store is damaged, and `strict` asks for all of them.
        """
        self.stores: list[Store] = []
        self.starts: list[int] = [0]
        self.problems: list[tuple[str, str]] = []
        chunks: list[pa.Array] = []
        for store in track(release.stores, "find", "stores of pictures"):
            read: list[pa.Array] = []
            try:
                read.extend(store.ids())
            except SourceError as error:
                if strict:
                    raise
                self.problems.append((store.name, str(error)))
            self.stores.append(store)
            self.starts.append(self.starts[-1] + sum(map(len, read)))
            chunks += read
        self.ids = pa.chunked_array(chunks, pa.string())
        self.first = places_in(self.ids, self.ids)

    def __len__(self) -> int:
        return len(self.ids)

    def name(self, number: int) -> str:
        """Give the id of a picture."""
        found: str = self.ids[number].as_py()
        return found

    def place(self, number: int) -> tuple[Store, int]:
        """Give the store of a picture, and its place in there."""
        which = int(np.searchsorted(self.starts, number, side="right")) - 1
        return self.stores[which], number - self.starts[which]

    def repeated(self) -> Iterator[int]:
        """Number the pictures whose id another one has that came before."""
        yield from np.flatnonzero(self.first != np.arange(len(self))).tolist()

    def find(self, names: pa.Array) -> Found:
        """Look ids up, each once; one that is not there is mended where that is sure."""
        numbers = places_in(self.ids, names).copy()
        mistakes = [""] * len(names)
        several: dict[int, list[str]] = {}
        missing = np.flatnonzero(numbers < 0).tolist()
        owners: list[int] = []
        kinds: list[str] = []
        spelled: list[str] = []
        for place in missing:
            for kind, name in candidates(names[place].as_py()):
                owners.append(place)
                kinds.append(kind)
                spelled.append(name)
        places = places_in(self.ids, column(spelled, pa.string())).tolist()
        there: dict[int, list[int]] = {}
        for at, number in enumerate(places):
            if number >= 0:
                there.setdefault(owners[at], []).append(at)
        for place, found in there.items():
            if len(found) == 1 and kinds[found[0]]:
                numbers[place], mistakes[place] = places[found[0]], kinds[found[0]]
            else:
                several[place] = [spelled[at] for at in found[:2]]
        return Found(numbers, mistakes, several)


def each_once(lists: Sequence[Sequence[str]]) -> tuple[pa.Array, np.ndarray]:
    """Put the values of all lists behind each other: every value once, and which one each is."""
    flat = column([value for values in lists for value in values], pa.string())
    coded = pc.dictionary_encode(flat)
    return coded.dictionary, to_numpy(coded.indices).astype(np.int64)
