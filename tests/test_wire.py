"""The chat protocol: exact requests, and no reply so malformed that it does harm."""

import json
import math
import time
from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimicit.schema import ImagePart, ImageRef, Message, Reply, Request
from mimicit.teachers.wire import (
    Form,
    clean,
    plain_url,
    read_completion,
    read_error,
    request_body,
    retry_after,
)

SCHEMA = {"type": "object", "properties": {"exchanges": {"type": "array"}}}


def picture(name: str) -> ImagePart:
    return ImagePart(name * 64, 0, ImageRef(f"LA_IMG_{name}", "/", name))


def attach(part: ImagePart) -> bytes:
    return f"data:image/png;base64,{part.ref.name}".encode()


# -------------------------------------------------------------------- requests


def test_texts_are_sent_as_one() -> None:
    messages = (Message("system", ("Be kind.", "Be brief.")), Message("user", ("Ask.",)))
    assert request_body(Request("t", messages), "m", attach) == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be kind.\n\nBe brief."},
            {"role": "user", "content": "Ask."},
        ],
    }


def test_pictures_stand_where_the_author_put_them() -> None:
    message = Message("user", ("before", picture("a"), "between", picture("b")))
    assert request_body(Request("t", (message,)), "m", attach)["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "before"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,a"}},
                {"type": "text", "text": "between"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,b"}},
            ],
        }
    ]
    closely = request_body(Request("t", (message,)), "m", attach, Form(detail="high"))
    shown = [part["image_url"] for part in closely["messages"][0]["content"][1::2]]
    assert shown == [{"url": attach(picture(name)).decode(), "detail": "high"} for name in "ab"]


def test_parameters_and_schema_are_sent_in_the_endpoints_form() -> None:
    request = Request(
        "t",
        (Message("user", ("Ask.",)),),
        (("max_tokens", 50), ("seed", 7), ("temperature", 0.5), ("think", False)),
        json.dumps(SCHEMA),
    )
    messages = [{"role": "user", "content": "Ask."}]
    shared = {"model": "m", "messages": messages, "seed": 7, "temperature": 0.5, "think": False}
    asked = {"name": "reply", "strict": True, "schema": SCHEMA}
    schema = {"response_format": {"type": "json_schema", "json_schema": asked}}
    assert request_body(request, "m", attach) == {**shared, "max_tokens": 50, **schema}
    form = Form(structured=False, length="max_completion_tokens")
    assert request_body(request, "m", attach, form) == {**shared, "max_completion_tokens": 50}


def test_halves_of_surrogate_pairs_can_be_sent() -> None:
    message = Message("user", ("a cut emoji \ud83d here", picture("a")))
    body = request_body(Request("t", (message,)), "m", attach)
    assert body["messages"][0]["content"][0]["text"] == "a cut emoji \ufffd here"
    json.dumps(body, ensure_ascii=False).encode()


# ----------------------------------------------------------------- retry-after

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": " 0 "}, 0.0),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "20", "retry-after": "3"}, 0.02),
        ({"retry-after-ms": "soon", "retry-after": "3"}, 3.0),
        ({"retry-after": formatdate(NOW + 90, usegmt=True)}, 90.0),
        ({"retry-after": formatdate(NOW - 90, usegmt=True)}, 0.0),
        ({"retry-after": "Fri, 31 Dec 99999 23:59:59 GMT"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "1,000"}, None),
        ({"retry-after": "86400000"}, 86400000.0),
        ({"retry-after": "9" * 30}, 1e30),
        ({"retry-after": "9" * 400}, math.inf),
    ],
)
def test_how_long_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, NOW) == (seconds and pytest.approx(seconds))


def test_a_date_without_a_zone_is_universal_time(monkeypatch: pytest.MonkeyPatch) -> None:
    spelt = time.strftime("%a %b %d %H:%M:%S %Y", time.gmtime(NOW + 90))
    for zone in ("America/New_York", "Asia/Tokyo"):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        assert retry_after({"retry-after": spelt}, NOW) == 90.0
    monkeypatch.undo()
    time.tzset()


