"""Small video clips whose every frame carries its own number, made to prove frames exact."""

import random
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
import pytest
from _pytest.mark import ParameterSet
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.reformatter import Colorspace, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray
from PIL import Image

COLUMNS, ROWS = 8, 4
BITS = COLUMNS * ROWS // 2 - 4  # half of the cells repeat the other half inverted; four are fixed
NUMBERS = 512  # fewer than the cells can say, so that most readings of a ruined code are refused
SCRAMBLE = 1165  # odd: neighbouring numbers differ in many cells
COLOURS = ((180, 40, 40), (40, 140, 40), (40, 60, 180), (170, 170, 170))
SPACES = {  # primaries, transfer, matrix, and the matrix as the scaler names it
    "": (2, 2, 2, Colorspace.ITU601),
    "bt601": (6, 6, 6, Colorspace.ITU601),
    "bt709": (1, 1, 1, Colorspace.ITU709),
    "pq": (9, 16, 9, Colorspace.BT2020),
    "hlg": (9, 18, 9, Colorspace.BT2020),
}

Grey = NDArray[np.float64]
Rgb = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Rendered:
    """A clip as it lies on the disk.

    Frame i in order of presentation shows numbers[i], and starts times[i] seconds after the first.
    """

    path: Path
    times: tuple[Fraction, ...]
    numbers: tuple[int, ...]

    def since(self, first: int) -> "Rendered":
        """Leave out the frames that can never be shown."""
        times = tuple(time - self.times[first] for time in self.times[first:])
        return replace(self, times=times, numbers=self.numbers[first:])


@dataclass(frozen=True, slots=True)
class Clip:
    """What to render: by default, a second and more of H.264 with B-frames."""

    frames: int = 40
    fps: Fraction | int = 25
    times: Sequence[Fraction] = ()  # where each frame starts, for a rate that varies
    codec: str = "libx264"
    size: tuple[int, int] = (192, 108)  # as it is shown, where its samples are square
    gop: int = 12
    bframes: int = 2
    start: Fraction = Fraction(0)
    options: Mapping[str, str] = field(default_factory=dict)
    container: Mapping[str, str] = field(default_factory=dict)
    pix_fmt: str = "yuv420p"
    rotation: int = 0  # clockwise quarter turns in degrees that a player has to make
    mirrored: bool = False  # and whether it has to swap left and right afterwards
    sar: Fraction | None = None
    colour: str = ""
    full: bool = False
    audio: str = ""
    first: int = 0  # the number of the first frame


