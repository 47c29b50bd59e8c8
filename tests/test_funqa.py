"""The FunQA source: rows of questions and answers, and questions with options made of them."""

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from conftest import SHARED, needs_shared
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mimicit.annotations import Dialogue
from mimicit.errors import SourceError, UsageError
from mimicit.generators import open_source
from mimicit.images import examine
from mimicit.schema import ImageRef, Rejection, Scene
from mimicit.templates import write

Row = dict[str, Any]

DESCRIPTIONS = {
    "H_A_1.mp4": "A parrot scratches its feathers using wooden sticks.",
    "H_A_2.mp4": "Brown puppies tumble downstairs chasing tennis balls.",
    "M_A_3.mp4": "The magician pulls silver coins from an empty bottle.",
    "C_A_4.mp4": "Dancers wearing umbrellas imitate blooming flowers.",
    "C_A_5.mp4": "Four acrobats build a giant elephant with blankets.",
}


def row(video: str, task: str, output: object, instruction: str = "", number: int = 0) -> Row:
    asked = instruction or f"What about {task}?"
    return {
        "instruction": asked,
        "visual_input": video,
        "output": output,
        "task": task,
        "ID": f"test_{number}",
    }


def described() -> list[Row]:
    return [row(name, f"{name[0]}2", text) for name, text in DESCRIPTIONS.items()]


def written(root: Path, rows: list[Any]) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / "funqa_test.json").write_text(json.dumps(rows))
    return root


def read(root: Path, **options: str) -> tuple[dict[str, Scene], list[Rejection]]:
    items = list(open_source("funqa", {"root": str(root), **options}).scenes())
    scenes = [item for item in items if isinstance(item, Scene)]
    assert [scene.id for scene in scenes] == sorted({scene.id for scene in scenes})
    rejected = [item for item in items if isinstance(item, Rejection)]
    return {scene.id: scene for scene in scenes}, rejected


def turns(scene: Scene) -> list[tuple[str, str]]:
    return [turn for a in scene.annotations if isinstance(a, Dialogue) for turn in a.turns]


def choices(scenes: dict[str, Scene]) -> dict[str, tuple[str, str]]:
    """Give the questions with options, by scene."""
    return {
        name: (one.instruction, one.answer)
        for name, scene in scenes.items()
        for one in write(scene, 0)
        if one.kind == "choice"
    }


# ----------------------------------------------------------------------- rows


def test_a_scene_is_a_video_with_all_its_rows_in_order(tmp_path: Path) -> None:
    rows = [
        row("H_A_1.mp4", "H4", "A title", number=1),
        row("H_A_1.mp4", "H2", "It rains.", "Second?", number=10),
        row("H_A_2.mp4", "H3", "Because."),
        row("H_A_1.mp4", "H2", "A dog barks.", "First?", number=9),
    ]
    scenes, rejected = read(written(tmp_path, rows))
    assert list(scenes) == ["H_A_1", "H_A_2"]
    assert turns(scenes["H_A_1"]) == [
        ("First?", "A dog barks."),
        ("Second?", "It rains."),
        ("What about H4?", "A title"),
    ]
    assert not rejected


def test_each_turn_has_its_own_kind(tmp_path: Path) -> None:
    rows = [row("H_A_1.mp4", task, f"Said of {task}.") for task in ("H2", "H3", "H4", "H9")]
    scenes, _ = read(written(tmp_path, rows))
    kinds = [one.kind for one in write(scenes["H_A_1"], 0)]
    assert kinds == ["description", "reasoning", "title", "conversation"]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (row("H_A_1.mp4", "H1", "[104, 138]"), "frame-numbers"),
        (row("H_A_1.mp4", "H1", [104, 138]), "frame-numbers"),
        (row("H_A_1.mp4", "", "[104, 138]"), "frame-numbers"),
        (row("H_A_1.mp4", "C5", "14"), "score"),
        (row("H_A_1.mp4", "C5", 14), "score"),
        (row("H_A_1.mp4", "H2", " "), "empty-turn"),
        (row("H_A_1.mp4", "H2", "Text.", " "), "empty-turn"),
        (row(" ", "H2", "Text."), "no-file-name"),
        (row("H_A_1.mp4", "C2", "a  dog BARKS.", "what about h2?"), "duplicate-record"),
        ({"visual_input": "H_A_1.mp4"}, "malformed-record"),
        (17, "malformed-record"),
    ],
)
def test_what_cannot_be_told_is_turned_away_and_the_rest_stays(
    tmp_path: Path, bad: object, reason: str
) -> None:
    scenes, rejected = read(written(tmp_path, [bad, row("H_A_1.mp4", "H2", "A dog barks.")]))
    assert turns(scenes["H_A_1"]) == [("What about H2?", "A dog barks.")]
    assert [one.reason for one in rejected] == [reason]
    assert rejected[0].record.startswith("record 1")


