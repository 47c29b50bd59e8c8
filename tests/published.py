"""Small directories of MIMIC-IT's published form, made as the original's scripts make them."""

import base64
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

import mimicit
from mimicit.importers import Imported, import_otter
from mimicit.validate import find_problems

ROOT = Path(__file__).parents[1]


def picture(number: int = 0, form: str = "PNG") -> bytes:
    """Make a small picture that looks like no other."""
    file = io.BytesIO()
    colour = (number * 37 % 256, number * 91 % 256, number * 13 % 256)
    Image.new("RGB", (24, 16), colour).save(file, form)
    return file.getvalue()


def text_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def row(
    images: Any = (), related: Iterable[str] = (), question: str = "What is it?", **more: Any
) -> dict[str, Any]:
    answer = {"instruction": question, "answer": "It is a cat.", "image_ids": images}
    return {**answer, "rel_ins_ids": list(related), **more}


class Published:
    """A published directory under construction."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)

    def instructions(self, name: str, data: Any, **head: Any) -> "Published":
        path = self.root / f"{name}_instructions.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        meta = {"version": "0.0.1", "time": "2023-06", "author": "ntu", **head}
        path.write_text(json.dumps({"meta": meta, "data": data}))
        return self

    def train(self, name: str, data: Any) -> "Published":
        (self.root / f"{name}_train.json").write_text(json.dumps(data))
        return self

    def parquet(self, name: str, *ids: str, **given: str) -> "Published":
        """Write pictures as the original does: a frame whose index is the ids."""
        values = {each: text_of(picture(place)) for place, each in enumerate(ids)} | given
        frame = pd.DataFrame.from_dict(values, orient="index", columns=["base64"])
        path = self.root / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.to_parquet(path)
        return self

    def json(self, name: str, *ids: str, **given: Any) -> "Published":
        """Write pictures as the original did before."""
        values = {each: text_of(picture(place)) for place, each in enumerate(ids)} | given
        (self.root / f"{name}.json").write_text(json.dumps(values))
        return self


def sample_release(root: Path) -> Path:
    """Write one that has each of the known mistakes, and pictures of the samples."""
    photos = sorted((ROOT / "samples" / "coco").rglob("*.jpg"))[:2]
    names = ["LA_IMG_000000033471", "LA_IMG_000000033472"]
    made = Published(root)
    made.parquet("LA", **{n: text_of(p.read_bytes()) for n, p in zip(names, photos, strict=True)})
    rounds = [f"LACONV_00_INS_000000033471_{number}" for number in range(3)]
    made.instructions("LACONV", {n: row(names[:1], rounds[:k]) for k, n in enumerate(rounds)})
    made.train("LACONV", {rounds[2]: [rounds[1]]})
    thinking = [f"LACR_I2I_00_INS_{name[-12:]}" for name in names]
    gone = "LACR_I2I_00_INS_000000000001"
    made.instructions(
        "LACR_I2I",
        {thinking[0]: row(names[:1], [thinking[1], gone]), thinking[1]: row(names[1:])},
    )
    clip = "castle_s07e09_seg02_clip_02"
    made.json("TVC", f"TVC_IMG_{clip}_00009")
    made.instructions("TVC", {"TVC_INS_00001": row([f"TVC_IMG_{clip}_{clip}_00009"])})
    made.json("SN", "SN_IMG_scene0000_00_color_000000")
    made.instructions("SN", {"SN_INS_scene0000_a0_round0": row(["SN_IMG_scene0000_color_000000"])})
    made.json("CGD", "CGD_IMG_000000069568", "CGD_IMG_000000069569")
    pair = ["CGD_IMG_0000000000069568", "CGD_IMG_000000069569"]
    made.instructions("CGD", {"CGD_INS_000001": row(pair)})
    return root


def bring_in(release: Published, **options: Any) -> tuple[Imported, dict[str, dict[str, Any]]]:
    """Import it; give what is said of it, and the instructions by id."""
    made = import_otter(release.root, release.root.parent / "out", **options)
    assert find_problems(made.out) == []
    return made, {each["id"]: each for each in mimicit.load(made.out).instructions.to_pylist()}


def turned_away(made: Imported) -> dict[str, str]:
    """Give why each record was turned away."""
    rows = mimicit.load(made.out).rejected.to_pylist()
    found = {each["record"]: each["reason"] for each in rows}
    assert len(found) == len(rows) == sum(made.rejected.values())
    return found
