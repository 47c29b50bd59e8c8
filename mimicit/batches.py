"""Asking by the batch: files of requests handed in, waited for, and what came of them kept.

Nothing is lost and nothing paid twice, wherever it is interrupted: a batch is in the journal
before it is submitted, is found again by the name it was given, and is struck off once all that
came of it is kept. Any build that shares the journal collects what another has submitted.
"""

import asyncio
import contextlib
import functools
import os
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import IO, TypeVar

from mimicit import batch_log
from mimicit.batch_log import Batch
from mimicit.budget import Budget
from mimicit.errors import TeacherError
from mimicit.journal import Journal, alive
from mimicit.schema import Reply, Request
from mimicit.teachers import Teacher
from mimicit.teachers import batch as wire
from mimicit.teachers.batch import BatchEndpoint, Line, State, Unreachable

FIRST_POLL_SECONDS = 0.2
POLL_SECONDS = 60.0
"""How long to wait before looking at a batch for the second time, and at most for any time."""

STALE_SECONDS = 3600.0
"""After what time a submission on another machine counts as cut off."""

OUT_OF_REACH_SECONDS = 1800.0
"""How long an endpoint may not answer before nobody waits for its batches any more."""

ENQUEUED = frozenset({"token_limit_exceeded", "request_limit_exceeded"})
"""Codes with which a batch fails where too much is waiting already."""

GROUP = 500
"""Lines of a file that are kept at once."""

TRIES = 3
"""How often a request is handed in again in one run whose batch brought no reply to it."""

T = TypeVar("T")


