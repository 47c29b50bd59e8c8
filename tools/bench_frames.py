"""Measure readers of frames against each other: exactness, CPU a frame, what damage does to them.

    python tools/bench_frames.py                      # all of it, on clips made here (minutes)
    python tools/bench_frames.py --long CLIP.mp4      # cost on a clip of one's own
    python tools/bench_frames.py --survive DIRECTORY  # and what becomes of the files there

Compared is whichever of PyAV, decord (or decord2) and torchcodec is installed. Each measurement has
a process of its own, with one thread, and costs are medians.
"""

import argparse
import io
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
HUNG_SECONDS = 60
EXACT = [
    *("constant.mp4", "constant.mkv", "constant.ts", "variable.mp4", "variable.mkv", "variable.ts"),
    *("pyramid.mp4", "late.mp4", "late.ts", "late-with-sound.mkv", "long-gop.mp4", "open-gop.mp4"),
    *("open-gop.ts", "hevc-open-gop.mp4", "intra-refresh.mp4", "cut.mp4", "cut-twice.mp4"),
    *("mpeg4.avi", "mpeg2.mpg", "vp9.webm", "av1.mp4"),
]
TURNED = ["turned-90.mp4", "mirrored.mp4", "wide-samples.mp4"]
ROTTEN = ["constant.mp4", "mpeg4.mp4", "mpeg2.ts", "av1.mp4", "hevc.mp4", "vp9.webm"]

Given = Iterator[tuple[Sequence[float], Any]]
Reader = Callable[[str, Callable[[float], Sequence[float]]], Given]
"""Called with a path and a rule from its duration to moments; gives moments and their picture."""

# ------------------------------------------------------------------------- readers


def ours(path: str, rule: Callable[[float], Sequence[float]], decoder: str = "pyav") -> Given:
    from mimicit.video import open_video

    video = open_video(Path(path), decoder)
    for frame in video.frames(rule(float(video.timeline.duration))):
        if frame.moments:  # what stands in for another says so
            yield frame.moments, frame.picture


def ours_by_decord(path: str, rule: Callable[[float], Sequence[float]]) -> Given:
    return ours(path, rule, "decord")


def pyav_seeking(path: str, rule: Callable[[float], Sequence[float]]) -> Given:
    """Seek for each moment, and read on to its frame."""
    import av

    with av.open(path) as container:
        video = container.streams.video[0]
        video.codec_context.thread_count = 1
        tick, zero = float(video.time_base or 0), video.start_time or 0
        duration = float((container.duration or 0) / 1e6)
        for moment in rule(duration):
            container.seek(int(moment / tick) + zero, stream=video, backward=True)
            shown: Any = None
            for frame in container.decode(video):
                if shown and ((frame.pts or 0) - zero) * tick > moment + 1e-6:
                    break
                shown = frame
            if shown:
                yield [moment], shown.to_image()


def pyav_walking(path: str, rule: Callable[[float], Sequence[float]]) -> Given:
    """Decode everything."""
    import av

    with av.open(path) as container:
        video = container.streams.video[0]
        video.codec_context.thread_count = 1
        tick, zero = float(video.time_base or 0), video.start_time or 0
        moments = list(rule(float((container.duration or 0) / 1e6)))
        shown: Any = None
        for frame in container.decode(video):
            now = ((frame.pts or 0) - zero) * tick
            while moments and shown and now > moments[0] + 1e-6:
                yield [moments.pop(0)], shown.to_image()
            if not moments:
                return
            shown = frame
        if shown and moments:
            yield moments, shown.to_image()


def decord_(path: str, rule: Callable[[float], Sequence[float]]) -> Given:
    import decord
    from PIL import Image

    decord.logging.set_level(decord.logging.QUIET)
    video = decord.VideoReader(path, num_threads=1)
    times = video.get_frame_timestamp(range(len(video)))
    starts = (times[:, 0] - times[0, 0]).tolist()
    places: dict[int, list[float]] = {}
    for moment in rule(float(times[-1, 1] - times[0, 0])):
        places.setdefault(max(bisect_right(starts, moment + 1e-6) - 1, 0), []).append(moment)
    for place, moments in sorted(places.items()):
        yield moments, Image.fromarray(video[place].asnumpy())


def torchcodec_(path: str, rule: Callable[[float], Sequence[float]]) -> Given:
    import torch
    from PIL import Image
    from torchcodec.decoders import VideoDecoder

    torch.set_num_threads(1)
    video = VideoDecoder(path, num_ffmpeg_threads=1, dimension_order="NHWC")
    about = video.metadata
    zero = about.begin_stream_seconds or 0.0
    end = zero + (about.duration_seconds or 0)
    moments = rule(about.duration_seconds or 0.0)
    asked = [min(moment + zero + 1e-6, end - 1e-5) for moment in moments]
    for moment, pixels in zip(moments, video.get_frames_played_at(asked).data.numpy(), strict=True):
        yield [moment], Image.fromarray(pixels)


