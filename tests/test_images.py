"""Finding, judging and hashing pictures."""

import io
import math
import os
import re
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageFile

from mimicit.images import (
    UnusablePicture,
    decode,
    examine,
    fit,
    read_bytes,
    resolve,
)
from mimicit.pixels import on_white, perceptual_hash
from mimicit.schema import ImageRef


def jpeg(size: tuple[int, int] = (64, 48), mode: str = "RGB", **options: object) -> bytes:
    buffer = io.BytesIO()
    gradient = Image.linear_gradient("L").resize(size).convert(mode)
    gradient.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(mode: str = "RGB", size: tuple[int, int] = (96, 64)) -> Image.Image:
    values = np.random.default_rng(1).integers(0, 256, size[::-1], np.uint8)
    return Image.fromarray(values).convert(mode)


NO_BYTES = lambda value: value if isinstance(value, str) else ""  # noqa: E731
"""Names a case by its words, as its bytes are too long for a name."""


def ref(root: Path, name: str) -> ImageRef:
    return ImageRef("LA_IMG_1", str(root), name)


@pytest.mark.parametrize(
    "name",
    [
        "../secret.jpg",
        "a/../../secret.jpg",
        "/etc/passwd",
        "..\\secret.jpg",
        "C:\\secret.jpg",
        "",
        ".",
        "a\0b.jpg",
    ],
)
def test_a_name_that_leaves_the_root_is_refused(tmp_path: Path, name: str) -> None:
    root = tmp_path / "root"
    (root / "a").mkdir(parents=True)
    (tmp_path / "secret.jpg").write_bytes(jpeg())
    verdict = examine("LA_IMG_1", ref(root, name))
    assert verdict.problem in {"unsafe-path", "not-a-file"}
    assert verdict.sha256 == ""


@given(st.text(max_size=40))
def test_no_name_is_ever_read_from_outside_the_root(name: str) -> None:
    root = Path(__file__).parent
    try:
        path = resolve(ref(root, name))
    except UnusablePicture:
        return
    assert path.is_relative_to(root.resolve())


def test_a_link_that_leads_out_of_the_root_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret.jpg").write_bytes(jpeg())
    (root / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    (root / "inner.jpg").write_bytes(jpeg())
    (root / "fine.jpg").symlink_to(root / "inner.jpg")
    assert examine("i", ref(root, "link.jpg")).problem == "unsafe-path"
    assert examine("i", ref(root, "fine.jpg")).problem == ""


def test_a_root_that_is_a_link_itself_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.jpg").write_bytes(jpeg())
    (tmp_path / "root").symlink_to(tmp_path / "real")
    assert examine("i", ref(tmp_path / "root", "a.jpg")).problem == ""


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")  # reading it would wait for ever
    assert examine("i", ref(tmp_path, "folder.jpg")).problem == "not-a-file"
    assert examine("i", ref(tmp_path, "pipe.jpg")).problem == "not-a-file"
    assert examine("i", ref(tmp_path, "gone.jpg")).problem == "missing-file"


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "empty-file"),
        (b"hello", "not-an-image"),
        (jpeg()[:300], "truncated"),
        (saved(noise(), "WEBP")[:300], "truncated"),
        (saved(noise(), "AVIF")[:900], "truncated"),
        (saved(noise(), "GIF")[:900], "truncated"),
        (saved(noise(), "TIFF", compression="tiff_lzw")[:900], "damaged"),
        (saved(noise(), "PNG")[:200] + bytes(99) + saved(noise(), "PNG")[299:], "damaged"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not-an-image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not-an-image"),
    ],
    ids=NO_BYTES,
)
def test_a_bad_file_gets_a_reason(tmp_path: Path, data: bytes, problem: str) -> None:
    (tmp_path / "a.jpg").write_bytes(data)
    verdict = examine("i", ref(tmp_path, "a.jpg"))
    assert verdict.problem == problem
    assert verdict.detail
    assert str(tmp_path) not in verdict.detail


def with_size(data: bytes, place: int, form: str, *size: int) -> bytes:
    return data[:place] + struct.pack(form, *size) + data[place + struct.calcsize(form) :]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (saved(Image.new("1", (20_000, 20_000)), "PNG"), "too-many-pixels"),
        (b"P6 10001 10000 255 ", "too-many-pixels"),
        (with_size(saved(noise(), "GIF"), 6, "<HH", 65_535, 65_535), "too-many-pixels"),
        (saved(noise(), "WEBP", exif=b"II")[:24] + b"\xff\x2f\0" * 2 + bytes(9), "too-many-pixels"),
        (with_size(jpeg(), jpeg().index(b"\xff\xc0") + 5, ">HH", 9_999, 9_999), "truncated"),
    ],
    ids=NO_BYTES,
)
def test_a_bomb_is_not_decoded(data: bytes, problem: str) -> None:
    verdict = examine("i", data, salvage=True)
    assert verdict.problem == problem


