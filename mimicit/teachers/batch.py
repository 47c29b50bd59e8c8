"""The Batch API: many requests in a file, answered within a day for half the price.

The `openai` package speaks it; what is here says what goes into a file, what comes out of one, and
what a batch's state means. API: https://platform.openai.com/docs/api-reference/batch; files:
https://platform.openai.com/docs/api-reference/files.
"""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from mimicit.errors import TeacherError
from mimicit.schema import Reply
from mimicit.teachers.wire import cause_of, clean, judge_error, read_completion

if TYPE_CHECKING:
    import openai  # slow to import

MAX_LINES = 50_000
MAX_BYTES = 200_000_000
"""What one file may hold (the API reference, Create batch)."""

NAME = "mimicit"
"""Metadata under which a batch carries our name for it."""

RETRIES = 5
"""How often the package tries a call again that can be made twice."""

ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
"""States that a batch does not leave any more."""

MAX_LINE_BYTES = 64 * 2**20
"""Longest line of an output file that is read."""


class Unreachable(Exception):  # noqa: N818  # a reason to look again later, not an error
    """The endpoint did not answer, or not with what was asked for."""


@dataclass(frozen=True, slots=True)
class State:
    """How far a batch is.

    Attributes:
        remote: The endpoint's name for it.
        status: As the endpoint calls it, such as `in_progress`.
        done: Requests that are answered, well or not.
        total: Requests.
        files: Ids of the files with what came of them.
        input_file: Id of the file with the requests.
        code: What went wrong with the batch as a whole, as a code.
        detail: The same in words.
    """

    remote: str
    status: str
    done: int
    total: int
    files: tuple[str, ...]
    input_file: str
    code: str = ""
    detail: str = ""

    @property
    def ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self.status in ENDED


@dataclass(frozen=True, slots=True)
class Line:
    """What came of one request of a batch.

    Attributes:
        key: The request's.
        reply: Its reply; None where there is none.
        reason: Why not, short and countable.
        detail: The same in words.
        again: Whether asking again may help.
    """

    key: str
    reply: Reply | None = None
    reason: str = ""
    detail: str = ""
    again: bool = True


def write_line(key: str, body: bytes, path: str) -> bytes:
    """Spell a request as a line of a file.

    Args:
        key: Its key, by which its reply is known again.
        body: What the endpoint would be sent live.
        path: Where to, such as `/v1/chat/completions`.
    """
    head = f'{{"custom_id":"{key}","method":"POST","url":{json.dumps(path)},"body":'
    return b"%b%b}\n" % (head.encode(), body)


def read_line(text: bytes, model: str) -> Line:
    """Read a line of an output or error file.

    An error inside an output file is an error all the same.

    Raises:
        ValueError: it is no such line.
    """
    try:
        content = json.loads(text)
        key = content["custom_id"]
        bytes.fromhex(key)
        response, error = content.get("response"), content.get("error")
        status = int(response["status_code"]) if response else 0
        body = json.dumps(response["body"]) if response else ""
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as problem:
        raise ValueError("no line of a batch") from problem
    if not response:
        return _unanswered(key, error)
    if 200 <= status < 300:
        try:
            return Line(key, read_completion(body.encode(), key, model))
        except ValueError as problem:
            return Line(key, None, "garbled", clean(str(problem)))
    verdict, message = judge_error(status, body)
    if verdict == "filtered":
        return Line(key, Reply(key, "", "content_filter", model, 0, 0))
    detail = clean(f"{status} {message}")
    return Line(key, None, f"status-{status}", detail, again=verdict in {"passing", "no-money"})


def _unanswered(key: str, error: object) -> Line:
    found: dict[str, Any] = error if isinstance(error, dict) else {}
    code = str(found.get("code") or "no-response")[:40]
    return Line(key, None, code.replace("_", "-"), clean(str(found.get("message") or code)))


class BatchEndpoint:
    """Batches of one endpoint.

    Raises:
        TeacherError: from any method: the endpoint has no batches, or the key no right to them.
        Unreachable: from any method: it may be tried again later.
    """

    def __init__(self, client: "openai.AsyncOpenAI", where: str) -> None:
        """Use a client of the package for the endpoint at the URL `where`."""
        from openai import AsyncAzureOpenAI  # noqa: PLC0415  # slow to import

        self._client = client.with_options(max_retries=RETRIES, timeout=600.0)
        self._once = client.with_options(max_retries=0, timeout=600.0)
        self.where = where
        azure = isinstance(client, AsyncAzureOpenAI)
        self.path = "/chat/completions" if azure else "/v1/chat/completions"

    async def upload(self, file: IO[bytes], name: str) -> str:
        """Upload a file of requests; return its id."""
        with _explained(self.where):
            made = await self._client.files.create(
                file=(f"{name}.jsonl", file, "application/jsonl"), purpose="batch"
            )
            return made.id

    async def create(self, input_file: str, name: str) -> str:
        """Have the requests of a file answered; return the endpoint's id for the batch.

        Sent once only: twice would be paid for twice.
        """
        with _explained(self.where):
            made = await self._once.batches.create(
                input_file_id=input_file,
                endpoint=self.path,  # type: ignore[arg-type]  # Azure's has no version in it
                completion_window="24h",
                metadata={NAME: name},
            )
            return made.id

    async def find(self, name: str) -> str | None:
        """Find a batch by our name for it."""
        with _explained(self.where):
            async for batch in self._client.batches.list(limit=100):
                if (batch.metadata or {}).get(NAME) == name:
                    return batch.id
        return None

    async def state(self, remote: str) -> State:
        """Say how far a batch is."""
        with _explained(self.where):
            batch = await self._client.batches.retrieve(remote)
        counts = batch.request_counts
        errors = (batch.errors.data if batch.errors else None) or []
        said = "; ".join(
            f"{f'line {each.line}: ' if each.line else ''}{each.message or each.code}"
            for each in errors[:3]
        )
        return State(
            remote=remote,
            status=batch.status,
            done=counts.completed + counts.failed if counts else 0,
            total=counts.total if counts else 0,
            files=tuple(filter(None, (batch.output_file_id, batch.error_file_id))),
            input_file=batch.input_file_id,
            code=(errors[0].code or "") if errors else "",
            detail=clean(said),
        )

    async def lines(self, file: str) -> AsyncIterator[bytes]:
        """Read a file of the endpoint's, line by line."""
        with _explained(self.where):
            async with self._client.files.with_streaming_response.content(file) as response:
                rest = b""
                async for piece in response.iter_bytes(2**20):
                    *whole, rest = (rest + piece).split(b"\n")
                    for line in whole:
                        yield line
                    if len(rest) > MAX_LINE_BYTES:
                        raise Unreachable(f"file {file}: a line without an end")
        yield rest

    async def forget(self, file: str) -> None:
        """Delete a file at the endpoint, if it will."""
        with _explained(self.where):
            await self._client.files.delete(file)


class _explained:  # noqa: N801  # used like a function
    """Turn the package's errors into ours."""

    def __init__(self, where: str) -> None:
        self._where = where

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        import openai  # noqa: PLC0415  # slow to import

        if isinstance(error, openai.APIStatusError):
            verdict, message = judge_error(error.status_code, error.response.text)
            said = clean(f"{error.status_code} {message}")
            if verdict == "passing":
                raise Unreachable(said) from error
            raise TeacherError(
                f"{self._where} takes no batch: {said}. Everything that was answered is kept; "
                "without --batch the rest is asked live."
            ) from error
        if isinstance(error, openai.OpenAIError):
            raise Unreachable(cause_of(error)) from error
