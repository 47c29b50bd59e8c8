"""Make samples/ego4d: four short drawn videos as if seen through glasses, with narrations.

The wearer's hands reach in from below. Run it again to get the same files.
"""

import json
import math
from collections.abc import Callable, Iterator
from itertools import pairwise

from PIL import Image, ImageDraw
from sample_media import SAMPLES, write_clip

HOME = SAMPLES / "ego4d"
SIZE = (192, 144)
FPS, SECONDS = 8, 32
Pen = ImageDraw.ImageDraw
Place = tuple[float, float]

WIDTH, HEIGHT = 384, 288
REST: Place = (230.0, 300.0)
SKIN, SLEEVE = "#e0b090", "#3a5a8a"


def between(time: float, start: float, end: float, one: Place, other: Place) -> Place:
    """Give where something is that moves from one place to another between two times."""
    share = min(max((time - start) / (end - start), 0.0), 1.0)
    return one[0] + (other[0] - one[0]) * share, one[1] + (other[1] - one[1]) * share


def along(time: float, *stops: tuple[float, Place]) -> Place:
    """Give where something is that is at some places at some times."""
    for (start, one), (end, other) in pairwise(stops):
        if time < end:
            return between(time, start, end, one, other)
    return stops[-1][1]


def hand(draw: Pen, place: Place, *, left: bool = False) -> None:
    """Draw one of the wearer's hands, with its arm."""
    x, y = place
    root = (70 if left else 300, HEIGHT + 30)
    draw.line((*root, x, y + 18), fill=SLEEVE, width=34)
    draw.ellipse((x - 17, y - 13, x + 17, y + 27), fill=SKIN)
    for finger in (-11, -4, 4, 11):
        draw.line((x + finger, y, x + finger * 1.2, y - 19), fill=SKIN, width=7)


def kitchen(draw: Pen) -> None:
    """Draw a wall and a worktop."""
    draw.rectangle((0, 0, WIDTH, 110), fill="#dfe6d8")
    draw.rectangle((0, 110, WIDTH, HEIGHT), fill="#b98f5f")


def mug(draw: Pen, place: Place, colour: str) -> None:
    """Draw a mug that stands at a place."""
    x, y = place
    draw.arc((x + 8, y - 34, x + 34, y - 10), 270, 90, fill=colour, width=6)
    draw.rectangle((x - 18, y - 42, x + 18, y), fill=colour)
    draw.ellipse((x - 18, y - 48, x + 18, y - 36), fill="#ffffff")


def tea(draw: Pen, time: float) -> None:
    """A red mug is taken to the middle, water poured into it, and stirred with a spoon."""
    kitchen(draw)
    kettle = along(
        time, (8, (70, 150)), (10, (130, 100)), (13, (130, 100)), (15, (70, 150)), (16, (70, 150))
    )
    cup = along(time, (1, (320, 150)), (4, (215, 190)))
    spoon = along(time, (17, (330, 200)), (19, (215, 130)), (27, (215, 130)), (29, (330, 200)))
    mug(draw, cup, "#c02828")
    if 19 <= time < 27:
        spoon = (215 + 9 * math.sin(5 * time), 130 + 4 * math.cos(5 * time))
    draw.line((spoon[0], spoon[1] - 24, spoon[0], spoon[1] + 22), fill="#808890", width=5)
    draw.ellipse((spoon[0] - 7, spoon[1] + 16, spoon[0] + 7, spoon[1] + 34), fill="#808890")
    x, y = kettle
    if 10 < time < 13:
        draw.line((x + 62, y - 28, 212, 146), fill="#78b8e8", width=6)
    draw.polygon(((x + 30, y - 20), (x + 66, y - 34), (x + 32, y - 4)), fill="#404850")
    draw.ellipse((x - 38, y - 50, x + 40, y + 16), fill="#505860")
    draw.arc((x - 30, y - 76, x + 30, y - 26), 180, 360, fill="#303438", width=8)
    if time < 8:
        reach = along(time, (0, REST), (1, (322, 132)), (4, (217, 172)), (6, REST))
    elif time < 16.5:
        reach = along(
            time, (8, (90, 140)), (10, (140, 90)), (13, (140, 90)), (15, (80, 140)), (16, REST)
        )
    else:
        reach = (spoon[0] + 4, spoon[1] - 14) if time < 29.3 else REST
    hand(draw, reach)


def person(draw: Pen, x: float, reach: float, colour: str) -> None:
    """Draw a woman across the table."""
    draw.ellipse((x - 34, 6, x + 34, 90), fill="#5a3018")
    draw.rectangle((x - 40, 72, x + 40, 140), fill=colour)
    draw.ellipse((x - 23, 16, x + 23, 68), fill="#f0c8a0")
    draw.ellipse((x - 11, 36, x - 5, 42), fill="#202020")
    draw.ellipse((x + 5, 36, x + 11, 42), fill="#202020")
    draw.line((x - 34, 88, x - 30, 120 + reach), fill=colour, width=18)
    draw.ellipse((x - 41, 112 + reach, x - 19, 134 + reach), fill="#f0c8a0")


