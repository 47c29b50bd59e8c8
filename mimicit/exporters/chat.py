"""Messages and images as TRL, LLaMA-Factory and ms-swift read them: one directory for all three.

Formats:
    LLaMA-Factory: https://github.com/hiyouga/LLaMA-Factory/blob/main/data/README.md
    ms-swift: https://swift.readthedocs.io/en/latest/Customization/Custom-dataset.html
    TRL: https://huggingface.co/docs/trl/dataset_formats, with pictures as in
        https://huggingface.co/docs/datasets/image_dataset#imagefolder

The first two find pictures by the places of `<image>` in a text. TRL would put all of them before
the first message then, so it gets files of its own, whose messages are lists of typed parts.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mimicit.dataset import Dataset
from mimicit.example_sets import ExampleSet, licence_of
from mimicit.exporters import IMAGES
from mimicit.exporters._conversations import JSON_LINES, Round, SplitTexts, conversations
from mimicit.exporters.form import Context, Format, How, Told
from mimicit.exporters.pictures import PictureFiles, Pictures
from mimicit.schema import SPLITS

TEXTS, TYPED = "{}.jsonl", "trl-{}.jsonl"
"""Files of a split: for LLaMA-Factory and ms-swift, and for TRL."""

Message = dict[str, Any]
"""A `role` and its `content`."""


def write(dataset: Dataset, out: Path, how: How) -> Told:
    """Write two text files a split, what LLaMA-Factory is to know of them, and pictures.

    Raises:
        SourceError: a picture is damaged or not there.
    """
    pictures = Pictures(dataset.images, how.max_side)
    files = PictureFiles(pictures, out / IMAGES)
    contexts, picture = 0, ""
    with SplitTexts(out, TEXTS, JSON_LINES) as texts, SplitTexts(out, TYPED, JSON_LINES) as typed:
        for one in conversations(dataset, files, how):
            known = _known(one.of, one.contexts)
            messages = [message for each in one.rounds for message in _plain(each)]
            texts.write(one.of.split, {**known, "messages": messages, "images": one.images})
            parts = [message for each in one.rounds for message in _typed(each)]
            asked = {"prompt": parts[:-1], "completion": parts[-1:], "file_names": one.images}
            typed.write(one.of.split, {**known, **asked})
            contexts += one.contexts
            picture = one.images[0]
    splits = [split for split in SPLITS if texts.rows[split]]
    _write_info(out, splits)
    return Told(
        instructions=texts.rows.total(),
        contexts=contexts,
        pictures=len(files),
        changed=len(pictures.changed),
        readme=_readme(texts.rows, splits, how.context),
        front=_front(splits, picture),
    )


def _known(each: ExampleSet, contexts: int) -> dict[str, str]:
    """Give the columns that no trainer looks at."""
    return {
        "id": each.query.id,
        "source": each.source,
        "kind": each.kind,
        "language": each.language,
        "licence": licence_of(each.shown if contexts else [each.query]),
    }


def _plain(one: Round) -> tuple[Message, Message]:
    asked = "".join("<image>" * len(part.image_ids) + part.text for part in one.asked)
    return {"role": "user", "content": asked}, {"role": "assistant", "content": one.answer}


def _typed(one: Round) -> tuple[Message, Message]:
    asked: list[dict[str, str]] = []
    for part in one.asked:
        asked += [{"type": "image"} for _ in part.image_ids]
        asked.append({"type": "text", "text": part.text})
    answer = [{"type": "text", "text": one.answer}]
    return {"role": "user", "content": asked}, {"role": "assistant", "content": answer}


def _write_info(out: Path, splits: Sequence[str]) -> None:
    """Write `dataset_info.json`, in which LLaMA-Factory looks a dataset's name up."""
    info = {
        split: {
            "file_name": TEXTS.format(split),
            "formatting": "sharegpt",  # "openai" has it add a system prompt about thinking
            "columns": {"messages": "messages", "images": "images"},
            "tags": {
                "role_tag": "role",
                "content_tag": "content",
                "user_tag": "user",
                "assistant_tag": "assistant",
            },
        }
        for split in splits
    }
    text = json.dumps(info, indent=2) + "\n"
    (out / "dataset_info.json").write_text(text, encoding="utf-8", newline="\n")


