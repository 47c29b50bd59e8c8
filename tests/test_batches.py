"""Asking by the batch: the same dataset, for half the money, wherever it is interrupted."""

import signal
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Asking, Coco, contents
from test_paid_runs import command, committed, environment

from mimicit import batch_log
from mimicit.config import Endpoint
from mimicit.errors import BudgetExceeded, Incomplete, TeacherError
from mimicit.journal import Journal
from mimicit.ledger import NANO, Spending
from mimicit.prices import Price
from mimicit.teachers import batch as wire
from mimicit.testing import FakeTeacher

PRICE = {"input": 2.0, "output": 8.0}


@pytest.fixture
def dozen(coco: Coco) -> Path:
    for number in range(12):
        coco.picture(number).caption(number, f"A cat and {number} dogs on the grass.")
    return coco.write()


@pytest.fixture
def prices(tmp_path: Path) -> Path:
    path = tmp_path / "prices.yaml"
    path.write_text(yaml.safe_dump({"models": {"fake": PRICE}}) + "date: 2026-01-01\n")
    return path


def by_batch(asking: Asking, root: Path, out: str = "out", **kw: Any) -> Any:
    return asking(root, out, endpoint=Endpoint(asking.server.base_url, batch=True), **kw)


def asked_how_often(server: FakeTeacher) -> Counter[str]:
    """Count how often each body was asked about, live or in a batch."""
    return Counter(call.key for call in server.calls)


def account(asking: Asking) -> Spending:
    with Journal(asking.journal) as journal:
        return journal.spending("out")


def open_batches(journal: Path) -> int:
    with Journal(journal) as opened:
        return len(opened.read(lambda database: batch_log.listed(database, "fake")))


def test_the_dataset_is_that_of_a_live_build_at_half_the_price(
    dozen: Path, asking: Asking, prices: Path, tmp_path: Path
) -> None:
    bill = by_batch(asking, dozen, prices=prices).asked.bill
    server = asking.server
    assert server.count == 1, "the first one finds out what the endpoint takes"
    assert [batch.status for batch in server.batches] == ["completed"]
    assert set(asked_how_often(server).values()) == {1}
    live, half = (
        Price.model_validate(PRICE).cost(*t) for t in (server.billed, server.batch_billed)
    )
    assert account(asking).gone / NANO == pytest.approx(live + half / 2)
    assert account(asking).held == 0
    assert bill.gone == account(asking).gone, "what the summary says is what was charged"
    assert open_batches(asking.journal) == 0
    asking(dozen, "live", journal=tmp_path / "live.db")
    assert contents(tmp_path / "out") == contents(tmp_path / "live")


def test_live_and_batch_mix(dozen: Path, asking: Asking, tmp_path: Path) -> None:
    asking(dozen, limit=5)
    by_batch(asking, dozen, limit=9)
    asking(dozen)
    assert set(asked_how_often(asking.server).values()) == {1}
    assert len(asking.server.calls) == 12


def test_files_are_cut_by_lines_and_by_bytes(
    dozen: Path, asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "MAX_LINES", 4)
    by_batch(asking, dozen)
    assert sorted(batch.lines for batch in asking.server.batches) == [3, 4, 4]
    size = max(batch.bytes for batch in asking.server.batches)
    monkeypatch.setattr(wire, "MAX_BYTES", size)
    by_batch(asking, dozen, teacher_id="once more")
    later = asking.server.batches[3:]
    assert len(later) >= 3
    assert all(batch.bytes <= size for batch in later)
    assert sum(batch.lines for batch in later) == 11


@pytest.mark.parametrize("fault", ["batch-expire", "batch-lose"])
def test_what_a_batch_does_not_bring_is_handed_in_again(
    dozen: Path, asking: Asking, fault: str
) -> None:
    asking.server.fail(fault, times=1)
    summary = by_batch(asking, dozen)
    assert summary.asked.replies == 12
    assert len(asking.server.batches) == 2
    assert asking.server.batches[1].lines < asking.server.batches[0].lines


def test_an_error_inside_an_output_file_is_an_error(dozen: Path, asking: Asking) -> None:
    asking.server.fail("batch-mixed", times=1)
    asking.server.fail("400", where=lambda body: "and 7 dogs" in str(body["messages"][-1]))
    with pytest.raises(Incomplete, match="1 status-400"):
        by_batch(asking, dozen)
    assert len(committed(asking.journal)) == 11
    asking.server.mend()
    assert by_batch(asking, dozen).asked.replies == 1


