"""The thread that commits replies: whatever comes within a moment, in one transaction.

What a reply cost is kept in the same transaction (`mimicit.ledger`).
"""

import contextlib
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from mimicit import ledger
from mimicit.errors import MimicitError
from mimicit.journal_file import explained, open_file
from mimicit.ledger import Charge
from mimicit.schema import Reply, Request

GROUP_SECONDS = 0.005
"""How long a reply waits at most for others to be committed with it."""

LEASE_SECONDS = 60.0
"""How long a claim holds after its owner was last heard of."""

GRACE_SECONDS = 5.0
"""How long closing goes on to commit when it is interrupted."""


@dataclass(frozen=True, slots=True)
class Bought:
    """A reply to keep, and what it cost."""

    request: Request
    reply: Reply
    charge: Charge | None


@dataclass(frozen=True, slots=True)
class Failed:
    """A request that got no reply, and what it may have cost all the same."""

    key: str
    teacher: str
    reason: str
    detail: str
    charge: Charge | None


Change = Callable[[sqlite3.Connection], None]
"""Changes the journal, within a transaction."""

Content = Bought | Failed | Charge | Change
_Item = tuple[Content, "Future[None]"]


class Writer:
    """The one thread that commits: whatever comes within a moment, in one transaction."""

    def __init__(self, path: Path, owner: str) -> None:
        self._path = path
        self._owner = owner
        self._items: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._database = open_file(path, create=True, synchronous="FULL")
        self._identity = _identity(path)
        self._error: MimicitError | None = None
        self._ended = threading.Event()
        threading.Thread(target=self._run, name="journal", daemon=True).start()

    def add(self, content: Content) -> "Future[None]":
        """Have something committed; the future is done once it is on the disk."""
        if self._error:
            raise self._error
        done: Future[None] = Future()
        done.set_running_or_notify_cancel()  # it cannot be cancelled
        self._items.put((content, done))
        return done

    def close(self) -> None:
        """Commit what is on its way, and end."""
        self._items.put(None)
        try:
            self._ended.wait()  # a join that is interrupted takes a thread for ended that is not
        except KeyboardInterrupt:  # what is on its way was paid for
            self._ended.wait(GRACE_SECONDS)
            raise
        finally:
            if self._ended.is_set():
                self._database.close()
        if self._error:
            raise self._error

    def _run(self) -> None:
        renewed = time.monotonic()
        open_ = True
        while open_:
            batch, open_ = self._gather()
            try:
                with explained(self._path), transaction(self._database):
                    self._refuse_removed()
                    for content, _ in batch:
                        self._write(content)
                    if time.monotonic() - renewed > LEASE_SECONDS / 4:
                        renewed = time.monotonic()
                        self._renew()
            except Exception as error:  # noqa: BLE001  # whoever waits must hear of it
                if not isinstance(error, MimicitError):
                    error = MimicitError(f"the journal {str(self._path)!r}: {error!r}")
                self._error = error
                for _, done in batch:
                    done.set_exception(error)
            else:
                for _, done in batch:
                    done.set_result(None)
        self._ended.set()

    def _gather(self) -> tuple[list["_Item"], bool]:
        """Wait for something to commit, and a moment for what comes right after it."""
        try:
            first = self._items.get(timeout=LEASE_SECONDS / 4)
        except queue.Empty:
            return [], True
        batch: list[_Item] = []
        until = time.monotonic() + GROUP_SECONDS
        item = first
        while item is not None:
            batch.append(item)
            try:
                item = self._items.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                return batch, True
        return batch, False

    def _refuse_removed(self) -> None:
        """Refuse to write into a file that has no name any more: it would vanish with us."""
        if _identity(self._path) != self._identity:
            raise MimicitError(
                f"the journal {str(self._path)!r} was removed or replaced while it was in use, "
                "so nothing more is asked"
            )

    def _write(self, content: Content) -> None:
        if isinstance(content, Charge):
            ledger.add(self._database, content)
        elif isinstance(content, Failed):
            self._write_failure(content)
        elif isinstance(content, Bought):
            self._write_reply(content)
        else:
            content(self._database)

    def _write_failure(self, failed: Failed) -> None:
        key = bytes.fromhex(failed.key)
        texts = map(stored_text, (failed.teacher, failed.reason, failed.detail))
        self._database.execute(
            "INSERT INTO failures VALUES (?, ?, ?, ?, ?)", (key, *texts, time.time())
        )
        self._database.execute("DELETE FROM claims WHERE key = ? AND owner = ?", (key, self._owner))
        if failed.charge:
            ledger.add(self._database, failed.charge)

    def _write_reply(self, bought: Bought) -> None:
        request, reply = bought.request, bought.reply
        key = bytes.fromhex(reply.key)
        add_reply(
            self._database,
            (
                key,
                stored_text(request.teacher),
                request.replicate,
                stored_text(reply.text),
                stored_text(reply.finish_reason),
                stored_text(reply.model),
                reply.input_tokens,
                reply.output_tokens,
                time.time(),
            ),
        )
        self._database.execute("DELETE FROM claims WHERE key = ?", (key,))
        if bought.charge:
            tokens = reply.input_tokens, reply.output_tokens
            ledger.add(self._database, bought.charge, *tokens)

    def _renew(self) -> None:
        self._database.execute(
            "UPDATE claims SET until = ? WHERE owner = ?",
            (time.time() + LEASE_SECONDS, self._owner),
        )


def add_reply(database: sqlite3.Connection, row: Sequence[object]) -> bool:
    """Insert a row of the replies; False if its key is there: the first reply stays."""
    marks = ", ".join("?" * 9)
    added = f"INSERT INTO replies VALUES ({marks}) ON CONFLICT (key) DO NOTHING"  # noqa: S608
    return database.execute(added, row).rowcount == 1


def stored_text(text: str) -> str | bytes:
    """Spell a text as SQLite takes it: halves of surrogate pairs need bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text


def plain_text(stored: str | bytes) -> str:
    """Undo `stored_text`."""
    return stored if isinstance(stored, str) else stored.decode("utf-8", "surrogatepass")


@contextlib.contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """Do all of it or nothing, waiting for other writers first."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:  # some failures have rolled it back already
            database.execute("ROLLBACK")
        raise


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
