"""The training contract of Otter and OpenFlamingo: instructions, pictures, contexts, YAML.

Formats as the loader of https://github.com/Luodian/Otter reads them
(`pipeline/mimicit_utils/mimicit_dataset.py`). It stacks the pictures of a batch, so what shows one
picture, two, or more has files of its own; and it stops where a YAML file has two groups.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import yaml

from mimicit.columns import flat
from mimicit.dataset import Dataset
from mimicit.errors import SourceError
from mimicit.example_sets import example_sets
from mimicit.exporters._base64_store import Base64Store
from mimicit.exporters._otter_parts import Part, Spelling, number_of
from mimicit.exporters.form import Format, How, Told
from mimicit.exporters.pictures import Pictures
from mimicit.progress import Counted
from mimicit.schema import SPLITS

ENDINGS = {1: "", 2: "_pairs", 3: "_frames"}
"""What a part's name gets where another one is called like it, by its number of pictures."""

IN_CONTEXT = "IMAGE_TEXT_IN_CONTEXT"

Parts = Mapping[str, Part]
"""Parts by the name that their files have in common."""


def write(dataset: Dataset, out: Path, how: How) -> Told:
    """Write instructions, contexts, pictures and YAML files.

    Raises:
        SourceError: a picture is damaged or not there.
    """
    spelled = Spelling(_strategies(dataset), dataset.instructions.column("id"))
    parts, left_out = _write_texts(dataset, out, how, spelled)
    named = _name(parts)
    pictures = Pictures(dataset.images, how.max_side)
    count = _write_pictures(dataset, named, out, pictures, spelled, how)
    for name, part in named.items():
        part.rename(name)
        _write_yaml(out, name, part)
    return Told(
        instructions=sum(part.asked for part in named.values()),
        contexts=sum(part.contexts for part in named.values()),
        pictures=count,
        changed=len(pictures.changed),
        readme=_readme(named),
        left_out=left_out,
    )


def _strategies(dataset: Dataset) -> Counter[str]:
    return Counter(flat(dataset.links.column("strategies")).to_pylist())


def _write_texts(
    dataset: Dataset, out: Path, how: How, spelled: Spelling
) -> tuple[Sequence[Part], Counter[str]]:
    meta = {"version": "0.0.1", "time": _date(dataset), "author": "mimicit"}
    parts: dict[tuple[int, str], Part] = {}
    left_out = Counter[str]()
    with ExitStack() as stack:
        rows = Counted(example_sets(dataset), dataset.instructions.num_rows)
        for each in how.track(rows, "write", "instructions"):
            key = number_of(each.query), each.split
            if key not in parts:
                parts[key] = Part(out, *key, meta)
                stack.callback(parts[key].close)
            lost = parts[key].add(each, spelled)
            if lost:
                what = "in-context examples that show another number of pictures than their query"
                left_out[what] += lost
        for part in parts.values():
            part.finish(spelled)
    order = sorted(parts, key=lambda key: (SPLITS.index(key[1]), key[0]))
    return [parts[key] for key in order], left_out


def _date(dataset: Dataset) -> str:
    """Give the date that a dataset was given, or ""."""
    try:
        settings = yaml.safe_load((dataset.directory / "build.yaml").read_text(encoding="utf-8"))
        return str(settings.get("date") or "")
    except (OSError, ValueError, AttributeError, yaml.YAMLError):
        return ""


def _name(parts: Sequence[Part]) -> Parts:
    """Name each part after the sources in it: `LA`, `LA_pairs`, `SD_CGD_validation`."""
    named: dict[str, Part] = {}
    taken = Counter((("_".join(sorted(part.prefixes))), part.split) for part in parts)
    for part in parts:
        name = "_".join(sorted(part.prefixes))
        name += ENDINGS[part.number] if taken[name, part.split] > 1 else ""
        named[name + ("" if part.split == "train" else f"_{part.split}")] = part
    return named


