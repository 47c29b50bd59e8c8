"""The release gate: every way to break a dataset is found, and named."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mimicit import validate as gate
from mimicit.errors import InvalidDataset
from mimicit.tables import arrow_schema
from mimicit.validate import validate

SHARD = "train-00000-of-00001.parquet"
Rows = list[dict[str, Any]]


def find_problems(dataset: Path) -> list[str]:
    """List what is wrong as a user reads it."""
    return [str(problem) for problem in gate.find_problems(dataset)]


@pytest.fixture
def dataset(sample: Path, tmp_path: Path) -> Path:
    """A copy of the sample, to be broken."""
    return Path(shutil.copytree(sample, tmp_path / "copy"))


def edit(dataset: Path, table: str, change: Callable[[Rows], object], *, seal: bool = True) -> None:
    """Change a table's rows, and the manifest with them, so that only the rows are wrong."""
    path = dataset / table / SHARD
    rows: Rows = pq.read_table(path).to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, schema=arrow_schema(table)), path)
    if seal:
        reseal(dataset)


def reseal(dataset: Path) -> None:
    """Make the manifest agree with the files as they are."""
    from mimicit.writer import describe

    path = dataset / "manifest.json"
    manifest = json.loads(path.read_text())
    for name, entry in manifest["files"].items():
        if (dataset / name).exists():
            now = describe(dataset / name, name)
            entry["sha256"], entry["bytes"] = now.sha256, now.bytes
            if name.endswith(".parquet"):
                entry["rows"] = pq.ParquetFile(dataset / name).metadata.num_rows
    path.write_text(json.dumps(manifest))


def the_problem(dataset: Path) -> str:
    problems = find_problems(dataset)
    assert len(problems) == 1, problems
    return problems[0]


def test_what_was_built_is_valid(sample: Path) -> None:
    assert find_problems(sample) == []
    validate(sample)


def test_an_edited_copy_that_changes_nothing_is_valid(dataset: Path) -> None:
    edit(dataset, "instructions", lambda rows: rows)
    assert find_problems(dataset) == []


def test_a_dangling_image_id_is_found(dataset: Path) -> None:
    edit(dataset, "instructions", lambda rows: rows[0].update(image_ids=["LA_IMG_7"]))
    assert (
        "'LA_INS_900000000001_00': image id 'LA_IMG_7' is not in the images table"
        in the_problem(dataset)
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"id": "nonsense"}, "id: String should match pattern"),
        ({"answer": ""}, "answer: String should have at least 1 character"),
        ({"split": "dev"}, "split: Input should be 'train'"),
        ({"answer": "A dog <image>."}, "answer: special-token"),
        ({"instruction": "Wh\x07at"}, "instruction: control-character"),
    ],
)
def test_a_wrong_row_is_found(dataset: Path, change: dict[str, str], words: str) -> None:
    edit(dataset, "instructions", lambda rows: rows[0].update(change))
    assert any(words in problem for problem in find_problems(dataset))


@pytest.mark.parametrize(
    ("contexts", "words"),
    [
        (["LA_INS_7_00"], "context id 'LA_INS_7_00' is not in the instructions table"),
        (["LA_INS_900000000001_00"], "is its own context"),
        (["LA_INS_900000000002_00"] * 2, "a context id stands twice"),
        (
            ["LA_INS_900000000002_01"],
            "context id 'LA_INS_900000000002_01' is not of the train split",
        ),
    ],
)
def test_a_wrong_context_is_found(dataset: Path, contexts: list[str], words: str) -> None:
    def change(rows: Rows) -> None:
        rows[0].update(rel_ins_ids=contexts)
        other = next(row for row in rows if row["id"] == "LA_INS_900000000002_01")
        other.update(split="test" if contexts == [other["id"]] else "train")

    edit(dataset, "instructions", change)
    edit(dataset, "links", lambda rows: rows[0].update(context_ids=contexts))
    assert any(
        f"'LA_INS_900000000001_00': {words}" in problem for problem in find_problems(dataset)
    )


def test_rows_that_stand_twice_are_found(dataset: Path) -> None:
    edit(dataset, "instructions", lambda rows: rows.append(rows[0]))
    edit(dataset, "images", lambda rows: rows.append(rows[0]))
    text = "\n".join(find_problems(dataset))
    assert "row 45: 'LA_INS_900000000001_00': has more than one row" in text
    assert "row 10: 'LA_IMG_900000000001': has more than one row" in text
    assert "README.md: counts 45 rows of instructions; there are 46" in text


def test_a_picture_that_does_not_decode_or_is_another_is_found(dataset: Path) -> None:
    def change(rows: Rows) -> None:
        rows[0]["image"]["bytes"] = rows[0]["image"]["bytes"][:900]
        rows[1]["image"] = rows[2]["image"]
        rows[3].update(width=7)

    edit(dataset, "images", change)
    text = "\n".join(find_problems(dataset))
    assert "row 0: 'LA_IMG_900000000001': does not decode: truncated" in text
    assert "'LA_IMG_900000000002': sha256 is" in text
    assert "'LA_IMG_900000000004': width is 451, its row says 7" in text


def test_links_that_say_something_else_are_found(dataset: Path) -> None:
    edit(dataset, "links", lambda rows: rows[0].update(context_ids=rows[1]["context_ids"]))
    assert "context_ids are not the rel_ins_ids" in the_problem(dataset)
    edit(dataset, "links", lambda rows: rows.pop(0))
    text = "\n".join(find_problems(dataset))
    assert "has rel_ins_ids, but no row of its own" in text
    assert "counts 45 rows of links; there are 44" in text


