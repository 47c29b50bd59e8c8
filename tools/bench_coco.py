"""Measure how fast a full-size COCO instances file is read, against json.load in the same run.

Usage: python tools/bench_coco.py [MEGABYTES] [RUNS]

Synthesises an instances file of the size and proportions of instances_train2017.json (448 MB:
118,287 pictures, 860,001 boxes with polygons), then reads it in a fresh process a time with
json.load, with mimicit's typed reader, and with the whole source (joined, sorted, as scenes).
Prints medians of CPU seconds, and peak resident memory as a multiple of the file.
"""

import json
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

TASKS = {
    "json.load": "import json; json.load(open(path))",
    "typed records": (
        "from pathlib import Path; from mimicit.generators._coco_files import read_file; "
        "read_file(Path(path))"
    ),
    "all scenes": (
        "from mimicit.generators import open_source; "
        "source = open_source('coco', {'instances': path, 'images': '.'}); "
        "sum(1 for _ in source.scenes())"
    ),
}

MEASURE = """
import resource, sys, time
path = sys.argv[1]
start = time.process_time()
{task}
seconds = time.process_time() - start
unit = 1 if sys.platform == "darwin" else 1024
print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)
"""


def synthesise(path: Path, size: int) -> int:
    """Write an instances file of about `size` bytes; return its exact size."""
    number = random.Random(0)
    with path.open("w") as file:
        file.write('{"info": {}, "licenses": [{"id": 1, "name": "x", "url": ""}], "categories": ')
        json.dump(
            [{"id": n, "name": f"thing {n}", "supercategory": "x"} for n in range(1, 91)], file
        )
        file.write(', "annotations": [')
        pictures = max(1, round(size * 118_287 / 448e6))
        annotation = 0
        while file.tell() < size * 0.93:
            x, y = number.uniform(0, 500), number.uniform(0, 400)
            outline = [round(number.uniform(0, 640), 2) for _ in range(2 * number.randint(6, 38))]
            entry = {
                "segmentation": [outline],
                "area": round(number.uniform(20, 90_000), 5),
                "iscrowd": 0,
                "image_id": number.randint(1, pictures),
                "bbox": [round(x, 2), round(y, 2), 120.5, 80.25],
                "category_id": number.randint(1, 90),
                "id": annotation,
            }
            file.write((", " if annotation else "") + json.dumps(entry))
            annotation += 1
        file.write('], "images": ')
        entries = [
            {
                "license": 1,
                "file_name": f"{n:012}.jpg",
                "coco_url": f"http://example.org/train2017/{n:012}.jpg",
            }
            | {"height": 480, "width": 640, "date_captured": "2013-11-14 17:02:52", "id": n}
            | {"flickr_url": f"http://farm7.example.org/6116/{n}_da26cf2c9e_z.jpg"}
            for n in range(1, pictures + 1)
        ]
        json.dump(entries, file)
        file.write("}")
    print(f"{path.stat().st_size / 1e6:,.0f} MB: {pictures:,} pictures, {annotation:,} boxes\n")
    return path.stat().st_size


def measure(task: str, path: Path) -> tuple[float, float]:
    code = MEASURE.format(task=task)
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    seconds, memory = done.stdout.split()
    return float(seconds), float(memory)


def main() -> None:
    size = int(float(sys.argv[1]) * 1e6) if len(sys.argv) > 1 else 448_000_000
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "instances.json"
        exact = synthesise(path, size)
        results = {name: [] for name in TASKS}  # type: dict[str, list[tuple[float, float]]]
        for _ in range(runs):
            for name, task in TASKS.items():
                results[name].append(measure(task, path))
    base = statistics.median(seconds for seconds, _ in results["json.load"])
    print(f"{'':16}{'CPU s':>8}{'faster':>9}{'peak RSS':>11}{'of file':>9}   median of {runs}")
    for name, measured in results.items():
        seconds = statistics.median(s for s, _ in measured)
        memory = statistics.median(m for _, m in measured)
        ratio = f"{base / seconds:.1f} x"
        print(f"{name:16}{seconds:8.2f}{ratio:>9}{memory / 1e6:8,.0f} MB{memory / exact:8.2f} x")


if __name__ == "__main__":
    main()
