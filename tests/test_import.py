"""Bringing in published directories: what stays as it is, what is mended, what is turned away."""

import base64
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import contents, run_cli
from published import Published, bring_in, picture, row, sample_release, text_of, turned_away

import mimicit
from mimicit.errors import SourceError, UsageError
from mimicit.importers import import_otter
from mimicit.importers.grouping import scene_of
from mimicit.published.release import find_release
from mimicit.published.rows import windows
from mimicit.validate import find_problems

T = TypeVar("T")


@pytest.fixture
def release(tmp_path: Path) -> Published:
    return Published(tmp_path / "release")


CAT, DOG = "LA_IMG_000000033471", "LA_IMG_000000033472"
ROUNDS = [f"LACONV_00_INS_000000033471_{number}" for number in range(3)]


def test_published_ids_texts_and_pictures_stay_as_they_are(release: Published) -> None:
    release.parquet("LA", CAT, DOG)
    text = "Is it\n a “cat”?\n"
    release.instructions("LACONV", {ROUNDS[0]: row([CAT], question=text)})
    release.instructions("LADD", {"LADD_00_INS_000000033472": row([DOG])})
    made, rows = bring_in(release, licence="CC-BY-4.0", teacher="gpt-4", language="de")
    assert list(rows) == [ROUNDS[0], "LADD_00_INS_000000033472"]
    first = rows[ROUNDS[0]]
    assert first["instruction"] == text
    assert (first["image_ids"], first["kind"], first["source"]) == ([CAT], "laconv", "otter")
    assert (first["licence"], first["teacher"], first["language"]) == ("CC-BY-4.0", "gpt-4", "de")
    dataset = mimicit.load(made.out)
    assert dataset.images.read(DOG) == picture(1)
    assert dataset[0].images[0].size == (24, 16)


def test_what_was_trained_with_comes_before_what_is_related(release: Published) -> None:
    release.parquet("LA", CAT)
    release.instructions("LACONV", {n: row([CAT], ROUNDS[:k]) for k, n in enumerate(ROUNDS)})
    release.train("LACONV", {ROUNDS[2]: [ROUNDS[1]]})
    made, rows = bring_in(release)
    assert [rows[name]["rel_ins_ids"] for name in ROUNDS] == [[], ROUNDS[:1], ROUNDS[1:2]]
    (link, _) = mimicit.load(made.out).links.to_pylist()
    assert link == {
        "query_id": ROUNDS[1],
        "context_ids": ROUNDS[:1],
        "scores": [0.0],
        "strategies": ["given"],
    }


def test_each_known_mistake_is_mended_on_demand_and_else_turns_a_row_away(tmp_path: Path) -> None:
    source = Published(sample_release(tmp_path / "release").parent / "release")
    made, rows = bring_in(source)
    assert len(rows) == 4
    assert made.mendable == 4
    assert set(turned_away(made).values()) == {"unknown-image", "unknown-context"}
    made, rows = bring_in(source, repair=True)
    assert made.rejected == {}
    assert made.mended == dict.fromkeys(
        ["16-digit-id", "dangling-context", "doubled-name", "no-scan"], 1
    )
    assert rows["TVC_INS_00001"]["image_ids"] == ["TVC_IMG_castle_s07e09_seg02_clip_02_00009"]
    assert rows["SN_INS_scene0000_a0_round0"]["image_ids"] == ["SN_IMG_scene0000_00_color_000000"]
    assert rows["CGD_INS_000001"]["image_ids"] == ["CGD_IMG_000000069568", "CGD_IMG_000000069569"]
    context = rows["LACR_I2I_00_INS_000000033471"]["rel_ins_ids"]
    assert context == ["LACR_I2I_00_INS_000000033472"]


def test_an_example_that_is_named_twice_is_shown_once_and_is_no_mistake(
    release: Published,
) -> None:
    release.parquet("LA", CAT)
    data = {name: row([CAT], [*ROUNDS[:k], *ROUNDS[:k]]) for k, name in enumerate(ROUNDS)}
    data["LACONV_00_INS_gone"] = row([CAT], ["gone", "gone", ROUNDS[0], ROUNDS[0]])
    release.instructions("LACONV", data).train("LACONV", {ROUNDS[1]: [ROUNDS[0], ROUNDS[0]]})
    problems = find_problems(release.root)
    assert [(each.file, each.id) for each in problems] == [
        ("LACONV_instructions.json", "LACONV_00_INS_gone")
    ]
    assert "2 of its 4 in-context examples cannot be" in problems[0].text
    made, rows = bring_in(release)
    assert turned_away(made) == {"LACONV_00_INS_gone": "unknown-context"}
    assert [rows[name]["rel_ins_ids"] for name in ROUNDS] == [ROUNDS[:k] for k in range(3)]
    assert (made.doubled, made.fallen, made.mended) == (3, 0, {})
    made, rows = bring_in(release, repair=True)
    assert rows["LACONV_00_INS_gone"]["rel_ins_ids"] == ROUNDS[:1]
    assert (made.doubled, made.mended) == (4, {"dangling-context": 1})


