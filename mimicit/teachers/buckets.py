"""How many requests and tokens may be sent a minute.

Two say so: the user, by limits, and the endpoint, by headers and by the pauses that it asks for.
Headers: https://platform.openai.com/docs/guides/rate-limits, which most endpoints copy.
"""

import math
import random
import re
from collections.abc import Mapping

LONGEST_PAUSE = 3600.0
"""Seconds that an endpoint may make us wait at most; more is taken for a mistake of its own."""

UNSAID_RESET = 1.0
"""Seconds to wait where nothing remains and the endpoint does not say until when, as Azure's."""

_SPREAD = 0.05
"""Part by which a pause is kept longer, at random: other machines were told the same moment."""

_DURATION = re.compile(
    r"(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m(?!s))?"
    r"(?:(\d+(?:\.\d+)?)s?)?(?:(\d+(?:\.\d+)?)ms)?",
    re.ASCII,
)
_UNITS = (86400.0, 3600.0, 60.0, 1.0, 0.001)


def read_duration(text: str) -> float | None:
    """Read a duration as headers spell it, in seconds: "6ms", "1m0s", "2h3m" or "17.5".

    Returns:
        At most an hour; None for anything else.
    """
    found = _DURATION.fullmatch(text.strip()) if len(text) < 40 else None
    if not found or not any(found.groups()):
        return None
    seconds = sum(float(n) * unit for n, unit in zip(found.groups("0"), _UNITS, strict=True))
    return min(seconds, LONGEST_PAUSE)


def _read_count(text: str) -> float | None:
    text = text.strip()
    return float(text) if text.isascii() and text.isdecimal() and len(text) < 16 else None


class Bucket:
    """An amount that refills evenly, up to a tenth of what a minute brings.

    So no 60 seconds hold more than the limit and that tenth, or the largest single need where
    that is more: what exceeds the capacity passes when the bucket is full, and leaves a debt.
    What is given back makes room for as much, at the moment when it is.

    Args:
        per_minute: What a minute brings.
        least: Capacity that it has in any case, such as one request.
        now: What the clock says.

    Raises:
        ValueError: a minute brings nothing.
    """

    __slots__ = ("_amount", "_at", "_capacity", "_rate")

    def __init__(self, per_minute: float, least: float, now: float) -> None:
        if not 0 < per_minute < math.inf:
            raise ValueError(f"a limit of {per_minute} a minute lets nothing pass")
        self._rate = per_minute / 60
        self._capacity = self._amount = max(per_minute / 10, least)
        self._at = now

    def hold(self, need: float, now: float) -> float:
        """Say for how many seconds a need has to wait; 0 if it may pass."""
        amount = self._amount
        if amount < self._capacity:
            amount += (now - self._at) * self._rate
            self._amount = amount = min(amount, self._capacity)
        self._at = now
        missing = min(need, self._capacity) - amount
        # a remainder of rounding must not set a timer that no time passes until
        return missing / self._rate if missing > 1e-9 * self._capacity else 0.0

    def take(self, amount: float) -> None:
        """Take out an amount; a negative one gives back what was taken in vain."""
        self._amount = min(self._amount - amount, self._capacity)


class _Allowance:
    """What the endpoint said that remains, of requests or of tokens, until it refills."""

    __slots__ = ("_heard", "_remaining", "_reset", "left", "until")

    def __init__(self, name: str) -> None:
        self._remaining = f"x-ratelimit-remaining-{name}"
        self._reset = f"x-ratelimit-reset-{name}"
        self._heard = 0
        self.left = math.inf
        self.until = -math.inf

    def read(self, headers: Mapping[str, str], serial: int, now: float) -> None:
        """Take over what the headers say, unless those of a later request said it already."""
        text = headers.get(self._remaining)
        if text is None or serial < self._heard:
            return
        left = _read_count(text)
        if left is None:
            return
        reset = read_duration(headers.get(self._reset, ""))
        self._heard, self.left = serial, left
        self.until = now + (UNSAID_RESET if reset is None else reset)


class Rates:
    """All that limits how much is sent in a time.

    Args:
        rpm: Requests a minute; None for any number.
        tpm_in: Tokens sent a minute.
        tpm_out: Tokens received a minute.
        now: What the clock says, in seconds.

    Raises:
        ValueError: a limit is not above 0.
    """

    __slots__ = ("_for", "_paused", "_requests", "_said_requests", "_said_tokens", "_tokens")

    def __init__(
        self, rpm: float | None, tpm_in: float | None, tpm_out: float | None, now: float
    ) -> None:
        self._requests = None if rpm is None else Bucket(rpm, 1, now)
        self._tokens = tuple(
            None if limit is None else Bucket(limit, 1, now) for limit in (tpm_in, tpm_out)
        )
        self._said_requests = _Allowance("requests")
        self._said_tokens = _Allowance("tokens")
        self._paused = -math.inf
        self._for = ""

    def hold(self, tokens: tuple[int, int], now: float) -> float:
        """Say for how many seconds a request of (input, output) tokens waits; 0 if it may go."""
        wait = max(self._paused - now, 0.0)
        said = self._said_requests
        if now < said.until and said.left < 1:
            wait = max(wait, said.until - now)
        said = self._said_tokens
        if now < said.until and said.left < tokens[0] + tokens[1]:
            wait = max(wait, said.until - now)
        if self._requests is not None:
            wait = max(wait, self._requests.hold(1, now))
        sending, receiving = self._tokens
        if sending is not None:
            wait = max(wait, sending.hold(tokens[0], now))
        if receiving is not None:
            wait = max(wait, receiving.hold(tokens[1], now))
        return wait

    def take(self, requests: int, tokens: tuple[int, int]) -> None:
        """Count a request as sent; negative numbers give back what was not used after all."""
        if self._requests is not None and requests:
            self._requests.take(requests)
        self._said_requests.left -= requests
        self._said_tokens.left -= tokens[0] + tokens[1]
        self.correct(tokens)

    def correct(self, tokens: tuple[int, int]) -> None:
        """Take tokens that were used beyond the estimate; negative ones are given back."""
        sending, receiving = self._tokens
        if sending is not None and tokens[0]:
            sending.take(tokens[0])
        if receiving is not None and tokens[1]:
            receiving.take(tokens[1])

    def read(self, headers: Mapping[str, str], serial: int, now: float) -> None:
        """Hear from a response's headers what the endpoint says that remains."""
        self._said_requests.read(headers, serial, now)
        self._said_tokens.read(headers, serial, now)

    def pause(self, seconds: float, why: str, now: float) -> bool:
        """Send nothing for some seconds, never fewer; tell whether that begins a pause.

        Args:
            seconds: An hour at most counts; what is no time, such as a negative one, does not.
            why: For the progress line.
            now: What the clock says.
        """
        if not seconds > 0:
            return False
        begins = now >= self._paused
        seconds = min(seconds, LONGEST_PAUSE)
        seconds *= 1 + random.uniform(0, _SPREAD)  # noqa: S311  # spreads load, guards nothing
        if now + seconds > self._paused:
            self._paused, self._for = now + seconds, why
        return begins

    def why(self, tokens: tuple[int, int], now: float) -> str:
        """Say in few words what holds a request up; "" if nothing here does."""
        wait = self.hold(tokens, now)
        if not wait:
            return ""
        reason = self._for if now < self._paused else "rate limit"
        return f"{reason}, {wait:.0f} s" if wait >= 1 else reason
