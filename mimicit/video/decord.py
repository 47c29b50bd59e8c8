"""Frames by decord, or by decord2, its maintained build: the fallback where PyAV is not installed.

It seeks exactly by its own list of presentation times, but conceals damage without a word, so its
frames count as unchecked; it knows nothing of rotation it did not apply itself, nor of high
dynamic range.
"""

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import decord
from PIL import Image

from mimicit.images import UnusablePicture
from mimicit.video import Frame, Timeline, shown_at, version_of

TICK = Fraction(1, 1_000_000)
"""It gives times in seconds as floats: as fine as they can be believed."""


class DecordVideo:
    """A video decoded by decord."""

    checked = False
    damaged = False

    def __init__(self, path: Path, beat: Callable[[], None]) -> None:
        self._beat = beat
        self.decoder = version_of("decord")
        decord.logging.set_level(decord.logging.QUIET)
        try:
            self._reader = decord.VideoReader(str(path), num_threads=1)
            shown = self._reader.get_frame_timestamp(range(len(self._reader)))
        except (decord.DECORDError, RuntimeError, IndexError) as error:
            raise UnusablePicture("not-a-video", "decord cannot open it") from error
        if not len(shown):
            raise UnusablePicture("no-frames", "the video holds no frame")
        starts = [round(float(start) / TICK) for start, _ in shown]
        self._ranked = sorted(range(len(starts)), key=starts.__getitem__)
        self._starts = [starts[number] for number in self._ranked]
        zero = self._starts[0]
        keys = sorted(starts[number] - zero for number in self._reader.get_key_indices())
        self.timeline = Timeline(
            times=[(start - zero) * TICK for start in self._starts],
            keyframes=[key * TICK for key in keys],
            duration=(round(float(shown.max()) / TICK) - zero) * TICK,
        )

    def close(self) -> None:
        """Close the file."""
        del self._reader

    def frames(self, moments: Sequence[float]) -> Iterator[Frame]:
        """Decode the frames shown at some times: see `Video.frames`."""
        asked: dict[int, list[float]] = {}
        for moment in sorted(set(moments)):
            asked.setdefault(shown_at(self.timeline.times, moment), []).append(moment)
        for rank, those in asked.items():
            self._beat()
            try:
                pixels = self._reader[self._ranked[rank]].asnumpy()
            except decord.DECORDError:
                continue
            yield Frame(
                time=self.timeline.times[rank],
                pts=self._starts[rank],
                time_base=TICK,
                picture=Image.fromarray(pixels),
                moments=tuple(those),
            )
