"""What of a picture is stored."""

import io
import re

import numpy as np
import pytest
from conftest import SHARED, needs_shared
from PIL import Image, ImageCms

from mimicit.images import UnusablePicture, decode, examine
from mimicit.pixels import on_white
from mimicit.stored import StoreForm, stored

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
SECRET = "51N-0W-secret"


NO_BYTES = lambda value: value if isinstance(value, str) else ""  # noqa: E731
"""Names a case by its words, as its bytes are too long for a name."""


def photograph(mode: str = "RGB", size: tuple[int, int] = (90, 60)) -> Image.Image:
    gradient = Image.linear_gradient("L").resize(size)
    picture = Image.merge("RGB", (gradient, gradient.rotate(90), gradient.rotate(180)))
    if mode == "RGBA":
        picture.putalpha(gradient)
    return picture.convert(mode)


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def exif(turned: int = 1) -> Image.Exif:
    tags = Image.Exif()
    tags[0x010F], tags[0x0112] = SECRET, turned
    return tags


def shown(data: bytes) -> np.ndarray:
    return np.asarray(on_white(decode(data))).astype(int)


@pytest.mark.parametrize("form", [StoreForm(), StoreForm(90), StoreForm(salvage=True)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF"])
def test_a_file_that_will_do_is_stored_as_it_is(kind: str, form: StoreForm) -> None:
    options = {} if kind in {"BMP", "GIF"} else {"exif": exif(6)}
    data = saved(photograph(), kind, **options)
    made, changes = stored(data, form)
    assert made is data
    assert changes == ()


@pytest.mark.parametrize(
    ("data", "kind", "mode"),
    [
        (saved(photograph(), "JPEG"), "JPEG", "RGB"),
        (saved(photograph("L"), "JPEG"), "JPEG", "L"),
        (saved(photograph("CMYK"), "JPEG"), "JPEG", "RGB"),
        (saved(photograph(), "AVIF"), "JPEG", "RGB"),
        (saved(photograph(), "WEBP"), "JPEG", "RGB"),
        (saved(photograph("RGBA"), "WEBP"), "PNG", "RGBA"),
        (saved(photograph(), "WEBP", lossless=True), "PNG", "RGB"),
        (saved(photograph(), "PNG"), "PNG", "RGB"),
        (saved(photograph("RGBA"), "PNG"), "PNG", "RGBA"),
        (saved(photograph("1"), "PNG"), "PNG", "L"),
        (saved(photograph().quantize(9), "PNG"), "PNG", "RGB"),
        (saved(photograph().quantize(9), "GIF", transparency=2), "PNG", "RGBA"),
        (saved(photograph("I;16"), "PNG"), "PNG", "I;16"),
        (saved(photograph("F"), "TIFF"), "PNG", "L"),
        (saved(photograph(), "BMP"), "PNG", "RGB"),
    ],
    ids=NO_BYTES,
)
def test_a_large_picture_is_made_smaller_in_its_shape_and_kind(
    data: bytes, kind: str, mode: str
) -> None:
    made, changes = stored(data, StoreForm(max_side=30))
    assert changes == ("resized", "re-encoded")
    picture = decode(made)
    assert (picture.format, picture.mode, picture.size) == (kind, mode, (30, 20))
    small = np.asarray(on_white(decode(data)).resize((30, 20), Image.Resampling.LANCZOS))
    assert np.abs(shown(made) - small).mean() < 6
    assert stored(data, StoreForm(max_side=30))[0] == made
    assert stored(made, StoreForm(max_side=30)) == (made, ())


@pytest.mark.parametrize(
    ("size", "small"), [((300, 200), (100, 67)), ((999, 10), (100, 1)), ((7, 3000), (1, 100))]
)
def test_the_shape_is_kept_to_the_nearest_pixel(
    size: tuple[int, int], small: tuple[int, int]
) -> None:
    made, _ = stored(saved(Image.new("RGB", size), "PNG"), StoreForm(max_side=100))
    assert decode(made).size == small


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_a_smaller_picture_is_upright_keeps_its_profile_and_says_no_more(kind: str) -> None:
    options = {"comment": SECRET} if kind == "JPEG" else {}
    data = saved(photograph(), kind, exif=exif(6), icc_profile=PROFILE, **options)
    made, _ = stored(data, StoreForm(max_side=30))
    picture = Image.open(io.BytesIO(made))
    assert picture.size == (20, 30)
    assert picture.info["icc_profile"] == PROFILE
    assert dict(picture.getexif()) == {}
    assert SECRET.encode() not in made


def test_a_profile_of_other_colours_is_left_out() -> None:
    cmyk = PROFILE[:16] + b"CMYK" + PROFILE[20:]
    data = saved(photograph("CMYK"), "JPEG", icc_profile=cmyk)
    made, _ = stored(data, StoreForm(max_side=30))
    assert "icc_profile" not in Image.open(io.BytesIO(made)).info


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_metadata_goes_without_encoding_anew(kind: str) -> None:
    data = saved(photograph(), kind, exif=exif(6))
    made, changes = stored(data, StoreForm(strip_metadata=True))
    assert changes == ("metadata-stripped",)
    assert decode(made).tobytes() == decode(data).tobytes()
    assert SECRET.encode() not in made
    assert stored(made, StoreForm(strip_metadata=True)) == (made, ())


@pytest.mark.parametrize(
    ("data", "mode"),
    [
        (saved(photograph(), "TIFF", exif=exif(6)), "RGB"),
        (saved(photograph("I;16"), "TIFF", exif=exif(6)), "I;16"),
        (saved(photograph("LA"), "TIFF"), "LA"),
        (saved(photograph().quantize(9), "GIF", comment=SECRET.encode()), "P"),
        (saved(photograph().quantize(9), "GIF", transparency=2), "P"),
        (saved(photograph("CMYK"), "TIFF"), "RGB"),
        (b"P5 3 1 65535 " + b"\0\0\x12\x34\xff\xff", "I;16"),
    ],
    ids=NO_BYTES,
)
def test_where_it_cannot_be_taken_out_the_picture_becomes_a_png(data: bytes, mode: str) -> None:
    made, changes = stored(data, StoreForm(strip_metadata=True))
    assert changes == ("metadata-stripped", "re-encoded")
    picture = decode(made)
    assert (picture.format, picture.mode) == ("PNG", mode)
    assert np.array_equal(shown(made), shown(data))
    assert SECRET.encode() not in made
    if mode == "I;16":
        assert np.array_equal(np.asarray(picture), np.asarray(decode(data)))


@pytest.mark.parametrize(("kind", "as_kind"), [("JPEG", "JPEG"), ("PNG", "PNG"), ("BMP", "PNG")])
def test_a_salvaged_picture_is_stored_whole(kind: str, as_kind: str) -> None:
    noise = Image.effect_noise((90, 60), 90)
    data = saved(noise, kind)[: len(saved(noise, kind)) * 4 // 5]
    with pytest.raises(UnusablePicture, match="truncated"):
        stored(data, StoreForm(strip_metadata=True))
    made, changes = stored(data, StoreForm(salvage=True))
    assert changes == ("salvaged", "re-encoded")
    info = examine("i", made)
    assert (info.problem, info.format, info.width, info.height) == ("", as_kind, 90, 60)
    salvaged = np.asarray(decode(data, salvage=True)).astype(int)
    assert np.abs(np.asarray(decode(made)) - salvaged).mean() < 3
    small, changes = stored(data, StoreForm(30, strip_metadata=True, salvage=True))
    assert changes[:2] == ("salvaged", "resized")
    assert decode(small).size == (30, 20)


def test_an_animation_is_stored_whole_or_as_its_first_frame() -> None:
    frames = [photograph().quantize(9), photograph().rotate(180).quantize(9)]
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert stored(data, StoreForm()) == (data, ())
    made, _ = stored(data, StoreForm(max_side=30))
    assert getattr(Image.open(io.BytesIO(made)), "n_frames", 1) == 1
    assert (
        np.abs(shown(made) - shown(saved(frames[0].convert("RGB").resize((30, 20)), "PNG"))).mean()
        < 6
    )


@needs_shared
def test_whatever_is_made_of_real_files_is_good() -> None:
    forms = [StoreForm(), StoreForm(0, strip_metadata=True), StoreForm(50, True, True)]
    for path in sorted((SHARED / "bad_images").iterdir()):
        data = path.read_bytes()
        if len(data) > 300_000 or re.search("zerorun|singlerow", path.name):
            continue  # takes long
        for form in forms:
            before = examine("i", data, salvage=form.salvage)
            if before.problem:
                with pytest.raises(UnusablePicture, match=before.problem):
                    stored(data, form)
                continue
            made, changes = stored(data, form)
            after = examine("i", made)
            assert after.problem == "", path.name
            assert (made is data) == (not changes), path.name
            if "resized" in changes:
                assert max(after.width, after.height) == 50, path.name
            else:
                assert (after.width, after.height) == (before.width, before.height), path.name


def test_what_is_too_long_for_a_jpeg_becomes_a_png() -> None:
    data = saved(Image.new("RGB", (66_000, 10), "red"), "JPEG2000")
    made, changes = stored(data, StoreForm(max_side=65_535))
    assert changes == ("resized", "re-encoded")
    assert (decode(made).format, decode(made).size) == ("PNG", (65_535, 10))
