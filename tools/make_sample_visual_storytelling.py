"""Make samples/visual_storytelling: six small albums and ten stories that are told with them.

Four albums are drawn, two are photographs of samples/coco and cuttings of them. Run it again to get
the same files.
"""

import json
from collections.abc import Callable

from PIL import Image, ImageDraw
from sample_media import SAMPLES, photograph, save

HOME = SAMPLES / "visual_storytelling"
SIZE = (480, 360)
SHOWN = (240, 180)

Draw = ImageDraw.ImageDraw
Drawing = Callable[[Draw], None]


def disc(draw: Draw, x: float, y: float, radius: float, colour: str) -> None:
    """Draw a filled circle."""
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def sky(draw: Draw, above: str, below: str, horizon: int) -> None:
    """Draw the sky, and what lies below it."""
    draw.rectangle((0, 0, SIZE[0], horizon), fill=above)
    draw.rectangle((0, horizon, *SIZE), fill=below)


def fir(draw: Draw, x: int) -> None:
    """Draw a fir tree."""
    draw.rectangle((x - 6, 190, x + 6, 232), fill="#5a3a1c")
    for top in (90, 125, 160):
        draw.polygon(((x, top), (x - 44, top + 52), (x + 44, top + 52)), fill="#1f5c38")


def snowman(stage: int) -> Drawing:
    """Draw a snowman being built (0 to 3), and melted in the sun (4)."""

    def draw_it(draw: Draw) -> None:
        if stage < 4:
            sky(draw, "#b8cce0", "#ffffff", 230)
        else:
            sky(draw, "#8cc8f8", "#78b858", 230)
            disc(draw, 400, 70, 42, "#ffd830")
        fir(draw, 70)
        for part, (y, radius) in enumerate(((270, 62), (178, 46), (108, 34))):
            if part < stage < 4:
                disc(draw, 260, y, radius + 3, "#a8b8c8")
                disc(draw, 260, y, radius, "#fcfcfc")
        if stage == 3:
            for x in (248, 272):
                disc(draw, x, 100, 5, "#202020")
            draw.polygon(((260, 108), (260, 118), (300, 116)), fill="#f08020")
            hat(draw, 260, 78)
        if stage == 4:
            draw.ellipse((170, 268, 350, 316), fill="#9cc4e4")
            hat(draw, 262, 292)

    return draw_it


def hat(draw: Draw, x: int, y: int) -> None:
    """Draw a black hat."""
    draw.rectangle((x - 42, y - 6, x + 42, y + 3), fill="#181818")
    draw.rectangle((x - 25, y - 44, x + 25, y - 4), fill="#181818")


def plant(stage: int) -> Drawing:
    """Draw a flower growing in a pot: soil (0), watered (1), a sprout (2), a bud (3), open (4)."""

    def draw_it(draw: Draw) -> None:
        sky(draw, "#f0e4cc", "#a87848", 270)
        draw.polygon(((180, 220), (300, 220), (280, 318), (200, 318)), fill="#c86438")
        draw.ellipse((180, 208, 300, 232), fill="#4a2f1a")
        if stage == 1:
            draw.polygon(((330, 60), (430, 60), (430, 150), (330, 150)), fill="#3080c0")
            draw.line((335, 130, 262, 110), fill="#3080c0", width=16)
            for drop in range(5):
                draw.line(
                    (250 - drop * 7, 122 + drop * 16, 246 - drop * 7, 134 + drop * 16),
                    fill="#60b0f0",
                    width=5,
                )
        height = (0, 0, 40, 120, 150)[stage]
        if height:
            draw.line((240, 220, 240, 220 - height), fill="#3a9a3c", width=9)
            for y in range(196, 220 - height + 20, -36):
                draw.ellipse((240, y - 12, 290, y + 6), fill="#3a9a3c")
                draw.ellipse((190, y - 24, 240, y - 6), fill="#3a9a3c")
        if stage == 2:
            draw.ellipse((240, 168, 272, 184), fill="#3a9a3c")
            draw.ellipse((208, 168, 240, 184), fill="#3a9a3c")
        if stage == 3:
            draw.ellipse((224, 70, 256, 116), fill="#2f7a34")
        if stage == 4:
            for dx, dy in (
                (-30, 0),
                (30, 0),
                (0, -30),
                (0, 30),
                (-21, -21),
                (21, 21),
                (-21, 21),
                (21, -21),
            ):
                disc(draw, 240 + dx, 66 + dy, 19, "#e03048")
            disc(draw, 240, 66, 20, "#ffd030")

    return draw_it