@given(st.text(max_size=40) | st.from_regex(r"[A-Z][a-z]{2}, \d+ [A-Z][a-z]{2} \d+ [\d:+-]+"))
def test_any_retry_after_is_a_time_or_none(text: str) -> None:
    seconds = retry_after({"retry-after": text, "retry-after-ms": text}, NOW)
    assert seconds is None or seconds >= 0


# ----------------------------------------------------------------- completions


def completion(message: Any, **more: Any) -> bytes:
    content = {"model": "served", "choices": [{"message": message, "finish_reason": "stop"}]}
    return json.dumps({**content, **more}).encode()


def read(body: bytes) -> Reply:
    return read_completion(body, "k", "asked")


def test_a_completion_is_read() -> None:
    usage = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}
    assert read(completion({"content": "yes"}, usage=usage)) == Reply(
        "k", "yes", "stop", "served", 12, 3
    )


@pytest.mark.parametrize(
    ("message", "text", "finish"),
    [
        ({"content": None}, "", "stop"),
        ({}, "", "stop"),
        ({"content": "", "refusal": "No."}, "", "refusal"),
        ({"content": None, "refusal": "No."}, "No.", "refusal"),
        ({"content": "Yes.", "refusal": None}, "Yes.", "stop"),
        ({"content": [{"type": "text", "text": "a"}, {"text": "b"}]}, "ab", "stop"),
        ({"content": [{"type": "thinking", "thinking": []}, {"text": "b"}]}, "b", "stop"),
        ({"content": []}, "", "stop"),
        ({"content": "\ud83d"}, "\ud83d", "stop"),
    ],
)
def test_forms_of_content(message: dict[str, Any], text: str, finish: str) -> None:
    reply = read(completion(message))
    assert (reply.text, reply.finish_reason) == (text, finish)


@pytest.mark.parametrize(
    "usage",
    [
        None,
        [],
        [1],
        "many",
        7,
        {},
        *({"prompt_tokens": n, "completion_tokens": n} for n in (-1, 1.5, True, None, "9", [9])),
        *({"prompt_tokens": n, "completion_tokens": n} for n in (2**53, 10**30, math.nan)),
    ],
)
def test_a_reply_is_kept_whatever_the_usage(usage: Any) -> None:
    reply = read(completion({"content": "paid for"}, usage=usage))
    assert reply.text == "paid for"
    assert [(type(n), n) for n in (reply.input_tokens, reply.output_tokens)] == [(int, 0)] * 2


@pytest.mark.parametrize(
    ("details", "cached"),
    [
        *(({"cached_tokens": n}, n) for n in (0, 7)),
        *(({"cached_tokens": n}, 0) for n in (None, "7", -7)),
        *((odd, 0) for odd in (None, [7])),
        ({}, 0),
    ],
)
def test_tokens_of_a_providers_cache_are_counted(details: Any, cached: int) -> None:
    usage = {"prompt_tokens": 12, "completion_tokens": 3, "prompt_tokens_details": details}
    reply = read(completion({"content": "yes"}, usage=usage))
    counts = reply.input_tokens, reply.output_tokens, reply.cached_tokens
    assert counts == (12, 3, cached)


@pytest.mark.parametrize("message", [{"content": "yes"}, {"content": "yes", "refusal": "no"}])
@pytest.mark.parametrize("finish", ["length", "", None])
@pytest.mark.parametrize("name", ["served", ""])
def test_what_is_no_json_elsewhere_does_not_change_a_reply(
    message: dict[str, Any], finish: str | None, name: str
) -> None:
    choice = {"message": message, "finish_reason": finish}
    usage: dict[str, Any] = {"prompt_tokens": 12, "completion_tokens": 3, "cost": None}
    usage["prompt_tokens_details"] = {"cached_tokens": 2}
    body = json.dumps({"model": name, "choices": [choice], "usage": usage}).encode()
    for odd in (b"NaN", rb'"\ud83d"'):
        assert read(body.replace(b'"cost": null', b'"cost": ' + odd)) == read(body)


