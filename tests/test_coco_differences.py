"""Pairs of COCO photographs: which are paired, that this stays, and what is said of them."""

import json
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import SHARED, Coco, needs_shared
from hypothesis import given
from hypothesis import strategies as st

from mimicit import nouns
from mimicit.annotations import Annotation, Box, Caption
from mimicit.checks import check, text_problem
from mimicit.config import BuildConfig, SourceConfig
from mimicit.errors import SourceError, UsageError
from mimicit.generators import open_source
from mimicit.generators._pairs import Pair, frozen_pairs, grouped
from mimicit.generators._queries import read_text
from mimicit.pipeline import build
from mimicit.schema import Exchange, ImageRef, Rejection, Scene
from mimicit.splits import Splits
from mimicit.templates import write

KINDS = ("A cat on a sofa", "A dog in the snow", "A zebra near trees")


def read(root: Path, **options: str) -> tuple[dict[str, Scene], list[Rejection]]:
    items = list(open_source("coco_differences", {"root": str(root), **options}).scenes())
    scenes = [item for item in items if isinstance(item, Scene)]
    assert [s.id for s in scenes] == sorted({s.id for s in scenes})
    return {s.id: s for s in scenes}, [item for item in items if isinstance(item, Rejection)]


def photographs(coco: Coco, *ids: int) -> Path:
    """Photographs of three kinds in turn, each with words of its own besides."""
    for number in ids:
        coco.picture(number).caption(number, f"{KINDS[number % 3]} number{number}")
    return coco.write()


def name(*ids: int) -> str:
    return "_".join(f"{number:012d}" for number in ids)


def lines(root: Path) -> list[str]:
    return (root / "pairs_tiny.jsonl").read_text().splitlines()


def test_each_photograph_is_beside_the_one_most_like_it(coco: Coco) -> None:
    scenes, rejected = read(photographs(coco, 0, 1, 2, 3, 4, 5))
    assert [*scenes] == [name(0, 3), name(1, 4), name(2, 5)]
    assert not rejected
    scene = scenes[name(0, 3)]
    assert [ref.id for ref in scene.images] == [f"CGD_IMG_{0:012d}", f"CGD_IMG_{3:012d}"]
    assert [(a.text, a.image) for a in scene.annotations if isinstance(a, Caption)] == [
        ("A cat on a sofa number0", 0),
        ("A cat on a sofa number3", 1),
    ]


def test_boxes_and_what_was_looked_for_come_along(pets: Coco) -> None:
    scenes, _ = read(pets.root)
    scene = scenes[name(1, 2)]
    assert Counter(a.image for a in scene.annotations if isinstance(a, Box)) == {0: 2, 1: 2}
    assert "zebra" in scene.vocabulary
    pets.picture(4).caption(4, "A dog runs after a cat across the grass again.")
    scenes, _ = read(pets.write())
    assert scenes[name(2, 4)].vocabulary == (), "in one of them nothing was looked for"


def test_pairs_are_written_down_and_never_change(coco: Coco) -> None:
    before, _ = read(photographs(coco, 0, 1, 3, 4))
    kept = lines(coco.root)
    assert read(coco.root)[0] == before
    photographs(coco, 2, 5, 6, 9, 12)
    after, _ = read(coco.root)
    assert lines(coco.root)[: len(kept)] == kept
    assert {key: after[key] for key in before} == before
    assert {n for key in after for n in key.split("_")} == {
        f"{n:012d}" for n in (0, 1, 2, 3, 4, 5, 6, 9, 12)
    }


READ = """
import sys
from mimicit.generators import open_source
captions, images, pairs = sys.argv[1:]
list(open_source("coco_differences", dict(captions=captions, images=images, pairs=pairs)).scenes())
"""


