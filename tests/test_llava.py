"""The LLaVA source: conversations as they come, and what is made of them."""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import SHARED, needs_shared
from hypothesis import given
from hypothesis import strategies as st

from mimicit.annotations import Dialogue, Note
from mimicit.config import BuildConfig, SourceConfig
from mimicit.errors import SourceError, UsageError
from mimicit.generators import open_source
from mimicit.generators._coco_names import image_part
from mimicit.generators._conversations import clean
from mimicit.pipeline import build
from mimicit.schema import Rejection, Scene
from mimicit.templates import write

Messages = list[tuple[str, str]]


def record(
    messages: Messages, image: str | None = "000000000001.jpg", **more: Any
) -> dict[str, Any]:
    said = [{"from": role, "value": text} for role, text in messages]
    return {"id": "1", "conversations": said, **({"image": image} if image else {}), **more}


TALK: Messages = [
    ("human", "<image>\nWhich animal is this?"),
    ("gpt", "A cat."),
    ("human", "What colour is it?"),
    ("gpt", "Black."),
]


def read(
    root: Path, records: object = None, name: str = "talk.json", **options: str
) -> tuple[list[Scene], list[Rejection]]:
    root.mkdir(exist_ok=True)
    if records is not None:
        (root / name).write_text(json.dumps(records))
    items = list(open_source("llava", {"root": str(root), **options}).scenes())
    scenes = [item for item in items if isinstance(item, Scene)]
    return scenes, [item for item in items if isinstance(item, Rejection)]


def turns(scene: Scene) -> list[tuple[str, str]]:
    (dialogue,) = (a for a in scene.annotations if isinstance(a, Dialogue))
    return list(dialogue.turns)


def test_a_conversation_is_a_scene_with_its_turns_in_order(tmp_path: Path) -> None:
    ((scene,), rejected) = read(tmp_path, [record(TALK)])
    assert turns(scene) == [("Which animal is this?", "A cat."), ("What colour is it?", "Black.")]
    assert scene.images[0].id == "LLAVA_IMG_000000000001"
    assert scene.groups == ("000000000001",)
    assert scene.id.startswith("000000000001_")
    assert not rejected


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("<image>\nWhat is it?", "What is it?"),
        ("What is it?\n<image>", "What is it?"),
        ("  <image>  \n\n <image>\nWhat is it? ", "What is it?"),
        ("Look <image> closely.", "Look closely."),
        ("One. \n\nTwo.\r\nThree.", "One.\n\nTwo.\nThree."),
        ("What is this photo about'?", "What is this photo about?"),
        ("Whose are they, the dogs'?", "Whose are they, the dogs'?"),
    ],
)
def test_the_image_token_goes_with_the_space_around_it(written: str, meant: str) -> None:
    assert clean(written) == meant


def test_one_picture_may_have_several_conversations(tmp_path: Path) -> None:
    other = [("human", "Describe it.\n<image>"), ("gpt", "A black cat.")]
    scenes, rejected = read(tmp_path, [record(TALK), record(other)])
    assert len({scene.id for scene in scenes}) == 2
    assert {scene.images[0].id for scene in scenes} == {"LLAVA_IMG_000000000001"}
    assert not rejected


def test_the_same_turns_twice_are_one_scene_whatever_file_they_are_in(tmp_path: Path) -> None:
    read(tmp_path, [record(TALK)], "detail_23k.json")
    scenes, rejected = read(tmp_path, [record(TALK), record(TALK, id=2)], "conversation_58k.json")
    assert len(scenes) == 1
    assert [item.reason for item in rejected] == ["duplicate-record"] * 2
    assert Note("kind", "conversation") in scenes[0].annotations


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("conversation_58k", "conversation"),
        ("detail_23k", "detail"),
        ("complex_reasoning_77k", "reasoning"),
    ],
)
def test_official_files_say_which_kind_of_question_they_hold(
    tmp_path: Path, name: str, kind: str
) -> None:
    ((scene,), _) = read(tmp_path, [record(TALK)], f"{name}.json")
    assert scene.annotations[-1] == Note("kind", kind)


