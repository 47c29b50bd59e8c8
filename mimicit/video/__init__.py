"""Frames of videos by time: the frame shown at time t is the last one presented at or before t.

Times are seconds since the first frame (= 0), taken from the stream's own presentation times and
never from a frame rate. Opening a video of unknown origin can crash or hang the process: strangers'
files are read in child processes (`mimicit.decoding`).
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from importlib.metadata import packages_distributions, version
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from PIL import Image

from mimicit.errors import UsageError

TOLERANCE = Fraction(1, 1_000_000)
"""A time this little before a frame's own counts as the frame's: decimals of an annotation, such
as 1.2, are rarely what a float can say, and clocks of streams tick 10 times as slowly."""

MODULES = {"pyav": "av", "decord": "decord"}
"""The decoders by preference (docs/media.md has what they were measured at), with the module
each needs."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """When the frames of a video are shown.

    Attributes:
        times: Presentation time of every frame in seconds, ascending, the first 0.
        keyframes: Those among them that decode by themselves.
        duration: End of the last frame in seconds, as far as the file says.
    """

    times: Sequence[Fraction]
    keyframes: Sequence[Fraction]
    duration: Fraction


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame, as it is to be looked at.

    Attributes:
        time: Presentation time in seconds, the first frame's being 0.
        pts: The same as the stream counts it, in ticks of `time_base`.
        time_base: Seconds a tick.
        picture: Upright, in RGB, its pixels square, high dynamic range brought to sRGB.
        moments: Times asked for at which it is shown.
        instead_of: Times asked for whose own frame cannot be decoded; this one is the nearest.
        tone_mapped: It was brought down from high dynamic range.
    """

    time: Fraction
    pts: int
    time_base: Fraction
    picture: Image.Image
    moments: tuple[float, ...] = ()
    instead_of: tuple[float, ...] = ()
    tone_mapped: bool = False


class Video(Protocol):
    """An open video.

    Attributes:
        decoder: Name and version of what decodes it.
        timeline: When its frames are shown.
        checked: Frames that do not decode cleanly are found out, and never given.
    """

    decoder: str
    timeline: Timeline
    checked: bool

    @property
    def damaged(self) -> bool:
        """Something in the file did not decode, or is missing, as far as it was read."""
        ...

    def frames(self, moments: Sequence[float]) -> Iterator[Frame]:
        """Decode the frames shown at some times.

        Args:
            moments: Seconds since the first frame, in any order; one after the last frame's time
                means the last frame.

        Yields:
            Every frame that is shown at one of them, as a rule once, in order of time; then those
            that stand in for others. A frame may come again with more `moments`.
        """
        ...

    def close(self) -> None:
        """Close the file."""
        ...


def decoders() -> list[str]:
    """List the decoders that are installed, the preferred one first."""
    return [name for name, module in MODULES.items() if find_spec(module)]


@functools.cache
def version_of(decoder: str) -> str:
    """Name the package that a decoder comes with, and its version."""
    names = packages_distributions()[MODULES[decoder]]  # slow: it looks at all that is installed
    return ", ".join(f"{name} {version(name)}" for name in names)


def _nothing() -> None:
    """Be called, and do nothing."""


def open_video(
    path: Path, decoder: str | None = None, beat: Callable[[], None] = _nothing
) -> Video:
    """Open a video.

    Args:
        path: A local file.
        decoder: `pyav` or `decord`; None for the best one that is installed.
        beat: Called now and then as long as reading gets on: a sign of life for whoever watches.

    Raises:
        UnusablePicture: it is no video, or has no frame; `reason` says which.
        UsageError: no such decoder is installed.
    """
    name = decoder or next(iter(decoders()), None)
    if name not in decoders():
        raise UsageError(
            f"{f'the decoder {name!r}' if name else 'a decoder of videos'} is not installed: "
            "pip install 'mimicit[video]'"
        )
    if name == "decord":
        from mimicit.video.decord import DecordVideo  # noqa: PLC0415  # may not be installed

        return DecordVideo(path, beat)
    from mimicit.video.pyav import PyAVVideo  # noqa: PLC0415  # may not be installed

    return PyAVVideo(path, beat)


def shown_at(times: Sequence[Fraction], moment: float) -> int:
    """Find the frame that is shown at a time: its place in `times`."""
    low, high = 0, len(times)
    at = Fraction(moment) + TOLERANCE
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if times[middle] <= at else (low, middle)
    return max(low - 1, 0)
