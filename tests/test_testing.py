"""The fake teacher, over real sockets."""

import array
import base64
import hashlib
import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from mimicit.checks import LEAKS, text_problem
from mimicit.testing import FAULTS, FakeTeacher

PATH = "/v1/chat/completions"
SENTENCE = "A dog beside a cat on the grass."


def ask(text: str = SENTENCE, **more: Any) -> dict[str, Any]:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]
    return {"model": "m", "messages": messages, **more}


def schema(inner: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": inner, "strict": True}}


TEXT = {"type": "string"}
EXCHANGE = {
    "type": "object",
    "properties": {"instruction": TEXT, "answer": TEXT, "kind": TEXT},
    "required": ["instruction", "answer", "kind"],
    "additionalProperties": False,
}
EXCHANGES = {
    "type": "object",
    "properties": {"exchanges": {"type": "array", "items": {"$ref": "#/$defs/Exchange"}}},
    "required": ["exchanges"],
    "$defs": {"Exchange": EXCHANGE},
}


class Client:
    """One connection, kept open from request to request."""

    def __init__(self, server: FakeTeacher) -> None:
        port = int(server.base_url.split(":")[2].split("/")[0])
        self.line = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def send(
        self, body: object, path: str = PATH, method: str = "POST", **headers: str
    ) -> tuple[int, Any, dict[str, str]]:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        spelt = {name.replace("_", "-"): value for name, value in headers.items()}
        self.line.request(method, path, None if method == "GET" else content, spelt)
        with self.line.getresponse() as response:
            raw = response.read()
            fields = {name.lower(): value for name, value in response.getheaders()}
        is_json = fields["content-type"] == "application/json" and raw[:1] == b"{"
        return response.status, json.loads(raw) if is_json else raw, fields

    def text(self, body: object) -> str:
        status, answer, _ = self.send(body)
        assert status == 200, answer
        text: str = answer["choices"][0]["message"]["content"]
        return text

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.line.close()


@pytest.fixture
def server() -> Iterator[FakeTeacher]:
    with FakeTeacher(latency=0) as running:
        yield running


@pytest.fixture
def client(server: FakeTeacher) -> Iterator[Client]:
    with Client(server) as open_line:
        yield open_line


def raw(server: FakeTeacher, data: bytes) -> bytes:
    """Send bytes and read until the server hangs up."""
    port = int(server.base_url.split(":")[2].split("/")[0])
    with socket.create_connection(("127.0.0.1", port), timeout=30) as line:
        line.sendall(data)
        line.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: line.recv(65536), b""))


# -------------------------------------------------------------------- replies


