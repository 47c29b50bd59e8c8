"""Taking metadata out of a picture's file without touching its pixels."""

import io
import struct
import zlib
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from conftest import SHARED, needs_shared
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin

from mimicit.images import UnusablePicture, decode
from mimicit.metadata import ends_early, orientation, strip

SECRET = b"51N-0W-secret"
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def photograph(size: tuple[int, int] = (60, 40)) -> Image.Image:
    gradient = Image.linear_gradient("L").resize(size)
    return Image.merge("RGB", (gradient, gradient.rotate(90), gradient.rotate(180)))


def exif(turned: int = 1) -> Image.Exif:
    tags = Image.Exif()
    tags[0x010F] = SECRET.decode()  # the maker
    tags[0x0112] = turned
    tags.get_ifd(0x8825)[29] = SECRET.decode()  # the date of the GPS position
    return tags


def saved(kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    photograph().save(file, kind, **options)
    return file.getvalue()


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def jpeg(**options: object) -> bytes:
    """Make a JPEG with every sort of metadata, a thumbnail, and a second picture behind it."""
    plain = saved("JPEG", icc_profile=PROFILE, **options)
    assert plain[2:4] == b"\xff\xe0"
    jfif = segment(0xE0, plain[6:18] + b"\1\1" + b"abc") + segment(0xE0, b"JFXX\0" + SECRET)
    added = [
        segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + SECRET),
        segment(0xE2, b"MPF\0" + SECRET),
        segment(0xED, b"Photoshop 3.0\x008BIM" + SECRET),
        segment(0xEB, SECRET),
        segment(0xFE, SECRET),
        b"\xff\xff\xff" + segment(0xFE, SECRET)[1:],  # after fill bytes
        SECRET,  # junk between segments
    ]
    return b"\xff\xd8" + jfif + b"".join(added) + plain[20:] + saved("JPEG", comment=SECRET)


def png(**options: object) -> bytes:
    """Make a PNG with every sort of metadata, also after its pixels and its end."""
    text = PngImagePlugin.PngInfo()
    text.add_text("Author", SECRET.decode())
    text.add_text("Comment", SECRET.decode(), zip=True)
    text.add_itxt("XML:com.adobe.xmp", SECRET.decode())
    plain = saved("PNG", icc_profile=PROFILE, pnginfo=text, dpi=(300, 300), **options)
    more = chunk(b"tIME", b"\x07\xe8\1\1\1\1\1") + chunk(b"teSt", SECRET) + chunk(b"tEXt", SECRET)
    return plain[:-12] + more + plain[-12:] + SECRET


def webp(**options: object) -> bytes:
    return saved("WEBP", icc_profile=PROFILE, xmp=b"<x>" + SECRET, **options) + SECRET


FILES: dict[str, tuple[Callable[..., bytes], dict[str, object]]] = {
    "JPEG": (jpeg, {}),
    "progressive": (jpeg, {"progressive": True}),
    "restarts": (jpeg, {"restart_marker_blocks": 2}),
    "PNG": (png, {}),
    "WebP": (webp, {}),
    "lossless WebP": (webp, {"lossless": True}),
    "animated WebP": (webp, {"save_all": True, "append_images": [photograph().rotate(180)]}),
    "animated PNG": (png, {"save_all": True, "append_images": [photograph().rotate(180)]}),
}


def frames(data: bytes) -> Iterator[bytes]:
    with Image.open(io.BytesIO(data)) as picture:
        for number in range(2):
            picture.seek(number)
            yield picture.convert("RGBA").tobytes()


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("turned", [0, 1, 6])
def test_metadata_goes_and_the_picture_stays(kind: str, turned: int) -> None:
    make, options = FILES[kind]
    data = make(exif=exif(turned), **options)
    assert SECRET in data
    stripped = strip(data)
    assert stripped is not None
    assert SECRET not in stripped
    assert decode(stripped).tobytes() == decode(data).tobytes()
    assert decode(stripped).size == ((40, 60) if turned == 6 else (60, 40))
    if make is jpeg:
        assert stripped[:20] == b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0", "no thumbnail"
    if kind.startswith("animated"):
        assert list(frames(stripped)) == list(frames(data))
    info = Image.open(io.BytesIO(stripped)).info
    assert info["icc_profile"] == PROFILE
    assert ("exif" in info) == (turned == 6)
    assert "comment" not in info
    assert "xmp" not in info
    assert strip(stripped) is stripped


