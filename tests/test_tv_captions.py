"""TV captions: moments of one video, and what may be said of them without naming anybody."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from conftest import SHARED, needs_shared
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mimicit.annotations import Note, Segment
from mimicit.config import BuildConfig, SourceConfig
from mimicit.dataset import load
from mimicit.errors import SourceError, UsageError
from mimicit.generators import open_source
from mimicit.moments import Uniform
from mimicit.pipeline import build
from mimicit.schema import Rejection, Scene
from mimicit.shipped import shipped
from mimicit.templates import silence, write
from mimicit.templates._cast import names_somebody
from mimicit.templates.unnamed import unnamed

SOURCE = "tv_captions"


def read(root: Path, **options: str) -> tuple[dict[str, Scene], list[Rejection]]:
    items = list(open_source(SOURCE, {"root": str(root), **options}).scenes())
    scenes = {item.id: item for item in items if isinstance(item, Scene)}
    return scenes, [item for item in items if isinstance(item, Rejection)]


def moment(clip_id: object, *said: tuple[str, str], **entry: Any) -> dict[str, Any]:
    descs = [{"desc": d, "type": t, "desc_id": n} for n, (t, d) in enumerate(said)]
    usual = {"vid_name": "met_s01e01_seg02_clip_03", "duration": 60.5, "ts": [10.2, 14.8]}
    return {**usual, "clip_id": clip_id, "descs": descs, **entry}


def store(root: Path, *moments: dict[str, Any], name: str = "tvc_val.jsonl") -> Path:
    (root / name).write_text("".join(json.dumps(line) + "\n" for line in moments))
    return root


def reasons(rejected: list[Rejection]) -> list[tuple[str, str]]:
    return [(item.reason, item.record) for item in rejected]


def test_moments_of_one_video_are_scenes_of_one_group(tmp_path: Path) -> None:
    first = moment(102, ("v", " Lily waves."), ("t", "Ted tells a joke."), ("vt", "Lily laughs."))
    scenes, rejected = read(store(tmp_path, first, moment(86, ("v", "Ted sits."), ts=[0, 2])))
    assert list(scenes) == ["000086", "000102"]
    scene = scenes["000102"]
    assert scene.groups == ("met_s01e01_seg02_clip_03", "show~met")
    assert scene.annotations == (
        *(Segment(10.2, 14.8, t) for t in ("Lily waves.", "Ted tells a joke.", "Lily laughs.")),
        *(Note("evidence", text) for text in ("seen", "heard", "seen and heard")),
    )
    assert {s.clips[0].id for s in scenes.values()} == {"TVC_IMG_met_s01e01_seg02_clip_03"}
    assert [s.clips[0].sampler for s in scenes.values()] == [
        Uniform(8, 0, 2),
        Uniform(8, 10.2, 14.8),
    ]
    assert not rejected


def test_a_moment_without_descriptions_is_there_for_those_who_see(tmp_path: Path) -> None:
    line = moment(7)
    del line["descs"]
    scenes, rejected = read(store(tmp_path, line))
    assert scenes["000007"].annotations == ()
    assert scenes["000007"].clips
    assert not rejected


def test_descriptions_stand_in_the_order_of_their_ids(tmp_path: Path) -> None:
    line = moment(7, ("v", "Ted sits."), ("v", "Lily stands."))
    line["descs"].reverse()
    scenes, _ = read(store(tmp_path, line))
    assert [a.text for a in scenes["000007"].annotations if isinstance(a, Segment)] == [
        "Ted sits.",
        "Lily stands.",
    ]


def test_what_is_wrong_with_a_line_or_a_description_is_told(tmp_path: Path) -> None:
    odd = moment(5, ("v", "Ted sits."), ("v", " "), ("t", "ted sits"))
    odd["descs"] += [{"type": "v"}, 3]
    lines = [
        *(odd, moment(6, ts=[9, 3]), moment(7, ts=[61, 70]), moment(8, ts=[1]), moment("")),
        *(moment(9, ("v", "Ted sits.")), moment(9, ("v", "Ted sits."))),
        moment(10, ("v", "Ted sits."), duration=-1),
    ]
    scenes, rejected = read(store(tmp_path, *lines))
    assert list(scenes) == ["000005", "000009", "000010"]
    assert sorted(reasons(rejected)) == [
        ("bad-times", "duration"),
        ("bad-times", "moment 6"),
        ("bad-times", "moment 7"),
        ("duplicate-scene", "moment 9"),
        ("duplicate-segment", "description 3"),
        ("empty-sentence", "description 2"),
        ("malformed-record", "description 4"),
        ("malformed-record", "description 5"),
        ("malformed-record", "line 4"),
        ("no-image-id", "moment "),
    ]


def test_what_a_moment_may_lack_may_be_null(tmp_path: Path) -> None:
    line = moment(5, ("v", "Ted sits."), duration=None)
    line["descs"][0] |= {"type": None, "desc_id": None}
    scenes, rejected = read(store(tmp_path, line, moment(6, duration=None) | {"descs": None}))
    assert scenes["000005"].annotations == (
        Segment(10.2, 14.8, "Ted sits."),
        Note("evidence", "unknown"),
    )
    assert scenes["000006"].annotations == ()
    assert not rejected


@pytest.mark.parametrize("duration", [None, 1e308])
def test_times_that_no_video_has_are_turned_away(tmp_path: Path, duration: float | None) -> None:
    store(tmp_path, moment(5, ("v", "Ted sits."), ts=[1e308, 1.2e308], duration=duration))
    (tmp_path / "met_frames").mkdir()
    scenes, rejected = read(tmp_path)
    assert not scenes
    assert reasons(rejected) == [("bad-times", "moment 5")]


@given(st.permutations([1, "1", "01", "000001", "a", "a b", 12345678]))
def test_no_id_depends_on_the_order_of_the_lines(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[object]
) -> None:
    root = tmp_path_factory.mktemp("order")
    scenes, rejected = read(store(root, *(moment(number) for number in numbers)))
    assert len(scenes) == 6
    assert reasons(rejected) == [("duplicate-scene", "moment 1")]  # the number, and its text
    assert [*scenes] == sorted(scenes)


def test_times_past_the_end_are_cut_and_a_mere_instant_has_a_frame(tmp_path: Path) -> None:
    lines = [moment(1, ts=[58, 63]), moment(2, ts=[3, 3]), moment(3, ts=[58, 63], duration=None)]
    scenes, _ = read(store(tmp_path, *lines))
    samplers = [scene.clips[0].sampler for scene in scenes.values()]
    assert samplers == [Uniform(8, 58, 60.5), Uniform(8, 3, 3), Uniform(8, 58, 63)]


def test_the_user_is_told_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no annotation file"):
        read(tmp_path)
    store(store(tmp_path, moment(1)), moment(2), name="train.jsonl")
    with pytest.raises(UsageError, match="several annotation files"):
        read(tmp_path)
    with pytest.raises(UsageError, match="fps"):
        read(tmp_path, annotations=str(tmp_path / "train.jsonl"), fps="0")
    assert list(read(tmp_path, annotations=str(tmp_path / "train.jsonl"))[0]) == ["000002"]


# ---------------------------------------------------------------------- frames


def frames(root: Path, *lines: dict[str, Any], count: int = 8, **options: str) -> list[list[int]]:
    folder = root / "frames_hq" / "met_frames" / "met_s01e01_seg02_clip_03"
    folder.mkdir(parents=True, exist_ok=True)
    scenes, _ = read(store(root, *lines), frames=str(count), **options)
    assert not any(scene.clips for scene in scenes.values())
    return [[int(ref.id.rpartition("_")[2]) for ref in s.images] for s in scenes.values()]


def test_folders_of_frames_are_read_at_three_a_second(tmp_path: Path) -> None:
    lines = [moment(1, ts=[1, 2]), moment(2, ts=[0, 60.5]), moment(3, ts=[1.1, 1.2])]
    found = frames(tmp_path, *lines)
    assert found[0] == [4, 5, 6, 7]  # frame n is at (n - 1) / 3 seconds
    assert len(found[1]) == 8
    assert found[1] == sorted(set(found[1]))
    assert found[2] == [4]
    scenes, _ = read(tmp_path)
    (ref,) = scenes["000003"].images
    assert ref.name == "frames_hq/met_frames/met_s01e01_seg02_clip_03/00004.jpg"
    assert ref.id == "TVC_IMG_met_s01e01_seg02_clip_03_00004"
    assert frames(tmp_path, moment(1, ts=[1, 2]), fps="1") == [[2, 3]]


def image_ids(built: Path) -> list[set[str]]:
    """List the pictures of each instruction, by its id."""
    rows = load(built).instructions.sort_by("id")
    return [set(ids) for ids in rows.column("image_ids").to_pylist()]


@given(
    start=st.floats(0, 59), length=st.floats(0, 40), count=st.integers(1, 12), fps=st.integers(1, 5)
)
def test_every_moment_has_frames_and_they_are_in_it(
    tmp_path_factory: pytest.TempPathFactory, start: float, length: float, count: int, fps: int
) -> None:
    root = tmp_path_factory.mktemp("frames")
    line = moment(1, ts=[start, start + length])
    (found,) = frames(root, line, count=count, fps=str(fps))
    assert 1 <= len(found) <= count
    assert found == sorted(set(found))
    end = min(start + length, 60.5)
    assert all(start - 1 / fps < (n - 1) / fps <= end + 1e-5 for n in found)


def test_moments_share_the_pictures_that_both_show(tmp_path: Path) -> None:
    folder = tmp_path / "met_frames" / "met_s01e01_seg02_clip_03"
    folder.mkdir(parents=True)
    for number in range(1, 13):
        picture = Image.linear_gradient("L").rotate(number * 29).resize((64, 48))
        picture.save(folder / f"{number:05d}.jpg")
    said = ("v", "Lily opens a door.")
    store(tmp_path, moment(1, said, ts=[0, 2]), moment(2, said, ts=[1, 3]))
    source = SourceConfig(name=SOURCE, options={"root": str(tmp_path)})
    build(BuildConfig(sources=[source]), tmp_path / "out")
    one, other = image_ids(tmp_path / "out")
    assert len(one & other) == 4


def test_clips_of_one_video_share_frames_of_equal_times(tmp_path: Path) -> None:
    sample = shipped("mimicit.generators.tv_captions", "samples", SOURCE)
    video = sample / "videos" / "s00e01_seg01_clip_00.mp4"
    (tmp_path / "met_s01e01_seg02_clip_03.mp4").write_bytes(video.read_bytes())
    said = ("v", "Lily opens a door.")
    times = [[0, 4], [2, 6], [0, 4]]  # eighths: middles of parts of 0.5 s fall on the same frames
    store(tmp_path, *(moment(n, said, ts=ts, duration=8.0) for n, ts in enumerate(times)))
    source = SourceConfig(name=SOURCE, options={"root": str(tmp_path)})
    summary = build(BuildConfig(sources=[source]), tmp_path / "out")
    assert summary.rejected == {}
    first, second, third = image_ids(tmp_path / "out")
    assert len(first) == len(second) == 8
    assert first == third
    assert len(first & second) == 4


# ----------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("show", "text", "told"),
    [
        ("friends", "Phoebe puts her cup down.", "A woman puts her cup down."),
        ("met", "Ted pats Marshall on the shoulder.", "A man pats another man on the shoulder."),
        ("friends", "Ross's dog bites Rachel.", "A man's dog bites a woman."),
        ("friends", "Ross' dog bites Joey's leg.", "A man's dog bites another man's leg."),
        ("bbt", "Raj, Leonard, and Howard eat.", "Three men eat."),
        (
            "friends",
            "Monica, Rachel and Ross sit and Ross waves.",
            "Two women and a man sit and the man waves.",
        ),
        ("house", "House talks to Chase and Taub.", "A man talks to two other men."),
        ("house", "Dr. House enters House's house.", "A man enters the man's house."),
        ("house", "Thirteen looks at Gregory House.", "A woman looks at a man."),
        ("house", "13 takes a cup.", ""),
        ("met", "Ted counts 13 cups.", "A man counts 13 cups."),
        ("castle", "castle smiles while beckett reads.", "A man smiles while a woman reads."),
        ("castle", "In it castle smiles.", ""),  # the word, or the name?
        ("castle", "A man looks at the castle.", "A man looks at the castle."),
        ("castle", "A man in a mask grabs Castle.", "A man in a mask grabs another man."),
        ("castle", "Castle talks to a man.", "A man talks to another man."),
        ("castle", "Castle talks to a tall man.", "A man talks to a tall man."),
        ("house", "House holds a little boy's arm.", "A man holds a little boy's arm."),
        ("house", "House sees a boy.", "A man sees a boy."),
        ("house", "A little boy sees House.", "A little boy sees a man."),
        ("bbt", "Amy wears a school girl outfit.", "A woman wears a school girl outfit."),
        ("house", "House shows a photo of a man.", "A man shows a photo of another man."),
        ("castle", "Castle talks to the man.", ""),
        (
            "castle",
            "Rick Castle hugs Kate and Castle smiles.",
            "A man hugs a woman and the man smiles.",
        ),
        ("friends", "Ross hands Joey a bill and Joey sits.", ""),
        ("friends", "Ross looks at Joey. Monica, and Rachel.", ""),
        ("friends", "Rachel opens the door. and looks at Ross.", ""),
        ("castle", "Castle Opens the door.", ""),
        ("castle", "Castle opens the door.", "A man opens the door."),
        ("friends", "Mrs. Green hugs Rachel.", ""),  # her mother, or she herself?
        ("friends", "Mr. Green hugs Rachel.", "A man hugs a woman."),
        ("friends", "Mrs. Green hugs Monica.", "A woman hugs another woman."),
        ("bbt", "Mrs. Cooper sits beside Sheldon.", "A woman sits beside a man."),
        (
            "friends",
            "Ross hugs Monica and Joey walks away.",
            "A man hugs a woman and another man walks away.",
        ),
        ("friends", "Ross sees Chandler and Joey walks away.", ""),
        ("friends", "A drunk Chandler falls.", ""),
        ("friends", "His sister Monica falls.", ""),
        ("friends", "They are sitting in Central Perk.", ""),
        ("friends", "Blorp hugs Ross.", ""),
        ("friends", 'Ross shouts "Rachel".', ""),
        ("bbt", "Mrs Blorp opens the door.", "A woman opens the door."),
        ("grey", "Alex walks in.", "A man walks in."),
        ("bbt", "Alex walks in.", "A woman walks in."),
        ("friends", "Alex walks in.", ""),
        ("unheard-of", "Susan turns on the TV.", "A woman turns on the TV."),
    ],
)
def test_nobody_is_named(show: str, text: str, told: str) -> None:
    assert unnamed(text, show) == told


@given(st.text(max_size=60))
def test_odd_text_is_told_or_left_out_and_never_fails(text: str) -> None:
    assert isinstance(unnamed(text, "friends"), str)


def test_only_what_is_seen_is_told(tmp_path: Path) -> None:
    said = [
        ("v", "Lily waves at Ted."),
        ("vt", "Lily waves and laughs."),
        ("t", "Ted jokes a bit."),
    ]
    said += [("v", "Ted tells Lily a story."), ("", "Ted sits down."), ("v", "lily waves at ted")]
    scenes, _ = read(store(tmp_path, moment(1, *said)))
    assert [e.answer for e in write(scenes["000001"], seed=1)] == ["A woman waves at a man."]


def test_what_describers_wrote_is_left_out_where_its_verb_is_wrong(tmp_path: Path) -> None:
    said = [("v", "Ted and another man comes out of the room."), ("v", "Patient is on a gurney.")]
    scenes, _ = read(store(tmp_path, moment(1, *said)))
    assert [e.answer for e in write(scenes["000001"], seed=1)] == ["A patient is on a gurney."]


@pytest.mark.parametrize(
    ("evidence", "text", "why"),
    [
        ("t", "Lily jokes a bit.", "is known from what is said alone"),
        ("vt", "Lily waves and laughs.", "seen and said together"),
        ("x", "Lily waves.", "does not say how it is known"),
        ("v", "Ted tells Lily a story.", "tells of talk"),
        ("v", "Blorp waves at Lily.", "names somebody"),
        ("v", "He waves at Lily.", "needs another before it"),
    ],
)
def test_why_nothing_is_said_of_a_moment_is_told(
    tmp_path: Path, evidence: str, text: str, why: str
) -> None:
    scenes, _ = read(store(tmp_path, moment(1, (evidence, text))))
    assert write(scenes["000001"], seed=1) == []
    assert why in silence(scenes["000001"])


def test_what_has_no_description_is_for_a_model_that_sees(tmp_path: Path) -> None:
    sample = shipped("mimicit.generators.tv_captions", "samples", SOURCE)
    video = sample / "videos" / "s00e01_seg01_clip_00.mp4"
    (tmp_path / "met_s01e01_seg02_clip_03.mp4").write_bytes(video.read_bytes())
    store(tmp_path, moment(1, ts=[0, 4], duration=8.0))
    source = SourceConfig(name=SOURCE, options={"root": str(tmp_path)})
    with pytest.raises(SourceError, match=r"no description.*--teacher openai"):
        build(BuildConfig(sources=[source]), tmp_path / "out")


@needs_shared
@pytest.mark.slow
def test_the_real_files_are_read_as_a_whole_and_nobody_in_them_is_named(tmp_path: Path) -> None:
    folder = SHARED / "tvc"
    test = read(tmp_path, annotations=str(folder / "tvc_test_public_release.jsonl"))
    assert (len(test[0]), test[1]) == (5420, [])
    scenes, rejected = read(
        tmp_path, annotations=str(folder / "tvc_val_layout_from_tvr.jsonl"), videos=str(tmp_path)
    )
    assert len(scenes) == 10841
    assert {item.reason for item in rejected} == {"duplicate-segment"}
    told = [e.answer for scene in scenes.values() for e in write(scene, seed=1)]
    assert len(told) > 6000
    main = "House Castle Sheldon Beckett Ross Rachel Joey Monica Penny Chandler Ted Barney Meredith"
    named = re.compile(rf"\b({'|'.join(main.split())})\b")
    assert not [text for text in told if named.search(text) or names_somebody(text)]
    assert not [text for text in told if re.search(r"\b(a|an|the) (a|an|another) ", text)]
