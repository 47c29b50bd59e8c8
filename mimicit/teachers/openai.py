"""Any endpoint that speaks OpenAI's chat protocol: openai.com, Azure, vLLM, llama.cpp, Ollama.

The `openai` package finds the endpoint and signs the requests, from its usual environment
variables; versions 2 and 3 of it serve alike. It is told not to try again by itself: there is one
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
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import openai
import tenacity

from mimicit.config import Endpoint
from mimicit.errors import TeacherError, UsageError
from mimicit.schema import Reply, Request
from mimicit.teachers import Attach, Unanswered
from mimicit.teachers.wire import (
    Form,
    cause_of,
    clean,
    find_endpoint,
    judge_error,
    plain_url,
    read_completion,
    request_body,
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

CONNECT_SECONDS = 10.0
"""How long a connection may take to be made."""


class _Passing(Exception):  # noqa: N818  # a reason to try again, not an error
    """An attempt failed in a way that another may not."""

    def __init__(self, reason: str, detail: str, wait: float | None = None) -> None:
        self.reason = reason
        self.detail = detail
        self.wait = wait
        super().__init__(detail)


_Attempt = Callable[[Request], Awaitable[Reply]]


class OpenAITeacher:
    """One model behind one endpoint. Make it and use it in one event loop.

    Raises:
        UsageError: the key is missing.
    """

    def __init__(self, model: str, endpoint: Endpoint, attach: Attach) -> None:
        self._model = model
        self._endpoint = endpoint
        self._attach = attach
        self._client = _client(endpoint)
        self.where = plain_url(str(self._client.base_url))
        self._schema_failures = 0
        host = urlsplit(str(self._client.base_url)).hostname or ""
        newer = host.endswith(("openai.com", "openai.azure.com"))
        # "high" is what `mimicit plan` counts
        self._form = Form(length="max_completion_tokens", detail="high") if newer else Form()

    async def close(self) -> None:
        """Close the connections."""
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
        total = self._endpoint.total_timeout
        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(_Passing),
            wait=_Wait(),
            stop=tenacity.stop_before_delay(total) | _Stop(reach),
            reraise=True,
        )
        try:
            async with asyncio.timeout(total):
                return await retrying(attempt, request)
        except _Passing as error:
            raise Unanswered(error.reason, error.detail) from error
        except TimeoutError as error:
            raise Unanswered("timeout", f"no reply within {total:g} s") from error

    async def _first_attempt(self, request: Request) -> Reply:
        """Try in one form after the other, until the endpoint takes one."""
        before = self._form
        refused: set[str] = set()
        while True:
            try:
                return await self._attempt(request)
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

    async def _attempt(self, request: Request) -> Reply:
        body = await asyncio.to_thread(
            request_body,
            request,
            self._model,
            self._attach,
            self._form,
        )
        model, messages = body.pop("model"), body.pop("messages")
        try:
            async with asyncio.timeout(self._endpoint.timeout):
                raw = await self._client.chat.completions.with_raw_response.create(
                    model=model, messages=messages, extra_body=body
                )
            reply = read_completion(raw.http_response.content, request.key, self._model)
        except (TimeoutError, openai.APITimeoutError) as error:
            if type(error.__cause__).__name__ == "ConnectTimeout":
                raise _Passing("connection", "nobody takes the connection") from error
            detail = f"no reply within {self._endpoint.timeout:g} s"
            raise _Passing("timeout", detail) from error
        except openai.APIStatusError as error:
            return self._from_error(request, error)
        except openai.APIError as error:
            cause = cause_of(error)
            if "CERTIFICATE_VERIFY_FAILED" in cause:
                raise TeacherError(
                    f"{self.where} is not trusted: {cause}. If its certificate comes from an "
                    "authority of one's own, name that one's file in $SSL_CERT_FILE."
                ) from error
            raise _Passing("connection", cause) from error
        except ValueError as error:  # a body that is not what its headers say
            raise _Passing("garbled", cause_of(error)) from error
        return reply

    def _from_error(self, request: Request, error: openai.APIStatusError) -> Reply:
        """Sort out an HTTP error: a refusal that counts as a reply, or an exception."""
        status, response = error.status_code, error.response
        verdict, message = judge_error(status, response.text)
        detail = clean(f"{status} {message or response.reason_phrase}")
        if verdict == "filtered":
            return Reply(request.key, "", "content_filter", self._model, 0, 0)
        if verdict == "no-money":
            raise TeacherError(
                f"{self.where} says that the money is out: {detail}. Everything that was "
                "answered is kept; run again when the account has credit."
            ) from error
        if verdict == "passing":
            reason = "rate-limited" if status == 429 else f"status-{status}"
            raise _Passing(reason, detail, retry_after(response.headers, time.time())) from error
        if verdict == "too-long":
            raise Unanswered(f"status-{status}", detail) from error
        raise _Refused(status, detail) from error

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

    def __init__(self, reach: float) -> None:
        self._reach = reach
        self._garbled = 0

    def __call__(self, retry_state: tenacity.RetryCallState) -> bool:
        error = _failure(retry_state)
        if error and error.reason == "garbled":
            self._garbled += 1
            return self._garbled >= GARBLED_ATTEMPTS
        waited = retry_state.seconds_since_start or 0.0
        if error and error.reason in BROKEN:
            return waited > self._reach / 3
        return error is not None and error.reason == "connection" and waited > self._reach


def _failure(state: tenacity.RetryCallState) -> _Passing | None:
    error = state.outcome.exception() if state.outcome else None
    return error if isinstance(error, _Passing) else None


def _client(endpoint: Endpoint) -> openai.AsyncOpenAI:
    timeout = openai.Timeout(endpoint.timeout, connect=min(CONNECT_SECONDS, endpoint.timeout))
    found: dict[str, Any] = find_endpoint(endpoint.base_url)
    make = openai.AsyncAzureOpenAI if "azure_endpoint" in found else openai.AsyncOpenAI
    try:
        return make(**found, max_retries=0, timeout=timeout)
    except Exception as error:  # of several libraries, and all about settings
        raise UsageError(
            f"the endpoint cannot be used: {cause_of(error)}. Is it one of $SSL_CERT_FILE, "
            "$HTTP_PROXY, $HTTPS_PROXY, $ALL_PROXY or $AZURE_OPENAI_ENDPOINT?"
        ) from error
