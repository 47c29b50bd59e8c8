"""Taking what a camera or an editor wrote out of a picture's file, its compressed pixels untouched.

What decides how the picture looks stays: colour profiles, transparency, the frames of an animation
and which way is up. The rest goes: EXIF with its GPS position, XMP, IPTC, comments, thumbnails, and
second pictures and videos that hang behind the first picture.
"""

import io
import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import suppress

from PIL import ExifTags, Image

TURNED = range(2, 9)
"""EXIF orientations of a picture that is not stored upright."""


class _OddError(ValueError):
    """A file is not built as its format says."""


def strip(data: bytes) -> bytes | None:
    """Take the metadata out of a JPEG, PNG or WebP file.

    The result decodes to the same pixels and is upright the same way. It is `data` itself where
    there was nothing to take out, and None where the file is of another format, or not built as
    its format says: such a file has to be encoded anew. Raises nothing.
    """
    for signature, clean in _CLEANERS:
        if signature.match(data):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # EXIF oddities: it goes
                try:
                    cleaned = clean(data)
                except (_OddError, struct.error):
                    return None
            return data if cleaned == data else cleaned
    return None


def orientation(picture: Image.Image) -> int:
    """Tell which way a picture is stored: 2 to 8 as EXIF numbers them, else 1.

    EXIF that cannot be read says nothing.
    """
    try:
        value = picture.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # noqa: BLE001  # whatever reading EXIF of unknown origin raises
        return 1
    return value if isinstance(value, int) and value in TURNED else 1


SIGNATURE = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|II\*\0|MM\0\*|RIFF.{4}WEBP|.{4}ftypavi[fs]"
    rb"|\0\0\0\x0cjP  |\xff\x4f\xff\x51",
    re.DOTALL,
)
"""How files of most formats of pictures begin."""


def ends_early(data: bytes) -> bool:
    """Tell whether a file says that it is longer than it is: WebP, AVIF and JPEG 2000 do."""
    if WEBP.match(data):
        return int.from_bytes(data[4:8], "little") + 8 > len(data)
    place = 0
    while data[4:8] in {b"ftyp", b"jP  "} and place + 8 <= len(data):
        size = int.from_bytes(data[place : place + 4], "big")
        if size < 8:  # until the end of the file, or a size that is told elsewhere
            return False
        place += size
    return place > len(data)


def _exif(turned: int) -> bytes:
    """Write EXIF that says which way the picture is stored and nothing else."""
    entry = struct.pack(">HHHIHH", 1, ExifTags.Base.Orientation, 3, 1, turned, 0)
    return b"MM\0*\0\0\0\x08" + entry + b"\0\0\0\0"


def _opened(file: bytes, kind: str) -> Image.Image:
    """Read a file's header as a decoder of that format does.

    Raises:
        _OddError: it cannot be opened.
    """
    try:
        return Image.open(io.BytesIO(file), formats=(kind,))
    except Exception as error:  # Pillow's formats raise nearly anything
        raise _OddError(f"not a {kind} file") from error


# ------------------------------------------------------------------ JPEG

SOS = 0xDA
"""Marker of a JPEG's segment that compressed pixels follow."""

_EOI, _COM = 0xD9, 0xFE
_APP0, _APP1, _APP2, _APP14, _APP15 = 0xE0, 0xE1, 0xE2, 0xEE, 0xEF
_MARKER = re.compile(rb"\xff[^\x00\x01\xff]")
"""The next marker that is more than a fill byte."""

