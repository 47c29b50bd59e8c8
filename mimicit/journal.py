"""The journal: every reply that was ever paid for, kept under the key of what was asked.

A reply is committed, raw, before anything is done with it, and counts only then. Running again
therefore goes on where the last run ended, however it ended, and a request that was asked once is
never asked again: not by another build, not under another URL, not after the dataset was deleted.

Builds share a journal. A build claims a request before it sends it, so that two builds at once do
not pay for the same reply; the claims of a process that died are void.
"""

import contextlib
import os
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

from mimicit import ledger
from mimicit.errors import MimicitError
from mimicit.journal_file import explained, open_file
from mimicit.journal_writer import LEASE_SECONDS, Bought, Failed, Writer, plain_text, transaction
from mimicit.ledger import Charge, Hold, Spending
from mimicit.schema import Reply, Request

T = TypeVar("T")


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
        self.owner = f"{_machine()}:{self._pid}:{os.urandom(4).hex()}"
        self._writer: Writer | None = None
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

    def put(self, request: Request, reply: Reply, charge: Charge | None = None) -> "Future[None]":
        """Keep a reply, and what it cost.

        It counts once the future is done: it is on the disk then.
        """
        with self._writer_lock:
            return self._writing().add(Bought(request, reply, charge))

    def fail(
        self, request: Request, reason: str, detail: str, charge: Charge | None = None
    ) -> None:
        """Log that a request got no reply. A failure is never served as an answer."""
        failed = Failed(request.key, request.teacher, reason, detail[:2000], charge)
        with self._writer_lock:
            self._writing().add(failed)

    def commit(self, change: Callable[[sqlite3.Connection], T]) -> "Future[T]":
        """Change the journal; the future gives the result, once that is on the disk."""
        result: Future[T] = Future()
        found: list[T] = []
        with self._writer_lock:
            done = self._writing().add(lambda database: found.append(change(database)))

        def tell(_: object) -> None:
            error = done.exception()
            if error:
                result.set_exception(error)
            else:
                result.set_result(found[-1])

        done.add_done_callback(tell)
        return result

    def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Look something up."""
        with self._lock, explained(self.path):
            return query(self._database)

    def charge(self, charge: Charge) -> None:
        """Keep what was charged, or may have been, for something that has no reply."""
        with self._writer_lock:
            self._writing().add(charge)

    def _writing(self) -> "Writer":
        if os.getpid() != self._pid:  # its thread did not come along
            raise MimicitError(f"the journal {str(self.path)!r} must be opened anew after a fork")
        self._writer = self._writer or Writer(self.path, self.owner)
        return self._writer

    # ------------------------------------------------------------ claiming

    def claim(self, keys: Sequence[str], hold: Hold | None = None) -> set[str]:
        """Claim requests before they are sent, and set aside what they may cost.

        Args:
            keys: The requests, in order.
            hold: What to set aside. Once one does not fit into its limit, none of those after it
                is claimed either.

        Returns:
            Keys that are this build's to ask. The others have a reply by now, or are being asked
            by another build, or do not fit.
        """
        with self._writer_lock:
            self._writing()  # it renews the claims
        with self._lock, explained(self.path), transaction(self._database):
            now = time.time()  # only now, since another build may have written for long
            self._drop_dead()
            ledger.doubt(self._database, None, now)
            left = None
            if hold and hold.limit is not None:
                left = hold.limit - ledger.read(self._database, hold.account).total
            ours = set()
            for key in keys:
                cost = hold.costs[key] if hold else 0
                if left is not None and cost > left and self._claimable(key, now):
                    hold.short = key  # type: ignore[union-attr]  # left comes of it
                    break
                if self._claim_one(key, now, hold.account if hold else "", cost):
                    ours.add(key)
                    left = None if left is None else left - cost
            return ours

    def _claimable(self, key: str, now: float) -> bool:
        """Tell whether a request has no reply, and nobody is asking it."""
        mark = bytes.fromhex(key)
        found = "SELECT 1 FROM replies WHERE key = ? UNION SELECT 1 FROM batched WHERE key = ? "
        found += "UNION SELECT 1 FROM claims WHERE key = ? AND until >= ?"
        return self._database.execute(found, (mark, mark, mark, now)).fetchone() is None

    def _claim_one(self, key: str, now: float, account: str, cost: int) -> bool:
        mark = bytes.fromhex(key)
        claimed = self._database.execute(
            "INSERT INTO claims SELECT ?, ?, ?, ?, ? "
            "WHERE NOT EXISTS (SELECT 1 FROM replies WHERE key = ?) "
            "AND NOT EXISTS (SELECT 1 FROM batched WHERE key = ?) "
            "ON CONFLICT (key) DO UPDATE SET owner = excluded.owner, until = excluded.until, "
            "account = excluded.account, held = excluded.held WHERE claims.until < ?",
            (mark, self.owner, now + LEASE_SECONDS, account, cost, mark, mark, now),
        )
        if claimed.rowcount == 1:
            return True
        mine = "SELECT 1 FROM claims WHERE key = ? AND owner = ?"
        return self._database.execute(mine, (mark, self.owner)).fetchone() is not None

    def hold(self, key: str, account: str, cost: int, limit: int | None) -> bool:
        """Set aside what another attempt at a claimed request may cost; False if it does not fit.

        What was set aside for the attempts before stays so.
        """
        with self._lock, explained(self.path), transaction(self._database):
            total = ledger.read(self._database, account).total
            if limit is not None and total + cost > limit:
                return False
            self._database.execute(
                "UPDATE claims SET held = held + ? WHERE key = ? AND owner = ?",
                (cost, bytes.fromhex(key), self.owner),
            )
        return True

    def spending(self, account: str) -> Spending:
        """Say where an account stands; what dead builds had under way counts as in doubt."""
        with self._lock, explained(self.path), transaction(self._database):
            self._drop_dead()
            ledger.doubt(self._database, None, time.time())
            return ledger.read(self._database, account)

    def release(self, keys: Sequence[str]) -> None:
        """Give claims back, for requests that were not answered."""
        with self._lock, explained(self.path), transaction(self._database):
            self._database.executemany(
                "DELETE FROM claims WHERE key = ? AND owner = ?",
                [(bytes.fromhex(key), self.owner) for key in keys],
            )

    def _drop_dead(self) -> None:
        """Void the claims of processes of this machine that are gone."""
        for (owner,) in self._database.execute("SELECT DISTINCT owner FROM claims").fetchall():
            if owner != self.owner and not alive(owner):
                ledger.doubt(self._database, owner, time.time())
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
                    self._database.execute("DELETE FROM claims WHERE owner = ?", (self.owner,))
                self._database.close()


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
