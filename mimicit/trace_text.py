"""A trace in words, for a person at a terminal, and as JSON, for a program.

Nothing that comes from data can act on the terminal or pass for a heading: what is not printable is
spelled out, and it stands indented.
"""

import dataclasses
import json
import math
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any, get_args

from mimicit.annotations import (
    Annotation,
    Box,
    Caption,
    Dialogue,
    Difference,
    Narration,
    Note,
    Segment,
    Story,
    Utterance,
)
from mimicit.lookup import Found
from mimicit.origins import Known
from mimicit.trace import Example, Picture, Trace, Writing

FIRST = 20
"""Instructions about a picture that are listed."""

_NAME = 12
_BEFORE = "  "


def as_json(found: Trace) -> str:
    """Write a trace as one line of JSON. An annotation has its class's name as its `type`."""
    return json.dumps(_plain(found), allow_nan=False)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        fields = {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        kind = type(value)
        return {"type": kind.__name__.lower(), **fields} if kind in get_args(Annotation) else fields
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None  # JSON has no word for it
    return value


def clean(text: str) -> str:
    """Spell out all that is not printable, but for the ends of lines."""
    return "".join(
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text
    )


def as_text(found: Trace, width: int = 100) -> str:
    """Write a trace for a person: headings, and below each what there is to say.

    Args:
        found: The trace.
        width: Letters a line has at most; a reply is not wrapped, nor are names.
    """
    page = _Page(width)
    page.line(f"{found.dataset}: {found.kind} {found.id}", indent="")
    if found.instruction:
        _instruction(page, found.instruction)
        _context(page, found.context)
    for rejection in found.rejections:
        _rejection(page, rejection)
    if found.writing:
        _writing(page, found.writing)
    elif found.kind == "rejected" and found.rejections[0].values["stage"] in {"reply", "checks"}:
        page.heading("HOW IT WAS WRITTEN")
        page.line("not known: a rejected row does not name its request, and nothing else of the")
        page.line("same reply was published that would")
    if found.kind in {"image", "scene"}:
        _about(page, found.about)
    for picture in found.pictures:
        _picture(page, picture)
    for scene in found.scenes:
        _scene(page, scene)
    return "\n".join(page.lines) + "\n"


class _Page:
    """Lines of text, each of them safe to print."""

    def __init__(self, width: int) -> None:
        self.lines: list[str] = []
        self._width = max(width, 40)

    def heading(self, text: str) -> None:
        self.lines += ["", text]

    def line(self, text: str, indent: str = _BEFORE) -> None:
        """Add what is one line of data, wrapped, whatever it holds."""
        self._wrapped(indent, indent + "  ", clean(text).replace("\n", "\\n"))

    def field(self, name: str, value: str) -> None:
        """Add a name and its value, whose lines stay lines; nothing where there is no value."""
        first = f"{_BEFORE}{name:<{_NAME}} "
        for line in clean(value).split("\n") if value else ():
            self._wrapped(first, " " * len(first), line)
            first = " " * len(first)

    def whole(self, text: str) -> None:
        """Add a text of any length, its lines as they are."""
        self.lines += [f"{_BEFORE}| {line}" for line in clean(text).split("\n")]

    def _wrapped(self, first: str, then: str, text: str) -> None:
        self.lines += textwrap.wrap(
            text,
            self._width,
            initial_indent=first,
            subsequent_indent=then,
            break_long_words=False,  # a path or a digest is to be copied
            break_on_hyphens=False,
        ) or [first.rstrip()]


def _where(row: Found) -> str:
    return f"{row.file}, row {row.row:,} (the first is 0)"


def _instruction(page: _Page, row: Found) -> None:
    values = row.values
    page.heading("INSTRUCTION")
    page.field("question", values["instruction"])
    page.field("answer", values["answer"])
    for name in ("kind", "language", "split", "group"):
        page.field(name, values[name])
    page.field("licence", values["licence"] or "not stated")
    page.field("stands in", _where(row))


def _context(page: _Page, context: Sequence[Example]) -> None:
    page.heading("SHOWN BEFORE IT, in this order")
    if not context:
        page.line("nothing: it has no in-context examples")
    for number, example in enumerate(context, 1):
        score = "no score" if example.score is None else f"score {example.score:.4f}"
        by = f", by {example.strategy}" if example.strategy else ""
        page.line(f"{number}  {example.id}  {score}{by}")
        page.line(example.instruction or "(this dataset has no such instruction)", indent="     ")
        page.line(example.answer, indent="     ")


def _rejection(page: _Page, row: Found) -> None:
    values = row.values
    page.heading("REJECTED")
    for name in ("stage", "reason", "record", "detail", "source"):
        page.field(name, values[name])
    page.field("scene", values["scene_id"])
    page.field("stands in", _where(row))


def _writing(page: _Page, writing: Writing) -> None:
    page.heading("HOW IT WAS WRITTEN")
    asked = bool(writing.request_key)
    if not asked and not writing.prompt_sha256:
        page.field("teacher", f"{writing.teacher}: in words that were there already")
        return
    page.field("teacher", writing.teacher if asked else f"{writing.teacher}: by rule, nobody asked")
    what = "prompt" if asked else "wording"
    page.field(what, writing.prompt or f"no {what} here has this digest: it was changed since")
    page.field("", f"sha256 {writing.prompt_sha256}")
    if writing.ordinal is not None:
        whose = "the reply" if asked else "what the rules gave"
        page.field("stood", f"as exchange {writing.ordinal} of {whose} (the first is 0)")
    if not asked:
        return
    if writing.attempt:
        page.field("asked", f"time {writing.attempt + 1} of asking about this scene")
    page.field("request", writing.request_key)
    page.field("journal", writing.journal)
    reply = writing.reply
    if reply is None:
        page.field("reply", f"not found: {writing.problem}")
        return
    page.field("model", reply.model)
    page.field("ended", reply.finish_reason)
    page.field("tokens", f"{reply.input_tokens:,} in, {reply.output_tokens:,} out")
    page.field("reply", "whole, as it came:")
    page.whole(reply.text)


def _about(page: _Page, about: Sequence[str]) -> None:
    page.heading(f"INSTRUCTIONS ABOUT IT: {len(about):,}")
    for name in about[:FIRST]:
        page.line(name)
    if len(about) > FIRST:
        page.line(f"and {len(about) - FIRST:,} more (--json lists all)")


def _picture(page: _Page, picture: Picture) -> None:
    values = picture.row.values
    origin = values["source_ref"]
    page.heading("PICTURE")
    page.field("id", values["image_id"])
    page.field("is", f"{values['width']:,} x {values['height']:,} pixels, {values['format']}")
    page.field("sha256", values["sha256"])
    page.field("licence", values["licence"] or "not stated")
    page.field("stands in", _where(picture.row))
    page.field("made of", origin["path"])
    if origin["sha256"] == values["sha256"]:
        page.field("", "as it is")
    else:
        page.field("", f"sha256 {origin['sha256']}")
    if origin["time"] is not None:
        page.field("frame", f"at {origin['time']:g} s, decoded by {origin['decoder']}")
    page.field("notes", ", ".join(origin["notes"]))
    page.field("on disk", picture.local)
    page.field("" if picture.local else "on disk", picture.problem)


def _scene(page: _Page, scene: Known) -> None:
    page.heading("SCENE, read anew from its source")
    page.field("source", scene.source)
    page.field("id", scene.id)
    page.field("group", ", ".join(scene.groups))
    page.field("videos", "\n".join(scene.videos))
    if scene.problem:
        page.field("annotations", f"not read: {scene.problem}")
        return
    page.field("annotations", f"{len(scene.annotations):,}")
    for annotation in scene.annotations:
        first, *more = _said(annotation)
        page.line(f"{type(annotation).__name__.lower()}: {first}", indent="    ")
        for line in more:
            page.line(line, indent="      ")


def _said(annotation: Annotation) -> Iterator[str]:
    """Say what an annotation says: a line, or several of one that has parts."""
    match annotation:
        case Caption(text, image):
            yield f'"{text}"{_of(image)}'
        case Box():
            yield _box(annotation)
        case Segment(start, end, text):
            yield f'{start:g} s to {end:g} s: "{text}"'
        case Narration(time, text, actor, objects):
            yield f'{time:g} s, {actor}: "{text}"' + "".join(f", {name}" for name in objects)
        case Difference(text, before, after, directed):
            sense = "from" if directed else "between"
            link = "to" if directed else "and"
            yield f'"{text}" ({sense} picture {before} {link} picture {after})'
        case Story(name, sentences, images):
            yield name
            told = zip(sentences, images, strict=False)
            yield from (f'"{sentence}" (picture {image})' for sentence, image in told)
        case Utterance(text, thing):
            yield f'"{text}"' + (f" (of {thing})" if thing else "")
        case Note(name, text, place):
            yield f'{name}: "{text}"' + ("" if place is None else _of(place))
        case Dialogue(turns):
            yield f"{len(turns):,} turn(s)"
            yield from (f'"{question}": "{answer}"' for question, answer in turns)


def _box(box: Box) -> str:
    x, y, width, height = map(_number, (box.x, box.y, box.width, box.height))
    place = f"{box.label} at {x}, {y}, {width} x {height}"
    area = "" if box.area is None else f", covers {_number(box.area)} pixels"
    return f"{place}{area}{', a crowd' if box.crowd else ''}{_of(box.image)}"


def _number(value: float) -> str:
    """Spell a number of pixels to a hundredth, and no further than it goes."""
    text = f"{value:.2f}"
    return text.rstrip("0").rstrip(".")


def _of(image: int) -> str:
    return f" (picture {image})" if image else ""
