"""Finding, judging and hashing pictures."""

import io
import os
from pathlib import Path

import pytest
from conftest import SHARED, needs_shared
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

from mimicit.images import (
    UnusablePicture,
    decode,
    examine,
    fit,
    perceptual_hash,
    read_bytes,
    resolve,
)
from mimicit.schema import ImageRef


def jpeg(size: tuple[int, int] = (64, 48), mode: str = "RGB", **options: object) -> bytes:
    buffer = io.BytesIO()
    gradient = Image.linear_gradient("L").resize(size).convert(mode)
    gradient.save(buffer, "JPEG", **options)
    return buffer.getvalue()


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
        (jpeg()[:300], "damaged"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not-an-image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not-an-image"),
    ],
)
def test_a_bad_file_gets_a_reason(tmp_path: Path, data: bytes, problem: str) -> None:
    (tmp_path / "a.jpg").write_bytes(data)
    verdict = examine("i", ref(tmp_path, "a.jpg"))
    assert verdict.problem == problem
    assert verdict.detail
    assert str(tmp_path) not in verdict.detail


def test_a_bomb_is_not_decoded() -> None:
    buffer = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(buffer, "PNG")
    assert examine("i", buffer.getvalue()).problem == "too-many-pixels"


def test_the_stated_size_is_the_upright_one() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    verdict = examine("i", jpeg((64, 48), exif=exif))
    assert (verdict.width, verdict.height) == (48, 64)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_every_mode_of_jpeg_is_decoded(mode: str) -> None:
    verdict = examine("i", jpeg(mode=mode))
    assert (verdict.problem, verdict.format) == ("", "JPEG")
    assert len(verdict.sha256) == 64
    assert len(verdict.phash) == 16


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


@needs_shared
def test_every_real_broken_picture_gets_a_verdict() -> None:
    folder = SHARED / "bad_images"
    verdicts = {path.name: examine("i", ref(folder, path.name)) for path in folder.iterdir()}
    assert {v.problem for v in verdicts.values()} >= {
        "",
        "damaged",
        "not-an-image",
        "too-many-pixels",
    }
    assert all(v.detail for v in verdicts.values() if v.problem)
    assert verdicts["pillow__hopper_orientation_6.jpg"].problem == ""
    assert verdicts["pillow__decompression_bomb.ico"].problem == "not-an-image"
    turned = {v.phash for name, v in verdicts.items() if name.startswith("Landscape_")}
    assert len(turned) == 1, "the same picture in eight EXIF orientations"


# ------------------------------------------------------------------ fit to be sent


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


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
