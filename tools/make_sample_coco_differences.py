"""Make samples/coco_differences: the photographs of samples/coco, scaled, and edits of them.

Usage: python tools/make_sample_coco_differences.py [DIRECTORY]

The captions and boxes of the scaled ones are those of samples/coco; those of the edits were written
while looking at them. The pairs are chosen by the source itself and kept.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageOps
from sample_media import PHOTOGRAPHS, SAMPLES, save

from mimicit.generators import open_source

Place = tuple[float, float]
Edges = tuple[float, float, float, float]

MORE_CATEGORIES = [
    {"id": 16, "name": "bird", "supercategory": "animal"},
    {"id": 37, "name": "sports ball", "supercategory": "sports"},
    {"id": 1011, "name": "sugar cube", "supercategory": "food"},
]


@dataclass
class Edit:
    """A photograph made of another: what is done to it, and what it shows then.

    Attributes:
        name: Its file, without the extension.
        of: The photograph it is made of.
        make: What is done.
        captions: What it shows.
        boxes: (category, [x, y, width, height]) in pixels of the edited one.
        side: Pixels of its longer side at the end.
    """

    name: str
    of: str
    make: Callable[[Image.Image], Image.Image]
    captions: list[str]
    boxes: list[tuple[int, list[float]]]
    side: int


def crop(edges: Edges) -> Callable[[Image.Image], Image.Image]:
    return lambda picture: picture.crop(tuple(map(int, edges)))  # type: ignore[arg-type]


def balls(*places: Place) -> Callable[[Image.Image], Image.Image]:
    def draw(picture: Image.Image) -> Image.Image:
        on = ImageDraw.Draw(picture)
        for x, y in places:
            on.ellipse((x - 28, y - 28, x + 28, y + 28), fill=(190, 40, 40), outline=(90, 15, 15))
            on.ellipse((x - 16, y - 20, x - 2, y - 6), fill=(240, 150, 150))
        return picture

    return draw


def birds(*places: Place) -> Callable[[Image.Image], Image.Image]:
    def draw(picture: Image.Image) -> Image.Image:
        on = ImageDraw.Draw(picture)
        for x, y in places:
            wings = [(x - 24, y + 3), (x - 11, y - 9), (x, y), (x + 11, y - 9), (x + 24, y + 3)]
            on.line(wings, fill=(15, 15, 15), width=6)
            on.ellipse((x - 7, y - 4, x + 7, y + 5), fill=(15, 15, 15))
        return picture

    return draw


def cubes(*places: Place) -> Callable[[Image.Image], Image.Image]:
    def draw(picture: Image.Image) -> Image.Image:
        on = ImageDraw.Draw(picture)
        for x, y in places:
            top = [(x, y + 12), (x + 48, y), (x + 62, y + 24), (x + 16, y + 38)]
            on.polygon(top, fill=(250, 248, 242))
            right = [(x + 16, y + 38), (x + 62, y + 24), (x + 62, y + 58), (x + 18, y + 74)]
            on.polygon(right, fill=(222, 216, 206))
            left = [(x, y + 12), (x + 16, y + 38), (x + 18, y + 74), (x + 2, y + 46)]
            on.polygon(left, fill=(204, 198, 188))
        return picture

    return draw


def around(*places: Place, half: tuple[float, float] = (28, 28)) -> list[list[float]]:
    """Give the boxes of things by their middles."""
    return [[x - half[0], y - half[1], 2 * half[0], 2 * half[1]] for x, y in places]


ON_GRAVEL: tuple[Place, ...] = ((70, 80), (220, 120), (130, 240))
ON_GRASS: tuple[Place, ...] = ((90, 200), (230, 90))
IN_THE_SKY: tuple[Place, ...] = ((380, 40), (440, 70), (330, 90))

EDITS = [
    Edit(
        "gravel_balls",
        "gravel",
        balls(*ON_GRAVEL),
        [
            "Three red balls lie on a surface of gravel.",
            "Red balls on grey gravel seen from above.",
        ],
        [(37, box) for box in around(*ON_GRAVEL)],
        160,
    ),
    Edit(
        "grass_balls",
        "grass",
        balls(*ON_GRASS),
        ["Two red balls lie in the grass.", "Red balls on grass and small leaves seen from above."],
        [(37, box) for box in around(*ON_GRASS)],
        160,
    ),
    Edit(
        "rocket_close",
        "rocket",
        crop((215, 90, 425, 427)),
        [
            "A white rocket stands on its launch pad at dusk.",
            "A tall white rocket under a dark blue sky, with a bright light beside its foot.",
        ],
        [(1009, [93, 36, 30, 284])],
        200,
    ),
    Edit(
        "cat_mirrored",
        "cat",
        ImageOps.mirror,
        [
            "A close-up of the face of a tabby cat that looks to one side.",
            "A striped brown cat with green eyes and long whiskers.",
        ],
        [(17, [53, 0, 380, 300])],
        200,
    ),
    Edit(
        "coffee_sugar",
        "coffee",
        cubes((14, 296), (512, 310)),
        [
            "A small cup of coffee on a red saucer with two cubes of sugar beside it.",
            "Espresso with a spoon and white sugar cubes on a wooden table.",
        ],
        [
            (47, [172, 16, 236, 296]),
            (1008, [77, 66, 402, 322]),
            (50, [318, 65, 107, 262]),
            (67, [0, 0, 600, 400]),
            (1011, [14, 296, 62, 74]),
            (1011, [512, 310, 62, 74]),
        ],
        240,
    ),
    Edit(
        "officer_close",
        "officer",
        crop((130, 10, 410, 300)),
        [
            "The face of an elderly woman with glasses and a naval cap.",
            "A close-up of a naval officer who looks straight at the viewer.",
        ],
        [
            (1, [10, 12, 270, 278]),
            (1001, [0, 0, 102, 290]),
            (1004, [36, 12, 206, 130]),
            (1005, [48, 157, 175, 65]),
        ],
        180,
    ),
    Edit(
        "cameraman_birds",
        "cameraman",
        birds(*IN_THE_SKY),
        [
            "A man looks through a camera on a tripod while three birds fly past.",
            "A black and white picture of a man with a camera and birds in the sky.",
        ],
        [
            (1, [0, 62, 338, 450]),
            (1006, [258, 138, 68, 46]),
            (1007, [231, 180, 177, 332]),
            *((16, box) for box in around(*IN_THE_SKY, half=(26, 13))),
        ],
        220,
    ),
    Edit(
        "astronaut_close",
        "astronaut",
        crop((0, 0, 340, 330)),
        [
            "A smiling astronaut in an orange space suit beside a flag.",
            "A portrait of a woman with short hair in an orange space suit.",
        ],
        [(1, [22, 15, 318, 315]), (1001, [0, 0, 110, 330])],
        190,
    ),
]

SCALED = {"bricks": 160, "gravel": 160, "grass": 160, "galaxies": 200}
"""Pixels of the longer side of the photographs that are only scaled; 220 for the others."""


class Sample:
    """The annotation files under construction."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.images: list[dict[str, Any]] = []
        self.captions: list[dict[str, Any]] = []
        self.boxes: list[dict[str, Any]] = []

    def add(  # noqa: PLR0913  # what one photograph is made of
        self,
        name: str,
        picture: Image.Image,
        side: int,
        licence: int,
        captions: list[str],
        boxes: list[tuple[int, list[float]]],
    ) -> None:
        """Save a photograph scaled, and its captions and boxes with it."""
        scale = side / max(picture.size)
        size = (round(picture.width * scale), round(picture.height * scale))
        fitted = picture.resize(size, Image.Resampling.LANCZOS)
        save(fitted, self.root / "sample" / f"{name}.jpg")
        image_id = 910_000_000_001 + len(self.images)
        self.images.append(
            {"id": image_id, "file_name": f"{name}.jpg", "width": size[0], "height": size[1]}
            | {"license": licence}
        )
        for text in captions:
            number = len(self.captions) + 1
            self.captions.append({"id": number, "image_id": image_id, "caption": text})
        for category, box in boxes:
            x, y, width, height = (round(number * scale, 1) for number in box)
            number = len(self.boxes) + 1
            self.boxes.append(
                {"id": number, "image_id": image_id, "category_id": category}
                | {"bbox": [x, y, width, height], "area": round(width * height, 1), "iscrowd": 0}
            )

    def write(self, licences: list[Any], categories: list[Any]) -> None:
        """Write both annotation files."""
        folder = self.root / "annotations"
        folder.mkdir(parents=True, exist_ok=True)
        info = {"description": "mimicit's sample of pairs in COCO's layout", "version": "1.0"}
        shared = {"info": info, "licenses": licences, "images": self.images}
        for name, content in (
            ("captions", {**shared, "annotations": self.captions}),
            ("instances", {**shared, "annotations": self.boxes, "categories": categories}),
        ):
            (folder / f"{name}_sample.json").write_text(_lines(content))


