"""Estimating tokens and what they cost."""

import datetime as dt
import json
import math
import time
from pathlib import Path

import pytest
import yaml
from conftest import SHARED, needs_shared
from hypothesis import given
from hypothesis import strategies as st

from mimicit.errors import UsageError
from mimicit.prices import DEFAULT_IMAGE_TOKENS, Price, load
from mimicit.tokens import Patches, Tiles, text_tokens

SIDES = st.integers(1, 20_000)

SAMPLES = [  # with their tokens, as OpenAI's tokenizer o200k_base counts them
    ("A man rides a brown horse along the beach while two children watch from the pier.", 17),
    ('[{"label": "dog", "box": [0.123, 0.456]}, {"label": "traffic light", "box": [12.5, 3]}]', 39),
    ("def area(box):\n    left, top, width, height = box\n    return width * height\n", 21),
    ("一只猫坐在红色的沙发上，旁边放着一本打开的书。", 21),  # noqa: RUF001
    ("Eine Katze sitzt auf dem roten Sofa, daneben liegt ein Buch.", 13),
]


@pytest.mark.parametrize(("text", "real"), SAMPLES)
def test_an_estimate_is_near_what_a_tokenizer_counts(text: str, real: int) -> None:
    assert abs(text_tokens(text) - real) <= max(2, 0.15 * real)


@needs_shared
def test_real_captions_and_boxes_come_out_within_six_percent() -> None:
    folder = SHARED / "coco" / "annotations"
    captions = json.loads((folder / "captions_val2017.json").read_text())["annotations"]
    boxes = json.loads((folder / "instances_val2017.json").read_text())["annotations"]
    prose = "\n".join(caption["caption"] for caption in captions)
    numbers = json.dumps([{"id": box["id"], "bbox": box["bbox"]} for box in boxes])
    assert 0.98 < text_tokens(prose) / 23_656 < 1.06  # counted with o200k_base
    assert 0.98 < text_tokens(numbers) / 70_926 < 1.06


MIXED = st.text("aZé 's09.\",_{\n\t\r я愛ก😀", max_size=20)  # where kinds of pieces meet


@given(MIXED | st.text(), MIXED | st.text())
def test_text_appended_never_makes_it_cheaper(text: str, more: str) -> None:
    assert text_tokens(text + more) >= text_tokens(text)


@given(st.text())
def test_every_text_costs_something_and_no_more_than_two_tokens_a_character(text: str) -> None:
    assert bool(text) <= text_tokens(text) <= 2 * len(text)


