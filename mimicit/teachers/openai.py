"""Any endpoint that speaks OpenAI's chat protocol: openai.com, Azure, vLLM, llama.cpp, Ollama.

The `openai` package finds the endpoint and signs the requests, from its usual environment
variables; versions 2 and 3 of it serve alike. It is told not to try again by itself: there is one
layer of retries, the one here.

Endpoints differ in what they make of a reply schema. Some enforce it, some answer it with an
error, some ignore it, some wrap the JSON in prose. The first request finds out whether it may be
sent at all; what comes back is read by `mimicit.replies`, which takes any of these forms.
"""

import asyncio
import functools
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
from mimicit.teachers.wire import Form, clean, plain_url, read_completion, request_body, retry_after

PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
"""Statuses that another attempt may not meet."""

BROKEN = frozenset({"status-500", "status-501"})
"""Reasons for which the first request is not tried for long: some servers answer so, each time,
what they cannot do at all, such as seeing a picture. (503 is what one says that still loads.)"""

OUT_OF_MONEY = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
"""Codes that come with a 429 and that no waiting mends."""

FILTERED = frozenset({"content_filter", "content_policy_violation", "ResponsibleAIPolicyViolation"})
"""Codes that come with a 400 where the endpoint itself declines: that is a reply."""

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
        self._lengths_refused: set[str] = set()
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
            raise self._hopeless(error) from error
        except Unanswered as error:
            if error.reason in {"connection", "timeout"}:
                raise TeacherError(
                    f"no answer from {self.where}: {error.detail}. "
                    "Is the server running, and the URL right (--base-url)?"
                ) from error
            if error.reason in BROKEN:
                raise self._hopeless(_Refused(500, error.detail)) from error
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
        while True:
            try:
                return await self._attempt(request)
            except (_Refused, _Passing) as error:
                if not self._changed_form(request, error):
                    self._form = replace(self._form, structured=True)  # not why
                    raise

    def _changed_form(self, request: Request, error: "_Refused | _Passing") -> bool:
        """Choose another form of the request, if that may be what is objected to."""
        if isinstance(error, _Refused) and error.status in {401, 403, 404}:
            return False
        length = self._form.length
        if length not in self._lengths_refused and length in error.detail:
            self._lengths_refused.add(length)
            (other,) = {"max_tokens", "max_completion_tokens"} - {length}
            self._form = replace(self._form, length=other)
            return True
        if not self._form.structured or not request.reply_schema:
            return False
        if isinstance(error, _Passing):  # once may be chance
            self._schema_failures += error.reason == "status-500"
            if self._schema_failures < 2:
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
            raise _Passing("connection", clean(_cause(error))) from error
        except ValueError as error:  # a body that is not what its headers say
            raise _Passing("garbled", clean(_cause(error))) from error
        return reply

    def _from_error(self, request: Request, error: openai.APIStatusError) -> Reply:
        """Sort out an HTTP error: a refusal that counts as a reply, or an exception."""
        status = error.status_code
        body = error.body if isinstance(error.body, dict) else {}
        code = str(body.get("code") or body.get("type") or "")
        detail = clean(f"{status} {body.get('message') or error.message}")
        if code in FILTERED:
            return Reply(request.key, "", "content_filter", self._model, 0, 0)
        if code in OUT_OF_MONEY:
            raise TeacherError(
                f"{self.where} says that the money is out: {detail}. Everything that was "
                "answered is kept; run again when the account has credit."
            ) from error
        if status in PASSING or status >= 500:
            headers = error.response.headers
            reason = "rate-limited" if status == 429 else f"status-{status}"
            raise _Passing(reason, detail, retry_after(headers, time.time())) from error
        raise _Refused(status, detail) from error

    def _hopeless(self, error: "_Refused") -> TeacherError:
        """Say what to do where the endpoint refuses every request."""
        advice = {
            401: "The key is wrong: it is read from $OPENAI_API_KEY (Azure: "
            "$AZURE_OPENAI_API_KEY).",
            403: "The key has no right to this.",
            404: f"Is {self._model!r} the name of a model there, and the URL right (with its /v1)?",
        }.get(
            error.status,
            "If it is the pictures, the model does not see: try --no-vision. If it is a "
            "parameter, change it with --param NAME=VALUE, or drop it with --param NAME=null.",
        )
        return TeacherError(f"{self.where} refuses: {error.detail}. {advice}")


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
    """Stop where another attempt costs more than it promises."""

    def __init__(self, reach: float) -> None:
        self._reach = reach

    def __call__(self, retry_state: tenacity.RetryCallState) -> bool:
        error = _failure(retry_state)
        if error and error.reason == "garbled":
            return retry_state.attempt_number >= GARBLED_ATTEMPTS
        unfit = error is not None and error.reason in {"connection", *BROKEN}
        return unfit and (retry_state.seconds_since_start or 0) > self._reach


def _failure(state: tenacity.RetryCallState) -> _Passing | None:
    error = state.outcome.exception() if state.outcome else None
    return error if isinstance(error, _Passing) else None


def _client(endpoint: Endpoint) -> openai.AsyncOpenAI:
    timeout = openai.Timeout(endpoint.timeout, connect=min(CONNECT_SECONDS, endpoint.timeout))
    options: dict[str, Any] = {"max_retries": 0, "timeout": timeout}
    named = endpoint.base_url or os.environ.get("OPENAI_BASE_URL")
    key = os.environ.get("OPENAI_API_KEY")
    try:
        if not named and os.environ.get("AZURE_OPENAI_ENDPOINT") and not key:
            return openai.AsyncAzureOpenAI(**options)
        if named and not key:
            options["api_key"] = "none"  # servers of one's own ask for none
        return openai.AsyncOpenAI(base_url=endpoint.base_url, **options)
    except (openai.OpenAIError, ValueError) as error:
        raise UsageError(
            "no key for the teacher: set $OPENAI_API_KEY (Azure: $AZURE_OPENAI_ENDPOINT, "
            "$AZURE_OPENAI_API_KEY and $OPENAI_API_VERSION), or name a server of your own "
            "with --base-url"
        ) from error


def _cause(error: BaseException) -> str:
    """Say what lies below an error of the package, which says little itself."""
    below = functools.reduce(lambda e, _: e.__cause__ or e, range(5), error)
    text = str(below) or type(below).__name__
    return text if below is error else f"{type(below).__name__}: {text}"
