"""The teacher behind an endpoint: every way an endpoint may behave, over real sockets."""

import asyncio
import gc
import json
import os
import re
import socket
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar

import pytest

from mimicit.config import Endpoint
from mimicit.errors import TeacherError
from mimicit.schema import ImagePart, ImageRef, Message, Reply, Request
from mimicit.teachers import Unanswered, openai
from mimicit.teachers.openai import GARBLED_ATTEMPTS, OpenAITeacher
from mimicit.testing import FakeTeacher

T = TypeVar("T")
SCHEMA = '{"type":"object","properties":{"exchanges":{"type":"array","items":{"type":"object",'
SCHEMA += '"properties":{"instruction":{"type":"string"},"answer":{"type":"string"}}}}}}'
KEY = "a-very-secret-key"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if re.match(r"OPENAI_|AZURE_|SSL_CERT_|.*_PROXY$", name, re.IGNORECASE):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True, scope="module")
def frozen_imports() -> Iterator[None]:
    """Keep what was imported out of the many collections, which take ten times as long with it."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai, "PROBE_SECONDS", 0.3)


@pytest.fixture
def server() -> Iterator[FakeTeacher]:
    with FakeTeacher(latency=0) as running:
        yield running


def request(text: str = "A dog beside a cat on the grass.", *, picture: bool = False) -> Request:
    shown = (ImagePart("a" * 64, 0, ImageRef("LA_IMG_1", "/", "1.png")),) if picture else ()
    message = Message("user", (text, *shown))
    return Request("t", (message,), (("max_tokens", 99), ("temperature", 0.5)), SCHEMA)


def teach(url: str | None, use: Callable[[OpenAITeacher], Awaitable[T]], **given: float) -> T:
    """Use a teacher in a loop of its own, and close it."""

    async def run() -> T:
        times = {"total_timeout": 60.0, **given}  # rather fail than wait for ten minutes
        endpoint = Endpoint(url, **times)  # type: ignore[arg-type]  # only numbers
        teacher = OpenAITeacher("some-model", endpoint, lambda _: b"data:image/png;base64,QUJD")
        try:
            return await use(teacher)
        finally:
            await teacher.close()

    try:
        return asyncio.run(run())
    finally:
        gc.collect()  # what was left open warns, and a warning is an error


def answer(url: str | None, asked: Request | None = None, **given: float) -> Reply:
    return teach(url, lambda teacher: teacher.answer(asked or request()), **given)


def probe(url: str | None, asked: Request | None = None, **given: float) -> Reply:
    return teach(url, lambda teacher: teacher.probe(asked or request()), **given)


def unanswered(url: str, **given: float) -> Unanswered:
    with pytest.raises(Unanswered) as caught:
        answer(url, request(), **given)
    return caught.value


@dataclass
class Scripted:
    """A server that answers as it is told, and keeps what it was asked."""

    reply: Callable[["Scripted"], tuple[int, Any]]
    url: str = ""
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)


OK = {"choices": [{"message": {"content": "yes"}}], "model": "served"}


@contextmanager
def scripted(
    reply: Callable[[Scripted], tuple[int, Any]], context: ssl.SSLContext | None = None
) -> Iterator[Scripted]:
    asked = Scripted(reply)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["content-length"]))
            asked.paths.append(self.path)
            asked.headers.append({name.lower(): value for name, value in self.headers.items()})
            asked.bodies.append(json.loads(content))
            status, body = asked.reply(asked)
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.send_header("retry-after", "0")
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if context:
        listener.socket = context.wrap_socket(listener.socket, server_side=True)
    asked.url = f"http{'s' * bool(context)}://127.0.0.1:{listener.server_port}/v1"
    thread = threading.Thread(target=listener.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield asked
    finally:
        listener.shutdown()
        thread.join()
        listener.server_close()


def in_turn(*replies: tuple[int, Any]) -> Callable[[Scripted], tuple[int, Any]]:
    """Answer each call in turn, and the rest like the last."""
    return lambda asked: replies[min(len(asked.bodies), len(replies)) - 1]


def error(message: str, code: Any = None, kind: str = "invalid_request_error") -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


@pytest.fixture
def nobody() -> str:
    """Give a URL at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}/v1"


# ------------------------------------------------------------------------ a reply


def test_a_reply_comes_back_with_all_that_is_known_of_it(server: FakeTeacher) -> None:
    reply = answer(server.base_url)
    assert reply.key == request().key
    assert len(json.loads(reply.text)["exchanges"]) >= 3
    assert (reply.model, reply.finish_reason) == ("some-model", "stop")
    assert reply.input_tokens == 8
    assert reply.output_tokens == -(-len(reply.text) // 4)
    (call,) = server.calls
    asked = {"name": "reply", "strict": True, "schema": json.loads(SCHEMA)}
    assert call.body == {
        "model": "some-model",
        "messages": [{"role": "user", "content": "A dog beside a cat on the grass."}],
        "max_tokens": 99,
        "temperature": 0.5,
        "response_format": {"type": "json_schema", "json_schema": asked},
    }


@pytest.mark.usefixtures("impatient")
def test_a_server_that_is_not_there_is_named(nobody: str) -> None:
    with pytest.raises(TeacherError, match=re.escape(f"no answer from {nobody}: ")):
        probe(nobody)
    assert unanswered(nobody, total_timeout=0.5).reason in {"connection", "timeout"}


@pytest.mark.usefixtures("impatient")
def test_a_password_in_a_url_is_not_shown(nobody: str) -> None:
    url = nobody.replace("//", "//user:pa55word@")
    with pytest.raises(TeacherError, match=re.escape(nobody)) as told:
        probe(url)
    assert "pa55word" not in str(told.value)
    with (
        scripted(in_turn((404, error("No such thing.")))) as own,
        pytest.raises(TeacherError) as at,
    ):
        probe(own.url.replace("//", "//user:pa55word@"))
    assert "pa55word" not in str(at.value)


# ------------------------------------------------------------------------ probing


async def _probe_then_answer(teacher: OpenAITeacher) -> list[Reply]:
    return [await teacher.probe(request("one cat")), await teacher.answer(request("two cats"))]


def _schemas(bodies: Sequence[dict[str, Any]]) -> list[bool]:
    return ["response_format" in body for body in bodies]


@pytest.mark.parametrize(
    ("mode", "sent"),
    [
        ("obey", [True, True]),
        ("ignore", [True, True]),
        ("fence", [True, True]),
        ("reject", [True, True, False, False]),
        ("reject-400", [True, False, False]),
    ],
)
def test_the_probe_finds_out_whether_a_schema_may_be_sent(mode: str, sent: list[bool]) -> None:
    with FakeTeacher(latency=0, schema=mode) as server:
        replies = teach(server.base_url, _probe_then_answer)
        assert all(reply.text for reply in replies)
        assert _schemas([call.body for call in server.calls]) == sent


def test_one_chance_error_does_not_switch_the_schema_off(server: FakeTeacher) -> None:
    server.fail("500", times=1)
    teach(server.base_url, _probe_then_answer)
    assert _schemas([call.body for call in server.calls]) == [True] * 3


def test_too_many_requests_do_not_switch_the_schema_off(server: FakeTeacher) -> None:
    server.fail("500", times=2)
    server.fail("429", times=2, retry_after=0)
    teach(server.base_url, _probe_then_answer)
    sent = _schemas([call.body for call in server.calls])
    assert sent == [True, True, False, True, True, True]


TOKENS = "'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."


def _newer(asked: Scripted) -> tuple[int, Any]:
    refused = "max_tokens" in asked.bodies[-1]
    return (400, error(TOKENS, "unsupported_parameter")) if refused else (200, OK)


def test_the_name_of_the_length_limit_is_found_out() -> None:
    with scripted(_newer) as own:
        teach(own.url, _probe_then_answer)
    limits = [{k: v for k, v in body.items() if k.startswith("max")} for body in own.bodies]
    assert limits == [{"max_tokens": 99}, *[{"max_completion_tokens": 99}] * 2]
    assert _schemas(own.bodies) == [True] * 3


def test_other_errors_do_not_rename_the_length_limit() -> None:
    busy = (429, error("Too many tokens per minute: lower max_tokens.", "rate_limit_exceeded"))
    with scripted(in_turn(busy, (200, OK))) as own:
        teach(own.url, _probe_then_answer)
    assert [body.get("max_tokens") for body in own.bodies] == [99] * 3


TOO_LONG = [
    error("It exceeds the available size.", 400, "exceed_context_size_error"),
    error("Please lower max_tokens.", "context_length_exceeded"),
    {"object": "error", "message": "This model's maximum context length is 9.", "code": 400},
]


@pytest.mark.parametrize("body", TOO_LONG)
def test_a_request_that_is_too_long_says_nothing_of_the_others(body: dict[str, Any]) -> None:
    async def use(teacher: OpenAITeacher) -> None:
        for ask in (teacher.probe, teacher.answer):
            with pytest.raises(Unanswered) as caught:
                await ask(request())
            assert caught.value.reason == "status-400"
            assert body.get("error", body)["message"] in caught.value.detail
        await teacher.probe(request())

    with scripted(in_turn(*[(400, body)] * 2, (200, OK))) as own:
        teach(own.url, use)
    assert [body.get("max_tokens") for body in own.bodies] == [99] * 3
    assert _schemas(own.bodies) == [True] * 3


BLIND = "image input is not supported - hint: if this is unexpected, you may need to provide the "
BLIND += "mmproj"


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("status", [400, 500])
def test_a_model_that_cannot_see_is_told(status: int) -> None:
    with (
        scripted(in_turn((status, error(BLIND, status, "server_error")))) as own,
        pytest.raises(Unanswered, match=rf"{BLIND}.*--no-vision"),
    ):
        probe(own.url, request(picture=True))
    assert not all(_schemas(own.bodies))


@pytest.mark.parametrize("body", [{"error": "no such thing"}, {"detail": "no such thing"}])
def test_an_error_of_any_form_is_shown(body: dict[str, Any]) -> None:
    for status, kind in ((422, Unanswered), (404, TeacherError)):
        with scripted(in_turn((status, body))) as own, pytest.raises(kind, match="no such thing"):
            probe(own.url)
    with scripted(in_turn((400, b"no such thing"))) as own:
        assert unanswered(own.url).detail == "400 no such thing"


# ---------------------------------------------------------------------- answering


def faults(server: FakeTeacher) -> list[str]:
    return [call.fault for call in server.calls]


@pytest.mark.parametrize("kind", ["429", "500", "503"])
def test_each_passing_error_is_tried_again_once(server: FakeTeacher, kind: str) -> None:
    server.fail(kind, times=3, retry_after=0.01)
    assert answer(server.base_url).text
    assert faults(server) == [kind] * 3 + [""]


@pytest.mark.parametrize("kind", ["drop", "drop-midway", "garbage", "html", "empty"])
def test_a_broken_reply_is_asked_for_again(server: FakeTeacher, kind: str) -> None:
    server.fail(kind, times=2)
    assert answer(server.base_url).text
    assert faults(server) == [kind] * 2 + [""]


@pytest.mark.parametrize(("kind", "seconds"), [("hang", None), ("slow", 0.02)])
def test_an_attempt_may_take_only_so_long(
    server: FakeTeacher, kind: str, seconds: float | None
) -> None:
    server.fail(kind, times=1, seconds=seconds)
    assert answer(server.base_url, timeout=1.5).text
    assert faults(server) == [kind, ""]


def test_the_endpoint_says_how_long_nothing_is_sent(server: FakeTeacher) -> None:
    server.fail("429", times=1, retry_after=0.6)
    paused: list[float] = []

    async def use(teacher: OpenAITeacher) -> None:
        first = asyncio.create_task(teacher.answer(request("the first")))
        while not [call for call in server.calls if call.status]:
            await asyncio.sleep(0.01)
        since = time.monotonic()
        await teacher.answer(request("another"))
        paused.append(time.monotonic() - since)
        await first

    teach(server.base_url, use)
    assert server.count == 3
    assert paused[0] > 0.5, "the limit is the key's, not the request's"


@pytest.mark.parametrize("kind", ["garbage", "html", "empty"])
def test_a_garbled_reply_may_have_been_paid_for(server: FakeTeacher, kind: str) -> None:
    server.fail(kind)
    assert unanswered(server.base_url).reason == "garbled"
    assert server.count == GARBLED_ATTEMPTS


def test_only_garbled_replies_count_as_such(server: FakeTeacher) -> None:
    server.fail("429", times=2, retry_after=0)
    server.fail("garbage", times=2)
    assert answer(server.base_url).text
    assert faults(server) == ["429", "429", "garbage", "garbage", ""]


def test_the_total_timeout_ends_it(server: FakeTeacher) -> None:
    server.fail("hang", times=1)
    assert unanswered(server.base_url, total_timeout=1).reason == "timeout"
    server.fail("500", retry_after=0.05)  # the time may be up in an attempt, or between two
    assert unanswered(server.base_url, total_timeout=1).reason in {"status-500", "timeout"}
    assert server.count >= 3


def test_nobody_waits_longer_than_there_is_time(server: FakeTeacher) -> None:
    server.fail("429", retry_after=3600)
    assert unanswered(server.base_url).reason == "rate-limited"
    assert server.count == 1


def test_no_money_ends_it_at_once(server: FakeTeacher) -> None:
    server.fail("quota")
    with pytest.raises(TeacherError, match="the money is out: 429 You exceeded"):
        answer(server.base_url)
    assert server.count == 1
    for status, body in (
        (429, error("No credit.", 429, "insufficient_quota")),
        (402, error("No credit.")),
    ):
        for ask in (answer, probe):
            with (
                scripted(in_turn((status, body))) as own,
                pytest.raises(TeacherError, match="money"),
            ):
                ask(own.url)
            assert len(own.bodies) == 1


def test_what_is_refused_is_not_sent_again(server: FakeTeacher) -> None:
    server.fail("400")
    caught = unanswered(server.base_url)
    assert (caught.reason, caught.detail) == ("status-400", "400 The request is invalid.")
    assert server.count == 1


@pytest.mark.parametrize(
    ("kind", "finish"),
    [("content_filter", "content_filter"), ("refuse", "refusal"), ("truncate", "length")],
)
def test_what_the_model_will_not_say_is_a_reply(
    server: FakeTeacher, kind: str, finish: str
) -> None:
    server.fail(kind)
    for ask in (answer, probe):
        reply = ask(server.base_url)
        assert (reply.key, reply.finish_reason) == (request().key, finish)
        assert bool(reply.text) == (kind != "content_filter")
    assert server.count == 2


def test_what_is_given_up_leaves_nothing_open(server: FakeTeacher) -> None:
    server.fail("hang", times=8)

    async def use(teacher: OpenAITeacher) -> None:
        tasks = [asyncio.create_task(teacher.answer(request(f"cat {n}"))) for n in range(8)]
        while server.count < 8:
            await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(each) for each in ended} == {asyncio.CancelledError}
        assert (await teacher.answer(request())).text

    teach(server.base_url, use)
    assert server.count == 9
