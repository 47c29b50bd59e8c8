"""What is held out stays so when an export comes back, and no split shows what another one does."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest
from conftest import contents, patches, run_cli
from hypothesis import given, settings
from hypothesis import strategies as st
from published import Published, row, text_of

import mimicit
from mimicit.dataset import Dataset
from mimicit.errors import SourceError
from mimicit.exporters import export
from mimicit.importers import Imported, import_otter
from mimicit.schema import SPLITS
from mimicit.validate import find_problems

HELD_OUT = SPLITS[1:]


@pytest.fixture
def release(tmp_path: Path) -> Published:
    """A directory with pictures that look like no other ones."""
    return Published(tmp_path / "release").json("P", **PICTURES)


def drawn(number: int, folder: Path, form: str) -> bytes:
    path = folder / f"{number}.{form}"
    patches(number, (48, 36)).save(path)
    return path.read_bytes()


@pytest.fixture(scope="session", autouse=True)
def _pictures(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(6):
        PICTURES[f"P_IMG_{number}"] = text_of(drawn(number, folder, "png"))
        PICTURES[f"DC_IMG_v_1_{number:04d}"] = text_of(drawn(10 + number, folder, "png"))
    PICTURES["P_IMG_like_0"] = text_of(drawn(0, folder, "jpg"))


PICTURES: dict[str, Any] = {}


def bring_in(root: Path) -> tuple[Imported, dict[str, dict[str, Any]]]:
    """Import it; give what is said of it, and the instructions by id."""
    made = import_otter(root, root.parent / "imported")
    assert find_problems(made.out) == []
    dataset = mimicit.load(made.out)
    rows = {each["id"]: each for each in dataset.instructions.to_pylist()}
    assert made.splits == {name: n for name in SPLITS if (n := splits(rows)[name])}
    assert made.instructions == len(rows)
    assert sum(made.rejected.values()) == dataset.rejected.num_rows
    return made, rows


def splits(rows: Mapping[str, Mapping[str, Any]]) -> Counter[str]:
    return Counter(row["split"] for row in rows.values())


def turned_away(made: Imported) -> dict[str, tuple[str, str]]:
    rows = mimicit.load(made.out).rejected.to_pylist()
    return {row["record"]: (row["reason"], row["detail"]) for row in rows}


def spelled(name: str) -> str:
    """Spell an id as an export does, where its examples were found by text."""
    return name.replace("LA_INS_", "LACR_T2T_00_INS_")


def rows_of(dataset: Dataset) -> dict[str, tuple[Any, ...]]:
    """Give what an export keeps of each instruction, by the id that it gives it."""
    table = {row["id"]: row for row in dataset.instructions.to_pylist()}
    numbers = {name: min(len(row["image_ids"]), 3) for name, row in table.items()}
    return {
        spelled(name): (
            *(row[key] for key in ("instruction", "answer", "image_ids", "split")),
            [spelled(each) for each in row["rel_ins_ids"] if numbers[each] == numbers[name]],
        )
        for name, row in table.items()
    }


def test_an_export_comes_back_as_it_left(own_data: Path, tmp_path: Path) -> None:
    done = export(own_data, "otter", tmp_path / "otter")
    made, _ = bring_in(tmp_path / "otter")
    before, after = mimicit.load(own_data), mimicit.load(made.out)
    assert set(made.splits) == set(SPLITS)
    assert made.rejected == {}
    assert made.passed_over == ()
    assert rows_of(after) == rows_of(before)
    assert (made.links, made.fallen) == (done.told.contexts, 0)
    assert made.links + sum(done.told.left_out.values()) == sum(
        pc.list_value_length(before.instructions.column("rel_ins_ids")).to_pylist()
    )
    assert made.read == made.instructions + made.repeated
    assert set(after.images) == set(before.images)
    changed = [
        name for name in before.images if after.images.read(name) != before.images.read(name)
    ]
    assert len(changed) == done.told.changed == 3
    assert {row["kind"] for row in after.instructions.to_pylist()} == {
        "mm", "mm_pairs", "mm_frames"
    }  # fmt: skip


def test_the_sample_comes_back_byte_for_byte(sample: Path, tmp_path: Path) -> None:
    export(sample, "otter", tmp_path / "otter")
    made, _ = bring_in(tmp_path / "otter")
    before, after = mimicit.load(sample), mimicit.load(made.out)
    assert rows_of(after) == rows_of(before)
    assert {name: after.images.read(name) for name in after.images} == {
        name: before.images.read(name) for name in before.images
    }
    assert (made.splits, made.repeated, made.unused) == ({"train": made.instructions}, 0, 0)


def test_held_out_files_alone_bring_their_examples_as_what_they_are(
    own_data: Path, tmp_path: Path
) -> None:
    export(own_data, "otter", tmp_path / "otter")
    for path in (tmp_path / "otter").glob("*_instructions.json"):
        if json.loads(path.read_bytes())["meta"]["split"] == "train":
            path.unlink()
    made, rows = bring_in(tmp_path / "otter")
    before = rows_of(mimicit.load(own_data))
    assert {name: row["split"] for name, row in rows.items()} == {
        name: before[name][3] for name in rows
    }
    held = [row for row in rows.values() if row["split"] != "train"]
    assert len(held) == sum(each[3] != "train" for each in before.values())
    assert {name for row in held for name in row["rel_ins_ids"]} == {
        name for name, row in rows.items() if row["split"] == "train"
    }
    assert made.fallen == 0


def test_what_came_out_is_said_by_split(own_data: Path, tmp_path: Path) -> None:
    export(own_data, "otter", tmp_path / "otter")
    done = run_cli("import", "otter", "otter", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    counts = splits({row["id"]: row for row in mimicit.load(own_data).instructions.to_pylist()})
    said = " ".join(done.stdout.split())
    assert all(f" {split} {counts[split]} " in said for split in SPLITS)
    assert "not read" not in said
    card = (tmp_path / "out" / "README.md").read_text()
    assert all(f"| {split} | {counts[split]} |" in card for split in SPLITS)
    linked = run_cli("link", "out", "--link", "random", "--shots", 1, cwd=tmp_path)
    assert linked.returncode == 0, linked.stderr
    assert find_problems(tmp_path / "out") == []


# ------------------------------------------------------------------ which split a row is of


@pytest.mark.parametrize("split", HELD_OUT)
def test_queries_are_held_out_and_examples_are_not(release: Published, split: str) -> None:
    release.instructions(
        "A", {"P_INS_0": row(["P_IMG_0"]), "P_INS_1": row(["P_IMG_1"])}, split=split
    )
    release.train("A", {"P_INS_0": ["P_INS_1"]})
    made, rows = bring_in(release.root)
    assert {name: row["split"] for name, row in rows.items()} == {
        "P_INS_0": split, "P_INS_1": "train"
    }  # fmt: skip
    assert rows["P_INS_0"]["rel_ins_ids"] == ["P_INS_1"]
    assert made.repeated == 0


def test_what_a_held_out_file_neither_asks_nor_shows_is_held_out_too(release: Published) -> None:
    data = {f"P_INS_{n}": row([f"P_IMG_{n}"]) for n in range(4)}
    release.instructions("A", data, split="test")
    release.train("A", {"P_INS_0": ["P_INS_1"], "P_INS_2": "P_INS_1"})
    made, rows = bring_in(release.root)
    assert splits(rows) == {"test": 3, "train": 1}
    assert rows["P_INS_1"]["split"] == "train"
    assert made.rejected == {("annotations", "malformed-record"): 1}
    (release.root / "A_train.json").unlink()
    _, rows = bring_in(release.root)
    assert splits(rows) == {"test": 4}


def test_what_is_asked_in_a_held_out_split_is_not_trained_on_wherever_it_stands(
    release: Published,
) -> None:
    data = {f"P_INS_{n}": row([f"P_IMG_{n}"]) for n in range(3)}
    release.instructions("Z", data).train("Z", {"P_INS_2": ["P_INS_0", "P_INS_1"]})
    release.instructions("A", {"P_INS_0": data["P_INS_0"]}, split="validation")
    release.train("A", {"P_INS_0": ["P_INS_1"]})
    made, rows = bring_in(release.root)
    assert rows["P_INS_0"]["split"] == "validation"
    assert splits(rows) == {"train": 2, "validation": 1}
    assert (made.read, made.repeated) == (4, 1)
    # An example that is held out falls away, as one that was turned away does.
    assert rows["P_INS_2"]["rel_ins_ids"] == ["P_INS_1"]
    assert made.fallen == 1


def test_the_split_is_found_wherever_it_stands_in_its_file(release: Published) -> None:
    release.instructions("A", {"P_INS_0": row(["P_IMG_0"])}, split="test")
    path = release.root / "A_instructions.json"
    path.write_text(json.dumps(json.loads(path.read_text()), sort_keys=True))
    assert path.read_text().startswith('{"data"')
    assert splits(bring_in(release.root)[1]) == {"test": 1}


@pytest.mark.parametrize("said", ["val", "Test", "", 5, None, ["test"], {"test": "test"}])
def test_a_split_of_another_name_is_an_error_and_never_train(release: Published, said: Any) -> None:
    release.instructions("A", {"P_INS_0": row(["P_IMG_0"])}, split=said)
    if said in ("", None):
        assert splits(bring_in(release.root)[1]) == {"train": 1}
        return
    with pytest.raises(SourceError, match=r"meta` of 'A_instructions\.json' is .*: expected train"):
        bring_in(release.root)
    (problem,) = find_problems(release.root)
    assert "in the `meta` of" in problem.text


# ------------------------------------------------------------------------- splits apart


def test_no_picture_is_in_two_splits(release: Published) -> None:
    asked = {
        "train": {0: [0], 1: [0, 1], 2: [1], 3: [2, 3], 4: [5]},
        "validation": {5: [2], 6: [3, 4], 7: [4]},
        "test": {8: [0, 4]},
    }
    for split, given_ in asked.items():
        data = {f"P_INS_{n}": row([f"P_IMG_{i}" for i in shown]) for n, shown in given_.items()}
        release.instructions(split, data, split=split).train(split, {name: [] for name in data})
    made, rows = bring_in(release.root)
    assert [int(name[-1]) for name in rows] == [2, 4, 5, 8]
    assert made.rejected == {("split", "held-out-scene"): 5}
    assert turned_away(made) == {
        f"P_INS_{n}": ("held-out-scene", f"shows 'P_IMG_{i}', as the {split} split does")
        for n, i, split in [
            (0, 0, "test"),
            (1, 0, "test"),
            (3, 2, "validation"),
            (6, 4, "test"),
            (7, 4, "test"),
        ]
    }


def test_no_video_is_in_two_splits(release: Published) -> None:
    frames = [f"DC_IMG_v_1_{number:04d}" for number in range(4)]
    release.instructions("A", {"DC_INS_0": row(frames[:2]), "DC_INS_1": row(["P_IMG_1"])})
    release.instructions("B", {"DC_INS_2": row(frames[2:])}, split="test")
    made, rows = bring_in(release.root)
    assert list(rows) == ["DC_INS_1", "DC_INS_2"]
    detail = "shows 'DC_IMG_v_1', as the test split does"
    assert turned_away(made) == {"DC_INS_0": ("held-out-scene", detail)}


def test_what_looks_like_a_held_out_picture_is_not_trained_on(release: Published) -> None:
    release.instructions("A", {f"P_INS_{n}": row([f"P_IMG_{n}"]) for n in ("like_0", "1")})
    release.instructions("B", {"P_INS_2": row(["P_IMG_0"], ["P_INS_like_0"])}, split="validation")
    made, rows = bring_in(release.root)
    assert list(rows) == ["P_INS_1", "P_INS_2"]
    detail = "shows 'P_IMG_like_0', which looks like 'P_IMG_0' of validation or test"
    assert turned_away(made) == {"P_INS_like_0": ("near-held-out", detail)}
    assert made.fallen == 1


PARTS = st.lists(
    st.tuples(
        st.sampled_from(["", *SPLITS]),
        st.lists(
            st.tuples(
                st.integers(0, 7),
                st.lists(st.integers(0, 4), min_size=1, max_size=3, unique=True),
                st.lists(st.integers(0, 7), max_size=2, unique=True),
                st.booleans(),
            ),
            min_size=1,
            max_size=5,
            unique_by=lambda each: each[0],
        ),
        st.booleans(),
    ),
    min_size=2,
    max_size=4,
)


@settings(max_examples=12)
@given(PARTS)
def test_whatever_is_in_which_files_nothing_that_is_held_out_is_trained_on(
    tmp_path_factory: pytest.TempPathFactory, parts: Any
) -> None:
    release = Published(tmp_path_factory.mktemp("any") / "release").json("P", **PICTURES)
    held: set[str] = set()
    for number, (split, rows, has_train) in enumerate(parts):
        name, head = f"F{number}", {"split": split} if split else {}
        data = {
            f"P_INS_{n}": row(
                [f"P_IMG_{i}" for i in shown], [f"P_INS_{c}" for c in before if c < n]
            )
            for n, shown, before, _ in rows
        }
        asked = {f"P_INS_{n}" for n, *_, is_asked in rows if is_asked or not has_train}
        release.instructions(name, data, **head)
        if has_train:
            release.train(name, {each: data[each]["rel_ins_ids"] for each in sorted(asked)})
            held |= asked if split in HELD_OUT else set()
    release.instructions("good", {"P_INS_good": row(["P_IMG_5"])})
    made, found = bring_in(release.root)
    assert not held & {name for name, each in found.items() if each["split"] == "train"}
    records = 1 + sum(len(rows) for _, rows, _ in parts)
    of_rows = [
        r for r in mimicit.load(made.out).rejected.to_pylist() if ".json: " not in r["detail"]
    ]
    assert made.read == records == made.instructions + made.repeated + len(of_rows)
    again = import_otter(release.root, release.root.parent / "again")
    assert contents(again.out) == contents(made.out)
