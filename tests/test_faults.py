"""Builds on disks that are full or read-only, side by side, killed and stopped, and read meanwhile.

Every build is a process of its own, and every fault is real. Most builds are forked from one
process that has imported everything, so that each takes a tenth of a second; where the system has
mount namespaces it lives in one of its own, in which it mounts small disks.
"""

import contextlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import KEY, Coco, contents
from PIL import Image

from mimicit.testing import FakeTeacher
from mimicit.validate import find_problems

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals and limits")

SLOW = pytest.mark.slow

MANIFEST = "manifest.json"

PAGE = 4096
"""What a small disk is counted in."""

FORKING = """
    import ctypes, json, os, resource, signal, subprocess, sys, traceback
    import pyarrow, pyarrow.compute
    from mimicit import cli, nouns, pipeline
    from mimicit.teachers import openai
    nouns.words_for("dog")  # both import what takes longest
    pyarrow.array(["dog"])

    def build(order):
        signal.alarm(120)  # one that hangs has failed
        signal.signal(signal.SIGINT, signal.default_int_handler)
        said = os.open(order["said"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(said, 1)
        os.dup2(said, 2)
        if sys.platform == "linux":  # capset(2): rights count, though the user may be root
            ctypes.CDLL(None).capset((ctypes.c_uint32 * 2)(0x20080522), (ctypes.c_uint32 * 6)())
        os.environ.clear()
        os.environ.update(order["environment"])
        if order["largest"]:
            resource.setrlimit(resource.RLIMIT_FSIZE, (order["largest"],) * 2)
        sys.argv = ["mimicit", *order["arguments"]]
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code or 0
        except BaseException:
            traceback.print_exc()
            code = 99
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

    def wait(pid, flags):
        found, status = os.waitpid(pid, flags)
        if not found or os.WIFSTOPPED(status):
            return None
        return os.waitstatus_to_exitcode(status)

    print("null", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        if "command" in order:
            done = subprocess.run(order["command"], capture_output=True, text=True)
            answer = done.stderr if done.returncode else None
        elif "pid" in order:
            answer = wait(order["pid"], order["flags"])
        else:
            answer = os.fork() or build(order)
        print(json.dumps(answer), flush=True)
"""


def namespaces_work() -> bool:
    """Try whether this user gets a mount namespace, and may mount a disk in it."""
    command = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/tmp"]
    try:
        return not subprocess.run(command, check=False, capture_output=True, timeout=30).returncode
    except (OSError, subprocess.TimeoutExpired):
        return False


class Build:
    """A build under way."""

    def __init__(self, host: "Host", pid: int, notes: Path) -> None:
        self._host, self._pid, self._notes = host, pid, notes
        self._code: int | None = None

    def wait(self, flags: int = 0) -> int | None:
        """Give the exit code; None if it has not ended, where the flags tell not to wait for it."""
        if self._code is None:
            self._code = self._host.ask(pid=self._pid, flags=flags)
        return self._code

    def send(self, number: signal.Signals) -> None:
        assert self._code is None, "its number may be another process's"
        os.kill(self._pid, number)

    def freeze(self, when: Callable[[], bool]) -> bool:
        """Suspend it once something holds; False if it has ended before."""
        while not when():
            if self.wait(os.WNOHANG) is not None:
                return False
        self.send(signal.SIGSTOP)
        return self.wait(os.WUNTRACED) is None

    @property
    def said(self) -> str:
        return self._notes.read_text()

    def succeeds(self) -> None:
        assert self.wait() == 0, self.said

    def fails(self, why: str, code: int | None = None) -> None:
        """Check that it ends with one line, which says why."""
        ended = self.wait()
        assert ended in ({code} if code else {1, 2, 3, 6}), self.said
        assert not [text for text in ("Traceback", "Exception ignored") if text in self.said]
        lines = self.said.splitlines()
        assert [line for line in lines if line.startswith("mimicit: ")] == lines[-1:], self.said
        assert why in lines[-1]


