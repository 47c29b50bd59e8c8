"""The release gate: damaged, missing and foreign files, pictures and their index, and chance."""

import hashlib
import json
import os
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import run_cli
from test_gate import (
    AGREEMENT,
    INDEX,
    Copy,
    Expected,
    copy,  # noqa: F401  # fixtures
    unexpected,
    whole,  # noqa: F401
)

from mimicit import store_index
from mimicit.errors import Problem
from mimicit.gate.pictures import Decode
from mimicit.image_store import ImageStore
from mimicit.schema import DESCRIPTOR_BYTES, SCHEMA_VERSION, SPLITS
from mimicit.store_index import in_memory
from mimicit.tables import TABLES
from mimicit.validate import find_problems

# ruff: noqa: F811  # a fixture has the name of the argument that asks for it


def found(copy: Copy, decode: Decode = "none") -> list[Problem]:
    return find_problems(copy.root, decode=decode)


def flip(path: Path, place: int, bits: int = 255) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= bits
    path.write_bytes(data)


# ---------------------------------------------------------------------- pictures


def picture(copy: Copy) -> tuple[str, int, str, bytes]:
    """Choose a picture: file, row, id, content."""
    name = copy.files("images")[1]
    row = copy.rows(name)[4]
    return name, 4, row["image_id"], row["image"]["bytes"]


def test_a_flipped_byte_of_a_picture_is_found_by_its_file_its_index_and_its_row(copy: Copy) -> None:
    name, row, image_id, data = picture(copy)
    place = (copy.root / name).read_bytes().index(data) + len(data) // 2
    flip(copy.root / name, place)
    assert [(p.file, p.row) for p in found(copy)] == [(name, None)]
    problems = found(copy, "all")
    assert (name, None) in {(p.file, p.row) for p in problems}
    assert any("another check sum" in p.text for p in problems)
    copy.seal()
    assert found(copy) == []
    problems = found(copy, "all")
    assert problems
    assert {(p.file, p.row, p.id) for p in problems} == {(name, row, image_id)}


@pytest.mark.parametrize("decode", ["all", "sample"])
def test_a_truncated_picture_is_found(copy: Copy, decode: Decode) -> None:
    name, row, image_id, data = picture(copy)
    sha = hashlib.sha256(data[:-600]).hexdigest()
    copy.edit(name, row, image={"bytes": data[:-600], "path": "x.jpg"}, sha256=sha)
    copy.seal()
    expected = [(name, row, image_id, "does not decode: truncated")]
    assert unexpected(found(copy, decode), expected) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param("sha256", "0" * 64, marks=pytest.mark.slow),
        pytest.param("phash", "0123456789abcdef", marks=pytest.mark.slow),
        ("width", 97),
        pytest.param("height", 71, marks=pytest.mark.slow),
        ("format", "PNG"),
    ],
)
def test_what_a_row_says_wrongly_of_its_picture_is_found(
    copy: Copy, field: str, value: Any
) -> None:
    name, row, image_id, _ = picture(copy)
    before = copy.edit(name, row, **{field: value})
    words = f"{field} is {before[field]!r}, its row says {value!r}"
    assert any(p[:4] == (name, words, row, image_id) for p in found(copy, "all")), "raw"
    copy.seal()
    assert found(copy) == []
    assert unexpected(found(copy, "all"), [(name, row, image_id, words)]) == []


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"image": None}, "image"),
        ({"image": {"bytes": None, "path": "x.jpg"}}, "image.bytes: Input should be a valid bytes"),
        ({"sha256": None}, "sha256: Input should be a valid string"),
        ({"width": 0}, "width: Input should be greater than 0"),
    ],
)
def test_a_picture_without_what_it_must_have_is_found(
    copy: Copy, values: dict[str, Any], words: str
) -> None:
    name, row, image_id, _ = picture(copy)
    copy.edit(name, row, loose=True, **values)
    problems = found(copy, "all")
    assert [p for p in problems if (p.file, p.row, p.id) == (name, row, image_id)]
    assert any(p.row == row and words in p.text for p in problems)


