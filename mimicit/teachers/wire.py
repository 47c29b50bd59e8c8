"""The chat protocol on the wire: where it leads, requests written, replies and errors read.

Protocol: https://platform.openai.com/docs/api-reference/chat.
"""

import datetime as dt
import email.utils
import functools
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from mimicit.config import is_url
from mimicit.errors import UsageError
from mimicit.schema import ImagePart, Message, Reply, Request
from mimicit.teachers import Attach

SECRETS = ("OPENAI_API_KEY", "AZURE_OPENAI_API_KEY", "AZURE_OPENAI_AD_TOKEN")
"""Variables of the environment that nothing shown or logged may contain."""

OPENAI_URL = "https://api.openai.com/v1"
"""Where a key without a URL is for."""

_HALVES = re.compile("[\ud800-\udfff]")
"""Halves of surrogate pairs, which UTF-8 cannot spell."""


PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
"""Statuses that another attempt may not meet."""

OUT_OF_MONEY = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
"""Codes that come with a 429 and that no waiting mends."""

TOO_LONG = re.compile("context.?(length|size|window)")
"""What an endpoint says, as a code or in words, to a request that is too long for the model."""

FILTERED = frozenset({"content_filter", "content_policy_violation", "ResponsibleAIPolicyViolation"})
"""Codes that come with a 400 where the endpoint itself declines: that is a reply."""

Verdict = Literal["passing", "filtered", "no-money", "too-long", "refused"]


@dataclass(frozen=True, slots=True)
class Form:
    """What an endpoint wants requests to look like.

    Attributes:
        structured: Whether the reply schema is sent.
        length: What the limit on the reply's length is called.
        detail: How closely to look at pictures, where the endpoint lets one choose.
    """

    structured: bool = True
    length: str = "max_tokens"
    detail: str = ""


def request_body(
    request: Request, model: str, attach: Attach, form: Form = Form()
) -> dict[str, Any]:
    """Give what `encoded_body` writes as a value."""
    body: dict[str, Any] = json.loads(encoded_body(request, model, attach, form))
    return body


def encoded_body(request: Request, model: str, attach: Attach, form: Form = Form()) -> bytes:
    """Write a request as the endpoint is sent it, pictures spliced in as the bytes they are.

    Args:
        request: What is asked.
        model: Name of the model at the endpoint.
        attach: Gives the data URL of a picture.
        form: What it is to look like.
    """
    pieces = [b'{"model":', _encode(model), b',"messages":[']
    *shared, last = request.messages
    for message in shared:
        plain = all(isinstance(part, str) for part in message.parts)
        spelt = [_encoded_once(message)] if plain else _encoded(message, attach, form.detail)
        pieces += [*spelt, b","]
    pieces += [*_encoded(last, attach, form.detail), b"]"]
    for name, value in request.parameters:
        called = form.length if name == "max_tokens" else name
        pieces += [b",", _encode(called), b":", _encode(value)]
    if form.structured and request.reply_schema:
        pieces += [b',"response_format":', _response_format(request.reply_schema)]
    pieces.append(b"}")
    return b"".join(pieces)


def _encoded(message: Message, attach: Attach, detail: str) -> list[bytes]:
    """Spell a message as pieces of JSON."""
    head = [b'{"role":', _encode(message.role), b',"content":']
    texts = [part for part in message.parts if isinstance(part, str)]
    if len(texts) == len(message.parts):
        return [*head, _encode("\n\n".join(texts)), b"}"]
    size = b'","detail":' + _encode(detail) if detail else b'"'
    parts = []
    for part in message.parts:
        if isinstance(part, str):
            parts += [b',{"type":"text","text":', _encode(part), b"}"]
        else:
            url = attach(part)  # letters that JSON spells as they are
            parts += [b',{"type":"image_url","image_url":{"url":"', url, size, b"}}"]
    parts[0] = parts[0].replace(b",", b"[", 1)
    return [*head, *parts, b"]}"]


@functools.lru_cache(maxsize=64)
def _encoded_once(message: Message) -> bytes:
    return b"".join(_encoded(message, _no_picture, ""))


def _no_picture(_part: ImagePart) -> bytes:
    raise AssertionError


@functools.lru_cache(maxsize=64)
def _response_format(reply_schema: str) -> bytes:
    schema = {"name": "reply", "strict": True, "schema": json.loads(reply_schema)}
    return _encode({"type": "json_schema", "json_schema": schema})


