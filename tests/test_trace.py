"""Following a row back: what is found, what is said where it is not, and what it costs."""

import itertools
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from conftest import Asking, Builder, Coco
from typer.testing import CliRunner

from mimicit.annotations import Caption
from mimicit.cli_trace import trace as command
from mimicit.config import Endpoint
from mimicit.errors import SourceError, UsageError
from mimicit.journal import Journal
from mimicit.moments import At, Clip
from mimicit.origins import Origins
from mimicit.schema import ImageRef, Scene
from mimicit.sources import Source
from mimicit.testing import FakeTeacher
from mimicit.trace import Trace, find_traces, trace
from mimicit.trace_text import as_text

app = typer.Typer()
app.command()(command)


def printed(*arguments: str | Path) -> str:
    done = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def rows(out: Path, table: str = "instructions") -> list[dict[str, Any]]:
    columns = [
        c for c in pq.read_schema(next((out / table).glob("*.parquet"))).names if c != "image"
    ]
    found: list[dict[str, Any]] = pq.read_table(out / table, columns=columns).to_pylist()
    return found


def traced(out: Path, name: str, journal: Path | None = None) -> Trace:
    found = trace(out, name, journal)
    assert found is not None
    return found


def section(text: str, heading: str) -> str:
    found = re.search(rf"(?ms)^{heading}.*?(?=^\S|\Z)", text)
    assert found, f"no {heading} in:\n{text}"
    return found[0]


# ------------------------------------------------------------- instructions


def test_a_row_is_shown_with_the_place_where_it_stands(sample: Path) -> None:
    for number, row in enumerate(rows(sample)):
        found = traced(sample, row["id"])
        assert found.kind == "instruction"
        assert found.instruction is not None
        assert found.instruction.values == row
        assert found.instruction.file == "instructions/train-00000-of-00001.parquet"
        assert found.instruction.row == number
    text = as_text(found, 200)
    for said in (row["instruction"], row["answer"], row["kind"], row["licence"], f"row {number}"):
        assert said in section(text, "INSTRUCTION")


def test_its_examples_are_shown_in_order_with_score_and_strategy(sample: Path) -> None:
    known = {row["id"]: row for row in rows(sample)}
    for link in rows(sample, "links"):
        context = traced(sample, link["query_id"]).context
        assert [example.id for example in context] == link["context_ids"]
        assert [example.score for example in context] == link["scores"]
        assert [example.strategy for example in context] == link["strategies"]
        for example in context:
            assert example.instruction == known[example.id]["instruction"]
            assert example.answer == known[example.id]["answer"]
    text = section(as_text(traced(sample, link["query_id"]), 200), "SHOWN BEFORE IT")
    places = [text.index(name) for name in link["context_ids"]]
    assert places == sorted(places)
    assert f"score {link['scores'][0]:.4f}, by similar-text" in text


def test_a_row_without_examples_says_so(pets: Coco, build_coco: Builder, tmp_path: Path) -> None:
    build_coco(pets.root, shots=0)
    found = traced(tmp_path / "out", "LA_INS_000000000001_00")
    assert found.context == ()
    assert "nothing" in section(as_text(found), "SHOWN BEFORE IT")


def test_the_scene_is_read_anew(pets: Coco, build_coco: Builder, tmp_path: Path) -> None:
    build_coco(pets.root, limit=1)
    found = traced(tmp_path / "out", "LA_INS_000000000001_00")
    (scene,) = found.scenes
    assert (scene.source, scene.id, scene.problem) == ("coco", "000000000001", "")
    assert Caption("A dog beside a cat on the grass.") in scene.annotations
    text = section(as_text(found), "SCENE")
    assert 'caption: "A dog beside a cat on the grass."' in text
    assert "box: dog at 20, 40, 160 x 200" in text


def test_a_scene_that_the_build_left_unread_for_a_limit_is_not_in_the_way(
    pets: Coco, build_coco: Builder, tmp_path: Path
) -> None:
    build_coco(pets.root, only=["1", "3"])
    (scene,) = traced(tmp_path / "out", "LA_INS_000000000003_00").scenes
    assert scene.annotations


