"""Measure linking: how fast neighbours are found, in how much memory, and how many are missed.

    python tools/bench_linker.py captions_val2017.json              # files of COCO's layout
    python tools/bench_linker.py A.json B.json --scenes 20000 --scenes 180000 --runs 5
    python tools/bench_linker.py A.json --scenes 1000000 --only approximate --only usearch --runs 1

Each caption stands for a scene; where there are fewer than wanted, they are repeated with a tenth
of their words dropped and a third of the rest replaced by words of others. `exact` and
`approximate` are `mimicit.neighbours`; the others are bare libraries that are given the same
vectors and asked for as many neighbours, and a library that is not installed is left out. Exact
searches are timed on some of the scenes (`--asking`), since each costs the same; an index is built
of all and asked for all. Every search runs in a process of its own, in turn, so that a noisy
machine disturbs all alike.

Columns: CPU and wall-clock microseconds for each scene that asks, peak memory of the process, and
recall, the share of the 16 nearest that are found, on 2,000 scenes. `x` is the same as a multiple
of the bare library's in the same run (median). Medians over the runs.
"""

import argparse
import itertools
import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

SEARCH = 24
"""Neighbours asked for, about as many as linking with a few shots does."""

MEASURED, SAMPLED = 16, 2000
BLOCK = 65_536


def captions(files: list[Path], count: int) -> list[str]:
    """Read captions, and make more of them by changing words until there are enough."""
    rows = [each for file in files for each in json.loads(file.read_text())["annotations"]]
    read = [row["caption"].strip() for row in rows]
    rng = random.Random(0)
    words = [word for text in read for word in text.split()]
    for text in itertools.islice(itertools.cycle(read[:]), max(0, count - len(read))):
        kept = [word for word in text.split() if rng.random() > 0.1]
        changed = [rng.choice(words) if rng.random() < 0.3 else word for word in kept]
        read.append(" ".join(changed) or text)
    return read[:count]


# Everything below that needs numpy runs in a process of its own: what this one keeps in memory
# would count as theirs.


def encode(files: list[Path], count: int, out: Path) -> None:
    """Write the vectors of so many captions."""
    import numpy as np

    from mimicit.encoders.static import Static

    texts = captions(files, count)
    start = time.process_time()
    vectors = Static().encode(texts)
    np.save(out, vectors)
    told(cpu=time.process_time() - start)


def exact(vectors: Any, asking: Any, threads: int) -> Any:
    """Search as linking does where it compares all with all."""
    return ours(vectors, asking, threads, "exact")


def approximate(vectors: Any, asking: Any, threads: int) -> Any:
    """Search as linking does where there are too many for that."""
    return ours(vectors, asking, threads, "approximate")


def ours(vectors: Any, asking: Any, threads: int, index: Any) -> Any:
    """Search by `mimicit.neighbours`."""
    import numpy as np

    from mimicit import neighbours

    neighbours.exact.MOST_THREADS = threads
    pool = np.arange(len(vectors))
    return neighbours.search(vectors, pool, SEARCH, asking=asking, index=index).places


def faiss_flat(vectors: Any, asking: Any, threads: int) -> Any:
    """Search by faiss, comparing all with all."""
    import numpy as np

    faiss = import_module("faiss")
    faiss.omp_set_num_threads(threads)
    index = faiss.IndexFlatIP(vectors.shape[1])
    for start in range(0, len(vectors), BLOCK):
        index.add(vectors[start : start + BLOCK].astype(np.float32))
    return index.search(vectors[asking].astype(np.float32), SEARCH + 1)[1]


