"""The packets of a video, listed without decoding: which one holds the frame of which time.

Terms are those of ISO/IEC 14496-10 and of FFmpeg: `pts` when a frame is shown, `dts` when its
packet is decoded, both in ticks; a leading picture follows a key frame in the file, is shown
before it, and needs what came before it.
"""

import itertools
from array import array
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction

from av.packet import Packet
from av.video.stream import VideoStream

from mimicit.video import Timeline


@dataclass(slots=True)
class Packets:
    """All packets in the order in which they are decoded, and the frames in that of being shown.

    Attributes:
        time_base: Seconds a tick.
        pts: Presentation time of each packet's frame.
        dts: Decoding time of each packet.
        sizes: Bytes of each packet.
        keys: Places of the packets that decode by themselves.
        hidden: Places of packets whose frame is not to be shown, such as those before a cut.
        order: For each frame, in the order of being shown, the place of its packet.
        end: Where the last frame ends, in ticks.
        in_order: The times are those of decoding only: frames take them in their order.
        listed_end: Where the last frame ends that is there, in seconds.
    """

    time_base: Fraction
    pts: "array[int]" = field(default_factory=lambda: array("q"))
    dts: "array[int]" = field(default_factory=lambda: array("q"))
    sizes: "array[int]" = field(default_factory=lambda: array("q"))
    keys: list[int] = field(default_factory=list)
    hidden: set[int] = field(default_factory=set)
    order: list[int] = field(default_factory=list)
    end: int = 0
    in_order: bool = False
    listed_end: Fraction = Fraction(0)
    _places: dict[int, int] = field(default_factory=dict)

    def add(self, pts: int, dts: int, packet: "Packet[VideoStream]", *, shown: bool) -> None:
        """List one more packet."""
        place, duration, key = len(self.pts), packet.duration or 0, packet.is_keyframe
        if packet.pos is not None:
            self._places.setdefault(packet.pos, place)
        self.pts.append(pts)
        self.dts.append(dts)
        self.sizes.append(packet.size)
        if key:
            self.keys.append(place)
        if not shown:
            self.hidden.add(place)
        self.end = max(self.end, pts + duration) if place else pts + duration

    def finish(self, stated_end: int | None = None) -> None:
        """Put the frames into the order of being shown.

        Args:
            stated_end: When the last frame is shown that the file speaks of, if it is missing.
        """
        first = self.keys[0] if self.keys else len(self.pts)
        second = self.keys[1] if len(self.keys) > 1 else len(self.pts)
        start = self.pts[first] if self.keys else 0
        # Before the first key frame, in either order, nothing can be decoded.
        shown = [
            place
            for place in range(first, len(self.pts))
            if place not in self.hidden
            and (place > second or self.pts[place] >= start or first in self.hidden)
        ]
        self.order = shown if self.in_order else sorted(shown, key=self.pts.__getitem__)
        if self.order:
            if self.end <= self.pts[self.order[-1]]:  # the last frame states no duration
                self.end += self.typical_gap()
            self.listed_end = (self.end - self.pts[self.order[0]]) * self.time_base
        self.end = max(self.end, stated_end or self.end)

    def typical_gap(self) -> int:
        """Give the median time between two packets, in ticks."""
        gaps = sorted(b - a for a, b in itertools.pairwise(self.dts))
        return gaps[len(gaps) // 2] if gaps else 0

    def timeline(self) -> Timeline:
        """Say when the frames are shown."""
        zero = self.pts[self.order[0]]
        keys = set(self.keys)
        return Timeline(
            times=[(self.pts[place] - zero) * self.time_base for place in self.order],
            keyframes=[
                (self.pts[place] - zero) * self.time_base for place in self.order if place in keys
            ],
            duration=(self.end - zero) * self.time_base,
        )

    def place_of(self, packet: "Packet[VideoStream]") -> int | None:
        """Find a packet met again after a seek, by where it lies; None for an unknown one."""
        place = None if packet.pos is None else self._places.get(packet.pos)
        return place if place is not None and self.is_at(place, packet) else None

    def is_at(self, place: int, packet: "Packet[VideoStream]") -> bool:
        """Tell whether a packet is the one that was listed at a place."""
        if place >= len(self.pts) or self.sizes[place] != packet.size:
            return False
        return self.in_order or self.pts[place] == packet.pts

    def start_of(self, place: int, earlier: int = 0) -> int:
        """Find the key frame where decoding a packet must begin.

        That is the last one before it that is not shown after it.

        Args:
            place: The packet.
            earlier: How many key frames further back to go, for safety.
        """
        number = 0 if self.in_order else bisect_right(self.keys, place) - 1
        while number > 0 and self.pts[self.keys[number]] > self.pts[place]:
            number -= 1
        return self.keys[max(number - earlier, 0)]

    def runs(self, places: Iterable[int], earlier: int = 0) -> list[tuple[int, list[int]]]:
        """Group packets into runs that are decoded in one go: (first packet, packets wanted)."""
        runs: list[tuple[int, list[int]]] = []
        for place in sorted(places):
            start, wanted = self.start_of(place, earlier), [place]
            while runs and start <= runs[-1][1][-1] + 1:
                before, others = runs.pop()
                others += wanted
                start, wanted = min(before, start), others
            runs.append((start, wanted))
        return runs