def as_of_version_1_0(copy: Copy) -> None:
    """Leave out what the pictures of version 1.0 of the schema did not have."""
    for name in copy.files("images"):
        path = copy.root / name
        table = pq.read_table(path).drop_columns("descriptor").replace_schema_metadata()
        options = {"compression": "none", "use_dictionary": False, "write_statistics": False}
        pq.write_table(table, path, **options)
    copy.seal()
    path = copy.root / "manifest.json"
    path.write_text(path.read_text().replace(f'"{SCHEMA_VERSION}"', '"1.0"', 1))


@pytest.mark.parametrize("decode", ["all", "sample", "none"])
def test_a_dataset_from_before_descriptors_is_valid(copy: Copy, decode: Decode) -> None:
    as_of_version_1_0(copy)
    assert '"schema_version": "1.0"' in (copy.root / "manifest.json").read_text()
    assert found(copy, decode) == []
    _, _, image_id, data = picture(copy)
    assert ImageStore.open(copy.root).read(image_id) == data


@pytest.mark.parametrize("decode", ["all", "none"])
def test_a_row_may_be_without_a_descriptor(copy: Copy, decode: Decode) -> None:
    name, row, _, _ = picture(copy)
    copy.edit(name, row, descriptor=None)
    copy.seal()
    assert found(copy, decode) == []


@pytest.mark.parametrize("length", [0, DESCRIPTOR_BYTES - 1, DESCRIPTOR_BYTES + 1])
def test_a_descriptor_of_another_length_is_found(copy: Copy, length: int) -> None:
    name, row, image_id, _ = picture(copy)
    copy.edit(name, row, descriptor=bytes(length))
    copy.seal()
    left = [p for p in found(copy) if f"{image_id!r} is not in the images table" not in p.text]
    assert unexpected(left, [(name, row, image_id, "descriptor: Data should have at")]) == []


@pytest.mark.parametrize("decode", ["all", "sample"])
def test_a_descriptor_of_another_picture_is_found(copy: Copy, decode: Decode) -> None:
    name, row, image_id, _ = picture(copy)
    copy.edit(name, row, descriptor=copy.rows(name)[row - 1]["descriptor"])
    copy.seal()
    assert found(copy) == []
    expected = [(name, row, image_id, "descriptor is not that of its picture")]
    problems = found(copy, decode)
    assert problems
    assert unexpected(problems, expected) == []


# ------------------------------------------------------------------------- index


def test_an_index_that_is_missing_is_found(copy: Copy) -> None:
    (copy.root / INDEX).unlink()
    expected = [(INDEX, None, "", "is missing"), (INDEX, None, "", "in manifest.json, but not")]
    assert unexpected(found(copy), expected) == []
    copy.seal(index=False)
    assert unexpected(found(copy), expected[:1]) == []


def replaced(copy: Copy, change: Callable[[np.ndarray], Any], **files: Any) -> None:
    """Change the entries of the index, and seal the rest."""
    index = in_memory([(copy.root / INDEX).read_bytes()])
    entries = index.entries().copy()
    change(entries)
    spelt = store_index.spell(files.get("files", index.files), entries, index.ids)
    (copy.root / INDEX).write_bytes(b"".join(spelt))
    copy.seal(index=False)


@pytest.mark.parametrize("field", ["offset", "length", "file"])
def test_an_index_that_says_something_else_is_stale(copy: Copy, field: str) -> None:
    def change(entries: np.ndarray) -> None:
        entries[field][5] ^= 1

    replaced(copy, change)
    assert unexpected(found(copy), [(INDEX, None, "", "is stale: it does not say where")]) == []


def test_an_index_of_other_shards_is_stale(copy: Copy) -> None:
    names = [(Path(name).name, 77) for name in copy.files("images")]
    replaced(copy, lambda entries: None, files=names)
    assert unexpected(found(copy), [(INDEX, None, "", "is stale: it is that of shards of")]) == []


def test_an_index_that_is_none_is_found(copy: Copy) -> None:
    for content in (b"", b"nonsense", b"mimicit image index 1\n" + b"\xff" * 900):
        (copy.root / INDEX).write_bytes(content)
        copy.seal(index=False)
        assert unexpected(found(copy), [(INDEX, None, "", "cannot be used")]) == []


