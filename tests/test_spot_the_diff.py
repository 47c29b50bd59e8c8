"""The Spot-the-Diff source: pairs, what people said of them, and how that is made readable."""

import dataclasses
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from conftest import SHARED, needs_shared
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mimicit.annotations import Difference
from mimicit.checks import check
from mimicit.errors import SourceError, UsageError
from mimicit.generators import open_source
from mimicit.images import examine
from mimicit.records import padded
from mimicit.schema import Exchange, ImageRef, Rejection, Scene
from mimicit.templates import silence, write


def record(img_id: Any, *sentences: Any) -> dict[str, Any]:
    return {"img_id": img_id, "sentences": list(sentences)}


def write_files(root: Path, records: list[Any], split: str = "val") -> Path:
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    (root / "annotations" / f"{split}.json").write_text(json.dumps(records))
    return root


def read(root: Path, **options: str) -> tuple[dict[str, Scene], list[Rejection]]:
    items = list(open_source("spot_the_diff", {"root": str(root), **options}).scenes())
    scenes = [item for item in items if isinstance(item, Scene)]
    assert [s.id for s in scenes] == sorted({s.id for s in scenes})
    return {s.id: s for s in scenes}, [item for item in items if isinstance(item, Rejection)]


def texts(scene: Scene) -> list[str]:
    return [a.text for a in scene.annotations if isinstance(a, Difference)]


def test_a_record_is_a_scene_of_two_pictures(tmp_path: Path) -> None:
    write_files(tmp_path, [record("76", " the car\nis  gone", "a man has left")])
    scenes, rejected = read(tmp_path)
    ((scene_id, scene),) = scenes.items()
    assert scene_id.startswith("00076_")
    assert [ref.id for ref in scene.images] == ["SD_IMG_00076_1", "SD_IMG_00076_2"]
    assert scene.annotations == (Difference("the car is gone"), Difference("a man has left"))
    assert scene.groups == ("00076",)
    assert not rejected


def test_everybody_who_looked_at_a_pair_is_heard(tmp_path: Path) -> None:
    said = [record("76", "the car is gone"), record(76, "the van is gone"), record("8", "x y")]
    scenes, rejected = read(write_files(tmp_path, said))
    assert [scene.groups[0] for scene in scenes.values()] == ["00008", "00076", "00076"]
    assert not rejected


def test_a_record_that_stands_there_twice_is_kept_once(tmp_path: Path) -> None:
    said = [record("76", "the car is gone"), record("76", "the car  is gone ")]
    scenes, rejected = read(write_files(tmp_path, said))
    assert len(scenes) == 1
    assert [r.reason for r in rejected] == ["duplicate-record"]


def test_what_says_nothing_is_named_and_left_out(tmp_path: Path) -> None:
    said = [
        record("1", "", "2", "...", "the car is gone", "The car is gone"),
        record("2", " ", "3"),
        record("3"),
        record(" ", "the car is gone"),
        {"img_id": "4"},
        record("5", "the car is gone", 7),
        record(["6"], "the car is gone"),
        17,
    ]
    scenes, rejected = read(write_files(tmp_path, said))
    assert [texts(scene) for scene in scenes.values()] == [["the car is gone"]]
    assert Counter(r.reason for r in rejected) == {
        "empty-sentence": 5,
        "duplicate-sentence": 1,
        "no-sentence": 2,
        "no-image-id": 1,
        "malformed-record": 4,
    }
    assert [r.record for r in rejected if r.reason == "malformed-record"][-1] == "record 8"


def test_that_nothing_differs_is_knowledge_unless_somebody_names_a_difference(
    tmp_path: Path,
) -> None:
    said = [
        record("1", "there are no differences"),
        record("2", "no differences"),
        record("2", "the car is gone"),
        record("2", "", "1"),
        record("3", "i see no difference between the two images"),
        record("3", "the pictures are identical"),
    ]
    scenes, rejected = read(write_files(tmp_path, said))
    assert Counter(scene.groups[0] for scene in scenes.values()) == {
        "00001": 1,
        "00002": 1,
        "00003": 2,
    }
    assert Counter(r.reason for r in rejected) == {
        "contradicted": 1,
        "empty-sentence": 2,
        "no-sentence": 2,
    }


ids = st.one_of(st.integers(0, 200_000), st.text("0173a._~ -\u00e9/", min_size=1, max_size=7))
said_of = st.lists(st.sampled_from(["a b", "the car is gone", "no change", " "]), max_size=3)


