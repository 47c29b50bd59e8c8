"""What clients are asked to do, the endpoint that they are measured against, and the measuring.

    python tools/_bench_server.py 0.2      # seconds; prints its port, ends with its input

Bodies are received and thrown away, the answer is always the same: what is measured is the client.
`GET /bench/reset` starts the counts anew, `GET /bench/stats` gives them. Imported by
`bench_teachers.py`, also in the interpreters of peers: nothing but the standard library is needed.
"""

import asyncio
import base64
import contextlib
import hashlib
import io
import json
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

BACKLOG = 4096
PROMPT_TOKENS, COMPLETION_TOKENS = 400, 600
WORDS = "river bridge lantern harbour market tower bicycle garden window ladder violin meadow"
SYSTEM = "You write questions about photographs and answer them from what can be seen. " * 11


# ------------------------------------------------------------------------ what is asked


def question(number: int) -> str:
    """Give the text of a request: about 850 letters, different for each number."""
    words = WORDS.split()
    text = " ".join(words[(number * 7 + place * (1 + number % 11)) % 12] for place in range(120))
    return f"Photograph {number}. {text}."


@dataclass(frozen=True)
class Job:
    """What one process has to do.

    Attributes:
        requests: How many requests to send.
        concurrency: How many of them at once.
        pictures: Pictures in each request.
        url: The server.
        work: Folder for what is kept; the pictures lie in the folder above.
        per_scene: Requests that one scene makes, where there are scenes.
        known: Scenes at the start that have their replies already.
    """

    requests: int
    concurrency: int
    pictures: int = 0
    url: str = ""
    work: str = ""
    per_scene: int = 1
    known: int = 0

    def files(self, number: int) -> list[Path]:
        """List the pictures of one request."""
        first = number * self.pictures
        folder = Path(self.work).parent / "pictures"
        return [folder / f"{n}.jpg" for n in range(first, first + self.pictures)]

    def messages(self, number: int) -> list[dict[str, Any]]:
        """Write a request's messages as they are sent, reading its pictures."""
        content: Any = question(number)
        if self.pictures:
            urls = [base64.b64encode(path.read_bytes()).decode() for path in self.files(number)]
            content = [{"type": "text", "text": content}] + [
                {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{url}"}}
                for url in urls
            ]
        return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": content}]


SCENARIOS = {
    "text-64": Job(2000, 64),
    "text-256": Job(2000, 256),
    "pictures": Job(500, 64, pictures=3),
}


def make_pictures(folder: Path, count: int, size: int) -> None:
    """Write JPEGs of about so many bytes that differ in a comment, and what is known of them."""
    from PIL import Image

    rng = random.Random(7)
    side, base = 256, b""
    while len(base) < size:
        side += 16
        noise = Image.frombytes("L", (side, side), rng.randbytes(side * side))
        slope = Image.linear_gradient("L").resize((side, side))
        buffer = io.BytesIO()
        Image.merge("RGB", (noise, slope, slope.rotate(90))).save(buffer, "JPEG", quality=75)
        base = buffer.getvalue()
    known = []
    for number in range(count):
        data = base[:2] + b"\xff\xfe\x00\x12" + f"{number:016d}".encode() + base[2:]
        (folder / f"{number}.jpg").write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        known.append({"id": f"B_IMG_{number}", "sha256": digest, "width": side, "height": side})
    (folder / "known.json").write_text(json.dumps(known))


# ------------------------------------------------------------------------ the server


@dataclass
class Counts:
    """What came since the last reset.

    Attributes:
        first: When the first request arrived, in seconds of the monotonic clock; 0 for never.
        last: When the last answer left.
        requests: Requests that arrived.
        answers: Answers that were written.
        peak: Most requests that were under way at once.
        connections: Connections that brought a request.
        received: Bytes of requests.
        cpu: Seconds of CPU time that the server used.
    """

    first: float = 0.0
    last: float = 0.0
    requests: int = 0
    answers: int = 0
    peak: int = 0
    connections: int = 0
    received: int = 0
    cpu: float = 0.0


@dataclass
class Place:
    """Where the counts of now are."""

    counts: Counts = field(default_factory=Counts)


def completion() -> bytes:
    """Write the one answer: exchanges as a teacher gives them, 2.4 kB, 600 tokens."""
    words = f"{WORDS} {WORDS} {WORDS}"
    made = [
        {"kind": "conversation", "instruction": f"Which {n}? {words[:50]}", "answer": words[:196]}
        for n in range(8)
    ]
    message = {"role": "assistant", "content": json.dumps({"exchanges": made}), "refusal": None}
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "bench",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": PROMPT_TOKENS,
            "completion_tokens": COMPLETION_TOKENS,
            "total_tokens": PROMPT_TOKENS + COMPLETION_TOKENS,
        },
    }
    return _response(json.dumps(body).encode())


