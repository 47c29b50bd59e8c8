"""Reading a video's packets with PyAV: only from files of known kinds, and from any packet on."""

import itertools
from bisect import bisect_left
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import av.logging
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard, Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from mimicit.images import MAX_PIXELS, UnusablePicture
from mimicit.video.packets import Packets

FORMATS = "asf,avi,flv,gif,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mpeg,mpegts,mxf,ogg,rm"
"""Containers that are read. Playlists, scripts and sequences are not: they lead to other files."""

STRICT = {
    "err_detect": "explode+crccheck+bitstream+buffer+careful+compliant",
    "max_pixels": str(MAX_PIXELS),
}
"""Decoders stop at damage instead of guessing what was there."""

BEAT = 128
"""Packets from one sign of life to the next."""

READ_ON = 64
"""So many packets are read over rather than sought."""

LOST = 4
"""Packets after a seek that may be unlike those listed: the first may be a part."""

EMPTY_VOP = 19
"""Bytes that an MPEG-4 frame has at most that says: the one before is still shown."""


class Reader:
    """The packets of one video file.

    Attributes:
        packets: All of them, listed.
        breaks: Places of packets before which, or in which, something is missing.
        damaged: The file is cut off, or its structure is.
    """

    def __init__(self, path: Path, beat: Callable[[], None]) -> None:
        # What a decoder complains about is looked at here; it is not for the terminal.
        av.logging.set_level(av.logging.ERROR)
        av.logging.set_skip_repeated(False)
        self._path = path.absolute()  # whatever its name, it is no address
        self._beat = beat
        self._container, self.stream, self.damaged = _open(self._path)
        self.packets = Packets(self.stream.time_base or Fraction(1, 1000))
        self.packets.in_order = _tells_no_pts(self._container, self.codec)
        self.breaks: list[int] = []
        self._list()
        self._next = len(self.packets.pts)
        self._ahead: list[Packet[VideoStream]] = []
        self._reading: Iterator[Packet[VideoStream]] | None = None
        self._seeks = True

    @property
    def codec(self) -> VideoCodecContext:
        """The decoder, which `read_from` may have made anew."""
        return self.stream.codec_context

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def _list(self) -> None:
        listed, stated_end, told = self.packets, None, 0
        with av.logging.Capture(local=False) as complaints:
            try:
                for packet in self._demux():
                    if packet.is_corrupt:
                        self.breaks.append(len(listed.pts))
                    if len(complaints) > told:  # it may be of what was read ahead
                        self.breaks += [len(listed.pts), len(listed.pts) + 1]
                        told = len(complaints)
                    self._add(packet)
                    if not len(listed.dts) % BEAT:
                        self._beat()
            except av.FFmpegError:
                self.damaged = True
            entries = self.stream.index_entries
            if len(entries) > len(listed.dts) > 0 and entries[-1].timestamp > max(listed.dts):
                self.damaged = True  # the file ends before the last frames that its index lists
                delay = listed.pts[0] - listed.dts[0]
                stated_end = entries[-1].timestamp + delay + listed.typical_gap()
        self.damaged = self.damaged or bool(complaints) or bool(self.breaks)
        listed.finish(stated_end)
        if not listed.order:
            raise UnusablePicture("no-frames", "the video holds no frame")

    def _demux(self) -> Iterator["Packet[VideoStream]"]:
        """Read the packets that hold anything."""
        more = True
        while more:
            try:
                for packet in self._container.demux(self.stream):
                    if packet.size:
                        yield packet
                more = False
            except IndexError:  # what was read is of a stream that began later: unknown to PyAV
                continue

    def _add(self, packet: "Packet[VideoStream]") -> None:
        pts, dts = packet.pts, packet.dts
        if pts is None:
            self.packets.in_order = True
        if dts is None:
            dts = pts if pts is not None else len(self.packets.dts)
        if pts is None or self.packets.in_order:
            pts = dts
        silent = not self.packets.in_order and _is_silent(self.codec, packet)
        self.packets.add(pts, dts, packet, shown=not packet.is_discard and not silent)

    def read_from(self, first: int) -> Iterator[tuple[int, "Packet[VideoStream]"]]:
        """Read packets from one on, with their places, going there as cheaply as can be."""
        reads_on = self._next <= first and (first <= self._next + READ_ON or not self._seeks)
        if not reads_on:
            self._go_to(first)
        while packet := self._read():
            place = self._next
            if not self.packets.is_at(place, packet):  # not what was listed here
                self._seeks, self._next = False, len(self.packets.pts)
                return
            self._next += 1
            if not self._next % BEAT:
                self._beat()
            if place >= first:
                yield place, packet

    def _read(self) -> "Packet[VideoStream] | None":
        if self._ahead:
            return self._ahead.pop()
        with av.logging.Capture():
            try:
                return self._next_packet()
            except av.FFmpegError:  # where listing ended, too
                return None

    def _next_packet(self) -> "Packet[VideoStream] | None":
        """Go on reading where the file stands; None at its end.

        The iteration stays the same, also after a seek: PyAV loses memory with each that is given
        up before its end.
        """
        reading, self._reading = self._reading or self._demux(), None
        packet = next(reading, None)
        if packet:  # neither ended nor failed
            self._reading = reading
        return packet

    def _go_to(self, first: int) -> None:
        """Go to a packet, or to one before it."""
        packets = self.packets
        before = packets.keys[max(bisect_left(packets.keys, first) - 1, 0)]
        ticks = (packets.pts[first], packets.dts[first], packets.pts[before])
        for tick in ticks if self._seeks and not packets.in_order else ():
            place = self._seek(tick)
            if place is not None and place <= first:
                self._next = place
                return
        self.close()
        self._container, self.stream, _ = _open(self._path)
        self._next, self._ahead, self._reading = 0, [], None

    def _seek(self, tick: int) -> int | None:
        """Go to a time, and tell which packet lies there; it is the next that is read."""
        self._ahead = []
        with av.logging.Capture():
            try:
                self._container.seek(tick, stream=self.stream, backward=True)
                for packet in itertools.islice(iter(self._next_packet, None), LOST):
                    place = self.packets.place_of(packet)
                    if place is not None:
                        self._ahead = [packet]
                        return place
            except av.FFmpegError:
                pass
        return None


