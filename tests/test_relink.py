"""Linking a finished dataset anew, and several views of the links in one dataset."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Builder, Coco, contents, run_cli

from mimicit import build, load, neighbours
from mimicit.config import BuildConfig, SourceConfig
from mimicit.context_linker.health import Health
from mimicit.errors import SourceError, UsageError
from mimicit.relink import relink
from mimicit.tables import is_view, model_of
from mimicit.validate import find_problems, validate


@pytest.fixture
def dataset(sample: Path, tmp_path: Path) -> Path:
    """A copy of the sample's dataset, for tests that change it."""
    return Path(shutil.copytree(sample, tmp_path / "dataset"))


def built(out: Path, **settings: Any) -> Path:
    config = BuildConfig(sources=[SourceConfig(name="coco", sample=True)], **settings)
    build(config, out)
    return out


def test_linking_as_it_was_gives_the_same_bytes(dataset: Path) -> None:
    before = contents(dataset)
    relink(dataset)
    assert contents(dataset) == before


@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_a_dataset_linked_anew_is_the_one_that_is_built_so(tmp_path: Path, form: str) -> None:
    shares = {"train": 0.6, "validation": 0.2, "test": 0.2}
    links = ["similar-text,random order=shuffled shots=2", "by_chance=random seed=4"]
    other = built(tmp_path / "a", format=form, split=shares)
    wanted = built(tmp_path / "b", format=form, split=shares, link=links, shots=4)
    relink(other, links, shots=4)
    assert contents(other) == contents(wanted)


def test_pictures_and_rejections_are_not_copied(dataset: Path) -> None:
    picture = next((dataset / "images").glob("*.parquet"))
    before = picture.stat().st_ino
    relink(dataset, ["random"])
    assert picture.stat().st_ino == before


def test_it_can_go_somewhere_else(dataset: Path, tmp_path: Path) -> None:
    before = contents(dataset)
    relink(dataset, ["random shots=1"], out=tmp_path / "other")
    assert contents(dataset) == before
    validate(tmp_path / "other")
    assert {len(example.context) for example in load(tmp_path / "other")} == {1}


def test_another_seed_changes_the_links_and_no_wording(dataset: Path) -> None:
    relink(dataset, ["random"])
    rows = load(dataset).instructions
    relink(dataset, seed=7)
    again = load(dataset).instructions
    assert again.drop_columns("rel_ins_ids") == rows.drop_columns("rel_ins_ids")
    assert again.column("rel_ins_ids") != rows.column("rel_ins_ids")
    relink(dataset)
    assert load(dataset).instructions == again, "the seed is kept with the dataset"


def test_a_seed_that_is_given_counts_once_and_a_views_own_comes_first(tmp_path: Path) -> None:
    out = built(tmp_path / "out", link=["random"])
    first = load(out).links
    relink(out, seed=5)
    assert load(out).links != first
    relink(out, seed=0)
    assert load(out).links == first
    assert (out / "build.yaml").read_text().count("seed=") == 1
    relink(out, ["random seed=3"], seed=9)
    assert load(out).links == load(built(tmp_path / "other", link=["random seed=3"])).links


@pytest.mark.parametrize("seed", [-1, 2**64, 2**70 + 3])
def test_any_whole_number_is_a_seed(dataset: Path, seed: int) -> None:
    relink(dataset, ["random order=shuffled", "like=similar-text"], seed=seed)
    validate(dataset)


