"""Real broken and odd pictures: each gives the right picture, or a reason."""

from collections.abc import Callable

import numpy as np
import pytest
from conftest import SHARED, needs_shared

from mimicit.decoding import examine_all
from mimicit.images import UnusablePicture, decode, examine
from mimicit.pixels import on_white
from mimicit.schema import ImageRef

pytestmark = needs_shared

FOLDER = SHARED / "bad_images"

GOOD = """
1800x1200 JPEG: Landscape_0.jpg Landscape_1.jpg Landscape_2.jpg Landscape_3.jpg Landscape_4.jpg
1800x1200 JPEG: Landscape_5.jpg Landscape_6.jpg Landscape_7.jpg Landscape_8.jpg
265x199 WEBP: image_rs__advertises_rgba_but_frames_are_rgb.webp
100x100 PNG: image_rs__ball.png
320x240 JPEG: image_rs__cat.jpg
162x150 TIFF: image_rs__clusterfuzz-testcase-minimized-fuzzer_script_tiff-5026894169374720.tif
5x5 JPEG: image_rs__exif-xmp-metadata.jpg
1x1 PNG: image_rs__issue#2026.png
100x100 WEBP: image_rs__lossy_alpha.webp
113x150 JPEG: image_rs__portrait_2.jpg
129x66 PNG: image_rs__resize-with-alpha-original.png
960x1280 JPEG: lepton__android.jpg
685x999 JPEG: lepton__androidtrail.jpg
1023x663 JPEG: lepton__iphonecrop.jpg
20x100 PPM: pillow__16_bit_binary.pgm
64x64 PNG: pillow__1_trns.png pillow__p_trns_single.png
100x100 JPEG: pillow__broken_exif_dpi.jpg pillow__pil_sample_cmyk.jpg pillow__truncated_app14.jpg
320x240 GIF: pillow__chi.gif
100x100 GIF: pillow__dispose_bgnd.gif
200x200 JPEG: pillow__exif-dpi-zerodivision.jpg pillow__no-dpi-in-exif.jpg
8x8 JPEG: pillow__exif_gps.jpg
800x531 JPEG: pillow__exif_typeerror.jpg
75x50 GIF: pillow__first_frame_transparency.gif
480x360 WEBP: pillow__flower.webp
640x480 MPO: pillow__frozenpond.mpo pillow__sugarshack.mpo
128x128 AVIF: pillow__hopper.avif
128x128 BMP: pillow__hopper.bmp
128x128 PPM: pillow__hopper.pfm pillow__hopper_1bit.pbm
128x128 WEBP: pillow__hopper.webp
128x128 TIFF: pillow__hopper_bigtiff.tif
128x128 JPEG: pillow__hopper_gray.jpg pillow__hopper_orientation_2.jpg
128x128 JPEG: pillow__hopper_orientation_4.jpg pillow__hopper_orientation_6.jpg
128x128 JPEG: pillow__hopper_orientation_7.jpg
128x128 GIF: pillow__hopper_zero_comment_subblocks.gif
57x57 PNG: pillow__icc_profile.png
245x245 GIF: pillow__iss634.gif
2400x2000 PNG: pillow__itxt_chunks.png
1024x768 JPEG: pillow__junk_jpeg_header.jpg
10x10 TIFF: pillow__lab.tif pillow__multipage.tiff
128x64 PNG: pillow__mode_16bit.png
162x150 PNG: pillow__pil123p.png
127x64 BMP: pillow__rgb32bf-rgba.bmp
640x427 AVIF: pillow__rot3mir1.avif
100x40 TIFF: pillow__tiff_16bit_RGB.tiff
278x374 TIFF: pillow__tiff_adobe_deflate.tif
1728x2156 TIFF: pillow__total-pages-zero.tif
200x150 PNG: pillow__transparent.png
480x640 JPEG: pillow__truncated_exif_dpi.jpg
326x268 PNG: pillow__xmp_tags_orientation.png
"""

