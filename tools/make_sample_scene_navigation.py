"""Make samples/scene_navigation: eight drawn rooms and sentences about the things in them.

Each room is a long picture of its walls, over which a window moves as somebody turns round: five
rooms are frames of that turn, three are clips. Run it again to get the same files.
"""

import json
from collections.abc import Callable

from PIL import Image, ImageDraw
from sample_media import SAMPLES, save, travel, write_clip

HOME = SAMPLES / "scene_navigation"
WIDTH, HEIGHT, FLOOR = 1280, 320, 230
"""Size of a room's picture, and where its walls end."""

VIEW = (240, 180)
CLIP = (192, 144)

Draw = ImageDraw.ImageDraw
Thing = Callable[[Draw, float], None]


def window(draw: Draw, x: float) -> None:
    """A window with a view of the sky."""
    draw.rectangle((x, 40, x + 120, 140), fill="#a8d4f4", outline="#ffffff", width=7)
    draw.line((x + 60, 40, x + 60, 140), fill="#ffffff", width=5)
    draw.line((x, 90, x + 120, 90), fill="#ffffff", width=5)


def door(draw: Draw, x: float, colour: str = "#7a5230") -> None:
    """A closed door with a handle."""
    draw.rectangle((x, 50, x + 90, FLOOR), fill=colour, outline="#4a3018", width=4)
    draw.ellipse((x + 72, 138, x + 82, 148), fill="#d8c060")


def table(draw: Draw, x: float, colour: str = "#b07840") -> None:
    """A table on two legs."""
    draw.rectangle((x, 185, x + 130, 195), fill=colour)
    for leg in (x + 8, x + 114):
        draw.rectangle((leg, 195, leg + 8, 262), fill=colour)


def chair(draw: Draw, x: float, colour: str = "#c03030") -> None:
    """A chair, seen from the side."""
    draw.rectangle((x, 150, x + 8, 268), fill=colour)
    draw.rectangle((x, 208, x + 52, 217), fill=colour)
    draw.rectangle((x + 44, 217, x + 52, 268), fill=colour)


def bed(draw: Draw, x: float, colour: str = "#3868b0") -> None:
    """A bed with a white pillow."""
    draw.rectangle((x, 165, x + 12, 275), fill="#6a4520")
    draw.rectangle((x + 12, 208, x + 220, 255), fill=colour)
    draw.rectangle((x + 208, 190, x + 220, 275), fill="#6a4520")
    draw.rounded_rectangle((x + 16, 190, x + 66, 212), 8, fill="#ffffff")


def floor_lamp(draw: Draw, x: float) -> None:
    """A tall lamp with a yellow shade."""
    draw.rectangle((x + 22, 120, x + 27, 262), fill="#303030")
    draw.rectangle((x + 5, 260, x + 45, 267), fill="#303030")
    draw.polygon(((x + 10, 80), (x + 40, 80), (x + 50, 124), (x, 124)), fill="#f4d850")


def couch(draw: Draw, x: float, colour: str = "#2f8050") -> None:
    """A couch with arms."""
    draw.rounded_rectangle((x, 165, x + 200, 250), 12, fill=colour)
    draw.rectangle((x + 22, 208, x + 178, 232), fill="#66b088")
    draw.rounded_rectangle((x, 190, x + 24, 262), 8, fill=colour)
    draw.rounded_rectangle((x + 176, 190, x + 200, 262), 8, fill=colour)


def shelf(draw: Draw, x: float) -> None:
    """A bookshelf full of books."""
    draw.rectangle((x, 60, x + 110, 255), fill="#6a4520")
    colours = ("#b03030", "#3050a0", "#308040", "#d0a030", "#804090")
    for row in range(4):
        top = 68 + row * 46
        draw.rectangle((x + 7, top, x + 103, top + 38), fill="#3a2410")
        for place in range(8):
            left = x + 10 + place * 11.5
            colour = colours[(place * 2 + row) % 5]
            draw.rectangle((left, top + 6 + (place + row) % 3 * 3, left + 9, top + 38), fill=colour)


def plant(draw: Draw, x: float) -> None:
    """A plant in an orange pot, on the floor."""
    for lean in (-26, -12, 0, 12, 26):
        draw.line((x + 25, 225, x + 25 + lean, 165 + abs(lean)), fill="#2f8a3a", width=9)
    draw.polygon(((x + 5, 222), (x + 45, 222), (x + 38, 268), (x + 12, 268)), fill="#d87030")


