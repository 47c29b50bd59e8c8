"""Copies of a picture are told from other pictures, however they were changed."""

import hashlib
import importlib.util
import io
import itertools
import random
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import clips
import numpy as np
import pytest
from conftest import SHARED, needs_shared
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from mimicit import lookalikes
from mimicit.decoding import Decoder
from mimicit.frames import FrameInfo, VideoInfo, VideoTask, frame_path
from mimicit.images import decode, examine
from mimicit.lookalikes import ALIKE, CELLS, LENGTH, PAIRS, describe, near
from mimicit.moments import Uniform
from mimicit.pixels import on_white
from mimicit.schema import DESCRIPTOR_BYTES, ImageInfo, ImageRow

TOOL = Path(__file__).parents[1] / "tools" / "eval_lookalikes.py"


def _loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tool = _loaded(TOOL)


def drawing(seed: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """Draw shapes of all sizes, which no other seed has."""
    chance = random.Random(seed)
    picture = Image.new("RGB", size, _colour(chance))
    pen = ImageDraw.Draw(picture)
    for number in range(40):
        reach = max(size) / (3 + number / 2)
        x, y = chance.uniform(0, size[0]), chance.uniform(0, size[1])
        box = (x, y, x + chance.uniform(0.2, 1) * reach, y + chance.uniform(0.2, 1) * reach)
        (pen.ellipse if chance.random() < 0.5 else pen.rectangle)(box, fill=_colour(chance))
    return picture


def _colour(chance: random.Random) -> tuple[int, int, int]:
    return chance.randrange(256), chance.randrange(256), chance.randrange(256)


def rows(*pictures: Image.Image) -> np.ndarray:
    found = [np.frombuffer(describe(picture), np.int8) for picture in pictures]
    return np.stack(found)


def are_near(one: Image.Image, other: Image.Image) -> bool:
    a, b = rows(one), rows(other)
    (there,), (back,) = near(a, b), near(b, a)
    assert there == back
    return bool(there)


def saved(picture: Image.Image, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


# -------------------------------------------------------------------------- copies


@pytest.mark.parametrize("change", tool.CHANGES)
def test_a_changed_copy_is_near(change: str) -> None:
    for seed in range(4):
        picture = drawing(seed)
        copy = tool.CHANGES[change](picture, random.Random(seed))
        assert are_near(picture, copy), seed


def test_other_pictures_are_not() -> None:
    described = rows(*map(drawing, range(60)))
    one, other = np.triu_indices(60, 1)
    assert not near(described[one], described[other]).any()


def test_a_picture_upside_down_is_another() -> None:
    picture = drawing(5)
    assert not are_near(picture, picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM))


def test_what_is_cut_much_smaller_is_another() -> None:
    picture = drawing(5)
    assert not are_near(picture, picture.crop((0, 0, 160, 120)))


@needs_shared
def test_photographs_are_told_apart_and_some_of_their_copies_found() -> None:
    paths = tool.pictures_of(SHARED / "coco" / "val2017")
    described = rows(*(Image.open(path).convert("RGB") for path in paths[:100]))
    one, other = np.triu_indices(100, 1)
    assert near(described[one], described[other]).mean() <= 0.001
    for path in paths[100::50]:
        found, _ = tool.with_copies(path)
        assert near(np.repeat(found[:1], len(found) - 1, axis=0), found[1:]).all(), path.name
    pair = [Image.open(p).convert("RGB") for p in (SHARED / "spot_the_diff").glob("*.jpg")]
    assert are_near(*pair)


@needs_shared
@pytest.mark.slow
def test_copies_of_photographs_are_found_as_is_said() -> None:
    folders = (str(SHARED / "coco" / "val2017"), "--others", str(SHARED / "vist" / "photos"))
    command = [sys.executable, str(TOOL), *folders]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    cells = [line.split("|") for line in done.stdout.splitlines() if "(" in line]
    shares = {each[1].strip(): float(each[2].split()[0]) for each in cells}
    assert shares.keys() == tool.CHANGES.keys()
    assert min(shares.values()) >= 0.95
    (false,) = re.findall(r"pairs of photographs \| ([0-9]+) of 75,466", done.stdout)
    assert int(false) <= 75


@needs_shared
def test_frames_of_different_videos_are_not_near() -> None:
    names = ("activitynet/women_long_jump.mp4", "video/decord/flipping_a_pancake.mkv")
    (first, _), (second, _) = (tool.frames(SHARED / name) for name in names)
    assert not near(np.repeat(first, len(second), axis=0), np.tile(second, (len(first), 1))).any()


# -------------------------------------------------------------------------- blanks


def card(*colour: int) -> Image.Image:
    return Image.new("RGB", (160, 120), colour or (128, 128, 128))


def test_equal_blanks_are_near_whatever_their_size_and_encoding() -> None:
    for colour in ((128, 128, 128), (0, 0, 0), (255, 255, 255), (30, 90, 200)):
        blank = card(*colour)
        assert are_near(blank, blank.resize((40, 300)))
        assert are_near(blank, decode(saved(blank, "JPEG", quality=30)).convert("RGB"))


def test_a_difference_of_just_so_much_is_near_and_of_one_level_more_is_not() -> None:
    assert are_near(card(100, 100, 100), card(103, 103, 103))
    assert not are_near(card(100, 100, 100), card(104, 104, 104))


@pytest.mark.parametrize("colour", [(255, 255, 255), (128, 128, 128), (30, 90, 200), (0, 0, 40)])
def test_blanks_of_other_colours_are_not(colour: tuple[int, int, int]) -> None:
    assert not are_near(card(0, 0, 0), card(*colour))


def slope(top: tuple[int, int, int], bottom: tuple[int, int, int]) -> Image.Image:
    """Draw a clear sky: light that changes evenly."""
    share = np.linspace(0, 1, 240)[:, None, None]
    levels = np.broadcast_to(np.array(top) * (1 - share) + np.array(bottom) * share, (240, 320, 3))
    return Image.fromarray(levels.astype(np.uint8))


SKIES = [
    slope((60, 110, 200), (150, 190, 240)),
    slope((60, 110, 200), (90, 130, 210)),
    slope((20, 30, 80), (230, 140, 90)),
    slope((150, 190, 240), (60, 110, 200)),
    slope((235, 235, 240), (215, 220, 235)),
]


@pytest.mark.parametrize(("one", "other"), [*itertools.combinations(range(len(SKIES)), 2)])
def test_clear_skies_are_not_near_for_being_clear(one: int, other: int) -> None:
    assert not are_near(SKIES[one], SKIES[other])


@pytest.mark.parametrize("sky", range(len(SKIES)))
def test_a_clear_sky_is_near_itself_encoded_anew_and_mirrored(sky: int) -> None:
    copy = decode(saved(SKIES[sky], "JPEG", quality=60)).convert("RGB").resize((160, 120))
    assert are_near(SKIES[sky], copy.transpose(Image.Transpose.FLIP_LEFT_RIGHT))


def test_a_blank_is_near_nothing_that_shows_something() -> None:
    for seed in range(3):
        mean = drawing(seed).resize((1, 1)).resize((160, 120))
        assert not are_near(mean, drawing(seed))


def test_snow_that_shows_something_is_told_from_other_snow() -> None:
    def snow(seed: int) -> Image.Image:
        return drawing(seed).point([235 + level // 16 for level in range(256)] * 3)

    assert not any(are_near(snow(one), snow(one + 1)) for one in range(8))
    assert all(are_near(snow(one), tool.mirrored(snow(one), random.Random())) for one in range(8))


# ------------------------------------------------------------------------- shapes


@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (4000, 1), (2, 3), (15, 17), (64, 64)])
def test_any_shape_is_described_and_near_itself(size: tuple[int, int]) -> None:
    picture = drawing(1).resize(size)
    assert len(describe(picture)) == LENGTH == DESCRIPTOR_BYTES
    assert are_near(picture, picture)


def test_the_same_pixels_give_the_same_bytes() -> None:
    n = np.arange(64 * 64 * 3)
    pixels = (n * n * 7 + n // 64 * 31).astype(np.uint8).reshape(64, 64, 3)
    picture = Image.fromarray(pixels).resize((64, 64))
    digest = hashlib.sha256(describe(picture)).hexdigest()
    assert digest == "8ae286f512653c30c21772dd26273c724aea82b0e6629734222a62020e7aff58"


def test_there_may_be_no_pair_and_there_may_be_many() -> None:
    described = rows(*(drawing(seed % 3) for seed in range(2 * PAIRS + 3)), card())
    other = np.roll(described, 1, axis=0)
    assert near(described[:0], other[:0]).tolist() == []
    singly = [bool(near(described[n : n + 1], other[n : n + 1])[0]) for n in range(len(other))]
    assert near(described, other).tolist() == singly
    assert near(described, described).all()


# ---------------------------------------------------------------------- exactness


def descriptor(bends: np.ndarray, contrast: int = 127) -> np.ndarray:
    halves = (bends.ravel() + 8).astype(np.uint8)
    head = np.array([lookalikes.VERSION, contrast], np.uint8)
    return np.concatenate([head, halves[::2] << 4 | halves[1::2], np.zeros(12, np.uint8)])


def exactly_near(a: np.ndarray, b: np.ndarray) -> bool:
    """Do what `near` does, window by window, with integers of any size."""
    over, under = ALIKE
    windows = [lookalikes._window(*cut).astype(int) for cut in lookalikes.CUTS]
    for whole, cut in ((a, b), (b, a), (a, b[:, ::-1]), (b, a[:, ::-1])):
        for one, other in itertools.product(windows, windows):
            seen = one @ whole @ other.T
            product, squares = int((seen * cut).sum()), int((seen**2).sum()) * int((cut**2).sum())
            if product > 0 and (under * product) ** 2 >= over**2 * squares:
                return True
    return False


@settings(max_examples=20)
@given(st.integers(0, 2**32), st.sampled_from([1, 3, 7]), st.integers(0, 10), st.booleans())
def test_what_is_computed_fast_is_exact(seed: int, most: int, mixed: int, flipped: bool) -> None:
    chance = np.random.default_rng(seed)
    mine, other = chance.integers(-most, most + 1, (2, CELLS, CELLS))
    theirs = np.where(chance.random((CELLS, CELLS)) * 10 < mixed, mine, other)
    theirs = theirs[:, ::-1] if flipped else theirs
    a, b = (descriptor(grid)[None].view(np.int8) for grid in (mine, theirs))
    assert near(a, b).tolist() == near(b, a).tolist() == [exactly_near(mine, theirs)]


def test_the_largest_bends_there_are_are_compared_exactly() -> None:
    checks = 14 * (np.indices((CELLS, CELLS)).sum(axis=0) % 2) - 7
    for grid in (checks, np.full((CELLS, CELLS), 7), np.full((CELLS, CELLS), -7)):
        for other in (checks, np.full((CELLS, CELLS), 7)):
            a, b = (descriptor(each)[None].view(np.int8) for each in (grid, other))
            assert near(a, b).tolist() == [exactly_near(grid, other)]


# ----------------------------------------------------------------- where it is kept


def test_a_verdict_has_the_descriptor_of_what_is_seen_on_white() -> None:
    clear = drawing(2).convert("RGBA")
    clear.putalpha(drawing(3).convert("L"))
    info = examine("LA_IMG_1", saved(clear, "PNG"))
    assert info.descriptor == describe(on_white(clear))
    assert info.descriptor != describe(clear.convert("RGB"))


def test_a_child_gives_the_same_verdict() -> None:
    data = saved(drawing(4), "JPEG")
    decoder = Decoder()
    info = decoder.examine("LA_IMG_1", data)
    decoder.close()
    assert info == examine("LA_IMG_1", data)
    assert info.descriptor == describe(decode(data))


def test_a_verdict_without_a_picture_has_none_and_is_spelled_all_the_same() -> None:
    info = examine("LA_IMG_1", b"<html>")
    assert info.descriptor == b""
    assert ImageInfo.from_json(info.to_json()) == info


def test_a_frame_has_one(tmp_path: Path) -> None:
    clips.make(tmp_path / "constant.mp4")
    task = VideoTask(str(tmp_path / "constant.mp4"), (Uniform(2),), str(tmp_path / "frames"))
    decoder = Decoder()
    info = decoder.sample(task)
    decoder.close()
    assert VideoInfo.from_json(info.to_json()) == info
    for frame in info.frames:
        assert isinstance(frame, FrameInfo)
        shown = Image.open(frame_path(tmp_path / "frames", frame.sha256)).convert("RGB")
        assert frame.descriptor == describe(shown)


@pytest.mark.parametrize("length", [0, DESCRIPTOR_BYTES - 1, DESCRIPTOR_BYTES + 1])
def test_a_row_takes_none_of_another_length(length: int) -> None:
    row: dict[str, Any] = {
        "image_id": "LA_IMG_1",
        "image": {"bytes": b"", "path": "a.jpg"},
        "sha256": "0" * 64,
        "phash": "0" * 16,
        "width": 1,
        "height": 1,
        "format": "PNG",
        "source_ref": {"path": "a.jpg", "sha256": "0" * 64},
        "licence": "",
    }
    assert ImageRow(**row).descriptor is None
    assert ImageRow(**row, descriptor=bytes(DESCRIPTOR_BYTES)).descriptor
    with pytest.raises(ValueError, match="descriptor"):
        ImageRow(**row, descriptor=bytes(length))
