"""The requests under way: sent, answered, committed, in an event loop of their own."""

import asyncio
import contextlib
import itertools
import queue
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

from mimicit.batches import Batches
from mimicit.budget import Budget
from mimicit.errors import TeacherError
from mimicit.feeding import Feed, Walk
from mimicit.journal import Journal
from mimicit.ledger import Bill, dollars
from mimicit.progress import TICK
from mimicit.schema import Reply, Request
from mimicit.teachers import Teacher, Unanswered
from mimicit.teachers.batch import Line
from mimicit.teachers.limits import Limits

GRACE_SECONDS = 5.0
"""How long an interrupted pass waits for what was sent already."""

PROBES = 3
"""Requests that may be refused, one after the other, before the endpoint counts as unusable."""

HOPELESS = 20
"""Requests in a row without a reply that end a run, at least."""

ELSEWHERE_SECONDS = 0.5
"""How long to wait before looking again for a reply that another build is asking for."""

TICK_SECONDS = 0.5
"""How often what is shown is brought up to date while nothing comes."""

SPARE = 8
"""Requests in hand at most for each that may be sent at once, all others waiting to be tried
again."""

STEPS = 3
"""Turns of the event loop that a request is left for before the next is taken up: so it is sent,
and not only prepared. Prepared all at once, they would be sent late, and answered in a bunch."""

COMMIT_SECONDS = 0.002
"""How long to wait before looking again whether replies are on the disk."""

BATCH_CHUNK = 500
"""Requests claimed at once for a batch."""


@dataclass(slots=True)
class Asked:
    """What came of asking.

    Attributes:
        known: Requests that the journal had a reply for.
        replies: Replies bought in this run, all of them committed.
        input_tokens: Tokens the endpoint counted for them.
        output_tokens: The same for what it wrote.
        failures: Requests that got no reply, by reason.
        detail: What was said about the first failure.
        bill: What they cost; None where that is not known.
    """

    known: int = 0
    replies: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    detail: str = ""
    bill: Bill | None = None


def _short(count: int) -> str:
    for size, letter in ((1_000_000, "M"), (1000, "k")):
        if count >= size:
            return f"{count / size:.1f}{letter}"
    return str(count)


