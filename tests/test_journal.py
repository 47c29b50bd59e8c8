"""The journal: what counts as kept is kept, whoever else writes and however a process ends."""

import contextlib
import inspect
import itertools
import os
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimicit import journal as journal_module
from mimicit import journal_writer
from mimicit.errors import MimicitError
from mimicit.journal import Journal
from mimicit.schema import Message, Reply, Request


def asked(number: int) -> Request:
    return Request("teacher", (Message("user", (f"question {number}",)),))


def said(number: int, text: str = "an answer") -> Reply:
    return Reply(asked(number).key, text, "stop", "model", 3, 5)


PRELUDE = f"""
import os, random, resource, signal, sys, time
from pathlib import Path
from mimicit.errors import MimicitError
from mimicit.journal import Journal
from mimicit.schema import Message, Reply, Request
{inspect.getsource(asked)}
{inspect.getsource(said)}
def ready():
    print("ready", flush=True)
    sys.stdin.readline()
path = Path(sys.argv[1])
"""


def child(script: str, *args: object) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", PRELUDE + textwrap.dedent(script), *map(str, args)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def go(process: "subprocess.Popen[str]") -> None:
    assert process.stdin
    process.stdin.write("go\n")
    process.stdin.flush()


def outputs(*processes: "subprocess.Popen[str]") -> list[str]:
    """Start all that are ready, at once, and wait for what they print."""
    assert [line(process) for process in processes] == ["ready"] * len(processes)
    for process in processes:
        go(process)
    ended = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), ended
    return [out for out, _ in ended]


def keep(path: Path, *numbers: int) -> None:
    with Journal(path) as journal:
        for number in numbers:
            journal.put(asked(number), said(number))


def keys(*numbers: int) -> list[str]:
    return [asked(number).key for number in numbers]


def raw(path: Path, query: str, *values: object) -> list[tuple[object, ...]]:
    """Ask the file itself, past all code of ours."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        return database.execute(query, values).fetchall()


def at_once(count: int, do: Callable[[], object]) -> None:
    """Do something in threads, all at the same moment."""
    barrier = threading.Barrier(count)
    errors: list[Exception] = []

    def run() -> None:
        barrier.wait()
        try:
            do()
        except Exception as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


# ------------------------------------------------------------------ what is kept stays

PUTTING = """
    journal = Journal(path)
    for number in range(10**6):
        numbers = range(number * 5, number * 5 + 5)
        for future in [journal.put(asked(n), said(n, f"answer {n} " * 300)) for n in numbers]:
            future.result()
        print(*numbers, flush=True)
