"""Frames by time: whatever the container and the codec, the frame shown at a moment is given."""

import functools
import os
import random
import socket
import sys
from bisect import bisect_right
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import pytest

pytest.importorskip("av", reason="video needs PyAV")

import av
import clips
import numpy as np
from clips import CLIPS, Clip, Rendered, colours, number
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mimicit.errors import UsageError
from mimicit.images import UnusablePicture
from mimicit.video import Frame, Video, open_video
from mimicit.video.reader import Reader

SHOWN = [name for name in CLIPS if name not in ("cover-only.mp4", "sound.mp4")]
LITTLE = Fraction(1, 1_000_000)
Maker = Callable[[str], Rendered]


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Maker:
    """Clips, each made when it is first asked for."""
    folder = tmp_path_factory.mktemp("clips")

    @functools.cache
    def make(name: str) -> Rendered:
        if not clips.encodable(name):
            pytest.skip("the installed PyAV cannot encode this")
        return clips.make(folder / name)

    return make


def due(clip: Rendered, moment: float) -> int:
    """Say which frame is shown at a moment: the last that started, or the first."""
    return max(bisect_right(clip.times, Fraction(moment) + LITTLE) - 1, 0)


def check(video: Video, clip: Rendered, moments: Sequence[float]) -> None:
    """Ask for moments; each must be given once, with the frame that is shown then."""
    frames = list(video.frames(moments))
    assert sorted(moment for frame in frames for moment in frame.moments) == sorted(set(moments))
    order = [frame.time for frame in frames]
    start = zero(video)
    assert len(set(order)) == len(order)
    if clip.path.stem != "intra-refresh":  # what is not yet refreshed comes afterwards
        assert order == sorted(order)
    for frame in frames:
        assert not frame.instead_of
        found = number(frame.picture)
        for moment in frame.moments:
            at = due(clip, moment)
            assert frame.time == clip.times[at]
            assert found in together(clip, at)
            assert frame.pts * frame.time_base - frame.time == start


def together(clip: Rendered, at: int) -> list[int]:
    """List the frames that start with this one; in all clips but one, it is alone."""
    same = zip(clip.numbers, clip.times, strict=True)
    return [value for value, time in same if time == clip.times[at]]


def zero(video: Video) -> Fraction:
    (first,) = video.frames([0.0])
    return first.pts * first.time_base


def some(clip: Rendered, rng: random.Random, count: int) -> list[float]:
    """Choose moments: frames' own, a little before and after them, and any."""
    ends = float(clip.times[-1]) + 0.03
    kinds: list[Callable[[], float]] = [
        lambda: float(rng.choice(clip.times)),
        lambda: float(rng.choice(clip.times)) + 0.0001,
        lambda: max(float(rng.choice(clip.times)) - 0.0001, 0),
        lambda: rng.uniform(0, ends),
    ]
    return [rng.choice(kinds)() for _ in range(count)]


def pictures(frames: Sequence[Frame]) -> list[bytes]:
    return [frame.picture.tobytes() for frame in frames]


# ----------------------------------------------------------------------- moments


@pytest.mark.parametrize("name", clips.mostly_slow(SHOWN))
def test_every_moment_has_its_frame(name: str, made: Maker) -> None:
    clip = made(name)
    video = open_video(clip.path)
    assert list(video.timeline.times) == list(clip.times)
    assert video.timeline.duration > clip.times[-1]
    check(video, clip, [float(time) for time in clip.times])
    rng = random.Random(name)
    check(video, clip, [float(clip.times[-1])])
    for count in (1, 4):
        check(open_video(clip.path), clip, some(clip, rng, count))
        check(video, clip, some(clip, rng, count))
    assert video.checked
    assert not video.damaged
    video.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", SHOWN)
def test_any_moments_have_their_frames(name: str, made: Maker) -> None:
    clip = made(name)
    video = open_video(clip.path)
    near = [float(time) + nudge for time in clip.times for nudge in (0, -1e-4, 1e-4, 1e-7)]
    own = st.sampled_from([moment for moment in near if moment >= 0])
    moment = st.one_of(own, st.floats(0, float(clip.times[-1]) + 0.03))

    @settings(max_examples=60, deadline=None, database=None)
    @given(st.lists(moment, max_size=12))
    def any_of_them(moments: list[float]) -> None:
        check(video, clip, moments)

    any_of_them()