def test_a_wrong_check_sum_is_found_where_pictures_are_decoded(copy: Copy) -> None:
    name, row, image_id, _ = picture(copy)

    def change(entries: np.ndarray) -> None:
        (place,) = np.flatnonzero(entries["key"] == np.void(store_index.key_of(image_id)))
        entries["check"][place] = 0

    replaced(copy, change)
    assert found(copy) == []
    expected = [(name, row, image_id, "another check sum of this picture: it is stale")]
    assert unexpected(found(copy, "all"), expected) == []
    expected = [(name, row, image_id, "cannot be read: picture")]
    assert unexpected(found(copy, "sample"), expected) == []


def test_a_sample_of_pictures_that_cannot_be_opened_is_a_problem_and_no_error(copy: Copy) -> None:
    (copy.root / INDEX).unlink()
    (copy.root / copy.files("images")[0]).write_bytes(b"PAR1")
    assert any(p.text.startswith("cannot be opened") for p in found(copy, "sample"))


# ------------------------------------------------------------------- files as such


@pytest.mark.parametrize("table", ["instructions", "links", "rejected"])
def test_a_flipped_byte_of_a_text_table_is_found(copy: Copy, table: str) -> None:
    name = copy.files(table)[1]
    for place in (6, 200, -20):
        flip(copy.root / name, place)
        assert any(p.file == name and "has sha256" in p.text for p in found(copy))
        flip(copy.root / name, place)


def test_the_manifest_is_compared_with_what_is_there(copy: Copy) -> None:
    path = copy.root / "manifest.json"
    text = path.read_text()
    names = [copy.files(table)[1] for table in TABLES]
    for name in names:
        content = json.loads(text)
        content["files"][name]["rows"] += 1
        path.write_text(json.dumps(content))
        count = content["files"][name]["rows"]
        words = f"has {count - 1} rows; manifest.json says {count}"
        assert unexpected(found(copy), [(name, None, "", words)]) == []
        content["files"][name] = {"sha256": "0" * 64}
        path.write_text(json.dumps(content))
        expected: list[Expected] = [
            (name, None, "", f"not {'0' * 64} as in manifest.json"),
            (name, None, "", "rows; manifest.json says None"),
        ]
        assert unexpected(found(copy), expected) == []


@pytest.mark.parametrize(
    ("table", "split"), [("instructions", "test"), ("images", "train"), ("rejected", "train")]
)
def test_a_card_that_counts_wrongly_is_found(copy: Copy, table: str, split: str) -> None:
    card = copy.root / "README.md"
    copy.seal()  # so that the card's YAML is in a known order
    head, front, rest = card.read_text().partition(f"config_name: {table}\n  features")
    there = sum(len(copy.rows(name)) for name in copy.files(table, split))
    lines, stated, end = rest.partition(f"name: {split}\n")
    assert stated
    card.write_text(head + front + lines + stated + end.replace(f"num_examples: {there}", "X", 1))
    text = card.read_text().replace("X", "num_examples: 7", 1)
    card.write_text(text)
    words = f"counts 7 rows of {table}/{split}; there are {there}"
    assert any(p.file == "README.md" and p.text == words for p in found(copy)), found(copy)


@pytest.mark.parametrize(
    "front",
    [
        "configs: []\ndataset_info: !!timestamp x",
        "dataset_info: !!int ''",
        "dataset_info:\n- config_name: 5\n  splits: [{name: [], num_examples: 1}]",
        "configs:\n- {config_name: 5, data_files: [{split: 6, path: 5/6-*.parquet}]}\n"  # noqa: ISC004
        "dataset_info:\n- {config_name: 5, splits: [{name: 6, num_examples: x}]}",
    ],
)
def test_a_card_of_nonsense_is_a_problem_and_no_error(copy: Copy, front: str) -> None:
    (copy.root / "README.md").write_text(f"---\n{front}\n---\n")
    assert any(p.file == "README.md" and "sha256" not in p.text for p in found(copy))


def renumbered(name: str, number: int, count: int) -> str:
    return f"{name.partition('-')[0]}-{number:05d}-of-{count:05d}.parquet"