def test_white_space_around_a_task_changes_nothing(tmp_path: Path) -> None:
    rows = [row("H_A_1.mp4", task, f"Said of {n}.") for n, task in enumerate((" H2 ", "H3\n"))]
    scenes, rejected = read(written(tmp_path, [*rows, row("H_A_1.mp4", "H1 ", "A second")]))
    assert [one.kind for one in write(scenes["H_A_1"], 0)] == ["description", "reasoning"]
    assert [one.reason for one in rejected] == ["frame-numbers"]


def test_a_row_that_repeats_another_says_which(tmp_path: Path) -> None:
    same = row("H_A_1.mp4", "H2", "A dog barks.", "What?", number=7)
    rows = [same, row("H_A_1.mp4", "H3", "Because."), {**same, "ID": "test_9"}]
    (one,) = read(written(tmp_path, rows))[1]
    assert (one.reason, one.record) == ("duplicate-record", "record 3, ID test_9")
    assert "record 1, ID test_7" in one.detail


# --------------------------------------------------------------------- videos


def test_videos_are_found_in_the_folders_of_the_release(tmp_path: Path) -> None:
    names = {
        "train/train_humor": "a.mp4",
        "val/val_magic": "b.webm",
        "videos": "c.mp4",
        "": "d.mkv",
    }
    root = written(tmp_path, [row(f"{x}.mp4", "H2", "A dog barks.") for x in "abcd"])
    for folder, name in names.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder / name).touch()
    found = [scene.clips[0].name for scene in read(root)[0].values()]
    assert found == ["train/train_humor/a.mp4", "val/val_magic/b.webm", "videos/c.mp4", "d.mkv"]


def test_two_videos_of_one_stem_are_two_scenes_with_their_own_files(tmp_path: Path) -> None:
    root = written(tmp_path, [row(f"a.{x}", "H2", "A dog barks.") for x in ("mp4", "webm")])
    for name in ("a.mp4", "a.webm"):
        (root / name).touch()
    scenes, _ = read(root)
    assert {scene.id: scene.clips[0].name for scene in scenes.values()} == {
        "a": "a.mp4",
        "a.webm~~": "a.webm",
    }


@given(names=st.sets(st.text("a.~ 0/mp4", min_size=1, max_size=8).filter(str.strip), min_size=1))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_ids_are_different_for_different_names(tmp_path: Path, names: set[str]) -> None:
    rows = [row(name, "H2", "A dog barks.") for name in [*names, *(f"{x}.mp4" for x in names)]]
    scenes, _ = read(written(tmp_path, rows))
    assert len(scenes) == len({entry["visual_input"] for entry in rows})


def test_a_name_that_leads_elsewhere_is_never_opened(tmp_path: Path) -> None:
    root = written(tmp_path / "root", [row("../secret.mp4", "H2", "A dog barks.")])
    (tmp_path / "secret.mp4").write_bytes(b"secret")
    (scene,) = read(root)[0].values()
    ref = ImageRef("FQ_IMG_x", scene.clips[0].root, scene.clips[0].name)
    assert examine(ref.id, ref).problem == "unsafe-path"


def test_annotations_may_be_where_the_release_has_them(tmp_path: Path) -> None:
    written(tmp_path / "annotation_with_ID", described())
    assert len(read(tmp_path)[0]) == len(DESCRIPTIONS)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"frames": "0"}, UsageError, "frames"),
        ({"choices": "maybe"}, UsageError, "true or false"),
        ({"annotations": "gone.json"}, SourceError, "gone.json"),
        ({"root": "gone"}, SourceError, "gone"),
    ],
)
def test_a_wrong_option_says_what_to_do(
    tmp_path: Path, options: dict[str, str], error: type[Exception], words: str
) -> None:
    root = written(tmp_path, described())
    with pytest.raises(error, match=words):
        list(open_source("funqa", {"root": str(root), **options}).scenes())


# --------------------------------------------------------------------- options


