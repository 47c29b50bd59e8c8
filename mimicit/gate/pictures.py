"""The pictures of a dataset: their ids, their files, and the index that says where these lie."""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mimicit import store_index
from mimicit.columns import places_in
from mimicit.decoding import Picture, examine_all
from mimicit.errors import SourceError
from mimicit.gate.files import INDEX, Findings, Shard
from mimicit.gate.rows import DAMAGE, Rows, fitting
from mimicit.image_store import ImageStore, entries_of_shard, ids_check
from mimicit.plain_values import NotPlain
from mimicit.schema import ImageInfo
from mimicit.shards import Shards
from mimicit.store_index import StoreIndex, UnusableIndex, check_of, in_memory, key_of
from mimicit.tables import arrow_schema

Decode = Literal["all", "sample", "none"]

SAMPLE = 1000
"""Pictures that `sample` looks at: those with the lowest keys, the same every time."""

STATED = ["sha256", "phash", "width", "height", "format", "descriptor"]
"""What a row says of its picture; the last was not said before version 1.1 of the schema."""

KEPT = ["image_id", "licence", "phash"]
"""What is needed of every row when its picture has been looked at."""


@dataclass(frozen=True, slots=True)
class Pictures:
    """The rows of the images table that fit their model.

    Attributes:
        ids: Image ids, each row's.
        hashes: Perceptual hashes, 64 bits.
        licences: What licence each is under.
        places: Shard and number of each row.
    """

    ids: pa.Array
    hashes: np.ndarray
    licences: pa.Array
    places: list[tuple[Shard, np.ndarray]]

    def place(self, number: int) -> tuple[str, int]:
        """Give the file and the row of a picture by its number here."""
        for shard, rows in self.places:
            if number < len(rows):
                return shard.name, int(rows[number])
            number -= len(rows)
        raise IndexError(number)


def check_pictures(findings: Findings, decode: Decode) -> Pictures:
    """Check every row of the images table, and as many pictures as is asked for."""
    index = _check_index(findings)
    names = arrow_schema("images").names
    columns = None if decode == "all" else ["image.path" if n == "image" else n for n in names]
    rows = fitting(findings, "images", columns)
    kept: list[Rows] = []
    if decode == "all":
        _decode_all(findings, rows, kept, index)
    elif decode == "sample":
        whole = [_only(["image_id", "licence", *STATED], each) for each in rows]
        _decode_sample(findings, whole)
        kept = [_only(KEPT, each) for each in whole]
    else:
        kept = [_only(KEPT, each) for each in rows]
    pictures = _gathered(kept)
    first = places_in(pictures.ids, pictures.ids)
    for number in np.flatnonzero(first != np.arange(len(first))).tolist():
        name = pictures.ids[number].as_py()
        findings.add(*_at(pictures, number, "has more than one row"), name)
    return pictures


def _at(pictures: Pictures, number: int, text: str) -> tuple[str, str, int]:
    file, row = pictures.place(number)
    return file, text, row


def _only(columns: Sequence[str], rows: Rows) -> Rows:
    """Leave out what is not needed later."""
    present = [name for name in columns if name in rows.batch.schema.names]
    return Rows(rows.shard, rows.numbers, rows.batch.select(present))


def _gathered(kept: list[Rows]) -> Pictures:
    ids = [rows.batch.column("image_id") for rows in kept]
    hashes = [int(text, 16) for rows in kept for text in rows.batch.column("phash").to_pylist()]
    licences = [rows.batch.column("licence").cast(pa.string()) for rows in kept]
    return Pictures(
        ids=pa.concat_arrays(ids) if ids else pa.array([], pa.string()),
        hashes=np.array(hashes, np.uint64),
        licences=pa.concat_arrays(licences) if licences else pa.array([], pa.string()),
        places=[(rows.shard, rows.numbers) for rows in kept],
    )


# ------------------------------------------------------------------------ the files


