"""The way back of a published row: its scene, its pictures, its prompt, its reply, its context."""

import difflib
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pyarrow.compute as pc

from mimicit import lookup
from mimicit.errors import MimicitError, SourceError, UsageError
from mimicit.journal import Journal, default_path
from mimicit.lookup import Found
from mimicit.origins import Known, Origins
from mimicit.schema import ImageRow, Instruction, Rejection, Reply

_INSTRUCTION = tuple(Instruction.model_fields)
_ABOUT = ("id", "source", "scene_id", "image_ids")
_IMAGE = (*(n for n in ImageRow.model_fields if n not in {"image", "descriptor"}), "image.path")
_REJECTION = tuple(Rejection.model_fields)

_FEW = 2000
"""Ids that a mistyped one is compared with, at most."""

Kind = Literal["instruction", "image", "scene", "rejected"]


@dataclass(frozen=True, slots=True)
class Example:
    """An in-context example: what it asks and answers, and why it was chosen.

    `score` and `strategy` are None and "" where the dataset has no links.
    """

    id: str
    instruction: str
    answer: str
    score: float | None = None
    strategy: str = ""


@dataclass(frozen=True, slots=True)
class Writing:
    """How an instruction was written.

    Attributes:
        teacher: Who did.
        prompt_sha256: Digest of the prompt, or of the wording of the templates.
        prompt: File that has this digest, or "".
        ordinal: Place of the exchange in the reply, or in what the templates gave, from 0.
        attempt: Which time of asking about the scene it was, from 0.
        request_key: Key of the request in the journal; "" where nobody was asked.
        journal: The journal that was looked into, or "".
        reply: What it has for the request.
        problem: Why it has none, and what to do; or "".
    """

    teacher: str
    prompt_sha256: str
    prompt: str
    ordinal: int | None
    attempt: int | None
    request_key: str = ""
    journal: str = ""
    reply: Reply | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """A published picture, without its bytes.

    Attributes:
        row: Its row and where that stands; of `image` only the name of the file.
        local: The file that it was made of, where the source still has it; else "".
        problem: What is wrong with that file, or "".
    """

    row: Found
    local: str
    problem: str


@dataclass(frozen=True, slots=True)
class Trace:
    """All that is known of an id in one dataset.

    Attributes:
        dataset: The dataset's directory.
        id: What was asked for.
        kind: What it turned out to be.
        instruction: The row, of an instruction.
        context: Its in-context examples, in the order they are shown.
        writing: How it was written, where that is known.
        about: The instructions about it, of a picture or a scene.
        rejections: What was turned away under this id.
        pictures: The pictures, in order.
        scenes: What the sources say now.
    """

    dataset: str
    id: str
    kind: Kind
    instruction: Found | None = None
    context: tuple[Example, ...] = ()
    writing: Writing | None = None
    about: tuple[str, ...] = ()
    rejections: tuple[Found, ...] = ()
    pictures: tuple[Picture, ...] = ()
    scenes: tuple[Known, ...] = ()


def find_traces(
    name: str, directories: Sequence[Path] = (), journal: Path | None = None
) -> list[Trace]:
    """Trace an id through datasets; those that do not have it give nothing.

    Args:
        name: Id of an instruction, a picture or a scene, or the record of a rejection.
        directories: Datasets; none for all of `out/` below the working directory.
        journal: Where replies are looked up; None for the one that is the default.

    Raises:
        UsageError: there is no dataset, or none has the id.
        SourceError: a directory is no dataset, or it cannot be read.
    """
    places = list(dict.fromkeys(directories))
    if not places:
        places = sorted(path.parent for path in Path("out").glob("*/manifest.json"))
    if not places:
        raise UsageError("there is no dataset in 'out'; name one: mimicit trace ID DIR")
    found = [one for place in places if (one := trace(place, name, journal)) is not None]
    if not found:
        where = ", ".join(map(str, places))
        near = [one for place in places for one in _near(place, name)]
        like = difflib.get_close_matches(name, dict.fromkeys(near), n=3)
        hint = f"\nids like it: {', '.join(like)}" if like else ""
        raise UsageError(f"{where}: no instruction, image, scene or record {name!r}{hint}")
    return found


def trace(directory: Path, name: str, journal: Path | None = None) -> Trace | None:
    """Trace an id through one dataset; None if it does not have it.

    Args:
        directory: The dataset.
        name: Id of an instruction, a picture or a scene, or the record of a rejection.
        journal: Where replies are looked up; None for the one that is the default.

    Raises:
        SourceError: the directory is no dataset, or it cannot be read.
    """
    if not (directory / "manifest.json").is_file():
        raise SourceError(f"{str(directory)!r} is not a dataset: it has no manifest.json")
    return _Tracer(directory, journal or default_path()).trace(name)


