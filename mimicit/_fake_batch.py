"""Files and batches of the fake teacher. Used by `mimicit.testing` only.

Shapes: https://platform.openai.com/docs/api-reference/files and …/batch.
"""

import asyncio
import email.parser
import hashlib
import json
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from mimicit._fake_http import Answer, Refused
from mimicit._fake_replies import Body
from mimicit._fake_wire import HttpRequest

MAX_LINES = 50_000
MAX_BYTES = 200_000_000
FAULTS = ("batch-expire", "batch-fail", "batch-lose", "batch-mixed", "batch-unheard", "upload-500")
"""What can befall a batch as a whole: half of it expires; it fails when it is looked through; some
lines come to nothing; errors lie among the replies; it is made, but no answer says so; its file
cannot be uploaded."""

_PATH = re.compile(r"(?:/openai)?(?:/v1)?/(files|batches)(?:/([\w-]+))?(?:/(content|cancel))?")

Ask = Callable[[bytes, str], tuple[Answer, tuple[int, int]]]
"""Answers the body of a line of the batch with an id; says what tokens it is billed for."""

Strike = Callable[[str], bool]
"""Tells whether a fault befalls a batch now."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as the server has it.

    Attributes:
        id: Its id.
        status: How far it is, such as `completed`.
        lines: Requests in its file.
        bytes: Size of that.
        metadata: What the client attached to it.
    """

    id: str
    status: str
    lines: int
    bytes: int
    metadata: dict[str, str]


@dataclass(slots=True)
class _Job:
    shown: dict[str, Any]
    lines: int = 0
    size: int = 0
    task: "asyncio.Task[None] | None" = None
    billed: tuple[int, int] = (0, 0)


