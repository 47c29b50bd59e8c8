"""A finished dataset in the form that a trainer reads: one file a format."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pyarrow.compute as pc
import yaml

from mimicit.columns import flat
from mimicit.dataset import Dataset
from mimicit.directory import EXPORT, replacing
from mimicit.errors import SourceError, UsageError
from mimicit.exporters.form import Context, Format, How, Told
from mimicit.markdown import said
from mimicit.progress import Track, silent
from mimicit.validate import validate
from mimicit.writer import describe

FORMATS = ("chat", "llava", "otter", "webdataset")
"""Names of all formats; each is a module of this package."""

IMAGES = "images"
"""Folder of an export's pictures, where they are files of their own."""


@dataclass(frozen=True, slots=True)
class Export:
    """A finished export.

    Attributes:
        out: Where it is.
        told: What was written.
        size_bytes: All files together.
    """

    out: Path
    told: Told
    size_bytes: int


def find(name: str) -> Format:
    """Find a format by its name.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in FORMATS:
        raise UsageError(f"there is no format {name!r}; there are: {', '.join(FORMATS)}")
    form: Format = import_module(f"mimicit.exporters.{name}").FORMAT
    return form


def export(  # noqa: PLR0913  # the public call, by keyword
    directory: str | Path,
    to: str,
    out: str | Path,
    *,
    context: Context | None = None,
    max_side: int = 0,
    track: Track = silent,
) -> Export:
    """Write a dataset in the form that a trainer reads.

    Until the very end `out` is as it was. Instructions and pictures of the result are counted and
    compared with the dataset's.

    Args:
        directory: The dataset. It must be valid; pictures are decoded only where they change.
        to: Name of the format: one of `FORMATS`.
        out: Where the result goes: a new directory, or one with an export of mimicit's.
        context: How in-context examples are shown; None for the format's default.
        max_side: Longest side in pixels of its pictures; 0 for their own size.
        track: Shows progress.

    Raises:
        UsageError: there is no such format, it has no such way, or `out` cannot be written.
        SourceError: there is no dataset, or a picture is damaged.
        InvalidDataset: the dataset breaks the rules of `mimicit validate`.
    """
    form = find(to)
    way = context or form.ways[0]
    if way not in form.ways:
        raise UsageError(
            f"{to!r} shows in-context examples as {' or '.join(map(repr, form.ways))}, not {way!r}"
        )
    source, target = Path(directory), Path(out)
    dataset = Dataset(source)
    digest = _digest_of_manifest(source)  # before the directory may be replaced
    if target.resolve().is_relative_to(source.resolve()):
        raise UsageError(f"--out {str(out)!r} lies in the dataset; name a directory elsewhere")
    validate(source, decode="none")
    with replacing(target, EXPORT) as staging:
        told = form.write(dataset, staging, How(way, max_side, track))
        _compare(dataset, told)
        front = f"---\n{yaml.safe_dump(dict(told.front), sort_keys=False)}---\n\n"
        text = f"{_head(dataset, to, form.about, way, told)}\n{told.readme.strip()}\n"
        readme = (front if told.front else "") + text
        (staging / "README.md").write_text(readme, encoding="utf-8", newline="\n")
        options = {"format": to, "context": way, "max_side": max_side}
        size = _write_list(staging, told, options, digest)
    return Export(target, told, size)


def _digest_of_manifest(directory: Path) -> str:
    """Say which dataset this is.

    Raises:
        SourceError: its manifest cannot be read.
    """
    try:
        return hashlib.sha256((directory / "manifest.json").read_bytes()).hexdigest()
    except OSError as error:
        raise SourceError(f"cannot read {error.filename!r}: {error.strerror}") from error


def _compare(dataset: Dataset, told: Told) -> None:
    """Make sure that nothing was lost on the way.

    Raises:
        SourceError: something was.
    """
    table = dataset.instructions
    pictures = len(pc.unique(flat(table.column("image_ids"))))
    if (told.instructions, told.pictures) != (table.num_rows, pictures):
        raise SourceError(
            f"{told.instructions:,} instructions and {told.pictures:,} pictures were written, of "
            f"{table.num_rows:,} and {pictures:,}"
        )


def _head(dataset: Dataset, to: str, about: str, way: str, told: Told) -> str:
    """Say in Markdown what was exported, and under which licences its pictures are."""
    counted = pc.value_counts(dataset.instructions.column("licence")).to_pylist()
    licences = Counter({each["values"]: each["counts"] for each in counted})
    counts = (
        f"{told.instructions:,} instructions, {told.contexts:,} in-context examples before them"
    )
    names = ", ".join(f"{said(name or 'unknown')} ({n:,})" for name, n in licences.most_common(20))
    lines = [
        f"# {said(dataset.directory.name)}, exported as `{to}`\n",
        f"{about}.\n",
        f"- {counts} (`{way}`), {told.pictures:,} pictures",
        f"- {told.changed:,} pictures are encoded anew, the others are the dataset's byte for byte",
        *(f"- left out: {count:,} {reason}" for reason, count in told.left_out.items()),
        f"- licences of the pictures, by instruction: {names}\n",
    ]
    return "\n".join(lines)


def _write_list(staging: Path, told: Told, options: Mapping[str, object], digest: str) -> int:
    """Write `export.json`: what was made of what, and every file but pictures; give all bytes."""
    files: dict[str, dict[str, object]] = {}
    loose = [0, 0]
    for path in sorted(staging.rglob("*")):
        name = path.relative_to(staging).as_posix()
        if path.is_file() and name.startswith(f"{IMAGES}/"):
            loose = [loose[0] + 1, loose[1] + path.stat().st_size]
        elif path.is_file():
            entry = describe(path, name)
            files[name] = {"bytes": entry.bytes, "sha256": entry.sha256}
    size = sum(int(str(each["bytes"])) for each in files.values()) + loose[1]
    if loose[0]:
        files[f"{IMAGES}/"] = {"files": loose[0], "bytes": loose[1]}
    content = {
        **options,
        "instructions": told.instructions,
        "contexts": told.contexts,
        "pictures": told.pictures,
        "changed": told.changed,
        "left_out": dict(told.left_out),
        "dataset": {"manifest_sha256": digest},
        "files": files,
    }
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    (staging / EXPORT.marker).write_text(text, encoding="utf-8", newline="\n")
    return size + len(text)
