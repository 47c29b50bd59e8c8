"""What the makers of samples share: photographs that may be given away, and clips made of them.

The photographs are those of samples/coco (public domain or CC0; samples/coco/LICENSES.md).
"""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.stream import VideoStream
from PIL import Image

SAMPLES = Path(__file__).resolve().parents[1] / "samples"
PHOTOGRAPHS = SAMPLES / "coco" / "sample"

Box = tuple[float, float, float, float]
"""(left, top, right, bottom) in pixels."""


def photograph(name: str, side: int) -> Image.Image:
    """Open a photograph such as `cat`, its longer side scaled to so many pixels."""
    with Image.open(PHOTOGRAPHS / f"{name}.jpg") as picture:
        fitted = picture.convert("RGB")
    scale = side / max(fitted.size)
    size = (round(fitted.width * scale), round(fitted.height * scale))
    return fitted.resize(size, Image.Resampling.LANCZOS)


def save(picture: Image.Image, path: Path, quality: int = 80) -> None:
    """Save a picture as a small JPEG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, quality=quality, optimize=True)


def travel(
    picture: Image.Image, start: Box, end: Box, frames: int, size: tuple[int, int]
) -> Iterator[Image.Image]:
    """Move a window over a picture from one place to another: a pan, or a zoom."""
    for number in range(frames):
        share = number / max(frames - 1, 1)
        box = [a + (b - a) * share for a, b in zip(start, end, strict=True)]
        yield picture.resize(size, Image.Resampling.BILINEAR, (box[0], box[1], box[2], box[3]))


def write_clip(path: Path, frames: Iterable[Image.Image], fps: int = 8) -> None:
    """Encode frames of one size, of even width and height, as H.264 in an MP4 file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(path, "w") as output:
        stream: VideoStream | None = None
        for picture in frames:
            if stream is None:
                options = {"preset": "veryslow", "crf": "30"}
                stream = output.add_stream("libx264", rate=Fraction(fps), options=options)
                stream.width, stream.height = picture.size
                stream.pix_fmt = "yuv420p"
                stream.codec_context.thread_count = 1  # the same bytes on every machine
            array = np.asarray(picture.convert("RGB"))
            output.mux(stream.encode(av.VideoFrame.from_ndarray(array, "rgb24")))
        if stream:
            output.mux(stream.encode(None))
