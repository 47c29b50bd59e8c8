"""Videos in a build: frames by time, each once, told honestly, and published as pictures."""

import dataclasses
import hashlib
import io
import json
import os
import random
import runpy
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from unittest.mock import ANY

import av
import clips
import numpy as np
import pytest
from PIL import Image
from test_decoding import Saboteur

import mimicit
from mimicit.annotations import Annotation, Caption, Narration, Note, Segment
from mimicit.config import BuildConfig, Endpoint, SourceConfig
from mimicit.decoding import Decoder, Decoders
from mimicit.frames import VideoTask, frame_path
from mimicit.media import Media
from mimicit.media_cache import MediaCache
from mimicit.moments import At, Clip, Every, Sampler, Uniform
from mimicit.pipeline import build
from mimicit.schema import ImageRow, Rejection, Scene
from mimicit.stored import StoreForm
from mimicit.testing import FakeTeacher
from mimicit.validate import find_problems

ROOT = Path(__file__).parents[1]
Opener = Callable[..., Media]


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """A directory with one clip of 40 frames, 25 a second, frame i showing the number i."""
    folder = tmp_path / "videos"
    folder.mkdir()
    clips.make(folder / "constant.mp4")
    settle(folder)
    return folder


def settle(folder: Path) -> None:
    """Make files look as if nobody had changed them for a while."""
    for path in folder.iterdir():
        os.utime(path, (1_700_000_000, 1_700_000_000))


@pytest.fixture
def open_media(tmp_path: Path) -> Iterator[Opener]:
    """Judge scenes with a cache below `tmp_path / media`."""
    with Decoders() as decoders, MediaCache(tmp_path / "media") as cache:

        def judge(*scenes: Scene, skip: tuple[str, ...] = (), **form: object) -> Media:
            media = Media(decoders, cache, StoreForm(**form), skip)  # type: ignore[arg-type]  # by name
            media.judge(scenes)
            return media

        yield judge


def scene(
    root: Path, sampler: Sampler, name: str = "constant.mp4", scene_id: str = "v", minimum: int = 1
) -> Scene:
    clip = Clip("DC_IMG_v", str(root), name, sampler, minimum, licence="CC0-1.0")
    return Scene("toy", scene_id, "DC", (), (Caption("A clip."),), ("v",), clips=(clip,))


def only(media: Media, of: Scene) -> tuple[Scene | None, list[Rejection]]:
    ((fitted, told),) = media.judged([of])
    return fitted, told


def rows(media: Media, of: Scene) -> list[ImageRow]:
    fitted, _ = only(media, of)
    assert fitted is not None
    return [media.row(ref)() for ref in fitted.images]


def shown(row: ImageRow) -> int:
    return clips.number(Image.open(io.BytesIO(row.image.bytes)))


def test_frames_become_pictures_in_order_named_by_their_true_times(
    videos: Path, open_media: Opener
) -> None:
    asked = scene(videos, At((1.0, 0.05, 0.0)))
    found = rows(open_media(asked), asked)
    assert [row.image_id for row in found] == [
        "DC_IMG_v_000000000",
        "DC_IMG_v_000000040",
        "DC_IMG_v_000001000",
    ]
    assert [shown(row) for row in found] == [0, 1, 25]
    assert {(row.width, row.height, row.format) for row in found} == {(192, 108, "JPEG")}
    source = found[1].source_ref
    assert source.path == "constant.mp4"
    assert source.sha256 == hashlib.sha256((videos / "constant.mp4").read_bytes()).hexdigest()
    assert source.time == pytest.approx(0.04)
    assert source.pts is not None
    first = found[0].source_ref.pts
    assert first is not None
    assert (source.pts - first) * Fraction(source.time_base) == Fraction(1, 25)
    assert source.decoder.startswith(f"pyav {av.__version__} ")
    assert source.jpeg_quality == 92
    assert (source.instead_of, source.notes) == ([], [])
    assert {row.licence for row in found} == {"CC0-1.0"}


