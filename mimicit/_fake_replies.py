"""What the fake teacher answers: texts, and their wrapping as responses, faulty ones included.

Used by `mimicit.testing` only. Nothing here knows of connections or time: an answer is a pure
function of what was asked.
"""

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import unquote_to_bytes

Body = dict[str, Any]
T = TypeVar("T")

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

_UNLOGICAL = re.compile("response_format|stream|stream_options|n|user|metadata|store|service_tier")
"""Fields that do not change what is said, only how it is wrapped, counted or filed."""

_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)((?:;[^,;]{1,200})*),", re.IGNORECASE)


class BadSchema(ValueError):  # noqa: N818  # never reaches a user: it becomes a 400
    """A reply schema cannot be followed."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response: its content in pieces, and the pause between two of them.

    `missing` bytes are announced and never sent.
    """

    status: int
    pieces: tuple[bytes, ...]
    headers: dict[str, str] = field(default_factory=dict)
    pause: float = 0.0
    missing: int = 0

    def head(self, *, keep: bool) -> bytes:
        """Spell the status line and the headers."""
        length = sum(map(len, self.pieces)) + self.missing
        fields = {"Content-Type": "application/json", **self.headers}
        fields |= {"Content-Length": str(length), "Connection": "keep-alive" if keep else "close"}
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}\r\n{lines}\r\n".encode()


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


def key_of(value: object) -> str:
    """Hash a JSON value: hex SHA-256 of its text with sorted keys, ASCII and no spaces."""
    return hashlib.sha256(
        json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    ).hexdigest()


class _Dice:
    """Choices that depend on a key alone; the same on every machine and every Python."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._thrown = 0

    def pick(self, options: Sequence[T]) -> T:
        """Choose one."""
        self._thrown += 1
        digest = hashlib.sha256(f"{self._key} {self._thrown}".encode()).digest()
        return options[int.from_bytes(digest[:8], "big") % len(options)]


# ------------------------------------------------------------------ exchanges

_ASKED = """
object: What can be seen near the {a}?
  Close to the {a} one can make out the {b}, a little to the {side}.
  The {b}, which would be easy to miss in such {mood} surroundings.
position: Where would you look for the {a}?
  To the {side}, roughly at the height of the {b}.
  Near the middle, slightly to the {side} of the {b}.
reasoning: What could have brought the {a} here?
  Perhaps the {b}: the two would often be found together in {place}.
  Somebody may have come by {time} and left the {a} behind.
setting: What kind of place might this be, judging by the {a}?
  It looks like {place}, where the {a} and the {b} would both fit in.
  Most likely {place}; the {mood} look of it all points that way.
time: At what time of day could one meet the {a} like this?
  Probably {time}, to judge by the {mood} light on the {b}.
  It could well be {time}, when {place} would look just like this.
prediction: What might happen to the {a} next?
  The {a} could soon move to the {side}, away from the {b}.
  Not much, as long as things stay as {mood} as they are now.
comparison: How would you compare the {a} with the {b}?
  The {a} would catch the eye first, and the {b} only at a second glance.
  Both look {mood}, but the {b} would take up less room than the {a}.
counterfactual: What would change if the {a} were gone?
  The scene would feel emptier, and the {b} would draw all the attention.
  One would hardly guess that this could be {place}.
relation: What could the {a} and the {b} have to do with each other?
  They may simply share {place}, the one to the {side} of the other.
  Whoever looks after the {a} would probably need the {b} as well.
advice: What should somebody keep in mind before coming closer to the {a}?
  To stay to the {side}, so that the {b} can be passed safely.
  That it may be {mood} now but could be quite different {time}.