def test_shards_missing_and_too_many_are_found(copy: Copy) -> None:
    first, second, third = copy.files("rejected")
    shutil.copy(copy.root / second, copy.root / renumbered(second, 3, 4))
    extra = renumbered(second, 3, 4)
    expected: list[Expected] = [(extra, None, "", "is not in manifest.json")]
    assert unexpected(found(copy), expected) == []
    copy.seal()
    wrong = ("rejected/train", None, "", "one is missing or too many")
    assert unexpected(found(copy), [wrong]) == []
    (copy.root / extra).unlink()
    (copy.root / second).unlink()
    copy.seal()
    assert unexpected(found(copy), [wrong]) == []
    (copy.root / first).rename(copy.root / renumbered(first, 0, 2))
    (copy.root / third).rename(copy.root / renumbered(third, 2, 2))
    copy.seal()
    assert unexpected(found(copy), [wrong]) == []
    (copy.root / renumbered(third, 2, 2)).rename(copy.root / renumbered(third, 1, 2))
    copy.seal()
    assert found(copy) == [], "what was rejected is referred to by nothing"


@pytest.mark.parametrize(
    "name", ["links/links.parquet", "rejected/test-00000-of-00001.parquet", "x/y.jsonl"]
)
def test_a_misnamed_shard_is_found(copy: Copy, name: str) -> None:
    (copy.root / name).parent.mkdir(exist_ok=True)
    shutil.copy(copy.root / copy.files("rejected")[0], copy.root / name)
    copy.seal()
    problems = [p for p in found(copy) if not AGREEMENT.search(p.text)]
    assert unexpected(problems, [(name, None, "", "is not the name of a shard")]) == []


@pytest.mark.parametrize("kind", ["pipe", "directory"])
@pytest.mark.parametrize("which", ["README.md", "manifest.json", INDEX, "rejected", "images"])
def test_what_is_no_file_is_found_and_not_opened(copy: Copy, kind: str, which: str) -> None:
    name = copy.files(which)[1] if which in TABLES else which
    path = copy.root / name
    path.rename(copy.root.parent / "elsewhere")
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    texts = [p.text for p in found(copy, "all" if which == "images" else "none") if p.file == name]
    assert texts
    assert kind == "directory" or "is not a regular file" in texts


def test_files_may_be_links_as_in_a_cache_of_downloads(copy: Copy) -> None:
    for path in sorted(copy.root.rglob("*.*")):
        blob = copy.root.parent / "blobs" / str(path.relative_to(copy.root)).replace("/", "-")
        blob.parent.mkdir(exist_ok=True)
        path.rename(blob)
        path.symlink_to(blob)
    assert found(copy, "all") == []


# ------------------------------------------------------------------------- columns


def reshaped(table: pa.Table, how: str) -> pa.Table:
    names = table.column_names
    return {
        "unknown": lambda: table.append_column("more", pa.array(["x"] * len(table))),
        "missing": lambda: table.drop_columns([n for n in names if n != "descriptor"][-1:]),
        "twice": lambda: table.append_column(names[0], table.column(0)),
        "type": lambda: table.set_column(0, names[0], pa.array(range(len(table)))),
    }[how]()


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("unknown", "unknown column 'more'"),
        ("missing", "column 'detail' is missing, not string"),
        ("twice", "a column stands twice"),
        ("type", "column 'scene_id' is int64, not string"),
    ],
)
def test_other_columns_are_found(copy: Copy, how: str, words: str, sealed: bool) -> None:
    name = copy.files("rejected")[1]
    pq.write_table(reshaped(pq.read_table(copy.root / name), how), copy.root / name)
    if sealed:
        copy.seal()
    problems = [p for p in found(copy) if sealed or "has sha256" not in p.text]
    assert unexpected(problems, [(name, None, "", words)]) == []


@pytest.mark.slow
@pytest.mark.parametrize("table", ["instructions", "images", "links"])
@pytest.mark.parametrize("how", ["unknown", "missing", "twice", "type"])
def test_other_columns_of_what_is_referred_to_raise_nothing(
    copy: Copy, table: str, how: str
) -> None:
    name = copy.files(table)[1]
    pq.write_table(reshaped(pq.read_table(copy.root / name), how), copy.root / name)
    decodes: tuple[Decode, ...] = ("none", "sample")
    for decode in decodes:
        problems = [p for p in found(copy, decode) if p.file == name]
        assert any("column" in p.text for p in problems)