def test_two_builds_at_once_keep_the_pairs_of_both(coco: Coco) -> None:
    root = photographs(coco, *range(60))
    whole = json.loads((root / "annotations" / "captions_tiny.json").read_text())
    running = []
    for half in range(2):
        part = {
            **whole,
            "images": [one for one in whole["images"] if one["id"] % 2 == half],
            "annotations": [one for one in whole["annotations"] if one["image_id"] % 2 == half],
        }
        path = root / f"{half}.json"
        path.write_text(json.dumps(part))
        options = (str(path), str(root), str(root / "pairs_tiny.jsonl"))
        running.append(subprocess.Popen([sys.executable, "-c", READ, *options]))
    assert [process.wait() for process in running] == [0, 0]
    paired = {json.loads(line)[key] for line in lines(root) for key in ("first", "second")}
    assert paired == {f"{number:012d}" for number in range(60)}
    assert [path.name for path in root.iterdir() if path.name.startswith(".")] == []


def test_pairs_that_another_build_has_found_meanwhile_are_taken_over(tmp_path: Path) -> None:
    path, photos = tmp_path / "pairs.jsonl", [f"{KINDS[n % 3]} {n}" for n in range(9)]
    others: list[list[Pair]] = []

    def text(photo: str) -> str:
        if not others:  # this build has read the file, and not written it yet
            others.append([])
            others[0] += frozen_pairs(path, photos[:6], str, "x")[0]
        return photo

    mine, _ = frozen_pairs(path, photos, text, "x")
    assert set(others[0]) < set(mine)
    assert len(path.read_text().splitlines()) == len(mine)
    assert frozen_pairs(path, photos, str, "x") == (mine, [])


def test_what_a_killed_build_left_beside_the_pairs_is_removed(coco: Coco) -> None:
    root = photographs(coco, 0, 1, 3, 4)
    for left in (".pairs_tiny.jsonl.12345", ".pairs_tiny.jsonl.mine", ".pairs_tiny.jsonl"):
        (root / left).write_text("x")
    read(root)
    there = sorted(path.name for path in root.iterdir() if path.name.startswith("."))
    assert there == [".pairs_tiny.jsonl", ".pairs_tiny.jsonl.mine"]


def test_a_pair_whose_photograph_is_gone_is_named_and_stays_in_the_file(coco: Coco) -> None:
    read(photographs(coco, 0, 1, 3, 4))
    kept = lines(coco.root)
    coco.images = [image for image in coco.images if image["id"] != 3]
    coco.captions = [caption for caption in coco.captions if caption["image_id"] != 3]
    scenes, rejected = read(coco.write())
    assert [*scenes] == [name(1, 4)]
    assert [(r.reason, r.record) for r in rejected] == [("unknown-image", f"pair {name(0, 3)}")]
    assert lines(coco.root) == kept


def test_what_is_no_pair_is_named(coco: Coco) -> None:
    root = photographs(coco, 0, 1, 3, 4)
    odd = [
        {"first": 0, "second": "3"},
        {"first": 3, "second": 0},
        {"first": 1, "second": 1},
        {"first": 4},
        7,
        {"first": 1, "second": 4},
    ]
    text = "".join(json.dumps(line) + "\n" for line in odd) + "{\n\n"
    (root / "pairs_tiny.jsonl").write_text(text)
    scenes, rejected = read(root)
    assert [*scenes] == [name(0, 3), name(1, 4)]
    assert Counter(r.reason for r in rejected) == {
        "duplicate-pair": 1,
        "no-pair": 1,
        "malformed-record": 3,
    }
    assert (root / "pairs_tiny.jsonl").read_text() == text


def test_a_line_that_was_cut_off_takes_none_with_it(coco: Coco) -> None:
    root = photographs(coco, 0, 1, 3, 4)
    (root / "pairs_tiny.jsonl").write_text(f'{{"first": 0, "second": 3}}\n{{"first": "{1:012d}"')
    scenes, rejected = read(root)
    assert [*scenes] == [name(0, 3), name(1, 4)]
    assert [r.reason for r in rejected] == ["malformed-record"]
    assert [r.reason for r in read(root)[1]] == ["malformed-record"]