def test_the_stated_size_is_the_upright_one() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    verdict = examine("i", jpeg((64, 48), exif=exif))
    assert (verdict.width, verdict.height) == (48, 64)


CORNERS = "0123 0123 1032 3210 2301 0213 2031 3120 1302 0123"
"""Where the corners 0, 1, 2, 3 of a stored picture belong, for the EXIF orientations 0 to 9."""


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize(("turned", "corners"), list(enumerate(CORNERS.split())))
def test_a_picture_is_brought_upright(kind: str, turned: int, corners: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = turned
    stored = np.arange(4, dtype=np.uint8).reshape(2, 2).repeat(16, 0).repeat(16, 1) * 50
    options = {"lossless": True} if kind == "WEBP" else {}
    upright = decode(saved(Image.fromarray(stored).convert("RGB"), kind, exif=exif, **options))
    shown = np.asarray(upright)[::16, ::16, 0] // 50
    assert "".join(map(str, shown.ravel())) == corners


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_every_mode_of_jpeg_is_decoded(mode: str) -> None:
    verdict = examine("i", jpeg(mode=mode))
    assert (verdict.problem, verdict.format) == ("", "JPEG")
    assert len(verdict.sha256) == 64
    assert len(verdict.phash) == 16


@pytest.mark.parametrize("body", [b"Exif\0\0nonsense", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif"])
def test_a_picture_with_broken_exif_is_a_picture(body: bytes) -> None:
    segment = struct.pack(">HH", 0xFFE1, len(body) + 2) + body
    verdict = examine("i", jpeg()[:2] + segment + jpeg()[2:])
    assert (verdict.problem, verdict.media_type) == ("", "image/jpeg")


TURNED = Image.Exif()
TURNED[ExifTags.Base.Orientation] = 6


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (jpeg(), "image/jpeg"),
        (saved(noise("P"), "PNG"), "image/png"),
        (saved(noise(), "WEBP"), "image/webp"),
        (jpeg(exif=TURNED), ""),
        (jpeg(mode="CMYK"), ""),
        (saved(noise("I;16"), "PNG"), ""),
        (saved(noise(), "GIF"), ""),
        (saved(noise(), "PNG", save_all=True, append_images=[noise()]), ""),
    ],
    ids=NO_BYTES,
)
def test_the_verdict_says_what_can_be_sent_as_it_is(data: bytes, media_type: str) -> None:
    assert examine("i", data).media_type == media_type
    assert (fit(data, 0)[0] is data) == bool(media_type)


def test_bytes_are_read_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg() + b"trailing")
    assert read_bytes(ref(tmp_path, "a.jpg")) == jpeg() + b"trailing"


def distance(a: str, b: str) -> int:
    return (int(a, 16) ^ int(b, 16)).bit_count()


def test_a_perceptual_hash_survives_scaling_and_compression() -> None:
    noise = Image.effect_noise((256, 256), 90).resize((64, 64)).resize((400, 300))
    other = Image.effect_noise((256, 256), 90).resize((64, 64)).resize((400, 300))
    buffer = io.BytesIO()
    noise.resize((200, 150)).save(buffer, "JPEG", quality=40)
    same = perceptual_hash(decode(buffer.getvalue()))
    assert distance(perceptual_hash(noise), same) <= 8
    assert distance(perceptual_hash(noise), perceptual_hash(other)) > 8


# ------------------------------------------------------------------ fit to be sent


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("max_side", [0, 64, 1000])
def test_a_file_that_will_do_is_sent_as_it_is(kind: str, max_side: int) -> None:
    data = saved(Image.linear_gradient("L").resize((64, 48)).convert("RGB"), kind)
    assert fit(data, max_side) == (data, f"image/{kind.lower()}")


@pytest.mark.parametrize(
    "data",
    [
        jpeg(mode="CMYK"),
        saved(Image.new("I;16", (64, 48), 999), "PNG"),
        saved(Image.new("RGB", (64, 48), "red"), "BMP"),
        saved(Image.new("RGB", (64, 48), "red"), "GIF"),
        saved(
            Image.new("RGB", (64, 48), "red"),
            "WEBP",
            save_all=True,
            append_images=[Image.new("RGB", (64, 48), "blue")],
        ),
    ],
    ids=["CMYK", "16-bit", "BMP", "GIF", "animated"],
)
def test_what_endpoints_may_not_read_is_sent_as_a_plain_jpeg(data: bytes) -> None:
    sent, kind = fit(data, 0)
    assert kind == "image/jpeg"
    picture = Image.open(io.BytesIO(sent))
    assert (picture.format, picture.mode, picture.size) == ("JPEG", "RGB", (64, 48))


