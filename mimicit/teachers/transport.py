"""The lean way to an endpoint: located and signed by the `openai` package, sent by aiohttp.

The package builds one request, from its usual environment variables, which is not sent: its URL
and headers are those of all others. So keys, organisations, Azure's deployments and versions 2 and
3 of the package work as its users know them, at a tenth of its CPU time a request.
"""

import asyncio
import contextlib
import importlib
import math
import os
import ssl
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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

SHARED_HEADERS = frozenset({"accept", "content-type", "user-agent"})
"""Headers that a host may see to which another one redirects: none that may hold a key."""

_REDIRECTING = frozenset({301, 302, 303, 307, 308})

REDIRECTS = 5
"""How often a redirect is followed; the answer to the next one is the answer."""


class NotSent(Exception):  # noqa: N818  # a reason to try again
    """No connection was made."""


class Broken(Exception):  # noqa: N818  # a reason to try again
    """The connection was lost, or what came over it cannot be understood."""


class Untrusted(Exception):  # noqa: N818  # becomes a TeacherError
    """The certificate of the endpoint is not trusted."""


@dataclass(frozen=True, slots=True)
class Response:
    """What came back: its status, headers (names in any case) and content.

    Attributes:
        whole: Whether the content is all there; else it goes on beyond MAX_REPLY_BYTES.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes
    reason: str
    whole: bool


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

    http = openai.DefaultAsyncHttpxClient(
        event_hooks={"request": [capture]},
        trust_env=False,  # as nothing is sent, neither proxies nor certificates need be looked for
        verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
    )
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
        self._url = yarl.URL(url, encoded=True).with_user(None)
        self._headers = dict(headers)
        self._proxy = _proxy(self._url)
        self._trust: ssl.SSLContext | None = None
        self._ssl = self._context(self._url, self._proxy)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_SECONDS),
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
            Broken: the connection was lost, or what came is no HTTP.
            Untrusted: the endpoint's certificate is not trusted.
        """
        # ends before the timeout does, and to the moment: so it is known that nothing was sent
        connecting = min(CONNECT_SECONDS, 0.9 * timeout)
        limit = aiohttp.ClientTimeout(total=None, connect=connecting, ceil_threshold=math.inf)
        try:
            async with (
                asyncio.timeout(timeout),
                self._session.post(
                    self._url,
                    data=_Body(body),
                    headers=self._headers,
                    proxy=self._proxy,
                    ssl=self._ssl,
                    timeout=limit,
                    allow_redirects=False,
                ) as response,
            ):
                if response.status in _REDIRECTING:
                    return await self._redirected(response, body, limit)
                return await _read(response)
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

    async def _redirected(
        self, response: aiohttp.ClientResponse, body: bytes, limit: aiohttp.ClientTimeout
    ) -> Response:
        """Follow a redirect as the package's HTTP library does, but give no key to other hosts."""
        method = "POST"
        for _ in range(REDIRECTS):
            url = _target(response)
            if not url:
                break
            response.release()
            method = method if response.status in {307, 308} else "GET"
            own = _may_know(url, self._url)
            proxy = _proxy(url)
            response = await self._session.request(
                method,
                url,
                data=_Body(body) if method == "POST" else None,
                headers={n: v for n, v in self._headers.items() if own or n in SHARED_HEADERS},
                proxy=proxy,
                ssl=self._context(url, proxy),
                timeout=limit,
                allow_redirects=False,
            )
        async with response:
            return await _read(response)

    def _context(self, url: yarl.URL, proxy: yarl.URL | None) -> ssl.SSLContext | bool:
        if "https" not in {url.scheme, proxy.scheme if proxy else ""}:
            return True
        self._trust = self._trust or _trusted()
        return self._trust


def _target(response: aiohttp.ClientResponse) -> yarl.URL | None:
    """Say where a response redirects to; None where it does not, or to what is no web address."""
    place = response.headers.get("location", "")
    if response.status not in _REDIRECTING or not place:
        return None
    try:
        url = response.url.join(yarl.URL(place)).with_user(None)
    except ValueError:
        return None
    return url if url.scheme in {"http", "https"} and url.host else None


def _may_know(url: yarl.URL, own: yarl.URL) -> bool:
    """Tell whether a URL is of the endpoint itself, or of the same host by TLS."""
    if url.origin() == own.origin():
        return True
    upgraded = (own.scheme, url.scheme) == ("http", "https")
    return upgraded and url.host == own.host and url.is_default_port() and own.is_default_port()


class _Body(aiohttp.payload.BytesPayload):
    """A body that is sent as it is, however long: aiohttp warns of those above 1 MiB."""

    def __init__(self, value: bytes) -> None:
        aiohttp.payload.Payload.__init__(self, value, content_type="application/json")
        self._size = len(value)


async def _read(response: aiohttp.ClientResponse) -> Response:
    """Read what came, up to a bound; that of an error as far as it comes."""
    pieces, size = [], 0
    try:
        async for piece in response.content.iter_any():
            pieces.append(piece)
            size += len(piece)
            if size > MAX_REPLY_BYTES:
                break
    except (aiohttp.ClientError, OSError) as error:
        if response.status < 400 or isinstance(error, TimeoutError):
            raise
    whole, reason = size <= MAX_REPLY_BYTES, response.reason or ""
    return Response(response.status, response.headers, b"".join(pieces), reason, whole)


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


def _proxy(target: yarl.URL) -> yarl.URL | None:
    """Find the proxy that the environment names for a URL.

    Raises:
        UsageError: it cannot be used.
    """
    proxies = urllib.request.getproxies()
    named = proxies.get(target.scheme) or proxies.get("all")
    host = target.host or ""
    spelt = f"[{host}]" if ":" in host else host
    forms = host, f"{spelt}:{target.port}"  # $NO_PROXY may name a port, or an address in brackets
    if not named or any(map(urllib.request.proxy_bypass, forms)):
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