def boat(stage: int) -> Drawing:
    """Draw a sailboat: at a pier, at sea, near a lighthouse, at an island, at dusk."""

    def draw_it(draw: Draw) -> None:
        if stage == 4:
            sky(draw, "#f09050", "#583858", 220)
            disc(draw, 350, 214, 46, "#ffd860")
            draw.rectangle((0, 221, *SIZE), fill="#583858")
        else:
            sky(draw, "#9cd4f8", "#2878b8", 220)
        x, y = ((150, 250), (240, 240), (120, 255), (130, 262), (150, 260))[stage]
        draw.line((x, y, x, y - 140), fill="#4a3018", width=6)
        sail = "#ffffff" if stage < 4 else "#302030"
        draw.polygon(((x + 6, y - 138), (x + 6, y - 24), (x + 82, y - 24)), fill=sail)
        draw.polygon(
            ((x - 80, y - 12), (x + 92, y - 12), (x + 60, y + 26), (x - 52, y + 26)),
            fill="#c02828" if stage < 4 else "#281828",
        )
        if stage == 0:
            draw.rectangle((250, 232, 480, 250), fill="#8a6030")
            for post in (270, 340, 410):
                draw.rectangle((post, 250, post + 14, 340), fill="#6a4520")
        if stage == 2:
            draw.polygon(((330, 220), (350, 70), (390, 70), (410, 220)), fill="#f8f8f8")
            draw.polygon(((341, 140), (345, 106), (395, 106), (399, 140)), fill="#d02828")
            draw.rectangle((346, 44, 394, 70), fill="#ffe060")
            draw.ellipse((270, 200, 480, 262), fill="#78706a")
        if stage == 3:
            draw.ellipse((250, 200, 500, 280), fill="#ecd490")
            draw.line((370, 220, 392, 110), fill="#7a5028", width=12)
            for dx, dy in ((-60, 10), (60, 14), (-40, -26), (44, -22), (0, 36)):
                draw.line((392, 110, 392 + dx, 110 + dy), fill="#2f8a3a", width=12)

    return draw_it


def kite(stage: int) -> Drawing:
    """Draw a kite: on the grass, in the sky, in a tree, with a ladder at it, up again."""

    def draw_it(draw: Draw) -> None:
        sky(draw, "#a8d8f8", "#68b048", 250)
        if stage in (2, 3):
            draw.rectangle((318, 160, 346, 280), fill="#6a4520")
            disc(draw, 332, 110, 86, "#2f7a34")
        x, y = ((150, 300), (300, 90), (310, 90), (310, 90), (200, 70))[stage]
        if stage in (1, 4):
            disc(draw, 90, 60, 26, "#ffffff")
            disc(draw, 124, 56, 32, "#ffffff")
            draw.line((x, y + 50, 60, 350), fill="#404040", width=2)
        draw.polygon(((x, y - 56), (x + 38, y), (x, y + 56), (x - 38, y)), fill="#e83838")
        draw.polygon(((x, y - 56), (x + 38, y), (x, y)), fill="#f8d030")
        draw.polygon(((x, y + 56), (x - 38, y), (x, y)), fill="#f8d030")
        if stage == 3:
            for side in (210, 250):
                draw.line((side, 290, side + 54, 120), fill="#8a6030", width=8)
            for step in range(6):
                left, y = 216 + step * 8, 270 - step * 26
                draw.line((left, y, left + 42, y), fill="#8a6030", width=6)

    return draw_it


