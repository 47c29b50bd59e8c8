"""Whatever an endpoint does and whenever a build is killed: the dataset of an undisturbed run."""

import os
import random
import re
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from conftest import Coco, contents
from test_paid_runs import command, committed, environment

from mimicit.journal import Journal
from mimicit.ledger import NANO, Spending
from mimicit.prices import Price
from mimicit.testing import FakeTeacher
from mimicit.validate import find_problems

SCENES = 90
PRICE = {"input": 2.0, "output": 8.0}
FAULTS = ("429", "500", "503", "hang", "drop", "drop-midway", "garbage", "html", "huge", "slow")


@pytest.fixture
def many(coco: Coco) -> Path:
    for number in range(SCENES):
        coco.picture(number).caption(number, f"A cat and {number} dogs.")
    return coco.write()


def keys_by_number(out: Path) -> dict[int, str]:
    """Tell each scene's request key, as a dataset has it."""
    table = pq.read_table(out / "instructions", columns=["scene_id", "request_key"])
    return {int(row["scene_id"]): row["request_key"] for row in table.to_pylist()}


def asked_about(body: dict[str, Any]) -> int:
    found = re.search(r"A cat and (\d+) dogs", str(body["messages"][-1]))
    assert found
    return int(found[1])


def account(journal: Path) -> Spending:
    with Journal(journal) as opened:
        return opened.spending("out")


def disturb(server: FakeTeacher, chance: random.Random) -> None:
    """Let the server misbehave in a few ways, each now and then."""
    server.mend()
    for kind in chance.sample(FAULTS, 4):
        often = chance.choice((2, 3, 5, 9))
        server.fail(kind, every=often, retry_after=0.05 if kind in {"429", "503"} else None)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_kills_and_faults_cost_no_reply_and_change_no_byte(
    many: Path, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    prices = tmp_path / "prices.yaml"
    prices.write_text(yaml.safe_dump({"models": {"fake": PRICE}}) + "date: 2026-01-01\n")
    journal, out, calm = tmp_path / "journal.db", tmp_path / "out", tmp_path / "calm"
    budget = 60.0
    ways = ["--timeout", "1", "--concurrency", "16", "--prices", str(prices)]
    ways += ["--budget-usd", str(budget)]
    with FakeTeacher(latency=0.05) as server:
        env = environment(server, tmp_path / "calm.db")
        subprocess.run(command(many, calm), env=env, check=True, capture_output=True)
    keys = keys_by_number(calm)
    assert len(keys) == SCENES
    with FakeTeacher(latency=0.05) as server:
        env = environment(server, journal)
        run = command(many, out, *ways)
        for _ in range(12):
            disturb(server, chance)
            before, calls = committed(journal), server.count
            build = subprocess.Popen(run, env=env, stderr=subprocess.PIPE, start_new_session=True)
            try:
                said = build.communicate(timeout=chance.uniform(1.5, 6))[1]
                assert build.returncode in {0, 6, 7}, said
            except subprocess.TimeoutExpired:
                os.killpg(build.pid, signal.SIGKILL)
                said = build.communicate()[1]
            assert b"Traceback" not in said, said
            time.sleep(0.2)  # until what it had sent has arrived
            after = committed(journal)
            assert before <= after, "a committed reply was lost"
            again = {keys[asked_about(call.body)] for call in server.calls[calls:]} & before
            assert not again, "a committed reply was asked for again"
            assert spent(server) <= account(journal).gone / NANO <= budget
        server.mend()
        done = subprocess.run(run, env=env, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert spent(server) <= account(journal).gone / NANO + 1e-9
        assert Counter(asked_about(call.body) for call in server.calls).keys() == set(range(SCENES))
    assert contents(out) == contents(calm)
    assert find_problems(out) == []


def spent(server: FakeTeacher) -> float:
    """Say what the endpoint would send a bill for, in dollars."""
    return Price.model_validate(PRICE).cost(*server.billed)


@pytest.mark.slow
def test_however_it_is_killed_the_bill_stays_below_the_budget(many: Path, tmp_path: Path) -> None:
    chance = random.Random(7)
    prices = tmp_path / "prices.yaml"
    prices.write_text(yaml.safe_dump({"models": {"fake": PRICE}}) + "date: 2026-01-01\n")
    journal, out = tmp_path / "journal.db", tmp_path / "out"
    with FakeTeacher(latency=0.1) as server:
        env = environment(server, journal)
        for limit in (0.1, 0.2, 0.2, 0.4, 0.4, 0.8):
            run = command(many, out, "--prices", str(prices), "--budget-usd", str(limit))
            with subprocess.Popen(run, env=env, stderr=subprocess.PIPE) as build:
                calls = server.count
                while build.poll() is None and server.count < calls + 5:
                    time.sleep(0.005)
                time.sleep(chance.uniform(0, 0.3))
                build.kill()
            time.sleep(0.3)
            assert spent(server) <= account(journal).gone / NANO <= limit
        run = command(many, out, "--prices", str(prices), "--budget-usd", "9")
        done = subprocess.run(run, env=env, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "in doubt" in done.stdout
