"""The instructions of a release, read record by record, and the examples that were trained on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from mimicit.errors import SourceError
from mimicit.published import json_files
from mimicit.published.release import File, Subset

WINDOW_ROWS = 50_000
"""Records whose ids are looked up at once, since one look-up costs as much as many."""

WINDOW_IDS = 1_000_000
WINDOW_CHARACTERS = 64 * 2**20
"""What such records have at most: ids of pictures and examples, and letters of text."""


class Record(NamedTuple):
    """An instruction as a file has it.

    Attributes:
        place: Its place in the file, from 0.
        id: Its key.
        instruction: What is asked.
        answer: What is answered.
        image_ids: Ids of its pictures.
        rel_ins_ids: Ids of its in-context examples.
        bare: Its `image_ids` was a text in place of a list.
        problem: Why it is no instruction, in words; then it has nothing but its id. Else "".
    """

    place: int
    id: str
    instruction: str = ""
    answer: str = ""
    image_ids: Sequence[str] = ()
    rel_ins_ids: Sequence[str] = ()
    bare: bool = False
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Window:
    """Records of one file, those that are instructions and the others."""

    subset: Subset
    records: list[Record]


def records(file: File) -> Iterator[tuple[str, Any]]:
    """Give every record of a file of instructions by its id, whatever it is.

    Raises:
        SourceError: it cannot be read, is damaged, or not of this form.
    """
    json_files.refuse_without(file.path, file.name, "data")
    yield from json_files.items(file.path, file.name, "data")


def windows(subset: Subset) -> Iterator[Window]:
    """Read a file's records, many at a time.

    Raises:
        SourceError: it cannot be read, is damaged, or not of this form. What came before the damage
            is given first.
    """
    gathered: list[Record] = []
    ids = characters = 0
    try:
        for place, (name, value) in enumerate(records(subset.file)):
            record = _record(place, name, value)
            gathered.append(record)
            ids += len(record.image_ids) + len(record.rel_ins_ids)
            characters += len(record.instruction) + len(record.answer)
            full = len(gathered) == WINDOW_ROWS or ids >= WINDOW_IDS
            if full or characters >= WINDOW_CHARACTERS:
                yield Window(subset, gathered)
                gathered, ids, characters = [], 0, 0
    except SourceError:
        if gathered:
            yield Window(subset, gathered)
        raise
    if gathered:
        yield Window(subset, gathered)


def _record(place: int, name: str, value: Any) -> Record:
    problem = _shape_problem(value)
    if problem:
        return Record(place, name, problem=problem)
    images: Any = value.get("image_ids") or []
    bare = isinstance(images, str)
    return Record(
        place,
        name,
        value["instruction"],
        value["answer"],
        [images] if bare else images,
        value.get("rel_ins_ids") or [],
        bare,
    )


def _shape_problem(value: Any) -> str:
    """Say in what a record is not of its form, or ""."""
    if not isinstance(value, dict):
        return f"it is {_kind(value)}, not an object with `instruction` and `answer`"
    for key in ("instruction", "answer"):
        if not isinstance(value.get(key), str):
            return f"`{key}` is {_kind(value[key])}, not text" if key in value else f"no `{key}`"
    for key in ("image_ids", "rel_ins_ids"):
        found = value.get(key) or []
        if key == "image_ids" and isinstance(found, str):
            continue
        if not isinstance(found, list):
            return f"`{key}` is {_kind(found)}, not a list of ids"
        wrong = next((each for each in found if not isinstance(each, str)), None)
        if wrong is not None or None in found:
            return f"`{key}` holds {_kind(wrong)}, not ids only"
    return ""


def _kind(value: object) -> str:
    """Say what a JSON value is."""
    if value is None:
        return "null"
    names = {bool: "true or false", str: "text", list: "a list", dict: "an object"}
    return names.get(type(value), "a number")


class Trained(NamedTuple):
    """What was trained on of one query: the examples shown before it, in order.

    `problem` says why it cannot be used, or is "".
    """

    place: int
    query: str
    contexts: Sequence[str] = ()
    problem: str = ""


def trained(file: File) -> Iterator[Trained]:
    """Read an `X_train.json`.

    Raises:
        SourceError: it cannot be read, is damaged, or not of this form.
    """
    key, begins = json_files.head(file.path, file.name)
    if not key and begins != "end_map":
        raise SourceError(f"{file.name!r} is not of the published form: expected {{ID: [ID, …]}}")
    for place, (query, contexts) in enumerate(json_files.items(file.path, file.name)):
        if isinstance(contexts, list) and all(isinstance(each, str) for each in contexts):
            yield Trained(place, query, contexts)
        else:
            what = f"its contexts are {_kind(contexts)}, not a list of ids"
            yield Trained(place, query, problem=what)
