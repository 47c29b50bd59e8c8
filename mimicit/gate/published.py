"""A directory of MIMIC-IT's published form: what is wrong with it, and what of that can be mended.

What the original's loader stops at, and what can be nothing that was meant: ids of pictures that no
store has, in-context examples that are not there, ids that stand twice, texts that cannot be
published, pictures that do not decode.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mimicit.decoding import Decoder, Decoders
from mimicit.errors import Problem, SourceError
from mimicit.gate.pictures import SAMPLE, Decode
from mimicit.images import UnusablePicture
from mimicit.progress import silent
from mimicit.published.instructions import Instructions
from mimicit.published.judging import BARE_LIST, DANGLING, Finding, judge
from mimicit.published.pictures import Pictures
from mimicit.published.release import INSTRUCTIONS, NO_PICTURES, Release, find_release
from mimicit.published.rows import windows
from mimicit.published.stores import Stored, decoded

MENDS = "`mimicit import otter DIR --repair` mends it"
LEAVES_OUT = "`mimicit import otter DIR --repair` leaves these out"


def release_problems(directory: Path, decode: Decode = "all") -> Iterator[Problem]:
    """List what is wrong with a published directory, one problem for each row and reason.

    Args:
        directory: A directory that `mimicit.published.release.is_release` knows.
        decode: Which pictures are decoded: `all`, some 1,000, or `none`.
    """
    release = find_release(directory)
    for name, what in release.unreadable:
        yield Problem(name, what)
    for name, what in release.passed_over:
        if not release.stores or what != NO_PICTURES:
            yield Problem(_printable(name), what)
    pictures = Pictures(release, silent, strict=False)
    instructions = Instructions(release, silent, strict=False)
    for name, what in (*pictures.problems, *instructions.problems):
        yield Problem(name, what)
    lost = [name for name, _ in release.unreadable if not name.endswith(INSTRUCTIONS)]
    if not release.stores and not lost:
        what = "no file of the directory has the pictures: expected X.parquet or X.json"
        yield Problem(release.subsets[0].file.name, what)
    if not len(instructions) and not instructions.problems:
        yield Problem(release.subsets[0].file.name, "has no instructions")
    yield from _of_stores(pictures)
    yield from _of_rows(release, instructions, pictures)
    for fault in instructions.faults:
        advice = f": {LEAVES_OUT}" if fault.mended else ""
        what = f"{DANGLING if fault.mended else fault.reason}: {fault.detail}{advice}"
        yield Problem(fault.file, what, fault.entry.place, fault.entry.query)
    if decode != "none":
        yield from _of_pictures(pictures, decode)


def _printable(name: str) -> str:
    """Spell a file's name that may be no UTF-8."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _of_rows(release: Release, instructions: Instructions, pictures: Pictures) -> Iterator[Problem]:
    for subset, start in zip(release.subsets, instructions.starts, strict=False):
        name = subset.file.name
        try:
            for window in windows(subset):
                judged = judge(window, start, instructions, pictures, used=False)
                for finding in judged.findings:
                    record = window.records[finding.row]
                    same = finding.reason == "duplicate-record" and instructions.is_copy(
                        int(judged.own[finding.row])
                    )
                    if not same:  # as in files of which each is complete
                        yield Problem(name, _in_words(finding), record.place, record.id)
        except SourceError as error:
            if name not in dict(instructions.problems):  # of that it was told
                yield Problem(name, str(error))


def _in_words(finding: Finding) -> str:
    text = f"{finding.mistake or finding.reason}: {finding.detail}"
    if finding.reason == BARE_LIST:
        return f"{text}: `mimicit import otter` takes it for a list of one"
    if finding.reason == "unknown-context":
        return f"{text}: {LEAVES_OUT}"
    return f"{text}; {MENDS}" if finding.mistake else text


def _of_stores(pictures: Pictures) -> Iterator[Problem]:
    """Find stores that the original's loader does not read, and ids that stand twice in one."""
    for store in pictures.stores:
        if not store.indexed:
            what = (
                f"has its ids in the column {store.key!r}, which pandas does not know for the "
                "index: the original's loader finds no picture; `mimicit import otter` does"
            )
            yield Problem(store.name, what)
    for number in pictures.repeated():
        store, place = pictures.place(number)
        other, _ = pictures.place(int(pictures.first[number]))
        if other == store:
            what = "stands twice in this file: the original's loader finds neither"
            yield Problem(store.name, what, place, pictures.name(number))


def _of_pictures(pictures: Pictures, decode: Decode) -> Iterator[Problem]:
    """Decode pictures, in child processes; find those of one id that differ between stores."""
    chosen = np.ones(len(pictures), bool)
    if decode == "sample" and len(pictures) > SAMPLE:
        chosen[:] = False
        chosen[np.linspace(0, len(pictures) - 1, SAMPLE).astype(np.int64)] = True
    again = {int(pictures.first[number]) for number in pictures.repeated()}
    digests: dict[int, tuple[str, str]] = {}
    with Decoders() as decoders:
        bounds = itertools.pairwise(pictures.starts)
        for store, (start, end) in zip(pictures.stores, bounds, strict=True):
            some = store.pictures(chosen[start:end])
            try:
                for picture, problem, digest in decoders.each(some, _examined):
                    if problem:
                        yield Problem(store.name, problem, picture.place, picture.id)
                    first = int(pictures.first[start + picture.place])
                    if digest and first in again:
                        other, known = digests.setdefault(first, (store.name, digest))
                        if known != digest and other != store.name:
                            what = f"stands also in {other!r}, with other bytes: those are used"
                            yield Problem(store.name, what, picture.place, picture.id)
            except SourceError as error:
                if store.name not in dict(pictures.problems):
                    yield Problem(store.name, str(error))


def _examined(decoder: Decoder, picture: Stored) -> tuple[Stored, str, str]:
    """Decode one picture; give what is wrong with it, or "", and the digest of its bytes."""
    try:
        info = decoder.examine(picture.id, decoded(picture.text))
    except UnusablePicture as error:
        return picture._replace(text=None), str(error), ""
    problem = f"does not decode: {info.problem}: {info.detail}" if info.problem else ""
    return picture._replace(text=None), problem, info.sha256
