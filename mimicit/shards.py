"""The files of one folder of a dataset, held as they were when it was opened.

A dataset is replaced whole, under the same name. Its files are opened relative to the folder that
was there at first, so that a reader gets the old one or an error, and never some of each.
"""

import errno
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from mimicit.errors import SourceError

_PREAD: Callable[[int, int, int], bytes] | None = getattr(os, "pread", None)
"""Not on Windows."""

OPEN_FILES = 256
"""Files that are kept open at once, at most."""


class _File:
    """An open file, closed when nobody uses it any more."""

    def __init__(self, handle: int) -> None:
        self.handle = handle

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        close(self.handle)  # when the interpreter ends, `os` may be gone already


class Shards:
    """The Parquet files of a folder, in the order of their names, and whatever lies beside them.

    Args:
        folder: The folder.
        endings: How the names of its shards end, such as `.parquet`; all other files are there
            too, but not listed.
        within: The folder that it is in, where that is open too.

    Attributes:
        folder: The folder.
        files: Name and size in bytes of each shard, in the order of their names.
        root: The folder, opened; None on Windows.

    Raises:
        OSError: the folder cannot be read.
    """

    def __init__(
        self,
        folder: Path,
        endings: Sequence[str] = (".parquet",),
        within: "Shards | None" = None,
    ) -> None:
        self.folder = folder.absolute()  # a worker may have another working directory
        self._lock = threading.Lock()
        self.root: _File | None = None
        # Windows opens no folder; nor does it let one be replaced while a file in it is open.
        if os.name == "posix" and within and within.root:
            handle = os.open(folder.name, os.O_RDONLY, dir_fd=within.root.handle)
            self.root = _File(handle)
        elif os.name == "posix":
            self.root = _File(os.open(folder, os.O_RDONLY))
        self._endings = tuple(endings)
        self._open: dict[str, _File] = {}
        self._known: dict[str, tuple[int, ...]] = {}
        inside: int | Path = self.root.handle if self.root else folder
        self._names = sorted(os.listdir(inside))  # noqa: PTH208  # a handle has no other way
        # As others do who read a folder of Parquet files, hidden ones are passed over.
        shards = (n for n in self._names if n.endswith(self._endings) and n[0] not in "._")
        self.files = [(name, self.size(name)) for name in shards]

    def __reduce__(self) -> tuple[Any, ...]:
        """Hand another process the place, not the open files."""
        return Shards, (self.folder, self._endings)

    def has(self, name: str) -> bool:
        """Tell whether there was such a file when the folder was opened."""
        return name in self._names

    def size(self, name: str) -> int:
        """Give a file's size in bytes.

        Raises:
            SourceError: it has gone, or another file has taken its place.
        """
        try:
            if self.root is None:
                found = (self.folder / name).stat()
            else:
                found = os.stat(name, dir_fd=self.root.handle)
        except OSError as error:
            raise self._gone(name, error) from error
        self._recognise(name, found)
        return found.st_size

    def read(self, name: str, length: int, offset: int) -> bytes:
        """Read a piece of a file, from any thread; fewer bytes where the file ends.

        Raises:
            SourceError: the file has gone, another has taken its place, or the disk fails.
        """
        # Held meanwhile: another thread may let go of it.
        file = self._open.get(name) or self._kept(name)
        try:
            if _PREAD:
                return _PREAD(file.handle, length, offset)
            with self._lock:
                os.lseek(file.handle, offset, os.SEEK_SET)
                return os.read(file.handle, length)
        except OSError as error:
            where = f"{name!r} of {str(self.folder)!r}"
            raise SourceError(f"{where} cannot be read: {error.strerror}") from error

    def open(self, name: str) -> BinaryIO:
        """Open a file anew, to be read by a library.

        Raises:
            SourceError: it has gone, or another has taken its place.
            OSError: it is a directory.
        """
        handle = self._handle(name)
        try:
            return os.fdopen(handle, "rb")
        except OSError:
            os.close(handle)
            raise

    def _kept(self, name: str) -> _File:
        """Give the open file of this name. It is closed when others have taken its place."""
        file = self._open.get(name)
        if file is None:
            if len(self._open) >= OPEN_FILES:
                self._open = {}  # a thread that reads one of them still holds it
            file = self._open[name] = _File(self._handle(name))
        return file

    def _handle(self, name: str) -> int:
        # Without waiting: what is no regular file, but a pipe, is an error when it is read.
        flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
        try:
            try:
                handle = self._opened(name, flags)
            except OSError as error:
                if error.errno not in {errno.EMFILE, errno.ENFILE} or not self._open:
                    raise
                self._open = {}
                handle = self._opened(name, flags)
        except OSError as error:
            raise self._gone(name, error) from error
        try:
            self._recognise(name, os.fstat(handle))
        except SourceError:
            os.close(handle)
            raise
        return handle

    def _opened(self, name: str, flags: int) -> int:
        if self.root is None:
            return os.open(self.folder / name, flags)
        return os.open(name, flags, dir_fd=self.root.handle)

    def _recognise(self, name: str, found: os.stat_result) -> None:
        """Make sure that a file is the one that was there when it was first looked at."""
        identity = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
        if self._known.setdefault(name, identity) != identity:
            raise SourceError(
                f"{name!r} of {str(self.folder)!r} is not the file that it was when the dataset "
                "was opened; open it again"
            )

    def _gone(self, name: str, error: OSError) -> SourceError:
        return SourceError(
            f"{name!r} of {str(self.folder)!r} cannot be opened ({error.strerror}). If the "
            "dataset was replaced since it was opened, open it again."
        )