def test_another_file_is_not_taken_for_one_of_pairs(coco: Coco) -> None:
    root = photographs(coco, 0, 1, 3, 4)
    other = root / "notes.txt"
    other.write_text("do not touch\n")
    with pytest.raises(SourceError, match=r"notes\.txt"):
        read(root, pairs=str(other))
    assert other.read_text() == "do not touch\n"


def test_where_pairs_cannot_be_written_it_says_what_to_do(coco: Coco) -> None:
    root = photographs(coco, 0, 1, 3, 4)
    (root / "file").write_text("")
    with pytest.raises(UsageError, match="-o pairs=FILE"):
        read(root, pairs=str(root / "gone" / "pairs.jsonl"))
    other = root / "mine.jsonl"
    assert len(read(root, pairs=str(other))[0]) == 2
    assert not (root / "pairs_tiny.jsonl").exists()


def test_a_photograph_of_which_nothing_is_said_is_named(coco: Coco) -> None:
    coco.picture(8)
    scenes, rejected = read(photographs(coco, 0, 3))
    assert [*scenes] == [name(0, 3)]
    assert [(r.reason, r.scene_id) for r in rejected] == [("no-pair", name(8))]


def test_a_single_photograph_has_no_pair(coco: Coco) -> None:
    scenes, rejected = read(photographs(coco, 3))
    assert not scenes
    assert [r.reason for r in rejected] == ["no-pair"]


def test_what_coco_turns_away_is_turned_away_here(coco: Coco) -> None:
    coco.caption(99, "Nobody's.")
    _, rejected = read(photographs(coco, 0, 3))
    assert [(r.source, r.reason) for r in rejected] == [("coco_differences", "unknown-image")]


def test_the_order_of_the_files_does_not_matter(coco: Coco) -> None:
    root = photographs(coco, 0, 1, 2, 3, 4, 5, 6, 7, 8)
    before = read(root)
    for entries in (coco.images, coco.captions):
        entries.reverse()
    (root / "pairs_tiny.jsonl").write_text("".join(f"{line}\n" for line in reversed(lines(root))))
    assert read(coco.write()) == before


photo = st.integers(0, 30).map(str)
chosen = st.lists(st.tuples(photo, photo).filter(lambda p: p[0] != p[1]), max_size=40)


@given(chosen, st.randoms(use_true_random=False))
def test_pairs_that_share_a_photograph_are_one_group(pairs: list[Any], shuffler: Any) -> None:
    found = grouped(Pair(*pair) for pair in pairs)
    group: dict[str, str] = {}
    for pair in found:
        assert group.setdefault(pair.first, pair.group) == pair.group
        assert group.setdefault(pair.second, pair.group) == pair.group
    shuffler.shuffle(pairs)
    assert sorted(set(grouped(Pair(*pair) for pair in pairs))) == sorted(set(found))


@given(chosen, st.lists(st.tuples(st.integers(0, 30), st.integers(0, 60)), max_size=12))
def test_a_group_keeps_its_name_when_photographs_join_it(old: list[Any], new: list[Any]) -> None:
    kept = grouped(Pair(*pair) for pair in old)
    there = {photo for pair in old for photo in pair}
    more: dict[str, Pair] = {}
    for number, other in new:  # each new photograph brings one pair
        fresh = f"new{number}"
        beside = f"new{other - 31}" if other > 30 else str(other)
        if beside != fresh and (beside in there or beside.startswith("new")):
            more[fresh] = Pair(fresh, beside)
    assert grouped([*kept, *more.values()])[: len(kept)] == kept