@pytest.mark.slow
def test_lines_that_may_pass_are_handed_in_again_but_not_for_ever(
    dozen: Path, asking: Asking
) -> None:
    asking.server.fail("500", where=lambda body: "and 7 dogs" in str(body["messages"][-1]))
    with pytest.raises(Incomplete, match="1 status-500"):
        by_batch(asking, dozen)
    assert max(asked_how_often(asking.server).values()) == 3


def test_a_refused_batch_ends_the_run_with_all_put_back(dozen: Path, asking: Asking) -> None:
    asking.server.fail("batch-fail", times=1)
    with pytest.raises(TeacherError, match="failed"):
        by_batch(asking, dozen)
    assert open_batches(asking.journal) == 0
    assert account(asking).held == 0
    assert by_batch(asking, dozen).asked.replies == 11


@pytest.mark.slow
def test_a_budget_holds_for_batches_too(dozen: Path, asking: Asking, prices: Path) -> None:
    with pytest.raises(BudgetExceeded):
        by_batch(asking, dozen, prices=prices, budget_usd=0.03)
    assert 1 < len(committed(asking.journal)) < 12
    assert account(asking).gone / NANO <= 0.03
    by_batch(asking, dozen, prices=prices, budget_usd=1)
    assert set(asked_how_often(asking.server).values()) == {1}


def run(root: Path, out: Path, server: FakeTeacher, journal: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command(root, out, "--batch"),
        env=environment(server, journal),
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_a_stopped_build_collects_later_even_live(dozen: Path, tmp_path: Path) -> None:
    journal, out = tmp_path / "journal.db", tmp_path / "out"
    with FakeTeacher(latency=0, batch_seconds=3) as server:
        build = run(dozen, out, server, journal)
        while not server.batches:
            time.sleep(0.01)
        time.sleep(0.3)
        build.send_signal(signal.SIGINT)
        said = build.communicate()[1]
        assert build.returncode == 130, said
        assert "run again to collect" in said
        assert open_batches(journal) == 1
        done = subprocess.run(
            command(dozen, out),
            env=environment(server, journal),
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert server.count == 1, "what the batch brings is not asked live"
        assert set(asked_how_often(server).values()) == {1}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(9))
def test_killed_anywhere_a_batch_is_neither_lost_nor_paid_twice(
    dozen: Path, tmp_path: Path, seed: int
) -> None:
    journal, out = tmp_path / "journal.db", tmp_path / "out"
    with FakeTeacher(latency=0, batch_seconds=0.4) as server:
        for step in range(3):
            build = run(dozen, out, server, journal)
            while build.poll() is None and not server.calls:
                time.sleep(0.01)
            time.sleep(0.05 * ((seed * 7 + step * 11) % 20))
            build.kill()
            build.communicate()
        build = run(dozen, out, server, journal)
        said = build.communicate(timeout=120)[1]
        assert build.returncode == 0, said
        assert open_batches(journal) == 0
        batched = Counter(call.key for call in server.calls if call.batch)
        assert set(batched.values()) <= {1}, "a line was submitted twice"
        assert len(committed(journal)) == 12


@pytest.mark.slow
def test_two_builds_at_once_submit_once(dozen: Path, tmp_path: Path) -> None:
    journal = tmp_path / "journal.db"
    with FakeTeacher(latency=0, batch_seconds=0.5) as server:
        builds = [run(dozen, tmp_path / f"out{n}", server, journal) for n in range(2)]
        said = [build.communicate(timeout=120)[1] for build in builds]
        assert [build.returncode for build in builds] == [0, 0], said
        assert set(asked_how_often(server).values()) == {1}
    assert contents(tmp_path / "out0") == contents(tmp_path / "out1")


def test_a_batch_elsewhere_is_named(dozen: Path, asking: Asking) -> None:
    with Journal(asking.journal) as journal:
        asking(dozen, limit=1)
        key = next(iter(committed(asking.journal)))
        batch = batch_log.Batch("b", "r", "o", "http://elsewhere/v1", "fake", "out", 1.0)
        journal.commit(lambda d: batch_log.begin(d, batch, {}, {})).result()
        mark = bytes.fromhex(key)
        journal.commit(lambda d: d.execute("DELETE FROM replies WHERE key = ?", (mark,))).result()
        row = (mark, "b", 0, 0)
        journal.commit(lambda d: d.execute("INSERT INTO batched VALUES (?, ?, ?, ?)", row)).result()
    with pytest.raises(TeacherError, match=r"--base-url http://elsewhere/v1"):
        asking(dozen)


def test_nothing_of_a_batch_is_left_on_the_disk(dozen: Path, asking: Asking) -> None:
    by_batch(asking, dozen)
    names = {path.name for path in asking.journal.parent.iterdir()}
    assert names <= {"journal.db", "journal.db-wal", "journal.db-shm", "coco", "out"}, names
