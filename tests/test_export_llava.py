"""The export for LLaVA: its loaders must see every picture where the dataset shows it.

The rules are those of the code that reads the form: `preprocess_multimodal`, `preprocess_v1`,
`preprocess_qwen` and `LazySupervisedDataset` of llava/train/train.py in haotian-liu/LLaVA and in
LLaVA-VL/LLaVA-NeXT, and `_build_messages` of qwen-vl-finetune/qwenvl/data/data_processor.py in
QwenLM/Qwen3-VL.
"""

import itertools
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from conftest import Coco, contents
from PIL import Image

from mimicit.config import BuildConfig, SourceConfig
from mimicit.dataset import Example, load
from mimicit.exporters import Export, export
from mimicit.exporters.form import Context
from mimicit.pipeline import build

WAYS: tuple[Context, ...] = ("turns", "interleaved", "none")

Entry = dict[str, Any]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory, media_cache: Path) -> Path:
    """A dataset whose instructions show one picture, two or more."""
    out = tmp_path_factory.mktemp("mixed") / "mixed"
    config = BuildConfig(
        sources=[SourceConfig(name=name, sample=True) for name in ("spot_the_diff", "llava")],
        split={"train": 0.6, "validation": 0.2, "test": 0.2},
    )
    build(config, out, media_cache=media_cache)
    return out


@pytest.fixture(scope="module", params=WAYS)
def exported(mixed: Path, tmp_path_factory: pytest.TempPathFactory, request: Any) -> Export:
    out = tmp_path_factory.mktemp(request.param) / "llava"
    return export(mixed, "llava", out, context=request.param)


def way(made: Export) -> Context:
    found: Context = json.loads((made.out / "export.json").read_text())["context"]
    return found


def entries(made: Export) -> dict[str, list[Entry]]:
    paths = {split: made.out / f"{split}.json" for split in ("train", "validation", "test")}
    return {split: json.loads(path.read_text()) for split, path in paths.items() if path.exists()}


def images(entry: Entry) -> list[str]:
    found: str | list[str] = entry["image"]
    return [found] if isinstance(found, str) else found


def examples(example: Example, context: Context) -> list[Example]:
    return [*example.context, example] if context != "none" else [example]


def test_every_instruction_is_an_entry_of_its_split(exported: Export, mixed: Path) -> None:
    table = load(mixed).instructions
    found = {split: [each["id"] for each in part] for split, part in entries(exported).items()}
    splits = table.column("split").to_pylist()
    for split, ids in found.items():
        wanted = zip(table.column("id").to_pylist(), splits, strict=True)
        assert ids == [name for name, where in wanted if where == split]
    assert {split: len(ids) for split, ids in found.items()} == Counter(splits)
    assert exported.told.instructions == table.num_rows > 30
    assert len(found) > 1


def test_human_and_gpt_take_turns_and_the_last_answer_is_the_querys(
    exported: Export, mixed: Path
) -> None:
    dataset, context = load(mixed), way(exported)
    for entry in itertools.chain(*entries(exported).values()):
        turns = entry["conversations"]
        example = dataset[entry["id"]]
        rounds = len(example.context) + 1 if context == "turns" else 1
        assert [each["from"] for each in turns] == ["human", "gpt"] * rounds
        assert turns[-1]["value"] == example.answer
        assert turns[-2]["value"].endswith(example.instruction)
        if context == "turns":
            answers = [each.answer for each in examples(example, context)]
            assert [each["value"] for each in turns[1::2]] == answers


def test_there_are_as_many_marks_as_pictures_and_each_stands_where_its_picture_is_shown(
    exported: Export, mixed: Path
) -> None:
    """As the loader of Qwen does: a text is cut at its marks, and each takes the next picture."""
    dataset, context = load(mixed), way(exported)
    for entry in itertools.chain(*entries(exported).values()):
        pool, told = iter(images(entry)), ""
        for turn in entry["conversations"]:
            for piece in re.split("(<image>)", turn["value"]):
                told += f"[{Path(next(pool)).stem}]" if piece == "<image>" else piece
        assert not list(pool), "a picture without a mark"
        shown, before = [], None
        for each in examples(dataset[entry["id"]], context):
            ids = each.row["image_ids"]
            shown += [*(f"[{name}]\n" for name in ids if ids != before), each.instruction]
            shown += [each.answer]
            before = ids
        assert told.replace("\n", "") == "".join(shown).replace("\n", "")


