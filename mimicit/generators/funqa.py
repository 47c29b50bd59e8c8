"""FunQA: funny, creative and magic videos with questions and answers, one scene a video."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from mimicit.annotations import Dialogue, Note
from mimicit.generators import generator
from mimicit.generators._options import Described, Options, first_by_hash
from mimicit.generators._segment_files import annotation_file, check_positive, media_root
from mimicit.media_files import VIDEOS, MediaFiles, licence_of
from mimicit.moments import Clip, Uniform
from mimicit.names import escape_id
from mimicit.records import numbered, plain, read_file, records, reject
from mimicit.schema import Rejection, Scene

NAME = "funqa"

_SETS = ("humor", "creative", "magic")
_SPLITS = ("train", "val", "test")
FOLDERS = (
    *(f"{split}/{split}_{kind}" for split in _SPLITS for kind in _SETS),
    *(f"videos/{split}/{split}_{kind}" for split in _SPLITS for kind in _SETS),
    *(f"{above}{split}" for above in ("", "videos/") for split in _SPLITS),
    *("videos", ""),
)
"""Where FunQA's archives put videos."""

ANNOTATION_FOLDERS = ("annotation_with_ID", "annotation", "funqa_base_annotation")
"""Where FunQA's archives put annotations, where they are neither in the root nor in annotations."""

DESCRIPTION = "2"

KINDS = {DESCRIPTION: "description", "3": "reasoning", "4": "title"}
"""What a task's number asks for: H2, C2 and M2 are descriptions of what surprises."""

UNTOLD = {
    "1": (
        "frame-numbers",
        "it answers with numbers of frames; at how many a second is not said",
    ),
    "5": ("score", "it answers with a mark that somebody gave"),
}
"""Tasks whose answers cannot be told, and why."""

_NUMBERS = re.compile(r"[\[(]?\s*\d+(?:\.\d+)?\s*(?:[,;\-–/]\s*\d+(?:\.\d+)?\s*)*[\])]?\.?")  # noqa: RUF001


class _Row(msgspec.Struct, gc=False):
    """A question and its answer."""

    visual_input: str
    instruction: str
    output: str | int | float | list[int | float]
    task: str = ""
    ID: str | int = ""


@dataclass(frozen=True, slots=True)
class _Said:
    """A row that can be used."""

    task: str
    number: tuple[str, int, str]
    question: str
    answer: str

    @property
    def order(self) -> tuple[str, tuple[str, int, str], str, str]:
        return self.task, self.number, self.question, self.answer


@generator(
    prefix="FQ",
    link="same-group,similar-text",
    origin=(
        "FunQA is at https://github.com/Nicous20/FunQA: put the annotation files (funqa_train.json "
        "and so on) and the unpacked folders of videos (train, val, test) into one directory."
    ),
)
class FunQa:
    """Funny, creative and magic videos, with questions on what surprises in them (FunQA).

    The annotation file is the only *.json of the directory (or of its folder `annotations`), or
    the one that is named. Videos are looked for in the folders that FunQA's archives have, such as
    `train/train_humor/`, in `videos/` and in the directory itself.
    """

    root: Path | None = field(
        default=None, metadata={"help": "Directory with annotations and videos."}
    )
    annotations: Path | None = field(
        default=None, metadata={"help": "The annotation file, where there are several."}
    )
    videos: Path | None = field(default=None, metadata={"help": "Directory of the videos."})
    frames: int = field(
        default=16, metadata={"help": "Frames of each video, evenly spread over it."}
    )
    choices: bool = field(
        default=True,
        metadata={
            "help": "Whether to make questions with options, the wrong ones from other videos."
        },
    )
    licence: str = field(
        default="",
        metadata={"help": "SPDX id or words of the media's licence, where it is the same for all."},
    )

    def scenes(self) -> Iterator[Scene | Rejection]:
        """Yield one scene a video, by ascending id, and the rows that were left out."""
        check_positive(NAME, frames=self.frames)
        path = annotation_file(NAME, self._folder(), self.annotations, ".json")
        media = media_root(NAME, self.root, self.videos)
        licence = licence_of(media, self.licence)
        items = read_file(path, list[msgspec.Raw], "a list of rows")
        return self._walk(items, media, licence)

    def _walk(
        self, items: list[msgspec.Raw], media: Path, licence: str
    ) -> Iterator[Scene | Rejection]:
        videos: dict[str, list[_Said]] = {}
        for item in _usable(items):
            if isinstance(item, Rejection):
                yield item
            else:
                videos.setdefault(item[0], []).append(item[1])
        find = _Finder(media, videos)
        for rows in videos.values():
            rows.sort(key=lambda said: said.order)
        options = Options(_described(videos) if self.choices else {})
        for scene_id, name in sorted((_scene_id(name), name) for name in videos):
            clip = Clip(
                id=f"FQ_IMG_{scene_id}",
                root=str(media),
                name=find.path(name),
                sampler=Uniform(self.frames),
                licence=licence,
            )
            yield Scene(
                source=NAME,
                id=scene_id,
                prefix="FQ",
                images=(),
                annotations=_annotations(videos[name], options.question(name)),
                groups=(scene_id,),
                clips=(clip,),
            )

    def _folder(self) -> Path | None:
        """Say where the annotation file is looked for."""
        if self.annotations or self.root is None:
            return self.root
        here = (*self.root.glob("*.json"), *self.root.glob("annotations/*.json"))
        folders = (self.root / name for name in ANNOTATION_FOLDERS)
        return self.root if here else next(filter(Path.is_dir, folders), self.root)


