"""The contract of every source: the built-in ones, and one that another package brings."""

import dataclasses
import inspect
import json
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any, cast

import pytest

import mimicit
from mimicit.config import BuildConfig, Endpoint, SourceConfig
from mimicit.context_linker import LinkSpec
from mimicit.generators import available, find, open_source
from mimicit.names import escape_id
from mimicit.pipeline import build
from mimicit.schema import ImageRef, Rejection, Scene
from mimicit.testing import FakeTeacher
from mimicit.validate import find_problems

ROOT = Path(__file__).parents[1]
SOURCES = available()


def sample_scenes(name: str) -> list[Scene]:
    items = list(open_source(name, {}, sample=True).scenes())
    assert not [item for item in items if isinstance(item, Rejection)], "a sample is without fault"
    return [item for item in items if isinstance(item, Scene)]


@pytest.mark.parametrize("name", SOURCES)
def test_it_says_what_it_is(name: str) -> None:
    cls = find(name)
    assert cls.name == name
    assert re.fullmatch(r"[A-Z0-9]+", cls.prefix)
    assert "http" in cls.origin, "a stranger learns where the files come from"
    assert inspect.getdoc(cls)
    LinkSpec.parse(cls.link)
    for field in dataclasses.fields(cast("Any", cls)):
        assert field.metadata.get("help", "").endswith("."), field.name
    assert dataclasses.is_dataclass(cls)
    assert cast("Any", cls).__dataclass_params__.frozen


@pytest.mark.parametrize("name", SOURCES)
def test_its_sample_has_scenes_in_order_with_ids_of_the_right_form(name: str) -> None:
    scenes = sample_scenes(name)
    ids = [scene.id for scene in scenes]
    assert len(scenes) >= 8
    assert ids == sorted(set(ids))
    for scene in scenes:
        assert (scene.source, scene.prefix) == (name, find(name).prefix)
        assert scene.id == escape_id(scene.id)
        assert scene.groups
        assert scene.annotations
        for ref in scene.images:
            assert isinstance(ref, ImageRef)
            assert re.fullmatch(rf"{scene.prefix}_IMG_[A-Za-z0-9._~-]+", ref.id)
            assert ref.licence, "a sample says under which licence it may be used"


@pytest.mark.parametrize("name", SOURCES)
def test_it_reads_afresh_each_time(name: str) -> None:
    assert sample_scenes(name) == sample_scenes(name)


@pytest.mark.parametrize("name", SOURCES)
def test_its_sample_builds_into_a_valid_dataset(name: str, tmp_path: Path) -> None:
    config = BuildConfig(sources=[SourceConfig(name=name, sample=True)])
    summary = build(config, tmp_path / "out")
    assert summary.rejected == {}
    assert summary.instructions >= summary.scenes
    assert find_problems(tmp_path / "out") == []


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("vision", [True, False])
def test_its_sample_is_asked_about_with_its_prompt(
    name: str, tmp_path: Path, teacher: FakeTeacher, *, vision: bool
) -> None:
    source = SourceConfig(name=name, sample=True)
    config = BuildConfig(sources=[source], teacher="openai", model="fake", vision=vision)
    endpoint = Endpoint(teacher.base_url)
    journal = tmp_path / "journal.db"
    summary = build(config, tmp_path / "out", journal=journal, endpoint=endpoint)
    assert summary.rejected == {}
    assert teacher.count == summary.asked.replies == summary.scenes
    shared = {json.dumps(call.body["messages"][:-1]) for call in teacher.calls}
    assert len(shared) == 1, "what scenes share comes first, the same for all"
    for call in teacher.calls:
        sent = json.dumps(call.body["messages"][-1])
        assert ("image_url" in sent) == vision
    assert find_problems(tmp_path / "out") == []


@pytest.mark.parametrize("name", SOURCES)
def test_its_sample_is_small_and_says_where_it_comes_from(name: str) -> None:
    folder = ROOT / "samples" / name
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert size < 1_000_000
    licences = (folder / "LICENSES.md").read_text()
    assert all(ref.name in licences for scene in sample_scenes(name) for ref in scene.images)


TOY = '''
    """A source that another package brings."""
    from dataclasses import field
    from pathlib import Path
    from mimicit.generators import generator
    from mimicit.schema import Caption, ImageRef, Scene

    @generator(prefix="TOY", link="random", origin="Made in a test: https://example.org")
    class Toy:
        """Pictures named after what they show."""

        root: Path | None = field(default=None, metadata={"help": "Directory of pictures."})

        def scenes(self):
            for path in sorted(self.root.glob("*.png")):
                ref = ImageRef(f"TOY_IMG_{path.stem}", str(self.root), path.name)
                text = Caption(f"A picture of a {path.stem}.")
                yield Scene("toy", path.stem, "TOY", (ref,), (text,), (path.stem,))
'''


def run_beside(folder: Path, *arguments: str) -> None:
    """Run Python where the other package is installed."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={"PYTHONPATH": str(folder / "site"), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_another_package_brings_a_source_with_its_sample_and_prompt(
    tmp_path: Path, teacher: FakeTeacher
) -> None:
    """No file of ours is edited: an entry point is enough."""
    package = tmp_path / "site" / "toypack"
    (package / "_data" / "samples" / "toy").mkdir(parents=True)
    (package / "_data" / "prompts").mkdir()
    shutil.copy(ROOT / "prompts" / "coco.yaml", package / "_data" / "prompts" / "toy.yaml")
    (package / "__init__.py").touch()
    (package / "toy.py").write_text(textwrap.dedent(TOY))
    info = tmp_path / "site" / "toypack-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toypack\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[mimicit.generators]\ntoy = toypack.toy:Toy\n")
    script = textwrap.dedent("""
        import sys
        from PIL import Image
        for name, colour in {"cat": "red", "dog": "green", "tree": "blue"}.items():
            Image.new("RGB", (60, 40), colour).save(f"{sys.argv[1]}/{name}.png")
        from mimicit.cli import main
        sys.argv = ["mimicit", "build", "-s", "toy", "-s", "coco", "--sample", "--out", "out"]
        main()
    """)
    folder = package / "_data" / "samples" / "toy"
    run_beside(tmp_path, "-c", script, str(folder))
    rows = mimicit.load(tmp_path / "out").instructions.to_pylist()
    assert {row["source"] for row in rows} == {"toy", "coco"}
    assert rows[0]["id"] == "TOY_INS_cat_00"
    command = ["build", "-s", "toy", "--root", str(folder), "--out", "asked"]
    command += ["--teacher", "openai", "--model", "fake", "--base-url", teacher.base_url]
    run_beside(tmp_path, "-m", "mimicit", *command)
    assert teacher.count == 3
    assert {row["rel_ins_ids"][0][:3] for row in rows if row["source"] == "coco"} <= {"LA_", "TOY"}
    assert find_problems(tmp_path / "out") == []
