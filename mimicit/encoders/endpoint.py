"""Texts encoded by an endpoint that speaks OpenAI's embeddings protocol.

The `openai` package finds it, signs, and tries again where that may help, all as for the teacher
(`mimicit.teachers.openai`): `$OPENAI_API_KEY`, and `$OPENAI_BASE_URL` for a server of one's own.
Every reply's vectors are kept before anything is done with them, so that each text is paid for
once; a build that finds all of them kept needs neither key nor network.

Protocol: https://platform.openai.com/docs/api-reference/embeddings.
"""

import base64
import itertools
import json
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

import numpy as np
import openai

from mimicit.encoders import batches
from mimicit.encoders.cache import Groups, VectorCache, kept, text_digest
from mimicit.errors import TeacherError, UsageError
from mimicit.teachers.wire import cause_of, clean, find_endpoint, judge_error, plain_url, setting

REQUEST_TEXTS = 64
REQUEST_LETTERS = 100_000
"""How much one request holds: less than any endpoint that is widely used turns away."""

AT_ONCE = 4
"""Requests under way at a time, once the first has been answered."""

RETRIES = 8
FIRST_RETRIES = 3
"""How often a request is sent again, after half a second to eight, or as long as is asked for; the
second until one has been answered."""

SECONDS = 120.0
"""How long a request may take."""

TOO_MUCH = frozenset({413, 422})
"""Statuses by which some servers say that a request, or a text, is too long."""


