"""Lines of one's own data: every key, and what is told of what does not fit."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from mimicit import templates
from mimicit.annotations import (
    Box,
    Caption,
    Dialogue,
    Difference,
    Narration,
    Note,
    Segment,
    Story,
    Utterance,
)
from mimicit.config import BuildConfig, SourceConfig
from mimicit.errors import SourceError, UsageError
from mimicit.generators import open_source
from mimicit.generators._line_keys import Line
from mimicit.moments import At, Uniform
from mimicit.pipeline import build
from mimicit.schema import Rejection, Scene
from mimicit.validate import find_problems

PAGE = Path(__file__).parents[1] / "docs" / "bring_your_own.md"


def read(
    root: Path, *lines: dict[str, Any] | str, name: str = "own.jsonl", **options: str
) -> tuple[dict[str, Scene], list[Rejection]]:
    root.mkdir(exist_ok=True)
    if lines:
        text = "".join((x if isinstance(x, str) else json.dumps(x)) + "\n" for x in lines)
        (root / name).write_text(text)
    items = list(open_source("jsonl", {"root": str(root), **options}).scenes())
    scenes = {item.id: item for item in items if isinstance(item, Scene)}
    return scenes, [item for item in items if isinstance(item, Rejection)]


def one(root: Path, **line: Any) -> tuple[Scene, list[Rejection]]:
    """Read one line about two pictures, unless it says otherwise."""
    media = {} if {"image", "images", "video"} & line.keys() else {"images": ["a.jpg", "b.jpg"]}
    scenes, rejected = read(root, {"id": "x", **media, **line})
    return scenes["x"], rejected


VIDEO = {"video": "v.mp4"}


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ({"captions": [" A  cat. "]}, Caption("A cat.")),
        ({"captions": [{"text": "A cat.", "image": 1}]}, Caption("A cat.", 1)),
        ({"boxes": [{"label": "cat", "bbox": [1, 2, 3, 4.5]}]}, Box("cat", 1, 2, 3, 4.5)),
        (
            {"boxes": [{"label": "cat", "bbox": [8, 2, 2, 4], "image": 1}], "sizes": [[9, 9]] * 2},
            Box("cat", 8, 2, 1, 4, image=1),
        ),
        (
            {**VIDEO, "segments": [{"start": 0, "end": 1.5, "text": "It runs."}]},
            Segment(0, 1.5, "It runs."),
        ),
        ({"segments": [{"start": 0, "end": 1, "text": "It runs."}]}, Segment(0, 1, "It runs.")),
        (
            {**VIDEO, "narrations": [{"time": 2, "text": "cuts", "objects": ["knife", " "]}]},
            Narration(2, "cuts", "wearer", ("knife",)),
        ),
        (
            {**VIDEO, "narrations": [{"time": 2, "text": "cuts", "actor": "other"}]},
            Narration(2, "cuts", "other"),
        ),
        ({"differences": [{"text": "It left."}]}, Difference("It left.")),
        (
            {"differences": [{"text": "It left.", "before": 1, "after": 0, "directed": True}]},
            Difference("It left.", 1, 0, directed=True),
        ),
        ({"story": ["We left.", "We came."]}, Story("1", ("We left.", "We came."), (0, 1))),
        (
            {"stories": [{"sentences": ["We left."], "images": [1], "id": 7}]},
            Story("7", ("We left.",), (1,)),
        ),
        ({"utterances": ["the lamp by the door"]}, Utterance("the lamp by the door")),
        ({"utterances": [{"text": "that one", "object": "lamp"}]}, Utterance("that one", "lamp")),
        ({"qa": [["Who?", "A cat."]]}, Dialogue((("Who?", "A cat."),))),
        (
            {
                "conversations": [
                    {"from": "human", "value": "<image>\nWho?"},
                    {"from": "gpt", "value": "A cat."},
                ]
            },
            Dialogue((("Who?", "A cat."),)),
        ),
        ({"notes": {"title": "Cats"}}, Note("title", "Cats")),
        ({"notes": {"stars": 4}}, Note("stars", "4")),
        ({"notes": {"duration": 10.5}}, Note("duration", "10.5")),
        ({"notes": {"turn": "joke"}}, Note("Turn", "joke")),
        ({"notes": {"narrator": "me"}}, Note("Narrator", "me")),
    ],
)
def test_each_key_becomes_what_it_says(tmp_path: Path, line: dict[str, Any], meant: object) -> None:
    scene, rejected = one(tmp_path, **line)
    assert scene.annotations == (meant,)
    assert not rejected


def test_pictures_have_ids_by_their_paths_and_a_line_its_own(tmp_path: Path) -> None:
    scenes, _ = read(tmp_path, {"id": 7, "images": ["a/b.jpg", "c.jpg"], "sizes": [[4, 3], [5, 6]]})
    assert [(ref.id, ref.name, ref.size) for ref in scenes["7"].images] == [
        ("MM_IMG_a~2f~b.jpg", "a/b.jpg", (4, 3)),
        ("MM_IMG_c.jpg", "c.jpg", (5, 6)),
    ]
    assert scenes["7"].prefix == "MM"


def test_a_line_with_nothing_but_a_picture_is_a_scene(tmp_path: Path) -> None:
    scene, rejected = one(tmp_path, image="a.jpg", captions=None)
    assert (scene.annotations, rejected) == ((), [])


def test_a_video_is_cut_as_the_line_says_or_the_option(tmp_path: Path) -> None:
    assert one(tmp_path, **VIDEO)[0].clips[0].sampler == Uniform(8)
    assert one(tmp_path, **VIDEO, frames=3)[0].clips[0].sampler == Uniform(3)
    assert one(tmp_path, **VIDEO, times=[4, 0.5, 4])[0].clips[0].sampler == At((0.5, 4.0))
    scenes, _ = read(tmp_path, {"id": "x", **VIDEO}, frames="5")
    assert scenes["x"].clips[0].sampler == Uniform(5)
    assert scenes["x"].clips[0].id == "MM_IMG_v.mp4"


def test_what_belongs_together_is_said_or_is_what_shows_the_same(tmp_path: Path) -> None:
    assert one(tmp_path, group="a b", groups=["c", "a b"])[0].groups == ("a~20~b", "c")
    assert one(tmp_path, group=7, groups=[8, "x"])[0].groups == ("7", "8", "x")
    assert one(tmp_path, image="p/q.jpg")[0].groups == ("p~2f~q.jpg",)
    assert one(tmp_path, **VIDEO)[0].groups == ("v.mp4",)


def test_licence_and_language_are_the_lines_or_those_of_all(tmp_path: Path) -> None:
    (tmp_path / "licence.txt").write_text("CC0-1.0\nand so on")
    lines = [{"id": 1, "image": "a.jpg", "licence": "CC-BY-4.0", "language": "de"}]
    lines += [{"id": 2, "image": "b.jpg"}]
    scenes, _ = read(tmp_path, *lines, language="fr", prefix="OWN")
    assert [(s.licence, s.language) for s in scenes.values()] == [
        ("CC-BY-4.0", "de"),
        ("CC0-1.0", "fr"),
    ]
    assert scenes["2"].images[0].id == "OWN_IMG_b.jpg"
    assert scenes["2"].instruction_id(0).startswith("OWN_INS_2_")


@pytest.mark.parametrize(
    ("line", "reason", "said"),
    [
        ({"image": "a.jpg"}, "malformed-record", "id"),
        ({"id": " ", "image": "a.jpg"}, "no-image-id", "empty"),
        ({"id": 1}, "no-file-name", "neither"),
        ({"id": 1, "image": ""}, "no-file-name", "empty"),
        ({"id": 1, "images": ["a.jpg", "a.jpg"]}, "malformed-record", "twice"),
        ({"id": 1, "image": "a.jpg", "images": ["b.jpg"]}, "malformed-record", "one of them"),
        ({"id": 1, "image": 5}, "malformed-record", r"\$\.image"),
        ({"id": 1, "image": "a.jpg", "captoin": []}, "malformed-record", "mean `captions`"),
        ({"id": 1, "image": "a.jpg", "Image": "b.jpg"}, "malformed-record", "mean `image`"),
        ({"id": 1, "image": "a.jpg", "qqq": 1}, "malformed-record", "there are: id, image,"),
        ({"id": 1, "image": "a.jpg", "instances": []}, "malformed-record", "mean `boxes`"),
        ({"id": 1, "image": "a.jpg", "objects": []}, "malformed-record", "mean `boxes`"),
        ({"id": 1, "image": "a.jpg", "frames": 3}, "malformed-record", "no video"),
        ({"id": 1, **VIDEO, "frames": 3, "times": [1]}, "malformed-record", "one of them"),
        ({"id": 1, **VIDEO, "frames": 0}, "malformed-record", "not 0"),
        ({"id": 1, **VIDEO, "frames": "3"}, "malformed-record", "Expected `int"),
        ({"id": 1, **VIDEO, "times": [-1]}, "malformed-record", "0 seconds or later"),
        ({"id": 1, **VIDEO, "times": []}, "malformed-record", "moments"),
        ({"id": 1, "image": "a.jpg", "sizes": [[1, 2], [3, 4]]}, "uneven-lists", "2 sizes for 1"),
        ({"id": 1, "image": "a.jpg", "sizes": [[0, 4]]}, "malformed-record", "no size"),
        ({"id": 1, "image": "a.jpg", "language": "English"}, "malformed-record", "code"),
        ({"id": 1, "image": "a.jpg", "group": ""}, "malformed-record", "group"),
        ("{", "malformed-record", ""),
        ("[]", "malformed-record", "object"),
        ('{"id": 1, "image": "a.jpg", "boxes": NaN}', "malformed-record", ""),
        ("\udce9".encode("utf-8", "surrogateescape").decode("latin-1"), "malformed-record", ""),
    ],
)
def test_a_line_that_is_wrong_is_told_with_its_number(
    tmp_path: Path, line: dict[str, Any] | str, reason: str, said: str
) -> None:
    scenes, (rejected,) = read(tmp_path, {"id": "good", "image": "z.jpg"}, "", line)
    assert list(scenes) == ["good"]
    assert (rejected.reason, rejected.record) == (reason, "own.jsonl line 3")
    assert re.search(said, rejected.detail)


@pytest.mark.parametrize(
    ("line", "reason", "record"),
    [
        ({"captions": ["A cat.", "", "a cat"]}, "empty-caption", "captions 2"),
        ({"captions": ["A cat.", "a cat"]}, "duplicate-caption", "captions 2"),
        ({"captions": [{"text": "A.", "image": 2}]}, "unknown-image", "captions 1"),
        ({"captions": [{"txt": "A."}]}, "malformed-record", "captions 1"),
        ({"captions": [5]}, "malformed-record", "captions 1"),
        ({**VIDEO, "captions": ["A cat runs."]}, "no-picture", "captions 1"),
        ({"boxes": [{"label": "cat", "bbox": [0, 0, 0, 5]}]}, "empty-box", "boxes 1"),
        ({"boxes": [{"label": "cat", "bbox": [1, 2, 3]}]}, "malformed-record", "boxes 1"),
        ({"boxes": [{"label": " ", "bbox": [1, 2, 3, 4]}]}, "no-label", "boxes 1"),
        (
            {"image": "a.jpg", "sizes": [[9, 9]], "boxes": [{"label": "c", "bbox": [9, 0, 2, 2]}]},
            "empty-box",
            "boxes 1",
        ),
        ({**VIDEO, "segments": [{"start": 2, "end": 1, "text": "It."}]}, "bad-times", "segments 1"),
        ({**VIDEO, "segments": [{"start": -1, "end": 1, "text": "A"}]}, "bad-times", "segments 1"),
        (
            {"image": "a.jpg", "segments": [{"start": 0, "end": 1, "text": "A"}]},
            "no-video",
            "segments 1",
        ),
        ({**VIDEO, "narrations": [{"time": -1, "text": "A"}]}, "bad-times", "narrations 1"),
        (
            {**VIDEO, "narrations": [{"time": 1, "text": "A", "actor": "me"}]},
            "malformed-record",
            "narrations 1",
        ),
        ({"image": "a.jpg", "differences": [{"text": "A"}]}, "unknown-image", "differences 1"),
        ({"differences": [{"text": "A", "after": 0}]}, "unknown-image", "differences 1"),
        ({"story": ["One.", "Two.", "Three."]}, "unknown-image", "stories 1"),
        ({"story": {"sentences": ["One."], "images": []}}, "uneven-lists", "stories 1"),
        ({"stories": [["One.", " "]]}, "empty-sentence", "stories 1"),
        ({"utterances": ["it", "It"]}, "duplicate-sentence", "utterances 2"),
        ({"qa": [["Who?"]]}, "malformed-record", "qa 1"),
        ({"qa": [["Who?", ""]]}, "empty-turn", "qa, turn 1"),
        (
            {"conversations": [{"from": "cat", "value": "Meow"}]},
            "unknown-speaker",
            "conversations, message 1",
        ),
        ({"notes": {"title": " "}}, "empty-sentence", "notes 'title'"),
        ({"notes": {"kind": "k" * 3000}}, "malformed-record", "notes 'kind'"),
    ],
)
def test_an_item_that_is_wrong_is_told_and_the_rest_of_its_line_stays(
    tmp_path: Path, line: dict[str, Any], reason: str, record: str
) -> None:
    scene, rejected = one(tmp_path, **line)
    first = rejected[0]
    assert (first.reason, first.record) == (reason, f"own.jsonl line 1, {record}")
    assert first.scene_id == scene.id
    assert first.detail


def test_a_key_of_an_item_that_is_misspelt_is_told_what_was_meant(tmp_path: Path) -> None:
    _, (rejected,) = one(tmp_path, boxes=[{"label": "cat", "box": [1, 2, 3, 4]}])
    assert rejected.detail == "unknown key `box`; did you mean `bbox`?"
    _, (rejected,) = one(tmp_path, boxes=[{"category": "cat", "bbox": [1, 2, 3, 4]}])
    assert rejected.detail == "unknown key `category`; did you mean `label`?"


def test_stories_of_one_id_are_told_apart(tmp_path: Path) -> None:
    told = [
        {"sentences": [f"We saw {thing}.", "We left."], "id": name}
        for thing, name in (("a cat", "x"), ("a dog", ""), ("a cow", "x"), ("a hen", "x"))
    ]
    scene, rejected = one(tmp_path, stories=told)
    assert [a.id for a in scene.annotations if isinstance(a, Story)] == ["x", "2", "x 2", "x 3"]
    assert not rejected


@pytest.mark.parametrize(
    "text",
    [
        '[{"id": 1, "image": "a.jpg"}]',
        json.dumps({"id": 1, "image": "a.jpg"}, indent=2),
        json.dumps([{"id": 1, "image": "a.jpg"}], indent=2),
    ],
)
def test_json_that_is_no_lines_is_told_how_lines_are_written(tmp_path: Path, text: str) -> None:
    (tmp_path / "own.jsonl").write_text(text)
    scenes, rejected = read(tmp_path)
    assert not scenes
    assert "write one object a line" in rejected[0].detail


@pytest.mark.parametrize("text", ["", "\n \n", "\ufeff"])
def test_a_file_in_which_nothing_stands_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "own.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(SourceError, match=r"own\.jsonl"):
        read(tmp_path)


def test_a_scene_is_chosen_by_its_own_id_however_it_is_spelled(tmp_path: Path) -> None:
    Image.new("RGB", (64, 48), "red").save(tmp_path / "a.png")
    names = ["my cat", "my~20~cat", "cat/1", "7"]
    read(tmp_path, *({"id": n, "image": "a.png", "captions": [f"A {n}."]} for n in names))
    source = SourceConfig(name="jsonl", options={"root": str(tmp_path)})

    def scenes(*only: str) -> int:
        out = tmp_path / "-".join(only).replace("/", "_")
        return build(BuildConfig(sources=[source], only=list(only)), out).scenes

    assert scenes("cat/1") == scenes("cat~2f~1") == scenes("7") == 1
    assert scenes("my cat", "my~20~cat") == 2, "each of them names one, or the other as well"
    with pytest.raises(UsageError, match="'my dog' names no scene"):
        scenes("my cat", "my dog")


def test_of_two_lines_with_one_id_one_stays_whichever_file_they_are_in(tmp_path: Path) -> None:
    read(tmp_path, {"id": 1, "image": "b.jpg"}, name="a.jsonl")
    scenes, (rejected,) = read(tmp_path, {"id": "1", "image": "a.jpg"}, name="b.jsonl")
    assert len(scenes) == 1
    assert (rejected.reason, rejected.scene_id) == ("duplicate-scene", "1")


def test_what_happens_is_told_in_the_order_of_time_however_it_is_listed(tmp_path: Path) -> None:
    said = [(3, 4, "It sits."), (0, 2, "It runs."), (3, 3.5, "It yawns.")]
    segments = [{"start": start, "end": end, "text": text} for start, end, text in said]
    done = [{"time": 5, "text": "cuts it"}, {"time": 1.5, "text": "takes a knife"}]
    scene, rejected = one(tmp_path, **VIDEO, segments=segments, narrations=done)
    assert scene.annotations == (
        Segment(0, 2, "It runs."),
        Segment(3, 4, "It sits."),
        Segment(3, 3.5, "It yawns."),
        Narration(1.5, "takes a knife"),
        Narration(5, "cuts it"),
    )
    assert not rejected


@pytest.mark.parametrize(
    ("bboxes", "kept", "told"),
    [
        ([[0.2, 0.3, 0.5, 0.4], [0, 0, 1, 1]], 0, [("boxes", "parts of the picture?")]),
        ([[0.2, 0.3, 0.5, 0.4], [8, 9, 20, 30]], 2, []),
        ([[60, 40, 4.9, 8.5]], 1, []),
        ([[60, 40, 5.5, 8]], 0, [("boxes 1", "[left, top, right, bottom]?")]),
        ([[-2, 40, 5, 8]], 0, [("boxes 1", "[left, top, right, bottom]?")]),
        ([[9, 9, 40, 5], [60, 40, 20, 8]], 1, [("boxes 2", "reaches over")]),
        ([[9, 9, 40, 40], [50, 9, 60, 40]], 0, [("boxes 1", "is like"), ("boxes 2", "reaches")]),
    ],
)
def test_boxes_of_another_form_are_turned_away_by_the_size_of_their_picture(
    tmp_path: Path, bboxes: list[list[float]], kept: int, told: list[tuple[str, str]]
) -> None:
    boxes = [{"label": f"thing {n}", "bbox": bbox} for n, bbox in enumerate(bboxes)]
    line = {"id": "x", "image": "a.png", "boxes": boxes, "captions": ["A grey field."]}
    scenes, rejected = read(tmp_path, {**line, "sizes": [[64, 48]]})
    assert [type(a) for a in scenes["x"].annotations] == [Caption] + [Box] * kept
    assert [r.reason for r in rejected] == ["other-boxes"] * len(told)
    assert [r.record.removeprefix("own.jsonl line 1, ") for r in rejected] == [w for w, _ in told]
    assert all(words in r.detail for r, (_, words) in zip(rejected, told, strict=True))
    Image.new("RGB", (64, 48), "grey").save(tmp_path / "a.png")
    read(tmp_path, line)  # without the size, which the picture itself has
    source = SourceConfig(name="jsonl", options={"root": str(tmp_path)})
    counted = build(BuildConfig(sources=[source]), tmp_path / "out").rejected
    assert counted == ({("annotations", "other-boxes"): len(told)} if told else {})


def licences(scenes: dict[str, Scene]) -> dict[str, list[str]]:
    return {
        name: [*(ref.licence for ref in scene.images), *(clip.licence for clip in scene.clips)]
        for name, scene in scenes.items()
    }


def test_a_licence_that_one_line_states_holds_for_that_picture_in_all_lines(
    tmp_path: Path,
) -> None:
    lines: list[dict[str, Any]] = [
        {"id": "a", "image": "p.jpg"},
        {"id": "b", "image": "p.jpg", "licence": "CC-BY-4.0"},
        {"id": "c", "images": ["p.jpg", "q.jpg"], "licence": " "},
        {"id": "d", **VIDEO},
        {"id": "e", **VIDEO, "licence": " CC-BY-4.0 "},
    ]
    scenes, rejected = read(tmp_path, *lines, licence="CC0-1.0")
    assert not rejected
    assert licences(scenes) == {
        "a": ["CC-BY-4.0"],
        "b": ["CC-BY-4.0"],
        "c": ["CC-BY-4.0", "CC0-1.0"],
        "d": ["CC-BY-4.0"],
        "e": ["CC-BY-4.0"],
    }


def test_of_two_lines_that_state_two_licences_of_a_picture_one_stays(tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = [
        {"id": "b", "images": ["q.jpg", "p.jpg"], "licence": "MIT"},
        {"id": "a", "image": "p.jpg", "licence": "CC-BY-4.0"},
        {"id": "c", "image": "q.jpg", "licence": "CC0-1.0"},
        {"id": "a0", "image": "r.jpg", "licence": "MIT", "group": ""},
        {"id": "r", "image": "r.jpg", "licence": "CC0-1.0"},
    ]
    scenes, rejected = read(tmp_path, *lines)
    assert licences(scenes) == {"a": ["CC-BY-4.0"], "c": ["CC0-1.0"], "r": ["CC0-1.0"]}
    told = next(r for r in rejected if r.reason == "licence-conflict")
    assert (told.record, told.scene_id) == ("own.jsonl line 1", "b")
    assert told.detail == (
        "'p.jpg' is 'MIT' here, and 'CC-BY-4.0' in own.jsonl line 2, which stays"
    )
    assert [r.reason for r in rejected if r is not told] == ["malformed-record"]


def test_one_picture_under_a_stated_and_a_default_licence_is_published(tmp_path: Path) -> None:
    Image.new("RGB", (64, 48), "red").save(tmp_path / "a.png")
    lines: list[dict[str, Any]] = [
        {"id": "1", "image": "a.png", "captions": ["A red rectangle."], "licence": "CC-BY-4.0"},
        {"id": "2", "image": "a.png", "captions": ["A field of red."]},
    ]
    read(tmp_path, *lines)
    source = SourceConfig(name="jsonl", options={"root": str(tmp_path), "licence": "CC0-1.0"})
    summary = build(BuildConfig(sources=[source]), tmp_path / "out")
    assert (summary.scenes, summary.images, dict(summary.rejected)) == (2, 1, {})
    assert find_problems(tmp_path / "out") == []


def written(root: Path, **line: Any) -> list[str]:
    """Write by rule about a line with a picture of 640 by 480 pixels."""
    scene, _ = one(root, image="a.jpg", sizes=[[640, 480]], **line)
    return [f"{e.instruction} {e.answer}" for e in templates.write(scene, 0)]


def boxed(*labels: str) -> list[dict[str, Any]]:
    return [
        {"label": label, "bbox": [20 + 150 * n, 100, 100, 200]} for n, label in enumerate(labels)
    ]


def test_labels_are_spoken_of_as_words_for_one_thing(tmp_path: Path) -> None:
    said = " ".join(written(tmp_path, boxes=boxed("Red Car", "buses", "people", "TV")))
    assert "a red car" in said
    assert "several buses" in said
    assert "a group of people" in said
    assert "a TV" in said
    assert not re.search("Car|busess|buseses|peoples|tv", said)


@pytest.mark.parametrize("label", ["n02084071", "HUMAN_FACE", "class 3"])
def test_a_label_that_is_no_words_is_not_spoken_of_and_a_model_is_told(
    tmp_path: Path, label: str
) -> None:
    said = written(tmp_path, boxes=boxed(label, "dog"))
    assert said == written(tmp_path, boxes=boxed("", "dog"))
    scene, _ = one(tmp_path, image="a.jpg", sizes=[[640, 480]], boxes=boxed(label))
    assert [a.label for a in scene.annotations if isinstance(a, Box)] == [label]
    assert templates.write(scene, 0) == []
    assert "no words" in templates.silence(scene)


def test_of_text_in_another_language_only_conversations_are_given(tmp_path: Path) -> None:
    captions = ["Eine Katze liegt auf einem Bett."]
    qa = [["Was liegt auf dem Bett?", "Eine Katze."]]
    boxes = boxed("Katze")
    assert written(tmp_path, language="de", captions=captions, boxes=boxes, qa=qa) == [
        "Was liegt auf dem Bett? Eine Katze."
    ]
    assert written(tmp_path, language="de", captions=captions, boxes=boxes) == []
    scene, _ = one(tmp_path, image="a.jpg", language="de", captions=captions)
    assert "'de'" in templates.silence(scene)
    assert "--teacher" in templates.silence(scene)
    assert templates.wording_sha256(scene) == ""
    assert written(tmp_path, language="eng", captions=captions)


def test_a_bird_that_a_caption_names_is_not_named_again(tmp_path: Path) -> None:
    for bird in ("robin", "sparrow", "blackbird", "woodpecker"):
        said = written(tmp_path, captions=[f"A {bird} on a fence."], boxes=boxed("bird", "apple"))
        assert any(bird in text and "apple" in text for text in said), "what is not named is added"
        assert not any(bird in text and "a bird" in text for text in said)


PAIR, THREE = ["a.jpg", "b.jpg"], ["a.jpg", "b.jpg", "c.jpg"]
DAYS = ["We set out early in the morning.", "At noon we rested by a lake.", "Then we came home."]


@pytest.mark.parametrize(
    ("enough", "too_little"),
    [
        (
            {**VIDEO, "segments": [{"start": 0, "end": 2, "text": "A man enters a room."}]},
            {**VIDEO, "segments": [{"start": 0, "end": 2, "text": "Then he enters it."}]},
        ),
        (
            {**VIDEO, "narrations": [{"time": 1, "text": "picks up a hammer"}]},
            {**VIDEO, "narrations": [{"time": 1, "text": "zzz"}]},
        ),
        (
            {"images": PAIR, "differences": [{"text": "The heron has left."}]},
            {"images": THREE, "differences": [{"text": "The heron has left."}]},
        ),
        ({"images": THREE, "story": DAYS}, {"images": PAIR, "story": DAYS[:2]}),
        (
            {"image": "a.jpg", "utterances": [{"text": "the lamp on the desk", "object": "lamp"}]},
            {"image": "a.jpg", "utterances": ["the lamp on the desk"]},
        ),
        ({"image": "a.jpg", "captions": ["A cat."]}, {"image": "a.jpg"}),
    ],
)
def test_what_the_page_calls_enough_for_templates_is_enough(
    tmp_path: Path, enough: dict[str, Any], too_little: dict[str, Any]
) -> None:
    assert templates.write(one(tmp_path, **enough)[0], 0)
    scene, _ = one(tmp_path, **too_little)
    assert templates.write(scene, 0) == []
    assert templates.silence(scene)


def test_notes_that_only_look_like_those_of_other_sources_do_no_harm(tmp_path: Path) -> None:
    Image.new("RGB", (64, 48), "red").save(tmp_path / "a.jpg")
    Image.new("RGB", (64, 48), "blue").save(tmp_path / "b.jpg")
    said = [{"start": 0, "end": 1, "text": "A dog runs over a field."}]
    notes = {"duration": "long", "evidence": "a letter", "sentences": "three"}
    one(tmp_path, segments=said, notes=notes)
    source = SourceConfig(name="jsonl", options={"root": str(tmp_path)})
    assert build(BuildConfig(sources=[source]), tmp_path / "out").instructions > 0


@pytest.mark.parametrize(
    ("pictures", "line", "instructions"),
    [
        (2, {}, True),
        (2, {"before": 1, "after": 0, "directed": True}, False),
        (3, {"before": 0, "after": 2}, False),
    ],
)
def test_differences_are_asked_for_only_where_it_is_clear_of_which_pictures(
    tmp_path: Path, pictures: int, line: dict[str, Any], *, instructions: bool
) -> None:
    names = [f"{number}.png" for number in range(pictures)]
    for number, name in enumerate(names):
        Image.new("RGB", (64, 48), (40 * number, 90, 50)).save(tmp_path / name)
    Image.new("RGB", (64, 48)).save(tmp_path / "z.png")
    lines: list[dict[str, Any] | str] = [
        {"id": "z", "image": "z.png", "captions": ["A black rectangle."]}
    ]
    lines += [{"id": "d", "images": names, "differences": [{"text": "The door is open.", **line}]}]
    read(tmp_path, *lines)
    source = SourceConfig(name="jsonl", options={"root": str(tmp_path)})
    summary = build(BuildConfig(sources=[source]), tmp_path / "out")
    assert (("templates", "nothing-to-say") not in dict(summary.rejected)) == instructions


def test_what_is_wrong_with_the_options_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="dataset=PATH"):
        read(tmp_path)
    with pytest.raises(UsageError, match="dataset=PATH"):
        open_source("jsonl", {"frames": "3"}).scenes()
    with pytest.raises(SourceError, match="no directory"):
        open_source("jsonl", {"root": str(tmp_path / "nowhere")}).scenes()
    for options in ({"prefix": "my_"}, {"language": "English"}, {"frames": "0"}):
        with pytest.raises(UsageError):
            read(tmp_path, {"id": 1, "image": "a.jpg"}, **options)


def test_one_file_can_be_named_and_the_media_lie_elsewhere(tmp_path: Path) -> None:
    read(tmp_path / "a", {"id": 1, "image": "a.jpg"})
    options = {"annotations": str(tmp_path / "a" / "own.jsonl"), "images": str(tmp_path)}
    (scene,) = open_source("jsonl", options).scenes()
    assert isinstance(scene, Scene)
    assert scene.images[0].root == str(tmp_path)


@given(st.lists(st.text(min_size=1).filter(str.strip), unique=True, min_size=1, max_size=6))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_ids_and_paths_no_two_become_one(tmp_path: Path, names: list[str]) -> None:
    scenes, rejected = read(tmp_path, *({"id": name, "image": name} for name in names))
    assert len(scenes) == len({s.images[0].id for s in scenes.values()}) == len(names)
    assert list(scenes) == sorted(scenes)
    assert not rejected


def table_keys(page: str) -> set[str]:
    """List the words in code of the first cells of the page's first table."""
    table = page.split("| key | what it holds |")[1].partition("\n\n")[0]
    return {word for line in table.splitlines() for word in re.findall("`(.*?)`", line[:30])}


def test_the_page_has_every_key_and_lines_that_are_read(tmp_path: Path) -> None:
    page = PAGE.read_text()
    assert set(Line.__struct_fields__) <= table_keys(page)
    (lines,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    scenes, rejected = read(tmp_path, *lines.splitlines())
    assert len(scenes) == len(lines.splitlines())
    assert not rejected
    silent = [name for name, scene in scenes.items() if not templates.write(scene, 0)]
    assert silent == ["unseen"], "whoever tries the page gets something for each line that says any"
