"""Measure what it costs to export a dataset, and that memory does not grow with its pictures.

    python tools/bench_export.py                           # 5,000 and 20,000 pictures, minutes
    python tools/bench_export.py --pictures 20000 --only webdataset --work /tmp/bench

Three datasets are made by hand: pictures of 20 kB each, five instructions about each, and
three in-context examples before every one of these, drawn by chance; one with four times as many of
all; and one with as few pictures as the first that are four times as large. Each is exported to
every format in every way by the command that users run, which checks the dataset before and hashes
the result behind. The limits of the same run stand first: the files of the pictures copied and
brought to the disk, and that as base64.

Columns: CPU seconds of the process and its children, wall seconds, megabytes written, these by CPU
second, and the peak memory of the process in megabytes. The dataset is in the page cache.
"""

import argparse
import io
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PER_PICTURE = 5
SHOTS = 3
GROWTH = 4

WORDS = ["river", "bridge", "lantern", "harbour", "market", "tower", "bicycle", "garden", "window"]

COPY = """
import os, sys
out, *files = sys.argv[1:]
for number, name in enumerate(files):
    with open(name, "rb") as source, open(f"{out}/{number}", "wb") as target:
        while data := source.read(16_383 * 64):
            target.write(ENCODED)
        os.fsync(target.fileno())
"""

LIMITS = {
    "copy": COPY.replace("ENCODED", "data"),
    "copy as base64": "import base64" + COPY.replace("ENCODED", "base64.b64encode(data)"),
}
"""What the bytes cost, whatever is made of them."""


# What needs more than the standard library runs in processes of their own: what this one keeps in
# memory would count as theirs.


def photograph(number: int, size: int) -> bytes:
    """Make a JPEG of so many bytes, or a few more, that no other one compresses with."""
    from PIL import Image

    rng = random.Random(number)
    file = io.BytesIO()
    Image.frombytes("RGB", (8, 8), rng.randbytes(192)).resize((640, 480)).save(file, "JPEG")
    data = file.getvalue()
    comments = b""
    while len(data) + len(comments) < size:
        comment = rng.randbytes(min(size - len(data) - len(comments), 65_000))
        comments += b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
    return data[:2] + comments + data[2:]


def make(out: Path, pictures: int, size: int) -> None:
    """Write a dataset as a build does: pictures, and rows about them."""
    import hashlib

    from mimicit.schema import ImageBytes, ImageRow, SourceRef
    from mimicit.writer import TableWriter

    out.mkdir(parents=True)
    images = TableWriter(out, "images")
    for number in range(pictures):
        data = photograph(number, size)
        name, digest = f"{number:09d}", hashlib.sha256(data).hexdigest()
        images.write(
            ImageRow(
                image_id=f"LA_IMG_{name}",
                image=ImageBytes(bytes=data, path=f"{name}.jpg"),
                sha256=digest,
                phash="0" * 16,
                width=640,
                height=480,
                format="JPEG",
                source_ref=SourceRef(path=f"{name}.jpg", sha256=digest),
                licence="CC0-1.0",
                descriptor=None,
            )
        )
    describe_all(out, [*images.close(), *write_texts(out, pictures)], pictures)


def write_texts(out: Path, pictures: int) -> list[Any]:
    """Write instructions about every picture, and their links."""
    from mimicit.schema import Instruction, Links
    from mimicit.writer import TableWriter

    rng = random.Random(1)
    instructions, links = TableWriter(out, "instructions"), TableWriter(out, "links")
    for number in range(pictures * PER_PICTURE):
        scene = f"{number // PER_PICTURE:09d}"
        others = rng.sample(range(pictures * PER_PICTURE), SHOTS + 1)
        contexts = [name_of(other) for other in others if other != number][:SHOTS]
        row = Instruction(
            id=name_of(number),
            instruction=" ".join(rng.choices(WORDS, k=9)) + "?",
            answer=" ".join(rng.choices(WORDS, k=20)) + ".",
            image_ids=[f"LA_IMG_{scene}"],
            rel_ins_ids=contexts,
            source="coco",
            split="train",
            language="en",
            kind="conversation",
            scene_id=scene,
            group=scene,
            licence="CC0-1.0",
            teacher="templates",
            prompt_sha256="",
            request_key="",
        )
        instructions.write(row)
        strategies = ["random"] * SHOTS
        why = {"scores": [0.0] * SHOTS, "strategies": strategies}
        links.write(Links(query_id=row.id, context_ids=contexts, **why))
    return [*instructions.close(), *links.close()]


