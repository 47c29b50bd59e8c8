"""Draw the boxes and captions of a COCO directory on its photographs, to check them by eye.

Usage: python tools/draw_boxes.py ROOT OUT.jpg [COUNT]
"""

import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from mimicit.annotations import Box, Caption
from mimicit.generators import open_source
from mimicit.images import decode, read_bytes
from mimicit.schema import Scene

CELL = 420
COLOURS = ("#e6194b", "#3cb44b", "#ffe119", "#4363d8", "#f58231", "#911eb4", "#46f0f0", "#f032e6")


def draw(scene: Scene) -> Image.Image:
    ref = scene.images[0]
    picture = decode(read_bytes(ref)).convert("RGB")
    scale = CELL / max(picture.size)
    picture = picture.resize((round(picture.width * scale), round(picture.height * scale)))
    cell = Image.new("RGB", (CELL, CELL + 60), "white")
    cell.paste(picture, (0, 0))
    pen = ImageDraw.Draw(cell)
    width = (ref.size or (0, 0))[0]
    factor = picture.width / width if width else scale
    boxes = [a for a in scene.annotations if isinstance(a, Box)]
    for number, box in enumerate(boxes):
        colour = COLOURS[number % len(COLOURS)]
        left, top = box.x * factor, box.y * factor
        pen.rectangle(
            (left, top, left + box.width * factor, top + box.height * factor), None, colour, 3
        )
        pen.text((left + 5, top + 3), box.label, colour, ImageFont.load_default(16))
    captions = [a.text for a in scene.annotations if isinstance(a, Caption)]
    for line, text in enumerate(captions[:3]):
        pen.text((2, CELL + 18 * line), text[:70], "black", ImageFont.load_default(12))
    return cell


def main() -> None:
    root, out = sys.argv[1:3]
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 12
    scenes = [s for s in open_source("coco", {"root": root}).scenes() if isinstance(s, Scene)][
        :count
    ]
    columns = 4
    rows = -(-len(scenes) // columns)
    sheet = Image.new("RGB", (columns * (CELL + 8), rows * (CELL + 68)), "white")
    for place, scene in enumerate(scenes):
        sheet.paste(draw(scene), (place % columns * (CELL + 8), place // columns * (CELL + 68)))
    sheet.save(Path(out), quality=88)


if __name__ == "__main__":
    main()
