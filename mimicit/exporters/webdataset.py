"""Tar shards as WebDataset reads them: a sample is a run of files whose names begin alike.

Formats: https://github.com/webdataset/webdataset (what is before the first dot of a name is the
sample's key, what is behind it names the field), its `wids` for the index of a split's shards, and
`datasets.packaged_modules.webdataset` for the card.

No two samples of a tar file can share a picture. So without in-context examples a sample is all
that is asked about the same pictures, which are stored once; with them it is one example set, which
has every picture that it shows.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mimicit.columns import flat, take_rows, to_numpy
from mimicit.dataset import Dataset
from mimicit.example_sets import ROWS, ExampleSet, Shown, example_sets
from mimicit.exporters._tar_shards import TarShard, TarShards
from mimicit.exporters.form import Context, Format, How, Told
from mimicit.exporters.pictures import EncodedOnce, Exported, Pictures
from mimicit.names import escape_id
from mimicit.progress import Counted
from mimicit.schema import SPLITS

SAID = ("source", "scene_id", "kind", "language")
"""What is told of an instruction, or of the query of an example set, beside its texts."""

ASKED = ("id", "instruction", "answer", "licence")
"""What is told of whatever is shown; the licence is that of its pictures."""

Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample before its pictures are read.

    Attributes:
        name: The id that it is named after.
        split: Split it belongs to.
        content: What its JSON file says.
        shows: The parts of `content` that have `image_ids`, and are to have the `files` of these.
        asked: How many instructions are asked in it.
    """

    name: str
    split: str
    content: Fields
    shows: Sequence[Fields]
    asked: int


def write(dataset: Dataset, out: Path, how: How) -> Told:
    """Write the shards of every split, and an index of them.

    Memory holds the table of instructions as Arrow has it, a number for each, the ids of pictures
    that change, and one sample.

    Raises:
        SourceError: a picture is damaged or not there.
    """
    table = dataset.instructions
    pictures = Pictures(dataset.images, how.max_side)
    if how.context == "turns":
        samples = Counted(map(_of_set, example_sets(dataset)), table.num_rows)
        contexts = len(flat(table.column("rel_ins_ids")))
    else:
        groups = same_pictures(table)
        samples = Counted(_of_groups(table, groups), int(groups.max()) + 1)
        contexts = 0
    once = EncodedOnce(pictures, out)
    written = SampleWriter(out, once.read)
    try:
        for sample in how.track(samples, "write", "samples"):
            written.write(sample)
        shards = written.finish()
    finally:
        written.close()
        once.close()
    for split, found in shards.items():
        _write_index(out, split, found)
    return Told(
        instructions=written.asked,
        contexts=contexts,
        pictures=len(pc.unique(flat(table.column("image_ids")))),
        changed=len(pictures.changed),
        readme=_readme(shards, how.context, written.stored),
        front=_front(shards, how.context, written.files),
    )


def key_of(name: str) -> str:
    """Spell an id as the key of a sample, which ends at the first dot of a file's name.

    Injective: `mimicit.names.escape_id` spells `~` anew, and then a dot becomes `~2e~`.
    """
    return escape_id(name).replace(".", "~2e~")


def same_pictures(table: pa.Table) -> np.ndarray:
    """Number instructions by their split and pictures, in the order in which these come first.

    Returns:
        An integer for each, shape (instructions,): equal for the same pictures in the same order.
    """
    # No id has a "/". Large strings, since all of them together may be longer than 2 GB.
    spelled = [
        pc.binary_join_element_wise(
            batch.column("split"),
            pc.binary_join(batch.column("image_ids").cast(pa.list_(pa.string())), "/"),
            "/",
        ).cast(pa.large_string())
        for batch in table.select(["split", "image_ids"]).to_batches()
    ]
    joined = pa.chunked_array(spelled, pa.large_string()).combine_chunks()
    return to_numpy(joined.dictionary_encode().indices)