@given(st.lists(st.tuples(ids, said_of), max_size=8), st.randoms(use_true_random=False))
def test_ids_are_injective_and_order_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, said: list[Any], shuffler: Any
) -> None:
    root = tmp_path_factory.mktemp("sd")
    records = [record(img_id, *sentences) for img_id, sentences in said]
    before, _ = read(write_files(root, records))
    shuffler.shuffle(records)
    assert read(write_files(root, records))[0] == before
    ids_of = {str(img_id): padded(img_id, 5) for img_id, _ in said}
    assert len(set(ids_of.values())) == len(ids_of)
    names = {ref.id: ref.name for scene in before.values() for ref in scene.images}
    assert len(set(names.values())) == len(names)


def test_pictures_are_found_by_their_names(tmp_path: Path) -> None:
    write_files(tmp_path, [record(n, "the car is gone") for n in ("1", "2", "3")])
    for name in ("resized_images/1.jpg", "resized_images/1_2.png", "2.png", "resized_images/1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (40, 30), (len(name), 90, 90)).save(tmp_path / name)
    scenes, _ = read(tmp_path, licence="CC-BY-4.0")
    names = [[ref.name for ref in scene.images] for scene in scenes.values()]
    assert names == [
        ["resized_images/1.png", "resized_images/1_2.png"],
        ["2.png", "resized_images/2_2.png"],
        ["resized_images/3.png", "resized_images/3_2.png"],
    ]
    assert {scene.licence for scene in scenes.values()} == {"CC-BY-4.0"}
    other = tmp_path / "resized_images"
    (ref, _), *_ = [s.images for s in read(tmp_path, images=str(other))[0].values()]
    assert (ref.root, ref.name) == (str(other), "1.png")


@pytest.mark.parametrize("img_id", ["../../secret", "/etc/hostname", "..\\..\\secret"])
def test_an_id_that_leaves_the_root_is_never_read(tmp_path: Path, img_id: str) -> None:
    root = write_files(tmp_path / "a" / "b", [record(img_id, "the car is gone")])
    Image.new("RGB", (40, 30)).save(tmp_path / "secret.png")
    ((_, scene),) = read(root)[0].items()
    problems = {examine(ref.id, ref).problem for ref in scene.images}
    assert problems <= {"unsafe-path", "missing-file"}


def test_one_of_several_splits_must_be_chosen(tmp_path: Path) -> None:
    write_files(tmp_path, [record("1", "the car is gone")])
    assert len(read(tmp_path)[0]) == 1
    write_files(tmp_path, [], split="test")
    with pytest.raises(UsageError, match=r"test, val.*-o split="):
        read(tmp_path)
    assert len(read(tmp_path, split="val")[0]) == 1
    assert len(read(tmp_path, annotations=str(tmp_path / "annotations" / "val.json"))[0]) == 1
    with pytest.raises(UsageError, match="no split 'train'"):
        read(tmp_path, split="train")


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"root": "gone"}, SourceError, "gone"),
        ({"root": "."}, SourceError, "no annotations"),
        ({"split": "val"}, UsageError, "--root"),
        ({"annotations": "x.json", "images": "."}, SourceError, "x.json"),
    ],
)
def test_a_wrong_option_says_what_to_do(
    inside: Path, options: dict[str, str], error: type[Exception], words: str
) -> None:
    assert inside
    with pytest.raises(error, match=words):
        list(open_source("spot_the_diff", options).scenes())


# ------------------------------------------------------------------ templates


def scene_of(*sentences: str, name: str = "00001_00000000") -> Scene:
    refs = tuple(ImageRef(f"SD_IMG_00001_{n}", "/r", f"1_{n}.png", (320, 200)) for n in (1, 2))
    known = tuple(Difference(text) for text in sentences)
    return Scene("spot_the_diff", name, "SD", refs, known, ("00001",))