def test_a_frame_is_cut_out_once_however_many_scenes_name_it(
    videos: Path, open_media: Opener, tmp_path: Path
) -> None:
    one, other = scene(videos, At((0.5, 1.0))), scene(videos, Every(0.5), scene_id="w")
    media = open_media(one, other)
    (first, _), (second, _) = media.judged([one, other])
    assert first
    assert second
    assert {ref.id for ref in first.images} < {ref.id for ref in second.images}
    files = list((tmp_path / "media" / "frames").rglob("*.jpg"))
    assert len(files) == len(second.images) == 4


def test_what_was_cut_out_before_is_not_cut_out_again_unless_the_video_changed(
    videos: Path, tmp_path: Path
) -> None:
    asked = scene(videos, Uniform(3))

    def judge() -> tuple[list[int], bool]:
        with Decoders() as decoders, MediaCache(tmp_path / "media") as cache:
            media = Media(decoders, cache, StoreForm(), ())
            media.judge([asked])
            started = any(decoder._child for decoder in decoders._all)
            return [shown(row) for row in rows(media, asked)], started

    assert judge() == ([6, 20, 33], True)
    assert judge() == ([6, 20, 33], False)
    clips.render(videos / "constant.mp4", clips.Clip(first=100))
    settle(videos)
    os.utime(videos / "constant.mp4", (1_700_000_001, 1_700_000_001))
    assert judge() == ([106, 120, 133], True)
    for path in (tmp_path / "media" / "frames").rglob("*.jpg"):
        path.unlink()
    assert judge() == ([106, 120, 133], True), "frames that were thrown away are made again"


def test_a_moment_after_the_end_is_told_and_a_scene_left_with_too_few_frames_is_refused(
    videos: Path, open_media: Opener
) -> None:
    some = scene(videos, At((1.0, 30.0)))
    few = scene(videos, At((1.0, 30.0)), minimum=2)
    fitted, told = only(open_media(some), some)
    assert fitted
    assert [(r.stage, r.reason, r.record) for r in told] == [
        ("media", "after-the-end", "DC_IMG_v at 30.000 s")
    ]
    fitted, told = only(open_media(few), few)
    assert fitted is None
    assert [r.reason for r in told] == ["after-the-end", "too-few-frames"]


def said(root: Path, *annotations: Annotation) -> Scene:
    return dataclasses.replace(scene(root, Uniform(2)), annotations=annotations)


def test_what_is_told_of_times_after_the_end_is_cut_or_turned_away(
    videos: Path, open_media: Opener
) -> None:
    within, over = Segment(0, 1.6, "It counts."), Segment(1, 90, "It counts on.")
    late, stray = Segment(1.6, 3, "It ends."), Narration(90, "opens a box")
    done, caption = Narration(1.5, "takes a box"), Caption("Numbers.")
    asked = said(videos, within, over, late, done, stray, caption)
    fitted, told = only(open_media(asked), asked)
    assert fitted
    assert fitted.annotations == (within, Segment(1, 1.6, "It counts on."), done, caption)
    assert [(r.stage, r.reason, r.record) for r in told] == [("annotations", "bad-times", "v")] * 2
    assert ["It ends." in told[0].detail, "opens a box" in told[1].detail] == [True, True]
    assert told[0].detail.endswith("the end of the video at 1.600 s")


def test_the_true_length_of_a_video_beats_a_stated_one_that_is_another(
    videos: Path, open_media: Opener
) -> None:
    segments = Segment(0, 1, "It counts."), Segment(1, 2.1, "It counts on.")
    wrong = said(videos, *segments, Note("duration", "600"))
    fitted, told = only(open_media(wrong), wrong)
    assert fitted
    cut = segments[0], Segment(1, 1.6, "It counts on.")
    assert fitted.annotations == (*cut, Note("duration", "1.6"))
    assert [(r.reason, "600" in r.detail) for r in told] == [("bad-times", True)]
    right = said(videos, *segments, Note("duration", "2.1"))  # the sound goes on for that long
    assert only(open_media(right), right) == (
        dataclasses.replace(right, images=ANY, clips=()),
        [],
    )