def _of_groups(table: pa.Table, groups: np.ndarray) -> Iterator[Sample]:
    """Give a sample for each group of instructions about the same pictures."""
    rows = _in_order(table, np.argsort(groups, kind="stable"))
    for _, members in groupby(rows, lambda row: (row["split"], row["image_ids"])):
        asked = list(members)
        content: Fields = {"image_ids": asked[0]["image_ids"], "files": []}
        content["instructions"] = [
            {name: row[name] for name in (*ASKED, "rel_ins_ids", *SAID)} for row in asked
        ]
        yield Sample(asked[0]["id"], asked[0]["split"], content, [content], len(asked))


def _in_order(table: pa.Table, order: np.ndarray) -> Iterator[Fields]:
    """Give the rows of a table in another order."""
    table = table.select([*ASKED, "image_ids", "rel_ins_ids", "split", *SAID])
    batches = table.to_batches()
    starts = np.cumsum([0, *(batch.num_rows for batch in batches)])
    for first in range(0, len(order), ROWS):
        places = order[first : first + ROWS]
        yield from take_rows(batches.__getitem__, starts, places).to_pylist()


def _of_set(each: ExampleSet) -> Sample:
    """Give the sample of an example set."""
    turns = [_turn(shown) for shown in each.shown]
    content: Fields = {"id": each.query.id, "turns": turns}
    content |= {name: getattr(each, name) for name in SAID}
    return Sample(each.query.id, each.split, content, turns, 1)


def _turn(shown: Shown) -> Fields:
    said = {name: getattr(shown, name) for name in ASKED}
    return {**said, "image_ids": list(shown.image_ids), "files": []}


class SampleWriter:
    """Writes samples with their pictures into the shards of their splits.

    Args:
        folder: Where they go.
        read: Reads a picture by its id.

    Attributes:
        asked: Instructions that were written.
        stored: Files of pictures that were written.
        files: What these are called in their samples, such as `0.jpg`.
    """

    def __init__(self, folder: Path, read: Callable[[str], Exported]) -> None:
        self.asked = self.stored = 0
        self.files: set[str] = set()
        self._folder, self._read = folder, read
        self._shards: dict[str, TarShards] = {}

    def write(self, sample: Sample) -> None:
        """Write one, each of its pictures once.

        Raises:
            SourceError: a picture is damaged or not there.
        """
        names: dict[str, str] = {}
        stored: list[tuple[str, bytes]] = []
        for image_id in chain.from_iterable(part["image_ids"] for part in sample.shows):
            if image_id not in names:
                found = self._read(image_id)
                names[image_id] = f"{len(names)}.{found.suffix}"
                stored.append((names[image_id], found.data))
        for part in sample.shows:
            part["files"] = [names[image_id] for image_id in part["image_ids"]]
        said = json.dumps(sample.content, ensure_ascii=False).encode()
        if sample.split not in self._shards:
            self._shards[sample.split] = TarShards(self._folder, sample.split)
        self._shards[sample.split].write(key_of(sample.name), [("json", said), *stored])
        self.asked += sample.asked
        self.stored += len(stored)
        self.files.update(names.values())

    def finish(self) -> dict[str, list[TarShard]]:
        """End the shards, and give those of each split."""
        for shards in self._shards.values():
            shards.finish()
        return {split: self._shards[split].done for split in SPLITS if split in self._shards}

    def close(self) -> None:
        """Let go of the files, finished or not."""
        for shards in self._shards.values():
            shards.close()


def _write_index(out: Path, split: str, shards: Sequence[TarShard]) -> None:
    """Write the index of a split's shards that `wids` reads, and tells how long an epoch is."""
    listed = [{"url": s.name, "nsamples": s.samples, "filesize": s.bytes} for s in shards]
    head = {"__kind__": "wids-shard-index-v1", "wids_version": 1, "name": split}
    text = json.dumps({**head, "shardlist": listed}, indent=2) + "\n"
    (out / f"{split}-index.json").write_text(text, encoding="utf-8", newline="\n")


