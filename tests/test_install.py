"""Installing outside make: what is in the wheel works without the checkout."""

import os
import subprocess
import sys
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
LIBRARIES = next(path for path in sys.path if path.endswith("site-packages"))


def run(command: Sequence[str | Path], cwd: Path) -> str:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": LIBRARIES, "HOME": str(cwd)}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """An environment with this one's libraries, but not with our package."""
    venv.create(tmp_path / "venv", with_pip=True)
    return tmp_path / "venv" / "bin"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A clean copy of what git knows."""
    target = tmp_path / "checkout"
    target.mkdir()
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes((ROOT / name).read_bytes())
    return target


PIP = ["-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]


def demo_works(fresh: Path, tmp_path: Path) -> None:
    where = tmp_path / "elsewhere"
    where.mkdir()
    out = run([fresh / "mimicit", "build", "-s", "coco", "--sample"], where)
    assert "instructions  45" in out
    assert "is valid" in run([fresh / "mimicit", "validate", "out/coco"], where)
    assert "----- system" in run([fresh / "mimicit", "prompts", "show", "coco"], where)
    plan = run([fresh / "mimicit", "plan", "-s", "coco", "--sample", "--model", "gpt-4o"], where)
    assert "about $" in plan


def test_the_wheel_has_prompts_and_samples_and_works(
    fresh: Path, checkout: Path, tmp_path: Path
) -> None:
    wheel = ["-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    run([fresh / "python", *wheel, "--wheel-dir", tmp_path, checkout], tmp_path)
    (built,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(built).namelist()
    assert "mimicit/_data/prompts/templates/pictures.yaml" in names
    assert "mimicit/_data/prompts/coco.yaml" in names
    assert "mimicit/prices.yaml" in names
    assert "mimicit/_data/samples/coco/sample/cat.jpg" in names
    assert not [name for name in names if name.startswith(("tests", "tools", "docs"))]
    run([fresh / "python", *PIP, built], tmp_path)
    checkout.rename(tmp_path / "gone")
    demo_works(fresh, tmp_path)


def test_an_editable_install_works(fresh: Path, checkout: Path, tmp_path: Path) -> None:
    run([fresh / "python", *PIP, "--editable", checkout], tmp_path)
    demo_works(fresh, tmp_path)
    located = run([fresh / "python", "-c", "import mimicit; print(mimicit.__file__)"], tmp_path)
    assert located.strip() == str(checkout / "mimicit" / "__init__.py")