def test_a_question_with_options_has_one_that_is_right(tmp_path: Path) -> None:
    found = choices(read(written(tmp_path, described()))[0])
    assert len(found) == len(DESCRIPTIONS)
    for name, (question, answer) in found.items():
        lines = question.splitlines()
        assert [line[:3] for line in lines[1:]] == ["A. ", "B. ", "C. ", "D. "]
        assert answer in lines
        mine = DESCRIPTIONS[f"{name}.mp4"]
        assert answer[3:] == mine
        assert {line[3:] for line in lines[1:]} <= {*DESCRIPTIONS.values()}
        assert len(set(lines)) == len(lines)


def test_the_right_option_may_stand_anywhere(tmp_path: Path) -> None:
    rows = [
        row(f"H_{n}_x.mp4", "H2", f"Word{n}a{n} thing{n}b stuff{n}c noun{n}d.".translate(DIGITS))
        for n in range(60)
    ]
    found = choices(read(written(tmp_path, rows))[0])
    assert {answer[0] for _, answer in found.values()} == {*"ABCD"}


DIGITS = str.maketrans("0123456789", "qwertzuiop")


def test_options_can_be_left_out(tmp_path: Path) -> None:
    assert not choices(read(written(tmp_path, described()), choices="false")[0])


def test_too_few_other_videos_make_no_options(tmp_path: Path) -> None:
    assert not choices(read(written(tmp_path, described()[:3]))[0])


@pytest.mark.parametrize(
    "near",
    [
        row("H_A_9.mp4", "H2", "Another parrot with feathers rests upon garden furniture."),
        row("H_A_9.mp4", "H2", "They do it."),
        row("H_A_9.mp4", "H3", "Green lizards crawl around marble statues."),
    ],
)
def test_what_may_be_true_of_the_video_as_well_is_no_wrong_option(
    tmp_path: Path, near: Row
) -> None:
    found = choices(read(written(tmp_path, [*described()[:3], described()[0], near]))[0])
    assert "H_A_1" not in found


def test_parts_of_one_video_are_no_wrong_options_for_each_other(tmp_path: Path) -> None:
    rows = [
        row(f"H_A_1_{n}_{n + 9}.mp4", "H2", text) for n, text in enumerate(DESCRIPTIONS.values())
    ]
    assert not choices(read(written(tmp_path, rows))[0])


def test_another_video_changes_only_questions_that_it_comes_up_in(tmp_path: Path) -> None:
    words = [f"thing{n}a stuff{n}b noun{n}c word{n}d".translate(DIGITS) for n in range(40)]
    rows = [row(f"H_{n}_x.mp4", "H2", text) for n, text in enumerate(words)]
    few = choices(read(written(tmp_path / "few", rows[:-1]))[0])
    more = choices(read(written(tmp_path / "more", rows))[0])
    changed = [name for name in few if few[name] != more[name]]
    assert len(changed) <= 6
    for name in changed:
        assert words[-1][1:] in more[name][0]


@given(seed=st.integers(0, 999))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_order_of_rows_changes_nothing(tmp_path: Path, seed: int) -> None:
    rows = [*described(), row("H_A_1.mp4", "H2", "A bird sits."), row("H_A_1.mp4", "C4", "Ouch")]
    before, _ = read(written(tmp_path, [*rows, rows[0]]))
    random.Random(seed).shuffle(rows)
    after, _ = read(written(tmp_path, [rows[0], *rows]))
    assert [s.annotations for s in after.values()] == [s.annotations for s in before.values()]


# ------------------------------------------------------------------ real rows


@needs_shared
def test_the_real_rows_are_all_accounted_for(tmp_path: Path) -> None:
    path = SHARED / "funqa" / "reference.json"
    options = {"annotations": str(path), "videos": str(tmp_path), "choices": "false"}
    items = list(open_source("funqa", options).scenes())
    scenes = {item.id: item for item in items if isinstance(item, Scene)}
    counts = Counter(item.reason for item in items if isinstance(item, Rejection))
    # The second ten rows repeat the first ten under other tasks: H2 of a funny video stays, not C2.
    assert counts == {"duplicate-record": 10}
    assert {name: len(turns(scene)) for name, scene in scenes.items()} == {
        "H_A_101_1433_1631": 3,
        "H_A_112_0000_0432": 3,
        "H_A_112_0436_0691": 3,
        "H_A_125_2078_2286": 1,
    }
    kinds = [one.kind for one in write(scenes["H_A_112_0436_0691"], 0)]
    assert kinds == ["description", "reasoning", "title"]