def drawn(draw_it: Drawing) -> Image.Image:
    """Draw a picture, twice as large as it is shown."""
    picture = Image.new("RGB", SIZE)
    draw_it(ImageDraw.Draw(picture))
    return picture.resize(SHOWN, Image.Resampling.LANCZOS)


def cutting(name: str, box: tuple[float, float, float, float]) -> Image.Image:
    """Cut a part out of a photograph; the box is in parts of its sides."""
    whole = photograph(name, 640)
    width, height = whole.size
    left, top, right, bottom = box
    part = whole.crop(
        (int(left * width), int(top * height), int(right * width), int(bottom * height))
    )
    part.thumbnail((240, 240), Image.Resampling.LANCZOS)
    return part


WHOLE = (0.0, 0.0, 1.0, 1.0)
MADE_OF = {
    "cat": "`cat.jpg`: Chelsea the cat, Stefan van der Walt, CC0 1.0",
    "coffee": "`coffee.jpg`: Rachel Michetti, Pikolo Espresso Bar, CC0 1.0",
    "rocket": "`rocket.jpg`: SpaceX, public domain",
    "galaxies": "`galaxies.jpg`: NASA, ESA, public domain",
    "astronaut": "`astronaut.jpg`: NASA, public domain",
}
ALBUMS: dict[
    str, tuple[str, str, list[Drawing | tuple[str, tuple[float, float, float, float]]]]
] = {
    "101": ("Snowman", "built and lost in one week", [snowman(n) for n in range(5)]),
    "102": ("My first flower", "", [plant(n) for n in range(5)]),
    "103": ("A day on the water", "from the pier to the island", [boat(n) for n in range(5)]),
    "104": ("Kite weather", "", [kite(n) for n in range(5)]),
    "105": (
        "Space",
        "<b>posters</b> for the children&#39;s room",
        [
            ("rocket", WHOLE),
            ("rocket", (0.3, 0.45, 0.75, 1.0)),
            ("astronaut", WHOLE),
            ("galaxies", WHOLE),
        ],
    ),
    "106": (
        "Sunday morning",
        "",
        [
            ("coffee", WHOLE),
            ("coffee", (0.45, 0.3, 1.0, 0.95)),
            ("cat", WHOLE),
            ("cat", (0.3, 0.1, 0.85, 0.7)),
        ],
    ),
}
TAGS = {"10104": "winter hat carrot", "10303": "lighthouse", "10403": "tree stuck"}
TITLES = {"10205": "red at last", "10302": "Under sail"}

