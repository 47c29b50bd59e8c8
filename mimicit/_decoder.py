"""The program that a child of `mimicit.decoding` runs: it opens what strangers made."""

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from mimicit import frames, images
from mimicit.schema import ImageRef
from mimicit.stored import StoreForm, stored

MEMORY_BYTES = 4 * 2**30
"""Address space of a child, unless `$MIMICIT_DECODER_MEMORY` says otherwise."""

PARENT_SECONDS = 5.0
"""How often a child looks whether its parent is still there."""

Answer = tuple[dict[str, Any], bytes]


def _examine(header: dict[str, Any], data: bytes) -> Answer:
    source: ImageRef | bytes = data
    if "ref" in header:
        size = header["ref"].pop("size")
        source = ImageRef(**header["ref"], size=tuple(size) if size else None)
    return images.examine(header["id"], source, salvage=header["salvage"]).to_json(), b""


def _fit(header: dict[str, Any], data: bytes) -> Answer:
    fitted, media_type = images.fit(data, header["max_side"], salvage=header["salvage"])
    return {"media_type": media_type}, fitted


def _store(header: dict[str, Any], data: bytes) -> Answer:
    made, changes = stored(data, StoreForm(**header["form"]))
    return {"info": images.examine("", made).to_json(), "changes": changes}, made


def _sample(header: dict[str, Any], _: bytes) -> Answer:
    task = frames.VideoTask.from_json(header["video"])
    return frames.sample(task, _show_life).to_json(), b""


TASKS: dict[str, Callable[[dict[str, Any], bytes], Answer]] = {
    "examine": _examine,
    "fit": _fit,
    "store": _store,
    "sample": _sample,
}


def _show_life() -> None:
    sys.stdout.buffer.write(b".\n")
    sys.stdout.buffer.flush()


def _limit_memory() -> None:
    with suppress(ImportError, ValueError, OSError):  # not on Windows; a lower limit is in force
        import resource  # noqa: PLC0415

        limit = int(os.environ.get("MIMICIT_DECODER_MEMORY", MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _end_with_parent() -> None:
    """Do not outlive a parent that was killed while a decoder hung."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _serve() -> None:
    """Do what standard input says until it ends."""
    _limit_memory()
    _end_with_parent()
    for line in iter(sys.stdin.buffer.readline, b""):
        header = json.loads(line)
        data = sys.stdin.buffer.read(header["length"])
        try:
            answer, made = TASKS[header["task"]](header, data)
        except images.UnusablePicture as error:
            answer, made = {"unusable": [error.reason, error.detail]}, b""
        except OSError as error:  # the disk is full: not the file's fault
            answer, made = {"failed": [error.errno, error.strerror, str(error.filename)]}, b""
        text = json.dumps({**answer, "length": len(made)})
        sys.stdout.buffer.write(text.encode() + b"\n" + made)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    _serve()
