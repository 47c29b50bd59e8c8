"""Builds that ask a teacher: what is paid for, what is kept, what is published."""

import contextlib
import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from conftest import KEY, Asking, Coco, contents, reasons
from PIL import Image

from mimicit import prompts
from mimicit.config import BuildConfig, Endpoint, SourceConfig
from mimicit.errors import Incomplete, SourceError, TeacherError, UsageError
from mimicit.pipeline import build
from mimicit.testing import FakeTeacher
from mimicit.validate import find_problems

COCO = Path(__file__).parents[1] / "prompts" / "coco.yaml"


def rows(out: Path, table: str = "instructions") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(out / table).to_pylist()
    return found


# ------------------------------------------------------------------ pay once


def test_a_build_asks_once_a_scene_and_the_next_one_for_nothing(
    pets: Coco, asking: Asking, tmp_path: Path
) -> None:
    assert asking.calls(pets.root) == 3
    first = contents(tmp_path / "out")
    shutil.rmtree(tmp_path / "out")
    assert asking.calls(pets.root) == 0
    assert contents(tmp_path / "out") == first
    assert find_problems(tmp_path / "out") == []


def test_one_scene_more_is_one_call_more(pets: Coco, asking: Asking) -> None:
    asking(pets.root)
    pets.picture(4).caption(4, "Two zebras drink at a river.").write()
    assert asking.calls(pets.root) == 1


def changed_prompt(tmp_path: Path, **changes: Any) -> dict[str, str]:
    content = yaml.safe_load(COCO.read_text())
    path = tmp_path / "changed.yaml"
    path.write_text(yaml.safe_dump({**content, **changes}, sort_keys=False))
    return {"coco": str(path)}


def test_what_can_change_the_replies_is_asked_again(
    pets: Coco, asking: Asking, tmp_path: Path
) -> None:
    asking(pets.root)
    content = yaml.safe_load(COCO.read_text())
    schema = json.loads(json.dumps(content["reply"]))
    schema["properties"]["exchanges"]["items"]["properties"]["answer"]["maxLength"] = 900
    for changes in (
        {"system": content["system"].replace("Plain, correct", "Plain and correct")},
        {"user": content["user"] + "Go."},
        {"reply": schema},
        {"examples": content["examples"][::-1]},
        {"parameters": {"max_tokens": 1999}},
    ):
        assert asking.calls(pets.root, prompts=changed_prompt(tmp_path, **changes)) == 3, changes
    assert asking.calls(pets.root, parameters={"temperature": 0.2}) == 3
    assert asking.calls(pets.root, parameters={"temperature": 0.3}) == 3
    assert asking.calls(pets.root, model="other") == 3
    assert asking.calls(pets.root, teacher_id="fake on the second machine") == 3
    assert asking.calls(pets.root, vision=False) == 3
    assert asking.calls(pets.root, replicates=2) == 3
    assert asking.calls(pets.root) == 0


def test_what_cannot_change_them_is_not(pets: Coco, asking: Asking, tmp_path: Path) -> None:
    asking(pets.root)
    settings: tuple[dict[str, Any], ...] = (
        {"link": "random"},
        {"shots": 1},
        {"seed": 5},
        {"limit": 2},
        {"only": ["2"]},
        {"send_max_side": 2000},  # they are smaller than either limit
        {"parameters": {"max_tokens": 2000}},  # what the prompt says already
        {"endpoint": Endpoint(asking.server.base_url, concurrency=1, timeout=7)},
    )
    for number, changes in enumerate(settings):
        assert asking.calls(pets.root, out=f"out{number}", **changes) == 0, changes
    commented = tmp_path / "commented.yaml"
    commented.write_text("# a remark that no teacher reads\n" + COCO.read_text())
    assert asking.calls(pets.root, prompts={"coco": str(commented)}) == 0
    for records in (pets.images, pets.captions, pets.instances):
        records.reverse()
    pets.write()
    assert asking.calls(pets.root) == 0
    with FakeTeacher(latency=0) as elsewhere:
        asking(pets.root, endpoint=Endpoint(elsewhere.base_url))
        assert elsewhere.count == 0


