"""How the fake teacher answers calls for embeddings. Used by `mimicit.testing` only.

The vector of a text depends on its words alone, so that texts with the same words are alike.
"""

import base64
import hashlib
import json
import math
import re
import struct
from collections.abc import Sequence

from mimicit._fake_http import Answer, Refused, Rule, check_model, failure, spoilt
from mimicit._fake_replies import Body

_PATH = re.compile(r"((/openai)?/v1|/openai/deployments/[^/]+)/embeddings(\?.*)?")

DIMENSIONS = 48
"""How many numbers a vector has, unless a request asks for another count."""

MOST_TEXTS = 2048
MOST_LETTERS = 32_768
"""What one request, and one text, may have."""

MOST_DIMENSIONS = 4096


def asked(path: str) -> bool:
    """Tell whether embeddings are asked for, by the path with its query."""
    return _PATH.fullmatch(path) is not None


def check(body: Body, models: Sequence[str] | None) -> None:
    """Judge a request's body; raises `Refused` where that fails."""
    given, count = body.get("input"), body.get("dimensions", DIMENSIONS)
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise Refused(400, "'input' must be a text or a list of texts.")
    if not texts or len(texts) > MOST_TEXTS or not all(texts):
        raise Refused(400, f"'input' must have 1 to {MOST_TEXTS} texts, none of them empty.")
    if max(map(len, texts)) > MOST_LETTERS:
        raise Refused(400, "This model's maximum context length is 8192 tokens.")
    if type(count) is not int or not 1 <= count <= MOST_DIMENSIONS:
        raise Refused(400, f"'dimensions' must be a whole number from 1 to {MOST_DIMENSIONS}.")
    if body.get("encoding_format", "float") not in {"float", "base64"}:
        raise Refused(400, "'encoding_format' must be float or base64.")
    check_model(body, models)


def answer(body: Body, rule: Rule) -> Answer:
    """Answer a request that is in order, as its fault has it."""
    if failed := failure(rule.kind, rule.retry_after, {}):
        return failed
    texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
    count = body.get("dimensions", DIMENSIONS)
    vectors = [_vector(text, count) for text in texts]
    if rule.kind == "empty":
        vectors = []
    elif rule.kind == "truncate":
        vectors = [vector[: count // 2] for vector in vectors]
    data = [
        {"object": "embedding", "index": index, "embedding": _spelt(vector, body)}
        for index, vector in enumerate(vectors)
    ]
    tokens = sum(-(-len(text) // 4) for text in texts)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    made = {"object": "list", "data": data, "model": body.get("model", ""), "usage": usage}
    return spoilt(json.dumps(made).encode(), rule, (tokens, 0))


def _vector(text: str, count: int) -> list[float]:
    """Add a vector for each word of a text, and bring the sum to length 1."""
    total = [0.0] * count
    for word in text.lower().split() or [text]:
        content = word.encode("utf-8", "surrogatepass")
        numbers = hashlib.shake_256(content).digest(count)
        total = [a + b - 127.5 for a, b in zip(total, numbers, strict=True)]
    size = math.sqrt(sum(number * number for number in total))
    return [number / size for number in total]


def _spelt(vector: list[float], body: Body) -> str | list[float]:
    if body.get("encoding_format") != "base64":
        return vector
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
