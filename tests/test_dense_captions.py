"""Dense captions: what the files really look like, what is made of them, and what is asked."""

import json
import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from conftest import SHARED, needs_shared
from hypothesis import given
from hypothesis import strategies as st

from mimicit.annotations import Note, Segment
from mimicit.checks import check
from mimicit.errors import SourceError, UsageError
from mimicit.generators import open_source
from mimicit.moments import Uniform, frame_id
from mimicit.schema import Exchange, ImageRef, Rejection, Scene, SourceRef
from mimicit.templates import silence, write
from mimicit.templates.sentences import mend, stands_alone

SOURCE = "dense_captions"


def read(root: Path, **options: str) -> tuple[dict[str, Scene], list[Rejection]]:
    items = list(open_source(SOURCE, {"root": str(root), **options}).scenes())
    scenes = {item.id: item for item in items if isinstance(item, Scene)}
    return scenes, [item for item in items if isinstance(item, Rejection)]


def video(*segments: tuple[float, float, str], duration: float | None = 60) -> dict[str, Any]:
    """Write a video as ActivityNet Captions does."""
    return {
        "duration": duration,
        "timestamps": [[start, end] for start, end, _ in segments],
        "sentences": [text for _, _, text in segments],
    }


def store(root: Path, table: object, name: str = "val_1.json") -> Path:
    (root / name).write_text(json.dumps(table))
    return root


def segments(scene: Scene) -> list[Segment]:
    return [a for a in scene.annotations if isinstance(a, Segment)]


def reasons(rejected: list[Rejection]) -> list[tuple[str, str]]:
    return [(item.reason, item.record) for item in rejected]


def test_a_video_is_a_scene_with_its_segments_in_order_of_time(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "v_a-1.webm").touch()
    said = video((20, 30.5, " He jumps."), (0, 12, "  A man runs."), duration=61.25)
    scenes, rejected = read(store(tmp_path, {"v_a-1": said}), licence="CC-BY-4.0", frames="5")
    scene = scenes["v_a-1"]
    assert segments(scene) == [Segment(0, 12, "A man runs."), Segment(20, 30.5, "He jumps.")]
    assert Note("duration", "61.25") in scene.annotations
    (clip,) = scene.clips
    assert (clip.id, clip.name) == ("DC_IMG_v_a-1", "videos/v_a-1.webm")
    assert (clip.sampler, clip.licence) == (Uniform(5), "CC-BY-4.0")
    assert scene.groups == ("v_a-1",)
    assert not rejected


def test_what_starts_at_once_stays_in_the_order_of_the_author(tmp_path: Path) -> None:
    said = video((0, 60, "A lesson is given."), (0, 9, "A coach waves."), (0, 30, "He talks."))
    scenes, _ = read(store(tmp_path, {"v": said}))
    assert [s.end for s in segments(scenes["v"])] == [60, 9, 30]


def test_swapped_times_are_turned_round_only_inside_of_the_video(tmp_path: Path) -> None:
    table = {
        "inside": video((30, 20, "A man runs.")),
        "past": video((90, 20, "A man runs.")),
        "unknown": video((30, 20, "A man runs."), duration=None),
    }
    scenes, rejected = read(store(tmp_path, table))
    assert segments(scenes["inside"]) == [Segment(20, 30, "A man runs.")]
    assert list(scenes) == ["inside"]
    assert reasons(rejected) == [
        ("bad-times", "segment 1"),
        ("no-segments", "past"),
        ("bad-times", "segment 1"),
        ("no-segments", "unknown"),
    ]


def test_a_segment_past_the_end_is_cut_and_one_behind_it_is_left_out(tmp_path: Path) -> None:
    said = video((50, 70, "A dog barks."), (61, 70, "It sleeps."), (-3, 4, "A door opens."))
    scenes, rejected = read(store(tmp_path, {"v": said}))
    assert segments(scenes["v"]) == [
        Segment(0, 4, "A door opens."),
        Segment(50, 60, "A dog barks."),
    ]
    assert reasons(rejected) == [("bad-times", "segment 2")]