def test_no_photograph_is_in_two_splits(coco: Coco, tmp_path: Path) -> None:
    root = photographs(coco, *range(40))
    splits = Splits({"test": 0.3, "validation": 0.3, "train": 0.4})
    where: dict[str, set[str]] = {}
    for scene in read(root)[0].values():
        for ref in scene.images:
            where.setdefault(ref.id, set()).add(splits.of(scene.source, scene.groups[0]))
    assert len(where) == 40
    assert all(len(found) == 1 for found in where.values())


def test_a_photograph_has_one_row_however_many_pairs_it_is_in(coco: Coco, tmp_path: Path) -> None:
    root = photographs(coco, 0, 3, 6, 9, 1, 4)
    source = SourceConfig(name="coco_differences", options={"root": str(root)})
    summary = build(BuildConfig(sources=[source]), tmp_path / "out")
    assert summary.images == 6
    assert summary.rejected == {}


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"root": "gone"}, SourceError, "gone"),
        ({"root": "."}, SourceError, "no annotations"),
        ({"split": "val"}, UsageError, "--root"),
        ({"captions": "x.json", "images": "."}, UsageError, "-o pairs=FILE"),
        ({"queries": "x.json", "root": "."}, SourceError, "x.json"),
        ({"colour": "red"}, UsageError, "no option 'colour'"),
    ],
)
def test_a_wrong_option_says_what_to_do(
    inside: Path, options: dict[str, str], error: type[Exception], words: str
) -> None:
    assert inside
    with pytest.raises(error, match=words):
        list(open_source("coco_differences", options).scenes())


def test_mistakes_are_told_in_the_name_of_this_source(coco: Coco) -> None:
    root = photographs(coco, 0, 3)
    with pytest.raises(UsageError, match=r"^coco_differences: no split 'third'"):
        read(root, split="third")


def test_photographs_without_a_licence_take_the_one_named(coco: Coco) -> None:
    root = photographs(coco, 0, 3)
    (root / "licence.txt").write_text("CC-BY-2.0\n")
    assert {scene.licence for scene in read(root)[0].values()} == {"CC-BY-2.0"}
    assert {scene.licence for scene in read(root, licence="CC0-1.0")[0].values()} == {"CC0-1.0"}


# -------------------------------------------------------------- pairs ready made


def ask(root: Path, pairs: Any, **options: str) -> tuple[dict[str, Scene], list[Rejection]]:
    (root / "csd_query.json").write_text(json.dumps(pairs))
    return read(root, queries=str(root / "csd_query.json"), **options)


PREFIXED = "Image 1: A cat.\nImage 1: cat: [1, 2, 30, 40]\nimage 2: Two dogs.\nImage 2: a dog"
HEADED = "image a:\nA cat.\ncat: [1, 2, 30, 40]\n\nimage b:\nTwo dogs.\na dog\n"


@pytest.mark.parametrize("text", [PREFIXED, HEADED])
def test_both_ways_of_writing_say_the_same(tmp_path: Path, text: str) -> None:
    record = {"sentences": text, "image_1": "000000000139.jpg", "image_2": "000000221708.jpg"}
    scenes, rejected = ask(tmp_path, {"000000000139_000000221708": record})
    assert not rejected
    assert scenes[name(139, 221708)].annotations == (
        Caption("A cat.", 0),
        Box("cat", 1.0, 2.0, 30.0, 40.0, image=0),
        Caption("Two dogs.", 1),
        Caption("a dog", 1),
    )
    assert scenes[name(139, 221708)].images[1].id == "CGD_IMG_000000221708"


def test_photographs_are_known_by_the_pair_where_it_names_none(tmp_path: Path) -> None:
    pairs = {
        "139_000000221708": {"sentences": "image a:\nA cat."},
        "row 7": {"sentences": "image a:\nA cat."},
        "a_b_c": {"sentences": ""},
        "1_1": {"sentences": ""},
        "1.jpg_1": {"sentences": ""},
        "x": {"sentences": 7},
        "y": 7,
        "again": {"sentences": "", "image_1": "139.jpg", "image_2": "000000221708.jpg"},
    }
    scenes, rejected = ask(tmp_path, pairs)
    assert [*scenes] == [f"139.jpg_{name(221708)}"]
    assert Counter(r.reason for r in rejected) == {
        "no-file-name": 2,
        "no-pair": 2,
        "malformed-record": 2,
        "duplicate-pair": 1,
    }


