"""Pictures by id: reading them from shards of any kind, whatever happens to these."""

import contextlib
import gc
import io
import os
import pickle
import random
import shutil
import signal
import sys
import tempfile
import tracemalloc
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import mimicit
from mimicit import image_store, shards, store_index, writer
from mimicit.directory import replacing
from mimicit.errors import SourceError
from mimicit.image_store import ImageStore
from mimicit.schema import ImageBytes, ImageRow, SourceRef
from mimicit.tables import arrow_schema
from mimicit.writer import TableWriter, write_manifest

Pictures = Mapping[str, bytes]


def write(directory: Path, pictures: Pictures, group: int = 8 * 2**20, shard: int = 10**9) -> Path:
    """Write a dataset of pictures; small groups and shards make many of them."""
    directory.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "GROUP_BYTES", group)
        patch.setattr(writer, "SHARD_BYTES", shard)
        table = TableWriter(directory, "images")
        for name, data in pictures.items():
            table.write(row(name, data))
        entries = table.close()
    write_manifest(directory, entries, {})
    return directory


def row(name: str, data: bytes) -> ImageRow:
    """Make a row of any bytes and any name."""
    return ImageRow.model_construct(
        image_id=name,
        image=ImageBytes(bytes=data, path=f"{name}.jpg"),
        sha256="0" * 64,
        phash="0" * 16,
        width=1,
        height=1,
        format="JPEG",
        source_ref=SourceRef(path="x", sha256="0" * 64),
        licence="",
    )


def noise(count: int, size: int = 100, seed: int = 0) -> dict[str, bytes]:
    """Make pictures, each of other bytes, and all of the same length."""
    rng = random.Random(seed)
    return {f"LA_IMG_{number:06d}": rng.randbytes(size) for number in range(count)}


def check(store: ImageStore, pictures: Pictures) -> None:
    """Compare all that a store says with what it should have."""
    assert list(store) == list(pictures)
    assert len(store) == len(pictures)
    assert {name: store.read(name) for name in pictures} == pictures
    for name in pictures:
        assert name in store
        assert f"{name}x" not in store
    for unknown in ("", "none", "half \ud800", 5, None):
        assert unknown not in store
        with pytest.raises(KeyError):
            store.read(unknown)  # type: ignore[arg-type]  # as a mapping takes anything


def check_right_or_error(store: ImageStore, pictures: Pictures) -> int:
    """Never anything but right bytes and our own errors; count the errors."""
    errors = 0
    for name, data in pictures.items():
        try:
            assert store.read(name) == data
        except (SourceError, KeyError):
            errors += 1
    return errors


