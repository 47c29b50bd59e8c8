"""What several tests share: small sources made by hand, and the built sample."""

import contextlib
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from PIL import ExifTags, Image

from mimicit.cli import main
from mimicit.config import BuildConfig, Endpoint, SourceConfig
from mimicit.pipeline import Summary, build
from mimicit.testing import FakeTeacher

# A test never depends on how fast the machine is.
hypothesis.settings.register_profile(
    "untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("untimed")

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason=f"no real inputs at {SHARED}")


KEY = "sk-test-0123456789abcdef"


@pytest.fixture(scope="session")
def media_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where tests keep verdicts; they share those on the sample only, all else being their own."""
    return tmp_path_factory.mktemp("media")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, media_cache: Path) -> None:
    for name in list(os.environ):
        if re.match("MIMICIT_|SOURCE_DATE_EPOCH|OPENAI_|AZURE_|SSL_CERT_|(?i:.*_proxy$)", name):
            monkeypatch.delenv(name)
    monkeypatch.setenv("MIMICIT_MEDIA", str(media_cache))


@dataclass
class Coco:
    """A COCO directory under construction."""

    root: Path
    images: list[dict[str, Any]] = field(default_factory=list)
    captions: list[dict[str, Any]] = field(default_factory=list)
    instances: list[dict[str, Any]] = field(default_factory=list)
    categories: list[dict[str, Any]] = field(
        default_factory=lambda: [
            {"id": 1, "name": "person"},
            {"id": 17, "name": "cat"},
            {"id": 18, "name": "dog"},
            {"id": 5, "name": "airplane"},
            {"id": 65, "name": "bed"},
            {"id": 24, "name": "zebra"},
        ]
    )
    extra: dict[str, Any] = field(default_factory=dict)

    def picture(
        self, image_id: int | str, name: str = "", size: tuple[int, int] = (200, 100), **entry: Any
    ) -> "Coco":
        """Add a photograph and its entry; an entry of None removes a key."""
        name = name or f"{image_id}.jpg"
        path = self.root / "tiny" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        seed = sum(map(ord, str(image_id))) * 37
        gradient = Image.linear_gradient("L").resize(size)
        colour = Image.new("L", size, seed % 256)
        Image.merge("RGB", (gradient, colour, gradient.rotate(seed % 360))).save(path)
        entry = {"id": image_id, "file_name": name, "width": size[0], "height": size[1], **entry}
        self.images.append({key: value for key, value in entry.items() if value is not None})
        return self

    def caption(self, image_id: int | str, *texts: str) -> "Coco":
        for text in texts:
            number = len(self.captions) + 1
            self.captions.append({"id": number, "image_id": image_id, "caption": text})
        return self

    def box(
        self,
        image_id: int | str,
        category: int,
        x: float,
        y: float,
        w: float,
        h: float,
        **entry: Any,
    ) -> "Coco":
        number = len(self.instances) + 1
        self.instances.append(
            {"id": number, "image_id": image_id, "category_id": category, "bbox": [x, y, w, h]}
            | {"area": w * h, "iscrowd": 0}
            | entry
        )
        return self

    def write(self) -> Path:
        folder = self.root / "annotations"
        folder.mkdir(parents=True, exist_ok=True)
        (self.root / "tiny").mkdir(exist_ok=True)
        if self.captions:
            content = {"images": self.images, "annotations": self.captions, **self.extra}
            (folder / "captions_tiny.json").write_text(json.dumps(content))
        if self.instances:
            content = {"images": self.images, "annotations": self.instances, **self.extra}
            content["categories"] = self.categories
            (folder / "instances_tiny.json").write_text(json.dumps(content))
        return self.root


@pytest.fixture
def coco(tmp_path: Path) -> Coco:
    return Coco(tmp_path / "coco")


@pytest.fixture
def pets(coco: Coco) -> Coco:
    """Three pictures that support every kind of question."""
    for image_id in (1, 2, 3):
        coco.picture(image_id, size=(400, 300))
    coco.caption(1, "A dog beside a cat on the grass.", "a dog and a cat outdoors")
    coco.caption(2, "A dog runs after a cat across the grass.", "dog chasing cat in the grass")
    coco.caption(3, "A person asleep in a bed.", "somebody is sleeping in a bed")
    coco.box(1, 18, 20, 40, 160, 200).box(1, 17, 280, 120, 60, 60)
    coco.box(2, 18, 20, 60, 150, 150).box(2, 17, 260, 100, 90, 80)
    coco.box(3, 65, 10, 100, 300, 180).box(3, 1, 40, 20, 100, 70)
    coco.write()
    return coco


Builder = Callable[..., Summary]


@pytest.fixture
def build_coco(tmp_path: Path) -> Builder:
    """Build a COCO directory into `tmp_path / out`."""

    def run(
        root: Path, out: str | Path = "out", options: dict[str, str] | None = None, **kw: Any
    ) -> Summary:
        source = SourceConfig(name="coco", options={"root": str(root), **(options or {})})
        return build(BuildConfig(sources=[source], **kw), tmp_path / out)

    return run


@pytest.fixture
def teacher() -> Iterator[FakeTeacher]:
    """An endpoint that answers at once."""
    with FakeTeacher(latency=0) as server:
        yield server


def run_cli(
    *arguments: object, cwd: str | Path = ".", **environment: str
) -> "subprocess.CompletedProcess[str]":
    """Run the command line in this process, which takes most of a second less than one of its own.

    Where it matters that it is a process (signals, terminals, what is imported), tests start one.
    """
    out, err = io.StringIO(), io.StringIO()
    before, argv = dict(os.environ), sys.argv
    code: object = 0
    try:
        os.environ.update(environment)
        sys.argv = ["mimicit", *map(str, arguments)]
        with (
            contextlib.chdir(cwd),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            main()
    except SystemExit as ended:
        code = ended.code or 0
    finally:
        sys.argv = argv
        os.environ.clear()
        os.environ.update(before)
    assert isinstance(code, int)
    return subprocess.CompletedProcess(sys.argv, code, out.getvalue(), err.getvalue())


WAYS = ("endpoint", "partial", "journal", "budget_usd", "prices")
"""What is said of how to build, and not of what."""


@dataclass
class Asking:
    """Builds a COCO directory by asking a server, replies kept in one journal."""

    server: FakeTeacher
    folder: Path

    def __call__(self, root: Path, out: str = "out", **kw: Any) -> Summary:
        ways: dict[str, Any] = {
            "endpoint": Endpoint(self.server.base_url),
            "journal": self.journal,
            **{key: kw.pop(key) for key in WAYS if key in kw},
        }
        source = SourceConfig(name="coco", options={"root": str(root)})
        settings: dict[str, Any] = {"teacher": "openai", "model": "fake", **kw}
        return build(BuildConfig(sources=[source], **settings), self.folder / out, **ways)

    @property
    def journal(self) -> Path:
        return self.folder / "journal.db"

    def calls(self, root: Path, out: str = "out", **kw: Any) -> int:
        """Build, and count the calls that it took."""
        before = self.server.count
        self(root, out, **kw)
        return self.server.count - before


@pytest.fixture
def asking(teacher: FakeTeacher, tmp_path: Path) -> Asking:
    return Asking(teacher, tmp_path)


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory, media_cache: Path) -> Path:
    """The sample, built once; tests must not change it."""
    out = tmp_path_factory.mktemp("sample") / "coco"
    config = BuildConfig(sources=[SourceConfig(name="coco", sample=True)])
    build(config, out, media_cache=media_cache)
    return out


def patches(seed: int, size: tuple[int, int]) -> Image.Image:
    """Draw a picture that looks like no other one: coloured patches by chance."""
    values = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(values).resize(size, Image.Resampling.NEAREST)


@pytest.fixture(scope="session")
def own_data(tmp_path_factory: pytest.TempPathFactory, media_cache: Path) -> Path:
    """One's own data, built once: one picture, two and more, in three splits; not to be changed.

    Some pictures are what trainers that only open a file would show wrong.
    """
    folder = tmp_path_factory.mktemp("own")
    root = folder / "data"
    root.mkdir()
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    patches(1000, (40, 24)).save(root / "turned.jpg", exif=turned)
    clear = patches(1001, (40, 24))
    clear.putalpha(Image.linear_gradient("L").resize(clear.size))
    clear.save(root / "clear.png")
    deep = patches(1002, (40, 24)).convert("L").convert("I;16")
    deep.point(lambda value: value * 257).save(root / "deep.png")
    lines: list[dict[str, Any]] = []
    for number in range(12):
        odd = {0: "turned.jpg", 1: "clear.png", 2: "deep.png"}
        sets = [[odd.get(number, f"{number}.jpg")], [f"{number}a.png", f"{number}b.jpg"]]
        sets.append([f"{number}.{place}.jpg" for place in range(3 + number % 2)])
        for count, names in enumerate(sets):
            for place, name in enumerate(names):
                if not (root / name).exists():
                    size = 48 + number, 32 + place
                    patches(100 * number + 10 * count + place, size).save(root / name)
            qa = [
                [f"What is shown under {number}, turn {turn}?", f"Thing {number} of {turn}: 50 %."]
                for turn in range(2)
            ]
            lines.append({"id": f"{number}.{count}", "images": names, "qa": qa})
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (root / "own.jsonl").write_text(text, encoding="utf-8")
    source = SourceConfig(name="jsonl", options={"root": str(root)})
    config = BuildConfig(
        sources=[source],
        split={"train": 0.6, "validation": 0.2, "test": 0.2},
        link=["random"],
        shots=2,
    )
    build(config, folder / "own", media_cache=media_cache)
    return folder / "own"


@pytest.fixture
def inside(tmp_path: Path) -> Iterator[Path]:
    """Run a test with an empty directory as the working directory."""
    before = Path.cwd()
    inner = tmp_path / "inside"
    inner.mkdir()
    os.chdir(inner)
    yield inner
    os.chdir(before)


def contents(directory: Path) -> dict[str, bytes]:
    """Read a whole directory, for comparing two."""
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def reasons(summary: Summary) -> Sequence[str]:
    """List the reasons for which something was rejected."""
    return [reason for _, reason in summary.rejected]
