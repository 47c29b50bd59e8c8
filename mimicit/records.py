"""Reading annotation files: a file is decoded as a whole, its records one by one.

What does not fit becomes a `Rejection` that names the record; only a file that is not what it
should be as a whole is an error. Records stay undecoded until they are asked for.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from mimicit.errors import SourceError
from mimicit.names import escape_id
from mimicit.schema import Rejection

T = TypeVar("T")

_SHOWN = 80
"""Characters of a record that are shown where it has no other name."""


def read_file(path: Path, kind: type[T], layout: str) -> T:
    """Decode a JSON file: as a rule into `list[msgspec.Raw]`, `dict[str, msgspec.Raw]` or a struct.

    Args:
        path: The file.
        kind: What it should be as a whole.
        layout: How to call that in an error, such as "a list of records".

    Raises:
        SourceError: it cannot be read, is no JSON, or is something else.
    """
    text = _bytes(path)
    try:
        try:
            return msgspec.json.decode(text, type=kind, strict=False)
        except msgspec.ValidationError:
            raise
        except (msgspec.DecodeError, UnicodeDecodeError):
            # what Python writes and JSON does not have: NaN, halves of surrogate pairs
            loose = json.loads(text, parse_constant=lambda _: None)
            return msgspec.json.decode(json.dumps(loose).encode(), type=kind, strict=False)
    except msgspec.ValidationError as error:
        raise SourceError(f"{str(path)!r} should be {layout}: {error}") from error
    except (msgspec.DecodeError, ValueError) as error:
        raise SourceError(f"{str(path)!r} is not valid JSON: {error}") from error
    except RecursionError as error:
        raise SourceError(f"{str(path)!r} is nested too deeply to be annotations") from error


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
            yield reject(source, "malformed-record", name, f"{error}: {shown}")


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


def _bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SourceError(f"cannot read {str(path)!r}: {error.strerror}") from error
    return data.removeprefix(b"\xef\xbb\xbf")
