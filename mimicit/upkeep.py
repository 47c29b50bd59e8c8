"""Looking after a journal: what is in it, copies of it, joining two, dropping what is not wanted.

Everything works while builds use the journal.
"""

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TextIO

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mimicit import ledger
from mimicit.errors import UsageError
from mimicit.journal import alive
from mimicit.journal_file import VERSION, explained, open_file
from mimicit.journal_writer import add_reply, plain_text, stored_text, transaction
from mimicit.ledger import Spending

COLUMNS = "key, teacher, replicate, text, finish_reason, model, input_tokens, output_tokens, at"

CHUNK = 500
"""Replies read at once. Between chunks nothing is locked, however slowly they are taken."""

Whole = Annotated[int, Field(ge=0, lt=2**63)]


class ExportedReply(BaseModel):
    """A line of an exported journal: `mimicit journal export`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str = Field(pattern=r"^[0-9a-f]{64}$")
    teacher: str
    replicate: Whole
    text: str
    finish_reason: str
    model: str
    input_tokens: Whole
    output_tokens: Whole
    at: float = Field(allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class TeacherTotal:
    """What one teacher has replied: how often, and the tokens that were counted for it."""

    teacher: str
    replies: int
    input_tokens: int
    output_tokens: int
    first: float
    last: float


@dataclass(frozen=True, slots=True)
class JournalInfo:
    """What is in a journal.

    Attributes:
        path: Its file.
        version: Version of its tables.
        mode: How SQLite logs its writes: `wal`, or `delete` on a network file system.
        size_bytes: Size on disk, the write-ahead log included.
        teachers: Totals of each teacher.
        failures: How often an attempt failed, by reason.
        claims: Requests that builds are asking at this moment.
        batched: Requests that batches are asking.
        spending: Where each account stands: what each dataset has cost.
    """

    path: Path
    version: int
    mode: str
    size_bytes: int
    teachers: tuple[TeacherTotal, ...]
    failures: dict[str, int]
    claims: int
    batched: int
    spending: dict[str, Spending]


@contextlib.contextmanager
def _opened(path: Path, *, create: bool = False) -> Iterator[sqlite3.Connection]:
    database = open_file(path, create=create)
    try:
        with explained(path):
            yield database
    finally:
        database.close()


def info(path: Path) -> JournalInfo:
    """Count what is in a journal."""
    with _opened(path) as database:
        totals = database.execute(
            "SELECT teacher, count(*), sum(input_tokens), sum(output_tokens), min(at), max(at) "
            "FROM replies GROUP BY teacher ORDER BY teacher"
        ).fetchall()
        failures = database.execute(
            "SELECT reason, count(*) FROM failures GROUP BY reason ORDER BY reason"
        ).fetchall()
        claims = database.execute(
            "SELECT owner, count(*) FROM claims WHERE until > ? GROUP BY owner", (time.time(),)
        ).fetchall()
        (batched,) = database.execute("SELECT count(*) FROM batched").fetchone()
        accounts = database.execute("SELECT account FROM spending ORDER BY account").fetchall()
        spending = {account: ledger.read(database, account) for (account,) in accounts}
        (mode,) = database.execute("PRAGMA journal_mode").fetchone()
    files = [path, path.with_name(path.name + "-wal")]
    return JournalInfo(
        path=path,
        version=VERSION,
        mode=mode,
        size_bytes=sum(file.stat().st_size for file in files if file.exists()),
        teachers=tuple(TeacherTotal(plain_text(row[0]), *row[1:]) for row in totals),
        failures=dict(failures),
        claims=sum(count for owner, count in claims if alive(owner)),
        batched=batched,
        spending=spending,
    )


def export(path: Path, out: TextIO) -> int:
    """Write every reply as a line of JSON (`ExportedReply`), by key; return how many."""
    count = 0
    with _opened(path) as database:
        for row in _replies(database):
            line = dict(zip(COLUMNS.split(", "), row, strict=True))
            line["key"] = row[0].hex()
            for name in ("teacher", "text", "finish_reason", "model"):
                line[name] = plain_text(line[name])
            out.write(json.dumps(line) + "\n")
            count += 1
    return count


def _replies(database: sqlite3.Connection) -> Iterator[tuple[Any, ...]]:
    """Read all replies by key, without keeping a build from writing meanwhile."""
    page = f"SELECT {COLUMNS} FROM replies WHERE key > ? ORDER BY key LIMIT {CHUNK}"  # noqa: S608
    last = b""
    while rows := database.execute(page, (last,)).fetchall():
        yield from rows
        last = rows[-1][0]


def merge(path: Path, others: Sequence[Path]) -> tuple[int, int]:
    """Take the replies of other journals, or of their exports, into this one.

    Returns:
        How many were new, and how many were here already (the one that is here stays).

    Raises:
        UsageError: one of the others is neither; what was taken from those before it stays.
    """
    new = known = 0
    with _opened(path, create=True) as database:
        for other in others:
            if not other.is_file():
                raise UsageError(f"there is no file {str(other)!r} to merge")
            with transaction(database):
                for row in _rows(other):
                    added = add_reply(database, row)
                    new, known = new + added, known + (not added)
    return new, known


def _rows(path: Path) -> Iterator[Sequence[object]]:
    """Read the replies of a journal, or of an export of one."""
    with path.open("rb") as file:
        is_database = file.read(16) == b"SQLite format 3\0"
    if is_database:
        with _opened(path) as database:
            yield from _replies(database)
        return
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            try:
                reply = ExportedReply.model_validate(json.loads(line))
            except (ValidationError, ValueError, RecursionError) as error:
                raise UsageError(
                    f"{str(path)!r}, line {number}: neither a journal nor an export of one: "
                    "expected a line as `mimicit journal export` writes it"
                ) from error
            values = reply.model_dump()
            values["key"] = bytes.fromhex(reply.key)
            yield [stored_text(v) if isinstance(v, str) else v for v in values.values()]


def prune(
    path: Path, *, teacher: str | None = None, before: float | None = None, dry: bool = True
) -> tuple[int, int]:
    """Drop replies of a teacher, or from before a moment (seconds since 1970), or both.

    The log of failures is dropped as well, and the file made as small as it can be. A dropped
    reply has to be paid for again, so nothing is dropped unless `dry` is false.

    Returns:
        How many replies, and how many logged failures, are (or would be) dropped.
    """
    conditions: list[str] = []
    values: list[str | bytes | float] = []
    if teacher is not None:
        conditions.append("teacher = ?")
        values.append(stored_text(teacher))
    if before is not None:
        conditions.append("at < ?")
        values.append(before)
    chosen = " AND ".join(conditions) or "0"
    with _opened(path) as database:
        (replies,) = database.execute(
            f"SELECT count(*) FROM replies WHERE {chosen}",  # noqa: S608  # conditions of ours
            values,
        ).fetchone()
        (failures,) = database.execute("SELECT count(*) FROM failures").fetchone()
        if not dry:
            with transaction(database):
                database.execute(f"DELETE FROM replies WHERE {chosen}", values)  # noqa: S608
                database.execute("DELETE FROM failures")
            database.execute("VACUUM")
    return replies, failures


def backup(path: Path, target: Path) -> int:
    """Copy a journal, whole and consistent, while builds may be using it; return its replies.

    Raises:
        UsageError: the target exists.
    """
    if target.exists():
        raise UsageError(f"{str(target)!r} exists; name a new file for the backup")
    if not target.parent.is_dir():
        raise UsageError(f"there is no directory {str(target.parent)!r} for the backup")
    partial = target.with_name(f".{target.name}.{time.monotonic_ns():x}.partial")
    try:
        with (
            _opened(path) as database,
            explained(target),
            contextlib.closing(sqlite3.connect(partial)) as copy,
        ):
            database.backup(copy)
            for table in ("claims", "batched", "batches"):  # they are this journal's to collect
                copy.execute(f"DELETE FROM {table}")  # noqa: S608  # names of ours
            copy.commit()
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, whatever the file system
            (count,) = copy.execute("SELECT count(*) FROM replies").fetchone()
        partial.rename(target)
    finally:
        partial.unlink(missing_ok=True)
    return int(count)