def test_the_order_of_the_pairs_does_not_matter(tmp_path: Path) -> None:
    pairs = {f"{n}_{n * 7 % 20 + 21}": {"sentences": f"Image 1: A cat {n}."} for n in range(20)}
    before = ask(tmp_path, pairs)
    assert ask(tmp_path, dict(reversed(pairs.items()))) == before


def test_photographs_are_found_in_the_usual_folders(coco: Coco) -> None:
    root = photographs(coco, 1, 2)
    (root / "tiny").rename(root / "val2017")
    record = {"sentences": "Image 1: A cat.", "image_1": "1.jpg", "image_2": "../../2.jpg"}
    scenes, _ = ask(root, {"x": record})
    (scene,) = scenes.values()
    assert [ref.name for ref in scene.images] == ["val2017/1.jpg", "../../2.jpg"]
    scenes, _ = ask(root, {"1_2": {"sentences": "Image 1: A cat."}}, images=str(root / "val2017"))
    assert [ref.name for ref in scenes["1.jpg_2.jpg"].images] == ["1.jpg", "2.jpg"]


def test_photographs_of_other_names_than_cocos_are_told_apart(tmp_path: Path) -> None:
    files = ["a/1.jpg", "b/1.jpg", "1.jpg", "000000000001.jpg", "000000000001.png", "1.png"]
    pairs = {
        f"{one} {other}": {"sentences": "", "image_1": one, "image_2": other}
        for number, one in enumerate(files)
        for other in files[:number]
    }
    scenes, rejected = ask(tmp_path, pairs)
    assert len(scenes) == len(pairs)
    assert not rejected
    names = {ref.id: ref.name for scene in scenes.values() for ref in scene.images}
    assert len(names) == len(set(names.values())) == len(files)
    assert names[f"CGD_IMG_{name(1)}"] == "000000000001.jpg"


def test_a_pair_that_stands_there_twice_is_named(tmp_path: Path) -> None:
    path = tmp_path / "pairs.json"
    path.write_text('{"1_2": {"sentences": "Image 1: A."}, "1_2": {"sentences": "Image 1: B."}}')
    scenes, rejected = read(tmp_path, queries=str(path))
    assert [scene.annotations for scene in scenes.values()] == [(Caption("B.", 0),)]
    assert [(r.reason, r.record) for r in rejected] == [("duplicate-key", "1_2")]


def test_a_folder_of_photographs_that_is_linked_in_is_trusted(tmp_path: Path) -> None:
    far = tmp_path / "far"
    far.mkdir()
    (far / "1.jpg").write_bytes(b"x")
    (tmp_path / "near").mkdir()
    (tmp_path / "near" / "val2017").symlink_to(far)
    scenes, _ = ask(tmp_path / "near", {"1_2": {"sentences": "Image 1: A cat."}})
    (scene,) = scenes.values()
    assert (scene.images[0].root, scene.images[0].name) == (str(far), "1.jpg")


def test_everything_coco_labels_was_looked_for_where_both_have_its_boxes(tmp_path: Path) -> None:
    boxed = "Image 1: sports ball: [1, 2, 30, 40]\nImage 2: {}: [1, 2, 30, 40]"
    for text, sure in (
        (boxed.format("dog"), True),
        (boxed.format("dog") + "\nImage 2: A dog.\nImage 2: a dog", True),
        (boxed.format("wombat"), False),
        (boxed.format("dog") + "\nImage 1: cat: [1, 2]", False),
        (boxed.format("dog") + "\nImage 3: cat: [1, 2, 3, 4]", False),
        ("Image 1: dog: [1, 2, 30, 40]\nImage 2: A dog.", False),
    ):
        scenes, _ = ask(tmp_path, {"1_2": {"sentences": text}})
        (scene,) = scenes.values()
        assert {"ball", "dog", "zebra"} <= set(scene.vocabulary) if sure else not scene.vocabulary


