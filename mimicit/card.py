"""The dataset card: README.md with the YAML that `load_dataset` and the Hub read.

Format: https://huggingface.co/docs/hub/datasets-cards. Every table that has rows is a config, with
its features written out and the rows of each of its splits, which `datasets` checks when it loads.
What follows the YAML is for people, and put into words by `mimicit.card_text`.
"""

import hashlib
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Any, get_args

import pyarrow.parquet as pq
import yaml

from mimicit import __version__, card_text, link_text, lookup
from mimicit.config import BuildConfig
from mimicit.context_linker.health import Health
from mimicit.linking import FIRST
from mimicit.schema import Instruction
from mimicit.tables import card_features, in_order
from mimicit.writer import FileEntry, describe, write_manifest

SPLITS: tuple[str, ...] = get_args(Instruction.model_fields["split"].annotation)
"""Every split, in the order in which a card lists them."""

EXAMPLES = 3
"""Instructions that a card shows."""

SEEN_FOR_EXAMPLES = 20_000
"""Instructions of each file among which they are chosen."""

_SHOWN = ("id", "instruction", "answer", "image_ids", "rel_ins_ids", "source", "kind")

Rows = dict[str, dict[str, int]]
"""Number of rows by table and split."""

HUB_LICENCES = frozenset(
    {"CC0-1.0", "CC-BY-2.0", "CC-BY-3.0", "CC-BY-4.0", "CC-BY-SA-3.0", "CC-BY-SA-4.0"}
)
"""Licences the Hub knows by their SPDX id in lower case."""


@dataclass(slots=True)
class Tally:
    """What is counted while a dataset is assembled, for its card and for the summary.

    Attributes:
        kinds: Instructions by the kind of their question; and so on by language, split, source.
        licences: Pictures by licence.
        rejected: Records that were turned away, by stage and reason.
        strategies: In-context examples by the strategy that found them.
        prompts: Digest of each source's prompt file, or of the templates' wording.
        links: In-context examples, over all instructions.
        views: What is to be known of the links of each view, by its table.
        equal_pictures: Pictures equal to another one under a different id.
        pending: Requests without a reply.
        replies: Replies that were read, whether or not something of them was kept.
        input_tokens: Tokens of their requests.
        output_tokens: Tokens of the replies themselves.
    """

    scenes: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    licences: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    rejected: Counter[tuple[str, str]] = field(default_factory=Counter)
    strategies: Counter[str] = field(default_factory=Counter)
    splits: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    prompts: dict[str, str] = field(default_factory=dict)
    links: int = 0
    views: dict[str, dict[str, Any]] = field(default_factory=dict)
    equal_pictures: int = 0
    pending: int = 0
    replies: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def count_links(self, health: Mapping[str, Health]) -> None:
        """Note what linking came to."""
        self.views = {table: each.record() for table, each in health.items()}
        self.strategies = Counter(self.views[FIRST]["strategies"])
        self.links = self.strategies.total()

    def record(self) -> dict[str, Any]:
        """Give it as plain values, as the manifest keeps it."""
        rejected = [[*what, count] for what, count in sorted(self.rejected.items())]
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        plain = {
            k: dict(sorted(v.items())) if isinstance(v, dict) else v for k, v in values.items()
        }
        return plain | {"rejected": rejected}

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> "Tally":
        """Take it from what `record` gave.

        Raises:
            KeyError, TypeError, ValueError: it is no such record.
        """
        values: dict[str, Any] = dict(record)
        numbers = {each.name for each in fields(cls) if each.default == 0}
        if not all(isinstance(values[name], int) for name in numbers):
            raise TypeError("what was counted is no whole number")
        rejected = Counter({(stage, why): count for stage, why, count in values.pop("rejected")})
        counters = {
            each.name: Counter(values.pop(each.name))
            for each in fields(cls)
            if each.default_factory is Counter and each.name != "rejected"
        }
        for counter in (rejected, *counters.values()):
            if not all(isinstance(count, int) for count in counter.values()):
                raise TypeError("what was counted is no whole number")
        return cls(**values | counters, rejected=rejected)


def write_card(
    directory: Path, entries: Sequence[FileEntry], tally: Tally, config: BuildConfig
) -> None:
    """Write `README.md` for the tables listed, all of which are there."""
    front = yaml.safe_dump(_front_matter(entries, tally, config), sort_keys=False)
    text = f"---\n{front}---\n\n{_body(directory, entries, tally, config)}"
    (directory / "README.md").write_text(text, encoding="utf-8", newline="\n")


