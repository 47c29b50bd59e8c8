"""Replacing a directory whole: a reader sees the old one or the new one, never something between.

The new content is made in a hidden sibling and swapped in by one system call. A build that is
killed leaves only that sibling, which the next build of the same directory removes.
"""

import contextlib
import ctypes
import ctypes.util
import errno
import glob
import json
import os
import secrets
import shutil
import sys
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
    if Path.cwd().is_relative_to(target):
        raise UsageError(f"--out {str(target)!r} holds the working directory; name another one")
    if set("[]*?") & set(target.name):
        raise UsageError(
            f"--out {target.name!r}: `load_dataset` cannot open a name with [ ] * or ?"
        )
    _refuse_foreign(target)
    missing = [parent for parent in target.parents if not parent.exists()]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        staging, handle = _stage(target)
    except OSError as error:
        raise UsageError(f"cannot write to {str(target.parent)!r}: {error.strerror}") from error
    try:
        yield staging
        _sync(staging)
        with _alone(target.parent):
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
    """Refuse to replace what is not a dataset, or a dataset with something else in it.

    Raises:
        UsageError: as said.
    """
    if not target.exists():
        return
    if not target.is_dir():
        raise UsageError(f"--out {str(target)!r} is a file; name a directory")
    inside = {path.name for path in target.iterdir()}
    if not inside:
        return
    try:
        content = json.loads((target / MARKER).read_text(encoding="utf-8"))
        ours = {MARKER, *(name.split("/")[0] for name in content["files"])}
        known = "schema_version" in content
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        known = False
    if not known:
        raise UsageError(
            f"--out {str(target)!r} holds files, but not a dataset made by mimicit, so it is left "
            "alone. Name another directory, or empty this one."
        )
    foreign = sorted(inside - ours)
    if foreign:
        raise UsageError(
            f"--out {str(target)!r} is a dataset, but {foreign[0]!r} in it is not mimicit's and "
            "would be lost. Move it away, or name another directory."
        )


def _stage(target: Path) -> tuple[Path, int | None]:
    """Make the new directory, locked as long as this process lives; remove abandoned ones.

    Done alone, so that no build removes what another has just made.
    """
    with _alone(target.parent):
        for leftover in target.parent.glob(f"{glob.escape(_prefix(target))}*"):
            abandoned = _lock(leftover)
            if abandoned is not None:
                shutil.rmtree(leftover, ignore_errors=True)
                os.close(abandoned)
        staging = target.with_name(f"{_prefix(target)}{secrets.token_hex(4)}")
        staging.mkdir()
        return staging, _lock(staging)


@contextlib.contextmanager
def _alone(parent: Path) -> Iterator[None]:
    """Keep other builds in the same directory waiting for a moment."""
    handle = _lock(parent, wait=True)
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)


def _lock(directory: Path, *, wait: bool = False) -> int | None:
    """Hold a lock that ends with this process, however it ends; None where there is none."""
    try:
        import fcntl  # noqa: PLC0415  # not on Windows

        handle = os.open(directory, os.O_RDONLY)
    except (ImportError, OSError):
        return None
    with contextlib.suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        return handle
    os.close(handle)
    return None


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
    if not target.exists():
        new.rename(target)
    elif not _exchange(new, target):
        # A file system that cannot exchange: two renames, the shortest gap there is. The old one
        # waits under a name that is never cleaned up, and comes back if the second rename fails.
        old = target.with_name(f".{target.name}.replaced-{secrets.token_hex(4)}")
        target.rename(old)
        try:
            new.rename(target)
        except OSError:
            old.rename(target)
            raise
        old.rename(new)
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
