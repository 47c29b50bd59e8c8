"""The journal's file: opening it anywhere, looking after it, and the commands that do so."""

import functools
import io
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import run_cli
from test_journal import asked, at_once, child, keep, keys, line, outputs, raw, said

from mimicit import journal_file, upkeep
from mimicit.errors import MimicitError, UsageError
from mimicit.journal import Journal
from mimicit.journal_file import file_system
from mimicit.schema import ImagePart, ImageRef, Message, Reply, Request

COLUMNS = f"SELECT {upkeep.COLUMNS} FROM replies ORDER BY key"
Network = Callable[[bool], None]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    """Say that files are on a network file system, or not."""
    return lambda is_so: monkeypatch.setattr(journal_file, "on_network", lambda _path: is_so)


def mode(path: Path) -> object:
    return raw(path, "PRAGMA journal_mode")[0][0]


# ------------------------------------------------------------------ opening


def test_a_newer_version_is_refused_with_the_way_over(path: Path) -> None:
    keep(path, 1)
    raw(path, "PRAGMA journal_mode=DELETE")
    raw(path, "PRAGMA user_version=9")
    before = path.read_bytes()
    for create in (True, False):
        with pytest.raises(UsageError, match=r"version 9.*mimicit journal export.*journal merge"):
            Journal(path, create=create)
    assert path.read_bytes() == before


def test_an_older_version_is_migrated_once_however_many_open_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(path, 1)
    script = "ALTER TABLE failures ADD COLUMN note TEXT; -- a remark; with a semicolon\n"
    monkeypatch.setattr(journal_file, "VERSION", 4)
    with pytest.raises(UsageError, match="version 2"):
        Journal(path)
    monkeypatch.setitem(journal_file.MIGRATIONS, 2, script)
    monkeypatch.setitem(journal_file.MIGRATIONS, 3, script.replace("note", "second"))
    at_once(8, lambda: Journal(path, create=False).close())
    with Journal(path) as journal:
        assert journal.get(asked(1).key) == said(1)
    assert raw(path, "PRAGMA user_version") == [(4,)]
    assert raw(path, "SELECT note, second FROM failures") == []


FOREIGN = {
    "text": b"a letter to somebody\n",
    "long text": b"a letter to somebody\n" * 1000,
    "picture": b"\x89PNG\r\n\x1a\n" + bytes(5000),
}