"""


def killed_while_putting(path: Path, lines: int) -> list[int]:
    with child(PUTTING, path) as process:
        printed = [line(process) for _ in range(lines)]
        os.kill(process.pid, signal.SIGKILL)
        assert process.stdout
        printed += process.stdout.read().splitlines()
    return [int(number) for row in printed for number in row.split()]


def test_a_committed_reply_survives_kill_9(path: Path) -> None:
    counted = killed_while_putting(path, 40)
    with Journal(path, create=False) as journal:
        for number in counted:
            assert journal.get(asked(number).key) == said(number, f"answer {number} " * 300)
    assert len(counted) >= 200


@pytest.mark.slow
def test_many_kills_at_any_moment_lose_nothing_and_leave_the_file_whole(path: Path) -> None:
    moments = random.Random(7)
    counted: set[int] = set()
    for _ in range(25):
        counted |= set(killed_while_putting(path, moments.randrange(1, 120)))
        with Journal(path, create=False) as journal:
            assert [n for n in counted if asked(n).key not in journal] == []
        assert raw(path, "PRAGMA integrity_check") == [("ok",)]


def test_what_commits_replies_syncs_at_every_commit(path: Path) -> None:
    with Journal(path) as journal:
        journal.put(asked(1), said(1)).result()
        assert journal._writer
        writes = journal._writer._database
        assert writes.execute("PRAGMA synchronous").fetchone() == (2,)
        assert writes.execute("PRAGMA fullfsync").fetchone() == (1,)
        assert raw(path, "SELECT count(*) FROM replies") == [(1,)], "done means in the file"


def test_the_first_reply_stays(path: Path) -> None:
    keep(path, 1)
    before = raw(path, "SELECT * FROM replies")
    with Journal(path) as journal:
        journal.put(asked(1), said(1, "another")).result()
        assert journal.get(asked(1).key) == said(1)
    assert raw(path, "SELECT * FROM replies") == before


numbers = itertools.count()
any_text = st.text(st.characters() | st.sampled_from("\0\ud800\udfff"))


@given(any_text, any_text, any_text)
def test_any_text_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, text: str, finish: str, model: str
) -> None:
    with Journal(tmp_path_factory.getbasetemp() / "any.db") as journal:
        request = asked(next(numbers))
        reply = Reply(request.key, text, finish, model, 0, 2**53)
        journal.put(request, reply).result(60)
        assert journal.get(request.key) == reply


@pytest.mark.parametrize("text", ["", "a\0b\0", "\ud800", "x\udfff\U0001f600", "é\n" * 2_500_000])
def test_odd_and_large_texts_come_back(path: Path, text: str) -> None:
    with Journal(path) as journal:
        journal.put(asked(1), said(1, text))
        journal.fail(asked(2), text[:9], text)
    with Journal(path, create=False) as journal:
        assert journal.get(asked(1).key) == said(1, text)


@pytest.mark.parametrize(("text", "tokens"), [("", 2**70), (None, 0)])
def test_what_cannot_be_kept_ends_its_future_with_a_reason(
    path: Path, text: str, tokens: int
) -> None:
    keep(path, 1)
    journal = Journal(path)
    for do in (
        lambda: journal.put(asked(2), Reply(asked(2).key, text, "", "", tokens, 0)).result(60),
        lambda: journal.put(asked(3), said(3)),
        journal.close,
    ):
        with pytest.raises(MimicitError, match=r"journal\.db"):
            do()
    assert raw(path, "SELECT key FROM replies") == [(bytes.fromhex(asked(1).key),)]


def test_a_reply_on_its_way_cannot_be_cancelled(path: Path) -> None:
    with Journal(path) as journal:
        assert not journal.put(asked(1), said(1)).cancel()
        journal.put(asked(2), said(2)).result()
        assert asked(1).key in journal


# ------------------------------------------------------------------ several at once


def test_threads_with_two_journals_on_a_new_file_lose_nothing(path: Path) -> None:
    def build() -> None:
        with Journal(path) as journal:

            def put() -> None:
                for number in range(50):
                    assert journal.get(asked(number).key) in (None, said(number))
                    journal.put(asked(number), said(number))
                    journal.claim(keys(number + 1000))
                    journal.fail(asked(number + 1000), "timeout", "too late")

            at_once(3, put)

    at_once(2, build)
    assert raw(path, "SELECT count(*) FROM replies") == [(50,)]
    assert raw(path, "SELECT count(*) FROM failures") == [(300,)]


CLAIMING = """
    ready()
    with Journal(path) as journal:
        for start in range(0, 300, 10):
            chunk = [n for n in range(start, start + 10)]
            ours = journal.claim([asked(n).key for n in chunk])
            for n in chunk:
                if asked(n).key in ours:
                    journal.put(asked(n), said(n)).result()
                    print(n)