def test_the_order_of_the_annotations_and_the_port_change_no_byte(
    pets: Coco, asking: Asking, tmp_path: Path
) -> None:
    asking(pets.root, out="one")
    for records in (pets.images, pets.captions, pets.instances, pets.categories):
        records.reverse()
    pets.write()
    with FakeTeacher(latency=0.01) as elsewhere:
        endpoint = Endpoint(elsewhere.base_url, concurrency=2)
        asking(pets.root, out="two", endpoint=endpoint, journal=tmp_path / "second.db")
        assert elsewhere.count == 3
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_a_changed_picture_is_asked_about_again_and_no_other(pets: Coco, asking: Asking) -> None:
    asking(pets.root)
    Image.new("RGB", (400, 300), "teal").save(pets.root / "tiny" / "2.jpg")
    assert asking.calls(pets.root) == 1
    assert "sha256=" in json.dumps(asking.server.calls[-1].body)


def test_a_limit_on_the_size_sent_concerns_only_larger_pictures(pets: Coco, asking: Asking) -> None:
    pets.picture(4, size=(900, 400)).caption(4, "A long train.").write()
    asking(pets.root, send_max_side=1024)
    assert asking.calls(pets.root, send_max_side=500) == 1
    (sent,) = [c for c in asking.server.calls[-1:] if "900" not in str(c.body)]
    assert "data:image/jpeg" in json.dumps(sent.body)


def test_pictures_are_sent_byte_for_byte(pets: Coco, asking: Asking, tmp_path: Path) -> None:
    asking(pets.root)
    sent = {
        part["image_url"]["url"].partition("sha256=")[2].partition(";")[0]
        for call in asking.server.calls
        for part in call.body["messages"][-1]["content"]
        if part["type"] == "image_url"
    }
    assert sent == {row["sha256"] for row in rows(tmp_path / "out", "images")}


def test_scenes_that_ask_the_same_share_one_reply(coco: Coco, asking: Asking) -> None:
    for number in (1, 2, 3):
        coco.picture(number, name=f"{number}.jpg").caption(number, "A cat.")
    for number in (2, 3):
        shutil.copy(coco.root / "tiny" / "1.jpg", coco.root / "tiny" / f"{number}.jpg")
    coco.write()
    assert asking.calls(coco.root) == 1
    assert {row["scene_id"] for row in rows(asking.folder / "out")} == {
        f"{number:012d}" for number in (1, 2, 3)
    }


def test_what_is_shown_is_what_is_sent(pets: Coco, asking: Asking) -> None:
    asking(pets.root, vision=False)
    prompt = prompts.load(COCO)
    for call in asking.server.calls:
        sent = [(m["role"], m["content"]) for m in call.body["messages"]]
        shared = [(m.role, m.parts[0]) for m in prompt.shared]
        assert sent[:-1] == shared
        assert call.body["max_tokens"] == 2000
        schema = call.body["response_format"]["json_schema"]["schema"]
        assert schema == json.loads(prompt.reply_schema)


# ----------------------------------------------------------------- no calls


def test_without_calls_the_journal_is_enough(pets: Coco, asking: Asking, tmp_path: Path) -> None:
    asking(pets.root, out="asked")
    before = asking.server.count
    asking(pets.root, out="again", endpoint=None)
    assert contents(tmp_path / "asked") == contents(tmp_path / "again")
    pets.picture(4).caption(4, "A bed.").write()
    with pytest.raises(Incomplete, match=r"1 of 4 requests.*not asked"):
        asking(pets.root, out="again", endpoint=None)
    with pytest.raises(UsageError, match="no journal"):
        asking(pets.root, out="again", endpoint=None, journal=tmp_path / "none.db")
    assert asking.server.count == before


