"""How the fake teacher answers: requests judged, replies wrapped as responses, faults put in.

Used by `mimicit.testing` only. Nothing here knows of connections or time.
"""

import base64
import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote_to_bytes

from mimicit._fake_replies import BadSchema, Body, say, schema_of, text_of

SCHEMA_MODES = ("obey", "ignore", "reject", "reject-400", "fence")
REFUSAL = "I'm sorry, but I can't assist with that."


ERRORS: dict[str, tuple[int, str, str | None, str]] = {
    "429": (429, "Rate limit reached. Please try again later.", "rate_limit_exceeded", "requests"),
    "quota": (429, "You exceeded your quota.", "insufficient_quota", "insufficient_quota"),
    "500": (500, "The server had an error while processing your request.", None, ""),
    "503": (503, "The engine is currently overloaded.", None, ""),
    "400": (400, "The request is invalid.", None, ""),
    "401": (401, "Incorrect API key provided.", "invalid_api_key", ""),
    "content_filter": (400, "The prompt was filtered.", "content_filter", ""),
}
"""Faults that are errors: status, message, code and type."""

_SAID = {"refuse": None, "refuse-text": REFUSAL, "huge": "HUGE"}
_LOGIN_PAGE = b"<!DOCTYPE html><html><title>Sign in</title><body>Please sign in.</body></html>"

_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)((?:;[^,;]{1,200})*),", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Answer:
    """A response: its content in pieces, and the pause between two of them.

    `missing` bytes are announced and never sent. `billed` are the tokens sent and received that a
    bill would state.
    """

    status: int
    pieces: tuple[bytes, ...]
    headers: dict[str, str] = field(default_factory=dict)
    pause: float = 0.0
    missing: int = 0
    billed: tuple[int, int] = (0, 0)

    def head(self, *, keep: bool) -> bytes:
        """Spell the status line and the headers."""
        length = sum(map(len, self.pieces)) + self.missing
        fields = {"Content-Type": "application/json", **self.headers}
        fields |= {"Content-Length": str(length), "Connection": "keep-alive" if keep else "close"}
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}\r\n{lines}\r\n".encode()


@dataclass(slots=True)
class Rule:
    """A fault that is to come, and when."""

    kind: str
    times: int | None = None
    every: int | None = None
    where: Callable[[Body], bool] | None = None
    retry_after: float | None = None
    seconds: float | None = None
    seen: int = 0

    def strikes(self, body: Body) -> bool:
        """Count a call, and say whether it is one to meet the fault."""
        if self.times == 0 or not (self.where is None or self.where(body)):
            return False
        self.seen += 1
        return self.every is None or self.seen % self.every == 0


class Refused(Exception):  # noqa: N818  # never reaches a user: it becomes its `answer`
    """A request is answered by an error."""

    def __init__(self, status: int, message: str, code: str | None = None, kind: str = "") -> None:
        super().__init__(message)
        kind = kind or ("server_error" if status >= 500 else "invalid_request_error")
        error = {"message": message, "type": kind, "param": None, "code": code}
        self.answer = Answer(status, (json.dumps({"error": error}).encode(),))


def without_pictures(value: Any) -> Any:
    """Copy a JSON value, every `data:` URL in it replaced by its type, digest and length."""
    if isinstance(value, dict):
        return {key: without_pictures(each) for key, each in value.items()}
    if isinstance(value, list):
        return [without_pictures(each) for each in value]
    found = _DATA_URL.match(value) if isinstance(value, str) else None
    if not found:
        return value
    text = value[found.end() :]
    try:
        encoded = found[2].lower().endswith(";base64")
        data = base64.b64decode(text, validate=True) if encoded else unquote_to_bytes(text)
    except ValueError:  # no base64: told apart by its letters
        data = text.encode("utf-8", "surrogatepass")
    return f"data:{found[1]};sha256={hashlib.sha256(data).hexdigest()};bytes={len(data)}"


