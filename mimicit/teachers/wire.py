"""The chat protocol on the wire: requests written, completions and errors read.

Protocol: https://platform.openai.com/docs/api-reference/chat.
"""

import email.utils
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from mimicit.schema import Reply, Request
from mimicit.teachers import Attach

SECRETS = ("OPENAI_API_KEY", "AZURE_OPENAI_API_KEY", "AZURE_OPENAI_AD_TOKEN")
"""Variables of the environment that nothing shown or logged may contain."""


@dataclass(frozen=True, slots=True)
class Form:
    """What an endpoint wants requests to look like.

    Attributes:
        structured: Whether the reply schema is sent.
        length: What the limit on the reply's length is called.
        detail: How closely to look at pictures, where the endpoint lets one choose.
    """

    structured: bool = True
    length: str = "max_tokens"
    detail: str = ""


def request_body(
    request: Request, model: str, attach: Attach, form: Form = Form()
) -> dict[str, Any]:
    """Write a request as the endpoint is sent it, pictures as data URLs.

    Args:
        request: What is asked.
        model: Name of the model at the endpoint.
        attach: Gives the data URL of a picture.
        form: What it is to look like.
    """
    messages = []
    size = {"detail": form.detail} if form.detail else {}
    for message in request.messages:
        parts: list[dict[str, Any]] = [
            {"type": "text", "text": part}
            if isinstance(part, str)
            else {"type": "image_url", "image_url": {"url": attach(part), **size}}
            for part in message.parts
        ]
        texts = [part["text"] for part in parts if part["type"] == "text"]
        content = parts if len(texts) < len(parts) else "\n\n".join(texts)
        messages.append({"role": message.role, "content": content})
    parameters = {form.length if k == "max_tokens" else k: v for k, v in request.parameters}
    body: dict[str, Any] = {"model": model, "messages": messages, **parameters}
    if form.structured and request.reply_schema:
        schema = {"name": "reply", "strict": True, "schema": json.loads(request.reply_schema)}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Read how many seconds an endpoint asks to wait, if it does.

    Forms: `Retry-After` in seconds or as a date (RFC 9110, section 10.2.3), and OpenAI's own
    `retry-after-ms`.

    Args:
        headers: The response's headers, case-insensitive.
        now: Seconds since 1970.
    """
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        text = headers.get(name, "")
        if re.fullmatch(r"\s*\d{1,9}(\.\d*)?\s*", text):
            return float(text) * unit
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - now)
    except (TypeError, ValueError, OverflowError):
        return None


def read_completion(body: bytes, key: str, model: str) -> Reply:
    """Read a chat completion as the reply to the request with a key.

    Raises:
        ValueError: it is something else.
    """
    try:
        content = json.loads(body)
        choice = content["choices"][0]
        message = choice["message"]
        usage = content.get("usage") or {}
        text, finish = _said(message), str(choice.get("finish_reason") or "stop")
        counts = [_count(usage.get(f"{name}_tokens")) for name in ("prompt", "completion")]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        start = repr(body[:120].decode(errors="replace"))
        raise ValueError(f"no chat completion: {start}") from error
    if message.get("refusal") and not message.get("content"):
        finish = "refusal"
    named = str(content.get("model") or model)[:200]
    return Reply(key, text, finish[:40], named, *counts)


def _said(message: dict[str, Any]) -> str:
    """Take the text of a message; some endpoints give it in parts."""
    content = message.get("content")
    if isinstance(content, list):
        content = "".join(str(part.get("text") or "") for part in content)
    if content is None:
        content = message.get("refusal") or ""
    if not isinstance(content, str):
        raise TypeError("content is no text")
    return content


def _count(value: object) -> int:
    return value if isinstance(value, int) and 0 <= value < 2**53 else 0


def clean(text: str) -> str:
    """Keep keys and pictures out of what is shown and logged."""
    for name in SECRETS:
        secret = os.environ.get(name, "").strip()
        if secret:
            text = text.replace(secret, "[key]")
    text = re.sub(r"\bsk-[\w*.-]{4,}|(?i:bearer)\s+[\w.~+/=-]{8,}", "[key]", text)
    text = re.sub(r"[A-Za-z0-9+/=]{200,}", "[data]", text)
    return " ".join(text.split())[:400]


def plain_url(url: str) -> str:
    """Spell a URL without user, password and query."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{host}{port}{parts.path.rstrip('/')}"