"""
_KINDS = re.findall(r"^(\w+): (.*)\n  (.*)\n  (.*)$", _ASKED, re.MULTILINE)
"""(kind, question, answer, another answer), with words left open."""

_SIDES = ("left", "right")
_MOODS = ("calm", "lively", "quiet", "cheerful", "ordinary", "busy", "peaceful", "playful")
_PLACES: tuple[str, ...] = ("a city street", "a back yard", "a living room", "a park")
_PLACES += ("a market", "a kitchen", "a playground", "the edge of a town", "a waiting room")
_TIMES = ("in the early morning", "around noon", "in the late afternoon", "towards evening")
_FALLBACK = ("foreground", "background", "corner", "light", "colours", "shapes", "edge", "middle")

_AFTER_ARTICLE = re.compile(r"\b(?:an?|the|some|two|three|with|of)\s+([a-z]{3,14})\b")
_WORD = re.compile(r"\b[a-z]{4,14}\b")
_UNFIT = re.compile(
    r"(caption|annotat|bound|box|descri|mention|sorry|apolog|json|schema|exchange|instruct|question"
    r"|answer|image|pictur|photo|prompt|format|assist|unable|cannot)"
)
_DULL = re.compile(
    "about|above|after|again|also|another|any|are|around|because|been|before|below|between|both|but"
    "|can|could|did|does|doing|during|each|either|every|few|first|following|for|from|given|had|has"
    "|have|having|here|how|into|its|itself|just|kind|last|less|list|made|many|may|might|more|most"
    "|much|must|nor|not|now|objects?|one|only|other|others|our|out|over|own|please|same|scene"
    "|shall|she|should|since|some|such|than|that|the|their|them|then|there|these|they|this|those"
    "|three|through|too|two|under|until|upon|very|was|were|what|when|where|which|while|who|whose"
    "|why|will|with|within|without|would|write|you|your"
)


def _text_of(message: Body) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    return "\n".join(text for text in texts if isinstance(text, str))


def _topics(messages: list[Body]) -> list[str]:
    """Find what the last user message is about: its nouns by guess, else any words of it."""
    asked = [message for message in messages if message.get("role") == "user"] or messages
    text = _text_of(asked[-1])[:20_000].lower()
    for words in (_AFTER_ARTICLE.findall(text), _WORD.findall(text)):
        fit = [word for word in dict.fromkeys(words) if not _DULL.fullmatch(word)]
        fit = [word for word in fit if not _UNFIT.match(word)]
        if len(fit) >= 2:
            return fit
    return list(_FALLBACK)


def _exchanges(dice: _Dice, topics: list[str]) -> Iterator[dict[str, str]]:
    """Write one exchange of every kind, in an order of chance."""
    left = list(_KINDS)
    while left:
        chosen = dice.pick(left)
        left.remove(chosen)
        kind, question, *answers = chosen
        first = dice.pick(topics)
        words = {
            "a": first,
            "b": dice.pick([word for word in topics if word != first]),
            "side": dice.pick(_SIDES),
            "mood": dice.pick(_MOODS),
            "place": dice.pick(_PLACES),
            "time": dice.pick(_TIMES),
        }
        answer = dice.pick(answers).format(**words)
        yield {"instruction": question.format(**words), "answer": answer, "kind": kind}


# ------------------------------------------------------------- reply schemas


def schema_of(body: Body) -> Body | None:
    """Find the JSON Schema that a request asks for; raises `BadSchema`."""
    asked = body.get("response_format")
    if not isinstance(asked, dict) or asked.get("type") != "json_schema":
        return None
    inner = asked.get("json_schema")
    schema = inner.get("schema") if isinstance(inner, dict) else None
    if not isinstance(schema, dict):
        raise BadSchema("response_format.json_schema.schema must be an object")
    return schema


def _follow(schema: Any, root: Body) -> Body:
    """Follow `$ref` to what it stands for; {} for what is no schema."""
    for _ in range(20):
        if not isinstance(schema, dict):
            return {}
        if "$ref" not in schema:
            return schema
        schema, pointer = root, str(schema["$ref"])
        for step in pointer.removeprefix("#").split("/")[1:]:
            schema = schema[step.replace("~1", "/").replace("~0", "~")]
    raise BadSchema("$ref leads in a circle")


def _fitted(written: list[dict[str, str]], usual: int, root: Body) -> list[Body] | None:
    """Shape exchanges to a schema; None where it asks for something else than exchanges."""
    outer = _follow(root, root)
    listed = _follow(_follow(outer.get("properties"), root).get("exchanges"), root)
    item = _follow(listed.get("items"), root)
    fields = _follow(item.get("properties"), root)
    strange = set(outer.get("required", ())) - {"exchanges"}
    strange |= set(item.get("required", ())) - {"instruction", "answer", "kind"}
    if strange or not {"instruction", "answer"} <= set(fields):
        return None
    count = max(min(usual, listed.get("maxItems", usual)), listed.get("minItems", 0))
    kinds = _follow(fields.get("kind"), root).get("enum")
    fitted: list[Body] = []
    for each in written[:count]:
        shaped: Body = {name: each[name] for name in each if name in fields}
        if kinds and shaped.get("kind") not in kinds:
            shaped["kind"] = _Dice(each["kind"]).pick(kinds)
        fitted.append(shaped)
    return fitted


def _instance(  # noqa: PLR0911  # one way out for each type
    schema: Any, root: Body, dice: _Dice, depth: int = 0
) -> Any:
    """Make a small value that a schema allows: required properties, one element a list."""
    schema = _follow(schema, root)
    if depth > 24:
        raise BadSchema("the schema has no end")
    for part in schema.get("allOf", ()):
        schema = {**schema, **_follow(part, root)}
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return dice.pick(schema["enum"])
    options = [_follow(each, root) for each in schema.get("anyOf") or schema.get("oneOf") or ()]
    if options:
        flat = [each for each in options if each.get("type") not in {"object", "array"}]
        return _instance(dice.pick(flat if flat and depth > 4 else options), root, dice, depth + 1)
    kind = schema.get("type") or ("object" if "properties" in schema else "string")
    kind = dice.pick(kind) if isinstance(kind, list) else kind
    if kind == "object":
        fields = schema.get("properties", {})
        names = schema.get("required", ())
        return {name: _instance(fields.get(name), root, dice, depth + 1) for name in names}
    if kind == "array":
        count = max(min(int(depth <= 4), schema.get("maxItems", 1)), schema.get("minItems", 0))
        item = schema.get("items")
        return [_instance(item, root, dice, depth + 1) for _ in range(min(count, 99))]
    if kind in {"integer", "number"}:
        low = schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1)
        return min(low + dice.pick(range(10)), schema.get("maximum", float("inf")))
    if kind == "string":
        text = dice.pick(_FALLBACK).ljust(min(schema.get("minLength", 0), 9999), "s")
        return text[: schema.get("maxLength")]
    return dice.pick({"boolean": (True, False), "null": (None,)}[kind])


# -------------------------------------------------------------------- replies


def say(body: Body, seed: int, mode: str, choice: int = 0) -> str:
    """Write the text of one choice for what `without_pictures` left of a request."""
    logical = {name: value for name, value in body.items() if not _UNLOGICAL.fullmatch(name)}
    dice = _Dice(key_of([seed, choice, logical]))
    usual = dice.pick((3, 4, 5))
    written = list(_exchanges(dice, _topics(body["messages"])))
    if mode == "ignore":
        return "\n\n".join(
            f"Question: {each['instruction']}\nAnswer: {each['answer']}" for each in written[:usual]
        )
    schema = schema_of(body)
    value: Any = {"exchanges": written[:usual]}
    if schema is not None:
        try:
            fitted = _fitted(written, usual, schema)
            value = _instance(schema, schema, dice) if fitted is None else {"exchanges": fitted}
        except (AttributeError, LookupError, TypeError, ArithmeticError) as error:
            raise BadSchema(f"the schema is malformed: {error}") from error
    text = json.dumps(value)
    if mode == "fence":
        return f"Here is what you asked for:\n\n```json\n{text}\n```\n\nLet me know if I can help."
    return text


def prompt_tokens(messages: list[Body]) -> int:
    """Estimate what a conversation counts: a token for four letters, and 765 for a picture."""
    letters = sum(len(_text_of(message)) for message in messages)
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


# ----------------------------------------------------------- checks and faults


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
    messages, count, model = body.get("messages"), body.get("n"), body.get("model")
    if not isinstance(messages, list) or not messages:
        raise Refused(400, "'messages' is missing or no list with something in it.")
    if not all(isinstance(each, dict) and isinstance(each.get("role"), str) for each in messages):
        raise Refused(400, "Each of 'messages' must be an object with a role.")
    if body.get("stream"):
        raise Refused(400, "Streaming is not supported.", "unsupported_value")
    if count is not None and (type(count) is not int or not 1 <= count <= 128):
        raise Refused(400, "'n' must be a whole number from 1 to 128.")
    if models is not None and model not in models:
        raise Refused(404, f"The model `{model}` does not exist.", "model_not_found")


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


def success(body: Body, key: str, texts: Sequence[str], kind: str, pause: float) -> Answer:
    """Wrap texts as a 200 answer, spoilt as the fault `kind` has it."""
    said: Sequence[str | None] = texts
    if kind == "empty":
        said = []
    elif kind == "truncate":
        said = [text[: len(text) // 2] for text in texts]
    elif kind in _SAID:
        said = [_SAID[kind]] * len(texts)
    finish = "length" if kind == "truncate" else "stop"
    content = json.dumps(completion(body, key, said, finish)).encode()
    half = len(content) // 2
    if kind == "drop-midway":
        return Answer(200, (content[:half],), missing=len(content) - half)
    if kind == "slow":
        return Answer(200, (b"", *(bytes([byte]) for byte in content)), pause=pause)
    if kind == "huge":
        before, _, after = content.rpartition(b"HUGE")  # the model's name comes earlier
        return Answer(200, (before, *[b"more and more words " * 2500] * 1000, after))
    return Answer(200, (content,))