def _lines(content: dict[str, Any]) -> str:
    """Write JSON with a record a line."""
    parts = []
    for key, value in content.items():
        text = json.dumps(value)
        if isinstance(value, list):
            text = "[\n  " + ",\n  ".join(map(json.dumps, value)) + "\n ]"
        parts.append(f' "{key}": {text}')
    return "{\n" + ",\n".join(parts) + "\n}\n"


def main() -> None:
    """Write the photographs, the annotations and the pairs."""
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else SAMPLES / "coco_differences"
    annotations = SAMPLES / "coco" / "annotations"
    said = json.loads((annotations / "captions_sample.json").read_text())
    outlined = json.loads((annotations / "instances_sample.json").read_text())
    sample = Sample(root)
    licences = {}
    for image in said["images"]:
        name = Path(image["file_name"]).stem
        licences[name] = image["license"]
        captions = [a["caption"] for a in said["annotations"] if a["image_id"] == image["id"]]
        boxes = [
            (a["category_id"], a["bbox"])
            for a in outlined["annotations"]
            if a["image_id"] == image["id"]
        ]
        with Image.open(PHOTOGRAPHS / image["file_name"]) as picture:
            whole = picture.convert("RGB")
        sample.add(name, whole, SCALED.get(name, 220), image["license"], captions, boxes)
    for edit in EDITS:
        with Image.open(PHOTOGRAPHS / f"{edit.of}.jpg") as picture:
            made = edit.make(picture.convert("RGB"))
        sample.add(edit.name, made, edit.side, licences[edit.of], edit.captions, edit.boxes)
    sample.write(said["licenses"], outlined["categories"] + MORE_CATEGORIES)
    (root / "pairs_sample.jsonl").unlink(missing_ok=True)
    for item in open_source("coco_differences", {"root": str(root)}).scenes():
        print(item)


if __name__ == "__main__":
    main()