BAD = """
damaged: image_rs__Bad_clrsUsed.bmp pillow__crash-2020-10-test.tif pillow__zero_width.gif
damaged: pillow__invalid_header_length.jp2 pillow__png_decompression_dos.png
damaged: pillow__syntax_num_frames_zero.png
too-many-pixels: image_rs__Bad_reallybig.bmp pillow__badwidth.bmp
truncated: image_rs__Bad_unusual_extend_buffer_usage.bmp pillow__not_enough_data.jp2
truncated: lepton__badzerorun.jpg lepton__gray2sf.jpg lepton__nofsync.jpg pillow__shortfile.bmp
truncated: lepton__singlerowtrunc.jpg lepton__truncatedzerorun.jpg pillow__truncated_jpeg.jpg
truncated: pillow__ultrahdr.jpg
not-an-image: image_rs__README.md pillow__bad_palette_entry.gpl pillow__hopper.psd
not-an-image: image_rs__bad-color-map.tga image_rs__flip-zero-height2.tga
not-an-image: image_rs__overfull-image.tga image_rs__sixteen-bit-gray-colormap2.tga
not-an-image: image_rs__Bad_smile-incorrect-image-length.ico pillow__hopper.ico
not-an-image: image_rs__crash-981fee302fe0fc543ee48292cc3d6ace7e97e633.ico
not-an-image: image_rs__oom-ff076e7064c13ec1f8e2c5bbbfb7a77a08db2361.ico
not-an-image: pillow__decompression_bomb.ico
"""


def table(text: str) -> dict[str, str]:
    lines = (line.split(": ") for line in text.strip().splitlines())
    return {name: verdict for verdict, names in lines for name in names.split()}


@pytest.fixture(scope="module")
def pictures() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(FOLDER.iterdir())}


def test_each_gives_the_right_picture_or_a_reason_in_little_memory(
    pictures: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIMICIT_DECODER_MEMORY", str(2**30))
    refs = [(name, ImageRef("LA_IMG_1", str(FOLDER), name)) for name in pictures]
    infos = list(examine_all(refs))
    verdicts = {i.id: i.problem or f"{i.width}x{i.height} {i.format}" for i in infos}
    assert verdicts == table(GOOD) | table(BAD)
    assert all(bool(i.detail) == bool(i.problem) for i in infos)
    assert all(len(i.sha256) == 64 and len(i.phash) == 16 for i in infos if not i.problem)


SALVAGED = """
lepton__badzerorun.jpg lepton__gray2sf.jpg lepton__nofsync.jpg pillow__truncated_jpeg.jpg
pillow__png_decompression_dos.png
"""
"""What shows at least half of itself; of two others of Lepton's, a row or so can be seen."""


def test_what_shows_half_of_itself_is_salvaged_and_nothing_else(
    pictures: dict[str, bytes],
) -> None:
    salvaged = set(SALVAGED.split())
    infos = {name: examine(name, pictures[name], salvage=True) for name in table(BAD)}
    assert {name for name, info in infos.items() if info.salvaged} == salvaged
    reasons = {name: info.problem for name, info in infos.items() if not info.salvaged}
    assert reasons == {name: why for name, why in table(BAD).items() if name not in salvaged}
    whole = examine("i", pictures["Landscape_1.jpg"], salvage=True)
    assert (whole.problem, whole.salvaged) == ("", False)


# -------------------------------------------- what another decoder makes of them

TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: np.rot90,
}

