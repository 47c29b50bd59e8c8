"""In-context example sets as conversations, and the text files that hold them, one a split."""

import itertools
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, TextIO

from mimicit.dataset import Dataset
from mimicit.example_sets import ExampleSet, Shown, example_sets
from mimicit.exporters import IMAGES
from mimicit.exporters.form import Context, How
from mimicit.exporters.pictures import PictureFiles
from mimicit.progress import Counted


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a message: some pictures, and the text below them.

    Attributes:
        image_ids: The pictures, in order; none where the text is about those shown before.
        text: The text.
    """

    image_ids: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Round:
    """A message of the user's, and the answer to it.

    Attributes:
        asked: The message.
        answer: The answer.
    """

    asked: tuple[Part, ...]
    answer: str


def rounds(each: ExampleSet, context: Context) -> tuple[Round, ...]:
    """Make a conversation of an example set; its last answer is the query's.

    What is about the very pictures shown right before it doesn't show them again: as in any
    conversation, they are still there.

    Args:
        each: The example set.
        context: Each example is a round (`turns`); or all are in one message before the query, as
            lines of a question and its answer with an empty line after them (`interleaved`); or
            there is the query alone (`none`).
    """
    shown = each.shown if context != "none" else (each.query,)
    before: tuple[str, ...] = ()
    parts = []
    for one in shown:
        parts.append(Part(one.image_ids if one.image_ids != before else (), one.instruction))
        before = one.image_ids
    if context == "interleaved":
        return (Round(_in_one(parts, shown), each.query.answer),)
    return tuple(Round((part,), one.answer) for part, one in zip(parts, shown, strict=True))


def _in_one(parts: list[Part], shown: tuple[Shown, ...]) -> tuple[Part, ...]:
    """Write all but the last with their answers; what has no pictures joins the text before it."""
    message: list[Part] = []
    for place, (part, one) in enumerate(zip(parts, shown, strict=True), 1):
        text = part.text if place == len(parts) else f"{part.text}\n{one.answer}\n\n"
        if part.image_ids or not message:
            message.append(Part(part.image_ids, text))
        else:
            # Chat templates may strip every piece of text, and so glue two of them together.
            message[-1] = Part(message[-1].image_ids, message[-1].text + text)
    return tuple(message)


@dataclass(frozen=True, slots=True)
class Conversation:
    """An example set as it is written.

    Attributes:
        of: The example set.
        rounds: What is asked and answered, in order.
        images: Its pictures' files, in the order in which they are shown.
        contexts: How many examples it shows.
    """

    of: ExampleSet
    rounds: tuple[Round, ...]
    images: list[str]
    contexts: int


def conversations(dataset: Dataset, files: PictureFiles, how: How) -> Iterator[Conversation]:
    """Give the conversation of every example set, its pictures written, and show progress.

    Raises:
        SourceError: a picture is damaged or not there.
    """
    sets = Counted(example_sets(dataset), dataset.instructions.num_rows)
    for each in how.track(sets, "write", "instructions"):
        made = rounds(each, how.context)
        parts = itertools.chain.from_iterable(one.asked for one in made)
        images = [f"{IMAGES}/{files.name(name)}" for part in parts for name in part.image_ids]
        yield Conversation(each, made, images, len(each.contexts) if how.context != "none" else 0)


class Layout(NamedTuple):
    """What stands before, between and after the values of a file."""

    head: str
    between: str
    tail: str


JSON_LINES = Layout("", "\n", "\n")
JSON_ARRAY = Layout("[\n", ",\n", "\n]\n")


class SplitTexts:
    """Text files under construction, one for each split that has rows: a JSON value a line.

    Args:
        out: Where they are written.
        pattern: Their names: `{}` stands for the split.
        layout: What they are as a whole.

    Attributes:
        rows: Number of values by split.
    """

    def __init__(self, out: Path, pattern: str, layout: Layout) -> None:
        self.rows = Counter[str]()
        self._out, self._pattern, self._layout = out, pattern, layout
        self._files: dict[str, TextIO] = {}

    def __enter__(self) -> "SplitTexts":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: object, _trace: TracebackType | None
    ) -> None:
        for file in self._files.values():
            with file:
                file.write(self._layout.tail if kind is None else "")

    def write(self, split: str, value: object) -> None:
        """Add a value to the file of a split."""
        lead = self._layout.between
        if split not in self._files:
            path = self._out / self._pattern.format(split)
            self._files[split] = path.open("w", encoding="utf-8", newline="\n")
            lead = self._layout.head
        self._files[split].write(lead + json.dumps(value, ensure_ascii=False))
        self.rows[split] += 1