def test_columns_in_another_order_and_looser_ones_are_as_good(copy: Copy) -> None:
    for table in ("instructions", "links"):
        name = copy.files(table)[1]
        rows = copy.rows(name)
        copy.write(name, rows, loose=True)
        turned = pq.read_table(copy.root / name)
        pq.write_table(turned.select(turned.column_names[::-1]), copy.root / name)
    copy.seal()
    assert found(copy) == []
    row = copy.edit(copy.files("instructions")[1], 1, answer="<image>")
    assert (row["id"], 1) in {(p.id, p.row) for p in found(copy)}


def test_all_instructions_damaged_are_a_problem_and_no_error(copy: Copy) -> None:
    names = [name for split in SPLITS for name in copy.files("instructions", split)]
    for name in names:
        (copy.root / name).write_bytes(b"PAR1")
    assert {p.file for p in found(copy) if "cannot be read" in p.text} == set(names)


# -------------------------------------------------------------------------- chance


def harm(copy: Copy, chance: random.Random) -> str:
    """Flip some bytes of a file, or cut it; give its name."""
    files = sorted(path for path in copy.root.rglob("*") if path.is_file())
    path = chance.choice(files)
    data = bytearray(path.read_bytes())
    if chance.random() < 0.25:
        del data[chance.randrange(len(data)) :]
    else:
        for _ in range(chance.choice([1, 1, 3, 30])):
            near_end = chance.random() < 0.5  # where Parquet has its footer
            place = chance.randrange(max(0, len(data) - 2000) if near_end else 0, len(data))
            data[place] ^= chance.randrange(1, 256)
    path.write_bytes(data)
    return path.name


def survive(whole: Path, folder: Path, seeds: range, decode: Decode, *, seal: bool) -> None:
    for seed in seeds:
        copy = Copy(Path(shutil.copytree(whole, folder / str(seed))))
        name = harm(copy, random.Random(seed))
        if seal and name != "manifest.json":
            trust(copy)
        problems = found(copy, decode)
        # A manifest says more than can be compared with anything, such as versions.
        assert problems or seal or name == "manifest.json", seed
        shutil.rmtree(copy.root)


def trust(copy: Copy) -> None:
    """Write the digests of all files into the manifest, whatever state they are in."""
    path = copy.root / "manifest.json"
    content = json.loads(path.read_text())
    for name, entry in content["files"].items():
        data = (copy.root / name).read_bytes()
        entry["sha256"], entry["bytes"] = hashlib.sha256(data).hexdigest(), len(data)
    path.write_text(json.dumps(content))


def test_a_wrong_size_in_the_manifest_is_found(copy: Copy) -> None:
    path = copy.root / "manifest.json"
    content = json.loads(path.read_text())
    content["files"]["build.yaml"]["bytes"] += 1
    path.write_text(json.dumps(content))
    (only,) = found(copy)
    assert only.file == "build.yaml"
    assert "bytes, not" in only.text


def test_damage_by_chance_is_found_and_raises_nothing(whole: Path, tmp_path: Path) -> None:
    survive(whole, tmp_path, range(4), "none", seal=False)
    survive(whole, tmp_path, range(15, 21), "none", seal=True)
    survive(whole, tmp_path, range(40, 41), "all", seal=False)


@pytest.mark.slow
@pytest.mark.parametrize("decode", ["all", "sample", "none"])
@pytest.mark.parametrize("seal", [False, True])
def test_much_damage_by_chance_is_found_and_raises_nothing(
    whole: Path, tmp_path: Path, decode: Decode, seal: bool
) -> None:
    survive(whole, tmp_path, range(100, 200 if decode != "none" else 500), decode, seal=seal)


# --------------------------------------------------------------------- the command


def said(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return run_cli("validate", *arguments)


def test_the_command_prints_an_object_a_line(copy: Copy) -> None:
    clean = said(copy.root, "--json", "--decode", "none")
    assert (clean.returncode, clean.stdout) == (0, "")
    assert said(copy.root, "--decode", "some").returncode == 2
    name, row, image_id, _ = picture(copy)
    copy.edit(name, row, format="P\u00e4NG")
    copy.seal()
    for decode in ("all", "sample"):
        told = said(copy.root, "--json", "--decode", decode)
        assert told.returncode == 4
        (line,) = map(json.loads, told.stdout.splitlines())
        words = "format is 'JPEG', its row says 'P\u00e4NG'"
        assert line == {"file": name, "text": words, "row": row, "id": image_id}
