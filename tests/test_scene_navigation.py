"""The scene navigation source: rooms, what people said in them, and what that tells for certain."""

import dataclasses
import json
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from conftest import SHARED, needs_shared
from hypothesis import given
from hypothesis import strategies as st

from mimicit import prompts
from mimicit.annotations import Note, Utterance
from mimicit.checks import check
from mimicit.errors import SourceError, UsageError
from mimicit.generators import find, open_source
from mimicit.moments import Uniform
from mimicit.reasons import REASONS
from mimicit.schema import Exchange, ImageRef, Rejection, Scene
from mimicit.shipped import shipped
from mimicit.templates import write
from mimicit.templates._referring import facts
from mimicit.templates.rooms import _wording

WORDS = _wording().words


def write_file(root: Path, rooms: dict[str, Any], name: str = "scan_info.json") -> Path:
    root.mkdir(exist_ok=True, parents=True)
    table = {room: {"description": said} for room, said in rooms.items()}
    (root / name).write_text(json.dumps(table))
    return root


def read(root: Path, **options: str) -> tuple[dict[str, Scene], list[Rejection]]:
    items = list(open_source("scene_navigation", {"root": str(root), **options}).scenes())
    scenes = [item for item in items if isinstance(item, Scene)]
    rejected = [item for item in items if isinstance(item, Rejection)]
    assert [s.id for s in scenes] == sorted({s.id for s in scenes})
    assert {r.reason for r in rejected} <= REASONS["annotations"].keys()
    return {s.id: s for s in scenes}, rejected


def said_of(scene: Scene) -> list[tuple[str, str]]:
    return [(a.object, a.text) for a in scene.annotations if isinstance(a, Utterance)]


def planned(scene: Scene) -> list[str]:
    return [a.text for a in scene.annotations if isinstance(a, Note) and a.name == "activity"]


LAMP = ["lamp", "The lamp next to the bed."]


def test_a_walk_is_a_scene_and_walks_of_one_room_stay_together(tmp_path: Path) -> None:
    rooms = {"scene0000_01": [LAMP], "scene0000_00": [LAMP], "my_room": [LAMP]}
    scenes, rejected = read(write_file(tmp_path, rooms))
    assert {scene.id: scene.groups for scene in scenes.values()} == {
        "my_room": ("my_room",),
        "scene0000_00": ("scene0000",),
        "scene0000_01": ("scene0000",),
    }
    assert said_of(scenes["my_room"]) == [("lamp", "The lamp next to the bed.")]
    assert not rejected


def test_the_three_layouts_are_told_apart_by_their_shape(tmp_path: Path) -> None:
    scanrefer = [
        {"scene_id": "scene0001_00", "object_id": "3", "object_name": "trash_can", "ann_id": "0",
         "description": "a bin. it is red.", "token": ["a", "bin"]},
        {"scene_id": "scene0001_00", "object_name": "lamp"},
        {"scene_id": " ", "object_name": "lamp", "description": "a lamp."},
    ]  # fmt: skip
    nr3d = [{"scan_id": "scene0002_00", "instance_type": "lamp", "utterance": "the tall lamp"}]
    table = "scan_id,target_id,instance_type,utterance,correct_guess\n"
    table += 'scene0003_00,7,chair,"the red, old chair",TRUE\n'
    table += "scene0003_00,8,chair,the other chair,False\nscene0003_00,9\n"
    (tmp_path / "a.json").write_text(json.dumps(scanrefer))
    (tmp_path / "b.json").write_text(json.dumps(nr3d))
    (tmp_path / "c.csv").write_text(table)
    scenes, rejected = read(tmp_path, annotations=str(tmp_path / "a.json"))
    assert said_of(scenes["scene0001_00"]) == [("trash can", "a bin. it is red.")]
    assert [r.reason for r in rejected] == ["malformed-record", "no-scene-id"]
    scenes, rejected = read(tmp_path, annotations=str(tmp_path / "b.json"))
    assert said_of(scenes["scene0002_00"]) == [("lamp", "the tall lamp")]
    scenes, rejected = read(tmp_path, annotations=str(tmp_path / "c.csv"))
    assert said_of(scenes["scene0003_00"]) == [("chair", "the red, old chair")]
    assert {r.record: r.reason for r in rejected} == {
        "line 3": "misunderstood",
        "line 4": "malformed-record",
    }


HEADER = "scan_id,instance_type,utterance\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no column"),
        (b"a,b\n1,2\n", "no column 'instance_type'"),
        (b"scan_id\nx\n", "no column"),
        (b"\0\0", ""),
        (HEADER.encode(), "a header, and not one row"),
        (HEADER.encode("utf-16"), ""),
    ],
)
def test_a_table_in_another_layout_is_told(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "nr3d.csv").write_bytes(content)
    with pytest.raises(SourceError, match=rf"nr3d\.csv.*{words}"):
        read(tmp_path)