def told(*sentences: str) -> str:
    """Give the answer to what differs, or "" where nothing is said."""
    return next((e.answer for e in write(scene_of(*sentences), 0)), "")


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("the car is gone ", "The car is gone."),
        ("person with umbrella is gone", "The person with umbrella is gone."),
        ("the people aren t there anymore", "The people aren't there anymore."),
        ("there are less people in the after pic", "There are fewer people in the second picture."),
        ("there is 2 cars in photo 1", "There are 2 cars in the first picture."),
        ("there is 2 cars", "In one of the two pictures, there are 2 cars."),
        ("the before image has a bus", "The first picture has a bus."),
        ("left has people standing", "The first picture has people standing."),
        ("the picture on the right has 5 people", "The second picture has 5 people."),
        ("the white suv is no longer there", "The white SUV is no longer there."),
        ("there is a group of pepole now", "There is a group of people now."),
        (
            "right image shows six people while left image shows seven people",
            "The second picture shows six people while the first picture shows seven people.",
        ),
        ("right only has 1 person", "The second picture only has 1 person."),
        ("there is a van on the left picture frame", "There is a van in the first picture."),
        ("the after image does not have a bus", "The second picture does not have a bus."),
        (
            "a group of eight people has moved to the left",
            "A group of eight people has moved to the left.",
        ),
        ("one of the men has left", "One of the men has left."),
        (
            "there are cars on both sides of the road",
            "In one of the two pictures, there are cars on both sides of the road.",
        ),
        (
            "the two men have moved away from each other",
            "The two men have moved away from each other.",
        ),
        ("the car has closed it s door", "The car has closed its door."),
        ("kids have moved", "The kids have moved."),
        ("minivan by the tree is gone", "The minivan by the tree is gone."),
        (
            "in the first image there are six people in the second image there are two",
            "In the first picture, there are six people, and in the second picture there are two.",
        ),
    ],
)
def test_what_was_typed_in_a_hurry_is_made_readable(typed: str, read: str) -> None:
    assert told(typed) == read


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        (
            "the picture on the right has 3 females walking and the left does not",
            "The second picture has 3 females walking and the first picture does not.",
        ),
        (
            "there is a car in the left hand picture but not the right",
            "There is a car in the first picture but not in the second picture.",
        ),
        (
            "there are six people in the second image and only two in the first",
            "There are six people in the second picture and only two in the first picture.",
        ),
        (
            "there are two cars in the before picture and only one in the after",
            "There are two cars in the first picture and only one in the second picture.",
        ),
        (
            "there are more people in the one on the right than on the left",
            "There are more people in the second picture than in the first picture.",
        ),
        (
            "there are two people in the picture on the left and only one on the right",
            "There are two people in the first picture and only one in the second picture.",
        ),
        (
            "there is a van in the first picture and none in the other image",
            "There is a van in the first picture and none in the second picture.",
        ),
    ],
)
def test_a_picture_that_is_named_in_short_is_known_by_the_other_one(typed: str, read: str) -> None:
    assert told(typed) == read


def test_places_in_a_picture_are_not_its_name_beside_that_of_another() -> None:
    typed = "in the left image the second row has two cars and the first has one"
    assert told(typed) == ""
    typed = "the person on the left moved in the right image and not the left lane"
    assert "first picture" not in told(typed)


@pytest.mark.parametrize(
    "typed",
    [
        "people",
        "red car",
        "he is not there anymore",
        "there is a red car on the right",  # of a picture, or in the right picture?
        "in the after there is a car",
        "in the photo two people are standing",
        "there is a group of people standing in both pictures",
        "the people have moved they are on the right image there are two",
        "there is a man in the picture on the left",
        "before there were two cars",
        "good",
        "left a white car is missing",
        "right people are standing in different spots",
        "the left and right image show a change",
        "there is one person in the second image and three people in the second image",
        "another person is standing at the red car",
        "there are now noticeable changes here",
        "i don t see any differences in the right picture from the left",
        "a person in the foreground that was not there before",
        "the photo has an extra car",
    ],
)
def test_what_cannot_be_understood_for_certain_is_not_used(typed: str) -> None:
    assert told(typed) == ""
    assert told(typed, "the car is gone") == "The car is gone."


def test_left_is_not_a_place_where_it_names_a_picture() -> None:
    assert told("the people on the left have moved") == "The people on the left have moved."
    both = told("the left image has a bus", "the people on the left have moved")
    assert both == "The first picture has a bus."


def test_no_direction_is_claimed_that_was_not_stated() -> None:
    for text in ("a car is parked by the tree", "there is no dolly in the lot"):
        exchanges = write(scene_of(text, "the van has moved"), 0)
        said = " ".join(e.answer for e in exchanges)
        assert "one of the two pictures" in said
        assert "first" not in said
        assert "second" not in said


def test_a_direction_that_is_known_is_told_in_the_middle_of_a_sentence() -> None:
    for directed, where in ((True, "In the second picture"), (False, "In one of the two pictures")):
        known = Difference("There are two men by the tree.", directed=directed)
        scene = dataclasses.replace(scene_of("x"), annotations=(known,))
        assert write(scene, 0)[0].answer == f"{where}, there are two men by the tree."


@pytest.mark.parametrize("text", ["no differences", "there is no change", "Nothing has changed."])
def test_that_nothing_differs_is_said_and_nothing_else(text: str) -> None:
    exchanges = write(scene_of(text), 0)
    assert [e.kind for e in exchanges] == ["differences", "yes-no"]
    assert exchanges[1].answer.startswith("No, ")


