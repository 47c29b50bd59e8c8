"""Which photograph is shown beside which: chosen once, kept in a file, and never changed after.

A dataset that grows would otherwise give other neighbours, and so other pairs, to photographs
that somebody has paid for already. A pair is a line, `{"first": id, "second": id, "group": id}`;
more are only ever added at the end.

Pairs that share a photograph, and those that share one with them in turn, are one group. Every
photograph brings one pair, so a new one joins a group or founds one with others that are new: it
never makes two groups one, and a group keeps the name that stands in the file.
"""

import contextlib
import json
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from mimicit.encoders import open_text
from mimicit.errors import SourceError, UsageError
from mimicit.generators._coco_files import scene_id
from mimicit.neighbours import search
from mimicit.records import read_lines, records, reject
from mimicit.schema import Rejection


class Pair(NamedTuple):
    """Two photographs by their ids; `group` is "" where nothing is known of it."""

    first: str
    second: str
    group: str = ""

    @property
    def scene_id(self) -> str:
        """Both ids, those that hold a `_` themselves told apart."""
        return "_".join(photo.replace("_", "~5f~") for photo in self[:2])


class _Line(msgspec.Struct, gc=False):
    first: int | str
    second: int | str
    group: str = ""


def read_pairs(path: Path, source: str) -> tuple[list[Pair], list[Rejection]]:
    """Read a file of pairs in the order of their ids; of equal ones, either way round, one stays.

    Raises:
        SourceError: it cannot be read, or there is no pair in it.
    """
    found: dict[frozenset[str], Pair] = {}
    refused: list[Rejection] = []
    lines = list(read_lines(path))
    for item in records(lines, _Line, source):
        if isinstance(item, Rejection):
            refused.append(item)
            continue
        name, line = item
        pair = Pair(_spelled(line.first), _spelled(line.second), line.group)
        if pair.first == pair.second or not (pair.first and pair.second):
            detail = f"{pair.first!r} beside {pair.second!r}"
            refused.append(reject(source, "no-pair", name, detail))
            continue
        same = frozenset(pair[:2])
        if same in found:
            kept, pair = sorted((found[same], pair))
            refused.append(reject(source, "duplicate-pair", name, f"{kept.scene_id} stands there"))
            pair = kept
        found[same] = pair
    if lines and not found:
        raise SourceError(f'{str(path)!r} should have lines such as {{"first": 1, "second": 2}}')
    return sorted(found.values()), refused


def _spelled(photo: int | str) -> str:
    if isinstance(photo, str) and not photo.isdecimal():
        return photo
    return scene_id(photo)


def choose_pairs(
    ids: Sequence[str], text: Callable[[str], str], lonely: Sequence[str]
) -> Iterator[tuple[str, str | None]]:
    """Give for each lonely photograph the one of which the most similar is said, or None.

    Args:
        ids: All photographs, ascending; of equally good ones the first is taken.
        text: What is said of one.
        lonely: Those to find one for, ascending.
    """
    places = {photo: place for place, photo in enumerate(ids)}
    vectors = open_text("static").encode([text(photo) for photo in ids])
    asking = np.array([places[photo] for photo in lonely], np.int64)
    found = search(vectors, np.arange(len(ids)), 1, asking=asking)
    for row, photo in enumerate(lonely):
        alike = found.places.shape[1] and found.scores[row, 0] > 0
        yield photo, ids[found.places[row, 0]] if alike else None


def grouped(pairs: Iterable[Pair]) -> list[Pair]:
    """Give every pair its group: the name that it has, or the smallest id in it.

    Of several names the smallest counts, as where somebody has joined two groups by hand.
    """
    pairs = list(pairs)
    above: dict[str, str] = {}

    def top(photo: str) -> str:
        while (higher := above.setdefault(photo, photo)) != photo:
            above[photo] = above[higher]
            photo = higher
        return photo

    for pair in pairs:
        one, other = sorted((top(pair.first), top(pair.second)))
        above[other] = one  # the top is the smallest id of all
    named: dict[str, str] = {}
    for pair in pairs:
        if pair.group:
            group = top(pair.first)
            named[group] = min(pair.group, named.get(group, pair.group))
    return [pair._replace(group=named.get(top(pair.first), top(pair.first))) for pair in pairs]


def append_pairs(path: Path, pairs: Iterable[Pair]) -> None:
    """Add pairs at the end of a file, which has all of them afterwards, or is as it was.

    Raises:
        UsageError: it cannot be written.
    """
    lines = "".join(json.dumps(pair._asdict()) + "\n" for pair in pairs).encode()
    aside = _aside(path, os.getpid())
    try:
        there = path.read_bytes() if path.exists() else b""
        if there and not there.endswith(b"\n"):
            there += b"\n"
        with aside.open("wb") as file:
            file.write(there + lines)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
        raise UsageError(
            f"cannot write {str(path)!r}, where the pairs of photographs are kept: "
            f"{error.strerror}; name a file that can be written with -o pairs=FILE"
        ) from error


def frozen_pairs(
    path: Path, photographs: Collection[str], text: Callable[[str], str], source: str
) -> tuple[list[Pair], list[Rejection]]:
    """Read the pairs, find one for each photograph that has none, and write those down.

    Args:
        path: The file; it need not be there.
        photographs: All of them, by id.
        text: What is said of one.
        source: Name of the source.

    Raises:
        SourceError: the file is not one of pairs.
        UsageError: it has to be written, and cannot be.
    """
    _sweep(path)
    known, refused = _there(path, source)
    paired = _paired(known)
    ids = sorted(photographs)
    lonely = [photo for photo in ids if photo not in paired]
    chosen: dict[str, Pair] = {}
    alone: list[Rejection] = []
    for photo, other in choose_pairs(ids, text, lonely) if lonely else ():
        if other is None:
            detail = "nothing similar is said of any other photograph"
            alone.append(reject(source, "no-pair", photo, detail, photo))
        else:
            chosen[photo] = Pair(*sorted((photo, other)))
    pairs = grouped(known)
    if chosen:
        with _locked(path.parent):  # another build may have found pairs of its own meanwhile
            known, refused = _there(path, source)
            paired = _paired(known)
            new = {pair for photo, pair in chosen.items() if photo not in paired}
            pairs = grouped([*known, *sorted(new)])
            if new:
                append_pairs(path, pairs[len(known) :])
    return sorted(pairs), refused + alone


def _there(path: Path, source: str) -> tuple[list[Pair], list[Rejection]]:
    return read_pairs(path, source) if path.exists() else ([], [])


def _paired(pairs: Iterable[Pair]) -> set[str]:
    return {photo for pair in pairs for photo in pair[:2]}


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Let one build after the other change a folder; False where that cannot be had."""
    handle = None
    try:
        import fcntl  # noqa: PLC0415  # not on Windows

        handle = os.open(folder, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX)
    except (ImportError, OSError):
        if handle is not None:
            os.close(handle)
        handle = None
    try:
        yield handle is not None
    finally:
        if handle is not None:
            os.close(handle)


def _sweep(path: Path) -> None:
    """Remove what builds that were killed have left beside the file."""
    name = re.compile(rf"{re.escape(_aside(path, '').name)}\d+")
    with contextlib.suppress(OSError):
        left = [found for found in path.parent.iterdir() if name.fullmatch(found.name)]
        if not left:
            return
        with _locked(path.parent) as alone:
            for found in left if alone else ():
                found.unlink(missing_ok=True)


def _aside(path: Path, who: object) -> Path:
    return path.with_name(f".{path.name}.{who}")
