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


class MimicitError(Exception):
    """Base of all errors raised on purpose."""

    exit_code = 1


class UsageError(MimicitError):
    """The call cannot be carried out as written."""

    exit_code = 2


class SourceError(MimicitError):
    """An input is missing or unreadable as a whole."""

    exit_code = 3


class InvalidDataset(MimicitError):
    """A dataset on disk breaks its own rules.

    Attributes:
        problems: One sentence a violation, in the order they were found.
    """

    exit_code = 4

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        count = len(self.problems)
        super().__init__(
            f"{count} problem{'s' if count != 1 else ''}:\n" + "\n".join(self.problems)
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
