"""Judging strangers' files in child processes: a decoder's crash, hang or greed is not ours.

A child is `mimicit._decoder` run as a program. It reads a JSON line that says what to do, and the
bytes to do it with, from standard input; it answers with a JSON line and bytes. What takes long is
interspersed with signs of life. The C libraries' own complaints go nowhere.
"""

import atexit
import functools
import json
import os
import queue
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from mimicit.frames import VideoInfo, VideoTask
from mimicit.images import UnusablePicture
from mimicit.schema import ImageInfo, ImageRef
from mimicit.stored import StoreForm

T = TypeVar("T")
R = TypeVar("R")

TIMEOUT_SECONDS = 60.0
"""How long a child may go without a sign of life before its decoder is given up."""

PATIENCE_SECONDS = 0.5
"""How long a child is waited for before one more is started, which takes nearly as long."""

FAILURES = {
    "hang": "no verdict in time, twice",
    "crash": "the decoder died over this file, twice",
}

Picture = tuple[str, ImageRef | bytes]
"""What is judged: an image id, and where its bytes are or what they are."""

Answer = tuple[dict[str, Any], bytes]


class Decoder:
    """One child process and the pipe to it; started when first needed, again after a crash."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._failure = "crash"
        self._stopped = False

    def examine(
        self, image_id: str, source: ImageRef | bytes, *, salvage: bool = False
    ) -> ImageInfo:
        """Judge one picture. Raises nothing: a decoder that fails is a verdict too."""
        header: dict[str, object] = {"task": "examine", "id": image_id, "salvage": salvage}
        if isinstance(source, ImageRef):
            header["ref"] = asdict(source)
        try:
            answer, _ = self._ask(header, source if isinstance(source, bytes) else b"")
        except UnusablePicture as error:
            return ImageInfo(image_id, problem=error.reason, detail=error.detail)
        return ImageInfo.from_json(answer)

    def fit(self, data: bytes, max_side: int, *, salvage: bool = False) -> tuple[bytes, str]:
        """Make a picture's file fit to be sent: as `images.fit`.

        Raises:
            UnusablePicture: it cannot be decoded, or the decoder fails over it.
        """
        header = {"task": "fit", "max_side": max_side, "salvage": salvage}
        answer, fitted = self._ask(header, data)
        return fitted, answer["media_type"]

    def store(self, data: bytes, form: StoreForm) -> tuple[bytes, ImageInfo, tuple[str, ...]]:
        """Make the file to store: as `stored.stored`, with the verdict on what was made.

        Raises:
            UnusablePicture: it cannot be decoded, or the decoder fails over it.
        """
        answer, made = self._ask({"task": "store", "form": asdict(form)}, data)
        return made, ImageInfo.from_json(answer["info"]), tuple(answer["changes"])

    def sample(self, task: VideoTask) -> VideoInfo:
        """Cut frames out of a video; what is wrong with it stands in `problem`.

        Raises:
            OSError: a frame cannot be written, as on a full disk.
        """
        try:
            answer, _ = self._ask({"task": "sample", "video": task.to_json()}, b"")
        except UnusablePicture as error:
            return VideoInfo(problem=error.reason, detail=error.detail)
        return VideoInfo.from_json(answer)

    def park(self) -> None:
        """Leave the child, which has nothing to do, to the next one that needs any."""
        child, self._child = self._child, None
        if child:
            _PARKED.leave(child)

    def stop(self) -> None:
        """End the child for good; what is under way is given up."""
        self._stopped = True
        self.close()

    def close(self) -> None:
        """End the child, if there is one."""
        child, self._child = self._child, None
        if child:
            _end(child)

    def _start(self) -> subprocess.Popen[bytes]:
        package_root = str(Path(__file__).resolve().parent.parent)
        path = os.pathsep.join(filter(None, [package_root, os.environ.get("PYTHONPATH", "")]))
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "mimicit._decoder"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # One thread each: the children are as many as the cores, and threads take memory.
            env={**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"},
        )

    def _ask(self, header: Mapping[str, object], data: bytes) -> Answer:
        """Have something done; a child that dies or hangs over it twice has said no.

        Once may be chance (a machine short of memory), and chance must not decide what a dataset
        holds.

        Raises:
            UnusablePicture: the child says so, or `decoder-crash`, `decoder-hang`.
            OSError: it cannot be done, and it is not for what it was done to.
        """
        for _ in range(2):
            answer = None if self._stopped else self._try(header, data)
            if answer:
                if "unusable" in answer[0]:
                    raise UnusablePicture(*answer[0]["unusable"])
                if "failed" in answer[0]:
                    raise OSError(*answer[0]["failed"])
                return answer
        raise UnusablePicture(f"decoder-{self._failure}", FAILURES[self._failure])

    def _try(self, header: Mapping[str, object], data: bytes) -> Answer | None:
        child = self._child = self._child or _PARKED.take() or self._start()
        watchdog = _Watchdog(child)
        try:
            answer = _exchange(child, header, data, watchdog)
        finally:
            watchdog.stop()
        if watchdog.bit or not answer:
            self.close()
            self._failure = "hang" if watchdog.bit else "crash"
        return answer


def _end(child: subprocess.Popen[bytes]) -> None:
    with suppress(OSError):
        child.kill()
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
    child.wait()


class _Parked:
    """One child that waits for the next build of this process: starting one takes a quarter second.

    It is of use only where it would be started the same way: same process, directory, limits.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._place: tuple[object, ...] = ()
        self._child: subprocess.Popen[bytes] | None = None

    def leave(self, child: subprocess.Popen[bytes]) -> None:
        """Keep a child, unless one is kept that would do."""
        kept = self.take()
        if kept:
            _end(child)
        surplus: subprocess.Popen[bytes] | None = kept or child
        with self._lock:
            if self._child is None:
                self._child, self._place, surplus = surplus, _place(), None
        if surplus:  # another thread was faster
            _end(surplus)

    def take(self) -> subprocess.Popen[bytes] | None:
        """Give the child that is kept, if it lives and would do."""
        with self._lock:
            child, self._child = self._child, None
            place = _place()
            fits, ours = self._place == place, self._place[:1] == place[:1]
        if child and fits and child.poll() is None:
            return child
        if child and ours:  # not that of the process that this one was forked from
            _end(child)
        return None

    def end(self) -> None:
        """End the child that is kept."""
        child = self.take()
        if child:
            _end(child)


