"""Tables with pictures inside: Hugging Face's and Parquet, row by row."""

import hashlib
import io
import random
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mimicit.annotations import Caption, Dialogue
from mimicit.config import BuildConfig, SourceConfig
from mimicit.errors import SourceError, UsageError
from mimicit.generators import open_source
from mimicit.pipeline import build
from mimicit.schema import Rejection, Scene
from mimicit.validate import find_problems


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep pictures where nobody else does."""
    monkeypatch.setenv("MIMICIT_MEDIA", str(tmp_path / "cache"))
    return tmp_path / "cache" / "pictures"


def picture(seed: int) -> bytes:
    file = io.BytesIO()
    noise = random.Random(seed).randbytes(12 * 9 * 3)
    Image.frombytes("RGB", (12, 9), noise).resize((96, 72)).save(file, "PNG")
    return file.getvalue()


def sha(seed: int) -> str:
    return hashlib.sha256(picture(seed)).hexdigest()


def row(seed: int, **more: Any) -> dict[str, Any]:
    return {"image": {"bytes": picture(seed), "path": f"{seed}.png"}, **more}


def parquet(folder: Path, *rows: dict[str, Any], name: str = "t.parquet") -> Path:
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows)), folder / name)
    return folder / name


def read(dataset: Path, **options: str) -> tuple[list[Scene], list[Rejection]]:
    items = list(open_source("jsonl", {"dataset": str(dataset), **options}).scenes())
    scenes = [item for item in items if isinstance(item, Scene)]
    return scenes, [item for item in items if isinstance(item, Rejection)]


def test_a_row_is_a_scene_and_its_picture_a_file_by_its_digest(tmp_path: Path, cache: Path) -> None:
    path = parquet(tmp_path, row(1, text="A cat."), row(2, text="A dog."))
    scenes, rejected = read(path, text_column="text")
    assert {s.annotations for s in scenes} == {(Caption("A cat."),), (Caption("A dog."),)}
    assert {s.images[0].id for s in scenes} == {f"MM_IMG_{sha(1)}", f"MM_IMG_{sha(2)}"}
    assert not rejected
    for scene in scenes:
        file = cache / scene.images[0].name
        assert hashlib.sha256(file.read_bytes()).hexdigest() == file.name
    assert sum(file.is_file() for file in cache.rglob("*")) == 2


def test_what_save_to_disk_wrote_is_read_without_the_rest_of_the_library(tmp_path: Path) -> None:
    for seed in (1, 2):
        (tmp_path / f"{seed}.png").write_bytes(picture(seed))
    rows = {"image": [str(tmp_path / f"{seed}.png") for seed in (1, 2)], "label": ["a", "b"]}
    table = datasets.Dataset.from_dict(rows).cast_column("image", datasets.Image())
    table.save_to_disk(tmp_path / "saved")
    (tmp_path / "saved" / "cache-123.arrow").write_bytes(b"somebody's")
    scenes, rejected = read(tmp_path / "saved", text_column="label")
    assert {s.images[0].id.removeprefix("MM_IMG_") for s in scenes} == {sha(1), sha(2)}
    assert not rejected


def test_of_several_splits_one_is_named(tmp_path: Path) -> None:
    parts = {name: datasets.Dataset.from_dict({"image": ["a"]}) for name in ("train", "test")}
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "both")
    with pytest.raises(UsageError, match=r"dataset=.*both/test\n.*dataset=.*both/train"):
        read(tmp_path / "both")


def test_a_directory_of_parquet_is_one_table(tmp_path: Path) -> None:
    (tmp_path / "all").mkdir()
    for seed in range(3):
        parquet(tmp_path / "all" / "data", row(seed), name=f"{seed}.parquet") if seed else parquet(
            tmp_path / "all", row(seed)
        )
    assert len(read(tmp_path / "all")[0]) == 3


def test_ids_are_the_rows_own_or_made_of_what_they_say(tmp_path: Path) -> None:
    rows = [row(n, text=f"Cat {n}.", key=n) for n in range(5)]
    named, _ = read(parquet(tmp_path, *rows), text_column="text", id_column="key")
    assert [scene.id for scene in named] == ["0", "1", "2", "3", "4"]
    made, _ = read(parquet(tmp_path, *rows), text_column="text")
    turned, _ = read(parquet(tmp_path, *rows[::-1], row(9, text="A", key=9)), text_column="text")
    assert [s for s in turned if s.annotations != (Caption("A"),)] == made


def test_one_picture_in_several_rows_is_one_picture_and_one_group(tmp_path: Path) -> None:
    path = parquet(tmp_path, row(1, q="Who?", a="A cat."), row(1, q="Where?", a="Here."))
    scenes, rejected = read(path, question_column="q", answer_column="a")
    assert {s.annotations for s in scenes} == {
        (Dialogue((("Who?", "A cat."),)),),
        (Dialogue((("Where?", "Here."),)),),
    }
    assert len({s.images[0].id for s in scenes}) == len({s.groups for s in scenes}) == 1
    assert not rejected


def test_lists_of_text_are_several_captions_and_turns(tmp_path: Path) -> None:
    texts = ["A cat.", "", "a cat", None]
    line = row(1, t=texts, q=["Who?", "What?"], a=["A cat.", ""])
    path = parquet(tmp_path, line)
    (scene,), rejected = read(path, text_column="t", question_column="q", answer_column="a")
    assert scene.annotations == (Caption("A cat."), Dialogue((("Who?", "A cat."),)))
    assert [(r.reason, r.record) for r in rejected] == [
        ("empty-caption", "t.parquet row 1, text 2"),
        ("duplicate-caption", "t.parquet row 1, text 3"),
        ("empty-caption", "t.parquet row 1, text 4"),
        ("empty-turn", "t.parquet row 1, turn 2"),
    ]


def test_rows_that_cannot_be_used_are_told_by_their_numbers(tmp_path: Path) -> None:
    bare = {"image": {"bytes": None, "path": "/home/me/secret/9.png"}, "q": [], "a": []}
    empty = {"image": {"bytes": b"", "path": None}, "q": [], "a": []}
    rows = [bare, row(1, q=[], a=[]), empty, {"image": None, "q": [], "a": []}]
    rows += [row(2, q=["Who?"], a=[]), row(1, q=[], a=[])] + [row(3, q=[], a=[])] * 40
    scenes, rejected = read(parquet(tmp_path, *rows), question_column="q", answer_column="a")
    assert len(scenes) == 2
    told = [(r.reason, r.record.removeprefix("t.parquet row ")) for r in rejected]
    assert told[:4] == [(r, n) for r, n in zip(["no-picture"] * 3, "134", strict=True)] + [
        ("uneven-lists", "5")
    ]
    assert [reason for reason, _ in told[4:]] == ["duplicate-record"] * 40
    assert "9.png" in rejected[0].detail
    assert "/home" not in rejected[0].detail


def test_two_rows_of_one_id_are_told(tmp_path: Path) -> None:
    path = parquet(tmp_path, row(1, key="a"), row(2, key="a"), row(3, key=None))
    scenes, rejected = read(path, id_column="key")
    assert len(scenes) == 1
    assert [r.reason for r in rejected] == ["no-image-id", "duplicate-scene"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"image_column": "picture"}, r"no column 'picture'.*image \(pictures\), n \(numbers\)"),
        ({"image_column": "n"}, "holds numbers"),
        ({"text_column": "n"}, "cannot be the text_column"),
        ({"question_column": "text"}, "answer_column"),
        ({"root": "/"}, "leave out root"),
    ],
)
def test_columns_that_do_not_fit_are_told(
    tmp_path: Path, options: dict[str, str], said: str
) -> None:
    path = parquet(tmp_path, row(1, n=1, text="A cat."))
    with pytest.raises(UsageError, match=said):
        read(path, **options)


def test_other_ways_to_store_the_same_are_read(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    images = pa.array([picture(1)], pa.large_binary())
    words = pa.array(["A cat."]).dictionary_encode()
    pq.write_table(pa.table({"jpg": images, "text": words}), path)
    ((scene,), _) = read(path, image_column="jpg", text_column="text")
    assert scene.annotations == (Caption("A cat."),)
    table = pa.Table.from_pylist([row(1), row(2)])
    with (
        pa.OSFile(str(tmp_path / "t.arrow"), "wb") as sink,
        pa.ipc.new_file(sink, table.schema) as writer,
    ):
        writer.write_table(table)
    assert len(read(tmp_path / "t.arrow")[0]) == 2


@pytest.mark.parametrize("content", [b"", b"PAR1", b"<html>" * 99, b"\xff\xff\xff\xff\x10\0\0\0"])
@pytest.mark.parametrize("name", ["t.parquet", "t.arrow"])
def test_a_file_that_is_no_table_is_told(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=name):
        read(tmp_path / name)


def test_where_there_is_no_table_it_is_told(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(SourceError, match="dataset"):
            read(path)
    (tmp_path / "state.json").write_text('{"_data_files": [{"filename": "../x.arrow"}]}')
    with pytest.raises(SourceError, match="not there"):
        read(tmp_path)


def test_a_picture_that_was_cut_off_in_the_cache_is_written_again(
    tmp_path: Path, cache: Path
) -> None:
    path = parquet(tmp_path, row(1))
    ((scene,), _) = read(path)
    file = cache / scene.images[0].name
    file.write_bytes(b"half")
    read(path)
    assert file.read_bytes() == picture(1)


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path, cache: Path) -> None:
    cache.parent.mkdir()
    cache.write_bytes(b"a file")
    with pytest.raises(SourceError, match="MIMICIT_MEDIA"):
        read(parquet(tmp_path, row(1)))


def test_a_table_builds_into_a_valid_dataset(tmp_path: Path) -> None:
    rows = [row(n, text=f"A pattern of {n} colours.") for n in range(2, 5)]
    rows.append({"image": {"bytes": b"no picture", "path": None}, "text": "Nothing."})
    path = parquet(tmp_path, *rows)
    options = {"dataset": str(path), "text_column": "text", "licence": "CC0-1.0"}
    config = BuildConfig(sources=[SourceConfig(name="jsonl", options=options)])
    summary = build(config, tmp_path / "out")
    assert summary.instructions == 3
    assert dict(summary.rejected) == {("media", "not-an-image"): 1}
    assert find_problems(tmp_path / "out") == []