STORIES: list[tuple[str, str, list[tuple[str, str]]]] = [
    (
        "101",
        "9001",
        [
            ("10101", "Fresh snow lay all around the fir tree."),
            ("10102", "First the children rolled one big ball of snow."),
            ("10103", "Then they put a smaller ball on top of it."),
            ("10104", "With a hat, a carrot for a nose and two eyes, the snowman was finished."),
            ("10105", "A week later the sun was shining, and only the hat lay in a puddle."),
        ],
    ),
    (
        "101",
        "9002",
        [
            ("10103", "We rolled two balls of snow, and one more was missing."),
            ("10104", "This is the snowman that [female] built last winter."),
            ("10105", "I was sad when it melted, but we kept the hat."),
        ],
    ),
    (
        "102",
        "9003",
        [
            ("10201", "I filled a pot with soil and put a seed in it."),
            ("10202", "Every day it got some water from my blue watering can."),
            ("10203", "After a week a little green sprout looked out."),
            ("10204", "It grew and grew, and at the top there was a bud."),
            ("10205", "One morning the bud had opened, and I had a red flower."),
        ],
    ),
    (
        "102",
        "9004",
        [
            ("10203", "The sprout was so small that nobody noticed it."),
            ("10204", "A month later it was as tall as my arm."),
            ("10205", "Now everybody wants to smell the red flower."),
        ],
    ),
    (
        "103",
        "9005",
        [
            ("10301", "We couldn't wait to board the red sailboat at the pier."),
            ("10302", "Soon there was nothing around us but water."),
            ("10303", "We passed a lighthouse on a rock."),
            ("10304", "At noon we reached an island with a single palm."),
            ("10305", "The sun went down while we sailed home."),
        ],
    ),
    (
        "103",
        "9006",
        [
            ("10303", "[male] 's favorite part of the trip was the lighthouse ."),
            ("10304", "Next came the island with the palm tree."),
            ("10305", "What a beautiful sunset!"),
        ],
    ),
    (
        "104",
        "9007",
        [
            ("10401", "The new kite was waiting on the grass."),
            ("10402", "Up it went, as high as the clouds!"),
            ("10403", "Then the wind turned, and it got stuck in a tree."),
            ("10404", "Luckily a neighbor had a ladder."),
            ("10405", "It didn't take long until the kite was in the sky again."),
        ],
    ),
    (
        "104",
        "9008",
        [
            ("10403", "Our kite got caught in the tree."),
            ("10404", "We leaned a ladder against the branches."),
            ("10405", "The kite isn't hurt, it flies as well as before."),
        ],
    ),
    (
        "105",
        "9009",
        [
            ("10501", "The white rocket is ready beside its tower."),
            ("10502", "From close by you can see the bright lights at its foot."),
            ("10503", "The astronaut smiles in her orange suit."),
            ("10504", "Out there, thousands of galaxies are waiting."),
        ],
    ),
    (
        "106",
        "9010",
        [
            ("10601", "My Sunday begins with a cup of coffee."),
            ("10602", "There is a silver spoon on the red saucer."),
            ("10603", "The cat watches me with its green eyes."),
            ("10604", "It wants its breakfast, too."),
        ],
    ),
]


def tokenised(text: str) -> str:
    """Write a sentence as VIST does: in small letters, cut into words."""
    for mark in (",", ".", "!", "n't", "'s"):
        text = text.replace(mark, f" {mark}")
    return " ".join(text.lower().split())


LICENSES = """# The pictures of this sample

All were made by `tools/make_sample_visual_storytelling.py`: twenty are drawn by it (CC0 1.0), eight
are photographs of `samples/coco`, or parts of them, which are in the public domain or under CC0.
The stories were written for this project and are, like it, under the MIT licence.

| file | made of | licence |
|---|---|---|
"""


def main() -> None:
    """Write the pictures, the stories and the licences."""
    images, albums, lines = [], [], [LICENSES]
    for album, (title, description, pictures) in ALBUMS.items():
        albums.append({"id": album, "title": title, "description": description})
        for number, source in enumerate(pictures, 1):
            photo = f"{album}{number:02d}"
            made_of = "drawn" if callable(source) else MADE_OF[source[0]]
            save(
                drawn(source) if callable(source) else cutting(*source),
                HOME / f"images/{photo}.jpg",
            )
            free = made_of.endswith("public domain")
            lines.append(
                f"| `images/{photo}.jpg` | {made_of} | {'public domain' if free else 'CC0 1.0'} |\n"
            )
            images.append(
                {
                    "id": photo,
                    "album_id": album,
                    "title": TITLES.get(photo, ""),
                    "text": "",
                    "tags": TAGS.get(photo, ""),
                    "datetaken": f"2024-01-{number:02d} 10:00:00",
                    "license": "10" if free else "9",
                }
            )
    annotations = [
        [
            {
                "original_text": text if "[" not in text else "",
                "text": tokenised(text),
                "album_id": album,
                "photo_flickr_id": photo,
                "story_id": story,
                "worker_arranged_photo_order": place,
                "tier": "story-in-sequence",
            }
        ]
        for album, story, told in STORIES
        for place, (photo, text) in enumerate(told)
    ]
    content = {"type": "vist", "images": images, "albums": albums, "annotations": annotations}
    path = HOME / "sample.story-in-sequence.json"
    path.write_text(json.dumps(content, indent=1) + "\n")
    (HOME / "LICENSES.md").write_text("".join(lines))


if __name__ == "__main__":
    main()