SMALL = noise(60)


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of 60 pictures in 10 shards; tests must leave it as it is."""
    out = write(tmp_path_factory.mktemp("several") / "out", SMALL, group=300, shard=1000)
    assert len(list(out.glob("images/*.parquet"))) > 5
    return out


@pytest.fixture
def copy(several: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    return Path(shutil.copytree(several, tmp_path / "copy"))


# ------------------------------------------------------------------------- reading


@given(
    st.dictionaries(
        st.text("ab~é\U0001f600", min_size=1, max_size=9), st.integers(0, 3000), min_size=1
    ),
    st.integers(1, 9000),
    st.integers(1, 20_000),
)
@settings(max_examples=15)
def test_every_picture_is_read_as_it_was_written(
    sizes: dict[str, int], group: int, shard: int
) -> None:
    pictures = {name: random.Random(name).randbytes(size) for name, size in sizes.items()}
    with tempfile.TemporaryDirectory() as folder:
        out = write(Path(folder), pictures, group, shard)
        check(ImageStore.open(out), pictures)
        check(ImageStore.open(out / "images"), pictures)
        table = pq.read_table(out / "images")
        names, files = table.column("image_id"), table.flatten().column("image.bytes")
        assert dict(zip(names.to_pylist(), files.to_pylist(), strict=True)) == pictures
        (out / "images" / store_index.NAME).unlink()
        check(ImageStore.open(out), pictures)


def test_small_and_large_pictures_share_pages_and_row_groups(tmp_path: Path) -> None:
    sizes = [1, 5_000_000, 2, *[300_000] * 20, 0, 3, 1_100_000, *range(40), 2_000_000]
    pictures = {f"p{n}": random.Random(n).randbytes(size) for n, size in enumerate(sizes)}
    out = write(tmp_path / "out", pictures)
    (shard,) = out.glob("images/*.parquet")
    assert pq.read_metadata(shard).num_row_groups == 2
    store = ImageStore.open(out)
    check(store, pictures)
    (out / "images" / store_index.NAME).unlink()
    other = ImageStore.open(out)
    check(other, pictures)
    assert type(other._source) is type(store._source)  # one read for a picture, all the same


def test_a_picture_is_shown_upright(tmp_path: Path) -> None:
    file, tags = io.BytesIO(), Image.Exif()
    tags[0x0112] = 6
    Image.new("RGB", (30, 20), "red").save(file, "JPEG", exif=tags)
    store = ImageStore.open(write(tmp_path / "out", {"a": file.getvalue(), "b": b"no picture"}))
    assert store["a"].size == (20, 30)
    assert store.get("none") is None
    with pytest.raises(KeyError):
        store["none"]
    with pytest.raises(SourceError, match="'b' does not decode"):
        store["b"]


def test_others_open_the_folder_as_plain_parquet(several: Path, tmp_path: Path) -> None:
    import datasets

    assert (several / "images" / store_index.NAME).exists()
    table = pq.read_table(several / "images")
    assert table.column("image_id").to_pylist() == list(SMALL)
    query = f"SELECT image_id, image.bytes FROM read_parquet('{several}/images/*.parquet')"
    assert dict(duckdb.execute(query).fetchall()) == SMALL
    files = str(several / "images" / "*.parquet")
    loaded = datasets.load_dataset(
        "parquet", data_files=files, split="train", cache_dir=str(tmp_path)
    ).cast_column("image", datasets.Image(decode=False))
    assert {each["image_id"]: each["image"]["bytes"] for each in loaded} == SMALL


# ------------------------------------------------------------------------- other shards


@pytest.mark.parametrize("index", [True, False])
def test_shards_that_changed_places_are_read_or_refused(index: bool, copy: Path) -> None:
    if not index:
        (copy / "images" / store_index.NAME).unlink()
    first, second = sorted(copy.glob("images/*.parquet"))[:2]
    first.rename(copy / "kept")
    second.rename(first)
    (copy / "kept").rename(second)
    assert first.stat().st_size == second.stat().st_size  # so that the index cannot know
    errors = check_right_or_error(ImageStore.open(copy), SMALL)
    assert errors == (len(pq.read_table(first)) * 2 if index else 0)


@pytest.mark.parametrize("size", [100, 99])
def test_a_shard_that_was_replaced_is_read_or_refused(
    size: int, copy: Path, tmp_path: Path
) -> None:
    other = noise(60, size, seed=1)
    shard = sorted(copy.glob("images/*.parquet"))[3]
    write(tmp_path / "other", other, group=300, shard=1000)
    names = pq.read_table(shard).column("image_id").to_pylist()
    table = pq.read_table(tmp_path / "other" / "images", filters=[("image_id", "in", names)])
    with pq.ParquetWriter(
        shard, arrow_schema("images"), compression="none", use_dictionary=False, write_statistics=[]
    ) as new:
        new.write_table(table)
    store = ImageStore.open(copy)
    for name, data in SMALL.items():
        try:
            assert store.read(name) == (other[name] if name in names else data)
        except SourceError:
            assert name in names


@pytest.mark.parametrize("index", ["with", "without"])
@pytest.mark.parametrize("kind", ["none", "zstd"])
def test_an_opened_store_never_reads_a_file_put_there_later(
    index: str, kind: str, copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "OPEN_FILES", 1)
    paths = sorted(copy.glob("images/*.parquet"))
    if index == "without":
        (copy / "images" / store_index.NAME).unlink()
    if kind == "zstd":
        for path in paths:
            pq.write_table(pq.read_table(path), path, compression=kind)
    store = ImageStore.open(copy)
    new = write(tmp_path / "new", noise(60, seed=1), group=300, shard=1000)
    for path in paths:
        (new / "images" / path.name).rename(path)
    assert check_right_or_error(store, SMALL) >= 50
    with contextlib.suppress(SourceError):
        assert list(store) == list(SMALL)


def test_a_replaced_dataset_stays_what_it_was_for_who_opened_it(copy: Path) -> None:
    store, untouched = ImageStore.open(copy), ImageStore.open(copy)
    dataset = mimicit.load(copy)
    known = list(SMALL)[:7]
    assert [store.read(name) for name in known] == [SMALL[name] for name in known]
    other = noise(70, seed=2)
    with replacing(copy) as new:
        write(new, other, group=300, shard=1000)
    assert [store.read(name) for name in known] == [SMALL[name] for name in known]
    for old in (store, untouched, dataset.images):
        assert check_right_or_error(old, SMALL) > 30
        with pytest.raises(SourceError, match="open it again"):
            list(old)
    check(ImageStore.open(copy), other)
    check(pickle.loads(pickle.dumps(dataset)).images, other)


# ------------------------------------------------------------------------- many at once


def compressed(out: Path) -> Path:
    """Write the shards anew so that they are read by the row group."""
    for path in out.glob("images/*.parquet"):
        pq.write_table(pq.read_table(path), path, compression="zstd", row_group_size=2)
    return out


@pytest.fixture(params=["plain", "compressed"])
def either(request: pytest.FixtureRequest, copy: Path) -> Path:
    return copy if request.param == "plain" else compressed(copy)


@pytest.mark.parametrize("most", [2, pytest.param(256, marks=pytest.mark.slow)])
def test_threads_read_at_once(either: Path, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "OPEN_FILES", most)
    store = ImageStore.open(either)
    names = random.Random(0).choices(list(SMALL), k=50)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(store.read, names)) == [SMALL[name] for name in names]
    finally:
        sys.setswitchinterval(interval)


def test_a_file_is_not_closed_while_it_is_read(
    several: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ImageStore.open(several)
    read, opened = os.pread, store._shards

    def meanwhile(handle: int, length: int, offset: int) -> bytes:
        assert opened
        opened._open = {}  # as another thread does that opens more files
        return read(handle, length, offset)

    monkeypatch.setattr(os, "pread", meanwhile)
    check(store, SMALL)


def in_fork(work: Callable[[], None]) -> None:
    """Do something in a forked child."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # there are threads
        child = os.fork()
    if not child:
        status = 1
        try:
            signal.alarm(60)
            work()
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


