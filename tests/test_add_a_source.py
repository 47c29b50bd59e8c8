"""The page that says how to add a source, followed to the letter by a package of its own."""

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import mimicit
from mimicit.config import BuildConfig, SourceConfig
from mimicit.errors import SourceError
from mimicit.pipeline import build
from mimicit.schema import Rejection, Scene
from mimicit.testing import FakeTeacher
from mimicit.validate import find_problems

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "add_a_source.md").read_text()


def block(language: str) -> str:
    """Give what the page says to write into a file."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


def follow(source: Path, prompts: Path, samples: Path) -> Path:
    """Write the three of the page, each into its folder; return that of the sample."""
    sample = samples / "birds"
    for folder in (source, prompts, sample):
        folder.mkdir(parents=True, exist_ok=True)
    (source / "birds.py").write_text(block("python"))
    (prompts / "birds.yaml").write_text(block("yaml"))
    lines = []
    for number in range(8):
        Image.new("RGB", (60, 40), (30 * number, 90, 40)).save(sample / f"{number}.png")
        record = {**json.loads(block("json")), "id": f"b.{number}", "file": f"{number}.png"}
        lines.append(json.dumps({**record, "seen": f"A bird on {number + 2} fences."}))
    (sample / "birds.jsonl").write_text("\n".join(lines))
    (sample / "LICENSES.md").write_text(" ".join(f"{number}.png" for number in range(8)))
    (sample / "licence.txt").write_text("CC0-1.0\n")
    return sample


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package with the source of the page, its prompt and a sample, installed nowhere."""
    package = tmp_path / "site" / "yourpackage"
    follow(package, package / "_data" / "prompts", package / "_data" / "samples")
    (package / "__init__.py").touch()
    info = tmp_path / "site" / "yourpackage-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: yourpackage\nVersion: 1.0\n")
    group, line = block("toml").splitlines()
    assert group == '[project.entry-points."mimicit.generators"]'
    (info / "entry_points.txt").write_text("[mimicit.generators]\n" + line.replace('"', ""))
    return package


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of what the contract needs of this tree, with the source of the page in it."""
    tree = tmp_path / "tree"
    for name in ("mimicit", "prompts"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tree / "tests").mkdir()
    for name in ("conftest.py", "test_generators.py", "test_structure.py"):
        shutil.copy(ROOT / "tests" / name, tree / "tests")
    for name in ("README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, tree)
    follow(tree / "mimicit" / "generators", tree / "prompts", tree / "samples")
    return tree


def run(package: Path, *arguments: str, cwd: Path) -> str:
    """Run Python where the package can be imported."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(package.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


CONTRACT = ["tests/test_generators.py", "-n", "0", "-p", "no:cacheprovider"]


def test_in_the_tree_its_source_passes_every_test_with_no_other_file_changed(tree: Path) -> None:
    tests = [*CONTRACT, "tests/test_structure.py", "-k", "readme or (birds and not asked)"]
    said = run(tree / "mimicit", "-m", "pytest", *tests, cwd=tree)
    assert re.search(r"^[0-9]{2} passed", said.splitlines()[-1]), said
    own = "mimicit/generators/birds.py"
    run(tree / "mimicit", "-m", "ruff", "check", "--no-cache", own, cwd=tree)
    run(tree / "mimicit", "-m", "ruff", "format", "--no-cache", "--check", own, cwd=tree)


def test_its_source_reads_as_the_page_says(package: Path, tmp_path: Path) -> None:
    lines = [
        {"id": "b", "seen": "A wren."},
        {"id": " ", "seen": "A robin."},
        {"id": "b", "seen": "A robin.", "garden": "north side"},
        {"id": "a", "seen": " "},
    ]
    (tmp_path / "birds.jsonl").write_text(
        "".join(json.dumps({"file": "0.png", **line}) + "\n" for line in lines)
    )
    birds = runpy.run_path(str(package / "birds.py"), run_name="birds")["Birds"]
    found = list(birds(root=tmp_path).scenes())
    assert {one.record: one.reason for one in found if isinstance(one, Rejection)} == {
        "line 1": "duplicate-image-id",
        "line 2": "no-image-id",
        "line 4": "empty-caption",
    }
    assert [s.groups for s in found if isinstance(s, Scene)] == [("north~20~side", "b")]


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("escape_id(record.id), record", "record.id, record", "birds.*the id 'b 1'.*escape_id"),
        ('"BIRD_IMG_{name}"', '"BIRD-{name}"', "birds.*'BIRD-b~20~1'"),
        ("(garden, name) if garden else (name,)", "(garden,)", r"birds.*the groups \(''"),
        (
            'prefix="BIRD",\n          ',
            'prefix="my-birds",\n          ',
            "birds.*prefix 'my-birds'",
        ),
        ("images=(picture,)", "images=()", "birds.*neither a picture nor a clip"),
    ],
)
def test_a_source_with_names_that_cannot_be_published_is_told(
    package: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    right: str,
    wrong: str,
    said: str,
) -> None:
    code = package / "birds.py"
    assert right in code.read_text()
    code.write_text(code.read_text().replace(right, wrong))
    (tmp_path / "birds.jsonl").write_text('{"id": "b 1", "file": "0.png", "seen": "A robin."}')
    Image.new("RGB", (60, 40)).save(tmp_path / "0.png")
    monkeypatch.syspath_prepend(package.parent)
    for name in ("yourpackage", "yourpackage.birds"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    config = BuildConfig(sources=[SourceConfig(name="birds", options={"root": str(tmp_path)})])
    with pytest.raises(SourceError, match=said):
        build(config, tmp_path / "out")


def test_its_source_passes_the_contract_with_no_file_of_ours_changed(package: Path) -> None:
    said = run(package, "-m", "pytest", *CONTRACT, "-k", "birds", cwd=ROOT)
    assert re.search(r"^[0-9]{2} passed", said.splitlines()[-1]), said


def test_every_command_of_the_page_runs(package: Path, tmp_path: Path) -> None:
    lines = [line.split("   ")[0] for line in block("text").splitlines()]
    commands = [line.split() for line in lines if line.startswith("mimicit")]
    said = [run(package, "-m", *command, cwd=tmp_path) for command in commands]
    assert ["licence" in text for text in said] == [True, False, False]
    assert "Noted: A bird on 2 fences." in said[2]
    assert mimicit.load(tmp_path / "out" / "birds").instructions.num_rows == 8


def test_its_source_is_listed_built_and_asked_about(
    package: Path, tmp_path: Path, teacher: FakeTeacher
) -> None:
    assert "Photographs of birds" in run(package, "-m", "mimicit", "sources", cwd=tmp_path)
    both = ["build", "-s", "birds", "-s", "coco", "--sample", "--out", "out"]
    run(package, "-m", "mimicit", *both, cwd=tmp_path)
    rows = mimicit.load(tmp_path / "out").instructions.to_pylist()
    assert {row["source"] for row in rows} == {"birds", "coco"}
    assert rows[0]["id"] == "BIRD_INS_b.0_00"
    assert find_problems(tmp_path / "out") == []
    folder = package / "_data" / "samples" / "birds"
    command = ["build", "-s", "birds", "--root", str(folder), "--out", "asked"]
    command += ["--teacher", "openai", "--model", "fake", "--base-url", teacher.base_url]
    run(package, "-m", "mimicit", *command, cwd=tmp_path)
    assert teacher.count == 8
