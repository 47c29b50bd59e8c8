"""The COCO source: what users' files really look like, and what is made of them."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from conftest import SHARED, Coco, needs_shared
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mimicit.annotations import Box, Caption
from mimicit.errors import SourceError, UsageError
from mimicit.generators import open_source
from mimicit.images import examine
from mimicit.schema import Rejection, Scene


def read(root: Path, **options: str) -> tuple[dict[str, Scene], list[Rejection]]:
    items = list(open_source("coco", {"root": str(root), **options}).scenes())
    scenes = {item.id: item for item in items if isinstance(item, Scene)}
    return scenes, [item for item in items if isinstance(item, Rejection)]


def captions(scene: Scene) -> list[str]:
    return [a.text for a in scene.annotations if isinstance(a, Caption)]


def boxes(scene: Scene) -> list[Box]:
    return [a for a in scene.annotations if isinstance(a, Box)]


def test_captions_and_boxes_are_joined_and_neither_is_needed(coco: Coco) -> None:
    coco.picture(1).picture(2).picture(3).picture(4)
    coco.caption(1, "A cat.").caption(2, "A dog.").box(2, 18, 1, 2, 30, 40).box(3, 17, 0, 0, 9, 9)
    scenes, rejected = read(coco.write())
    assert list(scenes) == [f"{n:012d}" for n in (1, 2, 3, 4)]
    assert [len(scene.annotations) for scene in scenes.values()] == [1, 2, 1, 0]
    assert boxes(scenes["000000000002"]) == [Box("dog", 1, 2, 30, 40, 1200.0)]
    assert scenes["000000000001"].images[0].id == "LA_IMG_000000000001"
    assert not rejected


def test_either_file_will_do(coco: Coco) -> None:
    root = coco.picture(1).caption(1, "A cat.").box(1, 17, 0, 0, 9, 9).write()
    (root / "annotations" / "instances_tiny.json").unlink()
    assert captions(read(root)[0]["000000000001"]) == ["A cat."]
    coco.write()
    (root / "annotations" / "captions_tiny.json").unlink()
    assert len(boxes(read(root)[0]["000000000001"])) == 1


def test_absence_is_known_only_where_boxes_were_drawn(coco: Coco) -> None:
    coco.picture(1).picture(2).caption(1, "A cat.").box(2, 18, 1, 2, 30, 40)
    scenes, _ = read(coco.write())
    assert scenes["000000000001"].vocabulary == ()
    assert scenes["000000000002"].vocabulary == ("airplane", "bed", "cat", "dog", "person", "zebra")
    assert read(coco.root, exhaustive="false")[0]["000000000002"].vocabulary == ()


def test_partly_labelled_data_says_nothing_of_absence(coco: Coco) -> None:
    coco.picture(1, neg_category_ids=[17]).box(1, 18, 1, 2, 30, 40)
    assert read(coco.write())[0]["000000000001"].vocabulary == ()


def test_crowds_are_marked_and_polygons_skipped(coco: Coco) -> None:
    rle = {"counts": [1, 2, 3], "size": [100, 200]}
    coco.picture(1).box(1, 1, 1, 2, 30, 40, iscrowd=1, segmentation=rle)
    coco.box(1, 1, 5, 5, 3, 3, segmentation=[[1, 2, 3, 4, 5, 6]])
    assert [box.crowd for box in boxes(read(coco.write())[0]["000000000001"])] == [True, False]


def test_white_space_is_mended_and_repeats_are_named(coco: Coco) -> None:
    coco.picture(1).caption(1, "  A cat \n sits.\n", "a cat sits", " ", "A dog.")
    scenes, rejected = read(coco.write())
    assert captions(scenes["000000000001"]) == ["A cat sits.", "A dog."]
    assert [(r.reason, r.record) for r in rejected] == [
        ("duplicate-caption", "annotation 2"),
        ("empty-caption", "annotation 3"),
    ]


def test_missing_keys_are_no_obstacle(coco: Coco) -> None:
    coco.picture(1, width=None, height=None).caption(1, "A cat.")
    scenes, rejected = read(coco.write())  # neither `info` nor `licenses` either
    assert scenes["000000000001"].images[0].size is None
    assert scenes["000000000001"].licence == ""
    assert not rejected


def test_licences_get_their_spdx_id(coco: Coco) -> None:
    urls = {
        1: "http://creativecommons.org/licenses/by-nc-sa/2.0/",
        2: "https://creativecommons.org/publicdomain/zero/1.0/",
        3: "http://flickr.com/commons/usage/",
    }
    coco.extra["licenses"] = [{"id": n, "name": f"Name  {n}", "url": u} for n, u in urls.items()]
    for n in (1, 2, 3, 4):
        coco.picture(n, license=n).caption(n, "A cat.")
    scenes, _ = read(coco.write())
    assert [s.licence for s in scenes.values()] == ["CC-BY-NC-SA-2.0", "CC0-1.0", "Name 3", ""]


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ({"bbox": [1, 2, 0, 5]}, "empty-box"),
        ({"bbox": [300, 2, 10, 5]}, "empty-box"),
        ({"bbox": [1, 2, 3]}, "malformed-box"),
        ({"bbox": "1,2,3,4"}, "malformed-box"),
        ({"bbox": None}, "malformed-box"),
        ({"category_id": 999}, "unknown-category"),
        ({"category_id": None}, "unknown-category"),
        ({"category_id": None, "bbox": []}, "unknown-category"),
    ],
)
def test_a_box_that_says_nothing_is_a_rejected_row(coco: Coco, box: Any, reason: str) -> None:
    coco.picture(1).box(1, 17, 1, 1, 5, 5).box(1, 18, 0, 0, 0, 0, **box)
    scenes, rejected = read(coco.write())
    assert [b.label for b in boxes(scenes["000000000001"])] == ["cat"]
    assert scenes["000000000001"].vocabulary == (), (
        "something is there: nothing is known to be absent"
    )
    assert [(r.reason, r.record, r.scene_id) for r in rejected] == [
        (reason, "annotation 2", "000000000001")
    ]


def test_a_rejected_box_never_becomes_a_no_or_an_exact_count(coco: Coco) -> None:
    coco.picture(1).box(1, 17, 1, 1, 50, 50).box(1, 18, 9, 9, 40, 40, bbox="odd").caption(1, " ")
    coco.picture(2).box(2, 17, 1, 1, 50, 50).box(2, 17, 60, 1, 50, 50, iscrowd="yes")
    scenes, rejected = read(coco.write())
    assert [scene.vocabulary for scene in scenes.values()] == [(), ()]
    assert {r.reason for r in rejected} == {"malformed-box", "malformed-record", "empty-caption"}


def test_a_box_is_kept_though_its_caption_says_nothing(coco: Coco) -> None:
    coco.picture(1).box(1, 17, 1, 1, 50, 50, caption="").box(1, 18, 9, 9, 40, 40, caption="A dog.")
    scenes, rejected = read(coco.write())
    assert [box.label for box in boxes(scenes["000000000001"])] == ["cat", "dog"]
    assert [r.reason for r in rejected] == ["empty-caption"]


def test_ids_of_categories_may_be_numbers_or_text(coco: Coco) -> None:
    coco.picture(1).box(1, 17, 1, 1, 50, 50, category_id="17")
    assert [box.label for box in boxes(read(coco.write())[0]["000000000001"])] == ["cat"]


def test_conflicting_entries_are_settled_whatever_their_order(coco: Coco) -> None:
    coco.picture(1, size=(200, 100)).caption(1, "A cat.").box(1, 17, 1, 1, 50, 50)
    coco.images.append({**coco.images[0], "width": 300})
    coco.categories.append({"id": 17, "name": "tiger"})
    before = read(coco.write())
    assert {r.reason for r in before[1]} == {"duplicate-image-id", "unknown-category"}
    coco.images.reverse()
    coco.categories.reverse()
    assert read(coco.write()) == before


def test_what_json_does_not_have_costs_one_record_and_not_the_file(coco: Coco) -> None:
    coco.picture(1).caption(1, "A cat.", "A \ud800 half.", "Two cats.")
    coco.box(1, 17, float("nan"), 1, 5, 5).box(1, 18, 1, 1, 5, 5)
    scenes, rejected = read(coco.write())
    assert captions(scenes["000000000001"]) == ["A cat.", "Two cats."]
    assert [box.label for box in boxes(scenes["000000000001"])] == ["dog"]
    assert [r.reason for r in rejected] == ["malformed-record"] * 2


def test_numbers_and_names_without_measure_are_no_obstacle(coco: Coco) -> None:
    coco.picture(1, width=10**400).caption(1, "A cat.")
    coco.picture(2).box(2, 17, 1, 1, 5, 5, area=10**400)
    coco.picture(3).caption(3, "A dog.")
    (coco.root / "images").mkdir()  # two places to look in
    coco.images[2]["file_name"] = "x" * 300
    coco.images.append({"id": "", "file_name": "1.jpg"})
    scenes, rejected = read(coco.write())
    assert [scene.images[0].size for scene in scenes.values()] == [None, (200, 100), (200, 100)]
    assert examine("i", scenes["000000000003"].images[0]).problem == "missing-file"
    assert [r.reason for r in rejected] == ["no-image-id"]


def test_a_linked_folder_of_photographs_is_trusted(coco: Coco) -> None:
    root = coco.picture(1).caption(1, "A cat.").write()
    (root / "tiny").rename(root.parent / "elsewhere")
    (root / "tiny").symlink_to(root.parent / "elsewhere")
    ref = read(root)[0]["000000000001"].images[0]
    assert examine("i", ref).problem == ""


def test_a_box_is_cut_to_the_picture(coco: Coco) -> None:
    coco.picture(1, size=(200, 100)).box(1, 17, -5, 90, 50, 50)
    assert boxes(read(coco.write())[0]["000000000001"]) == [Box("cat", 0, 90, 45, 10, 2500.0)]


def test_records_of_the_wrong_shape_are_named_and_the_rest_is_read(coco: Coco) -> None:
    coco.picture(1).caption(1, "A cat.")
    coco.captions += [{"id": 7, "image_id": 1, "caption": ["a", "list"]}, {"caption": "no image"}]
    coco.images.append({"file_name": "no id.jpg"})
    scenes, rejected = read(coco.write())
    assert captions(scenes["000000000001"]) == ["A cat."]
    assert [r.reason for r in rejected] == ["malformed-record"] * 3
    assert any('"id": 7' in r.record for r in rejected)


def test_annotations_of_unknown_pictures_are_named(coco: Coco) -> None:
    coco.picture(5).caption(5, "A cat.").caption(4, "Before.").caption(6, "After.")
    scenes, rejected = read(coco.write())
    assert list(scenes) == ["000000000005"]
    assert [(r.reason, r.scene_id) for r in rejected] == [
        ("unknown-image", "000000000004"),
        ("unknown-image", "000000000006"),
    ]


def test_one_id_for_two_files_is_named(coco: Coco) -> None:
    coco.picture(1, "b.jpg").picture(1, "a.jpg").caption(1, "A cat.")
    scenes, rejected = read(coco.write())
    assert scenes["000000000001"].images[0].name == "tiny/a.jpg"
    assert [(r.reason, r.record) for r in rejected] == [("duplicate-image-id", "b.jpg")]


def test_ids_may_be_text_and_stay_apart(coco: Coco) -> None:
    for image_id in ("12", "a b", "a~b", "ab.1", "ab"):
        coco.picture(image_id, name=f"{len(coco.images)}.jpg").caption(image_id, "A cat.")
    scenes, _ = read(coco.write())
    assert set(scenes) == {"000000000012", "a~20~b", "a~7e~b", "ab", "ab.1"}
    assert all(len(captions(scene)) == 1 for scene in scenes.values())


@pytest.mark.parametrize("name", ["sub/1.jpg", "sub\\1.jpg", "tiny/1.jpg"])
def test_pictures_may_stand_in_folders(coco: Coco, name: str) -> None:
    coco.picture(1, "sub/1.jpg").caption(1, "A cat.")
    coco.picture(2, "1.jpg").caption(2, "A cat.")
    coco.images[0]["file_name"] = name
    ref = read(coco.write())[0]["000000000001"].images[0]
    assert examine(ref.id, ref).problem == ""


@pytest.mark.parametrize("name", ["../../secret.jpg", "/etc/hostname", "..\\..\\secret.jpg"])
def test_a_file_name_that_leaves_the_root_is_never_read(coco: Coco, name: str) -> None:
    coco.picture(1).caption(1, "A cat.")
    coco.images[0]["file_name"] = name
    coco.write()
    (coco.root.parent / "secret.jpg").write_bytes((coco.root / "tiny" / "1.jpg").read_bytes())
    ref = read(coco.root)[0]["000000000001"].images[0]
    assert examine(ref.id, ref).problem == "unsafe-path"


def test_an_entry_without_a_file_name_is_named(coco: Coco) -> None:
    coco.picture(1, file_name=None).caption(1, "A cat.")
    scenes, rejected = read(coco.write())
    assert not scenes
    assert [r.reason for r in rejected] == ["no-file-name"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"[]", "not in COCO's layout"),
        (b'{"images": []}', "not in COCO's layout"),
        (b'{"images": {}, "annotations": []}', "not in COCO's layout"),
        (b'{"images": [], "annotations": [], "x": ' + b"[" * 100_000, "nested too deeply"),
    ],
)
def test_a_file_that_is_no_annotation_file_is_an_error(
    coco: Coco, content: bytes, words: str
) -> None:
    root = coco.picture(1).caption(1, "A cat.").write()
    (root / "annotations" / "captions_tiny.json").write_bytes(content)
    with pytest.raises(SourceError, match=words):
        read(root)


def test_a_byte_order_mark_is_read_over(coco: Coco) -> None:
    path = coco.picture(1).caption(1, "A cat.").write() / "annotations" / "captions_tiny.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(read(coco.root)[0]) == 1


def test_one_of_several_splits_must_be_chosen(coco: Coco) -> None:
    root = coco.picture(1).caption(1, "A cat.").write()
    other = root / "annotations" / "captions_other.json"
    other.write_bytes((root / "annotations" / "captions_tiny.json").read_bytes())
    with pytest.raises(UsageError, match=r"other, tiny.*-o split="):
        read(root)
    assert len(read(root, split="tiny")[0]) == 1
    with pytest.raises(UsageError, match="no split 'third'"):
        read(root, split="third")


def test_without_any_place_it_says_where_it_looked(
    inside: Path, coco: Coco, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match=r"(?s)data/coco.*cocodataset\.org.*--sample"):
        open_source("coco", {})
    coco.picture(1).caption(1, "A cat.").write()
    monkeypatch.setenv("MIMICIT_DATA", str(coco.root.parent))
    assert len(list(open_source("coco", {}).scenes())) == 1
    monkeypatch.delenv("MIMICIT_DATA")
    (inside / "data").mkdir()
    (inside / "data" / "coco").symlink_to(coco.root)
    assert len(list(open_source("coco", {}).scenes())) == 1


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"captions": "gone.json", "images": "."}, SourceError, "gone.json"),
        ({"root": "gone"}, SourceError, "gone"),
        ({"root": "."}, SourceError, "no annotations/captions_"),
        ({"colour": "red"}, UsageError, "no option 'colour'; it has: root"),
        ({"exhaustive": "maybe"}, UsageError, "true or false"),
        ({"split": "val"}, UsageError, "--root"),
    ],
)
def test_a_wrong_option_says_what_to_do(
    inside: Path, options: dict[str, str], error: type[Exception], words: str
) -> None:
    assert inside
    with pytest.raises(error, match=words):
        list(open_source("coco", options).scenes())


def test_files_may_be_named_one_by_one(coco: Coco) -> None:
    root = coco.picture(1).caption(1, "A cat.").box(1, 17, 0, 0, 9, 9).write()
    options = {
        "captions": str(root / "annotations" / "captions_tiny.json"),
        "instances": str(root / "annotations" / "instances_tiny.json"),
        "images": str(root / "tiny"),
    }
    scenes = [s for s in open_source("coco", options).scenes() if isinstance(s, Scene)]
    assert [len(s.annotations) for s in scenes] == [2]
    assert scenes[0].images[0].path == "1.jpg"


@given(seed=st.integers(0, 10_000))
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_order_of_the_file_does_not_matter(tmp_path: Path, seed: int) -> None:
    shuffler = random.Random(seed)
    coco = Coco(tmp_path / "coco")
    for image_id in (3, 1, 2):
        coco.picture(image_id).caption(image_id, "A cat.", "A cat", "Two dogs.", " ")
        coco.box(image_id, 17, 1, 1, 5, 5).box(image_id, 18, 2, 2, 9, 9).box(
            image_id, 99, 1, 1, 1, 1
        )
    coco.caption(9, "Nobody's.")
    before = read(coco.write())
    for entries in (coco.images, coco.captions, coco.instances, coco.categories):
        shuffler.shuffle(entries)
    assert read(coco.write()) == before


@needs_shared
def test_real_files_are_read_whole() -> None:
    scenes, rejected = read(SHARED / "coco")
    assert len(scenes) == 389
    assert sum(bool(boxes(scene)) for scene in scenes.values()) == 281
    assert sum(len(captions(s)) for s in scenes.values()) + len(rejected) == 1946
    assert sum(len(boxes(s)) for s in scenes.values()) == 2279


@needs_shared
def test_all_25_014_real_captions_are_accounted_for(tmp_path: Path) -> None:
    options = {"captions": str(SHARED / "scale" / "captions_val2017.json"), "images": str(tmp_path)}
    items = list(open_source("coco", options).scenes())
    kept = [text for item in items if isinstance(item, Scene) for text in captions(item)]
    named = [item for item in items if isinstance(item, Rejection)]
    assert len(kept) + len(named) == 25_014
    assert {r.reason for r in named} == {"duplicate-caption"}
    assert not any("\n" in text or text != text.strip() for text in kept)
    raw = json.loads((SHARED / "scale" / "captions_val2017.json").read_text())
    assert sum(isinstance(item, Scene) for item in items) == len(raw["images"])
