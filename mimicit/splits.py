"""Which split a scene belongs to, and which pictures look too much alike to be in two of them."""

import hashlib
import math
from collections.abc import Mapping, Sequence

import numpy as np

from mimicit.schema import SPLITS, Split

NAMES: dict[str, str] = {"val": "validation", "dev": "validation"}
"""What a split may be called besides its name."""

NEAR_BITS = 8
"""Bits of 64 by which the perceptual hashes of two pictures may differ that look alike.

Of 389 photographs no two differ by fewer than 14. Half size, JPEG at quality 30, grey and a quarter
brighter stay within 8 for all of them, 2 % cut off each side for 98 %, and 5 % for 38 %
(`tests/test_splits.py` has the transforms).
"""

BLOCK_BYTES = 16 * 2**20


class Splits:
    """Assigns scenes to splits by a hash of their group, so that more data move none.

    Args:
        shares: Part of the groups for each split, adding up to 1; empty for all in train.

    Attributes:
        divides: Whether there is more than one split.
    """

    def __init__(self, shares: Mapping[str, float]) -> None:
        self.divides = len(shares) > 1
        # Test comes first and train last: a share that grows takes from train only.
        self._ends: list[tuple[float, Split]] = []
        end = 0.0
        held_out: tuple[Split, ...] = ("test", "validation")
        for name in held_out:
            end += shares.get(name, 0.0)
            self._ends.append((end, name))

    def of(self, source: str, group: str) -> Split:
        """Give the split of a group of a source."""
        if not self.divides:
            return "train"
        digest = hashlib.sha256(f"{source}\0{group}".encode("utf-8", "surrogatepass")).digest()
        share = int.from_bytes(digest[:8], "big") / 2**64
        return next((name for end, name in self._ends if share < end), "train")


def parse_shares(text: str) -> dict[str, float]:
    """Read shares as a user writes them: `train=0.98,val=0.01,test=0.01`.

    Raises:
        ValueError: it is not of that form; `check_shares` says what else may be wrong.
    """
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, equals, number = (piece.strip() for piece in part.partition("="))
        name = NAMES.get(name.lower(), name)
        if not equals or name in shares:
            raise ValueError("splits are written train=0.98,val=0.01,test=0.01")
        shares[name] = float(number)
    return shares


def check_shares(shares: Mapping[str, float]) -> dict[str, float]:
    """Check shares, and put them into order.

    Raises:
        ValueError: a split has another name, a share is not between 0 and 1, or all of them do not
            add up to 1.
    """
    unknown = sorted(shares.keys() - set(SPLITS))
    if unknown:
        raise ValueError(f"{unknown[0]!r} is no split; there are: {', '.join(SPLITS)}")
    if not all(0 < share <= 1 for share in shares.values()):
        raise ValueError("a split's share is above 0 and at most 1")
    if shares and not math.isclose(sum(shares.values()), 1, abs_tol=1e-6):
        raise ValueError(f"the shares of the splits add up to {sum(shares.values()):g}, not to 1")
    if shares and "train" not in shares:
        raise ValueError("there is no share for train, which in-context examples come from")
    return {name: shares[name] for name in SPLITS if name in shares}


def lookalikes(hashes: Sequence[int], others: Sequence[int]) -> np.ndarray:
    """Find for each picture one of the others that looks like it.

    Args:
        hashes: Perceptual hashes, 64 bits each.
        others: Those of the pictures to compare with.

    Returns:
        For each the place in `others` of the nearest within `NEAR_BITS`, the first of equally
        near ones, or -1: integers of the length of `hashes`.
    """
    mine, theirs = np.array(hashes, np.uint64), np.array(others, np.uint64)
    found = np.full(len(mine), -1, np.int64)
    if not len(theirs):
        return found
    rows = max(1, BLOCK_BYTES // (8 * len(theirs)))
    for start in range(0, len(mine), rows):
        block = mine[start : start + rows]
        bits = np.bitwise_count(block[:, None] ^ theirs[None, :])
        nearest = bits.argmin(axis=1)
        near = bits[np.arange(len(block)), nearest] <= NEAR_BITS
        found[start : start + rows] = np.where(near, nearest, -1)
    return found
