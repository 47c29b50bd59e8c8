"""Tables with pictures inside: what `save_to_disk` of Hugging Face's datasets writes, and Parquet.

Rows are read a few at a time, so that a table may be larger than the memory. Each picture is
written once, under the digest of its bytes, beside what else is known of media, and read from
there like any other file.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, cast

from mimicit.annotations import Annotation, Caption, Dialogue
from mimicit.errors import SourceError, UsageError
from mimicit.generators._conversations import exchanges
from mimicit.generators._table_files import NAME, Columns, Table, batches, tables
from mimicit.media_cache import default_directory
from mimicit.names import escape_id
from mimicit.progress import Counted
from mimicit.records import digest, plain, reject
from mimicit.schema import ImageRef, Rejection, Scene


@dataclass(frozen=True, slots=True)
class _Row:
    """What is kept of a row: all but the picture, which is in the cache under its digest."""

    scene_id: str
    picture: str
    texts: tuple[str, ...]
    turns: tuple[tuple[str, str], ...]
    name: str


def rows(
    dataset: Path, columns: Columns, prefix: str, licence: str, language: str
) -> Iterator[Scene | Rejection]:
    """Yield one scene a row, by ascending id, and the rows that had to be left out.

    Raises:
        SourceError: there is no such table, it is damaged, or its pictures cannot be kept.
        UsageError: a column is not there, or of another type.
    """
    if bool(columns.question) != bool(columns.answer):
        raise UsageError(f"{NAME}: name both -o question_column=… and -o answer_column=…")
    store = default_directory().absolute() / "pictures"
    found: list[_Row] = []
    refused: list[Rejection] = []
    for table in tables(dataset):
        for item in _read(table, columns, store):
            if isinstance(item, Rejection):
                refused.append(item)
            else:
                found.append(item)
    found.sort(key=lambda row: (row.scene_id, row.picture, row.texts, row.turns))
    made = _walk(found, refused, store, (prefix, licence, language))
    return Counted(made, len(found))


def _walk(
    found: list[_Row], refused: list[Rejection], store: Path, words: tuple[str, str, str]
) -> Iterator[Scene | Rejection]:
    yield from refused
    last: _Row | None = None
    for row in found:
        if last and row.scene_id == last.scene_id:
            kept = (last.picture, last.texts, last.turns)
            same = (row.picture, row.texts, row.turns) == kept
            reason = "duplicate-record" if same else "duplicate-scene"
            detail = f"it is {last.name} again" if same else f"its id is that of {last.name}"
            yield reject(NAME, reason, row.name, detail, row.scene_id)
            continue
        last = row
        yield from _scene(row, str(store), *words)


def _scene(
    row: _Row, store: str, prefix: str, licence: str, language: str
) -> Iterator[Scene | Rejection]:
    """Make the scene of one row, after what of its text cannot be used."""
    captions: dict[str, Caption] = {}
    for number, text in enumerate(row.texts, 1):
        key = text.casefold().rstrip(". ")
        if not text or key in captions:
            reason = "duplicate-caption" if text else "empty-caption"
            yield reject(NAME, reason, f"{row.name}, text {number}", repr(text), row.scene_id)
        else:
            captions[key] = Caption(text)
    turns, problems = exchanges(row.turns)
    for reason, where, detail in problems:
        yield reject(NAME, reason, f"{row.name}, {where}", detail, row.scene_id)
    said: list[Annotation] = [*captions.values(), *([Dialogue(tuple(turns))] if turns else [])]
    path = _place(row.picture)
    yield Scene(
        source=NAME,
        id=row.scene_id,
        prefix=prefix,
        images=(ImageRef(f"{prefix}_IMG_{row.picture}", store, path, licence=licence),),
        annotations=tuple(said),
        groups=(row.picture,),
        language=language,
    )


def _read(table: Table, columns: Columns, store: Path) -> Iterator[_Row | Rejection]:
    """Read the rows of a file, keeping each picture."""
    number = 0
    for batch in batches(table, columns):
        for row in batch.to_pylist():
            number += 1
            yield _row(row, f"{table[1]} row {number}", columns, store)


def _row(row: dict[str, Any], name: str, columns: Columns, store: Path) -> _Row | Rejection:
    value = row[columns.image]
    data = value["bytes"] if isinstance(value, dict) else value
    if not data:
        detail = "no bytes of a picture"
        if isinstance(value, dict) and value.get("path"):
            shown = PurePath(value["path"]).name  # where it lies is nobody's business
            detail += (
                f", only the name {shown!r}: save_to_disk takes pictures in, to_parquet may not"
            )
        return reject(NAME, "no-picture", name, detail)
    texts = tuple(plain(text) for text in _list(row, columns.text))
    asked, answers = _list(row, columns.question), _list(row, columns.answer)
    if len(asked) != len(answers):
        detail = f"{len(asked)} questions and {len(answers)} answers"
        return reject(NAME, "uneven-lists", name, detail)
    turns = tuple(zip(asked, answers, strict=True))
    own = row[columns.id] if columns.id else None
    if columns.id and (own is None or not str(own).strip()):
        return reject(NAME, "no-image-id", name, f"nothing in the column {columns.id!r}")
    picture = _keep(bytes(data), store)
    scene_id = escape_id(str(own)) if columns.id else f"{picture[:16]}_{digest(texts, turns)}"
    return _Row(scene_id, picture, texts, turns, name)


def _list(row: dict[str, Any], column: str) -> Sequence[str]:
    """Read text, or a list of it. What is missing is empty; an empty cell says nothing at all."""
    value = row[column] if column else None
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    return [one or "" for one in cast("list[str | None]", value)]


def _place(picture: str) -> str:
    return f"{picture[:2]}/{picture}"


def _keep(data: bytes, store: Path) -> str:
    """Write a picture under its digest, unless it is there; another build may do so as well.

    Raises:
        SourceError: it cannot be written.
    """
    picture = hashlib.sha256(data).hexdigest()
    path = store / _place(picture)
    try:
        if path.is_file() and path.stat().st_size == len(data):
            return picture
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
            file.write(data)
        os.replace(file.name, path)  # noqa: PTH105  # atomic: no reader sees half of it
    except OSError as error:
        raise SourceError(
            f"cannot keep pictures in {str(store)!r}: {error.strerror}; "
            "set $MIMICIT_MEDIA to a directory that can be written"
        ) from error
    return picture
