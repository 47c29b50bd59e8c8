"""Every error raised on purpose, and the exit code each one ends a command with.

MimicitError            1   anything below, or a failure nobody foresaw
├── UsageError          2   the call is wrong: nothing was read, nothing was paid
├── SourceError         3   an input is missing or damaged as a whole
├── InvalidDataset      4   a dataset breaks its own rules; carries every problem
├── BudgetExceeded      5   the money set aside is spent; everything bought is kept
├── Incomplete          6   requests are still pending; everything is saved, run again
└── TeacherError        7   the endpoint is unusable: wrong key, unknown model

A record that is wrong on its own is not an error: it becomes a row in `rejected`.
"""

from collections.abc import Sequence
from typing import NamedTuple


class MimicitError(Exception):
    """Base of all errors raised on purpose."""

    exit_code = 1


class UsageError(MimicitError):
    """The call cannot be carried out as written."""

    exit_code = 2


class SourceError(MimicitError):
    """An input is missing or unreadable as a whole."""

    exit_code = 3


class Problem(NamedTuple):
    """One way in which a dataset breaks its rules.

    Attributes:
        file: Path below the dataset's directory.
        text: What is wrong.
        row: Number of the row in that file, from 0; None where it is the file that is wrong.
        id: The row's own id, where it has one.
    """

    file: str
    text: str
    row: int | None = None
    id: str = ""

    def __str__(self) -> str:
        place = self.file if self.row is None else f"{self.file}: row {self.row}"
        return f"{place}: {self.id!r}: {self.text}" if self.id else f"{place}: {self.text}"


class InvalidDataset(MimicitError):
    """A dataset on disk breaks its own rules.

    Attributes:
        problems: Every violation, in the order they were found.
    """

    exit_code = 4

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = list(problems)
        count = len(self.problems)
        super().__init__(
            f"{count} problem{'s' if count != 1 else ''}:\n" + "\n".join(map(str, self.problems))
        )


class BudgetExceeded(MimicitError):
    """The next request would go over the budget."""

    exit_code = 5


class Incomplete(MimicitError):
    """Some requests have no reply yet, so nothing is published."""

    exit_code = 6


class TeacherError(MimicitError):
    """The endpoint cannot be used at all."""

    exit_code = 7