def test_a_full_journal_needs_no_key(
    pets: Coco, asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking(pets.root)
    asking(pets.root, endpoint=Endpoint())
    pets.picture(4).caption(4, "A bed.").write()
    with pytest.raises(UsageError, match="OPENAI_API_KEY"):
        asking(pets.root, endpoint=Endpoint())


def test_the_templates_keep_no_journal(pets: Coco, inside: Path) -> None:
    source = SourceConfig(name="coco", options={"root": str(pets.root)})
    build(BuildConfig(sources=[source]), "out")
    assert [path.name for path in inside.iterdir()] == ["out"]


# ------------------------------------------------------------------ pending


def test_nothing_is_published_while_a_request_has_no_reply(
    pets: Coco, asking: Asking, tmp_path: Path
) -> None:
    asking.server.fail("400", where=lambda body: "asleep" in json.dumps(body))
    with pytest.raises(Incomplete) as caught:
        asking(pets.root)
    assert "1 of 3 requests have no reply (1 status-400)" in str(caught.value)
    assert "--partial" in str(caught.value)
    assert not (tmp_path / "out").exists()
    summary = asking(pets.root, partial=True)
    assert summary.pending == 1
    assert {row["scene_id"] for row in rows(tmp_path / "out")} == {f"{n:012d}" for n in (1, 2)}
    assert "**Partial**: 1 of 3 requests" in (tmp_path / "out" / "README.md").read_text()
    assert find_problems(tmp_path / "out") == []
    asking.server.mend()
    assert asking.calls(pets.root) == 1


def test_a_failure_is_never_served_as_an_answer(pets: Coco, asking: Asking) -> None:
    asking.server.fail("400")
    with pytest.raises(TeacherError, match="the first 3 requests"):
        asking(pets.root)
    asking.server.mend()
    assert asking.calls(pets.root) == 3


def test_a_dataset_that_is_there_outlives_a_teacher_that_is_not(
    pets: Coco, asking: Asking, tmp_path: Path
) -> None:
    asking(pets.root)
    before = contents(tmp_path / "out")
    pets.picture(4).caption(4, "A bed.").write()
    asking.server.fail("401")
    with pytest.raises(TeacherError, match="OPENAI_API_KEY"):
        asking(pets.root)
    assert contents(tmp_path / "out") == before


def test_passing_faults_leave_no_trace_in_the_dataset(
    coco: Coco, asking: Asking, tmp_path: Path
) -> None:
    for number in range(16):
        coco.picture(number).caption(number, f"A cat and {number} dogs.")
    coco.write()
    asking(coco.root, out="calm")
    with FakeTeacher(latency=0) as rough:
        rough.fail("hang", times=1, where=lambda body: "and 8 dogs" in json.dumps(body))
        rough.fail("429", times=3, every=2, retry_after=0.01)
        rough.fail("500", times=3, every=3)
        rough.fail("drop", times=3, every=5)
        rough.fail("garbage", times=2, every=7)
        endpoint = Endpoint(rough.base_url, timeout=1)
        asking(coco.root, out="rough", journal=tmp_path / "rough.db", endpoint=endpoint)
    assert contents(tmp_path / "calm") == contents(tmp_path / "rough")


def test_a_hopeless_run_is_ended(coco: Coco, asking: Asking) -> None:
    for number in range(60):
        coco.picture(number).caption(number, f"A cat and {number} dogs.")
    coco.write()
    asking(coco.root, limit=1)
    asking.server.fail("400", where=lambda body: "and 1 dogs" not in json.dumps(body))
    with pytest.raises(TeacherError, match="the last 20 requests"):
        asking(coco.root, endpoint=Endpoint(asking.server.base_url, concurrency=2))
    assert asking.server.count < 40


def test_a_picture_that_changes_meanwhile_is_not_asked_about(
    pets: Coco, asking: Asking, tmp_path: Path
) -> None:
    def swap(_: object) -> bool:
        Image.new("RGB", (400, 300), "red").save(pets.root / "tiny" / "3.jpg")
        return False

    asking.server.fail("500", where=swap)  # the first call changes the last picture
    with pytest.raises(SourceError, match="changed"):
        asking(pets.root, endpoint=Endpoint(asking.server.base_url, concurrency=1))
    assert asking.server.count == 2


def test_a_caption_that_changes_meanwhile_keeps_the_build_from_publishing(
    pets: Coco, asking: Asking, tmp_path: Path
) -> None:
    def rewrite(_: object) -> bool:
        pets.captions[0]["caption"] = "A caption that nobody was asked about."
        pets.write()
        return False

    asking.server.fail("500", where=rewrite)
    with pytest.raises(Incomplete, match="1 requests have no reply"):
        asking(pets.root)
    assert not (tmp_path / "out").exists()


def test_a_fatal_error_does_not_wait_for_what_is_being_tried_again(
    coco: Coco, asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mimicit.fleet.GRACE_SECONDS", 0.2)
    for number in range(20):
        coco.picture(number).caption(number, f"A cat and {number} dogs.")
    coco.write()
    asking(coco.root, limit=3)
    asking.server.fail("quota", where=lambda body: "and 9 dogs" in json.dumps(body))
    asking.server.fail(
        "500", retry_after=300, where=lambda body: "and 3 dogs" not in json.dumps(body)
    )
    endpoint = Endpoint(asking.server.base_url, concurrency=16)
    with pytest.raises(TeacherError, match="the money is out"):
        asking(coco.root, endpoint=endpoint)
    assert len(asking.server.calls) < 3 + 20


def test_counts_are_right_where_scenes_share_a_reply(coco: Coco, asking: Asking) -> None:
    for number in range(6):
        coco.picture(number, name=f"{number}.jpg").caption(number, "A cat.")
        if number:
            shutil.copy(coco.root / "tiny" / "0.jpg", coco.root / "tiny" / f"{number}.jpg")
    coco.write()
    asked = asking(coco.root).asked
    assert (asked.replies, asked.known) == (1, 5)


# ---------------------------------------------------- replies that are of no use


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("truncate", "truncated"),
        ("refuse", "refusal"),
        ("refuse-text", "refusal"),
        ("content_filter", "refusal"),
    ],
)
def test_a_reply_that_is_a_no_is_a_rejected_row(
    fault: str, reason: str, pets: Coco, asking: Asking, tmp_path: Path
) -> None:
    asking.server.fail(fault, where=lambda body: "asleep" in json.dumps(body))
    summary = asking(pets.root)
    assert summary.rejected == {("reply", reason): 1}
    (row,) = rows(tmp_path / "out", "rejected")
    assert row["scene_id"] == "000000000003"
    assert asking.calls(pets.root) == 0  # it was a reply, and is not bought again


