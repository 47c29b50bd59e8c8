"""Vectors that cost time or money to make, kept between builds.

They are in an SQLite file at `$MIMICIT_VECTORS`, else `.mimicit/vectors.db` where one works, each
by the encoder that made it and the SHA-256 of what it was made of. No text, picture or key is in
it. Every group of vectors is committed as it comes, and asked for never again.

Vectors of a local model can be made again: a file that is damaged, locked or not writable is done
without. Those of an endpoint are paid for: there it is an error, before anything is paid.
"""

import contextlib
import hashlib
import os
import sqlite3
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from mimicit.encoders import quantise
from mimicit.errors import MimicitError, UsageError

ENVIRONMENT = "MIMICIT_VECTORS"

APPLICATION_ID = 0x6D696D76
"""Marks the database as ours in its header ("mimv")."""

TABLES = """
CREATE TABLE encoders (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,
  dimensions INTEGER NOT NULL);
CREATE TABLE vectors (
  encoder INTEGER NOT NULL REFERENCES encoders,
  digest BLOB NOT NULL,           -- SHA-256 of the content, 32 bytes
  vector BLOB NOT NULL,           -- int8
  PRIMARY KEY (encoder, digest)
);
"""

BUSY_SECONDS = 5.0
PAID_BUSY_SECONDS = 60.0
"""How long a build waits for another one's write to end; longer where vectors are paid for."""

WINDOW = 1024
"""How many texts or pictures are looked up, and then encoded, at a time."""

ASKED = 512
"""Digests in one query."""

Groups = Generator[tuple[Sequence[int], np.ndarray], None, None]
"""Places, and a vector for each, in whatever order they come."""

T = TypeVar("T")


def default_path() -> Path:
    """Say where vectors are kept."""
    return Path(os.environ.get(ENVIRONMENT) or Path(".mimicit") / "vectors.db")


class VectorCache:
    """Kept vectors of one encoder. Nothing is made before there is something to keep.

    Args:
        name: The encoder's name.
        paid: Whether its vectors are paid for: then what goes wrong is a MimicitError.
        path: Where they are kept; `default_path()` by default.
    """

    def __init__(self, name: str, *, paid: bool = False, path: Path | None = None) -> None:
        self._name = name
        self._paid = paid
        self._path = path or default_path()
        self._usable = {"kept": True, "read": True}

    def dimensions(self) -> int:
        """Say how many numbers the kept vectors have; 0 where there are none."""
        return self._read(lambda database: self._encoder(database)[1], 0)

    def get(self, digests: Sequence[bytes]) -> dict[bytes, np.ndarray]:
        """Look vectors up by the digests of what they were made of."""

        def look(database: sqlite3.Connection) -> dict[bytes, np.ndarray]:
            encoder, dimensions = self._encoder(database)
            found: dict[bytes, np.ndarray] = {}
            for start in range(0, len(digests), ASKED):
                asked = digests[start : start + ASKED]
                marks = ",".join("?" * len(asked))
                query = "SELECT digest, vector FROM vectors WHERE encoder=? AND digest IN "
                for digest, vector in database.execute(f"{query}({marks})", (encoder, *asked)):
                    if len(vector) == dimensions:
                        found[digest] = np.frombuffer(vector, np.int8)
            return found

        return self._read(look, {})

    def put(self, vectors: Mapping[bytes, np.ndarray]) -> None:
        """Keep vectors by the digests of what they were made of; none, to see whether one can."""

        def write(database: sqlite3.Connection) -> None:
            database.execute("BEGIN IMMEDIATE")
            database.execute("PRAGMA user_version=1")  # so that something is written in any case
            for vector in [*vectors.values()][:1]:
                values = self._name, len(vector)
                database.execute("INSERT OR IGNORE INTO encoders VALUES (NULL, ?, ?)", values)
            encoder, _ = self._encoder(database)
            rows = ((encoder, digest, vector.tobytes()) for digest, vector in vectors.items())
            database.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)", rows)
            database.execute("COMMIT")

        self._with_database(write, None, "kept")

    def reserve(self) -> None:
        """Make sure, where vectors are paid for, that they can be kept."""
        if self._paid:
            self.put({})

    def _encoder(self, database: sqlite3.Connection) -> tuple[int, int]:
        query = "SELECT id, dimensions FROM encoders WHERE name=?"
        found = database.execute(query, (self._name,)).fetchone()
        return found or (0, 0)

    def _read(self, action: Callable[[sqlite3.Connection], T], nothing: T) -> T:
        try:
            if not self._path.stat().st_size:  # made, but never written
                return nothing
        except OSError:
            return nothing
        return self._with_database(action, nothing, "read")

    def _with_database(self, action: Callable[[sqlite3.Connection], T], nothing: T, what: str) -> T:
        """Do something with the open database, if that is possible."""
        if not self._usable[what]:
            return nothing
        seconds = PAID_BUSY_SECONDS if self._paid else BUSY_SECONDS
        try:
            with contextlib.closing(_open(self._path, seconds)) as database:
                return action(database)
        except (sqlite3.Error, OSError) as error:
            if self._paid:
                raise MimicitError(
                    f"vectors cannot be {what} in {str(self._path)!r}: {error}. They are paid "
                    "for, so nothing is asked without it: mend the file, or name another one "
                    f"with ${ENVIRONMENT}"
                ) from error
            self._usable[what] = False
            return nothing


