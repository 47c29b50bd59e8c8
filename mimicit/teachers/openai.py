"""Any endpoint that speaks OpenAI's chat protocol: openai.com, Azure, vLLM, llama.cpp, Ollama.

The `openai` package finds the endpoint and signs, from its usual environment variables; versions 2
and 3 of it serve alike. What is sent goes another way (`mimicit.teachers.transport`). There is one
layer of retries, the one here.

Endpoints differ in what they make of a reply schema. Some enforce it, some answer it with an
error, some ignore it, some wrap the JSON in prose. The first request finds out whether it may be
sent at all; what comes back is read by `mimicit.replies`, which takes any of these forms.
"""

import asyncio
import math
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import openai
import tenacity

from mimicit.config import Endpoint
from mimicit.errors import TeacherError, UsageError
from mimicit.schema import ImagePart, Reply, Request
from mimicit.teachers import Attach, Purse, Unanswered
from mimicit.teachers.batch import BatchEndpoint
from mimicit.teachers.limits import Attempt, Limits
from mimicit.teachers.transport import (
    MAX_REPLY_BYTES,
    Broken,
    NotSent,
    Response,
    Transport,
    Untrusted,
    locate,
)
from mimicit.teachers.wire import (
    Form,
    cause_of,
    clean,
    encoded_body,
    find_endpoint,
    judge_error,
    plain_url,
    read_completion,
    retry_after,
)

BROKEN = frozenset({"status-500", "status-501"})
"""Reasons for which the first request is not tried for long: some servers answer so, each time,
what they cannot do at all, such as seeing a picture. (503 is what one says that still loads.)"""

UNUSABLE = frozenset({401, 403, 404})
"""Statuses by which an endpoint refuses the first request for a reason that holds for all."""

GARBLED_ATTEMPTS = 3
"""How often a request is sent whose reply cannot be understood: each may have been paid for."""

PROBE_SECONDS = 10.0
"""How long the first request is tried at an endpoint that is not there, or that fails."""


class _Passing(Exception):  # noqa: N818  # a reason to try again, not an error
    """An attempt failed in a way that another may not."""

    def __init__(
        self, reason: str, detail: str, wait: float | None = None, *, charged: bool = False
    ) -> None:
        self.reason = reason
        self.detail = detail
        self.wait = wait
        self.charged = charged  # perhaps
        super().__init__(detail)


@dataclass(slots=True)
class _Course:
    """How far a request has come.

    Attributes:
        total: Seconds it may take, from when it was first sent: what it waits for before that is
            not the endpoint's doing.
        since: When that was, by the monotonic clock, plus what it waited to be admitted since
            then; None where it was not sent yet.
    """

    total: float
    since: float | None = None

    @property
    def seconds(self) -> float:
        """How long it has taken."""
        return time.monotonic() - self.since if self.since is not None else 0.0


_Attempt = Callable[[Request, _Course], Awaitable[Reply]]