def name_of(number: int) -> str:
    """Name an instruction."""
    return f"LA_INS_{number // PER_PICTURE:09d}_{number % PER_PICTURE:02d}"


def describe_all(out: Path, entries: list[Any], pictures: int) -> None:
    """Write configuration, card and manifest."""
    from mimicit.card import Tally, write_card
    from mimicit.config import BuildConfig, SourceConfig
    from mimicit.writer import describe, write_manifest

    config = BuildConfig(sources=[SourceConfig(name="coco", sample=True)])
    tally = Tally(scenes=pictures, links=pictures * PER_PICTURE * SHOTS)
    tally.splits["train"] = tally.sources["coco"] = pictures * PER_PICTURE
    tally.languages["en"] = tally.kinds["conversation"] = pictures * PER_PICTURE
    (out / "build.yaml").write_text(config.to_yaml(), encoding="utf-8")
    write_card(out, entries, tally, config)
    more = [describe(out / name, name) for name in ("README.md", "build.yaml")]
    write_manifest(out, [*entries, *more], {"tally": tally.record()})


def ways(only: list[str]) -> list[list[str]]:
    """List every format in every way, as options; asked of a process of its own."""
    code = (
        "from mimicit.exporters import FORMATS, find\n"
        "for name in FORMATS:\n"
        "    try: print(*(f'{name}:{way}' for way in find(name).ways))\n"
        "    except ImportError: pass"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    pairs = [pair.split(":") for pair in found.stdout.split()]
    return [[name, way] for name, way in pairs if not only or name in only]


def measure(label: str, command: list[str], out: Path) -> None:
    """Run a command that writes into a directory, and print what that took."""
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert process.stderr
        said = process.stderr.read().decode()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command} ended with {process.returncode}: {said}")
    wall, cpu = time.perf_counter() - start, used.ru_utime + used.ru_stime
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file()) / 1e6
    peak = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
    print(
        f"  {label:<22}{cpu:8.1f}{wall:8.1f}{size:10,.0f}{size / cpu:8,.0f}{peak:8,.0f}", flush=True
    )
    shutil.rmtree(out)


def compare(work: Path, pictures: int, size: int, only: list[str]) -> None:
    """Make a dataset, and measure all that can be made of it."""
    dataset, out = work / f"{pictures}x{size}", work / "out"
    if not dataset.exists():
        making = multiprocessing.get_context("spawn").Process(
            target=make, args=(dataset, pictures, size)
        )
        making.start()
        making.join()
        if making.exitcode:
            raise SystemExit("the dataset could not be made")
    asked = pictures * PER_PICTURE
    print(f"{pictures:,} pictures of {size / 1000:,.0f} kB, {asked:,} instructions")
    print(f"  {'':<22}{'CPU s':>8}{'s':>8}{'MB':>10}{'MB/s':>8}{'peak':>8}")
    shards = [str(path) for path in sorted((dataset / "images").glob("*.parquet"))]
    for name, code in LIMITS.items():
        out.mkdir()
        measure(name, [sys.executable, "-c", code, str(out), *shards], out)
    for name, way in ways(only):
        command = [sys.executable, "-m", "mimicit", "export", str(dataset)]
        command += ["--to", name, "--context", way, "--out", str(out)]
        measure(f"{name} {way}", command, out)


def main() -> None:
    """Measure a small dataset, a larger one, and one with larger pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pictures", type=int, default=5000, help="of the small dataset")
    parser.add_argument("--bytes", type=int, default=20_000, help="of a picture, about")
    parser.add_argument("--only", action="append", default=[], help="a format")
    parser.add_argument("--work", type=Path, help="where datasets are kept; else they are removed")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = wanted.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        for count, size in [(1, 1), (GROWTH, 1), (1, GROWTH)]:
            compare(work, wanted.pictures * count, wanted.bytes * size, wanted.only)


if __name__ == "__main__":
    main()
