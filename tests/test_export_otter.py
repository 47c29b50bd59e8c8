"""Otter's training files: the rules of its loaders, each kept."""

import base64
import io
import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from conftest import Builder, Coco
from PIL import Image

import mimicit
from mimicit.config import BuildConfig, SourceConfig
from mimicit.exporters import export
from mimicit.exporters._base64_store import Base64Store
from mimicit.exporters._otter_parts import IdSet, Spelling
from mimicit.pipeline import build

GROUPS = {"IMAGE_TEXT", "TEXT_ONLY", "VIDEO_TEXT", "IMAGE_TEXT_IN_CONTEXT"}
TOKENS = re.compile(r"<image>|<answer>|<\|endofchunk\|>|<PAD>")
ID = re.compile(r"[A-Za-z0-9_]+_(INS|IMG)_.+")


@dataclass
class Loaded:
    """What a YAML file leads to, read as Otter's loader reads it."""

    group: str
    texts: dict[str, Any]
    pictures: pd.DataFrame
    train: dict[str, list[str]]

    def picture(self, name: str) -> Image.Image:
        """Look one up as the loader does."""
        text = self.pictures.loc[name]["base64"]
        return Image.open(io.BytesIO(base64.urlsafe_b64decode(text))).convert("RGB")


def load(path: Path) -> Loaded:
    """Read a YAML file and what it names; every rule on the way is a rule of the loader."""
    groups = yaml.safe_load(path.read_text())
    assert len(groups) == 1, "with two, its trainer runs out of batches"
    ((group, entries),) = groups.items()
    assert group in GROUPS
    ((_, entry),) = entries.items()
    assert entry.keys() <= {
        *("mimicit_path", "images_path", "train_config_path", "num_samples", "task_description")
    }
    paths = {key: path.parent / name for key, name in entry.items() if key.endswith("_path")}
    assert all(each.is_file() for each in paths.values())
    assert paths["images_path"].suffix == ".parquet"
    frames = []
    with pq.ParquetFile(paths["images_path"]) as file:
        meta = file.metadata
        for number in range(meta.num_row_groups):
            assert meta.row_group(number).num_rows <= 1000
            assert meta.row_group(number).total_byte_size < 2**31
        frames = [batch.to_pandas() for batch in file.iter_batches(1000)]
    pictures = pd.concat(frames)
    assert list(pictures.columns) == ["base64"]
    assert pictures.index.is_unique
    texts = json.loads(paths["mimicit_path"].read_bytes())
    assert set(texts) == {"meta", "data"}
    train = json.loads(paths["train_config_path"].read_bytes())
    return Loaded(group, texts["data"], pictures, train)


def conform(found: Loaded) -> None:
    """Check what must hold of the files together."""
    assert found.train.keys() <= found.texts.keys()
    counts = set()
    for name, row in found.texts.items():
        assert set(row) == {"instruction", "answer", "image_ids", "rel_ins_ids"}
        assert ID.fullmatch(name)
        for text in (row["instruction"], row["answer"]):
            assert text.strip()
            assert not TOKENS.search(text)
        assert row["image_ids"]
        assert all(ID.fullmatch(each) and each in found.pictures.index for each in row["image_ids"])
        counts.add(len(row["image_ids"]))
        for contexts in (row["rel_ins_ids"], found.train.get(name, [])):
            assert len(set(contexts)) == len(contexts)
            assert name not in contexts
            assert all(each in found.texts for each in contexts)
    for name in found.pictures.index:
        assert found.picture(name).size
    if found.group == "VIDEO_TEXT":
        assert min(counts) > 2
    else:
        assert len(counts) == 1, "pictures of a batch are stacked"
    for name, contexts in found.train.items():
        if found.group == "IMAGE_TEXT_IN_CONTEXT":
            assert all(len(found.texts[each]["image_ids"]) == 1 for each in contexts)
        else:  # the texts of contexts stand below the pictures of the query
            pictures = found.texts[name]["image_ids"]
            assert all(found.texts[each]["image_ids"] == pictures for each in contexts)


def read(out: Path) -> dict[str, Loaded]:
    """Read every YAML file of an export, and check it."""
    found = {path.stem: load(path) for path in sorted(out.glob("*.yaml"))}
    for each in found.values():
        conform(each)
    return found


