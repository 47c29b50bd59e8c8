"""Pictures: finding them without leaving their root, judging them, hashing them.

Opening a picture of unknown origin can raise nearly anything, so `examine` raises nothing: a
verdict is a value, and its `problem` a short reason that can be counted. Files of strangers are
judged in child processes (`mimicit.decoding`).
"""

import hashlib
import io
import os
import re
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from mimicit import metadata
from mimicit.errors import SourceError
from mimicit.lookalikes import describe
from mimicit.pixels import as_jpeg, on_white, perceptual_hash, shrunk
from mimicit.schema import ImageInfo, ImageRef

Image.init()  # registers every format, so that `formats=` below finds those that it names

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
"""What is taken for a picture. Left out: formats that run a program to be read (EPS) and those
that loaders of training data do not read (ICO, PSD, TGA, …)."""

MAX_PIXELS = 100_000_000
"""Largest picture that is decoded: 100 megapixels, 400 MB in memory as RGB."""

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
    parts = [part for part in name.split("/") if part not in {"", "."}]
    if not parts or name.startswith("/") or ".." in parts or _DRIVE.match(name) or "\0" in name:
        raise UnusablePicture(
            "unsafe-path", f"{ref.name!r} does not stay below the images directory"
        )
    # Every picture of every pass comes by here, so the root is only resolved for a link below it,
    # and `pathlib` would take several times as long.
    path = ref.root if os.path.isabs(ref.root) else f"{os.getcwd()}/{ref.root}"  # noqa: PTH109, PTH117
    linked = False
    try:
        for part in parts:
            path = f"{path}/{part}"
            status = os.lstat(path)
            linked = linked or stat.S_ISLNK(status.st_mode)
        mode: int | None = status.st_mode
        if linked:
            path = os.path.realpath(path, strict=True)
            mode = os.stat(path).st_mode if _is_below(path, ref.root) else None  # noqa: PTH116
    except FileNotFoundError:
        raise UnusablePicture("missing-file", f"no file {name!r}") from None
    except (OSError, RuntimeError, ValueError):  # too long, a loop of links, no spelling in bytes
        if not linked or _is_below(os.path.realpath(path), ref.root):
            raise UnusablePicture("missing-file", f"{name!r} cannot be looked up") from None
        mode = None
    if mode is None:
        raise UnusablePicture(
            "unsafe-path", f"{name!r} is a link that leads out of the images directory"
        )
    if not stat.S_ISREG(mode):
        raise UnusablePicture("not-a-file", f"{name!r} is not a regular file")
    return Path(path)


def _is_below(path: str, root: str) -> bool:
    return Path(path).is_relative_to(os.path.realpath(root))


def read_bytes(ref: ImageRef) -> bytes:
    """Read a picture's file, unchanged.

    Raises:
        UnusablePicture: as `resolve`, or `unreadable-file`, `empty-file`, `file-too-large`.
    """
    path = resolve(ref)
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123  # half the time of `path.open`
            size = os.fstat(file.fileno()).st_size
            if size > MAX_FILE_BYTES:
                what = f"{size:,} bytes, more than {MAX_FILE_BYTES:,}"
                raise UnusablePicture("file-too-large", what)
            data = file.readall()
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


@dataclass(frozen=True, slots=True)
class Opened:
    """A decoded picture, and what is to be known of its file.

    Attributes:
        picture: The first frame, upright, its `format` kept.
        media_type: Media type of a file that every endpoint shows right as it is, else "".
        salvaged: Only a part of it could be decoded.
    """

    picture: Image.Image
    media_type: str
    salvaged: bool = False


def decode(data: bytes, *, salvage: bool = False) -> Image.Image:
    """Decode a picture's first frame whole, upright, its `format` kept.

    Args:
        data: The file.
        salvage: Decode a broken one as far as it goes, if at least half of it can be seen.

    Raises:
        UnusablePicture: `not-an-image`, `too-many-pixels`, `out-of-memory`, `truncated` or
            `damaged`.
    """
    return opened(data, salvage=salvage).picture


