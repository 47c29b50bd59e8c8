"""Whether links are better than chance, by what the linker itself did not look at.

    python tools/eval_links.py COCO_ROOT SPOT_THE_DIFF.json [SPOT_THE_DIFF.json …]

Pictures: a dataset is built from COCO's captions alone, so that no strategy knows the boxes, and
the measure is how many object categories the pictures of query and example have in common: of those
that either has, the part that both have (Jaccard). Texts: in Spot-the-Diff several annotators wrote
about the same pair, and the measure is whether the other one's record is found among the first k
of all. Intervals are bootstrapped over pictures, or over pairs (95 %, 2,000 draws).
"""

import argparse
import json
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np

from mimicit import build, load
from mimicit.config import BuildConfig, SourceConfig
from mimicit.encoders import open_text
from mimicit.neighbours import search

VIEWS = ("random", "similar-text", "similar-image", "mixed", "diverse")
DRAWS = 2000


def interval(values: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """Give the 95 % interval of a mean, over draws of as many values."""
    draws = rng.integers(0, len(values), (DRAWS, len(values)))
    low, high = np.percentile(values[draws].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def categories_of(instances: Path) -> dict[str, frozenset[int]]:
    """Read the categories of each picture, by COCO's id as ids have it."""
    found = defaultdict(set)
    for one in json.loads(instances.read_text())["annotations"]:
        found[f"{one['image_id']:012d}"].add(one["category_id"])
    return {name: frozenset(kinds) for name, kinds in found.items()}


def shared_categories(root: Path, shots: int, image: str) -> dict[str, dict[str, float]]:
    """Measure each strategy, by picture: what query and examples have in common, on the mean."""
    (captions,) = (root / "annotations").glob("captions_*.json")
    (instances,) = (root / "annotations").glob("instances_*.json")
    split = captions.stem.partition("_")[2]
    known = categories_of(instances)
    options = {"captions": str(captions), "images": str(root / split)}
    names = [name.replace("-", "_") for name in VIEWS]
    seen = f" image={image}" if image else ""
    links = [f"{n}={v}{seen} shots={shots}" for n, v in zip(names, VIEWS, strict=True)]
    with tempfile.TemporaryDirectory() as folder:
        config = BuildConfig(sources=[SourceConfig(name="coco", options=options)], link=links)
        build(config, Path(folder) / "out")
        rows = load(Path(folder) / "out").instructions.select(["id", "scene_id"]).to_pylist()
        scenes = {row["id"]: row["scene_id"] for row in rows}
        tables = {
            view: load_view(Path(folder) / "out", n, v)
            for n, (v, view) in enumerate(zip(names, VIEWS, strict=True))
        }
    result: dict[str, dict[str, float]] = {}
    for view, found in tables.items():
        by_scene = defaultdict(list)
        for query, contexts in found.items():
            mine = known.get(scenes[query], frozenset())
            for context in contexts:
                theirs = known.get(scenes[context], frozenset())
                if mine and theirs:
                    by_scene[scenes[query]].append(len(mine & theirs) / len(mine | theirs))
        result[view] = {scene: float(np.mean(values)) for scene, values in by_scene.items()}
    return result


def load_view(out: Path, number: int, name: str) -> dict[str, list[str]]:
    """Read the examples of each query in a view."""
    import pyarrow.dataset as ds

    table = ds.dataset(out / (f"links_{name}" if number else "links")).to_table()
    columns = (table.column(c).to_pylist() for c in ("query_id", "context_ids"))
    return dict(zip(*columns, strict=True))


def print_pictures(measured: dict[str, dict[str, float]], rng: np.random.Generator) -> None:
    """Print the table for pictures."""
    chance = measured["random"]
    print("| strategy | categories in common | over chance | 95 % interval |\n|---|---|---|---|")
    for view, values in measured.items():
        scenes = sorted(values.keys() & chance.keys())
        lift = np.array([values[s] - chance[s] for s in scenes])
        mean = np.mean([values[s] for s in scenes])
        low, high = interval(lift, rng)
        over = "" if view == "random" else f"{lift.mean():+.3f}"
        within = "" if view == "random" else f"{low:+.3f} to {high:+.3f}"
        print(f"| `{view}` | {mean:.3f} | {over} | {within} |")
    print(f"\n{len(chance)} pictures with captions and boxes.\n")


def print_texts(files: list[Path], encoders: list[str], rng: np.random.Generator) -> None:
    """Print the table for texts: whether the same pair's other record is found."""
    records = [one for file in files for one in json.loads(file.read_text())]
    texts = [" ".join(record["sentences"]) for record in records]
    pairs = np.array([int(record["img_id"]) for record in records])
    counts = dict(zip(*np.unique(pairs, return_counts=True), strict=True))
    asking = np.array([n for n, pair in enumerate(pairs) if counts[pair] > 1 and texts[n].strip()])
    print(
        "| encoder | found among the first 5 | by chance | lift, 95 % interval |\n|---|---|---|---|"
    )
    for name in encoders:
        vectors = open_text(name).encode(texts)
        places = search(vectors, np.arange(len(texts)), 5, asking=asking).places
        hit = ((places >= 0) & (pairs[places] == pairs[asking][:, None])).any(axis=1)
        chance = np.array([5 * (counts[pair] - 1) / (len(texts) - 1) for pair in pairs[asking]])
        low, high = interval(hit - chance, rng)
        mean = f"{hit.mean():.3f} | {chance.mean():.4f}"
        print(f"| `{name}` | {mean} | {(hit - chance).mean():+.3f}, {low:+.3f} to {high:+.3f} |")
    print(f"\n{len(asking)} records of pairs that several annotators wrote about, of {len(texts)}.")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("coco", type=Path)
    parser.add_argument("spot", type=Path, nargs="+")
    parser.add_argument("--shots", type=int, default=3)
    parser.add_argument("--image", default="", help="a vision encoder, as a link's image= takes it")
    parser.add_argument("--text", action="append", help="text encoders; static and ngrams if none")
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    print_pictures(shared_categories(args.coco, args.shots, args.image), rng)
    print_texts(args.spot, args.text or ["static", "ngrams"], rng)


if __name__ == "__main__":
    main()
