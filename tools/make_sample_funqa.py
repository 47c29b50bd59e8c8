"""Make samples/funqa: nine short drawn videos that surprise, with questions and answers.

Run it again to get the same files.
"""

import json
import math
from collections.abc import Callable, Iterator

from PIL import Image, ImageDraw
from sample_media import SAMPLES, write_clip

HOME = SAMPLES / "funqa"
SIZE = (192, 144)
FPS, SECONDS = 8, 6
WIDTH, HEIGHT = 384, 288
Pen = ImageDraw.ImageDraw


def disc(draw: Pen, x: float, y: float, radius: float, colour: str) -> None:
    """Draw a filled circle."""
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def ground(draw: Pen, sky: str, soil: str, level: float = 220) -> None:
    """Draw what is behind, and what things stand on."""
    draw.rectangle((0, 0, WIDTH, level), fill=sky)
    draw.rectangle((0, level, WIDTH, HEIGHT), fill=soil)


def share(time: float, start: float, end: float) -> float:
    """Say how much of a stretch of time is over, from 0 to 1."""
    return min(max((time - start) / (end - start), 0.0), 1.0)


def vanishing(draw: Pen, time: float) -> None:
    """A red ball rolls behind a white card, and is not there when the card rises."""
    ground(draw, "#30304a", "#6a4a8a")
    x = 30 + 160 * share(time, 0.5, 2.5)
    if time < 3:
        disc(draw, x, 200, 20, "#e03030")
    up = 120 * share(time, 3.5, 5)
    draw.rectangle((150, 120 - up, 230, 222 - up), fill="#ffffff", outline="#a0a0a0", width=3)


def through(draw: Pen, time: float) -> None:
    """A golden ring flies straight through a brick wall."""
    ground(draw, "#203040", "#404a50")
    for row in range(10):
        for column in range(-1, 3):
            place, y = 160 + 28 * column + 14 * (row % 2), 20 + 20 * row
            left, right = max(place, 160), min(place + 26, 216)
            if left < right:
                draw.rectangle((left, y, right, y + 18), fill="#a8482c")
    x = 30 + 320 * share(time, 0.5, 5.5)
    draw.ellipse((x - 22, 98, x + 22, 142), outline="#f0c030", width=9)


def halves(draw: Pen, time: float) -> None:
    """A blue rope is cut by scissors in two, and is whole again after a cloth has covered it."""
    ground(draw, "#f0e8d8", "#c8b090", 240)
    apart = 40 * share(time, 1.5, 2.2) if time < 4 else 0.0
    draw.line((60 - apart / 2, 150, 190 - apart, 150), fill="#2850c8", width=12)
    draw.line((194 + apart, 150, 324 + apart / 2, 150), fill="#2850c8", width=12)
    if time >= 4 or time < 1.4:
        draw.line((60, 150, 324, 150), fill="#2850c8", width=12)
    if time < 2.2:
        y = 60 + 80 * share(time, 0.2, 1.4)
        draw.line((184, y - 50, 196, y + 14), fill="#606468", width=6)
        draw.line((200, y - 50, 188, y + 14), fill="#606468", width=6)
    if 2.6 < time < 5.4:
        y = -120 + 220 * share(time, 2.6, 3.6) - 220 * share(time, 4.4, 5.4)
        draw.rectangle((40, y, 344, y + 100), fill="#b02858")


def hopping(draw: Pen, time: float) -> None:
    """A green square bounces along like a rubber ball; a round ball lies still."""
    ground(draw, "#cfe8f8", "#88a860")
    disc(draw, 320, 192, 28, "#e08030")
    x = 40 + 200 * share(time, 0, 6)
    y = 196 - 110 * abs(math.sin(math.pi * time))
    draw.rectangle((x - 24, y - 24, x + 24, y + 24), fill="#208848")


def figure(draw: Pen, x: float, step: float) -> None:
    """Draw a man of sticks."""
    disc(draw, x, 100, 18, "#f0c8a0")
    draw.line((x, 118, x, 175), fill="#283878", width=10)
    draw.line((x, 130, x + 22, 155), fill="#283878", width=6)
    draw.line((x, 130, x - 18, 158), fill="#283878", width=6)
    draw.line((x, 175, x + 18 * step, 220), fill="#283878", width=8)
    draw.line((x, 175, x - 18 * step, 220), fill="#283878", width=8)


def lamp(draw: Pen, time: float) -> None:
    """A man walks into a street lamp; the lamp falls over, and he stays where he is."""
    ground(draw, "#b8c4d0", "#707478")
    angle = math.radians(90) * share(time, 3, 4.2)
    dx, dy = math.sin(angle), math.cos(angle)
    foot, tall = (250, 220), 170
    tip = (foot[0] + dx * tall, foot[1] - dy * tall)
    if time < 4.2:
        draw.line((*foot, *tip), fill="#303030", width=9)
        disc(draw, *tip, 16, "#f8e070")
    else:
        draw.line((*foot, 384, 214), fill="#303030", width=9)
    x = 30 + 190 * share(time, 0, 3)
    figure(draw, x, math.sin(7 * time) if time < 3 else 0.6)