def faiss_hnsw(vectors: Any, asking: Any, threads: int) -> Any:
    """Search in faiss's graph, built by one thread as it is for the others."""
    import numpy as np

    faiss = import_module("faiss")
    faiss.omp_set_num_threads(1)
    index = faiss.IndexHNSWFlat(vectors.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = 80
    for start in range(0, len(vectors), BLOCK):
        index.add(vectors[start : start + BLOCK].astype(np.float32))
    faiss.omp_set_num_threads(threads)
    index.hnsw.efSearch = 64
    found = [
        index.search(vectors[asking[start : start + BLOCK]].astype(np.float32), SEARCH + 1)[1]
        for start in range(0, len(asking), BLOCK)
    ]
    return np.concatenate(found)


def usearch(vectors: Any, asking: Any, threads: int) -> Any:
    """Search in usearch's graph as `approximate` does, and do nothing else."""
    import numpy as np
    from usearch.index import Index

    from mimicit.neighbours import approximate as settings

    index = Index(
        ndim=vectors.shape[1],
        metric="ip",
        dtype="i8",
        connectivity=settings.CONNECTIVITY,
        expansion_add=settings.EXPANSION_ADD,
        expansion_search=settings.EXPANSIONS[0],
    )
    index.add(np.arange(len(vectors), dtype=np.uint64), vectors, threads=1)
    count = SEARCH + 1 + settings.SPARE
    return index.search(vectors[asking], count, threads=threads).keys.astype(np.int64)


class Method(NamedTuple):
    """A way to search: what does it, the library that it needs, and whether it is asked for all."""

    search: Callable[[Any, Any, int], Any]
    library: str
    all_ask: bool
    bare: str = ""


METHODS = {
    "exact": Method(exact, "threadpoolctl", all_ask=False, bare="faiss flat"),
    "faiss flat": Method(faiss_flat, "faiss", all_ask=False),
    "approximate": Method(approximate, "usearch", all_ask=True, bare="usearch"),
    "usearch": Method(usearch, "usearch", all_ask=True),
    "faiss hnsw": Method(faiss_hnsw, "faiss", all_ask=True),
}
"""Every search by name; `bare` is the one that it is a multiple of."""


def truth(work: Path, scenes: int, wanted: int) -> None:
    """Write for some of those that ask how good the last of their nearest is."""
    import numpy as np

    from mimicit import neighbours

    vectors = np.load(work / "vectors.npy")[:scenes]
    asking = places_of(scenes, wanted)
    sample = np.sort(np.random.default_rng(0).permutation(asking)[:SAMPLED])
    pool = np.arange(scenes)
    found = neighbours.search(vectors, pool, MEASURED, asking=sample, index="exact")
    np.savez(work / f"truth-{scenes}.npz", sample=sample, least=found.scores[:, -1])
    told()


def places_of(scenes: int, wanted: int) -> Any:
    """Choose those that ask, evenly."""
    import numpy as np

    return np.unique(np.linspace(0, scenes - 1, min(scenes, wanted)).astype(np.int64))


def measure(work: Path, scenes: int, wanted: int, name: str, threads: int) -> None:
    """Search once, and tell what it took."""
    import numpy as np

    method = METHODS[name]
    vectors = np.array(np.load(work / "vectors.npy", mmap_mode="r")[:scenes])
    asking = places_of(scenes, scenes if method.all_ask else wanted)
    method.search(vectors[:50], np.arange(50), threads)  # a library's start is not its speed
    start, used = time.perf_counter(), time.process_time()
    places = method.search(vectors, asking, threads)
    wall, cpu = time.perf_counter() - start, time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    true = np.load(work / f"truth-{scenes}.npz")
    hits = 0
    rows = np.searchsorted(asking, true["sample"])
    for query, least, found in zip(true["sample"], true["least"], places[rows], strict=True):
        others = np.unique(found[(found >= 0) & (found != query)])
        scores = vectors[others].astype(np.int64) @ vectors[query].astype(np.int64)
        hits += min(MEASURED, int((scores >= least).sum()))
    told(
        cpu=cpu / len(asking) * 1e6,
        wall=wall / len(asking) * 1e6,
        peak=peak,
        recall=hits / (MEASURED * len(rows)),
    )


def told(**figures: float) -> None:
    """Hand figures to the process that asked for them."""
    print("RESULT " + json.dumps(figures))


def run(*step: object) -> dict[str, float]:
    """Run one step in a process of its own."""
    command = [sys.executable, __file__, "--child", *map(str, step)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    for line in done.stdout.splitlines():
        if line.startswith("RESULT "):
            found: dict[str, float] = json.loads(line.removeprefix("RESULT "))
            return found
    raise SystemExit(f"{step[0]} failed: {done.stderr.strip()[-2000:]}")


def compare(work: Path, scenes: int, names: list[str], wanted: argparse.Namespace) -> None:
    """Search in every way, in turn, and print what each took."""
    run("truth", work, scenes, wanted.asking)
    results: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for _ in range(wanted.runs):
        for name in names:
            step = "measure", work, scenes, wanted.asking, name, wanted.threads
            results[name].append(run(*step))
    print(f"\n{scenes:,} scenes, {SEARCH} neighbours, {wanted.runs} runs, {wanted.threads} threads")
    print(f"{'':<14}{'CPU us':>9}{'x':>6}{'wall us':>9}{'x':>6}{'MB':>7}{'x':>6}{'recall':>8}")
    for name, runs in results.items():
        line = f"{name:<14}"
        bare = results.get(METHODS[name].bare)
        for key, width in (("cpu", 9), ("wall", 9), ("peak", 7)):
            line += f"{statistics.median(each[key] for each in runs):{width},.0f}"
            times = [a[key] / b[key] for a, b in zip(runs, bare, strict=True)] if bare else []
            line += f"{statistics.median(times):6.2f}" if times else " " * 6
        print(f"{line}{statistics.median(each['recall'] for each in runs):8.4f}", flush=True)


def child(step: str, *given: str) -> None:
    """Do one step: encode, truth or measure."""
    if step == "encode":
        encode([Path(file) for file in given[2:]], int(given[1]), Path(given[0]))
    elif step == "truth":
        truth(Path(given[0]), int(given[1]), int(given[2]))
    else:
        measure(Path(given[0]), int(given[1]), int(given[2]), given[3], int(given[4]))


def main() -> None:
    """Make the vectors once, and compare all that is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("captions", nargs="+", type=Path, help="files of COCO's layout")
    parser.add_argument("--scenes", action="append", type=int, default=[], help="20000 by default")
    parser.add_argument("--asking", type=int, default=4096, help="scenes an exact search is for")
    parser.add_argument("--threads", type=int, default=1, help="of a search")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", action="append", choices=METHODS, default=[])
    parser.add_argument("--vectors", type=Path, help="an .npy file of vectors to take instead")
    wanted = parser.parse_args()
    sizes = wanted.scenes or [20_000]
    names = [name for name in wanted.only or METHODS if find_spec(METHODS[name].library)]
    for name in set(wanted.only or METHODS) - set(names):
        print(f"left out: {name} ({METHODS[name].library} is not installed)")
    with tempfile.TemporaryDirectory() as folder:
        vectors = Path(folder) / "vectors.npy"
        if wanted.vectors:
            vectors.symlink_to(wanted.vectors.resolve())
        else:
            took = run("encode", vectors, max(sizes), *wanted.captions)
            print(f"{max(sizes):,} captions as vectors: {took['cpu']:.1f} s of CPU")
        for scenes in sizes:
            compare(Path(folder), scenes, names, wanted)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(*sys.argv[2:])
    else:
        main()