def test_of_frames_in_one_tick_it_is_always_the_same(made: Maker) -> None:
    clip = made("crowded.mkv")
    assert len(set(clip.times)) < len(clip.times)
    moments = [float(time) for time in clip.times]
    video = open_video(clip.path)
    all_at_once = pictures(list(video.frames(moments)))
    one_by_one = [pictures(list(video.frames([moment])))[0] for moment in sorted(set(moments))]
    assert all_at_once == one_by_one


def test_a_frame_is_given_once_with_all_its_moments(made: Maker) -> None:
    video = open_video(made("constant.mp4").path)
    (frame,) = video.frames([0.05, 0.04, 0.0799, 0.05])
    assert (frame.moments, frame.instead_of, frame.time) == (
        (0.04, 0.05, 0.0799),
        (),
        Fraction(1, 25),
    )
    assert number(frame.picture) == 1
    assert list(video.frames([])) == []


def test_a_decimal_that_a_float_cannot_say_is_the_frames_own_time(made: Maker) -> None:
    video = open_video(made("constant.mp4").path)
    for count in range(40):
        (frame,) = video.frames([count / 25])
        assert number(frame.picture) == count
    assert Fraction(3 / 25) < Fraction(3, 25)


def test_after_the_last_frame_there_is_the_last_frame(made: Maker) -> None:
    video = open_video(made("constant.mp4").path)
    assert video.timeline.duration == Fraction(8, 5)
    (frame,) = video.frames([1.59])
    assert (number(frame.picture), frame.moments) == (39, (1.59,))


def test_what_lies_after_the_end_is_told_to_be_elsewhere(made: Maker) -> None:
    (frame,) = open_video(made("constant.mp4").path).frames([7.0])
    assert (number(frame.picture), frame.moments, frame.instead_of) == (39, (), (7.0,))


def test_asking_again_gives_the_same_pixels(made: Maker) -> None:
    for name in ("open-gop.mp4", "hevc-open-gop.mp4", "intra-refresh.mp4", "packed.avi"):
        video = open_video(made(name).path)
        moments = [float(time) for time in video.timeline.times]
        whole = pictures(list(video.frames(moments)))
        rng = random.Random(name)
        for at in rng.sample(range(len(moments)), 6):
            assert pictures(list(video.frames([moments[at]]))) == [whole[at]]


def test_giving_up_halfway_leaves_the_video_usable(made: Maker) -> None:
    clip = made("constant.mp4")
    video = open_video(clip.path)
    for count in (1, 2, 7):
        frames = video.frames([float(time) for time in clip.times])
        for _ in range(count):
            next(frames)
        check(video, clip, [0.5, 1.0])


@pytest.mark.parametrize(
    ("name", "places"),
    [
        ("open-gop.mp4", [0, 12, 24, 36]),
        ("hevc.mp4", [0, 12, 24, 36]),
        ("vp9.webm", [0, 12, 24, 36]),
        ("mjpeg.avi", list(range(40))),
        ("tuned-in.ts", [0, 12, 24]),
        ("cut.mp4", [7, 19, 30]),
        ("long-gop.mp4", [0]),
    ],
)
def test_key_frames_are_known_with_their_times(name: str, places: list[int], made: Maker) -> None:
    clip = made(name)
    video = open_video(clip.path)
    assert list(video.timeline.keyframes) == [clip.times[place] for place in places]
    check(video, clip, [float(time) for time in video.timeline.keyframes])


def test_it_gives_signs_of_life(tmp_path: Path) -> None:
    long = Clip(frames=500, gop=600, size=(64, 36), options={"sc_threshold": "0"})
    clip = clips.render(tmp_path / "long.mp4", long)
    beats = []
    video = open_video(clip.path, beat=lambda: beats.append(1))
    assert len(beats) >= 2
    opened = len(beats)
    list(video.frames([0.0, float(clip.times[-1])]))
    assert len(beats) >= opened + 2


# ---------------------------------------------------------------------- pictures