def _encode(value: object) -> bytes:
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return _HALVES.sub("\ufffd", json.dumps(value, ensure_ascii=False)).encode()


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Read how many seconds an endpoint asks to wait, if it does.

    Forms: `Retry-After` in seconds or as a date (RFC 9110, section 10.2.3), and OpenAI's own
    `retry-after-ms`.

    Args:
        headers: The response's headers, case-insensitive.
        now: Seconds since 1970.
    """
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        text = headers.get(name, "")
        if re.fullmatch(r"\s*\d+(\.\d*)?\s*", text):
            return float(text) * unit
    try:
        date = email.utils.parsedate_to_datetime(text)
        date = date if date.tzinfo else date.replace(tzinfo=dt.UTC)
        return max(0.0, date.timestamp() - now)
    except (TypeError, ValueError, OverflowError):
        return None


class _Details(msgspec.Struct):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: _Details | None = None


class _Message(msgspec.Struct):
    content: str
    refusal: str | None = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None


class _Completion(msgspec.Struct):
    """A chat completion as nearly all of them are."""

    choices: list[_Choice]
    usage: _Usage
    model: str


_COMPLETION = msgspec.json.Decoder(_Completion)


def read_completion(body: bytes, key: str, model: str) -> Reply:
    """Read a chat completion as the reply to the request with a key.

    Raises:
        ValueError: it is something else.
    """
    try:
        content = _COMPLETION.decode(body)
        choice, usage = content.choices[0], content.usage
        if choice.message.content:
            details = usage.prompt_tokens_details
            counts = usage.prompt_tokens, usage.completion_tokens
            cached = details.cached_tokens if details else 0
            return _reply(
                key,
                choice.message.content,
                choice.finish_reason,
                content.model or model,
                *counts,
                cached,
            )
    except (msgspec.MsgspecError, UnicodeDecodeError, LookupError, RecursionError):
        pass  # unusual, and perhaps a completion all the same
    return _read_unusual(body, key, model)


def _reply(key: str, text: str, finish: str | None, model: str, *counts: object) -> Reply:
    sent, received, cached = map(_count, counts)
    return Reply(key, text, (finish or "stop")[:40], model[:200], sent, received, cached)


def _read_unusual(body: bytes, key: str, model: str) -> Reply:
    """Read a completion in any form that was ever met."""
    try:
        content = json.loads(body)
        choice = content["choices"][0]
        message = choice["message"]
        text = _said(message)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        start = repr(body[:120].decode(errors="replace"))
        raise ValueError(f"no chat completion: {start}") from error
    finish = _name(choice.get("finish_reason"))
    if message.get("refusal") and not message.get("content"):
        finish = "refusal"
    usage = content.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else 0
    named = _name(content.get("model")) or model
    counts = usage.get("prompt_tokens"), usage.get("completion_tokens"), cached
    return _reply(key, text, finish, named, *counts)


def _said(message: dict[str, Any]) -> str:
    """Take the text of a message; some endpoints give it in parts."""
    content = message.get("content")
    if isinstance(content, list):
        content = "".join(part.get("text") or "" for part in content)
    if content is None:
        content = message.get("refusal") or ""
    if not isinstance(content, str):
        raise TypeError("content is no text")
    return content


def _name(value: object) -> str:
    return value if isinstance(value, str) else ""


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        return 0
    return value if 0 <= value < 2**53 else 0


def read_error(body: str) -> tuple[set[str], str]:
    """Read the body of an error: its codes, and what it says in words."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return set(), body
    error = content.get("error", content) if isinstance(content, dict) else content
    if not isinstance(error, dict):
        return set(), error if isinstance(error, str) else body
    inner = error.get("innererror")  # Azure's
    given = [each.get("code") for each in (error, inner) if isinstance(each, dict)]
    codes = {str(code) for code in (*given, error.get("type")) if isinstance(code, str | int)}
    return codes - {""}, _name(error.get("message")) or body


def judge_error(status: int, body: str) -> tuple[Verdict, str]:
    """Say what an HTTP error means for the request that met it, and what it says in words."""
    codes, message = read_error(body)
    if codes & FILTERED:
        return "filtered", message
    if codes & OUT_OF_MONEY or status == 402:
        return "no-money", message
    if status in PASSING or status >= 500:
        return "passing", message
    return "too-long" if TOO_LONG.search(f"{codes} {message}") else "refused", message


def setting(name: str) -> str:
    """Read a variable of the environment; an empty one is not set.

    Raises:
        UsageError: no key and no URL is written like that.
    """
    text = os.environ.get(name, "").strip()
    if not (text.isascii() and text.isprintable()):
        raise UsageError(f"${name} holds letters that cannot be sent")
    return text


def find_endpoint(base_url: str | None) -> dict[str, str]:
    """Find the endpoint's URL and key, as the package's clients are told them.

    Args:
        base_url: Its URL; None for what the environment says.

    Raises:
        UsageError: there is no key, or no URL where one should be.
    """
    url, key = base_url or setting("OPENAI_BASE_URL"), setting("OPENAI_API_KEY")
    if url and not is_url(url):
        raise UsageError("$OPENAI_BASE_URL is not a URL such as http://localhost:8000/v1")
    if url or key:  # servers of one's own ask for no key
        return {"base_url": url or OPENAI_URL, "api_key": key or "none"}
    azure = {"azure_endpoint": "AZURE_OPENAI_ENDPOINT", "api_version": "OPENAI_API_VERSION"}
    azure |= {"api_key": "AZURE_OPENAI_API_KEY", "azure_ad_token": "AZURE_OPENAI_AD_TOKEN"}
    found = {name: setting(variable) for name, variable in azure.items() if setting(variable)}
    if len({"azure_endpoint", "api_version"} & found.keys()) < 2 or len(found) < 3:
        raise UsageError(
            "no key for the teacher: set $OPENAI_API_KEY (Azure: $AZURE_OPENAI_ENDPOINT, "
            "$AZURE_OPENAI_API_KEY and $OPENAI_API_VERSION), or name a server of your own "
            "with --base-url"
        )
    return found


def clean(text: str) -> str:
    """Keep keys, passwords and pictures out of what is shown and logged."""
    for name in SECRETS:
        secret = os.environ.get(name, "").strip()
        if len(secret) > 3:  # not what is set where a server asks for none
            text = text.replace(secret, "[key]")
    text = re.sub(r"\bsk-[\w*.-]{4,}|(?i:bearer)\s+[\w.~+/=-]{8,}", "[key]", text)
    text = re.sub(r"//[^/\s]*@", "//", text)
    text = re.sub(r"[A-Za-z0-9+/=]{200,}", "[data]", text)
    return " ".join(text.split())[:400]


def cause_of(error: BaseException) -> str:
    """Say what lies below an error of the package, which says little itself."""
    below = functools.reduce(lambda e, _: e.__cause__ or e, range(5), error)
    text = str(below) or type(below).__name__
    return clean(text if below is error else f"{type(below).__name__}: {text}")


def plain_url(url: str) -> str:
    """Spell a URL without user, password and query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"