def trash_can(draw: Draw, x: float, colour: str = "#707880") -> None:
    """A trash can."""
    draw.polygon(((x, 215), (x + 44, 215), (x + 36, 272), (x + 8, 272)), fill=colour)
    draw.rectangle((x - 3, 209, x + 47, 217), fill="#404448")


def picture(draw: Draw, x: float, y: float = 60) -> None:
    """A framed picture of a mountain."""
    draw.rectangle((x, y, x + 90, y + 64), fill="#f4f0e0", outline="#c09030", width=6)
    draw.polygon(((x + 14, y + 54), (x + 45, y + 16), (x + 76, y + 54)), fill="#608890")


def sink(draw: Draw, x: float) -> None:
    """A white sink on a stand, with a tap."""
    draw.rectangle((x + 34, 205, x + 66, 270), fill="#e0e0e4")
    draw.rounded_rectangle((x, 180, x + 100, 210), 10, fill="#ffffff", outline="#a0a0a8", width=2)
    draw.rectangle((x + 46, 160, x + 54, 182), fill="#8a9098")


def mirror(draw: Draw, x: float) -> None:
    """A round mirror."""
    draw.ellipse((x, 55, x + 80, 135), fill="#d4ecf4", outline="#8a9098", width=6)
    draw.line((x + 24, 105, x + 52, 72), fill="#ffffff", width=5)


def toilet(draw: Draw, x: float) -> None:
    """A white toilet, seen from the side."""
    draw.rectangle((x, 160, x + 32, 220), fill="#f4f4f6", outline="#a0a0a8", width=2)
    draw.rounded_rectangle(
        (x + 26, 210, x + 96, 226), 6, fill="#ffffff", outline="#a0a0a8", width=2
    )
    draw.polygon(((x + 30, 226), (x + 88, 226), (x + 70, 272), (x + 36, 272)), fill="#f4f4f6")


def fridge(draw: Draw, x: float) -> None:
    """A tall white refrigerator."""
    draw.rectangle((x, 70, x + 92, 268), fill="#f0f2f4", outline="#90969c", width=3)
    draw.line((x, 130, x + 92, 130), fill="#90969c", width=3)
    for top in (92, 142):
        draw.rectangle((x + 76, top, x + 82, top + 28), fill="#90969c")


def stove(draw: Draw, x: float) -> None:
    """A black stove with an oven door."""
    draw.rectangle((x, 180, x + 96, 268), fill="#282828")
    draw.rectangle((x + 12, 210, x + 84, 254), fill="#585858")
    for knob in range(4):
        draw.ellipse((x + 14 + knob * 20, 188, x + 24 + knob * 20, 198), fill="#d8d8d8")


def cabinet(draw: Draw, x: float) -> None:
    """A cabinet with two doors, high on the wall."""
    draw.rectangle((x, 46, x + 130, 116), fill="#d8b888", outline="#8a6a40", width=3)
    draw.line((x + 65, 46, x + 65, 116), fill="#8a6a40", width=3)
    for knob in (x + 52, x + 72):
        draw.ellipse((knob, 78, knob + 7, 85), fill="#5a4020")


def desk(draw: Draw, x: float) -> None:
    """A desk with a black monitor on it."""
    draw.rectangle((x, 190, x + 150, 200), fill="#e4e0d8")
    draw.rectangle((x + 4, 200, x + 44, 266), fill="#c8c4bc")
    draw.rectangle((x + 138, 200, x + 146, 266), fill="#c8c4bc")
    draw.rectangle((x + 62, 132, x + 132, 178), fill="#181818", outline="#404040", width=3)
    draw.rectangle((x + 92, 178, x + 102, 190), fill="#404040")


def whiteboard(draw: Draw, x: float) -> None:
    """A whiteboard with a few blue lines."""
    draw.rectangle((x, 55, x + 190, 150), fill="#fcfcfc", outline="#9098a0", width=5)
    for line in range(3):
        draw.line(
            (x + 22, 82 + line * 20, x + 130 - line * 24, 82 + line * 20), fill="#3050c0", width=4
        )


