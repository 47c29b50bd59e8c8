"""The build, in three passes: media, ask, assemble.

A generator reads one source's annotations and media as scenes; scenes become exchanges by rule
(templates); checked exchanges become instructions; the context linker says which instructions
serve as in-context examples for which; the writer publishes them as checked shards whose image
ids point into a separate image store.

With the templates as the teacher there is nothing to ask, and the second pass is empty.
"""

import dataclasses
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from mimicit import __version__, templates
from mimicit.card import Tally, write_card
from mimicit.checks import check
from mimicit.config import BuildConfig, SourceConfig
from mimicit.context_linker import LinkSpec, link
from mimicit.decoding import Picture, examine_all
from mimicit.directory import replacing
from mimicit.errors import SourceError, UsageError
from mimicit.generators import Counted, Generator, open_source
from mimicit.images import UnusablePicture, read_bytes
from mimicit.progress import Track, silent
from mimicit.schema import (
    Annotation,
    Box,
    Exchange,
    ImageBytes,
    ImageInfo,
    ImageRef,
    ImageRow,
    Instruction,
    Links,
    Rejection,
    Scene,
)
from mimicit.validate import validate
from mimicit.writer import (
    FileEntry,
    Spool,
    TableWriter,
    count_rows,
    describe,
    write_manifest,
)


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


@dataclass(slots=True)
class _Media:
    """The verdicts of the media pass, and which file each image id stands for."""

    infos: dict[str, ImageInfo] = field(default_factory=dict)
    places: dict[str, tuple[str, str]] = field(default_factory=dict)


def build(config: BuildConfig, out: str | Path, *, track: Track = silent) -> Summary:
    """Build a dataset and publish it at `out`, replacing the dataset that was there.

    Until the very end `out` is as it was; it then changes in one step. The same configuration
    and inputs give the same bytes, whatever the order of the annotations or the day.

    Args:
        config: What to build.
        out: Directory of the dataset.
        track: Shows progress (`mimicit.progress`).

    Raises:
        UsageError: the configuration cannot be carried out; nothing was read.
        SourceError: an input is missing or damaged as a whole, or gave no instruction at all.
        InvalidDataset: what was built breaks the rules of `mimicit validate`: a defect of mimicit.
    """
    start = time.monotonic()
    sources = [_Source(entry, config) for entry in config.sources]
    specs = {
        s.generator.name: LinkSpec.parse(config.link or s.generator.link, config.shots, config.seed)
        for s in sources
    }
    with replacing(Path(out)) as directory:
        media = _examine_media(sources, track)
        tally = Tally()
        entries = _assemble(directory, sources, media, specs, config, tally, track)
        _describe_dataset(directory, entries, tally, config)
        validate(directory, decode=False)  # the pictures were decoded by the media pass
        size = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
    counts = count_rows(entries)
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
        self._limit = config.limit
        self._only = frozenset(config.only)

    def scenes(self) -> Iterator[Scene | Rejection]:
        items = self.generator.scenes()
        if self._limit is None and not self._only:
            return items
        total = self._limit if not self._only else len(self._only)
        return Counted(self._some(items), total or 0)

    def _some(self, items: Iterator[Scene | Rejection]) -> Iterator[Scene | Rejection]:
        left = self._limit
        for item in items:
            if self._only and not _names(item) & self._only:
                continue
            if isinstance(item, Scene) and left is not None:
                if not left:
                    return
                left -= 1
            yield item


def _names(item: Scene | Rejection) -> frozenset[str]:
    """List what `--only` may call a scene: its id, without leading zeros too, or a picture's id."""
    if isinstance(item, Rejection):
        return frozenset({item.scene_id, item.scene_id.lstrip("0")}) - {""}
    return frozenset({item.id, item.id.lstrip("0"), *(ref.id for ref in item.images)})


# ------------------------------------------------------------------ pass 1: media


def _examine_media(sources: list[_Source], track: Track) -> _Media:
    """Judge every picture that scenes name, each once."""
    media = _Media()
    scenes = 0

    def pictures() -> Iterator[Picture]:
        nonlocal scenes
        for source in sources:
            for item in track(source.scenes(), "media", "scenes"):
                if isinstance(item, Scene):
                    scenes += 1
                    for ref in item.images:
                        if media.places.setdefault(ref.id, (ref.root, ref.name)) == (
                            ref.root,
                            ref.name,
                        ):
                            yield ref.id, ref

    for info in examine_all(pictures()):
        media.infos[info.id] = info
    if not scenes:
        raise UsageError("there is no scene to build from: see what --only and --limit leave")
    return media


