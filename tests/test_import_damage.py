"""Published directories of which a file is damaged, or is none of theirs."""

import contextlib
from pathlib import Path
from typing import Any

import pytest
from conftest import run_cli
from hypothesis import given, settings
from hypothesis import strategies as st
from published import Published, row

from mimicit.errors import Problem, SourceError
from mimicit.importers import Imported, import_otter
from mimicit.validate import find_problems

CAT = "LA_IMG_000000033471"


@pytest.fixture
def release(tmp_path: Path) -> Published:
    return Published(tmp_path / "release")


def imported(release: Published, **options: Any) -> Imported:
    return import_otter(release.root, release.root.parent / "out", **options)


DAMAGE: dict[str, tuple[bytes, str]] = {
    "cut off": (b'{"data": {"X_INS_1": {"instruction": "a", "ans', "is damaged"),
    "cut off later": (b'{"data": {"X_INS_1": {}, "X_INS_2": {"a"', "after record 1, 'X_INS_1'"),
    "no number": (b'{"data": {"X_INS_1": {}, "X_INS_2": NaN}}', "after record 1, 'X_INS_1'"),
    "no UTF-8": (b'{"data": {"X_INS_1": {"instruction": "\xff"}}}', "is damaged"),
    "half a pair in bytes": (b'{"data": {"X_INS_1": "\xed\xa0\x80"}}', "is damaged"),
    "a list": (b"[1, 2]", "expected {"),
    "a list inside": (b'{"data": [1, 2]}', "expected {"),
    "nothing": (b"", "is damaged"),
    "no data": (b'{"meta": {"data": {}}}', "expected {"),
    "deep": (b'{"data": ' + b'{"a":' * 2_000, "is damaged"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_file_is_named_with_the_place(release: Published, what: str) -> None:
    data, said = DAMAGE[what]
    release.parquet("X", "X_IMG_1")
    (release.root / "X_instructions.json").write_bytes(data)
    with pytest.raises(SourceError, match=r"'X_instructions\.json'") as error:
        imported(release)
    assert said in str(error.value)
    (problem,) = [each for each in find_problems(release.root) if each.row is None]
    assert problem == Problem("X_instructions.json", str(error.value))


@pytest.mark.parametrize("end", [0, 15, -10])
@pytest.mark.parametrize("name", ["X.parquet", "X.json", "X_train.json"])
def test_a_file_that_is_cut_off_is_named_once(release: Published, name: str, end: int) -> None:
    release.parquet("X", "X_IMG_1") if name == "X.parquet" else release.json("X", "X_IMG_1")
    release.instructions("X", {"X_INS_1": row(["X_IMG_1"])}).train("X", {"X_INS_1": ["X_INS_1"]})
    path = release.root / name
    path.write_bytes(path.read_bytes()[:end])
    with pytest.raises(SourceError, match=f"'{name}'") as error:
        imported(release)
    found = [each for each in find_problems(release.root) if each.row is None]
    assert found == [Problem(name, str(error.value))]


def test_a_parquet_file_that_is_damaged_in_the_middle_is_named_once(release: Published) -> None:
    release.parquet("X", *[f"X_IMG_{number}" for number in range(200)])
    release.instructions("X", {"X_INS_1": row(["X_IMG_199"])})
    path = release.root / "X.parquet"
    data = bytearray(path.read_bytes())
    for start in (20, len(data) // 4):
        data[start : start + 40] = bytes(40)
    path.write_bytes(data)
    with pytest.raises(SourceError, match=r"'X\.parquet' is damaged"):
        imported(release)
    found = [each.file for each in find_problems(release.root) if each.row is None]
    assert found == ["X.parquet"]


@settings(max_examples=25)
@given(st.integers(0, 400), st.binary(min_size=1, max_size=4))
def test_whatever_stands_in_a_file_ends_in_a_dataset_or_in_an_error_of_ours(
    tmp_path_factory: pytest.TempPathFactory, place: int, junk: bytes
) -> None:
    release = Published(tmp_path_factory.mktemp("junk") / "release").json("X", "X_IMG_1")
    release.instructions("X", {f"X_INS_{n}": row(["X_IMG_1"], ["X_INS_1"]) for n in (1, 2)})
    path = release.root / "X_instructions.json"
    data = path.read_bytes()
    path.write_bytes(data[:place] + junk + data[place + len(junk) :])
    list(find_problems(release.root, decode="none"))
    with contextlib.suppress(SourceError):
        imported(release)


UNREADABLE = {
    "no JSON": b"notes: none",
    "nothing": b"",
    "a text that is cut off": b'{"about": "what it is and who made it, at more than great length',
    "no UTF-8": b'{"caf\xe9": "1"}',
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_an_unreadable_file_that_seems_to_have_no_pictures_is_passed_over(
    release: Published, what: str
) -> None:
    release.parquet("LA", CAT).instructions("LADD", {"LADD_INS_1": row([CAT])})
    (release.root / "notes.json").write_bytes(UNREADABLE[what])
    ((name, why),) = imported(release).passed_over
    assert name == "notes.json"
    assert why.startswith("is no JSON: ")
    assert find_problems(release.root) == [Problem(name, why)]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        *((name, b"no JSON") for name in ("LADD.json", "LA.json", "sub/LADD_00001.json")),
        ("x.parquet", b"PAR1 and no more"),
        ("x.json", b'\xef\xbb\xbf{\n "X_IMG_1": "iVBO'),
        ("x.json", b'{"33471": ["' + b"iVBO/+" * 2000),
        ("x.json", b'{"base64": {"33471": "iVBO'),
    ],
)
def test_an_unreadable_file_that_may_have_been_pictures_ends_an_import(
    release: Published, name: str, data: bytes
) -> None:
    release.parquet("LA", CAT).instructions("LADD", {"LADD_INS_1": row([CAT])})
    path = release.root / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    with pytest.raises(SourceError, match=f"{name!r} is (no JSON|no Parquet file|damaged)"):
        imported(release)
    assert [problem.file for problem in find_problems(release.root)] == [name]


def test_where_nothing_has_pictures_an_unreadable_file_may_have_been_they(tmp_path: Path) -> None:
    release = Published(tmp_path / "release").instructions("X", {"X_INS_1": row(["X_IMG_1"])})
    (release.root / "notes.json").write_bytes(b"no JSON")
    with pytest.raises(SourceError, match=r"'notes\.json' is no JSON"):
        imported(release)


def test_a_file_name_does_not_reach_the_terminal_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "L\x1b[31mA_instructions.json").write_text("[")
    done = run_cli("validate", tmp_path)
    assert done.returncode == 4
    assert "L\\x1b[31mA_instructions.json" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr
