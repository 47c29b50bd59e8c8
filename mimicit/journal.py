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

from mimicit.errors import MimicitError
from mimicit.journal_file import explained, open_file
from mimicit.schema import Reply, Request

GROUP_SECONDS = 0.005
"""How long a reply waits at most for others to be committed with it."""

LEASE_SECONDS = 60.0
"""How long a claim holds after its owner was last heard of."""

GRACE_SECONDS = 5.0
"""How long closing goes on to commit when it is interrupted."""

Failure = tuple[bytes, str, str, str, float]
_Item = tuple[tuple[Request, Reply] | Failure, "Future[None]"]


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
        self._pid = os.getpid()
        self._owner = f"{_machine()}:{self._pid}:{os.urandom(4).hex()}"
        self._writer: _Writer | None = None
        self._writer_lock = threading.Lock()  # another one, since a claim may wait for long

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
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
        if row is None:
            return None
        text, finish_reason, model = map(plain_text, row[:3])
        return Reply(key, text, finish_reason, model, *row[3:])

    def __contains__(self, key: str) -> bool:
        with self._lock, explained(self.path):
            found = self._database.execute(
                "SELECT 1 FROM replies WHERE key = ?", (bytes.fromhex(key),)
            ).fetchone()
        return found is not None

    # ------------------------------------------------------------ writing

    def put(self, request: Request, reply: Reply) -> "Future[None]":
        """Keep a reply. It counts once the future is done: it is on the disk then."""
        with self._writer_lock:
            return self._writing().add((request, reply))

    def fail(self, request: Request, reason: str, detail: str) -> None:
        """Log that a request got no reply. A failure is never served as an answer."""
        key = bytes.fromhex(request.key)
        with self._writer_lock:
            self._writing().add((key, request.teacher, reason, detail[:2000], time.time()))

    def _writing(self) -> "_Writer":
        if os.getpid() != self._pid:  # its thread did not come along
            raise MimicitError(f"the journal {str(self.path)!r} must be opened anew after a fork")
        self._writer = self._writer or _Writer(self.path, self._owner)
        return self._writer

    # ------------------------------------------------------------ claiming

    def claim(self, keys: Sequence[str]) -> set[str]:
        """Claim requests before they are sent.

        Returns:
            Keys that are this build's to ask. The others have a reply by now, or are being asked
            by another build.
        """
        marks = [bytes.fromhex(key) for key in keys]
        with self._writer_lock:
            self._writing()  # it renews the claims
        with self._lock, explained(self.path), transaction(self._database):
            now = time.time()  # only now, since another build may have written for long
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
            if owner != self._owner and not alive(owner):
                self._database.execute("DELETE FROM claims WHERE owner = ?", (owner,))

    def close(self) -> None:
        """Commit what is on its way, give all claims back, and close the file."""
        if os.getpid() != self._pid:  # after a fork: all of it is the parent's
            return
        with self._writer_lock:
            writer, self._writer = self._writer, None
        try:
            if writer:
                writer.close()
        finally:
            with self._lock:  # not while another thread is using it
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
        self._identity = _identity(path)
        self._error: MimicitError | None = None
        self._ended = threading.Event()
        threading.Thread(target=self._run, name="journal", daemon=True).start()

    def add(self, content: "tuple[Request, Reply] | Failure") -> "Future[None]":
        if self._error:
            raise self._error
        done: Future[None] = Future()
        done.set_running_or_notify_cancel()  # it cannot be cancelled
        self._items.put((content, done))
        return done

    def close(self) -> None:
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

    def _write(self, content: "tuple[Request, Reply] | Failure") -> None:
        if len(content) != 2:
            key, *texts, at = content
            row = (key, *map(stored_text, texts), at)
            self._database.execute("INSERT INTO failures VALUES (?, ?, ?, ?, ?)", row)
            self._database.execute(
                "DELETE FROM claims WHERE key = ? AND owner = ?", (key, self._owner)
            )
            return
        request, reply = content
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


def _machine() -> str:
    """Name what process ids belong to: this start of this machine, and this container."""
    name = socket.gethostname()
    with contextlib.suppress(OSError):  # Linux has both
        name += f"/{Path('/proc/sys/kernel/random/boot_id').read_text(encoding='ascii').strip()}"
        name += f"/{Path('/proc/self/ns/pid').readlink()}"
    return name


def alive(owner: str) -> bool:
    """Tell whether a claim's owner may still run; one of another machine always may."""
    machine, pid, _ = owner.rsplit(":", 2)
    if machine != _machine() or os.name == "nt":
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (OSError, ValueError, OverflowError):
        return True
    return True
