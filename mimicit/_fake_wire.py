"""How the fake teacher reads requests off a connection. Used by `mimicit.testing` only."""

import asyncio
import re
from asyncio import StreamReader, StreamWriter
from typing import NamedTuple

from mimicit._fake_http import Refused

MAX_HEAD_BYTES = 64 * 2**10
MAX_BODY_BYTES = 64 * 2**20
MAX_FILE_BYTES = 256 * 2**20

_REQUEST_LINE = re.compile(r"([A-Z]{1,20}) (/[!-~]*) HTTP/1\.([01])")
_FIELD = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*)")
_FILES = re.compile(r"(/openai)?(/v1)?/files")


class HttpRequest(NamedTuple):
    """A request, all of it read.

    Attributes:
        method: Such as POST.
        path: What is asked for, with its query.
        headers: By lower-case name.
        content: The body.
        keep: Whether the connection goes on.
    """

    method: str
    path: str
    headers: dict[str, str]
    content: bytes
    keep: bool


async def read_request(reader: StreamReader, writer: StreamWriter) -> HttpRequest:
    """Read one request; raises `Refused`, or EOFError where the client has gone."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        raise Refused(431, "The header is too large.") from None
    first, *lines = head[:-4].decode("latin-1").split("\r\n")
    start = _REQUEST_LINE.fullmatch(first)
    fields = [_FIELD.fullmatch(line) for line in lines]
    if start is None or None in fields or len(fields) > 100:
        raise Refused(400, "The request line or a header is malformed, or there are too many.")
    headers: dict[str, str] = {}
    for found in filter(None, fields):
        name, value = found[1].lower(), found[2].rstrip(" \t")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    length = headers.get("content-length", "" if start[1] == "POST" else "0")
    if "transfer-encoding" in headers or not length:
        raise Refused(411, "A Content-Length is required.")
    if not re.fullmatch("[0-9]{1,15}", length):
        raise Refused(400, "The Content-Length is malformed.")
    upload = _FILES.fullmatch(start[2].partition("?")[0])
    most = MAX_FILE_BYTES if upload else MAX_BODY_BYTES
    if int(length) > most:
        raise Refused(413, f"The body is larger than {most:,} bytes.")
    if headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    content = await reader.readexactly(int(length))
    keep = start[3] == "1" and "close" not in headers.get("connection", "").lower()
    return HttpRequest(start[1], start[2], headers, content, keep)