def test_of_one_id_the_first_is_used_even_where_only_a_later_one_can_be(
    release: Published,
) -> None:
    release.parquet("LA", CAT, **{DOG: text_of(b"no picture")}).json("LA", DOG)
    asked = {name: row([CAT], question="") for name in ROUNDS[:1]}
    release.instructions("A", asked | {"LADD_INS_2": row([DOG]), "LADD_INS_3": row([CAT])})
    release.instructions("B", {ROUNDS[0]: row([CAT])})
    made, rows = bring_in(release)
    assert list(rows) == ["LADD_INS_3"]
    assert made.rejected == {
        ("annotations", "duplicate-record"): 1,
        ("checks", "empty"): 1,
        ("media", "not-an-image"): 1,
        ("media", "picture-turned-away"): 1,
    }


def test_nothing_vanishes_of_what_cannot_be_used(release: Published) -> None:
    stored = {"X_IMG_b64": "!!", "X_IMG_text": text_of(b"no picture"), "X_IMG_null": None}
    release.json("X", "X_IMG_1", "X_IMG_2", **stored)
    bad: dict[str, Any] = {
        "X_INS_number": 5,
        "X_INS_no_answer": {"instruction": "Why?"},
        "X_INS_images": row(["X_IMG_1", 7]),
        "X_INS_related": {**row(["X_IMG_1"]), "rel_ins_ids": "X_INS_1"},
        "X_INS_text_only": row(None),
        "X_INS_empty": row(["X_IMG_1"], question=" ?"),
        "X_INS_token": row(["X_IMG_1"], question="<image>What?"),
        "X_INS_nowhere": row(["X_IMG_1", "X_IMG_99"]),
        "X_INS_itself": row(["X_IMG_1"], ["X_INS_itself"]),
        "X_INS_b64": row(["X_IMG_b64"]),
        "X_INS_bad": row(["X_IMG_2", "X_IMG_text"]),
        "X_INS_null": row(["X_IMG_null"]),
    }
    good = {
        "X_INS_1": row("X_IMG_1", bad),
        "X_INS_2": {"instruction": "Who?", "answer": "He.", "image_ids": ["X_IMG_1"]},
    }
    release.instructions("X", {**bad, **good})
    release.train("X", {"X_INS_gone": [], "X_INS_2": ["X_INS_1"]})
    made, rows = bring_in(release)
    assert list(rows) == ["X_INS_1", "X_INS_2"]
    assert rows["X_INS_1"]["rel_ins_ids"] == []
    assert rows["X_INS_2"]["rel_ins_ids"] == ["X_INS_1"]
    assert turned_away(made) == {
        "X_INS_number": "malformed-record",
        "X_INS_no_answer": "malformed-record",
        "X_INS_images": "malformed-record",
        "X_INS_related": "malformed-record",
        "X_INS_text_only": "no-picture",
        "X_INS_empty": "empty",
        "X_INS_token": "special-token",
        "X_INS_nowhere": "unknown-image",
        "X_INS_itself": "unknown-context",
        "X_IMG_b64": "not-base64",
        "X_INS_b64": "picture-turned-away",
        "X_IMG_text": "not-an-image",
        "X_INS_bad": "picture-turned-away",
        "X_IMG_null": "empty-file",
        "X_INS_null": "picture-turned-away",
        "X_INS_gone": "unknown-query",
    }
    assert made.fallen == len(bad)
    assert made.read == len(bad) + len(good)


def test_of_records_with_one_id_the_first_stays(release: Published) -> None:
    release.parquet("X", "X_IMG_1")
    release.instructions("A", {})
    text = (release.root / "A_instructions.json").read_text()
    twice = '"X_INS_1": ' + json.dumps(row(["X_IMG_1"], question="First?"))
    twice += ', "X_INS_1": ' + json.dumps(row(["X_IMG_1"], question="Second?"))
    (release.root / "A_instructions.json").write_text(text.replace("{}", f"{{{twice}}}"))
    release.instructions("B", {"X_INS_1": row(["X_IMG_1"], question="Third?")})
    made, rows = bring_in(release)
    assert rows["X_INS_1"]["instruction"] == "First?"
    assert made.rejected == {("annotations", "duplicate-record"): 2}