def test_the_sample_is_what_the_loader_expects(sample: Path, tmp_path: Path) -> None:
    export(sample, "otter", tmp_path / "out")
    found = read(tmp_path / "out")
    assert set(found) == {"LACR", "LACR_in_context"}
    assert found["LACR"].group == "IMAGE_TEXT"
    assert not any(found["LACR"].train.values())
    alike = found["LACR_in_context"]
    dataset = mimicit.load(sample)
    for example in dataset:
        name = example.id.replace("LA_INS_", "LACR_T2T_00_INS_")
        row = alike.texts[name]
        assert (row["instruction"], row["answer"]) == (example.instruction, example.answer)
        assert row["image_ids"] == example.row["image_ids"]
        contexts = [
            each.replace("LA_INS_", "LACR_T2T_00_INS_") for each in example.row["rel_ins_ids"]
        ]
        assert alike.train[name] == row["rel_ins_ids"] == contexts
    assert len(alike.train) == len(dataset)
    for name in dataset.images:
        text = alike.pictures.loc[name]["base64"]
        assert base64.b64decode(text, validate=True) == dataset.images.read(name)
    assert len(alike.pictures) == len(dataset.images)


def test_each_number_of_pictures_and_each_split_has_files_of_its_own(
    own_data: Path, tmp_path: Path
) -> None:
    told = export(own_data, "otter", tmp_path / "out").told
    found = read(tmp_path / "out")
    stems = [f"MM{end}" for end in ("", "_pairs", "_frames", "_in_context")]
    assert {name for name in found if "_validation" not in name and "_test" not in name} == {*stems}
    dataset = mimicit.load(own_data)
    whole = {name: each for name, each in found.items() if not name.endswith("_in_context")}
    asked = [name for each in whole.values() for name in each.train]
    assert sorted(asked) == sorted(dataset.instructions.column("id").to_pylist())
    kinds = {"": 1, "_pairs": 2, "_frames": 3}
    for end, number in kinds.items():
        for split in ("train", "validation", "test"):
            rows = [
                each.id
                for each in dataset
                if each.row["split"] == split and min(len(each.row["image_ids"]), 3) == number
            ]
            stem = f"MM{end}" + ("" if split == "train" else f"_{split}")
            assert list(whole[stem].train) == rows if rows else stem not in whole
    assert sum(told.left_out.values()) > 0


def test_a_held_out_split_brings_its_examples_but_does_not_ask_them(
    own_data: Path, tmp_path: Path
) -> None:
    export(own_data, "otter", tmp_path / "out")
    found = read(tmp_path / "out")["MM_validation_in_context"]
    borrowed = found.texts.keys() - found.train.keys()
    assert borrowed
    splits = {e.id: e.row["split"] for e in mimicit.load(own_data)}
    assert {splits[name] for name in borrowed} == {"train"}
    assert {splits[name] for name in found.train} == {"validation"}
    assert {each for contexts in found.train.values() for each in contexts} == borrowed


def test_the_head_of_every_file_of_instructions_says_its_split(
    own_data: Path, tmp_path: Path
) -> None:
    export(own_data, "otter", tmp_path / "out")
    heads = {
        path.name: json.loads(path.read_bytes())["meta"]["split"]
        for path in (tmp_path / "out").glob("*_instructions.json")
    }
    assert set(heads.values()) == {"train", "validation", "test"}
    for name, split in heads.items():
        held_out = name.removesuffix("_instructions.json").rpartition("_")[2]
        assert split == (held_out if held_out in {"validation", "test"} else "train")


def test_examples_about_the_very_pictures_stand_in_the_plain_file(
    pets: Coco, build_coco: Builder, tmp_path: Path
) -> None:
    dataset = build_coco(pets.root, "built", link="same-image").out
    export(dataset, "otter", tmp_path / "out")
    found = read(tmp_path / "out")
    assert set(found) == {"LACONV"}
    assert any(found["LACONV"].train.values())
    assert not list((tmp_path / "out").glob("*_alone.json"))


