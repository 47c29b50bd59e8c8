"""What rows about the same must agree in: those of a scene, pictures and their instructions."""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mimicit.columns import places_in, plain, to_numpy
from mimicit.gate.pictures import Pictures
from mimicit.gate.rows import Rows

Disagreement = tuple[int, str]
"""Number of a row, and what is wrong with it."""


def within_scenes(batch: pa.RecordBatch) -> Iterator[Disagreement]:
    """Find rows with another group than the row before them of the same scene.

    The rows of a scene follow each other in a dataset.
    """
    source, scene, group = (_codes(batch.column(n)) for n in ("source", "scene_id", "group"))
    same = (source[1:] == source[:-1]) & (scene[1:] == scene[:-1])
    for place in np.flatnonzero(same & (group[1:] != group[:-1])).tolist():
        yield place + 1, "group is another than that of the row before, of the same scene"


def _codes(values: pa.Array) -> np.ndarray:
    """Give equal values equal numbers."""
    made = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
    codes: np.ndarray = to_numpy(made.indices, null=-1)
    return codes


def of_licences(
    rows: Sequence[Rows], counts: np.ndarray, found: np.ndarray, pictures: Pictures
) -> Iterator[Disagreement]:
    """Find instructions whose licence is not that of their pictures.

    Args:
        rows: Instructions.
        counts: How many pictures each of them has.
        found: Those pictures' numbers, -1 for one that is not there.
        pictures: All pictures.
    """
    stated = pa.concat_arrays([plain(one.batch.column("licence")) for one in rows])
    names = pc.unique(pictures.licences.drop_null())
    of_picture = np.append(places_in(names, pictures.licences), -1)
    of_row = places_in(names, stated)
    firsts = np.cumsum(counts) - counts
    single = counts == 1
    there = single.copy()
    there[single] = found[firsts[single]] >= 0
    wrong = there.copy()
    wrong[there] = of_picture[found[firsts[there]]] != of_row[there]
    for row in np.flatnonzero(wrong).tolist():
        yield row, _says(stated[row].as_py(), names[int(of_picture[found[firsts[row]]])].as_py())
    for row in np.flatnonzero(counts > 1).tolist():
        numbers = found[firsts[row] : firsts[row] + counts[row]]
        if (numbers < 0).any():
            continue
        each = [names[int(of_picture[number])].as_py() for number in numbers]
        expected = " AND ".join(dict.fromkeys(filter(None, each)))
        if stated[row].as_py() != expected:
            yield row, _says(stated[row].as_py(), expected)


def _says(stated: str, expected: str) -> str:
    return f"licence is {stated!r}, and that of its pictures {expected!r}"
