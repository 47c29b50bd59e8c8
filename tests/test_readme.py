"""What the pages say is run: every command, every line of Python, every excerpt."""

import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import clips
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import KEY, Coco
from published import sample_release

import mimicit
from mimicit import prices
from mimicit.cli import main
from mimicit.journal import Journal
from mimicit.testing import FakeTeacher

ROOT = Path(__file__).parents[1]


PAGES = [
    "README.md",
    "docs/bring_your_own.md",
    "docs/ci.md",
    "docs/datasets.md",
    "docs/importing.md",
    "docs/exporting.md",
    "docs/linking.md",
    "docs/media.md",
    "docs/teachers.md",
]


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


def commands(page: str) -> list[str]:
    lines = "\n".join(blocks(page, "bash")).splitlines()
    return [line.partition("#")[0].strip() for line in lines if line.strip()]


@pytest.fixture
def workplace(coco: Coco, sample: Path, tmp_path: Path) -> Path:
    """A directory in which the pages' commands make sense."""
    for number in range(1, 4):
        coco.picture(number).caption(number, f"A cat and {number} dogs on the grass.")
    coco.write()
    shutil.copytree(coco.root, tmp_path / "data" / "coco")
    shutil.copytree(coco.root / "tiny", tmp_path / "photos")
    shutil.copy(coco.root / "annotations" / "captions_tiny.json", tmp_path / "captions.json")
    shutil.copytree(sample, tmp_path / "out" / "coco")
    shutil.copytree(sample, tmp_path / "my-dataset")
    sample_release(tmp_path / "mimic-it")
    Journal(tmp_path / ".mimicit" / "journal.db").close()
    (tmp_path / "clips").mkdir()
    clips.make(tmp_path / "clips" / "variable.mp4")
    shutil.copytree(ROOT / "samples" / "jsonl", tmp_path / "my-data")
    pictures = [{"bytes": path.read_bytes()} for path in sorted((tmp_path / "photos").iterdir())]
    (tmp_path / "my-table").mkdir()
    table = pa.table({"image": pictures, "caption": ["A cat."] * len(pictures)})
    pq.write_table(table, tmp_path / "my-table" / "birds.parquet")
    return tmp_path


@pytest.mark.parametrize("page", PAGES)
def test_every_command_runs(
    page: str,
    workplace: Path,
    teacher: FakeTeacher,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    lines = commands(page)
    assert lines
    monkeypatch.chdir(workplace)
    monkeypatch.setenv("OPENAI_BASE_URL", teacher.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for line in lines:
        words = shlex.split(line)
        if words[0] in {"make", "pip"}:
            continue  # run by the gate itself; that they are there is tested below
        if words[0] == "mimicit":  # in this process: a start of each takes most of a second
            monkeypatch.setattr(sys, "argv", words)
            code: object = None
            try:
                main()
            except SystemExit as ended:
                code = ended.code
            assert not code, f"{line}\n{capfd.readouterr()}"
        else:
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"


def test_what_pip_is_told_to_install_is_there() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = {
        extra
        for page in PAGES
        for line in commands(page)
        if line.startswith("pip")
        for extra in re.findall(r"mimicit\[(\w+)\]", line)
    }
    assert named <= project["optional-dependencies"].keys()


def test_both_commands_are_those_of_the_gate() -> None:
    targets = [line for line in commands("README.md") if line.startswith("make")]
    assert targets == ["make demo", "make test"]
    gate = (ROOT / ".ci" / "run").read_text()
    for target in targets:
        assert target in gate
        dry = subprocess.run(
            ["make", "--dry-run", *target.split()[1:]],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        assert dry.stdout


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("page", PAGES)
def test_every_line_of_python_runs(page: str, workplace: Path) -> None:
    found = blocks(page, "python")
    assert found
    for code in found:
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=workplace,
            env={"HF_HOME": str(workplace / "hf"), "HF_HUB_OFFLINE": "1", "PATH": ""},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{code}\n{done.stderr}"


def test_the_excerpt_is_a_row_of_the_demo(sample: Path) -> None:
    (excerpt,) = map(json.loads, blocks("README.md", "json"))
    row = mimicit.load(sample)[excerpt["id"]].row
    assert {key: row[key] for key in excerpt} == excerpt


def test_the_excerpt_of_prices_is_a_table_of_prices(tmp_path: Path) -> None:
    (excerpt,) = blocks("docs/teachers.md", "yaml")
    (tmp_path / "own.yaml").write_text(excerpt)
    assert prices.load(tmp_path / "own.yaml").find("my-model")


def test_every_link_leads_somewhere() -> None:
    for page in ROOT.glob("**/*.md"):
        if any(part.startswith(".") or part == "out" for part in page.relative_to(ROOT).parts):
            continue
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