def _response(body: bytes, status: str = "200 OK") -> bytes:
    limits = "".join(
        f"x-ratelimit-limit-{kind}: {amount}\r\nx-ratelimit-remaining-{kind}: {amount - 1}\r\n"
        f"x-ratelimit-reset-{kind}: 6ms\r\n"
        for kind, amount in (("requests", 10_000_000), ("tokens", 10_000_000_000))
    )
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return f"{head}{limits}x-request-id: req_1\r\n\r\n".encode() + body


ANSWER = completion()
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)")
BUFFER = bytearray(1 << 18)  # for all connections: it is read before the next one is written to


class Connection(asyncio.BufferedProtocol):
    """One client's connection, kept until the client ends it or asks for its end."""

    def __init__(self, place: "Place", latency: float) -> None:
        self._place = place
        self._latency = latency
        self._loop = asyncio.get_running_loop()
        self._head = b""
        self._left = 0  # bytes of the body that have not come yet
        self._request = b""
        self._last = self._used = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, _sizehint: int) -> bytearray:
        """Give the place to receive into."""
        return BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        """Pass over bodies, and look at heads."""
        self._place.counts.received += nbytes
        start = min(self._left, nbytes)
        self._left -= start
        if start and not self._left:
            self._complete()
        if start < nbytes:
            self._head += BUFFER[start:nbytes]
            self._read_heads()

    def _read_heads(self) -> None:
        while (end := self._head.find(b"\r\n\r\n")) >= 0:
            self._request, rest = self._head[:end].lower(), self._head[end + 4 :]
            found = LENGTH.search(self._request)
            length = int(found[1]) if found else 0
            self._head, self._left = rest[length:], max(0, length - len(rest))
            self._last = b"\r\nconnection: close" in self._request
            if self._request.startswith(b"post"):
                self._count()
            if self._left:
                return
            self._complete()

    def _count(self) -> None:
        counts = self._place.counts
        counts.first = counts.first or time.monotonic()
        counts.requests += 1
        counts.peak = max(counts.peak, counts.requests - counts.answers)
        counts.connections += not self._used
        self._used = True

    def _complete(self) -> None:
        if self._request.startswith(b"post") and b"\r\ntransfer-encoding:" in self._request:
            self._transport.write(_response(b"{}", "411 Length Required"))
            self._transport.close()
        elif self._request.startswith(b"post"):
            self._loop.call_later(self._latency, self._answer, self._last)
        else:
            self._transport.write(_response(self._control(self._request.split()[1])))
            if self._last:
                self._transport.close()

    def _answer(self, last: bool) -> None:  # noqa: FBT001  # call_later passes by position
        counts = self._place.counts
        counts.answers += 1
        self._transport.write(ANSWER)
        counts.last = time.monotonic()
        if last:
            self._transport.close()

    def _control(self, path: bytes) -> bytes:
        if path == b"/bench/reset":
            self._place.counts = Counts(cpu=time.process_time())
        found = asdict(self._place.counts)
        return json.dumps({**found, "cpu": time.process_time() - found["cpu"]}).encode()


async def serve(latency: float) -> None:
    """Answer until the standard input is closed."""
    loop = asyncio.get_running_loop()
    place = Place()
    server = await loop.create_server(
        lambda: Connection(place, latency), "127.0.0.1", 0, backlog=BACKLOG
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    ended = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), ended.set)
    await ended.wait()


# ------------------------------------------------------------------------ from outside


def control(url: str, what: str) -> Counts:
    """Ask a running server for its counts: `stats`, or `reset` to start anew."""
    with urllib.request.urlopen(f"{url}/bench/{what}", timeout=30) as answer:
        found: dict[str, Any] = json.load(answer)
    return Counts(**found)