def test_reading_stops_at_the_scene(
    pets: Coco, build_coco: Builder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_coco(pets.root)
    read: list[str] = []
    scenes = Source.scenes

    def watched(source: Source) -> Iterator[Any]:
        source._only = frozenset()  # it would pass the others over
        for item in scenes(source):
            read.append(item.id if isinstance(item, Scene) else "")
            yield item

    monkeypatch.setattr(Source, "scenes", watched)
    traced(tmp_path / "out", "LA_INS_000000000002_00")
    assert read == ["000000000001", "000000000002"]


def test_moved_files_are_said_and_the_rest_is_shown(
    pets: Coco, build_coco: Builder, tmp_path: Path
) -> None:
    build_coco(pets.root)
    pets.root.rename(tmp_path / "elsewhere")
    text = printed("LA_INS_000000000001_00", tmp_path / "out")
    assert re.search(r"annotations +not read: no directory", section(text, "SCENE"))
    assert "build.yaml" in section(text, "SCENE")
    assert "not known" in section(text, "PICTURE")
    assert section(text, "SHOWN BEFORE IT")


def test_a_dataset_without_its_configuration_is_traced_as_far_as_it_goes(
    sample: Path, tmp_path: Path
) -> None:
    out = tmp_path / "copy"
    shutil.copytree(sample, out)
    (out / "build.yaml").unlink()
    (scene,) = traced(out, "LA_INS_900000000001_00").scenes
    assert "cannot read the configuration" in scene.problem


def test_a_scene_that_has_gone_is_said(pets: Coco, build_coco: Builder, tmp_path: Path) -> None:
    build_coco(pets.root)
    pets.images = pets.images[1:]
    pets.captions, pets.instances = pets.captions[2:], pets.instances[2:]
    pets.write()
    (scene,) = traced(tmp_path / "out", "LA_INS_000000000001_00").scenes
    assert "no more" in scene.problem


# ------------------------------------------------------------------ writing


def test_rules_are_named_with_the_wording_they_had(sample: Path) -> None:
    found = traced(sample, "LA_INS_900000000001_03")
    assert found.writing is not None
    assert Path(found.writing.prompt).name == "pictures.yaml"
    assert found.writing.ordinal == 3
    text = section(as_text(found), "HOW IT WAS WRITTEN")
    assert "templates: by rule" in text
    assert rows(sample)[0]["prompt_sha256"] in text
    assert "journal" not in text


def test_a_reply_is_shown_whole(pets: Coco, asking: Asking, tmp_path: Path) -> None:
    asking(pets.root)
    name = rows(tmp_path / "out")[1]["id"]
    text = printed(name, tmp_path / "out", "--journal", asking.journal)
    with Journal(asking.journal) as journal:
        reply = journal.get(rows(tmp_path / "out")[1]["request_key"])
    assert reply is not None
    shown = [line[4:] for line in text.splitlines() if line.startswith("  | ")]
    assert "\n".join(shown) == reply.text
    writing = section(text, "HOW IT WAS WRITTEN")
    assert f"{reply.input_tokens:,} in, {reply.output_tokens:,} out" in writing
    assert re.search(r"ended +stop\n", writing)
    assert re.search(r"teacher +fake\n", writing)


def test_the_place_in_the_reply_is_that_of_the_exchange(pets: Coco, tmp_path: Path) -> None:
    numbers = itertools.count()

    def reply(_: object) -> str:
        kind = {"kind": "conversation"}
        said = [(f"What is at place {next(numbers)}?", f"Thing {next(numbers)}.") for _ in "ab"]
        return json.dumps({"exchanges": [{"instruction": q, "answer": a, **kind} for q, a in said]})

    with FakeTeacher(latency=0, reply=reply) as server:
        asking = Asking(server, tmp_path)
        asking(pets.root, replicates=2)
    places = set()
    for row in rows(tmp_path / "out"):
        found = traced(tmp_path / "out", row["id"], asking.journal)
        writing = found.writing
        assert writing is not None
        assert writing.reply is not None
        assert writing.ordinal is not None
        exchange = json.loads(writing.reply.text)["exchanges"][writing.ordinal]
        assert exchange["instruction"] == row["instruction"]
        assert ("time 2 of asking" in as_text(found)) == (writing.attempt == 1)
        places.add((writing.ordinal, writing.attempt))
    assert places == {(0, 0), (1, 0), (0, 1), (1, 1)}


def test_a_missing_journal_is_said_with_what_to_do(
    pets: Coco, asking: Asking, tmp_path: Path, inside: Path
) -> None:
    asking(pets.root)
    text = printed(rows(tmp_path / "out")[0]["id"], tmp_path / "out")
    assert re.search(r"(?s)reply +not found: there is no journal .*--journal", text)
    assert not (inside / ".mimicit").exists()


def test_a_missing_reply_is_said_with_what_to_do(
    pets: Coco, asking: Asking, tmp_path: Path
) -> None:
    asking(pets.root)
    with Journal(tmp_path / "other.db"):
        pass
    name = rows(tmp_path / "out")[0]["id"]
    text = printed(name, tmp_path / "out", "--journal", tmp_path / "other.db")
    assert re.search(r"(?s)reply +not found: .*--journal", text)


def test_a_journal_that_is_none_is_said(pets: Coco, asking: Asking, tmp_path: Path) -> None:
    asking(pets.root)
    (tmp_path / "text.db").write_text("no journal at all" * 100)
    writing = traced(
        tmp_path / "out", rows(tmp_path / "out")[0]["id"], tmp_path / "text.db"
    ).writing
    assert writing is not None
    assert writing.reply is None
    assert "text.db" in writing.problem


def test_a_prompt_is_named_as_long_as_it_is_what_it_was(
    pets: Coco, asking: Asking, tmp_path: Path
) -> None:
    own = tmp_path / "own.yaml"
    shutil.copy(Path(__file__).parents[1] / "prompts" / "coco.yaml", own)
    own.write_text(own.read_text() + "# of my own\n")
    asking(pets.root, prompts={"coco": str(own)})
    name = rows(tmp_path / "out")[0]["id"]
    writing = traced(tmp_path / "out", name, asking.journal).writing
    assert writing is not None
    assert Path(writing.prompt).name == "own.yaml"
    own.write_text(own.read_text() + "# and changed\n")
    changed = traced(tmp_path / "out", name, asking.journal)
    assert changed.writing is not None
    assert changed.writing.prompt == ""
    assert "it was changed since" in as_text(changed)


def test_the_prompt_that_ships_is_found(pets: Coco, asking: Asking, tmp_path: Path) -> None:
    asking(pets.root)
    writing = traced(tmp_path / "out", rows(tmp_path / "out")[0]["id"], asking.journal).writing
    assert writing is not None
    assert Path(writing.prompt).name == "coco.yaml"


# -------------------------------------------------- pictures, scenes, rejections


def test_a_picture_is_shown_with_the_instructions_about_it(sample: Path) -> None:
    name = "LA_IMG_900000000003"
    found = traced(sample, name)
    assert found.kind == "image"
    assert list(found.about) == [r["id"] for r in rows(sample) if name in r["image_ids"]]
    (picture,) = found.pictures
    (row,) = (r for r in rows(sample, "images") if r["image_id"] == name)
    assert rows(sample, "images")[picture.row.row] == row
    del row["descriptor"]  # bytes that say nothing to who reads them
    assert {k: v for k, v in picture.row.values.items() if k != "image"} == row
    assert Path(picture.local).is_file()
    assert picture.problem == ""
    text = section(as_text(found), "PICTURE")
    assert f"{row['width']:,} x {row['height']:,} pixels, {row['format']}" in text
    assert row["sha256"] in text
    assert row["source_ref"]["path"] in text
    assert section(as_text(found), "SCENE").count("caption:") >= 1


def test_no_more_than_twenty_instructions_are_listed(sample: Path) -> None:
    names = tuple(f"LA_INS_1_{number}" for number in range(31))
    text = as_text(replace(traced(sample, "LA_IMG_900000000003"), about=names))
    about = section(text, "INSTRUCTIONS ABOUT IT: 31")
    assert names[19] in about
    assert names[20] not in about
    assert "11 more" in about


def test_a_licence_that_is_not_stated_is_said(
    pets: Coco, build_coco: Builder, tmp_path: Path
) -> None:
    build_coco(pets.root)
    text = as_text(traced(tmp_path / "out", "LA_IMG_000000000001"))
    assert re.search(r"licence +not stated\n", text)


def test_a_picture_that_changed_or_went_is_said(
    pets: Coco, build_coco: Builder, tmp_path: Path
) -> None:
    build_coco(pets.root)
    (pets.root / "tiny" / "1.jpg").write_bytes(b"another")
    (pets.root / "tiny" / "2.jpg").unlink()
    (changed,) = traced(tmp_path / "out", "LA_IMG_000000000001").pictures
    assert "changed since" in changed.problem
    (gone,) = traced(tmp_path / "out", "LA_IMG_000000000002").pictures
    assert (gone.local, "no file" in gone.problem) == ("", True)


def test_a_frame_is_found_in_its_video(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"video")
    clip = Clip("LA_IMG_a", str(tmp_path), "a.mp4", At((1.0,)))
    outside = Clip("LA_IMG_b", str(tmp_path / "sub"), "../a.mp4", At((1.0,)))
    origins = Origins(tmp_path)
    origins._scenes = [Scene("s", "a", "LA", (), (), ("a",), clips=(clip, outside))]
    path, _ = origins.local("LA_IMG_a_000001000", "")
    assert Path(path) == (tmp_path / "a.mp4").resolve()
    assert origins.local("LA_IMG_b_000001000", "")[0] == ""


def test_a_frame_is_shown_with_its_time_and_decoder(sample: Path) -> None:
    found = traced(sample, "LA_IMG_900000000003")
    (picture,) = found.pictures
    origin = picture.row.values["source_ref"]
    origin = {**origin, "time": 2.5, "decoder": "pyav 15", "notes": ["tone-mapped", "resized"]}
    row = replace(picture.row, values={**picture.row.values, "source_ref": origin})
    text = as_text(replace(found, pictures=(replace(picture, row=row),)))
    assert "at 2.5 s, decoded by pyav 15" in text
    assert "tone-mapped, resized" in text


def test_a_scene_is_shown_with_all_that_came_of_it(sample: Path) -> None:
    found = traced(sample, "900000000003")
    assert found.kind == "scene"
    assert list(found.about) == [r["id"] for r in rows(sample) if r["scene_id"] == "900000000003"]
    assert [p.row.values["image_id"] for p in found.pictures] == ["LA_IMG_900000000003"]


def test_a_rejected_row_is_shown_by_record_and_by_scene(
    pets: Coco, build_coco: Builder, tmp_path: Path
) -> None:
    (pets.root / "tiny" / "2.jpg").write_bytes(b"<html>not found</html>")
    build_coco(pets.root)
    (row,) = rows(tmp_path / "out", "rejected")
    for name in (row["record"], row["scene_id"]):
        found = traced(tmp_path / "out", name)
        assert found.kind == "rejected"
        assert [r.values for r in found.rejections] == [row]
    text = section(as_text(found, 200), "REJECTED")
    for said in (row["stage"], row["reason"], row["record"], row["detail"], "coco"):
        assert said in text
    assert "A dog runs after a cat" in section(as_text(found), "SCENE")


def test_a_rejected_exchange_is_shown_with_the_reply_it_came_in(pets: Coco, tmp_path: Path) -> None:
    good = {"instruction": "What is it?", "answer": "A picture.", "kind": "conversation"}
    said = json.dumps({"exchanges": [good, good]})
    with FakeTeacher(latency=0, reply=lambda _: said) as server:
        asking = Asking(server, tmp_path)
        asking(pets.root)
    record = next(r["record"] for r in rows(tmp_path / "out", "rejected"))
    found = traced(tmp_path / "out", record, asking.journal)
    assert found.kind == "rejected"
    assert found.writing is not None
    assert found.writing.ordinal == 1
    assert found.writing.reply is not None
    assert found.writing.reply.text == said


def test_a_rejected_reply_that_nothing_names_is_said_to_be_unknown(
    pets: Coco, tmp_path: Path
) -> None:
    good = {"instruction": "What is it?", "answer": "A picture.", "kind": "conversation"}
    said = iter([json.dumps({"exchanges": [good]}), "no exchange at all", "nor here"])
    with FakeTeacher(latency=0, reply=lambda _: next(said)) as server:
        Asking(server, tmp_path)(pets.root, reask=0, endpoint=Endpoint(server.base_url, 1))
    record = next(r["record"] for r in rows(tmp_path / "out", "rejected"))
    found = traced(tmp_path / "out", record, tmp_path / "journal.db")
    assert found.writing is None
    assert "not known" in section(as_text(found), "HOW IT WAS WRITTEN")


# ------------------------------------------------------------------- finding


def test_every_dataset_of_out_is_looked_into(pets: Coco, build_coco: Builder, inside: Path) -> None:
    build_coco(pets.root, inside / "out" / "a")
    build_coco(pets.root, inside / "out" / "b", only=["2"], shots=1)
    (inside / "out" / "c").mkdir()
    assert [t.dataset for t in find_traces("LA_IMG_000000000002")] == ["out/a", "out/b"]
    assert [t.dataset for t in find_traces("LA_IMG_000000000001")] == ["out/a"]
    text = printed("LA_IMG_000000000002")
    assert re.findall(r"^out/\w", text, re.MULTILINE) == ["out/a", "out/b"]


def test_without_a_dataset_it_is_said_how_to_name_one(inside: Path) -> None:
    with pytest.raises(UsageError, match="mimicit trace ID DIR"):
        find_traces("LA_INS_1_00")
    with pytest.raises(SourceError, match=r"no manifest\.json"):
        find_traces("LA_INS_1_00", [inside])


def test_a_mistyped_id_is_answered_with_those_like_it(sample: Path) -> None:
    with pytest.raises(UsageError, match="ids like it: LA_INS_900000000001_0") as error:
        find_traces("LA_INS_900000000001_0x", [sample])
    assert len(re.findall(r"LA_INS_900000000001_0\d", str(error.value))) == 3
    with pytest.raises(UsageError) as error:
        find_traces("nothing of the kind", [sample])
    assert "like" not in str(error.value)


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "*", "' OR 1=1", "\x00", "\ud800"])
def test_a_name_is_only_compared(sample: Path, name: str) -> None:
    with pytest.raises(UsageError):
        find_traces(name, [sample])