def test_no_file_is_written_that_a_manifest_names_elsewhere(dataset: Path, tmp_path: Path) -> None:
    """A stranger's dataset is data: its names are no way out of the directory."""
    (tmp_path / "precious").write_text("mine")
    manifest = json.loads((dataset / "manifest.json").read_text())
    entry = next(iter(manifest["files"].values()))
    for name in ("images/../../precious", "images/-a", "images/a/b"):
        changed = {**manifest, "files": {**manifest["files"], name: entry}}
        (dataset / "manifest.json").write_text(json.dumps(changed))
        with pytest.raises(SourceError):
            relink(dataset, ["random"], out=tmp_path / "out")
    assert (tmp_path / "precious").read_text() == "mine"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "damage",
    [
        {"files": []},
        {"files": {}},
        {"files": {"images/x": 3}},
        {"tally": None},
        {"tally": {"scenes": "x"}},
        {"kinds": {"a": "b"}},
        {"rejected": [["a", "b", "c"]]},
        {"scenes": "x"},
    ],
    ids=str,
)
def test_a_damaged_manifest_is_told(dataset: Path, damage: dict[str, Any]) -> None:
    manifest = json.loads((dataset / "manifest.json").read_text())
    if damage.keys() & {"files", "tally"}:
        manifest |= damage
    else:
        manifest["tally"] |= damage
    (dataset / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(SourceError):
        relink(dataset)


def test_an_encoder_that_is_not_there_is_told_before_anything_is_done(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nope"):
        built(tmp_path / "out", link=["random", "t=similar-text text=nope"], limit=1)


def test_what_cannot_be_linked_is_left_as_it_is(dataset: Path) -> None:
    before = contents(dataset)
    with pytest.raises(UsageError, match="no link strategy 'best'"):
        relink(dataset, ["best"])
    with pytest.raises(UsageError, match="needs a name"):
        relink(dataset, ["random", "random"])
    with pytest.raises(UsageError, match="'a' twice"):
        relink(dataset, ["random", "a=random", "a=random"])
    assert contents(dataset) == before


def test_what_is_no_dataset_says_so(tmp_path: Path, dataset: Path) -> None:
    with pytest.raises(SourceError, match=r"not a dataset.*manifest\.json"):
        relink(tmp_path)
    manifest = json.loads((dataset / "manifest.json").read_text())
    del manifest["tally"]
    (dataset / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(SourceError, match="mimicit build --config"):
        relink(dataset)


@pytest.mark.parametrize("table", ["images", "instructions"])
def test_a_broken_dataset_is_not_published_again(dataset: Path, table: str) -> None:
    (path,) = (dataset / table).glob("*.parquet")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.unlink()
    path.write_bytes(data)
    before = contents(dataset)
    with pytest.raises(SourceError, match="changed or damaged"):
        relink(dataset, ["random"])
    assert contents(dataset) == before


def test_the_card_and_the_manifest_tell_of_the_new_links(dataset: Path) -> None:
    health = relink(dataset, ["random shots=2", "like=similar-text"])
    assert isinstance(health["links"], Health)
    card = (dataset / "README.md").read_text()
    assert "| random | 90 |" in card
    assert "`links_like`" in card
    views = json.loads((dataset / "manifest.json").read_text())["tally"]["views"]
    assert views["links"]["leaks"] == views["links_like"]["leaks"] == 0
    assert views["links_like"]["similarity"][0] > views["links"]["similarity"][0]


# ------------------------------------------------------------------------- views


def test_a_further_view_is_a_table_that_loads(tmp_path: Path) -> None:
    out = built(tmp_path / "out", link=["similar-text", "i2i=similar-image", "chance=random"])
    assert find_problems(out) == []
    for name in ("links", "links_i2i", "links_chance"):
        table = datasets.load_dataset(str(out), name, split="train", cache_dir=str(tmp_path / "c"))
        assert table.num_rows == 45
        assert set(table.column_names) == {"query_id", "context_ids", "scores", "strategies"}
    links = pq.read_table(out / "links")
    rows = pq.read_table(out / "instructions").select(["id", "rel_ins_ids"])
    assert links.column("context_ids").to_pylist() == rows.column("rel_ins_ids").to_pylist()


def test_default_stands_for_the_sources_own(tmp_path: Path) -> None:
    out = built(tmp_path / "out", link=["default", "chance=random"])
    assert contents(out / "links") == contents(built(tmp_path / "own") / "links")


WRONG: dict[str, tuple[str, Any]] = {
    "is not in the instructions table": ("context_ids", ["LA_INS_x_00"]),
    "is its own context": ("context_ids", None),
    "query_id is not in the instructions table": ("query_id", "LA_INS_x_00"),
    "contexts and scores differ": ("scores", [0.5, 0.5, 0.5, 0.5]),
    "has more than one row": ("query_id", "LA_INS_900000000001_01"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_in_a_further_view_is_found(tmp_path: Path, what: str) -> None:
    out = built(tmp_path / "out", link=["random", "other=random"])
    (path,) = (out / "links_other").glob("*.parquet")
    table = pq.read_table(path)
    rows = table.to_pylist()
    column, value = WRONG[what]
    value = [rows[0]["query_id"]] if value is None else value
    rows[0][column] = value
    if column == "context_ids":
        rows[0] |= {"scores": [0.0], "strategies": ["random"]}
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)
    problems = [p for p in find_problems(out) if p.file == f"links_other/{path.name}"]
    assert any(what in p.text for p in problems), problems


@pytest.mark.parametrize("name", ["links_", "links_A", "links_a-b", "linksa", "links_" + "a" * 33])
def test_a_name_that_is_no_view_is_no_table(name: str) -> None:
    assert not is_view(name)
    with pytest.raises(KeyError):
        model_of(name)


# ------------------------------------------------------------------ command line


def test_the_command_line_links_anew_and_says_what_came_of_it(dataset: Path) -> None:
    done = run_cli("link", dataset, "--link", "random", "--link", "t=similar-text", "--shots", 2)
    assert done.returncode == 0, done.stderr
    assert "links: 90 in-context examples" in done.stdout
    assert "links_t: 90 in-context examples" in done.stdout
    assert find_problems(dataset) == []


def test_the_command_line_builds_several_views(pets: Coco, tmp_path: Path) -> None:
    links = ("--link", "random", "--link", "like=similar-image")
    done = run_cli(
        "build", "--source", "coco", "--root", pets.root, "--out", tmp_path / "out", *links
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "links_like").is_dir()
    done = run_cli(
        "build", "--source", "coco", "--root", pets.root, "--link", "random", "--link", "random"
    )
    assert done.returncode == 2
    assert "needs a name" in done.stderr


def test_a_configuration_of_before_is_still_read(pets: Coco, build_coco: Builder) -> None:
    assert BuildConfig.model_validate({"sources": [{"name": "coco"}], "link": "random"}).link == [
        "random"
    ]


@pytest.mark.slow
def test_a_killed_link_changes_nothing(dataset: Path) -> None:
    before = contents(dataset)
    program = (
        "import os, signal, sys, mimicit.relink as r\n"
        "real = r.validate\n"
        "r.validate = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)\n"
        "r.relink(sys.argv[1], ['random'])\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(dataset)], check=False)
    assert done.returncode == -9
    assert contents(dataset) == before
    relink(dataset, ["random"])
    assert find_problems(dataset) == []


def test_a_search_that_an_index_would_hasten_says_so(
    pets: Coco, build_coco: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "EXACT_WORK", 0)
    monkeypatch.setattr(neighbours.approximate, "installed", lambda: False)
    assert "mimicit[index]" in "".join(build_coco(pets.root, link="similar-text").advice)
