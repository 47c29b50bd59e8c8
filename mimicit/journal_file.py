"""The journal's file: an SQLite database, its tables, its version, and how it is opened safely.

Replies are committed with `synchronous=FULL`, so that what counts as kept survives a power cut.
On a local disk the database keeps a write-ahead log, under which builds read and write at once;
that log needs memory shared between processes, which network file systems do not have
(https://www.sqlite.org/wal.html), so there it keeps a rollback journal instead.
"""

import contextlib
import os
import re
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

from mimicit.errors import MimicitError, UsageError

APPLICATION_ID = 0x6D696D69
"""Marks the database as ours in its header ("mimi")."""

VERSION = 1
"""Version of the tables, kept as the database's `user_version`."""

TABLES = """
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

MIGRATIONS: dict[int, str] = {}
"""For each older version, the statements that make the next one of it."""

PAGE_BYTES = 32768
"""Larger than SQLite's own choice: replies of some kilobytes then lie close together (a reply of
2.4 kB takes 0.3 kB more on disk, against 1.2 kB with pages of 4 kB)."""

BUSY_SECONDS = 60.0
"""How long a build waits for another one's write to end."""

NETWORK = re.compile(
    r"nfs4?|cifs|smb\w*|9p|afs|afpfs|webdav|ceph|lustre|gpfs|gfs2|ocfs2|glusterfs|beegfs|orangefs|"
    r"wekafs|ncpfs|virtiofs|vboxsf|drvfs|fuse\.(sshfs|ceph|glusterfs|juicefs|rclone|s3fs|gcsfuse|"
    r"blobfuse2?)"
)
"""File systems, as the system names them, whose clients share no memory."""


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours, with what to do.

    Raises:
        UsageError: the file is no database.
        MimicitError: anything else went wrong with it.
    """
    try:
        yield
    except sqlite3.DatabaseError as error:
        name = getattr(error, "sqlite_errorname", "")
        if name == "SQLITE_NOTADB":
            raise UsageError(f"{str(path)!r} is not a journal; name another one") from error
        advice = {
            "SQLITE_FULL": "free some space and run again; replies committed so far are kept",
            "SQLITE_READONLY": "it cannot be written to; name another one with --journal",
            "SQLITE_CANTOPEN": "it cannot be opened; name another one with --journal",
            "SQLITE_BUSY": f"another process has kept it for {BUSY_SECONDS:.0f} s; run again",
            "SQLITE_CORRUPT": "it is damaged; restore a backup (`mimicit journal backup`), or save "
            "what is left of it with sqlite3's .recover",
        }.get(name, "run again; replies committed so far are kept")
        raise MimicitError(f"the journal {str(path)!r}: {error}: {advice}") from error


def open_file(path: Path, *, create: bool, synchronous: str = "FULL") -> sqlite3.Connection:
    """Open the journal's database; make it, with its directory, if it is not there.

    Raises:
        UsageError: there is none (and `create` is false), or it is something else, or newer.
        MimicitError: it is damaged, or cannot be written.
    """
    if not create and not path.is_file():
        raise UsageError(f"there is no journal {str(path)!r}; name one with --journal")
    if create:
        _make_directory(path)
    with explained(path):
        database = sqlite3.connect(
            path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            _prepare(database, path)
            database.execute(f"PRAGMA synchronous={synchronous}")
            database.execute("PRAGMA fullfsync=ON")  # macOS: past the disk's own cache
        except BaseException:
            database.close()
            raise
    return database


def _make_directory(path: Path) -> None:
    parent = path.parent
    try:
        if not parent.exists():
            parent.mkdir(parents=True)
            if parent.name == ".mimicit":
                (parent / ".gitignore").write_text("*\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"cannot make {str(parent)!r} for the journal: {error.strerror}"
        ) from error


def _prepare(database: sqlite3.Connection, path: Path) -> None:
    """Check whose database it is, make or migrate its tables, choose how it logs writes."""
    (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (application,) = database.execute("PRAGMA application_id").fetchone()
    if tables and application != APPLICATION_ID:
        raise UsageError(f"{str(path)!r} is a database, but not a journal; name another one")
    if not tables:
        database.execute(f"PRAGMA page_size={PAGE_BYTES}")
    mode = "DELETE" if on_network(path) else "WAL"
    (current,) = database.execute("PRAGMA journal_mode").fetchone()
    if current.upper() != mode:
        database.execute(f"PRAGMA journal_mode={mode}").fetchone()
    database.execute("BEGIN IMMEDIATE" if not tables else "BEGIN")
    try:
        _make_tables(database, path)
        database.execute("COMMIT")
    except BaseException:
        database.execute("ROLLBACK")
        raise


def _make_tables(database: sqlite3.Connection, path: Path) -> None:
    (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if not tables:  # asked again, since another process may have made them meanwhile
        for statement in _statements(TABLES):
            database.execute(statement)
        database.execute(f"PRAGMA application_id={APPLICATION_ID}")
        database.execute(f"PRAGMA user_version={VERSION}")
        return
    (version,) = database.execute("PRAGMA user_version").fetchone()
    while version < VERSION and version in MIGRATIONS:
        for statement in _statements(MIGRATIONS[version]):
            database.execute(statement)
        version += 1
        database.execute(f"PRAGMA user_version={version}")
    if version != VERSION:
        raise UsageError(
            f"the journal {str(path)!r} has version {version}, and this mimicit reads version "
            f"{VERSION}. Nothing in it is lost: write it out with the mimicit that made it "
            "(`mimicit journal export`), and take it in here (`mimicit journal merge`)."
        )


def _statements(script: str) -> list[str]:
    lines = (line.partition("--")[0] for line in script.splitlines())
    return [statement for statement in "\n".join(lines).split(";") if statement.strip()]


def on_network(path: Path) -> bool:
    """Tell whether a file lies, or will lie, on a network file system."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return NETWORK.fullmatch(file_system(os.path.realpath(path), mounts)) is not None


def file_system(path: str, mounts: str) -> str:
    """Find the type of the file system that a path is on.

    Args:
        path: An absolute path without links.
        mounts: Text of /proc/self/mountinfo, see proc_pid_mountinfo(5).
    """
    best, kind = "", ""
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        fields, after = left.split(), right.split()
        if len(fields) < 5 or not after:
            continue
        point = fields[4].replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):  # of two on one point the later covers the other
            best, kind = point, after[0]
    return kind
