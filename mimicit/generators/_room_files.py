"""Reading what people said of the objects of rooms: three layouts, told apart by their shape."""

import csv
import io
import itertools
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
        return _table(content, source)
    return _list(cast("list[msgspec.Raw]", content), source)


def _table(content: dict[str, msgspec.Raw], source: str) -> Iterator[Said | Rejection]:
    for item in records(content.items(), _Room, source):
        if isinstance(item, Rejection):
            yield item
            continue
        scene, room = item
        if not room.description:
            yield reject(source, "no-sentence", scene, "nothing is said of the room", scene)
        for number, raw in enumerate(room.description, 1):
            record = f"{scene}: sentence {number}"
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
    try:
        text = path.read_text(encoding="utf-8-sig", errors="replace")
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
    except OSError as error:
        raise SourceError(f"cannot read {str(path)!r}: {error.strerror}") from error
    except csv.Error as error:
        raise SourceError(f"{str(path)!r} is not valid CSV: {error}") from error
    wanted = {"scan_id", "instance_type", "utterance"}
    missing = sorted(wanted - rows[0].keys()) if rows else sorted(wanted)
    if missing:
        raise SourceError(f"{str(path)!r} should be in Nr3D's layout; no column {missing[0]!r}")
    for number, row in enumerate(rows, 1):
        name = f"record {number}"
        known = {key: value for key, value in row.items() if key is not None}
        try:
            record = msgspec.convert(known, _Nr3d)
        except msgspec.ValidationError as error:
            yield reject(source, "malformed-record", name, f"{error}: {row}"[:200])
        else:
            yield _said(name, record, source)
