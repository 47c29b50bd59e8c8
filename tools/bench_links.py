"""Measure a whole linking: what the guards and the choice cost on top of the search.

    python tools/bench_links.py captions_val2017.json [MORE.json] --scenes 20000 --scenes 100000

Each caption is an instruction of a scene of its own, with a picture of its own whose descriptor is
drawn by chance. CPU seconds of each step, and of choosing as a part of the search; peak memory.
"""

import argparse
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from bench_linker import captions
from PIL import Image

from mimicit.catalogue import LinkRow
from mimicit.context_linker import LinkSpec, catalogue_of
from mimicit.context_linker.choosing import Chooser
from mimicit.context_linker.material import Material
from mimicit.lookalikes import LENGTH

KINDS = ("description", "count", "location", "yes-no", "detail", "size")


class Drawn:
    """Pictures of which only the descriptors are there, drawn by chance."""

    def descriptors(self, ids: Sequence[str]) -> np.ndarray:
        """Draw one for each."""
        drawn = np.random.default_rng(0).integers(-127, 128, (len(ids), LENGTH), np.int8)
        drawn[:, 1] = 100  # contrast: that of a photograph
        return np.asarray(drawn)

    def digests(self, ids: Sequence[str]) -> list[str]:
        """Name each by its id."""
        return list(ids)

    def read(self, image_id: str) -> Image.Image:
        """Give none: no vision encoder is measured."""
        raise NotImplementedError(image_id)


def rows(texts: Sequence[str]) -> Iterator[LinkRow]:
    """Make an instruction of each caption."""
    for n, text in enumerate(texts):
        scene = f"{n:09d}"
        kind = KINDS[n % len(KINDS)]
        images = [f"LA_IMG_{scene}"]
        name, asked = f"LA_INS_{scene}_00", "What does the picture show?"
        yield LinkRow(name, asked, text, images, "coco", "train", "en", kind, scene, scene)


def measure(texts: Sequence[str], spec: str) -> None:
    """Link, and print what each step took."""
    specs = {"coco": LinkSpec.parse(spec)}
    pictures, clock = Drawn(), time.process_time
    start = clock()
    catalogue = catalogue_of(rows(texts), specs.values())
    read, start = clock() - start, clock()
    material = Material(catalogue, pictures)
    material.vectors("scenes", "static")
    encoded, start = clock() - start, clock()
    chooser = Chooser(catalogue, specs, material)
    searched, start = clock() - start, clock()
    for _ in chooser.choose():
        pass
    chosen = clock() - start
    unit = 2**20 if sys.platform == "darwin" else 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    index = next(iter(material.searches.values())).index
    print(
        f"{len(texts):>9,}  {read:7.1f}  {encoded:7.1f}  {searched:7.1f} {index:10}  "
        f"{chosen:7.1f}  "
        f"{chosen / searched:6.2f}  {peak:7,.0f}"
    )


def main() -> None:
    """Measure each size."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("captions", nargs="+", type=Path, help="files of COCO's layout")
    parser.add_argument("--scenes", action="append", type=int, default=[])
    parser.add_argument("--link", default="similar-text")
    args = parser.parse_args()
    print("   scenes     read   encode   search               choose  choose/search     MB")
    for count in args.scenes or [20_000]:
        measure(captions(args.captions, count), args.link)


if __name__ == "__main__":
    main()
