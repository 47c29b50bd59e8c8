"""Measure how well near-duplicates of photographs are told from other photographs.

    python tools/eval_lookalikes.py PHOTOGRAPHS                      # a folder
    python tools/eval_lookalikes.py PHOTOGRAPHS --others FOLDER --videos CLIP.mp4 OTHER.mp4

Prints, for the descriptor of `mimicit.lookalikes` and for the 64-bit perceptual hash of the images
table at its best threshold under the same bar for false positives: how many changed copies are
found, for each change, with a 95 % interval (bootstrap over the photographs); how many pairs of
different pictures are taken for the same; what it costs. Pairs that are alike in truth must not be
among the photographs, and no two videos may show the same.
"""

import argparse
import io
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mimicit.lookalikes import LENGTH, describe, near
from mimicit.pixels import perceptual_hash

Change = Callable[[Image.Image, random.Random], Image.Image]

BAR = 0.001
"""Largest share of pairs of different photographs that may be taken for the same."""

FRAMES = 8
"""Frames of each video, evenly spread."""

# ------------------------------------------------------------------------- changes


def scaled(share: float) -> Change:
    def change(picture: Image.Image, _: random.Random) -> Image.Image:
        width, height = (max(1, round(side * share)) for side in picture.size)
        return picture.resize((width, height), Image.Resampling.BICUBIC)

    return change


def squashed(side: int) -> Change:
    return lambda picture, _: picture.resize((side, side), Image.Resampling.BICUBIC)


def encoded(form: str, **options: int) -> Change:
    def change(picture: Image.Image, _: random.Random) -> Image.Image:
        file = io.BytesIO()
        picture.save(file, form, **options)
        return Image.open(io.BytesIO(file.getvalue())).convert("RGB")

    return change


def cut(left: float, top: float, right: float, bottom: float) -> Change:
    def change(picture: Image.Image, _: random.Random) -> Image.Image:
        width, height = picture.size
        box = (width * left, height * top, width * (1 - right), height * (1 - bottom))
        x, y, far_x, far_y = map(round, box)
        return picture.crop((x, y, max(far_x, x + 1), max(far_y, y + 1)))

    return change


def cut_by_chance(picture: Image.Image, chance: random.Random) -> Image.Image:
    return cut(*(chance.uniform(0, 0.1) for _ in range(4)))(picture, chance)


def cut_off_centre(picture: Image.Image, chance: random.Random) -> Image.Image:
    x, y = 0.15 * chance.random(), 0.15 * chance.random()
    return cut(x, y, 0.15 - x, 0.15 - y)(picture, chance)


def cut_to_a_corner(picture: Image.Image, chance: random.Random) -> Image.Image:
    x, y = chance.choice((0, 0.15)), chance.choice((0, 0.15))
    return cut(x, y, 0.15 - x, 0.15 - y)(picture, chance)