def test_a_large_picture_is_sent_smaller_in_the_same_shape() -> None:
    sent, _ = fit(jpeg((300, 200)), 150)
    assert Image.open(io.BytesIO(sent)).size == (150, 100)


def test_a_turned_picture_is_sent_upright() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    sent, _ = fit(jpeg((64, 48), exif=exif), 0)
    picture = Image.open(io.BytesIO(sent))
    assert picture.size == (48, 64)
    assert picture.getexif().get(ExifTags.Base.Orientation, 1) == 1


def test_what_is_transparent_is_sent_on_white() -> None:
    data = saved(Image.new("RGBA", (300, 200), (0, 0, 0, 0)), "PNG")
    picture = Image.open(io.BytesIO(fit(data, 100)[0]))
    assert picture.getpixel((50, 30)) == (255, 255, 255)


def test_an_animation_that_is_damaged_later_on_is_sent_as_its_first_frame() -> None:
    frames = [Image.linear_gradient("L").rotate(angle) for angle in (0, 45, 90)]
    for kind in ("GIF", "TIFF", "WEBP"):
        whole = saved(frames[0], kind, save_all=True, append_images=frames[1:])
        for cut in range(len(whole) // 2, len(whole), max(1, len(whole) // 40)):
            data = whole[:cut]
            if not examine("LA_IMG_1", data).problem:
                assert fit(data, 0)[1] == "image/jpeg"


# ------------------------------------------------------------------ as it looks


def looks(values: list[float], mode: str) -> list[int]:
    kind = {"F": np.float32, "I": np.int32}.get(mode, np.uint16)
    shown = on_white(Image.fromarray(np.array([values], kind)))
    assert shown.mode == "RGB"
    return [int(v) for v in np.asarray(shown)[0, :, 0]]


@pytest.mark.parametrize(
    ("mode", "values", "shown"),
    [
        ("I;16", [0, 257, 0x8000, 65535], [0, 1, 128, 255]),
        ("I;16", [0, 1, 2, 3], [0, 0, 0, 0]),
        ("I", [0, 0x8000, 65535], [0, 128, 255]),
        ("I", [0, 100, 255], [0, 100, 255]),
        ("I", [0, 1, 1], [0, 255, 255]),
        ("I", [-100, 0, 100], [0, 128, 255]),
        ("I", [0, 2**30, 2**31 - 1], [0, 128, 255]),
        ("I", [-7, -7, -7], [0, 0, 0]),
        ("F", [0.0, 0.5, 1.0], [0, 128, 255]),
        ("F", [0.0, 99.0, 254.5], [0, 99, 254]),
        ("F", [-1.0, 0.0, 1.0], [0, 128, 255]),
        ("F", [math.nan, math.inf, 1.0], [0, 0, 255]),
    ],
)
def test_deep_grey_is_scaled_and_not_cut_off(
    mode: str, values: list[float], shown: list[int]
) -> None:
    assert looks(values, mode) == shown


def test_one_grey_of_a_deep_picture_can_be_transparent() -> None:
    deep = Image.fromarray(np.array([[0, 0x8000]], np.uint16))
    picture = decode(saved(deep, "PNG", transparency=0))
    assert np.asarray(on_white(picture))[0, :, 0].tolist() == [255, 128]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "CMYK"])
@pytest.mark.parametrize("white", [True, False])
def test_black_and_white_are_black_and_white_in_every_mode(mode: str, white: bool) -> None:
    plain = Image.new("RGB", (8, 8), "white" if white else "black")
    steps = {"RGBa": ["RGBA", "RGBa"], "PA": ["P", "PA"]}.get(mode, [mode])
    for step in steps:
        plain = plain.convert(step)
    assert on_white(plain).getextrema() == ((255 * white,) * 2,) * 3


@pytest.mark.parametrize(("kind", "mode"), [("JPEG", "CMYK"), ("TIFF", "CMYK"), ("TIFF", "LAB")])
def test_colours_of_printers_are_shown_as_on_a_screen(kind: str, mode: str) -> None:
    red = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    if mode == "LAB":
        red = Image.new("LAB", (16, 16), (136, 208, 195))
    shown = np.asarray(on_white(decode(saved(red, kind)))).reshape(-1, 3).mean(axis=0)
    assert shown[0] > 200
    assert max(shown[1:]) < 60