class _Finder:
    """Finds the videos that rows name: those of that very name, else of the same stem."""

    def __init__(self, root: Path, names: dict[str, list[_Said]]) -> None:
        extensions = {_split(name)[1] for name in names} - {""}
        self._exact = {x: MediaFiles(root, FOLDERS, (x.lower(),)) for x in extensions}
        self._any = MediaFiles(root, FOLDERS, VIDEOS)

    def path(self, name: str) -> str:
        """Give the path of a video below the root."""
        stem, extension = _split(name)
        if extension and stem in self._exact[extension]:
            return self._exact[extension].find(stem)
        return self._any.find(stem)


def _split(name: str) -> tuple[str, str]:
    """Split a video's extension off its name, where it has one."""
    stem, _, extension = name.rpartition(".")
    return (stem, extension) if stem and extension.lower() in VIDEOS else (name, "")


def _scene_id(name: str) -> str:
    """Spell a video's name without its usual extension; other names stay whole, and are marked."""
    stem = name.removesuffix(".mp4")
    return escape_id(stem) if stem and stem != name else f"{escape_id(name)}~~"


def _usable(items: list[msgspec.Raw]) -> Iterator[tuple[str, _Said] | Rejection]:
    """Mend the white space of rows, and say which of them cannot be used."""
    seen: dict[tuple[str, str, str], str] = {}
    for item in sorted(_decoded(items), key=lambda item: item[0]):
        _, record, row = item
        if isinstance(row, Rejection):
            yield row
            continue
        name, question = row.visual_input, plain(row.instruction)
        answer = plain(row.output if isinstance(row.output, str) else str(row.output))
        task = row.task.strip()
        problem = _problem(name, task, question, answer)
        key = (name, question.casefold(), answer.casefold())
        if not problem and key in seen:
            problem = f"duplicate-record: the same is asked and answered in {seen[key]}"
        if problem:
            reason, _, detail = problem.partition(": ")
            yield reject(NAME, reason, record, detail, _scene_id(name) if name.strip() else "")
            continue
        seen[key] = record
        yield name, _Said(task, _natural(str(row.ID)), question, answer)


_Sorted = tuple[tuple[str, ...], str, "_Row | Rejection"]


def _decoded(items: list[msgspec.Raw]) -> Iterator[_Sorted]:
    """Decode rows; each with what it is sorted by, so that of two equal ones the same stays."""
    for item in records(numbered(items), _Row, NAME):
        if isinstance(item, Rejection):
            yield ("",), item.record, item
        else:
            record, row = item
            said = (row.instruction, str(row.output))
            key = (row.visual_input, _fit(row), row.task.strip(), str(row.ID), *said)
            yield key, f"{record}, ID {row.ID}" if row.ID != "" else record, row


def _fit(row: _Row) -> str:
    """Put first the row whose task fits its video: H2 of H_A_101.mp4, not C2."""
    return "0" if row.task.strip()[:1] == row.visual_input[:1] else "1"


def _problem(name: str, task: str, question: str, answer: str) -> str:
    """Say why a row is left out, or ""."""
    if not name.strip():
        return "no-file-name: the row names no video"
    if task[-1:] in UNTOLD:
        return ": ".join(UNTOLD[task[-1:]])
    if not any(map(str.isalnum, question)) or not any(map(str.isalnum, answer)):
        return "empty-turn: no question, or no answer"
    if _NUMBERS.fullmatch(answer):
        return f"frame-numbers: nothing but numbers: {answer}"
    return ""


def _natural(number: str) -> tuple[str, int, str]:
    """Let test_9 stand before test_10."""
    found = re.fullmatch(r"(.*?)(\d{1,18})", number, re.ASCII | re.DOTALL)
    return (found[1], int(found[2]), number) if found else (number, 0, number)


def _family(name: str) -> str:
    """Say what a video was cut from: H_A_101_1433_1631.mp4 is a part of H_A_101."""
    return re.sub(r"_\d+_\d+$", "", _split(name)[0])


def _described(videos: dict[str, list[_Said]]) -> dict[str, Described]:
    """Give one description of each video: those that are true of several videos say too little."""
    texts = {
        name: [said.answer for said in rows if said.task.endswith(DESCRIPTION)]
        for name, rows in videos.items()
    }
    return {
        name: Described(name, _family(name), first_by_hash(name, found))
        for name, found in texts.items()
        if found
    }


def _annotations(rows: list[_Said], choice: tuple[str, str] | None) -> tuple[Dialogue | Note, ...]:
    """Put rows into a conversation, and the question with options into one of its own."""
    turns = tuple((said.question, said.answer) for said in rows)
    kinds = [KINDS.get(said.task[-1:], "conversation") for said in rows]
    if choice is None:
        return (Dialogue(turns), *(Note("turn", kind) for kind in kinds))
    notes = (Note("turn", kind) for kind in (*kinds, "choice"))
    return (Dialogue(turns), Dialogue((choice,)), *notes)