def test_the_reply_is_a_chat_completion(client: Client) -> None:
    status, answer, headers = client.send(ask())
    assert status == 200
    assert answer["object"] == "chat.completion"
    assert answer["model"] == "m"
    (choice,) = answer["choices"]
    assert choice["finish_reason"] == "stop"
    usage = answer["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert headers["x-request-id"]
    assert int(headers["x-ratelimit-remaining-requests"]) > 0


def test_the_exchanges_are_fit_to_be_published(client: Client) -> None:
    replies = set()
    for number in range(60):
        text = client.text(ask(f"{SENTENCE} <image> [INST] caption {number} annotation sorry"))
        exchanges = json.loads(text)["exchanges"]
        assert 3 <= len(exchanges) <= 5
        assert len({each["instruction"] for each in exchanges}) == len(exchanges)
        for each in exchanges:
            assert set(each) == {"instruction", "answer", "kind"}
            for words in (each["instruction"], each["answer"]):
                assert not text_problem(words)
                assert not LEAKS.search(words)
                for banned in ("caption", "annotation", "bounding", "descri", "mention", "sorry"):
                    assert banned not in words.lower()
        assert any(word in text for word in ("dog", "cat", "grass"))
        replies.add(text)
    assert len(replies) == 60


@pytest.mark.parametrize("text", ["", "12 345", "Ünïcödé", "\ud800", "a dog", "x" * 100_000])
def test_any_message_is_answered(client: Client, text: str) -> None:
    assert json.loads(client.text(ask(text)))["exchanges"]


def test_the_same_request_gets_the_same_reply_whatever_happened_before(client: Client) -> None:
    body = ask(temperature=0.5)
    text = client.text(body)
    with FakeTeacher(latency=0.01) as other, Client(other) as second:
        other.fail("500", times=2)
        assert [second.send(body)[0] for _ in range(2)] == [500, 500]
        second.text(ask("Something else."))
        assert second.text(body) == text
    assert client.text(body) == text
    assert client.text({**body, "user": "me"}) == text
    for change in ({"temperature": 0.6}, {"model": "other"}, ask("Another dog.")):
        assert client.text({**body, **change}) != text
    with FakeTeacher(latency=0, seed=1) as other, Client(other) as third:
        assert third.text(body) != text


def test_several_choices_differ_and_the_first_is_as_if_alone(client: Client) -> None:
    choices = client.send(ask(n=3))[1]["choices"]
    texts = [choice["message"]["content"] for choice in choices]
    assert len(set(texts)) == 3
    assert texts[0] == client.text(ask())


def test_a_reply_of_ones_own_is_given_the_pictures() -> None:
    url = "data:image/png;base64,QUJD"
    part = {"type": "image_url", "image_url": {"url": url}}
    body = {"model": "m", "messages": [{"role": "user", "content": [part]}]}

    def reply(given: dict[str, Any]) -> str:
        assert given == body
        return "mine"

    with FakeTeacher(latency=0, reply=reply) as server, Client(server) as client:
        assert client.text(body) == "mine"


def test_a_reply_of_ones_own_that_fails_is_reported() -> None:
    with FakeTeacher(latency=0, reply=lambda body: body["no"]) as server, Client(server) as client:
        status, answer, _ = client.send(ask())
    assert status == 500
    assert "KeyError" in answer["error"]["message"]


# -------------------------------------------------------------------- schemas


def test_each_schema_mode_wraps_the_same_exchanges() -> None:
    body = ask(response_format=schema(EXCHANGES))
    texts = {}
    for mode in ("obey", "ignore", "fence"):
        with FakeTeacher(latency=0, schema=mode) as server, Client(server) as client:
            texts[mode] = client.text(body)
    for mode in ("reject", "reject-400"):
        with FakeTeacher(latency=0, schema=mode) as server, Client(server) as client:
            assert client.send(body)[0] == (500 if mode == "reject" else 400)
            texts[mode] = client.text(ask())
    assert texts["obey"] == texts["reject"] == texts["reject-400"]
    before, fenced, _ = texts["fence"].split("```")
    assert before
    assert fenced == f"json\n{texts['obey']}\n"
    pairs = [block.split("\nAnswer: ") for block in texts["ignore"].split("\n\n")]
    assert [(ask.removeprefix("Question: "), answer) for ask, answer in pairs] == [
        (each["instruction"], each["answer"]) for each in json.loads(texts["obey"])["exchanges"]
    ]


def test_the_kinds_and_bounds_of_a_schema_are_kept(client: Client) -> None:
    kind = {"enum": ["what", "why"]}
    item = {**EXCHANGE, "properties": {**EXCHANGE["properties"], "kind": kind}}  # type: ignore[dict-item]
    listed = {"type": "array", "items": item, "minItems": 6}
    wanted = {"type": "object", "properties": {"exchanges": listed}, "required": ["exchanges"]}
    exchanges = json.loads(client.text(ask(response_format=schema(wanted))))["exchanges"]
    assert len(exchanges) == 6
    assert {each["kind"] for each in exchanges} <= {"what", "why"}


def test_another_schema_gets_a_small_instance(client: Client) -> None:
    wanted = {
        "type": "object",
        "properties": {
            "verdict": {"enum": ["yes", "no"]},
            "score": {"type": "integer", "minimum": 3, "maximum": 5},
            "share": {"type": "number"},
            "sure": {"type": "boolean"},
            "nothing": {"type": "null"},
            "always": {"const": 7},
            "maybe": {"anyOf": [{"type": "null"}, {"type": "string", "minLength": 20}]},
            "tree": {"$ref": "#/$defs/Tree"},
            "spare": {"type": "string"},
        },
        "required": ["verdict", "score", "share", "sure", "nothing", "always", "maybe", "tree"],
        "$defs": {
            "Tree": {
                "type": "object",
                "properties": {"kids": {"type": "array", "items": {"$ref": "#/$defs/Tree"}}},
                "required": ["kids"],
            }
        },
    }
    body = ask(response_format=schema(wanted))
    value = json.loads(client.text(body))
    assert set(value) == set(wanted["required"])
    assert value["verdict"] in {"yes", "no"}
    assert 3 <= value["score"] <= 5
    assert isinstance(value["share"], int | float)
    assert isinstance(value["sure"], bool)
    assert value["nothing"] is None
    assert value["always"] == 7
    assert value["maybe"] is None or len(value["maybe"]) >= 20
    assert isinstance(value["tree"]["kids"], list)
    assert json.loads(client.text(body)) == value


@pytest.mark.parametrize(
    "inner",
    [
        None,
        {"$ref": "#"},
        {"$ref": "#/$defs/gone"},
        {"type": "object", "required": ["a"], "properties": {"a": {"$ref": "#"}}},
        {"type": "magic"},
        {"enum": []},
        {"type": "object", "required": 5},
        {"type": "integer", "minimum": "low"},
    ],
)
def test_a_schema_that_cannot_be_followed_is_refused(client: Client, inner: Any) -> None:
    status, answer, _ = client.send(ask(response_format=schema(inner)))
    assert status == 400
    assert "schema" in answer["error"]["message"]


# --------------------------------------------------------------------- faults


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("429", 429, "rate_limit_exceeded"),
        ("quota", 429, "insufficient_quota"),
        ("500", 500, None),
        ("503", 503, None),
        ("400", 400, None),
        ("401", 401, "invalid_api_key"),
        ("content_filter", 400, "content_filter"),
    ],
)
def test_an_error_is_answered_as_the_real_ones_are(
    server: FakeTeacher, client: Client, kind: str, status: int, code: str | None
) -> None:
    server.fail(kind, times=1, retry_after=0.25)
    found, answer, headers = client.send(ask())
    assert found == status
    assert set(answer["error"]) == {"message", "type", "param", "code"}
    assert answer["error"]["code"] == code
    if kind in {"429", "503"}:
        assert headers["retry-after"] == "0.25"
    if kind == "quota":
        assert "retry-after" not in headers
    assert client.send(ask())[0] == 200
    assert [(call.fault, call.status) for call in server.calls] == [(kind, status), ("", 200)]
    assert (server.count, server.answered) == (2, 1)


