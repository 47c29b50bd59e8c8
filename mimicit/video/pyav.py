"""Exact frames by PyAV, which is FFmpeg's libraries.

The packets are listed first, without decoding: some microseconds each, and from then on it is
known which packet holds the frame of a moment and at which key frame its decoding begins. Between
two moments the reader reads on or seeks, whichever is less, and packets that no other frame needs
are not decoded.

A decoder conceals damage: it repeats or smears earlier frames. So each error that it raises, or
does no more than log, counts, and nothing from there to the next key frame is believed.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path

import av
import av.logging
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from PIL import Image

from mimicit.video import Frame, shown_at
from mimicit.video.colour import is_hdr, to_picture, turn_of
from mimicit.video.reader import Reader

SKIPPABLE = {"h264", "mpeg1video", "mpeg2video", "mpeg4"}
"""Codecs whose packets say reliably that no other frame needs them. HEVC's say it of their own
layer only (ITU-T H.265, 3.160)."""

LONGEST_DELAY = 16
"""Frames that a decoder may hold back to reorder them (ITU-T H.264, A.3.1)."""

TRIES = 64
"""Neighbours that are tried in place of a frame that cannot be decoded."""


class PyAVVideo:
    """A video decoded by PyAV."""

    checked = True

    def __init__(self, path: Path, beat: Callable[[], None]) -> None:
        self._reader = Reader(path, beat)
        self._packets = self._reader.packets
        codec = self._reader.codec.codec
        self.decoder = f"pyav {av.__version__} {codec.canonical_name}"
        self._skippable = codec.canonical_name in SKIPPABLE and not self._packets.in_order
        self.timeline = self._packets.timeline()
        self._rank_of = {place: rank for rank, place in enumerate(self._packets.order)}
        self._reformatter = VideoReformatter()
        self._turns: dict[int, Image.Transpose | None] = {}
        self._keys = set(self._packets.keys)
        self._errors = list(self._reader.breaks)
        self._good: set[int] = set()
        self._lost: set[int] = set()

    @property
    def damaged(self) -> bool:
        """Something in the file did not decode, or is missing, as far as it was read."""
        return self._reader.damaged or bool(self._errors)

    def close(self) -> None:
        """Close the file."""
        self._reader.close()

    def frames(self, moments: Sequence[float]) -> Iterator[Frame]:
        """Decode the frames shown at some times: see `Video.frames`."""
        asked: dict[int, list[float]] = {}
        failed: dict[int, list[float]] = {}
        last = len(self._packets.order) - 1
        for moment in sorted(set(moments)):
            there = moment <= self._packets.listed_end
            rank = min(shown_at(self.timeline.times, moment), last)
            (asked if there else failed).setdefault(rank, []).append(moment)
        for rank, frame in self._decode(asked.keys()):
            yield self._frame(rank, frame, moments=asked.pop(rank))
        for rank, those in asked.items():
            failed.setdefault(rank, []).extend(those)
        yield from self._stand_ins(failed)

    def _stand_ins(self, failed: Mapping[int, list[float]]) -> Iterator[Frame]:
        """Decode the nearest frame that can be decoded for each that cannot."""
        chosen: dict[int, list[float]] = {}
        for rank in sorted(failed):
            for moment in failed[rank]:
                nearest = self._nearest(rank, moment)
                if nearest is not None:
                    chosen.setdefault(nearest, []).append(moment)
        for rank, frame in self._decode(chosen.keys()):
            yield self._frame(rank, frame, instead_of=chosen[rank])

    def _nearest(self, rank: int, moment: float) -> int | None:
        """Find the frame nearest in time to a moment that can be decoded."""
        times, tries = self.timeline.times, 0
        left, right = rank, rank + 1
        while (left >= 0 or right < len(times)) and tries < TRIES:
            earlier = right >= len(times) or (
                left >= 0 and abs(moment - times[left]) <= abs(times[right] - moment)
            )
            candidate = left if earlier else right
            left, right = left - earlier, right + (not earlier)
            if candidate in self._lost or self._is_broken(self._packets.order[candidate]):
                continue
            if candidate in self._good or any(True for _ in self._decode([candidate])):
                return candidate
            tries += 1
        return None

    def _frame(
        self,
        rank: int,
        frame: VideoFrame,
        moments: Sequence[float] = (),
        instead_of: Sequence[float] = (),
    ) -> Frame:
        shape = self._reader.stream.sample_aspect_ratio
        return Frame(
            time=self.timeline.times[rank],
            pts=self._packets.pts[self._packets.order[rank]],
            time_base=self._packets.time_base,
            picture=to_picture(frame, shape, self._turn(frame), self._reformatter),
            moments=tuple(sorted(moments)),
            instead_of=tuple(sorted(instead_of)),
            tone_mapped=is_hdr(frame),
        )

    def _turn(self, frame: VideoFrame) -> Image.Transpose | None:
        if frame.rotation not in self._turns:
            self._turns[frame.rotation] = turn_of(frame)
        return self._turns[frame.rotation]

    # --------------------------------------------------------------- decoding

    def _decode(self, ranks: Collection[int]) -> Iterator[tuple[int, VideoFrame]]:
        """Decode frames, and leave out those that are damaged."""
        wanted = {self._packets.order[rank] for rank in ranks}
        for plan in (self._together, self._apart, self._from_further_back):
            for start, places in plan(wanted):
                for place, frame in self._run(start, places):
                    wanted.discard(place)
                    yield self._rank_of[place], frame
            if not wanted:
                break
        self._lost |= {self._rank_of[place] for place in wanted}

    def _together(self, wanted: Collection[int]) -> list[tuple[int, list[int]]]:
        return self._packets.runs(wanted)

    def _apart(self, wanted: Collection[int]) -> list[tuple[int, list[int]]]:
        """Plan anew for frames that the decoder held back, and dropped at a later one's error."""
        starts: dict[int, list[int]] = {}
        for place in sorted(wanted):
            if not self._is_broken(place):
                starts.setdefault(self._packets.start_of(place), []).append(place)
        return list(starts.items())

    def _from_further_back(self, wanted: Collection[int]) -> list[tuple[int, list[int]]]:
        """Plan anew as if one more key frame were needed: what it promises is not always so."""
        if self._packets.in_order:
            return []
        runs = self._packets.runs(wanted, earlier=1)
        for start, places in runs:  # judged anew
            known = self._errors
            del known[bisect_left(known, start) : bisect_right(known, places[-1])]
        self._errors = sorted({*self._errors, *self._reader.breaks})
        return runs

    def _run(self, start: int, wanted: Sequence[int]) -> Iterator[tuple[int, VideoFrame]]:
        """Decode from a key frame to the last packet wanted; yield what decodes cleanly.

        A frame is held back until all that it may refer to have come out: a decoder may say only
        then that they are corrupt.
        """
        in_order, left = self._packets.in_order, set(wanted)
        came, highest = 0, -1
        waits = {place: place + LONGEST_DELAY for place in wanted if in_order}
        held: list[tuple[int, VideoFrame]] = []
        for place, packet in self._sent(start, wanted):
            highest = max(highest, self._rank_of.get(place, -1))
            if packet and place in left:
                waits.setdefault(place, highest)
            passed = place if in_order else -1
            for frame in self._receive(packet, place if packet else min(left, default=start)):
                shown, came = self._place_of(frame, came), came + 1
                if frame.is_corrupt:
                    insort(self._errors, max(shown, start))
                if shown in left:
                    left.discard(shown)
                    held.append((shown, frame))
                passed = max(passed, place if in_order else self._rank_of.get(shown, -1))
            while held and (not packet or waits[held[0][0]] <= passed):
                shown, frame = held.pop(0)
                if not self._is_broken(shown):
                    self._good.add(self._rank_of[shown])
                    yield shown, frame

    def _place_of(self, frame: VideoFrame, came: int) -> int:
        """Tell which packet a frame is from, if it is to be shown; else -1."""
        order = self._packets.order
        if self._packets.in_order:
            return order[came] if came < len(order) else -1
        return frame.pts if frame.pts in self._rank_of else -1

    def _sent(
        self, start: int, wanted: Sequence[int]
    ) -> Iterator[tuple[int, "Packet[VideoStream] | None"]]:
        """Choose the packets that the decoder needs; None makes it give up what it holds back.

        Leading pictures of the first key frame refer to what was not decoded, so they are left out.
        """
        pts, needed, place = self._packets.pts, set(wanted), start
        # where frames are known by their order, those that come out last must be the right ones
        end = wanted[-1] + (LONGEST_DELAY if self._packets.in_order else 0)
        leading = True
        try:
            for place, packet in self._reader.read_from(start):
                key = place > start and place in self._keys and not self._packets.in_order
                leading = leading and not key
                if key and self._is_broken(place - 1):  # nothing of it is to reach any further
                    yield place - 1, None
                    self._reader.codec.flush_buffers()
                    start, leading = place, True
                if leading and pts[place] < pts[start]:
                    continue
                # the second of two fields may be a packet of its own
                free = self._skippable and place not in needed and place - 1 not in needed
                self._reader.codec.skip_frame = "NONREF" if free else "DEFAULT"
                packet.pts = place  # which comes back with its frame
                yield place, packet
                if place >= end:
                    break
            yield place, None
        finally:
            self._reader.codec.flush_buffers()

    def _receive(self, packet: "Packet[VideoStream] | None", place: int) -> list[VideoFrame]:
        """Hand a packet to the decoder, and note its place if anything at all is wrong with it."""
        with av.logging.Capture() as complaints:
            try:
                return self._reader.codec.decode(packet)
            except av.FFmpegError:
                complaints.append((av.logging.ERROR, "", ""))
            finally:
                if complaints:
                    insort(self._errors, place)
        return []

    def _is_broken(self, place: int) -> bool:
        """Tell whether an error lies between the beginning of a frame's decoding and its end."""
        known = self._errors
        if not known:
            return False
        # frames that are known by their order may be decoded that much later
        end = place + (LONGEST_DELAY if self._packets.in_order else 0)
        here = bisect_right(known, end)
        return here > 0 and known[here - 1] >= self._packets.start_of(place)