def _front(shards: dict[str, list[TarShard]], way: Context, files: set[str]) -> Fields:
    """Give the card by which `datasets` knows every column.

    Left to itself it looks at five samples, and refuses them if they differ in their files.
    """
    paths = [{"split": split, "path": f"{split}-*.tar"} for split in shards]
    shown = _lists("image_ids", "files")
    if way == "turns":
        turn = [*_texts(*ASKED), *shown]
        content = [*_texts("id"), {"name": "turns", "list": turn}, *_texts(*SAID)]
    else:
        asked = [*_texts(*ASKED), *_lists("rel_ins_ids"), *_texts(*SAID)]
        content = [*shown, {"name": "instructions", "list": asked}]
    pictures = sorted(files, key=lambda name: (int(name.partition(".")[0]), name))
    features = [
        *_texts("__key__", "__url__"),
        {"name": "json", "struct": content},
        *({"name": name, "dtype": "image"} for name in pictures),
    ]
    config = {"config_name": "default", "data_files": paths}
    return {"configs": [config], "dataset_info": {"config_name": "default", "features": features}}


def _texts(*names: str) -> list[Fields]:
    return [{"name": name, "dtype": "string"} for name in names]


def _lists(*names: str) -> list[Fields]:
    return [{"name": name, "list": "string"} for name in names]


def _readme(shards: dict[str, list[TarShard]], way: Context, stored: int) -> str:
    lines = ["## Files\n", "| files | split | shards | samples | bytes |", "|---|---|---|---|---|"]
    for split, found in shards.items():
        samples, size = (sum(getattr(s, name) for s in found) for name in ("samples", "bytes"))
        lines.append(f"| `{split}-….tar` | {split} | {len(found):,} | {samples:,} | {size:,} |")
    first = next(iter(shards))
    urls = f"{first}-{{000000..{len(shards[first]) - 1:06d}}}.tar"
    what = _SETS if way == "turns" else _PICTURES
    lines.append(what.format(stored=stored))
    lines.append(_READ.strip().format(urls=urls, split=first, loop=_LOOPS[way]))
    return "\n".join(lines)


_PICTURES = """
A sample is all that is asked about the same pictures: `KEY.json` and `KEY.0.jpg`, `KEY.1.png`, ….
A picture is stored once for all instructions about the same pictures in the same order, and once
more where it stands in another list: {stored:,} files of pictures. `KEY` is the id of its first
instruction, a dot spelled `~2e~` and a `~` spelled `~7e~`. The JSON has

- `image_ids`, and `files` with the name of the field that holds each;
- `instructions`: all that is asked about them, with `id`, `instruction`, `answer`, `rel_ins_ids`
  (ids of in-context examples), source, kind, language and `licence`.
"""

_SETS = """
A sample is one in-context example set: `KEY.json` and `KEY.0.jpg`, `KEY.1.png`, …, each picture of
the set once, and again in every other set that shows it: {stored:,} files of pictures. `KEY` is the
id of the query, a dot spelled `~2e~` and a `~` spelled `~7e~`. The JSON has

- `turns`: the examples in the order in which they are shown, then the query, which is the last one:
  each with `id`, `instruction`, `answer`, `licence`, `image_ids`, and `files` with the name of the
  field that holds each of these;
- `id`, source, kind and language of the query.
"""

_READ = """
With `webdataset`, in this directory:

```python
import webdataset

urls = "{urls}"
for sample in webdataset.WebDataset(urls, shardshuffle=False).decode("pil"):
{loop}
```

With `datasets`, whose columns are those of the card above, None where a sample has no such file:

```python
import os

from datasets import load_dataset

for sample in load_dataset(os.getcwd(), split="{split}"):  # not ".", which has no name
{loop}
```

`{split}-index.json` has the number of samples of every shard, as `wids` and distributed training
want it. A shard can be read from its beginning only: shuffle shards, and samples in a buffer.
"""

_LOOPS = {
    "none": """\
    pictures = [sample[file] for file in sample["json"]["files"]]
    for asked in sample["json"]["instructions"]:
        print(len(pictures), asked["instruction"], asked["answer"])""",
    "turns": """\
    for turn in sample["json"]["turns"]:
        pictures = [sample[file] for file in turn["files"]]
        print(len(pictures), turn["instruction"], turn["answer"])""",
}

FORMAT = Format("Tar shards, as `webdataset` and `datasets` stream them", ("none", "turns"), write)