# --------------------------------------------------------------- pass 3: assemble


def _assemble(  # noqa: PLR0913  # the one place where everything comes together
    directory: Path,
    sources: list[_Source],
    media: _Media,
    specs: dict[str, LinkSpec],
    config: BuildConfig,
    tally: Tally,
    track: Track,
) -> list[FileEntry]:
    """Write the tables: scenes to instructions, then the links between them."""
    images, rejected = TableWriter(directory, "images"), TableWriter(directory, "rejected")
    instructions, links = TableWriter(directory, "instructions"), TableWriter(directory, "links")
    with Spool(directory / "spool.arrow") as spool:
        stored = _Stored(images, tally)
        seen: set[str] = set()
        for source in sources:
            for item in track(source.scenes(), "assemble", "scenes"):
                for row in _process(item, media, config, seen):
                    if isinstance(row, Rejection):
                        tally.rejected[row.stage, row.reason] += 1
                        rejected.write(row)
                    else:
                        spool.write(row)
                        tally.kinds[row.kind] += 1
                        tally.languages[row.language] += 1
                        stored.keep(item, media)
                tally.scenes += isinstance(item, Scene)
        spool.finish()
        if not spool.rows:
            reasons = ", ".join(
                f"{reason} ({n:,})" for (_, reason), n in tally.rejected.most_common(5)
            )
            raise SourceError(f"not one instruction came out of {tally.scenes:,} scenes: {reasons}")
        for row, found in _with_links(spool, link(track(spool, "link", "instructions"), specs)):
            instructions.write(row)
            if found:
                links.write(found)
                tally.links += len(found.context_ids)
                tally.strategies.update(found.strategies)
    return [entry for table in (instructions, images, links, rejected) for entry in table.close()]


def _process(
    item: Scene | Rejection, media: _Media, config: BuildConfig, seen: set[str]
) -> Iterator[Instruction | Rejection]:
    """Make the rows of one scene: its instructions, and what was turned away on the way."""
    if isinstance(item, Rejection):
        yield item
        return
    name = f"{item.prefix}_{item.id}"
    if name in seen:
        yield _reject(item, "annotations", "duplicate-scene", name, "another scene has the same id")
        return
    seen.add(name)
    unusable = list(_unusable_pictures(item, media))
    if unusable:
        yield from unusable
        return
    scene, distorted = _fit(item, media)
    yield from distorted
    written = templates.write(scene, config.seed)
    if not written:
        yield _reject(
            scene, "templates", "nothing-to-say", scene.id, "no annotation supports a question"
        )
    for ordinal, (exchange, reason) in enumerate(check(written)):
        if reason:
            record = scene.instruction_id(ordinal)
            detail = f"{exchange.instruction!r}: {exchange.answer!r}"[:500]
            yield _reject(scene, "checks", reason, record, detail)
        else:
            yield _instruction(scene, ordinal, exchange)


def _unusable_pictures(scene: Scene, media: _Media) -> Iterator[Rejection]:
    for ref in scene.images:
        info = media.infos.get(ref.id)
        place = media.places.get(ref.id)
        if info is None:
            raise SourceError(
                f"the annotations of {scene.source!r} changed while they were being read"
            )
        if place != (ref.root, ref.name):
            detail = f"{ref.name!r} and {place[1] if place else ''!r} have the same image id"
            yield _reject(scene, "media", "image-id-conflict", ref.id, detail)
        elif info.problem:
            yield _reject(scene, "media", info.problem, ref.id, info.detail)