def chase(draw: Pen, time: float) -> None:
    """A tiny grey mouse chases a huge orange cat across the meadow."""
    ground(draw, "#d8f0d0", "#5c9848")
    x = 170 + 66 * time
    draw.ellipse((x - 60, 140, x + 60, 205), fill="#e88820")
    disc(draw, x + 66, 140, 30, "#e88820")
    for ear in (48, 80):
        draw.polygon(((x + ear - 8, 118), (x + ear + 8, 118), (x + ear, 94)), fill="#e88820")
    draw.arc((x - 110, 110, x - 40, 180), 60, 200, fill="#e88820", width=12)
    for leg in (-44, -20, 20, 44):
        swing = 10 * math.sin(9 * time + leg)
        draw.line((x + leg, 195, x + leg + swing, 226), fill="#e88820", width=10)
    disc(draw, x + 76, 134, 4, "#202020")
    m = 10 + 66 * time
    draw.ellipse((m - 16, 206, m + 16, 226), fill="#707078")
    disc(draw, m + 16, 210, 9, "#707078")
    disc(draw, m + 12, 202, 5, "#b08088")
    draw.line((m - 14, 216, m - 40, 210), fill="#707078", width=3)


def house(draw: Pen, time: float) -> None:
    """A purple block and a pointed roof drop from above and make a cottage."""
    ground(draw, "#fdf0d0", "#c8a860")
    base = -140 + 260 * share(time, 0.2, 1.6)
    roof = -100 + 150 * share(time, 1.8, 3)
    draw.rectangle((130, base, 250, base + 100), fill="#8048b0")
    draw.polygon(((112, roof + 70), (268, roof + 70), (190, roof)), fill="#402060")
    if time > 3.6:
        draw.rectangle((176, 170, 204, 220), fill="#f0d890")
    if time > 4.4:
        draw.rectangle((142, 140, 166, 164), fill="#80d0f0")
        draw.rectangle((214, 140, 238, 164), fill="#80d0f0")


def butterfly(draw: Pen, time: float) -> None:
    """Two pink fans and a stick come together as a butterfly that beats its wings."""
    draw.rectangle((0, 0, WIDTH, HEIGHT), fill="#101c38")
    near = share(time, 0.3, 2)
    beat = 1.0 if time < 2.3 else 0.55 + 0.45 * math.cos(6 * (time - 2.3))
    for side in (-1, 1):
        middle = 192 + side * (150 - 108 * near)
        half = 40 * beat
        draw.ellipse((middle - half, 70, middle + half, 210), fill="#f070b0")
        draw.ellipse((middle - half / 2, 110, middle + half / 2, 170), fill="#f8c0e0")
    y = 330 - 190 * near
    draw.line((192, y - 60, 192, y + 60), fill="#e8e0c0", width=9)


def face(draw: Pen, time: float) -> None:
    """Yellow dots that lie about gather into a smiling face."""
    draw.rectangle((0, 0, WIDTH, HEIGHT), fill="#184858")
    ring = [(192 + 90 * math.cos(a * 0.314), 144 + 90 * math.sin(a * 0.314)) for a in range(20)]
    smile = [(192 + 52 * math.cos(a), 150 + 46 * math.sin(a)) for a in (0.4, 0.9, 1.57, 2.2, 2.7)]
    for number, (x, y) in enumerate([*ring, *smile, (160, 118), (224, 118)]):
        start = ((number * 97) % 370 + 7, (number * 61) % 270 + 9)
        near = share(time, 0.8, 4.2)
        place = start[0] + (x - start[0]) * near, start[1] + (y - start[1]) * near
        disc(draw, *place, 8, "#f8d830")


def frames(draw: Callable[[Pen, float], None]) -> Iterator[Image.Image]:
    """Draw a clip frame by frame."""
    for number in range(FPS * SECONDS):
        picture = Image.new("RGB", (WIDTH, HEIGHT))
        draw(ImageDraw.Draw(picture), number / FPS)
        yield picture.resize(SIZE, Image.Resampling.LANCZOS)