class _Tracer:
    """Follows one id through a dataset, and back to what it was built from."""

    def __init__(self, directory: Path, journal: Path) -> None:
        self._directory = directory
        self._journal = journal
        self._origins = Origins(directory)

    def trace(self, name: str) -> Trace | None:
        rejections = self._rejections(name)
        row = next(self._find("instructions", "id", [name], _INSTRUCTION), None)
        if row is not None:
            return replace(
                self._begun("instruction", name, [row], rejections, row.values["image_ids"]),
                instruction=row,
                context=tuple(self._context(row.values)),
                writing=self._writing(name, row.values),
            )
        image = next(self._find("images", "image_id", [name], ["image_id"]), None)
        column = "scene_id" if image is None else "image_ids"
        about = list(self._find("instructions", column, [name], _ABOUT))
        if image is not None or about:
            kind: Kind = "scene" if image is None else "image"
            named = itertools.chain.from_iterable(one.values["image_ids"] for one in about)
            images = [name] if image else list(dict.fromkeys(named))
            begun = self._begun(kind, name, about, rejections, images)
            return replace(begun, about=tuple(one.values["id"] for one in about))
        if rejections:
            begun = self._begun("rejected", name, [], rejections, [])
            return replace(begun, writing=self._writing_of_rejected(rejections[0].values))
        return None

    def _begun(
        self,
        kind: Kind,
        name: str,
        rows: Sequence[Found],
        rejections: Sequence[Found],
        images: Sequence[str],
    ) -> Trace:
        """Begin with what every kind has. Scenes come first: they say where the pictures are."""
        of = [row.values for row in (*rows, *rejections) if row.values["scene_id"]]
        scenes = self._origins.known((values["source"], values["scene_id"]) for values in of)
        return Trace(
            dataset=str(self._directory),
            id=name,
            kind=kind,
            rejections=tuple(rejections),
            pictures=tuple(self._pictures(images)),
            scenes=tuple(scenes),
        )

    def _find(
        self, table: str, column: str, wanted: Sequence[str], columns: Sequence[str]
    ) -> Iterator[Found]:
        return lookup.find(self._directory, table, column, wanted, columns)

    def _rejections(self, name: str) -> list[Found]:
        rows = {
            (row.file, row.row): row
            for column in ("record", "scene_id")
            for row in self._find("rejected", column, [name], _REJECTION)
        }
        return [rows[place] for place in sorted(rows)]

    def _context(self, row: dict[str, Any]) -> Iterator[Example]:
        names = row["rel_ins_ids"]
        said = ["id", "instruction", "answer"]
        rows = {
            one.values["id"]: one.values for one in self._find("instructions", "id", names, said)
        }
        columns = ["context_ids", "scores", "strategies"]
        link = next(self._find("links", "query_id", [row["id"]], columns), None)
        values = [link.values[column] for column in columns] if link else []
        why = {name: (score, strategy) for name, score, strategy in zip(*values, strict=True)}
        for name in names:
            known = rows.get(name, {"instruction": "", "answer": ""})
            score, strategy = why.get(name, (None, ""))
            yield Example(name, known["instruction"], known["answer"], score, strategy)

    def _pictures(self, names: Sequence[str]) -> Iterator[Picture]:
        rows: dict[str, Found] = {}
        for row in self._find("images", "image_id", names, _IMAGE):
            rows[row.values["image_id"]] = row
            if len(rows) == len(set(names)):
                break
        for row in (rows[name] for name in names if name in rows):
            digest = row.values["source_ref"]["sha256"]
            yield Picture(row, *self._origins.local(row.values["image_id"], digest))

    def _writing(self, name: str, row: dict[str, Any]) -> Writing:
        """Say how the exchange called `name` was written: as that of a row of the same reply."""
        key = row["request_key"]
        place = _place_in_reply(name, row["scene_id"]) or (None, None)
        prompt = self._origins.prompt(row["source"], row["prompt_sha256"], asked=bool(key))
        writing = Writing(row["teacher"], row["prompt_sha256"], prompt, *place)
        if not key:
            return writing
        reply, problem = self._reply(key)
        return replace(
            writing, request_key=key, journal=str(self._journal), reply=reply, problem=problem
        )

    def _writing_of_rejected(self, rejection: dict[str, Any]) -> Writing | None:
        """Find how a rejected exchange was written, where another of the same reply was kept."""
        record, scene = rejection["record"], rejection["scene_id"]
        place = _place_in_reply(record, scene)
        for row in self._find("instructions", "scene_id", [scene], _INSTRUCTION) if place else ():
            other = _place_in_reply(row.values["id"], scene)
            if place and other and other[1] == place[1]:
                return self._writing(record, row.values)
        return None

    def _reply(self, key: str) -> tuple[Reply | None, str]:
        """Look a reply up; if there is none, say why, and what to do."""
        try:
            with Journal(self._journal, create=False) as journal:
                reply = journal.get(key)
        except MimicitError as error:
            return None, str(error)
        except ValueError:
            return None, "its request key is no key"
        if reply is None:
            return None, "this journal has no such reply; name the one it is in with --journal"
        return reply, ""


def _place_in_reply(name: str, scene_id: str) -> tuple[int, int] | None:
    """Read off an id what `Scene.instruction_id` made it of: place in the reply, and attempt."""
    found = re.fullmatch(rf"[A-Za-z0-9]+_INS_{re.escape(scene_id)}_(\d{{2,}})(?:_r(\d+))?", name)
    return (int(found[1]), int(found[2] or 0)) if found else None


def _near(directory: Path, name: str) -> list[str]:
    """List ids that begin as a mistyped one does, as far as any do."""
    near: list[str] = []
    begun = lookup.utf8(name)
    for table, column in (("instructions", "id"), ("images", "image_id"), ("rejected", "record")):
        ids = lookup.column_of(directory, table, column)
        for length in range(len(begun), 0, -1):
            alike = ids.filter(pc.starts_with(ids, begun[:length]))
            if len(alike):
                near += alike.slice(0, _FEW).to_pylist()
                break
    return near
