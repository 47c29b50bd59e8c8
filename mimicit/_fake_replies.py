"""What the fake teacher says: questions and answers, or an instance of any reply schema.

Used by `mimicit.testing` only. What is said is a pure function of what was asked.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

Body = dict[str, Any]
T = TypeVar("T")

_UNLOGICAL = re.compile("response_format|stream|stream_options|n|user|metadata|store|service_tier")
"""Fields that do not change what is said, only how it is wrapped, counted or filed."""


class BadSchema(ValueError):  # noqa: N818  # never reaches a user: it becomes a 400
    """A reply schema cannot be followed."""


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


def text_of(message: Body) -> str:
    """Join the text of a message."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    return "\n".join(text for text in texts if isinstance(text, str))


def _topics(messages: list[Body]) -> list[str]:
    """Find what the last user message is about: its nouns by guess, else any words of it."""
    asked = [message for message in messages if message.get("role") == "user"] or messages
    text = text_of(asked[-1])[:20_000].lower()
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