def test_other_files_do_not(tmp_path: Path) -> None:
    ((scene,), _) = read(tmp_path, [record(TALK)], "llava_instruct_150k.json")
    assert [type(a) for a in scene.annotations] == [Dialogue]


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("Describe the following image.", "detail"),
        ("Analyze the image in a comprehensive and detailed manner.", "detail"),
        ("What do you see happening in this image?", "detail"),
        ("What's happening in the scene?", "detail"),
        ("What do you think is going on in this snapshot?", "detail"),
        ("Can you elaborate on the elements of the picture provided?", "detail"),
        ("Can you describe the main features of this image for me?", "detail"),
        ("What are the key elements in this picture?", "detail"),
        ("What is this photo about'?", "detail"),
        ("Write a detailed description of the given image.", "detail"),
        ("Explain the visual content of the image in great detail.", "detail"),
        ("Give an elaborate explanation of the image you see", "detail"),
        ("Clarify the contents of the displayed image with great detail", "detail"),
        ("What is the main focus of the image?", "conversation"),
        ("Describe the dog in the image.", "conversation"),
        ("What is the man doing in the image?", "conversation"),
        ("Give a description of the dog", "conversation"),
    ],
)
def test_a_request_for_a_description_is_known_where_no_file_says_so(
    tmp_path: Path, question: str, kind: str
) -> None:
    asked = [("human", f"<image>\n{question}"), ("gpt", "A cat.")]
    ((scene,), _) = read(tmp_path, [record(asked)], "llava_instruct_150k.json")
    assert [e.kind for e in write(scene, 0)] == [kind]
    ((scene,), _) = read(tmp_path, [record([*asked, *TALK])], "llava_instruct_150k.json")
    assert {e.kind for e in write(scene, 0)} == {"conversation"}
    ((scene,), _) = read(tmp_path / "told", [record(asked)], "complex_reasoning_77k.json")
    assert [e.kind for e in write(scene, 0)] == ["reasoning"]


@pytest.mark.parametrize(
    ("messages", "reason", "left"),
    [
        ([("human", "Where is it?"), *TALK], "empty-turn", 2),
        ([*TALK, ("human", "Where is the dog?")], "empty-turn", 2),
        ([("gpt", "A dog."), *TALK], "empty-turn", 2),
        ([*TALK, ("human", "<image>\n"), ("gpt", "A dog.")], "empty-turn", 2),
        ([*TALK, ("human", "Is there a dog?"), ("gpt", " ")], "empty-turn", 2),
        ([("system", "Be kind."), *TALK], "unknown-speaker", 2),
        ([("user", "Is there a dog?"), ("assistant", "No.")], None, 1),
        ([("human", "Is there a dog?")], "no-turns", 0),
        ([], "no-turns", 0),
    ],
)
def test_a_turn_that_is_not_whole_is_left_out_alone(
    tmp_path: Path, messages: Messages, reason: str | None, left: int
) -> None:
    scenes, rejected = read(tmp_path, [record(messages)])
    assert sum(len(turns(scene)) for scene in scenes) == left
    assert ({reason} if reason else set()) <= {item.reason for item in rejected}
    assert all(item.reason in {reason, "empty-turn"} for item in rejected)


def test_a_question_that_leans_on_a_lost_one_is_lost_with_it(tmp_path: Path) -> None:
    messages = [
        *[("human", "Which dog barks?"), ("gpt", "")],
        *[("human", "Why does it bark?"), ("gpt", "At the cat.")],
        *[("human", "What is on the table?"), ("gpt", "A vase.")],
        *[("human", "What colour is it?"), ("gpt", "Blue.")],
    ]
    ((scene,), rejected) = read(tmp_path, [record(messages)])
    assert [question for question, _ in turns(scene)] == [
        "What is on the table?",
        "What colour is it?",
    ]
    assert [item.reason for item in rejected] == ["empty-turn", "leaning-turn"]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (record(TALK, image=None), "no-file-name"),
        (record(TALK, image=" "), "no-file-name"),
        ({"id": 1, "image": "a.jpg"}, "malformed-record"),
        ({"id": 1, "image": ["a.jpg"], "conversations": []}, "malformed-record"),
        (record(TALK) | {"conversations": [{"from": "human"}]}, "malformed-record"),
        (None, "malformed-record"),
    ],
)
def test_a_record_that_cannot_be_used_is_told_and_the_others_stay(
    tmp_path: Path, broken: object, reason: str
) -> None:
    scenes, rejected = read(tmp_path, [broken, record(TALK)])
    assert len(scenes) == 1
    assert reason in {item.reason for item in rejected}
    assert all(item.record.startswith("talk.json record 1") for item in rejected)


