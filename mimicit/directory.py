"""Replacing a directory whole: a reader sees the old one or the new one, never something between.

The new content is made in a hidden sibling and swapped in by one system call. A build that is
killed leaves only that sibling, which the next build of the same directory removes. Whatever goes
wrong before that call, a full disk included, leaves the old content as it was; whatever comes after
it, comes too late to stop it.
"""

import contextlib
import ctypes
import ctypes.util
import errno
import json
import os
import re
import secrets
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mimicit.errors import MimicitError, UsageError


class Kind(NamedTuple):
    """What a directory of ours is, and by which it is known and may be replaced.

    Attributes:
        name: What to call it, such as "a dataset".
        marker: Its file that lists all others under `files`.
        key: What else that file has.
    """

    name: str
    marker: str
    key: str


DATASET = Kind("a dataset", "manifest.json", "schema_version")
EXPORT = Kind("an export", "export.json", "format")

DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}
"""Errors that are the disk's: full, over a quota or a limit, write-protected, failing."""

MANY = 1000
"""Files more than which are brought to the disk by one call, in a tenth of the time."""

ATTEMPTS = 20
"""How often the parents are made again when other builds, which failed, take theirs away."""


@contextlib.contextmanager
def replacing(target: Path, kind: Kind = DATASET) -> Iterator[Path]:
    """Give a new empty directory that takes `target`'s place when the block ends without error.

    Args:
        target: The directory.
        kind: What it is to be, and may be already.

    Raises:
        UsageError: `target` is something that must not be replaced, or cannot be written to.
        MimicitError: the disk is full or failing; `target` is as it was.
    """
    target = _checked(target, kind)
    missing = [parent for parent in target.parents if not parent.exists()]
    try:
        staging, handle = _begin(target)
    except OSError as error:
        _drop_empty(missing)
        raise UsageError(f"cannot write to {str(target.parent)!r}: {error.strerror}") from error
    identity = _identity(staging)
    try:
        try:
            with _explained(staging, target):
                yield staging
                _sync(staging)
                with _alone(target.parent):
                    _refuse_foreign(target, kind)
                    _swap(staging, target)
        finally:
            _remove(staging)  # the old content by now, or what was begun
            if handle is not None:
                os.close(handle)
            _drop_empty(missing)
    except KeyboardInterrupt:
        if _identity(target) != identity:
            raise  # or else it came too late, and whoever called must not say that it did not


def _checked(target: Path, kind: Kind) -> Path:
    """Say which directory is to be replaced: an absolute path, no link.

    Raises:
        UsageError: it must not be, or cannot be.
    """
    target = Path(os.path.abspath(target))  # noqa: PTH100  # `resolve` would follow a link
    if target.is_symlink():
        try:
            target = target.resolve()
        except (OSError, RuntimeError) as error:  # the latter before Python 3.13
            raise UsageError(f"--out {str(target)!r} is a link that leads nowhere") from error
    try:
        str(target).encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"--out {str(target)!r} is no UTF-8, and libraries cannot open it; name another one"
        ) from error
    if Path.cwd().is_relative_to(target):
        raise UsageError(f"--out {str(target)!r} holds the working directory; name another one")
    if set("[]*?") & set(target.name):
        raise UsageError(
            f"--out {target.name!r}: `load_dataset` cannot open a name with [ ] * or ?"
        )
    _refuse_foreign(target, kind)
    _refuse_fixed(target)
    return target


def _identity(directory: Path) -> tuple[int, int] | None:
    try:
        found = directory.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


@contextlib.contextmanager
def _explained(staging: Path, target: Path) -> Iterator[None]:
    """Say of the disk's errors what they mean for the target.

    Raises:
        MimicitError: there was one.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in DISK:
            raise
        # Libraries say it in words of their own, and often without a name.
        what = os.strerror(error.errno)
        if isinstance(error.filename, str) and not Path(error.filename).is_relative_to(staging):
            what += f" ({error.filename!r})"
        raise MimicitError(
            f"{what}: {str(target)!r} was not built, and what was there before is untouched"
        ) from error


def _remove(directory: Path) -> None:
    """Remove a directory, as far as that is possible."""
    try:
        shutil.rmtree(directory, ignore_errors=True)
    except KeyboardInterrupt:
        shutil.rmtree(directory, ignore_errors=True)  # a second one leaves it to the next build
        raise


def _drop_empty(parents: list[Path]) -> None:
    """Take back the parents that were made, the innermost first."""
    for parent in parents:
        with contextlib.suppress(OSError):  # not empty: something was published in it
            parent.rmdir()


def _siblings(target: Path, purpose: str) -> list[Path]:
    """List the hidden directories beside a target that were made for a purpose."""
    ours = re.compile(rf"{re.escape(f'.{target.name}.{purpose}-')}[0-9a-f]{{8}}")
    return [path for path in target.parent.iterdir() if ours.fullmatch(path.name) and path.is_dir()]


def _new_sibling(target: Path, purpose: str) -> Path:
    return target.with_name(f".{target.name}.{purpose}-{secrets.token_hex(4)}")


def _refuse_fixed(target: Path) -> None:
    """Refuse what cannot be moved out of the way, before anything is built for it.

    Raises:
        UsageError: it is a mount point, or protected against being written to.
    """
    if not target.exists():
        return
    if os.path.ismount(target):
        raise UsageError(
            f"--out {str(target)!r} is a mount point, which cannot be replaced; name a directory "
            "in it"
        )
    for path in (target, *(path for path in target.iterdir() if path.is_dir())):
        # Its entry could be changed all the same, but not what is in it be removed.
        if not os.access(path, os.W_OK):
            raise UsageError(
                f"--out {str(target)!r}: {str(path)!r} is write-protected, so it is left alone; "
                "make it writable, or name another directory"
            )


def _refuse_foreign(target: Path, kind: Kind) -> None:
    """Refuse to replace what is not of a kind, or is and has something else in it.

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
        content = json.loads((target / kind.marker).read_text(encoding="utf-8"))
        ours = {kind.marker, *(name.split("/")[0] for name in content["files"])}
        known = kind.key in content
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        known = False
    if not known:
        raise UsageError(
            f"--out {str(target)!r} holds files, but not {kind.name} made by mimicit, so it is "
            "left alone. Name another directory, or empty this one."
        )
    foreign = sorted(inside - ours)
    if foreign:
        raise UsageError(
            f"--out {str(target)!r} is {kind.name}, but {foreign[0]!r} in it is not mimicit's and "
            "would be lost. Move it away, or name another directory."
        )