def clock(draw: Draw, x: float) -> None:
    """A round clock."""
    draw.ellipse((x, 50, x + 56, 106), fill="#ffffff", outline="#202020", width=5)
    draw.line((x + 28, 78, x + 28, 60), fill="#202020", width=4)
    draw.line((x + 28, 78, x + 42, 86), fill="#202020", width=4)


def suitcase(draw: Draw, x: float) -> None:
    """A red suitcase with a handle, on the floor."""
    draw.rectangle((x + 24, 212, x + 52, 224), outline="#401010", width=4)
    draw.rounded_rectangle((x, 222, x + 76, 272), 6, fill="#b02838")


def rug(draw: Draw, x: float) -> None:
    """An oval purple rug."""
    draw.ellipse((x, 268, x + 240, 312), fill="#7848a0")


def towel(draw: Draw, x: float) -> None:
    """A blue towel on a rail."""
    draw.line((x - 8, 100, x + 58, 100), fill="#8a9098", width=5)
    draw.rectangle((x, 100, x + 50, 170), fill="#4088d0")


def piano(draw: Draw, x: float) -> None:
    """An upright piano."""
    draw.rectangle((x, 130, x + 180, 262), fill="#301c10")
    draw.rectangle((x + 6, 186, x + 174, 200), fill="#ffffff")
    for key in range(14):
        draw.rectangle((x + 14 + key * 11.5, 186, x + 19 + key * 11.5, 194), fill="#101010")


Room = tuple[str, str, list[tuple[Thing, float]], list[list[str]]]
"""Colours of walls and floor; the things and their places; and what is said of them."""

ROOMS: dict[str, Room] = {
    "scene0900_00": (
        *("#e8dcc0", "#a87848"),
        [(window, 60), (bed, 300), (picture, 350), (floor_lamp, 550), (door, 720), (shelf, 980)],
        [
            ["bed", "The blue bed under the picture."],
            ["picture", "picture above the bed"],
            ["lamp", "The tall lamp is next to the bed."],
            ["door", "The brown door is between the lamp and the bookshelf."],
            ["bookshelf", "this is a bookshelf full of books"],
            ["pillow", "the white pillow on the bed"],
        ],
    ),
    "scene0900_01": (
        *("#e8dcc0", "#a87848"),
        [
            (window, 60),
            (bed, 300),
            (picture, 350),
            (floor_lamp, 550),
            (door, 720),
            (shelf, 980),
            (suitcase, 860),
        ],
        [
            ["suitcase", "The red suitcase on the floor."],
            ["suitcase", "suitcase between the door and the bookshelf"],
            ["picture", "Choose the picture above the bed."],
            ["lamp", "the lamp near the bed"],
        ],
    ),
    "scene0901_00": (
        *("#dcecec", "#88989c"),
        [
            (sink, 120),
            (mirror, 130),
            (towel, 290),
            (toilet, 430),
            (trash_can, 570),
            (window, 720),
            (door, 1000),
        ],
        [
            ["sink", "The white sink under the mirror."],
            ["mirror", "The round mirror above the sink."],
            ["towel", "Find the blue towel that is between the mirror and the toilet"],
            ["trash can", "The trash can next to the toilet."],
            ["toilet", "toilet near the trash can"],
            ["window", "The window is between the toilet and the door."],
        ],
    ),
    "scene0902_00": (
        *("#f4e8a8", "#909090"),
        [
            (fridge, 80),
            (stove, 230),
            (cabinet, 215),
            (table, 460),
            (chair, 620),
            (clock, 500),
            (trash_can, 760),
            (window, 900),
            (plant, 1080),
        ],
        [
            ["refrigerator", "The white refrigerator next to the stove."],
            ["stove", "stove below the cabinet"],
            ["cabinet", "The cabinet is above the stove."],
            ["clock", "The round clock above the table."],
            ["chair", "The red chair beside the table."],
            ["trash can", "trash can between the chair and the window"],
            ["plant", "The plant in the orange pot."],
        ],
    ),
    "scene0903_00": (
        *("#d8e4d0", "#7c5c3c"),
        [
            (rug, 120),
            (couch, 140),
            (picture, 190),
            (plant, 380),
            (floor_lamp, 470),
            (piano, 620),
            (door, 900),
            (window, 1080),
        ],
        [
            ["couch", "The green couch under the picture."],
            ["plant", "The plant next to the couch."],
            ["lamp", "The tall lamp is between the plant and the piano."],
            ["piano", "brown piano near the lamp"],
            ["rug", "the purple rug on the floor"],
            ["picture", "picture over the couch"],
        ],
    ),
    "scene0904_00": (
        *("#dce0ec", "#606878"),
        [
            (desk, 100),
            (chair, 280),
            (whiteboard, 420),
            (trash_can, 660),
            (shelf, 780),
            (door, 1000),
        ],
        [
            ["monitor", "The black monitor on the desk."],
            ["chair", "The red chair next to the desk."],
            ["whiteboard", "whiteboard between the desk and the bookshelf"],
            ["trash can", "trash can near the bookshelf"],
            ["bookshelf", "The bookshelf by the door."],
        ],
    ),
    "scene0905_00": (
        *("#f0d8d0", "#806050"),
        [
            (table, 120),
            (chair, 270),
            (picture, 140),
            (door, 420),
            (clock, 560),
            (couch, 660),
            (window, 700),
            (plant, 900),
        ],
        [
            ["table", "The table under the picture."],
            ["chair", "The red chair next to the table."],
            ["door", "the brown door is between the chair and the couch"],
            ["couch", "The green couch under the window."],
            ["window", "window above the couch"],
            ["plant", "The plant beside the couch."],
        ],
    ),
    "scene0906_00": (
        *("#cfd8f0", "#989080"),
        [
            (whiteboard, 80),
            (table, 330),
            (clock, 370),
            (chair, 490),
            (window, 640),
            (trash_can, 800),
            (door, 920),
            (suitcase, 1060),
        ],
        [
            ["table", "The table below the clock."],
            ["clock", "clock above the table"],
            ["chair", "The red chair by the table."],
            ["trash can", "The gray trash can next to the door."],
            ["suitcase", "Choose the red suitcase that is on the floor."],
            ["whiteboard", "The whiteboard with blue lines on it."],
        ],
    ),
}
CLIPS = {"scene0904_00", "scene0905_00", "scene0906_00"}


