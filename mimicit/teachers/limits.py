"""When the next request may be sent: how many at once, how many a minute, and when no more.

One gate for all requests of a run: `Limits.admit` waits until one may go, and the `Attempt` that
it gives is told what became of it. All of it happens in one event loop.
"""

import asyncio
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mimicit.errors import TeacherError
from mimicit.teachers.buckets import Rates
from mimicit.teachers.level import Level

PAUSING = {"rate-limited": "rate limit", "status-503": "server busy"}
"""Failures for which the wait that the endpoint asks for holds up all requests."""

HOPELESS = 20
"""Attempts that have to fail in a row, beside the time, before an endpoint is given up."""

_TICK = 0.001
"""Seconds that a timer is set for at least, so that rounding does not make it ring in vain."""


class _Breaker:
    """Gives an endpoint up that nothing but failures came from, for long and often enough.

    Attributes:
        verdict: Why it was given up; "" while it was not.

    Args:
        patience: Seconds of nothing but failures.
    """

    def __init__(self, patience: float) -> None:
        self.verdict = ""
        self._patience = patience
        self._alive = -math.inf
        self._silent_since = 0.0
        self._paused = -math.inf
        self._failures: Counter[str] = Counter()

    def alive(self, now: float) -> None:
        """Note a sign of life."""
        self._alive = now
        if self._failures:
            self._failures.clear()

    def paused(self, now: float) -> None:
        """Note that the endpoint asks for a pause, which began just now."""
        self._paused = now

    def failed(self, reason: str, sent: float, now: float) -> bool:
        """Count a failed attempt; tell whether the endpoint is given up by it.

        The time counts from when the first attempt that failed was sent: before that nobody
        asked. What was sent before a pause tells nothing of the time that the pause took.
        """
        if not self._failures:
            self._silent_since = max(self._alive, sent)
        self._failures[reason] += 1
        until = now if sent > self._paused else min(now, self._paused)
        silence = until - self._silent_since
        if self.verdict or silence < self._patience or self._failures.total() < HOPELESS:
            return False
        counts = ", ".join(f"{n} x {why}" for why, n in self._failures.most_common(3))
        self.verdict = (
            f"the endpoint gave no usable reply for {_spell(silence)}: {counts}. Every reply so "
            "far is kept: run again when the endpoint answers; --patience SECONDS waits longer"
        )
        return True


