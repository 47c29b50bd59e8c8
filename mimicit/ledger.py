"""The ledger: what each account has spent, and what is set aside for requests under way.

It lies in the journal, in the same transactions: a reply and what it cost are kept together or
not at all, so the sum is right however often a build is stopped, killed and run again. Amounts are
whole billionths of a US dollar, so that sums are exact.

A request's estimate is set aside when a build claims it. What becomes of that depends on how it
ends: a reply turns it into what was really charged; a build that died in between, or an attempt
that ended without a word, turns it into money in doubt, which counts as spent, since it may be.
"""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

NANO = 1_000_000_000
"""Billionths in a dollar."""

TABLES = """
CREATE TABLE spending (           -- amounts in billionths of a US dollar
  account TEXT PRIMARY KEY,
  spent INTEGER NOT NULL,         -- charged for replies
  doubtful INTEGER NOT NULL,      -- for attempts that may have been charged for
  replies INTEGER NOT NULL,
  input_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL
) WITHOUT ROWID;
ALTER TABLE claims ADD COLUMN account TEXT NOT NULL DEFAULT '';
ALTER TABLE claims ADD COLUMN held INTEGER NOT NULL DEFAULT 0; -- set aside for it
CREATE TABLE batches (
  id TEXT PRIMARY KEY,            -- ours; the endpoint is told it as metadata
  remote TEXT NOT NULL,           -- the endpoint's, or '' where it has not said it yet
  owner TEXT NOT NULL,            -- who is submitting it, as for claims
  endpoint TEXT NOT NULL,         -- URL
  teacher TEXT NOT NULL,
  account TEXT NOT NULL,
  held INTEGER NOT NULL,          -- set aside for its requests that have no reply yet
  at REAL NOT NULL                -- seconds since 1970
) WITHOUT ROWID;
CREATE TABLE batched (            -- requests that a batch is asking
  key BLOB PRIMARY KEY,
  batch TEXT NOT NULL,
  replicate INTEGER NOT NULL,
  held INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX batched_batch ON batched (batch);
"""
"""Tables of the ledger, and of batches, whose requests are set aside for by the day."""


@dataclass(frozen=True, slots=True)
class Charge:
    """What asking once came to, in billionths of a dollar.

    Attributes:
        account: Who pays.
        spent: Charged for the reply.
        doubtful: For attempts before it that may have been charged for.
    """

    account: str
    spent: int = 0
    doubtful: int = 0


@dataclass(slots=True)
class Hold:
    """What is to be set aside for requests when they are claimed.

    Attributes:
        account: Who pays.
        costs: Estimate for each request, by key, in billionths of a dollar.
        limit: What the account may come to, all in all; None for any sum.
        short: Set to the key of the first request that did not fit into the limit.
    """

    account: str
    costs: Mapping[str, int]
    limit: int | None = None
    short: str = ""


@dataclass(frozen=True, slots=True)
class Spending:
    """Where an account stands, in billionths of a dollar.

    Attributes:
        spent: Charged for replies.
        doubtful: For attempts that may have been charged for.
        held: Set aside for requests under way, of all builds.
    """

    spent: int = 0
    doubtful: int = 0
    held: int = 0

    @property
    def gone(self) -> int:
        """What must be taken for spent."""
        return self.spent + self.doubtful

    @property
    def total(self) -> int:
        """What it may come to when all is done that is under way."""
        return self.gone + self.held


@dataclass(frozen=True, slots=True)
class Bill:
    """What one run has cost, in billionths of a dollar.

    Attributes:
        before: Where the account stood when it began.
        bought: Charged for its replies.
        doubtful: For its attempts that may have been charged for.
    """

    before: Spending
    bought: int
    doubtful: int

    @property
    def gone(self) -> int:
        """What must be taken for spent on the account by now."""
        return self.before.gone + self.bought + self.doubtful


def read(database: sqlite3.Connection, account: str) -> Spending:
    """Say where an account stands."""
    row = database.execute(
        "SELECT spent, doubtful FROM spending WHERE account = ?", (account,)
    ).fetchone()
    (held,) = database.execute(
        "SELECT (SELECT ifnull(sum(held), 0) FROM claims WHERE account = ?) + "
        "(SELECT ifnull(sum(held), 0) FROM batches WHERE account = ?)",
        (account, account),
    ).fetchone()
    spent, doubtful = row or (0, 0)
    return Spending(spent, doubtful, held)


def add(
    database: sqlite3.Connection, charge: Charge, input_tokens: int = 0, output_tokens: int = 0
) -> None:
    """Add a charge to its account; with tokens where there is a reply.

    Called within a transaction.
    """
    database.execute(
        "INSERT INTO spending VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (account) DO UPDATE SET "
        "spent = spent + excluded.spent, doubtful = doubtful + excluded.doubtful, "
        "replies = replies + excluded.replies, "
        "input_tokens = input_tokens + excluded.input_tokens, "
        "output_tokens = output_tokens + excluded.output_tokens",
        (
            charge.account,
            charge.spent,
            charge.doubtful,
            int(input_tokens + output_tokens > 0 or charge.spent > 0),
            input_tokens,
            output_tokens,
        ),
    )


def doubt(database: sqlite3.Connection, owner: str | None, now: float) -> None:
    """Take for spent what is held by claims of an owner that died, or that ran out.

    Called within a transaction.

    Args:
        database: The journal's.
        owner: Whose claims; None for all that ran out before `now`.
        now: Seconds since 1970.
    """
    chosen, values = ("owner = ?", [owner]) if owner is not None else ("until < ?", [now])
    held = database.execute(
        f"SELECT account, sum(held) FROM claims WHERE held > 0 AND {chosen} "  # noqa: S608  # ours
        "GROUP BY account",
        values,
    ).fetchall()
    for account, amount in held:
        add(database, Charge(account, doubtful=amount))
    if held:
        database.execute(
            f"UPDATE claims SET held = 0 WHERE held > 0 AND {chosen}",  # noqa: S608  # ours
            values,
        )


def dollars(nanos: int) -> str:
    """Spell an amount given in billionths of a dollar."""
    usd = nanos / NANO
    return f"${usd:,.2f}" if abs(usd) >= 1 or not nanos else f"${usd:.4f}"
