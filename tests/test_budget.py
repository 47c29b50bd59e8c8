"""Budgets: what is sent, what is not, and what an account remembers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import KEY, Asking, Coco
from hypothesis import given
from hypothesis import strategies as st

from mimicit.budget import Budget, account_of, find_price
from mimicit.config import Endpoint
from mimicit.errors import BudgetExceeded, UsageError
from mimicit.journal import Journal
from mimicit.ledger import NANO, Spending
from mimicit.prices import Price
from mimicit.schema import ImagePart, ImageRef, Message, Reply, Request
from mimicit.testing import FakeTeacher

PRICE = {"input": 2.0, "output": 8.0, "cached": 0.5}
"""Dollars for a million tokens."""


@pytest.fixture
def prices(tmp_path: Path) -> Path:
    path = tmp_path / "prices.yaml"
    path.write_text(yaml.safe_dump({"date": "2026-01-01", "models": {"fake": PRICE}}))
    content = path.read_text().replace("'2026-01-01'", "2026-01-01")
    path.write_text(content)
    return path


@pytest.fixture
def dozen(coco: Coco) -> Path:
    for number in range(12):
        coco.picture(number).caption(number, f"A cat and {number} dogs on the grass.")
    return coco.write()


def billed(server: FakeTeacher) -> float:
    """Say what the endpoint would send a bill for, in dollars."""
    sent, received = server.billed
    return Price(**PRICE).cost(sent, received)


def account(asking: Asking, out: str = "out") -> Spending:
    with Journal(asking.journal) as journal:
        return journal.spending(out)


def test_a_build_ends_at_the_line_and_a_larger_budget_goes_on(
    dozen: Path, asking: Asking, prices: Path
) -> None:
    limits = (0.04, 0.04, 0.05, 1.0)  # a request may cost 0.023, and costs 0.006
    counts = []
    for limit in limits[:-1]:
        with pytest.raises(BudgetExceeded, match=r"--budget-usd") as told:
            asking(dozen, prices=prices, budget_usd=limit)
        assert told.value.exit_code == 5
        counts.append(asking.server.count)
        assert billed(asking.server) <= limit
        assert account(asking).gone / NANO == pytest.approx(billed(asking.server))
        assert account(asking).held == 0
        assert not (asking.folder / "out").exists()
    assert 0 < counts[0] == counts[1] < counts[2] < 12
    summary = asking(dozen, prices=prices, budget_usd=limits[-1])
    assert asking.server.count == 12, "not one reply was bought twice"
    bill = summary.asked.bill
    assert bill
    assert bill.bought == account(asking).spent - bill.before.spent


def test_the_line_is_used_up_as_replies_turn_out_cheaper(
    dozen: Path, asking: Asking, prices: Path
) -> None:
    with pytest.raises(BudgetExceeded):
        asking(dozen, prices=prices, budget_usd=0.06)  # of which 0.023 is set aside for each
    assert asking.server.count > 4


def test_no_money_sends_nothing(dozen: Path, asking: Asking, prices: Path) -> None:
    with pytest.raises(BudgetExceeded):
        asking(dozen, prices=prices, budget_usd=0)
    assert asking.server.count == 0


def test_what_is_there_already_needs_no_budget(dozen: Path, asking: Asking, prices: Path) -> None:
    asking(dozen, limit=2)
    assert asking.calls(dozen, prices=prices, budget_usd=0, limit=2) == 0


def test_a_build_without_a_budget_is_counted_and_another_dataset_is_not(
    dozen: Path, asking: Asking, prices: Path
) -> None:
    asking(dozen, prices=prices, limit=6)
    spent = account(asking).spent
    assert spent / NANO == pytest.approx(billed(asking.server))
    with pytest.raises(BudgetExceeded):
        asking(dozen, prices=prices, budget_usd=spent / NANO)
    assert asking.calls(dozen, out="other", prices=prices, budget_usd=1, limit=7) == 1
    assert account(asking).spent == spent
    assert 0 < account(asking, "other").spent < spent


def test_without_a_price_there_is_no_budget(dozen: Path, asking: Asking) -> None:
    with pytest.raises(UsageError, match=r"(?s)none is known for 'fake'.*--prices"):
        asking(dozen, budget_usd=5)
    assert asking.server.count == 0
    assert not asking.journal.exists() or account(asking) == Spending()


@pytest.mark.parametrize("usd", [-1.0, float("nan"), float("inf")])
def test_a_budget_is_a_number_of_dollars(usd: float) -> None:
    with pytest.raises(UsageError, match="budget"):
        find_price("gpt-4o", None, usd)


def test_an_attempt_that_nobody_answered_is_in_doubt(
    dozen: Path, asking: Asking, prices: Path
) -> None:
    asking.server.fail("hang", times=2)
    endpoint = Endpoint(asking.server.base_url, concurrency=2, timeout=0.5)
    summary = asking(dozen, prices=prices, budget_usd=5, endpoint=endpoint)
    stands = account(asking)
    assert stands.spent / NANO == pytest.approx(billed(asking.server))
    assert stands.doubtful > 0
    assert summary.asked.bill
    assert summary.asked.bill.doubtful == stands.doubtful
    refused = asking.server.count
    asking.server.fail("429", times=3, retry_after=0)
    asking(dozen, out="free", prices=prices, limit=3, replicates=2, endpoint=endpoint)
    assert asking.server.count > refused + 3
    assert account(asking, "free").doubtful == 0, "a 429 is not charged for"


def test_attempts_in_doubt_do_not_pass_the_line(dozen: Path, asking: Asking, prices: Path) -> None:
    asking.server.fail("garbage")
    with pytest.raises((BudgetExceeded,)):
        asking(dozen, prices=prices, budget_usd=0.05)
    assert account(asking).gone / NANO <= 0.05
    assert asking.server.count < 5


def test_the_command_line_says_what_was_spent(dozen: Path, prices: Path, tmp_path: Path) -> None:
    with FakeTeacher(latency=0) as server:
        settings = {"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": KEY}
        build = ["build", "-s", "coco", "--root", str(dozen), "--teacher", "openai"]
        build += ["--model", "fake", "--out", "out", "--prices", str(prices), "--budget-usd"]

        def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
            return subprocess.run(
                [sys.executable, "-m", "mimicit", *arguments],
                cwd=tmp_path,
                env={**os.environ, **settings},
                check=False,
                capture_output=True,
                text=True,
            )

        done = run(*build, "0.04")
        assert done.returncode == 5
        assert "the budget of $0.0400 is used up" in done.stderr
        assert "Traceback" not in done.stderr
        assert "$0.0" in done.stderr.splitlines()[-2], "the progress line"
        done = run(*build, "1")
        assert done.returncode == 0, done.stderr
        spent = f"${billed(server):.4f} in all"
        assert spent in done.stdout
        assert "../out: $" in run("journal", "info").stdout
        assert run(*build, "much").returncode == 2


# -------------------------------------------------------------------- counting


def request(text: str = "What is it?", pictures: int = 0, **parameters: int) -> Request:
    part = ImagePart("a" * 64, 512, ImageRef("LA_IMG_1", "/", "1.png"))
    shown = [part] * pictures
    return Request("t", (Message("user", (text, *shown)),), tuple(parameters.items()))


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("budget") / "journal.db"


def budget(journal: Journal, **price: object) -> Budget:
    made = Price.model_validate({**PRICE, **price})
    return Budget(journal, "out", lambda _: (1024, 2048), price=made)


def test_pictures_are_counted_by_the_models_rule_at_the_size_they_are_sent(book: Path) -> None:
    with Journal(book) as journal:
        money = budget(journal, tiles=(100, 10))
        text, shown = money.tokens(request())[0], money.tokens(request(pictures=2))[0]
        assert shown - text == 2 * (100 + 10)  # 1024 x 2048, fitted to 512: one tile


def test_the_limit_on_the_reply_is_what_it_may_cost(book: Path) -> None:
    with Journal(book) as journal:
        money = budget(journal)
        short, long = money.cost(request(max_tokens=10)), money.cost(request(max_tokens=1010))
        assert (long - short) / NANO == pytest.approx(8.0 * 1000 / 1e6)
        other = money.cost(request(max_completion_tokens=10))
        assert other == short


def test_cached_tokens_are_cheaper_and_usage_that_is_not_stated_is_estimated(book: Path) -> None:
    with Journal(book) as journal:
        money, asked = budget(journal), request()
        reply = Reply(asked.key, "word " * 100, "stop", "m", 1000, 100, 600)
        charge = money.charge(asked, reply)
        assert charge
        assert charge.spent / NANO == pytest.approx((400 * 2 + 600 * 0.5 + 100 * 8) / 1e6)
        silent = money.charge(asked, Reply(asked.key, "word " * 100, "stop", "m", 0, 0))
        assert silent
        assert 100 * 8 / 1e6 <= silent.spent / NANO <= 150 * 8 / 1e6


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_the_cost_is_what_the_price_says(sent: int, received: int) -> None:
    cost = Price(**PRICE).cost(sent, received)
    assert cost == pytest.approx((sent * 2 + received * 8) / 1e6)


def test_an_account_is_named_by_the_way_from_the_journal(tmp_path: Path) -> None:
    journal = tmp_path / ".mimicit" / "journal.db"
    assert account_of(tmp_path / "out" / "coco", journal) == "../out/coco"
    assert account_of(Path("elsewhere"), Path("journal.db")) == "elsewhere"