def test_notes_beside_what_is_left_out_are_left_out_with_it(
    videos: Path, open_media: Opener
) -> None:
    done = [Narration(time, f"takes {time}") for time in (0.5, 1.0, 9.0, 1.5)]
    names = [Note("narrator", name) for name in "abca"]
    asked = said(videos, *done, Note("start", "0"), *names)
    fitted, told = only(open_media(asked), asked)
    assert fitted
    assert fitted.annotations == (
        *(done[place] for place in (0, 1, 3)),
        Note("start", "0"),
        *(names[place] for place in (0, 1, 3)),
    )
    assert len(told) == 1


def test_where_a_video_is_cut_off_the_nearest_frame_stands_in_and_says_so(
    videos: Path, open_media: Opener
) -> None:
    clips.make(videos / "faststart.mp4")
    clips.truncate(videos / "faststart.mp4", videos / "short.mp4", 0.5)
    asked = scene(videos, Uniform(4), "short.mp4")
    media = open_media(asked)
    _, told = only(media, asked)
    found = rows(media, asked)
    assert {r.reason for r in told} == {"undecodable-moment"}
    assert all("damaged-video" in row.source_ref.notes for row in found)
    last = found[-1]
    assert last.source_ref.instead_of == [pytest.approx(float(r.record.split()[2])) for r in told]
    assert last.source_ref.time is not None
    assert shown(last) == round(last.source_ref.time * 25), "its own time is the true one"


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("no.mp4", None, "missing-file"),
        ("../videos/constant.mp4", None, "unsafe-path"),
        ("page.mp4", b"<html>404</html>", "not-a-video"),
        ("empty.mp4", b"", "not-a-video"),
        ("list.mp4", b"#EXTM3U\n#EXTINF:1,\nconstant.mp4\n#EXT-X-ENDLIST\n", "not-a-video"),
        ("script.mp4", b"ffconcat version 1.0\nfile constant.mp4\n", "not-a-video"),
    ],
)
def test_what_is_no_video_is_a_rejected_scene_with_a_reason(
    videos: Path, open_media: Opener, name: str, content: bytes | None, reason: str
) -> None:
    if content is not None:
        (videos / name).write_bytes(content)
    asked = scene(videos, Uniform(3), name)
    fitted, told = only(open_media(asked), asked)
    assert fitted is None
    assert [(r.stage, r.reason, r.record) for r in told] == [("media", reason, "DC_IMG_v")]


def still_video(path: Path, pictures: list[Image.Image]) -> None:
    """Show each picture for a second."""
    with av.open(path, "w") as output:
        stream = output.add_stream("libx264", rate=1)
        stream.width, stream.height, stream.pix_fmt = (*pictures[0].size, "yuv420p")
        for picture in pictures:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(picture))))
        output.mux(stream.encode(None))


def test_near_black_frames_and_repeated_ones_are_left_out_on_request(
    videos: Path, open_media: Opener
) -> None:
    black = Image.fromarray(np.random.default_rng(1).integers(0, 12, (90, 160, 3), dtype=np.uint8))
    one, other = (Image.fromarray(frame) for frame in clips.draw((160, 90), range(2, 60, 50)))
    still_video(videos / "still.mp4", [black, one, one, other, other, one])
    asked = scene(videos, Every(1), "still.mp4")

    def seconds(*skip: str) -> tuple[list[float | None], list[str]]:
        fitted, told = only(open_media(asked, skip=skip), asked)
        assert fitted
        times = [ref.origin.time if ref.origin else None for ref in fitted.images]
        return times, [r.reason for r in told]

    assert seconds() == ([0, 1, 2, 3, 4, 5], [])
    assert seconds("dark") == ([1, 2, 3, 4, 5], ["dark-frame"])
    assert seconds("duplicate") == ([0, 1, 3, 5], ["duplicate-frame", "duplicate-frame"])
    assert seconds("dark", "duplicate")[0] == [1, 3, 5]


