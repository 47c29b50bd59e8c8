"""Show one in-context example set in every form: docs/one_example.md, and a picture of it.

Usage: python tools/show_formats.py [FOLDER]     (docs, unless another is named)

Builds the sample of COCO, exports it by the commands that the page names, and reads what is shown
from the files that these wrote.
"""

import contextlib
import io
import json
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import datasets
from _shown_files import (
    block,
    entry,
    excerpt,
    executed,
    fence,
    lines,
    listing,
    opened,
    parted,
    rows_of,
    sample_of,
)
from draw_context_set import GAP, cell
from PIL import Image

import mimicit
from mimicit.cli import main as command
from mimicit.exporters import find
from mimicit.markdown import table

PAGE, PICTURE = "one_example.md", "one_example.jpg"

COMMANDS = """
mimicit build --source coco --sample --shots 2
mimicit export out/coco --to otter --out out/otter
mimicit export out/coco --to chat --out out/chat
mimicit export out/coco --to chat --context interleaved --out out/chat-interleaved
mimicit export out/coco --to llava --out out/llava
mimicit export out/coco --to llava --context interleaved --out out/llava-interleaved
mimicit export out/coco --to webdataset --context turns --out out/tar
mimicit export out/coco --to webdataset --out out/tar-none
""".strip()

KIND = "location"
"""The query is the first about where something is whose examples are about that as well."""

SECTIONS = (
    ("In the dataset", "Parquet, which `datasets` and `mimicit.load` open"),
    ("Otter's text", "the text that its trainer makes, and where the loss falls"),
    ("Otter's files", find("otter").about),
    ("Chat: messages and images", find("chat").about),
    ("LLaVA: conversations", find("llava").about),
    ("WebDataset: tar shards", find("webdataset").about),
)


def write(folder: Path) -> None:
    """Write the page and its picture into a folder."""
    with (
        tempfile.TemporaryDirectory() as scratch,
        contextlib.chdir(scratch),
        mock.patch.object(datasets.config, "HF_DATASETS_CACHE", Path(scratch, "cache")),
    ):
        for line in COMMANDS.splitlines():
            run(line)
        query = chosen()
        text = "\n".join(page(query))
        picture = strip(query)
    (folder / PAGE).write_text(text, encoding="utf-8", newline="\n")
    picture.save(folder / PICTURE, quality=82, optimize=True)


def run(line: str) -> None:
    """Run a command of ours in this process, without what it prints."""
    quiet = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())
    with mock.patch.object(sys, "argv", shlex.split(line)), quiet[0], quiet[1]:
        try:
            command()
        except SystemExit as ended:
            if ended.code:
                raise RuntimeError(f"{line}: exit code {ended.code}") from ended


def chosen() -> mimicit.Example:
    return next(
        example
        for example in mimicit.load("out/coco")
        if {one.row["kind"] for one in (*example.context, example)} == {KIND}
    )


def strip(query: mimicit.Example) -> Image.Image:
    cells = [cell(shot, str(n), "#888888") for n, shot in enumerate(query.context, 1)]
    cells.append(cell(query, "query", "#1f5fbf"))
    whole = Image.new("RGB", (len(cells) * (cells[0].width + GAP) - GAP, cells[0].height), "white")
    for place, each in enumerate(cells):
        whole.paste(each, (place * (each.width + GAP), 0))
    return whole


# ------------------------------------------------------------------------ the page


def page(query: mimicit.Example) -> Iterator[str]:
    yield HEAD.format(commands=COMMANDS, picture=PICTURE)
    yield table(("form", "what it is"), [(link(title), what) for title, what in SECTIONS])
    yield from of_dataset(query)
    yield from of_text(query)
    yield from of_otter(query)
    yield from of_chat(query)
    yield from of_llava(query)
    yield from of_tar(query)


def heading(place: int) -> str:
    return f"## {SECTIONS[place][0]}\n"


def link(title: str) -> str:
    """Link to a section as forges do."""
    return f"[{title}](#{re.sub('[^a-z -]', '', title.lower()).replace(' ', '-')})"


def of_dataset(query: mimicit.Example) -> Iterator[str]:
    shown = (*query.context, query)
    yield heading(0)
    yield "A row of `out/coco/instructions`, with the ids of its examples:\n"
    yield block(query.row)
    yield "The rows of the two examples, as far as they are shown:\n"
    names = ("id", "instruction", "answer", "image_ids")
    yield block([{name: one.row[name] for name in names} for one in query.context])
    yield "Of their pictures in `out/coco/images`, where the files' bytes stand as well:\n"
    columns = ["image_id", "width", "height", "licence"]
    rows = {row["image_id"]: row for row in rows_of("out/coco/images", columns)}
    yield block([rows[name] for one in shown for name in one.row["image_ids"]])
    yield "And in `out/coco/links` why it is these examples:\n"
    links = rows_of("out/coco/links")
    yield block(next(row for row in links if row["query_id"] == query.id))
    yield from opened(OPEN_DATASET.format(id=query.id))


def of_text(query: mimicit.Example) -> Iterator[str]:
    yield heading(1)
    yield "What a trainer of Otter's kind makes of it, by `mimicit.formats.otter`. It is one text;"
    yield "the loss falls on what is behind a `+`, in the examples too.\n"
    code = OPEN_TEXT.format(id=query.id)
    made = executed(code)
    yield fence(code, "python")
    yield fence("\n".join(parted(made.text, made.spans)), "diff")
    yield f"Its `spans`, in characters, are `{made.spans}`. Its `media` are"
    yield f"{len(made.media)} lists of pictures, one for each `<image>`.\n"


