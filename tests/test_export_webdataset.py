"""Tar shards, opened by the libraries that read them."""

import contextlib
import io
import json
import re
import shutil
import subprocess
import tarfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import hypothesis
import pytest
import webdataset
from conftest import contents, patches
from hypothesis import strategies as st
from PIL import Image

import mimicit
from mimicit.config import BuildConfig, SourceConfig
from mimicit.dataset import Dataset
from mimicit.errors import SourceError
from mimicit.exporters import _tar_shards, export
from mimicit.exporters._tar_shards import TarShards
from mimicit.exporters.form import Context
from mimicit.exporters.pictures import EncodedOnce, Exported, Pictures
from mimicit.exporters.webdataset import Sample, SampleWriter, key_of
from mimicit.pipeline import build

# The library leaves shards to the garbage collector to close.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")

WAYS: tuple[Context, ...] = ("none", "turns")

Turn = tuple[str, str, str, list[bytes]]
"""Id, instruction, answer and the pictures' files, in order."""


def shards(out: Path, split: str = "*") -> list[Path]:
    return sorted(out.glob(f"{split}-*.tar"))


def samples(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Read all samples of some shards with `webdataset`, files as they are."""
    return list(webdataset.WebDataset([str(path) for path in paths], shardshuffle=False))


def pictures_of(sample: dict[str, Any]) -> dict[str, Any]:
    return {name: data for name, data in sample.items() if name[0].isdigit()}


def told(content: dict[str, Any], files: dict[str, bytes]) -> list[Turn]:
    """Give what a sample shows, in order."""
    turns = []
    for each in content.get("turns") or content["instructions"]:
        names = each["files"] if "turns" in content else content["files"]
        pictures = [files[name] for name in names]
        turns.append((each["id"], each["instruction"], each["answer"], pictures))
    return turns


def by_webdataset(out: Path, split: str) -> list[list[Turn]]:
    return [told(json.loads(each["json"]), each) for each in samples(shards(out, split))]


def by_datasets(out: Path, split: str, cache: Path) -> list[list[Turn]]:
    loaded = datasets.load_dataset(str(out), split=split, cache_dir=str(cache))
    found = []
    for row in loaded.data.to_pylist():
        files = {name: file["bytes"] for name, file in pictures_of(row).items() if file}
        found.append(told(row["json"], files))
    return found


def wanted(directory: Path, split: str, way: Context) -> list[list[Turn]]:
    """Give what an export must show, from the dataset."""
    dataset = mimicit.load(directory)
    pictures = Pictures(dataset.images)

    def turn(row: dict[str, Any]) -> Turn:
        files = [pictures.read(name).data for name in row["image_ids"]]
        return row["id"], row["instruction"], row["answer"], files

    chosen = [each for each in dataset if each.row["split"] == split]
    if way == "turns":
        return [[turn(one.row) for one in [*each.context, each]] for each in chosen]
    lists: dict[tuple[str, ...], list[Turn]] = {}
    for each in chosen:
        lists.setdefault(tuple(each.row["image_ids"]), []).append(turn(each.row))
    return list(lists.values())


@pytest.fixture(scope="module", params=WAYS)
def way(request: pytest.FixtureRequest) -> Context:
    found: Context = request.param
    return found


@pytest.fixture(scope="module")
def exported(own_data: Path, way: Context, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three splits with one picture, two, and more, JPEG and PNG, ids with dots."""
    out = tmp_path_factory.mktemp(way) / "out"
    export(own_data, "webdataset", out, context=way)
    return out


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory, media_cache: Path) -> Path:
    """Pictures that several lines share, and lists of them that stand apart."""
    root = tmp_path_factory.mktemp("mixed")
    for number, name in enumerate(("a.jpg", "b.png", "c.webp")):
        patches(number, (40 + number, 30)).save(root / name)
    lists = {
        "1": ["a.jpg", "b.png"],
        "2": ["b.png", "c.webp"],
        "3": ["a.jpg", "b.png"],
        "4": ["b.png", "a.jpg"],
        "5.x": ["a.jpg"],
    }
    lines = [
        {
            "id": name,
            "images": names,
            "group": "all",
            "qa": [[f"What of {name}?", f"It is {name}."]],
        }
        for name, names in lists.items()
    ]
    (root / "lines.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    config = BuildConfig(
        sources=[SourceConfig(name="jsonl", options={"root": str(root)})],
        link=["same-image,random"],
        shots=2,
    )
    build(config, root / "out", media_cache=media_cache)
    return root / "out"


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_webdataset_reads_what_the_dataset_has(
    split: str, exported: Path, own_data: Path, way: Context
) -> None:
    expected = wanted(own_data, split, way)
    assert expected
    assert by_webdataset(exported, split) == expected


