"""A published MIMIC-IT directory as a dataset: what `mimicit import otter` does."""

import re
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mimicit.card import Tally, describe_dataset, versions
from mimicit.config import BuildConfig, SourceConfig
from mimicit.directory import replacing
from mimicit.errors import SourceError, UsageError
from mimicit.importers.gathering import Gathered, gather
from mimicit.importers.grouping import Scenes, keep_apart
from mimicit.importers.shelf import RESPELLED, Shelf, lists
from mimicit.importers.storing import store_pictures
from mimicit.importers.writing import Given, RowWriter
from mimicit.progress import Track, silent
from mimicit.published.instructions import Instructions
from mimicit.published.pictures import Pictures
from mimicit.published.release import Release, find_release, refuse_without_pictures
from mimicit.schema import SPLITS, Rejection
from mimicit.validate import validate
from mimicit.writer import FileEntry, TableWriter

SOURCE = "otter"
"""Name of the source in the rows of what was imported."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import made.

    Attributes:
        out: The dataset's directory.
        read: Records of instructions that were read.
        repeated: Those of them that only repeat, in a file of a held-out split, what is an example
            out of train.
        instructions: Those that were published.
        splits: How many of these are of each split.
        images: Pictures that were published.
        unused: Pictures of the stores that were left out, since no instruction that is fit to be
            published names them.
        links: In-context examples, over all instructions.
        fallen: Examples that fell away because they were turned away or held out themselves.
        doubled: Examples of published instructions that were left out, as their list named them
            before.
        mended: Published instructions of which something was mended, by the mistake.
        mendable: Instructions that were turned away, and that `repair` would have kept if their
            pictures decode, and are not held out.
        respelled: Published instructions whose ids were of another form, and got the prefix
            `OTTER`.
        rejected: How many records were turned away, by (stage, reason).
        passed_over: Files that were not read, and why.
    """

    out: Path
    read: int
    repeated: int
    instructions: int
    splits: Mapping[str, int]
    images: int
    unused: int
    links: int
    fallen: int
    doubled: int
    mended: Mapping[str, int]
    mendable: int
    respelled: int
    rejected: Mapping[tuple[str, str], int]
    passed_over: tuple[tuple[str, str], ...]


def import_otter(  # noqa: PLR0913  # the public call, by keyword
    directory: str | Path,
    out: str | Path,
    *,
    repair: bool = False,
    language: str = "en",
    licence: str = "",
    teacher: str = "unknown",
    track: Track = silent,
) -> Imported:
    """Bring in a published MIMIC-IT directory as a dataset at `out`.

    Texts, pictures and valid ids stay as they are. Until the very end `out` is as it was.

    Args:
        directory: `X_instructions.json` with the pictures in `X.parquet` or `X.json`, for any
            number of X, in subdirectories too.
        out: Directory of the dataset.
        repair: Mend known mistakes where nothing is guessed; else rows with one are turned away.
        language: ISO 639 code of the texts.
        licence: SPDX id of the pictures' licence, or "" where it is not known.
        teacher: Who wrote the texts.
        track: Shows progress.

    Raises:
        SourceError: there is no such release, a file of it is damaged, or nothing of it is usable.
        UsageError: `out` must not be replaced, or an option cannot be.
        MimicitError: the disk is full or cannot be written to.
        InvalidDataset: the result breaks the rules of `mimicit validate`: a defect of mimicit.
    """
    if not re.fullmatch("[a-z]{2,3}", language):
        raise UsageError(f"--language takes an ISO 639 code such as en, not {language!r}")
    if not teacher.strip():
        raise UsageError("--teacher takes a name; leave it out where it is not known")
    source = Path(directory)
    if not source.is_dir():
        raise SourceError(f"no directory {str(directory)!r}")
    release = find_release(source)
    refuse_without_pictures(release)
    given = Given(SOURCE, language, licence, teacher)
    with replacing(Path(out)) as target, _Import(target, given, track) as run:
        made = run.read(release, repair=repair)
        config = BuildConfig(
            sources=[SourceConfig(name=SOURCE, options=_options(source, given, repair=repair))],
            teacher="imported",
            teacher_id=teacher,
        )
        entries = run.finish(made)
        imported = run.summary(Path(out), release, made)
        said = _provenance(config, imported)
        listed = describe_dataset(target, entries, run.tally, config, said)
        validate(target, decode="none", measured={entry.path: entry.sha256 for entry in listed})
    return imported


def _options(source: Path, given: Given, *, repair: bool) -> dict[str, str]:
    options = {"root": str(source), "repair": str(repair).lower(), "language": given.language}
    return options | ({"licence": given.licence} if given.licence else {})


