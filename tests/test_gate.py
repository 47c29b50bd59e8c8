"""The release gate: what is planted into a divided dataset of many shards is found, and named.

Each defect of a row is planted twice: raw, as damage or a careless hand would leave it, and sealed,
manifest, card and index being made to agree with it, so that only the row itself can tell.
"""

import io
import math
import re
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from conftest import Coco
from PIL import Image

from mimicit import store_index, writer
from mimicit.config import BuildConfig, SourceConfig
from mimicit.errors import Problem
from mimicit.gate.pictures import STATED, Decode
from mimicit.image_store import entries_of_shard, ids_check
from mimicit.images import examine
from mimicit.pipeline import build
from mimicit.schema import SPLITS
from mimicit.shards import Shards
from mimicit.tables import TABLES, arrow_schema
from mimicit.validate import find_problems

PLACES = ("on the grass", "in a room", "on a road", "by the sea", "under a tree")
THINGS = ("dog", "cat", "zebra", "person", "airplane", "bed")
INDEX = "images/_index.bin"

Row = dict[str, Any]
Expected = tuple[str, int | None, str, str]
"""File, row, id, and words of a problem."""


def draw(path: Path, seed: int, size: tuple[int, int] = (96, 72)) -> Image.Image:
    """Draw a picture that looks like none of another seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    picture = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
    picture.save(path, quality=90)
    return picture


def unlike_source(root: Path, count: int = 30, missing: int = 9) -> Coco:
    """Make a source of pictures that do not look alike, and of some that are not there."""
    coco = Coco(root)
    for number in range(1, count + missing + 1):
        coco.picture(number, size=(96, 72))
        path = root / "tiny" / f"{number}.jpg"
        if number > count:
            path.unlink()
        else:
            draw(path, number)
        thing, other = THINGS[number % 6], THINGS[(number * 5 + 1) % 6]
        coco.caption(number, f"A {thing} beside a {other} {PLACES[number % 5]}.")
        coco.caption(number, f"There is a {thing} {PLACES[number % 5]}, seen from afar.")
        coco.box(number, (18, 17, 24, 1, 5, 65)[number % 6], 5, 5, 40, 40)
    coco.write()
    return coco


@dataclass
class Copy:
    """A dataset to plant defects into."""

    root: Path

    def files(self, table: str, split: str = "train") -> list[str]:
        found = sorted((self.root / table).glob(f"{split}-*.parquet"))
        return [path.relative_to(self.root).as_posix() for path in found]

    def rows(self, name: str) -> list[Row]:
        with pq.ParquetFile(self.root / name) as file:
            return [dict(row) for row in file.read().to_pylist()]

    def write(self, name: str, rows: Sequence[Row], *, loose: bool = False) -> None:
        """Write a shard; loosely: nulls may be anywhere, as other programs write."""
        table = name.partition("/")[0]
        schema = arrow_schema(table)
        if loose:
            schema = pa.schema([field.with_nullable(True) for field in schema])
        pictures = {"compression": "none", "use_dictionary": False, "write_statistics": False}
        options: dict[str, Any] = pictures if table == "images" else {}
        pq.write_table(pa.Table.from_pylist(list(rows), schema), self.root / name, **options)

    def edit(self, name: str, row: int, *, loose: bool = False, **values: Any) -> Row:
        """Change a row; give what it was."""
        rows = self.rows(name)
        before = dict(rows[row])
        rows[row].update(values)
        self.write(name, rows, loose=loose)
        return before

    def find(self, table: str, **values: object) -> tuple[str, int, Row]:
        """Find a row: file, number, row."""
        return next(
            (name, number, row)
            for split in SPLITS
            for name in self.files(table, split)
            for number, row in enumerate(self.rows(name))
            if all(row[key] == value for key, value in values.items())
        )

    def strays(self, group: str) -> Expected:
        """Say how a group in two splits is found: by its first row in the second of them."""
        mine = [place for place in self.all("instructions") if place[2]["group"] == group]
        name, number, row = next(p for p in mine if p[2]["split"] != mine[0][2]["split"])
        split = mine[0][2]["split"]
        return (
            name,
            number,
            row["id"],
            f"the group {group!r} of 'coco' is in the split {split!r} too",
        )

    def all(self, table: str) -> Iterator[tuple[str, int, Row]]:
        for split in SPLITS:
            for name in self.files(table, split):
                for number, row in enumerate(self.rows(name)):
                    yield name, number, row

    def query(self) -> tuple[str, int, Row]:
        """Find an instruction of a later train shard that has contexts and is none."""
        used = {name for _, _, row in self.all("instructions") for name in row["rel_ins_ids"]}
        return next(
            (name, number, row)
            for name, number, row in self.all("instructions")
            if "/train-" in name and "/train-00000" not in name and number and row["id"] not in used
        )

    def link(self, contexts: Callable[[Row], list[str]]) -> tuple[str, int, str]:
        """Change the contexts of an instruction, and its links with them; give its place."""
        name, number, row = self.query()
        ids = contexts(row)
        self.edit(name, number, rel_ins_ids=ids)
        links, place, _ = self.find("links", query_id=row["id"])
        self.edit(
            links, place, context_ids=ids, scores=[0.5] * len(ids), strategies=["random"] * len(ids)
        )
        return name, number, row["id"]

    def seal(self, *, index: bool = True) -> None:
        """Make index, card and manifest agree with the files as they are."""
        if index:
            self.reindex()
        counts: dict[tuple[str, str], int] = {}
        entries = []
        for path in sorted(self.root.rglob("*")):
            name = path.relative_to(self.root).as_posix()
            if path.is_symlink() or not path.is_file() or name in {"manifest.json", "README.md"}:
                continue
            rows = None
            if name.endswith(".parquet"):
                rows = pq.ParquetFile(path).metadata.num_rows
                place = (name.partition("/")[0], path.name.partition("-")[0])
                counts[place] = counts.get(place, 0) + rows
            entries.append(writer.describe(path, name, rows))
        card = self.root / "README.md"
        if card.is_file():
            card.write_text(recounted(card.read_text(), counts))
            entries.append(writer.describe(card, "README.md"))
        writer.write_manifest(self.root, entries, {})

    def reindex(self) -> None:
        folder = self.root / "images"
        shards = Shards(folder, [".parquet"])
        pictures = [[row["image"]["bytes"] for row in self.rows(n)] for n in self.files("images")]
        entries = [
            entries_of_shard(shards, number, map(store_index.check_of, each))
            for number, each in enumerate(pictures)
        ]
        ids = [ids_check(shards, number) for number in range(len(pictures))]
        spelt = store_index.spell(shards.files, np.concatenate(entries), ids)
        (folder / store_index.NAME).write_bytes(b"".join(spelt))


def recounted(card: str, counts: dict[tuple[str, str], int]) -> str:
    """Give a card that counts these rows."""
    _, front, body = card.split("---\n", 2)
    content = yaml.safe_load(front)
    for entry in content["dataset_info"]:
        for split in entry["splits"]:
            split["num_examples"] = counts.get((entry["config_name"], split["name"]), 0)
    return f"---\n{yaml.safe_dump(content, sort_keys=False)}---\n{body}"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, media_cache: Path) -> Path:
    """A divided dataset of several shards a table, built once; tests must not change it."""
    folder = tmp_path_factory.mktemp("gate")
    source = SourceConfig(name="coco", options={"root": str(unlike_source(folder / "in").root)})
    shares = {"train": 0.6, "validation": 0.2, "test": 0.2}
    config = BuildConfig(sources=[source], split=shares, link="random seed=1", shots=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "SHARD_BYTES", 1)
        patch.setattr(writer, "GROUP_BYTES", 20_000)
        build(config, folder / "out", media_cache=media_cache)
    copy = Copy(folder / "out")
    for table in ("instructions", "links", "rejected"):  # their shards are larger than all of it
        for split in SPLITS:
            for name in copy.files(table, split):
                divide(copy, name, parts=3)
    copy.seal(index=False)
    return copy.root


def divide(copy: Copy, name: str, parts: int) -> None:
    rows = copy.rows(name)
    stem = name.removesuffix("00000-of-00001.parquet")
    (copy.root / name).unlink()
    for part in range(parts):
        share = rows[len(rows) * part // parts : len(rows) * (part + 1) // parts]
        copy.write(f"{stem}{part:05d}-of-{parts:05d}.parquet", share)


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Copy:
    """A copy of it, to be broken."""
    return Copy(Path(shutil.copytree(whole, tmp_path / "copy")))


def unexpected(problems: Collection[Problem], expected: Collection[Expected]) -> list[str]:
    """List what is expected and not there, and what is there and not expected."""
    left = list(problems)
    wrong = []
    for file, row, name, words in expected:
        found = [p for p in left if (p.file, p.row, p.id) == (file, row, name) and words in p.text]
        if found:
            left.remove(found[0])
        else:
            wrong.append(f"not found: {file} {row} {name} {words}")
    return wrong + [f"not expected: {problem}" for problem in left]


AGREEMENT = re.compile(
    "has sha256|manifest.json says|counts [0-9]+ rows|is stale|cannot be used|another check sum"
)
"""What else is said where files are no longer as they are listed."""


@pytest.mark.parametrize("decode", ["all", "sample", "none"])
def test_what_was_built_has_no_problem(whole: Path, decode: Decode) -> None:
    assert find_problems(whole, decode=decode) == []
    assert len(Copy(whole).files("images")) > 2
    assert all(Copy(whole).files("instructions", split) for split in SPLITS)


# ------------------------------------------------------------------ defects of rows

Plant = Callable[[Copy], list[Expected]]
"""Breaks a dataset, and gives what is to be found."""


def dangling_image_id(copy: Copy) -> list[Expected]:
    name = copy.files("instructions")[2]
    row = copy.edit(name, 3, image_ids=["LA_IMG_77"])
    return [(name, 3, row["id"], "image id 'LA_IMG_77' is not in the images table")]


def dangling_context_id(copy: Copy) -> list[Expected]:
    place = copy.link(lambda row: ["LA_INS_77_00", *row["rel_ins_ids"][1:]])
    return [(*place, "context id 'LA_INS_77_00' is not in the instructions table")]


def link_to_itself(copy: Copy) -> list[Expected]:
    return [(*copy.link(lambda row: [row["id"], *row["rel_ins_ids"][1:]]), "is its own context")]


def context_twice(copy: Copy) -> list[Expected]:
    place = copy.link(lambda row: row["rel_ins_ids"][:1] * 2)
    return [(*place, "a context id stands twice")]


def context_of_test(copy: Copy) -> list[Expected]:
    other = copy.rows(copy.files("instructions", "test")[1])[0]["id"]
    place = copy.link(lambda row: [*row["rel_ins_ids"][1:], other])
    return [(*place, f"context id {other!r} is not of the train split")]


def split_that_is_not_its_files(copy: Copy) -> list[Expected]:
    name, number, row = copy.query()
    copy.edit(name, number, split="test")
    file, place, picture = copy.find("images", image_id=row["image_ids"][0])
    return [
        (name, number, row["id"], "is of the split 'test', and its file is not"),
        copy.strays(row["group"]),
        (file, place, picture["image_id"], "is in the train split, and in validation or test"),
    ]


def group_in_two_splits(copy: Copy) -> list[Expected]:
    group = copy.query()[2]["group"]
    name = copy.files("instructions", "validation")[1]
    copy.edit(name, 2, group=group)
    rows = copy.rows(name)
    return [copy.strays(group)] + [
        (name, place, rows[place]["id"], "group is another than that of the row before")
        for place in (2, 3)
        if rows[place]["scene_id"] == rows[place - 1]["scene_id"]
    ]


def picture_in_two_splits(copy: Copy) -> list[Expected]:
    (picture,) = copy.query()[2]["image_ids"]
    name = copy.files("instructions", "validation")[2]
    copy.edit(name, 0, image_ids=[*copy.rows(name)[0]["image_ids"], picture])
    file, place, _ = copy.find("images", image_id=picture)
    return [(file, place, picture, "is in the train split, and in validation or test")]


def picture_that_nearly_equals_one_of_test(copy: Copy) -> list[Expected]:
    held = copy.rows(copy.files("instructions", "test")[0])[0]["image_ids"][0]
    seen = io.BytesIO()
    picture = copy.find("images", image_id=held)[2]["image"]["bytes"]
    Image.open(io.BytesIO(picture)).save(seen, "JPEG", quality=40)
    name, place, row = copy.find("images", image_id=copy.query()[2]["image_ids"][0])
    info = examine("", seen.getvalue())
    image = {"bytes": seen.getvalue(), "path": "x.jpg"}
    copy.edit(name, place, image=image, **{field: getattr(info, field) for field in STATED})
    return [(name, place, row["image_id"], f"looks like {held!r} of validation or test")]


def misfit(column: str, value: Any, words: str) -> Plant:
    def plant(copy: Copy) -> list[Expected]:
        name, number, row = copy.query()
        copy.edit(name, number, **{column: value})
        return [(name, number, row["id"], f"{column}: {words}")]

    return plant


def wrong_link(words: str, change: Callable[[Row], Row]) -> Plant:
    def plant(copy: Copy) -> list[Expected]:
        name, number, row = copy.find("links", query_id=copy.query()[2]["id"])
        copy.edit(name, number, **change(row))
        return [(name, number, row["query_id"], words)]

    return plant


def no_number_as_score(copy: Copy) -> list[Expected]:
    file, number, query = copy.query()
    name, place, row = copy.find("links", query_id=query["id"])
    copy.edit(name, place, scores=[0.5, math.nan, 0.5][: len(row["scores"])])
    return [
        (name, place, query["id"], "scores.1: Input should be a finite number"),
        (file, number, query["id"], "has rel_ins_ids, but no row of its own in the links table"),
    ]


def links_of_an_unknown_query(copy: Copy) -> list[Expected]:
    name, number, query = copy.query()
    file, row, _ = copy.find("links", query_id=query["id"])
    copy.edit(file, row, query_id="LA_INS_77_00")
    return [
        (file, row, "LA_INS_77_00", "query_id is not in the instructions table"),
        (name, number, query["id"], "has rel_ins_ids, but no row of its own in the links table"),
    ]


def instruction_dropped(copy: Copy) -> list[Expected]:
    name, _, query = copy.query()
    copy.write(name, [row for row in copy.rows(name) if row["id"] != query["id"]])
    file, row, _ = copy.find("links", query_id=query["id"])
    return [(file, row, query["id"], "query_id is not in the instructions table")]


def picture_dropped(copy: Copy) -> list[Expected]:
    name = copy.files("images")[1]
    rows = copy.rows(name)
    picture = rows.pop(2)["image_id"]
    copy.write(name, rows)
    return [
        (file, number, row["id"], f"image id {picture!r} is not in the images table")
        for file, number, row in copy.all("instructions")
        if picture in row["image_ids"]
    ]


def links_row_dropped(copy: Copy) -> list[Expected]:
    name, number, query = copy.query()
    file, row, _ = copy.find("links", query_id=query["id"])
    rows = copy.rows(file)
    del rows[row]
    copy.write(file, rows)
    return [(name, number, query["id"], "has rel_ins_ids, but no row of its own")]


def doubled(table: str) -> Plant:
    def plant(copy: Copy) -> list[Expected]:
        name = copy.files(table)[1]
        rows = copy.rows(name)
        copy.write(name, [*rows, rows[1]])
        key = next(iter(TABLES[table].model_fields))
        return [(name, len(rows), rows[1][key], "has more than one row")]

    return plant


def no_text_at_all(table: str, key: str, column: str) -> Plant:
    """Plant bytes that are no UTF-8."""

    def plant(copy: Copy) -> list[Expected]:
        name = copy.files(table)[-1]
        rows = copy.rows(name)
        values = [row[column].encode() for row in rows]
        values[1] = b"caf\xe9"
        copy.write(name, rows)
        whole = pq.read_table(copy.root / name)
        place = whole.schema.get_field_index(column)
        made = pa.array(values, pa.binary()).view(pa.string())
        whole = whole.set_column(place, whole.schema.field(place), made)
        pq.write_table(whole, copy.root / name)
        return [(name, 1, rows[1][key], "is not valid UTF-8")]

    return plant


def null(table: str, column: str, words: str) -> Plant:
    def plant(copy: Copy) -> list[Expected]:
        name = copy.files(table)[-1]
        key = next(iter(TABLES[table].model_fields))
        row = copy.edit(name, 1, loose=True, **{column: None})
        return [(name, 1, "" if column == key else row[key], f"{column}: {words}")]

    return plant


def nulls_for_ids(copy: Copy) -> list[Expected]:
    """Two of them are not two rows of one id."""
    name, number, query = copy.query()
    rows = copy.rows(name)
    lost = [rows[number], {**query, "id": None, "rel_ins_ids": []}]
    copy.write(name, [*rows, *lost, *lost[1:]], loose=True)
    words = "id: Input should be a valid string"
    doubled = (name, len(rows), query["id"], "has more than one row")
    return [doubled, *((name, len(rows) + 1 + n, "", words) for n in range(2))]


PLANTS: dict[str, Plant] = {
    plant.__name__: plant
    for plant in (
        dangling_image_id,
        dangling_context_id,
        link_to_itself,
        context_twice,
        context_of_test,
        split_that_is_not_its_files,
        group_in_two_splits,
        picture_in_two_splits,
        picture_that_nearly_equals_one_of_test,
        links_of_an_unknown_query,
        instruction_dropped,
        picture_dropped,
        links_row_dropped,
        nulls_for_ids,
    )
} | {
    "special token": misfit("answer", "A dog <image>.", "special-token"),
    "control character": misfit("instruction", "What\x07?", "control-character"),
    "refusal": misfit("answer", "I'm sorry, but I cannot help with that.", "refusal"),
    "annotation leak": misfit("answer", "As the caption says, a dog.", "annotation-leak"),
    "no word": misfit("answer", " \u3000?!", "empty"),
    "empty text": misfit("answer", "", "String should have at least 1 character"),
    "no language": misfit("language", "English", "String should match pattern"),
    "unknown split": misfit("split", "dev", "Input should be 'train', 'validation' or 'test'"),
    "no picture": misfit("image_ids", [], "List should have at least 1 item"),
    "other links": wrong_link(
        "context_ids are not the rel_ins_ids", lambda row: {"context_ids": row["context_ids"][::-1]}
    ),
    "no number as score": no_number_as_score,
    "fewer scores": wrong_link("contexts and scores differ", lambda row: {"scores": [0.5]}),
    "more strategies": wrong_link(
        "contexts and strategies differ", lambda row: {"strategies": ["random"] * 9}
    ),
    "instruction doubled": doubled("instructions"),
    "picture doubled": doubled("images"),
    "links row doubled": doubled("links"),
    "bytes for an answer": no_text_at_all("instructions", "id", "answer"),
    "bytes for a reason": no_text_at_all("rejected", "scene_id", "reason"),
    "null for an answer": null("instructions", "answer", "Input should be a valid string"),
    "null for contexts": null("instructions", "rel_ins_ids", "Input should be a valid list"),
    "null for a name": null("rejected", "scene_id", "Input should be a valid string"),
}


RAW = pytest.param(False, id="raw", marks=pytest.mark.slow)


@pytest.mark.parametrize("sealed", [RAW, pytest.param(True, id="sealed")])
@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_defect_is_found_in_its_row_and_nothing_else(
    copy: Copy, name: str, sealed: bool
) -> None:
    expected = PLANTS[name](copy)
    if sealed:
        copy.seal()
    problems = find_problems(copy.root, decode="none")
    assert any("has sha256" in problem.text for problem in problems) != sealed
    assert unexpected([p for p in problems if not AGREEMENT.search(p.text)], expected) == []
    assert not sealed or len(problems) == len(expected)
