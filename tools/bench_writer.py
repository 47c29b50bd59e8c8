"""Measure the way from a journal's replies to a published dataset, at scale.

    python tools/bench_writer.py                            # 1,000,000 instructions, some minutes
    python tools/bench_writer.py --instructions 80000 --work /tmp/bench --keep

A COCO directory of photographs that repeat a few small files, each with captions, and a journal
with a reply of eight exchanges for each: then the real `mimicit build --no-calls` on them, its
pictures known from an earlier build; then the tables alone, written and validated once more.
CPU seconds are those of the process and its children, memory is the process's peak.
"""

import argparse
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from PIL import Image

PER_REPLY = 8
FILES = 500
WORDS = [
    "river",
    "bridge",
    "lantern",
    "harbour",
    "market",
    "tower",
    "bicycle",
    "garden",
    "window",
    "ladder",
    "kettle",
    "violin",
    "meadow",
    "engine",
    "pocket",
    "silver",
    "crimson",
    "narrow",
    "ancient",
    "gentle",
    "crowded",
    "wooden",
    "hollow",
    "distant",
    "bright",
]  # a list of them would take a line each


def sentence(rng: random.Random, words: int) -> str:
    """Make up a sentence of so many words."""
    text = " ".join(rng.choice(WORDS) for _ in range(words))
    return text[0].upper() + text[1:] + "."


def make_source(root: Path, scenes: int) -> None:
    """Write annotations of so many photographs."""
    rng = random.Random(1)
    folder = root / "val2017"
    folder.mkdir(parents=True)
    for number in range(FILES):
        noise = Image.frombytes("RGB", (24, 24), rng.randbytes(24 * 24 * 3))
        noise.resize((96, 64)).save(folder / f"{number}.jpg")
    images = [
        {"id": n, "file_name": f"{n % FILES}.jpg", "width": 96, "height": 64}
        for n in range(1, scenes + 1)
    ]
    captions = [
        {"id": n, "image_id": n, "caption": sentence(rng, 10)} for n in range(1, scenes + 1)
    ]
    (root / "annotations").mkdir()
    content = json.dumps({"images": images, "annotations": captions})
    (root / "annotations" / "captions_val2017.json").write_text(content)


def reply_text(rng: random.Random) -> str:
    """Make up a reply of exchanges."""
    made = [
        {"kind": "conversation", "instruction": sentence(rng, 9), "answer": sentence(rng, 24)}
        for _ in range(PER_REPLY)
    ]
    return json.dumps({"exchanges": made})


def fill_journal(root: Path, work: Path) -> None:
    """Answer every request of the source."""
    from mimicit import sources
    from mimicit.authors import TeacherAuthor
    from mimicit.config import BuildConfig, SourceConfig
    from mimicit.journal import Journal
    from mimicit.progress import silent
    from mimicit.schema import Reply, Scene

    entry = SourceConfig(name="coco", options={"root": str(root)})
    config = BuildConfig(sources=[entry], teacher="openai", model="bench", vision=False)
    opened = [sources.Source(entry, config)]
    rng = random.Random(2)
    cache = work / "media"
    with (
        Journal(work / "journal.db") as journal,
        sources.judged(config, opened, silent, cache) as media,
    ):
        author = TeacherAuthor(config, sources.load_prompts(config, opened), media, journal)
        waiting: list[Any] = []
        for scene, _ in media.judged(opened[0].scenes()):
            assert isinstance(scene, Scene)
            for request in author.unanswered(scene)[0]:
                text = reply_text(rng)
                reply = Reply(request.key, text, "stop", "bench", 2000, 300)
                waiting.append(journal.put(request, reply))
                if len(waiting) > 5000:
                    waiting = [future.result() for future in waiting][:0]
        for future in waiting:
            future.result()


def measured(command: list[str]) -> tuple[float, float, float]:
    """Run a command: wall seconds, CPU seconds with children, peak megabytes of the process."""
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command} ended with {process.returncode}")
    return time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def tables(directory: Path, out: Path) -> None:
    """Write a dataset's instructions and links once more, and print what that took."""
    import pyarrow.parquet as pq

    from mimicit.writer import TableWriter

    used = time.process_time()
    rows = 0
    reading = 0.0
    for table in ("instructions", "links"):
        writer = TableWriter(out, table)
        for path in sorted((directory / table).glob("*.parquet")):
            batches = pq.ParquetFile(path).iter_batches(4096)
            while True:
                before = time.process_time()
                batch = next(batches, None)
                reading += time.process_time() - before
                if batch is None:
                    break
                writer.write_batch(batch)
                rows += batch.num_rows
        writer.close()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"tables alone       {time.process_time() - used - reading:6.1f} s of CPU for {rows:,} rows"
        f" (reading them took {reading:.1f}), {peak:,.0f} MB"
    )


def main() -> None:
    """Make the inputs, and measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--instructions", type=int, default=1_000_000)
    parser.add_argument("--link", default="same-image", help="link strategy of the build")
    parser.add_argument("--work", type=Path, help="folder for the files; a temporary one otherwise")
    parser.add_argument("--keep", action="store_true", help="use again what lies in --work")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = wanted.work or Path(temporary)
        root, out = work / "coco", work / "out"
        if not (wanted.keep and (work / "journal.db").exists()):
            work.mkdir(exist_ok=True)
            make_source(root, wanted.instructions // PER_REPLY)
            fill_journal(root, work)
        mimicit = [sys.executable, "-m", "mimicit"]
        build = [*mimicit, "build", "-s", "coco", "--root", str(root), "--out", str(out)]
        build += ["--teacher", "openai", "--model", "bench", "--no-vision", "--no-calls"]
        build += ["--journal", str(work / "journal.db"), "--media-cache", str(work / "media")]
        build += ["--link", wanted.link]
        report("build --no-calls", measured(build))
        for decode in ("none", "all"):
            command = [*mimicit, "validate", str(out), "--decode", decode]
            report(f"validate {decode}", measured(command))
        (work / "tables").mkdir()
        tables(out, work / "tables")
        shutil.rmtree(work / "tables")


def report(name: str, took: tuple[float, float, float]) -> None:
    """Print what a command took."""
    print(f"{name:<18} {took[1]:6.1f} s of CPU, {took[0]:6.1f} s, {took[2]:,.0f} MB", flush=True)


if __name__ == "__main__":
    main()
