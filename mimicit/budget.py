"""What asking costs: estimated before a request is sent, counted when its reply has come.

An account is what a budget is for: by default the dataset, by the way from the journal to its
directory. Every build that makes this dataset is charged to it, whether or not it had a budget, so
that a budget holds however often a build is stopped and run again.
"""

import asyncio
import math
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from mimicit import prices
from mimicit.errors import BudgetExceeded, UsageError
from mimicit.journal import Journal
from mimicit.ledger import NANO, Bill, Charge, Hold, Spending, dollars
from mimicit.prices import DEFAULT_IMAGE_TOKENS, Price
from mimicit.schema import ImagePart, Message, Reply, Request
from mimicit.teachers import Unanswered
from mimicit.tokens import (
    MESSAGE_OVERHEAD,
    PRIMING,
    bounded_text_tokens,
    scaled,
    shared_text_tokens,
)

UNLIMITED_OUTPUT = 4096
"""Tokens that a reply is taken to hold at most where the prompt sets no `max_tokens`."""

REMEMBERED = 10_000
"""Requests whose estimates are remembered: each is asked for when it is claimed, and sent."""

Size = Callable[[ImagePart], tuple[int, int]]
"""Gives width and height of a picture before it is fitted, in pixels."""


def account_of(out: Path, journal: Path) -> str:
    """Name the account of a dataset: the way from the journal's directory to the dataset's."""
    here = journal.absolute().parent
    try:
        return Path(os.path.relpath(out.absolute(), here)).as_posix()
    except ValueError:  # on another drive
        return out.absolute().as_posix()


def find_price(model: str, file: Path | None, budget_usd: float | None) -> Price | None:
    """Find what a model costs; None where that is not known, and there is no budget.

    Args:
        model: Its name.
        file: Prices over those that come with mimicit.
        budget_usd: US dollars that may be spent; None for any sum.

    Raises:
        UsageError: the file is not right, or there is a budget but no price to count with.
    """
    if budget_usd is not None and not 0 <= budget_usd < math.inf:
        raise UsageError(f"a budget is a number of dollars from 0 on, not {budget_usd:g}")
    price = prices.load(file).find(model)
    if price is None and budget_usd is not None:
        raise UsageError(
            f"--budget-usd needs a price, and none is known for {model!r}: state it in a file such "
            f"as\n  date: 2026-01-31\n  models:\n    {model}: {{input: 2.5, output: 10}}\n"
            "(US dollars for a million tokens) and name that with --prices"
        )
    return price


