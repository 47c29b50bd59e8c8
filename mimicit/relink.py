"""Linking a finished dataset anew: its rows and pictures stay, nobody is asked."""

import json
import os
import re
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from mimicit.card import Tally, describe_dataset
from mimicit.catalogue import LinkRow
from mimicit.config import BuildConfig, make_config, read_config
from mimicit.context_linker.health import Health
from mimicit.dataset import Dataset
from mimicit.directory import replacing
from mimicit.errors import SourceError, UsageError
from mimicit.generators import Generator, find
from mimicit.link_tables import LinkWriter
from mimicit.linking import how_to_link, link_views
from mimicit.progress import Track, silent
from mimicit.shown import ShownPictures
from mimicit.spool import link_rows
from mimicit.validate import validate
from mimicit.writer import FileEntry, describe

KEPT = ("images", "rejected")
"""Tables that stay as they are."""

_FILE = re.compile(r"[a-z]+/([a-z]+-\d{5}-of-\d{5}\.(parquet|jsonl)|_index\.bin)")
"""Files of a table. Nothing else that a stranger's manifest names is touched."""

_SEED = re.compile(r"\s+seed=\S+")


def relink(  # noqa: PLR0913  # the public call, by keyword
    directory: str | Path,
    links: Sequence[str] = (),
    *,
    shots: int | None = None,
    seed: int | None = None,
    out: str | Path | None = None,
    track: Track = silent,
) -> Mapping[str, Health]:
    """Choose the in-context examples of a finished dataset anew.

    The result is what a build with these links makes, byte for byte. Until the very end `out` is
    as it was.

    Args:
        directory: The dataset.
        links: Views of the links (`mimicit.context_linker.LinkSpec`); none for those it has.
        shots: Examples an instruction gets at most; None for as many as now.
        seed: Varies what is left to chance; None for the seed that it was made with.
        out: Where the result goes; None for where the dataset is.
        track: Shows progress.

    Returns:
        What is to be known of each view, by its table.

    Raises:
        SourceError: there is no dataset, or it was made by an older mimicit, or damaged.
        UsageError: a view cannot be read, or its encoder is not installed.
        InvalidDataset: the result breaks the rules of `mimicit validate`, as the dataset did.
    """
    source = Path(directory)
    manifest = _manifest(source)
    config = _config(source, links, shots, seed)
    _check(source, "instructions", manifest)
    table = Dataset(source).instructions
    names = table.column("source").unique().to_pylist()
    views, wider = how_to_link(config, {name: _known(name) for name in names})
    with replacing(Path(out or source)) as target:
        kept = [entry for name in KEPT for entry in _keep(source, target, name, manifest)]
        linked = link_views(_rows(table), views, wider, ShownPictures(target), track)
        writer = LinkWriter(target, linked, config.format)
        try:
            for batch in table.to_batches(4096):
                writer.write(batch)
            entries = [*writer.close(), *kept]
        finally:
            writer.stop()
        tally = manifest["tally"]
        tally.count_links(linked.health)
        said = {k: v for k, v in manifest.items() if k not in {"files", "schema_version"}}
        describe_dataset(target, entries, tally, config, said)
        validate(target, decode="none", measured={entry.path: entry.sha256 for entry in entries})
    return linked.health


def _rows(table: pa.Table) -> Iterator[LinkRow]:
    for batch in table.to_batches(65536):
        yield from link_rows(batch)


def _manifest(directory: Path) -> dict[str, Any]:
    """Read a dataset's manifest, its tally as a `Tally`.

    Raises:
        SourceError: it is none, an older one, or damaged, or tells of other files than there are.
    """
    try:
        content = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))
        found = {**content, "tally": Tally.read(content["tally"])}
        listed = {name: entry["sha256"] for name, entry in content["files"].items()}
    except OSError as error:
        raise SourceError(
            f"{str(directory)!r} is not a dataset: its manifest.json cannot be read "
            f"({error.strerror})"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SourceError(
            f"the manifest of {str(directory)!r} does not say what was counted when it was built, "
            "as an older mimicit's does not; make it again: mimicit build --config "
            f"{str(directory / 'build.yaml')!r}"
        ) from error
    _check_names(directory, listed)
    return found


def _check_names(directory: Path, listed: Collection[str]) -> None:
    """Compare the files that are there with those that a manifest names.

    Raises:
        SourceError: they are not the same, or a name is not one of ours.
    """
    there = {
        path.relative_to(directory).as_posix()
        for table in ("instructions", *KEPT)
        for path in (directory / table).glob("*")
        if not path.name.startswith(".")
    }
    ours = {name for name in listed if name.split("/")[0] in {"instructions", *KEPT}}
    wrong = sorted(there ^ ours) + sorted(name for name in ours if not _FILE.fullmatch(name))
    if wrong:
        raise SourceError(
            f"{str(directory)!r} and its manifest.json do not agree: {wrong[0]!r} is not one of "
            "both, or no name of a shard; `mimicit validate` lists all that is wrong"
        )


def _config(
    directory: Path, links: Sequence[str], shots: int | None, seed: int | None
) -> BuildConfig:
    """Read how a dataset was built, with what is to be changed."""
    settings = read_config(directory / "build.yaml")
    settings |= {"link": list(links)} if links else {}
    settings |= {} if shots is None else {"shots": shots}
    config = make_config(settings)
    if seed is None:
        return config
    # Not the build's own seed, which the wording of the rows hangs on; a view's own comes first.
    bare = list(links) or [_SEED.sub("", view) for view in config.link or ["default"]]
    views = [view if _SEED.search(view) else f"{view} seed={seed}" for view in bare]
    return config.model_copy(update={"link": views})


def _known(name: str) -> type[Generator] | None:
    """Find a source; None where its package is not installed."""
    try:
        return find(name)
    except UsageError:
        return None


def _keep(
    source: Path, target: Path, table: str, manifest: Mapping[str, Any]
) -> Iterator[FileEntry]:
    """Take over a table as it is: as further links to its files where that can be."""
    for name, stated in sorted(manifest["files"].items()):
        if name.split("/")[0] == table:
            place = target / name
            place.parent.mkdir(exist_ok=True)
            try:
                os.link(source / name, place, follow_symlinks=True)
            except OSError:  # another file system, or one without links
                shutil.copyfile(source / name, place)
            yield _as_stated(describe(place, name, stated.get("rows")), stated)


def _check(directory: Path, table: str, manifest: Mapping[str, Any]) -> None:
    """Compare the files of a table with the manifest."""
    for name, stated in manifest["files"].items():
        if name.split("/")[0] == table:
            try:
                _as_stated(describe(directory / name, name), stated)
            except OSError as error:
                raise SourceError(f"cannot read {name!r}: {error.strerror}") from error


def _as_stated(found: FileEntry, stated: Mapping[str, Any]) -> FileEntry:
    """Give a file of the dataset, if it is the one that its manifest tells of.

    Raises:
        SourceError: it was changed or damaged.
    """
    if found.sha256 != stated.get("sha256"):
        raise SourceError(
            f"{found.path!r} is not the file that manifest.json tells of: it was changed or "
            "damaged; `mimicit validate` lists all that is wrong"
        )
    return found
