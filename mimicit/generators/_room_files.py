"""Reading what people said of the objects of rooms: three layouts, told apart by their shape."""

import csv
import io
import itertools
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, cast

import msgspec

from mimicit.errors import SourceError
from mimicit.records import numbered, plain, read_file, records, reject
from mimicit.schema import Rejection

Id = int | str


class Said(NamedTuple):
    """A sentence about an object of a room; `record` is where it stands in the file."""

    scene: str
    object: str
    text: str
    record: str


class _Room(msgspec.Struct, gc=False):
    """A room of `scan_info.json`."""

    description: list[msgspec.Raw]


class _Refer(msgspec.Struct, gc=False):
    """A record of ScanRefer."""

    scene_id: str
    object_name: str
    description: str


class _Nr3d(msgspec.Struct, gc=False):
    """A row of Nr3D, or of Sr3D; whoever was told the sentence may have chosen wrongly."""

    scan_id: str
    instance_type: str
    utterance: str
    correct_guess: str | bool | None = None


_PAIR = msgspec.json.Decoder(tuple[str, str])


def read_rooms(path: Path, source: str) -> Iterator[Said | Rejection]:
    """Read all sentences of a file; those that say nothing are rejected.

    Raises:
        SourceError: the file is in none of the layouts.
    """
    items = _csv(path, source) if path.suffix.lower() == ".csv" else _json(path, source)
    for item in items:
        if isinstance(item, Rejection):
            yield item
            continue
        scene, text = item.scene.strip(), plain(item.text)
        if not scene:
            yield reject(source, "no-scene-id", item.record, f"it names no room: {text}")
        elif not text:
            yield reject(source, "empty-sentence", item.record, "no text", scene)
        else:
            label = plain(item.object.replace("_", " "))
            yield Said(scene, label, text, item.record)


def _json(path: Path, source: str) -> Iterator[Said | Rejection]:
    kind = cast("type[object]", dict[str, msgspec.Raw] | list[msgspec.Raw])
    content = read_file(path, kind, "a table of rooms, or a list of sentences")
    if isinstance(content, dict):
        return _table(_entries(path, content), source)
    return _list(cast("list[msgspec.Raw]", content), source)


def _entries(path: Path, content: dict[str, msgspec.Raw]) -> list[tuple[str, msgspec.Raw]]:
    """List the rooms of a table, each as often as it stands there: a dictionary keeps the last."""
    found: list[tuple[str, object]] = []

    def keep(pairs: list[tuple[str, object]]) -> dict[str, object]:
        found[:] = pairs  # those of the table come last, after all that is in it
        return dict(pairs)

    try:
        json.loads(path.read_bytes(), object_pairs_hook=keep, parse_constant=lambda _: None)
    except (OSError, ValueError, RecursionError):
        return list(content.items())
    if len(found) == len(content):
        return list(content.items())
    return [(name, msgspec.Raw(json.dumps(value).encode())) for name, value in found]


def _table(entries: list[tuple[str, msgspec.Raw]], source: str) -> Iterator[Said | Rejection]:
    """Read the rooms of a table; a room that stands there again has what both say of it."""
    seen: Counter[str] = Counter()
    for item in records(entries, _Room, source):
        if isinstance(item, Rejection):
            yield item
            continue
        scene, room = item
        seen[scene] += 1
        name = f"{scene}, entry {seen[scene]}" if seen[scene] > 1 else scene
        if not room.description:
            yield reject(source, "no-sentence", name, "nothing is said of the room", scene)
        for number, raw in enumerate(room.description, 1):
            record = f"{name}: sentence {number}"
            try:
                label, text = _PAIR.decode(raw)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                yield reject(source, "malformed-record", record, str(error), scene)
            else:
                yield Said(scene, label, text, record)


def _list(content: list[msgspec.Raw], source: str) -> Iterator[Said | Rejection]:
    """Read records of ScanRefer, or of Nr3D as JSON."""
    # which of the two a record is, is seen by a key of it
    runs = itertools.groupby(numbered(content), key=lambda item: b'"utterance"' in bytes(item[1]))
    for is_nr3d, run in runs:
        kind: type[_Refer | _Nr3d] = _Nr3d if is_nr3d else _Refer
        for item in records(run, kind, source):
            yield item if isinstance(item, Rejection) else _said(*item, source)


def _said(name: str, record: _Refer | _Nr3d, source: str) -> Said | Rejection:
    if isinstance(record, _Refer):
        return Said(record.scene_id, record.object_name, record.description, name)
    if str(record.correct_guess).lower() in {"false", "0"}:
        detail = f"whoever was told it chose another object: {record.utterance}"
        return reject(source, "misunderstood", name, detail, record.scan_id)
    return Said(record.scan_id, record.instance_type, record.utterance, name)


def _csv(path: Path, source: str) -> Iterator[Said | Rejection]:
    header, rows = _rows(path)
    for line, cells in rows:
        name = f"line {line}"
        shown = repr(cells)[:200]
        if not _is_text(cells):
            yield reject(source, "malformed-record", name, f"it is not in UTF-8: {shown}")
            continue
        if len(cells) > len(header):
            detail = f"{len(cells)} columns, but the header has {len(header)}: {shown}"
            yield reject(source, "malformed-record", name, detail)
            continue
        try:
            record = msgspec.convert(dict(zip(header, cells, strict=False)), _Nr3d)
        except msgspec.ValidationError as error:
            yield reject(source, "malformed-record", name, f"{error}: {shown}")
        else:
            yield _said(name, record, source)


def _rows(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Read a table's header and its rows, each with the line on which it begins.

    Bytes that are not UTF-8 become halves of surrogate pairs, which no text has.

    Raises:
        SourceError: it cannot be read, is no CSV, lacks a column or has no row.
    """
    rows: list[tuple[int, list[str]]] = []
    try:
        text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
        reader = csv.reader(io.StringIO(text, newline=""))
        header = next(reader, [])
        line = reader.line_num + 1
        for cells in reader:
            if cells:
                rows.append((line, cells))
            line = reader.line_num + 1
    except OSError as error:
        raise SourceError(f"cannot read {str(path)!r}: {error.strerror}") from error
    except csv.Error as error:
        raise SourceError(f"{str(path)!r} is not valid CSV: {error}") from error
    missing = sorted({"scan_id", "instance_type", "utterance"}.difference(header))
    if missing:
        raise SourceError(f"{str(path)!r} should be in Nr3D's layout; no column {missing[0]!r}")
    if not rows:
        raise SourceError(f"{str(path)!r} has a header, and not one row below it")
    return header, rows


def _is_text(cells: list[str]) -> bool:
    return not any("\ud800" <= character <= "\udfff" for cell in cells for character in cell)
