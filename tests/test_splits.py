"""Splits: who is held out, that it stays so, and that nothing like it is trained on."""

import json
import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import SHARED, Asking, Builder, Coco, contents, needs_shared
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance
from test_gate import unlike_source
from typer.testing import CliRunner

import mimicit
from mimicit.cli import app
from mimicit.config import make_config
from mimicit.errors import UsageError
from mimicit.pixels import perceptual_hash
from mimicit.splits import NEAR_BITS, Splits, check_shares, lookalikes, parse_shares
from mimicit.validate import find_problems

SHARES = {"train": 0.6, "validation": 0.2, "test": 0.2}

KNOWN = "errrrreerrrrrereaaearrrarrraararrrrrrarr"
"""Splits of the groups 0, 1, 2, … by their second letters: published datasets rely on them."""

# -------------------------------------------------------------------- who is where

small = st.floats(0.0, 0.4)


@given(st.lists(st.text(), max_size=30), small, small, small)
def test_a_group_that_is_held_out_stays_so_when_shares_grow(
    groups: list[str], test: float, validation: float, more: float
) -> None:
    before = Splits({"train": 1 - test - validation, "validation": validation, "test": test})
    grown = validation + min(more, 0.9 - test - validation)
    after = Splits({"train": 1 - test - grown, "validation": grown, "test": test})
    for group in groups:
        was, now = before.of("coco", group), after.of("coco", group)
        assert now == was or (was, now) == ("train", "validation")


def test_the_shares_come_out_right_over_many_groups() -> None:
    splits = Splits({"train": 0.9, "validation": 0.07, "test": 0.03})
    counts = Counter(splits.of("coco", str(number)) for number in range(40_000))
    assert counts["validation"] == pytest.approx(2800, rel=0.08)
    assert counts["test"] == pytest.approx(1200, rel=0.12)


def test_these_groups_are_where_they_always_were() -> None:
    splits = Splits(SHARES)
    assert "".join(splits.of("coco", str(n))[1] for n in range(40)) == KNOWN


def test_the_source_is_part_of_what_decides() -> None:
    splits = Splits(SHARES)
    pairs = [(splits.of("coco", str(n)), splits.of("vist", str(n))) for n in range(300)]
    assert any(one != other for one, other in pairs)
    assert splits.of("a", "b\0c") == splits.of("a", "b\0c")


def test_without_shares_all_is_train() -> None:
    assert not Splits({}).divides
    assert not Splits({"train": 1.0}).divides
    assert {Splits({}).of("coco", str(n)) for n in range(99)} == {"train"}
    assert Splits(SHARES).of("coco", "\ud800") in SHARES, "a name that is no text"


# ------------------------------------------------------------------ what is written

WRONG = [
    ("train", "splits are written train=0.98,val=0.01,test=0.01"),
    ("", "splits are written"),
    ("train=0.5,train=0.5", "splits are written"),
    ("val=0.5,validation=0.5", "splits are written"),
    ("train=x,val=0.1", "could not convert string to float"),
    ("train=0.9,holdout=0.1", "'holdout' is no split; there are: train, validation, test"),
    ("train=0.9,val=0.2", "add up to 1.1, not to 1"),
    ("train=1,val=0", "above 0 and at most 1"),
    ("train=1.5,val=-0.5", "above 0 and at most 1"),
    ("train=nan", "above 0 and at most 1"),
    ("val=0.5,test=0.5", "there is no share for train"),
]


@pytest.mark.parametrize(("text", "words"), WRONG)
def test_wrong_shares_are_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words.replace("?", ".")):
        check_shares(parse_shares(text))
    with pytest.raises(UsageError, match="split"):
        make_config({"sources": [{"name": "coco"}], "split": text})
    done = CliRunner().invoke(app, ["build", "--source", "coco", "--sample", "--split", text])
    assert isinstance(done.exception, UsageError)
    assert words in str(done.exception)


@pytest.mark.parametrize("value", [3, ["train"], {"train": "x"}, {"train": 0.5}, {1: 1.0}, True])
def test_a_file_with_other_values_for_splits_is_refused(value: object) -> None:
    with pytest.raises(UsageError, match="split"):
        make_config({"sources": [{"name": "coco"}], "split": value})


def test_shares_are_read_whatever_their_order_and_spaces() -> None:
    read = check_shares(parse_shares(" test=0.1 , Dev = 0.1,train=0.8"))
    assert list(read.items()) == [("train", 0.8), ("validation", 0.1), ("test", 0.1)]


# --------------------------------------------------------------------------- builds