def test_missing_names_are_filled_in_and_long_ones_cut() -> None:
    assert read(b'{"choices":[{"message":{"content":"a"}}]}') == Reply(
        "k", "a", "stop", "asked", 0, 0
    )
    strange = {"message": {"content": "a"}, "finish_reason": ["stop"]}
    assert read(json.dumps({"choices": [strange], "model": {"name": 1}}).encode()) == Reply(
        "k", "a", "stop", "asked", 0, 0
    )
    long = {"message": {"content": "a"}, "finish_reason": "f" * 999}
    reply = read(json.dumps({"choices": [long], "model": "m" * 999}).encode())
    assert (len(reply.finish_reason), len(reply.model)) == (40, 200)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'"choices"',
        b'{"choices":[]}',
        b'{"choices":{}}',
        b'{"choices":[null]}',
        b'{"choices":["message"]}',
        b'{"choices":[{"message":null}]}',
        b'{"choices":[{"message":"text"}]}',
        b'{"choices":[{"message":[]}]}',
        b'{"choices":[{"message":{"content":7}}]}',
        b'{"choices":[{"message":{"content":{"text":"a"}}}]}',
        b'{"choices":[{"message":{"content":["a"]}}]}',
        b'{"choices":[{"message":{"content":[{"text":{"value":"a"}}]}}]}',
        b'{"choices":[{"message":{"refusal":true}}]}',
        b'{"error":{"message":"overloaded","code":502}}',
        b'\x00\xff{"choices": [',
        b"\xff\xfe{",
        b"<!DOCTYPE html>",
        b'{"model":' + b"9" * 5000 + b"}",
        b'{"choices":' + b"[" * 200_000,
    ],
)
def test_what_is_no_completion_is_said_so(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"^no chat completion: "):
        read(body)


@pytest.mark.parametrize("place", ["model", "finish_reason", "content", "usage"])
def test_depth_does_no_harm(place: str) -> None:
    for depth in range(1, 1200, 7):
        deep = "[" * depth + "]" * depth
        parts = {"model": '"m"', "finish_reason": '"stop"', "content": '"a"', "usage": "{}"}
        parts[place] = deep
        body = """{{"model":{model},"usage":{usage},
            "choices":[{{"message":{{"content":{content}}},"finish_reason":{finish_reason}}}]}}"""
        _reply_or_value_error(body.format(**parts).encode())


TEXT = st.text(st.characters(), max_size=8)  # halves of surrogate pairs included
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
PART = st.fixed_dictionaries({}, optional={"type": JSON, "text": JSON | TEXT})
MESSAGE = st.fixed_dictionaries(
    {}, optional={"content": JSON | TEXT | st.lists(PART | JSON, max_size=3), "refusal": JSON}
)
CHOICE = st.fixed_dictionaries({}, optional={"message": MESSAGE | JSON, "finish_reason": JSON})
USAGE = st.fixed_dictionaries({}, optional={"prompt_tokens": JSON, "completion_tokens": JSON})
COMPLETION = st.fixed_dictionaries(
    {"choices": st.lists(CHOICE | JSON, max_size=2) | JSON},
    optional={"usage": USAGE | JSON, "model": JSON},
)


def _reply_or_value_error(body: bytes) -> None:
    try:
        reply = read(body)
    except ValueError:
        return
    assert all(isinstance(each, str) for each in (reply.text, reply.finish_reason, reply.model))
    for count in (reply.input_tokens, reply.output_tokens):
        assert type(count) is int
        assert 0 <= count < 2**53


@given(COMPLETION | JSON)
def test_any_json_is_a_reply_or_a_value_error(value: Any) -> None:
    _reply_or_value_error(json.dumps(value).encode())


