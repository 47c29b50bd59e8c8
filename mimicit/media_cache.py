"""What the media pass found out, kept between builds: verdicts by path, size and time of change.

Nothing here cannot be found out again, so a cache that is damaged, locked or not writable is done
without. Frames of videos lie beside it as JPEG files, named by their digests.
"""

import json
import os
import sqlite3
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

CACHE_VERSION = 2
"""Changes with what a verdict says or means."""

SETTLED_SECONDS = 2.0
"""A file changed more recently may change again without its time saying so."""

MACHINE = {"decoder-crash", "decoder-hang", "out-of-memory"}
"""Problems that may be the machine's, and are looked into again the next time."""

ENVIRONMENT = "MIMICIT_MEDIA"


def default_directory() -> Path:
    """Say where the cache lies: `$MIMICIT_MEDIA`, else `.mimicit/media` where one works."""
    return Path(os.environ.get(ENVIRONMENT) or Path(".mimicit") / "media")


class MediaCache:
    """Verdicts by file, and a folder of frames. Nothing is made before there is something to keep.

    Args:
        directory: Where it lies.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._file = directory / f"verdicts-{CACHE_VERSION}.db"
        self._frames: Path | None = None
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._database: sqlite3.Connection | None = None
        self._usable = True
        self._lock = threading.Lock()

    @property
    def frames(self) -> Path:
        """The folder of frames; a temporary one where the directory cannot be written."""
        if self._frames is None:
            self._frames = self._directory / "frames"
            try:
                self._frames.mkdir(parents=True, exist_ok=True)
                tempfile.TemporaryFile(dir=self._frames).close()
            except OSError:
                self._temporary = tempfile.TemporaryDirectory(prefix="mimicit-frames-")
                self._frames = Path(self._temporary.name)
        return self._frames

    def __enter__(self) -> "MediaCache":
        return self

    def __exit__(self, *_: object) -> None:
        if self._database:
            self._database.close()
        if self._temporary:
            self._temporary.cleanup()

    def get(self, path: Path, options: str) -> dict[str, Any] | None:
        """Look a verdict up: it holds if the file has the size and time of change it had.

        Args:
            path: The file, resolved.
            options: What else the verdict depends on: how it was made, by which versions.
        """
        if self._database is None and not self._file.exists():
            return None
        try:
            found = self._execute(
                "SELECT verdict FROM verdicts WHERE path=? AND options=? AND stamp=?",
                (os.fsencode(path), options, _stamp(path)),
            )
            return dict(json.loads(found[0][0])) if found else None
        except (OSError, ValueError, TypeError):
            return None

    def stamp(self, path: Path) -> str:
        """Say what a file is like now, to be handed to `put` when it has been judged; "" if new."""
        try:
            changed = path.stat().st_mtime
        except OSError:
            return ""
        return "" if abs(time.time() - changed) < SETTLED_SECONDS else _stamp(path)

    def put(self, path: Path, options: str, stamp: str, verdict: dict[str, Any]) -> None:
        """Keep a verdict on a file that was like `stamp` before it was judged."""
        if stamp:
            values = os.fsencode(path), options, stamp, json.dumps(verdict)
            self._execute("INSERT OR REPLACE INTO verdicts VALUES (?, ?, ?, ?)", values)

    def forget(self, path: Path) -> None:
        """Drop what is known of a file."""
        self._execute("DELETE FROM verdicts WHERE path=?", (os.fsencode(path),))

    def _execute(self, statement: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        """Carry a statement out, if that is possible."""
        with self._lock:
            try:
                if self._database is None and self._usable:
                    self._directory.mkdir(parents=True, exist_ok=True)
                    self._database = _open(self._file)
                return (
                    self._database.execute(statement, values).fetchall() if self._database else []
                )
            except (sqlite3.Error, OSError):
                self._usable = self._database is not None
                return []


def _stamp(path: Path) -> str:
    status = path.stat()
    return f"{status.st_size} {status.st_mtime_ns}"


def _open(path: Path) -> sqlite3.Connection:
    """Open the database; one that is damaged is begun anew."""
    for _ in range(2):
        # Each verdict by itself, so that no build waits for another's. What a crash of the machine
        # loses is found out again, so nothing waits for the disk.
        database = sqlite3.connect(path, timeout=5.0, isolation_level=None, check_same_thread=False)
        try:
            database.execute("PRAGMA synchronous=OFF")
            database.execute(
                "CREATE TABLE IF NOT EXISTS verdicts (path BLOB, options TEXT, stamp TEXT, "
                "verdict TEXT, PRIMARY KEY (path, options)) WITHOUT ROWID"
            )
        except sqlite3.OperationalError:  # locked, read-only, full
            database.close()
            raise
        except sqlite3.DatabaseError:
            database.close()
            for name in (path, Path(f"{path}-wal"), Path(f"{path}-shm"), Path(f"{path}-journal")):
                name.unlink(missing_ok=True)
        else:
            return database
    raise sqlite3.DatabaseError("cannot be begun anew")