posix = pytest.mark.skipif(os.name != "posix", reason="has no fork")


@posix
def test_parent_and_child_read_after_a_fork(either: Path) -> None:
    store = ImageStore.open(either)
    some = list(SMALL)[::7]
    assert [store.read(name) for name in some] == [SMALL[name] for name in some]
    in_fork(lambda: check(store, SMALL))
    check(store, SMALL)


@posix
def test_it_reads_when_no_more_files_can_be_opened(several: Path) -> None:
    import resource

    def work() -> None:
        store = ImageStore.open(several)
        free = os.dup(0)
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free + 1, free + 1))
        assert check_right_or_error(store, SMALL) == 0
        store._shards._open = {}  # type: ignore[union-attr]  # it has shards
        with contextlib.suppress(OSError):
            while True:
                os.dup(0)
        assert check_right_or_error(store, SMALL) == len(SMALL)

    in_fork(work)


def test_a_worker_process_reads(several: Path) -> None:
    store, dataset = ImageStore.open(several), mimicit.load(several)
    name = list(SMALL)[33]
    store.read(name)
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        assert pool.submit(store.read, name).result() == SMALL[name]
        assert pool.submit(dataset.images.read, name).result() == SMALL[name]


def test_a_store_that_has_gone_is_an_error_in_a_worker(copy: Path) -> None:
    packed = pickle.dumps(ImageStore.open(copy))
    shutil.rmtree(copy)
    with pytest.raises(SourceError, match="cannot read"):
        pickle.loads(packed)


# ------------------------------------------------------------------------- what it takes


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_a_dropped_store_leaves_no_file_open(several: Path, copy: Path) -> None:
    (copy / "images" / "directory.parquet").mkdir()
    gc.collect()
    handles = Path("/proc/self/fd")
    before = len([*handles.iterdir()])
    for name in (list(SMALL) * 4)[:200]:
        ImageStore.open(several).read(name)
    for _ in range(20):
        with pytest.raises(SourceError):
            ImageStore.open(copy)
    gc.collect()
    assert len([*handles.iterdir()]) <= before


def test_a_store_takes_the_same_memory_for_ten_times_as_many_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_store, "HELD_BYTES", 0)  # as for an index that is larger
    taken = []
    for count in (300, 3000):
        pictures = noise(count)
        out = write(tmp_path / str(count), pictures)
        tracemalloc.start()
        store = ImageStore.open(out)
        for name in random.Random(0).choices(list(pictures), k=500):
            store.read(name)
        assert len(store) == count
        taken.append(tracemalloc.get_traced_memory())
        tracemalloc.stop()
    assert max(peak for _, peak in taken) < 2**20
    assert taken[1][0] - taken[0][0] < 20_000
