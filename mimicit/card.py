"""The dataset card: README.md with the YAML that `load_dataset` and the Hub read.

Format: https://huggingface.co/docs/hub/datasets-cards. Every table that has rows is a config, with
its features written out and its number of rows, which `datasets` checks when it loads.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mimicit.config import BuildConfig, SourceConfig
from mimicit.generators import find
from mimicit.tables import card_features
from mimicit.writer import SPLIT, FileEntry, count_rows

HUB_LICENCES = frozenset(
    {"CC0-1.0", "CC-BY-2.0", "CC-BY-3.0", "CC-BY-4.0", "CC-BY-SA-3.0", "CC-BY-SA-4.0"}
)
"""Licences the Hub knows by their SPDX id in lower case."""


@dataclass(slots=True)
class Tally:
    """What is counted while a dataset is assembled, for its card and for the summary."""

    kinds: Counter[str] = field(default_factory=Counter)
    licences: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    rejected: Counter[tuple[str, str]] = field(default_factory=Counter)
    strategies: Counter[str] = field(default_factory=Counter)
    links: int = 0
    equal_pictures: int = 0
    pending: int = 0


def write_card(
    directory: Path, entries: Sequence[FileEntry], tally: Tally, config: BuildConfig
) -> None:
    """Write `README.md` for the tables listed."""
    counts = {table: rows for table, rows in count_rows(entries).items() if rows}
    front = yaml.safe_dump(_front_matter(counts, entries, tally, config), sort_keys=False)
    text = f"---\n{front}---\n\n{_body(counts, tally, config)}"
    (directory / "README.md").write_text(text, encoding="utf-8")


def read_counts(card: str) -> dict[str, int]:
    """Read from a card how many rows each table is said to have.

    Raises:
        ValueError: the card has no YAML, or not of this form, or it sends `datasets` elsewhere
            than to the tables' own shards.
    """
    found = re.match(r"---\n(.*?)\n---\n", card, re.DOTALL)
    try:
        front = yaml.safe_load(found[1] if found else "")
        counts = {
            entry["config_name"]: sum(s["num_examples"] for s in entry["splits"])
            for entry in front["dataset_info"]
        }
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise ValueError("no dataset_info with the number of rows of each table") from error
    if front.get("configs") != _configs(counts):
        raise ValueError("its configs do not name the shards of the tables that it counts")
    return counts


def _configs(tables: Iterable[str]) -> list[dict[str, Any]]:
    return [
        {
            "config_name": table,
            **({"default": True} if table == "instructions" else {}),
            "data_files": [{"split": SPLIT, "path": f"{table}/{SPLIT}-*.parquet"}],
        }
        for table in tables
    ]


def _title(config: BuildConfig) -> str:
    return (
        f"In-context instructions from {', '.join(dict.fromkeys(s.name for s in config.sources))}"
    )


def _front_matter(
    counts: dict[str, int], entries: Sequence[FileEntry], tally: Tally, config: BuildConfig
) -> dict[str, Any]:
    licences = [licence for licence in tally.licences if licence]
    single = licences[0] if len(tally.licences) == 1 and licences else ""
    rows = counts["instructions"]
    sizes = [
        (1_000, "n<1K"),
        (10_000, "1K<n<10K"),
        (100_000, "10K<n<100K"),
        (1_000_000, "100K<n<1M"),
    ]
    return {
        "pretty_name": _title(config),
        "license": single.lower() if single in HUB_LICENCES else "other",
        "language": sorted(tally.languages),
        "task_categories": ["visual-question-answering", "image-text-to-text"],
        "size_categories": [next((name for bound, name in sizes if rows < bound), "n>1M")],
        "tags": ["mimic-it", "in-context-learning", "instruction-tuning", "mimicit"],
        "configs": _configs(counts),
        "dataset_info": [
            {
                "config_name": table,
                "features": card_features(table),
                "splits": [
                    {
                        "name": SPLIT,
                        "num_bytes": sum(
                            e.bytes for e in entries if e.path.startswith(f"{table}/")
                        ),
                        "num_examples": count,
                    }
                ],
            }
            for table, count in counts.items()
        ],
    }


def _body(counts: dict[str, int], tally: Tally, config: BuildConfig) -> str:
    parts = [
        f"# {_title(config)}\n",
        "Questions and answers about pictures, each with in-context examples to show before it. "
        "Made with mimicit" + (f" on {config.date}.\n" if config.date else ".\n"),
        _table(
            ("table", "rows", "what a row is"), [(t, f"{n:,}", ROWS[t]) for t, n in counts.items()]
        ),
        HOW_TO_LOAD,
        "## What is in it\n",
        _table(("kind of question", "instructions"), _ranked(tally.kinds)),
        _table(("licence of the picture", "pictures"), _ranked(tally.licences, empty="not stated")),
    ]
    if config.teacher != "templates":
        parts.insert(2, _teacher(config, tally.pending))
    if tally.strategies:
        parts.append(
            _table(("in-context examples found by", "examples"), _ranked(tally.strategies))
        )
    if tally.rejected:
        rejected = [
            (stage, reason, f"{n:,}") for (stage, reason), n in sorted(tally.rejected.items())
        ]
        parts.append("## What was turned away\n")
        parts.append("Every record that could not be used is a row of the `rejected` table.\n")
        parts.append(_table(("stage", "reason", "records"), rejected))
    if tally.equal_pictures:
        parts.append(
            f"{tally.equal_pictures:,} pictures are byte for byte equal to another one under a "
            "different id; they are kept as they came.\n"
        )
    parts.append("## Where it comes from\n")
    parts += [f"- `{s.name}`: {_origin(s)}" for s in config.sources]
    parts.append("\n`mimicit build --config build.yaml` makes it again.\n")
    return "\n".join(parts)


def _teacher(config: BuildConfig, pending: int) -> str:
    sees = "which was shown the pictures" if config.vision else "which did not see the pictures"
    text = (
        f"Written by the model {_cell(config.teacher_name)}, {sees}; its mistakes are in it. "
        "`prompt_sha256` says which prompt was asked, `request_key` which reply a row comes from.\n"
    )
    if pending:
        text += f"\n**Partial**: {pending:,} requests had no reply yet when this was made.\n"
    return text


ROWS = {
    "instructions": "a question, its answer, the ids of its pictures and of its examples",
    "images": "a picture, its file unchanged",
    "links": "why an instruction has the examples it has",
    "rejected": "something that was turned away, and why",
}

HOW_TO_LOAD = """\
```python
from datasets import load_dataset

instructions = load_dataset("DIRECTORY", split="train")      # text and ids
images = load_dataset("DIRECTORY", "images", split="train")  # image_id and image

import mimicit

for example in mimicit.load("DIRECTORY"):  # pictures and in-context examples resolved
    example.instruction, example.answer, example.images, example.context
```
"""


def _origin(source: SourceConfig) -> str:
    return "the sample that ships with mimicit." if source.sample else find(source.name).origin


def _ranked(counter: Counter[str], empty: str = "") -> list[tuple[str, str]]:
    ranked = sorted(counter.items(), key=lambda item: (-item[1], item[0]))
    return [(name or empty, f"{count:,}") for name, count in ranked]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *([_cell(text) for text in row] for row in rows)]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _cell(text: str) -> str:
    """Keep text from a source inside its table cell."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")[:120]
