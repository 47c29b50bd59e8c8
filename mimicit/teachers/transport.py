"""The lean way to an endpoint: located and signed by the `openai` package, sent by aiohttp.

The package builds one request, from its usual environment variables, which is not sent: its URL
and headers are those of all others. So keys, organisations, Azure's deployments and versions 2 and
3 of the package work as its users know them, at a tenth of its CPU time a request.
"""

import asyncio
import contextlib
import importlib
import os
import ssl
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import openai
import yarl

from mimicit.errors import UsageError
from mimicit.teachers.wire import cause_of

CONNECT_SECONDS = 10.0
"""How long a connection may take to be made."""

MAX_REPLY_BYTES = 16 * 2**20
"""Longest reply that is read; the longest that a model writes is a hundredth of that."""

KEEP_SECONDS = 4.0
"""How long a connection is kept that nothing is sent over: many servers close theirs after five,
and a request that meets that moment is lost."""

OWN_HEADERS = frozenset({"host", "content-length", "content-type", "accept-encoding", "connection"})
"""Headers of the package's request that belong to its body or its connection."""


class NotSent(Exception):  # noqa: N818  # a reason to try again
    """No connection was made."""


class Broken(Exception):  # noqa: N818  # a reason to try again
    """The connection was lost, or what came over it cannot be understood."""


class Untrusted(Exception):  # noqa: N818  # becomes a TeacherError
    """The certificate of the endpoint is not trusted."""


@dataclass(frozen=True, slots=True)
class Response:
    """What came back: its status, headers (names in any case) and content."""

    status: int
    headers: Mapping[str, str]
    content: bytes
    reason: str


class _Captured(Exception):  # noqa: N818  # ends the package's attempt to send
    pass


async def locate(client: openai.AsyncOpenAI, model: str) -> tuple[str, dict[str, str]]:
    """Find the URL and the headers of chat completions, as the package would send them.

    Raises:
        UsageError: the package cannot make a request of its settings.
    """
    found: list[Any] = []

    async def capture(request: Any) -> None:  # of one of two libraries
        found.append(request)
        raise _Captured

    http = openai.DefaultAsyncHttpxClient(event_hooks={"request": [capture]})
    try:
        once = client.with_options(http_client=http)
        with contextlib.suppress(openai.APIConnectionError, _Captured):
            await once.chat.completions.create(model=model, messages=[])
    finally:
        await http.aclose()
    if not found:
        raise UsageError("the endpoint cannot be used: the openai package makes no request")
    headers = {
        name: value
        for name, value in found[0].headers.items()
        if name.lower() not in OWN_HEADERS and not name.lower().startswith("x-stainless-")
    }
    return str(found[0].url), {**headers, "content-type": "application/json"}


class Transport:
    """Sends the bodies of chat completions to one endpoint. Use it in one event loop.

    Raises:
        UsageError: a proxy or a certificate authority cannot be used.
    """

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        """Prepare to send.

        Args:
            url: Where to; user and password in it are not sent (`headers` have them).
            headers: Sent with every request.
        """
        parts = urlsplit(url)
        plain = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        self._url = yarl.URL(plain, encoded=True)
        self._proxy = _proxy(parts.scheme, parts.hostname or "")
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0,
                ssl=_trusted() if parts.scheme == "https" else True,
                keepalive_timeout=KEEP_SECONDS,
            ),
            headers=headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def send(self, body: bytes, timeout: float) -> Response:  # kept by it
        """Send a body and wait for what comes back, `timeout` seconds at most.

        Raises:
            TimeoutError: it took too long.
            NotSent: no connection was made.
            Broken: the connection was lost, or what came is no HTTP, or too much.
            Untrusted: the endpoint's certificate is not trusted.
        """
        connecting = min(CONNECT_SECONDS, 0.9 * timeout)
        limit = aiohttp.ClientTimeout(total=None, sock_connect=connecting)
        try:
            async with (
                asyncio.timeout(timeout),
                self._session.post(
                    self._url, data=_Body(body), proxy=self._proxy, timeout=limit
                ) as response,
            ):
                content = await _read(response)
                return Response(response.status, response.headers, content, response.reason or "")
        except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError) as error:
            cause = cause_of(error)
            raise (Untrusted if "CERTIFICATE_VERIFY_FAILED" in cause else NotSent)(cause) from error
        except aiohttp.ConnectionTimeoutError as error:
            raise NotSent("nobody takes the connection") from error
        except (aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError) as error:
            raise NotSent(cause_of(error)) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if isinstance(error, TimeoutError):
                raise
            raise Broken(cause_of(error)) from error


class _Body(aiohttp.payload.BytesPayload):
    """A body that is sent as it is, however long: aiohttp warns of those above 1 MiB."""

    def __init__(self, value: bytes) -> None:
        aiohttp.payload.Payload.__init__(self, value, content_type="application/json")
        self._size = len(value)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    pieces, size = [], 0
    async for piece in response.content.iter_any():
        size += len(piece)
        if size > MAX_REPLY_BYTES:
            raise Broken(f"a reply of more than {MAX_REPLY_BYTES:,} bytes")
        pieces.append(piece)
    return b"".join(pieces)


def _trusted() -> ssl.SSLContext:
    """Trust whom the package's HTTP library would.

    Raises:
        UsageError: a file of authorities cannot be read.
    """
    file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    try:
        if file or folder:
            return ssl.create_default_context(cafile=file or None, capath=folder or None)
        name = openai.DefaultAsyncHttpxClient.__mro__[1].__module__.partition(".")[0]
        found: ssl.SSLContext = importlib.import_module(name).create_ssl_context()
    except OSError as error:
        raise UsageError(
            f"the certificates cannot be read: {error}. See $SSL_CERT_FILE and $SSL_CERT_DIR."
        ) from error
    return found


def _proxy(scheme: str, host: str) -> yarl.URL | None:
    """Find the proxy that the environment names for a host.

    Raises:
        UsageError: it cannot be used.
    """
    proxies = urllib.request.getproxies()
    named = proxies.get(scheme) or proxies.get("all")
    if not named or urllib.request.proxy_bypass(host):
        return None
    named = named if "://" in named else f"http://{named}"
    with contextlib.suppress(ValueError):
        url = yarl.URL(named)
        if url.scheme in {"http", "https"} and url.host:
            return url
    raise UsageError(
        "the proxy of $HTTP_PROXY, $HTTPS_PROXY or $ALL_PROXY cannot be used: expected a URL such "
        "as http://proxy:3128"
    )
