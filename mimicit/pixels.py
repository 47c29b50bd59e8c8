"""Pixels: what a picture looks like, whatever mode it came in; and its hash."""

import io

import numpy as np
from PIL import Image

JPEG_QUALITY = 90
"""Quality of the pictures that had to be made smaller before they were sent or stored."""

JPEG_SIDE = 65_500
"""Longest side in pixels of a JPEG that Pillow writes; it reads some that are longer."""


def shrunk(picture: Image.Image, max_side: int) -> Image.Image:
    """Scale a picture down to `max_side` pixels a side; 0 for any. Never up."""
    if max_side:
        picture.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
    return picture


def as_jpeg(picture: Image.Image, quality: int = JPEG_QUALITY, icc: bytes = b"") -> bytes:
    """Encode a grey or RGB picture, and no more than its pixels and its colour profile."""
    file = io.BytesIO()
    picture.info = {}  # from where Pillow would take comments
    picture.save(file, "JPEG", quality=quality, icc_profile=icc)
    return file.getvalue()


def on_white(picture: Image.Image) -> Image.Image:
    """Show a picture as it would look on a white page, in RGB with 8 bits a band.

    One that looks so already is given itself.
    """
    if picture.mode in DEEP:
        picture = eight_bits(picture)
    if picture.has_transparency_data:
        shown = picture if picture.mode == "RGBA" else picture.convert("RGBA")
        picture = Image.new("RGBA", shown.size, "white")
        picture.alpha_composite(shown)
    return picture if picture.mode == "RGB" else picture.convert("RGB")


DEEP = frozenset(("I;16", "I;16B", "I;16L", "I;16N", "I", "F"))
"""Modes of grey pictures with more than 8 bits, which Pillow cuts off where it converts them."""


def eight_bits(picture: Image.Image) -> Image.Image:
    """Bring a deep grey picture down to 8 bits, in mode L, or LA where it is transparent.

    The scale of 16-bit pictures is known. Of others it is taken to be the smallest of 0 to 1, to
    255 and to 65535 that holds all of their values, else their own range.
    """
    values = np.asarray(picture).astype(np.float32)
    values[~np.isfinite(values)] = 0
    low, high = float(values.min()), float(values.max())
    limits = [65535.0] if picture.mode.startswith("I;16") else [1.0, 255.0, 65535.0]
    fitting = [limit for limit in limits if low >= 0 and high <= limit]
    if not fitting:
        values -= low
        fitting = [high - low or 1.0]
    grey = Image.fromarray(np.rint(values * (255 / fitting[0])).astype(np.uint8))
    clear = picture.info.get("transparency")
    if isinstance(clear, int):
        grey.putalpha(Image.fromarray(np.asarray(picture) != clear))
    return grey


def _cosine_table() -> np.ndarray:
    """Make the first 8 rows of the 32-point DCT-II in 14-bit fixed point: its sums are exact."""
    k, n = np.arange(8)[:, None], np.arange(32)[None, :]
    table: np.ndarray = np.rint(np.cos(np.pi * k * (2 * n + 1) / 64) * 2**14).astype(np.int64)
    return table


_COSINES = _cosine_table()


def perceptual_hash(picture: Image.Image) -> str:
    """Hash what a picture looks like: 64 bits of its low frequencies, as 16 hex digits.

    Two pictures that look alike differ in few bits. Integer arithmetic throughout, so that the
    same pixels give the same hash on every machine. Method: Zauner, Implementation and
    Benchmarking of Perceptual Image Hash Functions (2010), section 3.2.1.
    """
    small = on_white(picture).convert("L").resize((32, 32), Image.Resampling.BOX)
    pixels = np.asarray(small, dtype=np.int64)
    frequencies = (_COSINES @ pixels @ _COSINES.T).ravel()
    bits = frequencies > np.sort(frequencies[1:])[31]  # the median, the mean brightness left out
    return f"{int.from_bytes(np.packbits(bits).tobytes(), 'big'):016x}"
