"""What holds of every export: counts, pictures as trainers show them, and nothing half-written."""

import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import contents, patches, run_cli
from PIL import ExifTags, Image, ImageFilter

import mimicit
from mimicit.errors import InvalidDataset, SourceError, UsageError
from mimicit.exporters import FORMATS, export, find
from mimicit.exporters.pictures import file_name, for_trainers
from mimicit.images import opened
from mimicit.pixels import on_white

WAYS = [(name, way) for name in FORMATS for way in find(name).ways]


def shown(data: bytes) -> Image.Image:
    """Open a picture as a trainer does."""
    return Image.open(io.BytesIO(data)).convert("RGB")


def encoded(picture: Image.Image, form: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def turned(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = value
    return exif


PICTURE = patches(1, (64, 40)).filter(ImageFilter.GaussianBlur(4))
GREY = PICTURE.convert("L")
CLEAR = Image.merge("RGBA", (*PICTURE.split(), GREY))


@pytest.mark.parametrize(
    "data",
    [
        encoded(PICTURE, "JPEG"),
        encoded(PICTURE, "JPEG", exif=turned(1)),
        encoded(PICTURE, "PNG"),
        encoded(PICTURE, "WEBP"),
        encoded(GREY, "PNG"),
        encoded(GREY, "JPEG", progressive=True),
        encoded(PICTURE.quantize(), "PNG"),
        encoded(GREY.convert("1"), "PNG"),
        encoded(PICTURE, "MPO", save_all=True, append_images=[PICTURE.rotate(180)]),
    ],
)
def test_a_picture_that_trainers_show_right_leaves_byte_for_byte(data: bytes) -> None:
    made = for_trainers(data)
    assert (made.data, made.changed) == (data, False)


@pytest.mark.parametrize(
    ("data", "suffix"),
    [
        (encoded(PICTURE, "JPEG", quality=100, exif=turned(6)), "jpg"),
        (encoded(PICTURE, "PNG", exif=turned(8)), "png"),
        (encoded(PICTURE, "WEBP", lossless=True, exif=turned(3)), "jpg"),
        (encoded(PICTURE.convert("CMYK"), "JPEG", quality=100), "jpg"),
        (encoded(CLEAR, "PNG"), "png"),
        (encoded(GREY.convert("I;16").point(lambda v: v * 257), "PNG"), "png"),
        (encoded(PICTURE, "BMP"), "png"),
        (encoded(PICTURE, "TIFF"), "png"),
        (encoded(PICTURE, "GIF", save_all=True, append_images=[PICTURE.rotate(180)]), "png"),
    ],
    ids=["turned", "turned-png", "turned-webp", "cmyk", "clear", "deep", "bmp", "tiff", "gif"],
)
def test_what_trainers_would_show_wrong_is_encoded_anew(data: bytes, suffix: str) -> None:
    made = for_trainers(data)
    assert made.changed
    assert made.suffix == suffix
    right = on_white(opened(data).picture)
    assert shown(made.data).size == right.size
    apart = np.abs(np.asarray(shown(made.data)).astype(int) - np.asarray(right)).mean()
    assert apart < (4 if suffix == "jpg" else 0.01)


def test_a_turn_that_a_png_tells_of_behind_its_pixels_is_seen() -> None:
    first = encoded(PICTURE, "PNG", exif=turned(6))
    start = first.index(b"eXIf") - 4
    chunk = first[start : start + 12 + int.from_bytes(first[start : start + 4], "big")]
    end = first.index(b"IEND") - 4
    late = first[:start] + first[start + len(chunk) : end] + chunk + first[end:]
    assert shown(for_trainers(late).data).size == (40, 64)


def test_what_no_jpeg_can_hold_becomes_a_png() -> None:
    made = for_trainers(encoded(Image.new("RGB", (8, 65_501)), "JPEG2000"))
    assert (made.suffix, shown(made.data).size) == ("png", (8, 65_501))


@pytest.mark.parametrize("length", [251, 252, 5000])
def test_no_id_is_too_long_for_a_file(length: int, tmp_path: Path) -> None:
    ids = [f"LA_IMG_{'~43e~' * 1000}"[: length - 1] + last for last in "ab"]
    names = [file_name(image_id, "jpg") for image_id in ids]
    for name in names:
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"")
    assert len(set(names)) == 2
    assert (names[0][3:] == f"{ids[0]}.jpg") is (length == 251)


def test_pictures_are_scaled_down_and_never_up() -> None:
    data = encoded(PICTURE, "JPEG")
    assert max(shown(for_trainers(data, 32).data).size) == 32
    assert for_trainers(data, 64).data == data


@pytest.mark.parametrize(("name", "way"), WAYS)
def test_counts_equal_the_datasets_and_twice_gives_the_same_bytes(
    name: str, way: str, own_data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    told = export(own_data, name, out, context=way).told  # type: ignore[arg-type]  # one of them
    dataset = mimicit.load(own_data)
    assert told.instructions == len(dataset)
    assert told.pictures == len(dataset.images)
    assert told.changed == 3
    every = sum(len(each.row["rel_ins_ids"]) for each in dataset)
    assert told.contexts + sum(told.left_out.values()) == (0 if way == "none" else every)
    first = contents(out)
    listed = json.loads(first["export.json"])
    assert set(listed["files"]) | {"export.json"} == {
        name if not name.startswith("images/") else "images/" for name in first
    }
    export(own_data, name, out, context=way)  # type: ignore[arg-type]  # one of them
    assert contents(out) == first
    assert os.listdir(tmp_path) == ["out"]  # noqa: PTH208  # hidden ones too


def test_the_command_says_what_was_written_and_how_it_is_used(sample: Path, tmp_path: Path) -> None:
    done = run_cli("export", sample, "--to", "otter", "--out", tmp_path / "otter")
    assert done.returncode == 0, done.stderr
    assert "instructions  45" in done.stdout
    assert "pictures      10, 0 of them encoded anew" in done.stdout
    readme = (tmp_path / "otter" / "README.md").read_text()
    assert str(tmp_path / "otter" / "README.md") in done.stdout
    assert "CC0-1.0 (22)" in readme


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--to", "tfds"], 2, "there are: chat, llava, otter, webdataset"),
        (["--to", "otter", "--context", "none"], 2, "'otter' shows in-context examples as 'turns'"),
        (["--to", "otter", "--max-side", "-1"], 2, "--max-side"),
    ],
)
def test_what_cannot_be_asked_for_is_said(
    arguments: list[str], code: int, says: str, sample: Path, tmp_path: Path
) -> None:
    done = run_cli("export", sample, *arguments, "--out", tmp_path / "out")
    assert done.returncode == code
    assert says in done.stderr
    assert not (tmp_path / "out").exists()