def _spell(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"


@dataclass(frozen=True, slots=True)
class _Shared:
    """What the attempts of one run tell their outcome to."""

    rates: Rates
    level: Level
    breaker: _Breaker
    clock: Callable[[], float]
    leave: Callable[[], None]
    dismiss: Callable[[], None]


class Attempt:
    """Leave to send one request once. Close it in the end, whatever happens."""

    __slots__ = ("_among", "_closed", "_judged", "_sent", "_serial", "_shared", "_tokens")

    def __init__(self, shared: _Shared, tokens: tuple[int, int], now: float) -> None:
        self._shared = shared
        self._tokens = tokens
        self._sent = now
        self._serial, self._among = shared.level.enter()
        self._judged = self._closed = False

    def heard(self, headers: Mapping[str, str]) -> None:
        """Take over what a response's headers say of the endpoint's rate limits.

        Args:
            headers: Found by name in any case.
        """
        shared = self._shared
        shared.rates.read(headers, self._serial, shared.clock())

    def answered(self, input_tokens: int, output_tokens: int) -> None:
        """Count a usable reply, and what it really used.

        Args:
            input_tokens: Tokens that were sent; 0 if unknown, which keeps the estimate.
            output_tokens: Tokens of the reply, likewise.
        """
        if self._judged:
            return
        self._judged = True
        shared, now = self._shared, self._shared.clock()
        sending, receiving = self._tokens
        more = (
            input_tokens - sending if input_tokens else 0,
            output_tokens - receiving if output_tokens else 0,
        )
        shared.rates.correct(more)
        shared.level.answered(self._serial, self._among, now - self._sent, output_tokens)
        shared.breaker.alive(now)

    def failed(self, reason: str, wait: float | None = None) -> None:
        """Count a failure that another attempt may not meet.

        Args:
            reason: Short and countable, such as "rate-limited", "timeout" or "status-503".
            wait: Seconds that the endpoint asks to wait. They hold up all requests where it
                says that it is overloaded; otherwise they concern this request alone, whose
                caller waits.
        """
        if self._judged:
            return
        self._judged = True
        shared, now = self._shared, self._shared.clock()
        if reason == "rate-limited":  # the request counts against the limit, its tokens do not
            shared.rates.correct((-self._tokens[0], -self._tokens[1]))
        shared.level.failed(reason, self._serial)
        given_up = shared.breaker.failed(reason, self._sent, now)
        if wait and reason in PAUSING and shared.rates.pause(wait, PAUSING[reason], now):
            shared.breaker.paused(now)
        if given_up:
            shared.dismiss()

    def refused(self) -> None:
        """Count an error that concerns this request alone: the endpoint lives."""
        if self._judged:
            return
        self._judged = True
        shared = self._shared
        shared.rates.correct((0, -self._tokens[1]))  # nothing was written
        shared.breaker.alive(shared.clock())

    def close(self) -> None:
        """Let the next one in. Alone it judges nothing: the request was cancelled."""
        if not self._closed:
            self._closed = True
            self._shared.leave()

    def recall(self) -> None:
        """Close an attempt that nothing was sent for, and give back all that it took."""
        if not (self._judged or self._closed):
            self._judged = True
            self._shared.rates.take(-1, (-self._tokens[0], -self._tokens[1]))
        self.close()


class Limits:
    """Keeps within what the user allows and the endpoint bears. Use it in one event loop.

    Each of the limits a minute lets a tenth of it pass at once, and refills evenly, so that no
    60 seconds hold more than the limit and a tenth (or one request, where that is more). Tokens
    are counted by estimate when a request is sent, and put right when its reply is there.

    Args:
        concurrency: Requests that may be under way at most.
        rpm: Requests a minute; None for any number.
        tpm_in: Tokens sent a minute.
        tpm_out: Tokens received a minute.
        patience: Seconds of nothing but failures after which the endpoint is given up.
        clock: Gives the time in seconds; only differences count.

    Raises:
        ValueError: the concurrency is below 1, or a limit not above 0.
    """

    def __init__(  # noqa: PLR0913  # each is a limit of its own, and named
        self,
        concurrency: int,
        *,
        rpm: float | None = None,
        tpm_in: float | None = None,
        tpm_out: float | None = None,
        patience: float = 300.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._concurrency = concurrency
        self._clock = clock
        self._rates = Rates(rpm, tpm_in, tpm_out, clock())
        self._level = Level(concurrency)
        self._breaker = _Breaker(patience)
        self._shared = _Shared(
            self._rates, self._level, self._breaker, clock, self._leave, self._dismiss
        )
        # first come, first served; the first in line is never one that has gone away
        self._line: deque[tuple[asyncio.Future[Attempt | None], tuple[int, int]]] = deque()
        self._idle: list[asyncio.Future[None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._rings = math.inf

    @property
    def level(self) -> int:
        """How many requests may be under way now."""
        return self._level.allowed

    @property
    def under_way(self) -> int:
        """How many requests are under way."""
        return self._level.under_way

    @property
    def waiting(self) -> str:
        """What holds requests up now, such as "rate limit, 12 s"; "" where nothing unusual does."""
        if not self._line:
            return ""
        why = self._rates.why(self._line[0][1], self._clock())
        if not why and self.level < self._concurrency:
            return f"{self.level} of {self._concurrency} at once"
        return why

    async def admit(self, input_tokens: int = 0, output_tokens: int = 0) -> Attempt:
        """Wait until a request may be sent, in the order of asking.

        Args:
            input_tokens: What it sends, by estimate.
            output_tokens: What its reply holds at most, or by estimate.

        Raises:
            TeacherError: the endpoint is given up, before or while this waits.
        """
        tokens = (input_tokens, output_tokens)
        if self._breaker.verdict:
            raise TeacherError(self._breaker.verdict)
        if not self._line and self._level.under_way < self._level.allowed:
            now = self._clock()
            if not self._rates.hold(tokens, now):
                return self._enter(tokens, now)
        turn: asyncio.Future[Attempt | None] = asyncio.get_running_loop().create_future()
        self._line.append((turn, tokens))
        if len(self._line) == 1:
            self._move_up()  # sets the timer
        try:
            attempt = await turn
        except BaseException:  # cancelled: perhaps at the moment when its turn had come
            given = None if turn.cancel() or turn.cancelled() else turn.result()
            if given:
                given.recall()
            self._move_up()
            raise
        if attempt is None:
            raise TeacherError(self._breaker.verdict)
        return attempt

    async def vacancy(self) -> None:
        """Wait until nobody waits to be admitted."""
        if self._line:
            free: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._idle.append(free)
            await free

    def stop(self, why: str) -> None:
        """Admit nobody any more: who waits or comes is told why."""
        self._breaker.verdict = self._breaker.verdict or why
        self._dismiss()

    def _enter(self, tokens: tuple[int, int], now: float) -> Attempt:
        self._rates.take(1, tokens)
        return Attempt(self._shared, tokens, now)

    def _leave(self) -> None:
        self._level.under_way -= 1
        if self._line:
            self._move_up()

    def _move_up(self) -> None:
        """Let in all who may go, and set a timer where only time holds up the first."""
        line = self._line
        while line:
            turn, tokens = line[0]
            if not turn.done():
                if self._level.under_way >= self._level.allowed:
                    return
                now = self._clock()
                hold = self._rates.hold(tokens, now)
                if hold:
                    self._ring_in(max(hold, _TICK), now, turn.get_loop())
                    return
                turn.set_result(self._enter(tokens, now))
            line.popleft()
        self._rest()
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _ring_in(self, seconds: float, now: float, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer:
            if self._rings <= now + seconds:
                return  # it rings early, looks again, and is set again
            self._timer.cancel()
        self._rings = now + seconds
        self._timer = loop.call_later(seconds, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._move_up()

    def _dismiss(self) -> None:
        """Send away all who wait: the endpoint is given up."""
        for turn, _ in self._line:
            if not turn.done():
                turn.set_result(None)
        self._line.clear()
        self._rest()

    def _rest(self) -> None:
        """Tell those who wait for it that nobody is in line."""
        for free in self._idle:
            if not free.done():
                free.set_result(None)
        self._idle.clear()
