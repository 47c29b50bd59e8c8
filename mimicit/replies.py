"""A teacher's reply to exchanges, strict where it is JSON and tolerant where it is not, or why not.

A reply is written by a model that was asked for a format and may not have kept to it. What it
meant is read from JSON wherever that stands in the text, else from `Question:` and `Answer:` at the
beginning of lines. Nothing is judged here: an exchange's place in the raw reply becomes its id, so
that a malformed one has to be counted, and `mimicit.checks` turns it away afterwards.

No text takes more than linear time: repetitions in a pattern that could overlap are bounded, and so
is the work spent on places where JSON seems to begin but does not.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, NoReturn

import msgspec

from mimicit.schema import Exchange, Reply

KIND = "conversation"
"""Kind of an exchange whose reply does not name one."""

FINISH_REASONS = {
    **dict.fromkeys(("length", "max_tokens"), "truncated"),
    **dict.fromkeys(("content_filter", "refusal"), "refusal"),
}
"""What a teacher says of its own stopping that makes a reply unusable, whatever it holds."""

ASKS = ("instruction", "question", "q", "prompt", "user", "human")
ANSWERS = ("answer", "a", "response", "output", "assistant", "gpt")
KINDS = ("kind", "type", "category")
"""Keys of a JSON object, the likelier first."""

MAX_NESTING = 4
"""How many lists may stand in one another around an exchange."""


class UnusableReply(Exception):  # noqa: N818  # never reaches a user: it carries a verdict
    """A reply cannot be used; `reason` is short and countable."""

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}")


_THOUGHTS = re.compile(
    r"\s*<think(?:ing)?>(?:.*?(?P<end></think(?:ing)?>)|.*)"
    # Some chat templates open the block in the prompt, so that a reply only closes it.
    r"|.*?^[ \t]*(?P<close></think(?:ing)?>)[ \t]*$",
    re.DOTALL | re.IGNORECASE | re.MULTILINE,
)

_REFUSAL = re.compile(
    r"\W*((?:(i|we)(?:'m|'re| am| are) )?((so|very|truly|really) )?(sorry|afraid)\b"
    r"|((i|we|my) )?(sincerely )?apolog(i[sz]e|ies)\b"
    r"|((unfortunately|regrettably),? )?(i|we)("
    r" (cannot|can not|can't|could not|couldn't|won't|will not|must decline)"
    r"|('m|'re| am| are) (unable|not able|not comfortable))\b"
    r"|as an? (\w+ ){0,3}(ai|language model|assistant)\b)",
    re.IGNORECASE,
)
"""How a text begins that declines as a whole. Wide, as it is only asked of what holds nothing."""


def read(reply: Reply) -> list[Exchange]:
    """Read the exchanges of a reply, in its order, malformed ones with an empty text.

    Raises:
        UnusableReply: `truncated`, `refusal`, `empty-reply` or `unparsable`.
    """
    reason = FINISH_REASONS.get(reply.finish_reason.strip().lower())
    if reason:
        _refuse(reason, reply)
    text = reply.text.replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff")
    thoughts = _THOUGHTS.match(text)
    text = text[thoughts.end() :] if thoughts else text
    plain = _plain(text)
    if plain:
        return plain
    if not text.strip():
        unfinished = thoughts and not thoughts.lastgroup
        _refuse("unparsable" if unfinished else "empty-reply", reply)
    start, values = _json_values(text)
    coded, written = _from_items(values, 0), _from_lines(text)
    # JSON below a question that has an answer is quoted by one of the two.
    quoted = coded and any(e.answer for e in written) and _from_lines(text[:start])
    if coded or written:
        return written if quoted or not coded else coded
    if _REFUSAL.match(" ".join(text[:1000].replace("\u2019", "'").split())):
        _refuse("refusal", reply)
    nothing: tuple[Any, ...] = ([], {"exchanges": []})
    return _refuse("empty-reply" if any(v in nothing for v in values) else "unparsable", reply)


class _PlainExchange(msgspec.Struct, forbid_unknown_fields=True):
    kind: str
    instruction: str
    answer: str


class _PlainReply(msgspec.Struct, forbid_unknown_fields=True):
    exchanges: list[_PlainExchange]


_PLAIN = msgspec.json.Decoder(_PlainReply)


def _plain(text: str) -> list[Exchange]:
    """Read a reply that is exactly what is asked for, as most are; nothing of any other.

    What follows reads it the same, at a tenth of the speed.
    """
    try:
        exchanges = _PLAIN.decode(text).exchanges
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return []
    return [Exchange(e.instruction, e.answer, _kind(e.kind)) for e in exchanges]


def _kind(text: str) -> str:
    kind = text.strip().lower()
    return kind.replace(" ", "-") if _KIND.fullmatch(kind) else KIND


def _refuse(reason: str, reply: Reply) -> NoReturn:
    raise UnusableReply(reason, repr(reply.text[:300])[:300])


# Numbers stay as they are written: none is too long, and none is rounded.
_DECODER = json.JSONDecoder(strict=False, parse_int=str, parse_float=str, parse_constant=str)
_OPENING = re.compile(r"[\[{]")
_STRING_OR_COMMA = re.compile(r'"(?:[^"\\]|\\.?)*"?|,(?=\s*[\]}])', re.DOTALL)
_KIND = re.compile(r"[a-z][a-z0-9 _-]{0,31}")
_SPEAKERS = {"human": "Q", "user": "Q", "gpt": "A", "assistant": "A", "system": ""}


def _json_values(text: str) -> tuple[int, list[Any]]:
    """Find where the first list or object begins, and all of them, mending commas if need be."""
    scan = _scan(text)
    if scan[0]:
        mended = _STRING_OR_COMMA.sub(lambda m: "" if m[0] == "," else m[0], text)
        scan = min(scan, _scan(mended), key=lambda one: one[0])
    return scan[1:]


def _scan(text: str) -> tuple[int, int, list[Any]]:
    """Decode what can be decoded: (places that could not be, where the first value is, values).

    Where an object is broken, the whole ones inside of it are found in its place. What failed is
    read again from its next bracket, so failures are dear: where it is too much nothing is found.
    """
    failures, spent, position, start = 0, 0, 0, len(text)
    values: list[Any] = []
    while opening := _OPENING.search(text, position):
        if failures == 100 or len(values) == 10_000 or spent > 4 * len(text):
            return failures, len(text), []
        position = opening.start()
        try:
            value, end = _DECODER.raw_decode(text, position)
        except (json.JSONDecodeError, RecursionError) as error:
            spent += getattr(error, "pos", len(text)) - position
            failures += 1
            position += 1
        else:
            start = min(start, position)
            values.append(value)
            position = end
    return failures, start, values


def _from_items(items: Iterable[Any], nesting: int) -> list[Exchange]:
    """Read a list: messages are paired up, and anything else in it is an exchange each.

    A list without a single known key is not one of exchanges. What is not an exchange counts as a
    malformed one inside a list, and as prose outside of any (`nesting` 0).
    """
    found: list[Exchange] = []
    known = waiting = False
    for item in items:
        speaker, text = _message(item)
        inner = _from_value(item, nesting) if speaker is None else []
        known = known or bool(speaker or inner)
        if speaker == "A" and waiting:
            found[-1] = replace(found[-1], answer=text)
        elif speaker:
            found.append(Exchange(text, "", KIND) if speaker == "Q" else Exchange("", text, KIND))
        elif speaker is None:
            found += inner or [Exchange("", "", KIND)] * bool(nesting)
        waiting = speaker == "Q"
    return found if known else []


def _from_value(value: Any, nesting: int) -> list[Exchange]:
    """Read one list or object; nothing where it is neither an exchange nor holds any."""
    if isinstance(value, list):
        return _from_items(value, nesting + 1) if nesting < MAX_NESTING else []
    fields = _fields(value)
    asks, answers = _first(fields, ASKS), _first(fields, ANSWERS)
    lists = [v for v in fields.values() if isinstance(v, list) and any(map(_fields, v))]
    if isinstance(fields.get("exchanges"), list):
        lists = [fields["exchanges"]]
    elif asks is not None and answers is not None:
        lists = []
    inner = _from_value(lists[0], nesting) if len(lists) == 1 else []
    if inner or (asks is None and answers is None):
        return inner
    return [Exchange(_text(asks), _text(answers), _kind(_text(_first(fields, KINDS))))]


def _message(value: Any) -> tuple[str | None, str]:
    """Read {"from": …, "value": …} as who speaks ("Q", "A" or "") and what; None if not."""
    fields = _fields(value)
    speaker, content = _first(fields, ("from", "role")), _first(fields, ("value", "content"))
    if not isinstance(speaker, str) or content is None:
        return None, ""
    return _SPEAKERS.get(speaker.strip().lower()), _text(content)


def _fields(value: Any) -> dict[str, Any]:
    return {k.strip().lower(): v for k, v in value.items()} if isinstance(value, dict) else {}


def _first(fields: dict[str, Any], keys: Iterable[str]) -> Any:
    return next((fields[key] for key in keys if fields.get(key) is not None), None)


def _text(value: Any) -> str:
    return json.dumps(value) if isinstance(value, bool) else value if isinstance(value, str) else ""


_MARKER = re.compile(
    r"[ \t]{0,12}(?:(?:[-+*•>]|\#{1,6})[ \t]{1,4}){0,4}"
    r"(?P<outer>[*_]{0,3})(?:\d{1,4}[.)][ \t]{0,4})?(?P<inner>[*_]{0,3})"
    # No space in `A1`, or else "A 10:30 train" would be one.
    r"(?P<word>(?:question|instruction|user|answer|assistant|gpt)(?:[ \t]?\#?\d{1,4})?|[qa]\d{0,4})"
    r"(?P<shut>[*_]{0,3})(?:[ \t]{0,3}:|(?<=\d)[.)](?=[\s*_]|$))",
    re.IGNORECASE,
)
"""`Question 1:` and its like with the text behind it, as a list item, a heading or emphasised."""

_TITLE = re.compile(
    r"[ \t]{0,12}(?:\#{1,6}[ \t]{1,4}|(?=[*_]))(?P<outer>[*_]{0,3})(?P<inner>)"
    r"(?P<word>(?:question|instruction|answer)(?:[ \t]?\#?\d{1,4})?|[qa]\d{1,4})"
    r"(?P<shut>[*_]{0,3})[ \t]*$",
    re.IGNORECASE,
)
"""A heading, or an emphasised line, that holds nothing else: the text is on the next line."""

_DIVIDER = re.compile(r"[ \t]*(?:\#{1,6}(?:[ \t].*)?|([-*_])(?:[ \t]{0,4}\1){2,}[ \t]*)?$")
"""A blank line, a rule or a heading."""


def _from_lines(text: str) -> list[Exchange]:
    """Read exchanges whose questions and answers are marked at the beginning of a line.

    An answer runs to the next question, so that a second `Answer:` in it is part of it.
    """
    pairs: list[tuple[list[str], list[str]]] = []
    for line in text.split("\n"):
        marker = _MARKER.match(line) or _TITLE.match(line)
        if marker and marker["word"][0] in "QqIiUu":
            pairs.append(([_unmarked(line, marker)], []))
        elif marker and pairs and not pairs[-1][1]:
            pairs[-1][1].append(_unmarked(line, marker))
        elif pairs:
            question, answer = pairs[-1]
            (answer or question).append(line)
    return [Exchange(_joined(question), _joined(answer), KIND) for question, answer in pairs]


def _unmarked(line: str, marker: re.Match[str]) -> str:
    """Cut the marker off a line, and the end of its emphasis wherever that stands."""
    rest = line[marker.end() :].strip()
    emphasis = marker["outer"] or marker["inner"]
    if not emphasis or marker["shut"]:
        return rest
    if rest.startswith(emphasis):
        return rest.removeprefix(emphasis)
    return "".join(rest.rsplit(emphasis, 1)) if rest.count(emphasis) % 2 else rest


def _joined(lines: Sequence[str]) -> str:
    """Join the lines of a text without what divides it from the next one."""
    kept = "\n".join(lines).rstrip().split("\n")
    if kept[-1].strip() == "```" and sum(x.lstrip().startswith("```") for x in kept) % 2:
        kept.pop()  # it closes a block that was opened before the text
    while len(kept) > 1 and _DIVIDER.match(kept[-1]):  # beside a marker even "---" is text
        kept.pop()
    return "\n".join(kept).strip()
