"""The export for TRL, LLaMA-Factory and ms-swift: each must see what the dataset says."""

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import pytest
import yaml
from conftest import contents
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mimicit.config import BuildConfig, SourceConfig
from mimicit.dataset import Dataset, Example, load
from mimicit.errors import UsageError
from mimicit.example_sets import ExampleSet, Shown
from mimicit.exporters import Export, export
from mimicit.exporters._conversations import Part, Round, rounds
from mimicit.exporters.form import Context
from mimicit.pipeline import build

WAYS: tuple[Context, ...] = ("turns", "interleaved", "none")

Row = dict[str, Any]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory, media_cache: Path) -> Path:
    """A dataset of three splits whose instructions show one, two or more pictures."""
    out = tmp_path_factory.mktemp("mixed") / "mixed"
    names = ("jsonl", "spot_the_diff", "llava")
    config = BuildConfig(
        sources=[SourceConfig(name=name, sample=True) for name in names],
        split={"train": 0.6, "validation": 0.2, "test": 0.2},
    )
    build(config, out, media_cache=media_cache)
    return out


@pytest.fixture(scope="module", params=WAYS)
def exported(mixed: Path, tmp_path_factory: pytest.TempPathFactory, request: Any) -> Export:
    out = tmp_path_factory.mktemp(request.param) / "chat"
    return export(mixed, "chat", out, context=request.param)


def way(made: Export) -> Context:
    found: Context = json.loads((made.out / "export.json").read_text())["context"]
    return found


def lines(path: Path) -> list[Row]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def rows(made: Export) -> Iterator[tuple[str, Row]]:
    for split in ("train", "validation", "test"):
        for row in lines(made.out / f"{split}.jsonl"):
            yield split, row


def expected(example: Example, context: Context) -> list[Row]:
    """Say what the messages should be, from what `mimicit.load` gives."""
    shown = [*example.context, example] if context != "none" else [example]
    before, asked = None, []
    for one in shown:
        ids = one.row["image_ids"]
        asked.append("<image>" * (len(ids) if ids != before else 0) + one.instruction)
        before = ids
    if context == "interleaved":
        told = [f"{text}\n{one.answer}\n\n" for text, one in zip(asked, shown, strict=True)]
        asked, shown = ["".join(told[:-1]) + asked[-1]], [example]
    pairs = zip(asked, shown, strict=True)
    return [
        message
        for text, one in pairs
        for message in (
            {"role": "user", "content": text},
            {"role": "assistant", "content": one.answer},
        )
    ]


def shown_ids(example: Example, context: Context) -> list[str]:
    shown = [*example.context, example] if context != "none" else [example]
    lists = [one.row["image_ids"] for one in shown]
    return [name for ids, _ in itertools.groupby(lists) for name in ids]


def test_every_instruction_is_a_row_of_its_split_with_its_examples(
    exported: Export, mixed: Path
) -> None:
    dataset = load(mixed)
    found = list(rows(exported))
    assert [row["id"] for _, row in found] == dataset.instructions.column("id").to_pylist()
    assert exported.told.instructions == len(found) > 40
    for split, row in found:
        example = dataset[row["id"]]
        assert split == example.row["split"]
        assert row["messages"] == expected(example, way(exported))
        for name in ("source", "kind", "language"):
            assert row[name] == example.row[name]
        shown = [*example.context, example] if way(exported) != "none" else [example]
        licences = {name for one in shown for name in one.row["licence"].split(" AND ") if name}
        assert set(filter(None, row["licence"].split(" AND "))) == licences


def test_the_pictures_of_a_row_are_those_of_its_examples_in_order(
    exported: Export, mixed: Path
) -> None:
    dataset = load(mixed)
    for _, row in rows(exported):
        ids = shown_ids(dataset[row["id"]], way(exported))
        assert [re.sub(r"^images/\w\w/|\.\w+$", "", name) for name in row["images"]] == ids
    numbers = {len(row["images"]) for _, row in rows(exported)}
    assert len(numbers) > 3, "a dataset of one picture each would show little"


def test_pictures_are_stored_once_and_as_the_dataset_has_them(
    exported: Export, mixed: Path
) -> None:
    dataset = Dataset(mixed)
    named = {name for _, row in rows(exported) for name in row["images"]}
    files = {path.relative_to(exported.out).as_posix() for path in exported.out.glob("images/*/*")}
    assert files == named
    assert exported.told.pictures == len(named)
    assert exported.told.changed == 0
    for name in named:
        image_id = Path(name).name.rpartition(".")[0]
        assert (exported.out / name).read_bytes() == dataset.images.read(image_id)


# ---------------------------------------------------------------- LLaMA-Factory
#
# https://github.com/hiyouga/LLaMA-Factory/blob/main/data/README.md, "Sharegpt Format" and
# "Multimodal Image Dataset"; src/llamafactory/data/converter.py and mm_plugin.py of 0.9.5.