def test_whatever_is_left_out_of_a_video_is_told(tmp_path: Path) -> None:
    said = video((0, 9, "A dog barks."), (1, 2, " \n"), (3, 3, "A flash."), (0, 9, " A dog barks."))
    said["timestamps"] += [[1], "x", [1, 2]]
    said["sentences"] += ["one time", "no times", 7]
    scenes, rejected = read(store(tmp_path, {"v": said}))
    assert len(segments(scenes["v"])) == 1
    assert reasons(rejected) == [
        ("empty-sentence", "segment 2"),
        ("bad-times", "segment 3"),
        ("duplicate-segment", "segment 4"),
        ("malformed-record", "segment 5"),
        ("malformed-record", "segment 6"),
        ("malformed-record", "segment 7"),
    ]


def test_lists_of_unequal_length_are_not_paired_by_guessing(tmp_path: Path) -> None:
    said = video((0, 9, "A dog barks."), (9, 12, "It sleeps."))
    said["sentences"].pop(0)
    scenes, rejected = read(store(tmp_path, {"v": said}))
    assert not scenes
    assert reasons(rejected) == [("uneven-lists", "segments"), ("no-segments", "v")]


@pytest.mark.parametrize("duration", [0, -4.5, math.nan])
def test_an_impossible_duration_is_none(tmp_path: Path, duration: float) -> None:
    scenes, rejected = read(
        store(tmp_path, {"v": video((5, 9, "A dog barks."), duration=duration)})
    )
    assert segments(scenes["v"]) == [Segment(5, 9, "A dog barks.")]
    assert not any(isinstance(a, Note) for a in scenes["v"].annotations)
    if not math.isnan(duration):  # that one is written as no duration at all
        assert reasons(rejected) == [("bad-times", "duration")]


@pytest.mark.parametrize("times", [(1e308, 1.2e308), (5, 1e9), (math.pi * 1e6, 4e6)])
def test_times_that_no_video_has_are_turned_away(
    tmp_path: Path, times: tuple[float, float]
) -> None:
    said = video((*times, "A dog barks."), (2, 4, "A dog runs."), duration=1e308)
    scenes, rejected = read(store(tmp_path, {"v": said}))
    assert segments(scenes["v"]) == [Segment(2, 4, "A dog runs.")]
    assert reasons(rejected) == [("bad-times", "duration"), ("bad-times", "segment 1")]


def test_a_video_that_stands_there_twice_is_told(tmp_path: Path) -> None:
    one, other = (json.dumps(video((0, 9, f"A {noun} barks."))) for noun in ("dog", "seal"))
    (tmp_path / "val_1.json").write_text(f'{{"v": {one}, "v": {other}}}')
    scenes, rejected = read(tmp_path)
    assert segments(scenes["v"]) == [Segment(0, 9, "A seal barks.")]
    assert reasons(rejected) == [("duplicate-key", "v")]


def test_hostile_ids_stay_names_and_ids_stay_apart(tmp_path: Path) -> None:
    table = {name: video((0, 9, "A dog barks.")) for name in ("../etc", "a b", "a~20~b", "ü", "")}
    scenes, rejected = read(store(tmp_path, table))
    assert len(scenes) == 4
    assert {scene.clips[0].name for scene in scenes.values()} >= {"../etc.mp4", "a b.mp4"}
    assert reasons(rejected) == [("no-image-id", "''")]


