"""Replacing a directory whole."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from conftest import contents

from mimicit import directory
from mimicit.directory import replacing
from mimicit.errors import UsageError


def manifest(text: str) -> str:
    return json.dumps({"schema_version": "1.0", "files": {}, "text": text})


def holds(target: Path, text: str) -> bool:
    return contents(target) == {"manifest.json": manifest(text).encode()}


def publish(target: Path, text: str) -> None:
    with replacing(target) as new:
        (new / "manifest.json").write_text(manifest(text))


def siblings(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir())


def test_it_appears_whole_and_replaces_the_old(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "out"
    publish(target, "one")
    assert holds(target, "one")
    with replacing(target) as new:
        (new / "manifest.json").write_text(manifest("two"))
        assert holds(target, "one"), "nothing changes before the end"
    assert holds(target, "two")
    assert siblings(target) == ["out"]


def test_an_error_leaves_the_old(tmp_path: Path) -> None:
    publish(tmp_path / "out", "one")
    with pytest.raises(IsADirectoryError), replacing(tmp_path / "out") as new:
        new.write_text("two")
    assert holds(tmp_path / "out", "one")
    assert siblings(tmp_path / "out") == ["out"]


def test_what_is_not_ours_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_text("precious")
    (tmp_path / "file").write_text("precious")
    for name in ("photos", "file"):
        with pytest.raises(UsageError, match=name):
            publish(tmp_path / name, "one")
    assert (tmp_path / "photos" / "a.jpg").read_text() == "precious"
    for other in ('{"name": "an app"}', "[]", "no json"):
        (tmp_path / "photos" / "manifest.json").write_text(other)
        with pytest.raises(UsageError, match="not a dataset made by mimicit"):
            publish(tmp_path / "photos", "one")
    publish(tmp_path / "ours", "one")
    (tmp_path / "ours" / ".git").mkdir()
    with pytest.raises(UsageError, match=r"'\.git' in it is not mimicit's"):
        publish(tmp_path / "ours", "two")
    (tmp_path / "empty").mkdir()
    publish(tmp_path / "empty", "one")


def test_what_a_link_points_to_is_replaced_and_the_link_stays(tmp_path: Path) -> None:
    publish(tmp_path / "real", "one")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    publish(tmp_path / "link", "two")
    assert (tmp_path / "link").is_symlink()
    assert holds(tmp_path / "real", "two")


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
    assert holds(target, "one")
    publish(target, "two")
    assert len(siblings(target)) == 2, "only the running one's is left"
    assert holds(target, "two")
    running.kill()
    running.wait()
    for process in (killed, running):
        assert process.stdout is not None
        process.stdout.close()


def test_the_working_directory_is_not_pulled_from_under_the_shell(inside: Path) -> None:
    for target in (Path(), inside, inside.parent):
        with pytest.raises(UsageError, match="holds the working directory"):
            publish(target, "one")
    with pytest.raises(UsageError, match="cannot open a name"):
        publish(inside / "run[1]", "one")


def test_builds_of_one_target_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    script = textwrap.dedent("""
        import json, sys
        from pathlib import Path
        from mimicit.directory import replacing
        for number in range(40):
            with replacing(Path(sys.argv[1])) as new:
                text = json.dumps({"schema_version": "1.0", "files": {}, "text": number})
                (new / "manifest.json").write_text(text)
    """)
    target = tmp_path / "out"
    command = [sys.executable, "-c", script, str(target)]
    builds = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    for build in builds:
        _, errors = build.communicate(timeout=60)
        assert build.returncode == 0, errors
    assert siblings(target) == ["out"]


def test_where_nothing_can_be_exchanged_two_renames_do_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory, "_exchange", lambda _new, _target: False)  # as on NFS
    publish(tmp_path / "out", "one")
    publish(tmp_path / "out", "two")
    assert holds(tmp_path / "out", "two")
    assert siblings(tmp_path / "out") == ["out"]


@pytest.mark.slow
def test_a_reader_never_sees_anything_between(tmp_path: Path) -> None:
    target = tmp_path / "out"
    publish(target, "0" * 1000)
    watcher = textwrap.dedent("""
        import json, sys
        from pathlib import Path
        seen = set()
        while not (Path(sys.argv[1]).parent / "stop").exists():
            text = (Path(sys.argv[1]) / "manifest.json").read_text()
            text = json.loads(text)["text"]
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


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no UTF-8"), replacing(tmp_path / "\udcff"):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="syncfs(2) is Linux's")
@pytest.mark.parametrize(("many", "one_by_one"), [(10_000, True), (0, False)])
def test_files_are_brought_to_the_disk_one_by_one_or_all_at_once(
    many: int, one_by_one: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: set[int] = set()
    monkeypatch.setattr(directory, "MANY", many)
    monkeypatch.setattr(os, "fsync", lambda handle: synced.add(os.fstat(handle).st_ino))
    with replacing(tmp_path / "out") as staging:
        for number in range(3):
            (staging / str(number)).write_bytes(b"x")
    files = {path.stat().st_ino for path in (tmp_path / "out").iterdir()}
    assert len(files) == 3
    assert (files <= synced) == one_by_one
    assert bool(files & synced) == one_by_one
