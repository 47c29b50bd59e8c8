"""Reading a video's packets with PyAV: only from files of known kinds, and from any packet on."""

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


class Reader:
    """The packets of one video file.

    Attributes:
        packets: All of them, listed.
        damaged: The file is cut off, or its structure is.
    """

    def __init__(self, path: Path, beat: Callable[[], None]) -> None:
        # What a decoder complains about is looked at here; it is not for the terminal.
        av.logging.set_level(av.logging.ERROR)
        av.logging.set_skip_repeated(False)
        self._path = path
        self._beat = beat
        self._container, self.stream = _open(path)
        self.packets = Packets(self.stream.time_base or Fraction(1, 1000))
        self.packets.in_order = _tells_no_pts(self._container, self.codec)
        self.damaged = False
        self._list()
        self._next = len(self.packets.pts)

    @property
    def codec(self) -> VideoCodecContext:
        """The decoder, which `read_from` may have made anew."""
        return self.stream.codec_context

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def _list(self) -> None:
        listed, stated_end = self.packets, None
        with av.logging.Capture(local=False) as complaints:
            try:
                for packet in self._container.demux(self.stream):
                    if packet.size:
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
        self.damaged = self.damaged or bool(complaints)
        listed.finish(stated_end)
        if not listed.order:
            raise UnusablePicture("no-frames", "the video holds no frame")

    def _add(self, packet: "Packet[VideoStream]") -> None:
        pts, dts = packet.pts, packet.dts
        if pts is None:
            self.packets.in_order = True
        if dts is None:
            dts = pts if pts is not None else len(self.packets.dts)
        if pts is None or self.packets.in_order:
            pts = dts
        self.packets.add(
            pts,
            dts,
            packet.duration or 0,
            key=packet.is_keyframe,
            shown=not packet.is_discard,
        )
        self.damaged = self.damaged or packet.is_corrupt

    def read_from(self, first: int) -> Iterator[tuple[int, "Packet[VideoStream]"]]:
        """Read packets from one on, with their places, going there as cheaply as can be."""
        if not self._next <= first <= self._next + READ_ON:
            self._go_to(first)
        packets = self._container.demux(self.stream)
        while True:
            with av.logging.Capture():
                try:
                    packet = next(packets, None)
                except av.FFmpegError:  # where listing ended, too
                    packet = None
            if packet is None or not packet.size:
                return
            self._next += 1
            if not self._next % BEAT:
                self._beat()
            if self._next > first:
                yield self._next - 1, packet

    def _go_to(self, first: int) -> None:
        """Go to a packet, or to one before it."""
        packets = self.packets
        self._next = len(packets.pts)  # unknown, should this fail
        ticks = [] if packets.in_order or not first else [packets.pts[first], packets.dts[first]]
        for tick in ticks:
            try:
                self._container.seek(tick, stream=self.stream, backward=True)
                packet = next(self._container.demux(self.stream))
                place = packets.place_of(packet.pts, packet.dts)
                if place is not None and place <= first:
                    self._container.seek(tick, stream=self.stream, backward=True)
                    self._next = place
                    return
            except (av.FFmpegError, StopIteration):
                continue
        self.close()
        self._container, self.stream = _open(self._path)
        self._next = 0


def _tells_no_pts(container: InputContainer, codec: VideoCodecContext) -> bool:
    """Tell whether packets carry times of decoding only, which differ from those of being shown."""
    return container.format.name == "avi" and bool(codec.has_b_frames)


def _open(path: Path) -> tuple[InputContainer, VideoStream]:
    """Open a file and its best video, all else in it switched off.

    Raises:
        UnusablePicture: `not-a-video`, `no-video` or `unknown-codec`.
    """
    options = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
    with av.logging.Capture(local=False):
        try:
            container = av.open(str(path), container_options=options, metadata_errors="replace")
        except (av.FFmpegError, ValueError) as error:
            raise UnusablePicture(
                "not-a-video", "no container that is read, or one that is cut off"
            ) from error
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
    return container, stream
