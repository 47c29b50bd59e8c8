"""Make the photographs of samples/coco from those that scikit-image and matplotlib ship.

Usage: python tools/make_sample.py [DIRECTORY]   (pip install scikit-image matplotlib)

Only pictures in the public domain or under CC0 are taken; samples/coco/LICENSES.md says which is
which and where it comes from. Captions and boxes beside them were written by hand: see
tools/draw_boxes.py to check them.
"""

import sys
from importlib.metadata import files
from pathlib import Path

from PIL import Image


def installed(package: str, name: str) -> Path:
    """Find a data file of an installed package without importing it."""
    return next(Path(str(f.locate())) for f in files(package) or () if f.name == name)


PHOTOGRAPHS = {
    "astronaut.jpg": ("scikit-image", "astronaut.png", 512),
    "officer.jpg": ("matplotlib", "grace_hopper.jpg", 600),
    "cameraman.jpg": ("scikit-image", "camera.png", 512),
    "cat.jpg": ("scikit-image", "chelsea.png", 451),
    "coffee.jpg": ("scikit-image", "coffee.png", 600),
    "rocket.jpg": ("scikit-image", "rocket.jpg", 640),
    "galaxies.jpg": ("scikit-image", "hubble_deep_field.jpg", 640),
    "bricks.jpg": ("scikit-image", "brick.png", 400),
    "gravel.jpg": ("scikit-image", "gravel.png", 320),
    "grass.jpg": ("scikit-image", "grass.png", 320),
}
"""Name in the sample: (package, its file, longer side in pixels)."""


def main() -> None:
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "samples/coco/sample")
    out.mkdir(parents=True, exist_ok=True)
    for name, (package, original, side) in PHOTOGRAPHS.items():
        with Image.open(installed(package, original)) as picture:
            fitted = picture.convert("L" if picture.mode == "L" else "RGB")
        fitted.thumbnail((side, side), Image.Resampling.LANCZOS)
        fitted.save(out / name, quality=85, optimize=True)
        size = (out / name).stat().st_size
        print(f"{name:16} {fitted.width:4} x {fitted.height:<4} {size:8,} bytes")


if __name__ == "__main__":
    main()