@pytest.mark.parametrize("kind", ["garbage", "html"])
def test_a_200_may_hold_no_json(server: FakeTeacher, client: Client, kind: str) -> None:
    server.fail(kind)
    status, answer, headers = client.send(ask())
    assert status == 200
    assert ("text/html" in headers["content-type"]) == (kind == "html")
    with pytest.raises(ValueError):  # noqa: PT011  # either kind of
        json.loads(answer)


def test_a_reply_can_be_empty_cut_or_a_refusal(server: FakeTeacher, client: Client) -> None:
    whole = client.text(ask())
    for kind in ("empty", "truncate", "refuse", "refuse-text"):
        server.fail(kind, times=1)
    empty, cut, refusal, excuse = (client.send(ask())[1]["choices"] for _ in range(4))
    assert empty == []
    assert cut[0]["finish_reason"] == "length"
    assert cut[0]["message"]["content"] == whole[: len(whole) // 2]
    assert refusal[0]["finish_reason"] == "stop"
    assert refusal[0]["message"]["content"] is None
    assert refusal[0]["message"]["refusal"]
    assert excuse[0]["message"]["content"] == "I'm sorry, but I can't assist with that."


def test_a_huge_reply_is_well_formed(server: FakeTeacher, client: Client) -> None:
    server.fail("huge")
    assert len(client.text(ask(model="HUGE"))) == 50_000_000


def test_a_slow_reply_is_whole_in_the_end(server: FakeTeacher, client: Client) -> None:
    whole = client.text(ask())
    server.fail("slow", seconds=0)
    assert client.text(ask()) == whole


def test_a_dropped_connection_carries_no_reply(server: FakeTeacher) -> None:
    server.fail("drop", times=1)
    server.fail("drop-midway", times=1)
    with Client(server) as client, pytest.raises(http.client.RemoteDisconnected):
        client.send(ask())
    with Client(server) as client, pytest.raises(http.client.IncompleteRead):
        client.send(ask())
    assert [call.status for call in server.calls] == [0, 200]
    assert server.answered == 0


def test_closing_ends_calls_that_hang_or_crawl(caplog: pytest.LogCaptureFixture) -> None:
    before = set(threading.enumerate())
    with FakeTeacher(latency=0) as server:
        server.fail("hang", times=8)
        server.fail("slow", times=8, seconds=1000)
        server.fail("huge", times=2)
        clients = [Client(server) for _ in range(18)]
        clients[0].send(None, "/v1/models", "GET")
        idle = Client(server)
        idle.send(None, "/v1/models", "GET")
        for client in clients:
            client.line.request("POST", PATH, json.dumps(ask()))
        while server.count < 18:
            threading.Event().wait(0.01)
    assert server.answered == 0
    for client in clients:
        with client, pytest.raises((ConnectionError, http.client.HTTPException)):
            client.line.getresponse().read()
    idle.line.close()
    assert set(threading.enumerate()) <= before
    assert not caplog.records


def test_a_client_that_goes_away_does_no_harm(server: FakeTeacher, client: Client) -> None:
    server.fail("hang", times=2)
    server.fail("slow", times=2, seconds=0.01)
    server.fail("huge", times=2)
    for number in range(6):
        with Client(server) as gone:
            gone.line.request("POST", PATH, json.dumps(ask()))
            while server.count <= number:
                threading.Event().wait(0.01)
    assert client.text(ask())


def test_faults_are_chosen_by_number_and_by_body(server: FakeTeacher, client: Client) -> None:
    server.fail("500", every=3)
    server.fail("429", times=1, where=lambda body: "zebra" in json.dumps(body))
    texts = ["dog", "zebra", "dog", "zebra", "dog", "dog"]
    assert [client.send(ask(text))[0] for text in texts] == [200, 429, 500, 200, 200, 500]
    server.mend()
    assert [client.send(ask())[0] for _ in range(3)] == [200] * 3


def test_a_choice_that_fails_is_reported(server: FakeTeacher, client: Client) -> None:
    server.fail("500", where=lambda body: body["none"] == 1)
    status, answer, _ = client.send(ask())
    assert status == 500
    assert "KeyError" in answer["error"]["message"]


def test_what_cannot_be_meant_is_refused_at_once(server: FakeTeacher) -> None:
    with pytest.raises(ValueError, match="known: 429, quota"):
        server.fail("418")
    for wrong in ({"times": 0}, {"every": 0}, {"retry_after": -1.0}, {"seconds": -1.0}):
        with pytest.raises(ValueError, match="at least"):
            server.fail("429", **wrong)
    with pytest.raises(ValueError, match="schema"):
        FakeTeacher(schema="obay")
    with pytest.raises(RuntimeError, match="with"):
        _ = FakeTeacher().base_url
    with pytest.raises(OSError, match="use"):
        FakeTeacher(port=int(server.base_url.split(":")[2].split("/")[0])).__enter__()
    assert len(FAULTS) == 24


# ---------------------------------------------------------- keys, models, paths


def test_a_wrong_key_is_refused_and_none_is_kept() -> None:
    with FakeTeacher(latency=0, api_key="right") as server, Client(server) as client:
        assert client.send(ask())[1]["error"]["code"] == "invalid_api_key"
        assert client.send(ask(), Authorization="Bearer wrong")[0] == 401
        assert client.send(ask(), Authorization="Bearer right")[0] == 200
        assert client.send(ask(), api_key="right")[0] == 200
        assert client.send(None, "/v1/models", "GET")[0] == 401
        calls = server.calls
    assert [call.authorized for call in calls] == [False, False, True, True]
    assert [call.status for call in calls] == [401, 401, 200, 200]
    assert calls[2].headers["authorization"] == calls[3].headers["api-key"] == "[hidden]"
    assert "right" not in repr(calls)


def test_only_models_that_it_has_are_served() -> None:
    with FakeTeacher(latency=0, models=["a", "b"]) as server, Client(server) as client:
        assert client.send(ask())[1]["error"]["code"] == "model_not_found"
        assert client.send(ask(model="b"))[0] == 200
        listed = client.send(None, "/v1/models", "GET")[1]
    assert [each["id"] for each in listed["data"]] == ["a", "b"]


def test_azure_paths_are_served(server: FakeTeacher, client: Client) -> None:
    path = "/openai/deployments/mine/chat/completions?api-version=2024-10-21"
    assert client.send(ask(), path, api_key="any")[0] == 200
    assert server.calls[0].path == path
    assert server.calls[0].authorized is None


def test_other_paths_are_not_found(server: FakeTeacher, client: Client) -> None:
    for method, path in (("GET", PATH), ("POST", "/v1/audio/speech"), ("GET", "/")):
        status, answer, _ = client.send({}, path, method)
        assert status == 404
        assert answer["error"]["type"] == "invalid_request_error"
    assert server.count == 0


def test_rate_headers_can_be_left_out() -> None:
    with FakeTeacher(latency=0, rate_headers=False) as server, Client(server) as client:
        assert not [name for name in client.send(ask())[2] if "ratelimit" in name]


# ------------------------------------------------------------------ embeddings


def embedded(client: Client, *texts: str, **more: Any) -> list[Any]:
    status, answer, _ = client.send({"model": "m", "input": texts, **more}, "/v1/embeddings")
    assert status == 200, answer
    return [each["embedding"] for each in answer["data"]]


def test_a_vector_depends_on_the_words_of_its_text_alone(client: Client) -> None:
    one, two, again = embedded(client, "a dog", "two cats", "A dog")
    assert one == again != two
    assert embedded(client, "two cats") == [two]
    assert sum(number * number for number in one) == pytest.approx(1)
    (coded,) = embedded(client, "a dog", encoding_format="base64")
    assert array.array("f", base64.b64decode(coded)).tolist() == pytest.approx(one)
    assert len(embedded(client, "a dog", dimensions=7)[0]) == 7


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"input": []}, "1 to 2048 texts"),
        ({"input": ["a", ""]}, "none of them empty"),
        ({"input": [1]}, "a list of texts"),
        ({"input": ["a" * 40_000]}, "maximum context length"),
        ({"input": "a", "dimensions": 0}, "from 1 to"),
        ({"input": "a", "encoding_format": "hex"}, "float or base64"),
    ],
)
def test_what_is_wrong_with_a_call_for_embeddings_is_said(
    client: Client, body: dict[str, Any], words: str
) -> None:
    status, answer, _ = client.send(body, "/v1/embeddings")
    assert status == 400
    assert words in answer["error"]["message"]