@pytest.mark.parametrize("create", [True, False])
@pytest.mark.parametrize("kind", [*FOREIGN, "tables", "application", "version"])
def test_a_file_of_others_is_refused_and_left_alone(path: Path, kind: str, create: bool) -> None:
    if kind in FOREIGN:
        path.write_bytes(FOREIGN[kind])
    else:
        raw(path, "CREATE TABLE precious (x)")
        if kind != "tables":
            raw(path, "DROP TABLE precious")
            raw(path, f"PRAGMA {'application_id' if kind == 'application' else 'user_version'}=7")
    before = path.read_bytes()
    with pytest.raises(UsageError, match=r"journal\.db.*not a journal; name another"):
        Journal(path, create=create)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_what_cannot_be_a_journal_is_named(path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no journal .*journal\.db.*--journal"):
        Journal(path, create=False)
    assert not path.exists()
    path.touch()
    with pytest.raises(UsageError, match="is empty, not a journal"):
        Journal(path, create=False)
    assert path.read_bytes() == b""
    keep(path, 1)  # as a process leaves it that is killed while it makes one
    for create in (True, False):
        with pytest.raises(UsageError, match="is a directory"):
            Journal(path.parent, create=create)
    with pytest.raises(MimicitError, match=r"cannot be opened|cannot make"):
        Journal(path / "below" / "journal.db")
    data = bytearray(path.read_bytes())
    data[40_000:] = os.urandom(len(data) - 40_000)
    path.write_bytes(data)
    with pytest.raises(MimicitError, match="is damaged; restore a backup"), Journal(path) as it:
        it.get(asked(1).key)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_that_cannot_be_written_is_named_and_a_backup_in_it_read(path: Path) -> None:
    keep(path.with_name("other.db"), 1)
    upkeep.backup(path.with_name("other.db"), path.with_name("backup.db"))
    path.with_name("backup.db").chmod(0o400)
    path.parent.chmod(0o500)
    try:
        assert upkeep.info(path.with_name("backup.db")).mode == "delete"
        with pytest.raises(MimicitError, match=r"journal\.db.*name another one with --journal"):
            Journal(path)
        with pytest.raises(UsageError, match="cannot make"):
            Journal(path.parent / "sub" / "journal.db")
    finally:
        path.parent.chmod(0o700)


def test_git_is_told_to_ignore_the_default_directory_only(tmp_path: Path) -> None:
    keep(tmp_path / "a" / ".mimicit" / "journal.db", 1)
    keep(tmp_path / "b" / "other" / "journal.db", 1)
    assert [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob(".gitignore")] == [
        "a/.mimicit/.gitignore"
    ]
    assert (tmp_path / "a" / ".mimicit" / ".gitignore").read_text() == "*\n"


# ------------------------------------------------------------------ where it lies

MOUNTS = r"""
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
23 22 0:21 / /proc rw,nosuid - proc proc rw
24 22 0:50 / /data rw,relatime shared:3 master:2 - nfs4 server:/export rw,vers=4.2
25 24 8:2 /scratch /data/scratch rw - xfs /dev/sdb2 rw
26 22 0:51 / /mnt/my\040share\134x rw - cifs //server/share rw
27 22 0:52 / /home/me/remote rw - fuse.sshfs me@server:/ rw
28 22 8:1 /srv /bind rw - ext4 /dev/sda1 rw
29 22 0:50 /sub /plain rw - nfs4 server:/export rw
30 29 8:3 / /plain rw - ext4 /dev/sda3 rw
31 22 8:4 / /over/below rw - ext4 /dev/sda4 rw
32 22 0:53 / /over rw - nfs server:/over rw
33 22 0:54 / /mnt/写真　共有 rw - nfs4 server:/photos rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    {
        "/": "ext4",
        "/home/me/j.db": "ext4",
        "/database/j.db": "ext4",
        "/data": "nfs4",
        "/data/a/b.db": "nfs4",
        "/data/scratch/b.db": "xfs",
        "/data/scratches/b.db": "nfs4",
        "/mnt/my share\\x/j.db": "cifs",
        "/home/me/remote/j.db": "fuse.sshfs",
        "/bind/j.db": "ext4",
        "/plain/j.db": "ext4",
        "/over/below/j.db": "nfs",
        "/mnt/写真　共有/j.db": "nfs4",  # a blank that Linux does not escape
    }.items(),
)
def test_the_file_system_of_a_path_is_found(path: str, kind: str) -> None:
    lines = MOUNTS.strip().splitlines()
    assert file_system(path, MOUNTS) == kind
    moved = [*lines[1:3], lines[0], *lines[3:]]  # the root comes late where it was moved there
    assert file_system(path, "\n".join(moved)) == kind
    network = {"ext4": False, "xfs": False, "overlay": False, "fuse.ntfs-3g": False, "nfsd": False}
    assert bool(journal_file.NETWORK.fullmatch(kind)) == network.get(kind, True)


def names(path: Path) -> list[str]:
    return sorted(p.name for p in path.parent.iterdir())


ON_NETWORK = """
    from mimicit import journal_file
    journal_file.on_network = lambda path: True
    ready()
    with Journal(path) as journal:
        for n in range(60):
            if journal.claim([asked(n).key]):
                journal.put(asked(n), said(n)).result()
                print(n, os.path.exists(f"{path}-shm"))
"""


def test_on_a_network_nothing_is_shared_but_the_file(path: Path, network: Network) -> None:
    keep(path, 1000)
    assert mode(path) == "wal"
    printed = "".join(outputs(*(child(ON_NETWORK, path) for _ in range(3)))).splitlines()
    assert sorted(printed) == sorted(f"{n} False" for n in range(60))
    assert mode(path) == "delete"
    network(True)
    with Journal(path) as journal:
        journal.put(asked(70), said(70)).result()
        assert journal._writer
        for database in (journal._database, journal._writer._database):
            assert database.execute("PRAGMA synchronous").fetchone() == (3,), "unlinking counts"
        assert names(path) == [path.name]
    network(False)
    with Journal(path) as journal:
        assert mode(path) == "wal"
        assert journal.claim(keys(*range(60), 70, 1000)) == set()


def test_many_may_switch_it_over_at_once(path: Path, network: Network) -> None:
    for number in range(14):
        is_so = number % 2 > 0
        new = path.parent / f"new {number}" / "journal.db"
        network(is_so)
        at_once(8, lambda: keep(path, 1))
        assert mode(path) == ("delete" if is_so else "wal")
        at_once(8, functools.partial(keep, new, 1))


def test_it_is_not_switched_under_a_process_that_uses_it(
    path: Path, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_file, "BUSY_SECONDS", 0.2)
    with Journal(path) as near:
        near.put(asked(1), said(1)).result()
        network(True)
        with pytest.raises(MimicitError, match=r"another process has kept it.*run again when"):
            Journal(path)
        assert mode(path) == "wal"
        near.put(asked(2), said(2)).result()
    with Journal(path) as far:
        far.claim(keys(3))
        network(False)
        keep(path, 4)
        assert mode(path) == "delete", "a build that holds claims may be on another machine"


# ------------------------------------------------------------------ what is in it


@pytest.mark.parametrize("pictures", [0, 20])
def test_it_grows_by_the_replies_and_little_more(path: Path, pictures: int) -> None:
    ref = ImageRef("LA_IMG_1", "/data/" + "deep/" * 50, "name" * 50)
    image = ImagePart("ab" * 32, 1024, ref)
    total = 0
    with Journal(path) as journal:
        for number in range(2000):
            message = Message("user", (f"question {number}", *[image] * pictures))
            request = Request("teacher", (message,))
            text = f"{number} " * (200 + number % 600)
            total += len(text)
            journal.put(request, Reply(request.key, text, "stop", "model", 3, 5))
    assert (
        path.stat().st_size < total + 2000 * 350 + 4 * journal_file.PAGE_BYTES
    )  # of tables that are empty
    assert names(path) == [path.name]


def test_nothing_of_a_request_gets_in_but_its_key(path: Path) -> None:
    ref = ImageRef("MARK", "/MARK", "MARK", licence="MARK")
    parts = ("MARK", ImagePart("MARK" * 16, 1024, ref))
    request = Request(
        "teacher", (Message("user", parts),), (("MARK", "MARK"),), '{"MARK": 1}', replicate=77
    )
    with Journal(path) as journal:
        journal.claim([request.key])
        journal.fail(request, "timeout", "too late")
        journal.put(request, Reply(request.key, "text", "stop", "model", 3, 5)).result()
        for file in path.parent.iterdir():
            assert b"MARK" not in file.read_bytes()
    ((key, *row),) = raw(path, COLUMNS)
    assert key == bytes.fromhex(request.key)
    assert row[:-1] == ["teacher", 77, "text", "stop", "model", 3, 5]


# ------------------------------------------------------------------ looking after it


@pytest.fixture
def full(path: Path) -> Path:
    """A journal with odd replies of two teachers, a failure, and a dead process's claim."""
    with Journal(path) as journal:
        for number, text in enumerate(["plain", "\ud800 half", "a\0b", "\u2028\n", ""]):
            request = Request(f"teacher {number % 2}", asked(number).messages, replicate=number)
            journal.put(request, Reply(request.key, text, f"\udfff{text}", text, number, 2**53))
        journal.fail(asked(99), "timeout", "too late")
    raw(path, "UPDATE replies SET at = 1000.1 * replicate")
    with child("Journal(path).claim([asked(8).key]); os._exit(0)", path) as process:
        process.wait()
    return path


def exported(path: Path) -> Path:
    target = path.with_suffix(".jsonl")
    with target.open("w") as out:
        upkeep.export(path, out)
    return target


def test_info_counts_what_is_there(full: Path) -> None:
    info = upkeep.info(full)
    assert (info.version, info.mode, info.failures, info.claims) == (2, "wal", {"timeout": 1}, 0)
    totals = [(t.teacher, t.replies, t.input_tokens, t.first, t.last) for t in info.teachers]
    assert totals == [("teacher 0", 3, 6, 0, 4000.4), ("teacher 1", 2, 4, 1000.1, 3000.3)]
    with Journal(full) as journal:
        journal.claim(keys(7, 8))
        assert upkeep.info(full).claims == 2


@pytest.mark.parametrize("kind", ["journal", "export"])
def test_all_of_it_can_be_taken_into_an_empty_journal(
    full: Path, tmp_path: Path, kind: str
) -> None:
    other = tmp_path / "other" / "journal.db"
    source = full if kind == "journal" else exported(full)
    assert upkeep.merge(other, [source]) == (5, 0)
    assert raw(other, COLUMNS) == raw(full, COLUMNS)
    assert upkeep.merge(other, [full, exported(full), other]) == (0, 15)
    assert raw(other, COLUMNS) == raw(full, COLUMNS)


def test_the_reply_that_is_here_stays(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    keep(path, 1)
    with Journal(other) as journal:
        journal.put(asked(1), said(1, "theirs"))
        journal.put(asked(2), said(2, "theirs"))
    assert upkeep.merge(path, [other]) == (1, 1)
    with Journal(path) as journal:
        assert [journal.get(key) for key in keys(1, 2)] == [said(1), said(2, "theirs")]


@pytest.mark.parametrize(
    "broken",
    ["{", "[]", "", '{"key": 1}', "text", "input_tokens=1" + "0" * 30, "at=NaN", "key=short"],
)
def test_a_broken_line_is_named_and_nothing_of_its_file_is_taken(
    full: Path, tmp_path: Path, broken: str
) -> None:
    other, export = tmp_path / "other.db", exported(full)
    lines = export.read_text().splitlines()
    name, equals, value = broken.partition("=")
    if equals:
        values = {"short": "ab", "NaN": float("nan")}
        changed = {**json.loads(lines[2]), name: values.get(value) or int(value)}
        broken = json.dumps(changed)
    export.write_text("\n".join([*lines[:2], broken, *lines[3:]]))
    keep(tmp_path / "first.db", 50)
    with pytest.raises(UsageError, match=r"journal\.jsonl', line 3: neither a journal nor"):
        upkeep.merge(other, [tmp_path / "first.db", export])
    assert raw(other, "SELECT key FROM replies") == [(bytes.fromhex(asked(50).key),)]


def test_a_build_can_commit_while_an_export_is_stuck(
    path: Path, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(path, *range(1200))
    monkeypatch.setattr(journal_file, "BUSY_SECONDS", 0.5)
    network(True)  # where a reader keeps others from writing
    with Journal(path) as journal, path.with_name("out").open("w") as out:

        class Stuck(io.StringIO):
            def write(self, text: str) -> int:
                if not out.tell():
                    journal.put(asked(5000), said(5000)).result()
                return out.write(text)

        assert upkeep.export(path, Stuck()) in (1200, 1201)


@pytest.mark.parametrize(
    ("teacher", "before", "left"),
    [
        (None, None, [0, 1, 2, 3, 4]),
        ("teacher 0", None, [1, 3]),
        (None, 2000.2, [2, 3, 4]),
        ("teacher 0", 2000.3, [1, 3, 4]),
        ("nobody", None, [0, 1, 2, 3, 4]),
    ],
)
def test_pruning_drops_what_is_named_and_only_when_told(
    full: Path, teacher: str | None, before: float | None, left: list[int]
) -> None:
    whole = raw(full, COLUMNS)
    counted = upkeep.prune(full, teacher=teacher, before=before)
    assert counted == (5 - len(left), 1)
    assert raw(full, COLUMNS) == whole
    assert upkeep.info(full).failures
    assert upkeep.prune(full, teacher=teacher, before=before, dry=False) == counted
    assert raw(full, COLUMNS) == [row for row in whole if row[2] in left]
    assert not upkeep.info(full).failures


WRITING = """
    with Journal(path) as journal:
        for n in range(10**6):
            journal.put(asked(n), said(n, "x" * 20_000)).result()
            print(n, flush=True)
"""


def test_a_backup_while_a_build_writes_is_whole(path: Path, tmp_path: Path) -> None:
    with child(WRITING, path) as process:
        counts = []
        for number in range(4):
            last = [int(line(process)) for _ in range(50)][-1]
            target = tmp_path / "backups" / f"{number}.db"
            target.parent.mkdir(exist_ok=True)
            counts.append(upkeep.backup(path, target))
            assert counts[-1] > last
        process.kill()
    assert names(target) == ["0.db", "1.db", "2.db", "3.db"]
    for number, count in enumerate(counts):
        copy = target.with_name(f"{number}.db")
        assert raw(copy, "PRAGMA integrity_check") == [("ok",)]
        with Journal(copy, create=False) as journal:
            assert journal.claim(keys(*range(count + 1))) == {asked(count).key}


def test_a_backup_replaces_nothing_and_names_what_is_wrong(full: Path, tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("precious")
    with pytest.raises(UsageError, match=r"precious' exists; name a new file"):
        upkeep.backup(full, target)
    assert target.read_text() == "precious"
    with pytest.raises(UsageError, match=r"no directory .*nowhere"):
        upkeep.backup(full, tmp_path / "nowhere" / "copy.db")
    with pytest.raises(UsageError, match="there is no journal"):
        upkeep.backup(tmp_path / "nothing.db", tmp_path / "copy.db")
    assert not list(tmp_path.glob("*copy*"))


def test_an_interrupted_backup_leaves_nothing_behind(path: Path, tmp_path: Path) -> None:
    keep(path, 1)
    script = """
    import threading
    from mimicit import upkeep
    def look():
        while not list(path.parent.glob("*/.*.partial")):
            pass
        os.kill(os.getpid(), signal.SIGINT)
    threading.Thread(target=look, daemon=True).start()
    ready()
    upkeep.backup(path, path.parent / "backups" / "copy.db")
    """
    with Journal(path) as journal:
        for number in range(200):
            journal.put(asked(number), said(number, "x" * 100_000))
    (tmp_path / "backups").mkdir()
    with child(script, path) as process:
        _, errors = process.communicate("go\n")
    assert "KeyboardInterrupt" in errors
    assert list((tmp_path / "backups").iterdir()) == []


# ------------------------------------------------------------------ the commands


def mimicit(*words: object, cwd: Path, code: int = 0, **environment: str) -> str:
    found = run_cli("journal", *words, cwd=cwd, **environment)
    assert found.returncode == code, found
    assert "Traceback" not in found.stderr
    return found.stdout + found.stderr


def test_the_commands_find_the_journal_and_say_what_they_did(tmp_path: Path) -> None:
    keep(tmp_path / ".mimicit" / "journal.db", 1, 2)
    keep(tmp_path / "named.db", 3)
    assert "teacher: 2 replies, 6 tokens in, 10 out" in mimicit("info", cwd=tmp_path)
    assert "teacher: 1 replies" in mimicit("info", cwd=tmp_path, MIMICIT_JOURNAL="named.db")
    mimicit("export", "out.jsonl", "--journal", "named.db", cwd=tmp_path, MIMICIT_JOURNAL="x")
    assert json.loads((tmp_path / "out.jsonl").read_text())["key"] == asked(3).key
    assert mimicit("export", "--journal", "named.db", cwd=tmp_path).encode() == (
        (tmp_path / "out.jsonl").read_bytes()
    )
    merged = mimicit("merge", "out.jsonl", "named.db", cwd=tmp_path)
    assert merged == "1 replies are new, 1 were here\n"
    assert mimicit("backup", "copy.db", cwd=tmp_path) == "copy.db: 3 replies\n"
    prune = ["prune", "--teacher", "teacher", "--before", "2999-01-01"]
    assert "3 replies and 0 logged failures would be dropped" in mimicit(*prune, cwd=tmp_path)
    assert "3 replies and 0 logged failures dropped" in mimicit(*prune, "--yes", cwd=tmp_path)
    assert "no replies" in mimicit("info", cwd=tmp_path)
    assert "teacher: 3 replies" in mimicit("info", "--journal", "copy.db", cwd=tmp_path)


def test_the_commands_say_what_is_wrong(tmp_path: Path) -> None:
    keep(tmp_path / "here.db", 1)
    (tmp_path / "letter").write_text("a letter")
    for words, message in {
        "info": "there is no journal '.mimicit/journal.db'",
        "info --journal letter": "'letter' is not a journal",
        "info --journal .": "'.' is a directory",
        "merge letter --journal here.db": "'letter', line 1: neither a journal nor an export",
        "merge nowhere --journal here.db": "no file 'nowhere' to merge",
        "export letter --journal here.db": "'letter' exists",
        "backup letter --journal here.db": "'letter' exists",
        "prune --before soon --journal here.db": "--before takes a day as YYYY-MM-DD, not 'soon'",
    }.items():
        assert message in mimicit(*shlex.split(words), cwd=tmp_path, code=2)
    assert names(tmp_path / "here.db") == ["here.db", "letter"]


def test_a_reader_that_has_seen_enough_may_leave(path: Path) -> None:
    with Journal(path) as journal:
        for number in range(2000):
            journal.put(asked(number), said(number, "x" * 500))
    command = [sys.executable, "-m", "mimicit", "journal", "export", "--journal", str(path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        assert line(process).startswith('{"key"')
        assert process.stdout
        process.stdout.close()
        assert process.stderr
        assert process.stderr.read() == ""
