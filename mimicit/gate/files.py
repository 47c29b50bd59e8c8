"""The files of a dataset directory against its manifest, and their rows against its card."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mimicit import store_index
from mimicit.card import read_counts
from mimicit.errors import Problem
from mimicit.schema import SCHEMA_VERSION, SPLITS
from mimicit.tables import TABLES, is_view
from mimicit.writer import SPLIT, describe

SHARD_NAME = re.compile(rf"({'|'.join(SPLITS)})-([0-9]{{5}})-of-([0-9]{{5}})\.(parquet|jsonl)")
"""What the card's configs match."""

UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    OverflowError,
    RecursionError,
)
"""What reading a card raises that is none: YAML's own types raise whatever their text leads to."""


@dataclass(frozen=True, slots=True)
class Shard:
    """A file with rows of a table: its path below the dataset's directory, and as it is opened."""

    name: str
    path: Path
    split: str


@dataclass(slots=True)
class Findings:
    """What a run over a dataset directory has found so far.

    Attributes:
        directory: The directory.
        problems: Every violation.
        shards: The files of each table, in the order of splits and numbers.
        rows: How many rows each shard was seen to have.
    """

    directory: Path
    problems: list[Problem] = field(default_factory=list)
    shards: dict[str, list[Shard]] = field(default_factory=lambda: {table: [] for table in TABLES})
    rows: dict[str, int] = field(default_factory=dict)

    def add(self, file: str, text: str, row: int | None = None, name: str = "") -> None:
        """Note a violation."""
        self.problems.append(Problem(file, text, row, name))


def check_files(findings: Findings, measured: Mapping[str, str]) -> Mapping[str, Any]:
    """Compare the directory with its manifest, and sort its shards; give the manifest's entries.

    Args:
        findings: What is found is added here.
        measured: SHA-256 of files that were hashed just now.
    """
    listed = _manifest(findings)
    present = dict(_walk(findings))
    for name in sorted(present.keys() - listed.keys() - {"manifest.json"}):
        findings.add(name, "is not in manifest.json")
    for name, entry in sorted(listed.items()):
        if name not in present:
            findings.add(name, "is in manifest.json, but not there")
            continue
        try:
            digest = measured.get(name) or describe(present[name], name).sha256
        except OSError as error:
            findings.add(name, f"cannot be read: {error.strerror}")
            continue
        if digest != entry.get("sha256"):
            stated = entry.get("sha256")
            findings.add(name, f"has sha256 {digest}, not {stated} as in manifest.json")
        elif (size := present[name].stat().st_size) != entry.get("bytes"):
            stated = entry.get("bytes")
            findings.add(name, f"has {size} bytes, not {stated} as in manifest.json")
        _sort_in(findings, name, present[name])
    _check_numbers(findings)
    return listed


def _walk(findings: Findings) -> Iterator[tuple[str, Path]]:
    """List the dataset's own files; hidden ones, such as `.gitattributes`, are the host's.

    Nothing but a regular file is opened, or a link to one, as in the cache of a hub: a pipe would
    be waited for.
    """
    for path in sorted(findings.directory.rglob("*")):
        name = path.relative_to(findings.directory).as_posix()
        if any(part.startswith(".") for part in name.split("/")):
            continue
        if not path.is_file() and (path.is_symlink() or not path.is_dir()):
            findings.add(name, "is not a regular file")
        elif path.is_file():
            yield name, path


def _sort_in(findings: Findings, name: str, path: Path) -> None:
    """Keep a shard to be read, if its name is one that the card's configs match."""
    folder, _, file = name.rpartition("/")
    if not file.endswith((".parquet", ".jsonl")):
        return
    found = SHARD_NAME.fullmatch(file)
    divided = folder in {"instructions", "links"} or is_view(folder)
    if not (folder in TABLES or is_view(folder)) or not found or not (divided or found[1] == SPLIT):
        findings.add(name, "is not the name of a shard, TABLE/SPLIT-00000-of-00001.parquet")
    elif folder == "images" and found[4] != "parquet":
        findings.add(name, "holds pictures, which are always in Parquet")
    else:
        shards = findings.shards.setdefault(folder, [])
        shards.append(Shard(name, path, found[1]))
        shards.sort(key=lambda shard: (SPLITS.index(shard.split), shard.name))


def _check_numbers(findings: Findings) -> None:
    """Compare the numbers in the names of each split's shards with how many there are."""
    for table, shards in findings.shards.items():
        numbers = defaultdict[str, list[str]](list)
        for shard in shards:
            numbers[shard.split].append(shard.name.rpartition("/")[2].rpartition(".")[0])
        for split, found in numbers.items():
            count = len(found)
            expected = [f"{split}-{number:05d}-of-{count:05d}" for number in range(count)]
            if sorted(found) != expected:
                what = f"has the shards {', '.join(sorted(found))}: one is missing or too many"
                findings.add(f"{table}/{split}", what)


def _manifest(findings: Findings) -> dict[str, dict[str, Any]]:
    try:
        content = json.loads(_text(findings, "manifest.json"))
        version, files = str(content["schema_version"]), content["files"]
        if not all(isinstance(entry, dict) for entry in files.values()):
            raise TypeError("`files` is not a mapping of names to entries")  # noqa: TRY301
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        findings.add("manifest.json", f"cannot be read: {type(error).__name__}: {error}"[:200])
        return {}
    major, known = version.partition(".")[0], SCHEMA_VERSION.partition(".")[0]
    if major != known:
        what = f"schema version {version}: this mimicit checks version {known}.x"
        findings.add("manifest.json", what)
    return dict(files)


def _text(findings: Findings, name: str) -> str:
    path = findings.directory / name
    if not path.is_file():
        raise FileNotFoundError(f"{name} is not a file")
    return path.read_text(encoding="utf-8")


def check_counts(findings: Findings, listed: Mapping[str, Any]) -> None:
    """Compare the rows that were read with those that the manifest and the card state."""
    for name, rows in findings.rows.items():
        stated = listed[name].get("rows")
        if stated != rows:
            findings.add(name, f"has {rows} rows; manifest.json says {stated}")
    try:
        counts = read_counts(_text(findings, "README.md"))
    except UNREADABLE as error:
        findings.add("README.md", f"cannot be read as a dataset card: {error}"[:200])
        return
    there = {
        (table, shard.split): 0 for table, shards in findings.shards.items() for shard in shards
    }
    for table, shards in findings.shards.items():
        for shard in shards:
            there[table, shard.split] += findings.rows.get(shard.name, 0)
    said = {(table, split): n for table, splits in counts.items() for split, n in splits.items()}
    for table, split in sorted(there.keys() | said.keys(), key=str):
        has, says = there.get((table, split), 0), said.get((table, split), 0)
        if has != says:
            which = table if set(there) <= {(t, SPLIT) for t in TABLES} else f"{table}/{split}"
            findings.add("README.md", f"counts {says} rows of {which}; there are {has}")


INDEX = f"images/{store_index.NAME}"