def test_a_damaged_file_is_named(sample: Path, tmp_path: Path) -> None:
    out = tmp_path / "copy"
    shutil.copytree(sample, out)
    shard = next((out / "instructions").glob("*.parquet"))
    shard.write_bytes(b"PAR1" + b"x" * 100)
    with pytest.raises(SourceError, match=shard.name):
        find_traces("LA_INS_900000000001_00", [out])


def test_pictures_are_never_read(
    sample: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    read: list[str] = []
    whole = pq.ParquetFile.read_row_group

    def watched(file: Any, number: int, columns: list[str], **more: Any) -> pa.Table:
        table = whole(file, number, columns=columns, **more)
        read.extend(str(field.type) for field in table.schema)
        return table

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", watched)
    for name in ("LA_INS_900000000001_00", "LA_IMG_900000000001", "900000000001"):
        traced(sample, name)
    assert read
    assert not [kind for kind in read if "binary" in kind]


def test_json_is_a_line_a_dataset_with_stable_keys(sample: Path, tmp_path: Path) -> None:
    shutil.copytree(sample, tmp_path / "copy")
    lines = printed("LA_INS_900000000001_05", sample, tmp_path / "copy", "--json").splitlines()
    assert len(lines) == 2
    content = json.loads(lines[1])
    assert list(content) == [
        "dataset",
        "id",
        "kind",
        "instruction",
        "context",
        "writing",
        "about",
        "rejections",
        "pictures",
        "scenes",
    ]
    assert content["dataset"] == str(tmp_path / "copy")
    assert list(content["instruction"]) == ["file", "row", "values"]
    (picture,) = content["pictures"]
    assert picture["row"]["values"]["image"].keys() == {"path"}
    assert {a["type"] for a in content["scenes"][0]["annotations"]} == {"caption", "box"}
    assert "ÿØ" not in lines[0]


@pytest.mark.parametrize("width", [40, 80, 120])
def test_lines_are_no_longer_than_asked(sample: Path, width: int) -> None:
    found = traced(sample, "LA_INS_900000000001_05")
    for line in as_text(found, width).splitlines():
        assert len(line) <= width or " " not in line.strip()[15:], line


def test_the_picture_of_an_image_reference_is_not_looked_for_outside(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    origins = Origins(tmp_path)
    ref = ImageRef("LA_IMG_1", str(tmp_path / "images"), "../secret.txt")
    origins._scenes = [Scene("s", "1", "LA", (ref,), (), ("1",))]
    path, problem = origins.local("LA_IMG_1", "0" * 64)
    assert path == ""
    assert "stay below" in problem
