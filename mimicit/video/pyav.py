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

from mimicit.video import Frame, shown_at
from mimicit.video.colour import is_hdr, to_picture
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
        self._place_at = {self._packets.pts[place]: place for place in self._packets.order}
        self._reformatter = VideoReformatter()
        self._errors: list[int] = []
        self._good: set[int] = set()
        self._absent: set[int] = set()

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
            (asked if there else failed).setdefault(self._shown_at(moment, last), []).append(moment)
        while asked:
            found = set()
            for rank, frame in self._decode(asked.keys()):
                found.add(rank)
                yield self._frame(rank, frame, moments=asked[rank])
            lost = asked.keys() - found
            asked, again = {}, asked
            for rank in sorted(lost):
                # Decoded without an error, and yet no frame: it is not one that is shown.
                silent = rank in self._absent and rank > 0
                (asked if silent else failed).setdefault(rank - silent, []).extend(again[rank])
        yield from self._stand_ins(failed)

    def _shown_at(self, moment: float, last: int) -> int:
        rank = min(shown_at(self.timeline.times, moment), last)
        while rank in self._absent and rank > 0:
            rank -= 1
        return rank

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
            if candidate in self._absent or self._is_broken(self._packets.order[candidate]):
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
            picture=to_picture(frame, shape, self._reformatter),
            moments=tuple(sorted(moments)),
            instead_of=tuple(sorted(instead_of)),
            tone_mapped=is_hdr(frame),
        )

    # --------------------------------------------------------------- decoding

    def _decode(self, ranks: Collection[int]) -> Iterator[tuple[int, VideoFrame]]:
        """Decode frames, and leave out those that are damaged, or never shown."""
        wanted = {self._packets.order[rank] for rank in ranks}
        for earlier in (0, 1):  # what a key frame promises is not always so
            for start, places in list(self._packets.runs(wanted, earlier)):
                if earlier:  # judged anew
                    known = self._errors
                    del known[bisect_left(known, start) : bisect_right(known, places[-1])]
                for place, frame in self._run(start, places):
                    wanted.discard(place)
                    yield self._rank_of[place], frame
            if not wanted or self._packets.in_order:
                break
        self._absent |= {self._rank_of[place] for place in wanted if not self._is_broken(place)}

    def _run(self, start: int, wanted: Sequence[int]) -> Iterator[tuple[int, VideoFrame]]:
        """Decode from a key frame to the last packet wanted; yield what decodes cleanly."""
        left, came = set(wanted), 0
        for place, packet in self._sent(start, wanted):
            for frame in self._receive(packet, place if packet else min(left, default=start)):
                if self._packets.in_order:
                    shown = self._packets.order[came] if came < len(self._packets.order) else -1
                    came += 1
                else:
                    shown = self._place_at.get(frame.pts or 0, -1)
                if shown < 0:
                    continue
                if frame.is_corrupt:
                    insort(self._errors, shown)
                if self._is_broken(shown):
                    continue
                self._good.add(self._rank_of[shown])
                if shown in left:
                    left.discard(shown)
                    yield shown, frame

    def _sent(
        self, start: int, wanted: Sequence[int]
    ) -> Iterator[tuple[int, "Packet[VideoStream] | None"]]:
        """Choose the packets that the decoder needs; None, to end with, makes it give up the last.

        Leading pictures of the first key frame refer to what was not decoded, so they are left out.
        """
        pts, keys, needed = self._packets.pts, set(self._packets.keys), set(wanted)
        leading, place = True, start
        # where frames are known by their order, those that come out last must be the right ones
        delay = LONGEST_DELAY if self._packets.in_order else 0
        for place, packet in self._reader.read_from(start):
            leading = leading and (place == start or place not in keys)
            if leading and pts[place] < pts[start]:
                continue
            # the second of two fields may be a packet of its own
            free = self._skippable and place not in needed and place - 1 not in needed
            self._reader.codec.skip_frame = "NONREF" if free else "DEFAULT"
            yield place, packet
            if place >= wanted[-1] + delay:
                break
        yield place, None
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
        here = bisect_right(known, place)
        return here > 0 and known[here - 1] >= self._packets.start_of(place)