def test_pictures_come_from_every_form_that_was_published(release: Published) -> None:
    release.parquet("data/A", "A_IMG_1")
    table = pa.table({"base64": [text_of(picture(1))], "__null_dask_index__": ["B_IMG_1"]})
    parts = release.root / "B.parquet"
    parts.mkdir()
    pq.write_table(table, parts / "part.0.parquet")
    release.json("C", C_IMG_1=[text_of(picture(2))])
    (release.root / "D.json").write_text(
        json.dumps({"base64": {"D_IMG_1": base64.urlsafe_b64encode(picture(3)).decode()}})
    )
    names = [f"{letter}_IMG_1" for letter in "ABCD"]
    release.instructions("data/X", {f"X_INS_{name}": row([name]) for name in names})
    (release.root / "about.json").write_text('{"name": "a release"}')
    made, rows = bring_in(release)
    assert len(rows) == 4
    dataset = mimicit.load(made.out)
    assert [dataset.images.read(name) for name in names] == [
        picture(place) for place in (0, 1, 2, 3)
    ]
    refs = pq.read_table(made.out / "images").column("source_ref").to_pylist()
    assert {ref["path"] for ref in refs} == {
        "data/A.parquet", "B.parquet/part.0.parquet", "C.json", "D.json"
    }  # fmt: skip
    assert made.passed_over == (("about.json", "holds no pictures as base64"),)


def test_pictures_that_nobody_names_are_counted_and_left_out(release: Published) -> None:
    release.parquet("LA", CAT, DOG, "LA_IMG_000000033473")
    release.instructions("LADD", {"LADD_00_INS_1": row([DOG])})
    made, _ = bring_in(release)
    assert (made.images, made.unused) == (1, 2)
    assert list(mimicit.load(made.out).images) == [DOG]


def test_of_a_picture_in_two_stores_parquet_is_used(release: Published) -> None:
    release.json("LA", CAT, DOG)
    release.parquet("LA", DOG)
    release.instructions("LADD", {"LADD_00_INS_1": row([CAT, DOG])})
    made, _ = bring_in(release)
    assert mimicit.load(made.out).images.read(DOG) == picture(0)


def test_what_shares_a_picture_or_a_video_is_one_group_and_stands_together(
    release: Published,
) -> None:
    frames = [f"E4D_IMG_uid_{number:08d}" for number in range(4)]
    pairs = [f"CGD_IMG_{number:012d}" for number in range(4)]
    release.json("E4D", *frames).json("CGD", *pairs)
    release.instructions(
        "M",
        {
            "M_INS_0": row(frames[:2]),
            "M_INS_1": row(pairs[:2]),
            "M_INS_2": row(frames[2:]),
            "M_INS_3": row(pairs[2:]),
            "M_INS_4": row([pairs[1], pairs[2]]),
        },
    )
    _, rows = bring_in(release)
    groups = [rows[f"M_INS_{number}"]["group"] for number in range(5)]
    assert groups[0] == groups[2] == "E4D_IMG_uid"
    assert groups[1] == groups[3] == groups[4] == pairs[0]
    assert list(rows)[:2] == ["M_INS_0", "M_INS_2"]


@pytest.mark.parametrize(
    ("name", "scene"),
    [
        ("DC_IMG_v_N1c3C_Npr-E_0000", "DC_IMG_v_N1c3C_Npr-E"),
        ("TVC_IMG_castle_s07e09_seg02_clip_02_00009", "TVC_IMG_castle_s07e09_seg02_clip_02"),
        ("SN_IMG_scene0000_00_color_000100", "SN_IMG_scene0000_00"),
        ("SD_IMG_00041_2", "SD_IMG_00041"),
        ("LA_00_IMG_000000033471", "LA_00_IMG_000000033471"),
        ("VST_IMG_123456789", "VST_IMG_123456789"),
    ],
)
def test_a_frame_belongs_to_its_video(name: str, scene: str) -> None:
    assert scene_of(name) == scene


def test_the_same_release_gives_the_same_bytes_however_much_is_read_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = sample_release(tmp_path / "release")
    for name in ("one", "ROWS", "IDS", "CHARACTERS"):
        if name != "one":
            monkeypatch.setattr(f"mimicit.published.rows.WINDOW_{name}", 1)
        import_otter(source, tmp_path / name, repair=True)
        assert contents(tmp_path / "one") == contents(tmp_path / name)


