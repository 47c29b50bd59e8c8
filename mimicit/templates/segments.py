"""A video with sentences for its segments, or a moment of one: what happens, when, and after what.

Describers write a video's sentences as a paragraph and overlap their segments. So a question of its
own is only asked about a sentence that stands alone, and order only where segments do not overlap.
A moment of a television show (its sentences have notes `evidence`) is told by what can be seen of
it, without the names of the characters.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from pydantic import BaseModel

from mimicit.annotations import Note, Segment
from mimicit.facts import words_of
from mimicit.schema import Exchange, Scene
from mimicit.templates._seen import told_as_seen
from mimicit.templates.sentences import (
    PRONOUN,
    alike,
    disagrees,
    follows,
    mend,
    names_anybody,
    stands_alone,
)
from mimicit.templates.wording import Choice, Forms, Phrases, ask, wording

EACH = 2
"""Most questions of a kind that several segments of a video give."""

STEPS = "steps of a recipe"
"""What a note `sentences` says of instructions, such as "Chop the onion"."""

LONGEST = 12
"""Sentences a summary has at most."""


class _Questions(BaseModel, extra="forbid"):
    """What is asked about the segments of a video."""

    summary: Phrases
    between: Phrases
    until: Phrases
    when: Forms
    first: Phrases
    last: Phrases
    after: Phrases


class _Wording(BaseModel, extra="forbid"):
    """The file `prompts/templates/segments.yaml`."""

    description: Phrases
    events: _Questions
    steps: _Questions
    moment: Phrases
    moment_more: Phrases


@cache
def _wording() -> _Wording:
    return wording("segments", _Wording)


def write(scene: Scene, choice: Choice) -> Iterator[Exchange]:
    """Write what the segments of a scene support, in a fixed order of kinds.

    Args:
        scene: A scene with segments in order of time.
        choice: Varies the wording and the choice among segments that could be asked about.
    """
    if _is_moment(scene):
        yield from _moment(scene, choice)
    else:
        yield from _video(_Video.of(scene), choice)


def silence(scene: Scene) -> str:
    """Say why nothing is written about a scene with segments."""
    if _is_moment(scene):
        whys = [why or "says the same as another" for _, why in told_as_seen(scene)]
    else:
        video = _Video.of(scene)
        whys = [video.objection(one) for one in video.known]
    counts = ", ".join(f"{count} {why}" for why, count in Counter(whys).items())
    total = len([a for a in scene.annotations if isinstance(a, Segment)])
    return f"of {total} {'sentence' if total == 1 else 'sentences'} none can be told: {counts}"


def _is_moment(scene: Scene) -> bool:
    return any(isinstance(a, Note) and a.name == "evidence" for a in scene.annotations)


# ---------------------------------------------------------------------- times


def _clock(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    said = [(minutes, "minute"), (rest, "second")]
    return " ".join(f"{n} {unit}{'' if n == 1 else 's'}" for n, unit in said if n) or "0 seconds"


def _from_to(segment: Segment, duration: float | None) -> str:
    start, end = round(segment.start), round(segment.end)
    to_end = duration is not None and segment.end >= duration - 0.5
    if start == 0:
        return f"from the beginning to about {_clock(end)}"
    if to_end:
        return f"from about {_clock(start)} to the end"
    first = str(start) if end < 60 else _clock(start)
    return f"from about {first} to {_clock(end)}"


def _overlap(one: Segment, other: Segment) -> bool:
    """Tell whether two segments share more than a tenth of the shorter, which is a describer's."""
    shared = min(one.end, other.end) - max(one.start, other.start)
    return shared > 0.1 * min(one.end - one.start, other.end - other.start)


# --------------------------------------------------------------------- videos


@dataclass(frozen=True, slots=True)
class _Video:
    """What is known of a video.

    Attributes:
        known: Its segments, by when they start; of what starts at once, in the author's order.
        duration: Its length.
        frames: When the pictures are shown that are asked about; empty where they are not known.
        steps: Whether the sentences are steps of a recipe.
    """

    known: tuple[Segment, ...]
    duration: float | None
    frames: tuple[float, ...]
    steps: bool

    @classmethod
    def of(cls, scene: Scene) -> "_Video":
        """Gather what a scene says, its sentences mended."""
        segments = [a for a in scene.annotations if isinstance(a, Segment)]
        notes = [a for a in scene.annotations if isinstance(a, Note)]
        known = [Segment(s.start, s.end, mend(s.text)) for s in segments]
        origins = [ref.origin for ref in scene.images if ref.origin]
        return cls(
            known=tuple(s for s in known if words_of(s.text)),
            duration=next((float(note.text) for note in notes if note.name == "duration"), None),
            frames=tuple(origin.time for origin in origins if origin.time is not None),
            steps=any(note.name == "sentences" and note.text == STEPS for note in notes),
        )

    def is_whole(self, segment: Segment) -> bool:
        """Tell whether a segment goes over nearly all of the video."""
        return bool(self.duration and segment.end - segment.start >= 0.8 * self.duration)

    @property
    def parts(self) -> list[Segment]:
        """Give the segments that are a part of the video, and not nearly all of it."""
        return [segment for segment in self.known if not self.is_whole(segment)]

    def is_shown(self, segment: Segment) -> bool:
        """Tell whether a picture shows something of a segment."""
        shown = (segment.start <= time <= segment.end for time in self.frames)
        return not self.frames or any(shown)

    def is_apart(self, segment: Segment) -> bool:
        """Tell whether nothing else happens at the time of a segment."""
        return not any(_overlap(segment, other) for other in self.parts if other is not segment)

    def objection(self, segment: Segment) -> str:
        """Say why a segment cannot be asked about by itself; "" where it can."""
        if names_anybody(segment.text):
            return "names somebody"
        if not stands_alone(segment.text) or (self.steps and PRONOUN.search(segment.text.lower())):
            return "needs another before it, or is no plain English"
        if self.is_whole(segment):
            return "goes over nearly all of the video"
        if round(segment.end) - round(segment.start) < 1:
            return "takes less than a second"
        if not self.is_shown(segment):
            return "is shown by no frame"
        return "" if self.is_apart(segment) else "overlaps with others"