def test_frames_can_be_stored_smaller_and_say_so(videos: Path, open_media: Opener) -> None:
    asked = scene(videos, At((0.4,)))
    (row,) = rows(open_media(asked, max_side=96), asked)
    assert (row.width, row.height) == (96, 54)
    assert shown(row) == 10
    assert row.source_ref.notes == ["resized", "re-encoded"]
    assert row.source_ref.jpeg_quality == 90


@pytest.mark.parametrize(
    ("number", "problem"), [(signal.SIGKILL, "decoder-crash"), (signal.SIGSTOP, "decoder-hang")]
)
def test_a_video_that_brings_its_decoder_down_is_a_verdict(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, problem: str
) -> None:
    monkeypatch.setattr("mimicit.decoding.TIMEOUT_SECONDS", 1.0)
    decoder = Decoder()
    saboteur = Saboteur(decoder, number)
    saboteur.start()
    task = VideoTask(str(videos / "constant.mp4"), (Uniform(2),), str(tmp_path / "frames"))
    assert decoder.sample(task).problem == problem
    saboteur.stopping.set()
    saboteur.join()
    monkeypatch.undo()
    info = decoder.sample(task)
    assert [frame_path(task.folder, frame.sha256).exists() for frame in info.frames] == [True] * 2
    decoder.stop()


def test_the_request_about_a_frame_is_the_same_whichever_encoder_made_its_file(
    videos: Path, open_media: Opener
) -> None:
    asked = scene(videos, At((0.4,)))
    media = open_media(asked)
    fitted, _ = only(media, asked)
    assert fitted
    info = media.infos[fitted.images[0].id]
    origin = fitted.images[0].origin
    assert origin
    logical = f"{origin.sha256} {origin.pts} {origin.time_base}"
    assert info.content == hashlib.sha256(logical.encode()).hexdigest() != info.sha256


JUDGE = """
    import sys
    from pathlib import Path
    from mimicit.decoding import Decoders
    from mimicit.media import Media
    from mimicit.media_cache import MediaCache
    from mimicit.moments import Clip, Every
    from mimicit.annotations import Caption
    from mimicit.schema import Scene
    from mimicit.stored import StoreForm

    def scenes(root):
        for path in sorted(Path(root).iterdir()):
            clip = Clip(f"DC_IMG_{path.stem}", root, path.name, Every(0.04))
            yield Scene("toy", path.stem, "DC", (), (Caption("A."),), ("v",), clips=(clip,))

    if __name__ == "__main__":
        with Decoders() as decoders, MediaCache(Path(sys.argv[2])) as cache:
            Media(decoders, cache, StoreForm(), ()).judge(scenes(sys.argv[1]))
"""


def files_below(folder: Path) -> int:
    return sum(len(names) for _, _, names in os.walk(folder))


@pytest.mark.slow
def test_cutting_that_is_killed_leaves_nothing_half_done(videos: Path, tmp_path: Path) -> None:
    for number in range(12):
        clips.render(videos / f"{number}.mp4", clips.Clip(first=10 * number))
    settle(videos)
    script = tmp_path / "judge.py"
    script.write_text(textwrap.dedent(JUDGE))
    namespace = runpy.run_path(str(script))
    moments = random.Random(3)
    killed = 0
    for _ in range(10):
        command = [sys.executable, str(script), str(videos), str(tmp_path / "media")]
        enough = files_below(tmp_path / "media") + moments.randint(1, 40)
        with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}) as judging:
            while (
                judging.poll() is None and files_below(tmp_path / "media") < enough
            ):  # however fast the machine is
                time.sleep(0.002)
            judging.kill()
        killed += judging.returncode == -signal.SIGKILL
    assert killed >= 3
    scenes = list(namespace["scenes"](str(videos)))
    with Decoders() as decoders, MediaCache(tmp_path / "media") as cache:
        media = Media(decoders, cache, StoreForm(), ())
        media.judge(scenes)
        for asked in scenes:
            first = 0 if asked.id == "constant" else 10 * int(asked.id)
            assert [shown(row) for row in rows(media, asked)] == list(range(first, first + 40))


