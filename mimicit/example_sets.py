"""A dataset's instructions with the in-context examples before each: texts and ids, no pictures."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mimicit.columns import flat, places_in, take_rows
from mimicit.dataset import Dataset

ROWS = 4096
"""Instructions that are held as Python objects at once."""


@dataclass(frozen=True, slots=True)
class Shown:
    """An instruction and its answer, as they are shown together with their pictures.

    Attributes:
        id: The instruction's id.
        instruction: What is asked.
        answer: What is answered.
        image_ids: Pictures it is about, in order.
        licence: Licence of these, or "" where unknown.
    """

    id: str
    instruction: str
    answer: str
    image_ids: tuple[str, ...]
    licence: str = ""


@dataclass(frozen=True, slots=True)
class ExampleSet:
    """An in-context example set: some examples, then the query.

    Attributes:
        contexts: Examples in the order in which they are shown: the most alike last.
        query: What is shown last.
        split: Split of the query; its examples come from train.
        source: Name of the generator that made the query.
        scene_id: The source's own id of what it is about.
        kind: What sort of question it is.
        language: ISO 639 code.
    """

    contexts: tuple[Shown, ...]
    query: Shown
    split: str
    source: str
    scene_id: str
    kind: str
    language: str

    @property
    def shown(self) -> tuple[Shown, ...]:
        """The examples and the query, in the order in which they are shown."""
        return (*self.contexts, self.query)


_SHOWN = ("id", "instruction", "answer", "image_ids", "licence")
_SAID = ("split", "source", "scene_id", "kind", "language")


def example_sets(dataset: Dataset, split: str | None = None) -> Iterator[ExampleSet]:
    """Give every instruction of a dataset with its examples, in the order of the dataset.

    Memory holds the table of instructions as Arrow has it, and a few thousand rows.

    Args:
        dataset: The dataset.
        split: Only the queries of this split; None for all.

    Raises:
        KeyError: an example is not in the dataset, which `mimicit validate` tells of.
    """
    table = dataset.instructions
    named = flat(table.column("rel_ins_ids"))
    places = places_in(table.column("id"), named)
    if (places < 0).any():
        raise KeyError(named[int(np.argmax(places < 0))].as_py())
    batches = table.select(_SHOWN).to_batches()
    starts = np.cumsum([0, *(batch.num_rows for batch in batches)])
    done = 0
    for batch in table.to_batches(ROWS):
        counts = pc.list_value_length(batch.column("rel_ins_ids")).to_pylist()
        mine = places[done : done + sum(counts)]
        examples = _rows(take_rows(batches.__getitem__, starts, mine))
        done += sum(counts)
        said = zip(*(batch.column(name).to_pylist() for name in _SAID), strict=True)
        for query, count, values in zip(_rows(batch), counts, said, strict=True):
            before = tuple(itertools.islice(examples, count))
            if split in {None, values[0]}:
                yield ExampleSet(before, query, *values)


def _rows(batch: pa.RecordBatch) -> Iterator[Shown]:
    columns = [batch.column(name).to_pylist() for name in _SHOWN]
    for name, instruction, answer, image_ids, licence in zip(*columns, strict=True):
        yield Shown(name, instruction, answer, tuple(image_ids), licence)


def licence_of(shown: Iterable[Shown]) -> str:
    """Give the licences of all pictures that are shown, each once, in order; "" where unknown."""
    named = (name for one in shown for name in one.licence.split(" AND ") if name)
    return " AND ".join(dict.fromkeys(named))
