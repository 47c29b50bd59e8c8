"""Make samples/spot_the_diff: pairs of pictures that differ in little, and what differs.

Usage: python tools/make_sample_spot_the_diff.py [DIRECTORY]

Parking lots are drawn; photographs are those of samples/coco that are under CC0, with something
drawn onto one of them or onto both. The sentences were written while looking at the pictures, and
in the way in which the source's own are: without capitals, and with many names for the pictures.
"""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image, ImageDraw
from sample_media import SAMPLES, photograph, save

SIZE = (320, 200)
COLOURS = {
    "red": (190, 40, 40),
    "blue": (50, 80, 170),
    "white": (235, 235, 235),
    "black": (30, 30, 34),
    "yellow": (225, 190, 50),
    "green": (60, 130, 70),
    "silver": (168, 174, 180),
}

Place = tuple[int, int]
Car = tuple[str, int, int]
"""Colour, row (0 above, 1 below) and slot (0 to 6)."""


def lot(
    cars: Sequence[Car], people: Sequence[tuple[str, Place]], truck: int | None = None
) -> Image.Image:
    """Draw a parking lot from above: lawn, sidewalk, two rows of slots, a road at the bottom.

    Args:
        cars: Those that are parked.
        people: The colour of each one's coat, and the place.
        truck: Where a yellow truck is on the road, from the left, in pixels.
    """
    picture = Image.new("RGB", SIZE, (92, 94, 98))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 0, 320, 18), fill=(96, 132, 78))  # lawn
    draw.rectangle((0, 19, 320, 36), fill=(190, 184, 172))  # sidewalk
    draw.rectangle((0, 158, 320, 200), fill=(64, 65, 70))  # road
    for x in range(0, 320, 32):
        draw.line((x, 179, x + 14, 179), fill=(220, 220, 210), width=2)
    for row in (40, 112):
        for slot in range(8):
            draw.line(
                (20 + 40 * slot, row, 20 + 40 * slot, row + 40), fill=(215, 215, 215), width=2
            )
    for colour, row, slot in cars:
        _car(draw, COLOURS[colour], (28 + 40 * slot, (42, 114)[row]))
    if truck is not None:
        draw.rounded_rectangle((truck, 162, truck + 52, 176), 2, fill=COLOURS["yellow"])
        draw.rounded_rectangle((truck + 54, 163, truck + 68, 175), 3, fill=(160, 130, 30))
    for colour, (x, y) in people:
        draw.ellipse((x - 5, y - 4, x + 5, y + 4), fill=COLOURS[colour], outline=(40, 40, 40))
        draw.ellipse((x - 2, y - 3, x + 2, y + 1), fill=(226, 186, 150))
    return picture


def _car(draw: ImageDraw.ImageDraw, colour: tuple[int, int, int], at: Place) -> None:
    x, y = at
    draw.rounded_rectangle((x, y, x + 23, y + 36), 6, fill=colour, outline=(20, 20, 20))
    draw.rounded_rectangle((x + 4, y + 9, x + 19, y + 15), 2, fill=(70, 84, 96))
    draw.rounded_rectangle((x + 4, y + 27, x + 19, y + 31), 2, fill=(70, 84, 96))


def drawn_on(name: str, side: int, draw: Callable[[ImageDraw.ImageDraw], None]) -> Image.Image:
    """Draw something onto a photograph."""
    picture = photograph(name, side)
    draw(ImageDraw.Draw(picture))
    return picture


def nothing(_draw: ImageDraw.ImageDraw) -> None:
    """Leave the photograph as it is."""


def ball(x: int, y: int) -> Callable[[ImageDraw.ImageDraw], None]:
    def draw(on: ImageDraw.ImageDraw) -> None:
        on.ellipse((x - 13, y - 13, x + 13, y + 13), fill=COLOURS["red"], outline=(110, 20, 20))
        on.ellipse((x - 7, y - 9, x - 1, y - 3), fill=(240, 150, 150))

    return draw


def leaves(*places: Place) -> Callable[[ImageDraw.ImageDraw], None]:
    def draw(on: ImageDraw.ImageDraw) -> None:
        for x, y in places:
            shape = [(x, y + 14), (x - 11, y), (x, y - 20), (x + 11, y)]
            on.polygon(shape, fill=COLOURS["green"], outline=(30, 70, 36))
            on.line((x, y + 22, x, y - 14), fill=(30, 70, 36), width=2)

    return draw