def _write_pictures(  # noqa: PLR0913  # one pass over all pictures
    dataset: Dataset, parts: Parts, out: Path, pictures: Pictures, spelled: Spelling, how: How
) -> int:
    """Write the pictures of every part, each read once; give how many there are.

    Raises:
        SourceError: one is damaged or not there.
    """
    count = 0
    with ExitStack() as stack:
        stores = {name: stack.enter_context(Base64Store(out / f"{name}.parquet")) for name in parts}
        ids = Counted(iter(dataset.images), len(dataset.images))
        for image_id in how.track(ids, "write", "pictures"):
            wanting = [name for name, part in parts.items() if image_id in part.images]
            if wanting:
                data = pictures.read(image_id).data
                count += 1
            for name in wanting:
                stores[name].write(spelled.image(image_id), data)
    for name, part in parts.items():
        if stores[name].rows != len(part.images):
            lost = len(part.images) - stores[name].rows
            raise SourceError(f"{lost:,} pictures of {name!r} are not in the dataset")
    return count


def _write_yaml(out: Path, name: str, part: Part) -> None:
    """Write the entry for the released loader, and one that shows the contexts' own pictures."""
    group = "VIDEO_TEXT" if part.number == 3 else "IMAGE_TEXT"
    # The released loader puts the text of all contexts below the query's pictures.
    safe = f"{name}_train_alone.json" if part.foreign else f"{name}_train.json"
    _dump(out / f"{name}.yaml", group, name, safe)
    if part.foreign and part.number == 1:
        _dump(out / f"{name}_in_context.yaml", IN_CONTEXT, name, f"{name}_train.json")


def _dump(path: Path, group: str, name: str, train: str) -> None:
    entry = {
        "mimicit_path": f"{name}_instructions.json",
        "images_path": f"{name}.parquet",
        "train_config_path": train,
        "num_samples": -1,
    }
    text = yaml.safe_dump({group: {name: entry}}, sort_keys=False)
    path.write_text(text, encoding="utf-8", newline="\n")


def _readme(parts: Parts) -> str:
    return "\n".join(_said(parts))


def _said(parts: Parts) -> Iterator[str]:
    yield "## Files\n"
    yield "| files | split | shown | instructions | contexts |"
    yield "|---|---|---|---|---|"
    for name, part in parts.items():
        shown = {1: "one picture", 2: "two pictures", 3: "more pictures, or frames"}[part.number]
        yield f"| `{name}_…` | {part.split} | {shown} | {part.asked:,} | {part.contexts:,} |"
    yield f"\n{_USE.strip()}\n"
    if any(part.foreign and part.number == 1 for part in parts.values()):
        yield _USE_IN_CONTEXT.strip()


_USE = """
- `X_instructions.json`: `instruction`, `answer`, `image_ids`, `rel_ins_ids` of each id; in a
  held-out split also the examples out of train. Its `meta` says the split.
- `X.parquet`: the pictures as base64, with their ids as pandas' index.
- `X_train.json`: what is asked, each with the examples before it, the most alike last.
- `X.yaml`: for `--training_data_yaml`. Its paths are relative to this directory: start the trainer
  here, or put the directory before each. One file has one group, since the trainer runs out of
  batches with two.

Train with `--keep_symbols`: without it the loader takes `:`, `-`, `%` and the like out of every
text. Don't set `--populate_rel_ins`: it puts the texts of all examples below the query's picture.
"""

_USE_IN_CONTEXT = """
`X.yaml` names `X_train_alone.json`, which asks everything without examples: the released loader
would put texts about other pictures below the query's own. `X_in_context.yaml` is for a loader that
gives a model the picture of every example, as `mimicit.formats.otter` does; the released one emits
an `<image>` for each and loads the query's alone. An older one (v0.2) shows the first two examples
of ids that begin with `LACR`, each below its own picture: for that, link with `--shots 2`. Of ids
that begin with `LACONV` it shows the last two, which are about the same picture.
"""

FORMAT = Format("Otter's and OpenFlamingo's training files", ("turns",), write)
"""Its contexts are lists of ids: it is the trainer that shows them."""
