"""Make samples/jsonl: one's own pictures and clips, and lines of JSON about them.

Run it again to get the same files.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

from PIL import Image, ImageDraw
from sample_media import SAMPLES, photograph, save, write_clip

HOME = SAMPLES / "jsonl"
SIDE = 300
SIZE = (192, 144)
FPS, SECONDS = 8, 6
Pen = ImageDraw.ImageDraw


def ball(picture: Image.Image) -> Image.Image:
    """Lay a red ball on a picture."""
    draw = ImageDraw.Draw(picture)
    draw.ellipse((160, 150, 240, 230), fill="#c02020")
    draw.ellipse((178, 164, 198, 182), fill="#e88080")
    return picture


def rolling(draw: Pen, time: float) -> None:
    """A red ball rolls from left to right; then a blue one rolls back the other way."""
    draw.rectangle((0, 0, 384, 200), fill="#bfe0f4")
    draw.rectangle((0, 200, 384, 288), fill="#4f9a4a")
    x, colour = (-30 + 160 * time, "#d02020") if time < 3 else (414 - 160 * (time - 3), "#2040c0")
    draw.ellipse((x - 30, 150, x + 30, 210), fill=colour)


def building(draw: Pen, time: float) -> None:
    """A yellow block comes down onto a green one, and then a blue one onto that."""
    draw.rectangle((0, 0, 384, 288), fill="#e8dcc0")
    draw.rectangle((0, 250, 384, 288), fill="#8a6a4a")
    draw.rectangle((142, 190, 242, 250), fill="#208040")
    second, third = min(-60 + 95 * time, 130), min(-60 + 65 * (time - 2.5), 70)
    draw.rectangle((142, second, 242, second + 60), fill="#e8c020")
    if time > 2.5:
        draw.rectangle((142, third, 242, third + 60), fill="#2040c0")


def frames(draw: Callable[[Pen, float], None]) -> Iterator[Image.Image]:
    """Draw a clip frame by frame."""
    for number in range(FPS * SECONDS):
        picture = Image.new("RGB", (2 * SIZE[0], 2 * SIZE[1]))
        draw(ImageDraw.Draw(picture), number / FPS)
        yield picture.resize(SIZE, Image.Resampling.LANCZOS)


PICTURES = {
    "photos/astronaut.jpg": ("Eileen Collins, 1992, by NASA", "public domain"),
    "photos/bricks.jpg": ("a brick surface, by CC0Textures", "CC0 1.0"),
    "photos/bricks_ball.jpg": ("the same with a ball drawn on it", "CC0 1.0"),
    "photos/cameraman.jpg": ("a man with a camera, by Lav Varshney", "CC0 1.0"),
    "photos/cat.jpg": ("Chelsea the cat, by Stefan van der Walt", "CC0 1.0"),
    "photos/coffee.jpg": ("a cup of coffee, by Rachel Michetti, Pikolo Espresso Bar", "CC0 1.0"),
    "photos/officer.jpg": ("Grace Hopper, 1984, by James S. Davis, US Navy", "public domain"),
    "photos/rocket.jpg": ("Falcon 9 with DSCOVR, 2015, by SpaceX", "public domain"),
}
CLIPS = {"clips/rolling.mp4": rolling, "clips/building.mp4": building}

LINES: list[dict[str, Any]] = [
    {
        "id": "coffee-1",
        "image": "photos/coffee.jpg",
        "sizes": [[300, 200]],
        "captions": [
            "A brownish red cup of coffee stands on its saucer.",
            "A cup of coffee with a spoon on a wooden table.",
        ],
        "boxes": [
            {"label": "cup", "bbox": [86, 8, 120, 147]},
            {"label": "spoon", "bbox": [157, 33, 55, 132]},
        ],
        "group": "table",
    },
    {
        "id": "cat-1",
        "image": "photos/cat.jpg",
        "captions": [
            {"text": "The face of a cat, seen from very close.", "image": 0},
            "A cat with green eyes looks past the camera.",
        ],
        "notes": {"title": "Chelsea the cat"},
    },
    {
        "id": "rocket-1",
        "image": "photos/rocket.jpg",
        "captions": ["A white rocket stands on its launch pad under a dark blue sky."],
        "boxes": [{"label": "rocket", "bbox": [142, 58, 18, 134]}],
        "licence": "public domain",
    },
    {
        "id": "portrait-1",
        "image": "photos/astronaut.jpg",
        "qa": [
            ["What is the woman wearing?", "She is wearing an orange space suit."],
            ["What stands behind her on the right?", "A model of a space shuttle stands there."],
        ],
        "groups": ["portraits", "space"],
        "licence": "public domain",
    },
    {
        "id": "portrait-2",
        "image": "photos/officer.jpg",
        "captions": ["An elderly woman in a dark uniform wears glasses and a cap."],
        "groups": ["portraits"],
        "licence": "public domain",
    },
    {
        "id": "cameraman-1",
        "image": "photos/cameraman.jpg",
        "conversations": [
            {"from": "human", "value": "<image>\nWhat is the camera standing on?"},
            {"from": "gpt", "value": "It is standing on a tripod."},
            {"from": "human", "value": "What kind of coat does the man wear?"},
            {"from": "gpt", "value": "He wears a long dark coat."},
        ],
    },
    {
        "id": "bricks-1",
        "images": ["photos/bricks.jpg", "photos/bricks_ball.jpg"],
        "differences": [
            {
                "text": "A red ball is lying on the bricks in the second picture.",
                "before": 0,
                "after": 1,
                "directed": True,
            }
        ],
    },
    {
        "id": "rolling-1",
        "video": "clips/rolling.mp4",
        "frames": 6,
        "segments": [
            {"start": 0, "end": 3, "text": "A red ball rolls over the grass from left to right."},
            {"start": 3, "end": 6, "text": "A blue ball rolls over the grass from right to left."},
        ],
    },
    {
        "id": "building-1",
        "video": "clips/building.mp4",
        "times": [0.5, 1.5, 2.5, 3.5, 5.5],
        "segments": [
            {"start": 0, "end": 2, "text": "A yellow block comes down onto a green block."},
            {"start": 2.5, "end": 4.5, "text": "A blue block is put on top of the yellow block."},
        ],
        "notes": {"duration": "6"},
    },
]

LICENSES = """# The pictures and clips of this sample

The photographs come from `samples/coco`, scaled by `tools/make_sample_jsonl.py`, which also drew
the clips and the ball. What `own.jsonl` says of them was written for this project and is, like it,
under the MIT licence.

| file | what it is | licence |
|---|---|---|
"""


def main() -> None:
    """Write the pictures, the clips, the lines and the licences."""
    rows = []
    for path, (what, licence) in PICTURES.items():
        name = path.removeprefix("photos/").removesuffix(".jpg")
        picture = photograph(name.removesuffix("_ball"), SIDE)
        save(ball(picture) if name.endswith("_ball") else picture, HOME / path, 75)
        rows.append(f"| `{path}` | {what} | {licence} |\n")
    for path, draw in CLIPS.items():
        write_clip(HOME / path, frames(draw), FPS)
        rows.append(f"| `{path}` | drawn | CC0 1.0 |\n")
    (HOME / "own.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LINES))
    (HOME / "licence.txt").write_text("CC0-1.0\n")
    (HOME / "LICENSES.md").write_text(LICENSES + "".join(rows))


if __name__ == "__main__":
    main()