def sugar(on: ImageDraw.ImageDraw) -> None:
    on.polygon([(8, 150), (32, 144), (40, 156), (16, 163)], fill=(250, 248, 242))
    on.polygon([(16, 163), (40, 156), (40, 174), (17, 182)], fill=(222, 216, 206))
    on.polygon([(8, 150), (16, 163), (17, 182), (9, 168)], fill=(204, 198, 188))


def bird(on: ImageDraw.ImageDraw) -> None:
    on.line([(196, 36), (207, 28), (216, 35), (225, 27), (236, 34)], fill=(20, 20, 20), width=4)


PARKED: tuple[Car, ...] = (("blue", 0, 1), ("white", 0, 5), ("black", 1, 2), ("silver", 1, 6))

PAIRS: dict[str, Callable[[], tuple[Image.Image, Image.Image]]] = {
    "21": lambda: (
        lot([*PARKED, ("red", 0, 3)], []),
        lot(PARKED, [("yellow", (150, 28))]),
    ),
    "34": lambda: (lot(PARKED, [], truck=30), lot(PARKED, [], truck=220)),
    "58": lambda: (
        lot(PARKED[2:], [("red", (90, 102)), ("blue", (104, 98)), ("white", (120, 102))]),
        lot(
            PARKED[2:],
            [
                ("red", (90, 102)),
                ("blue", (104, 98)),
                ("white", (120, 102)),
                ("green", (134, 97)),
                ("yellow", (148, 103)),
            ],
        ),
    ),
    "103": lambda: (drawn_on("coffee", 300, nothing), drawn_on("coffee", 300, sugar)),
    "117": lambda: (drawn_on("gravel", 200, ball(36, 34)), drawn_on("gravel", 200, ball(162, 166))),
    "142": lambda: (drawn_on("cameraman", 256, bird), drawn_on("cameraman", 256, nothing)),
    "160": lambda: (
        drawn_on("bricks", 200, leaves((60, 120))),
        drawn_on("bricks", 200, leaves((60, 120), (142, 70))),
    ),
    "188": lambda: (drawn_on("grass", 180, nothing), drawn_on("grass", 180, nothing)),
}
"""Both pictures of each pair, by the pair's id."""

SAID: list[tuple[str, list[str]]] = [
    ("34", ["the yellow truck has moved to the right on the road"]),
    (
        "21",
        [
            "the red car in the top row is gone",
            "there is a person on the sidewalk in the after image",
        ],
    ),
    ("188", ["no differences"]),
    (
        "58",
        [
            "there are three people near the black car in picture 1 and five in picture 2",
            "there are more people on the parking lot in the second picture",
        ],
    ),
    ("103", ["there is a white sugar cube on the table in the 2nd photo"]),
    (
        "21",
        [
            "a person in a yellow coat has appeared",
            "red car between the blue one and the white one is missing",
        ],
    ),
    ("117", ["the red ball has moved from the upper left corner to the lower right corner"]),
    (
        "142",
        [
            "there is a black bird in the sky in the before image",
            "the bird isn t there in the after image",
        ],
    ),
    ("160", ["the picture on the left has one green leaf and the picture on the right has two"]),
    ("188", ["i see no differences between the two images"]),
]
"""(pair, sentences): one entry for each person who looked at a pair."""


def main() -> None:
    """Write pictures, annotations and the licence."""
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else SAMPLES / "spot_the_diff"
    folder = root / "resized_images"
    for pair, make in PAIRS.items():
        drawn = pair in {"21", "34", "58"}
        for suffix, picture in zip(("", "_2"), make(), strict=True):
            path = folder / f"{pair}{suffix}.{'png' if drawn else 'jpg'}"
            path.parent.mkdir(parents=True, exist_ok=True)
            if drawn:
                picture.quantize(64).save(path, optimize=True)
            else:
                save(picture, path)
    records = [{"img_id": pair, "sentences": sentences} for pair, sentences in SAID]
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(f" {json.dumps(record)}" for record in records)
    (root / "annotations" / "sample.json").write_text(f"[\n{lines}\n]\n")
    (root / "licence.txt").write_text("CC0-1.0\n")


if __name__ == "__main__":
    main()
