"""Pictures that look nearly the same: what is kept of each for it, and how two are compared.

No example of a context may show the picture that is asked about, nor one made of it: smaller,
squashed, encoded anew, cut, brighter, greyer, mirrored. What such a copy keeps is where its
brightness bends, so that is what a descriptor holds: second differences of the brightness of 16 by
16 cells, four bits each, brought to one size. They leave out how bright a picture is, what its
contrast is, and whatever rises evenly, so that two clear skies have nothing in common.

A cut picture shows a window of the other one. So each picture is tried in every window that a cut
may have left of the other, and mirrored, and the best fit counts. `tools/eval_lookalikes.py`
measures how often that is right.
"""

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from PIL import Image

VERSION = 1
"""First byte of a descriptor: changes with whatever it holds."""

CELLS = 16
"""Cells a side. Where one pair of different photographs in 10,000 is taken for the same, 12 a side
find 91 % of the copies that are hardest to find, 14 find 99 %, and 16 all."""

PIXELS = 4
"""Pixels a side of a cell: added up, they give its brightness in sixteenths of a grey level."""

USUAL, HIGHEST = 3, 7
"""What the root of the mean square of a picture's bends is brought to, and the largest bend that
four bits hold; what is larger is cut off."""

LENGTH = 2 + CELLS * CELLS // 2 + 2 * 2 * 3
"""Bytes of a descriptor: version, contrast, bends, colours of its quarters."""

PLAIN = 32
"""Contrast, in sixteenths of a grey level, below which a picture is plain, and what there is to see
in it is noise: drawn skies with the noise of a camera stay below 15, those that JPEG at quality 30
makes steps of below 34, and of 389 photographs none is below 263."""

SAME_COLOUR = 3
"""Levels of 255 by which brightness and colour of each quarter of two plain pictures may differ:
what JPEG at quality 30 does to a card of one colour, at most."""

ALIKE = 9, 20
"""Cosine, as a fraction, from which two pictures are nearly the same: that of 7 in 75,466 pairs of
different photographs, and of each of 32 kinds of copies of them."""

CUTS = [(left, right) for left in (0, 5, 10, 15) for right in (0, 5, 10, 15) if left + right <= 20]
"""Percent that may be cut off two opposite sides: up to 10 off each, or 15 off one."""

FEW_CUTS = [(0, 0), (8, 8), (0, 12), (12, 0)]
"""Windows that lie near enough to each of those to be `ROUGHLY` like what it shows, as were all
12,448 changed copies of 389 photographs: most other pictures are told from it by these alone."""

ROUGHLY = 3, 10
"""Cosine from which all windows are tried: one pair in 370 different photographs has it."""

PAIRS = 64
"""Pairs that are compared at once: 2 MB of memory, which a processor holds."""