class Budget:
    """Estimates and counts what requests cost, for one account of a journal.

    Safe to use from several threads. A `mimicit.teachers.Purse`.

    Attributes:
        bought: Charged in this run, in billionths of a dollar.
        doubtful: For attempts of this run that may have been charged for.
    """

    def __init__(  # noqa: PLR0913  # an account, and how to count
        self,
        journal: Journal,
        account: str,
        size: Size,
        *,
        price: Price | None,
        limit: float | None = None,
        batch: bool = False,
    ) -> None:
        """Open an account.

        Args:
            journal: Where it is kept.
            account: Its name.
            size: Gives the size of a picture.
            price: What the model costs; None where that is not known, and nothing is counted.
            limit: US dollars that the account may come to, all in all.
            batch: Whether requests are asked by the batch, which is cheaper.
        """
        self.bought = self.doubtful = 0
        self.account = account
        self._journal = journal
        self._size = size
        self._price = price
        self._share = price.batch if price and batch else 1.0
        self.limit = None if limit is None else round(limit * NANO)
        self._rule = price.image_tokens if price else DEFAULT_IMAGE_TOKENS
        self._lost: dict[str, int] = {}
        self._estimates: dict[str, tuple[int, int]] = {}
        self._lock = threading.Lock()
        self.before: Spending = journal.spending(account) if price else Spending()

    @property
    def bill(self) -> Bill | None:
        """What this run has cost so far; None where that is not known."""
        return Bill(self.before, self.bought, self.doubtful) if self._price else None

    # ------------------------------------------------------------- estimates

    def tokens(self, request: Request) -> tuple[int, int]:
        """Estimate the tokens that a request sends, and the most that its reply holds."""
        found = self._estimates.get(request.key)
        if found is None:
            if len(self._estimates) >= REMEMBERED:
                self._estimates.clear()
            found = self._estimates[request.key] = self._count(request)
        return found

    def _count(self, request: Request) -> tuple[int, int]:
        *shared, last = request.messages
        sent = PRIMING + shared_text_tokens(request.reply_schema)
        sent += sum(self._message(message, shared_text_tokens) for message in shared)
        sent += self._message(last, bounded_text_tokens)
        limits = dict(request.parameters)
        limit = limits.get("max_tokens", limits.get("max_completion_tokens"))
        return sent, limit if isinstance(limit, int) else UNLIMITED_OUTPUT

    def _message(self, message: Message, count: Callable[[str], int]) -> int:
        found = MESSAGE_OVERHEAD
        for part in message.parts:
            if isinstance(part, str):
                found += count(part)
            else:
                found += self._rule.tokens(*scaled(*self._size(part), part.max_side))
        return found

    def cost(self, request: Request) -> int:
        """Estimate what one attempt at a request costs at most, in billionths of a dollar."""
        return round(self._cost(*self.tokens(request)) * self._share) if self._price else 0

    def _cost(self, input_tokens: int, output_tokens: int, cached_tokens: int = 0) -> int:
        if not self._price:
            return 0
        return round(self._price.cost(input_tokens, output_tokens, cached_tokens) * NANO)

    # --------------------------------------------------------------- holding

    def hold(self, requests: Mapping[str, Request]) -> Hold | None:
        """Say what is to be set aside for requests, by key; None where nothing is counted."""
        if not self._price:
            return None
        costs = {key: self.cost(request) for key, request in requests.items()}
        return Hold(self.account, costs, self.limit)

    async def doubt(self, request: Request) -> None:
        """Note that an attempt failed which may have been charged for all the same.

        Raises:
            Unanswered: the budget does not allow another one.
        """
        if not self._price:
            return
        cost = self.cost(request)
        self._lose(request.key, cost)
        held = await asyncio.to_thread(
            self._journal.hold, request.key, self.account, cost, self.limit
        )
        if not held:
            raise Unanswered("budget", "the budget does not allow another attempt")

    def _lose(self, key: str, cost: int) -> None:
        with self._lock:
            self._lost[key] = self._lost.get(key, 0) + cost
            self.doubtful += cost

    # -------------------------------------------------------------- charging

    def charge(self, request: Request, reply: Reply | None) -> Charge | None:
        """Say what a request came to in the end; None where nothing is counted."""
        if not self._price:
            return None
        with self._lock:
            doubtful = self._lost.pop(request.key, 0)
            if reply is None:
                return Charge(self.account, 0, doubtful) if doubtful else None
            spent = self._spent(request, reply)
            self.bought += spent
            return Charge(self.account, spent, doubtful)

    def _spent(self, request: Request, reply: Reply) -> int:
        counts = reply.input_tokens, reply.output_tokens
        if any(counts):
            return self._cost(*counts, min(reply.cached_tokens, reply.input_tokens))
        return self._cost(self.tokens(request)[0], bounded_text_tokens(reply.text))  # not stated

    def batch_cost(self, reply: Reply) -> int | None:
        """Say what a reply cost that came in a batch; None where that is not known."""
        if not self._price or not reply.input_tokens + reply.output_tokens:
            return None
        cost = self._cost(reply.input_tokens, reply.output_tokens, reply.cached_tokens)
        return round(cost * self._price.batch)

    def interrupted(self, request: Request) -> Charge | None:
        """Say what a request that was under way may come to, since nobody waits for its reply."""
        if not self._price:
            return None
        self._lose(request.key, self.cost(request))
        return self.charge(request, None)

    # ----------------------------------------------------------------- words

    def exceeded(self) -> BudgetExceeded:
        """Make the error that ends a build whose next request does not fit."""
        now, limit = self._journal.spending(self.account), self.limit or 0
        doubt = f" ({dollars(now.doubtful)} of it in doubt: sent, and no reply came)"
        return BudgetExceeded(
            f"the budget of {dollars(limit)} is used up: {dollars(now.gone)} are spent on "
            f"{self.account!r}{doubt if now.doubtful else ''}, and the next request may cost more "
            f"than the {dollars(limit - now.gone)} that are left. Every reply is kept in the "
            f"journal {str(self._journal.path)!r}: run again with a larger --budget-usd to go on, "
            "or publish what there is with --no-calls --partial."
        )