_PARKED = _Parked()
atexit.register(_PARKED.end)


def _place() -> tuple[object, ...]:
    """What a child takes over from the process when it is started, as far as that matters."""
    directory = ""
    with suppress(OSError):  # it was removed
        directory = str(Path.cwd())
    limits = [os.environ.get(name) for name in ("MIMICIT_DECODER_MEMORY", "PYTHONPATH")]
    return os.getpid(), directory, *limits


class _Watchdog:
    """Kills a child that gives no sign of life for `TIMEOUT_SECONDS`."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self.bit = False
        self._child = child
        self._timer = self._wind_up()

    def feed(self) -> None:
        """Start the time anew."""
        self._timer.cancel()
        self._timer = self._wind_up()

    def stop(self) -> None:
        """Watch no longer."""
        self._timer.cancel()

    def _wind_up(self) -> threading.Timer:
        timer = threading.Timer(TIMEOUT_SECONDS, self._bite)
        timer.daemon = True
        timer.start()
        return timer

    def _bite(self) -> None:
        self.bit = True
        self._child.kill()


def _exchange(
    child: subprocess.Popen[bytes], header: Mapping[str, object], data: bytes, watchdog: _Watchdog
) -> Answer | None:
    """Send one thing to do and read the answer; None where the child died."""
    if child.stdin is None or child.stdout is None:  # never: both are pipes
        return None
    try:
        child.stdin.write(json.dumps({**header, "length": len(data)}).encode() + b"\n")
        child.stdin.write(data)
        child.stdin.flush()
        while (line := child.stdout.readline()) == ALIVE:
            watchdog.feed()
        if not line.endswith(b"\n"):
            return None
        answer = json.loads(line)
        length = answer.pop("length")
        made = child.stdout.read(length)
    except (OSError, ValueError):  # a pipe that broke, or that was closed under us
        return None
    return (answer, made) if len(made) == length else None


ALIVE = b".\n"
"""A child's sign of life."""


def cores() -> int:
    """Count the processor's cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Decoders:
    """Up to as many children as there are cores, as there is work for them. Safe with threads."""

    def __init__(self) -> None:
        self._workers = cores()
        self._all = [Decoder() for _ in range(self._workers)]
        self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="decoder")
        self._idle: queue.SimpleQueue[Decoder] = queue.SimpleQueue()
        self._spare: queue.SimpleQueue[Decoder] = queue.SimpleQueue()
        self._idle.put(self._all[0])
        for decoder in self._all[1:]:
            self._spare.put(decoder)

    def __enter__(self) -> "Decoders":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """End all children, and give up what is under way."""
        if kind is None:
            with suppress(queue.Empty):
                decoder = self._idle.get_nowait()
                decoder.park()
                self._idle.put(decoder)
        for decoder in self._all:
            decoder.stop()
        self._pool.shutdown(cancel_futures=True)
        for decoder in self._all:
            decoder.close()

    def run(self, do: Callable[[Decoder], R]) -> R:
        """Do something with a child that is idle, or wait for one."""
        decoder = self._take()
        try:
            return do(decoder)
        finally:
            self._idle.put(decoder)

    def _take(self) -> Decoder:
        with suppress(queue.Empty):
            return self._idle.get(timeout=PATIENCE_SECONDS)
        with suppress(queue.Empty):
            return self._spare.get_nowait()
        return self._idle.get()

    def submit(self, do: Callable[[Decoder], R]) -> "Future[R]":
        """Have something done meanwhile."""
        return self._pool.submit(self.run, do)

    def each(self, items: Iterable[T], do: Callable[[Decoder, T], R]) -> Generator[R, None, None]:
        """Do something with each of many, on all cores, a bounded number under way.

        Yields the results in order.
        """
        window: deque[Future[R]] = deque()
        try:
            for item in items:
                window.append(self.submit(functools.partial(_applied, do, item)))
                if len(window) >= self.window:
                    yield window.popleft().result()
            while window:
                yield window.popleft().result()
        finally:
            for future in window:
                future.cancel()

    @property
    def window(self) -> int:
        """How many things may sensibly be under way."""
        return 4 * self._workers


def _applied(do: Callable[[Decoder, T], R], item: T, decoder: Decoder) -> R:
    return do(decoder, item)


def examine_all(pictures: Iterable[Picture]) -> Generator[ImageInfo, None, None]:
    """Judge many pictures on all cores, in order, with children of its own."""
    with Decoders() as decoders:
        yield from decoders.each(pictures, lambda decoder, picture: decoder.examine(*picture))