def test_every_rejected_exchange_keeps_its_place_in_the_ids(pets: Coco, tmp_path: Path) -> None:
    said = [
        ("Who is there?", "A dog."),
        ("What does the caption say?", "A dog."),
        ("Is it big?", ""),
        ("WHO  is there?", "A cat."),
        ("And now?", "It runs.<|endofchunk|>"),
        ("What else?", "There is no mention of anything else."),
        ("Is it happy?", "Yes: it wags its tail."),
    ]
    text = "\n\n".join(f"**Question {n}:** {q}\n**Answer:** {a}" for n, (q, a) in enumerate(said))
    with FakeTeacher(latency=0, reply=lambda _: text) as server:
        summary = Asking(server, tmp_path)(pets.root)
    assert {row["id"][-2:] for row in rows(tmp_path / "out")} == {"00", "06"}
    found = {row["record"][-2:]: row["reason"] for row in rows(tmp_path / "out", "rejected")}
    assert found == {
        "01": "annotation-leak",
        "02": "empty",
        "03": "duplicate-instruction",
        "04": "special-token",
        "05": "annotation-leak",
    }
    assert set(reasons(summary)) == set(found.values())


def test_replicates_differ_and_bear_their_number(pets: Coco, tmp_path: Path) -> None:
    asked: list[str] = []

    def reply(body: dict[str, Any]) -> str:
        asked.append(json.dumps(body["messages"]))
        return json.dumps({"exchanges": [{"instruction": f"Q{len(asked)}?", "answer": "Yes."}]})

    with FakeTeacher(latency=0, reply=reply) as server:
        asking = Asking(server, tmp_path)
        asking(pets.root, replicates=3)
        assert asking.calls(pets.root, replicates=2) == 0
        assert asking.calls(pets.root, replicates=4) == 3
    ids = {row["id"] for row in rows(tmp_path / "out")}
    assert {i.rpartition("_00")[2] for i in ids} == {"", "_r1", "_r2", "_r3"}
    assert len(set(asked)) == 3  # the same three questions each time