def describe_dataset(
    directory: Path,
    entries: Sequence[FileEntry],
    tally: Tally,
    config: BuildConfig,
    provenance: Mapping[str, object],
) -> list[FileEntry]:
    """Write `build.yaml`, card and manifest beside the tables; list all that the last one does.

    Args:
        directory: The dataset.
        entries: Its tables' files.
        tally: What was counted.
        config: How it was made.
        provenance: What else the manifest is to say.
    """
    (directory / "build.yaml").write_text(config.to_yaml(), encoding="utf-8")
    write_card(directory, entries, tally, config)
    listed = [*entries, *(describe(directory / name, name) for name in ("README.md", "build.yaml"))]
    write_manifest(directory, listed, {**provenance, "tally": tally.record()})
    return listed


def versions(*packages: str) -> dict[str, str]:
    """Give the version of mimicit and of some packages, on which the bytes of a dataset hang."""
    return {"mimicit": __version__} | {name: metadata.version(name) for name in packages}


def read_counts(card: str) -> Rows:
    """Read from a card how many rows each split of each table is said to have.

    Raises:
        ValueError: the card has no YAML, or not of this form, or it sends `datasets` elsewhere
            than to the tables' own shards.
    """
    found = re.match(r"---\n(.*?)\n---\n", card, re.DOTALL)
    try:
        front = yaml.safe_load(found[1] if found else "")
        pairs = [
            (entry["config_name"], [(s["name"], s["num_examples"]) for s in entry["splits"]])
            for entry in front["dataset_info"]
        ]
        counts = {table: dict(splits) for table, splits in pairs}
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise ValueError("no dataset_info with the number of rows of each split") from error
    if len(counts) < len(pairs) or any(len(counts[t]) < len(splits) for t, splits in pairs):
        raise ValueError("its dataset_info counts something twice")
    if front.get("configs") not in [_configs(counts, form) for form in (".parquet", ".jsonl")]:
        raise ValueError("its configs do not name the shards of the tables that it counts")
    return counts


# -------------------------------------------------------------- the front matter


def _place(entry: FileEntry) -> tuple[str, str]:
    """Read the table and the split of a shard off its name."""
    folder, _, name = entry.path.partition("/")
    return folder, name.partition("-")[0]


def _add_up(entries: Sequence[FileEntry]) -> tuple[Rows, Rows]:
    """Add up the rows and the bytes of each split of each table, empty ones left out."""
    rows, sizes = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for entry in entries:
        if entry.rows:
            rows[_place(entry)] += entry.rows
            sizes[_place(entry)] += entry.bytes
    tables = in_order({table for table, _ in rows})
    order = {table: [s for s in SPLITS if (table, s) in rows] for table in tables}
    return (
        {table: {split: rows[table, split] for split in order[table]} for table in tables},
        {table: {split: sizes[table, split] for split in order[table]} for table in tables},
    )


def _form(entries: Sequence[FileEntry]) -> str:
    """Tell how the tables of text are written: `.parquet` or `.jsonl`."""
    return next(
        PurePosixPath(e.path).suffix for e in entries if e.rows and _place(e)[0] == "instructions"
    )


def _configs(rows: Mapping[str, Mapping[str, int]], form: str) -> list[dict[str, Any]]:
    """List where `datasets` finds each table.

    It reads all of a directory's tables with one builder, so that pictures, which are always in
    Parquet, cannot stand beside tables in JSON Lines: they are loaded by themselves then.
    """
    return [
        {
            "config_name": table,
            **({"default": True} if table == "instructions" else {}),
            "data_files": [
                {"split": split, "path": f"{table}/{split}-*{form}"} for split in splits
            ],
        }
        for table, splits in rows.items()
        if table != "images" or form == ".parquet"
    ]


def _front_matter(
    entries: Sequence[FileEntry], tally: Tally, config: BuildConfig
) -> dict[str, Any]:
    rows, sizes = _add_up(entries)
    licences = [licence for licence in tally.licences if licence]
    single = licences[0] if len(tally.licences) == 1 and licences else ""
    total = sum(rows["instructions"].values())
    bounds = [
        (1_000, "n<1K"),
        (10_000, "1K<n<10K"),
        (100_000, "10K<n<100K"),
        (1_000_000, "100K<n<1M"),
        (10_000_000, "1M<n<10M"),
    ]
    return {
        "pretty_name": card_text.title(config),
        "license": single.lower() if single in HUB_LICENCES else "other",
        "language": sorted(tally.languages),
        "task_categories": ["visual-question-answering", "image-text-to-text"],
        "size_categories": [next((n for bound, n in bounds if total < bound), "10M<n<100M")],
        "tags": ["mimic-it", "in-context-learning", "instruction-tuning", "mimicit"],
        "configs": _configs(rows, _form(entries)),
        "dataset_info": [
            {
                "config_name": table,
                "features": card_features(table),
                "splits": [
                    {"name": split, "num_bytes": sizes[table][split], "num_examples": count}
                    for split, count in splits.items()
                ],
            }
            for table, splits in rows.items()
        ],
    }


