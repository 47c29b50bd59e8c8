"""Published directories that are made to break an import: depth, odd stores, ids that mislead."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import run_cli
from hypothesis import given
from hypothesis import strategies as st
from published import Published, picture, row, text_of

import mimicit
from mimicit.errors import Problem, SourceError
from mimicit.gate.published import MENDS
from mimicit.importers import Imported, import_otter
from mimicit.published.json_files import MAX_DEPTH, items
from mimicit.validate import find_problems

CAT = "LA_IMG_000000033471"


@pytest.fixture
def release(tmp_path: Path) -> Published:
    return Published(tmp_path / "release").parquet("LA", CAT)


def written(release: Published, text: str) -> Published:
    (release.root / "LADD_instructions.json").write_text(text)
    return release


@pytest.mark.parametrize("opens", ["[", '{"]}]}":'])
@pytest.mark.parametrize("where", ['{"meta": %s 1', '{"data": {"LADD_INS_1": %s 1'])
def test_a_file_that_is_deep_ends_at_once_and_not_the_memory(
    release: Published, where: str, opens: str
) -> None:
    written(release, where % (opens * 100_000))
    wrong = f"'LADD_instructions.json' is damaged at its beginning: .* more than {MAX_DEPTH} deep"
    with pytest.raises(SourceError, match=wrong):
        import_otter(release.root, release.root.parent / "out")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("X.json", '{"X_IMG_1": %s}'),
        ("X_instructions.json", '{"meta": {"split": %s}, "data": {}}'),
        ("X_train.json", '{"X_INS_1": %s}'),
    ],
)
def test_a_number_without_end_is_damage_and_not_the_end_of_the_process(
    release: Published, name: str, text: str
) -> None:
    release.instructions("X", {"X_INS_1": row([CAT])})
    (release.root / name).write_text(text % ("9" * 5000))
    with pytest.raises(SourceError, match=f"'{name}' is .*: parse error: integer overflow"):
        import_otter(release.root, release.root.parent / "out")
    assert name in [problem.file for problem in find_problems(release.root)]


def deep(levels: int) -> Any:
    value: Any = 1
    for level in range(levels):
        value = [value, "]"] if level % 2 else {'}"\\': value}
    return value


@given(st.lists(st.integers(0, MAX_DEPTH - 1), min_size=1), st.integers(5, 40))
def test_what_is_not_deep_is_read_wherever_it_is_cut(
    tmp_path_factory: pytest.TempPathFactory, depths: list[int], size: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "shallow.json"
    value = {f'"{place}[': deep(depth) for place, depth in enumerate(depths)}
    path.write_text(json.dumps(value))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mimicit.published.json_files.BUFFER_BYTES", size)
        assert dict(items(path, "shallow.json")) == value
        path.write_text(json.dumps({**value, "deeper": deep(MAX_DEPTH)}))
        with pytest.raises(
            SourceError, match=f"after record {len(value)}, .*more than {MAX_DEPTH}"
        ):
            list(items(path, "shallow.json"))


def test_no_pair_is_mended_to_one_picture_twice(release: Published) -> None:
    release.json("CGD", "CGD_IMG_000000069568")
    pair = ["CGD_IMG_0000000000069568", "CGD_IMG_000000069568"]
    release.instructions("CGD", {"CGD_INS_000001": row(pair)})
    (problem,) = find_problems(release.root)
    assert "would have one picture by two ids" in problem.text
    assert MENDS not in problem.text
    with pytest.raises(SourceError, match="not one of 1 instructions can be used") as caught:
        import_otter(release.root, release.root.parent / "out", repair=True)
    assert "would keep" not in str(caught.value)


def test_a_scan_that_was_never_published_is_named_and_not_taken(release: Published) -> None:
    release.json("SN", "SN_IMG_scene0001_01_color_000000")
    release.instructions("SN", {"SN_INS_1": row(["SN_IMG_scene0001_color_000000"])})
    (problem,) = find_problems(release.root)
    assert "which may be 'SN_IMG_scene0001_01_color_000000'" in problem.text
    assert MENDS not in problem.text


def stored(release: Published, **columns: Any) -> Published:
    """Write a table that is no frame with the ids as its index."""
    pd.DataFrame(columns).to_parquet(release.root / "X.parquet")
    return release.instructions("X", {"X_INS_1": row(["X_IMG_1"]), "X_INS_2": row(["X_IMG_2"])})


@pytest.mark.parametrize(("rows", "named"), [([4, 2], "id"), (range(2), "image_name")])
def test_ids_are_texts_where_the_index_of_pandas_is_the_numbers_of_rows(
    release: Published, rows: Sequence[int], named: str
) -> None:
    columns = {
        "width": [24, 24],
        "base64": [text_of(picture(1)), text_of(picture(2))],
        named: ["X_IMG_1", "X_IMG_2"],
    }
    stored(release, **{name: pd.Series(values, pd.Index(rows)) for name, values in columns.items()})
    (problem,) = find_problems(release.root)
    assert problem.text.startswith(f"has its ids in the column {named!r}, which pandas does not")
    assert import_otter(release.root, release.root.parent / "out").instructions == 2


@pytest.mark.parametrize("ids", [[b"X_IMG_1", b"\xff"], [{"a": 1}, {"a": 2}]])
def test_ids_that_are_no_text_are_damage(release: Published, ids: list[Any]) -> None:
    stored(release, id=ids, base64=[text_of(picture(1)), text_of(picture(2))])
    with pytest.raises(SourceError, match=r"'X.parquet' is damaged: its ids are no text"):
        import_otter(release.root, release.root.parent / "out")
    found = [problem.text for problem in find_problems(release.root) if problem.row is None]
    assert any("its ids are no text" in text for text in found)


@pytest.mark.parametrize("coded", [False, True])
def test_base64_that_is_no_text_is_one_picture_less(release: Published, coded: bool) -> None:
    broken = pa.array([text_of(picture(1)).encode(), b"iVBORw0KGgo\xdd"], pa.binary())
    texts = broken.view(pa.string())
    texts = texts.dictionary_encode() if coded else texts
    table = pa.table({"id": ["X_IMG_1", "X_IMG_2"], "base64": texts})
    pq.write_table(table, release.root / "X.parquet")
    release.instructions("X", {"X_INS_1": row(["X_IMG_1"]), "X_INS_2": row(["X_IMG_2"])})
    made = import_otter(release.root, release.root.parent / "out")
    assert (made.instructions, made.rejected["media", "not-base64"]) == (1, 1)
    assert any(p.id == "X_IMG_2" and "not-base64" in p.text for p in find_problems(release.root))


def test_a_release_without_pictures_is_named_once_with_what_was_passed_over(
    tmp_path: Path,
) -> None:
    release = Published(tmp_path / "release").instructions("X", {"X_INS_1": row(["X_IMG_1"])})
    pd.DataFrame({"id": ["X_IMG_1"], "image": [picture(1)]}).to_parquet(
        tmp_path / "release/X.parquet"
    )
    problems = find_problems(release.root)
    assert [(problem.file, problem.row) for problem in problems] == [
        ("X.parquet", None), ("X_instructions.json", None), ("X_instructions.json", 0),
    ]  # fmt: skip
    assert problems[0].text == "holds no pictures as base64"


def imported(release: Published, **options: Any) -> Imported:
    return import_otter(release.root, release.root.parent / "out", **options)


def test_a_file_whose_name_is_no_text_is_passed_over_and_named(release: Published) -> None:
    release.instructions("LADD", {"LADD_INS_1": row([CAT])})
    for name in (b"L\xffA_instructions.json", b"\xff/X.json"):
        path = release.root / os.fsdecode(name)
        path.parent.mkdir(exist_ok=True)
        path.write_text('{"data": {}}')
    done = run_cli("import", "otter", release.root, "--out", release.root.parent / "out")
    assert done.returncode == 0, done.stderr
    assert r"'L\udcffA_instructions.json': it has a name that is not UTF-8" in done.stdout
    found = run_cli("validate", release.root, "--json")
    assert found.returncode == 4
    problems = [json.loads(line) for line in found.stdout.splitlines()]
    assert [each["file"] for each in problems] == [r"L\xffA_instructions.json", r"\xff/X.json"]


def test_what_was_trained_on_of_no_instructions_is_named(release: Published) -> None:
    release.instructions("LADD", {"LADD_INS_1": row([CAT])}).train("LAD", {"LADD_INS_1": []})
    why = "has no 'LAD_instructions.json' beside it"
    assert imported(release).passed_over == (("LAD_train.json", why),)
    assert find_problems(release.root) == [Problem("LAD_train.json", why)]


def test_a_file_s_name_is_spelled_where_it_names_the_kind(release: Published) -> None:
    for number, name in enumerate(["LADD", "Sub Set\n<image>\x1b[2J", ""]):
        release.instructions(name, {f"LADD_INS_{number}": row([CAT])})
    rows = mimicit.load(imported(release).out).instructions.to_pylist()
    assert [each["kind"] for each in rows] == [
        "ladd", "sub~20~set~a~~3c~image~3e~~1b~~5b~2j", "instructions",
    ]  # fmt: skip


@pytest.mark.parametrize("form", ["json", "parquet"])
def test_base64_without_its_padding_is_one_picture_less(release: Published, form: str) -> None:
    whole = next(text for n in range(3) if (text := text_of(picture(1) + b"." * n)).endswith("="))
    stored = {"X_IMG_1": whole, "X_IMG_2": whole.rstrip("="), "X_IMG_3": whole.rstrip("=")[:-1]}
    getattr(release, form)("X", **stored)
    release.instructions("X", {f"X_INS_{name[-1]}": row([name]) for name in stored})
    made = imported(release)
    assert (made.instructions, made.images) == (1, 1)
    assert made.rejected == {("media", "not-base64"): 2, ("media", "picture-turned-away"): 2}
    found = [(problem.id, problem.text) for problem in find_problems(release.root)]
    assert [name for name, _ in found] == ["X_IMG_2", "X_IMG_3"]
    assert all(text.startswith("not-base64: 'iVBOR") for _, text in found)
    assert found[0][1].endswith(": Incorrect padding")


def test_a_text_at_the_beginning_makes_no_file_one_of_pictures(release: Published) -> None:
    release.instructions("LADD", {"LADD_INS_1": row([CAT])})
    about = {"about": "What it is and who made it and why it was done. " * 9, "a": 1}
    (release.root / "about.json").write_text(json.dumps(about))
    assert imported(release).passed_over == (("about.json", "holds no pictures as base64"),)
    assert find_problems(release.root) == []
