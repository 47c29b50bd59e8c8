"""The way to an endpoint and back: connections, replies, redirects and proxies."""

import asyncio
import base64
import gc
import gzip
import json
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme
from test_teacher import (
    KEY,
    bare_environment,  # noqa: F401  # used by every test
    frozen_imports,  # noqa: F401  # used by every test
    nobody,  # noqa: F401  # a fixture
    request,
    teach,
)

from mimicit.config import Endpoint
from mimicit.errors import UsageError
from mimicit.schema import Reply, Request
from mimicit.teachers import Unanswered, transport
from mimicit.teachers.limits import Limits
from mimicit.teachers.openai import GARBLED_ATTEMPTS, OpenAITeacher
from mimicit.teachers.wire import request_body
from mimicit.testing import FakeTeacher

OK = b'{"choices":[{"message":{"content":"yes"}}],"model":"served"}'
PICTURE = b"data:image/png;base64,QUJD"


@dataclass
class Served:
    """A server that keeps connections open, and what came to it.

    Attributes:
        connections: How many were made.
        idle: Is set while no connection to it is open.
    """

    url: str = ""
    methods: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    connections: int = 0
    idle: threading.Event = field(default_factory=threading.Event)


class Handler(BaseHTTPRequestHandler):
    """Keeps what comes, and has it answered by `handle_one`."""

    protocol_version = "HTTP/1.1"
    timeout = 10
    served: Served
    handle_one: Callable[["Handler"], None]

    def setup(self) -> None:
        super().setup()
        self.served.connections += 1
        self.served.idle.clear()

    def finish(self) -> None:
        super().finish()
        self.served.idle.set()

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.served.methods.append(self.command)
        self.served.paths.append(self.path)
        self.served.headers.append({n.lower(): value for n, value in self.headers.items()})
        self.served.bodies.append(content)
        type(self).handle_one(self)

    do_GET = do_CONNECT = do_POST  # noqa: N815  # names that http.server calls

    def say(self, status: int, content: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


class Quiet(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Say nothing: clients go away in the middle of what they are told."""


@contextmanager
def serving(
    handle_one: Callable[[Handler], None], context: ssl.SSLContext | None = None
) -> Iterator[Served]:
    served = Served()
    listener = Quiet(
        ("127.0.0.1", 0), type("Own", (Handler,), {"served": served, "handle_one": handle_one})
    )
    if context:
        listener.socket = context.wrap_socket(listener.socket, server_side=True)
    served.url = f"http{'s' * bool(context)}://127.0.0.1:{listener.server_port}/v1"
    thread = threading.Thread(target=listener.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield served
    finally:
        listener.shutdown()
        thread.join()
        listener.server_close()


def yes(handler: Handler) -> None:
    handler.say(200, OK)


class Purse:
    """Counts the attempts that may have been charged for."""

    def __init__(self, allowed: int = 99, limits: Limits | None = None) -> None:
        self.doubts = 0
        self._allowed = allowed
        self._limits = limits

    def tokens(self, _request: Request) -> tuple[int, int]:
        return 10, 10

    async def doubt(self, _request: Request) -> None:
        assert not (self._limits and self._limits.under_way), "it holds no slot meanwhile"
        self.doubts += 1
        if self.doubts > self._allowed:
            raise Unanswered("budget", "spent in vain")


def ask(
    url: str | None,
    *,
    purse: Purse | None = None,
    limits: Limits | None = None,
    asked: Request | None = None,
    attach: bytes = PICTURE,
    between: Callable[[], object] = lambda: None,
    times: int = 1,
    **given: float,
) -> list[Reply]:
    """Ask one after the other, over one teacher; call `between` after each."""

    async def run() -> list[Reply]:
        endpoint = Endpoint(url, **{"total_timeout": 30.0, **given})  # type: ignore[arg-type]  # numbers
        teacher = OpenAITeacher("some-model", endpoint, lambda _: attach, limits, purse)
        try:
            replies = []
            for _ in range(times):
                replies.append(await teacher.answer(asked or request()))
                await asyncio.to_thread(between)
            return replies
        finally:
            await teacher.close()

    try:
        return asyncio.run(run())
    finally:
        gc.collect()  # what was left open warns, and a warning is an error


# ------------------------------------------------------------------- connections


def test_one_connection_serves_one_request_after_the_other() -> None:
    with serving(yes) as own:
        assert len(ask(own.url, times=20)) == 20
        assert own.connections == 1


def test_64_answers_are_under_way_at_once() -> None:
    async def use(teacher: OpenAITeacher) -> list[Reply]:
        return await asyncio.gather(*(teacher.answer(request(f"cat {n}")) for n in range(64)))

    with FakeTeacher(latency=0.5) as server:
        replies = teach(server.base_url, use)
        assert [reply.key for reply in replies] == [request(f"cat {n}").key for n in range(64)]
        assert server.peak > 32


def test_a_connection_that_was_closed_while_idle_is_no_failure() -> None:
    def answer_and_leave(handler: Handler) -> None:
        yes(handler)
        handler.close_connection = True  # without a word of it in the headers

    def left() -> None:
        own.idle.wait(5)
        time.sleep(0.2)  # what is closed over there takes a moment to be known here

    purse = Purse()
    with serving(answer_and_leave) as own:
        ask(own.url, times=3, purse=purse, between=left)
        assert (own.connections, len(own.bodies), purse.doubts) == (3, 3, 0)


def test_a_request_that_a_closing_connection_swallowed_is_sent_again() -> None:
    def forget_the_second(handler: Handler) -> None:
        if len(handler.served.bodies) == 2:
            handler.close_connection = True
        else:
            yes(handler)

    purse = Purse()
    with serving(forget_the_second) as own:
        assert len(ask(own.url, times=2, purse=purse)) == 2
        assert (own.connections, len(own.bodies)) == (2, 3)
    assert purse.doubts == 1, "whether it was answered, and charged for, cannot be known"


def test_no_cookie_is_kept() -> None:
    with serving(lambda handler: handler.say(200, OK, set_cookie="a=b; Path=/")) as own:
        ask(own.url, times=2)
    assert not any("cookie" in headers for headers in own.headers)


# -------------------------------------------------------------- bodies and replies


def test_large_pictures_are_sent_as_they_are() -> None:
    url = b"data:image/jpeg;base64," + base64.b64encode(bytes(range(256)) * 12_000)
    asked = request(picture=True)
    with serving(yes) as own:
        ask(own.url, asked=asked, attach=url)
    assert len(own.bodies[0]) > 4_000_000
    assert json.loads(own.bodies[0]) == request_body(asked, "some-model", lambda _: url)


def test_a_compressed_reply_is_read() -> None:
    def compressed(handler: Handler) -> None:
        handler.say(200, gzip.compress(OK), content_encoding="gzip")

    with serving(compressed) as own:
        assert ask(own.url)[0].text == "yes"
    assert "gzip" in own.headers[0]["accept-encoding"]


def test_a_reply_with_half_a_surrogate_pair_is_kept() -> None:
    with serving(lambda h: h.say(200, OK.replace(b"yes", rb"cut \ud83d"))) as own:
        assert ask(own.url)[0].text == "cut \ud83d"


def test_a_reply_without_end_is_not_bought_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MAX_REPLY_BYTES", 1000)
    purse = Purse()
    with serving(lambda h: h.say(200, OK + b" " * 1000)) as own:
        with pytest.raises(Unanswered, match="a reply of more than") as caught:
            ask(own.url, purse=purse)
        assert caught.value.reason == "garbled"
        assert len(own.bodies) == purse.doubts == GARBLED_ATTEMPTS


def test_a_compressed_reply_counts_as_long_as_it_gets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MAX_REPLY_BYTES", 100_000)
    bomb = gzip.compress(OK + b" " * 10_000_000)
    assert len(bomb) < 100_000
    with (
        serving(lambda h: h.say(200, bomb, content_encoding="gzip")) as own,
        pytest.raises(Unanswered) as caught,
    ):
        ask(own.url)
    assert caught.value.reason == "garbled"


def test_the_start_of_a_long_error_says_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MAX_REPLY_BYTES", 1000)
    with (
        serving(lambda h: h.say(422, b"No such thing. " * 1000)) as own,
        pytest.raises(Unanswered, match=r"^status-422: 422 No such thing\."),
    ):
        ask(own.url)


# --------------------------------------------------------------------- redirects


def _keys(headers: dict[str, str]) -> set[str]:
    return {name for name, value in headers.items() if KEY in value}


@pytest.mark.parametrize("azure", [False, True])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_another_host_is_given_no_key(
    status: int, *, azure: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        serving(yes) as other,
        serving(lambda h: h.say(status, location=f"{other.url}/there")) as own,
    ):
        if azure:
            monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", own.url)
            monkeypatch.setenv("AZURE_OPENAI_API_KEY", KEY)
            monkeypatch.setenv("OPENAI_API_VERSION", "2024-10-21")
        else:
            monkeypatch.setenv("OPENAI_API_KEY", KEY)
            monkeypatch.setenv("OPENAI_ORG_ID", f"org-{KEY}")
        assert ask(None if azure else own.url)[0].text == "yes"
    assert _keys(own.headers[0])
    assert not _keys(other.headers[0])
    assert other.headers[0]["user-agent"] == own.headers[0]["user-agent"]
    keeps = status in {307, 308}
    assert other.methods == ["POST" if keeps else "GET"]
    assert other.bodies == [own.bodies[0] if keeps else b""]


def test_the_same_host_is_given_the_key_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def move(handler: Handler) -> None:
        moved = handler.path.startswith("/there")
        handler.say(200, OK) if moved else handler.say(307, location="/there?a=b%20c")

    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serving(move) as own:
        assert ask(own.url)[0].text == "yes"
    assert own.paths == ["/v1/chat/completions", "/there?a=b%20c"]
    assert [_keys(headers) for headers in own.headers] == [{"authorization"}] * 2


@pytest.mark.parametrize("place", ["/v1/chat/completions", "ftp://host/", "http://[", ""])
def test_a_redirect_that_leads_nowhere_is_a_refusal(place: str) -> None:
    with (
        serving(lambda handler: handler.say(307, location=place)) as own,
        pytest.raises(Unanswered) as caught,
    ):
        ask(own.url)
    assert caught.value.reason == "status-307"
    assert len(own.bodies) == (transport.REDIRECTS + 1 if place.startswith("/") else 1)


# ----------------------------------------------------------------------- proxies


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
def test_a_proxy_is_told_its_own_password(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serving(yes) as proxy:
        place = proxy.url.removeprefix("http://").removesuffix("/v1")
        monkeypatch.setenv(name, f"http://me:pa%40ss@{place}")
        assert ask("http://far.example/v1", times=2)[0].text == "yes"
        assert proxy.connections == 1
    assert proxy.paths == ["http://far.example/v1/chat/completions"] * 2
    told = {headers["proxy-authorization"] for headers in proxy.headers}
    assert told == {f"Basic {base64.b64encode(b'me:pa@ss').decode()}"}
    assert proxy.headers[0]["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("form", ["127.0.0.1", "127.0.0.1:{port}", "*", "else.example, 127.0.0.1"])
@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
def test_what_needs_no_proxy_is_reached_without(
    name: str,
    form: str,
    nobody: str,  # noqa: F811  # the fixture
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", nobody)
    with serving(yes) as own:
        port = own.url.rpartition(":")[2].removesuffix("/v1")
        monkeypatch.setenv(name, form.format(port=port))
        assert ask(own.url)[0].text == "yes"


@pytest.mark.parametrize("scheme", ["socks5", "ftp"])
def test_a_proxy_of_another_kind_is_told(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", f"{scheme}://me:pa55word@127.0.0.1:1")
    with pytest.raises(UsageError, match="PROXY") as told:
        ask("http://far.example/v1")
    assert "pa55word" not in str(told.value)


def _tunnel(handler: Handler) -> None:
    """Connect to where a client wants, and pass on what both say."""
    host, _, port = handler.path.rpartition(":")
    with socket.create_connection((host, int(port))) as far:
        handler.wfile.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        handler.close_connection = True
        other = {far: handler.connection, handler.connection: far}
        while True:
            for ready in select.select(list(other), [], [], 10)[0]:
                if not (data := ready.recv(65536)):
                    return
                other[ready].sendall(data)


def test_a_tunnel_through_a_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serving(_tunnel) as proxy, serving(yes, context) as own:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("//", "//me:pa55word@"))
        assert ask(own.url, times=2)[1].text == "yes"
    assert proxy.methods == ["CONNECT"]
    assert proxy.headers[0]["proxy-authorization"].startswith("Basic ")
    assert not _keys(proxy.headers[0])
    assert "proxy-authorization" not in own.headers[0]


def test_a_proxy_that_refuses_is_told_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(lambda handler: handler.say(407)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("//", "//me:pa55word@"))
        with pytest.raises(Unanswered, match="407") as told:
            ask("https://far.example/v1", total_timeout=1.0)
    assert "pa55word" not in str(told.value)
