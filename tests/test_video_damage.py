"""Damaged videos: what does not decode cleanly is never given as the frame that was asked for."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import pytest
from conftest import SHARED, needs_shared

pytest.importorskip("av", reason="video needs PyAV")

import av
import clips
import numpy as np
from av.stream import Disposition
from av.video.reformatter import VideoReformatter
from clips import Clip, Rendered, number
from PIL import Image

from mimicit.images import UnusablePicture
from mimicit.video import Frame, open_video
from mimicit.video.colour import to_picture, turn_of

VIDEO = SHARED / "video"


def packets(path: Path) -> list[tuple[int, int, bool]]:
    """List where each packet of a video lies, its size, and whether it is a key frame."""
    with av.open(path) as container:
        read = [packet for packet in container.demux(video=0) if packet.size]
        return [(packet.pos or 0, packet.size, packet.is_keyframe) for packet in read]


def spoil(path: Path, out: Path, at: int, size: int) -> Path:
    """Overwrite a part of a file; at the start of a packet of H.264, no decoder overlooks it."""
    data = bytearray(path.read_bytes())
    data[at : at + size] = bytes(byte ^ 0xA5 for byte in data[at : at + size])
    out.write_bytes(data)
    return out


def every(path: Path) -> tuple[list[Frame], bool]:
    """Ask for all frames of a video."""
    video = open_video(path)
    frames = list(video.frames([float(time) for time in video.timeline.times]))
    return frames, video.damaged


def looks(frames: list[Frame]) -> dict[Fraction, Image.Image]:
    return {frame.time: frame.picture for frame in frames if frame.moments}


def readable(picture: Image.Image) -> int:
    try:
        return number(picture)
    except ValueError:
        return -1


# ------------------------------------------------------------------ where damage ends


@pytest.fixture
def whole(tmp_path: Path) -> Rendered:
    """Key frames at 0, 12, 24 and 36; between two of them, nothing needs what is outside."""
    clip = Clip(options={"sc_threshold": "0"})
    return clips.render(tmp_path / "whole.mp4", clip)


def test_damage_reaches_to_the_next_key_frame_and_no_further(
    whole: Rendered, tmp_path: Path
) -> None:
    at, _, _ = packets(whole.path)[15]
    frames, damaged = every(spoil(whole.path, tmp_path / "bad.mp4", at, 99))
    given = {number(frame.picture) for frame in frames if frame.moments}
    assert damaged
    assert {*range(12), *range(24, 40)} <= given
    assert given < set(range(40))
    for frame in frames:
        assert whole.numbers[whole.times.index(frame.time)] == number(frame.picture)


def test_the_nearest_frame_stands_in_and_says_for_what(whole: Rendered, tmp_path: Path) -> None:
    at, _, key = packets(whole.path)[12]
    assert key
    bad = spoil(whole.path, tmp_path / "bad.mp4", at, 99)
    video = open_video(bad)
    own, before, after = video.frames([0.5, 0.9, 0.44])
    assert (own.moments, own.instead_of) == ((0.44,), ())
    assert (before.moments, before.instead_of) == ((), (0.5,))
    assert (after.moments, after.instead_of) == ((), (0.9,))
    assert [number(frame.picture) for frame in (own, before, after)] == [11, 11, 24]


def test_frames_before_the_damage_are_not_lost_with_it(whole: Rendered, tmp_path: Path) -> None:
    for place in (14, 17, 20):
        at, _, _ = packets(whole.path)[place]
        frames, _ = every(spoil(whole.path, tmp_path / "bad.mp4", at, 99))
        good = looks(every(whole.path)[0])
        given = looks(frames)
        with av.open(whole.path) as container:
            decoded = [packet.pts for packet in container.demux(video=0) if packet.size][:place]
        for pts in decoded:
            time = Fraction(pts or 0, 12800)
            assert given[time].tobytes() == good[time].tobytes()


def test_a_packet_that_is_missing_spoils_what_needs_it(tmp_path: Path) -> None:
    for name in ("constant.mkv", "vp9.webm", "vp8.webm", "mpeg4.mp4"):
        plain = clips.make(tmp_path / name)
        out = tmp_path / f"less-{name}"
        if name.endswith(".mp4"):
            at, size, _ = packets(plain.path)[17]
            data = bytearray(plain.path.read_bytes())
            data[at : at + size] = bytes(size)
            out.write_bytes(data)
        else:
            at, size, _ = packets(plain.path)[17]
            data = bytearray(plain.path.read_bytes())
            data[at : at + 4] = b"\xff\xff\xff\xff"
            out.write_bytes(data)
        frames, damaged = every(out)
        assert damaged
        for frame in frames:
            if frame.time in plain.times:
                assert number(frame.picture) == plain.numbers[plain.times.index(frame.time)]


# --------------------------------------------------------------------- bytes that flip


@pytest.mark.parametrize("flips", [20, 200])
@pytest.mark.parametrize("name", ["constant.mp4", "mpeg2.ts", "mpeg4.mp4", "av1.mp4", "ffv1.mkv"])
def test_no_wrong_frame_passes_unflagged(name: str, flips: int, tmp_path: Path) -> None:
    if not clips.encodable(name):
        pytest.skip("the installed PyAV cannot encode this")
    clip = clips.make(tmp_path / name)
    good = looks(every(clip.path)[0])
    for seed in range(5):
        bad = clips.damage(clip.path, tmp_path / f"bad-{name}", flips=flips, seed=seed)
        try:
            frames, damaged = every(bad)
        except UnusablePicture:
            continue
        given = looks(frames)
        wrong = [time for time in given if given[time].tobytes() != good[time].tobytes()]
        assert damaged or not wrong


def test_a_check_sum_in_the_stream_is_believed(tmp_path: Path) -> None:
    """HEVC has no redundancy of its own, but may carry a digest of each picture."""
    if not clips.encodable("hevc.mp4"):
        pytest.skip("the installed PyAV cannot encode this")
    options = clips._x265(open_gop="0", hash="1")
    clip = clips.render(tmp_path / "hashed.mp4", Clip(codec="libx265", options=options))
    good = looks(every(clip.path)[0])
    assert len(good) == 40
    found = 0
    for place in range(3, 40, 6):
        at, size, _ = packets(clip.path)[place]
        frames, damaged = every(spoil(clip.path, tmp_path / "bad.mp4", at + size // 2, 2))
        given = looks(frames)
        assert all(given[time].tobytes() == good[time].tobytes() for time in given)
        found += damaged
    assert found >= 5


# ------------------------------------------------------------------------- cut off


def test_a_file_that_is_cut_off_says_what_is_missing(tmp_path: Path) -> None:
    clip = clips.make(tmp_path / "faststart.mp4")
    cut = clips.truncate(clip.path, tmp_path / "cut.mp4", 0.6)
    video = open_video(cut)
    assert video.timeline.duration == Fraction(8, 5)  # as the file's index says
    assert video.damaged
    last = float(video.timeline.times[-1])
    own, other = video.frames([0.2, 1.5])
    assert (number(own.picture), own.moments) == (5, (0.2,))
    assert (other.moments, other.instead_of) == ((), (1.5,))
    assert number(other.picture) <= last * 25 + 0.5
    for frame in every(cut)[0]:
        assert number(frame.picture) == clip.numbers[clip.times.index(frame.time)]


@pytest.mark.parametrize(
    "name", ["constant.mkv", "constant.ts", "constant.flv", "fragmented.mp4", "mjpeg.avi"]
)
@pytest.mark.parametrize("share", [0.3, 0.71])
def test_what_is_left_of_a_stream_is_used(name: str, share: float, tmp_path: Path) -> None:
    clip = clips.make(tmp_path / name)
    cut = clips.truncate(clip.path, tmp_path / f"cut-{name}", share)
    frames, _ = every(cut)
    assert len(frames) > 40 * share - 15
    for frame in frames:
        if frame.moments:
            assert number(frame.picture) == clip.numbers[clip.times.index(frame.time)]


def test_without_its_index_a_movie_is_no_video(tmp_path: Path) -> None:
    clip = clips.make(tmp_path / "constant.mp4")
    for share in (0.01, 0.5, 0.8):
        with pytest.raises(UnusablePicture) as told:
            open_video(clips.truncate(clip.path, tmp_path / "cut.mp4", share))
        assert told.value.reason == "not-a-video"


def test_at_a_gap_in_a_broadcast_nothing_is_made_up(tmp_path: Path) -> None:
    clip = clips.make(tmp_path / "constant.ts")
    data = clip.path.read_bytes()
    middle = len(data) // 188 // 2 * 188
    path = tmp_path / "gap.ts"
    path.write_bytes(data[:middle] + data[middle + 5 * 188 :])
    frames, damaged = every(path)
    assert damaged
    assert 20 < sum(bool(frame.moments) for frame in frames) < 40
    for frame in frames:
        if frame.moments:
            assert number(frame.picture) == clip.numbers[clip.times.index(frame.time)]


def test_nothing_goes_to_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    names = ("constant.ts", "constant.mp4", "mpeg2.mpg", "mpeg4.avi")
    plain = [clips.make(tmp_path / name) for name in names]
    capfd.readouterr()
    for clip in plain:
        for seed in range(3):
            bad = clips.damage(clip.path, tmp_path / f"bad-{clip.path.name}", flips=99, seed=seed)
            try:
                every(bad)
            except UnusablePicture:
                continue
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


# ---------------------------------------------------------------------- real clips


@dataclass(frozen=True)
class Expected:
    """What is known of a real clip.

    Attributes:
        frames: How many it has.
        own: Of 8 uniform moments, those that have their own frame.
        size: Of its pictures.
    """

    frames: int
    own: int
    size: tuple[int, int]


REAL: dict[str, Expected | str] = {
    "activitynet/women_long_jump.mp4": Expected(871, 8, (480, 360)),
    "ego4d/3c0dffd0-e38e-4643-bc48-d513943dc20b_012_014.mp4": Expected(60, 8, (384, 288)),
    "scannet/open-eqa-hm3d-demo.mp4": Expected(168, 8, (1280, 720)),
    "video/decord/corrupted.mp4": Expected(50, 5, (1280, 720)),
    "video/decord/flipping_a_pancake.mkv": Expected(310, 8, (426, 240)),
    "video/decord/unordered.mov": Expected(4, 8, (50, 50)),
    "video/decord/video_0.mov": Expected(3, 8, (568, 320)),
    "video/decord/video_180.mov": Expected(3, 8, (568, 320)),
    "video/decord/video_270.mov": Expected(3, 8, (320, 568)),
    "video/decord/video_90.mov": Expected(3, 8, (320, 568)),
    "video/derived/actually_a_jpeg.mp4": "not-a-video",
    "video/derived/anim.gif": Expected(20, 8, (160, 90)),
    "video/derived/audio_only.mp4": "no-video",
    "video/derived/bitrot_mdat.mp4": Expected(82, 0, (0, 0)),
    "video/derived/faststart.mp4": Expected(82, 8, (1280, 720)),
    "video/derived/ffv1.mkv": Expected(40, 8, (320, 180)),
    "video/derived/fragmented.mp4": Expected(60, 8, (320, 180)),
    "video/derived/html_404.mp4": "not-a-video",
    "video/derived/mjpeg.avi": Expected(60, 8, (320, 180)),
    "video/derived/mpeg2.mpg": Expected(60, 8, (320, 180)),
    "video/derived/mpeg4.mkv": Expected(60, 8, (320, 180)),
    "video/derived/non_square_sar.mp4": Expected(60, 8, (640, 180)),
    "video/derived/null_bytes.mp4": "not-a-video",
    "video/derived/one_frame.mp4": Expected(1, 8, (1280, 720)),
    "video/derived/rotate90_metadata.mp4": Expected(42, 8, (180, 320)),
    "video/derived/truncated_faststart.mp4": Expected(47, 4, (1280, 720)),
    "video/derived/truncated_moov_first_or_last.mp4": "not-a-video",
    "video/derived/vfr.mp4": Expected(42, 8, (320, 180)),
    "video/derived/vp8.webm": Expected(60, 8, (320, 180)),
    "video/derived/vp9.webm": Expected(60, 8, (320, 180)),
    "video/derived/yuv444.mp4": Expected(40, 8, (322, 182)),
    "video/derived/zero_bytes.mp4": "not-a-video",
    "video/derived/zero_frames.mp4": "no-video",
    "video/mmaction2/S001C001P001R001A001_rgb.avi": Expected(103, 8, (1920, 1080)),
    "video/mmaction2/demo.mp4": Expected(280, 8, (427, 256)),
    "video/mmaction2/demo_skeleton.mp4": Expected(72, 8, (1920, 1080)),
    "video/mmaction2/demo_spatiotemporal_det.mp4": Expected(57, 8, (340, 256)),
    "video/mmaction2/part_0.mp4": Expected(32, 8, (455, 256)),
    "video/mmaction2/part_1.mp4": Expected(32, 8, (455, 256)),
    "video/mmaction2/test.avi": Expected(164, 8, (320, 240)),
    "video/mmaction2/test.mp4": Expected(300, 8, (455, 256)),
    "video/mmaction2/test_video_structuralize.mp4": Expected(300, 8, (426, 240)),
    "video/torchcodec/av1_video.mkv": Expected(125, 8, (640, 360)),
    "video/torchcodec/bt709_full_range.mp4": Expected(30, 8, (1280, 720)),
    "video/torchcodec/h264_10bits.mp4": Expected(30, 8, (200, 200)),
    "video/torchcodec/h265_10bits.mp4": Expected(30, 8, (200, 200)),
    "video/torchcodec/h265_video.mp4": Expected(10, 8, (128, 128)),
    "video/torchcodec/nasa_13013.mp4": Expected(390, 8, (480, 270)),
}
DAMAGED = ("corrupted.mp4", "bitrot_mdat.mp4", "truncated_faststart.mp4")
REFUSED = [name for name, expected in REAL.items() if isinstance(expected, str)]


def uniform(duration: Fraction) -> list[float]:
    return [float((2 * n + 1) * duration / 16) for n in range(8)]


def read_on(path: Path) -> Iterator[tuple[Fraction, Callable[[], Image.Image]]]:
    """Decode a video from its beginning to its end, with nothing skipped and nothing sought."""
    with suppress(av.FFmpegError), av.open(path) as container:  # one may be cut off
        videos = [
            v for v in container.streams.video if not v.disposition & Disposition.attached_pic
        ]
        best = container.streams.best("video")
        stream = next((video for video in videos if video is best), videos[0])
        scaler, zero = VideoReformatter(), None
        for frame in container.decode(stream):
            time = Fraction(frame.pts or 0) * (frame.time_base or 0)
            zero = time if zero is None else zero

            def picture(frame: av.VideoFrame = frame) -> Image.Image:
                return to_picture(frame, stream.sample_aspect_ratio, turn_of(frame), scaler)

            yield time - zero, picture


@needs_shared
@pytest.mark.parametrize("name", REFUSED)
def test_a_real_file_that_is_no_video_is_told_apart(name: str) -> None:
    with pytest.raises(UnusablePicture) as told:
        open_video(SHARED / name)
    assert told.value.reason == REAL[name]


@needs_shared
@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in REAL if name not in REFUSED])
def test_a_real_clip_gives_what_reading_it_from_end_to_end_gives(name: str) -> None:
    expected = REAL[name]
    assert isinstance(expected, Expected)
    video = open_video(SHARED / name)
    assert len(video.timeline.times) == expected.frames
    frames = list(video.frames(uniform(video.timeline.duration)))
    assert sum(len(frame.moments) for frame in frames) == expected.own
    assert video.damaged == name.endswith(DAMAGED)
    if name.endswith("avi"):  # its times are those of decoding
        return
    left = {frame.time: frame.picture for frame in frames}
    for time, picture in read_on(SHARED / name) if left else ():
        if time in left:
            mine = left.pop(time)
            assert mine.size == expected.size
            assert np.array_equal(np.asarray(mine), np.asarray(picture()))
        if not left:
            break
    assert not left or video.damaged


@needs_shared
def test_of_a_video_with_bit_rot_no_wrong_frame_is_given() -> None:
    good = looks(every(VIDEO / "derived" / "faststart.mp4")[0])
    for name in ("bitrot_mdat.mp4", "truncated_faststart.mp4"):
        frames, damaged = every(VIDEO / "derived" / name)
        assert damaged
        for frame in frames:
            assert frame.picture.tobytes() == good[frame.time].tobytes()


@needs_shared
@pytest.mark.slow
@pytest.mark.parametrize("flips", [1, 5, 50])
def test_a_real_clip_that_rots_shows_nothing_visibly_wrong_unflagged(
    flips: int, tmp_path: Path
) -> None:
    path = VIDEO / "derived" / "faststart.mp4"
    good = {time: np.asarray(picture, int) for time, picture in looks(every(path)[0]).items()}
    for seed in range(5):
        frames, damaged = every(clips.damage(path, tmp_path / "bad.mp4", flips=flips, seed=seed))
        for time, picture in looks(frames).items():
            assert damaged or np.abs(np.asarray(picture, int) - good[time]).mean() < 2


@needs_shared
def test_the_table_names_every_real_clip() -> None:
    there = {
        path.relative_to(SHARED).as_posix()
        for folder in ("video/*", "activitynet", "ego4d", "scannet")
        for path in SHARED.glob(f"{folder}/*")
        if path.suffix in {".mp4", ".mov", ".mkv", ".avi", ".webm", ".mpg", ".gif"}
    }
    assert there == set(REAL)