class Fleet:
    """Asks for every missing reply.

    Attributes:
        asked: What has come of it so far.
        error: What ended it early.
    """

    def __init__(  # noqa: PLR0913  # as `ask`, but for what is shown
        self,
        walk: Walk,
        journal: Journal,
        open_teacher: Callable[[], Teacher],
        budget: Budget,
        limits: Limits,
        *,
        concurrency: int,
        rounds: int,
        batch: bool,
        teacher: str,
    ) -> None:
        self.asked = Asked()
        self.error: BaseException | None = None
        self._journal = journal
        self._open_teacher = open_teacher
        self._budget = budget
        self._limits = limits
        self._concurrency = concurrency
        self._rounds = rounds
        self._events: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._batch = batch
        chunk = BATCH_CHUNK if batch else concurrency
        self._feed = Feed(
            walk, journal, budget, self._show, chunk=chunk, rounds=rounds, batch=batch
        )
        self._batches = Batches(
            journal, budget, teacher, self._opened, self._bought, self._failed, self._feed.returned
        )
        self._loop = asyncio.new_event_loop()
        self._main: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._shown = 0
        self._in_a_row = self._committing = 0
        self._teacher: Teacher | None = None
        self._probed = False

    # ------------------------------------------------- called from the main thread

    def events(self) -> Iterator[object]:
        """Yield once for every request that is settled, and ticks in between, until the end."""
        while True:
            try:
                count = self._events.get(timeout=TICK_SECONDS)
            except queue.Empty:
                yield TICK
                continue
            if not count:
                return
            yield from itertools.repeat(None, count)

    def status(self) -> str:
        """Say in a few words what was spent, and what is waited for."""
        asked, bill, limit = self.asked, self._budget.bill, self._budget.limit
        said = [f"{_short(asked.input_tokens)} in, {_short(asked.output_tokens)} out"]
        if bill:
            said.insert(0, dollars(bill.gone) + (f" of {dollars(limit)}" if limit else ""))
        failed = sum(asked.failures.values())
        said += [f"{failed:,} failed"] if failed else []
        return ", ".join(filter(None, [*said, self._limits.waiting, self._batches.status]))

    def stop(self) -> None:
        """Send nothing more; what is under way may end within `GRACE_SECONDS`."""
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._stop)

    # ------------------------------------------------- in the thread of the asking

    def _stop(self) -> None:
        self._stopping.set()
        self._feed.stop()
        self._limits.stop("the run is being stopped")

    def run(self) -> None:
        """Ask until there is nothing left to ask."""
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._run())
        except asyncio.CancelledError:
            pass
        except BaseException as error:  # noqa: BLE001  # raised again in the main thread
            self.error = self.error or error
        finally:
            self._events.put(0)

    async def _run(self) -> None:
        self._main = asyncio.current_task()
        try:
            await self._passes()
        finally:
            if self._teacher:
                with contextlib.suppress(Exception):  # all is done by then
                    await self._teacher.close()

    async def _passes(self) -> None:
        """Walk the requests until a walk leaves none that could still be answered."""
        rounds, feed = self._rounds, self._feed
        while True:
            before = self.asked.replies
            feed.begin()
            await self._pass()
            await self._batches.collect(feed.batches, self._stopping)
            new = self.asked.replies - before
            if self._stopping.is_set():
                return
            self.asked.known = feed.known - before  # what this run bought is known by now
            self._show(feed.known + new + feed.failures - self._shown)
            if not feed.elsewhere:
                if not new or not rounds:
                    return
                rounds -= 1
            elif not new and not feed.leapt:
                await asyncio.sleep(ELSEWHERE_SECONDS)

    async def _pass(self) -> None:
        waiting: asyncio.Queue[Request | None] = asyncio.Queue(self._concurrency)
        feeder = asyncio.create_task(self._fill(waiting))
        watch = asyncio.create_task(self._end_when_stopped(feeder))
        try:
            teacher = await self._probe(waiting)
            if teacher and self._batch:
                await self._batches.submit(waiting)
            elif teacher:
                await self._dispatch(waiting, teacher)
            await feeder
        finally:
            watch.cancel()
            feeder.cancel()
            await asyncio.gather(feeder, return_exceptions=True)

    async def _end_when_stopped(self, feeder: "asyncio.Task[None]") -> None:
        """Send nothing more, and after a while wait no longer for what was sent."""
        await self._stopping.wait()
        feeder.cancel()
        await asyncio.sleep(GRACE_SECONDS)
        if self._main:
            self._main.cancel()

    async def _fill(self, waiting: "asyncio.Queue[Request | None]") -> None:
        """Put what is to be asked into the queue, and None after the last."""
        try:
            while chunk := await asyncio.to_thread(self._feed.some):
                for request in chunk:
                    await waiting.put(request)
            await waiting.put(None)
        except BaseException as error:
            while not waiting.empty():  # they are not to be sent any more
                waiting.get_nowait()
            waiting.put_nowait(None)
            if not isinstance(error, asyncio.CancelledError):
                raise

    def _show(self, count: int) -> None:
        if count > 0:
            self._shown += count
            self._events.put(count)

    async def _probe(self, waiting: "asyncio.Queue[Request | None]") -> Teacher | None:
        """Ask one request alone before the fleet; None where there is nothing to ask.

        The teacher is made here, so that a build whose replies are all there needs no key.

        Raises:
            TeacherError: the first few are all refused.
        """
        while not self._probed:
            request = await waiting.get()
            if request is None or self._stopping.is_set():
                return None
            self._probed = await self._settle(request, self._opened().probe)
            if not self._probed and self._feed.failures >= PROBES:
                raise TeacherError(
                    f"the first {PROBES} requests got no reply, so no more are sent. "
                    f"{self.asked.detail}\n"
                    "What was answered before can be published with --no-calls --partial."
                )
        return self._teacher

    def _opened(self) -> Teacher:
        self._teacher = self._teacher or self._open_teacher()
        return self._teacher

    async def _dispatch(self, waiting: "asyncio.Queue[Request | None]", teacher: Teacher) -> None:
        """Ask what is waiting, taking the next one up when one more could be sent at once.

        So those that wait to be tried again keep no other one waiting, and yet hardly more are
        in hand than are under way.
        """
        tasks: set[asyncio.Task[bool]] = set()
        try:
            while (request := await waiting.get()) is not None and not self._stopping.is_set():
                task = asyncio.create_task(self._settle(request, teacher.answer))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                for _ in range(STEPS):
                    await asyncio.sleep(0)
                await self._limits.vacancy()
                while self._uncommitted():
                    await asyncio.sleep(COMMIT_SECONDS)
                if len(tasks) >= SPARE * self._concurrency:
                    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _uncommitted(self) -> bool:
        """Tell whether so much is on its way to the disk that a crash could lose too much."""
        spare = self._concurrency // 8
        under_way = self._limits.under_way + self._committing
        return self._committing > spare and under_way >= self._concurrency + spare

    def _committed(self, _: object) -> None:
        self._committing -= 1

    async def _settle(
        self, request: Request, answer: Callable[[Request], Awaitable[Reply]]
    ) -> bool:
        """Ask, and commit the reply or log why there is none."""
        try:
            reply = await answer(request)
            charge = self._budget.charge(request, reply)
            # Shielded, since a reply that has come is committed whatever happens.
            kept = asyncio.wrap_future(self._journal.put(request, reply, charge))
            self._committing += 1
            kept.add_done_callback(self._committed)
            await asyncio.shield(kept)
        except Unanswered as error:
            self._give_up(request, error)
            return False
        except asyncio.CancelledError:
            self._abandon(request)
            raise
        except Exception as error:  # noqa: BLE001  # raised again when the others have ended
            self.error = self.error or error
            self._stop()
            return False
        self._bought(reply)
        return True

    def _bought(self, reply: Reply) -> None:
        """Count a reply that is kept."""
        self._in_a_row = 0
        self.asked.replies += 1
        self.asked.input_tokens += reply.input_tokens
        self.asked.output_tokens += reply.output_tokens
        self._feed.settled(reply.key)
        self._show(1)

    def _abandon(self, request: Request) -> None:
        """Note that nobody waits any more for a reply that may be charged for."""
        charge = self._budget.interrupted(request)
        if charge:
            self._journal.charge(charge)

    def _failed(self, line: Line) -> None:
        """Count a request that gets no reply in this run."""
        self._feed.failed(line.key)
        self.asked.failures[line.reason] += 1
        self.asked.detail = self.asked.detail or line.detail
        self._show(1)

    def _give_up(self, request: Request, error: Unanswered) -> None:
        """Log a failure; end the run where nothing but failures comes."""
        charge = self._budget.charge(request, None)
        self._journal.fail(request, error.reason, error.detail, charge)
        self._failed(Line(request.key, None, error.reason, error.detail))
        self._in_a_row += 1
        if self._in_a_row >= max(HOPELESS, 2 * self._concurrency) and not self.error:
            self.error = TeacherError(
                f"the last {self._in_a_row} requests got no reply, so no more are sent: "
                f"{error.detail}\nWhat was answered is kept: run again to go on, or publish it "
                "with --no-calls --partial."
            )
            self._stop()