@dataclass(slots=True)
class Desk:
    """Takes files and batches in, and works on them in the server's event loop."""

    ask: Ask
    strike: Strike
    seconds: float
    files: dict[str, bytes] = field(default_factory=dict)
    jobs: dict[str, _Job] = field(default_factory=dict)
    made: int = 0

    def serves(self, path: str) -> bool:
        """Tell whether a path is of files or batches."""
        return _PATH.fullmatch(path) is not None

    def batches(self) -> list[Batch]:
        """List all batches, oldest first."""
        return [
            Batch(name, job.shown["status"], job.lines, job.size, job.shown["metadata"] or {})
            for name, job in list(self.jobs.items())
        ]

    def billed(self) -> tuple[int, int]:
        """Sum up the tokens of all lines that were answered."""
        found = [job.billed for job in list(self.jobs.values())]
        return sum(sent for sent, _ in found), sum(received for _, received in found)

    def handle(self, request: HttpRequest) -> Answer:
        """Answer a call; raises `Refused`."""
        method, path, headers, content, _keep = request
        plain, _, query = path.partition("?")
        found = _PATH.fullmatch(plain)
        kind, name, verb = found.groups() if found else ("", None, None)
        ways: dict[tuple[str, str, bool, str | None], Callable[[], Answer]] = {
            ("POST", "files", False, None): lambda: self._upload(headers, content),
            ("GET", "files", True, None): lambda: _json(self._file(name or "")),
            ("DELETE", "files", True, None): lambda: self._delete(name or ""),
            ("GET", "files", True, "content"): lambda: Answer(200, (self._bytes(name or ""),)),
            ("POST", "batches", False, None): lambda: self._create(content),
            ("GET", "batches", False, None): lambda: self._list(parse_qs(query)),
            ("GET", "batches", True, None): lambda: _json(self._job(name or "").shown),
            ("POST", "batches", True, "cancel"): lambda: self._cancel(name or ""),
        }
        way = ways.get((method, kind, name is not None, verb))
        if way is None:
            raise Refused(404, f"Unknown request URL: {method} {path}", "unknown_url")
        return way()

    # ------------------------------------------------------------------ files

    def _upload(self, headers: dict[str, str], content: bytes) -> Answer:
        if self.strike("upload-500"):
            raise Refused(500, "The server had an error while storing your file.")
        parts = dict(_parts(headers.get("content-type", ""), content))
        if parts.get("purpose") != b"batch" or "file" not in parts:
            raise Refused(400, "A file and the purpose 'batch' are required.")
        return _json(self._file(self._keep(parts["file"])))

    def _keep(self, content: bytes) -> str:
        self.made += 1
        name = f"file-{self.made:06}"
        self.files[name] = content
        return name

    def _bytes(self, name: str) -> bytes:
        if name not in self.files:
            raise Refused(404, f"No such File object: {name}")
        return self.files[name]

    def _file(self, name: str) -> Body:
        size = len(self._bytes(name))
        shown = {"id": name, "object": "file", "bytes": size, "created_at": 1_700_000_000}
        return shown | {"filename": "batch.jsonl", "purpose": "batch", "status": "processed"}

    def _delete(self, name: str) -> Answer:
        self._bytes(name)
        del self.files[name]
        return _json({"id": name, "object": "file", "deleted": True})

    # ---------------------------------------------------------------- batches

    def _create(self, content: bytes) -> Answer:
        try:
            given = json.loads(content)
            source, metadata = given["input_file_id"], given.get("metadata") or {}
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
            raise Refused(400, "input_file_id is required.") from None
        text = self._bytes(str(source))
        self.made += 1
        name = f"batch_{self.made:06}"
        times = dict.fromkeys(("completed_at", "expires_at", "failed_at", "cancelled_at"))
        shown = {
            "id": name,
            "object": "batch",
            "endpoint": str(given.get("endpoint")),
            "completion_window": str(given.get("completion_window")),
            "input_file_id": source,
            "output_file_id": None,
            "error_file_id": None,
            "errors": None,
            "status": "validating",
            "created_at": 1_700_000_000 + self.made,
            "metadata": metadata,
            "request_counts": {"total": 0, "completed": 0, "failed": 0},
            **times,
        }
        job = self.jobs[name] = _Job(shown, text.count(b"\n"), len(text))
        job.task = asyncio.get_running_loop().create_task(self._work(job, text))
        if self.strike("batch-unheard"):
            raise Refused(500, "The server had an error while answering.")
        return _json(shown)

    def _list(self, query: dict[str, list[str]]) -> Answer:
        names = list(self.jobs)[::-1]
        after = query.get("after", [""])[0]
        names = names[names.index(after) + 1 :] if after in names else names
        limit = int(query.get("limit", ["20"])[0])
        shown = [self.jobs[name].shown for name in names[:limit]]
        more = {"has_more": len(names) > limit, "first_id": None, "last_id": None}
        if shown:
            more |= {"first_id": shown[0]["id"], "last_id": shown[-1]["id"]}
        return _json({"object": "list", "data": shown, **more})

    def _job(self, name: str) -> _Job:
        if name not in self.jobs:
            raise Refused(404, f"No batch found with id '{name}'.")
        return self.jobs[name]

    def _cancel(self, name: str) -> Answer:
        job = self._job(name)
        if job.task and not job.task.done():
            job.task.cancel()
            job.shown["status"] = "cancelled"
        return _json(job.shown)

    async def _work(self, job: _Job, text: bytes) -> None:
        problem = _problem(text)
        if self.strike("batch-fail"):
            problem = {"code": "invalid_request", "message": "It is invalid.", "line": None}
        await asyncio.sleep(self.seconds / 2)
        if problem:
            listed = [{"param": None, **problem}]
            job.shown |= {"status": "failed", "errors": {"object": "list", "data": listed}}
            return
        lines = [json.loads(line) for line in text.splitlines() if line.strip()]
        counts = job.shown["request_counts"]
        counts["total"] = len(lines)
        job.shown["status"] = "in_progress"
        await asyncio.sleep(self.seconds / 2)
        self._finish(job, lines)

    def _finish(self, job: _Job, lines: list[Body]) -> None:
        """Answer the lines, in an order of the server's own, and file what comes of them."""
        name, counts = job.shown["id"], job.shown["request_counts"]
        random.Random(name).shuffle(lines)  # noqa: S311  # no secret
        expired = lines[len(lines) // 2 :] if self.strike("batch-expire") else []
        lost = lines[::4] if self.strike("batch-lose") else []
        mixed = self.strike("batch-mixed")
        replies: list[Body] = []
        errors: list[Body] = []
        for line in lines[: len(lines) - len(expired)]:
            if line in lost:
                continue
            answer, billed = self.ask(json.dumps(line["body"]).encode(), name)
            job.billed = job.billed[0] + billed[0], job.billed[1] + billed[1]
            good = answer.status < 300
            counts["completed" if good else "failed"] += 1
            response = {"status_code": answer.status, "request_id": f"req_{len(replies)}"}
            response["body"] = json.loads(b"".join(answer.pieces))
            (replies if good or mixed else errors).append(_line(line, response, None))
        message = "This request could not be executed before the completion window expired."
        error = {"code": "batch_expired", "message": message}
        errors += [_line(line, None, error) for line in expired]
        for key, found in (("output_file_id", replies), ("error_file_id", errors)):
            if found:
                job.shown[key] = self._keep(b"".join(json.dumps(x).encode() + b"\n" for x in found))
        job.shown["status"] = "expired" if expired else "completed"


def _line(asked: Body, response: Body | None, error: Body | None) -> Body:
    key = asked["custom_id"]
    name = hashlib.sha256(key.encode()).hexdigest()[:24]
    return {"id": f"batch_req_{name}", "custom_id": key, "response": response, "error": error}


def _problem(text: bytes) -> Body | None:
    """Find what makes a file of requests unfit, if anything does."""
    lines = [line for line in text.split(b"\n") if line.strip()]
    if len(lines) > MAX_LINES or len(text) > MAX_BYTES or not lines:
        return {
            "code": "invalid_file",
            "message": "Too many lines, too large, or empty.",
            "line": None,
        }
    seen: set[str] = set()
    for number, line in enumerate(lines, 1):
        try:
            asked = json.loads(line)
            fit = asked["method"] == "POST" and isinstance(asked["body"], dict)
            fit = fit and str(asked["url"]).endswith("/chat/completions")
            fit = fit and isinstance(asked["custom_id"], str) and asked["custom_id"] not in seen
            seen.add(asked["custom_id"])
        except (ValueError, LookupError, TypeError, RecursionError):
            fit = False
        if not fit:
            return {"code": "invalid_line", "message": "Not a request, or twice.", "line": number}
    return None


def _parts(content_type: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    """Split multipart/form-data (RFC 7578) into the values by name."""
    found = re.fullmatch(r"multipart/form-data;\s*boundary=\"?([^\";]+)\"?", content_type.strip())
    if not found:
        raise Refused(400, "The body must be multipart/form-data.")
    for part in content.split(b"--" + found[1].encode())[1:-1]:
        head, _, value = part.partition(b"\r\n\r\n")
        headers = email.parser.BytesHeaderParser().parsebytes(head.strip() + b"\r\n\r\n")
        name = headers.get_param("name", header="content-disposition")
        yield str(name), value.removesuffix(b"\r\n")


def _json(value: Body) -> Answer:
    return Answer(200, (json.dumps(value).encode(),))
