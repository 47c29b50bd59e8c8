"""What sources say of pictures and videos: one type a kind, all of them plain values."""

import re
from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True, slots=True)
class Caption:
    """A sentence about a whole picture (`image` is its place in the scene)."""

    text: str
    image: int = 0


@dataclass(frozen=True, slots=True)
class Box:
    """A labelled rectangle in pixels of the annotated picture, origin at the top left.

    Attributes:
        label: What it is, as the source names it.
        x: Left edge.
        y: Top edge.
        width: Width, above zero.
        height: Height, above zero.
        area: Pixels the object itself covers, where the source knows.
        crowd: One rectangle stands for a whole group.
        image: The picture's place in the scene.
    """

    label: str
    x: float
    y: float
    width: float
    height: float
    area: float | None = None
    crowd: bool = False
    image: int = 0

    def within(self, size: tuple[int, int]) -> "Box | None":
        """Cut the box to a picture of (width, height); None where nothing is left of it."""
        left, top = max(self.x, 0.0), max(self.y, 0.0)
        width = min(self.x + self.width, size[0]) - left
        height = min(self.y + self.height, size[1]) - top
        if width <= 0 or height <= 0:
            return None
        return replace(self, x=left, y=top, width=width, height=height)


@dataclass(frozen=True, slots=True)
class Segment:
    """What happens in a video between two times, in seconds."""

    start: float
    end: float
    text: str


@dataclass(frozen=True, slots=True)
class Narration:
    """What somebody does at one time of a first-person video, in seconds."""

    time: float
    text: str
    actor: Literal["wearer", "other", "unsure"] = "wearer"
    objects: tuple[str, ...] = ()


_KINDS = r"(?:(?:other|real|clear|big|major|noticeable|visible|obvious|apparent|discernible) )?"
_TAIL = (
    r"(?: (?:between|in|within|to|of|about|from|with|and|at|all|that|i|can|see|the|these|this|those"
    r"|two|2|both|either|each|other|given|before|after|first|second|images?|pictures?|photos?|pics?"
    r"|photographs?|frames?|here))*"
)
_NONE = re.compile(
    r"(?:(?:in the (?:after|second) (?:image|picture|photo),? )?"
    r"(?:there (?:is|are|was|were|appears? to be|seems? to be|has been|have been) )?"
    rf"(?:no|not any) {_KINDS}(?:differences?|changes?|different)"
    r"(?: (?:exist|spotted|found|seen|observed|noticed|(?:were|have been) \w+ed|have occurred))?"
    r"|i (?:(?:honestly )?(?:do not|don'?t|don t|can ?not|can'?t|can t|did not|could not) "
    r"(?:see|notice|find|spot|observe|locate) any"
    rf"|(?:see|notice|find) no) {_KINDS}(?:differences?|changes?|thing different)"
    r"|i do not see anything different"
    r"|(?:there (?:is|was) )?nothing (?:has |is |was |in the second \w+ appears to have )?"
    r"(?:changed|different)(?: they are the exact same)?"
    r"|everything (?:is|looks|stays) the same"
    r"|(?:they |both |the |these |two |2 )*(?:images|pictures|photos|pics|photographs)?(?: both)?"
    r"(?: ?(?:all )?(?:are|look|appear|appear to be)) (?:the (?:exact )?same|identical)"
    r"|(?:the )?same (?:picture|image|photo)s?|none)"
    rf"{_TAIL}[ .!]*",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Difference:
    """How picture `after` differs from picture `before`; `directed` if the source says which."""

    text: str
    before: int = 0
    after: int = 1
    directed: bool = False

    @property
    def none(self) -> bool:
        """Whether it says, and says no more than, that nothing differs."""
        return bool(_NONE.fullmatch(" ".join(self.text.split())))


@dataclass(frozen=True, slots=True)
class Story:
    """One teller's story over the pictures of an album: a sentence a picture, in story order."""

    id: str
    sentences: tuple[str, ...]
    images: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Utterance:
    """A sentence that refers to one object of a room."""

    text: str
    object: str = ""


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A conversation: (question, answer) turns in order."""

    turns: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Note:
    """Something else that the source says, by name: an album's title, a photograph's tags.

    Attributes:
        name: What it is, such as `title`.
        text: What it says.
        image: The picture it is about, by its place in the scene; None for the whole scene.
    """

    name: str
    text: str
    image: int | None = None


Annotation = Caption | Box | Segment | Narration | Difference | Story | Utterance | Dialogue | Note
