"""Text as JSON Lines: the same rows as Parquet, and every line that is none is found."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.json
import pytest
from conftest import contents
from test_gate import recounted, unlike_source

import mimicit
from mimicit import writer
from mimicit.config import BuildConfig, SourceConfig
from mimicit.errors import Problem
from mimicit.gate import rows as gate_rows
from mimicit.pipeline import build
from mimicit.tables import arrow_schema
from mimicit.validate import find_problems

TEXTS = ("instructions", "links", "rejected")
SHARES = {"train": 0.6, "validation": 0.2, "test": 0.2}
LINKS = "links/train-00000-of-00001.jsonl"
REJECTED = "rejected/train-00000-of-00001.jsonl"
INSTRUCTIONS = "instructions/train-00000-of-00001.jsonl"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, media_cache: Path) -> Path:
    """The same source in both forms; tests must not change them."""
    folder = tmp_path_factory.mktemp("lines")
    root = unlike_source(folder / "in", count=12, missing=7).root
    source = SourceConfig(name="coco", options={"root": str(root)})
    for name, form in (("parquet", "parquet"), ("jsonl", "jsonl"), ("again", "jsonl")):
        config = BuildConfig.model_validate({"sources": [source], "format": form, "split": SHARES})
        build(config, folder / name, media_cache=media_cache)
    return folder


@pytest.fixture
def lines(built: Path, tmp_path: Path) -> Path:
    """A copy of the dataset in JSON Lines, to be broken."""
    return Path(shutil.copytree(built / "jsonl", tmp_path / "copy"))


def seal(out: Path) -> None:
    """Make card and manifest agree with the lines as they are."""
    manifest = json.loads((out / "manifest.json").read_text())
    counts: dict[tuple[str, str], int] = {}
    for name, entry in manifest["files"].items():
        if "rows" in entry:
            if name.endswith(".jsonl"):
                entry["rows"] = len((out / name).read_bytes().splitlines())
            table, _, file = name.partition("/")
            place = table, file.partition("-")[0]
            counts[place] = counts.get(place, 0) + entry["rows"]
    (out / "README.md").write_text(recounted((out / "README.md").read_text(), counts))
    for name, entry in manifest["files"].items():
        now = writer.describe(out / name, name)
        entry["sha256"], entry["bytes"] = now.sha256, now.bytes
    (out / "manifest.json").write_text(json.dumps(manifest))


def found(out: Path) -> list[Problem]:
    return find_problems(out, decode="none")


# ------------------------------------------------------------------------ what is built


def test_text_is_lines_and_pictures_are_parquet(built: Path) -> None:
    ends = {path.parent.name: path.suffix for path in (built / "jsonl").glob("*/*-of-*")}
    assert ends == {**dict.fromkeys(TEXTS, ".jsonl"), "images": ".parquet"}
    assert (built / "jsonl" / "images" / "_index.bin").is_file()


def test_the_lines_are_the_rows_of_the_parquet_build(built: Path) -> None:
    one, other = mimicit.load(built / "jsonl"), mimicit.load(built / "parquet")
    for table in TEXTS:
        assert getattr(one, table).to_pylist() == getattr(other, table).to_pylist()
        assert getattr(one, table).num_rows
        assert getattr(one, table).schema.types == arrow_schema(table).types
    assert [example.context for example in one][:3] == [example.context for example in other][:3]
    assert one[0].images[0].tobytes() == other[0].images[0].tobytes()
    pictures = [path for path in contents(built / "jsonl") if path.startswith("images/")]
    for name in pictures:
        assert (built / "jsonl" / name).read_bytes() == (built / "parquet" / name).read_bytes()


def test_a_line_is_plain_json(built: Path) -> None:
    text = (built / "jsonl" / INSTRUCTIONS).read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    assert text.endswith("\n")
    assert all(list(row) == arrow_schema("instructions").names for row in rows)


def test_lines_are_valid_and_the_same_bytes_twice(built: Path) -> None:
    assert find_problems(built / "jsonl") == []
    assert contents(built / "jsonl") == contents(built / "again")


def test_datasets_loads_the_lines_with_their_features(built: Path, tmp_path: Path) -> None:
    cache = str(tmp_path / "cache")
    loaded = datasets.load_dataset(str(built / "jsonl"), cache_dir=cache)
    assert set(loaded) == set(SHARES)
    rows = mimicit.load(built / "jsonl", "train").instructions.to_pylist()
    assert loaded["train"].to_list() == [row for row in rows if row["split"] == "train"]
    stated = json.loads(arrow_schema("instructions").metadata[b"huggingface"])["info"]["features"]
    assert loaded["test"].features == datasets.Features.from_dict(stated)
    splits = datasets.load_dataset(str(built / "jsonl"), "links", cache_dir=cache)
    links = [row for rows in splits.values() for row in rows.to_list()]
    assert links == mimicit.load(built / "parquet").links.to_pylist()


# ----------------------------------------------------------------------- lines that are none


def first(line: bytes) -> dict[str, Any]:
    row: dict[str, Any] = json.loads(line)
    return row


def spelt(row: dict[str, Any], **values: object) -> bytes:
    return json.dumps({**row, **values}).encode()


BAD: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "no JSON": (lambda line: line[:-1], "is no JSON"),
    "text": (lambda line: b"a dog", "is no JSON"),
    "bytes": (lambda line: line[:-3] + b"\xff" + line[-3:], "is not valid UTF-8"),
    "nesting": (lambda line: b"[" * 100_000, "is no JSON"),
    "unknown key": (lambda line: spelt(first(line), more=1), "more: Extra inputs"),
    "missing key": (
        lambda line: spelt({k: v for k, v in first(line).items() if k != "scores"}),
        "scores: Field required",
    ),
    "key twice": (lambda line: line[:-1] + b',"scores":[]}', "a key stands twice"),
    "null": (lambda line: spelt(first(line), scores=None), "scores: Input should be a valid list"),
    "text for a number": (lambda line: spelt(first(line), scores=["0.5"]), "scores.0: Input"),
    "truth for a number": (lambda line: spelt(first(line), scores=[True]), "scores.0: Input"),
    "number for a text": (lambda line: spelt(first(line), strategies=[5]), "strategies.0: Input"),
    "half a pair": (
        lambda line: spelt(first(line), strategies=["\ud800"]),
        "holds what no row can",
    ),
    "list": (lambda line: b"[" + line + b"]", "Input should be a valid dictionary"),
    "number": (lambda line: b"7", "Input should be a valid dictionary"),
    "string": (lambda line: b'"is a text"', "Input should be a valid dictionary"),
    "blank": (lambda line: b"", "is a blank line"),
    "spaces": (lambda line: b" \t ", "is a blank line"),
    "two rows": (lambda line: line + line, "is no JSON"),
    "NaN": (lambda line: line.replace(b'"scores":[', b'"scores":[NaN,'), "NaN is no number"),
    "infinite": (
        lambda line: line.replace(b'"scores":[', b'"scores":[1e999,'),
        "scores.0: Input should be a finite number",
    ),
    "huge number": (
        lambda line: line.replace(b'"scores":[', b'"scores":[1' + b"0" * 400 + b","),
        "",
    ),
    "byte order mark": (lambda line: b"\xef\xbb\xbf" + line, "is no JSON"),
}


PLACES = [5, *(pytest.param(place, marks=pytest.mark.slow) for place in (0, -1))]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", BAD)
def test_a_line_that_is_no_row_is_found_by_its_number(lines: Path, name: str, place: int) -> None:
    path = lines / LINKS
    content = path.read_bytes().splitlines()
    number = range(len(content))[place]
    change, words = BAD[name]
    query = json.loads(content[number])["query_id"]
    content[number] = change(content[number])
    path.write_bytes(b"\n".join(content) + b"\n")
    seal(lines)
    problems = found(lines)
    mine = [problem for problem in problems if problem.file == LINKS]
    assert {problem.row for problem in mine} == {number}
    assert words in mine[0].text
    # All else that is said is that the instruction has no links now.
    rest = [problem for problem in problems if problem.file != LINKS]
    assert {problem.id for problem in rest} <= {query}
    assert all("no row of its own in the links table" in problem.text for problem in rest)


def test_a_blank_line_is_found_before_and_behind_all_others(lines: Path) -> None:
    path = lines / REJECTED
    data = path.read_bytes()
    path.write_bytes(b"\n" + data + b"\n")
    seal(lines)
    rows = len(data.splitlines())
    assert [(p.row, p.text) for p in found(lines)] == [
        (0, "is a blank line"),
        (rows + 1, "is a blank line"),
    ]


def test_two_rows_on_a_line_and_a_blank_one_do_not_make_up_for_each_other(lines: Path) -> None:
    path = lines / REJECTED
    one, two, *rest = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([one.strip(), two, b"\n", *rest]))
    seal(lines)
    assert [problem.row for problem in found(lines)] == [0, 1]


def test_lines_of_another_spelling_are_as_good(lines: Path) -> None:
    path = lines / REJECTED
    rows = [json.loads(line) for line in path.read_bytes().splitlines()]
    path.write_bytes(b"\r\n".join(b"  " + json.dumps(row).encode() for row in rows))
    seal(lines)
    assert found(lines) == []


def test_a_line_that_is_too_long_is_found_and_the_others_are_read(
    lines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = lines / REJECTED
    content = path.read_bytes().splitlines()
    every = [each.read_bytes().splitlines() for each in lines.rglob("*.jsonl")]
    longest = max(len(line) for each in every for line in each)
    monkeypatch.setattr(gate_rows, "BLOCK_BYTES", 3 * longest)
    assert found(lines) == [], "blocks make no difference"
    for factor in (1.1, 4, 50):
        long = spelt(first(content[3]), detail="x" * int(gate_rows.BLOCK_BYTES * factor))
        changed = [*content[:3], long, *content[4:]]
        changed[5] = b"{}"
        path.write_bytes(b"\n".join(changed) + b"\n")
        seal(lines)
        problems = found(lines)
        assert {problem.row for problem in problems} == {3, 5}
        assert f"a line of more than {gate_rows.BLOCK_BYTES:,} bytes" in problems[0].text
        path.write_bytes(b"\n".join([*content, long]))  # the last one, and no end of line
        seal(lines)
        assert [problem.row for problem in found(lines)] == [len(content)]


def test_rows_behind_a_bad_line_are_named_by_their_lines(lines: Path) -> None:
    path = lines / INSTRUCTIONS
    content = path.read_bytes().splitlines()
    rows = [json.loads(line) for line in content]
    rows[4]["answer"] = "A dog <image>."
    rows[6]["image_ids"] = ["LA_IMG_77"]
    rows[7]["rel_ins_ids"] = [rows[7]["id"]]
    lost = {"id": rows[2]["id"], "nothing": "else"}
    changed = [spelt(row) for row in rows]
    changed[2] = spelt(lost)
    changed.append(spelt({**rows[8], "rel_ins_ids": []}))
    path.write_bytes(b"\n".join(changed) + b"\n")
    seal(lines)
    problems = {(p.row, p.id, p.text) for p in found(lines) if p.file == INSTRUCTIONS}
    assert (4, rows[4]["id"], "answer: special-token") in problems
    assert (6, rows[6]["id"], "image id 'LA_IMG_77' is not in the images table") in problems
    assert (7, rows[7]["id"], "is its own context") in problems
    assert (len(rows), rows[8]["id"], "has more than one row") in problems
    assert (2, rows[2]["id"], "nothing: Extra inputs are not permitted") in problems
    named = {(row, name) for row, name, _ in problems}
    assert named <= {(n, row["id"]) for n, row in enumerate([*rows, rows[8]])}


def test_what_is_found_valid_is_what_arrow_reads(lines: Path) -> None:
    read = pa.json.ReadOptions(block_size=2**20)
    for table in TEXTS:
        for path in (lines / table).iterdir():
            assert pa.json.read_json(path, read_options=read).num_rows