class OpenAITeacher:
    """One model behind one endpoint. Make it and use it in one event loop.

    Raises:
        UsageError: the key is missing.
    """

    def __init__(
        self,
        model: str,
        endpoint: Endpoint,
        attach: Attach,
        limits: Limits | None = None,
        purse: Purse | None = None,
    ) -> None:
        """Find the endpoint.

        Args:
            model: Its name for the model.
            endpoint: Where it is, and how long it may take.
            attach: Gives the data URL of a picture.
            limits: Says when an attempt may be sent; None for at once.
            purse: Counts what attempts cost; None where nobody does.
        """
        self._model = model
        self._endpoint = endpoint
        self._attach = attach
        self._limits = limits or Limits(1000)
        self._purse = purse
        self._client = _client(endpoint)
        self._transport: Transport | None = None
        self.where = plain_url(str(self._client.base_url))
        self._schema_failures = 0
        host = urlsplit(str(self._client.base_url)).hostname or ""
        newer = host.endswith(("openai.com", "openai.azure.com"))
        # "high" is what `mimicit plan` counts
        self._form = Form(length="max_completion_tokens", detail="high") if newer else Form()

    def body(self, request: Request) -> bytes:
        """Spell a request as the endpoint is sent it; reads pictures, so not in the event loop."""
        return encoded_body(request, self._model, self._attach, self._form)

    def batches(self) -> BatchEndpoint:
        """Give the endpoint's batches."""
        return BatchEndpoint(self._client, self.where)

    async def close(self) -> None:
        """Close the connections."""
        if self._transport:
            await self._transport.close()
        await self._client.close()

    async def probe(self, request: Request) -> Reply:
        """Answer the first request, finding out whether the endpoint takes a reply schema.

        Raises:
            Unanswered: this request cannot be answered, though others may be.
            TeacherError: the key, the model or the URL is wrong, or nobody is there.
        """
        try:
            return await self._retrying(request, self._first_attempt, PROBE_SECONDS)
        except _Refused as error:
            if error.status in UNUSABLE:
                raise self._hopeless(error) from error
            raise Unanswered(f"status-{error.status}", self._advised(error.detail)) from error
        except Unanswered as error:
            if error.reason in {"connection", "timeout"}:
                raise TeacherError(
                    f"no answer from {self.where}: {error.detail}. "
                    "Is the server running, and the URL right (--base-url)?"
                ) from error
            if error.reason in BROKEN:
                raise Unanswered(error.reason, self._advised(error.detail)) from error
            raise

    async def answer(self, request: Request) -> Reply:
        """Answer a request, trying again where that may help.

        Raises:
            Unanswered: there was no reply within the total timeout, or the endpoint refuses.
            TeacherError: the key or the model has become unusable, or the money is out.
        """
        try:
            return await self._retrying(request, self._attempt)
        except _Refused as error:
            if error.status in {401, 404}:
                raise self._hopeless(error) from error
            raise Unanswered(f"status-{error.status}", error.detail) from error

    async def _retrying(
        self, request: Request, attempt: _Attempt, reach: float = math.inf
    ) -> Reply:
        """Attempt until it succeeds, may not be tried again, or the time is up.

        Args:
            request: What is asked.
            attempt: Sends it once.
            reach: Seconds after which an endpoint that is not there, or fails, is given up.
        """
        course = _Course(self._endpoint.total_timeout)
        try:
            return await attempt(request, course)
        except _Passing as error:
            first: list[_Passing] = [error]

        async def again() -> Reply:
            if first:  # tenacity costs more than sending does: it is asked only now
                raise first.pop()
            return await attempt(request, course)

        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(_Passing),
            wait=_Wait(),
            stop=_Stop(course, reach),
            reraise=True,
        )
        try:
            return await retrying(again)
        except _Passing as error:
            raise Unanswered(error.reason, error.detail) from error

    async def _first_attempt(self, request: Request, course: _Course) -> Reply:
        """Try in one form after the other, until the endpoint takes one."""
        before = self._form
        refused: set[str] = set()
        while True:
            try:
                return await self._attempt(request, course)
            except (_Refused, _Passing) as error:
                if not self._changed_form(request, error, refused):
                    self._form = before  # it was not why
                    raise

    def _changed_form(
        self, request: Request, error: "_Refused | _Passing", refused: set[str]
    ) -> bool:
        """Choose another form of the request, if that may be what is objected to."""
        if isinstance(error, _Refused) and error.status in UNUSABLE:
            return False
        if isinstance(error, _Passing) and error.reason not in BROKEN:
            return False
        length = self._form.length
        if length not in refused and length in error.detail:
            refused.add(length)
            (other,) = {"max_tokens", "max_completion_tokens"} - {length}
            self._form = replace(self._form, length=other)
            return True
        if not self._form.structured or not request.reply_schema:
            return False
        if isinstance(error, _Passing):
            self._schema_failures += 1
            if self._schema_failures < 2:  # once may be chance
                return False
        self._form = replace(self._form, structured=False)
        return True

    async def _attempt(self, request: Request, course: _Course) -> Reply:
        """Send a request once, when the limits allow it."""
        tokens = self._purse.tokens(request) if self._purse else (0, 0)
        asked = time.monotonic()
        attempt = await self._limits.admit(*tokens)
        if course.since is not None:
            course.since += time.monotonic() - asked
        try:
            reply = await self._sent(request, course, attempt)
        except _Passing as error:
            attempt.failed(error.reason, error.wait)
            if error.charged and self._purse:
                attempt.close()
                await self._purse.doubt(request)
            raise
        except (_Refused, Unanswered):
            attempt.refused()
            raise
        else:
            attempt.answered(reply.input_tokens, reply.output_tokens)
            return reply
        finally:
            attempt.close()

    async def _sent(self, request: Request, course: _Course, attempt: Attempt) -> Reply:
        shown = any(isinstance(part, ImagePart) for m in request.messages for part in m.parts)
        body = await asyncio.to_thread(self.body, request) if shown else self.body(request)
        transport = self._transport or await self._connected()
        seconds = min(self._endpoint.timeout, course.total - course.seconds)
        course.since = time.monotonic() if course.since is None else course.since
        try:
            response = await transport.send(body, seconds)
        except TimeoutError as error:
            whole = course.seconds >= course.total
            detail = f"no reply within {course.total if whole else self._endpoint.timeout:g} s"
            raise _Passing("timeout", detail, charged=seconds > 0) from error
        except NotSent as error:
            raise _Passing("connection", str(error)) from error
        except Broken as error:
            raise _Passing("connection", str(error), charged=True) from error
        except Untrusted as error:
            raise TeacherError(
                f"{self.where} is not trusted: {error}. If its certificate comes from an "
                "authority of one's own, name that one's file in $SSL_CERT_FILE."
            ) from error
        attempt.heard(response.headers)
        if not 200 <= response.status < 300:
            return self._from_error(request, response)
        if not response.whole:
            detail = f"a reply of more than {MAX_REPLY_BYTES:,} bytes"
            raise _Passing("garbled", detail, charged=True)
        try:
            return read_completion(response.content, request.key, self._model)
        except ValueError as error:  # a body that is not what its status says
            raise _Passing("garbled", cause_of(error), charged=True) from error

    async def _connected(self) -> Transport:
        url, headers = await locate(self._client, self._model)
        self._transport = self._transport or Transport(url, headers)
        return self._transport

    def _from_error(self, request: Request, response: Response) -> Reply:
        """Sort out an HTTP error: a refusal that counts as a reply, or an exception."""
        status = response.status
        verdict, message = judge_error(status, response.content.decode(errors="replace"))
        detail = clean(f"{status} {message or response.reason}")
        if verdict == "filtered":
            return Reply(request.key, "", "content_filter", self._model, 0, 0)
        if verdict == "no-money":
            raise TeacherError(
                f"{self.where} says that the money is out: {detail}. Everything that was "
                "answered is kept; run again when the account has credit."
            )
        if verdict == "passing":
            reason = "rate-limited" if status == 429 else f"status-{status}"
            raise _Passing(reason, detail, retry_after(response.headers, time.time()))
        if verdict == "too-long":
            raise Unanswered(f"status-{status}", detail)
        raise _Refused(status, detail)

    def _hopeless(self, error: "_Refused") -> TeacherError:
        """Say what to do where the endpoint refuses every request."""
        keyless = not (os.environ.get("OPENAI_API_KEY") or os.environ.get("AZURE_OPENAI_API_KEY"))
        advice = {
            401: "No key is set: $OPENAI_API_KEY is empty."
            if keyless
            else "The key is wrong: it is read from $OPENAI_API_KEY (Azure: "
            "$AZURE_OPENAI_API_KEY).",
            403: "The key has no right to this.",
            404: f"Is {self._model!r} the name of a model there, and the URL right (with its /v1)?",
        }[error.status]
        return TeacherError(f"{self.where} refuses: {error.detail.rstrip('.')}. {advice}")

    def _advised(self, detail: str) -> str:
        """Say what may help where an endpoint will not answer its first request."""
        return (
            f"{self.where} says: {detail.rstrip('.')}. If it is the pictures, the model does not "
            "see: try --no-vision. If it is a parameter, change it with --param NAME=VALUE, or "
            "drop it with --param NAME=null."
        )