def test_calls_for_embeddings_are_counted_and_meet_faults(
    server: FakeTeacher, client: Client
) -> None:
    server.fail("429", times=1)
    assert client.send({"input": "a"}, "/v1/embeddings")[0] == 429
    server.fail("truncate", times=1)
    assert len(embedded(client, "a")[0]) == 24
    assert [call.fault for call in server.calls] == ["429", "truncate"]
    assert server.billed == (1, 0)


# -------------------------------------------------------------------- requests


def test_pictures_are_kept_as_their_digests(server: FakeTeacher, client: Client) -> None:
    data = bytes(range(256)) * 2000
    url = f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"
    parts = [{"type": "text", "text": SENTENCE}, {"type": "image_url", "image_url": {"url": url}}]
    body = {"model": "m", "messages": [{"role": "user", "content": parts}]}
    usage = client.send(body)[1]["usage"]
    assert 765 < usage["prompt_tokens"] < 900
    (call,) = server.calls
    kept = call.body["messages"][0]["content"]
    digest = hashlib.sha256(data).hexdigest()
    assert kept[0] == parts[0]
    assert kept[1]["image_url"]["url"] == f"data:image/jpeg;sha256={digest};bytes={len(data)}"
    canonical = json.dumps(call.body, sort_keys=True, separators=(",", ":"))
    assert call.key == hashlib.sha256(canonical.encode()).hexdigest()


