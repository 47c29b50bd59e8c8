"""JSON of any size, a record at a time: gigabytes of text are never in memory."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import ijson  # type: ignore[import-untyped]  # it brings no types
import numpy as np

from mimicit.errors import SourceError

BUFFER_BYTES = 256 * 2**10
"""How much is read at a time."""

MAX_DEPTH = 32
"""Objects and lists in each other: the parser keeps the way to each, which grows by their square.

The published form has four.
"""

_OPENING = list(b"[{")
_QUIET = bytes(set(range(256)) - set(b'"[]{}'))
"""All bytes but quotation marks and brackets."""

DAMAGE = (ijson.JSONError, ValueError, RecursionError, OverflowError)
"""What reading damaged JSON raises; what is not UTF-8 is a ValueError."""

_ESCAPES = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
"""Escapes one after the other: a pair of halves of a surrogate pair, one half, any other."""

_FIRST_HALF = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}")

_LONGEST = 12
"""Bytes of the longest of them."""


class _Whole:
    """A file whose halves of surrogate pairs are read as a letter that no text may hold.

    The parser takes such a half for a question mark, which would be a text nobody wrote.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._depth, self._in_text = 0, False
        self._kept = file.read(3)
        if self._kept == b"\xef\xbb\xbf":  # a mark of the order of bytes, which JSON has none of
            self._kept = b""

    def read(self, size: int) -> bytes:
        if not size:  # it is asked once what it gives
            return b""
        while True:
            fresh = self._file.read(size)
            data = self._kept + fresh
            end = self._end(data) if fresh else len(data)
            self._kept = data[end:]
            if end or not fresh:
                data = data[:end]
                self._refuse_depth(data)
                halves = b"\\ud" in data or b"\\uD" in data
                return _ESCAPES.sub(_mended, data) if halves else data

    def _refuse_depth(self, data: bytes) -> None:
        """Count the brackets outside of texts.

        Raises:
            ValueError: they are deeper than any file of the form has them.
        """
        if b"\\" in data:  # a quotation mark behind one ends no text
            data = data.replace(rb"\\", b"").replace(rb"\"", b"")
        if not any(bracket in data for bracket in (b"[", b"]", b"{", b"}")):  # as in pictures
            self._in_text ^= data.count(b'"') % 2 == 1
            return
        # Two marks with no bracket between them leave all brackets where they are, in or out.
        parts = data.translate(None, _QUIET).replace(b'""', b"").split(b'"')
        brackets = b"".join(parts[self._in_text :: 2])
        self._in_text ^= len(parts) % 2 == 0
        left = brackets
        for _ in range(3):  # of most blocks this leaves what is cut at their ends
            left = left.replace(b"[]", b"").replace(b"{}", b"")
        if self._depth + len(left) + 6 > MAX_DEPTH:
            steps = np.where(np.isin(np.frombuffer(brackets, np.uint8), _OPENING), 1, -1)
            if self._depth + int(steps.cumsum().max(initial=0)) > MAX_DEPTH:
                raise ValueError(f"objects and lists in each other, more than {MAX_DEPTH} deep")
        self._depth += left.count(b"[") + left.count(b"{")
        self._depth -= left.count(b"]") + left.count(b"}")

    @staticmethod
    def _end(data: bytes) -> int:
        """Find the place up to which no escape, and no pair of them, is cut in two."""
        at = data.find(b"\\", max(0, len(data) - _LONGEST))
        while at > 0:
            if data[at - 1 : at] == b"\\":
                at -= 1  # what a row of these escapes is to be counted from its first
            elif _FIRST_HALF.fullmatch(data, max(0, at - 6), at):
                at -= 6
            else:
                break
        return len(data) if at < 0 else at


def _mended(found: re.Match[bytes]) -> bytes:
    return b"\\u0000" if found["half"] else found[0]


