"""The page that says how to add a source, followed to the letter by a package of its own."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import mimicit
from mimicit.testing import FakeTeacher
from mimicit.validate import find_problems

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "add_a_source.md").read_text()


def block(language: str) -> str:
    """Give what the page says to write into a file."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package with the source of the page, its prompt and a sample, installed nowhere."""
    package = tmp_path / "site" / "yourpackage"
    sample = package / "_data" / "samples" / "birds"
    sample.mkdir(parents=True)
    (package / "_data" / "prompts").mkdir()
    (package / "__init__.py").touch()
    (package / "birds.py").write_text(block("python"))
    (package / "_data" / "prompts" / "birds.yaml").write_text(block("yaml"))
    lines = []
    for number in range(8):
        Image.new("RGB", (60, 40), (30 * number, 90, 40)).save(sample / f"{number}.png")
        record = {**json.loads(block("json")), "id": f"b.{number}", "file": f"{number}.png"}
        lines.append(json.dumps({**record, "seen": f"A bird on {number + 2} fences."}))
    (sample / "birds.jsonl").write_text("\n".join(lines))
    (sample / "LICENSES.md").write_text(" ".join(f"{number}.png" for number in range(8)))
    (sample / "licence.txt").write_text("CC0-1.0\n")
    info = tmp_path / "site" / "yourpackage-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: yourpackage\nVersion: 1.0\n")
    group, line = block("toml").splitlines()
    assert group == '[project.entry-points."mimicit.generators"]'
    (info / "entry_points.txt").write_text("[mimicit.generators]\n" + line.replace('"', ""))
    return package


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


def test_its_source_passes_the_contract_with_no_file_of_ours_changed(package: Path) -> None:
    contract = ["tests/test_generators.py", "-k", "birds", "-n", "0", "-p", "no:cacheprovider"]
    said = run(package, "-m", "pytest", *contract, cwd=ROOT)
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