def _code(number: int) -> NDArray[np.bool_]:
    if not 0 <= number < NUMBERS:
        raise ValueError(f"a frame's number is from 0 to {NUMBERS - 1}, not {number}")
    bits = [bool(number * SCRAMBLE >> bit & 1) for bit in range(BITS)]
    # Of the four corners only the upper left is white, so that no turned picture can be read.
    half = np.array([[True, *bits[:6], False], [*bits[6:9], True, True, *bits[9:]]])
    # Far from each cell is its opposite, so that no picture torn in two can be read either.
    return np.concatenate([half, ~np.roll(half, COLUMNS // 2, axis=1)])


def number(picture: Image.Image) -> int:
    """Read the number of a frame, shown upright, at any size.

    Raises:
        ValueError: The picture shows no number, or shows it too faintly to be sure.
    """
    wide, high = picture.width / 16, picture.height / 9
    box = (wide, high, 15 * wide, 8 * high)
    fine = picture.convert("L").resize((4 * COLUMNS, 4 * ROWS), Image.Resampling.BOX, box)
    cells = np.asarray(fine, float).reshape(ROWS, 4, COLUMNS, 4)[:, 1:3, :, 1:3].mean(axis=(1, 3))
    white, black = cells[0, 0], cells[0, -1]
    middle, contrast = (white + black) / 2, white - black
    if contrast < 48 or np.abs(cells - middle).min() < contrast / 5:
        raise ValueError("no number can be read from this picture")
    bits = cells > middle
    said = [*bits[0, 1:7], *bits[1, :3], *bits[1, 5:]]
    scrambled = sum(1 << bit for bit, on in enumerate(said) if on)
    found = scrambled * pow(SCRAMBLE, -1, 1 << BITS) % (1 << BITS)
    if found >= NUMBERS or not np.array_equal(bits, _code(found)):
        raise ValueError("what this picture shows is no number of a frame")
    return found


def colours(picture: Image.Image) -> list[tuple[int, ...]]:
    """Read the patches below the number, drawn as `COLOURS`, which stand still."""
    size = (16 * len(COLOURS), 36)
    pixels = np.asarray(picture.convert("RGB").resize(size, Image.Resampling.BOX), float)
    strip = pixels[33:35].reshape(2, len(COLOURS), 16, 3)[:, :, 5:11].mean(axis=(0, 2))
    return [tuple(round(value) for value in patch) for patch in strip.tolist()]


@lru_cache(maxsize=32)
def draw(size: tuple[int, int], numbers: range) -> list[Rgb]:
    """Draw frames: a drifting landscape, and on it the number and the patches."""
    width, height = size
    noise = np.random.default_rng(7).integers(20, 236, (9, 32, 3), dtype=np.uint8)
    land = np.asarray(Image.fromarray(noise).resize((2 * width, height)), np.uint8)
    grain = (land[..., :1].astype(float) - 128) / 5
    top, left = height // 9, width // 16
    rows = ((np.arange(height) - top) * ROWS // (height - 2 * top)).clip(0, ROWS - 1)
    columns = ((np.arange(width) - left) * COLUMNS // (width - 2 * left)).clip(0, COLUMNS - 1)
    inside = np.s_[top : height - top, left : width - left]
    patches = np.repeat(np.array(COLOURS, np.uint8), -(-width // len(COLOURS)), axis=0)[:width]
    frames = []
    for value in numbers:
        drift = -3 * value
        frame = np.roll(land, drift, axis=1)[:, :width].copy()
        cells = np.where(_code(value)[rows[:, None], columns], 214, 42)[..., None]
        moving = np.roll(grain, drift, axis=1)[:, :width]
        frame[inside] = (cells + moving)[inside].astype(np.uint8)
        frame[height - top :] = patches
        frames.append(frame)
    return frames


def render(path: Path, clip: Clip | None = None) -> Rendered:
    """Write a clip; what its container does to the times is part of the truth."""
    clip = clip or Clip()
    with av.open(path, "w", container_options=dict(clip.container)) as output:
        video = add(output, clip)
        audio = output.add_stream(clip.audio, rate=48000) if clip.audio else None
        output.start_encoding()
        if isinstance(audio, AudioStream):
            sing(output, audio, clip)
        times = write(output, video, clip)
    return Rendered(path, times, tuple(range(clip.first, clip.first + clip.frames)))


def add(output: OutputContainer, clip: Clip) -> VideoStream:
    """Add the stream of a clip to a container."""
    # Else x264 chooses at times by what lies where in memory.
    same = {"preset": "veryfast", "x264-params": "cpu-independent=1"}
    options = (same if clip.codec == "libx264" else {}) | dict(clip.options)
    video = output.add_stream(clip.codec, rate=Fraction(clip.fps), options=options)
    assert isinstance(video, VideoStream)
    context = video.codec_context
    turned = clip.rotation % 180 == 90
    context.width, context.height = clip.size[::-1] if turned else clip.size
    context.pix_fmt = clip.pix_fmt
    context.gop_size, context.max_b_frames = clip.gop, clip.bframes
    context.thread_count = 1
    context.time_base = _tick(clip)
    if clip.sar:
        context.sample_aspect_ratio = clip.sar
    context.color_primaries, context.color_trc, context.colorspace, _ = SPACES[clip.colour]
    context.color_range = 2 if clip.full else 1 if clip.colour else 0
    if clip.rotation or clip.mirrored:
        video.set_display_rotation(-clip.rotation, hflip=clip.mirrored)
    return video


def _tick(clip: Clip) -> Fraction:
    return Fraction(1, 90000) if clip.times or clip.start else 1 / Fraction(clip.fps)


def write(output: OutputContainer, video: VideoStream, clip: Clip) -> tuple[Fraction, ...]:
    """Encode a clip into its stream, and say when each frame starts as the container counts."""
    tick = _tick(clip)
    times = clip.times or [i / Fraction(clip.fps) for i in range(clip.frames)]
    stamps = [round((clip.start + time) / tick) for time in times]
    scaler = VideoReformatter()
    pictures = draw(clip.size, range(clip.first, clip.first + clip.frames))
    for stamp, picture in zip(stamps, pictures, strict=True):
        stored = picture[:, ::-1] if clip.mirrored else picture
        stored = np.ascontiguousarray(np.rot90(stored, clip.rotation // 90))
        if clip.colour in ("pq", "hlg"):
            drawn = av.VideoFrame.from_ndarray(brightened(stored, clip.colour), "rgb48le")
        else:
            drawn = av.VideoFrame.from_ndarray(stored, "rgb24")
        frame = scaler.reformat(
            drawn,
            format=clip.pix_fmt,
            dst_colorspace=SPACES[clip.colour][3],
            dst_color_range=2 if clip.full else 1,
        )
        frame.pts, frame.time_base = stamp, tick
        output.mux(video.encode(frame))
    output.mux(video.encode(None))
    base = video.time_base
    assert base
    ticks = [int(stamp * tick / base + Fraction(1, 2)) for stamp in stamps]
    return tuple((at - ticks[0]) * base for at in ticks)


def brightened(picture: Rgb, curve: str) -> NDArray[np.uint16]:
    """Say what sRGB says as high dynamic range does: its white is lit as a page is, 203 cd/m².

    Curves and primaries are those of Rec. ITU-R BT.2100, given white by BT.2408.
    """
    shade = picture / 255
    light = np.where(shade <= 0.04045, shade / 12.92, ((shade + 0.055) / 1.055) ** 2.4)
    light = light @ np.array(
        [[0.6274, 0.0691, 0.0164], [0.3293, 0.9195, 0.0880], [0.0433, 0.0114, 0.8956]]
    )
    nits = 203 * light
    if curve == "pq":
        power = (nits / 10_000) ** 0.1593017578125
        signal = ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375
    else:
        shown = nits @ np.array([[0.2627], [0.6780], [0.0593]]) / 1000
        scene = nits / 1000 * np.maximum(shown, 1e-6) ** (1 / 1.2 - 1)
        high = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-6)) + 0.55991073
        signal = np.where(scene <= 1 / 12, np.sqrt(3 * scene), high)
    codes: NDArray[np.uint16] = np.rint(signal.clip(0, 1) * 65535).astype(np.uint16)
    return codes


def sing(output: OutputContainer, audio: AudioStream, clip: Clip) -> None:
    """Write a tone that starts at 0, whenever the video starts."""
    length = clip.start + clip.frames / Fraction(clip.fps)
    wave = np.sin(np.arange(int(48000 * length)) / 20).astype(np.float32) / 4
    size = audio.codec_context.frame_size or 1024
    for at in range(0, len(wave), size):
        layout = audio.codec_context.layout.name
        samples = np.tile(wave[at : at + size], (audio.codec_context.channels, 1))
        frame = av.AudioFrame.from_ndarray(samples, "fltp", layout)
        frame.sample_rate, frame.pts, frame.time_base = 48000, at, Fraction(1, 48000)
        output.mux(audio.encode(frame))
    output.mux(audio.encode(None))


def joined(path: Path) -> Rendered:
    """Change the size of the picture in mid-stream, as a broadcast does."""
    narrow = render(path, Clip(frames=20, start=Fraction(1)))
    head = path.read_bytes()
    wide = render(path, Clip(frames=20, first=20, size=(256, 144), start=Fraction(9, 5)))
    path.write_bytes(head + continued(head, path.read_bytes()))
    times = narrow.times + tuple(time + Fraction(4, 5) for time in wide.times)
    return Rendered(path, times, narrow.numbers + wide.numbers)


def continued(head: bytes, tail: bytes) -> bytes:
    """Go on counting the packets of a transport stream where another stops."""
    data, last, shifts = bytearray(tail), dict[int, int](), dict[int, int]()
    for packets, of in ((head, last), (tail, shifts)):
        for at in range(0, len(packets), 188):
            programme, count = int.from_bytes(packets[at + 1 : at + 3]) & 0x1FFF, packets[at + 3]
            if of is last:
                last[programme] = count
                continue
            shift = shifts.setdefault(programme, last.get(programme, -1) + 1 - count)
            data[at + 3] = count & 0xF0 | (count + shift) & 0x0F
    return bytes(data)


def several(path: Path) -> Rendered:
    """Put a larger picture, which starts later, and sound beside the first picture."""
    clips = (Clip(), Clip(first=100, size=(256, 144), start=Fraction(1, 5)))
    with av.open(path, "w") as output:
        streams = [add(output, clip) for clip in clips]
        audio = output.add_stream("aac", rate=48000)
        output.start_encoding()
        sing(output, audio, clips[0])
        times = [write(output, *pair) for pair in zip(streams, clips, strict=True)]
    return Rendered(path, times[0], tuple(range(40)))


def covered(path: Path, clip: Clip | None = None) -> Rendered:
    """Write sound and the picture of its record, and a real picture only where asked."""
    art = Clip(frames=1, codec="png", pix_fmt="rgb24", first=500)
    with av.open(path, "w") as output:
        cover = add(output, art)
        cover.disposition = av.stream.Disposition.attached_pic
        video = add(output, clip) if clip else None
        audio = output.add_stream("aac", rate=48000)
        output.start_encoding()
        write(output, cover, art)
        sing(output, audio, Clip())
        times = write(output, video, clip) if video and clip else ()
    return Rendered(path, times, tuple(range(len(times))))


def tuned_in(path: Path) -> Rendered:
    """Start in the middle of a broadcast: nothing can be shown before its next key frame."""
    whole = path.with_suffix(".whole.ts")
    rendered = render(whole, Clip(options=OPEN))
    with av.open(whole) as source, av.open(path, "w") as output:
        (video,) = source.streams.video
        output.add_stream_from_template(video)
        for i, packet in enumerate(source.demux(video)):
            if i > 4 and packet.size:
                output.mux(packet)
    whole.unlink()
    return replace(rendered.since(12), path=path)


def sound(path: Path) -> Rendered:
    """Write no picture at all."""
    with av.open(path, "w") as output:
        sing(output, output.add_stream("aac", rate=48000), Clip())
    return Rendered(path, (), ())


def packed(path: Path) -> Rendered:
    """Keep every B-frame in the packet of the frame after it, as DivX does in AVI."""
    clip = Clip(frames=31, codec="mpeg4", bframes=1, gop=30, options={"b_strategy": "0"})
    plain = path.with_suffix(".plain")
    with av.open(plain, "w", format="avi") as output:
        video = add(output, clip)
        output.start_encoding()
        times = write(output, video, clip)
    with av.open(plain) as source, av.open(path, "w") as output:
        (video,) = source.streams.video
        chunks = [bytes(packet) for packet in source.demux(video) if packet.size]
        output.add_stream_from_template(video)
        head, _, rest = chunks[0].partition(b"\0\0\1\xb2")  # who wrote it, and how
        rest = rest[rest.index(b"\0\0\1") :]
        order = [head + b"\0\0\1\xb2DivX503b1393p" + rest]
        for ahead, between in zip(chunks[1::2], chunks[2::2], strict=True):
            order += [ahead + between, b"\0\0\1\xb6\x50\x4f"]  # and a frame that repeats
        for at, chunk in enumerate(order):
            packet = av.Packet(chunk)
            packet.pts = packet.dts = at
            packet.time_base, packet.is_keyframe = 1 / Fraction(clip.fps), at == 0
            output.mux(packet)
    plain.unlink()
    return Rendered(path, times, tuple(range(clip.frames)))


def edited(path: Path, *spans: tuple[int, int]) -> Rendered:
    """Rewrite the edit list of a movie: only these spans of its frames are to be presented."""
    whole = render(path)
    data = bytearray(path.read_bytes())
    at = data.index(b"edts") - 4
    end = at + int.from_bytes(data[at : at + 4])
    (lead,) = struct.unpack(">i", data[end - 8 : end - 4])  # the time that B-frames need ahead
    ticks = 12800 // 25
    edits = b"".join(
        struct.pack(">IiI", (last - first) * 40, lead + first * ticks, 1 << 16)
        for first, last in spans
    )
    new = struct.pack(
        ">I4sI4sII", 24 + len(edits), b"edts", 16 + len(edits), b"elst", 0, len(spans)
    )
    for name in (b"moov", b"trak"):  # these are last in the file: nothing that moves is pointed at
        box = data.index(name) - 4
        size = int.from_bytes(data[box : box + 4]) + len(new + edits) - (end - at)
        data[box : box + 4] = size.to_bytes(4)
    data[at:end] = new + edits
    path.write_bytes(data)
    numbers = [n for span in spans for n in whole.numbers[slice(*span)]]
    return Rendered(path, whole.times[: len(numbers)], tuple(numbers))


def media(data: bytes | bytearray) -> slice:
    """Where the coded pictures of a file lie: in its mdat, or roughly in its middle."""
    if data[4:8] != b"ftyp":
        return slice(len(data) // 8, len(data) * 7 // 8)
    at = data.index(b"mdat")
    return slice(at + 4, at - 4 + int.from_bytes(data[at - 4 : at]))


def damage(path: Path, out: Path, *, flips: int, seed: int) -> Path:
    """Flip bytes in the coded pictures, and nowhere else."""
    data = bytearray(path.read_bytes())
    for at in random.Random(seed).sample(range(len(data))[media(data)], flips):
        data[at] ^= 0xFF
    out.write_bytes(data)
    return out


def truncate(path: Path, out: Path, share: float) -> Path:
    """Keep the first part of a file, as a download that broke off."""
    data = path.read_bytes()
    out.write_bytes(data[: int(len(data) * share)])
    return out


def _x265(**more: str) -> dict[str, str]:
    settings = {"log-level": "none", "pools": "none", "frame-threads": "1", "bframes": "2", **more}
    joint = ":".join(f"{name.replace('_', '-')}={value}" for name, value in settings.items())
    return {"preset": "ultrafast", "x265-params": joint}


RATE = Fraction(30000, 1001)
GAPS = (40, 1, 2, 33, 3500, 17, 41, 250, 1, 7)  # milliseconds
IRREGULAR = tuple(Fraction(sum((GAPS * 4)[:i]), 1000) for i in range(40))
LATE = Fraction(3, 2)
WRAPS = Fraction(1 << 33, 90000) - Fraction(4, 5)  # where an MPEG clock starts again at 0
OPEN = {"x264-params": "open-gop=1:scenecut=0"}
REFRESH = {"intra-refresh": "1"}
REFRESHED = Clip(frames=60, gop=20, bframes=0, options=REFRESH)
FULL = Clip(pix_fmt="yuvj420p", full=True, bframes=0)
WIDE = {"colorprim": "bt2020", "colormatrix": "bt2020nc", "range": "limited", "crf": "16"}
BRIGHT = Clip(codec="libx265", pix_fmt="yuv420p10le")
CLIPS: Mapping[str, Clip | Callable[[Path], Rendered]] = {
    "constant.mp4": Clip(),
    "constant.mkv": Clip(fps=RATE),
    "constant.ts": Clip(fps=RATE),
    "constant.flv": Clip(),
    "ntsc.mp4": Clip(fps=RATE),
    "faststart.mp4": Clip(container={"movflags": "faststart"}),
    "signed-offsets.mp4": Clip(container={"movflags": "negative_cts_offsets"}),
    "fragmented.mp4": Clip(container={"movflags": "frag_keyframe+empty_moov"}),
    "late-moov.mp4": Clip(container={"movflags": "frag_keyframe+delay_moov"}),
    "live.mkv": Clip(container={"live": "1"}),
    "variable.mp4": Clip(times=IRREGULAR),
    "variable.mkv": Clip(times=IRREGULAR),
    "variable.ts": Clip(times=IRREGULAR),
    "crowded.mkv": Clip(times=[Fraction(i, 2400) for i in range(40)]),
    "pyramid.mp4": Clip(bframes=4, options={"b-pyramid": "normal", "b_strategy": "0", "refs": "4"}),
    "open-gop.mp4": Clip(options=OPEN),
    "open-gop.ts": Clip(options=OPEN),
    "long-gop.mp4": Clip(frames=260, gop=300, options={"sc_threshold": "0"}),
    "intra-refresh.mp4": REFRESHED,
    "intra-refresh.ts": REFRESHED,
    "interlaced.ts": Clip(options={"x264-params": "tff=1"}),
    "late.mp4": Clip(start=LATE),
    "late.mkv": Clip(start=LATE),
    "late.ts": Clip(start=LATE),
    "late-with-sound.mp4": Clip(start=LATE, audio="aac"),
    "late-with-sound.mkv": Clip(start=LATE, audio="aac"),
    "late-with-sound.ts": Clip(start=LATE, audio="mp2"),
    "wrapped.ts": Clip(start=WRAPS),
    "turned-90.mp4": Clip(rotation=90),
    "turned-180.mp4": Clip(rotation=180),
    "turned-270.mp4": Clip(rotation=270),
    "turned-90.mkv": Clip(rotation=90),
    "mirrored.mp4": Clip(mirrored=True),
    "mirrored-90.mp4": Clip(rotation=90, mirrored=True),
    "wide-samples.mp4": Clip(size=(144, 108), sar=Fraction(4, 3)),
    "bt601.mp4": Clip(colour="bt601"),
    "bt709.mp4": Clip(colour="bt709"),
    "full-range.mp4": replace(FULL, colour="bt709"),
    "ten-bits.mp4": Clip(pix_fmt="yuv420p10le"),
    "yuv444.mp4": Clip(pix_fmt="yuv444p"),
    "hevc.mp4": Clip(codec="libx265", options=_x265(open_gop="0")),
    "hevc-open-gop.mp4": Clip(codec="libx265", options=_x265(open_gop="1")),
    "hdr.mp4": replace(BRIGHT, colour="pq", options=_x265(transfer="smpte2084", **WIDE)),
    "hlg.mp4": replace(BRIGHT, colour="hlg", options=_x265(transfer="arib-std-b67", **WIDE)),
    "vp8.webm": Clip(codec="libvpx", options={"cpu-used": "8"}),
    "vp9.webm": Clip(codec="libvpx-vp9", options={"cpu-used": "8"}),
    "av1.mp4": Clip(
        codec="libsvtav1", options={"preset": "10", "crf": "24", "svtav1-params": "lp=1"}
    ),
    "mpeg4.avi": Clip(codec="mpeg4"),
    "mpeg4.mp4": Clip(codec="mpeg4"),
    "packed.avi": packed,
    "mpeg2.mpg": Clip(codec="mpeg2video"),
    "mpeg2.ts": Clip(codec="mpeg2video"),
    "mjpeg.avi": replace(FULL, codec="mjpeg"),
    "ffv1.mkv": Clip(codec="ffv1", bframes=0),
    "gif.gif": Clip(codec="gif", pix_fmt="rgb8", bframes=0),
    "cut.mp4": lambda path: edited(path, (5, 40)),
    "cut-both-ends.mp4": lambda path: edited(path, (17, 31)),
    "cut-twice.mp4": lambda path: edited(path, (3, 11), (24, 38)),
    "resized.ts": joined,
    "tuned-in.ts": tuned_in,
    "several.mp4": several,
    "several.mkv": several,
    "cover.mp4": lambda path: covered(path, Clip()),
    "cover-only.mp4": covered,
    "sound.mp4": sound,
}


def mostly_slow(names: Sequence[str]) -> list[ParameterSet]:
    """Give clips as parameters of a test: every third one fast, the others slow."""
    slow = pytest.mark.slow
    return [pytest.param(name, marks=slow if n % 3 else ()) for n, name in enumerate(names)]


def make(path: Path) -> Rendered:
    """Make the clip that has this file's name."""
    clip = CLIPS[path.name]
    return render(path, clip) if isinstance(clip, Clip) else clip(path)


def encodable(name: str) -> bool:
    """Say whether the installed codecs can make a clip."""
    clip = CLIPS[name]
    try:
        av.codec.Codec(clip.codec if isinstance(clip, Clip) else "libx264", "w")
    except av.error.FFmpegError:
        return False
    return True


def render_all(directory: Path) -> dict[str, Rendered]:
    """Make every clip that the installed codecs can make."""
    return {name: make(directory / name) for name in CLIPS if encodable(name)}