def opened(data: bytes, *, salvage: bool = False) -> Opened:
    """Decode a picture as `decode`, and say what its file is like.

    Raises:
        UnusablePicture: as `decode`.
    """
    try:
        with _LENIENCY.refused(), _verdicts(data):
            picture = _load(data)
            upright = _upright(picture)
            return Opened(upright, _media_type(picture) if upright is picture else "")
    except UnusablePicture as error:
        if not salvage or error.reason not in {"truncated", "damaged"}:
            raise
        return _salvaged(data, error)


_JPEGS = frozenset(("JPEG", "MPO"))


def _load(data: bytes, fill: int | None = None) -> ImageFile.ImageFile:
    """Decode the first frame as it is stored; `fill` is what memory holds before."""
    kind = data[12:16] if metadata.WEBP.match(data) else b""
    if kind == b"VP8X":  # its canvas is allocated as soon as it is opened
        _bound(*(int.from_bytes(data[i : i + 3], "little") + 1 for i in (24, 27)))
    picture = Image.open(io.BytesIO(data), formats=FORMATS)
    _bound(*picture.size)
    if picture.format in _JPEGS and metadata.holds_too_little(len(data), picture):
        raise UnusablePicture("truncated", f"too few bytes for {picture.width} x {picture.height}")
    if fill is not None:
        prepare = picture.load_prepare

        def prepare_and_fill() -> None:
            prepare()
            picture.im.paste(fill, (0, 0, *picture.im.size))

        picture.load_prepare = prepare_and_fill  # type: ignore[method-assign]
    picture.load()
    vars(picture).pop("load_prepare", None)  # it holds the picture, which holds it
    return picture