def test_lines_that_say_nothing_of_a_photograph_are_named() -> None:
    text = (
        "A line.\nimage a:\nA cat.\na cat\ndog: [1, 2, 3]\ndog: [1, 2, 0, 4], [1, 2, 3, 4]\n"
        "sports ball: [1,2,3,4]\ndog: [NaN, 1, 2, 3]\ndog: [1, 2, 3, 4] here\ndog: [1, 2, 3\n"
        ": [1, 2, 3, 4]\nA sign [red] says\nImage 3: none\nNo.\nImage b: dogs"
    )
    told = [
        said.partition(":")[0] if isinstance(said, str) else said for _, said in read_text(text)
    ]
    assert told == [
        "unknown-image",
        Caption("A cat.", 0),
        "duplicate-caption",
        "malformed-box",
        "empty-box",
        Box("dog", 1.0, 2.0, 3.0, 4.0),
        Box("ball", 1.0, 2.0, 3.0, 4.0),
        *["malformed-box"] * 4,
        Caption("A sign [red] says", 0),
        *["unknown-image"] * 2,
        Caption("dogs", 1),
    ]


@pytest.mark.parametrize("piece", ["[", "[1,2,3,4", "[1,2,3,4]", ": ", ": [", "image 1:", "a "])
def test_a_long_line_is_read_as_fast_as_many_short_ones(piece: str) -> None:
    line = f"Image 1: dog: {piece * 40_000}"[:90_000]
    assert sum(1 for _ in read_text(line)) >= 1
    assert all(len(told) < 500 for _, told in read_text(line) if isinstance(told, str))


@given(st.text("ab12: [],.-eImage\n", max_size=60))
def test_any_text_is_read(text: str) -> None:
    for _, told in read_text(text):
        assert (": " in told) if isinstance(told, str) else isinstance(told, Caption | Box)


# ------------------------------------------------------------------ templates

LABELS = ("cat", "dog", "airplane", "bed", "zebra", "person", "umbrella", "skis")


def scene_of(*known: Annotation, vocabulary: tuple[str, ...] = LABELS, key: str = "1") -> Scene:
    refs = tuple(ImageRef(f"CGD_IMG_{n}", "/r", f"{n}.jpg", (400, 300)) for n in (1, 2))
    return Scene("coco_differences", key, "CGD", refs, known, (key,), vocabulary)


def told(kind: str, *known: Annotation, vocabulary: tuple[str, ...] = LABELS) -> list[Exchange]:
    """All exchanges of a kind over many scenes that differ in nothing but their id."""
    scenes = [scene_of(*known, vocabulary=vocabulary, key=str(n)) for n in range(30)]
    return [e for scene in scenes for e in write(scene, 0) if e.kind == kind]


def boxes(label: str, count: int, image: int) -> list[Box]:
    return [Box(label, 20 + 70 * n, 40, 50, 60, image=image) for n in range(count)]


def test_each_picture_is_described_as_itself() -> None:
    for e in told("description", Caption("a cat on a mat"), Caption("Two dogs.", 1)):
        second = "second" in e.instruction and "first" not in e.instruction
        first = "first" in e.instruction and "second" not in e.instruction
        if first or second:
            assert e.answer == ("Two dogs." if second else "A cat on a mat.")
        else:
            assert e.answer == "First picture: A cat on a mat. Second picture: Two dogs."


