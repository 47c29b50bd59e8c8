"""The journal's file: an SQLite database, its tables, its version, and how it is opened safely.

Replies are committed with `synchronous=FULL`, so that what counts as kept survives a power cut.
On a local disk the database keeps a write-ahead log, under which builds read and write at once;
that log needs memory shared between processes, which network file systems do not have
(https://www.sqlite.org/wal.html), so there it keeps a rollback journal instead.
"""

import contextlib
import os
import random
import re
import sqlite3
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from mimicit import ledger
from mimicit.errors import MimicitError, UsageError

APPLICATION_ID = 0x6D696D69
"""Marks the database as ours in its header ("mimi")."""

VERSION = 2
"""Version of the tables, kept as the database's `user_version`."""

REPLIES = """
CREATE TABLE replies (
  key BLOB PRIMARY KEY,           -- Request.key, 32 bytes
  teacher TEXT NOT NULL,
  replicate INTEGER NOT NULL,
  text TEXT NOT NULL,             -- as it came; a BLOB where it is no valid Unicode
  finish_reason TEXT NOT NULL,
  model TEXT NOT NULL,            -- as the endpoint named it
  input_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  at REAL NOT NULL                -- seconds since 1970
);
CREATE TABLE failures (key BLOB NOT NULL, teacher TEXT NOT NULL, reason TEXT NOT NULL,
  detail TEXT NOT NULL, at REAL NOT NULL);
CREATE TABLE claims (key BLOB PRIMARY KEY, owner TEXT NOT NULL, until REAL NOT NULL) WITHOUT ROWID;
"""

MIGRATIONS: dict[int, str] = {1: ledger.TABLES}
"""For each older version, the statements that make the next one of it."""

TABLES = REPLIES + "".join(MIGRATIONS.values())
"""The statements that make the tables of this version."""

PAGE_BYTES = 32768
"""Larger than SQLite's own choice: replies of some kilobytes then lie close together (a reply of
2.4 kB takes 0.3 kB more on disk, against 1.2 kB with pages of 4 kB)."""

BUSY_SECONDS = 60.0
"""How long a build waits for another one's write to end."""

NETWORK = re.compile(
    r"nfs4?|cifs|smb\w*|9p|afs|afpfs|webdav|ceph|lustre|gpfs|gfs2|ocfs2|glusterfs|beegfs|orangefs|"
    r"wekafs|panfs|ncpfs|virtiofs|vboxsf|vmhgfs|prl_fs|drvfs|fakeowner|fuse\.(sshfs|ceph|"
    r"glusterfs|juicefs|rclone|s3fs|gcsfuse|blobfuse2?|grpcfuse|osxfs|vmhgfs-fuse)"
)
"""File systems, as the system names them, whose clients share no memory."""

ADVICE = {
    "SQLITE_FULL": "free some space and run again; replies committed so far are kept",
    "SQLITE_IOERR": "see whether its disk is full, over a quota or failing, and run again; "
    "replies committed so far are kept",
    "SQLITE_READONLY": "it cannot be written to; name another one with --journal",
    "SQLITE_CANTOPEN": "it cannot be opened; name another one with --journal",
    "SQLITE_BUSY": f"another process has kept it for {BUSY_SECONDS:.0f} s; run again when that "
    "has ended",
    "SQLITE_CORRUPT": "it is damaged; restore a backup (`mimicit journal backup`), or save "
    "what is left of it with sqlite3's .recover",
}
"""What to do about an error, by the beginning of SQLite's name for it."""


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours, with what to do.

    Raises:
        UsageError: the file is no database.
        MimicitError: anything else went wrong with it.
    """
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "")
        if name == "SQLITE_NOTADB":
            raise UsageError(f"{str(path)!r} is not a journal; name another one") from error
        advice = next(
            (text for start, text in ADVICE.items() if name.startswith(start)),
            "run again; replies committed so far are kept",
        )
        raise MimicitError(f"the journal {str(path)!r}: {error}: {advice}") from error


def open_file(path: Path, *, create: bool, synchronous: str = "FULL") -> sqlite3.Connection:
    """Open the journal's database; make it, with its directory, if it is not there.

    Raises:
        UsageError: there is none (and `create` is false), or it is something else, or newer.
        MimicitError: it is damaged, or cannot be written.
    """
    if path.is_dir():
        raise UsageError(f"{str(path)!r} is a directory; name the journal's file with --journal")
    if not create and not path.is_file():
        raise UsageError(f"there is no journal {str(path)!r}; name one with --journal")
    if create:
        _make_directory(path)
    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return _open_once(path, synchronous, create=create)
        except MimicitError as error:
            # Two that choose how writes are logged keep each other from it, without waiting.
            busy = getattr(error.__cause__, "sqlite_errorname", "").startswith("SQLITE_BUSY")
            if not busy or time.monotonic() > until:
                raise
        time.sleep(random.uniform(0.01, 0.1))  # noqa: S311  # so that one of them comes first


def _open_once(path: Path, synchronous: str, *, create: bool) -> sqlite3.Connection:
    with explained(path):
        try:
            return _connect(path, synchronous, create=create)
        except sqlite3.OperationalError:
            if create or os.access(path.parent, os.W_OK) or _has_log(path):
                raise
        # Where nothing can be written beside it, no log of writes can be begun, nor is one needed.
        return _connect(path, synchronous, create=create, options="?mode=ro&immutable=1")


def _connect(
    path: Path, synchronous: str, *, create: bool, options: str = ""
) -> sqlite3.Connection:
    database = sqlite3.connect(
        f"{path.absolute().as_uri()}{options}",
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        uri=True,
    )
    try:
        if _prepare(database, path, create=create) == "delete":
            # Less could damage the file, and a commit is the removal of the rollback journal.
            synchronous = "EXTRA" if _can_sync(path.parent) else "FULL"
        database.execute(f"PRAGMA synchronous={synchronous}")
        database.execute("PRAGMA fullfsync=ON")  # macOS: past the disk's own cache
    except BaseException:
        database.close()
        raise
    return database


def _has_log(path: Path) -> bool:
    """Tell whether there is a log with writes that the file itself may lack."""
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size > 0
    except FileNotFoundError:
        return False


def _can_sync(directory: Path) -> bool:
    """Tell whether a directory's entries can be forced to the disk; some shares refuse to."""
    try:
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError:
        return False
    return True


