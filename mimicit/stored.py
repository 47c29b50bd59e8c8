"""What of a picture is stored: its file as it is, or one made of it where something was asked."""

import io
from contextlib import suppress
from dataclasses import dataclass

from PIL import Image

from mimicit import metadata
from mimicit.images import Opened, opened
from mimicit.pixels import DEEP, JPEG_QUALITY, JPEG_SIDE, as_jpeg, eight_bits, shrunk

SALVAGED_QUALITY = 95
"""Quality of a salvaged JPEG, which is encoded once more at its own size."""

LOSSY = frozenset(("JPEG", "MPO", "WEBP", "AVIF", "JPEG2000"))
"""Formats whose pictures may be encoded as JPEG."""


@dataclass(frozen=True, slots=True)
class StoreForm:
    """In which form pictures are stored.

    Attributes:
        max_side: Longest side in pixels; 0 for a picture's own size.
        strip_metadata: Without what a camera or an editor wrote beside the picture.
        salvage: Broken pictures too, as far as they can be decoded.
    """

    max_side: int = 0
    strip_metadata: bool = False
    salvage: bool = False


def stored(data: bytes, form: StoreForm) -> tuple[bytes, tuple[str, ...]]:
    """Make the file to store of a picture's file.

    Returns:
        The file, which is `data` itself wherever that will do, and what was done to it, in this
        order: `salvaged`, `resized`, `metadata-stripped`, `re-encoded`. Of an animation that is
        encoded anew, the first frame is kept.

    Raises:
        UnusablePicture: as `images.decode`.
    """
    found = opened(data, salvage=form.salvage)
    resized = 0 < form.max_side < max(found.picture.size)
    changes = ["salvaged"] * found.salvaged + ["resized"] * resized
    stripped: bytes | None = data
    if form.strip_metadata:
        stripped = metadata.strip(data)
        changes += ["metadata-stripped"] * (stripped is not data)
    if stripped is not None and not found.salvaged and not resized:
        return stripped, tuple(changes)
    side = form.max_side if resized else max(found.picture.size)
    if (found.salvaged or resized) and side <= JPEG_SIDE and _may_lose(found, data):
        made = _as_jpeg(found, form.max_side * resized)
    else:
        made = _as_png(found, form.max_side * resized)
    return made, (*changes, "re-encoded")


def _may_lose(found: Opened, data: bytes) -> bool:
    """Tell whether the picture was compressed with loss and nothing shows through it."""
    if found.picture.format not in LOSSY or _is_lossless_webp(data):
        return False
    return not _shows_through(found.picture)


def _is_lossless_webp(data: bytes) -> bool:
    if metadata.WEBP.match(data):
        with suppress(ValueError):  # its first frame could be decoded, but no more
            for kind, body in metadata.webp_chunks(data):
                if kind == b"VP8L" or (kind == b"ANMF" and body[16:20] == b"VP8L"):
                    return True
    return False


def _shows_through(picture: Image.Image) -> bool:
    if not picture.has_transparency_data:
        return False
    least, _ = picture.convert("RGBA").getchannel("A").getextrema()
    return float(least) < 255  # type: ignore[arg-type]  # one band has one range


def _as_jpeg(found: Opened, max_side: int) -> bytes:
    picture = found.picture
    shown = picture.convert("L" if picture.mode in {"1", "L", "LA"} else "RGB")
    quality = JPEG_QUALITY if max_side else SALVAGED_QUALITY
    return as_jpeg(shrunk(shown, max_side), quality, _profile(picture, shown))


def _as_png(found: Opened, max_side: int) -> bytes:
    picture = found.picture
    shown = _smooth(picture) if max_side else _plain(picture)
    shown = shrunk(shown, max_side)
    profile = _profile(picture, shown)
    clear = shown.info.get("transparency")
    shown.info = {} if clear is None else {"transparency": clear}
    file = io.BytesIO()
    shown.save(file, "PNG", icc_profile=profile or None)
    return file.getvalue()


def _plain(picture: Image.Image) -> Image.Image:
    """Give a picture a mode that PNG has, its pixels unchanged where one holds them."""
    if picture.mode in {"1", "L", "LA", "P", "RGB", "RGBA", "I;16"}:
        return picture.copy()
    if picture.mode in DEEP:
        return _deep(picture)
    return picture.convert("RGBA" if picture.has_transparency_data else "RGB")


def _smooth(picture: Image.Image) -> Image.Image:
    """Give a picture a mode that PNG has and that can be scaled without steps."""
    if picture.mode in DEEP:
        deep = _deep(picture)
        return eight_bits(deep) if deep.has_transparency_data else deep
    if picture.has_transparency_data:
        return picture.convert("RGBA")
    return picture.convert("L" if picture.mode in {"1", "L"} else "RGB")


def _deep(picture: Image.Image) -> Image.Image:
    """Give a deep grey picture 16 bits where they hold its values, else 8."""
    if picture.mode == "I;16":
        return picture.copy()
    if picture.mode in {"I;16B", "I;16L", "I;16N"}:
        return picture.convert("I;16")
    if picture.mode == "I":
        low, high = picture.getextrema()
        if low >= 0 and 255 < high <= 65535:  # type: ignore[operator]  # one band
            return picture.convert("I;16")
    return eight_bits(picture)


_SPACES = {"1": b"GRAY", "L": b"GRAY", "LA": b"GRAY", "I;16": b"GRAY"}


def _profile(picture: Image.Image, shown: Image.Image) -> bytes:
    """Give the colour profile of a picture where it holds for what is made of it, else b""."""
    profile = picture.info.get("icc_profile") or b""
    return profile if profile[16:20] == _SPACES.get(shown.mode, b"RGB ") else b""