def test_asking_once_more_says_what_was_wrong(pets: Coco, tmp_path: Path) -> None:
    def reply(body: dict[str, Any]) -> str:
        last = body["messages"][-1]["content"]
        return "Q: What?\nA: A cat." if "cannot be used" in str(last) else "I saw a cat, I think."

    with FakeTeacher(latency=0, reply=reply) as server:
        asking = Asking(server, tmp_path)
        with pytest.raises(SourceError, match="unparsable"):
            asking(pets.root)
        assert server.count == 3
        assert asking.calls(pets.root, reask=1) == 3
        assert asking.calls(pets.root, reask=1) == 0
        said = server.calls[-1].body["messages"]
    assert [m["role"] for m in said[-3:]] == ["user", "assistant", "user"]
    assert said[-2]["content"] == "I saw a cat, I think."
    assert "not of the form" in said[-1]["content"]
    assert {row["id"][-6:] for row in rows(tmp_path / "out")} == {"_00_r1"}
    assert {r["record"][-3:] for r in rows(tmp_path / "out", "rejected")} == {"_00"}


# ----------------------------------------------------------- what nobody sees


def test_no_key_and_no_picture_gets_into_anything_written(
    pets: Coco, asking: Asking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    asking.server.fail("500", times=1)
    asking.server.fail("400", where=lambda body: "asleep" in json.dumps(body))
    with pytest.raises(Incomplete) as caught:
        asking(pets.root)
    assert KEY not in str(caught.value)
    asking.server.mend()
    asking(pets.root)
    assert all(call.authorized is not False for call in asking.server.calls)
    picture = (pets.root / "tiny" / "1.jpg").read_bytes()
    files = [*tmp_path.glob("journal*"), *(tmp_path / "out").rglob("*")]
    for path in files:
        if path.is_file():
            data = path.read_bytes()
            assert KEY.encode() not in data, path
            assert b"base64" not in data, path
            assert b"Bearer" not in data, path
            assert picture[:64] not in data or "images" in str(path), path


def test_the_rows_say_where_they_are_from(pets: Coco, asking: Asking, tmp_path: Path) -> None:
    asking(pets.root, teacher_id="fake, tuned")
    prompt = prompts.load(COCO)
    with contextlib.closing(sqlite3.connect(asking.journal)) as database:
        keys = {key.hex() for (key,) in database.execute("SELECT key FROM replies")}
    found = rows(tmp_path / "out")
    assert {row["teacher"] for row in found} == {"fake, tuned"}
    assert {row["prompt_sha256"] for row in found} == {prompt.sha256}
    assert {row["request_key"] for row in found} == keys
    assert "Written by the model fake, tuned" in (tmp_path / "out" / "README.md").read_text()


def test_progress_counts_every_request_once(pets: Coco, asking: Asking, tmp_path: Path) -> None:
    def shown(**settings: Any) -> list[int]:
        counts: list[int] = []

        def track(items: Any, name: str, _unit: str) -> Any:
            count = 0
            for item in items:
                yield item
                count += 1
            if name == "ask":
                counts.append(count)

        source = SourceConfig(name="coco", options={"root": str(pets.root)})
        config = BuildConfig(sources=[source], teacher="openai", **{"model": "fake", **settings})
        endpoint = Endpoint(asking.server.base_url)
        build(config, tmp_path / "out", journal=asking.journal, endpoint=endpoint, track=track)
        return counts

    assert shown(limit=2) == [2]
    assert shown() == [3]  # two are known, one is bought
    assert shown(replicates=3) == [9]
    shutil.copy(pets.root / "tiny" / "1.jpg", pets.root / "tiny" / "4.jpg")
    pets.images.append({**pets.images[0], "id": 4, "file_name": "4.jpg"})
    for records in (pets.captions, pets.instances):
        records += [{**r, "id": r["id"] + 90, "image_id": 4} for r in records if r["image_id"] == 1]
    pets.write()
    assert shown(model="another") == [4]  # two scenes share a reply
