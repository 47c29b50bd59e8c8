"""When the next request may be sent, in a time that passes only while everybody waits."""

import asyncio
import math
import random
import selectors
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from itertools import pairwise
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mimicit.errors import TeacherError
from mimicit.teachers.buckets import LONGEST_PAUSE, read_duration
from mimicit.teachers.limits import HOPELESS, Attempt, Limits

T = TypeVar("T")


class Leap(selectors.SelectSelector):
    """Waits for nothing: the time until the next timer is over at once."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("everybody waits, and no timer is set")
        self.now += max(timeout, 0)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.leap = Leap()
        super().__init__(self.leap)

    def time(self) -> float:
        return self.leap.now


def run(main: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def now() -> float:
    return asyncio.get_running_loop().time()


def limits(concurrency: int = 64, **given: float) -> Limits:
    return Limits(concurrency, clock=asyncio.get_running_loop().time, **given)


async def admitted_at(limits: Limits, input_tokens: int = 0, output_tokens: int = 0) -> float:
    (await limits.admit(input_tokens, output_tokens)).close()
    return now()


async def all_at_once(limits: Limits, count: int) -> list[Attempt]:
    return [await limits.admit() for _ in range(count)]


def fail(attempt: Attempt, reason: str, wait: float | None = None) -> None:
    attempt.failed(reason, wait)
    attempt.close()


def answer(attempt: Attempt) -> None:
    attempt.answered(0, 0)
    attempt.close()


# A minute's requests and tokens


@settings(max_examples=40, deadline=None)
@given(
    limit=st.sampled_from([1, 7, 60, 900]),
    seed=st.integers(0, 2**32),
    idle=st.sampled_from([0.0, 0.5, 20.0]),
)
def test_no_minute_holds_more_than_the_limit_and_a_burst(
    limit: int, seed: int, idle: float
) -> None:
    rng = random.Random(seed)

    async def main() -> list[tuple[float, int]]:
        gate, sent = limits(rpm=limit, tpm_in=limit * 10), []

        async def one(tokens: int) -> None:
            attempt = await gate.admit(tokens)
            sent.append((now(), tokens))
            attempt.close()

        async with asyncio.TaskGroup() as group:
            for _ in range(150):
                group.create_task(one(rng.randrange(1, 40)))
                await asyncio.sleep(rng.choice([0, 0, rng.random() * idle]))
        return sent

    sent = run(main())
    assert len(sent) == 150
    for first in range(len(sent)):
        window = [tokens for at, tokens in sent[first:] if at < sent[first][0] + 60 - 1e-6]
        assert len(window) <= limit + max(limit / 10, 1) + 1e-6
        assert sum(window) <= limit * 10 + max(limit, *window) + 1e-6


def test_a_limit_is_used_up() -> None:
    async def main() -> float:
        gate = limits(rpm=600, tpm_in=60_000, tpm_out=60_000)
        return [await admitted_at(gate, 100, 100) for _ in range(660)][-1]

    assert run(main()) == pytest.approx(60, abs=0.2)


def test_a_request_larger_than_the_burst_waits_until_the_bucket_is_full_and_passes() -> None:
    async def main() -> list[float]:
        gate = limits(tpm_out=600)
        return [await admitted_at(gate, 0, tokens) for tokens in (10, 200, 10)]

    assert run(main()) == pytest.approx([0, 1, 16], abs=0.01)  # ten tokens a second, 60 at once


def test_tokens_that_a_reply_did_not_use_are_given_back() -> None:
    async def second(used: int) -> float:
        gate = limits(tpm_out=600)
        attempt = await gate.admit(0, 60)
        attempt.answered(5, used)
        attempt.close()
        return await admitted_at(gate, 0, 60)

    assert run(second(20)) == pytest.approx(2, abs=0.01)
    assert run(second(90)) == pytest.approx(9, abs=0.01)
    assert run(second(0)) == pytest.approx(6, abs=0.01)  # unknown: the estimate holds


def test_a_request_turned_away_counts_but_its_tokens_do_not() -> None:
    async def second(requests: float, reason: str) -> float:
        gate = limits(rpm=requests, tpm_in=600, tpm_out=600)
        fail(await gate.admit(60, 60), reason)
        return await admitted_at(gate, 60, 60)

    assert run(second(600, "rate-limited")) == 0
    assert run(second(10, "rate-limited")) == pytest.approx(6, abs=0.01)
    assert run(second(600, "timeout")) == pytest.approx(6, abs=0.01)


@pytest.mark.parametrize("limit", [0, -1, math.inf, math.nan])
def test_a_limit_that_lets_nothing_pass_is_an_error(limit: float) -> None:
    with pytest.raises(ValueError, match="lets nothing pass"):
        Limits(1, rpm=limit)
    with pytest.raises(ValueError, match="send nothing"):
        Limits(0)


# What the endpoint's headers say


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("6ms", 0.006),
        ("1s", 1),
        ("1m0s", 60),
        ("2m59.56s", 179.56),
        ("0h20m3s", 1203),
        ("17.5", 17.5),
        ("0", 0),
        ("2h3m", LONGEST_PAUSE),
        ("1d", LONGEST_PAUSE),
        ("", None),
        ("-1s", None),
        ("soon", None),
        ("1s1h", None),
        ("nan", None),
        ("1" * 99, None),
    ],
)
def test_durations_are_read_as_headers_spell_them(text: str, seconds: float | None) -> None:
    assert read_duration(text) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("headers", "until"),
    [
        ({}, 0),
        ({"remaining-requests": "0", "reset-requests": "12s"}, 12),
        ({"remaining-requests": "1", "reset-requests": "12s"}, 0),
        ({"remaining-tokens": "99", "reset-tokens": "1m0s"}, 60),
        ({"remaining-tokens": "100", "reset-tokens": "1m0s"}, 0),
        ({"remaining-requests": "0", "reset-requests": "9h"}, 3600),
        ({"remaining-requests": "0"}, 1),  # Azure's
        ({"remaining-requests": "0", "reset-requests": "later"}, 1),
        ({"remaining-requests": "none", "reset-requests": "12s"}, 0),
        ({"remaining-requests": "-1", "reset-requests": "12s"}, 0),
    ],
)
def test_nothing_is_sent_before_what_remains_suffices(
    headers: Mapping[str, str], until: float
) -> None:
    async def main() -> float:
        gate = limits()
        attempt = await gate.admit()
        attempt.heard({f"x-ratelimit-{name}": value for name, value in headers.items()})
        answer(attempt)
        return await admitted_at(gate, 60, 40)

    assert run(main()) == pytest.approx(until, abs=0.01)


def test_what_remains_is_counted_down_by_what_is_sent() -> None:
    headers = {"x-ratelimit-remaining-requests": "2", "x-ratelimit-reset-requests": "5s"}

    async def main() -> list[float]:
        gate = limits()
        first = await gate.admit()
        first.heard(headers)
        return [await admitted_at(gate) for _ in range(3)]

    assert run(main()) == pytest.approx([0, 0, 5], abs=0.01)


def test_a_slow_reply_does_not_bring_back_what_a_later_request_used_up() -> None:
    def said(left: int) -> dict[str, str]:
        return {"x-ratelimit-remaining-requests": f"{left}", "x-ratelimit-reset-requests": "5s"}

    async def main() -> float:
        gate = limits()
        early, late = await all_at_once(gate, 2)
        late.heard(said(0))
        early.heard(said(1))
        return await admitted_at(gate)

    assert run(main()) == pytest.approx(5, abs=0.01)


# Pauses


@pytest.mark.parametrize("reason", ["rate-limited", "status-503"])
def test_a_wait_that_an_overloaded_endpoint_asks_for_holds_up_all(reason: str) -> None:
    async def main() -> None:
        gate = limits(10)
        fail((await all_at_once(gate, 3))[0], reason, 7)
        assert 7 <= await admitted_at(gate) <= 7.7
        assert gate.level == 7  # not all go at once

    run(main())


def test_a_shorter_wait_does_not_end_a_longer_one() -> None:
    async def main() -> float:
        gate = limits(10)
        long, short = await all_at_once(gate, 2)
        fail(long, "rate-limited", 7)
        fail(short, "rate-limited", 1)
        return await admitted_at(gate)

    assert 7 <= run(main()) <= 7.7


@pytest.mark.parametrize(
    ("reason", "wait", "until"),
    [
        ("status-500", 7, 0),
        ("timeout", 7, 0),
        ("rate-limited", None, 0),
        ("rate-limited", -1, 0),
        ("rate-limited", math.nan, 0),
        ("rate-limited", math.inf, 3600),
    ],
)
def test_other_waits_concern_one_request_or_are_nonsense(
    reason: str, wait: float | None, until: float
) -> None:
    async def main() -> float:
        gate = limits(10)
        fail(await gate.admit(), reason, wait)
        return await admitted_at(gate)

    assert until <= run(main()) <= until * 1.1


# How many at once


def test_never_more_are_under_way_than_the_level_and_who_came_first_goes_first() -> None:
    async def main() -> None:
        gate, order = limits(3), []

        async def one(number: int) -> None:
            attempt = await gate.admit()
            order.append(number)
            assert gate.under_way <= 3
            await asyncio.sleep(random.random())
            answer(attempt)
            attempt.close()  # a second time: changes nothing

        async with asyncio.TaskGroup() as group:
            for number in range(30):
                group.create_task(one(number))
        assert order == list(range(30))
        assert gate.under_way == 0

    run(main())


@pytest.mark.parametrize(
    ("reason", "level"),
    [("rate-limited", 70), ("timeout", 50), ("connection", 50), ("garbled", 100)],
)
def test_many_failures_at_the_same_time_cut_the_level_once(reason: str, level: int) -> None:
    async def main() -> None:
        gate = limits(100)
        for attempt in await all_at_once(gate, 100):
            fail(attempt, reason)
        assert gate.level == level
        fail(await gate.admit(), "timeout")
        assert gate.level == level // 2
        for _ in range(10):
            fail(await gate.admit(), "timeout")
        assert gate.level == 1

    run(main())


def test_the_level_grows_by_one_a_round_up_to_what_the_user_allows() -> None:
    async def main() -> None:
        gate = limits(8)
        fail(await gate.admit(), "timeout")
        held, levels = [], [gate.level]
        for _ in range(60):
            while gate.under_way < gate.level:
                held.append(await gate.admit())
            await asyncio.sleep(0.1)
            for attempt in held:
                attempt.answered(0, 0)
            for attempt in held:
                attempt.close()
            held.clear()
            levels.append(gate.level)
        assert levels[:6] == [4, 5, 6, 7, 8, 8]
        assert set(levels[5:]) == {8}

    run(main())


def test_a_level_that_is_not_used_does_not_grow() -> None:
    async def main() -> None:
        gate = limits(64)
        fail(await gate.admit(), "timeout")
        for _ in range(200):
            answer(await gate.admit())
        assert gate.level == 32

    run(main())


async def load(
    serve: Callable[[random.Random], Awaitable[int]], replies: int, seed: int
) -> tuple[list[int], float]:
    """Ask 256 at once, after a first one; give the level and the replies a second of the rest."""
    gate, rng, levels, half = limits(256), random.Random(seed), [], 0.0

    async def one() -> None:
        nonlocal half
        attempt = await gate.admit()
        attempt.answered(0, await serve(rng))
        attempt.close()
        levels.append(gate.level)
        if len(levels) == replies // 2:
            half = now()

    async def worker() -> None:
        while len(levels) < replies:
            await one()

    await one()
    workers = [asyncio.create_task(worker()) for _ in range(256)]
    await asyncio.wait(workers, return_when=asyncio.FIRST_COMPLETED)
    rate = (len(levels) - replies // 2) / (now() - half)
    await asyncio.gather(*workers)
    return levels[replies // 2 : replies], rate


@pytest.mark.parametrize("capacity", [8, 32])
@pytest.mark.parametrize("known", [True, False], ids=["tokens known", "unknown"])
def test_a_queue_at_the_server_is_kept_short_without_losing_throughput(
    capacity: int, known: bool
) -> None:
    async def main() -> tuple[list[int], float]:
        slots = asyncio.Semaphore(capacity)

        async def serve(rng: random.Random) -> int:
            tokens = rng.randrange(160, 240)
            async with slots:
                await asyncio.sleep(tokens / 100)
            return tokens if known else 0

        return await load(serve, 6000, seed=capacity)

    levels, rate = run(main())
    assert rate >= 0.95 * capacity / 2
    assert capacity <= sum(levels) / len(levels) <= 3 * capacity


def test_a_server_that_bears_it_is_sent_all_that_the_user_allows() -> None:
    async def main() -> tuple[list[int], float]:
        async def serve(rng: random.Random) -> int:
            await asyncio.sleep(rng.uniform(0.5, 3.5))
            return 0

        return await load(serve, 6000, seed=1)

    levels, rate = run(main())
    assert set(levels) == {256}
    assert rate == pytest.approx(128, rel=0.1)


def test_a_server_that_gets_more_done_though_slower_is_sent_all_again() -> None:
    async def main() -> tuple[list[int], float]:
        busy = 0

        async def serve(rng: random.Random) -> int:
            nonlocal busy
            busy += 1
            await asyncio.sleep(rng.uniform(1.6, 2.4) * (1 + busy / 64))
            busy -= 1
            return 0

        return await load(serve, 12000, seed=1)

    levels, rate = run(main())
    assert levels.count(256) >= 0.8 * len(levels)
    assert min(levels) >= 179
    assert rate >= 0.9 * 256 / (2 * 5)


# Giving an endpoint up


async def keep_failing(gate: Limits, reason: str, wait: float | None = None) -> str:
    """Ask four at once until the endpoint is given up; say what the error says."""

    async def worker() -> None:
        while True:
            attempt = await gate.admit()
            await asyncio.sleep(1)
            fail(attempt, reason, wait)

    workers = [asyncio.create_task(worker()) for _ in range(4)]
    done = await asyncio.gather(*workers, return_exceptions=True)
    assert all(type(error) is TeacherError for error in done)
    return str(done[0])


def test_an_endpoint_that_only_fails_is_given_up_and_all_who_wait_hear_why() -> None:
    async def main() -> None:
        gate = limits(2, patience=60)
        said = await keep_failing(gate, "connection")
        assert now() == pytest.approx(60, abs=2)
        for words in ("no usable reply for 60 s", " x connection", "run again", "--patience"):
            assert words in said
        assert gate.under_way == 0
        with pytest.raises(TeacherError):
            await gate.admit()

    run(main())


@pytest.mark.parametrize("wait", [7, 400])
def test_pauses_without_end_count_as_no_answer(wait: float) -> None:
    async def main() -> float:
        await keep_failing(limits(2, patience=300), "rate-limited", wait)
        return now()

    assert 300 <= run(main()) <= 300 + HOPELESS * wait * 1.1


def test_a_pause_alone_is_no_failure() -> None:
    async def main() -> None:
        gate = limits(40, patience=60)
        held = await all_at_once(gate, 40)
        fail(held[0], "rate-limited", 100)
        await asyncio.sleep(90)
        for attempt in held[1:]:
            fail(attempt, "timeout")  # they were sent before the pause
        answer(await gate.admit())

    run(main())


def test_time_in_which_nobody_asked_does_not_count() -> None:
    async def main() -> None:
        gate = limits(40, patience=60)
        answer(await gate.admit())
        await asyncio.sleep(600)
        for _ in range(2 * HOPELESS):
            fail(await gate.admit(), "connection")
        answer(await gate.admit())

    run(main())


@pytest.mark.parametrize("sign", ["answered", "refused", "few"])
def test_an_endpoint_that_lives_is_not_given_up(sign: str) -> None:
    async def main() -> None:
        gate = limits(1, patience=60)
        for _ in range(HOPELESS - 1 if sign == "few" else 10 * HOPELESS):
            attempt = await gate.admit()
            await asyncio.sleep(10)
            fail(attempt, "status-500")
            if now() % 50 == 0 and sign != "few":
                attempt = await gate.admit()
                attempt.refused() if sign == "refused" else attempt.answered(0, 0)
                attempt.close()
        (await gate.admit()).close()

    run(main())


# Progress and cancelling


def test_what_holds_requests_up_is_said_in_few_words() -> None:
    async def main() -> None:
        gate = limits(10, rpm=60)
        assert gate.waiting == ""
        held = await all_at_once(gate, 6)
        waiter = asyncio.create_task(gate.admit())
        await asyncio.sleep(0)
        assert gate.waiting == "rate limit, 1 s"
        fail(held[0], "status-503", 20)
        assert gate.waiting.startswith("server busy, 2")
        await asyncio.sleep(25)
        assert gate.waiting == ""
        waiters = [asyncio.create_task(gate.admit()) for _ in range(3)]
        await asyncio.sleep(0)
        assert gate.waiting == "7 of 10 at once"
        for task in (waiter, *waiters):
            task.cancel()
        await asyncio.gather(waiter, *waiters, return_exceptions=True)
        assert gate.waiting == ""

    run(main())


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_cancelling_at_any_moment_leaks_nothing_and_leaves_nobody_waiting(seed: int) -> None:
    rng = random.Random(seed)

    async def main() -> None:
        gate = limits(5, rpm=6000, tpm_in=60_000, tpm_out=60_000)
        served = 0

        async def one() -> None:
            nonlocal served
            attempt = await gate.admit(rng.randrange(300), rng.randrange(300))
            try:
                assert gate.under_way <= 5
                served += 1
                await asyncio.sleep(rng.choice([0, 0.01, 0.2]))
                attempt.answered(100, 100)
            finally:
                attempt.close()

        tasks = []
        for _ in range(60):
            tasks.append(asyncio.create_task(one()))
            if rng.random() < 0.5:
                await asyncio.sleep(rng.choice([0, 0, 0.01]))
            if rng.random() < 0.5:
                rng.choice(tasks).cancel()
        await asyncio.gather(*tasks, return_exceptions=True)  # a waiter left behind hangs here
        assert all(task.cancelled() or task.exception() is None for task in tasks)
        assert gate.under_way == 0
        assert served >= sum(not task.cancelled() for task in tasks)

    run(main())


def test_a_waiter_cancelled_when_its_turn_has_come_gives_everything_back() -> None:
    async def main() -> None:
        gate = limits(1, rpm=20, tpm_in=600)
        first = await gate.admit(30)
        waiter = asyncio.create_task(gate.admit(30))
        await asyncio.sleep(0)
        first.close()  # its turn, though it does not know yet
        assert gate.under_way == 1
        waiter.cancel()
        await asyncio.gather(waiter, return_exceptions=True)
        assert gate.under_way == 0
        assert await admitted_at(gate, 30) == 0  # the bucket holds two requests, and 60 tokens

    run(main())


def test_the_next_goes_at_once_where_a_large_request_before_it_is_cancelled() -> None:
    async def main() -> None:
        gate = limits(tpm_in=600)
        (await gate.admit(30)).close()
        large, small = (asyncio.create_task(admitted_at(gate, n)) for n in (500, 20))
        await asyncio.sleep(1)
        large.cancel()
        assert await small == 1

    run(main())


def test_a_wait_is_over_in_the_order_of_asking_even_where_a_later_one_would_fit() -> None:
    async def main() -> list[float]:
        gate = limits(tpm_in=600)
        (await gate.admit(60)).close()
        tasks = [asyncio.create_task(admitted_at(gate, n)) for n in (60, 1, 1)]
        return list(await asyncio.gather(*tasks))

    times = run(main())
    assert all(a <= b for a, b in pairwise(times))
    assert times[0] == pytest.approx(6, abs=0.01)
