"""Decoding in children: a crash is a verdict, not an end."""

import contextlib
import io
import os
import signal
import sys
import threading
from pathlib import Path

import pytest
from PIL import Image

from mimicit import decoding
from mimicit.decoding import Decoder, examine_all
from mimicit.schema import ImageRef


def picture(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (32, 32), value).save(buffer, "PNG")
    return buffer.getvalue()


def child_of(decoder: Decoder) -> int:
    assert decoder._child is not None
    return decoder._child.pid


def test_verdicts_come_in_order_from_references_and_from_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(picture(7))
    sources: list[tuple[str, ImageRef | bytes]] = [(str(n), picture(n)) for n in range(40)]
    sources.insert(20, ("file", ImageRef("file", str(tmp_path), "a.png", size=(1, 2))))
    verdicts = list(examine_all(sources))
    assert [v.id for v in verdicts] == [name for name, _ in sources]
    assert not any(v.problem for v in verdicts)
    assert verdicts[20].sha256 == verdicts[7].sha256


class Saboteur(threading.Thread):
    """Sends a signal to every child that a decoder starts, until it is told to stop."""

    def __init__(self, decoder: Decoder, number: int) -> None:
        super().__init__(daemon=True)
        self.decoder, self.number, self.stopping = decoder, number, threading.Event()

    def run(self) -> None:
        while not self.stopping.wait(0.005):
            child = self.decoder._child
            if child is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child.pid, self.number)


@pytest.mark.parametrize(
    ("number", "problem"), [(signal.SIGKILL, "decoder-crash"), (signal.SIGSTOP, "decoder-hang")]
)
def test_a_decoder_that_always_fails_is_a_verdict_and_the_next_picture_is_fine(
    monkeypatch: pytest.MonkeyPatch, number: int, problem: str
) -> None:
    monkeypatch.setattr(decoding, "TIMEOUT_SECONDS", 1.0)
    buffer = io.BytesIO()
    Image.new("L", (6_000, 6_000), 1).save(buffer, "PNG", compress_level=1)  # takes a while
    decoder = Decoder()
    saboteur = Saboteur(decoder, number)
    saboteur.start()
    try:
        assert decoder.examine("a", buffer.getvalue()).problem == problem
        saboteur.stopping.set()
        saboteur.join()
        monkeypatch.undo()
        assert decoder.examine("b", picture(2)).problem == ""
    finally:
        saboteur.stopping.set()
        decoder.stop()


def test_a_decoder_that_dies_once_is_asked_again_so_that_chance_decides_nothing() -> None:
    decoder = Decoder()
    assert decoder.examine("a", picture(1)).problem == ""
    os.kill(child_of(decoder), signal.SIGKILL)
    assert decoder.examine("b", picture(2)).problem == ""
    decoder.stop()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits memory as Linux does")
def test_a_picture_that_takes_too_much_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (9_000, 9_000)).save(buffer, "PNG")  # 324 MB decoded
    monkeypatch.setenv("MIMICIT_DECODER_MEMORY", str(400 * 2**20))
    big, small = examine_all([("big", buffer.getvalue()), ("small", picture(1))])
    assert big.problem in {"out-of-memory", "decoder-crash"}
    assert small.problem == ""


def children() -> set[int]:
    """List the pids of this process's children."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = entry.read_text().rpartition(")")[2].split()
            if int(fields[1]) == os.getpid():
                found.add(int(entry.parent.name))
    return found


def test_no_child_is_left_when_a_reader_stops_early() -> None:
    verdicts = examine_all((str(n), picture(n % 250)) for n in range(1000))
    next(verdicts)
    verdicts.close()
    assert not children()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_one_child_waits_for_the_next_that_needs_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    list(examine_all([("a", picture(1))]))
    (waiting,) = children()
    (verdict,) = examine_all([("b", picture(2))])
    assert not verdict.problem
    assert children() == {waiting}
    os.kill(waiting, signal.SIGKILL)
    (verdict,) = examine_all([("c", picture(3))])
    assert not verdict.problem
    (second,) = children()
    assert second != waiting
    monkeypatch.chdir(tmp_path)  # a name relative to another directory would be another file
    (verdict,) = examine_all([("d", picture(4))])
    assert not verdict.problem
    assert second not in children()
    assert len(children()) == 1
