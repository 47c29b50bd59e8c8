"""Tar shards of samples: files of one sample side by side, the same bytes on every machine."""

import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

SHARD_BYTES = 500_000_000
"""A shard ends before the sample that would make it longer, unless it is the first one."""

BLOCK = tarfile.BLOCKSIZE

END = bytes(2 * BLOCK)
"""What a tar file ends with; zeros up to a whole record follow."""


@dataclass(frozen=True, slots=True)
class TarShard:
    """A finished shard.

    Attributes:
        name: Name of the file.
        samples: How many samples it holds.
        bytes: Size of the file.
    """

    name: str
    samples: int
    bytes: int


class TarShards:
    """Writes samples into tar files, one after the other.

    A member is a regular file with mode 0644, owned by nobody, of the year 1970: a name that does
    not fit its header (100 bytes) stands in a pax record before it, as POSIX.1-2001 has it. No
    sample is divided between two shards.

    Args:
        folder: Where they go.
        split: What their names begin with: `train-000000.tar`.

    Attributes:
        done: The shards that are finished.
    """

    def __init__(self, folder: Path, split: str) -> None:
        self.done: list[TarShard] = []
        self._folder, self._split = folder, split
        self._file: BinaryIO | None = None
        self._samples = self._bytes = 0

    def write(self, key: str, files: Sequence[tuple[str, bytes]]) -> None:
        """Write one sample.

        Args:
            key: What the names of its files begin with, up to their first dot.
            files: The rest of each name, and its content, in order.
        """
        parts = [part for rest, data in files for part in _member(f"{key}.{rest}", data)]
        size = sum(map(len, parts))
        if self._file and self._bytes + size + len(END) > SHARD_BYTES:
            self.finish()
        if self._file is None:
            self._file = (self._folder / self._name()).open("xb")
        self._file.writelines(parts)
        self._samples += 1
        self._bytes += size

    def finish(self) -> None:
        """End the shard that is being written, if there is one."""
        if self._file is None:
            return
        whole = -(-(self._bytes + len(END)) // tarfile.RECORDSIZE) * tarfile.RECORDSIZE
        self._file.write(bytes(whole - self._bytes))
        self.close()
        self.done.append(TarShard(self._name(), self._samples, whole))
        self._samples = self._bytes = 0

    def close(self) -> None:
        """Let go of the file, finished or not."""
        if self._file is not None:
            self._file.close()
        self._file = None

    def _name(self) -> str:
        return f"{self._split}-{len(self.done):06d}.tar"


def _member(name: str, data: bytes) -> Iterator[bytes]:
    """Spell a file of a tar: its header, its content, zeros up to a whole block."""
    head = tarfile.TarInfo(name)
    head.size = len(data)
    yield head.tobuf(tarfile.PAX_FORMAT)
    yield data
    yield bytes(-len(data) % BLOCK)
