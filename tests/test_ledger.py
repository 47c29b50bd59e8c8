"""The ledger: amounts set aside, charged and in doubt, whoever dies when."""

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_journal import asked, child, keys, said

from mimicit import batch_log, journal_file, ledger
from mimicit.batch_log import Batch
from mimicit.journal import Journal
from mimicit.ledger import NANO, Charge, Hold, Spending, dollars


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def hold(numbers: range | list[int], cost: int = 10, limit: int | None = None) -> Hold:
    return Hold("out", dict.fromkeys(keys(*numbers), cost), limit)


def test_what_is_claimed_is_set_aside_until_its_reply_is_charged(path: Path) -> None:
    with Journal(path) as journal:
        assert journal.claim(keys(1, 2), hold([1, 2])) == set(keys(1, 2))
        assert journal.spending("out") == Spending(0, 0, 20)
        journal.put(asked(1), said(1), Charge("out", 7)).result()
        assert journal.spending("out") == Spending(7, 0, 10)
        journal.fail(asked(2), "timeout", "too late", Charge("out", 0, 10))
        journal.put(asked(3), said(3)).result()
        assert journal.spending("out") == Spending(7, 10, 0)
    with Journal(path) as journal:
        assert journal.spending("out") == Spending(7, 10, 0)
        assert journal.spending("another") == Spending()


def test_nothing_is_claimed_past_the_limit_nor_after_it(path: Path) -> None:
    with Journal(path) as journal:
        asking = Hold("out", dict(zip(keys(1, 2, 3), (10, 30, 1), strict=True)), 35)
        assert journal.claim(keys(1, 2, 3), asking) == set(keys(1))
        assert asking.short == keys(2)[0]
        assert journal.spending("out").held == 10


def test_what_has_a_reply_needs_no_money(path: Path) -> None:
    with Journal(path) as journal:
        journal.put(asked(1), said(1), Charge("out", 9)).result()
        asking = hold([1], cost=10, limit=10)
        assert journal.claim(keys(1), asking) == set()
        assert not asking.short


def test_another_build_on_the_same_account_counts(path: Path) -> None:
    with Journal(path) as one, Journal(path) as two:
        one.claim(keys(1, 2), hold([1, 2], limit=25))
        asking = hold([3], limit=25)
        assert two.claim(keys(3), asking) == set()
        assert asking.short == keys(3)[0]
        one.put(asked(1), said(1), Charge("out", 2)).result()
        assert two.claim(keys(3), hold([3], limit=25)) == set(keys(3))


def test_a_build_that_was_killed_leaves_what_it_had_under_way_in_doubt(path: Path) -> None:
    Journal(path).close()
    script = "from mimicit.ledger import Hold; key = asked(1).key; "
    script += "Journal(path).claim([key], Hold('out', {key: 10})); os._exit(0)"
    with child(script, path) as process:
        process.wait()
    with Journal(path) as journal:
        assert journal.spending("out") == Spending(0, 10, 0)
        assert journal.claim(keys(1), hold([1])) == set(keys(1))
        assert journal.spending("out") == Spending(0, 10, 10), "counted once"


def test_a_build_that_closes_leaves_nothing_in_doubt(path: Path) -> None:
    with Journal(path) as journal:
        journal.claim(keys(1), hold([1]))
    with Journal(path) as journal:
        assert journal.spending("out") == Spending()


def test_another_attempt_is_set_aside_too_if_it_fits(path: Path) -> None:
    with Journal(path) as journal:
        journal.claim(keys(1), hold([1], limit=25))
        assert journal.hold(keys(1)[0], "out", 10, 25)
        assert not journal.hold(keys(1)[0], "out", 10, 25)
        assert journal.spending("out").held == 20
        journal.put(asked(1), said(1), Charge("out", 4, 10)).result()
        assert journal.spending("out") == Spending(4, 10, 0)


@given(st.lists(st.tuples(st.integers(0, 8), st.booleans()), max_size=12))
def test_an_account_never_passes_its_limit(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, bool]]
) -> None:
    with Journal(tmp_path_factory.mktemp("ledger") / "journal.db") as journal:
        for number, answered in steps:
            cost = 3 * number + 1
            ours = journal.claim(keys(number), Hold("out", {keys(number)[0]: cost}, 50))
            if ours and answered:
                journal.put(asked(number), said(number), Charge("out", cost)).result()
            assert journal.spending("out").total <= 50


def test_a_journal_without_a_ledger_gets_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as older:
        older.setattr(journal_file, "VERSION", 1)
        older.setattr(journal_file, "TABLES", journal_file.REPLIES)
        journal_file.open_file(path, create=True).close()
    reply = said(1)
    with sqlite3.connect(path) as database:
        row = (bytes.fromhex(reply.key), "t", 0, reply.text, "stop", "m", 3, 5, 1.0)
        database.execute("INSERT INTO replies VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    database.close()
    with Journal(path) as journal:
        found = journal.get(reply.key)
        assert found
        assert found.text == reply.text
        assert journal.claim(keys(1, 2), hold([1, 2])) == set(keys(2))
        assert journal.spending("out") == Spending(0, 0, 10)


# ------------------------------------------------------------------- batches


def begun(journal: Journal, *numbers: int) -> Batch:
    batch = Batch("b1", "", journal.owner, "http://here/v1", "teacher", "out", 1.0)
    requests = {asked(n).key: asked(n) for n in numbers}
    journal.claim(list(requests), hold(list(numbers)))
    costs = dict.fromkeys(requests, 10)
    journal.commit(lambda database: batch_log.begin(database, batch, requests, costs)).result()
    return batch


def test_what_is_in_a_batch_is_nobody_elses_to_ask(path: Path) -> None:
    with Journal(path) as journal:
        batch = begun(journal, 1, 2)
        assert journal.spending("out") == Spending(0, 0, 20)
    with Journal(path) as journal:  # whoever submitted it is gone, the batch is not
        assert journal.claim(keys(1, 2, 3), hold([1, 2, 3])) == set(keys(3))
        assert journal.read(lambda d: batch_log.holding(d, keys(1)[0])) == batch.id
        assert journal.read(lambda d: batch_log.listed(d, "teacher")) == [batch]
        assert journal.read(lambda d: batch_log.listed(d, "another")) == []
        assert journal.spending("out") == Spending(0, 0, 30)


def test_what_a_batch_brings_is_kept_and_charged_once(path: Path) -> None:
    with Journal(path) as journal:
        batch = begun(journal, 1, 2, 3)
        for _ in range(2):  # a collector that was cut off reads the same lines again
            journal.commit(lambda d: batch_log.keep(d, batch, said(1), 4)).result()
            journal.commit(
                lambda d: batch_log.fail(d, batch, keys(2)[0], "status-400", "")
            ).result()
        assert journal.get(keys(1)[0]) == said(1)
        assert journal.spending("out") == Spending(4, 0, 10)
        left = journal.commit(lambda d: batch_log.end(d, batch.id)).result()
        assert left == keys(3)
        assert journal.spending("out") == Spending(4)
        assert journal.claim(keys(1, 2, 3)) == set(keys(2, 3))


def test_amounts_are_spelt_in_dollars() -> None:
    assert [dollars(n) for n in (0, NANO // 1000, 12 * NANO, 1234 * NANO)] == [
        "$0.00",
        "$0.0010",
        "$12.00",
        "$1,234.00",
    ]


def test_the_ledgers_statements_are_those_of_the_journals_version() -> None:
    assert journal_file.MIGRATIONS[1] == ledger.TABLES