SETS = {"H": "humor", "C": "creative", "M": "magic"}
Row = tuple[str, str, str]
VIDEOS: dict[str, tuple[Callable[[Pen, float], None], list[Row]]] = {
    "M_D_1_0000_0048": (
        vanishing,
        [
            (
                "M2",
                "What is the magic in this video?",
                "A red ball rolls behind a white card and is gone when the card is lifted.",
            ),
            (
                "M3",
                "Why does this look impossible?",
                (
                    "Whatever goes behind a card should still be there afterwards, but the "
                    "space behind this one is empty although nothing was seen to come out."
                ),
            ),
        ],
    ),
    "M_D_2_0000_0048": (
        through,
        [
            (
                "M2",
                "Describe the trick that is shown.",
                "A golden ring flies straight through a brick wall and out at the far end.",
            ),
            (
                "M3",
                "What makes it magical?",
                "Bricks are solid, and yet neither the ring slows down nor does a hole appear.",
            ),
        ],
    ),
    "M_D_3_0000_0048": (
        halves,
        [
            (
                "M2",
                "What happens in this magic trick?",
                (
                    "Scissors cut a blue rope in two. A crimson cloth drops in front of it, "
                    "and when the cloth goes up the rope is whole again."
                ),
            ),
            (
                "M3",
                "Why is the audience surprised?",
                (
                    "Two separate ends of a rope do not grow together, least of all within a "
                    "second under a cloth."
                ),
            ),
        ],
    ),
    "H_D_1_0000_0048": (
        hopping,
        [
            (
                "H2",
                "What is the funny moment of the video?",
                (
                    "A green square bounces over the lawn as if it were made of rubber, while "
                    "an orange globe lies idle."
                ),
            ),
            (
                "H3",
                "Why is this funny?",
                (
                    "The round one is made for bouncing and does nothing, while the one with "
                    "corners leaps about."
                ),
            ),
            ("H4", "Give the video a fitting title.", "Corners Are No Excuse"),
        ],
    ),
    "H_D_2_0000_0048": (
        lamp,
        [
            (
                "H2",
                "Describe the moment that makes one laugh.",
                "A pedestrian marches into a street lamp, which topples while he stays upright.",
            ),
            (
                "H3",
                "What is comical about it?",
                (
                    "One expects the man to fall, not the iron post, which gives way as if it "
                    "had been the weaker of the two."
                ),
            ),
            ("H4", "Suggest a title.", "Hard-Headed"),
        ],
    ),
    "H_D_3_0000_0048": (
        chase,
        [
            (
                "H2",
                "What is so funny in this video?",
                "A tiny grey mouse chases a huge orange cat across a meadow.",
            ),
            (
                "H3",
                "Why does this make people laugh?",
                "The usual roles are swapped: the one who should be hunting runs from its prey.",
            ),
            ("H4", "Which title would suit it?", "Today It Is My Turn"),
        ],
    ),
    "C_D_1_0000_0048": (
        house,
        [
            (
                "C2",
                "What is creative here?",
                (
                    "A purple block and a pointed roof fall from the sky and become a cottage, "
                    "with a door and windows that appear by themselves."
                ),
            ),
            (
                "C3",
                "What is the idea behind it?",
                (
                    "Two plain shapes are enough for everybody to see a home, as soon as one "
                    "of them sits on the other."
                ),
            ),
            ("C4", "Find a title for the performance.", "Home, Delivered"),
        ],
    ),
    "C_D_2_0000_0048": (
        butterfly,
        [
            (
                "C2",
                "Describe what the performers create.",
                "Two pink fans and a stick join into a butterfly, which then beats its wings.",
            ),
            (
                "C3",
                "Why is the performance imaginative?",
                (
                    "Everyday objects turn into an animal merely by how they are put next to "
                    "each other and moved."
                ),
            ),
            ("C4", "Give it a title.", "Fan Flight"),
        ],
    ),
    "C_D_3_0000_0048": (
        face,
        [
            (
                "C2",
                "What is formed in this video?",
                "Scattered yellow dots gather into a smiling face.",
            ),
            (
                "C3",
                "What makes it creative?",
                "The dots mean nothing one by one; only their arrangement gives an expression.",
            ),
            ("C4", "Suggest a title.", "Pull Yourself Together"),
        ],
    ),
}

LICENSES = """# The videos of this sample

All were drawn by `tools/make_sample_funqa.py` and are given away under CC0 1.0. The questions and
answers in `funqa_sample.json` were written for this project and are, like it, under the MIT
licence.

| file | licence |
|---|---|
"""


def main() -> None:
    """Write the videos, the rows and the licences."""
    rows: list[dict[str, str]] = []
    names: list[str] = []
    for name, (draw, said) in VIDEOS.items():
        path = f"train/train_{SETS[name[0]]}/{name}.mp4"
        write_clip(HOME / path, frames(draw), FPS)
        names.append(path)
        for task, question, answer in said:
            row = {"instruction": question, "visual_input": f"{name}.mp4", "output": answer}
            rows.append({**row, "task": task, "ID": f"train_{len(rows)}"})
    (HOME / "funqa_sample.json").write_text(json.dumps(rows, indent=1) + "\n")
    (HOME / "licence.txt").write_text("CC0-1.0\n")
    table = [f"| `{name}` | CC0 1.0 |\n" for name in names]
    (HOME / "LICENSES.md").write_text(LICENSES + "".join(table))


if __name__ == "__main__":
    main()