@pytest.mark.parametrize(
    "text", ["no difference other than the car", "there is no change in the cars but people moved"]
)
def test_a_difference_with_an_exception_is_a_difference(text: str) -> None:
    assert not Difference(text).none


def test_each_difference_is_asked_for_once() -> None:
    said = (
        "the car is gone",
        "a man has left",
        "the box has moved",
        "the tree is gone",
        "a man has left",
    )
    exchanges = write(scene_of(*said), 0)
    single = [e for e in exchanges if e.kind == "difference"]
    assert len({e.instruction for e in single}) == len({e.answer for e in single}) == 4
    for exchange in single:
        assert ("people" in exchange.instruction) == ("man" in exchange.answer.split())


def test_half_a_comparison_is_no_difference_by_itself() -> None:
    exchanges = write(scene_of("there are 7 people in photo 1", "there are 2 people in photo 2"), 0)
    assert [(e.kind, e.answer) for e in exchanges] == [
        (
            "differences",
            "There are 7 people in the first picture. There are 2 people in the second picture.",
        )
    ]
    known = ("there are 7 people in photo 1", "the bus has left")
    assert [e.kind for e in write(scene_of(*known), 0)][:3] == ["differences", *["difference"] * 2]


def test_some_differences_are_asked_for_where_not_all_can_be_told() -> None:
    for number in range(20):
        name = f"00001_{number}"
        first, *_ = write(scene_of("the car is gone", "red van", name=name), 0)
        assert (first.kind, first.answer) == ("difference", "The car is gone.")
        assert re.search(r"\b(one|single|something|an example)\b", first.instruction)
        known = ("the car is gone", "a man has left", "red van")
        first, *_ = write(scene_of(*known, name=name), 0)
        assert first.kind == "differences"
        assert re.search(r"\b(some|a few)\b", first.instruction)


def test_it_is_said_of_each_sentence_why_it_is_not_used() -> None:
    scene = scene_of("red car", "he is gone", "left a car is missing", "there is no change")
    assert write(scene, 0) == []
    assert silence(scene) == (
        "'red car': it is not one whole sentence; "
        "'he is gone': it needs the sentence before it; "
        "'left a car is missing': it is not certain which picture it speaks of"
    )
    assert len(silence(scene_of(*(f"red car {n}" for n in range(99))))) < 600


def test_few_of_the_pairs_that_differ_are_asked_whether_they_do() -> None:
    scenes = [scene_of("the car is gone", name=f"00001_{number}") for number in range(600)]
    asked = [e for scene in scenes for e in write(scene, 0) if e.kind == "yes-no"]
    assert 5 < len(asked) < 50
    assert all(e.answer.startswith("Yes") for e in asked)


typed_sentences = st.lists(
    st.text("abcdefghijklmnopqrstuvwxyz {}.%", max_size=40)
    | st.sampled_from(
        ["the {car} is gone", "there is a bus in image 1", "no change", "<image> is gone"]
    ),
    min_size=1,
)


@given(typed_sentences, st.integers(0, 3))
def test_whatever_was_typed_the_questions_differ_and_end_well(said: list[str], seed: int) -> None:
    exchanges: list[Exchange] = write(
        Scene("spot_the_diff", "1", "SD", (), tuple(map(Difference, said)), ("1",)), seed
    )
    assert {reason for _, reason in check(exchanges)} <= {"", "special-token"}
    assert all(e.answer[-1] in ".!?" and e.instruction[-1] in ".?" for e in exchanges)


@needs_shared
def test_all_real_sentences_are_accounted_for() -> None:
    for split, records in (("val", 1634), ("test", 1404)):
        path = SHARED / "spot_the_diff" / "annotations" / f"{split}.json"
        raw = json.loads(path.read_text())
        options = {"annotations": str(path), "images": str(SHARED / "spot_the_diff")}
        items = list(open_source("spot_the_diff", options).scenes())
        scenes = [item for item in items if isinstance(item, Scene)]
        rejected = Counter(item.reason for item in items if isinstance(item, Rejection))
        assert len(scenes) + rejected["no-sentence"] + rejected["duplicate-record"] == records
        of_sentences = ("empty-sentence", "duplicate-sentence", "contradicted")
        kept = sum(len(scene.annotations) for scene in scenes)
        named = sum(rejected[reason] for reason in of_sentences)
        assert kept + named == sum(len(r["sentences"]) for r in raw)
        exchanges = [write(scene, 0) for scene in scenes]
        assert sum(map(bool, exchanges)) > 0.75 * len(scenes)
        flat = [e for many in exchanges for e in many]
        assert not [e for many in exchanges for e, reason in check(many) if reason]
        assert not [e for e in flat if "left image" in e.answer or " i " in e.answer]