def _decode_all(
    findings: Findings, rows: Iterator[Rows], kept: list[Rows], index: StoreIndex | None
) -> None:
    """Decode every picture, in child processes, and compare it with its row and with the index."""
    waiting: list[tuple[str, int, dict[str, Any]]] = []

    def pictures() -> Iterator[Picture]:
        for each in rows:
            kept.append(_only(KEPT, each))
            stated = _only(["image_id", *STATED], each).batch.to_pylist()
            files = pc.struct_field(each.batch.column("image"), "bytes").to_pylist()
            for number, row, data in zip(each.numbers.tolist(), stated, files, strict=True):
                waiting.append((each.shard.name, number, row))
                if index:
                    _check_entry(findings, waiting[-1], data, index)
                yield row["image_id"], data or b""

    for info in examine_all(pictures()):
        _compare(findings, *waiting.pop(0), info)


def _check_entry(
    findings: Findings, where: tuple[str, int, dict[str, Any]], data: bytes, index: StoreIndex
) -> None:
    file, number, row = where
    place = index.find(row["image_id"])
    if place and place.check != check_of(data):
        what = f"{INDEX} has another check sum of this picture: it is stale"
        findings.add(file, what, number, row["image_id"])


def _decode_sample(findings: Findings, kept: list[Rows]) -> None:
    """Decode some pictures, read the way users read them."""
    found = (
        (key_of(name), which, place)
        for which, rows in enumerate(kept)
        for place, name in enumerate(rows.batch.column("image_id").to_pylist())
    )
    chosen = heapq.nsmallest(SAMPLE, found)
    if not chosen:
        return
    waiting: list[tuple[str, int, dict[str, Any]]] = []

    try:
        store = ImageStore.open(findings.directory)
    except SourceError as error:
        findings.add("images", f"cannot be opened: {error}"[:300])
        return

    def pictures() -> Iterator[Picture]:
        for _, which, place in chosen:
            rows = kept[which]
            (row,) = rows.batch.slice(place, 1).to_pylist()
            file, number = rows.shard.name, int(rows.numbers[place])
            try:
                data = store.read(row["image_id"])
            except (SourceError, *DAMAGE) as error:
                findings.add(file, f"cannot be read: {error}"[:300], number, row["image_id"])
                continue
            waiting.append((file, number, row))
            yield row["image_id"], data

    for info in examine_all(pictures()):
        _compare(findings, *waiting.pop(0), info)


def _compare(
    findings: Findings, file: str, number: int, row: dict[str, Any], info: ImageInfo
) -> None:
    name = row["image_id"]
    if info.problem:
        findings.add(file, f"does not decode: {info.problem}: {info.detail}", number, name)
        return
    for field in STATED:
        says, measured = row.get(field), getattr(info, field)
        if says == measured or (field == "descriptor" and says is None):
            continue
        what = f"{field} is {measured!r}, its row says {says!r}"
        if field == "descriptor":
            what = "descriptor is not that of its picture"
        findings.add(file, what, number, name)


# ------------------------------------------------------------------------ the index


def _check_index(findings: Findings) -> StoreIndex | None:
    """Compare the index with the shards that it is of; give it if it can be read."""
    path = findings.directory / INDEX
    names = [shard.path.name for shard in findings.shards["images"]]
    try:
        if not names or not path.is_file():
            if path.exists() or names:
                there = "is missing" if names else "is the index of pictures that are not there"
                findings.add(INDEX, there)
            return None
        index = in_memory([path.read_bytes()])
        stale = _stale(index, Shards(path.parent, names))
    except (UnusableIndex, NotPlain) as error:
        findings.add(INDEX, f"cannot be used: {error}")
        return None
    except (SourceError, *DAMAGE):
        return None  # a damaged shard is found when its rows are read
    if stale:
        findings.add(INDEX, f"is stale: {stale}")
    return index


def _stale(index: StoreIndex, shards: Shards) -> str:
    """Say in what an index differs from the one that its shards should have, or ""."""
    if index.files != shards.files:
        return "it is that of shards of other names or sizes"
    if index.ids != [ids_check(shards, number) for number in range(len(shards.files))]:
        return "it was made of other rows"
    made = [entries_of_shard(shards, number) for number in range(len(shards.files))]
    mine = in_memory(store_index.spell(shards.files, np.concatenate(made))).entries()
    theirs = index.entries()
    fields = ["key", "offset", "length", "file"]
    if len(mine) != len(theirs) or any((mine[f] != theirs[f]).any() for f in fields):
        return "it does not say where the pictures of its shards lie"
    return ""
