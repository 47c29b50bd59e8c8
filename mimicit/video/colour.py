"""From a decoder's pixels to a picture: colour, range, shape of a pixel, rotation.

Matrices and transfer functions: Rec. ITU-R BT.601, BT.709, BT.2020, BT.2100 (PQ and HLG).
"""

import struct
from fractions import Fraction

import numpy as np
from av.buffer import Buffer
from av.video.frame import VideoFrame
from av.video.reformatter import (
    ColorPrimaries,
    ColorRange,
    Colorspace,
    ColorTrc,
    Interpolation,
    VideoReformatter,
)
from PIL import Image

from mimicit.images import MAX_PIXELS, UnusablePicture

EXACT = Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND | Interpolation.BITEXACT
"""The same pixels on every machine; without the first, swscale makes white 253."""

HD_LINES = 720
"""From this height on, a video that does not name its matrix is taken for BT.709."""

WIDEST_PIXEL = 8
"""A pixel wider or higher than this is taken for a mistake."""

TURNS: dict[tuple[int, int, int, int], Image.Transpose] = {
    (0, 1, -1, 0): Image.Transpose.ROTATE_270,
    (-1, 0, 0, -1): Image.Transpose.ROTATE_180,
    (0, -1, 1, 0): Image.Transpose.ROTATE_90,
    (-1, 0, 0, 1): Image.Transpose.FLIP_LEFT_RIGHT,
    (1, 0, 0, -1): Image.Transpose.FLIP_TOP_BOTTOM,
    (0, 1, 1, 0): Image.Transpose.TRANSPOSE,
    (0, -1, -1, 0): Image.Transpose.TRANSVERSE,
}
"""What the signs of a display matrix (a, b, c, d) ask for: a point goes to (ax + cy, bx + dy)."""

HDR = {ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67}


def is_hdr(frame: VideoFrame) -> bool:
    """Tell whether a frame's values stand for more light than a screen of sRGB shows."""
    return frame.color_trc in HDR


def to_picture(
    frame: VideoFrame,
    pixel_shape: Fraction | None,
    turn: Image.Transpose | None,
    reformatter: VideoReformatter,
) -> Image.Image:
    """Show a frame as a player would: upright, in sRGB, its pixels square.

    Args:
        frame: What came from the decoder.
        pixel_shape: Width of a pixel over its height, where the file says.
        turn: What brings it upright: see `turn_of`.
        reformatter: Kept between the frames of a video, since it is slow to make.

    Raises:
        UnusablePicture: `too-many-pixels`.
    """
    width, height = _square(frame.width, frame.height, pixel_shape)
    same, hdr = (width, height) == (frame.width, frame.height), is_hdr(frame)
    shown = reformatter.reformat(
        frame,
        width=width,
        height=height,
        format="rgb48le" if hdr else "gbrp",
        src_colorspace=_matrix(frame),
        dst_colorspace=Colorspace.ITU709,
        src_color_range=_range(frame),
        dst_color_range=ColorRange.JPEG,
        interpolation=EXACT | (Interpolation.POINT if same else Interpolation.BICUBIC),
        threads=1,
    )
    picture = _tone_mapped(shown, frame) if hdr else _picture(shown)
    return picture if turn is None else picture.transpose(turn)


def _square(width: int, height: int, shape: Fraction | None) -> tuple[int, int]:
    """Give the size at which pixels are square; no side gets smaller, so nothing is lost."""
    if shape and 1 < shape <= WIDEST_PIXEL:
        width = round(width * shape)
    elif shape and Fraction(1, WIDEST_PIXEL) <= shape < 1:
        height = round(height / shape)
    if width * height > MAX_PIXELS:
        raise UnusablePicture("too-many-pixels", f"{width} x {height}")
    return width, height


def _matrix(frame: VideoFrame) -> Colorspace:
    try:
        stated = Colorspace(frame.colorspace)
    except ValueError:  # unspecified, or one that swscale does not know
        return Colorspace.ITU709 if frame.height >= HD_LINES else Colorspace.ITU601
    return stated


def _range(frame: VideoFrame) -> ColorRange:
    full = frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj")
    return ColorRange.JPEG if full or frame.format.is_rgb else ColorRange.MPEG


