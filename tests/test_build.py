"""Whole builds: what comes out, what is turned away, and that the same gives the same."""

import json
import pickle
import random
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import datasets
import duckdb
import pyarrow.parquet as pq
import pytest
from conftest import SHARED, Builder, Coco, contents, needs_shared, reasons

import mimicit
from mimicit import writer
from mimicit.config import BuildConfig, SourceConfig, make_config, portable, read_config
from mimicit.errors import SourceError, UsageError
from mimicit.pipeline import build
from mimicit.validate import find_problems

T = TypeVar("T")


def load(out: Path, *config: str) -> datasets.Dataset:
    cache = out.parent / "cache"
    return datasets.load_dataset(str(out), *config, split="train", cache_dir=str(cache))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_load_dataset_opens_every_table(pets: Coco, build_coco: Builder, tmp_path: Path) -> None:
    pets.picture(4, "gone.jpg").caption(4, "A cat.").write()
    (pets.root / "tiny" / "gone.jpg").unlink()
    summary = build_coco(pets.root)
    out = tmp_path / "out"
    rows = load(out)
    assert len(rows) == summary.instructions > 10
    assert rows[0]["image_ids"] == ["LA_IMG_000000000001"]
    assert all(len(row["rel_ins_ids"]) == 2 for row in rows), "one from each of the other scenes"
    pictures = load(out, "images")
    assert isinstance(pictures.features["image"], datasets.Image)
    assert pictures[0]["image"].size == (400, 300)
    assert sum(len(row["context_ids"]) for row in load(out, "links")) == summary.links
    assert [row["reason"] for row in load(out, "rejected")] == ["missing-file"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_empty_table_is_absent_with_its_config(
    coco: Coco, build_coco: Builder, tmp_path: Path
) -> None:
    build_coco(coco.picture(1).caption(1, "A cat.").write())
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir() if path.is_dir()) == [
        "images",
        "instructions",
    ]
    assert datasets.get_dataset_config_names(str(out)) == ["instructions", "images"]
    opened = mimicit.load(out)
    assert opened.links.num_rows == opened.rejected.num_rows == 0
    assert opened[0].context == []
    assert find_problems(out) == []


def test_examples_come_with_pictures_and_context(sample: Path) -> None:
    opened = mimicit.load(sample)
    assert len(opened) == opened.instructions.num_rows == len(list(opened))
    example = opened["LA_INS_900000000001_00"]
    assert example.images[0].size == (512, 512)
    assert len(example.context) == 3
    assert [shot.id for shot in example.context] == example.row["rel_ins_ids"]
    assert all(shot.images[0].size != (0, 0) and shot.context == [] for shot in example.context)
    assert opened[-1].id == opened[len(opened) - 1].id
    assert [e.id for e in opened[2:4]] == [opened[2].id, opened[3].id]
    with pytest.raises(KeyError):
        opened["LA_INS_0_00"]
    with pytest.raises(IndexError):
        opened[10_000]


def test_pictures_are_stored_as_they_were(sample: Path) -> None:
    store = mimicit.ImageStore.open(sample)
    original = Path(__file__).parents[1] / "samples" / "coco" / "sample" / "cat.jpg"
    assert store.read("LA_IMG_900000000004") == original.read_bytes()
    assert store["LA_IMG_900000000004"].size == (451, 300)
    assert len(store) == len(set(store)) == 10
    assert "LA_IMG_0" not in store
    assert pickle.loads(pickle.dumps(store)).read("LA_IMG_900000000004") == original.read_bytes()
    with pytest.raises(SourceError):
        mimicit.ImageStore.open(sample / "nowhere")


def test_others_read_the_files_too(sample: Path) -> None:
    query = f"SELECT count(*), max(octet_length(image.bytes)) FROM '{sample}/images/*.parquet'"
    assert duckdb.execute(query).fetchall() == [(10, 81211)]
    frame = pq.read_table(sample / "instructions").to_pandas()
    assert frame["id"].is_unique


