"""Draw one instruction of a dataset with its in-context examples, in the order a model sees them.

Usage: python tools/draw_context_set.py DATASET INSTRUCTION_ID OUT.jpg
"""

import sys
import textwrap

from PIL import Image, ImageDraw, ImageFont

import mimicit

CELL, PICTURE, TEXT, GAP = 300, 260, 100, 12


def cell(example: mimicit.Example, title: str, colour: str) -> Image.Image:
    page = Image.new("RGB", (CELL, PICTURE + TEXT + 30), "white")
    pen = ImageDraw.Draw(page)
    pen.rectangle((0, 0, CELL - 1, page.height - 1), None, colour, 3)
    pen.text((10, 7), title, colour, ImageFont.load_default(15))
    picture = example.images[0].convert("RGB")
    picture.thumbnail((CELL - 20, PICTURE - 20))
    page.paste(picture, ((CELL - picture.width) // 2, 34 + (PICTURE - 20 - picture.height) // 2))
    y = PICTURE + 26
    for text, ink in ((example.instruction, "#555555"), (example.answer, "black")):
        for line in textwrap.wrap(text, 42):
            pen.text((10, y), line, ink, ImageFont.load_default(13))
            y += 18
        y += 6
    return page


def main() -> None:
    dataset, name, out = sys.argv[1:4]
    query = mimicit.load(dataset)[name]
    cells = [cell(shot, f"example {n}", "#888888") for n, shot in enumerate(query.context, 1)]
    cells.append(cell(query, "query", "#1f5fbf"))
    page = Image.new("RGB", (len(cells) * (CELL + GAP) - GAP, cells[0].height), "white")
    for place, each in enumerate(cells):
        page.paste(each, (place * (CELL + GAP), 0))
    page.save(out, quality=82, optimize=True)


if __name__ == "__main__":
    main()
