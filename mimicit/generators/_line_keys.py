"""The keys of a line of one's own data, typed strictly, so that mistakes show."""

import difflib
import re
from typing import Literal, TypeVar

import msgspec

S = TypeVar("S", bound=msgspec.Struct)

Raws = list[msgspec.Raw] | None


class Line(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A line as it is written; what it says stays undecoded until it is asked for."""

    id: str | int
    image: str | None = None
    images: list[str] | None = None
    sizes: list[tuple[int, int]] | None = None
    video: str | None = None
    frames: int | None = None
    times: list[float] | None = None
    captions: Raws = None
    boxes: Raws = None
    segments: Raws = None
    narrations: Raws = None
    differences: Raws = None
    story: msgspec.Raw = msgspec.Raw(b"null")
    stories: Raws = None
    utterances: Raws = None
    conversations: Raws = None
    qa: Raws = None
    notes: dict[str, str | int | float] | None = None
    group: str | int | None = None
    groups: list[str | int] | None = None
    licence: str | None = None
    language: str | None = None


class CaptionItem(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """An item of `captions`; text alone will do."""

    text: str
    image: int = 0


class BoxItem(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """An item of `boxes`: [left, top, width, height] in pixels."""

    label: str
    bbox: tuple[float, float, float, float]
    image: int = 0


class SegmentItem(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """An item of `segments`, in seconds."""

    start: float
    end: float
    text: str


class NarrationItem(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """An item of `narrations`, in seconds."""

    time: float
    text: str
    actor: Literal["wearer", "other", "unsure"] = "wearer"
    objects: list[str] = []


class DifferenceItem(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """An item of `differences`."""

    text: str
    before: int = 0
    after: int = 1
    directed: bool = False


class StoryItem(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """An item of `stories`: a sentence a picture, in the order of the first pictures by default."""

    sentences: list[str]
    images: list[int] | None = None
    id: str | int = ""


class UtteranceItem(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """An item of `utterances`; text alone will do."""

    text: str
    object: str = ""


_MEANT = {
    "annotations": "boxes",
    "category": "label",
    "file": "image",
    "instances": "boxes",
    "name": "label",
    "objects": "boxes",
}
"""Which key is meant by what other formats call it, where the two are not spelled alike."""


class Unfit(Exception):  # noqa: N818  # caught where it is told: it carries a verdict
    """Something cannot be used; `reason` is short and countable."""

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}")


def convert(raw: msgspec.Raw, kind: type[S], key: str) -> S:
    """Read an item; text alone will do where only text is needed.

    Raises:
        Unfit: it is not of that form.
    """
    try:
        if key in {"captions", "utterances"} and bytes(raw).startswith(b'"'):
            return kind(msgspec.json.decode(raw, type=str))
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unfit("malformed-record", hinted(str(error), kind)) from error


def hinted(error: str, kind: type[msgspec.Struct]) -> str:
    """Add to an error about an unknown key which one was meant, and which there are."""
    found = re.search(r"unknown field `(.*?)`", error)
    if not found:
        return error
    keys = kind.__struct_fields__
    known = [_MEANT[found[1]]] if _MEANT.get(found[1]) in keys else []
    near = known or difflib.get_close_matches(found[1].lower(), keys, 1, 0.5)
    meant = f"did you mean `{near[0]}`?" if near else f"there are: {', '.join(keys)}"
    return f"unknown key `{found[1]}`; {meant}"
