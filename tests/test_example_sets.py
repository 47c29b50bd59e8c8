"""Instructions with the examples before each."""

from pathlib import Path

import pytest
from conftest import Builder, Coco

import mimicit
from mimicit.dataset import Dataset
from mimicit.example_sets import Shown, example_sets, licence_of


def test_each_query_comes_with_the_examples_that_load_gives(own_data: Path) -> None:
    dataset = mimicit.load(own_data)
    found = list(example_sets(dataset))
    assert [each.query.id for each in found] == [each.id for each in dataset]
    for each, example in zip(found, dataset, strict=True):
        assert [c.id for c in each.contexts] == example.row["rel_ins_ids"]
        assert [(c.instruction, c.answer) for c in each.contexts] == [
            (c.instruction, c.answer) for c in example.context
        ]
        assert [list(c.image_ids) for c in each.contexts] == [
            c.row["image_ids"] for c in example.context
        ]
        assert each.shown[-1] is each.query
        assert (each.split, each.kind) == (example.row["split"], example.row["kind"])


def test_a_split_has_its_own_queries_and_takes_its_examples_from_train(own_data: Path) -> None:
    dataset = Dataset(own_data)
    train = {each.query.id for each in example_sets(dataset, "train")}
    held_out = list(example_sets(dataset, "test"))
    assert len(held_out) == dataset.instructions.column("split").to_pylist().count("test")
    assert {c.id for each in held_out for c in each.contexts} <= train


def test_instructions_without_examples_and_as_json_lines(pets: Coco, build_coco: Builder) -> None:
    out = build_coco(pets.root, shots=0, format="jsonl").out
    found = list(example_sets(Dataset(out)))
    assert found
    assert not any(each.contexts for each in found)


def test_an_example_that_is_not_there_is_named(sample: Path) -> None:
    dataset = Dataset(sample)
    dataset.instructions = dataset.instructions.slice(1)
    with pytest.raises(KeyError, match="LA_INS_900000000001_00"):
        list(example_sets(dataset))


def test_licences_of_all_that_is_shown_are_told_once_each() -> None:
    named = ["CC0-1.0", "", "CC-BY-4.0 AND CC0-1.0", "Public domain"]
    shown = [Shown(str(n), "Q?", "A.", ("i",), text) for n, text in enumerate(named)]
    assert licence_of(shown) == "CC0-1.0 AND CC-BY-4.0 AND Public domain"
    assert licence_of(shown[1:2]) == ""