class EmbeddingEndpoint:
    """One model behind one endpoint; nothing is sent before a text is not kept yet.

    Args:
        model: Its name for the model.
    """

    def __init__(self, model: str) -> None:
        self.name = f"openai:{model}"
        self._model = model
        self._cache = VectorCache(self.name, paid=True)
        self._dimensions = 0
        self._answered = False
        self._client: openai.OpenAI | None = None

    @property
    def dimensions(self) -> int:
        """How many numbers a vector has; asked of the endpoint where nothing is kept yet."""
        self._dimensions = self._dimensions or self._cache.dimensions()
        if not self._dimensions:
            self.encode(["dimensions"])
        return self._dimensions

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Give an int8 row for each text; that of a text without words is zero.

        Raises:
            UsageError: there is no key.
            TeacherError: the endpoint is unusable; what it has answered is kept.
            MimicitError: vectors cannot be kept.
        """
        self._dimensions = self._dimensions or self._cache.dimensions()
        try:
            return kept(
                self._cache,
                (len(texts), self._dimensions),
                lambda place: text_digest(texts[place]),
                lambda places: self._groups([texts[place] for place in places], places),
            )
        finally:
            if self._client:
                self._client.close()
            self._client = None

    def _groups(self, texts: list[str], places: list[int]) -> Groups:
        """Ask for texts; the first request alone, to find out whether the endpoint works."""
        self._client = self._client or _connect()
        requests = [
            (places[start : start + len(batch)], batch)
            for start, batch in batches(texts, REQUEST_TEXTS, REQUEST_LETTERS)
        ]
        if not self._answered:
            group, batch = requests.pop(0)
            yield group, self._ask(batch)
            self._answered = True
        yield from self._at_once(requests)

    def _at_once(self, requests: list[tuple[list[int], list[str]]]) -> Groups:
        """Send several requests at once; another one when what came of one is kept.

        Where one fails no more are sent, and those under way are waited for and kept.
        """
        waiting = iter(requests)
        failure: BaseException | None = None
        under_way: dict[Future[np.ndarray], list[int]] = {}
        pool = ThreadPoolExecutor(AT_ONCE)
        try:
            while True:
                room = 0 if failure else AT_ONCE - len(under_way)
                for group, batch in itertools.islice(waiting, room):
                    under_way[pool.submit(self._ask, batch)] = group
                if not under_way:
                    break
                done = next(iter(wait(under_way, return_when=FIRST_COMPLETED).done))
                group, error = under_way.pop(done), done.exception()
                failure = failure or error
                if error is None:
                    yield group, done.result()
        finally:
            pool.shutdown()
        if failure:
            raise failure

    def _ask(self, texts: list[str]) -> np.ndarray:
        """Ask for texts in one request, or in smaller ones if it is too large.

        A text that is too long by itself is cut in half until it is taken, as local models leave
        out what they cannot read.
        """
        try:
            vectors = self._sent(texts)
        except openai.APIStatusError as error:
            verdict, message = judge_error(error.status_code, error.response.text)
            too_long = verdict == "too-long" or error.status_code in TOO_MUCH
            half = len(texts) // 2
            if half and (too_long or error.status_code == 400):
                return np.concatenate([self._ask(texts[:half]), self._ask(texts[half:])])
            if too_long and len(texts[0]) > 1:
                return self._ask([texts[0][: len(texts[0]) // 2]])
            raise TeacherError(self._advised(error.status_code, verdict, message, texts)) from error
        except openai.APIConnectionError as error:
            raise TeacherError(
                f"no answer from {self._where}: {cause_of(error)}. Is the server running, and "
                "the URL right ($OPENAI_BASE_URL)? What it has answered is kept; run again."
            ) from error
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise TeacherError(
                f"{self._where} answers with something else than embeddings: {clean(str(error))}. "
                "Is the URL right (with its /v1), and the model one for embeddings?"
            ) from error
        return self._checked(vectors)

    def _sent(self, texts: list[str]) -> np.ndarray:
        assert self._client  # noqa: S101  # `_groups` has made it
        spelt = [text.encode("utf-8", "replace").decode() for text in texts]  # halves of letters
        client = self._client.with_options(max_retries=RETRIES if self._answered else FIRST_RETRIES)
        raw = client.embeddings.with_raw_response.create(
            model=self._model, input=spelt, encoding_format="base64"
        )
        return _read(raw.http_response.content, len(texts))

    def _checked(self, vectors: np.ndarray) -> np.ndarray:
        """Check that vectors are as long as those before them."""
        given, known = vectors.shape[1], self._dimensions
        if known and given != known:
            raise TeacherError(
                f"{self._model!r} at {self._where} gives vectors of {given} numbers, and gave "
                f"vectors of {known} before. If it is another model by the same name, name "
                "another file for its vectors with $MIMICIT_VECTORS."
            )
        self._dimensions = given
        return vectors

    @property
    def _where(self) -> str:
        return plain_url(str(self._client.base_url)) if self._client else ""

    def _advised(self, status: int, verdict: str, message: str, texts: list[str]) -> str:
        """Say what the endpoint objects to, and what may help."""
        said = clean(f"{status} {message}").rstrip(".")
        if verdict == "no-money":
            advice = "The money is out: run again when the account has credit."
        elif status == 401:
            advice = "The key is wrong: it is read from $OPENAI_API_KEY."
            if not setting("OPENAI_API_KEY"):
                advice = "No key is set: $OPENAI_API_KEY is empty."
        elif status in {403, 404}:
            advice = f"Is {self._model!r} the name of a model for embeddings there, and the URL "
            advice += "right (with its /v1)?"
        elif verdict == "passing":
            advice = "Run again later."
        else:
            advice = f"It was asked for {len(texts)} texts, such as {texts[0][:60]!r}."
        return f"{self._where} says: {said}. {advice} What it has answered is kept."


def _read(content: bytes, count: int) -> np.ndarray:
    """Read a reply: float64 of shape (count, dimensions).

    Raises:
        ValueError: it is something else (or LookupError, TypeError, AttributeError).
    """
    start = repr(content[:120].decode(errors="replace"))
    try:
        data = json.loads(content)["data"]
        placed = {each.get("index", place): each for place, each in enumerate(data)}
        vectors = np.array([_numbers(placed[place]["embedding"]) for place in range(count)])
    except (ValueError, LookupError, TypeError) as error:
        raise ValueError(f"{start} ({type(error).__name__}: {error})") from error
    if vectors.ndim != 2 or not vectors.shape[1] or not np.isfinite(vectors).all():
        raise ValueError(f"{start}: the vectors are empty, or not all numbers")
    return vectors


def _numbers(embedding: Any) -> np.ndarray:
    """Read a vector: a list of numbers, or float32 in base64."""
    if isinstance(embedding, str):
        return np.frombuffer(base64.b64decode(embedding), "<f4").astype(np.float64)
    return np.array(embedding, np.float64)


def _connect() -> openai.OpenAI:
    """Make the client that the environment describes.

    Raises:
        UsageError: there is no key, or the settings make no sense.
    """
    try:
        found: dict[str, Any] = find_endpoint(None)
    except UsageError as error:
        raise UsageError(
            "no key for the encoder: set $OPENAI_API_KEY (Azure: $AZURE_OPENAI_ENDPOINT, "
            "$AZURE_OPENAI_API_KEY and $OPENAI_API_VERSION), or name a server of your own with "
            "$OPENAI_BASE_URL"
        ) from error
    make = openai.AzureOpenAI if "azure_endpoint" in found else openai.OpenAI
    try:
        return make(**found, timeout=SECONDS)
    except Exception as error:  # of several libraries, and all about settings
        raise UsageError(
            f"the endpoint cannot be used: {cause_of(error)}. Is it one of $SSL_CERT_FILE, "
            "$HTTP_PROXY, $HTTPS_PROXY, $ALL_PROXY or $AZURE_OPENAI_ENDPOINT?"
        ) from error