def test_the_sample_asks_evenly_and_links_other_pictures(sample: Path) -> None:
    rows = mimicit.load(sample).instructions.to_pylist()
    pictures = {row["id"]: row["image_ids"] for row in rows}
    said = Counter(row["answer"].split(",")[0] for row in rows if row["kind"] == "yes-no")
    assert said["Yes"] == said["No"] == 6
    assert {row["kind"] for row in rows} >= {
        "description",
        "detail",
        "count",
        "location",
        "position",
    }
    assert all(len(row["rel_ins_ids"]) == 3 for row in rows)
    assert all(pictures[i] != row["image_ids"] for row in rows for i in row["rel_ins_ids"])


def test_the_same_input_gives_the_same_bytes(
    pets: Coco, build_coco: Builder, tmp_path: Path
) -> None:
    build_coco(pets.root, "one")
    shuffler = random.Random(1)
    for entries in (pets.images, pets.captions, pets.instances, pets.categories):
        shuffler.shuffle(entries)
    pets.write()
    build_coco(pets.root, "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_the_seed_varies_it_and_a_date_is_only_there_on_request(
    pets: Coco, build_coco: Builder, tmp_path: Path
) -> None:
    build_coco(pets.root, "one")
    build_coco(pets.root, "two", seed=1)
    one, two = (mimicit.load(tmp_path / name).instructions for name in ("one", "two"))
    assert one.column("instruction") != two.column("instruction")
    assert "Made with mimicit.\n" in (tmp_path / "one" / "README.md").read_text()
    build_coco(pets.root, "three", date="2026-02-03")
    assert "on 2026-02-03" in (tmp_path / "three" / "README.md").read_text()
    manifest = json.loads((tmp_path / "three" / "manifest.json").read_text())
    assert manifest["date"] == "2026-02-03"


