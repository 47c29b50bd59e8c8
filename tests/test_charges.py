"""What may have been charged for is doubted, nothing else is; and whose time waiting is."""

import asyncio
import socket
import threading
from typing import Any

import pytest
from test_teacher import (
    bare_environment,  # noqa: F401  # used by every test
    frozen_imports,  # noqa: F401  # used by every test
    nobody,  # noqa: F401  # a fixture
    server,  # noqa: F401  # a fixture
)
from test_transport import OK, Handler, Purse, ask, serving, yes

from mimicit.errors import TeacherError
from mimicit.teachers import Unanswered
from mimicit.teachers.limits import Limits
from mimicit.testing import FakeTeacher


@pytest.mark.parametrize(
    ("kind", "doubts"),
    [
        *((kind, 0) for kind in ("429", "500", "503")),
        *((kind, 1) for kind in ("drop", "drop-midway", "garbage", "html", "empty", "hang")),
    ],
)
def test_what_may_have_been_charged_for_is_doubted(
    kind: str,
    doubts: int,
    server: FakeTeacher,  # noqa: F811  # the fixture
) -> None:
    server.fail(kind, times=1, retry_after=0)
    limits = Limits(1)
    purse = Purse(limits=limits)
    assert ask(server.base_url, purse=purse, limits=limits, timeout=2.0)[0].text
    assert (purse.doubts, limits.under_way) == (doubts, 0)


def test_nothing_is_sent_again_that_the_budget_does_not_allow(
    server: FakeTeacher,  # noqa: F811  # the fixture
) -> None:
    server.fail("garbage")
    with pytest.raises(Unanswered) as caught:
        ask(server.base_url, purse=Purse(allowed=1))
    assert caught.value.reason == "budget"
    assert server.count == 2


@pytest.mark.parametrize("status", [400, 401, 402, 422])
def test_a_refusal_is_not_doubted(status: int) -> None:
    purse, limits = Purse(), Limits(1)
    with serving(lambda handler: handler.say(status)) as own:
        with pytest.raises((Unanswered, TeacherError)):
            ask(own.url, purse=purse, limits=limits)
        assert len(own.bodies) == 1
    assert (purse.doubts, limits.under_way) == (0, 0)


def test_an_error_that_is_cut_off_is_an_error() -> None:
    def cut(handler: Handler) -> None:
        if len(handler.served.bodies) > 1:
            return yes(handler)
        handler.send_response(500)
        handler.send_header("content-length", "99")
        handler.end_headers()
        handler.close_connection = True
        return None

    purse = Purse()
    with serving(cut) as own:
        assert ask(own.url, purse=purse)[0].text == "yes"
    assert purse.doubts == 0


def test_where_no_connection_was_made_nothing_was_charged(
    nobody: str,  # noqa: F811  # the fixture
) -> None:
    purse = Purse()
    with pytest.raises(Unanswered) as caught:
        ask(nobody, purse=purse, total_timeout=0.3)
    assert (caught.value.reason, purse.doubts) == ("connection", 0)


def test_a_handshake_that_never_ends_is_no_connection() -> None:
    purse = Purse()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}/v1"
        with pytest.raises(Unanswered) as caught:
            ask(url, purse=purse, timeout=2.0, total_timeout=2.0)
    assert purse.doubts == 0
    assert caught.value.reason == "connection"


def test_a_byte_now_and_then_does_not_make_an_attempt_longer() -> None:
    ended = threading.Event()

    def drip(handler: Handler) -> None:
        handler.close_connection = True
        for letter in b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n" + b" " * 5000:
            handler.wfile.write(bytes([letter]))
            if ended.wait(0.01):
                return

    purse = Purse()
    with serving(drip) as own:
        try:
            with pytest.raises(Unanswered) as caught:
                ask(own.url, purse=purse, timeout=1.5, total_timeout=1.5)
        finally:
            ended.set()
    assert (caught.value.reason, purse.doubts, len(own.bodies)) == ("timeout", 1, 1)


class _Slow(Limits):
    """Limits that let nobody in for a while."""

    async def admit(self, input_tokens: int = 0, output_tokens: int = 0) -> Any:
        await asyncio.sleep(1.6)
        return await super().admit(input_tokens, output_tokens)


def test_waiting_to_be_admitted_is_not_the_endpoints_time() -> None:
    def fail_once(handler: Handler) -> None:
        handler.say(200, OK) if len(handler.served.bodies) > 1 else handler.say(500)

    purse = Purse()
    with serving(fail_once) as own:
        assert ask(own.url, purse=purse, limits=_Slow(1), total_timeout=1.5)[0].text == "yes"
    assert purse.doubts == 0
