"""The release gate: what must hold of a dataset before a stranger trains on it.

Every file is the one its manifest lists; every row is of the published schema; every image id and
every context id resolves to exactly one row; contexts come from the train split and are never the
query itself; every picture decodes and is what its row says; the card counts what is there. All
violations are found in one run, whatever state the directory is in.
"""

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from mimicit.card import read_counts
from mimicit.checks import text_problem
from mimicit.decoding import Picture, examine_all
from mimicit.errors import InvalidDataset
from mimicit.schema import SCHEMA_VERSION, ImageInfo
from mimicit.tables import TABLES, arrow_schema
from mimicit.writer import SPLIT, describe

MAX_GROUP_BYTES = 2**30
"""Largest row group that is read; the writer's are 32 MB and one picture."""

BATCH_ROWS = {"images": 16, "instructions": 4096, "links": 4096, "rejected": 4096}
"""Rows held at a time."""


SHARD_NAME = re.compile(rf"{SPLIT}-[0-9]{{5}}-of-[0-9]{{5}}\.parquet")
"""What the card's configs match."""


class _Gate:
    """One run over one directory; `problems` grows as it goes."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.problems: list[str] = []
        self.rows = dict.fromkeys(TABLES, 0)
        self.manifest_rows: dict[str, int | None] = {}
        self.shards: dict[str, list[tuple[str, Path]]] = {table: [] for table in TABLES}

    def found(self, where: str, what: str) -> None:
        self.problems.append(f"{where}: {what}")

    # ------------------------------------------------------------- the files

    def files(self) -> None:
        """Compare the directory with its manifest."""
        listed = self._manifest()
        present = dict(self._walk())
        for name in sorted(present.keys() - listed.keys() - {"manifest.json"}):
            self.found(name, "is not in manifest.json")
        for name, entry in sorted(listed.items()):
            if name not in present:
                self.found(name, "is in manifest.json, but not there")
                continue
            try:
                measured = describe(present[name], name)
            except OSError as error:
                self.found(name, f"cannot be read: {error.strerror}")
                continue
            if measured.sha256 != entry.get("sha256"):
                stated = entry.get("sha256")
                self.found(name, f"has sha256 {measured.sha256}, not {stated} as in manifest.json")
            self._sort_in(name, present[name])

    def _walk(self) -> Iterator[tuple[str, Path]]:
        """List the dataset's own files; hidden ones, such as `.gitattributes`, are the host's.

        Nothing but a regular file is opened: a pipe would be waited for, a link leads elsewhere.
        """
        for path in sorted(self.directory.rglob("*")):
            name = path.relative_to(self.directory).as_posix()
            if any(part.startswith(".") for part in name.split("/")):
                continue
            if path.is_symlink() or not (path.is_dir() or path.is_file()):
                self.found(name, "is not a regular file")
            elif path.is_file():
                yield name, path

    def _sort_in(self, name: str, path: Path) -> None:
        """Keep a shard to be read, if its name is one that the card's configs match."""
        if not name.endswith(".parquet"):
            return
        folder, _, file = name.rpartition("/")
        if folder not in TABLES or not SHARD_NAME.fullmatch(file):
            self.found(name, "is not the name of a shard, TABLE/SPLIT-00000-of-00001.parquet")
        else:
            self.shards[folder].append((name, path))

    def _manifest(self) -> dict[str, dict[str, Any]]:
        try:
            content = json.loads(self._text("manifest.json"))
            version, files = str(content["schema_version"]), content["files"]
            if not all(isinstance(entry, dict) for entry in files.values()):
                raise TypeError("`files` is not a mapping of names to entries")  # noqa: TRY301
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            self.found("manifest.json", f"cannot be read: {type(error).__name__}: {error}"[:200])
            return {}
        major, known = version.partition(".")[0], SCHEMA_VERSION.partition(".")[0]
        if major != known:
            what = f"schema version {version}: this mimicit checks version {known}.x"
            self.found("manifest.json", what)
        self.manifest_rows = {name: entry.get("rows") for name, entry in files.items()}
        return dict(files)

    def _text(self, name: str) -> str:
        path = self.directory / name
        if path.is_symlink() or not path.is_file():
            raise FileNotFoundError(f"{name} is not a file")
        return path.read_text(encoding="utf-8")

    def card(self) -> None:
        """Compare the card's counts with the rows that were read."""
        try:
            counts = read_counts(self._text("README.md"))
        except (OSError, ValueError, RecursionError) as error:
            self.found("README.md", f"cannot be read as a dataset card: {error}")
            return
        for table, rows in self.rows.items():
            if counts.get(table, 0) != rows:
                self.found(
                    "README.md", f"counts {counts.get(table, 0)} rows of {table}; there are {rows}"
                )

    # -------------------------------------------------------------- the rows

    def batches(
        self, table: str, columns: list[str] | None = None
    ) -> Iterator[tuple[str, pa.RecordBatch]]:
        """Read a table's shards in order; damage is a problem, not an error."""
        for name, path in self.shards[table]:
            try:
                with pq.ParquetFile(path) as parquet:
                    if not self._right_schema(name, table, parquet.schema_arrow):
                        continue
                    if not self._bounded(name, parquet.metadata):
                        continue
                    for batch in parquet.iter_batches(BATCH_ROWS[table], columns=columns):
                        yield name, batch
            except (OSError, pa.ArrowException) as error:
                self.found(name, f"cannot be read: {' '.join(str(error).split())[:200]}")

    def _bounded(self, name: str, metadata: pq.FileMetaData) -> bool:
        """Refuse row groups that would fill the memory when they are decompressed."""
        groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
        largest = max((group.total_byte_size for group in groups), default=0)
        if largest > MAX_GROUP_BYTES:
            self.found(name, f"has a row group of {largest:,} bytes, more than {MAX_GROUP_BYTES:,}")
        return largest <= MAX_GROUP_BYTES

    def _right_schema(self, name: str, table: str, schema: pa.Schema) -> bool:
        expected = arrow_schema(table)
        wrong = [
            f"column {column!r} is {_type_of(schema, column)}, not {_type_of(expected, column)}"
            for column in expected.names
            if _type_of(schema, column) != _type_of(expected, column)
        ]
        wrong += [
            f"unknown column {column!r}" for column in schema.names if column not in expected.names
        ]
        if len(set(schema.names)) < len(schema.names):
            wrong.append("a column stands twice")
        for what in wrong:
            self.found(name, what)
        return not wrong

    def table(self, table: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Check every row of a table against its schema, and yield those that fit."""
        counted = {name: 0 for name, _ in self.shards[table]}
        model = TABLES[table]
        key = next(iter(model.model_fields))
        for name, batch in self.batches(table):
            counted[name] += batch.num_rows
            self.rows[table] += batch.num_rows
            try:
                rows = batch.to_pylist()
            except ValueError as error:  # text that is no UTF-8
                self.found(name, f"cannot be read: {error}"[:200])
                continue
            for row in rows:
                try:
                    model.model_validate(row)
                except ValidationError as error:
                    for problem in error.errors():
                        field = ".".join(map(str, problem["loc"]))
                        self.found(name, f"{row.get(key)!r}: {field}: {problem['msg']}")
                else:
                    yield name, row
        for name, rows in counted.items():
            if self.manifest_rows.get(name, rows) != rows:
                self.found(name, f"has {rows} rows; manifest.json says {self.manifest_rows[name]}")

    def images(self, *, decode: bool) -> set[str]:
        """Check every picture; return the ids that resolve."""
        seen: set[str] = set()

        def expected() -> Iterator[tuple[str, dict[str, Any]]]:
            for name, row in self.table("images"):
                if row["image_id"] in seen:
                    self.found(name, f"image id {row['image_id']!r} has more than one row")
                seen.add(row["image_id"])
                yield name, row

        if not decode:
            for _ in expected():
                pass
            return seen
        waiting: list[tuple[str, dict[str, Any]]] = []

        def pictures() -> Iterator[Picture]:
            for name, row in expected():
                waiting.append((name, {k: v for k, v in row.items() if k != "image"}))
                yield row["image_id"], row["image"]["bytes"] or b""

        for info in examine_all(pictures()):
            name, row = waiting.pop(0)
            self._compare(name, row, info)
        return seen

    def _compare(self, name: str, row: dict[str, Any], info: ImageInfo) -> None:
        if info.problem:
            self.found(name, f"{row['image_id']!r} does not decode: {info.problem}: {info.detail}")
            return
        for field in ("sha256", "phash", "width", "height", "format"):
            if row[field] != getattr(info, field):
                what = f"{field} is {getattr(info, field)!r}, its row says {row[field]!r}"
                self.found(name, f"{row['image_id']!r}: {what}")

    def instructions(self, images: set[str]) -> None:
        """Check ids, references and text of all instructions, and the links against them."""
        train, others = self._instruction_ids()
        contexts: dict[str, int] = {}
        for name, row in self.table("instructions"):
            for image in row["image_ids"]:
                if image not in images:
                    self.found(
                        name, f"{row['id']!r}: image id {image!r} is not in the images table"
                    )
            for problem in _context_problems(row, train, others):
                self.found(name, f"{row['id']!r}: {problem}")
            for field in ("instruction", "answer"):
                reason = text_problem(row[field])
                if reason:
                    self.found(name, f"{row['id']!r}: {field}: {reason}")
            if row["rel_ins_ids"]:
                contexts[row["id"]] = hash(tuple(row["rel_ins_ids"]))
        self._links(contexts)

    def _instruction_ids(self) -> tuple[set[str], set[str]]:
        """Read all ids once, since a context may come after its query: (train, other splits)."""
        train: set[str] = set()
        others: set[str] = set()
        for name, batch in self.batches("instructions", ["id", "split"]):
            with contextlib.suppress(ValueError):  # text that is no UTF-8 is found by `table`
                for row in batch.to_pylist():
                    if row["id"] in train or row["id"] in others:
                        self.found(name, f"instruction id {row['id']!r} has more than one row")
                    (train if row["split"] == "train" else others).add(row["id"])
        return train, others

    def _links(self, contexts: dict[str, int]) -> None:
        for name, row in self.table("links"):
            query = row["query_id"]
            if contexts.pop(query, None) != hash(tuple(row["context_ids"])):
                self.found(
                    name, f"{query!r}: context_ids are not the rel_ins_ids of its instruction"
                )
            if not len(row["context_ids"]) == len(row["scores"]) == len(row["strategies"]):
                self.found(name, f"{query!r}: contexts, scores and strategies differ in number")
        for query in contexts:
            self.found("links", f"{query!r}: has rel_ins_ids, but no row of its own")


def _type_of(schema: pa.Schema, column: str) -> str:
    """Spell a column's type without what other writers of Parquet spell differently."""
    if column not in schema.names:
        return "missing"
    return str(schema.field(column).type).replace(" not null", "").replace("item: ", "element: ")


def _context_problems(row: dict[str, Any], train: set[str], others: set[str]) -> Iterator[str]:
    contexts = row["rel_ins_ids"]
    if len(set(contexts)) < len(contexts):
        yield "a context id stands twice"
    for context in dict.fromkeys(contexts):
        if context == row["id"]:
            yield "is its own context"
        elif context in others:
            yield f"context id {context!r} is not of the train split"
        elif context not in train:
            yield f"context id {context!r} is not in the instructions table"


def find_problems(directory: str | Path, *, decode: bool = True) -> list[str]:
    """List every violation in a dataset directory, each as `file: what is wrong`.

    Args:
        directory: Any directory, in any state.
        decode: Decode every picture as well. Nothing else is left out without it.
    """
    gate = _Gate(Path(directory))
    if not gate.directory.is_dir():
        return [f"{directory}: is not a directory"]
    gate.files()
    images = gate.images(decode=decode)
    gate.instructions(images)
    for _ in gate.table("rejected"):
        pass
    if not gate.rows["instructions"]:
        gate.found("instructions", "has no rows")
    gate.card()
    return list(dict.fromkeys(gate.problems))


def validate(directory: str | Path, *, decode: bool = True) -> None:
    """Prove a dataset directory right, or say everything that is wrong.

    Raises:
        InvalidDataset: with every violation in `problems`.
    """
    problems = find_problems(directory, decode=decode)
    if problems:
        raise InvalidDataset(problems)