@pytest.mark.parametrize("name", ["turned-90.mp4", "turned-270.mp4", "turned-90.mkv"])
def test_a_turned_video_is_upright_and_as_large(name: str, made: Maker) -> None:
    (frame,) = open_video(made(name).path).frames([0.2])
    assert frame.picture.size == (192, 108)
    assert frame.picture.mode == "RGB"


def test_pixels_that_are_not_square_become_square(made: Maker) -> None:
    (frame,) = open_video(made("wide-samples.mp4").path).frames([0.2])
    assert frame.picture.size == (192, 108)


def test_high_pixels_become_square_and_none_is_lost(tmp_path: Path) -> None:
    clip = clips.render(tmp_path / "high.mp4", Clip(frames=3, size=(192, 54), sar=Fraction(1, 2)))
    (frame,) = open_video(clip.path).frames([0.05])
    assert (frame.picture.size, number(frame.picture)) == ((192, 108), 1)


def test_pixels_that_cannot_be_that_wide_are_taken_as_square(tmp_path: Path) -> None:
    clip = clips.render(tmp_path / "absurd.mp4", Clip(frames=3, sar=Fraction(900, 1)))
    (frame,) = open_video(clip.path).frames([0.05])
    assert frame.picture.size == (192, 108)


def test_each_frame_has_its_own_size(made: Maker) -> None:
    frames = list(open_video(made("resized.ts").path).frames([0.0, 0.76, 0.8, 1.5]))
    assert [frame.picture.size for frame in frames] == [(192, 108)] * 2 + [(256, 144)] * 2


@pytest.mark.parametrize(
    ("name", "within"),
    [
        ("constant.mp4", 3),
        ("bt601.mp4", 3),
        ("bt709.mp4", 3),
        ("full-range.mp4", 3),
        ("ten-bits.mp4", 3),
        ("yuv444.mp4", 3),
        ("vp9.webm", 4),
        ("mpeg2.ts", 4),
        ("turned-90.mp4", 3),
        ("wide-samples.mp4", 3),
        ("hdr.mp4", 12),
        ("hlg.mp4", 12),
    ],
)
def test_colours_are_those_drawn(name: str, within: int, made: Maker) -> None:
    for frame in open_video(made(name).path).frames([0.2, 1.0]):
        for found, true in zip(colours(frame.picture), clips.COLOURS, strict=True):
            assert found == pytest.approx(true, abs=within)
        assert frame.tone_mapped == (name in ("hdr.mp4", "hlg.mp4"))


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le"])
def test_black_is_black_and_white_is_white(full: bool, pix_fmt: str, tmp_path: Path) -> None:
    deep = 4 if "10" in pix_fmt else 1
    black, white = (0, 256 * deep - 1) if full else (16 * deep, 235 * deep)
    path = tmp_path / "greys.mkv"
    with av.open(path, "w") as output:
        video = output.add_stream("ffv1", rate=25)
        video.width = video.height = 64
        video.pix_fmt = pix_fmt
        video.codec_context.color_range = 2 if full else 1
        for shade in (black, white):
            frame = av.VideoFrame(64, 64, pix_fmt)
            for plane, value in zip(frame.planes, (shade, 128 * deep, 128 * deep), strict=True):
                values = np.frombuffer(memoryview(plane), "<u2" if deep > 1 else "u1")
                values[:] = value
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
    found = [frame.picture.getextrema() for frame in open_video(path).frames([0.0, 0.04])]
    assert found == [((0, 0),) * 3, ((255, 255),) * 3]


# --------------------------------------------------------------- what is no video


@pytest.mark.parametrize(
    ("name", "reason"), [("sound.mp4", "no-video"), ("cover-only.mp4", "no-video")]
)
def test_sound_and_a_cover_are_no_video(name: str, reason: str, made: Maker) -> None:
    with pytest.raises(UnusablePicture) as told:
        open_video(made(name).path)
    assert told.value.reason == reason


def _jpeg(path: Path) -> None:
    Image.new("RGB", (64, 48), "red").save(path, "JPEG")


