"""A video with sentences for its segments, or a moment of one: what happens, when, and after what.

Describers write a video's sentences as a paragraph and overlap their segments. So a question of its
own is only asked about a sentence that stands alone, and order only where segments do not overlap.
A moment of a television show (its sentences have notes `evidence`) is told by what can be seen of
it, without the names of the characters.
"""

import re
from collections.abc import Iterator
from functools import cache
from itertools import pairwise

from pydantic import BaseModel

from mimicit.annotations import Note, Segment
from mimicit.facts import words_of
from mimicit.schema import Exchange, Scene
from mimicit.templates.sentences import PRONOUN, alike, follows, mend, opens, stands_alone
from mimicit.templates.unnamed import names_somebody, unnamed
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
    segments = [a for a in scene.annotations if isinstance(a, Segment)]
    notes = [a for a in scene.annotations if isinstance(a, Note)]
    evidence = [note.text for note in notes if note.name == "evidence"]
    if evidence:
        show = scene.groups[-1].removeprefix("show~")
        yield from _moment(segments, evidence, show, choice)
        return
    durations = [float(note.text) for note in notes if note.name == "duration"]
    steps = any(note.name == "sentences" and note.text == STEPS for note in notes)
    yield from _video(segments, durations[0] if durations else None, choice, steps=steps)


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


def _video(
    segments: list[Segment], duration: float | None, choice: Choice, *, steps: bool
) -> Iterator[Exchange]:
    known = [Segment(s.start, s.end, mend(s.text)) for s in segments]
    known = [s for s in known if words_of(s.text)]
    whole = [s for s in known if duration and s.end - s.start >= 0.8 * duration]
    parts = [s for s in known if s not in whole]
    forms = _wording().steps if steps else _wording().events
    if len(whole) == 1 and stands_alone(whole[0].text) and not steps:
        asked = choice.of("description", _wording().description)
        yield Exchange(asked, whole[0].text, "description")
    yield from _summary(known, forms, choice)
    clear = [
        part
        for part in parts
        if stands_alone(part.text)
        and not (steps and PRONOUN.search(part.text.lower()))
        and round(part.end) - round(part.start) >= 1
        and not any(_overlap(part, other) for other in parts if other is not part)
    ]
    chosen = choice.order("segments", clear)
    yield from _between(chosen[::2][:EACH], forms, choice)
    yield from _when(chosen[1::2][:EACH], known, duration, forms, choice)
    yield from _ends(parts, clear, duration, forms, choice)
    yield from _after(parts, clear, forms, choice)


def _summary(known: list[Segment], forms: _Questions, choice: Choice) -> Iterator[Exchange]:
    texts = list(dict.fromkeys(segment.text for segment in known))
    if any(names_somebody(text) for text in texts):
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
    chosen: list[Segment],
    known: list[Segment],
    duration: float | None,
    forms: _Questions,
    choice: Choice,
) -> Iterator[Exchange]:
    for number, segment in enumerate(chosen):
        if any(alike(segment.text, other.text) for other in known if other is not segment):
            continue
        said = _from_to(segment, duration)
        words = {"from_to": said, "From_to": said[:1].upper() + said[1:]}
        yield ask("when", choice, forms.when, str(number), **words, **_event(segment.text))


def _event(text: str) -> dict[str, str]:
    text = text.replace('"', "'")
    return {"text": text, "event": text.rstrip(".")}


def _ends(
    parts: list[Segment],
    clear: list[Segment],
    duration: float | None,
    forms: _Questions,
    choice: Choice,
) -> Iterator[Exchange]:
    """Ask for the beginning and the end, where something is said of them and nothing rivals it."""
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
    parts: list[Segment], clear: list[Segment], forms: _Questions, choice: Choice
) -> Iterator[Exchange]:
    pairs = [
        (one, after)
        for one, after in pairwise(parts)
        if one in clear
        and not any(_overlap(after, other) for other in parts if other is not after)
        and not any(alike(one.text, other.text) for other in parts if other is not one)
        and follows(one.text, after.text)
    ]
    for number, (one, after) in enumerate(choice.order("after", pairs)[:EACH]):
        asked = choice.of(f"after {number}", forms.after)
        yield Exchange(asked.format(**_event(one.text)), after.text, "order")


# -------------------------------------------------------------------- moments

_SPOKEN = re.compile(
    r"\b(say|says|said|saying|tells?|told|telling|explain\w*|mention\w*|admit\w*|reveal\w*|claim\w*|"
    r"suggest\w*|think\w*|thought|believ\w*|wonder\w*|know|knows|knew|knowing|remember\w*|realiz\w*|realis\w*|about|"
    r"because|stat(?:es|ed|ing)|names?|calls|called|calling|asks?|asked|wants?|wanted|decid\w*|hears?|heard|voice|sounds?)\b",
    re.IGNORECASE,
)
"""What is told by talk or thought; the pictures do not show it."""


def _moment(
    segments: list[Segment], evidence: list[str], show: str, choice: Choice
) -> Iterator[Exchange]:
    told: list[str] = []
    for segment, how in zip(segments, evidence, strict=False):
        if how != "seen" or _SPOKEN.search(segment.text):
            continue
        text = unnamed(mend(segment.text), show)
        if text and opens(text) and text not in told:
            told.append(text)
    for number, text in enumerate(told):
        forms = _wording().moment_more if number else _wording().moment
        yield Exchange(choice.of(f"moment {number}", forms), text, "moment")