@pytest.mark.parametrize("unit", [" ", "\n", "a", "A", "'", " '", "愛", "{", "Aa", "\t\n"])
def test_a_text_of_a_million_characters_is_measured_at_once(unit: str) -> None:
    text = unit * (1_000_000 // len(unit)) + "x"
    started = time.perf_counter()
    assert text_tokens(text) > 0
    assert time.perf_counter() - started < 5  # a quadratic search would take hours


def test_a_picture_costs_what_the_guide_says() -> None:
    assert Tiles(85, 170).tokens(1024, 1024) == 765
    assert Tiles(85, 170).tokens(2048, 4096) == 1105
    assert Patches(1).tokens(1024, 1024) == 1024
    assert Patches(1).tokens(1800, 2400) == 1452
    assert Patches(1.2, 2500).tokens(1024, 1024) == 1229
    assert Patches(1.2, 2500).tokens(2048, 2048) == 3000


def test_a_picture_of_one_tile_or_patch_is_not_enlarged() -> None:
    assert Tiles(85, 170).tokens(512, 512) == Tiles(85, 170).tokens(1, 1) == 255
    assert Patches(1).tokens(32, 32) == Patches(1).tokens(1, 1) == 1


def test_a_picture_is_scaled_to_the_nearest_pixel() -> None:
    # as billed: https://community.openai.com/t/1281361
    assert Tiles(85, 170).tokens(2049, 513) == 85 + 8 * 170
    assert Tiles(85, 170).tokens(2050, 513) == 85 + 4 * 170


def test_a_multiplier_rounds_up_but_not_by_its_own_error() -> None:
    assert Patches(1.62).tokens(1024, 1024) == 1659  # 1658.88
    assert Patches(1.1).tokens(320, 320) == 110  # 100 * 1.1 is 110.00000000000001


@given(SIDES, SIDES)
def test_tiles_stay_within_their_rule_and_do_not_care_for_the_side_up(w: int, h: int) -> None:
    tokens = Tiles(85, 170).tokens(w, h)
    assert 85 + 170 <= tokens <= 85 + 8 * 170
    assert tokens == Tiles(85, 170).tokens(h, w)


@given(SIDES, SIDES, st.sampled_from([1, 7, 256, 1536, 2500, 6144]), st.floats(0.5, 3))
def test_patches_never_exceed_their_cap(w: int, h: int, cap: int, multiplier: float) -> None:
    tokens = Patches(multiplier, cap).tokens(w, h)
    assert 1 <= tokens <= math.ceil(round(cap * multiplier, 6))
    assert tokens == Patches(multiplier, cap).tokens(h, w)


@pytest.mark.parametrize("size", [(0, 10), (10, 0), (-1, 10), (10, -5)])
def test_a_picture_without_pixels_is_refused(size: tuple[int, int]) -> None:
    for rule in (Tiles(85, 170), Patches(1)):
        with pytest.raises(ValueError, match="positive sides"):
            rule.tokens(*size)


def test_the_shipped_prices_are_read_and_dated() -> None:
    table = load()
    assert table.date <= dt.datetime.now(dt.UTC).date()
    assert table.models["gpt-4o-mini"].image_tokens == Tiles(2833, 5667)
    for name, price in table.models.items():
        assert price.output > price.input > (price.cached or 0) >= 0, name
        assert price.tiles or price.patches, name


def test_a_request_costs_its_tokens_times_their_prices() -> None:
    price = load().find("gpt-4o")
    assert price is not None
    assert price.cost(2_000, 500) == pytest.approx(0.01)


def test_a_dated_name_has_the_price_of_its_base() -> None:
    table = load()
    assert table.find("gpt-4o-2024-08-06") is table.find("gpt-4o") is table.models["gpt-4o"]
    assert table.find("gpt-4o-mini-2024-07-18") is table.models["gpt-4o-mini"]
    own = table.models["gpt-4o-2024-05-13"]  # a version with a price of its own
    assert table.find("gpt-4o-2024-05-13") is own != table.find("gpt-4o")


SIMILAR = "gpt-4o-audio gpt-4o-mini-foo gpt-4 gpt-4o-2024 gpt-4o-2024-08-06-x GPT-4o my-gpt-4o"


@pytest.mark.parametrize("model", [*SIMILAR.split(), "", "-2024-08-06", "gpt-4o-2024-08-06\n"])
def test_a_name_that_only_resembles_a_known_one_has_no_price(model: str) -> None:
    assert load().find(model) is None


def test_each_rule_for_pictures_can_be_written() -> None:
    rules = {
        "tiles: [10, 20]": Tiles(10, 20),
        "patches: 1.5": Patches(1.5),
        "patches: [1.5, 100]": Patches(1.5, 100),
        "cached: 0": DEFAULT_IMAGE_TOKENS,  # none stated
    }
    for text, rule in rules.items():
        fields = yaml.safe_load(f"{{input: 1, output: 2, {text}}}")
        assert Price.model_validate(fields).image_tokens == rule


def test_a_users_prices_win_and_the_shipped_ones_stay_for_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text("date: 2026-01-02\nmodels: {gpt-4o: {input: 1, output: 2}}\n")
    own, shipped = load(path), load()
    assert own.models["gpt-4o"] == Price(input=1, output=2, date=dt.date(2026, 1, 2))
    assert own.models["gpt-4.1"] == shipped.models["gpt-4.1"]
    assert own.models.keys() == shipped.models.keys()


BAD_FILES = {
    "": "\nthe file: ",
    "a: [": "cannot read",
    "models: {}": "\ndate: ",
    "date: 20260102\nmodels: {}": "\ndate: ",
    "date: 2026-01-02": "\nmodels: ",
    "date: 2026-01-02\nmodels: {}\nmore: 1": "\nmore: ",
}
BAD_PRICES = {
    "input: 1": ".output: ",
    "input: -1, output: 1": ".input: ",
    "input: .nan, output: .inf": ".output: ",
    "input: true, output: 1": ".input: ",
    "input: 1, output: 1, outptu: 1": ".outptu: ",
    "input: 1, output: 1, tiles: [1]": ".tiles.1: ",
    "input: 1, output: 1, patches: 0": ".patches",
    "input: 1, output: 1, tiles: [1, 2], patches: 1": ": Value error, state",
}
BAD = BAD_FILES | {
    f"date: 2026-01-02\nmodels: {{a: {{{price}}}}}": f"\nmodels.a{said}"
    for price, said in BAD_PRICES.items()
}


@pytest.mark.parametrize(("content", "said"), BAD.items())
def test_a_bad_file_is_refused_with_what_is_wrong(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(content)
    with pytest.raises(UsageError, match=r"mine\.yaml.*expected") as caught:
        load(path)
    assert said in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.yaml"):
        load(tmp_path / "none.yaml")
