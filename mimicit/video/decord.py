"""Frames by decord, or by decord2, its maintained build: the fallback where PyAV is not installed.

It is slow, since it decodes all from the beginning: decord seeks to wrong frames where a key frame
is not a clean start, and does not say so. What it cannot time even then, it refuses. It conceals
damage without a word, so its frames count as unchecked. It applies rotation as far as decord does,
but no mirroring, and it knows neither the shape of pixels nor high dynamic range.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import decord
from PIL import Image

from mimicit.images import UnusablePicture
from mimicit.video import Frame, Timeline, shown_at, version_of

TICK = Fraction(1, 1_000_000)
"""It gives times in seconds as floats: as fine as they can be believed."""

BEGINNINGS = (b"\x1aE\xdf\xa3", b"RIFF", b"FLV", b"GIF8")
BOXES = {b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip"}
"""How the files begin that it is given: no broadcast, whose first frames it loses, and nothing
that leads to other files. A movie begins with one of these boxes, after four bytes."""


class DecordVideo:
    """A video decoded by decord."""

    checked = False
    damaged = False

    def __init__(self, path: Path, beat: Callable[[], None]) -> None:
        self._path, self._beat = path.absolute(), beat
        self.decoder = version_of("decord")
        decord.logging.set_level(decord.logging.QUIET)
        reader = self._open()
        try:
            shown = reader.get_frame_timestamp(range(len(reader)))
        except (decord.DECORDError, IndexError) as error:
            raise UnusablePicture("no-frames", "decord finds no frame") from error
        if not len(shown):
            raise UnusablePicture("no-frames", "the video holds no frame")
        starts = [round(float(start) / TICK) for start, _ in shown]
        self._starts = sorted(starts)
        self._check_times()
        zero = self._starts[0]
        keys = sorted(starts[number] - zero for number in reader.get_key_indices())
        self.timeline = Timeline(
            times=[(start - zero) * TICK for start in self._starts],
            keyframes=[key * TICK for key in keys],
            duration=(round(float(shown.max()) / TICK) - zero) * TICK,
        )

    def _open(self) -> decord.VideoReader:
        with self._path.open("rb") as file:
            head = file.read(8)
        if not (head.startswith(BEGINNINGS) or head[4:] in BOXES):
            raise UnusablePicture("not-a-video", "no container whose frames decord finds by time")
        try:
            return decord.VideoReader(str(self._path), num_threads=1)
        except (decord.DECORDError, RuntimeError) as error:
            raise UnusablePicture("not-a-video", "decord cannot open it") from error

    def _check_times(self) -> None:
        """Refuse what has frames that are not shown, or times that are not those of being shown."""
        if self._starts[0] < 0 or any(a >= b for a, b in itertools.pairwise(self._starts)):
            raise UnusablePicture("no-times", "decord does not know when its frames are shown")

    def close(self) -> None:
        """Close the file, which is open no longer than its frames are read."""

    def frames(self, moments: Sequence[float]) -> Iterator[Frame]:
        """Decode the frames shown at some times: see `Video.frames`."""
        asked: dict[int, list[float]] = {}
        for moment in sorted(set(moments)):
            asked.setdefault(shown_at(self.timeline.times, moment), []).append(moment)
        reader, at = self._open(), 0
        for rank, those in asked.items():
            try:
                while at < rank:
                    reader.next()  # its `skip_frames` seeks
                    at += 1
                    self._beat()
                pixels = reader.next().asnumpy()
            except (decord.DECORDError, StopIteration):
                return
            at += 1
            yield Frame(
                time=self.timeline.times[rank],
                pts=self._starts[rank],
                time_base=TICK,
                picture=Image.fromarray(pixels),
                moments=tuple(those),
            )