def _without_frames(path: Path) -> None:
    clips.render(path, Clip(container={"movflags": "frag_keyframe+empty_moov"}))
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"moof") - 4])


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (lambda path: path.write_bytes(b""), "not-a-video"),
        (lambda path: path.write_bytes(bytes(4096)), "not-a-video"),
        (lambda path: path.write_text("<html><body>404 Not Found</body></html>"), "not-a-video"),
        (lambda path: path.write_text("1\n00:00:01,000 --> 00:00:02,000\nHi\n"), "not-a-video"),
        (_jpeg, "not-a-video"),
        (_without_frames, "no-frames"),
    ],
    ids=["empty", "zeros", "html", "subtitles", "jpeg", "no-frames"],
)
def test_what_is_no_video_is_told_apart(
    write: Callable[[Path], object], reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "clip.mp4"
    write(path)
    with pytest.raises(UnusablePicture) as told:
        open_video(path)
    assert told.value.reason == reason


PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{file}\n#EXTINF:9,\n{url}\n"
    "#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile '{file}'\nfile '{url}'\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT9S"><Period><AdaptationSet mimeType="video/mp4"><Representation '
    'id="1" bandwidth="9"><BaseURL>{url}</BaseURL></Representation></AdaptationSet></Period></MPD>',
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
    "m=video {port} RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    "imf": '<?xml version="1.0"?><CompositionPlaylist><Id>urn:uuid:1</Id></CompositionPlaylist>',
    "smil": '<smil><body><video src="{url}"/></body></smil>',
    "image": "{file}\n",
}


@pytest.mark.parametrize("kind", PLAYLISTS)
def test_a_playlist_leads_nowhere(kind: str, made: Maker, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(made("constant.mp4").path.read_bytes())
    os.utime(other, (1, 1_700_000_000))  # so long ago that reading it would show
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        port = server.getsockname()[1]
        url = f"http://127.0.0.1:{port}/x.mp4"
        for suffix in (".mp4", ".m3u8", ".sdp", ".mpd", ".ts", ".txt"):
            path = tmp_path / f"list{suffix}"
            path.write_text(PLAYLISTS[kind].format(file=other, url=url, port=port))
            with pytest.raises(UnusablePicture) as told:
                open_video(path)
            assert told.value.reason == "not-a-video"
        with pytest.raises(TimeoutError):
            server.accept()
    assert other.stat().st_atime == 1


@pytest.mark.parametrize("name", ["{url}", "concat:{file}", "file:{file}", "subfile,,:{file}"])
def test_a_name_is_never_an_address(
    name: str, made: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    other = made("constant.mp4").path
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        url = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises((UnusablePicture, OSError)):
            open_video(Path(name.format(url=url, file=other)))
        with pytest.raises(TimeoutError):
            server.accept()


def test_a_movie_that_keeps_its_pictures_in_another_file_does_not_get_them(
    made: Maker, tmp_path: Path
) -> None:
    inner = made("constant.mp4").path
    data = bytearray(inner.read_bytes())
    at = data.index(b"url ")
    data[at : at + 8] = b"url \0\0\0\0"  # no longer "in this file", and no name of another
    path = tmp_path / "outside.mp4"
    path.write_bytes(data)
    try:
        frames = list(open_video(path).frames([0.0]))
    except UnusablePicture:
        return
    assert all(number(frame.picture) == 0 for frame in frames)


def test_a_decoder_that_is_not_there_is_told(made: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    path = made("constant.mp4").path
    with pytest.raises(UsageError, match=r"'quicktime' is not installed.*mimicit"):
        open_video(path, "quicktime")
    monkeypatch.setattr("mimicit.video.decoders", list)
    with pytest.raises(UsageError, match="a decoder of videos is not installed"):
        open_video(path)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_reading_takes_no_more_memory_the_longer_it_goes_on(tmp_path: Path) -> None:
    """A child cuts videos for days; PyAV loses a little at each iteration that is given up."""
    path = clips.render(tmp_path / "a.mp4", Clip(frames=400, size=(32, 32))).path
    reader = Reader(path, lambda: None)

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def read(times: int) -> None:
        for _ in range(times):
            assert sum(1 for _ in reader.read_from(0)) == 400

    read(10)
    before = resident()
    read(60)
    reader.close()
    assert resident() - before < 2_000_000, "24,000 packets; some 8 MB where each loses a bit"
