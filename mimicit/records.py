"""Reading annotation files: a file is decoded as a whole, its records one by one.

What does not fit becomes a `Rejection` that names the record; only a file that is not what it
should be as a whole is an error. Records stay undecoded until they are asked for.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np

from mimicit.errors import SourceError
from mimicit.names import escape_id
from mimicit.schema import Rejection

T = TypeVar("T")

_SHOWN = 80
"""Characters of a record that are shown where it has no other name."""

_KEY = re.compile(rb'\s*[{,]\s*"(?:[^"\\]|\\.)*"\s*:\s*')
"""What stands before each value of a table."""

_HALF = re.compile(
    rb"\xed[\xa0-\xbf]|\\u[dD][89a-bA-B]..(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89a-bA-B]..)\\u[dD][c-fC-F]"
)
"""Half of a surrogate pair, as bytes or as JSON escapes it."""


def read_file(path: Path, kind: type[T], layout: str) -> T:
    """Decode a JSON file: as a rule into `list[msgspec.Raw]`, `dict[str, msgspec.Raw]` or a struct.

    Args:
        path: The file.
        kind: What it should be as a whole.
        layout: How to call that in an error, such as "a list of records".

    Raises:
        SourceError: it cannot be read, is no JSON, or is something else.
    """
    return _decoded(path, _bytes(path), kind, layout)[0]


@dataclass(frozen=True, slots=True)
class Table:
    """A file that is a table of records.

    Attributes:
        items: Records that are not decoded yet, by their keys.
        inside: Whether the table is the value of a key of the file, and not the file.
        refused: Keys that occur twice.
    """

    items: dict[str, msgspec.Raw]
    inside: bool
    refused: list[Rejection]


def read_table(path: Path, layout: str, source: str, inside: str | None = None) -> Table:
    """Decode a JSON file that is a table of records, and reject keys that occur twice.

    JSON says nothing of a key that occurs twice in a table; what stands last is used.

    Args:
        path: The file.
        layout: How to call what it should be in an error, such as "a table of videos".
        source: Name of the generator.
        inside: Where the file has this key, its value is the table.

    Raises:
        SourceError: it cannot be read, is no JSON, or is no table.
    """
    table, text = _decoded(path, _bytes(path), dict[str, msgspec.Raw], layout)
    nested = None if inside is None else table.get(inside)
    if nested is not None:
        table, text = _decoded(path, nested, dict[str, msgspec.Raw], f"{layout} in `{inside}`")
    detail = "this key occurs more than once in its table; what stands last is used"
    refused = [reject(source, "duplicate-key", key, detail) for key in _repeated(text, table)]
    return Table(table, nested is not None, sorted(refused, key=lambda item: item.record))


def read_lines(path: Path) -> Iterator[tuple[str, bytes]]:
    """Give ("line 1", its bytes) of a JSON Lines file, without the empty ones.

    Raises:
        SourceError: it cannot be read.
    """
    for number, line in enumerate(_bytes(path).split(b"\n"), 1):
        if line.strip():
            yield f"line {number}", line


def numbered(items: Iterable[msgspec.Raw]) -> Iterator[tuple[str, msgspec.Raw]]:
    """Name the records of a list by their places: "record 1" is the first."""
    return ((f"record {number}", item) for number, item in enumerate(items, 1))


def records(
    items: Iterable[tuple[str, msgspec.Raw | bytes]], kind: type[T], source: str
) -> Iterator[tuple[str, T] | Rejection]:
    """Decode named records; those that do not fit are rejected, with their name and the reason."""
    decoder = msgspec.json.Decoder(kind, strict=False)
    for name, item in items:
        try:
            yield name, decoder.decode(item)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            shown = bytes(item)[:_SHOWN].decode(errors="replace")
            yield reject(source, "malformed-record", name, f"{why(error, item)}: {shown}")


def why(error: Exception, item: msgspec.Raw | bytes) -> str:
    """Say why a record could not be decoded."""
    if _HALF.search(bytes(item)):
        return "half of a surrogate pair, which is no letter"
    return str(error)


def reject(source: str, reason: str, record: str, detail: str, scene_id: str = "") -> Rejection:
    """Turn away what an annotation file says. `scene_id` is "" where no scene is known."""
    return Rejection(
        scene_id=scene_id,
        source=source,
        stage="annotations",
        reason=reason,
        record=record,
        detail=detail,
    )


def plain(text: str) -> str:
    """Put text on one line, white space mended."""
    return " ".join(text.split())


def padded(source_id: int | str, digits: int) -> str:
    """Spell a source's id: a number, also one written as text, with leading zeros; else escaped.

    A number with leading zeros of its own is text, so that "7" and "007" stay two ids.
    """
    text = str(source_id)
    if text.isascii() and text.isdigit() and (text == "0" or not text.startswith("0")):
        return text.zfill(digits)
    # what would read as a number that was filled up is told apart by an escaped first letter
    if text.isascii() and text.isdigit() and len(text) == digits:
        return f"~{ord(text[0]):x}~{text[1:]}"
    return escape_id(text)


def digest(*parts: object) -> str:
    """Give 8 hex digits of content, to tell records of one id apart: stable, whatever the order."""
    text = json.dumps([str(part) for part in parts])
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _decoded(
    path: Path, text: bytes | msgspec.Raw, kind: type[T], layout: str
) -> tuple[T, bytes | msgspec.Raw]:
    """Decode text, and give with it the text that its records lie in."""
    try:
        try:
            return msgspec.json.decode(text, type=kind, strict=False), text
        except msgspec.ValidationError:
            raise
        except (msgspec.DecodeError, UnicodeDecodeError):
            text = _mended(text)
            return msgspec.json.decode(text, type=kind, strict=False), text
    except msgspec.ValidationError as error:
        raise SourceError(f"{str(path)!r} should be {layout}: {error}") from error
    except (msgspec.DecodeError, ValueError) as error:
        raise SourceError(f"{str(path)!r} is not valid JSON: {error}") from error
    except RecursionError as error:
        raise SourceError(f"{str(path)!r} is nested too deeply to be annotations") from error


class _Own(str):
    """A key that is equal to no other, so that one that occurs twice is written twice."""

    __slots__ = ()
    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other


def _mended(text: bytes | msgspec.Raw) -> bytes:
    """Write anew what Python writes and JSON does not have: NaN, halves of surrogate pairs.

    A half becomes bytes that are no text, which a record can have without harm to others.
    """
    data = bytes(text)
    read = data.decode(json.detect_encoding(data), "surrogateescape")
    loose = json.loads(read, parse_constant=lambda _: None, object_pairs_hook=_as_written)
    written = json.dumps(loose, ensure_ascii=False)
    try:
        return written.encode("utf-8", "surrogateescape")  # what was no UTF-8 stays as it was
    except UnicodeEncodeError:
        return written.encode("utf-8", "surrogatepass")


def _as_written(pairs: list[tuple[str, object]]) -> dict[_Own, object]:
    """Keep all keys of a table; what stands under one that is no text is lost."""
    table: dict[_Own, object] = {}
    for key, value in pairs:
        spelled = key.encode("utf-8", "backslashreplace").decode()
        table[_Own(spelled)] = value if spelled == key else key
    return table


def _repeated(text: bytes | msgspec.Raw, table: dict[str, msgspec.Raw]) -> list[str]:
    """List the keys of a table whose values are not used, by what stands between the others."""
    whole, start = memoryview(text), _address(text)
    found: list[str] = []
    end = 0
    for place, raw in sorted((_address(raw) - start, raw) for raw in table.values()):
        between = bytes(whole[end:place])
        if not _KEY.fullmatch(between):
            rest = between.decode(errors="replace").strip()[1:]
            pairs = json.loads(f"{{{rest}null}}", object_pairs_hook=list)
            found += [key for key, _ in pairs[:-1]]
        end = place + len(memoryview(raw))
    return found


def _address(data: bytes | msgspec.Raw) -> int:
    """Say where in memory data lies: a record that was not decoded is a part of its file."""
    return int(np.frombuffer(data, np.uint8).ctypes.data)


def _bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SourceError(f"cannot read {str(path)!r}: {error.strerror}") from error
    return data.removeprefix(b"\xef\xbb\xbf")
