"""A fake teacher: an OpenAI-compatible server on a real socket, free of charge.

    with FakeTeacher(latency=0.05) as server:
        client = openai.OpenAI(base_url=server.base_url, api_key="any")

It answers chat completions with plausible questions and answers that depend on the request
alone, and calls for embeddings with vectors of words. It keeps a record of every call, and
misbehaves on demand (`fail`), so that prompts and pipelines can be tried before anybody pays.
`python -m mimicit.testing` runs it by itself.
Standard library only; it listens on 127.0.0.1.
"""

import argparse
import asyncio
import json
import re
import signal
import socket
import threading
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn, Self, cast

from mimicit import _fake_batch
from mimicit import _fake_embeddings as embeddings
from mimicit import _fake_http as http
from mimicit._fake_batch import Batch, Desk
from mimicit._fake_http import Answer, Refused, Rule
from mimicit._fake_replies import Body, key_of
from mimicit._fake_wire import MAX_HEAD_BYTES, HttpRequest, read_request

FAULTS = (*http.ERRORS, "hang", "slow", "drop", "drop-midway", "garbage", "html", "empty")
FAULTS += ("truncate", "refuse", "refuse-text", "huge", *_fake_batch.FAULTS)
"""What `FakeTeacher.fail` can be asked for."""

LINE_FAULTS = frozenset(http.ERRORS) | {"truncate", "refuse", "refuse-text", "empty", "huge"}
"""Those that may befall a line of a batch, too."""

_CHAT = re.compile(r"(/openai)?/v1/chat/completions|/openai/deployments/[^/]+/chat/completions")


@dataclass(frozen=True, slots=True)
class Call:
    """One call for a chat completion, or for embeddings.

    Attributes:
        number: 1 for the first that arrived.
        key: Hex SHA-256 of `body` as JSON with sorted keys, ASCII letters and no spaces.
        body: What was sent, every `data:` URL replaced by "data:MIME;sha256=HEX;bytes=N";
            {} where it was no JSON object.
        path: What was asked for, with its query.
        headers: By lower-case name; a key reads "[hidden]".
        authorized: Whether the key was right; None where the server asks for none.
        fault: The fault it met, or "".
        status: What it was answered; 0 where nothing was, or not yet.
        batch: Id of the batch that it is a line of, or "".
    """

    number: int
    key: str
    body: Body
    path: str
    headers: dict[str, str]
    authorized: bool | None
    fault: str = ""
    status: int = 0
    batch: str = ""


