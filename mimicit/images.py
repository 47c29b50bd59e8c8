"""Pictures: finding them without leaving their root, judging them, hashing them.

Opening a picture of unknown origin can raise nearly anything, so `examine` raises nothing: a
verdict is a value, and its `problem` a short reason that can be counted. Files of strangers are
judged in child processes (`mimicit.decoding`).
"""

import hashlib
import io
import re
import stat
import warnings
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from mimicit.errors import SourceError
from mimicit.schema import ImageInfo, ImageRef

Image.init()  # registers every format, so that `formats=` below finds those that it names

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
"""What is taken for a picture. Left out: formats that run a program to be read (EPS) and those
that loaders of training data do not read (ICO, PSD, TGA, …)."""

MAX_PIXELS = 100_000_000
"""Largest picture that is decoded: 100 megapixels, 300 MB in memory as RGB."""

MAX_FILE_BYTES = 256 * 2**20
"""Largest file that is read."""


class UnusablePicture(Exception):  # noqa: N818  # never reaches a user: it carries a verdict
    """A picture cannot be used; `reason` is short and countable."""

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}")


_DRIVE = re.compile(r"[A-Za-z]:")


def resolve(ref: ImageRef) -> Path:
    """Turn a reference into a path, which is below the reference's root or refused.

    A backslash counts as a separator, and a symbolic link that leads out of the root is refused.

    Raises:
        UnusablePicture: `unsafe-path`, `missing-file` or `not-a-file`.
    """
    name = ref.name.replace("\\", "/")
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or _DRIVE.match(name) or "\0" in name:
        raise UnusablePicture(
            "unsafe-path", f"{ref.name!r} does not stay below the images directory"
        )
    root = Path(ref.root).resolve()
    try:
        path = root.joinpath(*parts).resolve()
        mode = path.stat().st_mode if path.is_relative_to(root) else None
    except FileNotFoundError:
        raise UnusablePicture("missing-file", f"no file {name!r}") from None
    except (OSError, RuntimeError, ValueError):  # too long, a loop of links, no spelling in bytes
        raise UnusablePicture("missing-file", f"{name!r} cannot be looked up") from None
    if mode is None:
        raise UnusablePicture(
            "unsafe-path", f"{name!r} is a link that leads out of the images directory"
        )
    if not stat.S_ISREG(mode):
        raise UnusablePicture("not-a-file", f"{name!r} is not a regular file")
    return path


def read_bytes(ref: ImageRef) -> bytes:
    """Read a picture's file, unchanged.

    Raises:
        UnusablePicture: as `resolve`, or `unreadable-file`, `empty-file`, `file-too-large`.
    """
    path = resolve(ref)
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise UnusablePicture("file-too-large", f"{size:,} bytes, more than {MAX_FILE_BYTES:,}")
        data = path.read_bytes()
    except OSError as error:
        raise UnusablePicture("unreadable-file", _plain(error)) from error
    if not data:
        raise UnusablePicture("empty-file", "0 bytes")
    return data


def read_unchanged(ref: ImageRef, sha256: str) -> bytes:
    """Read a picture that was judged before: the bytes that were judged, and no others.

    Raises:
        SourceError: the file is not what it was.
    """
    try:
        data = read_bytes(ref)
    except UnusablePicture as error:
        raise SourceError(f"{ref.name!r} could be read, and now not: {error.detail}") from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise SourceError(f"{ref.name!r} changed while the dataset was being built")
    return data


def decode(data: bytes) -> Image.Image:
    """Decode a picture whole, upright, its `format` kept.

    Raises:
        UnusablePicture: `not-an-image`, `too-many-pixels` or `damaged`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # EXIF oddities and large sizes: judged here
        try:
            return _decode(data)
        except UnusablePicture:
            raise
        except UnidentifiedImageError as error:
            raise UnusablePicture("not-an-image", f"not one of {', '.join(FORMATS)}") from error
        except Image.DecompressionBombError as error:
            raise UnusablePicture("too-many-pixels", _plain(error)) from error
        except Exception as error:  # decoders raise SyntaxError, ValueError, struct.error, …
            raise UnusablePicture("damaged", f"{type(error).__name__}: {_plain(error)}") from error


def _decode(data: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(data), formats=FORMATS)
    width, height = picture.size
    if width * height > MAX_PIXELS:
        raise UnusablePicture("too-many-pixels", f"{width} x {height}")
    kind = picture.format
    picture.load()
    upright = ImageOps.exif_transpose(picture)
    upright.format = kind
    return upright


def examine(image_id: str, source: ImageRef | bytes) -> ImageInfo:
    """Judge one picture, given as a reference or as its bytes: size, format and digests.

    Raises nothing: what is wrong stands in `problem`.
    """
    try:
        data = source if isinstance(source, bytes) else read_bytes(source)
        picture = decode(data)
    except UnusablePicture as error:
        return ImageInfo(image_id, problem=error.reason, detail=error.detail)
    return ImageInfo(
        id=image_id,
        sha256=hashlib.sha256(data).hexdigest(),
        phash=perceptual_hash(picture),
        width=picture.width,
        height=picture.height,
        format=picture.format or "",
    )


SENT_AS_THEY_ARE = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
"""Formats that every endpoint reads, with their media types."""

JPEG_QUALITY = 90
"""Quality of the pictures that had to be made smaller before they were sent."""


def fit(data: bytes, max_side: int) -> tuple[bytes, str]:
    """Make a picture's file fit to be sent: bytes as they are wherever that will do.

    Args:
        data: The file.
        max_side: Longest side in pixels that is sent; 0 for any.

    Returns:
        The file to send, upright and in a format that endpoints read, and its media type.

    Raises:
        UnusablePicture: as `decode`.
    """
    kind = _sent_as_it_is(data, max_side)
    if kind:
        return data, kind
    shown = on_white(decode(data))
    if max_side:
        shown.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    shown.save(file, "JPEG", quality=JPEG_QUALITY)
    return file.getvalue(), "image/jpeg"


def _sent_as_it_is(data: bytes, max_side: int) -> str:
    """Give the media type of a file that can be sent unchanged, else ""."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture = Image.open(io.BytesIO(data), formats=FORMATS)
            small = not max_side or max(picture.size) <= max_side
            plain = picture.mode in {"1", "L", "P", "RGB", "RGBA"}
            still = getattr(picture, "n_frames", 1) == 1
            upright = picture.getexif().get(ExifTags.Base.Orientation, 1) == 1
    except Exception:  # noqa: BLE001  # odd, though its first frame can be decoded
        return ""
    fit_as_it_is = small and plain and still and upright
    return SENT_AS_THEY_ARE.get(picture.format or "", "") if fit_as_it_is else ""


def on_white(picture: Image.Image) -> Image.Image:
    """Show a picture as it would look on a white page, in RGB."""
    if picture.has_transparency_data:
        shown = picture.convert("RGBA")
        picture = Image.new("RGBA", shown.size, "white")
        picture.alpha_composite(shown)
    return picture.convert("RGB")


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


def _plain(error: BaseException) -> str:
    """Say what an error says, without memory addresses, paths or line breaks."""
    text = error.strerror or "" if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(re.sub(r"<[^>]*\bat 0x[0-9a-f]+>|0x[0-9a-f]{6,}", "…", text).split())[:200]
