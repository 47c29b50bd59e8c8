"""Compare image stores: how fast pictures are written, and read back at random.

    python tools/bench_store.py                        # 20,000 pictures of 65 kB, about a minute
    python tools/bench_store.py --images 1000000 --bytes 2000 --only mimicit
    python tools/bench_store.py --only blob --only mimicit --runs 5

Every store gets the same files, reads each, hashes it with SHA-256 and reads its header, as a
builder must; `blob` does nothing else but append it to one file, and reads it back with `pread`:
the limit the others are measured against. Each store runs in a process of its own, in turn, so
that a noisy machine disturbs all alike; the files are in the page cache. A store whose library is
not installed is left out.

Columns: pictures a second written and read by the wall clock, the same as a share of the blob's of
the same run, CPU milliseconds a picture, peak memory of the process, size on disk against the raw
bytes, and seconds to open. Medians over the runs.
"""

import argparse
import contextlib
import hashlib
import importlib.util
import io
import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image

Files = list[Path]
Reader = Callable[[str], bytes]

FOLDERS = 100


def make_files(folder: Path, count: int, size: int) -> None:
    """Write JPEGs that differ in a comment, of about so many bytes, into folders of their own."""
    rng = random.Random(7)
    side, base = 16, b""
    while len(base) < size:
        side += 8
        noise = Image.frombytes("RGB", (side, side), rng.randbytes(side * side * 3))
        buffer = io.BytesIO()
        noise.save(buffer, "JPEG", quality=85)
        base = buffer.getvalue()
    for number in range(count):
        path = folder / str(number % FOLDERS) / f"{number:09d}.jpg"
        path.parent.mkdir(exist_ok=True)
        comment = b"\xff\xfe\x00\x12" + f"{number:016d}".encode()
        path.write_bytes(base[:2] + comment + base[2:])


def pictures(folder: Path) -> Iterator[tuple[str, bytes, str, tuple[int, int]]]:
    """Read every file: (id, bytes, digest, size), as every store needs it."""
    count = sum(len(inside) for _, _, inside in os.walk(folder))
    for number in range(count):
        data = (folder / str(number % FOLDERS) / f"{number:09d}.jpg").read_bytes()
        with Image.open(io.BytesIO(data)) as picture:
            size = picture.size
        yield f"LA_IMG_{number:09d}", data, hashlib.sha256(data).hexdigest(), size


class Blob:
    """One file, and offsets beside it: the limit."""

    def write(self, folder: Path, out: Path) -> None:
        """Append every picture."""
        places: dict[str, tuple[int, int]] = {}
        at = 0
        with (out / "blob").open("wb") as file:
            for name, data, _, _ in pictures(folder):
                file.write(data)
                places[name] = (at, len(data))
                at += len(data)
        (out / "places.json").write_text(json.dumps(places))

    def open(self, out: Path) -> Reader:
        """Open it for reading."""
        places = json.loads((out / "places.json").read_text())
        handle = os.open(out / "blob", os.O_RDONLY)

        def read(name: str) -> bytes:
            offset, length = places[name]
            return os.pread(handle, length, offset)

        return read


class Mimicit:
    """Plain Parquet with an index."""

    def write(self, folder: Path, out: Path) -> None:
        """Write rows as a build does."""
        from mimicit.schema import ImageBytes, ImageRow, SourceRef
        from mimicit.writer import TableWriter

        writer = TableWriter(out, "images")
        for name, data, digest, size in pictures(folder):
            writer.write(
                ImageRow(
                    image_id=name,
                    image=ImageBytes(bytes=data, path=f"{name}.jpg"),
                    sha256=digest,
                    phash="0" * 16,
                    width=size[0],
                    height=size[1],
                    format="JPEG",
                    source_ref=SourceRef(path=f"{name}.jpg", sha256=digest),
                    licence="CC0-1.0",
                )
            )
        writer.close()

    def open(self, out: Path) -> Reader:
        """Open it for reading."""
        from mimicit.image_store import ImageStore

        return ImageStore.open(out).read


class ParquetRowGroups:
    """The same files, read the way any Parquet library does: a row group for each picture."""

    write = Mimicit.write

    def open(self, out: Path) -> Reader:
        """Open it for reading."""
        import pyarrow.parquet as pq

        places: dict[str, tuple[Any, int, int]] = {}
        for path in sorted((out / "images").glob("*.parquet")):
            parquet = pq.ParquetFile(path)
            for group in range(parquet.num_row_groups):
                ids = parquet.read_row_group(group, columns=["image_id"]).column(0).to_pylist()
                places.update((name, (parquet, group, row)) for row, name in enumerate(ids))

        def read(name: str) -> bytes:
            parquet, group, row = places[name]
            table = parquet.read_row_group(group, columns=["image.bytes"])
            found: bytes = table.column("image")[row]["bytes"].as_py()
            return found

        return read