class FakeTeacher:
    """A fake OpenAI-compatible server; it runs, in a thread of its own, inside `with`.

    The text of a reply depends on the messages, the model, the parameters and `seed`; on
    nothing else. `calls`, `fail` and `mend` may be used from any thread.

    Args:
        latency: Seconds before each answer.
        seed: Another one gives other replies.
        schema: What the server makes of `response_format`: "obey", "ignore" (questions and
            answers in prose), "reject" (500 to a JSON schema), "reject-400" (400 to it) or
            "fence" (JSON in a Markdown fence).
        api_key: The key it insists on, if any.
        models: The models it knows; any name will do where this is None.
        port: Where to listen; 0 for any free port.
        reply: Writes the text of each choice instead, given the request's body with its
            pictures. It runs in the server's thread and should not take long.
        rate_headers: Whether answers carry `x-ratelimit-…` headers.
        on_call: Is told of each call when it arrives, in the server's thread.
        batch_seconds: How long a batch takes.
    """

    def __init__(  # noqa: PLR0913  # what a server can be told, by keyword
        self,
        *,
        latency: float = 0.05,
        seed: int = 0,
        schema: str = "obey",
        api_key: str | None = None,
        models: Iterable[str] | None = None,
        port: int = 0,
        reply: Callable[[Body], str] | None = None,
        rate_headers: bool = True,
        on_call: Callable[[Call], None] | None = None,
        batch_seconds: float = 0.1,
    ) -> None:
        if schema not in http.SCHEMA_MODES:
            raise ValueError(f"schema is one of {', '.join(http.SCHEMA_MODES)}, not {schema!r}")
        self._latency, self._seed, self._schema = latency, seed, schema
        self._api_key, self._port, self._reply = api_key, port, reply
        self._models = None if models is None else tuple(models)
        self._rate_headers, self._on_call = rate_headers, on_call
        self._lock = threading.RLock()  # `where` may look at `calls`
        self._rules: list[Rule] = []
        self._calls: list[Call] = []
        self._active: set[int] = set()
        self._peak = self._answered = 0
        self._billed = (0, 0)
        self._desk = Desk(self._answer_line, self._befalls, batch_seconds)
        self._talks: dict[asyncio.Task[None], StreamWriter] = {}
        self._thread: threading.Thread | None = None

    @property
    def base_url(self) -> str:
        """Where clients find it, such as `http://127.0.0.1:40123/v1`."""
        if self._thread is None:
            raise RuntimeError("the server runs inside `with FakeTeacher(…) as server:` only")
        return f"http://127.0.0.1:{self._bound}/v1"

    @property
    def calls(self) -> list[Call]:
        """The calls so far, lines of batches among them, in order of arrival."""
        with self._lock:
            return list(self._calls)

    @property
    def count(self) -> int:
        """How many calls arrived, whatever became of them; without batches."""
        with self._lock:
            return sum(not call.batch for call in self._calls)

    @property
    def billed(self) -> tuple[int, int]:
        """Tokens sent and received that a bill for the live calls would state."""
        return self._billed

    @property
    def batch_billed(self) -> tuple[int, int]:
        """The same for the lines of batches."""
        return self._desk.billed()

    @property
    def batches(self) -> list[Batch]:
        """The batches so far, oldest first."""
        return self._desk.batches()

    @property
    def answered(self) -> int:
        """How many of them were sent a 200 reply to its end, faulty ones included."""
        return self._answered

    @property
    def peak(self) -> int:
        """The most calls that were being served at one moment."""
        return self._peak

    def fail(  # noqa: PLR0913  # all but the first by keyword
        self,
        kind: str,
        *,
        times: int | None = None,
        every: int | None = None,
        where: Callable[[Body], bool] | None = None,
        retry_after: float | None = None,
        seconds: float | None = None,
    ) -> None:
        """Let calls that are otherwise in order meet a fault; of several the first that applies.

        Args:
            kind: One of `FAULTS`.
            times: How often; for ever where this is None.
            every: Only each so-many-th call from now on (of those that `where` takes).
            where: Only calls whose body (as in `Call.body`) it says yes to.
            retry_after: Seconds for the Retry-After header of a "429", "500" or "503".
            seconds: Pause between the bytes of a "slow" reply; 0.1 by default.

        Raises:
            ValueError: there is no such fault, or a number makes no sense.
        """
        if kind not in FAULTS:
            raise ValueError(f"unknown fault {kind!r}; known: {', '.join(FAULTS)}")
        given = ((times, 1), (every, 1), (retry_after, 0), (seconds, 0))
        if any(number is not None and number < least for number, least in given):
            raise ValueError("times and every must be at least 1, retry_after and seconds 0")
        with self._lock:
            self._rules.append(Rule(kind, times, every, where, retry_after, seconds))

    def mend(self) -> None:
        """Drop all faults; calls that met one already are not helped."""
        with self._lock:
            self._rules.clear()

    def __enter__(self) -> Self:
        if self._thread is not None:
            raise RuntimeError("this server runs already")
        # Bound here, so that a port in use is reported where it was asked for.
        listener = socket.create_server(("127.0.0.1", self._port), backlog=1024)
        self._bound: int = listener.getsockname()[1]
        self._loop, self._stop = asyncio.new_event_loop(), asyncio.Event()
        self._thread = threading.Thread(
            target=self._run, args=(listener,), name="fake-teacher", daemon=True
        )
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop at once, whatever is under way."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            thread.join()

    def _run(self, listener: socket.socket) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._listen(listener))

    async def _listen(self, listener: socket.socket) -> None:
        server = await asyncio.start_server(self._talk, sock=listener, limit=MAX_HEAD_BYTES)
        await self._stop.wait()
        server.close()
        await asyncio.sleep(0)  # connections just accepted get their task
        while self._talks:
            talks = dict(self._talks)
            for task, writer in talks.items():
                writer.transport.abort()
                task.cancel()
            await asyncio.gather(*talks, return_exceptions=True)
        await server.wait_closed()

    async def _talk(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Serve one connection."""
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._talks[task] = writer
        try:
            # Cancelled by `_listen` only; Python 3.11 would report it as an error of ours.
            with suppress(OSError, EOFError, asyncio.CancelledError):
                while await self._serve(reader, writer):
                    pass
        finally:
            writer.close()
            with suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()
            del self._talks[task]

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> bool:
        """Answer one request; say whether the connection goes on."""
        try:
            request = await read_request(reader, writer)
        except Refused as refused:
            writer.write(refused.answer.head(keep=False) + b"".join(refused.answer.pieces))
            writer.write_eof()
            with suppress(TimeoutError):  # closed at once, unread bytes would void the answer
                async with asyncio.timeout(1):
                    while await reader.read(MAX_HEAD_BYTES):
                        pass
            return False
        path = request.path.partition("?")[0]
        if request.method == "POST" and (_CHAT.fullmatch(path) or embeddings.asked(path)):
            return await self._complete(request, reader, writer)
        answer = self._browse(request)
        writer.write(answer.head(keep=request.keep) + answer.pieces[0])
        await writer.drain()
        return request.keep and request.method != "HEAD"

    def _browse(self, request: HttpRequest) -> Answer:
        path = request.path.partition("?")[0]
        if http.authorized(request.headers, self._api_key) is False:
            return Refused(*http.ERRORS["401"]).answer
        if self._desk.serves(path):
            try:
                return self._desk.handle(request)
            except Refused as refused:
                return refused.answer
        if (request.method, path) != ("GET", "/v1/models"):
            return Refused(
                404, f"Unknown request URL: {request.method} {path}", "unknown_url"
            ).answer
        names = ("fake-teacher",) if self._models is None else self._models
        listed = [{"id": name, "object": "model", "created": 0, "owned_by": "me"} for name in names]
        return Answer(200, (json.dumps({"object": "list", "data": listed}).encode(),))

    def _befalls(self, kind: str) -> bool:
        """Tell whether a fault befalls a batch, and use it up."""
        with self._lock:
            for rule in self._rules:
                if rule.kind == kind and rule.strikes({}):
                    rule.times = None if rule.times is None else rule.times - 1
                    return True
        return False

    def _answer_line(self, body: bytes, batch: str) -> tuple[Answer, tuple[int, int]]:
        """Answer a line of a batch as if it had come live."""
        request = HttpRequest("POST", "/v1/chat/completions", {}, body, keep=True)
        call, rule, answer = self._arrive(request, batch)
        rule = rule if rule and rule.kind in LINE_FAULTS else None
        answer = answer or self._write(request, call, rule)
        with self._lock:
            self._calls[call.number - 1] = replace(call, status=answer.status)
        return answer, answer.billed

    async def _complete(
        self, request: HttpRequest, reader: StreamReader, writer: StreamWriter
    ) -> bool:
        call, rule, answer = self._arrive(request)
        self._active.add(call.number)
        self._peak = max(self._peak, len(self._active))
        try:
            if self._latency:
                await asyncio.sleep(self._latency)
            if call.fault == "hang":
                while await reader.read(MAX_HEAD_BYTES):
                    pass
            if call.fault in {"hang", "drop"}:
                return False
            answer = answer or self._write(request, call, rule)
            await self._send(call, answer, writer, keep=request.keep)
        finally:
            self._active.discard(call.number)
        return request.keep and not answer.missing

    def _arrive(
        self, request: HttpRequest, batch: str = ""
    ) -> tuple[Call, Rule | None, Answer | None]:
        """Record a call, with the fault it is to meet or the error it deserves."""
        headers = dict(request.headers)
        headers |= {name: "[hidden]" for name in ("authorization", "api-key") if name in headers}
        authorized = None if batch else http.authorized(request.headers, self._api_key)
        answer = Refused(*http.ERRORS["401"]).answer if authorized is False else None
        body: Body = {}
        rule = None
        try:
            body = http.parse(request.content)
            if answer is None:
                check = embeddings.check if embeddings.asked(request.path) else http.check
                check(body, self._models)
                rule = self._strike(body)
        except Refused as refused:
            answer = answer or refused.answer
        key, fault = key_of(body), rule.kind if rule else ""
        with self._lock:
            number = len(self._calls) + 1
            call = Call(number, key, body, request.path, headers, authorized, fault, batch=batch)
            self._calls.append(call)
        if self._on_call is not None:
            self._on_call(call)
        return call, rule, answer

    def _strike(self, body: Body) -> Rule | None:
        """Find the fault that a call is to meet. Every rule counts the call, one is used up."""
        with self._lock:
            try:
                live = [rule for rule in self._rules if rule.kind not in _fake_batch.FAULTS]
                striking = [rule for rule in live if rule.strikes(body)]
            except Exception as error:
                raise Refused(500, f"where(…) raised {error!r}", kind="fake_teacher") from error
            for rule in striking[:1]:
                rule.times = None if rule.times is None else rule.times - 1
                return rule
        return None

    def _write(self, request: HttpRequest, call: Call, rule: Rule | None) -> Answer:
        """Write the answer to a call that is in order, as its fault has it."""
        rule = rule or Rule("")
        if embeddings.asked(call.path):
            return embeddings.answer(call.body, rule)
        rates = http.rates(call.body, len(self._active), failed=rule.kind in http.ERRORS)
        rates = rates if self._rate_headers else {}
        if failed := http.failure(rule.kind, rule.retry_after, rates):
            return failed
        write = self._reply
        reply = None if write is None else lambda: write(json.loads(request.content))
        try:
            texts = http.texts_for(call.body, self._seed, self._schema, reply)
        except Refused as refused:
            return refused.answer
        answer = http.success(call.body, call.key, texts, rule)
        named = {"x-request-id": f"req_{call.number:06}_{call.key[:16]}"}
        return replace(answer, headers=named | rates)

    async def _send(self, call: Call, answer: Answer, writer: StreamWriter, *, keep: bool) -> None:
        with self._lock:
            self._calls[call.number - 1] = replace(call, status=answer.status)
            sent, received = answer.billed
            self._billed = self._billed[0] + sent, self._billed[1] + received
        rest = answer.head(keep=keep and not answer.missing)
        for piece in answer.pieces[:-1]:
            writer.write(rest + piece)
            rest = b""
            await writer.drain()
            await asyncio.sleep(answer.pause)
        # Before the last bytes leave, so that whoever has read them finds the call over.
        self._active.discard(call.number)
        whole = answer.status == 200 and not answer.missing
        self._answered += whole
        try:
            writer.write(rest + answer.pieces[-1])
            await writer.drain()
        except BaseException:
            self._answered -= whole
            raise


def _stop(*_: object) -> NoReturn:
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)  # once is enough: a second must not spoil the end
    raise SystemExit(0)


def main() -> None:
    """Run a server in the foreground until it is interrupted or terminated."""
    parser = argparse.ArgumentParser(prog="python -m mimicit.testing", description=main.__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 for any free one")
    parser.add_argument("--latency", type=float, default=0.05, help="seconds before each answer")
    parser.add_argument("--schema", choices=http.SCHEMA_MODES, default="obey")
    parser.add_argument("--batch-seconds", type=float, default=1, help="how long a batch takes")
    parser.add_argument("--count-file", type=Path, help="gets a line a call: its key and its fault")
    given = parser.parse_args()

    def note(call: Call) -> None:
        with given.count_file.open("a") as file:  # anew each time: it may be moved away
            file.write(f"{call.key} {'batch' if call.batch else call.fault or '-'}\n")

    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, _stop)
    options = {"port": given.port, "latency": given.latency, "schema": given.schema}
    options["batch_seconds"] = given.batch_seconds
    with FakeTeacher(**options, on_call=note if given.count_file else None) as server:
        print(server.base_url, flush=True)  # noqa: T201
        threading.Event().wait()


if __name__ == "__main__":
    main()