def test_a_row_that_is_broken_is_named_by_its_line(tmp_path: Path) -> None:
    rows = [b'a,lamp,"the tall', b'lamp"', b"a,lamp,the small one,too,many", b"", b"a,caf\xe9,x"]
    (tmp_path / "nr3d.csv").write_bytes(HEADER.encode() + b"\n".join(rows))
    scenes, rejected = read(tmp_path)
    assert said_of(scenes["a"]) == [("lamp", "the tall lamp")]
    assert [(r.record, r.reason) for r in rejected] == [
        ("line 4", "malformed-record"),
        ("line 6", "malformed-record"),
    ]
    assert "5 columns" in rejected[0].detail
    assert "UTF-8" in rejected[1].detail


def test_activities_that_are_not_utf8_are_told(tmp_path: Path) -> None:
    root = write_file(tmp_path, {"a": [LAMP]})
    (root / "mine.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(SourceError, match=r"mine\.txt.*UTF-8"):
        read(root, activities=str(root / "mine.txt"))


def test_a_room_that_stands_twice_in_a_table_has_what_both_entries_say(tmp_path: Path) -> None:
    entries = [[LAMP, ["desk", "The desk."]], [["bed", "The bed."], LAMP]]
    for order in (entries, entries[::-1]):
        told = ", ".join(f'"a": {json.dumps({"description": one})}' for one in order)
        (tmp_path / "scan_info.json").write_text("{" + told + "}")
        scenes, rejected = read(tmp_path)
        assert {name for name, _ in said_of(scenes["a"])} == {"lamp", "desk", "bed"}
        assert [r.reason for r in rejected] == ["duplicate-sentence"]
        assert "entry 2" in rejected[0].record


def test_what_is_wrong_is_named_and_the_rest_stays(tmp_path: Path) -> None:
    said: list[Any] = [LAMP, ["lamp", "the lamp  next to the bed."], ["lamp"], ["lamp", " "], 7]
    rooms = {"a": [*said, ["desk", "The lamp next to the bed."]], "b": []}
    root = write_file(tmp_path, rooms)
    content = json.loads((root / "scan_info.json").read_text())
    (root / "scan_info.json").write_text(json.dumps({**content, "c": 7, "d": {}}))
    scenes, rejected = read(root)
    assert len(said_of(scenes.pop("a"))) == 2
    assert not scenes
    assert Counter(r.reason for r in rejected) == {
        "duplicate-sentence": 1,
        "malformed-record": 4,
        "empty-sentence": 1,
        "no-sentence": 1,
    }


def frames_of(scene: Scene) -> list[str]:
    return [ref.name for ref in scene.images]


def test_frames_are_chosen_evenly_from_the_walk(tmp_path: Path) -> None:
    root = write_file(tmp_path, {"scene0000_00": [LAMP]})
    folder = root / "deep" / "scannet_frames_25k" / "scene0000_00" / "color"
    folder.mkdir(parents=True)
    for number in range(0, 1200, 100):
        (folder / f"{number}.jpg").write_bytes(b"")
    for other in ("100.txt", "100.png", "notes.jpg", ".jpg"):
        (folder / other).write_bytes(b"")
    (folder.parent / "depth").mkdir()
    scene = read(root, frames="3")[0]["scene0000_00"]
    assert [ref.id for ref in scene.images] == [
        f"SN_IMG_scene0000_00_color_{number}" for number in (200, 600, 1000)
    ]
    assert frames_of(scene)[0] == "deep/scannet_frames_25k/scene0000_00/color/200.jpg"
    assert len(frames_of(read(root, frames="50")[0]["scene0000_00"])) == 12
    assert not scene.clips


def test_a_room_without_frames_is_shown_by_its_video(tmp_path: Path) -> None:
    root = write_file(tmp_path, {"scene0000_00": [LAMP], "scene0001_00": [LAMP]})
    (root / "videos").mkdir()
    (root / "videos" / "scene0000_00.webm").write_bytes(b"")
    scenes, _ = read(root, frames="5", licence="CC0-1.0")
    (clip,) = scenes["scene0000_00"].clips
    assert (clip.id, clip.name) == ("SN_IMG_scene0000_00", "videos/scene0000_00.webm")
    assert (clip.sampler, clip.licence) == (Uniform(5), "CC0-1.0")
    assert scenes["scene0001_00"].clips[0].name == "videos/scene0001_00.mp4"


def prompted(scene: Scene) -> list[str]:
    """List what a model is told of a room."""
    path = shipped(find("scene_navigation").__module__, "prompts", "scene_navigation.yaml")
    text = str(prompts.load(path).messages(scene, [])[-1].parts[0])
    return [line.removeprefix("- ") for line in text.splitlines() if line.startswith("- ")]


def test_a_model_is_shown_some_sentences_and_templates_read_all(tmp_path: Path) -> None:
    said = [["lamp", f"lamp number {n}"] for n in range(30)]
    options = {"sentences": "12", "per_room": "1"}
    before, rejected = read(write_file(tmp_path, {"a": said}), **options)
    assert not rejected
    assert len(said_of(before["a"])) == 30
    *shown, activity = prompted(before["a"])
    assert len(shown) == 12
    assert all(re.fullmatch(r"lamp number \d+ \(lamp\)", line) for line in shown)
    assert activity in planned(before["a"])
    random.Random(1).shuffle(said)
    assert read(write_file(tmp_path, {"a": said}), **options)[0] == before
    fewer = [item for item in said if f"{item[1]} (lamp)" in shown]
    (room_of,) = read(write_file(tmp_path, {"a": fewer}), **options)[0].values()
    assert prompted(room_of) == [*shown, activity]


def test_a_fact_may_be_told_by_a_sentence_that_no_model_is_shown(tmp_path: Path) -> None:
    said = [["lamp", f"the lamp on the {color} desk"] for color in ("red", "blue", "green")]
    one, all_ = (
        read(write_file(tmp_path, {"a": said}), sentences=most)[0]["a"] for most in ("1", "50")
    )
    assert [(e.instruction, e.answer) for e in write(one, 0)] == [
        (e.instruction, e.answer) for e in write(all_, 0)
    ]


def test_activities_are_drawn_for_each_room_by_a_seed(tmp_path: Path) -> None:
    root = write_file(tmp_path, {f"room{n}": [LAMP] for n in range(9)})
    drawn = {room: planned(scene) for room, scene in read(root)[0].items()}
    assert {len(texts) for texts in drawn.values()} == {3}
    assert len({tuple(texts) for texts in drawn.values()}) == 9
    other = {room: planned(scene) for room, scene in read(root, seed="1")[0].items()}
    assert other != drawn
    (root / "mine.txt").write_text("# comment\nknitting\n\n reading  aloud \nknitting\n")
    mine = read(root, activities=str(root / "mine.txt"))[0]["room1"]
    assert planned(mine) == ["knitting", "reading aloud"]
    assert planned(read(root, per_room="0")[0]["room1"]) == []
    with pytest.raises(SourceError, match=r"gone\.txt"):
        read(root, activities=str(root / "gone.txt"))


def test_a_wrong_option_says_what_to_do(tmp_path: Path) -> None:
    root = write_file(tmp_path, {"a": [LAMP]})
    with pytest.raises(UsageError, match="--root DIR"):
        list(open_source("scene_navigation", {"seed": "1"}).scenes())
    with pytest.raises(UsageError, match="1 or more"):
        read(root, frames="0")
    with pytest.raises(SourceError, match="gone"):
        read(root / "gone")
    write_file(root / "annotations", {"a": [LAMP]}, "ScanRefer_filtered.json")
    with pytest.raises(UsageError, match=r"(?s)several.*-o annotations="):
        read(root)
    (root / "empty").mkdir()
    with pytest.raises(SourceError, match="no scan_info"):
        read(root / "empty")


@given(st.lists(st.text(max_size=5).filter(str.strip), min_size=1, max_size=6, unique=True))
def test_ids_are_injective(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    root = write_file(tmp_path_factory.mktemp("rooms"), {name: [LAMP] for name in names})
    scenes, _ = read(root)
    assert len(scenes) == len({name.strip() for name in names})
    again, _ = read(write_file(root, {name: [LAMP] for name in reversed(names)}))
    assert again == scenes


# --------------------------------------------------------------- sentences


@pytest.mark.parametrize(
    ("label", "said", "meant"),
    [
        ("trash can", "The small white trash can next to the fridge.",
         "a small white trash can next to a fridge"),
        ("table", "the table is near the fridge", "a table near a fridge"),
        ("window", "This window is in the bathroom alongside the toilet.",
         "a window in the bathroom alongside a toilet"),
        ("cabinet", "The cabinet directly underneath the microwave, next to the fridge.",
         "a cabinet directly underneath a microwave, next to a fridge"),
        ("books", "The books on the top shelf.", "some books on a top shelf"),
        ("backpack", "Choose the backpack that is under the wooden desk",
         "a backpack under a wooden desk"),
        ("couch", "the sofa by the windows", "a sofa by some windows"),
        ("table", "this is a brown table. it is in the corner of the room.",
         "a brown table in a corner of the room"),
        ("desk", "The desk in front of the window.", "a desk in front of a window"),
        ("chair", "this is a chair. there is a lamp on the table. it is under the window.", None),
        ("chair", "this is a chair by a desk. the desk is white. it is under the window.",
         "a chair by a desk"),
        ("chair", "this is a chair. it is brown. it is under the window.",
         "a chair under a window"),
        ("chair", "this is a chair. the chair is located near the door.", "a chair near a door"),
        ("chair", "a chair next to the books. they are under the window.",
         "a chair next to some books"),
        ("chair", "this is a chair. the lamp is near the door.", None),
        ("box", "The box in front of the box.", None),
        ("lamp", "The lamp in front of the trash can.", None),
        ("backpack", "The smaller box on the floor.", None),
        ("box", "The smaller box on the floor.", None),
        ("stool", "the second stool, from left to right", None),
        ("table", "Facing the bike, the table to the left.", None),
        ("chair", "The chair closest to the window.", None),
        ("trash can", "the bin to the left of the garbage with a blue lid", None),
        ("towel", "The towel next to the bath rub", None),
        ("backpack", "the backpack in the room", None),
        ("lamp", "the tall lamp", None),
        ("curtain", "the curtain in the wall", None),
    ],
)  # fmt: skip
def test_only_what_is_certain_is_taken_from_a_sentence(
    label: str, said: str, meant: str | None
) -> None:
    found = facts([Utterance(said, label)], WORDS)
    told = [f"{WORDS.some(fact.noun, fact.looks)} {fact.where}" for fact in found]
    assert told == ([meant] if meant else [])


def room(*said: tuple[str, str]) -> Scene:
    known = tuple(Utterance(text, label) for label, text in said)
    refs = (ImageRef("SN_IMG_a_color_0", "", "a/color/0.jpg"),)
    return Scene("scene_navigation", "a", "SN", refs, known, ("a",))


def asked(scene: Scene) -> list[Exchange]:
    made = write(scene, 0)
    assert all(reason == "" for _, reason in check(made))
    return made


def test_a_room_is_described_and_its_things_are_found() -> None:
    made = asked(
        room(
            ("lamp", "The lamp next to the bed."),
            ("bed", "the blue bed under the window"),
            ("desk", "Desk near the door."),
        )
    )
    kinds = Counter(exchange.kind for exchange in made)
    assert kinds == {"description": 1, "objects": 1, "location": 2, "nearby": 2}
    told = next(e.answer for e in made if e.kind == "description").lower()
    for part in ("a lamp", "next to a bed", "a blue bed", "under a window", "a desk near a door"):
        assert part in told
    assert all(e.answer[0].isupper() and e.answer.endswith(".") for e in made)
    assert all(e.instruction[0].isupper() for e in made)


def rooms_of(*said: tuple[str, str]) -> list[Exchange]:
    """Ask about many rooms of which the same is said, so that all wordings come up."""
    scene = room(*said)
    return [e for n in range(60) for e in asked(dataclasses.replace(scene, id=f"a{n}"))]


def test_no_room_is_said_to_have_what_is_in_another_room() -> None:
    said = [("shelf", "the shelf in the hallway"), ("lamp", "The lamp next to the bed."),
            ("desk", "Desk near the door.")]  # fmt: skip
    made = [e for e in rooms_of(*said) if "hallway" in e.instruction + e.answer]
    assert {e.kind for e in made} == {"location", "nearby"}
    assert not any("this room" in e.instruction + e.answer for e in made)


def test_a_trash_can_can_not_be_found() -> None:
    made = rooms_of(("trash can", "the trash can next to the bed"), ("lamp", "lamp by the bed"))
    assert not any("can can" in e.instruction + e.answer for e in made)
    assert any("A lamp can be found" in e.answer for e in made)


def test_a_room_is_not_asked_to_be_furnished() -> None:
    made = rooms_of(("towel", "the towel on the floor"), ("lamp", "lamp by the bed"))
    assert not any("furnish" in e.instruction for e in made)


def test_nothing_is_said_of_a_room_of_which_nothing_is_certain() -> None:
    assert asked(room(("chair", "the left one"), ("chair", "the one closest to you"))) == []


@needs_shared
def test_the_real_file_is_read_whole() -> None:
    scenes, rejected = read(SHARED / "scannet")
    assert len(scenes) == 641
    kept = sum(len(said_of(scene)) for scene in scenes.values())
    assert kept + len(rejected) == 41_503
    assert {r.reason for r in rejected} == {"duplicate-sentence"}
    assert max(len(prompted(scene)) for scene in scenes.values()) == 53
    kinds = Counter(e.kind for scene in list(scenes.values())[::8] for e in write(scene, 0))
    assert kinds.keys() == {"description", "objects", "location", "nearby"}