def describe(picture: Image.Image) -> bytes:
    """Describe a picture, upright and in RGB: `LENGTH` bytes, to be read as int8.

    Whole numbers throughout, so that the same pixels give the same bytes on every machine.
    """
    side = CELLS * PIXELS
    small = picture.resize((side, side), Image.Resampling.BOX, reducing_gap=1.5).convert("YCbCr")
    pixels = np.asarray(small)[..., 0].reshape(CELLS, PIXELS, CELLS, PIXELS)
    bends = _bends(pixels.sum(axis=(1, 3), dtype=np.int64))
    root = math.isqrt(int((bends * bends).sum()))
    contrast = min(root // CELLS, 127)
    if root:
        scale = USUAL * CELLS
        bends = ((2 * scale * bends + root) // (2 * root)).clip(-HIGHEST, HIGHEST)
    halves = (bends.ravel() + 8).astype(np.uint8)
    head = bytes((VERSION, contrast))
    quarters = small.resize((2, 2), Image.Resampling.BOX).tobytes()
    packed: bytes = (halves[::2] << 4 | halves[1::2]).tobytes()
    return head + packed + quarters


def _bends(cells: np.ndarray) -> np.ndarray:
    """Give minus the second differences of each cell, along rows and columns; none at an edge."""
    bends = np.zeros_like(cells)
    bends[1:-1] -= np.diff(cells, 2, axis=0)
    bends[:, 1:-1] -= np.diff(cells, 2, axis=1)
    return bends


def near(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Tell of each pair of pictures whether they are nearly the same; either order says the same.

    Args:
        a: Descriptors, int8 of shape (n, LENGTH); one of another version is near nothing.
        b: Those to compare with, row by row.

    Returns:
        Booleans of shape (n,). A cosine of just `ALIKE` is near, as is a difference of just
        `SAME_COLOUR`.
    """
    described = (a[:, 0] == VERSION) & (b[:, 0] == VERSION)
    lower, upper = np.minimum(a[:, 1], b[:, 1]), np.maximum(a[:, 1], b[:, 1])
    found: np.ndarray = described & (upper < PLAIN)
    found[found] = _same_colours(a[found], b[found])
    # A copy of a picture that is just not plain may be so: less by half, not by more.
    shaped = np.flatnonzero(described & (upper >= PLAIN) & (lower >= PLAIN // 2))
    for start in range(0, len(shaped), PAIRS):
        rows = shaped[start : start + PAIRS]
        left, right = _grids(a[rows]), _grids(b[rows])
        rough = _same_shapes(left, right, _FEW, ROUGHLY)
        found[rows[rough]] = _same_shapes(left[rough], right[rough], _ALL, ALIKE)
    return found


def layouts(descriptors: np.ndarray) -> np.ndarray:
    """Give where a picture is bright and of which colour, as vectors that can be compared.

    Args:
        descriptors: int8 of shape (n, LENGTH).

    Returns:
        Whole numbers as float64 of shape (n, 12): brightness and colours of the quarters, from
        -128; zero for a picture that is not described.
    """
    quarters = descriptors[:, -12:].view(np.uint8).astype(np.int64) - 128
    return np.where(descriptors[:, :1] == VERSION, quarters, 0).astype(np.float64)


def _same_colours(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    quarters = (each[:, -12:].view(np.uint8).astype(np.int16) for each in (a, b))
    mine, theirs = (each.reshape(-1, 2, 2, 3) for each in quarters)
    apart = [
        abs(mine - seen).max(axis=(1, 2, 3), initial=0) for seen in (theirs, theirs[:, :, ::-1])
    ]
    same: np.ndarray = np.minimum(*apart) <= SAME_COLOUR
    return same


def _grids(descriptors: np.ndarray) -> np.ndarray:
    """Unpack the bends of descriptors: float32 of shape (n, CELLS, CELLS), whole numbers."""
    packed = descriptors[:, 2 : 2 + CELLS * CELLS // 2].view(np.uint8)
    grids = np.stack([packed >> 4, packed & 15], axis=2).astype(np.float32) - 8
    return grids.reshape(-1, CELLS, CELLS)


# What follows is exact: whole numbers below 2**24 in float32, and below 2**53 in float64.

QUARTERS = 4
"""A window's cells are taken at quarters of a cell, so that their weights are whole numbers."""


def _window(before: int, after: int) -> np.ndarray:
    """Give the weights by which cells of a whole side make cells of a window of it.

    Args:
        before: Percent of the side that is cut off before the window.
        after: Percent that is cut off behind it.

    Returns:
        Whole numbers of shape (CELLS, CELLS): those of each of the window's cells, which are
        interpolated from two neighbours, add up to `QUARTERS`.
    """
    weights = np.zeros((CELLS, CELLS), np.float32)
    for cell in range(CELLS):
        middle = Fraction(2 * cell + 1, 2 * CELLS) * (100 - before - after) + before
        place = round(QUARTERS * (middle * CELLS / 100 - Fraction(1, 2)))
        whole, rest = divmod(min(max(place, 0), QUARTERS * (CELLS - 1)), QUARTERS)
        weights[cell, whole] = QUARTERS - rest
        if rest:
            weights[cell, whole + 1] = rest
    return weights


class _Windows:
    """Weights of some windows: of a picture's rows, of a mirrored one's too, and their products."""

    def __init__(self, cuts: Sequence[tuple[int, int]]) -> None:
        weights = np.stack([_window(*cut) for cut in cuts])
        self.count = len(cuts)
        self.rows = weights.reshape(-1, CELLS)
        self.paired = np.einsum("wij,wik->wjk", weights, weights)
        self.seen = np.concatenate([weights, weights[:, ::-1]])


_ALL, _FEW = _Windows(CUTS), _Windows(FEW_CUTS)


def _same_shapes(
    a: np.ndarray, b: np.ndarray, windows: "_Windows", least: tuple[int, int]
) -> np.ndarray:
    same: np.ndarray = _shows(a, b, windows, least) | _shows(b, a, windows, least)
    return same


def _shows(
    whole: np.ndarray, cut: np.ndarray, among: "_Windows", least: tuple[int, int]
) -> np.ndarray:
    """Tell whether a window of one picture is nearly the other, straight or mirrored.

    With V and W the weights of a window's rows and columns, it shows V A Wᵀ. For all windows at
    once, its product with B is that of V A and B W, and its square that of Aᵀ Vᵀ V A and Wᵀ W.
    """
    pairs, windows, size = len(whole), among.count, CELLS * CELLS
    rows = np.matmul(among.rows, whole).reshape(pairs, windows, size)
    columns = np.matmul(cut[:, None], among.seen).reshape(pairs, 2, windows, size)
    squares = np.matmul(among.paired.reshape(-1, CELLS), whole).reshape(
        pairs, windows, CELLS, CELLS
    )
    squares = np.matmul(whole.transpose(0, 2, 1)[:, None], squares).reshape(pairs, windows, size)
    lengths = np.matmul(squares, among.paired.reshape(windows, size).T)
    products = np.matmul(rows[:, None], columns.transpose(0, 1, 3, 2)).max(axis=1)
    products = np.maximum(products, 0).astype(np.float64)
    bound = lengths.astype(np.float64) * np.einsum("nij,nij->n", cut, cut)[:, None, None]
    over, under = least
    enough = (products > 0) & (under**2 * products**2 >= over**2 * bound)
    shows: np.ndarray = enough.any(axis=(1, 2))
    return shows