@pytest.mark.parametrize("turned", range(2, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_turned_picture_keeps_nothing_but_its_turn(kind: str, turned: int) -> None:
    stripped = strip(saved(kind, exif=exif(turned)))
    assert stripped is not None
    picture = Image.open(io.BytesIO(stripped))
    assert dict(picture.getexif()) == {0x0112: turned}
    assert picture.getexif().get_ifd(0x8825) == {}
    assert orientation(picture) == turned


def test_a_turn_told_in_xmp_or_after_the_pixels_is_kept() -> None:
    xmp = b'<x:xmpmeta tiff:Orientation="6">'
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", xmp.decode())
    late = saved("PNG")[:-12] + chunk(b"eXIf", exif(8).tobytes()[6:]) + saved("PNG")[-12:]
    odd = (
        late[:-16] + b"\0\0\0\0" + late[-12:]
    )  # its checksum is wrong: after the pixels, none cares
    files = saved("JPEG", xmp=xmp), saved("WEBP", xmp=xmp), saved("PNG", pnginfo=text), late, odd
    for data in files:
        stripped = strip(data)
        assert stripped is not None
        assert decode(stripped).size == (40, 60)
        assert decode(stripped).tobytes() == decode(data).tobytes()
        assert b"tiff" not in stripped


def test_what_shows_in_a_png_stays() -> None:
    palette = photograph().quantize(16)
    file = io.BytesIO()
    palette.save(file, "PNG", transparency=3, dpi=(300, 300))
    looks = chunk(b"gAMA", struct.pack(">I", 45455)) + chunk(b"sRGB", b"\0")
    data = file.getvalue()[:33] + looks + file.getvalue()[33:]
    assert strip(data) is data


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_file_without_metadata_is_left_alone(kind: str) -> None:
    data = saved(kind)
    assert strip(data) is data


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM"])
def test_other_formats_are_left_to_the_caller(kind: str) -> None:
    assert strip(saved(kind)) is None


@pytest.mark.parametrize("kind", FILES)
def test_a_file_cut_anywhere_is_stripped_or_refused(kind: str) -> None:
    make, options = FILES[kind]
    data = make(exif=exif(6), **options)
    for end in range(0, len(data), 7):
        stripped = strip(data[:end])
        if stripped is not None:
            assert SECRET not in stripped
            assert decode(stripped).size == (40, 60)


@given(
    st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\xff\0\0\0WEBP", b""]),
    st.binary(),
)
def test_no_bytes_make_it_raise(start: bytes, rest: bytes) -> None:
    strip(start + rest)


@example("JPEG", 1068, b"7")  # so high that it takes its metadata to seem long enough
@example("lossless WebP", 18887, b"\x10\x01")  # at the end of its pixels
@given(st.sampled_from(sorted(FILES)), st.integers(0), st.binary(min_size=1, max_size=9))
def test_a_damaged_file_shows_the_same_as_before(kind: str, place: int, damage: bytes) -> None:
    make, options = FILES[kind]
    data = make(exif=exif(6), **options)
    place %= len(data)
    data = data[:place] + damage + data[place + len(damage) :]
    stripped = strip(data)
    try:
        before = decode(data)
        behind = decode(data[: data.rfind(b"EXIF")] + bytes(16)) if "lossless" in kind else before
    except UnusablePicture:
        return
    if not np.array_equal(np.asarray(behind), np.asarray(before)):
        return  # libwebp reads beyond the end of damaged pixels: they are whatever comes next
    if stripped is not None:
        assert np.array_equal(np.asarray(decode(stripped)), np.asarray(before))


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8" + b"\xff" * 3_000_000,
        saved("JPEG")[:-2] + b"\xff" * 3_000_000 + b"\0",
        b"RIFF\xf0\xff\xff\x7fWEBP" + b"ANMF\xff\xff\xff\x7f" * 1000,
        b"RIFF" + struct.pack("<I", 8004) + b"WEBP" + struct.pack("<4sI", b"ANMF", 9) * 1000,
    ],
    ids=["JPEG", "scan", "WebP", "nested"],
)
def test_fill_bytes_and_nesting_take_no_time(data: bytes) -> None:
    assert strip(data) is None


def test_a_file_that_is_shorter_than_it_says_is_told() -> None:
    for kind in ("WEBP", "AVIF", "JPEG2000"):
        data = saved(kind)
        assert not ends_early(data)
        assert ends_early(data[: len(data) * 2 // 3])
    assert not ends_early(saved("PNG")[:99])


@needs_shared
def test_real_files_lose_their_metadata_and_nothing_else() -> None:
    count = 0
    for path in sorted((SHARED / "bad_images").iterdir()):
        data = path.read_bytes()
        stripped = strip(data)
        try:
            before = decode(data)
        except UnusablePicture:
            continue
        if before.format not in {"JPEG", "MPO", "PNG", "WEBP"}:
            assert stripped is None, path.name
            continue
        assert stripped is not None, path.name
        assert decode(stripped).tobytes() == before.tobytes(), path.name
        info = Image.open(io.BytesIO(stripped)).info
        assert not {"xmp", "photoshop", "comment", "mp"} & set(info), path.name
        assert len(info.get("exif", b"")) in {0, 26, 32}, path.name
        assert strip(stripped) is stripped, path.name
        count += stripped is not data
    assert count > 20