class HuggingFace:
    """`datasets`, given bytes, saved to disk."""

    def write(self, folder: Path, out: Path) -> None:
        """Write through its Arrow writer."""
        import datasets

        features = datasets.Features({"id": datasets.Value("string"), "image": datasets.Image()})

        def rows() -> Iterator[dict[str, Any]]:
            for name, data, _, _ in pictures(folder):
                yield {"id": name, "image": {"bytes": data, "path": None}}

        cache = out / "cache"
        made = datasets.Dataset.from_generator(rows, features=features, cache_dir=str(cache))
        made.save_to_disk(out / "saved")
        shutil.rmtree(cache)

    def open(self, out: Path) -> Reader:
        """Open it for reading."""
        import datasets

        table = datasets.load_from_disk(str(out / "saved"))
        table = table.cast_column("image", datasets.Image(decode=False))
        places = {name: number for number, name in enumerate(table["id"])}

        def read(name: str) -> bytes:
            found: bytes = table[places[name]]["image"]["bytes"]
            return found

        return read


class WebDataset:
    """Tar shards, and an index of their members made when they are opened."""

    def write(self, folder: Path, out: Path) -> None:
        """Write through its shard writer."""
        import webdataset

        with webdataset.ShardWriter(str(out / "%06d.tar"), maxsize=500_000_000, verbose=0) as sink:
            for name, data, _, _ in pictures(folder):
                sink.write({"__key__": name, "jpg": data})

    def open(self, out: Path) -> Reader:
        """Index the members, since the format has no index."""
        import tarfile

        places: dict[str, tuple[int, int, int]] = {}
        for path in sorted(out.glob("*.tar")):
            handle = os.open(path, os.O_RDONLY)
            with tarfile.open(path) as tar:
                for member in tar:
                    place = handle, member.size, member.offset_data
                    places[member.name.removesuffix(".jpg")] = place

        def read(name: str) -> bytes:
            return os.pread(*places[name])

        return read


class MDS:
    """Mosaic's streaming shards."""

    def write(self, folder: Path, out: Path) -> None:
        """Write through its writer."""
        from streaming import MDSWriter

        columns = {"id": "str", "image": "bytes"}
        with MDSWriter(out=str(out / "mds"), columns=columns, size_limit=500_000_000) as sink:
            for name, data, _, _ in pictures(folder):
                sink.write({"id": name, "image": data})

    def open(self, out: Path) -> Reader:
        """Open it for reading; the id is the row's number."""
        from streaming import LocalDataset

        table = LocalDataset(str(out / "mds"))

        def read(name: str) -> bytes:
            found: bytes = table[int(name.rpartition("_")[2])]["image"]
            return found

        return read


class Lance:
    """Lance files."""

    def write(self, folder: Path, out: Path) -> None:
        """Write batches of 100 rows."""
        import lance
        import pyarrow as pa

        schema = pa.schema([("id", pa.string()), ("image", pa.large_binary())])

        def batches() -> Iterator[pa.RecordBatch]:
            rows: list[dict[str, Any]] = []
            for name, data, _, _ in pictures(folder):
                rows.append({"id": name, "image": data})
                if len(rows) == 100:
                    yield pa.RecordBatch.from_pylist(rows, schema=schema)
                    rows = []
            if rows:
                yield pa.RecordBatch.from_pylist(rows, schema=schema)

        lance.write_dataset(batches(), str(out / "lance"), schema=schema)

    def open(self, out: Path) -> Reader:
        """Open it for reading; the id is the row's number."""
        import lance

        table = lance.dataset(str(out / "lance"))

        def read(name: str) -> bytes:
            rows = table.take([int(name.rpartition("_")[2])], columns=["image"])
            found: bytes = rows.column(0)[0].as_py()
            return found

        return read


STORES: dict[str, tuple[Any, str]] = {
    "blob": (Blob, "io"),
    "mimicit": (Mimicit, "mimicit.writer"),
    "row groups": (ParquetRowGroups, "mimicit.writer"),
    "datasets": (HuggingFace, "datasets"),
    "webdataset": (WebDataset, "webdataset"),
    "mds": (MDS, "streaming"),
    "lance": (Lance, "lance"),
}
"""Every store by name, and the library that it needs."""