@pytest.mark.parametrize("mode", ["LA", "PA", "RGBA", "P"])
def test_what_shows_through_shows_white(mode: str) -> None:
    clear = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    picture = clear.convert(mode) if mode != "P" else Image.new("P", (8, 8))
    if mode == "P":
        picture.info["transparency"] = 0
    assert on_white(picture).getextrema() == ((255, 255),) * 3


# ------------------------------------------------------------------ salvaged


def interlaced(picture: Image.Image) -> bytes:
    """Write a grey PNG in seven passes."""
    pixels = np.asarray(picture.convert("L"))
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2)]
    rows = b"".join(
        b"\0" + row.tobytes()
        for y, x, down, right in [*passes, (1, 0, 2, 1)]
        for row in pixels[y::down, x::right]
    )
    header = struct.pack(">IIBBBBB", *picture.size, 8, 0, 0, 0, 1)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


WHOLE = {
    "JPEG": saved(noise(), "JPEG"),
    "restarts": saved(noise(), "JPEG", restart_marker_blocks=2),
    "PNG": saved(noise(), "PNG"),
    "interlaced": interlaced(noise()),
    "RGBA": saved(noise("RGBA"), "PNG"),
    "palette": saved(noise("P"), "PNG"),
    "GIF": saved(noise("L"), "GIF"),
    "transparent GIF": saved(noise("P"), "GIF", transparency=7),
    "BMP": saved(noise(), "BMP"),
    "TIFF": saved(noise(), "TIFF"),
    "16-bit": saved(noise("I").convert("I;16"), "PNG"),
    "PPM": saved(noise(), "PPM"),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_half_a_picture_is_salvaged_if_asked_for_and_less_is_not(kind: str) -> None:
    data = WHOLE[kind]
    for share in (0.3, 0.4, 0.6, 0.8):
        cut = data[: int(len(data) * share)]
        assert examine("i", cut).problem == "truncated"
        verdict = examine("i", cut, salvage=True)
        if share < 0.5:
            assert (verdict.problem, verdict.salvaged) == ("truncated", False)
            assert "half" in verdict.detail
        else:
            assert (verdict.problem, verdict.salvaged) == ("", True)
            assert (verdict.width, verdict.height, verdict.media_type) == (96, 64, "")
            fitted, media_type = fit(cut, 0, salvage=True)
            assert media_type == "image/jpeg"
            assert examine("i", fitted).problem == ""


def test_of_a_progressive_picture_more_than_its_coarse_outline_must_be_there() -> None:
    picture = Image.linear_gradient("L").resize((256, 256)).convert("RGB")
    picture.paste(noise(size=(128, 128)), (64, 64))
    data = saved(picture, "JPEG", progressive=True, quality=95)
    scans = [place.start() for place in re.finditer(b"\xff\xda", data)]
    assert len(scans) > 5
    assert examine("i", data[: scans[1]], salvage=True).problem == "truncated"
    assert examine("i", data[: scans[4]], salvage=True).salvaged


def test_damage_in_the_middle_is_salvaged_up_to_there() -> None:
    data = WHOLE["PNG"]
    for place, salvaged in ((len(data) // 4, False), (len(data) * 3 // 4, True)):
        broken = data[:place] + bytes(99) + data[place + 99 :]
        assert examine("i", broken).problem == "damaged"
        verdict = examine("i", broken, salvage=True)
        assert (verdict.problem, verdict.salvaged) == ("" if salvaged else "damaged", salvaged)


@pytest.mark.parametrize("kind", ["WEBP", "AVIF", "JPEG2000"])
def test_what_is_decoded_whole_or_not_at_all_is_not_salvaged(kind: str) -> None:
    data = saved(noise(), kind)
    verdict = examine("i", data[: len(data) * 9 // 10], salvage=True)
    assert (verdict.problem, verdict.salvaged) == ("truncated", False)


def test_salvaging_one_picture_does_not_pass_another() -> None:
    cut = WHOLE["JPEG"][: len(WHOLE["JPEG"]) * 4 // 5]
    jobs = [number % 3 == 0 for number in range(300)]
    with ThreadPoolExecutor(8) as pool:
        verdicts = list(pool.map(lambda salvage: examine("i", cut, salvage=salvage), jobs))
    assert [v.problem for v in verdicts] == ["" if salvage else "truncated" for salvage in jobs]
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
