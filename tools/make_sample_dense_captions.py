"""Make samples/dense_captions: eight short clips and sentences for what they show.

Clips are drawn, or are windows that move over the photographs of samples/coco. Run it again to get
the same files.
"""

import json
import math
from collections.abc import Callable, Iterator

from PIL import Image, ImageDraw
from sample_media import SAMPLES, photograph, travel, write_clip

HOME = SAMPLES / "dense_captions"
SIZE = (192, 144)
FPS = 8
Drawing = Callable[[ImageDraw.ImageDraw, float], None]


def drawn(seconds: float, background: str, draw: Drawing) -> Iterator[Image.Image]:
    """Draw a clip frame by frame; `draw` gets the time in seconds."""
    for number in range(round(seconds * FPS)):
        picture = Image.new("RGB", (2 * SIZE[0], 2 * SIZE[1]), background)
        draw(ImageDraw.Draw(picture), number / FPS)
        yield picture.resize(SIZE, Image.Resampling.LANCZOS)


def disc(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, colour: str) -> None:
    """Draw a filled circle."""
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def ball(draw: ImageDraw.ImageDraw, time: float) -> None:
    """A red ball rolls in from the left, then bounces three times on the spot."""
    draw.rectangle((0, 240, 384, 288), fill="#7a5a3a")
    x = min(-40 + 232 * time / 3, 192)
    height = 0.0 if time < 3 else 130 * abs(math.sin(math.pi * (time - 3)))
    disc(draw, x, 210 - height, 30, "#d02020")
    turn = x / 30
    disc(draw, x + 15 * math.cos(turn), 210 - height + 15 * math.sin(turn), 6, "#ffffff")


def lights(draw: ImageDraw.ImageDraw, time: float) -> None:
    """A blue car waits at a red light, and drives off when it turns green."""
    draw.rectangle((0, 230, 384, 288), fill="#606060")
    draw.rectangle((292, 100, 300, 230), fill="#303030")
    draw.rectangle((276, 20, 316, 110), fill="#202020")
    colours = ("#ff2020", "#503010", "#104010") if time < 3 else ("#501010", "#503010", "#20ff40")
    for place, colour in enumerate(colours):
        disc(draw, 296, 38 + 27 * place, 11, colour)
    x = 60 + (0 if time < 3.5 else 150 * (time - 3.5))
    draw.rectangle((x, 185, x + 130, 225), fill="#2050c0")
    draw.rectangle((x + 30, 155, x + 100, 185), fill="#4070e0")
    disc(draw, x + 30, 228, 16, "#101010")
    disc(draw, x + 100, 228, 16, "#101010")


def sunset(draw: ImageDraw.ImageDraw, time: float) -> None:
    """The sun goes down behind a green hill, then a white moon rises on the other side."""
    if time < 3:
        disc(draw, 110, 70 + 75 * time, 34, "#ffd020")
    else:
        draw.rectangle((0, 0, 384, 288), fill="#203060")
        disc(draw, 290, 230 - 55 * (time - 3), 24, "#f4f4f4")
    draw.ellipse((-80, 190, 464, 480), fill="#2f7d32")


def candle(draw: ImageDraw.ImageDraw, time: float) -> None:
    """A candle burns and grows shorter; at last it goes out and smoke rises."""
    top = 110 + 15 * min(time, 4)
    draw.rectangle((0, 250, 384, 288), fill="#7a5a3a")
    draw.rectangle((170, top, 214, 250), fill="#f0e8d0")
    draw.line((192, top, 192, top - 14), fill="#202020", width=4)
    if time < 4:
        lean = 6 * math.sin(7 * time)
        draw.polygon(((178, top - 12), (206, top - 12), (192 + lean, top - 62)), fill="#ffb020")
    else:
        for puff in range(4):
            height = (30 * (time - 4) + 22 * puff) + 20
            disc(draw, 192 + 8 * math.sin(height / 12), top - height, 7 + 2 * puff, "#b8b8b8")


def tower(draw: ImageDraw.ImageDraw, time: float) -> None:
    """Three blocks, red, yellow and blue, are put on top of each other; then they fall over."""
    draw.rectangle((0, 240, 384, 288), fill="#8a8a8a")
    for place, colour in enumerate(("#d02020", "#e8c020", "#2050c0")):
        rest = 200 - 40 * place
        start = 1.2 * place
        y = min(-50 + 300 * max(time - start, 0), rest) if time >= start else -60
        x = 172.0
        if time > 4.2:
            fallen = min((time - 4.2) / 1.2, 1)
            x += 55 * (place + 0) * fallen
            y += (200 - rest) * fallen
        draw.rectangle((x, y, x + 40, y + 39), fill=colour)


