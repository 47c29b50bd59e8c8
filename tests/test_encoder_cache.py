"""Vectors that cost something are made once; an endpoint is asked over real HTTP."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import KEY

from mimicit.encoders import cache, endpoint, length, open_text
from mimicit.encoders.cache import VectorCache, kept, text_digest
from mimicit.errors import MimicitError, TeacherError, UsageError
from mimicit.testing import FakeTeacher

TEXTS = ["A dog runs.", "A cat sleeps.", "A dog runs fast.", "", "A dog runs."]


@pytest.fixture(autouse=True)
def vectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / ".mimicit" / "vectors.db"
    monkeypatch.setenv("MIMICIT_VECTORS", str(path))
    return path


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeTeacher]:
    with FakeTeacher(latency=0, api_key=KEY) as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        yield running


def asked(server: FakeTeacher) -> list[str]:
    """List the texts that were asked for, in calls that were answered."""
    return [text for call in server.calls if call.status == 200 for text in call.body["input"]]


def test_each_text_is_asked_for_once(server: FakeTeacher) -> None:
    vectors = open_text("openai:m").encode(TEXTS)
    assert asked(server) == ["A dog runs.", "A cat sleeps.", "A dog runs fast."]
    assert vectors.dtype == np.int8
    assert (vectors[0] == vectors[4]).all()
    assert not vectors[3].any()
    sizes = np.linalg.norm(vectors[:3].astype(float), axis=1)
    assert np.allclose(sizes, length(48), rtol=0.03)
    assert int(vectors[0] @ vectors[2].astype(int)) > int(vectors[0] @ vectors[1].astype(int))
    again = open_text("openai:m").encode([*TEXTS, "A bird."])
    assert (again[:5] == vectors).all()
    assert asked(server)[3:] == ["A bird."]


def test_what_is_kept_needs_neither_server_nor_key(monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeTeacher(latency=0) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        vectors = open_text("openai:m").encode(TEXTS)
    monkeypatch.delenv("OPENAI_BASE_URL")
    encoder = open_text("openai:m")
    assert encoder.dimensions == 48
    assert (encoder.encode(TEXTS) == vectors).all()
    with pytest.raises(UsageError, match=r"no key for the encoder: set \$OPENAI_API_KEY"):
        encoder.encode(["Another text."])


def test_the_dimensions_are_asked_for_where_nothing_is_kept(server: FakeTeacher) -> None:
    encoder = open_text("openai:m")
    assert server.count == 0
    assert encoder.dimensions == 48
    assert encoder.encode([]).shape == (0, 48)
    assert open_text("openai:m").dimensions == 48
    assert server.count == 1


def test_models_are_kept_apart(server: FakeTeacher) -> None:
    for model in ("one", "two"):
        open_text(f"openai:{model}").encode(["A dog."])
    assert [call.body["model"] for call in server.calls] == ["one", "two"]


def test_many_texts_are_asked_for_in_requests_of_a_bearable_size(server: FakeTeacher) -> None:
    texts = [f"Text number {n}." for n in range(300)] + [letter * 30_000 for letter in "abcdef"]
    vectors = open_text("openai:m").encode(texts)
    assert vectors.any(axis=1).all()
    assert sorted(asked(server)) == sorted(texts)
    for call in server.calls:
        assert len(call.body["input"]) <= endpoint.REQUEST_TEXTS
        assert sum(map(len, call.body["input"])) <= endpoint.REQUEST_LETTERS
    assert (open_text("openai:m").encode(texts[::-1]) == vectors[::-1]).all()
    alone = [open_text("openai:m").encode([text])[0] for text in texts[:3]]
    assert (np.array(alone) == vectors[:3]).all()


def test_a_passing_fault_is_tried_again(server: FakeTeacher) -> None:
    server.fail("429", times=1, retry_after=0.01)
    server.fail("drop", times=1)
    assert open_text("openai:m").encode(["A dog."]).any()
    assert [call.fault for call in server.calls] == ["429", "drop", ""]


@pytest.mark.parametrize(
    ("fault", "calls", "words"),
    [
        ("401", 1, r"401 Incorrect API key provided\. The key is wrong: it is read from \$OPENAI"),
        ("400", 1, "asked for 1 texts, such as 'A dog.'"),
        ("garbage", 1, "something else than embeddings"),
        ("html", 1, "something else than embeddings.*Please sign in"),
        ("empty", 1, "something else than embeddings"),
        ("quota", 2, "The money is out"),
        ("500", 2, "Run again later"),
        ("drop", 2, "no answer from http://127.0.0.1"),
    ],
)
def test_an_endpoint_that_is_no_use_says_what_to_do(
    server: FakeTeacher, fault: str, calls: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "FIRST_RETRIES", 1)
    server.fail(fault)
    with pytest.raises(TeacherError, match=f"(?s){words}"):
        open_text("openai:m").encode(["A dog."])
    assert server.count == calls


def test_a_missing_key_a_wrong_one_and_an_unknown_model_are_told_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with FakeTeacher(latency=0, api_key="another", models=["m"]) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        with pytest.raises(TeacherError, match=r"No key is set: \$OPENAI_API_KEY is empty"):
            open_text("openai:m").encode(["A dog."])
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        with pytest.raises(TeacherError, match="The key is wrong") as raised:
            open_text("openai:m").encode(["A dog."])
        assert KEY not in str(raised.value)
        monkeypatch.setenv("OPENAI_API_KEY", "another")
        with pytest.raises(TeacherError, match="Is 'gpt' the name of a model for embeddings"):
            open_text("openai:gpt").encode(["A dog."])


def test_an_open_port_without_a_server_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "FIRST_RETRIES", 0)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    with pytest.raises(TeacherError, match=r"no answer from http://127.0.0.1:9/v1.*OPENAI_BASE"):
        open_text("openai:m").encode(["A dog."])


def test_a_batch_with_a_text_that_is_too_long_costs_no_other_its_vector(
    server: FakeTeacher,
) -> None:
    long = "word " * 20_000
    texts = ["A dog.", long, "A cat."]
    vectors = open_text("openai:m").encode(texts)
    assert vectors.any(axis=1).all()
    assert sorted(asked(server)) == sorted(["A dog.", "A cat.", long[:25_000]])
    before = server.count
    assert (open_text("openai:m").encode(texts) == vectors).all()
    assert server.count == before, "it is kept as what it was, not as what was left of it"


def test_a_model_that_gives_other_dimensions_is_another_model(
    server: FakeTeacher, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_text("openai:m").encode(["A dog."])
    server.fail("truncate")
    for encoder in (open_text("openai:m"), open_text("openai:m")):
        with pytest.raises(TeacherError, match="vectors of 24 numbers, and gave vectors of 48"):
            encoder.encode(["A dog.", "A cat."])
    server.mend()
    assert open_text("openai:m").encode(["A dog.", "A cat."]).shape == (2, 48)


def test_what_was_answered_before_a_failure_is_not_asked_for_again(
    server: FakeTeacher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "RETRIES", 0)
    texts = [f"Text number {n}." for n in range(1000)]
    server.fail("500", where=lambda body: "Text number 500." in body["input"])
    with pytest.raises(TeacherError, match=r"Run again later\. What it has answered is kept"):
        open_text("openai:m").encode(texts)
    before = asked(server)
    assert 0 < len(before) < 1000
    server.mend()
    assert open_text("openai:m").encode(texts).any(axis=1).all()
    assert sorted(asked(server)) == sorted(texts)


KILLED = """
import sys
from mimicit.encoders import open_text
open_text("openai:m").encode([f"Text number {n}." for n in range(2000)])
"""


def test_a_killed_build_goes_on_where_it_was(server: FakeTeacher) -> None:
    """What was under way may be asked for again, and nothing else."""
    server.fail("hang", where=lambda body: "Text number 1500." in body["input"])
    process = subprocess.Popen([sys.executable, "-c", KILLED], env=dict(os.environ))
    while not any(call.fault for call in server.calls):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = server.count
    assert before > 1
    server.mend()
    texts = [f"Text number {n}." for n in range(2000)]
    assert open_text("openai:m").encode(texts).any(axis=1).all()
    under_way = endpoint.AT_ONCE * endpoint.REQUEST_TEXTS
    assert set(asked(server)) == set(texts)
    assert len(asked(server)) <= len(texts) + under_way


def test_the_key_reaches_no_file(server: FakeTeacher, tmp_path: Path, vectors: Path) -> None:
    open_text("openai:m").encode(["A dog with a secret."])
    content = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"openai:m" in content
    assert KEY.encode() not in content
    assert b"secret" not in content, "nor does a text"
    assert (vectors.parent / ".gitignore").read_text() == "*\n"


# ----------------------------------------------------------------- the file itself


def held(path: Path) -> None:
    VectorCache("x", path=path).put({b"\0" * 32: np.ones(4, np.int8)})


def break_by(way: str, path: Path) -> contextlib.AbstractContextManager[object]:
    """Make a cache that cannot be used, in one of several ways."""
    if way == "no directory":
        path.parent.write_bytes(b"")
    elif way == "damaged":
        path.parent.mkdir()
        path.write_bytes(b"no database at all" * 1000)
    elif way == "half damaged":
        held(path)
        content = path.read_bytes()
        path.write_bytes(content[:200] + b"\xaa" * (len(content) - 200))
    elif way == "locked":
        held(path)
        database = sqlite3.connect(path, isolation_level=None)
        database.execute("BEGIN EXCLUSIVE")
        return contextlib.closing(database)
    return contextlib.nullcontext()


WAYS = ["no directory", "damaged", "half damaged", "locked"]


@pytest.mark.parametrize("way", WAYS)
def test_a_local_model_does_without_a_cache_that_is_of_no_use(
    way: str, vectors: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "BUSY_SECONDS", 0.01)
    model = Local()
    with break_by(way, vectors):
        before = vectors.read_bytes() if vectors.is_file() else b""
        assert model.encode(TEXTS).any(axis=1).tolist() == [True, True, True, False, True]
        assert model.encode(TEXTS)[0].any()
        assert (vectors.read_bytes() if vectors.is_file() else b"") == before
    assert model.made == 6


@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_paid_where_it_could_not_be_kept(
    way: str, server: FakeTeacher, vectors: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "PAID_BUSY_SECONDS", 0.01)
    with break_by(way, vectors), pytest.raises(MimicitError, match=r"name another one with \$MIM"):
        open_text("openai:m").encode(TEXTS)
    assert server.count == 0


def test_a_database_of_somebody_elses_is_left_alone(server: FakeTeacher, vectors: Path) -> None:
    vectors.parent.mkdir()
    with contextlib.closing(sqlite3.connect(vectors)) as database:
        database.execute("CREATE TABLE theirs (x)")
        database.commit()
    before = vectors.read_bytes()
    for encode in (open_text("openai:m").encode, Local().encode):
        with pytest.raises(UsageError, match="is a database, but not one of vectors"):
            encode(TEXTS)
    assert vectors.read_bytes() == before
    assert server.count == 0


class Local:
    """A model of one's own that counts what it makes."""

    def __init__(self) -> None:
        self.made = 0
        self._cache = VectorCache("local")

    def encode(self, texts: list[str]) -> np.ndarray:
        def groups(places: list[int]) -> cache.Groups:
            for place in places:
                self.made += 1
                yield [place], np.array([[len(texts[place]), 1.0, -2.0]])

        return kept(self._cache, (len(texts), 3), lambda place: text_digest(texts[place]), groups)


def test_a_local_model_makes_each_vector_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "WINDOW", 2)
    first, second = Local(), Local()
    vectors = first.encode(TEXTS)
    assert first.made == 3
    assert (second.encode(TEXTS) == vectors).all()
    assert second.made == 0
    assert (second.encode(["new", *TEXTS])[1:] == vectors).all()
    assert second.made == 1


def test_a_vector_of_the_wrong_length_is_made_again(vectors: Path) -> None:
    before = Local().encode(TEXTS)
    with contextlib.closing(sqlite3.connect(vectors)) as database:
        database.execute("UPDATE vectors SET vector=x'00' WHERE rowid=1")
        database.commit()
    again = Local()
    assert (again.encode(TEXTS) == before).all()
    assert again.made == 1


def test_without_a_setting_vectors_lie_beside_the_journal(
    inside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MIMICIT_VECTORS")
    Local().encode(TEXTS)
    assert (inside / ".mimicit" / "vectors.db").is_file()
