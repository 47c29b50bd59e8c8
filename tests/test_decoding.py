"""Decoding in children: a crash is a verdict, not an end."""

import io
import os
import signal
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


def test_a_decoder_that_dies_is_a_verdict_and_the_next_picture_is_fine() -> None:
    decoder = Decoder()
    assert decoder.examine("a", picture(1)).problem == ""
    os.kill(child_of(decoder), signal.SIGKILL)
    assert decoder.examine("b", picture(2)).problem == "decoder-crash"
    assert decoder.examine("c", picture(3)).problem == ""
    decoder.close()


def test_a_decoder_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "TIMEOUT_SECONDS", 0.5)
    decoder = Decoder()
    decoder._child = decoder._start()
    os.kill(child_of(decoder), signal.SIGSTOP)
    assert decoder.examine("a", picture(1)).problem == "decoder-hang"
    monkeypatch.undo()
    assert decoder.examine("b", picture(1)).problem == ""
    decoder.close()


def test_a_file_without_end_is_refused_by_its_memory_limit() -> None:
    """A small file that claims a hundred million pixels fits; one that claims more does not."""
    buffer = io.BytesIO()
    Image.new("1", (11_000, 10_000)).save(buffer, "PNG")
    assert [v.problem for v in examine_all([("big", buffer.getvalue())])] == ["too-many-pixels"]


def test_no_child_is_left_when_a_reader_stops_early() -> None:
    verdicts = examine_all((str(n), picture(n % 250)) for n in range(1000))
    next(verdicts)
    verdicts.close()
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        assert int(fields[1]) != os.getpid(), f"a child is left: {entry}"
