"""The build, in three passes: media, ask, assemble.

A generator reads one source's annotations and media as scenes; scenes become exchanges by rule
(templates); checked exchanges become instructions; the context linker says which instructions
serve as in-context examples for which; the writer publishes them as checked shards whose image
ids point into a separate image store.

With the templates as the teacher there is nothing to ask, and the second pass is empty.
"""

import importlib.metadata
import itertools
import operator
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mimicit import __version__
from mimicit.assemble import Assembly
from mimicit.card import Tally, write_card
from mimicit.config import BuildConfig, SourceConfig
from mimicit.context_linker import LinkSpec
from mimicit.directory import replacing
from mimicit.errors import SourceError, UsageError
from mimicit.generators import Counted, Generator, open_source
from mimicit.media import Media
from mimicit.progress import Track, silent
from mimicit.schema import Rejection, Scene
from mimicit.validate import validate
from mimicit.writer import FileEntry, count_rows, describe, write_manifest


@dataclass(frozen=True, slots=True)
class Summary:
    """What a build made.

    Attributes:
        out: The dataset directory.
        scenes: Scenes that were read.
        instructions: Rows published.
        images: Pictures published.
        links: In-context examples, over all instructions.
        rejected: How many records were turned away, by (stage, reason).
        equal_pictures: Pictures equal to another one under a different id.
        size_bytes: Size of the dataset.
        seconds: Wall-clock time.
    """

    out: Path
    scenes: int
    instructions: int
    images: int
    links: int
    rejected: dict[tuple[str, str], int]
    equal_pictures: int
    size_bytes: int
    seconds: float


def build(config: BuildConfig, out: str | Path, *, track: Track = silent) -> Summary:
    """Build a dataset and publish it at `out`, replacing the dataset that was there.

    Until the very end `out` is as it was; it then changes in one step. The same configuration
    and inputs give the same bytes, whatever the order of the annotations or the day.

    Args:
        config: What to build.
        out: Directory of the dataset.
        track: Shows progress (`mimicit.progress`).

    Raises:
        UsageError: the configuration cannot be carried out; nothing was published.
        SourceError: an input is missing or damaged as a whole, or gave no instruction at all.
        InvalidDataset: what was built breaks the rules of `mimicit validate`: a defect of mimicit.
    """
    start = time.monotonic()
    sources = [_Source(entry, config) for entry in config.sources]
    specs = {
        s.generator.name: LinkSpec.parse(_link(config, s.generator), config.shots, config.seed)
        for s in sources
    }
    with replacing(Path(out)) as directory:
        media = Media.of(
            itertools.chain.from_iterable(track(s.scenes(), "media", "scenes") for s in sources)
        )
        _refuse_unknown(config, sources, media)
        assembly = Assembly(directory, media, config.seed)
        for source in sources:
            for item in track(source.scenes(), "assemble", "scenes"):
                assembly.add(item)
        entries = assembly.finish(specs, track)
        _describe(directory, entries, assembly.tally, config)
        validate(directory, decode=False)  # the pictures were decoded by the media pass
        size = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
    counts, tally = count_rows(entries), assembly.tally
    return Summary(
        out=Path(out),
        scenes=tally.scenes,
        instructions=counts["instructions"],
        images=counts["images"],
        links=tally.links,
        rejected=dict(sorted(tally.rejected.items())),
        equal_pictures=tally.equal_pictures,
        size_bytes=size,
        seconds=time.monotonic() - start,
    )


class _Source:
    """A generator, read only as far as `--limit` and `--only` say."""

    def __init__(self, entry: SourceConfig, config: BuildConfig) -> None:
        self.generator: Generator = open_source(entry.name, entry.options, sample=entry.sample)
        self.found: set[str] = set()
        self._limit = config.limit
        self._only = frozenset(config.only)

    def scenes(self) -> Iterator[Scene | Rejection]:
        items = self.generator.scenes()
        total = len(self._only) or self._limit or operator.length_hint(items)
        return Counted(self._some(items), total)

    def _some(self, items: Iterator[Scene | Rejection]) -> Iterator[Scene | Rejection]:
        left = self._limit
        for item in items:
            if item.source != self.generator.name:
                raise SourceError(f"source {self.generator.name!r} gives scenes of {item.source!r}")
            if self._only and not self._wanted(item):
                continue
            if isinstance(item, Scene) and left is not None:
                if not left:
                    return
                left -= 1
            yield item

    def _wanted(self, item: Scene | Rejection) -> bool:
        """Tell whether `--only` names a scene: by its id, without zeros too, or a picture's id."""
        if isinstance(item, Rejection):
            names = {item.scene_id, f"{self.generator.prefix}_IMG_{item.scene_id}"}
        else:
            names = {item.id, *(ref.id for ref in item.images)}
        names |= {name.lstrip("0") or "0" for name in names if name}
        self.found |= self._only & names
        return not self._only.isdisjoint(names)


def _link(config: BuildConfig, generator: Generator) -> str:
    return generator.link if config.link is None else config.link


def _refuse_unknown(config: BuildConfig, sources: list[_Source], media: Media) -> None:
    """Refuse to build from less than was asked for.

    Raises:
        UsageError: `--only` names what is not there.
        SourceError: there is nothing at all.
    """
    if config.limit is None:
        unknown = sorted(set(config.only).difference(*(source.found for source in sources)))
        if unknown:
            raise UsageError(f"--only {unknown[0]!r} names no scene and no picture of the sources")
    if not media.scenes and not media.rejections:
        raise SourceError("the sources have no scene: their files list no picture")


def _describe(directory: Path, entries: list[FileEntry], tally: Tally, config: BuildConfig) -> None:
    """Write configuration, card and manifest beside the tables."""
    (directory / "build.yaml").write_text(config.to_yaml(), encoding="utf-8")
    write_card(directory, entries, tally, config)
    listed = [*entries, *(describe(directory / name, name) for name in ("README.md", "build.yaml"))]
    versions = {"mimicit": __version__} | {
        name: importlib.metadata.version(name) for name in ("inflect", "numpy", "pillow", "pyarrow")
    }
    provenance: dict[str, object] = {"versions": versions, "teacher": config.teacher}
    if config.date:
        provenance["date"] = config.date.isoformat()
    write_manifest(directory, listed, provenance)