def turn_of(frame: VideoFrame) -> Image.Transpose | None:
    """Read how a frame is to be turned or mirrored to be upright.

    A frame that was asked this is part of a cycle and lives on until garbage is collected, so it
    is asked of one frame of a video, not of each.
    """
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if not isinstance(matrix, Buffer):
        return None
    a, b, _, c, d = struct.unpack("<5i", bytes(matrix)[:20])
    largest = max(map(abs, (a, b, c, d))) or 1
    signs = (round(a / largest), round(b / largest), round(c / largest), round(d / largest))
    return TURNS.get(signs)


def _picture(shown: VideoFrame) -> Image.Image:
    """Put three planes together: swscale makes them twice as fast as pixels, and the same."""
    size = shown.width, shown.height
    green, blue, red = (
        Image.frombuffer("L", size, bytes(plane), "raw", "L", plane.line_size, 1)
        for plane in shown.planes
    )
    return Image.merge("RGB", (red, green, blue))


# ------------------------------------------------------------- high dynamic range

REFERENCE_WHITE = 203.0
"""Light of diffuse white in candela a square metre: Rec. ITU-R BT.2408."""

HLG_PEAK = 1000.0
"""Light of the display that HLG is shown on, in candela a square metre."""

HLG_GAMMA = 1.2
"""How such a display raises light: by its luminance, so that hues stay."""

BT2020_TO_LUMINANCE = np.array([0.2627, 0.6780, 0.0593], dtype=np.float32)

BT2020_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]],
    dtype=np.float32,
)
"""Linear light: Rec. ITU-R BT.2087."""


def _tone_mapped(shown: VideoFrame, source: VideoFrame) -> Image.Image:
    """Bring a frame of high dynamic range down to sRGB.

    Linear light relative to diffuse white, in BT.709 primaries; what is brighter than half of it
    is compressed by a Möbius curve on its brightest channel, so that hues stay; then sRGB's curve.
    """
    values = np.frombuffer(bytes(shown.planes[0]), dtype="<u2").reshape(shown.height, -1)
    codes = values[:, : shown.width * 3].reshape(shown.height, shown.width, 3) >> 4
    if source.color_trc == ColorTrc.SMPTE2084:
        light = _PQ[codes]
    else:
        light = _HLG[codes]
        light *= np.power(light @ BT2020_TO_LUMINANCE, HLG_GAMMA - 1)[..., None]
        light *= HLG_PEAK / REFERENCE_WHITE
    if source.color_primaries == ColorPrimaries.BT2020:
        light = np.maximum(light @ BT2020_TO_BT709.T, 0)
    brightest = light.max(axis=2, keepdims=True)
    light *= _compressed(brightest) / np.maximum(brightest, 1e-6)
    # 12 bits of the square root are finer than 8 bits of sRGB everywhere
    places = np.rint(np.sqrt(np.clip(light, 0, 1)) * 4095).astype(np.uint16)
    return Image.fromarray(_SRGB[places])


def _compressed(light: np.ndarray) -> np.ndarray:
    """Bring light up to the peak below 1, smoothly, and leave what is below the knee alone."""
    knee, peak = 0.5, HLG_PEAK / REFERENCE_WHITE
    a = -(knee**2) * (peak - 1) / (knee**2 - 2 * knee + peak)
    b = (knee**2 - 2 * knee * peak + peak) / (peak - 1)
    scale = (b**2 + 2 * b * knee + knee**2) / (b - a)
    curve = np.where(light <= knee, light, scale * (light + a) / (light + b))
    bounded: np.ndarray = np.minimum(curve, 1)
    return bounded


def _pq_table() -> np.ndarray:
    """Make the table from 12-bit codes of PQ to light, 1 being diffuse white."""
    m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
    root = (np.arange(4096) / 4095) ** (1 / m2)
    nits = 10_000 * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)
    return (nits / REFERENCE_WHITE).astype(np.float32)


def _hlg_table() -> np.ndarray:
    """Make the table from 12-bit codes of HLG to light before the camera, 1 being the most."""
    signal = np.arange(4096) / 4095
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    return scene.astype(np.float32)


def _srgb_table() -> np.ndarray:
    """Make the table from 12 bits of the square root of linear light to 8 bits of sRGB."""
    light = (np.arange(4096) / 4095) ** 2
    curve = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    table: np.ndarray = np.rint(curve * 255).astype(np.uint8)
    return table


_PQ, _HLG, _SRGB = _pq_table(), _hlg_table(), _srgb_table()