def test_marks_begin_a_message_unless_it_has_several_examples(exported: Export) -> None:
    """LLaVA-NeXT moves a single mark to the front, LLaVA 1.5 any: here there is nothing to move."""
    for entry in itertools.chain(*entries(exported).values()):
        for turn in entry["conversations"]:
            marks = turn["value"].count("<image>")
            assert turn["from"] == "human" or not marks
            if marks == 1 or way(exported) != "interleaved":
                assert turn["value"].startswith("<image>\n" * marks)


def test_one_picture_is_a_name_and_several_are_a_list(exported: Export) -> None:
    kinds = Counter[type]()
    for entry in itertools.chain(*entries(exported).values()):
        kinds[type(entry["image"])] += 1
        assert isinstance(entry["image"], str) or len(entry["image"]) > 1
    assert kinds[list] > 0
    assert (kinds[str] > 0) == (way(exported) == "none")


def test_pictures_open_below_the_image_folder_and_are_stored_once(
    exported: Export, mixed: Path
) -> None:
    dataset = load(mixed)
    named = {name for each in itertools.chain(*entries(exported).values()) for name in images(each)}
    files = {path.relative_to(exported.out).as_posix() for path in exported.out.glob("images/*/*")}
    assert files == named
    assert exported.told.pictures == len(named)
    for name in named:
        with Image.open(exported.out / name) as picture:
            same = dataset.images[Path(name).stem]
            assert picture.convert("RGB") == same.convert("RGB")


def test_llava_15_reads_entries_of_one_picture_and_the_readme_says_which_have_more(
    exported: Export,
) -> None:
    readme = (exported.out / "README.md").read_text()
    several = sum(len(images(each)) > 1 for part in entries(exported).values() for each in part)
    assert f"cannot read these: {several} entries have several" in readme
    assert ("`--context none`" in readme) == (way(exported) != "none")


def test_a_dataset_of_single_pictures_is_fit_for_llava_15(sample: Path, tmp_path: Path) -> None:
    made = export(sample, "llava", tmp_path / "llava", context="none")
    assert (
        "LLaVA 1.5, which opens one picture an entry, as all have here"
        in (made.out / "README.md").read_text()
    )
    for entry in entries(made)["train"]:
        assert isinstance(entry["image"], str)
        assert (made.out / entry["image"]).is_file()
        assert [turn["value"].count("<image>") for turn in entry["conversations"]] == [1, 0]


def test_questions_about_one_picture_are_a_conversation_that_shows_it_once(
    coco: Coco, tmp_path: Path
) -> None:
    coco.picture(1, size=(400, 300)).caption(1, "A dog beside a cat.", "a dog and a cat outdoors")
    coco.box(1, 18, 20, 40, 160, 200).box(1, 17, 280, 120, 60, 60).write()
    source = SourceConfig(name="coco", options={"root": str(coco.root)})
    build(BuildConfig(sources=[source], link=["same-image"]), tmp_path / "made")
    made = export(tmp_path / "made", "llava", tmp_path / "llava")
    assert made.told.contexts > 3
    for entry in entries(made)["train"]:
        assert isinstance(entry["image"], str), "LLaVA 1.5 reads it"
        marks = [turn["value"].count("<image>") for turn in entry["conversations"]]
        assert marks == [1] + [0] * (len(marks) - 1)
        assert len(marks) > 2


def test_the_file_is_one_array_with_an_entry_a_line(sample: Path, tmp_path: Path) -> None:
    made = export(sample, "llava", tmp_path / "llava")
    first, *between, last = (made.out / "train.json").read_text().splitlines()
    assert (first, last) == ("[", "]")
    assert len(between) == made.told.instructions == len(entries(made)["train"])
    assert all(json.loads(line.removesuffix(","))["id"] for line in between)


def test_the_same_dataset_gives_the_same_bytes(sample: Path, tmp_path: Path) -> None:
    first, again = (export(sample, "llava", tmp_path / name) for name in ("first", "again"))
    assert contents(first.out) == contents(again.out)