def child(name: str, step: str, folder: Path, out: Path, reads: list[int]) -> None:
    """Do one step of one store and print what it took."""
    store = STORES[name][0]()
    out.mkdir(exist_ok=True)
    with contextlib.suppress(ImportError):
        importlib.import_module(STORES[name][1])  # a library's start is not its speed
    start, used = time.perf_counter(), time.process_time()
    took: dict[str, float] = {}
    if step == "write":
        store.write(folder, out)
    else:
        read = store.open(out)
        took["open"] = time.perf_counter() - start
        names = [f"LA_IMG_{n:09d}" for n in random.Random(3).sample(range(reads[0]), reads[1])]
        for each in names[:200]:
            read(each)
        start, used = time.perf_counter(), time.process_time()
        for each in names:
            read(each)
    took["wall"] = time.perf_counter() - start
    took["cpu"] = time.process_time() - used
    took["rss"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print("RESULT " + json.dumps(took))


def run(name: str, step: str, folder: Path, out: Path, reads: tuple[int, int]) -> dict[str, float]:
    """Run one step in a process of its own."""
    command = [sys.executable, __file__, "--child", name, step, str(folder), str(out)]
    done = subprocess.run([*command, *map(str, reads)], capture_output=True, text=True, check=False)
    for line in done.stdout.splitlines():
        if line.startswith("RESULT "):
            found: dict[str, float] = json.loads(line.removeprefix("RESULT "))
            return found
    raise RuntimeError(f"{name} cannot {step}: {done.stderr.strip().rpartition(chr(10))[2]}")


def installed(name: str) -> bool:
    """Tell whether a store's library is there."""
    return importlib.util.find_spec(STORES[name][1]) is not None


def measure(name: str, work: Path, raw: int, wanted: argparse.Namespace) -> dict[str, float]:
    """Write and read one store, and give what is printed of it."""
    out = work / "out"
    try:
        wrote = run(name, "write", work / "files", out, (wanted.images, 0))
        size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
        reads = min(wanted.reads, wanted.images, 1000 if name == "row groups" else wanted.reads)
        read = run(name, "read", work / "files", out, (wanted.images, reads))
    finally:
        shutil.rmtree(out, ignore_errors=True)
    return {
        "write/s": wanted.images / wrote["wall"],
        "read/s": reads / read["wall"],
        "write ms": 1000 * wrote["cpu"] / wanted.images,
        "read ms": 1000 * read["cpu"] / reads,
        "write MB": wrote["rss"],
        "read MB": read["rss"],
        "disk": size / raw,
        "open s": read["open"],
    }


def main() -> None:
    """Run all that is asked for, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--bytes", type=int, default=65_000, help="of each picture, about")
    parser.add_argument("--reads", type=int, default=10_000, help="pictures read at random")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", action="append", choices=STORES, default=[])
    parser.add_argument("--work", type=Path, help="folder for the files; a temporary one otherwise")
    wanted = parser.parse_args()
    names = [name for name in wanted.only or STORES if installed(name)]
    with tempfile.TemporaryDirectory(dir=wanted.work) as work:
        folder = Path(work) / "files"
        folder.mkdir()
        make_files(folder, wanted.images, wanted.bytes)
        raw = sum(path.stat().st_size for path in folder.rglob("*.jpg"))
        results: dict[str, list[dict[str, float]]] = {name: [] for name in names}
        for _ in range(wanted.runs):
            for name in list(results):
                try:
                    results[name].append(measure(name, Path(work), raw, wanted))
                except RuntimeError as error:  # a library that does not work here is no reason
                    print(f"left out: {error}")
                    del results[name]
        show(results, raw, wanted.images)


def show(results: dict[str, list[dict[str, float]]], raw: int, count: int) -> None:
    """Print the medians, and each store's share of the blob's rate in the same run."""
    print(f"{count:,} pictures, {raw / 1e6:,.0f} MB, {len(next(iter(results.values())))} runs\n")
    titles = "write/s  share   read/s  share  write ms  read ms  MB w   MB r   disk  open s"
    print(f"store         {titles}")
    for name, runs in results.items():
        middle = {key: statistics.median(r[key] for r in runs) for key in runs[0]}
        share = {"write/s": float("nan"), "read/s": float("nan")}
        if "blob" in results:
            share = {
                key: statistics.median(
                    mine[key] / limit[key]
                    for mine, limit in zip(runs, results["blob"], strict=True)
                )
                for key in share
            }
        print(
            f"{name:<12}{middle['write/s']:9,.0f}{share['write/s']:7.2f}{middle['read/s']:9,.0f}"
            f"{share['read/s']:7.2f}{middle['write ms']:10.3f}{middle['read ms']:9.3f}"
            f"{middle['write MB']:6.0f}{middle['read MB']:7.0f}{middle['disk']:7.3f}"
            f"{middle['open s']:8.3f}"
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        store_name, what, given, into, *numbers = sys.argv[2:]
        child(store_name, what, Path(given), Path(into), [int(n) for n in numbers])
    else:
        main()
