"""Types, ids and what is derived from the published row."""

import json
import string
from dataclasses import replace
from pathlib import Path

import datasets
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mimicit.names import escape_id
from mimicit.schema import (
    ImagePart,
    ImageRef,
    Instruction,
    Message,
    Request,
    Scene,
)
from mimicit.tables import TABLES, arrow_schema, card_features, instruction_json_schema

ids = st.text(alphabet=string.ascii_letters + string.digits + "._-/~ é", min_size=1, max_size=12)


@given(ids, ids)
def test_escaping_an_id_is_injective_and_safe(a: str, b: str) -> None:
    assert (escape_id(a) == escape_id(b)) == (a == b)
    assert set(escape_id(a)) <= set(string.ascii_letters + string.digits + "._-~")


def scene(name: str) -> Scene:
    ref = ImageRef("LA_IMG_1", "/r", "a.jpg")
    return Scene("coco", name, "LA", (ref,), (), (name,))


@given(
    st.tuples(ids.map(escape_id), st.integers(0, 200), st.integers(0, 3)),
    st.tuples(ids.map(escape_id), st.integers(0, 200), st.integers(0, 3)),
)
def test_instruction_ids_are_injective(a: tuple[str, int, int], b: tuple[str, int, int]) -> None:
    first = scene(a[0]).instruction_id(a[1], a[2])
    second = scene(b[0]).instruction_id(b[1], b[2])
    assert (first == second) == (a == b)


def instruction(**changes: object) -> dict[str, object]:
    return {
        "id": "LA_INS_1_00",
        "instruction": "What?",
        "answer": "That.",
        "image_ids": ["LA_IMG_1"],
        "rel_ins_ids": [],
        "source": "coco",
        "split": "train",
        "language": "en",
        "kind": "count",
        "scene_id": "1",
        "group": "1",
        "licence": "",
        "teacher": "templates",
        "prompt_sha256": "",
        "request_key": "",
        **changes,
    }


def test_a_good_row_is_taken() -> None:
    assert Instruction.model_validate(instruction()).id == "LA_INS_1_00"


@pytest.mark.parametrize(
    "name", ["LACONV_00_INS_000000033471_0", "LACR_I2I_00_INS_000000033471", "E4D_04_INS_00390970"]
)
def test_published_ids_are_taken_as_they_are(name: str) -> None:
    image = name.replace("_INS_", "_IMG_")
    row = Instruction.model_validate(instruction(id=name, image_ids=[image], rel_ins_ids=[name]))
    assert (row.id, row.image_ids, row.rel_ins_ids) == (name, [image], [name])


@pytest.mark.parametrize(
    "change",
    [
        {"id": "1"},
        {"id": "LA_INS_../x"},
        {"id": "LA__INS_1"},
        {"id": "_LA_INS_1"},
        {"answer": ""},
        {"image_ids": []},
        {"image_ids": ["x"]},
        {"split": "dev"},
        {"language": "English"},
        {"more": 1},
    ],
)
def test_a_wrong_row_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Instruction.model_validate(instruction(**change))


@pytest.mark.parametrize("table", TABLES)
def test_datasets_reads_the_same_features_from_files_and_card(table: str) -> None:
    features = datasets.Features.from_arrow_schema(arrow_schema(table))
    assert features._to_yaml_list() == card_features(table)
    assert list(features) == list(TABLES[table].model_fields)


def test_pictures_are_images_to_datasets() -> None:
    features = datasets.Features.from_arrow_schema(arrow_schema("images"))
    assert isinstance(features["image"], datasets.Image)


def test_the_kept_json_schema_is_in_step() -> None:
    kept = Path(__file__).parents[1] / "docs" / "instruction.schema.json"
    assert json.loads(kept.read_text()) == instruction_json_schema(), "mimicit schema > docs/…"


def request(**changes: object) -> Request:
    part = ImagePart("ab" * 32, 768, ImageRef("LA_IMG_1", "/r", "a.jpg"))
    base = Request(
        teacher="model",
        messages=(Message("system", ("Be brief.",)), Message("user", ("Look:", part))),
        parameters=(("temperature", 0.7),),
        reply_schema='{"type":"object"}',
    )
    return replace(base, **changes)  # type: ignore[arg-type]  # changes are the fields' own types


def test_a_request_is_the_same_wherever_its_picture_lies() -> None:
    moved = ImagePart("ab" * 32, 768, ImageRef("LA_IMG_9", "/elsewhere", "b.jpg"))
    messages = (Message("system", ("Be brief.",)), Message("user", ("Look:", moved)))
    assert request(messages=messages).key == request().key


@pytest.mark.parametrize(
    "change",
    [
        {"teacher": "other"},
        {"messages": (Message("system", ("Be brief!",)),)},
        {"messages": (Message("user", ("Look:",)), Message("user", ("Look:",)))},
        {"parameters": (("temperature", 0.8),)},
        {"reply_schema": ""},
        {"replicate": 1},
        {
            "messages": (
                Message("system", ("Be brief.",)),
                Message("user", ("Look:", ImagePart("ab" * 32, 512, ImageRef("i", "/r", "a")))),
            )
        },
    ],
)
def test_whatever_can_change_the_reply_changes_the_key(change: dict[str, object]) -> None:
    assert request(**change).key != request().key


def test_the_order_of_parameters_does_not_change_the_key() -> None:
    one = request(parameters=(("a", 1), ("b", 2)))
    assert one.key == request(parameters=(("b", 2), ("a", 1))).key
