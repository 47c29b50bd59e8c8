"""The journal: every reply that was ever paid for, kept under the key of what was asked.

A reply is committed, raw, before anything is done with it, and counts only then. Running again
therefore goes on where the last run ended, however it ended, and a request that was asked once is
never asked again: not by another build, not under another URL, not after the dataset was deleted.

Builds share a journal. A build claims a request before it sends it, so that two builds at once do
not pay for the same reply; the claims of a process that died are void.
"""

import contextlib
import os
import queue
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType

from mimicit.errors import MimicitError
from mimicit.journal_file import explained, open_file
from mimicit.schema import Reply, Request

GROUP_SECONDS = 0.005
"""How long a reply waits at most for others to be committed with it."""

LEASE_SECONDS = 60.0
"""How long a claim holds after its owner was last heard of."""

Failure = tuple[bytes, str, str, str, float]


def default_path() -> Path:
    """Say where the journal is: `$MIMICIT_JOURNAL`, else `.mimicit/journal.db`."""
    named = os.environ.get("MIMICIT_JOURNAL")
    return Path(named).expanduser() if named else Path(".mimicit") / "journal.db"


class Journal:
    """Replies by key. Safe to use from several threads, and by several processes at once.

    Usable as a context manager, which closes it.

    Raises:
        UsageError: the file is not a journal, or there is none and `create` is false.
        MimicitError: it is damaged or cannot be written; from any method as well.
    """

    def __init__(self, path: Path, *, create: bool = True) -> None:
        self.path = path
        self._database = open_file(path, create=create, synchronous="NORMAL")
        self._lock = threading.Lock()
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{os.urandom(4).hex()}"
        self._claims = 0
        self._writer: _Writer | None = None

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # ------------------------------------------------------------ reading

    def get(self, key: str) -> Reply | None:
        """Give the reply to a request, or None if there is none yet."""
        with self._lock, explained(self.path):
            row = self._database.execute(
                "SELECT text, finish_reason, model, input_tokens, output_tokens "
                "FROM replies WHERE key = ?",
                (bytes.fromhex(key),),
            ).fetchone()
        return Reply(key, plain_text(row[0]), *row[1:]) if row else None

    def __contains__(self, key: str) -> bool:
        with self._lock, explained(self.path):
            found = self._database.execute(
                "SELECT 1 FROM replies WHERE key = ?", (bytes.fromhex(key),)
            ).fetchone()
        return found is not None

    # ------------------------------------------------------------ writing

    def put(self, request: Request, reply: Reply) -> "Future[None]":
        """Keep a reply. It counts once the future is done: it is on the disk then."""
        return self._writing().add((request, reply))

    def fail(self, request: Request, reason: str, detail: str) -> None:
        """Log that a request got no reply. A failure is never served as an answer."""
        key = bytes.fromhex(request.key)
        self._writing().add((key, request.teacher, reason, detail[:2000], time.time()))

    def _writing(self) -> "_Writer":
        with self._lock:
            self._writer = self._writer or _Writer(self.path, self._owner)
            return self._writer

    # ------------------------------------------------------------ claiming

    def claim(self, keys: Sequence[str]) -> set[str]:
        """Claim requests before they are sent.

        Returns:
            Keys that are this build's to ask. The others have a reply by now, or are being asked
            by another build.
        """
        now = time.time()
        marks = [bytes.fromhex(key) for key in keys]
        self._writing()  # it renews the claims
        with self._lock, explained(self.path), transaction(self._database):
            self._drop_dead()
            for mark in marks:
                self._database.execute(
                    "INSERT INTO claims SELECT ?, ?, ? "
                    "WHERE NOT EXISTS (SELECT 1 FROM replies WHERE key = ?) "
                    "ON CONFLICT (key) DO UPDATE "
                    "SET owner = excluded.owner, until = excluded.until WHERE claims.until < ?",
                    (mark, self._owner, now + LEASE_SECONDS, mark, now),
                )
            return {
                key
                for key, mark in zip(keys, marks, strict=True)
                if self._database.execute(
                    "SELECT 1 FROM claims WHERE key = ? AND owner = ?", (mark, self._owner)
                ).fetchone()
            }

    def release(self, keys: Sequence[str]) -> None:
        """Give claims back, for requests that were not answered."""
        with self._lock, explained(self.path), transaction(self._database):
            self._database.executemany(
                "DELETE FROM claims WHERE key = ? AND owner = ?",
                [(bytes.fromhex(key), self._owner) for key in keys],
            )

    def _drop_dead(self) -> None:
        """Void the claims of processes of this machine that are gone."""
        for (owner,) in self._database.execute("SELECT DISTINCT owner FROM claims").fetchall():
            if owner != self._owner and not _alive(owner):
                self._database.execute("DELETE FROM claims WHERE owner = ?", (owner,))

    def close(self) -> None:
        """Commit what is on its way, give all claims back, and close the file."""
        with self._lock:
            writer, self._writer = self._writer, None
        try:
            if writer:
                writer.close()
        finally:
            with contextlib.suppress(sqlite3.Error):
                self._database.execute("DELETE FROM claims WHERE owner = ?", (self._owner,))
            self._database.close()