def test_a_folder_that_cannot_be_written_stops_the_build_and_is_no_verdict_on_the_video(
    videos: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(256):
        (folder / f"{number:02x}").write_text("in the way of a directory")
    decoder = Decoder()
    task = VideoTask(str(videos / "constant.mp4"), (Uniform(2),), str(folder))
    with pytest.raises(OSError, match=r"exists|Not a directory"):
        decoder.sample(task)
    decoder.stop()


TOY = '''
    """A source of videos that another package brings."""
    from dataclasses import field
    from pathlib import Path
    from mimicit.generators import generator
    from mimicit.moments import Clip, Uniform
    from mimicit.annotations import Segment
    from mimicit.schema import Scene

    @generator(prefix="TV", link="random", origin="Made in a test: https://example.org")
    class ToyVideos:
        """Videos, and what happens in them."""

        root: Path | None = field(default=None, metadata={"help": "Directory of videos."})

        def scenes(self):
            for path in sorted(self.root.glob("*.mp4")):
                clip = Clip(f"TV_IMG_{path.stem}", str(self.root), path.name, Uniform(4), 2)
                known = Segment(0, 1, "The numbers go up.")
                group = (path.stem,)
                yield Scene("toy_videos", path.stem, "TV", (), (known,), group, clips=(clip,))
'''


@pytest.fixture
def toy_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site" / "toyvideos"
    (package / "_data" / "prompts").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "toy_videos.py").write_text(textwrap.dedent(TOY))
    coco = (ROOT / "prompts" / "coco.yaml").read_text()
    prompt = package / "_data" / "prompts" / "toy_videos.yaml"
    prompt.write_text(coco)
    info = tmp_path / "site" / "toyvideos-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toyvideos\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[mimicit.generators]\ntoy_videos = toyvideos.toy_videos:ToyVideos\n"
    )
    monkeypatch.syspath_prepend(tmp_path / "site")


@pytest.mark.usefixtures("toy_source")
def test_video_scenes_are_asked_about_and_published_in_order(
    videos: Path, tmp_path: Path, teacher: FakeTeacher
) -> None:
    clips.make(videos / "variable.mp4")
    (videos / "broken.mp4").write_bytes(b"<html>")
    shutil.copy(videos / "constant.mp4", videos / "same.mp4")
    source = SourceConfig(name="toy_videos", options={"root": str(videos)})
    config = BuildConfig(sources=[source], teacher="openai", model="fake")
    endpoint = Endpoint(teacher.base_url)

    def run(out: str, cache: str) -> mimicit.Summary:
        return build(
            config,
            tmp_path / out,
            journal=tmp_path / "journal.db",
            media_cache=tmp_path / cache,
            endpoint=endpoint,
        )

    summary = run("out", "media")
    assert summary.rejected == {("media", "not-a-video"): 1}
    assert summary.images == 12
    assert find_problems(tmp_path / "out") == []
    assert teacher.count == 2, "the same frames of the same video are the same question"
    sent = json.dumps([call.body["messages"][-1] for call in teacher.calls])
    assert sent.count("image_url") == 2 * 2 * 4
    loaded = mimicit.load(tmp_path / "out")
    for row in loaded.instructions.to_pylist():
        ids = row["image_ids"]
        assert ids == sorted(ids)
        assert len(ids) == 4
        numbers = [clips.number(loaded.images[name]) for name in ids]
        assert numbers == sorted(set(numbers))
    assert run("again", "other").asked.replies == 0, "cut out anew, and nothing is paid again"
    for path in (tmp_path / "out").rglob("*.parquet"):
        other = tmp_path / "again" / path.relative_to(tmp_path / "out")
        assert path.read_bytes() == other.read_bytes()
