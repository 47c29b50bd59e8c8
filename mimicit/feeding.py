"""What is asked next: walk the scenes, look each request up, claim it, set its cost aside.

Everything here runs in a thread beside the event loop of the asking, and only there, but for
`settled` and `failed`, which the loop calls.
"""

import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from mimicit import batch_log
from mimicit.budget import Budget
from mimicit.journal import Journal
from mimicit.schema import Request

LEAP = 1000
"""Scenes of which only the last is looked at, in the first walk, where that one has its replies.

A build that is taken up again has most likely asked the others too; those that it has not are
found by the second walk. So it asks at once, however much was answered before it was stopped.
"""

LOOK_SECONDS = 0.2
"""How long a walk goes on for more requests once it has found one."""

SETTLING_SECONDS = 0.5
"""How long to wait for a request under way to end, which frees what it did not use of the money
that was set aside for it, before looking again."""

Look = Callable[[], tuple[list[Request], int]]
"""Looks a scene up: its requests without a reply, and how many have one."""

Walk = Callable[[], Iterable[Look]]
"""Walks the scenes afresh."""

T = TypeVar("T")


class Feed:
    """Finds the requests that are to be asked.

    Attributes:
        known: Requests that the last walk found a reply for.
        elsewhere: Requests that it has left out for now: another build, or another scene of this
            one, is asking the same; or it was leapt over.
        leapt: Whether some were leapt over.
        batches: Batches, by our names, that are asking some of them.
    """

    def __init__(  # noqa: PLR0913  # what is walked, who is asked and told
        self,
        walk: Walk,
        journal: Journal,
        budget: Budget,
        show: Callable[[int], None],
        *,
        chunk: int,
        rounds: int,
        batch: bool,
    ) -> None:
        """Prepare to walk.

        Args:
            walk: Walks the scenes.
            journal: Where replies are looked up and requests claimed.
            budget: What they cost.
            show: Is told how many more requests need not be asked any more.
            chunk: Requests that are claimed at once.
            rounds: How often new replies may bring new requests.
            batch: Whether nothing is answered before the walk has ended.
        """
        self.known = self.elsewhere = 0
        self.leapt = False
        self.batches: set[str] = set()
        self._walk, self._journal, self._budget, self._show = walk, journal, budget, show
        self._chunk, self._rounds, self._batch = chunk, rounds, batch
        self._under_way: set[str] = set()
        self._failed: set[str] = set()
        self._kept_back: dict[str, Request] = {}
        self._stream: Iterator[tuple[list[Request], int]] = iter(())
        self._walks = 0
        self._change = threading.Event()
        self._stopped = False

    @property
    def failures(self) -> int:
        """Requests that got no reply in this run."""
        return len(self._failed)

    # ------------------------------------------------------- called from the loop

    def settled(self, key: str) -> None:
        """Note that a request has its reply."""
        self._under_way.discard(key)
        self._change.set()

    def failed(self, key: str) -> None:
        """Note that a request got no reply, and is not to be asked again in this run."""
        self._failed.add(key)
        self.settled(key)

    def returned(self, key: str) -> None:
        """Note that a request got no reply, and may be asked again."""
        self.elsewhere += 1
        self.settled(key)

    def stop(self) -> None:
        """Find nothing more."""
        self._stopped = True
        self._change.set()

    # -------------------------------------------------------------- in the thread

    def begin(self) -> None:
        """Walk again from the first scene."""
        self.known = self.elsewhere = 0
        self.leapt = False
        self.batches = set()
        self._stream = self._looks(leap=not self._walks)
        self._walks += 1

    def some(self) -> list[Request]:
        """Give some requests that are claimed for this build; none at the end of the walk.

        Raises:
            BudgetExceeded: the next one does not fit, and nothing is under way any more.
        """
        while not self._stopped:
            chosen = self._kept_back or self._choose_some()
            self._kept_back = {}
            if not chosen:
                break
            ours = self._claim(chosen)
            if ours:
                return ours
        return []

    def _looks(self, *, leap: bool) -> Iterator[tuple[list[Request], int]]:
        if not leap:
            yield from (look() for look in self._walk())
            return
        for block in _blocks(self._walk(), LEAP):
            missing, known = block[-1]() if len(block) == LEAP else ([], 0)
            if known and not missing:
                self.elsewhere += 1
                self.leapt = True
                self._count(known * LEAP)
                continue
            yield from (look() for look in block)

    def _choose_some(self) -> dict[str, Request]:
        """Walk on until there are enough requests to claim, or the last few have been found."""
        chosen: dict[str, Request] = {}
        until = time.monotonic() + LOOK_SECONDS
        for missing, known in self._stream:
            self.known += known
            self._count(known)
            for request in missing:
                self._choose(request, chosen)
            if len(chosen) >= self._chunk or (chosen and time.monotonic() > until):
                break
            if self._stopped:
                return {}
        return chosen

    def _choose(self, request: Request, chosen: dict[str, Request]) -> None:
        key = request.key
        if key in chosen or key in self._under_way:  # two scenes that ask the same
            self.elsewhere += 1
        elif key not in self._failed:
            chosen[key] = request

    def _count(self, known: int) -> None:
        if self._walks == 1:  # later walks meet them again
            self._show(known)

    def _claim(self, chosen: dict[str, Request]) -> list[Request]:
        self._change.clear()
        hold = self._budget.hold(chosen)
        keys = list(chosen)
        ours = self._journal.claim(keys, hold)
        self._under_way |= ours
        if hold and hold.short:
            place = keys.index(hold.short)
            self._kept_back = {key: chosen[key] for key in keys[place:]}
            keys = keys[:place]
            if not ours:
                self._refuse_to_go_on()
            if self._batch:  # what is claimed has to be handed in first
                self._kept_back, self._stream = {}, iter(())
                self.elsewhere += 1
            elif not ours:
                self._change.wait(SETTLING_SECONDS)
        for key in keys:
            if key not in ours:
                self._leave(key)
        return [chosen[key] for key in keys if key in ours]

    def _leave(self, key: str) -> None:
        """Leave out what is not this build's to ask now."""
        if key in self._journal and not self._rounds:
            self.known += 1
            self._count(1)
            return
        self.elsewhere += 1  # another build is asking, or has asked: to be looked at again
        batch = self._journal.read(lambda database: batch_log.holding(database, key))
        self.batches |= {batch} if batch else set()

    def _refuse_to_go_on(self) -> None:
        """End the run where nothing is under way whose end would free money.

        Raises:
            BudgetExceeded: nothing is, here or in another build.
        """
        if not self._under_way and not self._journal.spending(self._budget.account).held:
            raise self._budget.exceeded()


def _blocks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    stream = iter(items)
    while block := list(itertools.islice(stream, size)):
        yield block