def _fit(scene: Scene, media: _Media) -> tuple[Scene, list[Rejection]]:
    """Give pictures without a stated size their real one; drop boxes made for another picture.

    Boxes are in pixels of the picture that was annotated. One that was only scaled since has the
    same sides' ratio; with another ratio it was cropped or turned, and the boxes are wrong.
    """
    refs: list[ImageRef] = []
    rejections: list[Rejection] = []
    annotations: tuple[Annotation, ...] = scene.annotations
    for place, ref in enumerate(scene.images):
        info = media.infos[ref.id]
        real = (info.width, info.height)
        stated = ref.size or real
        refs.append(dataclasses.replace(ref, size=stated))
        if abs(stated[0] * real[1] / (stated[1] * real[0]) - 1) > 0.02:
            kept = tuple(a for a in annotations if not (isinstance(a, Box) and a.image == place))
            if len(kept) < len(annotations):
                count = len(annotations) - len(kept)
                detail = f"{count} boxes are for a picture of {stated}, but it is {real}"
                rejections.append(_reject(scene, "annotations", "size-mismatch", ref.id, detail))
            annotations = kept
    vocabulary = () if rejections else scene.vocabulary
    return dataclasses.replace(
        scene, images=tuple(refs), annotations=annotations, vocabulary=vocabulary
    ), rejections


def _instruction(scene: Scene, ordinal: int, exchange: Exchange) -> Instruction:
    return Instruction(
        id=scene.instruction_id(ordinal),
        instruction=exchange.instruction,
        answer=exchange.answer,
        image_ids=[ref.id for ref in scene.images],
        rel_ins_ids=[],
        source=scene.source,
        split="train",
        language=scene.language,
        kind=exchange.kind,
        scene_id=scene.id,
        group=scene.groups[0],
        licence=scene.licence,
        teacher=templates.NAME,
        prompt_sha256=templates.wording_sha256(),
        request_key="",
    )


def _reject(scene: Scene, stage: str, reason: str, record: str, detail: str) -> Rejection:
    return Rejection.model_validate(
        {
            "scene_id": scene.id,
            "source": scene.source,
            "stage": stage,
            "reason": reason,
            "record": record,
            "detail": detail,
        }
    )


class _Stored:
    """Writes the pictures of scenes that are published, each once."""

    def __init__(self, table: TableWriter, tally: Tally) -> None:
        self._table = table
        self._tally = tally
        self._ids: set[str] = set()
        self._digests: set[str] = set()

    def keep(self, item: Scene | Rejection, media: _Media) -> None:
        for ref in item.images if isinstance(item, Scene) else ():
            if ref.id not in self._ids:
                self._ids.add(ref.id)
                self._write(ref, media.infos[ref.id])

    def _write(self, ref: ImageRef, info: ImageInfo) -> None:
        try:
            data = read_bytes(ref)
        except UnusablePicture as error:
            raise SourceError(
                f"{ref.name!r} could be read, and now cannot: {error.detail}"
            ) from error
        row = ImageRow(
            image_id=ref.id,
            image=ImageBytes(bytes=data, path=Path(ref.name).name),
            sha256=info.sha256,
            phash=info.phash,
            width=info.width,
            height=info.height,
            format=info.format,
            source_ref=ref.source_ref,
            licence=ref.licence,
        )
        self._table.write(row)
        self._tally.licences[ref.licence] += 1
        self._tally.image_bytes += len(data)
        self._tally.equal_pictures += info.sha256 in self._digests
        self._digests.add(info.sha256)


def _with_links(
    rows: Iterable[Instruction], links: Iterator[Links]
) -> Iterator[tuple[Instruction, Links | None]]:
    """Pair each instruction with its links, which come in the same order, or with None."""
    following = next(links, None)
    for row in rows:
        if following and following.query_id == row.id:
            yield row.model_copy(update={"rel_ins_ids": following.context_ids}), following
            following = next(links, None)
        else:
            yield row, None


def _describe_dataset(
    directory: Path, entries: list[FileEntry], tally: Tally, config: BuildConfig
) -> None:
    """Write configuration, card and manifest beside the tables."""
    (directory / "build.yaml").write_text(config.to_yaml(), encoding="utf-8")
    write_card(directory, entries, tally, config)
    listed = [*entries, *(describe(directory / name, name) for name in ("README.md", "build.yaml"))]
    versions = {"mimicit": __version__, "pyarrow": pa.__version__}
    provenance: dict[str, object] = {"versions": versions, "teacher": config.teacher}
    if config.date:
        provenance["date"] = config.date.isoformat()
    write_manifest(directory, listed, provenance)