@given(st.permutations(["v_1", "v-1", "V_1", "v.1", "v 1", "1", "01"]))
def test_no_id_depends_on_the_order_of_the_file(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    root = tmp_path_factory.mktemp("order")
    scenes, _ = read(store(root, {name: video((0, 9, f"A dog barks {name}.")) for name in names}))
    assert {scene.clips[0].name.removesuffix(".mp4") for scene in scenes.values()} == {*names}
    assert [*scenes] == sorted(scenes)


def test_the_only_annotation_file_is_found_and_several_are_asked_about(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no annotation file"):
        read(tmp_path)
    (tmp_path / "annotations").mkdir()
    store(tmp_path / "annotations", {"v": video((0, 9, "A dog barks."))})
    store(tmp_path, ["v"], "val_ids.json")
    assert list(read(tmp_path)[0]) == ["v"]
    store(tmp_path, {}, "val_2.json")
    with pytest.raises(UsageError, match=r"annotations=.*val_1\.json"):
        read(tmp_path)
    chosen = str(tmp_path / "annotations" / "val_1.json")
    assert list(read(tmp_path, annotations=chosen)[0]) == ["v"]
    with pytest.raises(UsageError, match="videos=DIR"):
        list(open_source(SOURCE, {"annotations": chosen}).scenes())
    with pytest.raises(UsageError, match="frames"):
        read(tmp_path, annotations=chosen, frames="0")


# -------------------------------------------------------------------- YouCook2


def recipe(subset: str | None = "training", **entry: Any) -> dict[str, Any]:
    steps = [
        {"segment": [60, 75], "id": 1, "sentence": "melt butter in a pan"},
        {"segment": [5, 40], "id": 0, "sentence": "whisk the eggs with some salt "},
        {"segment": [80, 95], "id": 2, "sentence": "pour the eggs into the pan"},
    ]
    kept = {"duration": 100, "subset": subset, "recipe_type": "113", "annotations": steps}
    return kept | entry


def test_youcook2_is_told_by_its_shape(tmp_path: Path) -> None:
    folder = tmp_path / "raw_videos" / "training" / "113"
    folder.mkdir(parents=True)
    (folder / "-abc.mkv").touch()
    scenes, rejected = read(store(tmp_path, {"database": {"-abc": recipe()}, "version": 1}))
    scene = scenes["-abc"]
    assert [s.start for s in segments(scene)] == [5, 60, 80]
    assert scene.clips[0].name == "raw_videos/training/113/-abc.mkv"
    assert scene.groups == ("-abc", "recipe~113")
    assert not rejected


def test_a_subset_of_youcook2_can_be_read_alone(tmp_path: Path) -> None:
    table = {"a": recipe(), "b": recipe("validation"), "c": recipe("validation", annotations=[])}
    scenes, rejected = read(store(tmp_path, {"database": table}), subset="validation")
    assert list(scenes) == ["b"]
    assert reasons(rejected) == [("no-segments", "c")]


def test_what_a_recipe_may_lack_may_be_null(tmp_path: Path) -> None:
    bare = recipe(subset=None, recipe_type=None, duration=None)
    scenes, rejected = read(
        store(tmp_path, {"database": {"a": bare, "b": recipe(annotations=None)}})
    )
    assert [s.start for s in segments(scenes["a"])] == [5, 60, 80]
    assert scenes["a"].groups == ("a",)
    assert reasons(rejected) == [("no-segments", "b")]


def test_a_step_of_a_recipe_is_asked_about_as_a_step(tmp_path: Path) -> None:
    scenes, _ = read(store(tmp_path, {"database": {"a": recipe()}}))
    exchanges = write(scenes["a"], seed=1)
    assert {e.kind for e in exchanges} == {"summary", "between", "when", "order"}
    assert not any("What happens" in e.instruction for e in exchanges)
    (summary,) = (e for e in exchanges if e.kind == "summary")
    assert summary.answer == (
        "Whisk the eggs with some salt. Melt butter in a pan. Pour the eggs into the pan."
    )


# ------------------------------------------------------------------- templates


def asked(root: Path, *said: tuple[float, float, str]) -> list[Exchange]:
    scenes, _ = read(store(root, {"v": video(*said)}))
    return write(scenes["v"], seed=1)


def test_overlapping_segments_are_not_put_in_order(tmp_path: Path) -> None:
    found = asked(tmp_path, (0, 30, "A man throws a ball."), (15, 40, "A dog runs in a field."))
    assert {e.kind for e in found} == {"summary"}


def test_what_leans_on_another_sentence_is_no_answer_by_itself(tmp_path: Path) -> None:
    found = asked(tmp_path, (0, 20, "A woman opens a jar."), (25, 60, " she then eats from it"))
    answers = {e.answer: e for e in found if e.kind in {"between", "order", "when"}}
    after = answers.pop("She then eats from it.")
    assert "A woman opens a jar" in after.instruction
    assert "She" not in " ".join([*answers, *(e.instruction for e in answers.values())])


THREE = (
    (0.0, 9.0, "A man throws a ball."),
    (10.0, 19.0, "A dog runs in a field."),
    (20.0, 29.0, "Two cats climb a tall tree."),
)


def framed(scene: Scene, *times: float) -> Scene:
    """Give a scene the frames that the media pass makes."""
    refs = []
    for time in times:
        origin = SourceRef(path="v.mp4", sha256="0" * 64, time=time)
        refs.append(ImageRef(frame_id("DC_IMG_v", Fraction(time)), "", "", origin=origin))
    return replace(scene, images=tuple(refs))


def about(scene: Scene, kinds: set[str]) -> str:
    found = (e for seed in range(12) for e in write(scene, seed) if e.kind in kinds)
    return " ".join(e.instruction + e.answer for e in found)


def test_what_no_frame_shows_is_neither_asked_about_nor_the_answer(tmp_path: Path) -> None:
    scenes, _ = read(store(tmp_path, {"v": video(*THREE, duration=30)}))
    alone = {"between", "when", "order"}
    seen = about(framed(scenes["v"], 2.0, 8.5, 28.9), alone)
    assert "throws" in seen
    assert "climb" in seen
    assert "runs" not in seen
    for text in about(scenes["v"], alone), about(framed(scenes["v"], 2.0, 15.0, 28.9), alone):
        assert all(word in text for word in ("throws", "runs", "climb"))
    assert "runs" in about(framed(scenes["v"], 2.0), {"summary"})


@pytest.mark.parametrize(
    ("between", "asked"),
    [
        ((12.0, 56.0, "A crowd watches from a hill."), False),
        ((9.6, 60.0, "A crowd watches from a hill."), False),
        ((8.0, 60.0, "A crowd watches from a hill."), True),
        ((25.0, 55.0, "A crowd watches from a hill."), True),
    ],
)
def test_nothing_comes_next_where_something_else_begins_before_it(
    tmp_path: Path, between: tuple[float, float, str], *, asked: bool
) -> None:
    one, after = (0.0, 10.0, "A man throws a ball."), (14.0, 24.0, "A dog runs in a field.")
    duration = between[1] - between[0]
    scenes, _ = read(store(tmp_path, {"v": video(one, after, between, duration=60)}))
    text = " ".join(e.instruction for seed in range(9) for e in write(scenes["v"], seed))
    assert duration >= 30
    assert ("after" in text.lower() or "next" in text.lower()) == asked


def test_he_does_not_follow_two_whom_he_may_be(tmp_path: Path) -> None:
    mowing = "A man is mowing a lawn while a toddler walks behind."
    for before, asks in ((mowing, False), ("A man is mowing a lawn.", True)):
        found = asked(tmp_path, (0, 20, before), (25, 60, "He gets his mower stuck."))
        assert any(e.answer == "He gets his mower stuck." for e in found) == asks


def test_a_segment_over_the_whole_video_describes_it(tmp_path: Path) -> None:
    found = asked(tmp_path, (0, 58, "A boy plays chess."), (5, 9, "A clock is pressed."))
    assert ("description", "A boy plays chess.") in {(e.kind, e.answer) for e in found}
    assert not any(e.kind == "when" and "chess" in e.instruction for e in found)


def test_what_happens_behind_all_else_does_not_describe_the_video(tmp_path: Path) -> None:
    found = asked(
        tmp_path, (0, 20, "A boy plays chess."), (0, 58, "People are sitting in the background.")
    )
    assert not [e for e in found if e.kind == "description"]


def test_why_nothing_is_said_of_a_video_is_told(tmp_path: Path) -> None:
    said = video((0, 20, "He jumps."), (10, 20, "Barack Obama plays pool in a bar."))
    scenes, _ = read(store(tmp_path, {"v": said}))
    assert write(scenes["v"], seed=1) == []
    why = silence(scenes["v"])
    assert "of 2 sentences none can be told" in why
    assert "1 needs another before it" in why
    assert "1 names somebody" in why


@pytest.mark.parametrize("name", ["Barack Obama", "Mestre Calango", "Mr Bean"])
def test_a_summary_does_not_name_anybody_either(tmp_path: Path, name: str) -> None:
    said = ((0.0, 20.0, "A dog runs in a field."), (25.0, 60.0, f"{name} is sitting on a wall."))
    assert name not in " ".join(e.instruction + e.answer for e in asked(tmp_path, *said))


def test_times_are_said_as_people_say_them(tmp_path: Path) -> None:
    said = video(
        *((0.4, 12.6, "A red ball rolls in."), (30, 65.2, "Two cats climb a tall tree.")),
        *((70, 121.1, "Rain falls on the roof."), (150, 299.8, "People leave the park slowly.")),
        duration=300,
    )
    scenes, _ = read(store(tmp_path, {"v": said}))
    told = {e.answer for seed in range(8) for e in write(scenes["v"], seed) if e.kind == "when"}
    times = " ".join(told).lower()
    assert "from the beginning to about 13 seconds" in times
    assert "from about 30 seconds to 1 minute 5 seconds" in times
    assert "from about 1 minute 10 seconds to 2 minutes 1 second" in times
    assert "from about 2 minutes 30 seconds to the end" in times


@pytest.mark.parametrize(
    ("text", "alone"),
    [
        ("A man jumps over a fence.", True),
        ("A woman ties her shoes and then runs.", True),
        ("He jumps over a fence.", False),
        ("The man then jumps over a fence.", False),
        ("The other man jumps over a fence.", False),
        ("A woman is cutting his hair.", False),
        ("As he climbs, a bird flies by.", False),
        ("After, the woman pours the milk.", False),
        ("When the man falls down.", False),
        ("First the man falls down.", False),
        ("A man rake leaves in a yard.", False),
        ("A man and a woman rake leaves.", True),
        ("He's blowing into a horn.", False),
        ("A man named Peter jumps over a fence.", False),
        # somebody is "he" before anybody is told of
        ("A slow motion replay is shown of him jumping.", False),
        ("At the end, she pours water in the jug.", False),
        ("There is a table with products in front of them.", False),
        ("A gymnast balances on her hands.", True),
        ("The surfers wait for their wave.", True),
        ("A dog shakes its head and wags his tail.", True),
        # one person, and the verb of several
        ("A man holding crutches wash a car with a hose.", False),
        ("A man is running in a race track and make a long jump.", False),
        ("The lady in stripes lift her arms.", False),
        ("A male athlete run and do a high jump.", False),
        ("A man and woman are talking on a sofa.", True),
        ("A woman in yellow glasses takes a drink out of a bottle.", True),
        ("A man helps a boy to stand up and hold the rope.", True),
        ("A man washes and dries a car.", True),
        ("A boy and an old man speaks in a hall.", False),
        ("Two men stands on the bank.", False),
        ("People walks on a field.", False),
        ("A man and woman stands on a hill.", False),
        ("Kids are watching a the boy.", False),
        ("A man and a woman kiss on a sofa.", True),
        ("Two men across the street wave.", True),
        # people who are named
        ("Barack Obama is seen playing a game of pool.", False),
        ("Mestre Calango is sitting on concrete.", False),
        ("A man named BRYAN MCBRIDE is standing in a field.", False),
        ("People watch while Anh Co Tran cuts hair.", False),
        ("An African American woman talks on a stage.", True),
        ("A boy skates through the streets of New York.", True),
        ("The men perform Tai Chi slowly.", True),
        ('A screen reads "Kirbie Johnson" in white letters.', True),
        ("A Last Man Stands title screen is shown.", True),
    ],
)
def test_a_sentence_that_stands_alone_needs_none_before_it(text: str, *, alone: bool) -> None:
    assert stands_alone(text) is alone


def test_typing_is_mended() -> None:
    assert mend("  man is holding the the rope,he pulls ,, hard ") == (
        "A man is holding the rope, he pulls, hard."
    )
    assert mend("A Woman waves .") == "A woman waves."
    assert mend("he inhales some some smoke while while A a man looks") == (
        "He inhales some smoke while a man looks."
    )
    assert mend("male chef is working in a kitchen") == "A male chef is working in a kitchen."
    right = ("Lights are on on a hockey court.", "He gives her her hat.", "They do the cha cha.")
    assert [mend(text) for text in right] == [*right]


@needs_shared
@pytest.mark.slow
def test_the_real_file_is_read_and_asked_about_as_a_whole() -> None:
    scenes, rejected = read(SHARED / "activitynet")
    assert len(scenes) == 4917
    assert sum(len(segments(scene)) for scene in scenes.values()) == 17505
    assert not rejected
    ends = [(s.end, s.start, scene) for scene in scenes.values() for s in segments(scene)]
    assert all(0 <= start < end for end, start, _ in ends)
    written = [write(scene, seed=1) for scene in scenes.values()]
    assert sum(map(len, written)) > 15_000
    found = [e for exchanges in written for e in exchanges]
    assert all(e.answer[0] == e.answer[0].upper() and e.answer[-1] in ".!?" for e in found)
    kept = [reason for exchanges in written for _, reason in check(exchanges)]
    assert kept.count("") > 0.99 * len(kept)
