"""What is wrong with the instructions of a release, row by row, and what of it can be mended."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mimicit.checks import text_problem
from mimicit.errors import SourceError
from mimicit.published.instructions import Instructions, faults_in_words, faulty, repeated
from mimicit.published.mending import MISTAKES
from mimicit.published.pictures import Found, Pictures, each_once
from mimicit.published.rows import Window

DANGLING = "dangling-context"
"""In-context examples that cannot be: they are left out, and nothing else changes."""

BARE_LIST = "bare-image-id"
"""An `image_ids` that is a text in place of a list: it is read as a list of one, and is no loss."""


class Finding(NamedTuple):
    """Something that is wrong with a row.

    Attributes:
        row: Its place in the window.
        stage: Where a row like this is turned away.
        reason: Why, short and countable.
        detail: What was found, in words.
        mistake: What it is by that can be mended where nothing is guessed; or "".
    """

    row: int
    stage: str
    reason: str
    detail: str
    mistake: str = ""


@dataclass(frozen=True, slots=True)
class Judged:
    """The rows of a window by number.

    Attributes:
        findings: What is wrong, in the order of the rows.
        own: Number of each row among all instructions.
        images: Of each row the numbers of its pictures, -1 for one that is not there.
        contexts: Of each row the numbers of its in-context examples, each once, without those that
            cannot be.
        repeats: How many examples of each row it has named before.
    """

    findings: list[Finding]
    own: np.ndarray
    images: list[list[int]]
    contexts: list[list[int]]
    repeats: list[int]


def judge(
    window: Window, start: int, instructions: Instructions, pictures: Pictures, *, used: bool
) -> Judged:
    """Judge the rows of a window.

    Args:
        window: The rows.
        start: Number of the window's file's first record.
        instructions: All instructions.
        pictures: All pictures.
        used: Whether the examples are those that are used: what was trained with, where that is
            known. Otherwise they are its `rel_ins_ids`.

    Raises:
        SourceError: the file is not the one whose ids were read.
    """
    own = np.array([start + record.place for record in window.records], np.int64)
    for record, number in ((window.records[0], own[0]), (window.records[-1], own[-1])):
        if number >= len(instructions) or instructions.name(int(number)) != record.id:
            raise SourceError(f"{window.subset.file.name!r} changed while it was read")
    findings = [*_of_records(window, own, instructions)]
    images, wrong = _images(window, pictures)
    contexts, repeats, faults = _contexts(window, own, instructions, used=used)
    fits = [not record.problem for record in window.records]
    findings += [finding for finding in (*wrong, *faults) if fits[finding.row]]
    findings.sort(key=lambda finding: finding.row)  # stable: the gravest stay first
    return Judged(findings, own, images, contexts, repeats)


def _of_records(window: Window, own: np.ndarray, instructions: Instructions) -> Iterator[Finding]:
    firsts = instructions.first[own].tolist()
    for row, record in enumerate(window.records):
        if firsts[row] != own[row]:
            same = "says the same" if instructions.is_copy(int(own[row])) else "says something else"
            where = instructions.file_of(firsts[row])
            detail = f"a record of this id stands in {where!r} before it, and {same}"
            yield Finding(row, "annotations", "duplicate-record", detail)
        if record.problem:
            yield Finding(row, "annotations", "malformed-record", record.problem)
            continue
        for name, text in (("instruction", record.instruction), ("answer", record.answer)):
            if reason := text_problem(text):
                yield Finding(row, "checks", reason, f"its {name}: {text[:80]!r}")
                break
        if not record.image_ids:
            yield Finding(row, "annotations", "no-picture", "its `image_ids` names none")
        if record.bare:
            yield Finding(row, "annotations", BARE_LIST, "its `image_ids` is a text, not a list")


def _images(window: Window, pictures: Pictures) -> tuple[list[list[int]], list[Finding]]:
    """Look up the pictures of every row; say which are not there."""
    names, codes = each_once([record.image_ids for record in window.records])
    found = pictures.find(names)
    numbers = found.numbers[codes].tolist()
    wrong = np.array([bool(each) for each in found.mistakes], bool) | (found.numbers < 0)
    odd = wrong[codes].tolist()
    images: list[list[int]] = []
    findings: list[Finding] = []
    at = 0
    for row, record in enumerate(window.records):
        end = at + len(record.image_ids)
        images.append(numbers[at:end])
        if any(odd[at:end]):
            places = [codes[place] for place in range(at, end) if odd[place]]
            said = _in_words(row, record.image_ids, places, names, found, pictures)
            there = [code for code in set(codes[at:end].tolist()) if found.numbers[code] >= 0]
            doubt = len({int(found.numbers[code]) for code in there}) < len(there)
            findings += map(_doubted, said) if doubt else said
        at = end
    return images, findings


def _in_words(  # noqa: PLR0913  # a row, and what was looked up for it
    row: int,
    image_ids: Sequence[str],
    codes: Sequence[int],
    names: Sequence[object],
    found: Found,
    pictures: Pictures,
) -> Iterator[Finding]:
    """Say what is wrong with the pictures of a row, each mistake once, what is lost first."""
    counts: dict[str, int] = {}
    firsts: dict[str, int] = {}
    for code in codes:
        mistake = found.mistakes[code]
        counts[mistake] = counts.get(mistake, 0) + 1
        firsts.setdefault(mistake, code)
    for mistake in sorted(counts):
        code = firsts[mistake]
        name = str(names[code])
        which = f"{counts[mistake]:,} of its {len(image_ids):,} pictures"
        if mistake:
            right = pictures.name(int(found.numbers[code]))
            detail = f"{which}: {name!r} is not there and {right!r} is: {MISTAKES[mistake]}"
            yield Finding(row, "annotations", "unknown-image", detail, mistake)
            continue
        detail = f"{which} cannot be found, the first {name!r}"
        if code in found.several:
            detail += f", which may be {' or '.join(map(repr, found.several[code]))}"
        yield Finding(row, "annotations", "unknown-image", detail)


def _doubted(finding: Finding) -> Finding:
    """Take it that an id is not mended, since two ids of its row would stand for one picture."""
    if not finding.mistake:
        return finding
    detail = f"{finding.detail}, but its row would have one picture by two ids"
    return finding._replace(detail=detail, mistake="")


def _contexts(
    window: Window, own: np.ndarray, instructions: Instructions, *, used: bool
) -> tuple[list[list[int]], list[int], list[Finding]]:
    """Look up the examples of every row; count which stand twice, and say which cannot be."""
    names, codes = each_once([record.rel_ins_ids for record in window.records])
    found = instructions.find(names)[codes]
    lengths = [len(record.rel_ins_ids) for record in window.records]
    if used:
        found, lengths, trained = _trained_instead(found, lengths, own, instructions)
    owners = np.repeat(np.arange(len(own)), lengths)
    bad = faulty(own, owners, found)
    left_out = bad | repeated(owners, found)
    repeats = np.bincount(owners[left_out & ~bad], minlength=len(own)).tolist()
    odd = set(owners[left_out].tolist())
    contexts: list[list[int]] = []
    findings: list[Finding] = []
    at = 0
    for row, length in enumerate(lengths):
        numbers = found[at : at + length]
        if row in odd:
            places = np.flatnonzero(bad[at : at + length]).tolist()
            if places:
                number = int(numbers[places[0]])
                if not (used and trained[row]):
                    first = window.records[row].rel_ins_ids[places[0]]
                else:
                    there = number >= 0
                    first = instructions.name(number) if there else "one of those trained with"
                detail = faults_in_words(length, len(places), first)
                findings.append(Finding(row, "annotations", "unknown-context", detail, DANGLING))
            numbers = numbers[~left_out[at : at + length]]
        contexts.append(numbers.tolist())
        at += length
    return contexts, repeats, findings


def _trained_instead(
    found: np.ndarray, lengths: Sequence[int], own: np.ndarray, instructions: Instructions
) -> tuple[np.ndarray, list[int], list[bool]]:
    """Put the examples that rows were trained with in place of all that they are related to.

    Returns:
        Numbers of the examples of all rows; how many each has; whether it was trained with them.
    """
    numbers: list[np.ndarray] = [np.zeros(0, np.int32)]
    trained: list[bool] = []
    at = 0
    for row, length in enumerate(lengths):
        these = instructions.trained_with(int(own[row]))
        trained.append(these is not None)
        numbers.append(found[at : at + length] if these is None else these)
        at += length
    return np.concatenate(numbers), [len(each) for each in numbers[1:]], trained