@contextlib.contextmanager
def running(latency: float) -> Iterator[str]:
    """Run a server in a process of its own, and give its URL."""
    command = [sys.executable, __file__, str(latency)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            assert process.stdin
            process.stdin.close()


# ------------------------------------------------------------------------ how they are measured


RESULT = "RESULT "
LIMIT_SECONDS = 3600.0
"""After which a process that is measured is taken for stuck."""
COLUMNS = {
    "wall s": ".2f",
    "/ ideal": ".2f",
    "start s": ".2f",
    "CPU ms": ".2f",
    "whole ms": ".2f",
    "MB": ",.0f",
    "peak": ",.0f",
    "conns": ",.0f",
    "server ms": ".3f",
    "sent": ",.0f",
}
"""What is printed of each way, and how."""

started = {"at": 0.0, "cpu": 0.0}


def cpu_used() -> float:
    """Count the CPU seconds of this process and of its children that have ended."""
    kinds = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
    return sum(sum(resource.getrusage(kind)[:2]) for kind in kinds)


def begin(job: Job) -> None:
    """Note that all is imported and prepared, and that the asking begins."""
    control(job.url, "reset")  # some ask the endpoint for its limits before
    started.update(at=time.monotonic(), cpu=cpu_used())


def spent() -> str:
    """Say on a line what this process took since it began to ask, and its peak memory."""
    took = {"began": started["at"], "cpu": cpu_used() - started["cpu"], "MB": peak_megabytes()}
    return RESULT + json.dumps(took)


def peak_megabytes() -> float:
    """Give the peak memory of this process, that of its largest child added if they worked."""
    unit = 1024 * 1024 if sys.platform == "darwin" else 1024
    own, other = (
        resource.getrusage(kind).ru_maxrss / unit
        for kind in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss holds that of the parent, from before the program was loaded
        (line,) = (text for text in status.read_text().splitlines() if text.startswith("VmHWM"))
        own = int(line.split()[1]) / 1024
    # A child that merely looked something up counts with its parent's memory, as it was forked.
    return own + (other if sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2]) > 1 else 0)


def interpreter(distribution: str, others: list[str]) -> tuple[str, str]:
    """Find the interpreter that has a distribution, and its version; "" where none has."""
    ask = "import importlib.metadata as m, sys; print(m.version(sys.argv[1]))"
    for python in [sys.executable, *others]:
        found = subprocess.run(
            [python, "-c", ask, distribution], capture_output=True, text=True, check=False
        )
        if not found.returncode:
            return python, found.stdout.strip()
    return "", ""


def measure(command: list[str], job: Job, latency: float) -> dict[str, float]:
    """Have a process of its own do a job, and give what is printed of it.

    Args:
        command: Starts it; it prints a line of what `spent` gives.
        job: What it does.
        latency: Seconds that the server takes for an answer.

    Raises:
        RuntimeError: it failed.
    """
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        assert process.stdout
        watch = threading.Timer(LIMIT_SECONDS, process.kill)
        watch.start()
        lines = process.stdout.read().splitlines()
        _, status, used = os.wait4(process.pid, 0)
        watch.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        said = errors.read().decode(errors="replace").strip().splitlines()
    results = [line.removeprefix(RESULT) for line in lines if line.startswith(RESULT)]
    if not results:
        raise RuntimeError(f"failed: {(said or ['without a word'])[-1][:300]}")
    took, counts, sent = json.loads(results[0]), control(job.url, "stats"), job.requests
    wall = counts.last - counts.first
    return {
        "wall s": wall,
        "/ ideal": wall / (sent * latency / job.concurrency),
        "start s": counts.first - took["began"],
        "CPU ms": 1000 * took["cpu"] / sent,
        "whole ms": 1000 * (used.ru_utime + used.ru_stime) / sent,
        "MB": took["MB"],
        "peak": counts.peak,
        "conns": counts.connections,
        "server ms": 1000 * counts.cpu / max(1, counts.requests),
        "sent": counts.requests,
    }


if __name__ == "__main__":
    with contextlib.suppress(ImportError):
        import uvloop  # type: ignore[import-not-found, unused-ignore]  # only where it is there

        uvloop.install()
    asyncio.run(serve(float(sys.argv[1])))
