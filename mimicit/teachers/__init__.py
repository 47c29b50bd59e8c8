"""Teachers: whoever answers requests. A teacher knows no source, no journal and no dataset."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from mimicit.schema import ImagePart, Reply, Request

if TYPE_CHECKING:
    from mimicit.teachers.batch import BatchEndpoint

Attach = Callable[[ImagePart], bytes]
"""Gives the data URL of a picture: read, fitted and encoded at the moment it is sent."""


class Unanswered(Exception):  # noqa: N818  # never reaches a user: it is logged, and counted
    """A request got no reply in this run; `reason` is short and countable."""

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}")


class Purse(Protocol):
    """Knows what requests may cost, and what was spent in vain."""

    def tokens(self, request: Request) -> tuple[int, int]:
        """Estimate the tokens that a request sends, and the most that its reply holds."""

    async def doubt(self, request: Request) -> None:
        """Note that an attempt failed which may have been charged for all the same.

        Raises:
            Unanswered: the budget does not allow another one.
        """


class Teacher(Protocol):
    """Answers requests, several at once."""

    async def probe(self, request: Request) -> Reply:
        """Answer the first request alone, finding out what the endpoint can do.

        Raises:
            Unanswered: this request cannot be answered, though others may be.
            TeacherError: no request can.
        """

    async def answer(self, request: Request) -> Reply:
        """Answer a request, trying again where that may help.

        Raises:
            Unanswered: it was not answered in the time allowed, or the endpoint will not.
            TeacherError: no request will be.
        """

    def body(self, request: Request) -> bytes:
        """Spell a request as the endpoint is sent it; reads pictures, so not in the event loop."""

    def batches(self) -> "BatchEndpoint":
        """Give the endpoint's batches.

        Raises:
            UsageError: there is no key.
        """

    async def close(self) -> None:
        """Close its connections."""