class _Writer:
    """The one thread that commits: whatever comes within a moment, in one transaction."""

    def __init__(self, path: Path, owner: str) -> None:
        self._path = path
        self._owner = owner
        self._items: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._database = open_file(path, create=True, synchronous="FULL")
        self._error: MimicitError | None = None
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def add(self, content: "tuple[Request, Reply] | Failure") -> "Future[None]":
        if self._error:
            raise self._error
        item = _Item(content)
        self._items.put(item)
        return item.done

    def close(self) -> None:
        self._items.put(None)
        self._thread.join()
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
                    for item in batch:
                        item.write(self._database)
                    if time.monotonic() - renewed > LEASE_SECONDS / 4:
                        renewed = time.monotonic()
                        self._renew()
            except MimicitError as error:
                self._error = error
                for item in batch:
                    item.done.set_exception(error)
            else:
                for item in batch:
                    item.done.set_result(None)

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

    def _renew(self) -> None:
        self._database.execute(
            "UPDATE claims SET until = ? WHERE owner = ?",
            (time.time() + LEASE_SECONDS, self._owner),
        )


class _Item:
    """Something to commit, and the promise that it will be."""

    __slots__ = ("content", "done")

    def __init__(self, content: "tuple[Request, Reply] | Failure") -> None:
        self.content = content
        self.done: Future[None] = Future()

    def write(self, database: sqlite3.Connection) -> None:
        if len(self.content) != 2:
            database.execute("INSERT INTO failures VALUES (?, ?, ?, ?, ?)", self.content)
            key = self.content[0]
        else:
            request, reply = self.content
            key = bytes.fromhex(reply.key)
            add_reply(
                database,
                (
                    key,
                    request.teacher,
                    request.replicate,
                    stored_text(reply.text),
                    reply.finish_reason,
                    reply.model,
                    reply.input_tokens,
                    reply.output_tokens,
                    time.time(),
                ),
            )
        database.execute("DELETE FROM claims WHERE key = ?", (key,))


def add_reply(database: sqlite3.Connection, row: Sequence[object]) -> bool:
    """Insert a row of the replies; False if its key is there: the first reply stays."""
    marks = ", ".join("?" * 9)
    cursor = database.execute(f"INSERT OR IGNORE INTO replies VALUES ({marks})", row)  # noqa: S608
    return cursor.rowcount == 1


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


def _alive(owner: str) -> bool:
    """Tell whether a claim's owner may still run; one of another machine always may."""
    host, pid, _ = owner.rsplit(":", 2)
    if host != socket.gethostname() or os.name == "nt":
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (OSError, ValueError, OverflowError):
        return True
    return True
