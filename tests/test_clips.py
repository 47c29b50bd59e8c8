"""The clips that other tests are judged by are what they say they are."""

import struct
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import cast

import pytest
from PIL import Image, ImageFilter

pytest.importorskip("av", reason="video needs PyAV")

import av
import clips
from av.sidedata.sidedata import SideDataContainer, Type
from clips import CLIPS, Clip, colours, number

PACKED = "packed.avi"  # FFmpeg gives its frames in order, and swaps their times


def upright(frame: av.VideoFrame) -> Image.Image:
    """Turn and mirror a picture as its display matrix says."""
    picture = Image.fromarray(frame.to_ndarray(format="rgb24"))
    for data in cast("SideDataContainer", frame.side_data):
        if data.type is Type.DISPLAYMATRIX:
            across, down, _, back, on, *_ = struct.unpack("9i", bytes(data))
            if down:
                picture = picture.transpose(Image.Transpose.TRANSPOSE)
                across, on = back, down
            if across < 0:
                picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            if on < 0:
                picture = picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    return picture


def shown(path: Path) -> tuple[list[Fraction], list[Image.Image]]:
    """Decode a whole clip in order: when each frame is shown, and what it is."""
    with av.open(path) as container:
        cover = av.stream.Disposition.attached_pic
        videos = [video for video in container.streams.video if not video.disposition & cover]
        frames = list(container.decode(videos[0])) if videos else []
    times = [Fraction(frame.pts or 0) * (frame.time_base or 0) for frame in frames]
    if path.name == PACKED:
        times.sort()
    return [time - times[0] for time in times], [upright(frame) for frame in frames]


@pytest.mark.parametrize("name", clips.mostly_slow(list(CLIPS)))
def test_a_clip_shows_its_frames_at_its_times(name: str, tmp_path: Path) -> None:
    if not clips.encodable(name):
        pytest.skip("the installed PyAV cannot encode this")
    made = clips.make(tmp_path / name)
    times, pictures = shown(made.path)
    assert [number(picture) for picture in pictures] == list(made.numbers)
    assert times == list(made.times)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.fixture(scope="module")
def drawn() -> Image.Image:
    return Image.fromarray(clips.draw((192, 108), range(300, 301))[0])


@pytest.mark.parametrize("value", [0, 1, 255, 300, 511])
def test_a_number_is_read_at_any_size(value: int) -> None:
    for size in [(192, 108), (144, 108), (256, 144), (480, 270)]:
        (frame,) = clips.draw(size, range(value, value + 1))
        picture = Image.fromarray(frame)
        assert number(picture) == value
        assert number(picture.resize((64, 36))) == value


def test_every_number_is_read_and_no_other() -> None:
    frames = clips.draw((192, 108), range(clips.NUMBERS))
    assert [number(Image.fromarray(frame)) for frame in frames] == list(range(clips.NUMBERS))
    with pytest.raises(ValueError, match="from 0 to 511"):
        clips.draw((192, 108), range(512, 513))


