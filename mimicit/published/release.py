"""Which files of a directory are a published MIMIC-IT release, and which are passed over."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mimicit.errors import SourceError
from mimicit.published import json_files
from mimicit.published.stores import Store, open_store, seems_store
from mimicit.schema import SPLITS, Split

INSTRUCTIONS, TRAIN = "_instructions.json", "_train.json"
"""How the names of files end that hold instructions, and examples that were trained on."""

BESIDE = ("/export.json", "_train_alone.json")
"""How the paths of files end that an export of ours has besides, and that hold nothing more."""

NO_PICTURES = "holds no pictures as base64"
"""Why files are passed over that any directory may have, and that are no loss."""


@dataclass(frozen=True, slots=True)
class File:
    """A file of a release: its path below the directory, and as it is opened."""

    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class Subset:
    """One `X_instructions.json`, and what was trained on of it, where that is said.

    Attributes:
        name: X, without the split at its end that it is of.
        file: Its instructions.
        train: Its `X_train.json`, or None.
        split: The split of what it asks, as its `meta` says; train where that says none.
    """

    name: str
    file: File
    train: File | None
    split: Split


@dataclass(frozen=True, slots=True)
class Release:
    """The files of a published directory, in the order of their names.

    Attributes:
        directory: The directory.
        subsets: Instructions; there is one at least. Those that are held out come last, since they
            repeat examples out of the others.
        stores: Pictures. All of them together are one space of ids.
        unreadable: Files that cannot be read as what they seem to be, and why: what an import ends
            at.
        passed_over: Files whose names fit and that are not read, and why. A name that is not UTF-8
            stands here as Python has it, with halves of surrogate pairs.
    """

    directory: Path
    subsets: tuple[Subset, ...]
    stores: tuple[Store, ...]
    unreadable: tuple[tuple[str, str], ...]
    passed_over: tuple[tuple[str, str], ...]


def is_release(directory: Path) -> bool:
    """Tell whether a directory is of the published form: instructions, and no manifest of ours."""
    if (directory / "manifest.json").exists():
        return False
    return any(file.name.endswith(INSTRUCTIONS) for file in _files(directory, []))


def find_release(directory: Path) -> Release:
    """Find the files of a release, in subdirectories too; a link that leads out is not followed.

    Raises:
        SourceError: there are no instructions.
    """
    passed_over: list[tuple[str, str]] = []
    files = {file.name: file for file in _files(directory, passed_over)}
    unreadable: list[tuple[str, str]] = []
    subsets = [
        _subset(file, files.get(name.removesuffix(INSTRUCTIONS) + TRAIN), unreadable)
        for name, file in files.items()
        if name.endswith(INSTRUCTIONS)
    ]
    subsets.sort(key=lambda subset: SPLITS.index(subset.split))
    if not subsets:
        raise SourceError(
            f"{str(directory)!r} holds no published instructions: expected X{INSTRUCTIONS}, with "
            f"the pictures in X.parquet or X.json beside it{_not_read(passed_over)}"
        )
    stores = _stores(files, [subset.name for subset in subsets], unreadable, passed_over)
    return Release(
        directory, tuple(subsets), tuple(stores), tuple(unreadable), tuple(sorted(passed_over))
    )


def _stores(
    files: Mapping[str, File],
    subsets: Sequence[str],
    unreadable: list[tuple[str, str]],
    passed_over: list[tuple[str, str]],
) -> list[Store]:
    """Find the files of pictures; what cannot be read is no loss where it was none of them."""
    stores: list[Store] = []
    damaged: list[tuple[str, str]] = []
    for name, file in files.items():
        if name.endswith(TRAIN) and name.removesuffix(TRAIN) + INSTRUCTIONS not in files:
            beside = f"{name.rpartition('/')[2].removesuffix(TRAIN)}{INSTRUCTIONS}"
            passed_over.append((name, f"has no {beside!r} beside it"))
        if name.endswith((INSTRUCTIONS, TRAIN)):
            continue
        try:
            store = open_store(name, file.path)
        except SourceError as error:
            grave = _is_named_for(name, subsets) or seems_store(file.path)
            (unreadable if grave else damaged).append((name, str(error)))
            continue
        if store:
            stores.append(store)
        elif not f"/{name}".endswith(BESIDE):
            passed_over.append((name, NO_PICTURES))
    if stores:
        passed_over += ((name, what.removeprefix(f"{name!r} ")) for name, what in damaged)
    else:
        unreadable += damaged
    # The loader of today reads Parquet: where pictures are there in both, those come first.
    return sorted(stores, key=lambda store: (store.form != "parquet", store.name))


def _is_named_for(name: str, subsets: Sequence[str]) -> bool:
    """Tell whether a file is called as pictures are, after all or some of the instructions.

    Instructions `LACONV` and `LADD` have theirs in `LA`, and those of `E4D` may be in `E4D_1`.
    """
    stem = name.rpartition("/")[2].removesuffix(".json")
    return any(each.startswith(stem) or (each and stem.startswith(each)) for each in subsets)


def _subset(file: File, train: File | None, unreadable: list[tuple[str, str]]) -> Subset:
    """Make out which split a file of instructions is of."""
    name = file.name.rpartition("/")[2].removesuffix(INSTRUCTIONS)
    try:
        said = json_files.find(file.path, file.name, "meta.split")
    except SourceError:
        said = ""  # what is wrong with it is told when it is read
    for split in SPLITS:
        if said == split:
            return Subset(name.removesuffix(f"_{split}"), file, train, split)
    if said:
        what = f"the `split` in the `meta` of {file.name!r} is {said[:80]!r}"
        expected = f"expected {', '.join(SPLITS)}, or no `split` at all, which is train"
        unreadable.append((file.name, f"{what}: {expected}"))
    return Subset(name, file, train, "train")


def refuse_without_pictures(release: Release) -> None:
    """Refuse a release of which nothing can come.

    Raises:
        SourceError: a file cannot be read as what it seems to be, or none holds pictures.
    """
    if release.unreadable:
        raise SourceError(release.unreadable[0][1])
    if not release.stores:
        raise SourceError(
            f"{str(release.directory)!r} holds no pictures: expected X.parquet with a column "
            f"`base64`, or X.json with base64 by id{_not_read(release.passed_over)}"
        )


def _not_read(passed_over: Sequence[tuple[str, str]]) -> str:
    """Say which file was passed over, where that may be why something is not there."""
    if not passed_over:
        return ""
    name, why = passed_over[0]
    return f"; {len(passed_over):,} were not read, the first: {name!r} {why}"


def _files(directory: Path, passed_over: list[tuple[str, str]]) -> Iterator[File]:
    """List the JSON and Parquet files below a directory, in order; hidden ones are the host's."""
    root = os.path.realpath(directory)
    for folder, below, names in os.walk(directory):
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in sorted(names):
            if name.startswith(".") or not name.endswith((".json", ".parquet")):
                continue
            path = Path(folder, name)
            shown = path.relative_to(directory).as_posix()
            if not _is_utf8(shown):  # nothing could be written that names it
                passed_over.append((shown, "has a name that is not UTF-8"))
            elif not Path(os.path.realpath(path)).is_relative_to(root):
                passed_over.append((shown, "is a link that leads out of the directory"))
            elif not path.is_file():
                passed_over.append((shown, "is not a regular file"))
            else:
                yield File(shown, path)


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