UPRIGHT = """
image_rs__ball.png image_rs__cat.jpg image_rs__lossy_alpha.webp
image_rs__resize-with-alpha-original.png lepton__android.jpg lepton__androidtrail.jpg
lepton__iphonecrop.jpg pillow__16_bit_binary.pgm pillow__1_trns.png pillow__chi.gif
pillow__dispose_bgnd.gif pillow__exif-dpi-zerodivision.jpg pillow__exif_typeerror.jpg
pillow__first_frame_transparency.gif pillow__flower.webp pillow__frozenpond.mpo
pillow__hopper.avif pillow__hopper.bmp pillow__hopper.webp pillow__hopper_1bit.pbm
pillow__hopper_gray.jpg pillow__hopper_zero_comment_subblocks.gif pillow__icc_profile.png
pillow__iss634.gif pillow__itxt_chunks.png pillow__junk_jpeg_header.jpg
pillow__p_trns_single.png pillow__pil123p.png
pillow__pil_sample_cmyk.jpg pillow__rgb32bf-rgba.bmp pillow__sugarshack.mpo
pillow__tiff_adobe_deflate.tif pillow__total-pages-zero.tif pillow__transparent.png
pillow__truncated_app14.jpg
"""

BY_FFMPEG = {
    **{f"Landscape_{turn}.jpg": turn or 1 for turn in range(9)},
    **{f"pillow__hopper_orientation_{turn}.jpg": turn for turn in (2, 4, 6, 7)},
    "pillow__rot3mir1.avif": 5,
    "pillow__xmp_tags_orientation.png": 3,
    "image_rs__portrait_2.jpg": 2,
    **dict.fromkeys(UPRIGHT.split(), 1),
}
"""What FFmpeg decodes too, with the EXIF orientation that it leaves to its user."""


@pytest.mark.parametrize("name", BY_FFMPEG)
def test_another_decoder_shows_the_same(name: str, pictures: dict[str, bytes]) -> None:
    av = pytest.importorskip("av")
    av.logging.set_level(av.logging.PANIC)
    with av.open(str(FOLDER / name)) as file:
        frame = next(file.decode(video=0)).to_ndarray(format="rgba").astype(np.float32)
    alpha = frame[..., 3:] / 255
    frame = frame[..., :3] * alpha + 255 * (1 - alpha)
    frame[:, frame.shape[1] // 16 * 16 :] = np.nan  # it may leave columns out that fill no block
    expected = TURNS[BY_FFMPEG[name]](frame)
    shown = np.asarray(on_white(decode(pictures[name])))
    assert shown.shape == expected.shape
    assert np.nanmean(np.abs(shown - expected)) < 2.5


def test_the_same_face_in_many_formats_looks_the_same(pictures: dict[str, bytes]) -> None:
    data = pictures["pillow__hopper.bmp"]
    place = int.from_bytes(data[10:14], "little")
    rows = np.frombuffer(data, np.uint8, 128 * 128 * 3, place).reshape(128, 128, 3)
    face = rows[::-1, :, ::-1].astype(int)  # from the bottom up, blue first
    grey = face @ [0.299, 0.587, 0.114]
    for name in table(GOOD):
        if "__hopper" in name and name != "pillow__hopper_1bit.pbm":
            shown = np.asarray(on_white(decode(pictures[name]))).astype(int)
            is_grey = (shown == shown[..., :1]).all()
            off = np.abs(shown[..., 0] - grey) if is_grey else np.abs(shown - face)
            assert off.mean() < 10, name


def test_a_waterfall_stored_in_nine_ways_looks_the_same_but_for_its_number(
    pictures: dict[str, bytes],
) -> None:
    shown = [
        np.asarray(decode(pictures[f"Landscape_{turn}.jpg"]).reduce(20)).astype(int)
        for turn in range(9)
    ]
    assert all(np.abs(other - shown[1]).mean() < 2 for other in shown)


def test_no_reason_names_a_place_in_memory_or_on_disk(pictures: dict[str, bytes]) -> None:
    for name in table(BAD):
        with pytest.raises(UnusablePicture) as caught:
            decode(pictures[name])
        assert "0x" not in caught.value.detail
        assert str(FOLDER) not in caught.value.detail
        assert len(caught.value.detail) < 200