class _Refused(Exception):  # noqa: N818  # an answer of the endpoint's, not an error of ours
    """The endpoint will not take a request, however often it is sent."""

    def __init__(self, status: int, detail: str) -> None:
        self.status = status
        self.detail = detail
        super().__init__(detail)


class _Wait(tenacity.wait.wait_base):
    """Wait as long as the endpoint asks; else longer each time, at random."""

    _backoff = tenacity.wait_random_exponential(multiplier=0.5, max=30)

    def __call__(self, retry_state: tenacity.RetryCallState) -> float:
        error = _failure(retry_state)
        if error and error.wait is not None:
            return error.wait + 0.1 * self._backoff(retry_state)  # not all at the same moment
        return self._backoff(retry_state)


class _Stop(tenacity.stop.stop_base):
    """Stop where another attempt costs more than it promises; one for each request."""

    def __init__(self, course: _Course, reach: float) -> None:
        self._course = course
        self._reach = reach
        self._garbled = 0

    def __call__(self, retry_state: tenacity.RetryCallState) -> bool:
        error = _failure(retry_state)
        if error and error.reason == "garbled":
            self._garbled += 1
            return self._garbled >= GARBLED_ATTEMPTS
        waited = self._course.seconds
        if waited + retry_state.upcoming_sleep >= self._course.total:
            return True
        if error and error.reason in BROKEN:
            return waited > self._reach / 3
        return error is not None and error.reason == "connection" and waited > self._reach


def _failure(state: tenacity.RetryCallState) -> _Passing | None:
    error = state.outcome.exception() if state.outcome else None
    return error if isinstance(error, _Passing) else None


def _client(endpoint: Endpoint) -> openai.AsyncOpenAI:
    found: dict[str, Any] = find_endpoint(endpoint.base_url)
    make = openai.AsyncAzureOpenAI if "azure_endpoint" in found else openai.AsyncOpenAI
    try:
        return make(**found, max_retries=0, timeout=endpoint.timeout)
    except Exception as error:  # of several libraries, and all about settings
        raise UsageError(
            f"the endpoint cannot be used: {cause_of(error)}. Is it one of $SSL_CERT_FILE, "
            "$HTTP_PROXY, $HTTPS_PROXY, $ALL_PROXY or $AZURE_OPENAI_ENDPOINT?"
        ) from error