def _open(path: Path, seconds: float) -> sqlite3.Connection:
    """Open the database; make it, with its directory, if it is not there.

    Raises:
        UsageError: it is somebody else's.
    """
    if not path.parent.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.parent.name == ".mimicit":
            (path.parent / ".gitignore").write_text("*\n", encoding="utf-8")
    database = sqlite3.connect(path, timeout=seconds, isolation_level=None)
    try:
        if _owner(database) == (0, 0):
            database.execute("BEGIN IMMEDIATE")
            if _owner(database) == (0, 0):  # and no other build has made the tables meanwhile
                for statement in TABLES.split(";")[:-1]:
                    database.execute(statement)
                database.execute(f"PRAGMA application_id={APPLICATION_ID}")
            database.execute("COMMIT")
        _check_owner(database, path)
    except BaseException:
        database.close()
        raise
    return database


def _check_owner(database: sqlite3.Connection, path: Path) -> None:
    if _owner(database)[0] != APPLICATION_ID:
        raise UsageError(
            f"{str(path)!r} is a database, but not one of vectors; name another file with "
            f"${ENVIRONMENT}"
        )


def _owner(database: sqlite3.Connection) -> tuple[int, int]:
    """Give the database's application, and how many tables it has."""
    (application,) = database.execute("PRAGMA application_id").fetchone()
    (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return application, tables


def text_digest(text: str) -> bytes | None:
    """Give the SHA-256 of a text; None where there is no word in it."""
    if not text.strip():
        return None
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def kept(
    cache: VectorCache,
    shape: tuple[int, int],
    digest: Callable[[int], bytes | None],
    encode: Callable[[list[int]], Groups],
) -> np.ndarray:
    """Give the vectors of texts or pictures: those that are kept, and those made now, kept too.

    Args:
        cache: Where they are kept.
        shape: How many there are, and of how many numbers; 0 where that is not known yet.
        digest: Gives the SHA-256 of what is at a place; None where that is nothing.
        encode: Makes the vectors of what is at some places.

    Returns:
        An int8 row for each, of zeros where there is nothing.
    """
    count, dimensions = shape
    vectors = np.zeros((count, dimensions or cache.dimensions()), np.int8)
    for start in range(0, count, WINDOW):
        places: dict[bytes, list[int]] = {}
        for place in range(start, min(start + WINDOW, count)):
            content = digest(place)
            if content is not None:
                places.setdefault(content, []).append(place)
        found = cache.get(list(places))
        missing = {alike[0]: content for content, alike in places.items() if content not in found}
        if missing:
            cache.reserve()
            with contextlib.closing(encode(list(missing))) as groups:
                for group, made in groups:
                    digests = (missing[place] for place in group)
                    new = dict(zip(digests, quantise(made), strict=True))
                    cache.put(new)
                    found |= new
        for content, alike in places.items():
            if not vectors.shape[1]:
                vectors = np.zeros((count, len(found[content])), np.int8)
            vectors[alike] = found[content]
    return vectors