def _make_directory(path: Path) -> None:
    parent = path.parent
    try:
        if not parent.exists():
            parent.mkdir(parents=True, exist_ok=True)
            if parent.name == ".mimicit":
                (parent / ".gitignore").write_text("*\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"cannot make {str(parent)!r} for the journal: {error.strerror}"
        ) from error


def _prepare(database: sqlite3.Connection, path: Path, *, create: bool) -> str:
    """Check whose database it is, choose how it logs writes, make or migrate its tables.

    Returns:
        How it logs writes: `wal` or `delete`.
    """
    (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    # Asked last: whoever makes the tables meanwhile makes all of these at once.
    (application,) = database.execute("PRAGMA application_id").fetchone()
    if application != APPLICATION_ID and (tables or application or version):
        raise UsageError(f"{str(path)!r} is a database, but not a journal; name another one")
    if not tables and not create:
        raise UsageError(f"{str(path)!r} is empty, not a journal; name another one")
    if tables:
        _check_version(version, path)
    else:
        database.execute(f"PRAGMA page_size={PAGE_BYTES}")
    mode = _choose_mode(database, path, new=not tables)
    if not tables or version != VERSION:
        database.execute("BEGIN IMMEDIATE")
        try:
            _make_tables(database, path)
            database.execute("COMMIT")
        except BaseException:
            if database.in_transaction:  # some failures have rolled it back already
                database.execute("ROLLBACK")
            raise
    return mode


def _choose_mode(database: sqlite3.Connection, path: Path, *, new: bool) -> str:
    """Choose how writes are logged, by the file system that the file is on now.

    The log that processes of one machine share is not begun while a build holds claims: that
    build may run on another machine, or in a container that sees the file through a share.
    """
    wanted = "delete" if on_network(path) else "wal"
    (mode,) = database.execute("PRAGMA journal_mode").fetchone()
    if mode == wanted:
        return wanted
    if wanted == "wal" and not new:
        held = "SELECT count(*) FROM claims WHERE until > ?"
        if database.execute(held, (time.time(),)).fetchone() != (0,):
            return str(mode)
    try:
        (mode,) = database.execute(f"PRAGMA journal_mode={wanted}").fetchone()
    except sqlite3.OperationalError as error:
        if not error.sqlite_errorname.startswith("SQLITE_READONLY"):  # it may still be read
            raise
    return str(mode)


def _check_version(version: int, path: Path) -> None:
    while version < VERSION and version in MIGRATIONS:
        version += 1
    if version != VERSION:
        raise UsageError(
            f"the journal {str(path)!r} has version {version}, and this mimicit reads version "
            f"{VERSION}. Nothing in it is lost: write it out with the mimicit that made it "
            "(`mimicit journal export`), and take it in here (`mimicit journal merge`)."
        )


def _make_tables(database: sqlite3.Connection, path: Path) -> None:
    """Make or migrate the tables, unless another process has done it meanwhile."""
    (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if not tables:
        scripts = [TABLES]
        database.execute(f"PRAGMA application_id={APPLICATION_ID}")
    else:
        _check_version(version, path)
        scripts = [MIGRATIONS[older] for older in range(version, VERSION)]
    for script in scripts:
        for statement in _statements(script):
            database.execute(statement)
    database.execute(f"PRAGMA user_version={VERSION}")


def _statements(script: str) -> list[str]:
    lines = (line.partition("--")[0] for line in script.splitlines())
    return [statement for statement in "\n".join(lines).split(";") if statement.strip()]


def on_network(path: Path) -> bool:
    """Tell whether a file lies, or will lie, on a network file system."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return False
    return NETWORK.fullmatch(file_system(os.path.realpath(path), mounts)) is not None


def file_system(path: str, mounts: str) -> str:
    """Find the type of the file system that a path is on.

    Args:
        path: An absolute path without links.
        mounts: Text of /proc/self/mountinfo, see proc_pid_mountinfo(5).
    """
    points: dict[str, dict[str, tuple[str, str]]] = {}  # by the mount below: point -> mount, type
    ids = {line.partition(" ")[0] for line in mounts.split("\n")}
    for line in mounts.split("\n"):
        left, _, right = line.partition(" - ")
        fields = left.split(" ")  # a name may hold any other blank
        if len(fields) < 5 or not right:
            continue
        mount, below, point = fields[0], fields[1], _unescaped(fields[4])
        below = below if below in ids and below != mount else ""
        if path == point or path.startswith(point.rstrip("/") + "/"):
            points.setdefault(below, {})[point] = mount, right.split(" ")[0]
    mount, kind = "", ""
    while inside := points.pop(mount, None):
        mount, kind = inside[min(inside, key=len)]  # it hides whatever was mounted further down
    return kind


def _unescaped(name: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), name)