def toned(*rules: Callable[[float], float]) -> Change:
    """Map the levels, 0 to 1, of all bands by one rule, or of each by its own."""
    levels = [n / 255 for n in range(256)]
    table = [round(255 * min(max(rule(n), 0), 1)) for rule in rules for n in levels]
    return lambda picture, _: picture.point(table * (3 // len(rules)))


def contrasted(factor: float) -> Change:
    return lambda picture, _: ImageEnhance.Contrast(picture).enhance(factor)


def grey(picture: Image.Image, _: random.Random) -> Image.Image:
    return picture.convert("L").convert("RGB")


def mirrored(picture: Image.Image, _: random.Random) -> Image.Image:
    return picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def each(*changes: Change) -> Change:
    def change(picture: Image.Image, chance: random.Random) -> Image.Image:
        for one in changes:
            picture = one(picture, chance)
        return picture

    return change


CHANGES: dict[str, Change] = {
    "size 25 %": scaled(0.25),
    "size 50 %": scaled(0.5),
    "size 75 %": scaled(0.75),
    "size 150 %": scaled(1.5),
    "size 200 %": scaled(2.0),
    "squashed to 224 x 224": squashed(224),
    "JPEG of quality 30": encoded("JPEG", quality=30),
    "JPEG of quality 60": encoded("JPEG", quality=60),
    "JPEG of quality 95": encoded("JPEG", quality=95),
    "WebP of quality 50": encoded("WEBP", quality=50),
    "PNG": encoded("PNG"),
    "2 % off each side": cut(0.02, 0.02, 0.02, 0.02),
    "5 % off each side": cut(0.05, 0.05, 0.05, 0.05),
    "7.5 % off each side": cut(0.075, 0.075, 0.075, 0.075),
    "10 % off each side": cut(0.1, 0.1, 0.1, 0.1),
    "10 % off the left": cut(0.1, 0, 0, 0),
    "10 % off the top": cut(0, 0.1, 0, 0),
    "0 to 10 % off each side": cut_by_chance,
    "85 % of it, off centre": cut_off_centre,
    "85 % of it, a corner": cut_to_a_corner,
    "brightness -25 %": toned(lambda level: 0.75 * level),
    "brightness +25 %": toned(lambda level: 1.25 * level),
    "contrast -25 %": contrasted(0.75),
    "contrast +25 %": contrasted(1.25),
    "gamma 0.7": toned(lambda level: level**0.7),
    "gamma 1.4": toned(lambda level: level**1.4),
    "grey": grey,
    "warmer": toned(lambda level: 1.1 * level, lambda level: level, lambda level: 0.9 * level),
    "mirrored": mirrored,
    "mirrored, 0 to 10 % off, JPEG of 50": each(
        mirrored, cut_by_chance, encoded("JPEG", quality=50)
    ),
    "a corner, contrast +25 %, half": each(cut_to_a_corner, contrasted(1.25), scaled(0.5)),
    "a corner mirrored, gamma 0.7": each(
        cut_to_a_corner, mirrored, toned(lambda level: level**0.7)
    ),
}

# --------------------------------------------------------------------- descriptions

Described = tuple[np.ndarray, np.ndarray]
"""Descriptors, int8, and perceptual hashes, uint64: a row for each picture."""


def described(pictures: Iterable[Image.Image]) -> Described:
    rows, hashes = [], []
    for picture in pictures:
        rows.append(np.frombuffer(describe(picture), np.int8))
        hashes.append(int(perceptual_hash(picture), 16))
    return np.array(rows, np.int8).reshape(-1, LENGTH), np.array(hashes, np.uint64)


def with_copies(path: Path) -> Described:
    """Describe a photograph and each of its changed copies."""
    picture = Image.open(path).convert("RGB")
    changed = (
        change(picture, random.Random(f"{path.name} {name}")) for name, change in CHANGES.items()
    )
    return described([picture, *changed])


def frames(path: Path) -> Described:
    from mimicit.moments import Uniform, choose
    from mimicit.video import open_video

    video = open_video(path)
    moments, _ = choose(Uniform(FRAMES), video.timeline.duration, video.timeline.keyframes)
    found = [frame.picture.convert("RGB") for frame in video.frames(moments)]
    video.close()
    return described(found)


def skies(count: int) -> list[Image.Image]:
    """Draw photographs of nothing but sky or snow: light that changes evenly, and noise."""
    made = []
    for number in range(count):
        chance = np.random.default_rng(number)
        y, x = np.mgrid[0:480, 0:640] / 480
        snow = number % 3 == 0
        top = chance.uniform(
            [225] * 3 if snow else [20, 60, 140], [245] * 3 if snow else [90, 150, 230]
        )
        change = chance.uniform(-15 if snow else 20, 15 if snow else 90, 3)
        light = y ** chance.uniform(0.6, 2) + chance.uniform(-0.1, 0.1) * x
        levels = top + change * light[..., None] + chance.normal(0, 2, (480, 640, 1))
        made.append(Image.fromarray(levels.clip(0, 255).astype(np.uint8)))
    return made


# -------------------------------------------------------------------------- figures


def bits_apart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.bitwise_count(a ^ b)
    return found


def between(groups: Sequence[Described]) -> tuple[np.ndarray, np.ndarray]:
    """Compare every picture with those of other groups: who is near, and bits apart."""
    owners = np.repeat(np.arange(len(groups)), [len(rows) for rows, _ in groups])
    rows = np.concatenate([rows for rows, _ in groups])
    hashes = np.concatenate([hashes for _, hashes in groups])
    one, other = np.triu_indices(len(rows), 1)
    apart = owners[one] != owners[other]
    one, other = one[apart], other[apart]
    return near(rows[one], rows[other]), bits_apart(hashes[one], hashes[other])


def share(hits: np.ndarray) -> str:
    """Spell a share with the interval that holds 95 of 100 resampled ones."""
    mean = float(hits.mean())
    again = np.random.default_rng(0).binomial(len(hits), mean, 10_000) / len(hits)
    low, high = np.percentile(again, [2.5, 97.5])
    return f"{mean:.3f} ({low:.3f} to {high:.3f})"


def microseconds(do: Callable[[], object], runs: int = 5) -> float:
    took = []
    for _ in range(runs):
        start = time.process_time()
        do()
        took.append(time.process_time() - start)
    return 1e6 * statistics.median(took)


def costs(paths: Sequence[Path], rows: np.ndarray) -> None:
    pictures = [Image.open(path).convert("RGB") for path in paths[:50]]
    count = len(pictures)
    mine = microseconds(lambda: [describe(picture) for picture in pictures]) / count
    other = microseconds(lambda: [perceptual_hash(picture) for picture in pictures]) / count
    print(f"| microseconds a picture, decoded already | {mine:.0f} | {other:.0f} |")
    one, two = rows[np.arange(4096) % len(rows)], rows[np.arange(4096) * 7 // 5 % len(rows)]
    pairs = microseconds(lambda: near(one, two)) / len(one)
    hashes = np.arange(4096, dtype=np.uint64)
    others = microseconds(lambda: bits_apart(hashes, hashes)) / len(hashes)
    print(f"| microseconds a pair | {pairs:.1f} | {others:.3f} |")
    print(f"| bytes a picture | {LENGTH} | 8 |")


def pictures_of(folder: Path) -> list[Path]:
    kinds = {".jpg", ".jpeg", ".png", ".webp"}
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in kinds)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("photographs", type=Path, help="folder of different photographs")
    parser.add_argument("--others", type=Path, help="folder of more, compared but not changed")
    parser.add_argument("--videos", type=Path, nargs="*", default=[], help="different videos")
    asked = parser.parse_args()
    paths = pictures_of(asked.photographs)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        everything = list(pool.map(with_copies, paths, chunksize=4))
    own = [(rows[:1], hashes[:1]) for rows, hashes in everything]
    same, apart = between(own)
    most = max(bits for bits in range(65) if (apart <= bits).mean() <= BAR)
    print(f"{len(paths)} photographs, {len(same):,} pairs; hash: {most} bits or fewer\n")
    print("| | descriptor | hash |\n|---|--:|--:|")
    for number, name in enumerate(CHANGES, 1):
        copies = [(rows[[0, number]], hashes[[0, number]]) for rows, hashes in everything]
        rows, hashes = (np.stack(column) for column in zip(*copies, strict=True))
        found = share(near(rows[:, 0], rows[:, 1]))
        print(f"| {name} | {found} | {share(bits_apart(hashes[:, 0], hashes[:, 1]) <= most)} |")
    more = (
        own + [described([Image.open(p).convert("RGB")]) for p in pictures_of(asked.others)]
        if asked.others
        else []
    )
    drawn = [described([sky]) for sky in skies(120)]
    for name, groups in {
        "photographs": own,
        "photographs and others": more,
        "frames of different videos": [frames(path) for path in asked.videos],
        "drawn skies and snow": drawn,
    }.items():
        if groups:
            same, apart = between(groups)
            mine, other = f"{same.sum()} of {len(same):,}", f"{(apart <= most).sum()}"
            print(f"| false: pairs of {name} | {mine} | {other} |")
    costs(paths, np.concatenate([rows for rows, _ in own]))


if __name__ == "__main__":
    main()
