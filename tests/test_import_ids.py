"""Which ids of a published directory are mended, and how those of another form are spelled."""

import re
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from published import Published, bring_in, picture, row, text_of, turned_away

import mimicit
from mimicit.importers.spelling import Spelling
from mimicit.published.mending import candidates
from mimicit.schema import INSTRUCTION_ID
from mimicit.validate import find_problems


@pytest.fixture
def release(tmp_path: Path) -> Published:
    return Published(tmp_path / "release")


CLIP = "s04e13_seg01_clip_00"


@pytest.mark.parametrize(
    ("named", "stored", "becomes"),
    [
        (f"TVC_IMG_{CLIP}_bbt_{CLIP}_00009", [f"TVC_IMG_bbt_{CLIP}_00009"], 0),
        (f"TVC_IMG_{CLIP}_bbt_{CLIP}_00009", [f"TVC_IMG_{CLIP}_00009"], 0),
        (f"TVC_IMG_{CLIP}_bbt_{CLIP}_9", [f"TVC_IMG_{CLIP}_9", f"TVC_IMG_bbt_{CLIP}_9"], None),
        (f"TVC_IMG_castle_{CLIP}_castle_{CLIP}_9", [f"TVC_IMG_castle_{CLIP}_9"], 0),
        (f"TVC_IMG_castle_{CLIP}_castle_{CLIP}_9", [f"TVC_IMG_{CLIP}_9"], None),
        (f"TVC_IMG_castle_{CLIP}_bbt_{CLIP}_9", [f"TVC_IMG_bbt_{CLIP}_9"], None),
        (f"TVC_IMG_{CLIP}_bbt_s04e13_seg01_clip_01_00009", [f"TVC_IMG_bbt_{CLIP}_00009"], None),
        ("SN_IMG_scene0001_color_000100", ["SN_IMG_scene0001_00_color_000100"], 0),
        ("SN_IMG_scene0001_color_000100", ["SN_IMG_scene0001_03_color_000100"], None),
        (
            "SN_IMG_scene0001_color_0",
            ["SN_IMG_scene0001_00_color_0", "SN_IMG_scene0001_01_color_0"],
            None,
        ),
        ("CGD_IMG_0000000000069568", ["CGD_IMG_000000069568"], 0),
        ("CGD_IMG_0001000000069568", ["CGD_IMG_000000069568"], None),
        ("000000033471", ["LA_IMG_000000033471"], 0),
        ("000000033471", ["LA_IMG_000000033471", "CGD_IMG_000000033471"], None),
        ("DC_IMG_v_1_0000", ["DC_IMG_v_2_0000"], None),
    ],
)
def test_an_id_is_mended_only_where_one_picture_alone_can_be_meant(
    release: Published, named: str, stored: list[str], becomes: int | None
) -> None:
    release.json("X", "X_IMG_1", *stored)
    release.instructions("X", {"X_INS_1": row([named]), "X_INS_2": row(["X_IMG_1"])})
    _, rows = bring_in(release, repair=True)
    found = rows.get("X_INS_1", {"image_ids": None})["image_ids"]
    assert found == (None if becomes is None else [stored[becomes]])


@given(st.text(max_size=40))
def test_no_id_stands_for_itself(name: str) -> None:
    assert name not in {each for _, each in candidates(name)}


def test_what_is_mended_is_counted_where_it_is_published(release: Published) -> None:
    scans = [f"SN_IMG_scene000{number}_00_color_000000" for number in range(3)]
    release.json("SN", scans[0], **{scans[1]: text_of(b"no picture")}).json("L", "L_IMG_1")
    named = [scan.replace("_00_", "_") for scan in scans]
    data = {f"no form {number}": row([name, "L_IMG_1"]) for number, name in enumerate(named)}
    release.instructions("SN", {**data, "SN_INS_1": row(["L_IMG_1"])})
    made, rows = bring_in(release, repair=True)
    assert list(rows) == ["OTTER_INS_no~20~form~20~0", "SN_INS_1"]
    assert (made.mended, made.respelled, made.mendable) == ({"no-scan": 1}, 1, 0)
    assert bring_in(release)[0].mendable == 2


def test_ids_of_another_form_are_spelled_so_that_they_can_be_published(release: Published) -> None:
    release.json("F", "clip 1/0", "F_IMG_1")
    names = ["FunQA_H_A_101", "FunQA_H_A_102"]
    release.instructions("FunQA", {names[0]: row(["clip 1/0"]), names[1]: row([], names[:1])})
    release.instructions("G", {"G_INS_1": row(["F_IMG_1"], names[:1])})
    made, rows = bring_in(release)
    assert rows["OTTER_INS_FunQA_H_A_101"]["image_ids"] == ["OTTER_IMG_clip~20~1~2f~0"]
    assert rows["G_INS_1"]["rel_ins_ids"] == ["OTTER_INS_FunQA_H_A_101"]
    assert made.respelled == 1
    assert turned_away(made) == {names[1]: "no-picture"}


def test_no_id_is_spelled_like_one_that_is_there(release: Published) -> None:
    pictures = ["a b", "OTTER_IMG_a~20~b"]
    release.json("F", *pictures)
    data = {
        "a b": row(pictures[:1]),
        "OTTER_INS_a~20~b": row(pictures[1:], ["a b"]),
        "F_INS_1": row(pictures, ["OTTER_INS_a~20~b", "a b"]),
    }
    assert find_problems(release.instructions("F", data).root) == []
    made, rows = bring_in(release)
    assert (made.rejected, made.respelled, made.images) == ({}, 1, 2)
    assert rows["OTTER_INS_a~20~b~"]["image_ids"] == ["OTTER_IMG_a~20~b~"]
    assert rows["OTTER_INS_a~20~b"]["image_ids"] == ["OTTER_IMG_a~20~b"]
    assert rows["F_INS_1"]["rel_ins_ids"] == ["OTTER_INS_a~20~b", "OTTER_INS_a~20~b~"]
    images = mimicit.load(made.out).images
    assert [images.read(f"OTTER_IMG_a~20~b{end}") for end in ("~", "")] == [picture(0), picture(1)]


NAMES = st.lists(
    st.text(max_size=8)
    | st.text("a ~", max_size=5)
    | st.text("a ~20", max_size=7).map("OTTER_INS_{}".format)
    | st.sampled_from(["OTTER_INS_~", "OTTER_INS_~~", "OTTER_INS_~20~~", "A_INS_~20~"]),
    unique=True,
)


@given(NAMES)
def test_all_ids_are_spelled_apart_and_those_of_the_form_stay(names: list[str]) -> None:
    spell = Spelling("INS", pa.chunked_array([names], pa.string()))
    spelled = [spell(name) for name in names]
    assert len(set(spelled)) == len(names)
    assert all(re.fullmatch(INSTRUCTION_ID, name) for name in spelled)
    fitting = [name for name in names if re.fullmatch(INSTRUCTION_ID, name)]
    assert [spell(name) for name in fitting] == fitting