class Batches:
    """The batches of one teacher, in one event loop.

    Attributes:
        status: How they stand, in a few words; "" where there are none.
    """

    def __init__(  # noqa: PLR0913  # where they are kept, who is told
        self,
        journal: Journal,
        budget: Budget,
        name: str,
        teacher: Callable[[], Teacher],
        kept: Callable[[Reply], None],
        failed: Callable[[Line], None],
        returned: Callable[[str], None],
    ) -> None:
        """Prepare.

        Args:
            journal: Where batches are written down, and their replies kept.
            budget: What requests cost.
            name: Who is asked: the teacher's id.
            teacher: Opens the teacher, if it is not open yet.
            kept: Is told of each reply that was kept.
            failed: Is told of each request that got none and is not to be asked again.
            returned: Is told of each request that got none and may be.
        """
        self.status = ""
        self._journal, self._budget, self._name = journal, budget, name
        self._teacher = teacher
        self._kept, self._failed, self._returned = kept, failed, returned
        self._tries: Counter[str] = Counter()
        self._own: set[str] = set()

    @functools.cached_property
    def _endpoint(self) -> BatchEndpoint:
        return self._teacher().batches()

    def listed(self) -> list[Batch]:
        """List those that are not over, whoever submitted them."""
        return self._journal.read(lambda database: batch_log.listed(database, self._name))

    # ------------------------------------------------------------- submitting

    async def submit(self, waiting: "asyncio.Queue[Request | None]") -> None:
        """Hand in what is waiting, until None, in files as large as they may be."""
        pending = await waiting.get()
        while pending is not None:
            with tempfile.TemporaryFile(dir=self._journal.path.parent) as file:
                pending, requests = await self._fill(file, pending, waiting)
                await self._hand_in(file, requests)

    async def _fill(
        self, file: IO[bytes], first: Request, waiting: "asyncio.Queue[Request | None]"
    ) -> tuple[Request | None, dict[str, Request]]:
        """Write requests into a file; give those, and the first that does not fit."""
        teacher, size = self._teacher(), 0
        requests: dict[str, Request] = {}
        pending: Request | None = first
        while pending is not None and len(requests) < wire.MAX_LINES:
            body = await asyncio.to_thread(teacher.body, pending)
            line = wire.write_line(pending.key, body, self._endpoint.path)
            if requests and size + len(line) > wire.MAX_BYTES:
                break
            await asyncio.to_thread(file.write, line)
            size += len(line)
            requests[pending.key] = pending
            self.status = f"writing a batch: {len(requests):,} requests"
            pending = await waiting.get()
        return pending, requests

    async def _hand_in(self, file: IO[bytes], requests: dict[str, Request]) -> None:
        """Write a batch down, upload it, submit it."""
        batch = Batch(
            id=os.urandom(16).hex(),
            remote="",
            owner=self._journal.owner,
            endpoint=self._endpoint.where,
            teacher=self._name,
            account=self._budget.account,
            at=time.time(),
        )
        costs = {key: self._budget.cost(request) for key, request in requests.items()}
        await self._commit(lambda database: batch_log.begin(database, batch, requests, costs))
        self._own.add(batch.id)
        self.status = f"submitting a batch of {len(requests):,} requests"
        await asyncio.to_thread(file.flush)
        file.seek(0)
        try:
            uploaded = await self._endpoint.upload(file, batch.id)
            await self._create(batch, uploaded)
        except (TeacherError, Unreachable) as error:
            await self._put_back(batch)
            if isinstance(error, TeacherError):
                raise
            raise TeacherError(
                f"{self._endpoint.where} takes no batch now: {error}. Everything that was answered "
                "is kept: run again later, or without --batch."
            ) from error

    async def _create(self, batch: Batch, uploaded: str) -> None:
        """Submit a batch once, however often the answer fails to come.

        Raises:
            Unreachable: it was not submitted.
        """
        try:
            remote = await self._endpoint.create(uploaded, batch.id)
        except Unreachable:
            heard = await self._endpoint.find(batch.id)
            if heard is None:
                raise
            remote = heard
        await self._named(batch, remote)

    async def _named(self, batch: Batch, remote: str) -> None:
        await self._commit(lambda database: batch_log.submitted(database, batch.id, remote))

    # -------------------------------------------------------------- collecting

    async def collect(self, wanted: set[str], stopping: asyncio.Event) -> None:
        """Wait until some batches are over, keeping what each brings as soon as it is.

        Args:
            wanted: Ids of those to wait for, besides this run's own.
            stopping: Ends the wait.

        Raises:
            TeacherError: one failed or was cancelled, or the endpoint is out of reach.
        """
        wait, heard = FIRST_POLL_SECONDS, time.monotonic()
        while open_ := [each for each in self.listed() if each.id in wanted | self._own]:
            if stopping.is_set():
                break
            try:
                ended = await self._look(open_)
                heard = time.monotonic()
            except Unreachable as error:
                ended = False
                self.status = f"{len(open_)} batches, out of reach: {error}"
                if time.monotonic() - heard > OUT_OF_REACH_SECONDS:
                    raise TeacherError(
                        f"{self._endpoint.where} has not answered for "
                        f"{OUT_OF_REACH_SECONDS / 60:.0f} minutes: {error}. Its batches go on: run "
                        "again to collect them."
                    ) from error
            wait = FIRST_POLL_SECONDS if ended else min(1.5 * wait, POLL_SECONDS)
            if not ended:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stopping.wait(), wait)
        self.status = ""

    async def _look(self, batches: Sequence[Batch]) -> bool:
        """Look at every batch once; tell whether one is over."""
        ended, done, total = False, 0, 0
        for batch in batches:
            self._refuse_foreign(batch)
            remote = batch.remote or await self._found_again(batch)
            if not remote:
                continue
            state = await self._endpoint.state(remote)
            done, total = done + state.done, total + state.total
            if state.ended:
                await self._harvest(batch, state)
                ended = True
        count = f"{len(batches)} batch{'es' if len(batches) != 1 else ''}"
        self.status = f"{count}: {done:,} of {total:,} done"
        return ended

    def _refuse_foreign(self, batch: Batch) -> None:
        """Refuse to wait for a batch that is not at this endpoint.

        Raises:
            TeacherError: it is elsewhere.
        """
        if batch.endpoint != self._endpoint.where:
            raise TeacherError(
                f"a batch of {self._name!r} was submitted to {batch.endpoint}, and this is "
                f"{self._endpoint.where}: run with --base-url {batch.endpoint} to collect it"
            )

    async def _found_again(self, batch: Batch) -> str | None:
        """Look for a batch whose submission was cut off; put it back if it was not submitted."""
        late = time.time() - batch.at > STALE_SECONDS
        if batch.owner != self._journal.owner and alive(batch.owner) and not late:
            return None  # it is being submitted right now
        remote = await self._endpoint.find(batch.id)
        if remote is None:
            await self._put_back(batch)
            return None
        await self._named(batch, remote)
        return remote

    async def _harvest(self, batch: Batch, state: State) -> None:
        """Keep what a batch brought, put back what it did not, strike it off.

        Raises:
            TeacherError: it failed or was cancelled as a whole.
        """
        for file in state.files:
            texts: list[bytes] = []
            async for text in self._endpoint.lines(file):
                texts.append(text)
                if len(texts) >= GROUP:
                    await self._keep(batch, texts)
                    texts = []
            await self._keep(batch, texts)
        await self._put_back(batch)
        with contextlib.suppress(Unreachable, TeacherError):  # it costs nothing to leave it there
            await self._endpoint.forget(state.input_file)
        if state.status == "cancelled":
            raise TeacherError(
                f"the batch {state.remote} was cancelled. What it brought is kept: run again to "
                "ask for the rest."
            )
        others = len(self.listed())
        if state.status == "failed" and not (state.code in ENQUEUED and others):
            raise TeacherError(
                f"the batch {state.remote} failed: {state.detail or 'no reason is given'}. "
                "Everything that was answered is kept: run again, or without --batch."
            )

    async def _keep(self, batch: Batch, texts: Sequence[bytes]) -> None:
        """Keep what some lines say, all of them at once."""
        lines = []
        for text in texts:
            with contextlib.suppress(ValueError):  # its request is then one without a reply
                lines.append(wire.read_line(text, self._name))

        def keep(database: sqlite3.Connection) -> list[tuple[Line, int]]:
            charged = [(line, self._keep_one(database, batch, line)) for line in lines]
            return [(line, spent) for line, spent in charged if spent is not None]

        for line, spent in await self._commit(keep):
            self._budget.bought += spent
            if line.reply:
                self._kept(line.reply)
            else:
                self._settle(line)

    def _keep_one(self, database: sqlite3.Connection, batch: Batch, line: Line) -> int | None:
        if line.reply:
            return batch_log.keep(database, batch, line.reply, self._budget.batch_cost(line.reply))
        return batch_log.fail(database, batch, line.key, line.reason, line.detail)

    async def _put_back(self, batch: Batch) -> None:
        """Strike a batch off; what got no reply may be asked again."""
        for key in await self._commit(lambda database: batch_log.end(database, batch.id)):
            self._settle(Line(key, None, "no-response", "its batch brought nothing for it"))

    def _settle(self, line: Line) -> None:
        self._tries[line.key] += 1
        if line.again and self._tries[line.key] < TRIES:
            self._returned(line.key)
        else:
            self._failed(line)

    async def _commit(self, change: Callable[[sqlite3.Connection], T]) -> T:
        return await asyncio.wrap_future(self._journal.commit(change))