def card(draw: Pen, place: Place, colour: str) -> None:
    """Draw a playing card."""
    x, y = place
    draw.rectangle((x - 16, y - 22, x + 16, y + 22), fill="#ffffff", outline="#404040")
    draw.polygon(((x, y - 12), (x + 9, y), (x, y + 12), (x - 9, y)), fill=colour)


def cards(draw: Pen, time: float) -> None:
    """The wearer picks a card and puts it down; a woman puts one down; then she takes both."""
    draw.rectangle((0, 0, WIDTH, 110), fill="#e8dcc8")
    draw.rectangle((0, 110, WIDTH, HEIGHT), fill="#2f6a48")
    reach = along(
        time,
        *((7, (0.0, 0.0)), (8.5, (0.0, 36.0)), (10, (0.0, 0.0)), (19, (0.0, 0.0))),
        *((20.5, (0.0, 52.0)), (22.5, (0.0, 0.0)), (32, (0.0, 0.0))),
    )[1]
    person(draw, 192, reach, "#8a3a78")
    draw.rectangle((300, 170, 334, 216), fill="#304890", outline="#ffffff")
    mine = along(time, (1, (317, 193)), (3, (240, 235)), (4, (240, 235)), (6, (200, 190)))
    if time < 20.5:
        if time > 1:
            card(draw, mine, "#c02020")
        if time > 8.5:
            card(draw, (150, 175), "#202020")
    if time < 7:
        place = along(time, (0, REST), (1, (317, 200)), (3, (240, 245)), (6, (205, 205)), (7, REST))
    elif time < 24:
        place = REST
    else:
        place = along(time, (24, REST), (26, (318, 190)), (31, (318, 190)))
    hand(draw, place)


def desk(draw: Pen, time: float) -> None:
    """A drawer is opened, a pair of scissors taken out, the drawer closed and paper cut."""
    draw.rectangle((0, 0, WIDTH, HEIGHT), fill="#d8d0c4")
    draw.rectangle((0, 60, WIDTH, 200), fill="#9a6a3c")
    out = along(time, (2, (0.0, 0.0)), (4, (0.0, 60.0)), (10, (0.0, 60.0)), (12, (0.0, 0.0)))[1]
    draw.rectangle((210, 200, 370, 204 + out), fill="#5c4428")
    draw.rectangle((210, 200 + out, 370, 232 + out), fill="#845a30", outline="#3c2810")
    draw.ellipse((282, 210 + out, 298, 222 + out), fill="#d8b040")
    sheet = 110 if time < 24 else 110 + (time - 24) * 3
    draw.rectangle((60, 80, 110, 180), fill="#f8f8f0")
    draw.rectangle((sheet, 80, sheet + 60, 180), fill="#f8f8f0")
    if time > 6:
        home = (290.0, 226.0)
        x, y = along(
            time, *((6, home), (8, (230, 150)), (14, (230, 150)), (16, (110, 176)), (24, (110, 84)))
        )
        gap = 5 + 5 * abs(math.sin(4 * time)) if 16 < time < 24 else 4
        draw.line((x - gap, y - 26, x + gap, y + 12), fill="#707880", width=5)
        draw.line((x + gap, y - 26, x - gap, y + 12), fill="#707880", width=5)
        draw.ellipse((x - 14, y + 8, x - 1, y + 24), outline="#c83020", width=5)
        draw.ellipse((x + 1, y + 8, x + 14, y + 24), outline="#c83020", width=5)
        scissors: Place = (x, y + 20)
    else:
        scissors = REST
        x, y = 290, 226
        if out > 30:
            draw.line((x - 8, y - 10, x + 8, y + 12), fill="#c83020", width=5)
    if time < 6:
        place = along(time, (0, REST), (2, (290, 222)), (4, (290, 280)), (5, (290, 240)))
        hand(draw, place)
    else:
        hand(draw, scissors)
    if 9 < time < 13:
        hand(draw, along(time, (9, (90, 300)), (10, (270, 282)), (12, (270, 222))), left=True)
    elif time > 15:
        hand(draw, (75, 180), left=True)


