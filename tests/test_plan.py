"""The plan: what it says a build would ask is what the build asks."""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Asking, Coco, run_cli

from mimicit import prices, upkeep
from mimicit.config import BuildConfig, SourceConfig
from mimicit.errors import UsageError
from mimicit.plan import Plan, plan
from mimicit.testing import FakeTeacher
from mimicit.tokens import Patches, Tiles


def plan_of(root: Path, journal: Path, **settings: Any) -> Plan:
    source = SourceConfig(name="coco", options={"root": str(root)})
    settings = {"teacher": "openai", "model": "gpt-4o-mini", **settings}
    config = BuildConfig(sources=[source], **settings)
    return plan(config, prices.load(), journal=journal)


def test_what_is_planned_is_what_is_asked(pets: Coco, asking: Asking) -> None:
    for settings in ({}, {"replicates": 2}, {"limit": 2, "replicates": 3}, {"vision": False}):
        before = plan_of(pets.root, asking.journal, model="fake", **settings)
        assert before.left == asking.calls(pets.root, **settings)
        after = plan_of(pets.root, asking.journal, model="fake", **settings)
        assert (after.left, after.known, after.cost) == (0, before.requests, None)


def test_a_scene_that_would_be_turned_away_is_not_planned(pets: Coco, asking: Asking) -> None:
    (pets.root / "tiny" / "2.jpg").write_bytes(b"no picture")
    assert plan_of(pets.root, asking.journal).requests == 2


def test_planning_makes_no_journal(pets: Coco, tmp_path: Path) -> None:
    plan_of(pets.root, tmp_path / "none" / "journal.db")
    assert not (tmp_path / "none").exists()


def test_pictures_cost_by_the_size_they_are_sent_at(coco: Coco, tmp_path: Path) -> None:
    coco.picture(1, size=(2000, 1000)).caption(1, "A field.").write()
    small = plan_of(coco.root, tmp_path / "j.db", send_max_side=512)
    large = plan_of(coco.root, tmp_path / "j.db", send_max_side=2048)
    assert small.image_tokens == Tiles(2833, 5667).tokens(512, 256)
    assert large.image_tokens == Tiles(2833, 5667).tokens(2000, 1000)
    assert small.patch_tokens == Patches(1.0).tokens(512, 256)
    assert plan_of(coco.root, tmp_path / "j.db", vision=False).images == 0


def test_the_cost_is_tokens_times_prices(pets: Coco, tmp_path: Path) -> None:
    found = plan_of(pets.root, tmp_path / "j.db")
    assert found.cost is not None
    assert found.cost == pytest.approx(found.input_tokens * 0.15e-6 + found.output_tokens * 0.60e-6)
    assert found.most_output_tokens == 3 * 2000
    unknown = plan_of(pets.root, tmp_path / "j.db", model="mine")
    assert unknown.cost is None
    assert unknown.tile_tokens > 0


def test_replies_to_come_are_expected_to_be_like_those_that_came(
    coco: Coco, asking: Asking
) -> None:
    for number in range(24):
        coco.picture(number).caption(number, f"A cat and {number} dogs.")
    coco.write()
    asking(coco.root, limit=12)
    found = plan_of(coco.root, asking.journal, model="fake")
    (bought,) = upkeep.info(asking.journal).teachers
    assert (bought.replies, found.known, found.left) == (12, 12, 12)
    assert found.output_tokens == bought.output_tokens


def test_the_estimate_of_the_text_is_near_what_a_server_counts(pets: Coco, asking: Asking) -> None:
    found = plan_of(pets.root, asking.journal, model="fake", vision=False)
    summary = asking(pets.root, vision=False)
    assert found.text_tokens == pytest.approx(summary.asked.input_tokens, rel=0.3)


@pytest.mark.parametrize(
    ("limits", "seconds"),
    [
        ({}, 100 * 2 / 10),
        ({"rpm": 60.0}, 100),
        ({"tpm_in": 1000.0}, 60 * 5000 / 1000),
        ({"tpm_in": 1000.0, "tpm_out": 500.0}, 60 * 5000 / 500),
        ({"rpm": 60.0, "tpm_out": 60_000.0}, 100),
    ],
)
def test_the_time_is_that_of_the_narrowest_limit(limits: dict[str, float], seconds: float) -> None:
    found = Plan("m", requests=100, text_tokens=5000, output_tokens=5000)
    assert found.seconds(10, reply_seconds=2.0, **limits) == seconds
    assert Plan("m").seconds(10) == 0


def test_templates_need_no_plan(pets: Coco, tmp_path: Path) -> None:
    source = SourceConfig(name="coco", options={"root": str(pets.root)})
    with pytest.raises(UsageError, match="cost nothing"):
        plan(BuildConfig(sources=[source]), prices.load(), journal=tmp_path / "j.db")


def test_the_command_says_what_it_would_cost(inside: Path) -> None:
    done = run_cli("plan", "-s", "coco", "--sample", "--model", "gpt-4o-mini", "--rpm", "5")
    assert done.returncode == 0, done.stderr
    assert "to ask        10, with 10 pictures" in done.stdout
    assert "about $0.0" in done.stdout
    assert "about 2 minutes" in done.stdout
    done = run_cli("plan", "-s", "coco", "--sample", "--model", "mine")
    assert "no price for 'mine'" in done.stdout
    (inside / "own.yaml").write_text(
        "date: 2026-11-01\nmodels:\n  mine: {input: 100, output: 100}\n"
    )
    done = run_cli("plan", "-s", "coco", "--sample", "--model", "mine", "--prices", "own.yaml")
    assert "as of 2026-11-01" in done.stdout
    assert run_cli("plan", "-s", "coco", "--sample").returncode == 2


def test_prompts_are_shown_as_they_would_be_sent(inside: Path, teacher: FakeTeacher) -> None:
    done = run_cli("prompts", "show", "coco")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("----- system\nYou write")
    assert "[picture LA_IMG_900000000001, at its own size" in done.stdout
    one = run_cli("prompts", "show", "coco", "--scene", "900000000003", "--no-vision").stdout
    assert "picture LA_IMG" not in one
    build = ["build", "-s", "coco", "--sample", "--teacher", "openai", "--model", "MODEL"]
    done = run_cli(
        *build, "--no-vision", "--only", "900000000003", OPENAI_BASE_URL=teacher.base_url
    )
    assert done.returncode == 0, done.stderr
    (call,) = teacher.calls
    for message in call.body["messages"]:
        assert f"----- {message['role']}\n{message['content']}\n" in one
    shown = run_cli("prompts", "show", "coco", "--scene", "900000000003", "--no-vision", "--json")
    assert json.loads(shown.stdout) == call.body
    assert run_cli("prompts", "show", "coco", "--scene", "7").returncode == 2
    assert run_cli("prompts", "show", "nothing").returncode == 2