def test_its_own_record_builds_it_again(pets: Coco, build_coco: Builder, tmp_path: Path) -> None:
    build_coco(
        pets.root, "one", seed=3, link="same-image,random", shots=2, limit=2, date="2026-02-03"
    )
    config = make_config(read_config(tmp_path / "one" / "build.yaml"))
    build(config, tmp_path / "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_a_record_says_no_more_of_a_disk_than_it_must(
    inside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/jane")
    assert portable("data/coco") == "data/coco"
    assert portable(str(inside / "data" / "coco")) == "data/coco"
    assert portable(str(inside.parent / "coco")) == "../coco"
    assert portable("/home/jane/data") == "~/data"
    assert portable("/mnt/data") == "/mnt/data"


def test_a_build_says_the_same_however_its_path_was_spelled(
    pets: Coco, build_coco: Builder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    build_coco(pets.root, "one")
    build_coco(Path("coco"), "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert not [
        n for n, data in contents(tmp_path / "one").items() if str(tmp_path).encode() in data
    ]


def test_what_cannot_be_used_is_a_row_with_its_reason(
    coco: Coco, build_coco: Builder, tmp_path: Path
) -> None:
    coco.picture(1).caption(1, "A good cat.")
    coco.picture(2).caption(2, "A missing cat.")
    coco.picture(3).caption(3, "A broken cat.")
    coco.picture(4).caption(4, "An escaping cat.")
    coco.picture(5)
    coco.picture(6).caption(6, "A cat <image> with a token.")
    coco.picture(7, size=(100, 200)).caption(7, "A turned cat.").box(7, 17, 10, 10, 80, 80)
    coco.images[3]["file_name"] = "../../../etc/hostname"
    coco.images[6].update(width=200, height=100)
    coco.write()
    (coco.root / "tiny" / "2.jpg").unlink()
    (coco.root / "tiny" / "3.jpg").write_bytes(b"not a picture")
    summary = build_coco(coco.root)
    assert summary.rejected == {
        ("annotations", "size-mismatch"): 1,
        ("checks", "special-token"): 1,
        ("media", "missing-file"): 1,
        ("media", "not-an-image"): 1,
        ("media", "unsafe-path"): 1,
        ("templates", "nothing-to-say"): 1,
    }
    assert (summary.scenes, summary.instructions, summary.images) == (7, 2, 2)
    rows = {row["scene_id"]: row for row in mimicit.load(tmp_path / "out").rejected.to_pylist()}
    assert sorted(rows) == [f"{n:012d}" for n in (2, 3, 4, 5, 6, 7)]
    assert rows["000000000006"]["record"] == "LA_INS_000000000006_00"
    assert "token" in rows["000000000006"]["detail"]
    card = (tmp_path / "out" / "README.md").read_text()
    assert "| media | missing-file | 1 |" in card


def test_boxes_hold_on_a_picture_that_was_only_scaled(coco: Coco, build_coco: Builder) -> None:
    coco.picture(1, size=(200, 100)).box(1, 17, 0, 0, 100, 100).box(1, 18, 250, 50, 100, 100)
    coco.images[0].update(width=400, height=200)
    assert build_coco(coco.write()).rejected == {}


def test_boxes_outside_of_a_picture_without_a_stated_size_are_rejected(
    coco: Coco, build_coco: Builder
) -> None:
    coco.picture(1, size=(200, 100), width=None, height=None).caption(1, "A view.")
    coco.box(1, 17, 5000, 50, 80, 80).box(1, 18, 10, 10, 80, 80)
    assert build_coco(coco.write()).rejected == {("annotations", "empty-box"): 1}


def test_two_files_under_one_image_id_are_never_mixed_up(pets: Coco, tmp_path: Path) -> None:
    other = Coco(tmp_path / "other").picture(9).caption(9, "Another cat.")
    other.images[0]["id"] = other.captions[0]["image_id"] = 1
    sources = [
        SourceConfig(name="coco", options={"root": str(r)}) for r in (pets.root, other.write())
    ]
    build(BuildConfig(sources=sources), tmp_path / "out")
    store = mimicit.ImageStore.open(tmp_path / "out")
    assert store.read("LA_IMG_000000000001") == (pets.root / "tiny" / "1.jpg").read_bytes()


def test_a_picture_that_changes_during_a_build_is_an_error(pets: Coco, tmp_path: Path) -> None:
    def meddling(items: Iterable[T], name: str, _unit: str) -> Iterator[T]:
        if name == "assemble":
            shutil.copy(pets.root / "tiny" / "2.jpg", pets.root / "tiny" / "1.jpg")
        return iter(items)

    source = SourceConfig(name="coco", options={"root": str(pets.root)})
    with pytest.raises(SourceError, match=r"'tiny/1\.jpg' changed while"):
        build(BuildConfig(sources=[source]), tmp_path / "out", track=meddling)
    assert not (tmp_path / "out").exists()


def test_shards_and_row_groups_are_bounded(
    pets: Coco, build_coco: Builder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "GROUP_BYTES", 1)
    monkeypatch.setattr(writer, "SHARD_BYTES", 1)
    build_coco(pets.root)
    names = sorted(path.name for path in (tmp_path / "out" / "images").glob("*.parquet"))
    assert names == [f"train-{n:05d}-of-00003.parquet" for n in range(3)]
    assert len(mimicit.load(tmp_path / "out").images) == 3
    assert find_problems(tmp_path / "out") == []


def test_sizes_come_from_the_picture_where_the_entry_has_none(
    coco: Coco, build_coco: Builder, tmp_path: Path
) -> None:
    coco.picture(1, size=(400, 300), width=None, height=None).box(1, 17, 10, 100, 80, 80)
    build_coco(coco.write())
    kinds = set(mimicit.load(tmp_path / "out").instructions.column("kind").to_pylist())
    assert "location" in kinds


def test_equal_pictures_are_counted_and_kept(coco: Coco, build_coco: Builder) -> None:
    coco.picture(1).caption(1, "A cat.").picture(2).caption(2, "A cat again.").write()
    shutil.copy(coco.root / "tiny" / "1.jpg", coco.root / "tiny" / "2.jpg")
    summary = build_coco(coco.root)
    assert (summary.images, summary.equal_pictures) == (2, 1)


def test_without_one_instruction_nothing_is_published(
    pets: Coco, build_coco: Builder, tmp_path: Path
) -> None:
    build_coco(pets.root)
    before = contents(tmp_path / "out")
    shutil.rmtree(pets.root / "tiny")
    (pets.root / "tiny").mkdir()
    with pytest.raises(SourceError, match=r"3 scenes: missing-file \(3\)"):
        build_coco(pets.root)
    assert contents(tmp_path / "out") == before


def test_limit_and_only_choose_scenes(pets: Coco, build_coco: Builder, tmp_path: Path) -> None:
    assert build_coco(pets.root, limit=2).scenes == 2
    for name in ("000000000002", "2", "LA_IMG_000000000002"):
        assert build_coco(pets.root, only=[name]).scenes == 1
        scenes = mimicit.load(tmp_path / "out").instructions.column("scene_id").to_pylist()
        assert set(scenes) == {"000000000002"}
    assert build_coco(pets.root, only=["1", "3"]).scenes == 2
    with pytest.raises(UsageError, match="--only '77' names no scene"):
        build_coco(pets.root, only=["1", "77"])


def test_links_are_chosen_by_the_spec(pets: Coco, build_coco: Builder, tmp_path: Path) -> None:
    build_coco(pets.root, link="same-image", shots=1)
    opened = mimicit.load(tmp_path / "out")
    assert all(e.row["image_ids"] == e.context[0].row["image_ids"] for e in opened)
    assert build_coco(pets.root, shots=0).links == 0
    assert not (tmp_path / "out" / "links").exists()


def test_one_source_twice_makes_one_dataset(pets: Coco, tmp_path: Path) -> None:
    other = (
        Coco(tmp_path / "other").picture(8).caption(8, "A zebra.").picture(1).caption(1, "Again.")
    )
    sources = [
        SourceConfig(name="coco", options={"root": str(root)})
        for root in (pets.root, other.write())
    ]
    summary = build(BuildConfig(sources=sources), tmp_path / "out")
    assert (summary.scenes, summary.images) == (5, 4)
    assert reasons(summary) == ["duplicate-scene"]
    assert find_problems(tmp_path / "out") == []


@needs_shared
def test_389_real_photographs_are_built_and_valid(tmp_path: Path) -> None:
    source = SourceConfig(name="coco", options={"root": str(SHARED / "coco")})
    summary = build(BuildConfig(sources=[source]), tmp_path / "out")
    assert (summary.scenes, summary.images, summary.rejected) == (389, 389, {})
    assert summary.instructions > 1800
    assert summary.links == 3 * summary.instructions
    assert find_problems(tmp_path / "out") == []
    stored = sum(path.stat().st_size for path in (SHARED / "coco" / "val2017").iterdir())
    assert summary.size_bytes < 1.01 * stored


@pytest.mark.slow
@needs_shared
def test_every_broken_file_in_place_of_a_photograph_is_stored_or_rejected(
    coco: Coco, build_coco: Builder, tmp_path: Path
) -> None:
    names = sorted(path.name for path in (SHARED / "bad_images").iterdir())
    for number, name in enumerate(names):
        coco.images.append({"id": number, "file_name": name})
        coco.caption(number, f"Picture {number} of a cat.")
    coco.write()
    for name in names:
        shutil.copy(SHARED / "bad_images" / name, coco.root / "tiny" / name)
    summary = build_coco(coco.root)
    assert summary.images + sum(summary.rejected.values()) == len(names)
    assert {stage for stage, _ in summary.rejected} == {"media"}
    assert find_problems(tmp_path / "out") == []
    opened = mimicit.load(tmp_path / "out")
    assert all(example.images[0].size > (0, 0) for example in opened)