_SCAN_END = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""The next marker after compressed pixels: neither a stuffed 0xFF nor a restart."""

_JPEG_TABLES = {*range(0xC0, 0xD0), *range(0xDA, 0xE0)} - {0xC8}
"""Markers of segments that the pixels are decoded with."""


def jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Give the (marker, bytes) of a JPEG's first picture, from after SOI to before EOI.

    The bytes are the marker, its segment and, after SOS, the compressed pixels. Fill bytes and
    bytes that belong to nothing are left out.

    Raises:
        ValueError: the file is built otherwise or ends before its picture does.
    """
    place = 2
    while found := _MARKER.search(data, place):
        place, marker = found.start(), data[found.start() + 1]
        if marker == _EOI:
            return
        length = int.from_bytes(data[place + 2 : place + 4], "big")
        end = place + 2 + length
        if length < 2 or marker < 0xC0 or 0xD0 <= marker <= 0xD8:
            break
        if marker == SOS:
            scan = _SCAN_END.search(data, end)
            end = scan.start() if scan else len(data)
        yield marker, data[place:end]
        place = end
    raise _OddError("the picture does not end")


def only_coarse(data: bytes) -> bool:
    """Tell whether nothing but the means of the blocks came whole of a progressive JPEG."""
    fine = []
    with suppress(ValueError):  # it is broken: that is why one asks
        for marker, segment in jpeg_segments(data):
            if marker == SOS:
                start = 5 + 2 * int.from_bytes(segment[4:5], "big")
                fine.append(segment[start : start + 1] > b"\0")
    return not any(fine[:-1])


def _jpeg_kept(marker: int, segment: bytes) -> bytes:
    """Give what stays of a segment, b"" for nothing."""
    body = segment[4:]
    if marker == _APP0 and body.startswith(b"JFIF\0") and len(body) >= 14:
        return b"\xff\xe0\0\x10" + body[:12] + b"\0\0"  # without its thumbnail
    if marker == _APP14 and body.startswith(b"Adobe") and len(body) >= 12:
        return b"\xff\xee\0\x0e" + body[:12]
    if marker == _APP2 and body.startswith(b"ICC_PROFILE\0"):
        return segment
    if marker in _JPEG_TABLES:
        return segment
    if _APP0 <= marker <= _APP15 or marker == _COM:
        return b""
    raise _OddError(f"marker {marker:#x}")


def _clean_jpeg(data: bytes) -> bytes:
    segments = [_jpeg_kept(marker, segment) for marker, segment in jpeg_segments(data)]
    picture = _opened(data, "JPEG")
    turned = orientation(picture)
    if turned in TURNED:
        body = b"Exif\0\0" + _exif(turned)
        first = next((i for i, s in enumerate(segments) if s[:2] == b"\xff\xe0"), -1)
        head = struct.pack(">BBH", 0xFF, _APP1, len(body) + 2)
        segments.insert(first + 1, head + body)
    cleaned = b"\xff\xd8" + b"".join(segments) + b"\xff\xd9"
    if holds_too_little(len(cleaned), picture):
        raise _OddError("only with its metadata is it as long as its pixels need")
    return cleaned


def holds_too_little(size: int, picture: Image.Image) -> bool:
    """Tell whether a JPEG of so many bytes cannot hold the pixels that it says it has.

    A byte stands for 512 pixels at most: 64 a block, and a block takes a bit at least.
    """
    return size < picture.width * picture.height // 512