"""


def test_processes_on_a_new_file_ask_each_request_once(tmp_path: Path) -> None:
    path = tmp_path / "new" / ".mimicit" / "journal.db"
    printed = outputs(*(child(CLAIMING, path) for _ in range(4)))
    assert sorted(int(number) for text in printed for number in text.split()) == list(range(300))
    assert raw(path, "SELECT count(*) FROM replies") == [(300,)]
    assert raw(path, "SELECT count(*) FROM claims") == [(0,)]


def test_the_claims_of_a_dead_process_are_void_at_once(path: Path) -> None:
    script = "journal = Journal(path); journal.claim([asked(1).key]); ready()"
    with Journal(path) as journal, child(script, path) as process:
        assert line(process) == "ready"
        assert journal.claim(keys(1)) == set()
        process.kill()
        process.wait()
        assert journal.claim(keys(1)) == set(keys(1))


@pytest.mark.parametrize("owner", ["elsewhere:4194999:ab", "with:colons:4194999:ab", "container"])
def test_the_claims_of_another_machine_or_container_hold(path: Path, owner: str) -> None:
    with child("Journal(path).claim([asked(1).key]); os._exit(0)", path) as process:
        process.wait()
    if owner != "container":
        raw(path, "UPDATE claims SET owner = ?", owner)
    elif sys.platform == "linux":  # process ids of another namespace
        raw(path, "UPDATE claims SET owner = replace(owner, 'pid:[', 'pid:[9')")
    else:
        pytest.skip("no namespaces here")
    with Journal(path) as journal:
        assert journal.claim(keys(1, 2)) == set(keys(2))


def test_a_claim_holds_until_its_lease_ends_and_then_is_another_ones(path: Path) -> None:
    with Journal(path) as one, Journal(path) as two, Journal(path) as three:
        assert one.claim(keys(1, 2)) == set(keys(1, 2)) == one.claim(keys(1, 2))
        assert two.claim(keys(1, 2)) == set()
        raw(path, "UPDATE claims SET until = 1")
        assert two.claim(keys(1)) == set(keys(1))
        one.fail(asked(1), "timeout", "")
        one.put(asked(9), said(9)).result()
        assert three.claim(keys(1, 2)) == set(keys(2)), "a late failure frees no claim of others"


@pytest.mark.slow
def test_a_lease_is_renewed_while_the_build_lives(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "LEASE_SECONDS", 0.2)
    with Journal(path) as journal:
        journal.claim(keys(1))
        ((first,),) = raw(path, "SELECT until FROM claims")
        while raw(path, "SELECT until FROM claims") == [(first,)]:
            time.sleep(0.01)


def test_a_lease_begins_when_the_claim_is_made(path: Path) -> None:
    keep(path, 0)
    with Journal(path) as journal, contextlib.closing(sqlite3.connect(path)) as other:
        other.isolation_level = None
        journal.claim(keys(0))
        other.execute("BEGIN IMMEDIATE")
        claiming = threading.Thread(target=journal.claim, args=(keys(1),))
        claiming.start()
        time.sleep(0.3)
        assert journal.put(asked(2), said(2)), "nobody else waits with it"
        ended = time.time()
        other.execute("COMMIT")
        claiming.join()
        ((until,),) = other.execute("SELECT until FROM claims").fetchall()
        assert until >= ended + journal_writer.LEASE_SECONDS


def test_claims_are_given_back(path: Path) -> None:
    with Journal(path) as other:
        with Journal(path) as journal:
            journal.claim(keys(1, 2, 3, 4, 5))
            other.release(keys(2))
            assert other.claim(keys(2)) == set(), "only its owner gives it back"
            journal.release(keys(1))
            assert other.claim(keys(1, 2)) == set(keys(1))
            journal.put(asked(3), said(3)).result()
            journal.fail(asked(4), "timeout", "")
            journal.put(asked(6), said(6)).result()
            assert other.claim(keys(3, 4, 6)) == set(keys(4)), "answered, failed, answered"
        assert other.claim(keys(2, 5)) == set(keys(2, 5)), "closed"


def test_a_failure_is_logged_and_never_served(path: Path) -> None:
    with Journal(path) as journal:
        journal.fail(asked(1), "timeout", "x" * 5000)
    with Journal(path, create=False) as journal:
        assert asked(1).key not in journal
        assert journal.get(asked(1).key) is None
    assert raw(path, "SELECT teacher, reason, length(detail) FROM failures") == [
        ("teacher", "timeout", 2000)
    ]


# ------------------------------------------------------------------ how it ends


def test_closing_commits_what_is_on_its_way(path: Path) -> None:
    journal = Journal(path)
    futures = [journal.put(asked(n), said(n)) for n in range(500)]
    journal.close()
    journal.close()
    assert all(future.done() for future in futures)
    assert raw(path, "SELECT count(*) FROM replies") == [(500,)]
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_closing_commits_even_if_it_is_interrupted(path: Path) -> None:
    script = """
    journal = Journal(path)
    journal.put(asked(1), said(1)).result()
    ready()
    journal.put(asked(2), said(2))
    print("closing", flush=True)
    try:
        journal.close()
    except KeyboardInterrupt:
        print("interrupted")
    """
    with child(script, path) as process, contextlib.closing(sqlite3.connect(path)) as other:
        assert line(process) == "ready"
        other.isolation_level = None
        other.execute("BEGIN IMMEDIATE")
        go(process)
        assert line(process) == "closing"
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        other.execute("COMMIT")
        assert process.communicate()[0] == "interrupted\n"
    assert raw(path, "SELECT count(*) FROM replies") == [(2,)]


def test_a_forked_child_takes_nothing_from_its_parent(path: Path) -> None:
    script = """
    ready()
    with Journal(path) as journal:
        journal.claim([asked(1).key])
        pid = os.fork()
        if not pid:
            try:
                journal.put(asked(2), said(2)).result()
            except MimicitError as error:
                print(error, flush=True)
            journal.close()
            os._exit(0)
        os.waitpid(pid, 0)
        with Journal(path) as other:
            print(other.claim([asked(1).key]))
        journal.put(asked(3), said(3)).result()
    """
    (printed,) = outputs(child(script, path))
    assert "opened anew after a fork\nset()\n" in printed
    assert raw(path, "SELECT count(*) FROM replies") == [(1,)]


@pytest.mark.parametrize("limit", [0, 50_000, 2_000_000])
def test_a_full_disk_ends_the_run_and_keeps_what_was_committed(path: Path, limit: int) -> None:
    script = """
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
    ready()
    try:
        journal = Journal(path)
        for n in range(2000):
            journal.put(asked(n), said(n, "x" * 2000)).result()
            print(n)
    except MimicitError as error:
        print(error)
    for do in (lambda: journal.put(asked(1), said(1)), journal.close) if n else ():
        try:
            do()
        except MimicitError as error:
            print(error)
    """
    printed = outputs(child("n = 0\n" + textwrap.dedent(script), path, limit))[0].splitlines()
    errors = [text for text in printed if not text.isdigit()]
    assert len(errors) == (3 if limit == 2_000_000 else 1)
    assert all("see whether its disk is full" in text for text in errors)
    with Journal(path) as journal:
        assert journal.claim([asked(int(n)).key for n in printed if n.isdigit()]) == set()
        journal.put(asked(3000), said(3000)).result()


def test_a_full_database_says_to_free_space(path: Path) -> None:
    journal = Journal(path)
    journal.put(asked(2), said(2)).result()
    assert journal._writer
    journal._writer._database.execute("PRAGMA max_page_count=1")
    with pytest.raises(MimicitError, match=r"journal\.db.*full.*free some space"):
        journal.put(asked(3), said(3, "x" * 500_000)).result()
    with pytest.raises(MimicitError, match="free some space"):
        journal.close()
    assert raw(path, "SELECT count(*) FROM replies") == [(1,)]


def test_closing_waits_for_threads_that_are_reading(path: Path) -> None:
    keep(path, *range(50))
    for _ in range(50):
        journal = Journal(path)

        def read(journal: Journal = journal) -> None:
            with contextlib.suppress(MimicitError):  # it is closed
                for number in itertools.count():
                    journal.claim(keys(1000 + number % 10))
                    assert journal.get(asked(number % 50).key)

        threads = [threading.Thread(target=read) for _ in range(3)]
        for thread in threads:
            thread.start()
        journal.close()
        for thread in threads:
            thread.join()


def test_a_journal_that_is_removed_takes_no_more_replies(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = Journal(path)
    journal.put(asked(1), said(1)).result(30)
    path.unlink()
    with pytest.raises(MimicitError, match="removed or replaced"):
        journal.put(asked(2), said(2)).result(30)
    with pytest.raises(MimicitError, match="removed or replaced"):
        journal.close()
