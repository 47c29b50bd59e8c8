"""The second pass: ask the teacher what the journal has no reply for, and commit each reply.

Nothing else happens here. The asking runs in a thread of its own, so that the main one stays free
to show how far it is and to be interrupted. An interrupted pass stops sending at once and waits a
few seconds for the replies that are on their way, since they are paid for.
"""

import asyncio
import contextlib
import itertools
import queue
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field

from mimicit.errors import TeacherError
from mimicit.journal import Journal
from mimicit.progress import Counted, Track
from mimicit.schema import Reply, Request
from mimicit.teachers import Teacher, Unanswered

GRACE_SECONDS = 5.0
"""How long an interrupted pass waits for what was sent already."""

PROBES = 3
"""Requests that may be refused, one after the other, before the endpoint counts as unusable."""

HOPELESS = 20
"""Requests in a row without a reply that end a run, at least."""

ELSEWHERE_SECONDS = 0.5
"""How long to wait before looking again for a reply that another build is asking for."""


Walk = Callable[[], Iterable[tuple[list[Request], int]]]
"""Walks the scenes afresh: of each, its requests without a reply, and how many have one."""


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
    """

    known: int = 0
    replies: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    detail: str = ""


def ask(  # noqa: PLR0913  # what is asked, where, how, and how much there is of it
    walk: Walk,
    journal: Journal,
    open_teacher: Callable[[], Teacher],
    *,
    concurrency: int,
    rounds: int,
    total: int,
    track: Track,
) -> Asked:
    """Ask for every missing reply, `concurrency` at once, and return when all have been tried.

    Args:
        walk: Walks the requests; called again while replies bring new ones (re-asking), or
            while another build is asking for some of them.
        journal: Where replies are looked up and kept.
        open_teacher: Makes the teacher, in the thread and event loop that it is used in.
        concurrency: Requests under way at once.
        rounds: How often new replies may bring new requests.
        total: About how many requests there are, for the time of arrival.
        track: Shows progress.

    Raises:
        TeacherError: the endpoint cannot be used; what was answered is kept.
        MimicitError: the journal or a picture failed; what was answered is kept.
        UsageError: there is no key, or a prompt fails.
    """
    fleet = _Fleet(walk, journal, open_teacher, concurrency, rounds=rounds)
    thread = threading.Thread(target=fleet.run, name="asking", daemon=True)
    thread.start()
    try:
        for _ in track(Counted(fleet.events(), total), "ask", "requests"):
            pass
    finally:
        fleet.stop()
        thread.join(2 * GRACE_SECONDS)
    if fleet.error:
        raise fleet.error
    return fleet.asked


class _Fleet:
    """The requests under way, in an event loop of their own."""

    def __init__(
        self,
        walk: Walk,
        journal: Journal,
        open_teacher: Callable[[], Teacher],
        concurrency: int,
        *,
        rounds: int,
    ) -> None:
        self.asked = Asked()
        self.error: BaseException | None = None
        self._walk = walk
        self._journal = journal
        self._open_teacher = open_teacher
        self._concurrency = concurrency
        self._rounds = rounds
        self._events: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._loop = asyncio.new_event_loop()
        self._main: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._under_way: set[str] = set()
        self._failed: set[str] = set()
        self._elsewhere = 0
        self._known = 0
        self._shown = 0
        self._first = True
        self._in_a_row = 0
        self._teacher: Teacher | None = None
        self._probed = False

    # ------------------------------------------------- called from the main thread

    def events(self) -> Iterator[None]:
        """Yield once for every request that is settled, until the end."""
        while count := self._events.get():
            yield from itertools.repeat(None, count)

    def stop(self) -> None:
        """Send nothing more; what is under way may end within `GRACE_SECONDS`."""
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._stopping.set)

    # ------------------------------------------------- in the thread of the asking

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
        rounds = self._rounds
        while True:
            before = self.asked.replies
            self._elsewhere = self._known = 0
            await self._pass()
            new = self.asked.replies - before
            if self._stopping.is_set():
                return
            self.asked.known = self._known - before  # what this run bought is known by now
            self._show(self._known + new + len(self._failed) - self._shown)
            self._first = False
            if not self._elsewhere:
                if not new or not rounds:
                    return
                rounds -= 1
            elif not new:
                await asyncio.sleep(ELSEWHERE_SECONDS)

    async def _pass(self) -> None:
        waiting: asyncio.Queue[Request | None] = asyncio.Queue(self._concurrency)
        feeder = asyncio.create_task(self._feed(waiting))
        watch = asyncio.create_task(self._end_when_stopped(feeder))
        try:
            teacher = await self._probe(waiting)
            if teacher:
                workers = (self._work(waiting, teacher) for _ in range(self._concurrency))
                await asyncio.gather(*workers)
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

    async def _feed(self, waiting: "asyncio.Queue[Request | None]") -> None:
        """Put what is to be asked into the queue, and None after the last."""
        stream = iter(self._walk())
        try:
            while chunk := await asyncio.to_thread(self._claim_some, stream):
                for request in chunk:
                    await waiting.put(request)
            await waiting.put(None)
        except BaseException as error:
            while not waiting.empty():  # they are not to be sent any more
                waiting.get_nowait()
            waiting.put_nowait(None)
            if not isinstance(error, asyncio.CancelledError):
                raise

    def _claim_some(self, stream: Iterator[tuple[list[Request], int]]) -> list[Request]:
        """Walk on until some requests are found that are this build's to ask."""
        walked = False
        while not walked:
            chosen: dict[str, Request] = {}
            until = time.monotonic() + 0.2
            walked = True
            for missing, known in stream:
                self._count_known(known)
                for request in missing:
                    self._choose(request, chosen)
                if len(chosen) >= self._concurrency or (chosen and time.monotonic() > until):
                    walked = False
                    break
                if self._stopping.is_set():
                    return []
            ours = self._journal.claim(list(chosen)) if chosen else set()
            for key in chosen.keys() - ours:
                if key in self._journal and not self._rounds:
                    self._count_known(1)
                else:  # another build is asking, or has asked: to be looked at again
                    self._elsewhere += 1
            if ours:
                self._under_way |= ours
                return [request for key, request in chosen.items() if key in ours]
        return []

    def _choose(self, request: Request, chosen: dict[str, Request]) -> None:
        key = request.key
        if key in chosen or key in self._under_way:  # two scenes that ask the same
            self._elsewhere += 1
        elif key not in self._failed:
            chosen[key] = request

    def _count_known(self, count: int) -> None:
        """Count requests that the journal has a reply for."""
        self._known += count
        if self._first:  # later walks meet them again
            self._show(count)

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
            self._teacher = self._teacher or self._open_teacher()
            self._probed = await self._settle(request, self._teacher.probe)
            if not self._probed and len(self._failed) >= PROBES:
                raise TeacherError(
                    f"the first {PROBES} requests got no reply, so no more are sent. "
                    f"{self.asked.detail}\n"
                    "What was answered before can be published with --no-calls --partial."
                )
        return self._teacher

    async def _work(self, waiting: "asyncio.Queue[Request | None]", teacher: Teacher) -> None:
        while (request := await waiting.get()) is not None:
            if not self._stopping.is_set():
                await self._settle(request, teacher.answer)
        waiting.put_nowait(None)  # for the next worker

    async def _settle(
        self, request: Request, answer: Callable[[Request], Awaitable[Reply]]
    ) -> bool:
        """Ask, and commit the reply or log why there is none."""
        try:
            reply = await answer(request)
            # Awaited, so that a crash can lose no more replies than there are requests under way;
            # shielded, since a reply that has come is committed whatever happens.
            await asyncio.shield(asyncio.wrap_future(self._journal.put(request, reply)))
        except Unanswered as error:
            self._give_up(request, error)
            return False
        except Exception as error:  # noqa: BLE001  # raised again when the others have ended
            self.error = self.error or error
            self._stopping.set()
            return False
        self._in_a_row = 0
        self.asked.replies += 1
        self.asked.input_tokens += reply.input_tokens
        self.asked.output_tokens += reply.output_tokens
        self._under_way.discard(request.key)
        self._show(1)
        return True

    def _give_up(self, request: Request, error: Unanswered) -> None:
        """Log a failure; end the run where nothing but failures comes."""
        self._journal.fail(request, error.reason, error.detail)
        self._failed.add(request.key)
        self._under_way.discard(request.key)
        self.asked.failures[error.reason] += 1
        self.asked.detail = self.asked.detail or error.detail
        self._show(1)
        self._in_a_row += 1
        if self._in_a_row >= max(HOPELESS, 2 * self._concurrency) and not self.error:
            self.error = TeacherError(
                f"the last {self._in_a_row} requests got no reply, so no more are sent: "
                f"{error.detail}\nWhat was answered is kept: run again to go on, or publish it "
                "with --no-calls --partial."
            )
            self._stopping.set()
