"""Samplers: which moments of a video become pictures. Times are seconds, its first frame being 0.

A sampler is a value that checks itself; `choose` applies it to a video whose timeline is known.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

MOST = 10_000
"""Moments a sampler may give: more is a mistake, such as seconds taken for milliseconds."""


def _check_segment(start: float, end: float | None) -> None:
    if not (math.isfinite(start) and start >= 0):
        raise ValueError(f"a segment starts at 0 seconds or later, not at {start}")
    if end is not None and not (math.isfinite(end) and end >= start):
        raise ValueError(f"a segment from {start} ends at that time or later, not at {end}")


@dataclass(frozen=True, slots=True)
class Uniform:
    """The middles of `count` equal parts of a video, or of a segment of it.

    Raises:
        ValueError: there is nothing to choose, or the segment ends before it starts.
    """

    count: int
    start: float = 0.0
    end: float | None = None

    def __post_init__(self) -> None:
        _check_segment(self.start, self.end)
        if not 1 <= self.count <= MOST:
            raise ValueError(f"1 to {MOST:,} frames can be chosen, not {self.count}")


@dataclass(frozen=True, slots=True)
class Every:
    """One moment every so many seconds, from the start of a video, or of a segment of it.

    Raises:
        ValueError: the step is not above 0, or the segment ends before it starts.
    """

    seconds: float
    start: float = 0.0
    end: float | None = None

    def __post_init__(self) -> None:
        _check_segment(self.start, self.end)
        if not (math.isfinite(self.seconds) and self.seconds > 0):
            raise ValueError(f"a step is above 0 seconds, not {self.seconds}")


@dataclass(frozen=True, slots=True)
class At:
    """Given moments.

    Raises:
        ValueError: there are none, or one lies before the first frame.
    """

    times: tuple[float, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.times) <= MOST:
            raise ValueError(f"1 to {MOST:,} moments can be given, not {len(self.times)}")
        for time in self.times:
            if not (math.isfinite(time) and time >= 0):
                raise ValueError(f"a moment is at 0 seconds or later, not at {time}")


@dataclass(frozen=True, slots=True)
class KeyFrames:
    """The frames that decode by themselves: the cheapest to get, at times the encoder chose.

    At most `count` of them, spread evenly, inside of a segment where one is given.

    Raises:
        ValueError: there is nothing to choose, or the segment ends before it starts.
    """

    count: int = MOST
    start: float = 0.0
    end: float | None = None

    def __post_init__(self) -> None:
        _check_segment(self.start, self.end)
        if not 1 <= self.count <= MOST:
            raise ValueError(f"1 to {MOST:,} frames can be chosen, not {self.count}")


Sampler = Uniform | Every | At | KeyFrames

SAMPLERS: dict[str, type[Sampler]] = {
    "uniform": Uniform,
    "every": Every,
    "at": At,
    "key-frames": KeyFrames,
}
"""Each sampler by the name it has in a process of its own."""


def choose(
    sampler: Sampler, duration: Fraction, keyframes: Sequence[Fraction] = ()
) -> tuple[list[float], list[float]]:
    """Apply a sampler to a video: the moments that it has, and those that lie after its end.

    Args:
        sampler: What to choose.
        duration: End of the last frame.
        keyframes: When the key frames are shown.

    Raises:
        ValueError: it would give more than `MOST` moments.
    """
    whole = float(duration)
    if isinstance(sampler, At):
        inside = [time for time in sampler.times if time < whole]
        return inside, [time for time in sampler.times if time >= whole]
    end = whole if sampler.end is None else min(sampler.end, whole)
    if sampler.start >= whole:
        return [], [sampler.start]
    if isinstance(sampler, Uniform):
        part = (end - sampler.start) / sampler.count
        return [sampler.start + (n + 0.5) * part for n in range(sampler.count)], []
    if isinstance(sampler, Every):
        steps = max(math.ceil((end - sampler.start) / sampler.seconds - 1e-9), 1)
        if steps > MOST:
            raise ValueError(f"{steps:,} moments, more than {MOST:,}")
        return [sampler.start + n * sampler.seconds for n in range(steps)], []
    first, last = bisect_left(keyframes, sampler.start), bisect_left(keyframes, end)
    found = [float(time) for time in keyframes[first:last]]
    count = min(sampler.count, len(found))
    return [found[(2 * n + 1) * len(found) // (2 * count)] for n in range(count)], []


@dataclass(frozen=True, slots=True)
class Clip:
    """Frames of a video by a rule: what the media pass makes pictures of.

    Attributes:
        id: What the ids of its frames begin with, `{PREFIX}_IMG_{video}`, from the source's own id.
        root: Directory the user handed us. Nothing outside of it is ever read.
        name: Path below `root` as the annotations give it: untrusted until resolved.
        sampler: Which moments.
        minimum: Different frames there must be, or the scene is turned away.
        licence: SPDX id where one is known, else the source's own words, else "".
    """

    id: str
    root: str
    name: str
    sampler: Sampler
    minimum: int = 1
    licence: str = ""


def frame_id(clip: str, time: Fraction) -> str:
    """Name a frame by its clip and its own time in milliseconds.

    Rounded up, so that the frame shown at the time in its name is this very frame.
    """
    return f"{clip}_{math.ceil(time * 1000):09d}"
