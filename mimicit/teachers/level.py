"""How many requests may be under way at once.

The level starts where the user puts it. It is cut where the endpoint says that it has too much,
or does not answer, and grows again by one a round. A server of one's own says nothing: its queue
just grows, until requests time out. So where replies come much later than they could, a lower
level is tried for a while, and kept if as much gets answered.
"""

from dataclasses import dataclass

OVERLOADED = frozenset({"rate-limited", "status-503", "status-529"})
"""Failures by which an endpoint says that it is sent too much."""

SILENT = frozenset({"timeout", "connection", "status-408"}) | {
    f"status-{status}" for status in (504, 522, 524)
}
"""Failures by which it, or the gateway before it, does not keep up."""

LOWER = 0.7
"""What is left of the level where the endpoint has too much, or may have."""

HALF = 0.5
"""What is left of it where the endpoint did not answer."""

SLOW = 3.0
"""How many times later than at best replies come where a lower level is worth a try."""

KEPT = 0.95
"""The part of the throughput that a lower level has to keep."""

NEEDED = 0.85
"""The part of it below which it is clear that the level was needed: chance does not do that."""

REST = 10
"""Windows for which a level that was tried stays as it was found."""

IN_USE = 0.9
"""The part of the level that was under way where it, and not the demand, was the limit."""


@dataclass(frozen=True, slots=True)
class _Window:
    """Means over some answers.

    Attributes:
        among: Requests that were under way.
        seconds: From sending to the answer.
        tokens: In the reply; 0 where one was unknown.
    """

    among: float
    seconds: float
    tokens: float

    def share_of(self, other: "_Window") -> float:
        """Say what part of another window's throughput this one has.

        By Little's law: what gets through is what is under way, divided by how long it stays.
        Counting answers would need many more of them, since they come in waves.
        """
        mine, others = self.among / self.seconds, other.among / other.seconds
        if self.tokens and other.tokens:  # replies differ in length
            mine, others = mine * self.tokens, others * other.tokens
        return mine / others


class Level:
    """How many requests may be under way; see the module.

    Attributes:
        allowed: How many may be, from 1 to what the user allows.
        under_way: How many are; one less where one ends.
        sent: How many were sent so far; the serial number of the last one.

    Args:
        concurrency: What the user allows.

    Raises:
        ValueError: that is less than 1.
    """

    def __init__(self, concurrency: int) -> None:
        if concurrency < 1:
            raise ValueError(f"{concurrency} requests at once send nothing")
        self.allowed = self._most = self._ceiling = concurrency
        self.under_way = self.sent = 0
        self._cut = 0  # the last one sent before the level was last cut
        self._begun = 0  # the last one sent before the window that began afresh
        self._streak = 0
        self._least_seconds = self._least_per_token = 0.0  # 0: not known yet
        self._reference: _Window | None = None  # while a lower level is tried: before it was
        self._before = concurrency
        self._rest = self._ceiling_rest = 0
        self._clear()
        self._afresh = True

    def enter(self) -> tuple[int, int]:
        """Count one as sent; give its serial number, and how many are under way with it."""
        self.sent += 1
        self.under_way += 1
        return self.sent, self.under_way

    def answered(self, serial: int, among: int, seconds: float, tokens: int) -> None:
        """Count a usable reply, to a request that is still counted as under way.

        Args:
            serial: What number the request was.
            among: How many were under way when it had been sent, itself included.
            seconds: How long it took.
            tokens: What the reply holds; 0 if unknown.
        """
        seconds = max(seconds, 1e-9)
        if not self._least_seconds:
            self._learn(_Window(among, seconds, tokens))
        if serial <= self._begun:
            return  # it tells of another level
        in_use = IN_USE * self.allowed
        if self.under_way >= in_use:
            self._grow()
        if among < in_use:
            return  # so fast because others were not under way
        self._count += 1
        self._among += among
        self._seconds += seconds
        self._tokens += tokens
        self._unknown |= not tokens
        if self._count >= max(2 * self.allowed, 20):
            self._judge()

    def _grow(self) -> None:
        self._streak += 1
        if self._streak >= self.allowed:
            self._streak = 0
            if self._reference is None and self.allowed < self._ceiling:
                self.allowed += 1

    def failed(self, reason: str, serial: int) -> None:
        """Cut the level for a failure, unless it was cut since that request was sent.

        Failures that tell nothing of the load, such as garbled replies, change nothing.
        """
        part = LOWER if reason in OVERLOADED else HALF if reason in SILENT else 1.0
        if part == 1.0 or serial <= self._cut:
            return
        self._reference = None
        self._lower(part)

    def _lower(self, part: float) -> None:
        self.allowed = max(1, int(self.allowed * part))
        self._cut = self.sent
        self._begin_afresh()

    def _begin_afresh(self) -> None:
        """Begin a window that counts only what is sent from now on.

        Of what is sent in such a window, the slowest are answered after it: it shows shorter
        times than one that goes on from the last, so it is compared with its like alone.
        """
        self._begun = self.sent
        self._streak = 0
        self._clear()
        self._afresh = True

    def _clear(self) -> None:
        self._afresh = False
        self._count = self._among = self._tokens = 0
        self._seconds = 0.0
        self._unknown = False

    def _learn(self, window: _Window) -> None:
        """Keep how fast replies come at best."""
        self._least_seconds = min(self._least_seconds or window.seconds, window.seconds)
        if window.tokens:
            pace = window.seconds / window.tokens
            self._least_per_token = min(self._least_per_token or pace, pace)

    def _learn_better(self, window: _Window) -> None:
        """Take the best for less than it seemed, as where the first reply was a short one.

        Nothing waited in the window, since more at once got more done.
        """
        self._least_seconds = min(2 * self._least_seconds, window.seconds)
        if window.tokens:
            pace = window.seconds / window.tokens
            self._least_per_token = min(2 * self._least_per_token, pace)

    def _is_slow(self, window: _Window) -> bool:
        """Tell whether replies come late, and not just because they are longer."""
        if window.seconds <= SLOW * self._least_seconds:
            return False
        pace = window.seconds / window.tokens if window.tokens else 0.0
        return not (pace and self._least_per_token) or pace > SLOW * self._least_per_token

    def _judge(self) -> None:
        """End a window: keep or undo what was tried, and try a lower level where replies wait."""
        n = self._count
        tokens = 0.0 if self._unknown else self._tokens / n
        window, afresh = _Window(self._among / n, self._seconds / n, tokens), self._afresh
        self._clear()
        self._learn(window)
        self._rest -= self._rest > 0
        self._ceiling_rest -= self._ceiling_rest > 0
        if not self._ceiling_rest:
            self._ceiling = self._most
        reference, self._reference = self._reference, None
        share = window.share_of(reference) if reference else 1.0
        if share < KEPT:
            if share < NEEDED:
                self._learn_better(window)
            self.allowed, self._rest = self._before, REST
            self._begin_afresh()
            return
        if reference:
            self._ceiling, self._ceiling_rest = self.allowed, REST
        if self._rest or self.allowed == 1 or not self._is_slow(window):
            return
        if not afresh:
            self._begin_afresh()
            return
        # small losses must not add up: each step is held against the first one's throughput
        self._reference = reference or window
        self._before = self.allowed
        self._lower(LOWER)
