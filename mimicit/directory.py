"""Replacing a directory whole: a reader sees the old one or the new one, never something between.

The new content is made in a hidden sibling and swapped in by one system call. A build that is
killed leaves only that sibling, which the next build of the same directory removes.
"""

import contextlib
import ctypes
import ctypes.util
import errno
import glob
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from mimicit.errors import UsageError

MARKER = "manifest.json"
"""The file by which a directory is known to be a dataset of ours, and may be replaced."""


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give a new empty directory that takes `target`'s place when the block ends without error.

    Raises:
        UsageError: `target` is something that must not be replaced, or cannot be written to.
    """
    target = Path(os.path.abspath(target))  # noqa: PTH100  # `resolve` would follow a link
    if target.is_symlink():
        target = target.resolve()
    _refuse_foreign(target)
    missing = [parent for parent in target.parents if not parent.exists()]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(target)
        staging = Path(tempfile.mkdtemp(prefix=_prefix(target), dir=target.parent))
    except OSError as error:
        raise UsageError(f"cannot write to {str(target.parent)!r}: {error.strerror}") from error
    handle = _lock(staging)
    try:
        yield staging
        _sync(staging)
        staging.chmod(0o777 & ~_umask())
        _refuse_foreign(target)
        _swap(staging, target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)  # the old content by now, or what was begun
        if handle is not None:
            os.close(handle)
        for parent in missing:
            with contextlib.suppress(OSError):  # not empty: something was published in it
                parent.rmdir()


def _prefix(target: Path) -> str:
    return f".{target.name}.building-"


def _refuse_foreign(target: Path) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise UsageError(f"--out {str(target)!r} is a file; name a directory")
    if any(target.iterdir()) and not (target / MARKER).is_file():
        raise UsageError(
            f"--out {str(target)!r} holds files, but no {MARKER}: not a dataset made by "
            "mimicit, so it is left alone. Name another directory, or empty this one."
        )


def _lock(directory: Path) -> int | None:
    """Hold a lock that ends with this process, however it ends; None where there are no locks."""
    try:
        import fcntl  # noqa: PLC0415  # not on Windows
    except ImportError:
        return None
    handle = os.open(directory, os.O_RDONLY)
    with contextlib.suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return handle
    os.close(handle)
    return None


def _remove_abandoned(target: Path) -> None:
    """Remove what killed builds of the same target left; those still running hold a lock."""
    for leftover in target.parent.glob(f"{glob.escape(_prefix(target))}*"):
        handle = _lock(leftover)
        if handle is not None:
            shutil.rmtree(leftover, ignore_errors=True)
            os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync(directory: Path) -> None:
    """Bring every file to the disk, so that a power cut cannot publish empty ones."""
    for path in [*directory.rglob("*"), directory]:
        if os.name == "nt" and path.is_dir():
            continue
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _swap(new: Path, target: Path) -> None:
    """Put `new` in the place of `target`; what was there is at `new` afterwards."""
    if target.exists() and _exchange(new, target):
        return
    if (
        target.exists()
    ):  # a file system that cannot exchange: two renames, the shortest gap there is
        old = new.with_name(new.name + "-old")
        target.rename(old)
        new.rename(target)
        old.rename(new)
    else:
        new.rename(target)
    with contextlib.suppress(OSError):
        handle = os.open(target.parent, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)


def _exchange(a: Path, b: Path) -> bool:
    """Exchange two directories in one step; False where the system cannot.

    Linux: renameat2(2) with RENAME_EXCHANGE; macOS: renamex_np(2) with RENAME_SWAP.
    """
    library = (
        ctypes.CDLL(ctypes.util.find_library("c"), use_errno=True) if os.name == "posix" else None
    )
    first, second = os.fsencode(a), os.fsencode(b)
    at_cwd, exchange, swap = -100, 2, 2
    if sys.platform.startswith("linux") and hasattr(library, "renameat2"):
        result = library.renameat2(at_cwd, first, at_cwd, second, exchange)  # type: ignore[union-attr]
    elif sys.platform == "darwin" and hasattr(library, "renamex_np"):
        result = library.renamex_np(first, second, swap)  # type: ignore[union-attr]
    else:
        return False
    if result == 0:
        return True
    if ctypes.get_errno() in {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP}:
        return False
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(b))