# ------------------------------------------------------------------- PNG

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_LOOKS = frozenset(
    b"tRNS gAMA cHRM sRGB iCCP sBIT bKGD pHYs cICP mDCV cLLI acTL fcTL fdAT".split()
)
"""Chunks that a decoder may pass over, but that decide how the picture looks."""


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Give the (type, whole chunk) of each chunk of a PNG, up to its end.

    Raises:
        ValueError: the file ends before.
    """
    place, kind = len(_PNG), b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, place)
        end = place + 12 + length
        if end > len(data) or not kind.isalpha():
            raise _OddError(f"chunk {kind!r} at byte {place}")
        yield kind, data[place:end]
        place = end


def _png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _clean_png(data: bytes) -> bytes:
    kept: list[bytes] = []
    before: list[bytes] = []
    after: list[bytes] = []
    said = before
    for kind, chunk in _png_chunks(data):
        if kind == b"IDAT":
            said = after  # what is said after the pixels is read otherwise
        ancillary = kind[0] & 0x20
        (said if ancillary and kind not in _PNG_LOOKS else kept).append(chunk)
    turned = _png_orientation(before, after) if before or after else 1
    if turned in TURNED:
        kept.insert(1, _png_chunk(b"eXIf", _exif(turned)))
    return _PNG + b"".join(kept)


def _png_orientation(before: list[bytes], after: list[bytes]) -> int:
    """Read the orientation out of a PNG's chunks before and after its pixels, as a decoder does.

    They are put into a picture of one pixel, so that no pixels need be decoded.
    """
    header = _png_chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    pixel = _png_chunk(b"IDAT", zlib.compress(b"\0\0"))
    file = [_PNG, header, *before, pixel, *after, _png_chunk(b"IEND", b"")]
    return orientation(_opened(b"".join(file), "PNG"))


# ------------------------------------------------------------------ WebP

WEBP = re.compile(rb"RIFF.{4}WEBP", re.DOTALL)
"""How a WebP file begins."""

_FRAME_LOOKS = frozenset((b"ALPH", b"VP8 ", b"VP8L"))
_WEBP_LOOKS = _FRAME_LOOKS | {b"VP8X", b"ICCP", b"ANIM", b"ANMF"}
_WEBP_HAS_EXIF, _WEBP_HAS_XMP = 0x08, 0x04


def webp_chunks(data: bytes, place: int = 12) -> Iterator[tuple[bytes, bytes]]:
    """Give the (type, body) of each chunk of a WebP file.

    Raises:
        ValueError: the file ends before.
    """
    while place + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, place)
        body = data[place + 8 : place + 8 + length]
        if len(body) < length:
            raise _OddError("a chunk that goes on after the end")
        yield kind, body
        place += 8 + length + length % 2


def _webp_file(data: bytes) -> bytes:
    """Cut off what comes after a WebP file.

    Raises:
        ValueError: the file ends before it should.
    """
    (length,) = struct.unpack_from("<I", data, 4)
    if length + 8 > len(data):
        raise _OddError("the file ends before its picture does")
    return data[: length + 8]


def _webp_kept(
    data: bytes, place: int = 12, looks: frozenset[bytes] = _WEBP_LOOKS
) -> list[tuple[bytes, bytes]]:
    kept = []
    for kind, body in webp_chunks(data, place):
        if kind not in looks:
            continue
        if kind == b"ANMF":  # a frame: 16 bytes on it, then chunks of its own
            body = body[:16] + _webp_join(_webp_kept(body, 16, _FRAME_LOOKS))  # noqa: PLW2901
        kept.append((kind, body))
    return kept


def _webp_join(chunks: list[tuple[bytes, bytes]]) -> bytes:
    return b"".join(
        kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
        for kind, body in chunks
    )


def _clean_webp(data: bytes) -> bytes:
    chunks = _webp_kept(_webp_file(data))
    turned = orientation(_opened(data, "WEBP"))
    if not chunks or (turned in TURNED and chunks[0][0] != b"VP8X"):
        raise _OddError("no picture, or EXIF where there can be none")
    kind, body = chunks[0]
    if kind == b"VP8X" and body:
        flags = body[0] & ~(_WEBP_HAS_EXIF | _WEBP_HAS_XMP)
        if turned in TURNED:
            flags |= _WEBP_HAS_EXIF
            chunks.append((b"EXIF", _exif(turned)))
        chunks[0] = (kind, bytes([flags]) + body[1:])
    joined = b"WEBP" + _webp_join(chunks)
    return b"RIFF" + struct.pack("<I", len(joined)) + joined


_CLEANERS = (
    (re.compile(rb"\xff\xd8\xff"), _clean_jpeg),
    (re.compile(re.escape(_PNG)), _clean_png),
    (WEBP, _clean_webp),
)