def test_a_number_is_compared_where_it_is_certain() -> None:
    known = (*boxes("dog", 2, 0), *boxes("dog", 4, 1))
    for e in told("count", *known):
        words = e.answer.lower()
        assert words.index("two") != words.index("four")
        if "more" in e.instruction:
            assert "second" in words
    assert {e.answer for e in told("differences", *known)} == {
        "There are two dogs in the first picture and four in the second."
    }
    cut = Box("dog", 370, 200, 30, 60, image=1)
    for kind in ("count", "differences"):
        assert all("at least five" in e.answer for e in told(kind, *known, cut))
        assert told(kind, *known, replace(cut, image=0)) == [], "three or more against four"
        assert told(kind, *known, vocabulary=()) == []
        assert told(kind, *known, Caption("A pack of three dogs.", 1)) == []


def test_a_thing_is_denied_only_of_the_picture_in_which_it_was_not_found() -> None:
    known = (*boxes("dog", 1, 0), *boxes("umbrella", 2, 1))
    for e in told("differences", *known):
        parts = e.answer.split(". ")
        assert [("first" in part, "dog" in part) for part in parts] == [
            (True, True),
            (False, False),
        ]
    for e in told("which", *known):
        if "dog" in e.instruction:
            assert "first" in e.answer
        elif "umbrella" in e.instruction:
            assert "second" in e.answer
        else:
            assert "either" in e.answer
    assert told("differences", *known, vocabulary=()) == []
    spoken = told("differences", *known, Caption("a puppy under an umbrella", 1))
    assert all("dog" not in e.answer for e in spoken)


def test_what_is_easily_overlooked_is_said_to_be_fewer_only_by_far() -> None:
    vocabulary = (*LABELS, "book", "bus")
    for label, count, sure in (("book", 2, False), ("book", 3, True), ("bus", 2, True)):
        known = (
            *boxes(label, 1, 0),
            *boxes(label, count - 1, 1),
            Box(label, 0, 200, 50, 60, image=1),
        )
        for kind in ("count", "differences"):
            assert bool(told(kind, *known, vocabulary=vocabulary)) == sure


def captions(image: int, *texts: str) -> list[Caption]:
    return [Caption(text, image) for text in texts]


@pytest.mark.parametrize(
    ("first", "second", "shared"),
    [
        (("A dog runs.", "a dog in snow"), ("The dog sleeps", "A dog.", "Snow."), "a dog"),
        (("Two dogs.", "dogs in snow"), ("Dogs in snow", "Some dogs.", "Snow."), "dogs"),
        (("A dog runs.", "a dog in snow"), ("Dogs in snow", "Some dogs."), "at least one dog"),
        (("A man runs.", "a woman in snow"), ("The boy sleeps", "A kid."), "a person"),
        (("A dog runs.", "Snow."), ("The dog sleeps", "A dog."), None),
        (("A dog bed.", "a dog bed here"), ("The dog sleeps", "A dog."), None),
        (("A hot dog.", "a hot dog here"), ("The dog sleeps", "A dog."), None),
        (("A dog.", "a dog, a statue"), ("The dog sleeps", "A dog."), None),
    ],
)
def test_what_most_captions_of_both_speak_of_is_in_both(
    first: tuple[str, ...], second: tuple[str, ...], shared: str | None
) -> None:
    known = (*captions(0, *first), *captions(1, *second))
    found = told("common", *known, vocabulary=())
    assert {e.answer.rpartition(" show ")[2] for e in found if " show " in e.answer} == (
        {f"{shared}."} if shared else set()
    )
    assert bool(found) == bool(shared)
    assert told("common", *known) == [], "what was looked for has a box"


def test_what_both_show_is_named_with_no_more_of_a_number_than_holds() -> None:
    for first, second, words in ((1, 1, "a dog"), (2, 2, "two dogs"), (2, 3, "dogs")):
        for e in told("common", *boxes("dog", first, 0), *boxes("dog", second, 1)):
            assert e.answer.endswith(
                f"{'can see' if 'can see' in e.answer else ''} {words}.".lstrip()
            )
    for e in told("common", *boxes("dog", 1, 0), *boxes("dog", 3, 1)):
        assert "at least one dog" in e.answer