def clips() -> dict[str, Iterator[Image.Image]]:
    """Make the frames of each video."""
    coffee, cat, rocket = (photograph(name, 600) for name in ("coffee", "cat", "rocket"))
    return {
        "v_ball": drawn(6, "#cfe8ff", ball),
        "v_blocks": drawn(6, "#f4f0e4", tower),
        "v_candle": drawn(6, "#404858", candle),
        "v_cat_eyes": travel(cat, (100, 0, 600, 375), (120, 40, 360, 220), 40, SIZE),
        "v_coffee": travel(coffee, (0, 0, 533, 400), (300, 180, 480, 315), 40, SIZE),
        "v_rocket": travel(rocket, (0, 0, 213, 160), (200, 240, 413, 400), 40, SIZE),
        "v_sunset": drawn(6, "#f8b070", sunset),
        "v_traffic_light": drawn(6, "#bfe0f4", lights),
    }


SAID: dict[str, list[tuple[float, float, str]]] = {
    "v_ball": [
        (0, 3, "A red ball rolls in from the left."),
        (3, 6, "  The ball bounces up and down three times in the middle."),
    ],
    "v_blocks": [
        (0, 1, "A red block comes down from above and lands on the ground."),
        (1.2, 2, " A yellow block is put on top of the red one."),
        (2.4, 3.2, " A blue block completes the tower."),
        (4.2, 5.5, " The tower falls over to the right, and the blocks lie side by side."),
    ],
    "v_candle": [
        (0, 4, "A white candle burns and grows shorter."),
        (4, 6, " The flame goes out and grey smoke rises."),
    ],
    "v_cat_eyes": [
        (0, 5, "The camera zooms in on the face of a tabby cat."),
    ],
    "v_coffee": [
        (0, 5, "A cup of coffee stands on a red saucer."),
        (2.5, 5, " The camera moves closer to the silver spoon beside it."),
    ],
    "v_rocket": [
        (0, 1.5, "A steel tower is seen against the dark blue sky."),
        (3.5, 5, "The camera reaches the bright lights beside the foot of a white rocket."),
    ],
    "v_sunset": [
        (0, 2.9, "The sun goes down behind a green hill."),
        (3, 6, " A white moon rises into the night sky."),
    ],
    "v_traffic_light": [
        (0, 3, "A blue car waits at a red traffic light."),
        (3, 3.5, " The light turns green."),
        (3.5, 6, " The car drives off to the right."),
    ],
}

LICENSES = """# The videos of this sample

All were made by `tools/make_sample_dense_captions.py`: five are drawn by it (CC0 1.0), three are
windows that move over photographs of `samples/coco`, which are in the public domain or under CC0.
The sentences in `captions.json` were written for this project and are, like it, under the MIT
licence.

| file | made of | licence |
|---|---|---|
"""
MADE_OF = {
    "v_cat_eyes": "`cat.jpg`: Chelsea the cat, Stefan van der Walt, CC0 1.0",
    "v_coffee": "`coffee.jpg`: Rachel Michetti, Pikolo Espresso Bar, CC0 1.0",
    "v_rocket": "`rocket.jpg`: SpaceX, public domain",
}


def main() -> None:
    """Write the clips, their annotations and their licences."""
    table, lines = {}, [LICENSES]
    for name, frames in clips().items():
        pictures = list(frames)
        write_clip(HOME / "videos" / f"{name}.mp4", pictures, FPS)
        table[name] = {
            "duration": len(pictures) / FPS,
            "timestamps": [[start, end] for start, end, _ in SAID[name]],
            "sentences": [text for _, _, text in SAID[name]],
        }
        lines.append(f"| `videos/{name}.mp4` | {MADE_OF.get(name, 'drawn')} | CC0 1.0 |\n")
    (HOME / "captions.json").write_text(json.dumps(table, indent=1) + "\n")
    (HOME / "licence.txt").write_text("CC0-1.0\n")
    (HOME / "LICENSES.md").write_text("".join(lines))


if __name__ == "__main__":
    main()