def test_nothing_of_others_is_replaced(sample: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(UsageError, match="not an export made by mimicit"):
        export(sample, "otter", tmp_path / "mine")
    dataset = shutil.copytree(sample, tmp_path / "dataset")
    for place in (dataset, dataset / "otter"):
        with pytest.raises(UsageError, match="lies in the dataset"):
            export(dataset, "otter", place)
    shutil.copytree(sample, tmp_path / "another")
    with pytest.raises(UsageError, match="not an export made by mimicit"):
        export(sample, "otter", tmp_path / "another")
    assert contents(tmp_path / "another") == contents(sample)
    export(sample, "otter", tmp_path / "out")
    (tmp_path / "out" / "notes.txt").write_text("keep")
    with pytest.raises(UsageError, match=r"'notes\.txt' in it is not mimicit's"):
        export(sample, "otter", tmp_path / "out")


def test_what_is_no_dataset_or_breaks_its_rules_is_not_exported(
    sample: Path, tmp_path: Path
) -> None:
    with pytest.raises(SourceError, match="not a dataset"):
        export(tmp_path, "otter", tmp_path / "out")
    broken = shutil.copytree(sample, tmp_path / "broken")
    next((broken / "links").iterdir()).unlink()
    with pytest.raises(InvalidDataset):
        export(broken, "otter", tmp_path / "out")
    damaged = shutil.copytree(sample, tmp_path / "damaged")
    shard = next((damaged / "images").glob("*.parquet"))
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 255
    shard.write_bytes(data)
    with pytest.raises(InvalidDataset, match="sha256"):
        export(damaged, "otter", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_export_names_the_dataset_that_it_was_made_of_though_it_is_replaced_meanwhile(
    sample: Path, own_data: Path, tmp_path: Path
) -> None:
    source = shutil.copytree(sample, tmp_path / "dataset")
    expected = hashlib.sha256((sample / "manifest.json").read_bytes()).hexdigest()

    def replaced(rows: Iterable[Any], *_said: str) -> Iterator[Any]:
        yield from rows
        shutil.rmtree(source)
        shutil.copytree(own_data, source)

    made = export(source, "chat", tmp_path / "out", track=replaced)
    listed = json.loads((made.out / "export.json").read_text())
    assert listed["dataset"] == {"manifest_sha256": expected}
    assert made.told.instructions == len(mimicit.load(sample))


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_a_killed_export_leaves_the_old_one_or_the_new_one(
    name: str, own_data: Path, tmp_path: Path
) -> None:
    export(own_data, name, tmp_path / "out", max_side=32)
    after = contents(tmp_path / "out")
    export(own_data, name, tmp_path / "out")
    before = contents(tmp_path / "out")
    assert before != after
    other = ["--max-side", "32", "--out", str(tmp_path / "out")]
    command = [sys.executable, "-m", "mimicit", "export", str(own_data), "--to", name, *other]
    killed = 0
    for wait in np.linspace(0.3, 3, 12):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        if process.wait() == 0:
            break
        killed += 1
        assert contents(tmp_path / "out") in (before, after)
    assert killed
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "out") == after
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