def _front(splits: Sequence[str], picture: str) -> Mapping[str, Any]:
    """Tell `datasets` that `load_dataset(DIR)` is to read TRL's files as those of an image folder.

    Args:
        splits: Splits that have rows.
        picture: Name of one of the pictures.
    """
    if not splits:
        return {}
    # What most files of a split are says how they are read, so a picture is named twice; pictures
    # are opened by the names in the rows alone.
    files = [{"split": split, "path": [TYPED.format(split), picture, picture]} for split in splits]
    names = [TYPED.format(split) for split in splits]
    return {
        "configs": [{"config_name": "default", "data_files": files, "metadata_filenames": names}]
    }


def _readme(rows: Mapping[str, int], splits: Sequence[str], context: Context) -> str:
    names = ", ".join(f"{split} ({rows[split]:,} rows)" for split in splits)
    first, *rest = splits or ["train"]
    lines = (
        f"Splits: {names}. Below, `DIR` is this directory.\n",
        *_FORM[context],
        "Names of pictures are relative to `DIR`.\n",
        *_factory(first, rest[:1], context),
        *_swift(first, rest[:1], context),
        *_trl(first, rest[:1]),
    )
    return "\n".join(lines)


_FORM: Mapping[Context, tuple[str, ...]] = {
    "turns": (
        "An in-context example is a message with its pictures, and the answer to it.",
        "A message about the pictures of the one before it doesn't show them again.",
    ),
    "interleaved": (
        "All in-context examples are in one message before the query: the pictures of each, its",
        "question, a line with its answer, an empty line. What is about the pictures right before",
        "it doesn't show them again. Only the query's answer is learnt.",
    ),
    "none": ("In-context examples are left out.",),
}


def _factory(first: str, held_out: list[str], context: Context) -> Iterator[str]:
    yield "## LLaMA-Factory\n"
    yield "`dataset_info.json` names the files. In the trainer's YAML, leave `media_dir` out and"
    yield "make `cutoff_len` large enough for the pictures of a row:\n"
    yield "```yaml"
    yield "dataset_dir: DIR"
    yield f"dataset: {first}"
    yield from (f"eval_dataset: {split}" for split in held_out)
    if context == "turns":
        yield "mask_history: true  # learns the query's answer alone, not those of the examples"
    yield "```\n"


def _swift(first: str, held_out: list[str], context: Context) -> Iterator[str]:
    held = "".join(f" --val_dataset DIR/{TEXTS.format(split)}" for split in held_out)
    last = " --loss_scale last_round" if context == "turns" else ""
    yield "## ms-swift\n"
    yield "```sh"
    files = f"--dataset DIR/{TEXTS.format(first)}{held}"
    yield f"ROOT_IMAGE_DIR=DIR swift sft --model MODEL {files}{last}"
    yield "```\n"
    if last:
        yield "`last_round` learns the query's answer alone, not those of the examples.\n"


def _trl(first: str, held_out: list[str]) -> Iterator[str]:
    held = "".join(f', eval_dataset=data["{split}"]' for split in held_out)
    yield "## TRL\n"
    yield "```python"
    yield "from datasets import load_dataset"
    yield "from trl import SFTConfig, SFTTrainer\n"
    yield 'data = load_dataset("DIR")'
    yield "options = SFTConfig(max_length=None)  # else rows are cut, amid their pictures"
    yield f'SFTTrainer("MODEL", options, train_dataset=data["{first}"]{held}).train()'
    yield "```\n"
    yield "A row has a `prompt` and a `completion`, so that only the query's answer is learnt, and"
    yield "its `images`, which are opened as they are needed."


FORMAT = Format(
    "messages and images as TRL, LLaMA-Factory and ms-swift read them",
    ("turns", "interleaved", "none"),
    write,
)