def _begin(target: Path) -> tuple[Path, int | None]:
    """Make the new directory, and the parents that it needs.

    Raises:
        OSError: that is not possible.
    """
    for _ in range(ATTEMPTS):
        # Another build that was to make the same parents, and fails, takes them away again; one
        # that is gone before it is looked at is said to exist and to be no directory.
        with contextlib.suppress(FileNotFoundError, FileExistsError):
            target.parent.mkdir(parents=True, exist_ok=True)
            return _stage(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    return _stage(target)


def _stage(target: Path) -> tuple[Path, int | None]:
    """Make the new directory, locked as long as this process lives; tidy up after killed builds.

    Done alone, so that no build removes what another has just made.
    """
    with _alone(target.parent) as alone:
        for leftover in _siblings(target, "building"):
            abandoned = _lock(leftover)
            if abandoned is not None:
                shutil.rmtree(leftover, ignore_errors=True)
                os.close(abandoned)
        waiting = _siblings(target, "replaced")
        if alone and waiting and not target.exists():  # killed between two renames
            max(waiting, key=lambda path: path.stat().st_ctime).rename(target)
        staging = _new_sibling(target, "building")
        staging.mkdir()
        return staging, _lock(staging)


@contextlib.contextmanager
def _alone(parent: Path) -> Iterator[bool]:
    """Keep other builds in the same directory waiting for a moment; False if that is impossible."""
    handle = _lock(parent, wait=True)
    try:
        yield handle is not None
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
    paths = [*directory.rglob("*"), directory]
    if len(paths) > MANY and _sync_all(directory):
        return
    for path in paths:
        if os.name == "nt" and path.is_dir():
            continue
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        except OSError as error:
            # Some shares have no such thing for directories.
            if error.errno not in {errno.EINVAL, errno.ENOTSUP} or not path.is_dir():
                raise
        finally:
            os.close(handle)


def _sync_all(directory: Path) -> bool:
    """Bring the whole file system to the disk, syncfs(2); False where the system cannot.

    Raises:
        OSError: something could not be written.
    """
    library = ctypes.CDLL(None, use_errno=True) if sys.platform.startswith("linux") else None
    if not hasattr(library, "syncfs"):
        return False
    handle = os.open(directory, os.O_RDONLY)
    try:
        if library.syncfs(handle):  # type: ignore[union-attr]  # it has just been looked at
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(directory))
    finally:
        os.close(handle)
    return True


def _swap(new: Path, target: Path) -> None:
    """Put `new` in the place of `target`; what was there is at `new` afterwards.

    Raises:
        UsageError: the system does not let `target` be moved.
    """
    try:
        if not target.exists():
            new.rename(target)
        elif not _exchange(new, target):
            _rename_both(new, target)
    except OSError as error:
        if error.errno not in {errno.EBUSY, errno.EXDEV}:
            raise
        raise UsageError(
            f"--out {str(target)!r} cannot be replaced ({error.strerror}): it is a mount point, or "
            "came with a container's image; name another directory"
        ) from error
    with contextlib.suppress(OSError):
        handle = os.open(target.parent, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)


def _rename_both(new: Path, target: Path) -> None:
    """Do it on a file system that cannot exchange: two renames, the shortest gap there is.

    The old one waits under a name that is never cleaned up. It comes back if the second rename
    fails, and where this process is killed between the two, when the next build begins.
    """
    old = _new_sibling(target, "replaced")
    target.rename(old)
    try:
        new.rename(target)
    except OSError:
        old.rename(target)
        raise
    old.rename(new)


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