def test_pictures_change_the_reply(client: Client) -> None:
    texts = set()
    for letters in ("QUJD", "QUJE", "no base64!", "no base64?"):
        part = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{letters}"}}
        texts.add(client.text({"messages": [{"role": "user", "content": [part]}]}))
    assert len(texts) == 4


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe\xfa",
        b"[" * 100_000,
        [],
        {},
        {"messages": []},
        {"messages": "hello"},
        {"messages": ["hello"]},
        {"messages": [{"content": "x"}]},
        ask(stream=True),
        ask(n=0),
        ask(n="many"),
    ],
)
def test_a_malformed_body_is_refused_and_the_line_goes_on(
    server: FakeTeacher, client: Client, body: object
) -> None:
    status, answer, _ = client.send(body)
    assert status == 400
    assert answer["error"]["type"] == "invalid_request_error"
    line = client.line.sock
    assert client.send(ask())[0] == 200
    assert client.line.sock is line
    assert server.count == 2


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"hello\r\n\r\n", 400),
        (b"GET /v1/models HTTP/2.0\r\n\r\n", 400),
        (b"GET /v1/models HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET /v1/models HTTP/1.1\r\nX : y\r\n\r\n", 400),
        (b"GET /v1/models HTTP/1.1\r\nA: b\nC: d\r\n\r\n", 400),
        (b"GET /v1/models HTTP/1.1\r\n" + b"A: b\r\n" * 101 + b"\r\n", 400),
        (b"GET /v1/models HTTP/1.1\r\nA: " + b"b" * 100_000 + b"\r\n\r\n", 431),
        (b"POST /v1/chat/completions HTTP/1.1\r\n\r\n", 411),
        (b"POST /v1/chat/completions HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
        (b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 1\r\n" * 2 + b"\r\n", 400),
        (b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 999999999\r\n\r\n", 413),
        (b"GET /v1/models HTTP/1.0\r\n\r\n", 200),
    ],
)
def test_a_malformed_request_is_refused(server: FakeTeacher, data: bytes, status: int) -> None:
    assert raw(server, data).startswith(b"HTTP/1.1 %d " % status)
    assert server.count == 0


def test_a_client_that_waits_for_leave_gets_it(server: FakeTeacher) -> None:
    body = json.dumps(ask()).encode()
    head = f"POST {PATH} HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n"
    answer = raw(server, head.encode() + body)
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")


def test_a_request_cut_short_is_no_call(server: FakeTeacher) -> None:
    for data in (b"", b"POST /v1/chat", b"POST %b HTTP/1.1\r\nContent-Length: 9\r\n\r\n{"):
        assert raw(server, data.replace(b"%b", PATH.encode())) == b""
    assert server.count == 0


def test_one_connection_carries_many_calls(server: FakeTeacher, client: Client) -> None:
    client.send(ask())
    line = client.line.sock
    for number in range(20):
        client.text(ask(str(number)))
    assert client.line.sock is line
    assert [call.number for call in server.calls] == list(range(1, 22))


def test_64_calls_are_served_at_once(server: FakeTeacher) -> None:
    def call(number: int) -> str:
        with Client(server) as client:
            return client.text(ask(f"A dog and a cat, number {number}."))

    server.fail("hang", times=64)
    waiting = [Client(server) for _ in range(64)]
    for client in waiting:
        client.line.request("POST", PATH, json.dumps(ask()))
    while server.count < 64:
        threading.Event().wait(0.01)
    assert server.peak == 64
    with ThreadPoolExecutor(64) as pool:  # the others go on hanging
        assert len(set(pool.map(call, range(64)))) == 64
    assert 64 < server.peak <= 128
    assert (server.count, server.answered) == (128, 64)
    for client in waiting:
        client.line.close()


def test_the_peak_is_that_of_one_client_at_a_time(server: FakeTeacher) -> None:
    for _ in range(50):
        with Client(server) as client:
            client.text(ask())
    assert server.peak == 1


def test_a_server_can_run_twice(server: FakeTeacher) -> None:
    twice = FakeTeacher(latency=0)
    for _ in range(2):
        with twice, Client(twice) as client:
            client.text(ask())
    assert twice.count == 2
    twice.close()


# ---------------------------------------------------------------- command line


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_it_runs_by_itself_until_it_is_told_to_stop(tmp_path: Path, name: str) -> None:
    counted = tmp_path / "calls"
    command = [sys.executable, "-m", "mimicit.testing", "--latency", "0", "--count-file"]
    with subprocess.Popen([*command, str(counted)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        url = child.stdout.readline().strip()
        line = http.client.HTTPConnection(url.split("/")[2], timeout=30)
        keys = []
        for text in ("one", "two"):
            line.request("POST", PATH, json.dumps(ask(text)))
            assert line.getresponse().read()
            body = json.dumps(ask(text), sort_keys=True, separators=(",", ":"))
            keys.append(hashlib.sha256(body.encode()).hexdigest())
        child.send_signal(getattr(signal, name))
        assert child.wait(30) == 0
        line.close()
    assert counted.read_text().splitlines() == [f"{key} -" for key in keys]