def test_a_number_survives_what_video_does_to_it(drawn: Image.Image) -> None:
    faint = drawn.point([96 + value // 3 for value in range(256)] * 3)
    for picture in (faint, drawn.filter(ImageFilter.GaussianBlur(4)), drawn.convert("L")):
        assert number(picture) == 300
    assert colours(drawn) == list(clips.COLOURS)


@pytest.mark.parametrize("turn", list(Image.Transpose))
def test_a_picture_turned_or_mirrored_is_not_read(
    turn: Image.Transpose, drawn: Image.Image
) -> None:
    with pytest.raises(ValueError, match="picture"):
        number(drawn.transpose(turn))


def test_a_ruined_picture_is_not_read(drawn: Image.Image) -> None:
    other = Image.fromarray(clips.draw((192, 108), range(77, 78))[0])
    for place in [(0, 0, 96, 108), (0, 0, 192, 54), (60, 0, 192, 108)]:
        torn = drawn.copy()
        torn.paste(other.crop(place), place)
        with pytest.raises(ValueError, match="picture"):
            number(torn)
    for plain in (Image.new("RGB", (192, 108), "grey"), Image.blend(drawn, other, 0.5)):
        with pytest.raises(ValueError, match="picture"):
            number(plain)


def packets(path: Path) -> list[tuple[int, bool, bytes]]:
    """List when each packet is shown, and whether it is a key frame, in the order of decoding."""
    with av.open(path) as container:
        demuxed = [packet for packet in container.demux(video=0) if packet.pts is not None]
        return [(packet.pts or 0, packet.is_keyframe, bytes(packet)) for packet in demuxed]


def test_the_hard_cases_are_in_the_files(tmp_path: Path) -> None:
    def made(name: str) -> list[tuple[int, bool, bytes]]:
        return packets(clips.make(tmp_path / name).path)

    constant = [at for at, _, _ in made("constant.mp4")]
    assert sorted(constant) != constant  # B-frames
    assert [key for _, key, _ in made("long-gop.mp4")].count(True) == 1
    for name in ("open-gop.mp4", "hevc-open-gop.mp4"):
        pairs = list(pairwise(made(name)))
        # A frame that is shown before a key frame, and needs it.
        assert any(key and at > after for (at, key, _), (after, _, _) in pairs[1:])
    assert [at for at, _, _ in made("cut.mp4") if at < 0]
    assert [at for at, _, _ in made("wrapped.ts") if at < 0]
    assert 0 < sum(key for _, key, _ in made("tuned-in.ts")) < 4
    assert [len(data) for _, _, data in made(PACKED)].count(6) == 15
    gaps = [after - at for at, after in pairwise(clips.make(tmp_path / "variable.mp4").times)]
    assert {Fraction(1, 1000), Fraction(7, 2)} <= set(gaps)


def test_what_a_container_says_of_a_clip(tmp_path: Path) -> None:
    with av.open(clips.make(tmp_path / "late-with-sound.mp4").path) as container:
        assert container.streams.audio[0].start_time == 0
        assert container.streams.video[0].start_time == 135000
    with av.open(clips.make(tmp_path / "wide-samples.mp4").path) as container:
        assert container.streams.video[0].display_aspect_ratio == Fraction(16, 9)
    with av.open(clips.make(tmp_path / "hdr.mp4").path) as container:
        frame = next(container.decode(video=0))
        assert (frame.color_primaries, frame.color_trc, frame.colorspace) == (9, 16, 9)
        assert frame.format.name == "yuv420p10le"
    with av.open(clips.make(tmp_path / "cover.mp4").path) as container:
        covers = [stream.disposition for stream in container.streams.video]
        assert [bool(cover & av.stream.Disposition.attached_pic) for cover in covers] == [
            False,
            True,
        ]


@pytest.mark.parametrize("name", ["bt601.mp4", "bt709.mp4", "full-range.mp4", "ten-bits.mp4"])
def test_the_colours_of_a_clip_are_those_drawn(name: str, tmp_path: Path) -> None:
    made = clips.make(tmp_path / name)
    for picture in shown(made.path)[1][::13]:
        for found, true in zip(colours(picture), clips.COLOURS, strict=True):
            assert found == pytest.approx(true, abs=5)


def test_damage_and_truncation_touch_only_what_they_say(tmp_path: Path) -> None:
    made = clips.render(tmp_path / "clip.mp4", Clip(frames=10))
    whole = made.path.read_bytes()
    out = clips.damage(made.path, tmp_path / "damaged.mp4", flips=9, seed=1)
    changed = [at for at, (a, b) in enumerate(zip(whole, out.read_bytes(), strict=True)) if a != b]
    assert len(changed) == 9
    assert whole.index(b"mdat") < changed[0]
    assert changed[-1] < whole.index(b"moov") - 4
    cut = clips.truncate(made.path, tmp_path / "cut.mp4", 0.5)
    assert cut.read_bytes() == whole[: len(whole) // 2]


def test_rendering_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    one, two = (clips.render(tmp_path / name, Clip(frames=10)) for name in ("1.mp4", "2.mp4"))
    assert one.path.read_bytes() == two.path.read_bytes()