def test_without_examples_every_id_says_so(pets: Coco, build_coco: Builder, tmp_path: Path) -> None:
    dataset = build_coco(pets.root, "built", shots=0).out
    export(dataset, "otter", tmp_path / "out")
    assert set(read(tmp_path / "out")) == {"LADD"}


@pytest.mark.parametrize("name", ["spot_the_diff", "visual_storytelling", "scene_navigation"])
def test_pairs_stories_and_rooms_keep_the_ids_of_their_pictures(
    name: str, tmp_path: Path, media_cache: Path
) -> None:
    source = SourceConfig(name=name, sample=True)
    build(BuildConfig(sources=[source]), tmp_path / "built", media_cache=media_cache)
    export(tmp_path / "built", "otter", tmp_path / "out")
    found = read(tmp_path / "out")
    prefixes = {name.partition("_")[0] for each in found.values() for name in each.texts}
    assert prefixes == {mimicit.load(tmp_path / "built")[0].id.partition("_")[0]}
    pictures = {name for each in found.values() for name in each.pictures.index}
    assert pictures == set(mimicit.load(tmp_path / "built").images)


@pytest.mark.parametrize(
    ("strategies", "name", "spelled"),
    [
        ({}, "LA_INS_1_00", "LADD_00_INS_1_00"),
        ({"same-image": 3}, "LA_INS_1_00", "LACONV_00_INS_1_00"),
        ({"conversation": 3}, "LLAVA_INS_1_00", "LACONV_01_INS_1_00"),
        ({"similar-text": 3, "random": 1}, "LA_INS_1_00", "LACR_T2T_00_INS_1_00"),
        ({"similar-image/texts": 3, "random": 1}, "LA_INS_1_00", "LACR_I2I_00_INS_1_00"),
        ({"random": 1}, "FQ_INS_1_00", "FunQA_INS_1_00"),
        ({"random": 1}, "DC_INS_1_00", "DC_INS_1_00"),
        ({"given": 1}, "LACONV_00_INS_1_0", "LACONV_00_INS_1_0"),
    ],
)
def test_ids_begin_as_the_older_loader_expects(
    strategies: dict[str, int], name: str, spelled: str
) -> None:
    ids = pa.chunked_array([[name]])
    assert Spelling(strategies, ids).instruction(name) == spelled


def test_no_id_is_spelled_like_one_that_is_there_already() -> None:
    ids = pa.chunked_array([["LA_INS_1_00"], ["LACR_T2T_00_INS_1_00", "FQ_INS_1"]])
    spelled = Spelling({"similar-text": 1}, ids)
    assert [spelled.instruction(name) for name in ids.to_pylist()] == ids.to_pylist()
    assert spelled.image("FQ_IMG_1") == "FQ_IMG_1"


def test_pictures_of_humour_are_called_as_they_were() -> None:
    spelled = Spelling({}, pa.chunked_array([["FQ_INS_H_A_1_00"]]))
    assert spelled.image("FQ_IMG_H_A_1_000001000") == "FunQA_IMG_H_A_1_000001000"
    assert spelled.image("LA_IMG_000000000001") == "LA_IMG_000000000001"


def test_row_groups_are_closed_by_number_and_by_size(tmp_path: Path) -> None:
    with Base64Store(tmp_path / "many.parquet") as store:
        for number in range(2100):
            store.write(f"LA_IMG_{number}", b"abc")
    with Base64Store(tmp_path / "large.parquet") as store:
        for number in range(8):
            store.write(f"LA_IMG_{number}", bytes(12 * 2**20))
    sizes = {
        path.stem: [pq.ParquetFile(path).metadata.row_group(n).num_rows for n in range(3)]
        for path in tmp_path.iterdir()
    }
    assert sizes == {"many": [1000, 1000, 100], "large": [2, 2, 2]}


def test_ids_are_told_apart_by_eight_bytes_each() -> None:
    known = IdSet()
    for number in range(3000):
        known.add((f"LA_IMG_{number}", f"LA_IMG_{number + 1}"))
    assert len(known) == 3001
    assert "LA_IMG_3000" in known
    assert Counter(f"LA_IMG_{n}" in known for n in range(3001, 9000)) == {False: 5999}