READERS: dict[str, tuple[str, Reader]] = {
    "mimicit": ("av", ours),
    "mimicit, decord": ("decord", ours_by_decord),
    "PyAV, seeking": ("av", pyav_seeking),
    "PyAV, walking": ("av", pyav_walking),
    "decord": ("decord", decord_),
    "torchcodec": ("torchcodec", torchcodec_),
}


def installed() -> list[str]:
    return [name for name, (module, _) in READERS.items() if find_spec(module)]


def keyed(path: str, rule: Callable[[float], Sequence[float]]) -> Given:
    """Take as many key frames as the rule would have moments."""
    from mimicit.moments import KeyFrames, choose
    from mimicit.video import open_video

    video = open_video(Path(path))
    line = video.timeline
    count = len(rule(float(line.duration)))
    moments, _ = choose(KeyFrames(count), line.duration, line.keyframes)
    for frame in video.frames(moments):
        yield frame.moments, frame.picture


RULES: dict[str, Callable[[float], Sequence[float]]] = {
    "dense": lambda duration: [float(second) for second in range(int(duration))],
    "sparse": lambda duration: [(n + 0.5) * duration / 8 for n in range(8)],
}

# ----------------------------------------------------------- in a process of its own


def child(reader: str, path: str, rule: str) -> None:
    """Read frames as JPEG, twice, and print what the second time cost."""
    read = keyed if reader == "key frames" else READERS[reader][1]
    for _ in range(2):
        cpu, wall, count, size = time.process_time(), time.perf_counter(), 0, 0
        for _, picture in read(path, RULES[rule]):
            file = io.BytesIO()
            picture.save(file, "JPEG", quality=90)
            count, size = count + 1, size + file.tell()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(json.dumps({"cpu": cpu, "wall": wall, "frames": count, "bytes": size}))


def child_of_numbers(reader: str, path: str, spelled: str) -> None:
    """Read the numbers that frames show at given moments."""
    from clips import number

    def shown(picture: Any) -> int:
        with suppress(ValueError):
            return int(number(picture))
        return -1

    moments = json.loads(spelled)
    given = READERS[reader][1](path, lambda _: moments)
    print(json.dumps([[list(those), shown(picture)] for those, picture in given]))


def run(*arguments: str) -> tuple[str, Any]:
    """Run a child: (ok, its answer), or what became of it."""
    done = start(*arguments)
    try:
        out, _ = done.communicate(timeout=HUNG_SECONDS)
    except subprocess.TimeoutExpired:
        done.kill()
        done.communicate()
        return "hung", None
    if done.returncode < 0:
        return "crashed", None
    return ("refused", None) if done.returncode else ("ok", json.loads(out))


def start(*arguments: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, __file__, "--child", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **ONE_THREAD},
    )


# --------------------------------------------------------------------------- tables


def exactness(names: Iterable[str], folder: Path, title: str) -> None:
    import clips

    print(f"\n{title}: moments that have their own frame, of all")
    totals: dict[str, Counter[str]] = {reader: Counter() for reader in installed()}
    missed: dict[str, list[str]] = {reader: [] for reader in totals}
    for name in filter(clips.encodable, names):
        made = clips.make(folder / name)
        rng = random.Random(name)
        ends = [float(time) for time in made.times] + [float(made.times[-1]) + 0.02]
        asked = sorted({rng.uniform(0, ends[-1]) for _ in range(16)} | set(rng.sample(ends, 8)))
        for reader, total in totals.items():
            state, answer = run("numbers", reader, str(made.path), json.dumps(asked))
            right = sum(
                found == due(made.times, made.numbers, moment)
                for moments, found in answer or ()
                for moment in moments
            )
            given = sum(len(moments) for moments, _ in answer or ())
            total += Counter(asked=len(asked), right=right, wrong=given - right)
            if right < len(asked):
                missed[reader].append(f"{name} {right}/{len(asked)} {state}")
    for reader, total in totals.items():
        print(f"  {reader:18} {total['right']:4} of {total['asked']}, {total['wrong']} wrong")
        print("".join(f"      {line}\n" for line in missed[reader]), end="")


def due(times: Sequence[Fraction], numbers: Sequence[int], moment: float) -> int:
    place = bisect_right(times, Fraction(moment) + Fraction(1, 1_000_000)) - 1
    return numbers[max(place, 0)]


def long_clip(path: Path, seconds: int, source: str | None) -> None:
    """Write 30 frames a second of 720p: those of another clip, or drawn ones, over and over."""
    import av
    import clips

    def pictures() -> Iterator[Any]:
        while True:
            if not source:
                yield from map(av.VideoFrame.from_ndarray, clips.draw((1280, 720), range(300)))
                continue
            with av.open(source) as container:
                yield from container.decode(video=0)

    with av.open(str(path), "w") as output:
        video = output.add_stream("libx264", rate=30, options={"preset": "veryfast"})
        video.width, video.height, video.pix_fmt = 1280, 720, "yuv420p"
        video.codec_context.gop_size, video.codec_context.max_b_frames = 250, 3
        for place, picture in zip(range(30 * seconds), pictures(), strict=False):
            frame = picture.reformat(1280, 720, "yuv420p")
            frame.pts, frame.time_base, frame.pict_type = place, Fraction(1, 30), 0
            output.mux(video.encode(frame))
        output.mux(video.encode(None))