def test_llama_factory_finds_roles_that_take_turns_and_as_many_pictures_as_marks(
    exported: Export,
) -> None:
    info = json.loads((exported.out / "dataset_info.json").read_text())
    assert list(info) == ["train", "validation", "test"]
    for attributes in info.values():
        assert attributes["formatting"] == "sharegpt"
        tags, columns = attributes["tags"], attributes["columns"]
        roles = [tags["user_tag"], tags["assistant_tag"]]
        for row in lines(exported.out / attributes["file_name"]):
            messages = row[columns["messages"]]
            assert [one[tags["role_tag"]] for one in messages] == roles * (len(messages) // 2)
            marks = sum(one[tags["content_tag"]].count("<image>") for one in messages)
            images = row[columns["images"]]
            assert marks == len(images) > 0
            # `media_dir` is `dataset_dir` unless it is given, and names are joined to it.
            assert all((exported.out / name).is_file() for name in images)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_llama_factory_and_swift_load_a_file_with_the_same_columns_in_every_row(
    exported: Export, tmp_path: Path
) -> None:
    path = str(exported.out / "train.jsonl")
    found = datasets.load_dataset("json", data_files=[path], split="train", cache_dir=str(tmp_path))
    assert found[:]["images"] == [row["images"] for row in lines(Path(path))]
    assert not found.features.keys() & {"system", "tools", "objects", "channel", "label", "videos"}


# --------------------------------------------------------------------- ms-swift
#
# https://swift.readthedocs.io/en/latest/Customization/Custom-dataset.html, "Multimodal";
# swift/template/vision_utils.py (`_check_path`) and template/base.py of 4.6.0.


def test_swift_finds_pictures_below_its_root_wherever_it_runs(
    exported: Export, inside: Path
) -> None:
    assert not any(inside.iterdir())
    for _, row in rows(exported):
        assert {one["role"] for one in row["messages"]} == {"user", "assistant"}
        assert not any("<image>" in one["content"] for one in row["messages"][1::2])
        for name in row["images"]:
            assert len(name) < 2000, "what is longer is taken for base64"
            with Image.open(exported.out / name) as picture:
                picture.convert("RGB").load()


# -------------------------------------------------------------------------- TRL
#
# https://huggingface.co/docs/trl/dataset_formats; `prepare_multimodal_messages` of
# trl/data_utils.py and `_collate_prompt_completion` of trl/trainer/sft_trainer.py, 1.16.0.


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_load_dataset_gives_trl_pictures_for_its_typed_parts(
    exported: Export, mixed: Path, tmp_path: Path
) -> None:
    found = datasets.load_dataset(str(exported.out), cache_dir=str(tmp_path))
    plain = {row["id"]: (split, row) for split, row in rows(exported)}
    dataset = load(mixed)
    assert sum(map(len, found.values())) == len(plain)
    for split, row in ((split, row) for split, table in found.items() for row in table):
        where, same = plain[row["id"]]
        assert split == where
        messages = row["prompt"] + row["completion"]
        assert [one["role"] for one in messages] == [one["role"] for one in same["messages"]]
        for typed, told in zip(messages, same["messages"], strict=True):
            marked = {"image": "<image>"}
            texts = [marked.get(part["type"], part["text"]) for part in typed["content"]]
            assert "".join(texts) == told["content"]
        assert [one["role"] for one in row["completion"]] == ["assistant"]
        parts = [part for one in row["prompt"] for part in one["content"]]
        assert [part["type"] for part in parts].count("image") == len(row["images"])
        ids = shown_ids(dataset[row["id"]], way(exported))
        for picture, image_id in zip(row["images"], ids, strict=True):
            assert picture.convert("RGB") == dataset.images[image_id].convert("RGB")


def test_no_two_texts_of_a_message_touch_since_templates_may_strip_them(exported: Export) -> None:
    for row in lines(exported.out / "trl-train.jsonl"):
        for message in row["prompt"]:
            kinds = [part["type"] for part in message["content"]]
            assert ("text", "text") not in itertools.pairwise(kinds)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_one_picture_in_all_is_enough_for_load_dataset(tmp_path: Path) -> None:
    source = tmp_path / "one"
    source.mkdir()
    Image.new("RGB", (40, 30), "teal").save(source / "a~b.png")
    (source / "rows.jsonl").write_text(
        json.dumps({"id": 1, "image": "a~b.png", "captions": ["A wall painted teal."]})
    )
    config = BuildConfig(sources=[SourceConfig(name="jsonl", options={"root": str(source)})])
    build(config, tmp_path / "made")
    made = export(tmp_path / "made", "chat", tmp_path / "chat")
    (row,) = datasets.load_dataset(str(made.out), split="train", cache_dir=str(tmp_path / "cache"))
    assert row["images"][0].getpixel((0, 0)) == (0, 128, 128)


# ------------------------------------------------------------------ the readme


def test_the_readme_names_files_that_are_there(exported: Export) -> None:
    readme = (exported.out / "README.md").read_text()
    front, body = readme.removeprefix("---\n").split("---\n", 1)
    (config,) = yaml.safe_load(front)["configs"]
    named = [name for each in config["data_files"] for name in each["path"]]
    named += re.findall(r"DIR/([\w.]+)", body)
    assert len(named) > 3
    assert all((exported.out / name).is_file() for name in named)
    masked = "mask_history: true" in body and "--loss_scale last_round" in body
    assert masked == (way(exported) == "turns"), "else there is one answer to learn anyway"


def test_splits_that_have_no_rows_are_not_spoken_of(sample: Path, tmp_path: Path) -> None:
    made = export(sample, "chat", tmp_path / "chat")
    assert sorted(path.name for path in made.out.glob("*.jsonl")) == [
        "train.jsonl",
        "trl-train.jsonl",
    ]
    assert list(json.loads((made.out / "dataset_info.json").read_text())) == ["train"]
    assert not re.search("validation|test", (made.out / "README.md").read_text())


def test_the_same_dataset_gives_the_same_bytes(sample: Path, tmp_path: Path) -> None:
    first, again = (export(sample, "chat", tmp_path / name) for name in ("first", "again"))
    assert contents(first.out) == contents(again.out)
    assert export(sample, "chat", again.out).size_bytes == first.size_bytes, "written over"


def test_pictures_are_scaled_down_on_request(sample: Path, tmp_path: Path) -> None:
    made = export(sample, "chat", tmp_path / "chat", context="none", max_side=64)
    assert made.told.changed == made.told.pictures > 5
    assert made.told.contexts == 0
    for path in made.out.glob("images/*/*"):
        with Image.open(path) as picture:
            assert max(picture.size) == 64


def test_a_way_that_is_none_is_refused(sample: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'turns' or 'interleaved' or 'none', not 'aside'"):
        export(sample, "chat", tmp_path / "chat", context="aside")  # type: ignore[arg-type] # wrong
    assert not (tmp_path / "chat").exists()


# ------------------------------------------------------------ conversations


def shown(number: int, *image_ids: str) -> Shown:
    return Shown(f"T_INS_{number}", f"Q{number}?", f"A{number}.", image_ids)


def example_set(*all_shown: Shown) -> ExampleSet:
    return ExampleSet(all_shown[:-1], all_shown[-1], "train", "toy", "s", "count", "en")


def test_what_is_about_the_pictures_right_before_does_not_show_them_again() -> None:
    each = example_set(shown(1, "a"), shown(2, "a"), shown(3, "b"), shown(4, "a"))
    assert rounds(each, "turns") == (
        Round((Part(("a",), "Q1?"),), "A1."),
        Round((Part((), "Q2?"),), "A2."),
        Round((Part(("b",), "Q3?"),), "A3."),
        Round((Part(("a",), "Q4?"),), "A4."),
    )


def test_pictures_in_another_order_are_shown_again() -> None:
    each = example_set(shown(1, "a", "b"), shown(2, "b", "a"))
    assert [one.asked[0].image_ids for one in rounds(each, "turns")] == [("a", "b"), ("b", "a")]


def test_interleaved_examples_end_with_an_empty_line_and_the_query_with_its_question() -> None:
    each = example_set(shown(1, "a"), shown(2, "a"), shown(3, "b", "c"))
    assert rounds(each, "interleaved") == (
        Round(
            (Part(("a",), "Q1?\nA1.\n\nQ2?\nA2.\n\n"), Part(("b", "c"), "Q3?")),
            "A3.",
        ),
    )


@given(
    pictures=st.lists(
        st.lists(st.sampled_from("abc"), min_size=1, max_size=3), min_size=1, max_size=6
    ),
    context=st.sampled_from(WAYS),
)
def test_a_conversation_loses_no_text_and_no_picture(
    pictures: list[list[str]], context: Context
) -> None:
    each = example_set(*(shown(place, *ids) for place, ids in enumerate(pictures)))
    made = rounds(each, context)
    asked = each.shown if context != "none" else (each.query,)
    told = "".join("".join(part.text for part in one.asked) + one.answer for one in made)
    assert re.findall(r"\w\d", told) == [f"{c}{one.id[6:]}" for one in asked for c in "QA"]
    found = [name for one in made for part in one.asked for name in part.image_ids]
    assert found == [
        name for ids, _ in itertools.groupby(o.image_ids for o in asked) for name in ids
    ]
    assert made[-1].answer == each.query.answer
