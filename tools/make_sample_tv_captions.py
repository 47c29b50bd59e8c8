"""Make samples/tv_captions: five short drawn scenes with two people, and moments of them.

Nobody in them is a character of a real show: names and videos are made up. Run it again to get
the same files.
"""

import json
import math
from collections.abc import Callable, Iterator

from PIL import Image, ImageDraw
from sample_media import SAMPLES, write_clip

HOME = SAMPLES / "tv_captions"
SIZE = (192, 144)
FPS, SECONDS = 8, 8
Pen = ImageDraw.ImageDraw


def disc(draw: Pen, x: float, y: float, radius: float, colour: str) -> None:
    """Draw a filled circle."""
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def person(draw: Pen, x: float, colour: str, hands: tuple[float, float], *, woman: bool) -> None:
    """Draw somebody who stands at `x`; `hands` are the heights of the left and the right hand."""
    for side, hand in ((-1, hands[0]), (1, hands[1])):
        draw.line((x + side * 14, 130, x + side * 44, hand), fill="#e0b090", width=8)
        draw.line((x + side * 9, 190, x + side * 12, 250), fill="#303040", width=9)
    if woman:
        draw.ellipse((x - 27, 60, x + 27, 132), fill="#6a3b1a")
        draw.polygon(((x - 14, 115), (x + 14, 115), (x + 34, 215), (x - 34, 215)), fill=colour)
        draw.rectangle((x - 12, 100, x + 12, 122), fill="#f0c8a0")
    else:
        draw.rectangle((x - 20, 115, x + 20, 200), fill=colour)
        draw.rectangle((x - 22, 62, x + 22, 82), fill="#303030")
    disc(draw, x, 93, 21, "#f0c8a0")
    disc(draw, x - 7, 90, 3, "#202020")
    disc(draw, x + 7, 90, 3, "#202020")


def room(draw: Pen) -> None:
    """Draw a wall and a floor."""
    draw.rectangle((0, 0, 384, 240), fill="#e8dcc0")
    draw.rectangle((0, 240, 384, 288), fill="#8a6a4a")


def cup(draw: Pen, time: float) -> None:
    """A woman walks to a table and lifts a red cup."""
    room(draw)
    x = min(-40 + 60 * time, 200)
    lift = 0.0 if time < 4.5 else min(60 * (time - 4.5), 70)
    person(draw, x, "#7040a0", (170, 170 if time < 4.5 else 185 - lift), woman=True)
    draw.rectangle((230, 200, 370, 210), fill="#5a3a1a")
    draw.rectangle((290, 210, 300, 260), fill="#5a3a1a")
    draw.rectangle((236, 174 - lift, 258, 200 - lift), fill="#d02020")


def greeting(draw: Pen, time: float) -> None:
    """A man waves at a woman; then both walk towards each other."""
    room(draw)
    wave = 70 + 25 * math.sin(6 * time) if time < 4 else 170.0
    walked = max(time - 4, 0) * 22
    person(draw, 60 + walked, "#2060c0", (170, wave), woman=False)
    person(draw, 320 - walked, "#7040a0", (170, 170), woman=True)


def throwing(draw: Pen, time: float) -> None:
    """A man in blue throws a yellow ball to a man in green, who throws it back."""
    draw.rectangle((0, 0, 384, 200), fill="#bfe0f4")
    draw.rectangle((0, 200, 384, 288), fill="#4f9a4a")
    share = min(time / 3.5, 1) if time < 4 else max(1 - (time - 4.5) / 3.2, 0)
    share = min(share, 1.0)
    person(draw, 60, "#2060c0", (170, 120), woman=False)
    person(draw, 324, "#208040", (120, 170), woman=False)
    disc(draw, 112 + 160 * share, 118 - 80 * math.sin(math.pi * share), 12, "#f0d020")


def rain(draw: Pen, time: float) -> None:
    """A woman opens a red umbrella in the rain and walks off to the right."""
    draw.rectangle((0, 0, 384, 288), fill="#9aa8b4")
    draw.rectangle((0, 240, 384, 288), fill="#5c6468")
    for drop in range(40):
        left, top = (drop * 97) % 384, (drop * 53 + 160 * time) % 250
        draw.line((left, top, left - 3, top + 12), fill="#d8e8f8", width=2)
    x = 110.0 + max(time - 4, 0) * 50
    person(draw, x, "#7040a0", (170, 110), woman=True)
    width = 10 + 70 * min(max(time - 1, 0) / 2, 1)
    draw.line((x + 44, 118, x + 44, 20), fill="#303030", width=5)
    draw.pieslice((x + 44 - width, 8, x + 44 + width, 88), 180, 360, fill="#c02030")