def _video(video: _Video, choice: Choice) -> Iterator[Exchange]:
    forms = _wording().steps if video.steps else _wording().events
    if not video.steps:
        yield from _description(video, choice)
    yield from _summary(video, forms, choice)
    clear = [part for part in video.parts if not video.objection(part)]
    chosen = choice.order("segments", clear)
    yield from _between(chosen[::2][:EACH], forms, choice)
    yield from _when(chosen[1::2][:EACH], video, forms, choice)
    yield from _ends(clear, video, forms, choice)
    yield from _after(clear, video, forms, choice)


def _description(video: _Video, choice: Choice) -> Iterator[Exchange]:
    """Give the sentence for all of the video, where it is what its author says first."""
    whole = [segment for segment in video.known if video.is_whole(segment)]
    if len(whole) != 1 or not stands_alone(whole[0].text):
        return
    if video.known[0] is whole[0] or video.known[0].start < whole[0].start:
        asked = choice.of("description", _wording().description)
        yield Exchange(asked, whole[0].text, "description")


def _summary(video: _Video, forms: _Questions, choice: Choice) -> Iterator[Exchange]:
    texts = list(dict.fromkeys(segment.text for segment in video.known))
    if any(names_anybody(text) or disagrees(text) for text in texts):
        return
    if 2 <= len(texts) <= LONGEST and stands_alone(texts[0]):
        yield Exchange(choice.of("summary", forms.summary), " ".join(texts), "summary")


def _between(chosen: list[Segment], forms: _Questions, choice: Choice) -> Iterator[Exchange]:
    for number, segment in enumerate(chosen):
        first, last = round(segment.start), round(segment.end)
        asked = choice.of(f"between {number}", forms.between if first else forms.until)
        start, end = str(first) if last < 60 else _clock(first), _clock(last)
        yield Exchange(asked.format(start=start, end=end), segment.text, "between")


def _when(
    chosen: list[Segment], video: _Video, forms: _Questions, choice: Choice
) -> Iterator[Exchange]:
    for number, segment in enumerate(chosen):
        if any(alike(segment.text, other.text) for other in video.known if other is not segment):
            continue
        said = _from_to(segment, video.duration)
        words = {"from_to": said, "From_to": said[:1].upper() + said[1:]}
        yield ask("when", choice, forms.when, str(number), **words, **_event(segment.text))


def _event(text: str) -> dict[str, str]:
    text = text.replace('"', "'")
    return {"text": text, "event": text.rstrip(".")}


def _ends(
    clear: list[Segment], video: _Video, forms: _Questions, choice: Choice
) -> Iterator[Exchange]:
    """Ask for the beginning and the end, where something is said of them and nothing rivals it."""
    parts, duration = video.parts, video.duration
    if len(parts) < 2 or duration is None:
        return
    near = max(2.0, 0.05 * duration)
    first = parts[0]
    if first in clear and first.start <= near:
        yield Exchange(choice.of("first", forms.first), first.text, "order")
    last = max(parts, key=lambda part: part.end)
    if last in clear and last is not first and last.end >= duration - near:
        yield Exchange(choice.of("last", forms.last), last.text, "order")


def _after(
    clear: list[Segment], video: _Video, forms: _Questions, choice: Choice
) -> Iterator[Exchange]:
    parts = video.parts
    pairs = [
        (one, after)
        for one, after in pairwise(parts)
        if one in clear
        and video.is_apart(after)
        and video.is_shown(after)
        and not any(alike(one.text, other.text) for other in parts if other is not one)
        and follows(one.text, after.text)
        and not _comes_between(one, after, video)
    ]
    for number, (one, after) in enumerate(choice.order("after", pairs)[:EACH]):
        asked = choice.of(f"after {number}", forms.after)
        yield Exchange(asked.format(**_event(one.text)), after.text, "order")


def _comes_between(one: Segment, after: Segment, video: _Video) -> bool:
    """Tell whether something else begins once a segment is over, and no later than another."""
    others = (segment for segment in video.known if segment is not one and segment is not after)
    return any(one.end - 0.5 <= other.start <= after.start for other in others)


# -------------------------------------------------------------------- moments


def _moment(scene: Scene, choice: Choice) -> Iterator[Exchange]:
    told = dict.fromkeys(text for text, why in told_as_seen(scene) if not why)
    for number, text in enumerate(told):
        forms = _wording().moment_more if number else _wording().moment
        yield Exchange(choice.of(f"moment {number}", forms), text, "moment")