@pytest.fixture(scope="module")
def unlike(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source of pictures that do not look alike."""
    return unlike_source(tmp_path_factory.mktemp("splits"), count=24, missing=0).root


def rows_of(out: Path, table: str = "instructions") -> list[dict[str, object]]:
    found = []
    for path in sorted((out / table).glob("*.parquet")):
        rows = pq.ParquetFile(path).read().to_pylist()
        assert table != "instructions" or {r["split"] for r in rows} == {path.name.split("-")[0]}
        found += rows
    return found


def test_a_divided_build_goes_to_its_files_and_loads(
    unlike: Path, build_coco: Builder, tmp_path: Path
) -> None:
    shares = make_config(
        {"sources": [{"name": "coco"}], "split": "train=0.6,val=0.2,test=0.2"}
    ).split
    summary = build_coco(unlike, split=shares)
    rows = rows_of(summary.out)
    assert summary.splits == Counter(row["split"] for row in rows)
    assert set(summary.splits) == set(SHARES)
    splits = Splits(SHARES)
    assert all(row["split"] == splits.of("coco", str(row["group"])) for row in rows)
    train = {row["id"] for row in rows if row["split"] == "train"}
    for split in SHARES:
        contexts = {c for r in rows if r["split"] == split for c in r["rel_ins_ids"]}  # type: ignore[attr-defined]
        assert contexts
        assert contexts <= train
        assert len(mimicit.load(summary.out, split)) == summary.splits[split]
    cache = str(tmp_path / "cache")
    loaded = datasets.load_dataset(str(summary.out), split="validation", cache_dir=cache)
    assert set(loaded["split"]) == {"validation"}
    assert len(loaded) == summary.splits["validation"]


def test_the_same_division_gives_the_same_bytes_in_any_order(
    unlike: Path, build_coco: Builder, tmp_path: Path
) -> None:
    first = contents(build_coco(unlike, "one", split=SHARES).out)
    assert contents(build_coco(unlike, "two", split=SHARES).out) == first
    shuffled = tmp_path / "shuffled"
    shutil.copytree(unlike, shuffled)
    for path in (shuffled / "annotations").iterdir():
        content = json.loads(path.read_text())
        for name in ("images", "annotations"):
            random.Random(4).shuffle(content[name])
        path.write_text(json.dumps(content))
    out = build_coco(shuffled, "three", split=SHARES).out
    again = contents(out)
    assert again.keys() == first.keys()
    assert [n for n in first if n != "build.yaml" and again[n] != first[n]] in (
        [],
        ["manifest.json"],
    )


def test_more_data_moves_no_group(unlike: Path, build_coco: Builder) -> None:
    few = rows_of(build_coco(unlike, "few", split=SHARES, limit=12).out)
    many = {row["id"]: row["split"] for row in rows_of(build_coco(unlike, "all", split=SHARES).out)}
    assert all(many[row["id"]] == row["split"] for row in few)


def scene(number: int) -> str:
    """Spell a picture's number as the generator does for its scene and its group."""
    return f"{number:012d}"


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "re-encoded": lambda picture: picture,
    "half": lambda picture: picture.resize((picture.width // 2, picture.height // 2)),
    "grey": lambda picture: picture.convert("L").convert("RGB"),
    "brighter": lambda picture: ImageEnhance.Brightness(picture).enhance(1.25),
}


def with_near_copies(root: Path) -> tuple[Coco, list[str]]:
    """Make a source in which changed copies of a picture that is held out would be trained on."""
    coco = unlike_source(root, count=12, missing=0)
    splits = Splits(SHARES)
    held = next(n for n in range(1, 13) if splits.of("coco", scene(n)) != "train")
    fresh = (n for n in range(500, 999) if splits.of("coco", scene(n)) == "train")
    names = []
    for change in CHANGES.values():
        number = next(fresh)
        picture = change(Image.open(root / "tiny" / f"{held}.jpg").convert("RGB"))
        coco.picture(number, size=picture.size).caption(number, "A dog beside a cat on the grass.")
        picture.save(root / "tiny" / f"{number}.jpg", quality=30)
        names.append(scene(number))
    coco.write()
    return coco, names


def test_what_looks_like_a_held_out_picture_is_not_trained_on_nor_paid_for(
    asking: Asking, tmp_path: Path
) -> None:
    coco, copies = with_near_copies(tmp_path / "near")
    calls = asking.calls(coco.root, split=SHARES)
    assert calls == 12
    rejected = [
        row for row in rows_of(asking.folder / "out", "rejected") if row["stage"] == "split"
    ]
    assert {row["scene_id"] for row in rejected} == set(copies)
    assert {row["reason"] for row in rejected} == {"near-held-out"}
    assert all("of validation or test" in str(row["detail"]) for row in rejected)
    assert asking.calls(coco.root, "undivided") == len(copies), "only these were not asked about"


def test_a_licence_that_is_not_allowed_is_not_paid_for(asking: Asking, pets: Coco) -> None:
    pets.extra["licenses"] = [
        {"id": 1, "name": "x", "url": "http://creativecommons.org/licenses/by/2.0/"},
        {"id": 2, "name": "y", "url": "http://creativecommons.org/licenses/by-nc-nd/2.0/"},
    ]
    for entry, licence in zip(pets.images, (1, 2, None), strict=True):
        entry.update({"license": licence} if licence else {})
    root = pets.write()
    assert asking.calls(root, allow_licences=["CC-BY-[0-9]*"]) == 1
    rows = rows_of(asking.folder / "out", "rejected")
    told = {row["scene_id"]: (row["stage"], row["reason"], row["detail"]) for row in rows}
    assert told[scene(2)] == ("media", "licence-not-allowed", "licence 'CC-BY-NC-ND-2.0'")
    assert told[scene(3)] == ("media", "licence-not-allowed", "licence 'unknown'")
    assert {row["licence"] for row in rows_of(asking.folder / "out")} == {"CC-BY-2.0"}
    assert asking.calls(root, "more", allow_licences=["CC-BY-[0-9]*", "unknown"]) == 1
    scenes = {row["scene_id"] for row in rows_of(asking.folder / "more")}
    assert scenes == {scene(1), scene(3)}


def of_split(*splits: str) -> list[str]:
    divided = Splits(SHARES)
    return [scene(n) for n in range(1, 25) if divided.of("coco", scene(n)) in splits]


def test_a_build_without_a_held_out_group_is_all_train(unlike: Path, build_coco: Builder) -> None:
    summary = build_coco(unlike, split=SHARES, only=of_split("train"))
    assert set(summary.splits) == {"train"}


def test_a_build_whose_groups_are_all_held_out_has_no_contexts_and_loads(
    unlike: Path, build_coco: Builder
) -> None:
    summary = build_coco(unlike, split=SHARES, only=of_split("validation", "test"))
    assert set(summary.splits) == {"validation", "test"}
    assert summary.links == 0
    assert find_problems(summary.out) == []
    assert len(mimicit.load(summary.out)) == summary.instructions


# ----------------------------------------------------------------------- look-alikes

hashes = st.lists(st.integers(0, 2**64 - 1), max_size=12)


@given(hashes, hashes, st.lists(st.integers(0, 63), max_size=12))
def test_the_nearest_look_alike_is_found(
    mine: list[int], theirs: list[int], bits: list[int]
) -> None:
    if theirs:  # some that are near
        near = theirs[0]
        for bit in bits:
            near ^= 1 << bit
            mine.append(near)
    expected = []
    for one in mine:
        far = [(one ^ other).bit_count() for other in theirs]
        best = min(far, default=65)
        expected.append(far.index(best) if best <= NEAR_BITS else -1)
    assert lookalikes(mine, theirs).tolist() == expected


def test_look_alikes_are_found_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = np.random.default_rng(3)
    theirs = chance.integers(0, 2**63, 50).tolist()
    mine = [*theirs[::-1], 5]
    expected = [*range(49, -1, -1), -1]
    assert lookalikes(mine, theirs).tolist() == expected
    monkeypatch.setattr("mimicit.splits.BLOCK_BYTES", 1)
    assert lookalikes(mine, theirs).tolist() == expected


def cut(part: float) -> Callable[[Image.Image], Image.Image]:
    def change(picture: Image.Image) -> Image.Image:
        x, y = round(picture.width * part), round(picture.height * part)
        return picture.crop((x, y, picture.width - x, picture.height - y))

    return change


@needs_shared
@pytest.mark.slow
def test_photographs_are_told_apart_as_is_said() -> None:
    import io

    def encoded(picture: Image.Image) -> Image.Image:
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=30)
        return Image.open(io.BytesIO(buffer.getvalue()))

    paths = sorted((SHARED / "coco" / "val2017").glob("*.jpg"))
    pictures = [Image.open(path).convert("RGB") for path in paths]
    own = [int(perceptual_hash(picture), 16) for picture in pictures]
    assert min((a ^ b).bit_count() for n, a in enumerate(own) for b in own[:n]) >= 14
    expected = {
        "half": 1.0,
        "re-encoded": 1.0,
        "grey": 1.0,
        "brighter": 1.0,
        "2 %": 0.98,
        "5 %": 0.38,
    }
    changes = {**CHANGES, "re-encoded": encoded, "2 %": cut(0.02), "5 %": cut(0.05)}
    for name, part in expected.items():
        made = [int(perceptual_hash(changes[name](picture)), 16) for picture in pictures]
        near = [(a ^ b).bit_count() <= NEAR_BITS for a, b in zip(own, made, strict=True)]
        assert sum(near) / len(near) == pytest.approx(part, abs=0.02), name