@pytest.mark.parametrize("number", ["000000525439", "000000000001"])
@pytest.mark.parametrize(
    "name", ["{}.jpg", "COCO_val2014_{}.jpg", "coco/train2017/{}.jpg", "val2017/{}.jpg"]
)
def test_photographs_of_coco_have_its_twelve_digits(name: str, number: str) -> None:
    assert image_part(name.format(number)) == number


@given(st.lists(st.text(min_size=1), unique=True, max_size=8))
def test_no_two_other_names_have_one_id(names: list[str]) -> None:
    digits = ["000000525439", "000000525439.png", "a/000000525439.jpg", "000000525439.jpg"]
    everything = [*digits, *(name for name in names if name not in digits)]
    assert len({image_part(name) for name in everything}) == len(everything)


@pytest.mark.parametrize("folder", ["images", "train2017", "val2017", "."])
@pytest.mark.parametrize("name", ["COCO_val2014_000000000001.jpg", "000000000001.jpg"])
def test_a_photograph_is_found_where_it_is(tmp_path: Path, folder: str, name: str) -> None:
    (tmp_path / folder).mkdir(exist_ok=True)
    (tmp_path / folder / name).write_bytes(b"x")
    written = "COCO_val2014_000000000001.jpg"
    ((scene,), _) = read(tmp_path, [record(TALK, image=written)])
    assert (Path(scene.images[0].root) / scene.images[0].name).samefile(tmp_path / folder / name)


def test_a_folder_linked_from_elsewhere_is_trusted(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "000000000001.jpg").write_bytes(b"x")
    (tmp_path / "near").mkdir()
    (tmp_path / "near" / "train2017").symlink_to(tmp_path / "far")
    ((scene,), _) = read(tmp_path / "near", [record(TALK)])
    assert scene.images[0].root == str(tmp_path / "far")


@pytest.mark.parametrize("name", ["../secret.jpg", "/etc/passwd", "a\0b.jpg", "C:\\x.jpg"])
def test_a_name_that_leads_out_is_refused_where_it_is_opened(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"x")
    root = tmp_path / "root"
    read(root, [record(TALK, image=name)])
    source = SourceConfig(name="llava", options={"root": str(root)})
    with pytest.raises(SourceError, match=r"unsafe-path|missing-file"):
        build(BuildConfig(sources=[source]), tmp_path / "out")


def test_nothing_to_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="annotations=FILE"):
        read(tmp_path)
    with pytest.raises(SourceError, match="no directory"):
        open_source("llava", {"root": str(tmp_path / "nowhere")}).scenes()
    with pytest.raises(UsageError, match="images=DIR"):
        open_source("llava", {"annotations": str(tmp_path / "talk.json")}).scenes()
    with pytest.raises(SourceError, match="a list of records"):
        read(tmp_path, {"images": []})


def test_one_file_can_be_named_and_the_photographs_lie_elsewhere(tmp_path: Path) -> None:
    read(tmp_path / "a", [record(TALK)], "a.json")
    (tmp_path / "photos").mkdir()
    options = {"annotations": str(tmp_path / "a" / "a.json"), "images": str(tmp_path / "photos")}
    (scene,) = open_source("llava", {**options, "licence": "CC-BY-4.0"}).scenes()
    assert isinstance(scene, Scene)
    assert scene.images[0].root == str(tmp_path / "photos")
    assert scene.licence == "CC-BY-4.0"


@needs_shared
def test_the_real_records_are_all_there(tmp_path: Path) -> None:
    path = SHARED / "llava" / "llava_instruct_layout_90.json"
    options = {"annotations": str(path), "images": str(tmp_path)}
    items = list(open_source("llava", options).scenes())
    scenes = [item for item in items if isinstance(item, Scene)]
    assert len(items) == len(scenes) == 90
    assert len({scene.images[0].id for scene in scenes}) == 30
    assert not any("<image>" in text for s in scenes for turn in turns(s) for text in turn)
    assert [scene.id for scene in scenes] == sorted({scene.id for scene in scenes})