def dog(draw: Pen, time: float) -> None:
    """A brown dog runs past a man and a woman, who turn their arms up."""
    draw.rectangle((0, 0, 384, 200), fill="#bfe0f4")
    draw.rectangle((0, 200, 384, 288), fill="#4f9a4a")
    up = 170.0 if time < 4 else max(170 - 60 * (time - 4), 60)
    person(draw, 130, "#2060c0", (up, up), woman=False)
    person(draw, 250, "#7040a0", (up, up), woman=True)
    x = -60 + 120 * time
    draw.ellipse((x - 36, 232, x + 30, 262), fill="#7a4a20")
    disc(draw, x + 36, 228, 15, "#7a4a20")
    for leg in (-24, -10, 12, 24):
        swing = 8 * math.sin(12 * time + leg)
        draw.line((x + leg, 256, x + leg + swing, 280), fill="#7a4a20", width=6)


def frames(draw: Callable[[Pen, float], None]) -> Iterator[Image.Image]:
    """Draw a clip frame by frame."""
    for number in range(FPS * SECONDS):
        picture = Image.new("RGB", (2 * SIZE[0], 2 * SIZE[1]))
        draw(ImageDraw.Draw(picture), number / FPS)
        yield picture.resize(SIZE, Image.Resampling.LANCZOS)


CLIPS: dict[str, Callable[[Pen, float], None]] = {
    "s00e01_seg01_clip_00": cup,
    "s00e01_seg01_clip_01": greeting,
    "s00e01_seg01_clip_02": throwing,
    "s00e01_seg02_clip_00": rain,
    "s00e01_seg02_clip_01": dog,
}
MOMENTS: list[tuple[str, float, float, list[tuple[str, str]]]] = [
    ("s00e01_seg01_clip_00", 0, 4, [("v", "Alice walks into the room and up to a table.")]),
    (
        "s00e01_seg01_clip_00",
        *(4.5, 6.5),
        [("v", "Alice lifts a red cup from the table."), ("vt", "Alice takes her cup from home.")],
    ),
    ("s00e01_seg01_clip_01", 0, 4, [("v", "Oscar waves at Alice.")]),
    ("s00e01_seg01_clip_01", 4, 8, [("v", "Oscar and Alice walk toward each other.")]),
    ("s00e01_seg01_clip_02", 0, 3.5, [("v", "Oscar throws a yellow ball to Leo.")]),
    (
        "s00e01_seg01_clip_02",
        *(4.5, 7.7),
        [
            ("v", "Leo, who wears green, throws the ball back to Oscar."),
            ("v", "A yellow ball flies through the air from right to left."),
        ],
    ),
    ("s00e01_seg02_clip_00", 1, 3, [("v", "Alice opens a red umbrella in the rain.")]),
    ("s00e01_seg02_clip_00", 4, 8, [("v", "Alice walks away under her umbrella. ")]),
    ("s00e01_seg02_clip_01", 0, 4, [("v", "A brown dog runs past Oscar and Alice.")]),
    (
        "s00e01_seg02_clip_01",
        *(4, 6),
        [("v", "Oscar and Alice raise their arms."), ("t", "Alice asks whose dog that was.")],
    ),
]

LICENSES = """# The videos of this sample

All were drawn by `tools/make_sample_tv_captions.py` and are given away under CC0 1.0. The
descriptions in `tvc_sample.jsonl` were written for this project and are, like it, under the MIT
licence. Videos and names are made up.

| file | licence |
|---|---|
"""


def main() -> None:
    """Write the clips, the moments and the licences."""
    for name, draw in CLIPS.items():
        write_clip(HOME / "videos" / f"{name}.mp4", frames(draw), FPS)
    lines = []
    for number, (video, start, end, said) in enumerate(MOMENTS, 101):
        descriptions = [
            {"desc": text, "type": kind, "from_retrieval": False, "desc_id": 10 * number + place}
            for place, (kind, text) in enumerate(said)
        ]
        record = {"vid_name": video, "duration": float(SECONDS), "ts": [start, end]}
        lines.append(json.dumps({**record, "clip_id": number, "descs": descriptions}) + "\n")
    (HOME / "tvc_sample.jsonl").write_text("".join(lines))
    (HOME / "licence.txt").write_text("CC0-1.0\n")
    rows = [f"| `videos/{name}.mp4` | CC0 1.0 |\n" for name in CLIPS]
    (HOME / "LICENSES.md").write_text(LICENSES + "".join(rows))


if __name__ == "__main__":
    main()
