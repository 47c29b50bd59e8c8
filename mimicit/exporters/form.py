"""What a format is: a name, the ways in which it shows in-context examples, and what writes it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mimicit.dataset import Dataset
from mimicit.progress import Track

Context = Literal["turns", "interleaved", "none"]
"""How in-context examples are shown: as earlier turns of a conversation; all in one message,
questions with their answers, before the question that is asked; or not at all."""


@dataclass(frozen=True, slots=True)
class How:
    """How a dataset is to be exported.

    Attributes:
        context: How in-context examples are shown: one of the format's ways.
        max_side: Longest side in pixels of its pictures; 0 for their own size.
        track: Shows progress.
    """

    context: Context
    max_side: int
    track: Track


@dataclass(frozen=True, slots=True)
class Told:
    """What an exporter has to say of what it wrote.

    Attributes:
        instructions: Instructions that are asked: as many as the dataset has.
        contexts: In-context examples that are shown before them, each as often as it is.
        pictures: Pictures, each id once, however often it is shown or stored.
        changed: Pictures that had to be encoded anew.
        readme: How the result is used, in Markdown: for its `README.md`.
        front: YAML that stands before it.
        left_out: What could not be taken along, by reason.
    """

    instructions: int
    contexts: int
    pictures: int
    changed: int
    readme: str
    front: Mapping[str, Any] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Format:
    """A form in which a dataset can leave.

    Attributes:
        about: What it is and who reads it, in a line.
        ways: How it can show in-context examples, the default first.
        write: Writes a dataset into an empty directory.
    """

    about: str
    ways: tuple[Context, ...]
    write: Callable[[Dataset, Path, How], Told]
