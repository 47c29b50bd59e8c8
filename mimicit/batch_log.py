"""Which requests are in which batch: the part of the journal that outlives the wait for them.

A batch is written down before it is submitted, so that none is ever forgotten that may be charged
for; and the endpoint is told our name for it, so that one is found again whose submission was cut
off before the endpoint's answer came. Every function is called within a transaction.
"""

import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mimicit import ledger
from mimicit.journal_writer import add_reply, plain_text, stored_text
from mimicit.ledger import Charge
from mimicit.schema import Reply, Request


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch that has been, or is just being, submitted.

    Attributes:
        id: Our name for it.
        remote: The endpoint's, or "" where it is not known.
        owner: Who submitted it, as for claims.
        endpoint: URL of where it is.
        teacher: Who is asked.
        account: Who pays.
        at: When it was written down, in seconds since 1970.
    """

    id: str
    remote: str
    owner: str
    endpoint: str
    teacher: str
    account: str
    at: float


def begin(
    database: sqlite3.Connection,
    batch: Batch,
    requests: Mapping[str, Request],
    costs: Mapping[str, int],
) -> None:
    """Write a batch down, its requests by key: they are the batch's now, and no claims any more."""
    rows = [
        (bytes.fromhex(key), batch.id, request.replicate, costs.get(key, 0))
        for key, request in requests.items()
    ]
    database.execute(
        "INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            batch.id,
            batch.remote,
            batch.owner,
            batch.endpoint,
            stored_text(batch.teacher),
            batch.account,
            sum(row[3] for row in rows),
            batch.at,
        ),
    )
    database.executemany("INSERT INTO batched VALUES (?, ?, ?, ?)", rows)
    database.executemany("DELETE FROM claims WHERE key = ?", [row[:1] for row in rows])


def submitted(database: sqlite3.Connection, batch: str, remote: str) -> None:
    """Write down what the endpoint calls a batch."""
    database.execute("UPDATE batches SET remote = ? WHERE id = ?", (remote, batch))


def listed(database: sqlite3.Connection, teacher: str) -> list[Batch]:
    """List the batches of a teacher that are not over, oldest first."""
    found = database.execute(
        "SELECT id, remote, owner, endpoint, teacher, account, at FROM batches "
        "WHERE teacher = ? ORDER BY at, id",
        (stored_text(teacher),),
    )
    return [
        Batch(name, remote, owner, endpoint, plain_text(whose), account, at)
        for name, remote, owner, endpoint, whose, account, at in found
    ]


def keep(database: sqlite3.Connection, batch: Batch, reply: Reply, spent: int | None) -> int | None:
    """Keep a reply that a batch brought, and charge for it.

    Args:
        database: The journal's.
        batch: The batch.
        reply: What came.
        spent: Billionths of a dollar; None to take what was set aside.

    Returns:
        What was charged; None if the request is not the batch's any more, since another build has
        kept what came of it.
    """
    key = bytes.fromhex(reply.key)
    found = _take(database, batch, key)
    if found is None:
        return None
    replicate, held = found
    row: Sequence[object] = (
        key,
        stored_text(batch.teacher),
        replicate,
        stored_text(reply.text),
        stored_text(reply.finish_reason),
        stored_text(reply.model),
        reply.input_tokens,
        reply.output_tokens,
        time.time(),
    )
    add_reply(database, row)
    charge = Charge(batch.account, held if spent is None else spent)
    if charge.spent:
        ledger.add(database, charge, reply.input_tokens, reply.output_tokens)
    return charge.spent


def fail(
    database: sqlite3.Connection, batch: Batch, key: str, reason: str, detail: str
) -> int | None:
    """Log that a batch brought no reply to a request, and put that back.

    Returns:
        What was charged, which is nothing; None if the request is not the batch's any more.
    """
    mark = bytes.fromhex(key)
    if _take(database, batch, mark) is None:
        return None
    texts = map(stored_text, (batch.teacher, reason, detail[:2000]))
    database.execute("INSERT INTO failures VALUES (?, ?, ?, ?, ?)", (mark, *texts, time.time()))
    return 0


def _take(database: sqlite3.Connection, batch: Batch, key: bytes) -> tuple[int, int] | None:
    """Take a request out of its batch; give its replicate and what was set aside for it."""
    found = database.execute(
        "SELECT replicate, held FROM batched WHERE key = ? AND batch = ?", (key, batch.id)
    ).fetchone()
    if found is None:
        return None
    database.execute("DELETE FROM batched WHERE key = ?", (key,))
    database.execute("UPDATE batches SET held = held - ? WHERE id = ?", (found[1], batch.id))
    return found[0], found[1]


def holding(database: sqlite3.Connection, key: str) -> str | None:
    """Name the batch that a request is in, if it is in one."""
    mark = bytes.fromhex(key)
    found = database.execute("SELECT batch FROM batched WHERE key = ?", (mark,)).fetchone()
    return found[0] if found else None


def end(database: sqlite3.Connection, batch: str) -> list[str]:
    """Strike a batch off; return the keys of its requests that got no reply: they are put back."""
    left = database.execute("SELECT key FROM batched WHERE batch = ?", (batch,)).fetchall()
    database.execute("DELETE FROM batched WHERE batch = ?", (batch,))
    database.execute("DELETE FROM batches WHERE id = ?", (batch,))
    return [key.hex() for (key,) in left]
