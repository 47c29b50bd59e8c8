"""Replacing a directory whole."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from conftest import contents

from mimicit.directory import replacing
from mimicit.errors import UsageError


def publish(target: Path, text: str) -> None:
    with replacing(target) as new:
        (new / "manifest.json").write_text(text)


def siblings(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir())


def test_it_appears_whole_and_replaces_the_old(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "out"
    publish(target, "one")
    assert contents(target) == {"manifest.json": b"one"}
    with replacing(target) as new:
        (new / "manifest.json").write_text("two")
        assert contents(target) == {"manifest.json": b"one"}, "nothing changes before the end"
    assert contents(target) == {"manifest.json": b"two"}
    assert siblings(target) == ["out"]


def test_an_error_leaves_the_old(tmp_path: Path) -> None:
    publish(tmp_path / "out", "one")
    with pytest.raises(IsADirectoryError), replacing(tmp_path / "out") as new:
        new.write_text("two")
    assert contents(tmp_path / "out") == {"manifest.json": b"one"}
    assert siblings(tmp_path / "out") == ["out"]


def test_what_is_not_ours_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_text("precious")
    (tmp_path / "file").write_text("precious")
    for name in ("photos", "file"):
        with pytest.raises(UsageError, match=name):
            publish(tmp_path / name, "one")
    assert (tmp_path / "photos" / "a.jpg").read_text() == "precious"
    (tmp_path / "empty").mkdir()
    publish(tmp_path / "empty", "one")


def test_what_a_link_points_to_is_replaced_and_the_link_stays(tmp_path: Path) -> None:
    publish(tmp_path / "real", "one")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    publish(tmp_path / "link", "two")
    assert (tmp_path / "link").is_symlink()
    assert contents(tmp_path / "real") == {"manifest.json": b"two"}


def test_a_place_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="cannot write to"):
        publish(tmp_path / "file" / "out", "one")


BUILDING = """
    import sys, time
    from pathlib import Path
    from mimicit.directory import replacing
    with replacing(Path(sys.argv[1])) as new:
        (new / "manifest.json").write_text("half")
        print("building", flush=True)
        time.sleep(60)
"""


def start_building(target: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(BUILDING), str(target)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "building\n"
    return process


def test_what_a_killed_build_left_is_removed_and_a_running_one_is_not(tmp_path: Path) -> None:
    target = tmp_path / "out"
    publish(target, "one")
    killed, running = start_building(target), start_building(target)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert len(siblings(target)) == 3
    assert contents(target) == {"manifest.json": b"one"}
    publish(target, "two")
    assert len(siblings(target)) == 2, "only the running one's is left"
    assert contents(target) == {"manifest.json": b"two"}
    running.kill()
    running.wait()
    for process in (killed, running):
        assert process.stdout is not None
        process.stdout.close()


@pytest.mark.slow
def test_a_reader_never_sees_anything_between(tmp_path: Path) -> None:
    target = tmp_path / "out"
    publish(target, "0" * 1000)
    watcher = textwrap.dedent("""
        import sys
        from pathlib import Path
        seen = set()
        while not (Path(sys.argv[1]).parent / "stop").exists():
            text = (Path(sys.argv[1]) / "manifest.json").read_text()
            assert len(text) == 1000 and len(set(text)) == 1, text
            seen.add(text)
        print(len(seen))
    """)
    command = [sys.executable, "-c", watcher, str(target)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as reader:
        for number in range(300):
            publish(target, str(number % 10) * 1000)
        (tmp_path / "stop").touch()
        assert reader.stdout is not None
        assert int(reader.stdout.read()) > 1
    assert reader.returncode == 0