class _Import:
    """One import: its tables, and what is counted on the way.

    Leaving it as a context ends it, finished or not.
    """

    def __init__(self, directory: Path, given: Given, track: Track) -> None:
        self.tally = Tally()
        self._given, self._track = given, track
        self._stack = ExitStack()
        self._shelf = Shelf(directory / "import.arrow")
        self._stack.callback(self._shelf.close)
        self._images, self._rejected = (
            TableWriter(directory, table) for table in ("images", "rejected")
        )
        self._rows = RowWriter(directory, given)
        for table in (self._images, self._rejected, self._rows):
            self._stack.callback(table.stop)
        self._pictures: Pictures
        self._used = self._unused = 0
        self._first = ""

    def __enter__(self) -> "_Import":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def reject(self, stage: str, reason: str, record: str, detail: str) -> None:
        """Turn something away."""
        self.tally.rejected[stage, reason] += 1
        self._first = self._first or f"{record}: {detail}"
        row = {"stage": stage, "reason": reason, "record": record, "detail": detail}
        self._rejected.write(Rejection(scene_id="", source=self._given.source, **row))

    def read(self, release: Release, *, repair: bool) -> Gathered:
        """Read everything but the pictures.

        Raises:
            SourceError: a file is damaged.
        """
        self._pictures = Pictures(release, self._track, strict=True)
        instructions = Instructions(release, self._track, strict=True)
        made = gather(
            release,
            instructions,
            self._pictures,
            self._shelf,
            self.reject,
            repair=repair,
            track=self._track,
        )
        self._shelf.finish()
        return made

    def finish(self, made: Gathered) -> list[FileEntry]:
        """Write the tables, and list their files.

        Raises:
            SourceError: there is not one instruction.
        """
        wanted = np.zeros(len(self._pictures), bool)
        for _, batch in self._shelf.batches():
            wanted[lists(batch.column("images"))[0]] = True
        firsts = self._pictures.first == np.arange(len(wanted))
        self._unused = int((firsts & ~wanted).sum())
        good, hashes = store_pictures(
            self._pictures,
            wanted,
            self._images,
            self.reject,
            self.tally,
            self._given.licence,
            self._track,
        )
        usable = np.zeros(len(self._shelf), bool)
        for start, batch in self._shelf.batches():
            images, counts = lists(batch.column("images"))
            lost = np.zeros(batch.num_rows, bool)
            lost[np.repeat(np.arange(len(counts)), counts)[~good[images]]] = True
            usable[start : start + batch.num_rows] = ~lost
            for row in np.flatnonzero(lost).tolist():
                detail = "a picture that it is about was turned away"
                name = batch.column("id")[row].as_py()
                self.reject("media", "picture-turned-away", name, detail)
        if not usable.any():
            raise SourceError(self._nothing(made))
        scenes = Scenes(self._pictures, np.flatnonzero(good))
        usable = keep_apart(self._shelf, usable, self._pictures, scenes, hashes, self.reject)
        made.count_changes(self._shelf, usable)
        self._used = int(good.sum())
        self._rows.write_all(
            self._shelf, usable, made.places, self._pictures, scenes, self.tally, self._track
        )
        self._shelf.close()
        return [*self._rows.close(), *self._images.close(), *self._rejected.close()]

    def _nothing(self, made: Gathered) -> str:
        """Say why nothing came out, and what to do."""
        why = ", ".join(
            f"{reason} ({n:,})" for (_, reason), n in self.tally.rejected.most_common(5)
        )
        text = f"not one of {made.read:,} instructions can be used: {why or 'there are none'}"
        text += f"\nthe first: {self._first}" if self._first else ""
        return text + (
            f"\n--repair would keep up to {made.mendable:,} of them" if made.mendable else ""
        )

    def summary(self, out: Path, release: Release, made: Gathered) -> Imported:
        """Sum up what came of it."""
        tally = self.tally
        return Imported(
            out=out,
            read=made.read,
            repeated=made.repeated,
            instructions=tally.sources.total(),
            splits={split: tally.splits[split] for split in SPLITS if tally.splits[split]},
            images=self._used,
            unused=self._unused,
            links=tally.links,
            fallen=self._rows.fallen,
            doubled=made.doubled,
            mended={name: n for name, n in sorted(made.changes.items()) if name != RESPELLED},
            mendable=made.mendable,
            respelled=made.changes[RESPELLED],
            rejected=dict(sorted(tally.rejected.items())),
            passed_over=release.passed_over,
        )


def _provenance(config: BuildConfig, imported: Imported) -> dict[str, object]:
    """Say what made a dataset, and what became of the release."""
    counts = {
        "read": imported.read,
        "repeated": imported.repeated,
        "unused_pictures": imported.unused,
        "fallen_contexts": imported.fallen,
        "doubled_contexts": imported.doubled,
        "mended": dict(imported.mended),
    }
    used = versions("ijson", "numpy", "pillow", "pyarrow")
    return {"versions": used, "teacher": config.teacher_name, "imported": counts}