# ------------------------------------------------------------- for people to read


def _body(directory: Path, entries: Sequence[FileEntry], tally: Tally, config: BuildConfig) -> str:
    rows, _ = _add_up(entries)
    divided = len(rows["instructions"]) > 1
    sections = [
        f"# {card_text.title(config)}\n",
        card_text.summary(rows, tally.links, card_text.author(config), config.date),
        card_text.how_to_load(divided=divided, lines=_form(entries) == ".jsonl"),
        card_text.examples(_examples(directory, entries)),
        card_text.contents(tally.kinds, tally.sources, tally.languages, tally.strategies),
        *([link_text.health(tally.views)] if tally.views else []),
        "## How it was made\n",
        *_making(tally, config),
        "## Splits\n\n" + card_text.splits(config.split, rows["instructions"]),
        "## Licences\n\n" + card_text.licences(tally.licences, config.allow_licences),
        "## What was turned away\n\n" + card_text.turned_away(tally.rejected),
        "## Limits\n\n"
        + card_text.limits(
            config,
            equal_pictures=tally.equal_pictures,
            pending=tally.pending,
            replies=tally.replies,
        ),
        "## Where it comes from\n\n" + card_text.origins(config),
    ]
    return "\n".join(sections)


def _making(tally: Tally, config: BuildConfig) -> Iterator[str]:
    """Say how it was made, by which words, and what that cost."""
    asked = config.teacher == "openai"
    yield card_text.how_made(config)
    if tally.prompts:
        what = "its prompt" if asked else "the wording of the rules"
        yield card_text.digests(what, tally.prompts)
    if asked:
        tokens = (tally.input_tokens, tally.output_tokens)
        yield card_text.cost(config.model or "", tally.replies, *tokens)


def _examples(
    directory: Path, entries: Sequence[FileEntry]
) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Choose the instructions to show, each with its in-context examples.

    They are of different sources, kinds and pictures where there are such, and have in-context
    examples where any do; among those a hash of their ids decides. They are chosen among the first
    instructions of each shard, since a million need not be read for three.
    """
    shards = [e for e in entries if e.rows and _place(e)[0] == "instructions"]
    train = [directory / e.path for e in shards if _place(e)[1] == SPLITS[0]]
    first: dict[tuple[str, str], tuple[bool, str, dict[str, Any]]] = {}
    for row in _read(train or [directory / e.path for e in shards], SEEN_FOR_EXAMPLES):
        digest = hashlib.sha256(row["id"].encode()).hexdigest()
        rank = (not row["rel_ins_ids"], digest, row)
        best = first.get((row["source"], row["kind"]))
        if best is None or rank[:2] < best[:2]:
            first[row["source"], row["kind"]] = rank
    chosen: list[dict[str, Any]] = []
    while first and len(chosen) < EXAMPLES:
        chosen.append(first.pop(min(first, key=lambda place: _rank(first[place], chosen)))[2])
    wanted = {name for row in chosen for name in row["rel_ins_ids"]}
    found = lookup.find(directory, "instructions", "id", sorted(wanted), _SHOWN)
    context = {row.values["id"]: row.values for row in found}
    return [(r, [context[i] for i in r["rel_ins_ids"] if i in context]) for r in chosen]


def _rank(
    candidate: tuple[bool, str, dict[str, Any]], chosen: Sequence[Mapping[str, Any]]
) -> tuple[object, ...]:
    """Say how much a candidate adds to what was chosen before it: least first."""
    bare, digest, row = candidate
    again = [any(row[key] == other[key] for other in chosen) for key in ("source", "kind")]
    pictures = {name for other in chosen for name in other["image_ids"]}
    return bare, *again, not pictures.isdisjoint(row["image_ids"]), digest


def _read(paths: Sequence[Path], most: int) -> Iterator[dict[str, Any]]:
    """Read the first instructions of each file, as much of them as is shown, a few at a time."""
    for path in paths:
        if path.suffix == ".jsonl":
            with path.open(encoding="utf-8") as file:
                yield from itertools.islice(map(json.loads, file), most)
            continue
        with pq.ParquetFile(path) as parquet:
            batches = parquet.iter_batches(1024, columns=_SHOWN)
            yield from itertools.islice((row for b in batches for row in b.to_pylist()), most)