def test_datasets_reads_the_same_whatever_the_number_and_kind_of_pictures(
    exported: Path, own_data: Path, way: Context, tmp_path: Path
) -> None:
    for split in ("train", "validation", "test"):
        assert by_datasets(exported, split, tmp_path) == wanted(own_data, split, way)
    files = [pictures_of(each) for each in samples(shards(exported))]
    assert {"0.jpg", "0.png", "1.jpg"} <= {name for each in files for name in each}
    assert len({len(each) for each in files}) > 3


def test_datasets_streams_it_and_decodes_its_pictures(exported: Path, own_data: Path) -> None:
    row = next(iter(datasets.load_dataset(str(exported), split="test", streaming=True)))
    dataset = mimicit.load(own_data)
    (first, *_) = row["json"].get("turns") or [{**row["json"], **row["json"]["instructions"][0]}]
    shown = [row[name] for name in first["files"]]
    assert [each.size for each in shown] == [each.size for each in dataset[first["id"]].images]


def test_the_lines_of_the_readme_print_every_instruction(
    exported: Path, own_data: Path, way: Context, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(exported)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    text = (exported / "README.md").read_text()
    programs = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    expected = "".join(
        f"{len(pictures)} {instruction} {answer}\n"
        for sample in wanted(own_data, "train", way)
        for _, instruction, answer, pictures in sample
    )
    assert len(programs) == 2
    for program in programs:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(program, {})  # what a reader does with it
        assert printed.getvalue() == expected


def test_a_shard_ends_between_two_samples_and_the_index_counts_them(
    own_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, many = tmp_path / "one", tmp_path / "many"
    export(own_data, "webdataset", one)
    monkeypatch.setattr(_tar_shards, "SHARD_BYTES", 30_000)
    export(own_data, "webdataset", many)
    assert len(shards(many, "train")) > 2
    for split in ("train", "validation", "test"):
        assert by_webdataset(one, split) == by_webdataset(many, split)
        index = json.loads((many / f"{split}-index.json").read_text())
        assert (index["__kind__"], index["name"]) == ("wids-shard-index-v1", split)
        paths = shards(many, split)
        counts = [(each["url"], each["nsamples"]) for each in index["shardlist"]]
        assert counts == [(path.name, len(samples([path]))) for path in paths]
        sizes = [path.stat().st_size for path in paths]
        assert [each["filesize"] for each in index["shardlist"]] == sizes
        assert max(sizes) <= 40_960  # so many whole records of a tar


def test_a_sample_larger_than_a_shard_has_one_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_tar_shards, "SHARD_BYTES", 20_000)
    written = TarShards(tmp_path, "train")
    for key, size in [("a", 100), ("b", 50_000), ("c", 100), ("d", 100)]:
        written.write(key, [("json", b"{}"), ("0.jpg", bytes(size))])
    written.finish()
    assert [shard.samples for shard in written.done] == [1, 1, 2]
    assert [each["__key__"] for each in samples(shards(tmp_path))] == ["a", "b", "c", "d"]


def test_the_same_export_twice_gives_the_same_bytes(
    exported: Path, own_data: Path, way: Context, tmp_path: Path
) -> None:
    export(own_data, "webdataset", tmp_path / "again", context=way)
    assert contents(tmp_path / "again") == contents(exported)


def test_keys_have_no_dots_and_stand_for_one_sample_of_the_whole_export(
    exported: Path, own_data: Path, way: Context
) -> None:
    found = samples(shards(exported))
    keys = [each["__key__"] for each in found]
    assert len(set(keys)) == len(keys)
    said = [json.loads(each["json"]) for each in found]
    ids = [each["id"] if way == "turns" else each["instructions"][0]["id"] for each in said]
    assert all("." in name for name in ids)
    assert keys == [name.replace(".", "~2e~") for name in ids]
    if way == "turns":
        assert set(ids) == {each.id for each in mimicit.load(own_data)}


@hypothesis.given(st.text("ab.~2e7-_", min_size=1))
@hypothesis.example("~2e~")
@hypothesis.example("~7e~2e~7e~")
def test_a_key_can_be_read_back_so_that_no_two_ids_have_the_same(name: str) -> None:
    key = key_of(name)
    assert "." not in key
    assert re.sub("~([0-9a-f]+)~", lambda found: chr(int(found[1], 16)), key) == name


def test_all_that_is_asked_about_the_same_pictures_is_one_sample(
    mixed: Path, tmp_path: Path
) -> None:
    made = export(mixed, "webdataset", tmp_path / "out")
    found = samples(shards(tmp_path / "out"))
    asked = [json.loads(each["json"]) for each in found]
    assert [[one["scene_id"] for one in each["instructions"]] for each in asked] == [
        ["1", "3"],
        ["2"],
        ["4"],
        ["5.x"],
    ]
    assert [each["files"] for each in asked] == [
        ["0.jpg", "1.png"],
        ["0.png", "1.webp"],
        ["0.png", "1.jpg"],
        ["0.jpg"],
    ]
    assert by_webdataset(tmp_path / "out", "train") == wanted(mixed, "train", "none")
    assert (made.told.instructions, made.told.pictures) == (5, 3)
    # No sample reaches into another: a picture that stands in three lists is stored three times.
    stored = Counter(data for each in found for data in pictures_of(each).values())
    assert sorted(stored.values()) == [1, 3, 3]
    assert "7 files of pictures" in (tmp_path / "out" / "README.md").read_text()


def test_an_example_set_has_every_picture_once(mixed: Path, tmp_path: Path) -> None:
    export(mixed, "webdataset", tmp_path / "out", context="turns")
    found = samples(shards(tmp_path / "out"))
    assert len(found) == 5
    shared = 0
    for each in found:
        stored = pictures_of(each).values()
        assert len(set(stored)) == len(stored)
        turns = json.loads(each["json"])["turns"]
        shown = [name for turn in turns for name in turn["image_ids"]]
        assert len(stored) == len(set(shown))
        shared += len(shown) - len(stored)
    assert shared


def test_its_pictures_decode_in_webdataset(mixed: Path, tmp_path: Path) -> None:
    export(mixed, "webdataset", tmp_path / "out")
    store = mimicit.load(mixed).images
    urls = str(tmp_path / "out" / "train-{000000..000000}.tar")
    seen = set()
    for each in webdataset.WebDataset(urls, shardshuffle=False).decode("pil"):
        for name, file in zip(each["json"]["image_ids"], each["json"]["files"], strict=True):
            assert isinstance(each[file], Image.Image)
            assert each[file].tobytes() == store[name].convert("RGB").tobytes()
            seen.add(file.split(".")[1])
    assert seen == {"jpg", "png", "webp"}


class CountedReads(Pictures):
    """Pictures that count how often each is read."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.reads = Counter[str]()

    def read(self, image_id: str) -> Exported:
        self.reads[image_id] += 1
        return super().read(image_id)


def test_a_picture_that_has_to_change_is_encoded_once(own_data: Path, tmp_path: Path) -> None:
    images = mimicit.load(own_data).images
    pictures = CountedReads(images, 32)
    once = EncodedOnce(pictures, tmp_path)
    names = [*images, *reversed([*images]), *images]
    assert [once.read(name) for name in names] == [Pictures(images, 32).read(n) for n in names]
    once.close()
    assert pictures.changed
    assert {pictures.reads[name] for name in pictures.changed} == {1}
    assert list(tmp_path.iterdir()) == []


def test_a_picture_that_has_to_change_is_the_same_in_every_sample(
    own_data: Path, tmp_path: Path
) -> None:
    export(own_data, "webdataset", tmp_path / "out", context="turns", max_side=24)
    by_id: dict[str, set[bytes]] = {}
    for each in samples(shards(tmp_path / "out")):
        for turn in json.loads(each["json"])["turns"]:
            for name, file in zip(turn["image_ids"], turn["files"], strict=True):
                by_id.setdefault(name, set()).add(each[file])
    pictures = Pictures(mimicit.load(own_data).images, 24)
    assert by_id == {name: {pictures.read(name).data} for name in by_id}


FILES = st.lists(st.tuples(st.text("ab", min_size=1), st.binary(max_size=2000)), max_size=4)


@hypothesis.given(st.lists(FILES, min_size=1, max_size=4), st.sampled_from(["k", "k" * 300, "kä"]))
def test_a_tar_gives_back_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, written: list[list[tuple[str, bytes]]], start: str
) -> None:
    folder = tmp_path_factory.mktemp("tar")
    into = TarShards(folder, "train")
    expected = []
    for number, files in enumerate(written):
        into.write(f"{start}{number}", files)
        expected += [(f"{start}{number}.{name}", data) for name, data in files]
    into.finish()
    with tarfile.open(folder / "train-000000.tar") as tar:
        members = [(tar.extractfile(each), each) for each in tar.getmembers()]
        assert [(each.name, file.read()) for file, each in members if file] == expected
        for _, each in members:
            owner = (each.uid, each.gid, each.uname, each.gname)
            assert (each.mode, each.mtime, owner) == (0o644, 0, (0, 0, "", ""))
    assert into.done[0].bytes == (folder / "train-000000.tar").stat().st_size
    assert into.done[0].bytes % tarfile.RECORDSIZE == 0


@pytest.mark.skipif(not shutil.which("tar"), reason="no tar on this machine")
def test_the_systems_own_tar_lists_it(mixed: Path, tmp_path: Path) -> None:
    export(mixed, "webdataset", tmp_path / "out")
    (shard,) = shards(tmp_path / "out")
    done = subprocess.run(["tar", "-tf", shard], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    names = done.stdout.split()
    assert names[:3] == ["MM_INS_1_00.json", "MM_INS_1_00.0.jpg", "MM_INS_1_00.1.png"]
    assert len(names) == 4 + 7


def test_a_picture_that_is_not_there_is_named_and_no_file_stays_open(
    sample: Path, tmp_path: Path
) -> None:
    written = SampleWriter(tmp_path, Pictures(Dataset(sample).images).read)
    name = next(iter(Dataset(sample).images))
    for names in ([name], ["LA_IMG_lost"]):
        content: dict[str, Any] = {"image_ids": names, "files": []}
        each = Sample(f"LA_INS_{names[0]}", "train", content, [content], 1)
        if names == [name]:
            written.write(each)
        else:
            with pytest.raises(SourceError, match="'LA_IMG_lost'"):
                written.write(each)
    written.close()
    assert not list(tmp_path.glob("*.json"))


def test_photographs_come_through_byte_for_byte(sample: Path, tmp_path: Path) -> None:
    made = export(sample, "webdataset", tmp_path / "out")
    assert made.told.changed == 0
    stored = {
        name: each[file]
        for each in samples(shards(tmp_path / "out"))
        for name, file in zip(
            *map(json.loads(each["json"]).get, ("image_ids", "files")), strict=True
        )
    }
    images = mimicit.load(sample).images
    assert stored == {name: images.read(name) for name in images}