def _is_silent(codec: VideoCodecContext, packet: "Packet[VideoStream]") -> bool:
    """Tell whether a packet, by its own header, has no frame that is shown."""
    if codec.name == "mpeg4":
        return packet.size <= EMPTY_VOP
    if codec.name.startswith(("vp8", "libvpx")) and "vp8" in codec.codec.canonical_name:
        return not memoryview(packet)[0] & 0x10  # RFC 6386, 9.1
    if codec.codec.canonical_name == "vp9":
        head, tail = memoryview(packet)[0], memoryview(packet)[-1]
        several, repeats, shows = tail & 0xE0 == 0xC0, head & 0x08, head & 0x02
        return not several and not repeats and not shows
    return False


def _tells_no_pts(container: InputContainer, codec: VideoCodecContext) -> bool:
    """Tell whether packets carry times of decoding only, which differ from those of being shown."""
    return container.format.name == "avi" and bool(codec.has_b_frames)


def _open(path: Path) -> tuple[InputContainer, VideoStream, bool]:
    """Open a file and its best video, all else in it switched off; tell whether it is damaged.

    Raises:
        UnusablePicture: `not-a-video`, `no-video` or `unknown-codec`.
    """
    options = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
    with av.logging.Capture(local=False) as complaints:
        try:
            container = av.open(str(path), container_options=options, metadata_errors="replace")
        except (av.FFmpegError, ValueError) as error:
            raise UnusablePicture(
                "not-a-video", "no container that is read, or one that is cut off"
            ) from error
    # Decoders complain, too, of what they saw of a broadcast before its first key frame.
    damaged = any(name == container.format.name for _, name, _ in complaints)
    videos = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not videos:
        container.close()
        raise UnusablePicture("no-video", "the file holds no video, sound or a cover at most")
    best = container.streams.best("video")
    stream = best if isinstance(best, VideoStream) and best in videos else videos[0]
    for other in container.streams:
        if other is not stream:
            other.discard = Discard.all
    codec = stream.codec_context
    if codec is None:
        container.close()
        raise UnusablePicture("unknown-codec", "there is no decoder for the video")
    codec.thread_count = 1  # the processes are as many as the cores
    codec.options = dict(STRICT)
    return container, stream, damaged