def cost(path: Path, runs: int) -> None:
    for rule in RULES:
        spent: dict[str, list[dict[str, Any]]] = {}
        for _ in range(runs):  # in turn, so that whatever else the machine does hits all alike
            for reader in installed():
                state, answer = run("cost", reader, str(path), rule)
                if state == "ok":
                    spent.setdefault(reader, []).append(answer)
        cpu = {name: statistics.median(a["cpu"] for a in each) for name, each in spent.items()}
        best = min(cost for name, cost in cpu.items() if not name.startswith("mimicit"))
        print(f"\n{rule}: CPU seconds with JPEG, median of {runs}, and its ratio to the best other")
        for name, seconds in sorted(cpu.items(), key=lambda pair: pair[1]):
            frames = spent[name][0]["frames"]
            each = 1000 * seconds / max(frames, 1)
            ratio = seconds / best
            print(
                f"  {name:18} {seconds:7.3f} s {frames:5} frames {each:7.1f} ms each {ratio:5.2f}"
            )


def samplers(path: Path, runs: int) -> None:
    spent = {}
    for reader in ("mimicit", "key frames"):
        answers = [run("cost", reader, str(path), "sparse")[1] for _ in range(runs)]
        spent[reader] = statistics.median(answer["cpu"] for answer in answers)
    ratio = spent["mimicit"] / spent["key frames"]
    print(
        f"\nsparse: 8 key frames {spent['key frames']:.3f} s, {ratio:.1f} times less than uniform"
    )


def two_processes(path: Path, runs: int) -> None:
    def wall(count: int) -> float:
        started = [start("cost", "mimicit", str(path), "dense") for _ in range(count)]
        answers = [json.loads(process.communicate()[0]) for process in started]
        return max(float(answer["wall"]) for answer in answers)

    alone = statistics.median(wall(1) for _ in range(runs))
    both = statistics.median(wall(2) for _ in range(runs))
    print(f"\ndense: two processes do {2 * alone / both:.2f} times the work of one")


def rotten(folder: Path, seeds: int) -> None:
    import clips

    print("\nflipped bytes: frames given as the ones asked for, and those of them that are not")
    totals: dict[tuple[int, str], Counter[str]] = {}
    for name in filter(clips.encodable, ROTTEN):
        made = clips.make(folder / name)
        asked = json.dumps([float(time) for time in made.times])
        for flips in (1, 10, 200):
            for seed in range(seeds):
                bad = clips.damage(made.path, folder / f"bad-{name}", flips=flips, seed=seed)
                for reader in installed():
                    state, answer = run("numbers", reader, str(bad), asked)
                    total = totals.setdefault((flips, reader), Counter())
                    total[state] += 1
                    for moments, found in answer or ():
                        total["given"] += len(moments)
                        for moment in moments:
                            total["wrong"] += found != due(made.times, made.numbers, moment)
    for (flips, reader), total in sorted(totals.items()):
        fates = ", ".join(f"{total[fate]} {fate}" for fate in ("refused", "crashed", "hung"))
        given = f"{total['given']:6} given {total['wrong']:6} wrong"
        print(f"  {flips:4} flips {reader:18} {given}; files {fates}")


def survival(directory: Path) -> None:
    files = [path for path in sorted(directory.rglob("*")) if path.is_file()]
    print(f"\n8 uniform moments of each of {len(files)} files of {directory}")
    for reader in installed():
        fates: Counter[str] = Counter()
        for path in files:
            state, answer = run("cost", reader, str(path), "sparse")
            fates[state] += 1
            fates["frames"] += answer["frames"] if answer else 0
        told = ", ".join(f"{fates[fate]} {fate}" for fate in ("ok", "refused", "crashed", "hung"))
        print(f"  {reader:18} {told}; {fates['frames']} frames")


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        what, *arguments = sys.argv[2:]
        {"cost": child, "numbers": child_of_numbers}[what](*arguments)
        return
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--long", type=Path, help="clip to measure costs on; made if not given")
    parser.add_argument("--content", help="clip whose frames the one made is filled with")
    parser.add_argument("--seconds", type=int, default=240, help="length of the clip made")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=2, help="damaged copies of each clip")
    parser.add_argument("--survive", type=Path, help="directory of clips that may be broken")
    parser.add_argument("--only", help="exact, cost, parallel, damage or survive")
    asked = parser.parse_args()

    def on(part: str) -> bool:
        return asked.only in (None, part)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if on("exact"):
            exactness(EXACT, folder, "exactness")
            exactness(TURNED, folder, "turned, mirrored, and of pixels that are not square")
        if on("cost") or on("parallel"):
            clip = asked.long or folder / "long.mp4"
            if not clip.exists():
                long_clip(clip, asked.seconds, asked.content)
        if on("cost"):
            cost(clip, asked.runs)
            samplers(clip, asked.runs)
        if on("parallel"):
            two_processes(clip, min(asked.runs, 3))
        if on("damage"):
            rotten(folder, asked.seeds)
        if asked.survive and on("survive"):
            survival(asked.survive)


if __name__ == "__main__":
    main()