def drawn(room: Room) -> Image.Image:
    """Draw the walls of a room, one after the other, and all that stands before them."""
    walls, floor, things, _ = room
    image = Image.new("RGB", (WIDTH, HEIGHT), walls)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, FLOOR, WIDTH, HEIGHT), fill=floor)
    for x in range(-400, WIDTH + 400, 80):  # boards that run towards somebody in the middle
        draw.line((x, FLOOR, x + (x - WIDTH / 2) * 0.25, HEIGHT), fill="#50403060", width=2)
    draw.rectangle((0, FLOOR - 8, WIDTH, FLOOR), fill="#ffffff")
    for thing, place in things:
        thing(draw, place)
    return image


LICENSES = """# The frames and videos of this sample

All are drawn by `tools/make_sample_scene_navigation.py` and under CC0 1.0. The sentences in
`scan_info.json` were written for this project and are, like it, under the MIT licence.

| file | what it is | licence |
|---|---|---|
"""


def main() -> None:
    """Write the frames, the clips, the sentences and the licences."""
    lines = [LICENSES]
    side = HEIGHT * VIEW[0] / VIEW[1]
    for name, room in ROOMS.items():
        image, last = drawn(room), WIDTH - side
        if name in CLIPS:
            frames = travel(image, (0, 0, side, HEIGHT), (last, 0, WIDTH, HEIGHT), 40, CLIP)
            write_clip(HOME / "videos" / f"{name}.mp4", frames)
            lines.append(f"| `videos/{name}.mp4` | a turn in a drawn room | CC0 1.0 |\n")
            continue
        turn = travel(image, (0, 0, side, HEIGHT), (last, 0, WIDTH, HEIGHT), 4, VIEW)
        for number, frame in enumerate(turn):
            path = f"frames/{name}/color/{number * 100:06d}.jpg"
            save(frame, HOME / path)
            lines.append(f"| `{path}` | part of a drawn room | CC0 1.0 |\n")
    table = {name: {"description": said} for name, (_, _, _, said) in ROOMS.items()}
    (HOME / "scan_info.json").write_text(json.dumps(table, indent=1) + "\n")
    (HOME / "licence.txt").write_text("CC0-1.0\n")
    (HOME / "LICENSES.md").write_text("".join(lines))


if __name__ == "__main__":
    main()