def ball(draw: Pen, time: float) -> None:
    """A yellow ball is thrown to a man on a lawn; he throws it back; then the wearer walks."""
    step = max(time - 17, 0) * 3
    draw.rectangle((0, 0, WIDTH, 120), fill="#a8d4f0")
    draw.rectangle((0, 120, WIDTH, HEIGHT), fill="#5a9a48")
    tree = 70 - step
    draw.rectangle((tree - 8, 60, tree + 8, 140 + step), fill="#6a4824")
    draw.ellipse((tree - 40 - step / 3, 5, tree + 40 + step / 3, 85), fill="#2f7034")
    if time < 17:
        draw.rectangle((178, 76, 206, 122), fill="#2858b0")
        draw.ellipse((181, 50, 203, 76), fill="#f0c8a0")
        draw.line((186, 120, 182, 160), fill="#303040", width=9)
        draw.line((198, 120, 203, 160), fill="#303040", width=9)
        arm = 60 if 5 < time < 10 else 96
        draw.line((204, 82, 222, arm), fill="#f0c8a0", width=7)
    share = along(time, (3, (0.0, 0.0)), (6, (1.0, 0.0)), (9, (1.0, 0.0)), (12, (0.0, 0.0)))[0]
    x, y = 240 - 16 * share, 210 - 140 * share - 30 * math.sin(math.pi * share)
    radius = 17 - 10 * share
    grip = (x + 4, y + 14) if share < 0.04 else (250.0, 240.0)
    if time < 17:
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill="#f0d020")
        hand(draw, grip)
    else:
        for flower in range(6):
            place = 30 + flower * 66, 150 + ((flower * 37 + 16 * time) % 130)
            draw.ellipse((place[0], place[1], place[0] + 10, place[1] + 10), fill="#f060a0")


def frames(draw: Callable[[Pen, float], None]) -> Iterator[Image.Image]:
    """Draw a clip frame by frame."""
    for number in range(FPS * SECONDS):
        picture = Image.new("RGB", (WIDTH, HEIGHT))
        draw(ImageDraw.Draw(picture), number / FPS)
        yield picture.resize(SIZE, Image.Resampling.LANCZOS)


VIDEOS: dict[str, tuple[Callable[[Pen, float], None], list[list[tuple[float, str]]]]] = {
    "d1a00000-0000-4000-8000-000000000001": (
        tea,
        [
            [
                (1.2, "#C C picks a red mug"),
                (4.1, "#C C puts the mug on the counter"),
                (8.6, "#C C lifts the kettle"),
                (10.4, "#C C pours water into the mug"),
                (14.6, "#C C puts down the kettle"),
                (17.8, "#C C picks up a spoon"),
                (20.0, "#C C stirs the tea with the spoon"),
                (28.7, "#C C puts the spoon on the counter."),
            ],
            [
                (1.5, "#C C takes a cup"),
                (8.7, "#C C raises a kettle"),
                (11.0, "#c c fills the cup with water"),
                (19.6, "#C C stirs the #unsure in the cup"),
            ],
        ],
    ),
    "d1a00000-0000-4000-8000-000000000002": (
        cards,
        [
            [
                (1.3, "#C C picks a card from the deck"),
                (5.4, "#C C places the card on the table"),
                (8.4, "#O A woman X puts a card on the table"),
                (20.4, "#O A woman X takes the cards from the table"),
                (26.2, "#C C touches the deck with his right hand"),
            ]
        ],
    ),
    "d1a00000-0000-4000-8000-000000000003": (
        desk,
        [
            [
                (2.6, "#C C opens the drawer"),
                (6.5, "#C C takes out scissors from the drawer"),
                (11.0, "#C C closes the drawer with his left hand"),
                (17.0, "#C C cuts the paper with the scissors"),
            ]
        ],
    ),
    "d1a00000-0000-4000-8000-000000000004": (
        ball,
        [
            [
                (3.4, "#C C throws a ball to man Y"),
                (9.3, "#O Man Y throws the ball to C"),
                (18.0, "#C C walks around the lawn"),
            ]
        ],
    ),
}

LICENSES = """# The videos of this sample

All were drawn by `tools/make_sample_ego4d.py` and are given away under CC0 1.0. The narrations in
`narration.json` were written for this project and are, like it, under the MIT licence.

| file | licence |
|---|---|
"""


def record(name: str, passes: list[list[tuple[float, str]]]) -> dict[str, object]:
    """Write a video's narrations as Ego4D does."""
    made: dict[str, object] = {}
    for number, told in enumerate(passes, 1):
        narrations = [
            {
                "timestamp_sec": time,
                "timestamp_frame": round(time * FPS),
                "narration_text": text,
                "annotation_uid": f"{name}-{number}",
            }
            for time, text in told
        ]
        made[f"narration_pass_{number}"] = {"narrations": narrations, "summaries": []}
    return {**made, "status": "complete"}


def main() -> None:
    """Write the videos, their narrations and the licences."""
    for name, (draw, _) in VIDEOS.items():
        write_clip(HOME / "full_scale" / f"{name}.mp4", frames(draw), FPS)
    table = {name: record(name, passes) for name, (_, passes) in VIDEOS.items()}
    (HOME / "narration.json").write_text(json.dumps(table, indent=1) + "\n")
    (HOME / "licence.txt").write_text("CC0-1.0\n")
    rows = [f"| `full_scale/{name}.mp4` | CC0 1.0 |\n" for name in VIDEOS]
    (HOME / "LICENSES.md").write_text(LICENSES + "".join(rows))


if __name__ == "__main__":
    main()