def prompt_tokens(messages: list[Body]) -> int:
    """Estimate what a conversation counts: a token for four letters, and 765 for a picture."""
    letters = sum(len(text_of(message)) for message in messages)
    contents = [m["content"] for m in messages if isinstance(m.get("content"), list)]
    kinds = [each.get("type") for parts in contents for each in parts if isinstance(each, dict)]
    return -(-letters // 4) + 765 * kinds.count("image_url")


def completion(body: Body, key: str, texts: Sequence[str | None], finish: str) -> Body:
    """Wrap texts as a chat completion; None stands for a refusal."""
    asked = prompt_tokens(body["messages"])
    said = sum(-(-len(text or REFUSAL) // 4) for text in texts)
    choices = []
    for index, text in enumerate(texts):
        refusal = REFUSAL if text is None else None
        message = {"role": "assistant", "content": text, "refusal": refusal}
        choice = {"index": index, "message": message, "logprobs": None, "finish_reason": finish}
        choices.append(choice)
    usage = {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}
    return {
        "id": f"chatcmpl-{key[:29]}",
        "object": "chat.completion",
        "created": 1_700_000_000,  # a constant: the same request, the same bytes
        "model": body.get("model") or "fake-teacher",
        "choices": choices,
        "usage": usage,
    }


def rates(body: Body, active: int, *, failed: bool) -> dict[str, str]:
    """Make the headers that tell a client how much more it may ask."""
    tokens = 2_000_000 - prompt_tokens(body["messages"])
    left, tokens_left = 0 if failed else 10_000 - active, max(0, tokens)
    found = {"limit-requests": 10_000, "remaining-requests": left}
    found |= {"limit-tokens": 2_000_000, "remaining-tokens": tokens_left}
    spelt = {name: str(number) for name, number in found.items()}
    spelt |= {"reset-requests": "1s" if failed else "6ms", "reset-tokens": "6ms"}
    return {f"x-ratelimit-{name}": value for name, value in spelt.items()}


def parse(content: bytes) -> Body:
    """Read a request's body, without its pictures; raises `Refused` where that fails."""
    try:
        body = without_pictures(json.loads(content))
    except (ValueError, RecursionError):
        raise Refused(400, "We could not parse the JSON body of your request.") from None
    if not isinstance(body, dict):
        raise Refused(400, "The body of your request must be a JSON object.")
    return body


def check(body: Body, models: Sequence[str] | None) -> None:
    """Judge a request's body; raises `Refused` where that fails."""
    messages, count = body.get("messages"), body.get("n")
    if not isinstance(messages, list) or not messages:
        raise Refused(400, "'messages' is missing or no list with something in it.")
    if not all(isinstance(each, dict) and isinstance(each.get("role"), str) for each in messages):
        raise Refused(400, "Each of 'messages' must be an object with a role.")
    if body.get("stream"):
        raise Refused(400, "Streaming is not supported.", "unsupported_value")
    if count is not None and (type(count) is not int or not 1 <= count <= 128):
        raise Refused(400, "'n' must be a whole number from 1 to 128.")
    check_model(body, models)


def check_model(body: Body, models: Sequence[str] | None) -> None:
    """Judge the model that a request names; raises `Refused` for one that is not known."""
    if models is not None and (model := body.get("model")) not in models:
        raise Refused(404, f"The model `{model}` does not exist.", "model_not_found")


def authorized(headers: dict[str, str], key: str | None) -> bool | None:
    """Tell whether a request has the key; None where there is none to have."""
    if key is None:
        return None
    given = headers.get("api-key") or headers.get("authorization", "")
    return given in {key, f"Bearer {key}"}


def texts_for(body: Body, seed: int, mode: str, reply: Callable[[], str] | None) -> list[str]:
    """Write the text of each choice; raises `Refused` where that fails."""
    count = body.get("n") or 1
    try:
        if mode.startswith("reject") and schema_of(body) is not None:
            status = 500 if mode == "reject" else 400
            raise Refused(status, "'response_format' of type 'json_schema' is not supported.")
        if reply is None:
            return [say(body, seed, mode, choice) for choice in range(count)]
    except BadSchema as error:
        raise Refused(400, f"Invalid schema for response_format: {error}") from error
    try:
        return [str(reply()) for _ in range(count)]
    except Exception as error:
        raise Refused(500, f"reply(…) raised {error!r}", kind="fake_teacher") from error


def failure(kind: str, retry_after: float | None, limits: dict[str, str]) -> Answer | None:
    """Make the answer of a fault that says nothing of the request; None for another one."""
    if kind == "garbage":
        return Answer(200, (b'\x00\xff{"choices": [',))
    if kind == "html":
        return Answer(200, (_LOGIN_PAGE,), {"Content-Type": "text/html; charset=utf-8"})
    if kind not in ERRORS:
        return None
    answer = Refused(*ERRORS[kind]).answer
    headers = {} if retry_after is None or kind == "quota" else {"Retry-After": f"{retry_after:g}"}
    return replace(answer, headers=headers | (limits if answer.status == 429 else {}))


def success(body: Body, key: str, texts: Sequence[str], rule: Rule) -> Answer:
    """Wrap texts as a 200 answer, spoilt as the fault has it."""
    kind = rule.kind
    said: Sequence[str | None] = texts
    if kind == "empty":
        said = []
    elif kind == "truncate":
        said = [text[: len(text) // 2] for text in texts]
    elif kind in _SAID:
        said = [_SAID[kind]] * len(texts)
    finish = "length" if kind == "truncate" else "stop"
    made = completion(body, key, said, finish)
    usage = made["usage"]
    billed = usage["prompt_tokens"], usage["completion_tokens"]
    content = json.dumps(made).encode()
    if kind == "huge":
        before, _, after = content.rpartition(b"HUGE")  # the model's name comes earlier
        pieces = (before, *[b"more and more words " * 2500] * 1000, after)
        return Answer(200, pieces, billed=billed)
    return spoilt(content, rule, billed)


def spoilt(content: bytes, rule: Rule, billed: tuple[int, int]) -> Answer:
    """Make a 200 answer, its sending spoilt as the fault has it."""
    half = len(content) // 2
    if rule.kind == "drop-midway":
        return Answer(200, (content[:half],), missing=len(content) - half, billed=billed)
    if rule.kind == "slow":
        pieces = (b"", *(bytes([byte]) for byte in content))
        pause = 0.1 if rule.seconds is None else rule.seconds
        return Answer(200, pieces, pause=pause, billed=billed)
    return Answer(200, (content,), billed=billed)
