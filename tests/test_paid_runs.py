"""Paid builds as processes: stopped, killed, two at once, and without a network."""

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import KEY, SHARED, Coco, contents, needs_shared

from mimicit.testing import FakeTeacher
from mimicit.validate import find_problems


def command(root: Path, out: Path, *more: str) -> list[str]:
    ours = [sys.executable, "-m", "mimicit", "build", "-s", "coco", "--root", str(root)]
    return [*ours, "--teacher", "openai", "--model", "fake", "--out", str(out), *more]


def environment(server: FakeTeacher, journal: Path) -> dict[str, str]:
    settings = {"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": KEY}
    return {**os.environ, **settings, "MIMICIT_JOURNAL": str(journal)}


def committed(journal: Path) -> set[str]:
    if not journal.exists():
        return set()
    with contextlib.closing(sqlite3.connect(journal, timeout=30)) as database:
        return {key.hex() for (key,) in database.execute("SELECT key FROM replies")}


@pytest.fixture
def many(coco: Coco) -> Path:
    for number in range(60):
        coco.picture(number).caption(number, f"A cat and {number} dogs.")
    return coco.write()


def test_two_builds_at_once_pay_once(many: Path, tmp_path: Path) -> None:
    with FakeTeacher(latency=0.05) as server:
        env = environment(server, tmp_path / "journal.db")
        builds = [
            subprocess.Popen(
                command(many, tmp_path / f"out{number}"), env=env, stderr=subprocess.PIPE
            )
            for number in range(3)
        ]
        said = [build.communicate()[1].decode() for build in builds]
        assert [build.returncode for build in builds] == [0, 0, 0], said
        assert server.count == 60
    assert contents(tmp_path / "out0") == contents(tmp_path / "out1") == contents(tmp_path / "out2")


@pytest.mark.parametrize(
    "sent", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_stopping_keeps_every_reply_and_publishes_nothing(
    many: Path, tmp_path: Path, sent: signal.Signals
) -> None:
    journal, out = tmp_path / "journal.db", tmp_path / "out"
    with FakeTeacher(latency=0.2) as server:
        env = environment(server, journal)
        with subprocess.Popen(
            command(many, out, "--concurrency", "4"), env=env, stderr=subprocess.PIPE, text=True
        ) as build:
            while server.answered < 10:
                time.sleep(0.01)
            build.send_signal(sent)
            said = build.communicate()[1]
        assert build.returncode == 130, said
        assert "every reply is kept" in said
        assert "Traceback" not in said
        assert not out.exists()
        # those under way were waited for: what was answered is kept, to the last
        assert len(committed(journal)) == server.answered < 60
        subprocess.run(command(many, out), env=env, check=True, capture_output=True)
        assert server.count == 60


@pytest.mark.parametrize(
    "times", [pytest.param(1, marks=pytest.mark.slow), 2, pytest.param(5, marks=pytest.mark.slow)]
)
def test_a_build_that_hangs_on_its_teacher_stops_all_the_same(
    many: Path, tmp_path: Path, times: int
) -> None:
    with FakeTeacher(latency=0) as server:
        env = environment(server, tmp_path / "journal.db")
        server.fail("hang", where=lambda _: server.count > 5)
        with subprocess.Popen(
            command(many, tmp_path / "out"), env=env, stderr=subprocess.PIPE, text=True
        ) as build:
            while server.count < 20:
                time.sleep(0.01)
            for _ in range(times):  # a user who cannot wait
                build.send_signal(signal.SIGINT)
                time.sleep(0.1)
            said = build.communicate(timeout=60)[1]
        assert build.returncode == 130, said
        assert "Traceback" not in said


NO_NETWORK = """
import sys
def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        raise RuntimeError(f"{event} {arguments}")
sys.addaudithook(refuse)
from mimicit.cli import main
sys.argv[0] = "mimicit"
main()
"""


def test_without_calls_no_socket_is_opened(many: Path, tmp_path: Path) -> None:
    journal = tmp_path / "journal.db"
    with FakeTeacher(latency=0) as server:
        env = environment(server, journal)
        subprocess.run(command(many, tmp_path / "out"), env=env, check=True, capture_output=True)
    before = contents(tmp_path / "out")
    env = {"MIMICIT_JOURNAL": str(journal), "PATH": os.environ["PATH"]}
    offline = [sys.executable, "-c", NO_NETWORK]
    arguments = command(many, tmp_path / "again")[3:]
    subprocess.run([*offline, *arguments, "--no-calls"], env=env, check=True, capture_output=True)
    assert contents(tmp_path / "again") == before
    plan = ["plan", "-s", "coco", "--root", str(many), "--model", "gpt-4o-mini"]
    subprocess.run([*offline, *plan], env=env, check=True, capture_output=True)


def test_a_pending_build_exits_with_6_and_says_what_to_do(many: Path, tmp_path: Path) -> None:
    with FakeTeacher(latency=0) as server:
        env = environment(server, tmp_path / "journal.db")
        server.fail("400", where=lambda body: "and 7 dogs" in str(body["messages"][-1]))
        done = subprocess.run(
            command(many, tmp_path / "out"), env=env, check=False, capture_output=True, text=True
        )
        assert done.returncode == 6
        assert "1 of 60 requests have no reply" in done.stderr
        assert "--partial" in done.stderr
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "out").exists()
        done = subprocess.run(
            command(many, tmp_path / "out", "--no-calls", "--partial"),
            env=env,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert "pending" in done.stdout


@pytest.mark.slow
@needs_shared
def test_twenty_kills_cost_only_what_was_in_flight(tmp_path: Path) -> None:
    journal, out, calm = tmp_path / "journal.db", tmp_path / "out", tmp_path / "calm"
    more = ["--concurrency", "64", "-n", "3"]
    total = 3 * 389
    with FakeTeacher(latency=0.2) as server:
        env = environment(server, tmp_path / "calm.db")
        run = command(SHARED / "coco", calm, *more)
        subprocess.run(run, env=env, check=True, capture_output=True)
        assert server.count == total
        assert server.peak > 32
    run = command(SHARED / "coco", out, *more)
    chance = random.Random(11)
    with FakeTeacher(latency=0.2) as server:
        env = environment(server, journal)
        lost = 0
        for _ in range(20):
            kept, calls = committed(journal), server.count
            build = subprocess.Popen(run, env=env, stderr=subprocess.DEVNULL)
            moment = calls + chance.randrange(1, 90)
            while server.count < moment:
                assert build.poll() is None
                time.sleep(0.001)
            time.sleep(chance.uniform(0, 0.2))
            build.kill()
            build.wait()
            time.sleep(0.3)  # until what it had sent has arrived
            assert committed(journal) >= kept
            in_flight = (server.count - calls) - (len(committed(journal)) - len(kept))
            assert 0 <= in_flight <= 64 + 8, "what was asked, and an eighth on its way to the disk"
            lost += in_flight
            assert not out.exists()
        subprocess.run(run, env=env, check=True, capture_output=True)
        assert server.count == total + lost  # not one committed reply was asked for again
    assert contents(out) == contents(calm)
    assert find_problems(out) == []