def test_a_changed_file_is_found(dataset: Path) -> None:
    with (dataset / "README.md").open("a") as file:
        file.write("\nby hand\n")
    assert the_problem(dataset).startswith("README.md: has sha256")


def test_missing_and_foreign_files_are_found(dataset: Path) -> None:
    (dataset / "notes.txt").write_text("x")
    (dataset / ".gitattributes").write_text("what hosting adds is nobody's business")
    (dataset / "build.yaml").unlink()
    assert find_problems(dataset) == [
        "notes.txt: is not in manifest.json",
        "build.yaml: is in manifest.json, but not there",
    ]


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + b"\0" * 100 + b"PAR1", b"text"])
@pytest.mark.parametrize("table", ["instructions", "images", "links"])
def test_a_damaged_table_is_found_and_the_rest_is_checked(
    dataset: Path, table: str, content: bytes
) -> None:
    (dataset / table / SHARD).write_bytes(content)
    text = "\n".join(find_problems(dataset))
    assert f"{table}/{SHARD}: cannot be read" in text
    assert f"{table}/{SHARD}: has sha256" in text


def test_half_a_table_is_found(dataset: Path) -> None:
    path = dataset / "images" / SHARD
    data = bytearray(path.read_bytes())
    data[5000:6000] = bytes(1000)
    path.write_bytes(data)
    reseal(dataset)
    assert any("does not decode" in p or "sha256 is" in p for p in find_problems(dataset))


def test_a_shard_that_loaders_would_not_see_is_found(dataset: Path) -> None:
    (dataset / "links" / SHARD).rename(dataset / "links" / "links.parquet")
    manifest = json.loads((dataset / "manifest.json").read_text())
    manifest["files"]["links/links.parquet"] = manifest["files"].pop(f"links/{SHARD}")
    (dataset / "manifest.json").write_text(json.dumps(manifest))
    assert any("is not the name of a shard" in p for p in find_problems(dataset))


def test_a_card_that_leads_elsewhere_is_found(dataset: Path) -> None:
    card = dataset / "README.md"
    card.write_text(card.read_text().replace("images/train-*.parquet", "other/train-*.parquet"))
    reseal(dataset)
    assert "its configs do not name the shards" in the_problem(dataset)


def test_what_is_no_regular_file_is_never_opened(dataset: Path) -> None:
    os.mkfifo(dataset / "images" / "train-00009-of-00009.parquet")  # reading it would not end
    (dataset / "links" / SHARD).rename(dataset.parent / "elsewhere")
    (dataset / "links" / SHARD).symlink_to(dataset.parent / "elsewhere")
    (dataset / "README.md").unlink()
    os.mkfifo(dataset / "README.md")
    text = "\n".join(find_problems(dataset))
    assert "images/train-00009-of-00009.parquet: is not a regular file" in text
    assert f"links/{SHARD}" not in text, "a link to a file, as in the cache of a hub, is opened"
    assert "README.md: is not a regular file" in text


def test_nested_nonsense_and_text_that_is_none_are_found(dataset: Path) -> None:
    path = dataset / "links" / SHARD
    table = pq.read_table(path)
    bad = pa.array([b"\xff\xfe"] * len(table), pa.binary()).view(pa.string())
    pq.write_table(table.set_column(0, table.schema.field(0), bad), path)
    reseal(dataset)
    assert any("row 7: is not valid UTF-8" in problem for problem in find_problems(dataset))
    (dataset / "manifest.json").write_text("[" * 100_000)
    assert any("manifest.json: cannot be read" in problem for problem in find_problems(dataset))


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", '{"schema_version": 1, "files": {"a": 1}}', "\0"]
)
def test_a_damaged_manifest_is_found(dataset: Path, content: str) -> None:
    (dataset / "manifest.json").write_text(content)
    assert any("manifest.json: cannot be read" in problem for problem in find_problems(dataset))


@pytest.mark.parametrize("card", ["", "# no front matter", "---\n: [\n---\n", "---\na: 1\n---\n"])
def test_a_card_that_is_none_is_found(dataset: Path, card: str) -> None:
    (dataset / "README.md").write_text(card)
    reseal(dataset)
    assert "README.md: cannot be read as a dataset card" in the_problem(dataset)


def test_another_schema_version_is_named(dataset: Path) -> None:
    path = dataset / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "schema_version": "1.7"}))
    assert find_problems(dataset) == [], "a minor version only adds"
    path.write_text(json.dumps({**manifest, "schema_version": "2.0"}))
    assert "schema version 2.0: this mimicit checks version 1.x" in the_problem(dataset)


def test_wrong_columns_are_found(dataset: Path) -> None:
    path = dataset / "links" / SHARD
    table = pq.read_table(path)
    table = table.rename_columns(["query", *table.column_names[1:]])
    pq.write_table(table, path)
    reseal(dataset)
    text = "\n".join(find_problems(dataset))
    assert "column 'query_id' is missing, not string" in text
    assert "unknown column 'query'" in text


def test_anything_else_is_not_a_dataset(tmp_path: Path) -> None:
    assert find_problems(tmp_path / "nowhere")
    text = "\n".join(find_problems(tmp_path))
    assert "instructions: has no rows" in text
    with pytest.raises(InvalidDataset) as caught:
        validate(tmp_path)
    assert caught.value.exit_code == 4
    assert list(map(str, caught.value.problems)) == find_problems(tmp_path)
