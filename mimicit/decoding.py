"""Judging pictures in child processes: a decoder's crash, hang or greed ends a child, not us.

A child is this module run as a program. It reads one JSON line a picture from standard input (a
reference, or a length and then that many bytes) and answers with one JSON line, its verdict. The
C libraries' own complaints go nowhere.
"""

import json
import os
import queue
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from mimicit.schema import ImageInfo, ImageRef

TIMEOUT_SECONDS = 60.0
"""How long one picture may take before its decoder is given up."""

FAILURES = {
    "hang": "no verdict in time, twice",
    "crash": "the decoder died over this file, twice",
}

MEMORY_BYTES = 4 * 2**30
"""Address space of a child, unless `$MIMICIT_DECODER_MEMORY` says otherwise."""

Picture = tuple[str, ImageRef | bytes]
"""What is judged: an image id, and where its bytes are or what they are."""


class Decoder:
    """One child process and the pipe to it; started when first needed, again after a crash."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._failure = "crash"
        self._stopped = False

    def _start(self) -> subprocess.Popen[bytes]:
        package_root = str(Path(__file__).resolve().parent.parent)
        path = os.pathsep.join(filter(None, [package_root, os.environ.get("PYTHONPATH", "")]))
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "mimicit.decoding"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # One thread each: the children are as many as the cores, and threads take memory.
            env={**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"},
        )

    def examine(self, image_id: str, source: ImageRef | bytes) -> ImageInfo:
        """Judge one picture; a child that dies or hangs over it twice is a verdict too.

        Once may be chance (a machine short of memory), and chance must not decide what a dataset
        holds.
        """
        for _ in range(2):
            info = None if self._stopped else self._try(image_id, source)
            if info:
                return info
        detail = FAILURES[self._failure]
        return ImageInfo(image_id, problem=f"decoder-{self._failure}", detail=detail)

    def stop(self) -> None:
        """End the child for good; a picture under way is given up."""
        self._stopped = True
        self.close()

    def _try(self, image_id: str, source: ImageRef | bytes) -> ImageInfo | None:
        child = self._child = self._child or self._start()
        hung = threading.Event()

        def give_up() -> None:
            hung.set()
            child.kill()

        watchdog = threading.Timer(TIMEOUT_SECONDS, give_up)
        watchdog.daemon = True
        watchdog.start()
        try:
            answer = _ask(child, image_id, source)
        finally:
            watchdog.cancel()
        if hung.is_set() or not answer:
            self.close()
            self._failure = "hang" if hung.is_set() else "crash"
        return ImageInfo(**json.loads(answer)) if answer else None

    def close(self) -> None:
        """End the child, if there is one."""
        child, self._child = self._child, None
        if child is None:
            return
        with suppress(OSError):
            child.kill()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        child.wait()


def _ask(child: subprocess.Popen[bytes], image_id: str, source: ImageRef | bytes) -> bytes:
    """Send one picture and read the verdict; b"" where the child died."""
    if child.stdin is None or child.stdout is None:  # never: both are pipes
        return b""
    header: dict[str, object] = {"id": image_id}
    if isinstance(source, bytes):
        header["length"] = len(source)
    else:
        header["ref"] = asdict(source)
    try:
        child.stdin.write(json.dumps(header).encode() + b"\n")
        if isinstance(source, bytes):
            child.stdin.write(source)
        child.stdin.flush()
        answer = child.stdout.readline()
    except (OSError, ValueError):  # a pipe that broke, or that was closed under us
        return b""
    return answer if answer.endswith(b"\n") else b""


def examine_all(pictures: Iterable[Picture]) -> Generator[ImageInfo, None, None]:
    """Judge many pictures on all cores, in order, with a bounded number under way."""
    workers = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    idle: queue.SimpleQueue[Decoder] = queue.SimpleQueue()
    decoders = [Decoder() for _ in range(workers)]
    for decoder in decoders:
        idle.put(decoder)

    def examine(image_id: str, source: ImageRef | bytes) -> ImageInfo:
        decoder = idle.get()
        try:
            return decoder.examine(image_id, source)
        finally:
            idle.put(decoder)

    pool = ThreadPoolExecutor(workers, thread_name_prefix="decoder")
    window: deque[Future[ImageInfo]] = deque()
    try:
        for image_id, source in pictures:
            window.append(pool.submit(examine, image_id, source))
            if len(window) >= 4 * workers:
                yield window.popleft().result()
        while window:
            yield window.popleft().result()
    finally:
        for future in window:
            future.cancel()
        for decoder in decoders:
            decoder.stop()
        pool.shutdown()
        for decoder in decoders:
            decoder.close()


def _serve() -> None:
    """Answer pictures until standard input ends. Runs in the child."""
    from mimicit.images import examine  # noqa: PLC0415  # the parent has no need of the decoders

    with suppress(ImportError, ValueError, OSError):  # not on Windows; a lower limit is in force
        import resource  # noqa: PLC0415

        limit = int(os.environ.get("MIMICIT_DECODER_MEMORY", MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    source: ImageRef | bytes
    for line in iter(sys.stdin.buffer.readline, b""):
        header = json.loads(line)
        if "ref" in header:
            size = header["ref"].pop("size")
            source = ImageRef(**header["ref"], size=tuple(size) if size else None)
        else:
            source = sys.stdin.buffer.read(header["length"])
        verdict = json.dumps(asdict(examine(header["id"], source)))
        sys.stdout.buffer.write(verdict.encode() + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    _serve()
