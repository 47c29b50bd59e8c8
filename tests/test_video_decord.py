"""Frames by decord: slower and less, but where it gives a frame, it is the one shown then."""

import os
import random
import subprocess
import sys
import venv
from bisect import bisect_right
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.importorskip("av", reason="video needs PyAV")

import clips
from clips import number

from mimicit.images import UnusablePicture
from mimicit.video import decoders, open_video

ROOT = Path(__file__).parents[1]
THERE = find_spec("decord") is not None
needs_decord = pytest.mark.skipif(not THERE, reason="decord is not installed")

KNOWN = [
    *("constant.mp4", "constant.mkv", "constant.flv", "ntsc.mp4", "faststart.mp4"),
    *("signed-offsets.mp4", "fragmented.mp4", "variable.mp4", "variable.mkv", "pyramid.mp4"),
    *("open-gop.mp4", "long-gop.mp4", "intra-refresh.mp4", "late.mp4", "late.mkv"),
    *("late-with-sound.mp4", "late-with-sound.mkv", "hevc-open-gop.mp4", "vp8.webm", "vp9.webm"),
    *("av1.mp4", "mpeg4.mp4", "mjpeg.avi", "ffv1.mkv", "several.mp4", "cover.mp4"),
    *("turned-90.mp4", "turned-180.mp4", "turned-270.mp4", "bt709.mp4", "ten-bits.mp4"),
]
REFUSED = {
    "constant.ts": "not-a-video",
    "mpeg2.mpg": "not-a-video",
    "sound.mp4": "not-a-video",
    "mpeg4.avi": "no-times",
    "packed.avi": "no-times",
    "crowded.mkv": "no-times",
    "cut.mp4": "no-times",
    "cut-twice.mp4": "no-times",
}


@needs_decord
@pytest.mark.parametrize("name", KNOWN)
def test_every_moment_has_its_frame(name: str, tmp_path: Path) -> None:
    if not clips.encodable(name):
        pytest.skip("the installed PyAV cannot encode this")
    clip = clips.make(tmp_path / name)
    video = open_video(clip.path, "decord")
    assert not video.checked
    assert [float(time) for time in video.timeline.times] == pytest.approx(
        [float(time) for time in clip.times], abs=2e-6
    )
    rng = random.Random(name)
    inner = [rng.uniform(0, float(clip.times[-1])) for _ in range(12)]
    for moments in ([float(time) + 1e-5 for time in clip.times], inner, inner[:1]):
        given = {m: frame for frame in video.frames(moments) for m in frame.moments}
        assert set(given) == set(moments)
        for moment, frame in given.items():
            at = bisect_right(clip.times, Fraction(moment) + Fraction(3, 1_000_000)) - 1
            assert number(frame.picture) == clip.numbers[at]
    video.close()


@needs_decord
@pytest.mark.parametrize("name", REFUSED)
def test_what_it_cannot_time_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UnusablePicture) as told:
        open_video(clips.make(tmp_path / name).path, "decord")
    assert told.value.reason == REFUSED[name]


@needs_decord
@pytest.mark.parametrize("text", ["#EXTM3U\n#EXTINF:9,\n{}\n", "ffconcat version 1.0\nfile {}\n"])
def test_a_playlist_leads_nowhere(text: str, tmp_path: Path) -> None:
    clip = clips.make(tmp_path / "constant.mp4")
    path = tmp_path / "list.mp4"
    path.write_text(text.format(clip.path))
    with pytest.raises(UnusablePicture):
        open_video(path, "decord")


@needs_decord
def test_it_is_the_second_choice() -> None:
    assert decoders() == ["pyav", "decord"]


@pytest.mark.slow
@pytest.mark.skipif(THERE, reason="the tests above have run")
def test_decord2_keeps_time(tmp_path: Path) -> None:
    libraries = tmp_path / "libraries"
    venv.create(tmp_path / "venv", with_pip=True)  # this environment may have no pip
    python = str(tmp_path / "venv" / "bin" / "python")
    install = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(libraries)]
    done = subprocess.run([*install, "decord2>=3.3"], check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"decord2 cannot be installed: {done.stderr.strip()[-200:]}")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist"]
    done = subprocess.run(
        [*command, "-rs", __file__],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(libraries)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert "decord is not installed" not in done.stdout