def test_what_comes_out_is_a_dataset_like_any(tmp_path: Path) -> None:
    sample_release(tmp_path / "release")
    done = run_cli("import", "otter", "release", "--out", "out", "--repair", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "1 doubled-name" in done.stdout
    linked = run_cli("link", "out", "--link", "similar-text", "--shots", 1, cwd=tmp_path)
    assert linked.returncode == 0, linked.stderr
    assert find_problems(tmp_path / "out") == []
    traced = run_cli("trace", "TVC_INS_00001", "out", cwd=tmp_path)
    assert "mimicit import otter" in " ".join(traced.stdout.split())
    built = run_cli("build", "--config", "out/build.yaml", "--out", "again", cwd=tmp_path)
    assert built.returncode == 2
    assert "`mimicit import otter DIR --out OUT`" in built.stderr


def test_an_import_of_which_nothing_is_left_says_why_and_what_would_help(
    release: Published,
) -> None:
    release.json("CGD", "CGD_IMG_000000069568", "CGD_IMG_000000069569")
    rows = {f"CGD_INS_{n}": row([f"CGD_IMG_00000000000{n}"]) for n in (69568, 69569)}
    release.instructions("CGD", rows)
    with pytest.raises(SourceError, match=r"unknown-image \(2\)(?s:.*)--repair would keep up to 2"):
        import_otter(release.root, release.root.parent / "out")
    assert not (release.root.parent / "out").exists()


def test_half_of_a_surrogate_pair_is_a_letter_that_no_text_may_hold(
    release: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = "😀 \\ud83d \\\\ 😀😀 \\\\\\ud83d"
    halves = ["half \ud83d", "\ude00\ud83d", "\\\ud83d"]
    data = {f"X_INS_{n}": row(["X_IMG_1"], question=q) for n, q in enumerate([whole, *halves])}
    release.json("X", "X_IMG_1").instructions("X", data)
    (subset,) = find_release(release.root).subsets
    for size in range(1, 40):  # wherever what is read at a time ends
        monkeypatch.setattr("mimicit.published.json_files.BUFFER_BYTES", size)
        (window,) = windows(subset)
        questions = [record.instruction for record in window.records]
        assert questions == [whole, "half \0", "\0\0", "\\\0"]
    made, _ = bring_in(release)
    assert made.rejected == {("checks", "control-character"): 1, ("checks", "empty"): 2}


def test_no_link_is_followed_out_of_the_directory(release: Published, tmp_path: Path) -> None:
    Published(tmp_path / "elsewhere").json("X", "X_IMG_1")
    release.instructions("X", {"X_INS_1": row(["X_IMG_1"])})
    (release.root / "X.json").symlink_to(tmp_path / "elsewhere" / "X.json")
    said = r"holds no pictures.*'X.json' is a link that leads out of the directory"
    with pytest.raises(SourceError, match=said):
        import_otter(release.root, tmp_path / "out")
    texts = [problem.text for problem in find_problems(release.root)]
    assert "is a link that leads out of the directory" in texts


def test_a_directory_that_holds_none_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no directory"):
        import_otter(tmp_path / "none", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="holds no published instructions"):
        import_otter(tmp_path / "empty", tmp_path / "out")
    (tmp_path / "empty" / "X_instructions.json").write_text('{"data": {}}')
    with pytest.raises(SourceError, match="holds no pictures"):
        import_otter(tmp_path / "empty", tmp_path / "out")
    assert [problem.text for problem in find_problems(tmp_path / "empty")] == [
        "no file of the directory has the pictures: expected X.parquet or X.json",
        "has no instructions",
    ]
    with pytest.raises(UsageError, match="ISO 639"):
        import_otter(tmp_path / "empty", tmp_path / "out", language="English")


def test_what_is_there_already_is_not_replaced(release: Published, tmp_path: Path) -> None:
    release.json("X", "X_IMG_1").instructions("X", {"X_INS_1": row(["X_IMG_1"])})
    before = contents(release.root)
    with pytest.raises(UsageError, match="left alone"):
        import_otter(release.root, release.root)
    assert contents(release.root) == before


@pytest.mark.parametrize("name", ["X_instructions.json", "X.json"])
def test_a_file_that_changes_meanwhile_is_not_taken_for_what_it_was(
    release: Published, name: str
) -> None:
    release.json("X", "X_IMG_1").instructions("X", {"X_INS_1": row(["X_IMG_1"])})
    path = release.root / name

    def change(items: Iterable[T], what: str, _unit: str) -> Iterator[T]:
        if what == "read":
            path.write_text(path.read_text().replace("X_INS_1", "X_INS_2"))
            release.json("X", "X_IMG_2", "X_IMG_1")
        return iter(items)

    with pytest.raises(SourceError, match=f"'{name}' changed while it was read"):
        import_otter(release.root, release.root.parent / "out", track=change)


def test_pandas_may_have_numbers_in_its_index_and_columns_of_other_types(
    release: Published,
) -> None:
    data = {"base64": pa.array([text_of(picture(1)).encode(), None]), "number": [7, None]}
    pq.write_table(pa.table(data), release.root / "X.parquet")
    release.instructions("X", {"X_INS_1": row(["7"]), "X_INS_2": row([""])})
    made, rows = bring_in(release)
    assert rows["X_INS_1"]["image_ids"] == ["OTTER_IMG_7"]
    assert turned_away(made) == {"": "empty-file", "X_INS_2": "picture-turned-away"}
