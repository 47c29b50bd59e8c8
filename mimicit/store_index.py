"""Where each picture of an image store lies: image id to file, offset and length.

The index is a file beside the shards, `images/_index.bin`, made of nothing but them. It is read
piece by piece, so that it takes the same memory for a thousand pictures and for a hundred million:

    MAGIC                   22 bytes
    length of what follows  4 bytes
    header                  JSON: {"files": [[name, size in bytes], …], "ids": [check, …],
                            "images": n, "bits": b}
    starts                  2**b + 1 integers of 8 bytes: where the keys of each first b bits begin
    entries                 n of `ENTRY`, sorted by their keys

All integers are little-endian.
"""

import hashlib
import json
import struct
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import xxhash

NAME = "_index.bin"
"""Begins with an underscore: readers of a folder of Parquet files pass such names over."""
MAGIC = b"mimicit image index 1\n"

KEY_BYTES = 16

ENTRY = np.dtype(
    [
        ("key", "V16"),  # the first bytes of the BLAKE2b digest of the image id
        ("check", "<u8"),  # XXH3 of the picture's file
        ("offset", "<u8"),
        ("length", "<u4"),
        ("file", "<u4"),
    ]
)

_ENTRY = struct.Struct("<16sQQII")

PER_BUCKET = 16
"""Entries that one read should find, about: 640 bytes."""

MAX_BITS = 16

PIECE = 65536
"""Entries that are written at once."""

MAX_HEADER = 64 * 2**20


class UnusableIndex(Exception):  # noqa: N818  # never reaches a user: another way to read is taken
    """An index is damaged, or not that of the shards beside it."""


class Place(NamedTuple):
    """Where a picture's file lies: `length` bytes at `offset` of a shard."""

    file: int
    offset: int
    length: int
    check: int


def key_of(image_id: str) -> bytes:
    """Give the key of an image id. No two ids that anybody can find have the same one."""
    text = image_id.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=KEY_BYTES).digest()


def check_of(data: bytes) -> int:
    """Compute by what damage to a picture's file is found: at the speed of memory."""
    return xxhash.xxh3_64_intdigest(data)


def entries_of(
    image_ids: Iterable[str], places: Iterable[tuple[int, int]], checks: Iterable[int], file: int
) -> np.ndarray:
    """Make the entries of one shard, in the order of its rows.

    Args:
        image_ids: The ids of its pictures.
        places: (offset, length) of each.
        checks: `check_of` each, or zeros where damage need not be found.
        file: Number of the shard.
    """
    rows = [
        (key_of(name), check, offset, length, file)
        for name, (offset, length), check in zip(image_ids, places, checks, strict=True)
    ]
    return np.array(rows, ENTRY)


def spell(
    files: Sequence[tuple[str, int]], entries: np.ndarray, ids: Sequence[int] = ()
) -> Iterator[bytes]:
    """Write an index as bytes, which are given piece by piece.

    Args:
        files: Name and size of each shard, in order.
        entries: Of `ENTRY`, in any order.
        ids: XXH3 of each shard's column of image ids, by which it is known that the index is its.
    """
    count = len(entries)
    bits = max(0, min(MAX_BITS, (count // PER_BUCKET).bit_length()))
    rows = entries.view(np.uint8).reshape(count, ENTRY.itemsize)
    tops = rows[:, :8].copy().view(">u8").reshape(-1).astype(np.uint64)
    order = np.argsort(tops, kind="stable")
    buckets = tops[order]
    del tops
    if bits:
        buckets >>= np.uint64(64 - bits)
    else:
        buckets[:] = 0
    starts = np.searchsorted(buckets, np.arange(2**bits + 1, dtype=np.uint64)).astype("<u8")
    content = {"files": list(files), "ids": list(ids), "images": count, "bits": bits}
    header = json.dumps(content).encode()
    yield from (MAGIC, len(header).to_bytes(4, "little"), header, starts.tobytes())
    for first in range(0, count, PIECE):
        yield entries[order[first : first + PIECE]].tobytes()


class StoreIndex:
    """An index, opened. Only its starts are held; a picture's entry is read when it is asked for.

    Args:
        read_at: Reads the index's bytes: (length, offset) to bytes.
        size: How many there are.

    Attributes:
        files: Name and size of each shard.
        ids: XXH3 of each shard's column of image ids.
        images: How many pictures there are.

    Raises:
        UnusableIndex: these bytes are no index.
    """

    def __init__(self, read_at: Callable[[int, int], bytes], size: int) -> None:
        self._read_at = read_at
        start = len(MAGIC) + 4
        head = read_at(start, 0)
        length = int.from_bytes(head[-4:], "little")
        if head[:-4] != MAGIC or length > min(size, MAX_HEADER):
            raise UnusableIndex("it does not begin like one")
        try:
            header = json.loads(read_at(length, start))
            self.files = [(str(name), int(bytes_)) for name, bytes_ in header["files"]]
            self.ids = [int(check) for check in header["ids"]]
            self.images, self._bits = int(header["images"]), int(header["bits"])
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise UnusableIndex("its header cannot be read") from error
        buckets = start + length
        if not 0 <= self._bits <= MAX_BITS:
            raise UnusableIndex("its header cannot be")
        self._entries = buckets + 8 * (2**self._bits + 1)
        if self.images < 0 or size != self._entries + ENTRY.itemsize * self.images:
            raise UnusableIndex("it is not as long as it says")
        self._starts = np.frombuffer(self._exactly(self._entries - buckets, buckets), "<u8")
        # Compared, as the difference of two unsigned numbers is never below zero.
        falls = (self._starts[1:] < self._starts[:-1]).any()
        if self._starts[0] or self._starts[-1] != self.images or falls:
            raise UnusableIndex("its parts are out of order")
        self._bounds = array("Q", self._starts.tobytes())  # numbers of Python's, got at once

    def find(self, image_id: str) -> Place | None:
        """Look a picture up; None where there is none of this id.

        Raises:
            UnusableIndex: the index has become shorter.
        """
        key = key_of(image_id)
        bucket = int.from_bytes(key[:8], "big") >> (64 - self._bits)
        first, last = self._bounds[bucket], self._bounds[bucket + 1]
        size = _ENTRY.size
        data = self._exactly((last - first) * size, self._entries + first * size)
        at = data.find(key)
        while at % size and at >= 0:  # the same bytes across two entries
            at = data.find(key, at + 1)
        if at < 0:
            return None
        _, check, offset, length, file = _ENTRY.unpack_from(data, at)
        return Place(file, offset, length, check)

    def entries(self) -> np.ndarray:
        """Read all entries: of `ENTRY`, sorted by key.

        Raises:
            UnusableIndex: the index has become shorter.
        """
        return np.frombuffer(self._exactly(ENTRY.itemsize * self.images, self._entries), ENTRY)

    def _exactly(self, length: int, offset: int) -> bytes:
        data = self._read_at(length, offset)
        if len(data) != length:
            raise UnusableIndex("it ends too early")
        return data


def in_memory(pieces: Iterable[bytes]) -> StoreIndex:
    """Open an index that was not written to a file.

    Raises:
        UnusableIndex: these bytes are none.
    """
    data = b"".join(pieces)
    return StoreIndex(lambda length, offset: data[offset : offset + length], len(data))