@given(st.binary(max_size=60))
def test_any_bytes_are_a_reply_or_a_value_error(body: bytes) -> None:
    _reply_or_value_error(body)


# ---------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("body", "codes", "message"),
    [
        (
            {"error": {"message": "Slow down.", "type": "requests", "code": "rate"}},
            {"rate", "requests"},
            "Slow down.",
        ),
        (
            {"error": {"message": "Too long.", "type": "exceed_context_size_error", "code": 400}},
            {"400", "exceed_context_size_error"},
            "Too long.",
        ),
        (
            {"error": {"message": "No.", "innererror": {"code": "ResponsibleAIPolicyViolation"}}},
            {"ResponsibleAIPolicyViolation"},
            "No.",
        ),
        ({"object": "error", "message": "No.", "code": 404}, {"404"}, "No."),
        ({"error": "model 'm' not found"}, set(), "model 'm' not found"),
        ({"detail": "Not Found"}, set(), '{"detail": "Not Found"}'),
        ({"error": {"message": None}}, set(), '{"error": {"message": null}}'),
        ({"error": {"message": ["a"]}}, set(), '{"error": {"message": ["a"]}}'),
        (["No."], set(), '["No."]'),
    ],
)
def test_errors_say_what_is_wrong_in_many_ways(body: Any, codes: set[str], message: str) -> None:
    assert read_error(json.dumps(body)) == (codes, message)


@pytest.mark.parametrize("text", ["", "Bad gateway", "<html>", "[" * 100_000, "9" * 5000])
def test_an_error_may_be_plain_text(text: str) -> None:
    assert read_error(text) == (set(), text)


@given(JSON | st.fixed_dictionaries({"error": JSON}))
def test_any_json_is_read_as_an_error(value: Any) -> None:
    codes, message = read_error(json.dumps(value))
    assert isinstance(message, str)
    assert all(isinstance(code, str) for code in codes)


# ------------------------------------------------------------ what is not shown


@pytest.mark.parametrize(
    "variable", ["OPENAI_API_KEY", "AZURE_OPENAI_API_KEY", "AZURE_OPENAI_AD_TOKEN"]
)
def test_keys_of_the_environment_are_hidden(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, " topsecret/1\n")
    assert clean("wrong key: topsecret/1!") == "wrong key: [key]!"


def test_a_placeholder_of_a_key_hides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in ("", " ", "x", "-", "key"):
        monkeypatch.setenv("OPENAI_API_KEY", key)
        assert clean("max_tokens - a key") == "max_tokens - a key"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Incorrect API key provided: sk-proj-Ab_9.c*d.", "Incorrect API key provided: [key]"),
        ("got sk-ab**********yz", "got [key]"),
        ("header Bearer abc.DEF-123/+=~_", "header [key]"),
        ("bearer   12345678 was sent", "[key] was sent"),
        ("a risk-averse bearer of news", "a risk-averse bearer of news"),
        ("data:image/png;base64," + "QUJD" * 100 + "==", "data:image/png;base64,[data]"),
        ("at http://user:pass@host/v1 now", "at http://host/v1 now"),
        ("two\n\tlines\r\n", "two lines"),
    ],
)
def test_keys_and_pictures_are_hidden(text: str, shown: str) -> None:
    assert clean(text) == shown


def test_what_is_shown_is_short() -> None:
    assert len(clean("many words " * 100)) == 400


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://localhost:8000/v1/", "http://localhost:8000/v1"),
        ("https://user:pa%40ss@host.example/v1?api_key=1#x", "https://host.example/v1"),
        ("https://user@host.example", "https://host.example"),
        ("http://u:p@[::1]:8000/v1/", "http://[::1]:8000/v1"),
        ("http://host:99999/v1", "http://host:99999/v1"),
    ],
)
def test_a_url_is_shown_without_what_may_be_secret(url: str, shown: str) -> None:
    assert plain_url(url) == shown
