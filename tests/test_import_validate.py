"""What `mimicit validate` says of a published directory."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import run_cli
from published import Published, picture, row, sample_release, text_of

from mimicit.errors import Problem
from mimicit.validate import each_problem, find_problems

MENDS = "`mimicit import otter DIR --repair`"


@pytest.fixture
def release(tmp_path: Path) -> Published:
    return Published(tmp_path / "release")


def said(release: Published, **options: str) -> list[tuple[str, int | None, str, str]]:
    """List file, row, id, and the first word of each problem."""
    found = find_problems(release.root, **options)  # type: ignore[arg-type]  # a test's own word
    return [(p.file, p.row, p.id, p.text.partition(":")[0]) for p in found]


def test_each_known_mistake_is_named_with_what_mends_it(tmp_path: Path) -> None:
    root = sample_release(tmp_path / "release")
    problems = find_problems(root)
    assert [(p.file, p.row, p.id, p.text.partition(":")[0]) for p in problems] == [
        ("CGD_instructions.json", 0, "CGD_INS_000001", "16-digit-id"),
        ("LACR_I2I_instructions.json", 0, "LACR_I2I_00_INS_000000033471", "dangling-context"),
        ("SN_instructions.json", 0, "SN_INS_scene0000_a0_round0", "no-scan"),
        ("TVC_instructions.json", 0, "TVC_INS_00001", "doubled-name"),
    ]
    assert all(MENDS in problem.text for problem in problems)
    clip = "castle_s07e09_seg02_clip_02"
    assert f"'TVC_IMG_{clip}_{clip}_00009' is not there and 'TVC_IMG_{clip}_00009' is" in (
        problems[-1].text
    )


def test_the_command_lists_them_and_exits_with_four(tmp_path: Path) -> None:
    sample_release(tmp_path / "release")
    done = run_cli("validate", "release", "--json", cwd=tmp_path)
    assert done.returncode == 4
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [Problem(**line) for line in lines] == find_problems(tmp_path / "release")
    assert "4 place(s)" in done.stderr


def test_a_sound_release_is_valid(release: Published) -> None:
    release.parquet("LA", "LA_IMG_000000033471")
    release.instructions("LADD", {"LADD_00_INS_1": row(["LA_IMG_000000033471"])})
    release.train("LADD", {"LADD_00_INS_1": []})
    done = run_cli("validate", release.root)
    assert (done.returncode, done.stdout) == (0, f"{release.root} is valid\n")


def test_a_directory_that_is_neither_is_told_as_before(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text("{}")
    assert any("manifest.json" in problem.file for problem in find_problems(tmp_path))


def test_what_nobody_can_mend_is_named_as_lost(release: Published) -> None:
    names = ["SN_IMG_scene0001_00_color_0", "SN_IMG_scene0001_01_color_0"]
    release.parquet("X", "X_IMG_1", *names)
    release.instructions(
        "X",
        {
            "X_INS_1": row(["X_IMG_1", "X_IMG_9"]),
            "X_INS_2": row(["SN_IMG_scene0001_color_0"]),
            "X_INS_3": row(["X_IMG_1"], question="<image>"),
            "X_INS_4": row(["X_IMG_1"], question=""),
            "X_INS_5": 7,
        },
    )
    problems = find_problems(release.root)
    assert [(p.row, p.text.partition(":")[0]) for p in problems] == [
        (0, "unknown-image"), (1, "unknown-image"), (2, "special-token"), (3, "empty"),
        (4, "malformed-record"),
    ]  # fmt: skip
    assert "'X_IMG_9'" in problems[0].text
    assert all(name in problems[1].text for name in names)
    assert not any(MENDS in problem.text for problem in problems)


def test_one_row_has_one_problem_of_a_kind_however_many_pictures_it_has(
    release: Published,
) -> None:
    clip = "castle_s07e09_seg02_clip_02"
    release.parquet("TVC", *[f"TVC_IMG_{clip}_{n:05d}" for n in range(16)])
    frames = [f"TVC_IMG_{clip}_{clip}_{n:05d}" for n in range(16)]
    release.instructions("TVC", {"TVC_INS_1": row([*frames, "TVC_IMG_gone"])})
    lost, doubled = find_problems(release.root)
    assert lost.text.startswith("unknown-image: 1 of its 17 pictures cannot be found")
    assert doubled.text.startswith("doubled-name: 16 of its 17 pictures")


def test_bare_ids_and_lists_that_are_none_are_named(release: Published) -> None:
    release.parquet("LA", "LA_IMG_000000033471")
    release.instructions("LADD", {"A_INS_1": row(["000000033471"])})
    release.instructions("LAX", {"B_INS_1": row("LA_IMG_000000033471")})
    assert said(release) == [
        ("LADD_instructions.json", 0, "A_INS_1", "no-prefix"),
        ("LAX_instructions.json", 0, "B_INS_1", "bare-image-id"),
    ]


def test_a_training_file_is_held_against_the_instructions(release: Published) -> None:
    release.parquet("X", "X_IMG_1")
    release.instructions("X", {f"X_INS_{n}": row(["X_IMG_1"]) for n in (1, 2, 3)})
    train = {"X_INS_1": ["X_INS_9"], "X_INS_2": ["X_INS_1"], "X_INS_7": [], "X_INS_3": "X_INS_1"}
    release.train("X", train)
    assert sorted(said(release)) == [
        ("X_train.json", 0, "X_INS_1", "dangling-context"),
        ("X_train.json", 2, "X_INS_7", "unknown-query"),
        ("X_train.json", 3, "X_INS_3", "malformed-record"),
    ]


def test_a_plain_table_is_named_since_the_loader_finds_nothing_in_it(release: Published) -> None:
    table = pa.table({"id": ["X_IMG_1"], "base64": [text_of(picture())]})
    pq.write_table(table, release.root / "X.parquet")
    release.instructions("X", {"X_INS_1": row(["X_IMG_1"])})
    ((file, _, _, text),) = said(release)
    assert file == "X.parquet"
    assert "the column 'id', which pandas does not know for the index" in text


def test_ids_that_stand_twice_are_named(release: Published) -> None:
    text = text_of(picture())
    (release.root / "X.json").write_text(f'{{"X_IMG_1": "{text}", "X_IMG_1": "{text}"}}')
    one, other = row(["X_IMG_1"]), row(["X_IMG_1"], question="And now?")
    release.instructions("A", {"X_INS_1": one, "X_INS_2": one})
    release.instructions("B", {"X_INS_1": row(["X_IMG_1"], ["X_INS_2"]), "X_INS_2": other})
    found = said(release)
    assert ("X.json", 1, "X_IMG_1") in [each[:3] for each in found]
    # What is said word for word once more, as where each file is complete in itself, is no harm.
    assert [each for each in found if each[0] != "X.json"] == [
        ("B_instructions.json", 1, "X_INS_2", "duplicate-record")
    ]


def test_pictures_of_one_id_may_stand_in_two_stores_where_they_are_the_same(
    release: Published,
) -> None:
    release.json("A", X_IMG_1=text_of(picture(1)), X_IMG_2=text_of(picture(2)))
    release.json("B", X_IMG_1=text_of(picture(1)), X_IMG_2=text_of(picture(3)))
    release.instructions("X", {"X_INS_1": row(["X_IMG_1", "X_IMG_2"])})
    ((file, place, name, text),) = said(release)
    assert (file, place, name) == ("B.json", 1, "X_IMG_2")
    assert "'A.json', with other bytes" in text
    assert said(release, decode="none") == []


def test_pictures_that_do_not_decode_are_named_unless_none_is_to_be(release: Published) -> None:
    release.json("X", "X_IMG_1", X_IMG_b64="!!", X_IMG_bad=text_of(b"none"), X_IMG_null=None)
    release.instructions("X", {"X_INS_1": row(["X_IMG_1"])})
    expected = [
        ("X.json", 1, "X_IMG_b64", "not-base64"),
        ("X.json", 2, "X_IMG_bad", "does not decode"),
        ("X.json", 3, "X_IMG_null", "empty-file"),
    ]
    assert said(release) == said(release, decode="sample") == expected
    assert said(release, decode="none") == []


def test_problems_come_one_by_one(release: Published) -> None:
    release.parquet("X", "X_IMG_1")
    release.instructions("X", {f"X_INS_{n}": row(["gone"]) for n in range(3)})
    path = release.root / "X_instructions.json"
    path.write_bytes(path.read_bytes()[:-20])
    problems = each_problem(release.root)
    assert "is damaged after record 2" in next(problems).text
    assert [problem.id for problem in problems] == ["X_INS_0", "X_INS_1"]