box_of = st.builds(
    Box,
    st.sampled_from(LABELS),
    st.floats(0, 300),
    st.floats(0, 200),
    st.floats(5, 100),
    st.floats(5, 100),
    crowd=st.booleans(),
    image=st.integers(0, 1),
)


@given(st.lists(box_of, max_size=12), st.integers(0, 3))
def test_nothing_is_said_of_both_pictures_that_one_does_not_show(
    known: list[Box], seed: int
) -> None:
    exchanges = write(scene_of(*known, Caption("A room."), Caption("A yard.", 1)), seed)
    first, second = ({box.label for box in known if box.image == image} for image in (0, 1))
    for e in exchanges:
        named = {label for label in LABELS if {label, nouns.many(label)} & set(spoken(e))}
        if e.kind == "common":
            assert named <= first & second
        if e.kind == "which" and re.match("Both|In both|Yes, both", e.answer):
            assert named <= first & second
        if e.kind == "which" and re.match("Neither|In neither|No, neither", e.answer):
            assert not named & (first | second)
        assert "{" not in e.instruction + e.answer
    assert all(not reason for _, reason in check(exchanges))


def spoken(exchange: Exchange) -> list[str]:
    return re.findall(r"\w+", f"{exchange.instruction} {exchange.answer}")


def test_more_than_two_pictures_are_described_and_not_compared() -> None:
    refs = tuple(ImageRef(f"X_IMG_{n}", "/r", f"{n}.jpg", (400, 300)) for n in (1, 2, 3))
    known = tuple(Caption(f"Cat number {n}.", n) for n in range(3))
    exchanges = write(Scene("x", "1", "X", refs, known, ("1",)), 0)
    assert exchanges[0].answer.endswith("Third picture: Cat number 2.")
    assert "two" not in exchanges[0].instruction


@needs_shared
def test_real_photographs_are_paired_and_clean(tmp_path: Path) -> None:
    scenes, rejected = read(SHARED / "coco", pairs=str(tmp_path / "pairs.jsonl"))
    assert len({ref.id for scene in scenes.values() for ref in scene.images}) == 389
    assert 195 <= len(scenes) <= 389
    assert not [r for r in rejected if r.reason != "duplicate-caption"]
    exchanges = [e for scene in scenes.values() for e in write(scene, 0)]
    assert len(exchanges) > 2 * len(scenes)
    assert not [e for e in exchanges if text_problem(e.answer) or "one one" in e.answer]


@needs_shared
def test_five_thousand_real_photographs_keep_their_pairs(tmp_path: Path) -> None:
    few = {
        "captions": str(SHARED / "coco" / "annotations" / "captions_val2017.json"),
        "images": str(tmp_path),
        "pairs": str(tmp_path / "pairs.jsonl"),
    }
    before = {
        s.id: s.groups
        for s in open_source("coco_differences", few).scenes()
        if isinstance(s, Scene)
    }
    more = {**few, "captions": str(SHARED / "scale" / "captions_val2017.json")}
    after = [s for s in open_source("coco_differences", more).scenes() if isinstance(s, Scene)]
    assert before.items() <= {s.id: s.groups for s in after}.items()
    assert len({ref.id for scene in after for ref in scene.images}) == 5000


@needs_shared
def test_real_ready_made_pairs_are_read_whole() -> None:
    path = SHARED / "cgd" / "csd_query_from_val2017.json"
    raw = json.loads(path.read_text())
    scenes, rejected = read(SHARED / "coco", queries=str(path))
    assert len(scenes) == len(raw) == 281
    said = sum(len(scene.annotations) for scene in scenes.values()) + len(rejected)
    assert said == sum(len(record["sentences"].splitlines()) for record in raw.values())
    assert all((SHARED / "coco" / ref.name).is_file() for s in scenes.values() for ref in s.images)