def _bound(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise UnusablePicture("too-many-pixels", f"{width} x {height}")


_TURNS = "FLIP_LEFT_RIGHT ROTATE_180 FLIP_TOP_BOTTOM TRANSPOSE ROTATE_270 TRANSVERSE ROTATE_90"
"""What brings a picture upright, for each EXIF orientation from 2 to 8."""


def _upright(picture: ImageFile.ImageFile) -> Image.Image:
    turned = metadata.orientation(picture)
    if turned not in metadata.TURNED:
        return picture
    upright = picture.transpose(Image.Transpose[_TURNS.split()[turned - 2]])
    upright.format = picture.format
    for said_turned in ("exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"):
        upright.info.pop(said_turned, None)
    return upright


SENT_AS_THEY_ARE = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
"""Formats that every endpoint reads, with their media types."""


def _media_type(picture: ImageFile.ImageFile) -> str:
    """Give the media type of the file of an upright picture if it can be sent as it is, else ""."""
    kind = SENT_AS_THEY_ARE.get(picture.format or "", "")
    plain = picture.mode in {"1", "L", "P", "RGB", "RGBA"}
    return kind if kind and plain and getattr(picture, "n_frames", 1) == 1 else ""


_CUT_SHORT = re.compile("truncated|not enough|end of file", re.IGNORECASE)
"""What decoders say of a file that ends too early."""


@contextmanager
def _verdicts(data: bytes) -> Iterator[None]:
    """Turn whatever decoding a picture raises into a verdict."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # EXIF oddities and large sizes: judged here
            yield
    except UnusablePicture:
        raise
    except Image.DecompressionBombError as error:
        raise UnusablePicture("too-many-pixels", f"more than {MAX_PIXELS:,}") from error
    except MemoryError as error:
        raise UnusablePicture("out-of-memory", "decoding it takes too much memory") from error
    except Exception as error:  # decoders raise SyntaxError, ValueError, struct.error, …
        short = isinstance(error, EOFError) or _CUT_SHORT.search(str(error))
        if short or metadata.ends_early(data):
            raise UnusablePicture("truncated", "the file ends before the picture does") from error
        if not isinstance(error, UnidentifiedImageError):
            raise UnusablePicture("damaged", f"{type(error).__name__}: {_plain(error)}") from error
        if metadata.SIGNATURE.match(data):
            detail = "begins as a picture does, but cannot be opened"
            raise UnusablePicture("damaged", detail) from error
        raise UnusablePicture("not-an-image", f"not one of {', '.join(FORMATS)}") from error


LEAST_SEEN = 0.5
"""Share of a picture's pixels that must have been decoded for it to be salvaged."""


class _Leniency:
    """Pillow's switch for broken files, which is one for the process: on for one decoder alone."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._strict = 0

    @contextmanager
    def refused(self) -> Iterator[None]:
        """Decode strictly, beside any number of others."""
        with self._changed:
            self._strict += 1
        try:
            yield
        finally:
            with self._changed:
                self._strict -= 1
                self._changed.notify_all()

    @contextmanager
    def granted(self) -> Iterator[None]:
        """Decode as far as it goes, alone."""
        with self._changed:  # held until the end, so that nobody begins to decode strictly
            self._changed.wait_for(lambda: not self._strict)
            before, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, True
            try:
                yield
            finally:
                ImageFile.LOAD_TRUNCATED_IMAGES = before


_LENIENCY = _Leniency()


def _salvaged(data: bytes, verdict: UnusablePicture) -> Opened:
    """Decode a broken picture as far as it goes.

    Raises:
        UnusablePicture: the verdict that there was, if too little of it can be seen.
    """
    try:
        with _LENIENCY.granted(), _verdicts(data):
            picture = _load(data, fill=0)
            seen = _share_seen(picture, data)
            upright = _upright(picture)
    except UnusablePicture:
        raise verdict from None
    if seen < LEAST_SEEN:
        raise UnusablePicture(verdict.reason, "less than half of it can be seen")
    return Opened(upright, "", salvaged=True)


def _share_seen(picture: Image.Image, data: bytes) -> float:
    """Measure which share of a picture's pixels was decoded, 0 to 1, into memory full of 0."""
    pixels = np.asarray(picture).reshape(picture.height, picture.width, -1)
    if picture.format not in _JPEGS:  # decoded again into other memory, what did not come differs
        other = np.asarray(_load(data, fill=255)).reshape(pixels.shape)
        return float((pixels == other).all(axis=2).mean())
    if picture.info.get("progressive") and metadata.only_coarse(data):
        return 0.0
    # The decoder of JPEG leaves no pixel out: what did not come is grey.
    return 1 - float(((pixels >= 127) & (pixels <= 129)).all(axis=2).mean())


def examine(image_id: str, source: ImageRef | bytes, *, salvage: bool = False) -> ImageInfo:
    """Judge one picture, given as a reference or as its bytes: size, format, digests, looks.

    Raises nothing: what is wrong stands in `problem`.
    """
    try:
        data = source if isinstance(source, bytes) else read_bytes(source)
        found = opened(data, salvage=salvage)
        picture = found.picture
        with _verdicts(data):
            shown = on_white(picture)
            phash, descriptor = perceptual_hash(shown), describe(shown)
    except UnusablePicture as error:
        return ImageInfo(image_id, problem=error.reason, detail=error.detail)
    return ImageInfo(
        id=image_id,
        sha256=hashlib.sha256(data).hexdigest(),
        phash=phash,
        descriptor=descriptor,
        width=picture.width,
        height=picture.height,
        format=picture.format or "",
        media_type=found.media_type,
        salvaged=found.salvaged,
    )


def fit(data: bytes, max_side: int, *, salvage: bool = False) -> tuple[bytes, str]:
    """Make a picture's file fit to be sent: bytes as they are wherever that will do.

    Args:
        data: The file.
        max_side: Longest side in pixels that is sent; 0 for any.
        salvage: As for `decode`.

    Returns:
        The file to send, upright and in a format that endpoints read, and its media type.

    Raises:
        UnusablePicture: as `decode`.
    """
    found = opened(data, salvage=salvage)
    if found.media_type and not (max_side and max(found.picture.size) > max_side):
        return data, found.media_type
    with _verdicts(data):
        return as_jpeg(shrunk(on_white(found.picture), max_side)), "image/jpeg"


def _plain(error: BaseException) -> str:
    """Say what an error says, without memory addresses, paths or line breaks."""
    text = error.strerror or "" if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(re.sub(r"<[^>]*\bat 0x[0-9a-f]+>|0x[0-9a-f]{6,}", "…", text).split())[:200]