class Host:
    """Begins builds; mounts disks that only they see."""

    def __init__(self, notes: Path) -> None:
        self.mounts = namespaces_work()
        alone = ["unshare", "-rm"]
        self._notes = notes
        self._builds: list[Build] = []
        self.process = subprocess.Popen(
            [*(alone if self.mounts else []), sys.executable, "-c", textwrap.dedent(FORKING)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answer()

    def ask(self, **order: object) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def run(self, *command: str | Path) -> None:
        assert self.ask(command=[str(part) for part in command]) is None

    def build(self, out: Path, *more: str, largest: int = 0, **environment: str) -> Build:
        """Begin one; three scenes of the sample, unless it is told otherwise."""
        said = self._notes / f"{len(self._builds)}.txt"
        if "--root" not in more:
            more = ("--sample", "--limit", "3", *more)
        arguments = ["build", "--source", "coco", "--out", str(out), *more]
        settings = {**os.environ, **environment}
        pid = self.ask(arguments=arguments, said=str(said), environment=settings, largest=largest)
        self._builds.append(Build(self, pid, said))
        return self._builds[-1]

    def close(self) -> None:
        """End whatever a test that failed has left behind."""
        for build in self._builds:
            if build.wait(os.WNOHANG) is None:
                build.send(signal.SIGKILL)
                build.wait()
        self.process.communicate()  # it ends with its input

    def seen(self, path: Path) -> Path:
        """Say under which name others see a file of the host's disks."""
        return Path(f"/proc/{self.process.pid}/root{path}") if self.mounts else path


class Disk:
    """A small disk of its own."""

    def __init__(self, host: Host, path: Path, options: str) -> None:
        path.mkdir(exist_ok=True)
        self.path, self._host = path, host
        host.run("mount", "-t", "tmpfs", "-o", options, "tmpfs", path)

    def remount(self, options: str) -> None:
        self._host.run("mount", "-o", f"remount,{options}", self.path)

    def contents(self, name: str) -> dict[str, bytes]:
        return contents(self._host.seen(self.path / name))

    def names(self) -> list[str]:
        return names(self._host.seen(self.path))


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    host = Host(tmp_path_factory.mktemp("said"))
    yield host
    host.close()


@pytest.fixture
def mount(host: Host, tmp_path: Path) -> Iterator[Callable[[str], Disk]]:
    """Mount a disk with the given options."""
    if not host.mounts:
        pytest.skip("this system or user has no mount namespaces (unshare -rm)")
    disks: list[Disk] = []

    def make(options: str) -> Disk:
        disks.append(Disk(host, tmp_path / f"disk{len(disks)}", options))
        return disks[-1]

    yield make
    for disk in disks:
        host.run("umount", "-l", disk.path)


Mount = Callable[[str], Disk]


@pytest.fixture(scope="module")
def made(
    host: Host, media_cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[int, Path]:
    """Three datasets that differ, by their seeds, built without any disturbance."""
    folder = tmp_path_factory.mktemp("made")
    for seed in (0, 1, 2):
        out = folder / str(seed)
        host.build(out, "--seed", str(seed), MIMICIT_MEDIA=str(media_cache)).succeeds()
    return {seed: folder / str(seed) for seed in (0, 1, 2)}


def pages(directory: Path) -> int:
    """Count the pages of a disk that a dataset takes."""
    return sum(-(-len(data) // PAGE) for data in contents(directory).values())


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


# ------------------------------------------------------------------ a full disk


def fill_up(host: Host, disk: Disk, made: dict[int, Path], options: str, enough: str) -> None:
    """Build where there is not enough of something, and again where there is."""
    host.run("cp", "-r", made[0], disk.path / "out")
    disk.remount(options)
    host.build(disk.path / "out", "--seed", "1").fails("No space left on device")
    assert disk.contents("out") == contents(made[0])
    assert disk.names() == ["out"]
    disk.remount(enough)
    host.build(disk.path / "out", "--seed", "1").succeeds()
    assert disk.contents("out") == contents(made[1])
    assert disk.names() == ["out"]


@pytest.mark.parametrize("missing", [1, 20, pytest.param(0, marks=SLOW)])
def test_a_full_disk_leaves_the_old_dataset(
    missing: int, host: Host, mount: Mount, made: dict[int, Path]
) -> None:
    needed = pages(made[1])
    old = pages(made[0])
    # The last pages are the card's and the manifest's; 0 stands for every number that there is.
    for short in [missing] if missing else range(1, needed + 1):
        size = f"size={PAGE * (old + needed - short)}"
        fill_up(host, mount("size=4m"), made, size, "size=4m")


@pytest.mark.parametrize("more", [pytest.param(0, marks=SLOW), 2])
def test_a_disk_that_takes_no_more_files_leaves_the_old_dataset(
    more: int, host: Host, mount: Mount, made: dict[int, Path]
) -> None:
    used = 2 + sum(1 for _ in made[0].rglob("*"))  # with the directory and the one above it
    fill_up(host, mount("size=4m"), made, f"nr_inodes={used + more}", "nr_inodes=1000")


def test_a_disk_too_full_for_a_first_dataset_stays_empty(
    host: Host, mount: Mount, made: dict[int, Path]
) -> None:
    disk = mount(f"size={20 * PAGE}")
    host.build(disk.path / "deep" / "out").fails("No space left on device")
    assert disk.names() == []


@pytest.mark.parametrize("largest", [pytest.param(6_000, marks=SLOW), 100_000])
def test_a_limit_on_files_leaves_the_old_dataset(
    largest: int, host: Host, tmp_path: Path, made: dict[int, Path]
) -> None:
    out = tmp_path / "out"
    shutil.copytree(made[0], out)
    host.build(out, "--seed", "1", largest=largest).fails("File too large")
    assert contents(out) == contents(made[0])
    assert names(tmp_path) == ["out"]
    host.build(out, "--seed", "1").succeeds()
    assert contents(out) == contents(made[1])


@SLOW
def test_a_media_cache_on_a_full_disk_is_done_without(
    host: Host, mount: Mount, tmp_path: Path, made: dict[int, Path]
) -> None:
    disk = mount(f"size={2 * PAGE}")
    host.build(tmp_path / "out", "--media-cache", str(disk.path)).succeeds()
    assert contents(tmp_path / "out") == contents(made[0])


# ------------------------------------------------------------------ read-only


def test_a_read_only_disk_is_named_and_left_alone(
    host: Host, mount: Mount, made: dict[int, Path]
) -> None:
    disk = mount("size=4m")
    host.run("cp", "-r", made[0], disk.path / "out")
    disk.remount("ro")
    for name in ("out", "other", "deep/out"):
        build = host.build(disk.path / name, "--seed", "1")
        build.fails(str(disk.path), code=2)
    assert disk.contents("out") == contents(made[0])
    assert disk.names() == ["out"]


def test_a_mount_point_is_refused_before_anything_is_built(host: Host, mount: Mount) -> None:
    """As where a container is given its output directory as a volume."""
    disk = mount("size=4m")
    build = host.build(disk.path)
    build.fails("is a mount point", code=2)
    assert "assemble" not in build.said
    assert disk.names() == []
    host.build(disk.path / "out").succeeds()


def test_a_directory_mounted_read_only_is_left_alone(
    host: Host, mount: Mount, made: dict[int, Path]
) -> None:
    disk = mount("size=4m")
    host.run("cp", "-r", made[0], disk.path / "out")
    host.run("mount", "--bind", disk.path / "out", disk.path / "out")
    host.build(disk.path / "out", "--seed", "1").fails("cannot be replaced", code=2)
    host.run("mount", "-o", "remount,bind,ro", disk.path / "out")
    build = host.build(disk.path / "out", "--seed", "1")
    build.fails("write-protected", code=2)
    assert "assemble" not in build.said
    assert disk.contents("out") == contents(made[0])
    assert disk.names() == ["out"]


@SLOW
def test_a_dataset_of_a_lower_layer_is_left_alone(
    host: Host, mount: Mount, made: dict[int, Path]
) -> None:
    """As where a container's image brings the dataset."""
    disk = mount("size=4m")
    for name in ("lower", "upper", "work", "merged"):
        host.run("mkdir", disk.path / name)
    host.run("cp", "-r", made[0], disk.path / "lower" / "out")
    layers = ",".join(f"{name}dir={disk.path / name}" for name in ("lower", "upper", "work"))
    options = f"userxattr,{layers}"
    command = ["mount", "-t", "overlay", "overlay", "-o", options, str(disk.path / "merged")]
    if host.ask(command=command):
        pytest.skip("this system or user has no overlay file systems")
    merged = disk.path / "merged"
    build = host.build(merged / "out", "--seed", "1")
    if build.wait():  # a system that redirects directories lets it be replaced
        build.fails("cannot be replaced", code=2)
    assert disk.contents("merged/out") == contents(made[1] if not build.wait() else made[0])
    assert names(host.seen(merged)) == ["out"]
    host.build(merged / "other", "--seed", "1").succeeds()
    host.build(merged / "other").succeeds()
    assert disk.contents("merged/other") == contents(made[0])


@pytest.mark.skipif(
    os.name == "posix" and os.geteuid() == 0 and sys.platform != "linux",
    reason="this user may write everywhere",
)
@pytest.mark.parametrize("protected", [".", "out", pytest.param("out/images", marks=SLOW)])
def test_a_directory_without_the_right_to_write_is_left_alone(
    protected: str, host: Host, tmp_path: Path, made: dict[int, Path]
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    shutil.copytree(made[0], folder / "out")
    (folder / protected).chmod(0o555)
    try:
        host.build(folder / "out", "--seed", "1").fails(str(folder), code=2)
        assert contents(folder / "out") == contents(made[0])
        assert names(folder) == ["out"]
    finally:
        (folder / protected).chmod(0o755)
    host.build(folder / "out", "--seed", "1").succeeds()
    assert names(folder) == ["out"]


@SLOW
def test_a_read_only_media_cache_is_done_without(
    host: Host, mount: Mount, tmp_path: Path, made: dict[int, Path]
) -> None:
    disk = mount("size=4m,ro")
    host.build(tmp_path / "out", "--media-cache", str(disk.path / "media")).succeeds()
    assert contents(tmp_path / "out") == contents(made[0])


def test_a_link_that_leads_nowhere_is_refused(host: Host, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    host.build(tmp_path / "loop").fails("a link that leads nowhere", code=2)


# ------------------------------------------------------------------ the journal


@pytest.fixture
def many(coco: Coco) -> Path:
    """Forty pictures, unchanged for long, so that what is known of them is kept."""
    for number in range(40):
        coco.picture(number, size=(40, 30)).caption(number, f"A cat and {number} dogs.")
        os.utime(coco.root / "tiny" / f"{number}.jpg", (1_700_000_000, 1_700_000_000))
    return coco.write()


class Paid:
    """Builds that ask a teacher, and what they asked for."""

    def __init__(self, host: Host, server: FakeTeacher, *source: str) -> None:
        self._host, self.server, self._source = host, server, source

    def build(self, out: Path, journal: Path, *more: str) -> Build:
        options = (*self._source, "--teacher", "openai", "--model", "fake", "--no-vision")
        return self._host.build(
            out,
            *(*options, "--concurrency", "4", *more),
            MIMICIT_JOURNAL=str(journal),
            OPENAI_BASE_URL=self.server.base_url,
            OPENAI_API_KEY=KEY,
        )

    def kept(self, journal: Path) -> int:
        """Count the replies in a journal that nobody is using, with what its log has."""
        with tempfile.TemporaryDirectory() as folder:  # SQLite finds no file of another namespace
            for path in self._host.seen(journal.parent).glob(f"{journal.name}*"):
                shutil.copy(path, folder)
            with contextlib.closing(sqlite3.connect(Path(folder) / journal.name)) as database:
                (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
                rows = database.execute("SELECT count(*) FROM replies") if tables else [(0,)]
                return int(next(iter(rows))[0])


REQUESTS = 60


@pytest.fixture
def paid(host: Host, teacher: FakeTeacher) -> Paid:
    return Paid(host, teacher, "--replicates", str(REQUESTS // 3))


@pytest.mark.parametrize("room", [130, *(pytest.param(room, marks=SLOW) for room in (0, 90, 170))])
def test_a_journal_on_a_full_disk_keeps_what_was_committed(
    room: int, paid: Paid, mount: Mount, tmp_path: Path, made: dict[int, Path]
) -> None:
    disk = mount(f"size={max(room, 1) * PAGE}")
    journal = disk.path / "journal.db"
    shutil.copytree(made[0], tmp_path / "out")
    paid.build(tmp_path / "out", journal).fails(repr(str(journal)))
    assert contents(tmp_path / "out") == contents(made[0])
    assert names(tmp_path) == ["disk0", "out"]
    disk.remount("size=4m")
    lost = paid.server.count - paid.kept(journal)
    assert lost <= 4 + 1, "what was under way, and a reply on its way to the disk"
    paid.build(tmp_path / "out", journal).succeeds()
    assert paid.server.count == REQUESTS + lost
    paid.build(tmp_path / "wanted", tmp_path / "other.db").succeeds()
    assert contents(tmp_path / "out") == contents(tmp_path / "wanted")


def test_a_read_only_journal_is_named_before_anything_is_asked(
    paid: Paid, mount: Mount, tmp_path: Path
) -> None:
    disk = mount("size=4m")
    journal = disk.path / "journal.db"
    paid.build(tmp_path / "out", journal, "--limit", "2").succeeds()
    before = contents(tmp_path / "out"), paid.server.count
    disk.remount("ro")
    paid.build(tmp_path / "out", journal).fails(repr(str(journal)))
    paid.build(tmp_path / "out", disk.path / "other.db").fails(str(disk.path))
    assert (contents(tmp_path / "out"), paid.server.count) == before
    assert names(tmp_path) == ["disk0", "out"]
    assert disk.names() == ["journal.db"]
    paid.build(tmp_path / "again", journal, "--limit", "2", "--no-calls").succeeds()
    assert (contents(tmp_path / "again"), paid.server.count) == before


# ------------------------------------------------------------------ several at once


@pytest.mark.parametrize("rounds", [1, pytest.param(10, marks=SLOW)])
def test_builds_of_one_directory_at_once_leave_one_of_them(
    rounds: int, host: Host, tmp_path: Path, made: dict[int, Path]
) -> None:
    for _ in range(rounds):
        builds = [host.build(tmp_path / "out", "--seed", str(seed)) for seed in made]
        for build in builds:
            build.succeeds()
        assert contents(tmp_path / "out") in [contents(out) for out in made.values()]
        assert find_problems(tmp_path / "out") == []
        assert names(tmp_path) == ["out"]


@pytest.mark.slow
def test_builds_that_fail_take_no_parents_away_from_others(tmp_path: Path) -> None:
    script = textwrap.dedent("""
        import json, sys
        from pathlib import Path
        from mimicit.directory import replacing
        for number in range(150):
            try:
                with replacing(Path(sys.argv[1])):
                    raise KeyError
            except KeyError:
                pass
    """)
    command = [sys.executable, "-c", script, str(tmp_path / "rather" / "deep" / "out")]
    builds = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    for build in builds:
        _, errors = build.communicate(timeout=60)
        assert build.returncode == 0, errors
    # Parents that one made for itself and others used meanwhile may stay, empty.
    assert all(path.name in {"rather", "deep"} for path in tmp_path.rglob("*"))


@SLOW
def test_a_build_beside_others_that_are_killed(tmp_path: Path, made: dict[int, Path]) -> None:
    moments = random.Random(3)
    whole = [contents(out) for out in made.values()]
    for _ in range(3):
        options = ["build", "--source", "coco", "--sample", "--limit", "3", "--out", "out"]
        builds = [
            subprocess.Popen(
                [sys.executable, "-m", "mimicit", *options, "--seed", str(seed)],
                cwd=tmp_path,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            )
            for seed in made
        ]
        time.sleep(moments.uniform(1, 8))
        builds[0].kill()
        said = [build.communicate(timeout=120)[1] for build in builds]
        assert [build.returncode for build in builds[1:]] == [0, 0], said
        assert contents(tmp_path / "out") in whole
        assert find_problems(tmp_path / "out") == []
    last = [sys.executable, "-m", "mimicit", *options]
    subprocess.run(last, cwd=tmp_path, check=True, capture_output=True)
    assert contents(tmp_path / "out") == whole[0]
    assert names(tmp_path) == ["out"]


# ------------------------------------------------------------------ killed and stopped


def begun(out: Path, name: str) -> Callable[[], bool]:
    """Tell whether a file of a build has appeared, which others do not see yet."""
    return lambda: any(out.parent.glob(f".{out.name}.building-*/{name}"))


def touched(out: Path) -> Callable[[], bool]:
    """Tell whether a dataset has been taken from its place, or anything out of it."""
    manifest = out / MANIFEST
    before = manifest.stat().st_ino

    def gone() -> bool:
        try:
            return manifest.stat().st_ino != before
        except FileNotFoundError:
            return True

    return gone


@pytest.mark.parametrize("rounds", [4, pytest.param(60, marks=SLOW)])
def test_a_kill_at_any_moment_leaves_a_whole_dataset(
    rounds: int, host: Host, tmp_path: Path, made: dict[int, Path]
) -> None:
    out, moments = tmp_path / "out", random.Random(rounds)
    shutil.copytree(made[0], out)
    whole = [contents(each) for each in made.values()]
    for number in range(rounds):
        build = host.build(out, "--seed", str(1 + number % 2))
        moment = [touched(out), *map(begun, [out] * 3, ("spool.arrow", "README.md", MANIFEST))]
        if build.freeze(moment[number % 4]):
            assert contents(out) in whole
            build.send(signal.SIGCONT)
            time.sleep(moments.choice([0, moments.uniform(0, 0.02)]))
            build.send(signal.SIGKILL)
        assert build.wait() in {-signal.SIGKILL, 0}
        assert contents(out) in whole
    host.build(out, "--seed", "1").succeeds()
    assert contents(out) == contents(made[1])
    assert names(tmp_path) == ["out"]


def test_a_dataset_that_a_kill_left_between_two_renames_comes_back(
    host: Host, tmp_path: Path, made: dict[int, Path]
) -> None:
    """As a file system leaves it on which two directories cannot be exchanged at once."""
    shutil.copytree(made[0], tmp_path / ".out.replaced-0123abcd")
    shutil.copytree(made[1], tmp_path / ".out.replaced-precious")
    host.build(tmp_path / "out", "--seed", "1", largest=100_000).fails("File too large")
    assert contents(tmp_path / "out") == contents(made[0])
    assert names(tmp_path) == [".out.replaced-precious", "out"]


@SLOW
def test_paid_builds_that_are_killed_pay_once_and_end_the_same(
    host: Host, many: Path, tmp_path: Path
) -> None:
    moments = random.Random(8)
    journal, out = tmp_path / "journal.db", tmp_path / "out"
    with FakeTeacher(latency=0.03) as server:
        paid = Paid(host, server, "--root", str(many))
        kills = 0
        while not journal.exists() or paid.kept(journal) < 40:
            build = paid.build(out, journal)
            aim = server.count + moments.randint(3, 12)
            build.freeze(lambda aim=aim: server.count >= aim)  # type: ignore[misc]
            if build.wait(os.WNOHANG) is None:
                build.send(signal.SIGKILL)
            build.wait()
            kills += 1
            assert not out.exists() or find_problems(out) == []
        assert server.count <= 40 + 5 * kills, "what was under way, or on its way to the disk"
        asked = server.count
        for name in ("spool.arrow", MANIFEST) * 5:
            build = paid.build(out, journal)
            if build.freeze(begun(out, name)):
                build.send(signal.SIGCONT)
                time.sleep(moments.uniform(0, 0.01))
                build.send(signal.SIGKILL)
            build.wait()
            assert not out.exists() or find_problems(out) == []
        paid.build(out, journal).succeeds()
        assert server.count == asked
        paid.build(tmp_path / "wanted", tmp_path / "other.db").succeeds()
    assert contents(out) == contents(tmp_path / "wanted")
    assert [name for name in names(tmp_path) if "building" in name] == []


@pytest.mark.parametrize(
    ("sent", "at"),
    [
        (signal.SIGINT, "spool.arrow"),
        (signal.SIGTERM, "README.md"),
        pytest.param(signal.SIGINT, "README.md", marks=SLOW),
        pytest.param(signal.SIGTERM, "spool.arrow", marks=SLOW),
    ],
)
def test_a_build_that_is_stopped_leaves_the_old_dataset(
    sent: signal.Signals, at: str, host: Host, tmp_path: Path, made: dict[int, Path]
) -> None:
    out = tmp_path / "out"
    shutil.copytree(made[0], out)
    build = host.build(out, "--seed", "1")
    while not (build.freeze(begun(out, at)) and begun(out, at)()):
        build = host.build(out, "--seed", "1")  # it was too fast
    before = contents(out)
    build.send(sent)
    build.send(signal.SIGCONT)
    assert build.wait() == 130, build.said
    assert "what was there before is untouched" in build.said
    assert "Traceback" not in build.said
    assert contents(out) == before
    assert names(tmp_path) == ["out"]


@pytest.mark.slow
def test_a_stop_that_comes_too_late_does_not_claim_to_have_come_in_time(
    host: Host, tmp_path: Path, made: dict[int, Path]
) -> None:
    out = tmp_path / "out"
    for _ in range(10):
        (out / "links").mkdir(parents=True, exist_ok=True)
        for number in range(1000):  # what takes a while to remove
            (out / "links" / str(number)).touch()
        manifest = {"schema_version": "1.0", "files": dict.fromkeys(["links/0", *names(made[0])])}
        (out / MANIFEST).write_text(json.dumps(manifest))
        build = host.build(out, "--seed", "1")
        if build.freeze(touched(out)) and begun(out, "links")():
            break
    else:
        pytest.fail("the old dataset is removed too fast to be stopped at it")
    build.send(signal.SIGINT)
    build.send(signal.SIGCONT)
    build.succeeds()
    assert contents(out) == contents(made[1])
    assert names(tmp_path) == ["out"]


# ------------------------------------------------------------------ read meanwhile

READING = """
    import random, re, sys
    from pathlib import Path
    import mimicit
    from mimicit.errors import SourceError

    def colour(example):
        red, _, blue = example.images[0].convert("RGB").resize((1, 1)).getpixel((0, 0))
        shown = "red" if red > blue else "blue"
        said = set(re.findall("red|blue", f"{example.instruction} {example.answer}".lower()))
        assert said <= {shown}, f"{said} in {example.id}, and its picture is {shown}"
        return shown

    def read(out):
        dataset = mimicit.load(out)
        store = mimicit.ImageStore.open(out)
        places = [0, len(dataset) - 1, *random.choices(range(len(dataset)), k=4)]
        examples = [dataset[place] for place in places]
        seen = {colour(each) for example in examples for each in (example, *example.context)}
        assert len(seen) == 1, seen
        assert len({len(store.read(name)) for name in store}) >= 1
        return seen.pop()

    out, stop = Path(sys.argv[1]), Path(sys.argv[1]).parent / "stop"
    counts = {"red": 0, "blue": 0, "replaced": 0}
    while not stop.exists():
        try:
            counts[read(out)] += 1
        except SourceError as error:
            assert str(error)
            counts["replaced"] += 1
    print(counts["red"], counts["blue"], counts["replaced"])
"""

WRITING = """
    import shutil, sys
    from pathlib import Path
    from mimicit.directory import replacing
    out = Path(sys.argv[1])
    for number in range(int(sys.argv[2])):
        with replacing(out) as new:
            shutil.copytree(out.parent / ("red", "blue")[number % 2], new, dirs_exist_ok=True)
"""


def paint(coco: Coco, colour: tuple[int, int, int], word: str) -> Path:
    """Make a source of squares of one colour, which its captions name."""
    for number in range(8):
        coco.picture(number, size=(64, 64)).caption(number, f"A {word} square with {number} dots.")
        speckle = Image.effect_noise((64, 64), 20 + number).convert("RGB")
        square = Image.blend(Image.new("RGB", (64, 64), colour), speckle, 0.2)
        square.save(coco.root / "tiny" / f"{number}.jpg", quality=60 + 3 * number)
    return coco.write()


@SLOW
def test_a_reader_gets_one_dataset_or_is_told_that_it_was_replaced(
    host: Host, tmp_path: Path
) -> None:
    for word, colour in (("red", (200, 0, 0)), ("blue", (0, 0, 200))):
        root = paint(Coco(tmp_path / f"{word}-source"), colour, word)
        host.build(tmp_path / word, "--root", str(root)).succeeds()
    host.build(tmp_path / "out", "--root", str(tmp_path / "red-source")).succeeds()
    reading, writing = (
        [sys.executable, "-c", textwrap.dedent(text), str(tmp_path / "out")]
        for text in (READING, WRITING)
    )
    with subprocess.Popen(
        reading, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as reader:
        subprocess.run([*writing, "200"], check=True, timeout=300)
        (tmp_path / "stop").touch()
        counts, errors = reader.communicate(timeout=60)
    assert reader.returncode == 0, errors
    red, blue, _ = map(int, counts.split())
    assert min(red, blue) > 0
    assert find_problems(tmp_path / "out") == []