@contextmanager
def opened(path: Path, name: str) -> Iterator[Any]:
    """Open a file for `ijson`.

    Raises:
        SourceError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            yield _Whole(file)
    except OSError as error:
        raise SourceError(f"cannot read {name!r}: {error.strerror}") from error


def items(path: Path, name: str, inside: str = "") -> Iterator[tuple[str, Any]]:
    """Give what an object of a file has, keys that occur twice both times.

    Args:
        path: The file.
        name: What to call it.
        inside: The key of the file whose value the object is; "" for the file itself.

    Raises:
        SourceError: it cannot be read, is damaged, or holds no such object; the message says
            behind which record.
    """
    key, count = "", 0
    with opened(path, name) as file:
        try:
            for key, value in ijson.kvitems(file, inside, buf_size=BUFFER_BYTES, use_float=True):
                count += 1
                yield key, value
        except DAMAGE as error:
            after = f" after record {count:,}, {key[:80]!r}" if count else " at its beginning"
            raise SourceError(f"{name!r} is damaged{after}: {_first_line(error)}") from error


def _events(file: Any, size: int = BUFFER_BYTES) -> Iterator[tuple[str, str, Any]]:
    """Parse a file: prefix, event and value of each thing in it.

    As exact numbers one of more than 4,300 digits would end not the reading but the process.
    """
    events: Iterator[tuple[str, str, Any]] = ijson.parse(file, buf_size=size, use_float=True)
    return events


def head(path: Path, name: str) -> tuple[str, str]:
    """Say how a file begins: its first key, and what stands there.

    Returns:
        The key, "" where the file is no object or an empty one; and the event of `ijson.parse`, or
        the text that is its value or the first of its values.

    Raises:
        SourceError: it cannot be read, or is damaged right there.
    """
    first = ""
    with opened(path, name) as file:
        try:
            for prefix, event, value in _events(file, 4096):
                if not prefix and event not in {"start_map", "map_key"}:
                    return "", event
                if event == "map_key":
                    first = value
                elif prefix and event != "start_array":
                    return first, value if event == "string" else event
        except DAMAGE as error:
            raise SourceError(f"{name!r} is no JSON: {_first_line(error)}") from error
    return "", ""


_KINDS = {
    "null": "",
    "boolean": "true or false",
    "start_array": "a list",
    "start_map": "an object",
}
"""What a value is that is no text, by its event of `ijson.parse`; else it is a number."""


def find(path: Path, name: str, place: str) -> str:
    """Say what stands at a place such as `meta.split`, read no further than to there.

    An object that is not at its file's beginning is found too, and a file without it is read to the
    end, a second of one core for 150 MB: what a `meta` at the end holds out must not be trained on.

    Returns:
        The text there, "" where there is none or null, or in words what else is there.

    Raises:
        SourceError: the file cannot be read, or is damaged before that.
    """
    above = place.rpartition(".")[0]
    with opened(path, name) as file:
        try:
            for prefix, event, value in _events(file):
                if prefix == place:
                    return value if event == "string" else _KINDS.get(event, "a number")
                if prefix == above and event == "end_map":
                    break
        except DAMAGE as error:
            raise SourceError(f"{name!r} is no JSON: {_first_line(error)}") from error
    return ""


def refuse_without(path: Path, name: str, key: str) -> None:
    """Refuse a file whose object lacks a key with an object as its value.

    Raises:
        SourceError: as said, or it cannot be read.
    """
    with opened(path, name) as file:
        try:
            for prefix, event, _ in _events(file):
                if prefix == key and event == "start_map":
                    return
                if prefix == key or (not prefix and event not in {"start_map", "map_key"}):
                    break
        except DAMAGE as error:
            what = f"{name!r} is damaged at its beginning: {_first_line(error)}"
            raise SourceError(what) from error
    raise SourceError(f'{name!r} is not of the published form: expected {{"{key}": {{ID: …}}}}')


def _first_line(error: BaseException) -> str:
    said = error.args[0] if error.args else error
    text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
    return text.strip().partition("\n")[0][:200]