def of_otter(query: mimicit.Example) -> Iterator[str]:
    yield heading(2)
    yield from listing("out/otter")
    (path,) = Path("out/otter").glob("*_instructions.json")
    name = path.name.removesuffix("_instructions.json")
    content = json.loads(path.read_text(encoding="utf-8"))["data"]
    ids = {tuple(row["image_ids"]): key for key, row in content.items() if about(row, query)}
    mine = ids[tuple(query.row["image_ids"])]
    data = {key: content[key] for key in (*content[mine]["rel_ins_ids"], mine)}
    yield f"Of the object `data` in `{path.name}`:\n"
    yield block(data)
    yield f"`{name}_train.json` says which examples are shown:\n"
    train = json.loads((path.parent / f"{name}_train.json").read_text(encoding="utf-8"))
    yield block({mine: train[mine]})
    yield f"`{name}.parquet` has the pictures as base64, which begins so:\n"
    store = {row["id"]: row["base64"] for row in rows_of(path.parent / f"{name}.parquet")}
    pictures = [name for row in data.values() for name in row["image_ids"]]
    yield block({name: f"{store[name][:48]}… ({len(store[name]):,} letters)" for name in pictures})
    for file in sorted(path.parent.glob("*.yaml")):
        yield f"`{file.name}`:\n"
        yield fence(file.read_text(encoding="utf-8"), "yaml")
    yield from excerpt("out/otter", "Files", skip="|")


def about(row: Mapping[str, Any], query: mimicit.Example) -> bool:
    return bool(row["instruction"] == query.instruction and row["answer"] == query.answer)


def of_chat(query: mimicit.Example) -> Iterator[str]:
    yield heading(3)
    yield from listing("out/chat")
    yield "A line of `train.jsonl`, for LLaMA-Factory and ms-swift:\n"
    yield block(entry(lines("out/chat/train.jsonl"), query.id))
    yield from excerpt("out/chat", "LLaMA-Factory")
    yield from excerpt("out/chat", "ms-swift")
    yield "A line of `trl-train.jsonl`:\n"
    yield block(entry(lines("out/chat/trl-train.jsonl"), query.id))
    yield "What TRL sees of it, with pictures in place of their names:\n"
    yield from opened(OPEN_CHAT.format(id=query.id))
    yield from excerpt("out/chat", "TRL")
    yield "### The examples in one message\n"
    yield "The same with `--context interleaved`, so that only the query's answer is learnt."
    yield "`train.jsonl`:\n"
    yield block(entry(lines("out/chat-interleaved/train.jsonl"), query.id))
    yield "`trl-train.jsonl`:\n"
    yield block(entry(lines("out/chat-interleaved/trl-train.jsonl"), query.id))


def of_llava(query: mimicit.Example) -> Iterator[str]:
    yield heading(4)
    yield from listing("out/llava")
    yield "An entry of `train.json`:\n"
    yield block(entry(json.loads(Path("out/llava/train.json").read_bytes()), query.id))
    yield from excerpt("out/llava", "Training on it")
    yield "### The examples in one message\n"
    yield "The same with `--context interleaved`:\n"
    yield block(entry(json.loads(Path("out/llava-interleaved/train.json").read_bytes()), query.id))


def of_tar(query: mimicit.Example) -> Iterator[str]:
    yield heading(5)
    yield "With `--context turns` a sample is one example set. Of `train-000000.tar`:\n"
    members = sample_of("out/tar/train-000000.tar", query.id)
    yield fence("\n".join(f"{len(data):>9,}  {name}" for name, data in members.items()), "text")
    (text,) = (name for name in members if name.endswith(".json"))
    yield f"`{text}`:\n"
    yield block(json.loads(members[text]))
    yield from excerpt("out/tar", "Files", start="With `webdataset`")
    yield "### Each picture once\n"
    yield "Without `--context` a sample is all that is asked about the same pictures:\n"
    members = sample_of("out/tar-none/train-000000.tar", query.id)
    yield fence("\n".join(f"{len(data):>9,}  {name}" for name, data in members.items()), "text")
    (text,) = (name for name in members if name.endswith(".json"))
    content = json.loads(members[text])
    count = len(content["instructions"])
    content["instructions"] = [row for row in content["instructions"] if row["id"] == query.id]
    yield f"`{text}`, one of its {count} instructions:\n"
    yield block(content)


# ----------------------------------------------------------------------- its words

HEAD = """\
# One example in every form

![two in-context examples, then the query]({picture})

A question about a photograph, and two in-context examples before it: out of the
[sample](../samples/coco/LICENSES.md) that comes with mimicit, in every form in which
[`mimicit export`](exporting.md) writes it. All of this page is read from what these commands wrote,
by `tools/show_formats.py`; values are broken into lines here that are one line in their files.

```bash
{commands}
```
"""

OPEN_DATASET = """
import mimicit

example = mimicit.load("out/coco")["{id}"]
[(shot.answer, shot.images[0].size) for shot in (*example.context, example)]
"""

OPEN_TEXT = """
import mimicit
from mimicit.formats.otter import render

render(mimicit.load("out/coco")["{id}"])
"""

OPEN_CHAT = """
from datasets import load_dataset

rows = load_dataset("out/chat", split="train")
row = next(row for row in rows if row["id"] == "{id}")
sizes = [picture.size for picture in row["images"]]
{{"columns": list(row), "first message": row["prompt"][0], "pictures": sizes}}
"""


if __name__ == "__main__":
    write(Path(sys.argv[1] if len(sys.argv) > 1 else "docs"))
