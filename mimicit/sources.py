"""The sources of a build: read as far as was asked, their pictures judged, their prompts loaded."""

import contextlib
import itertools
import operator
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from mimicit import prompts
from mimicit.config import BuildConfig, SourceConfig
from mimicit.decoding import Decoders
from mimicit.errors import SourceError, UsageError
from mimicit.generators import Generator, open_source
from mimicit.media import Media
from mimicit.media_cache import MediaCache, default_directory
from mimicit.names import escape_id
from mimicit.progress import Counted, Track
from mimicit.prompts import Prompt
from mimicit.schema import Rejection, Scene
from mimicit.shipped import shipped
from mimicit.splits import Splits


class Source:
    """A generator, read only as far as `--limit` and `--only` say."""

    def __init__(self, entry: SourceConfig, config: BuildConfig) -> None:
        if config.teacher == "imported":
            raise UsageError(
                f"nothing is built of {entry.name!r}: it was brought in from elsewhere, and "
                f"`mimicit import {entry.name} DIR --out OUT` does so again"
            )
        self.generator: Generator = open_source(entry.name, entry.options, sample=entry.sample)
        self.found: set[str] = set()
        self._limit = config.limit
        self._only = frozenset(config.only)
        self._spelled: dict[str, set[str]] = {}  # as ids have it, or as the source's own files do
        for name in self._only:
            for spelled in (name, escape_id(name)):
                self._spelled.setdefault(spelled, set()).add(name)

    def scenes(self) -> Iterator[Scene | Rejection]:
        """Read it once more; each pass does."""
        items = self.generator.scenes()
        total = len(self._only) or self._limit or operator.length_hint(items)
        return Counted(self._some(items), total)

    def _some(self, items: Iterator[Scene | Rejection]) -> Iterator[Scene | Rejection]:
        left = self._limit
        for item in items:
            if item.source != self.generator.name:
                raise SourceError(f"source {self.generator.name!r} gives scenes of {item.source!r}")
            if isinstance(item, Scene) and (problem := _misnamed(item)):
                raise SourceError(f"source {self.generator.name!r} gives a scene with {problem}")
            if self._only and not self._wanted(item):
                continue
            if isinstance(item, Scene) and left is not None:
                if not left:
                    return
                left -= 1
            yield item

    def _wanted(self, item: Scene | Rejection) -> bool:
        """Tell whether `--only` names a scene: by its id, a picture's or a clip's, zeros or no.

        The id may be spelled as the source's own files have it.
        """
        if isinstance(item, Rejection):
            names = {item.scene_id, f"{self.generator.prefix}_IMG_{item.scene_id}"}
        else:
            pictures = (ref.id for ref in item.images)
            names = {item.id, *pictures, *(clip.id for clip in item.clips)}
        names |= {name.lstrip("0") or "0" for name in names if name}
        wanted = set[str]().union(*(self._spelled.get(name, ()) for name in names))
        self.found |= wanted
        return bool(wanted)


_ID = re.compile(r"[A-Za-z0-9._~-]+")
_PREFIX = re.compile(r"[A-Za-z0-9]+")
_MEDIA_ID = re.compile(r"[A-Za-z0-9]+_IMG_[A-Za-z0-9._~-]+")


def _misnamed(scene: Scene) -> str:
    """Say what of a scene's names could not be published, and what to do; "" where all can."""
    if not _PREFIX.fullmatch(scene.prefix):
        return f"the prefix {scene.prefix!r} ({scene.id}), which is of A-Z, a-z and 0-9"
    spell = "mimicit.names.escape_id spells any text"
    if not (isinstance(scene.id, str) and _ID.fullmatch(scene.id)):
        return f"the id {scene.id!r}, which is text of of A-Z, a-z, 0-9 and ._~-: {spell}"
    if not scene.groups or not all(isinstance(group, str) and group for group in scene.groups):
        return f"the groups {scene.groups!r} ({scene.id}): they are one text or more, none empty"
    media = [*(ref.id for ref in scene.images), *(clip.id for clip in scene.clips)]
    if not media:
        return f"neither a picture nor a clip ({scene.id}): reject what it was made of"
    for name in media:
        if not _MEDIA_ID.fullmatch(name):
            return (
                f"a picture or clip of the id {name!r} ({scene.id}), which is the prefix, _IMG_ "
                f"and one or more of A-Z, a-z, 0-9 and ._~-: {spell}"
            )
    return ""


@contextlib.contextmanager
def judged(
    config: BuildConfig, sources: Sequence[Source], track: Track, cache: str | Path | None = None
) -> Iterator[Media]:
    """Judge the pictures of all sources: the first pass. They can be read as long as this lasts.

    Args:
        config: What is built.
        sources: Where its scenes come from.
        track: Shows progress.
        cache: Directory of what earlier builds found out; None for the one that is the default.

    Raises:
        UsageError: `--only` names what is not there, or videos need a decoder.
        SourceError: an input is missing or damaged as a whole, or there is no scene.
    """
    directory = default_directory() if cache is None else Path(cache)
    with Decoders() as decoders, MediaCache(directory) as kept:
        splits = Splits(config.split)
        media = Media(
            decoders, kept, config.store_form, config.skip_frames, splits, config.allow_licences
        )
        scenes = (track(source.scenes(), "media", "scenes") for source in sources)
        media.judge(itertools.chain.from_iterable(scenes), track)
        _refuse_unknown(config, sources, media)
        if splits.divides:
            scenes = (track(source.scenes(), "split", "scenes") for source in sources)
            media.hold_out(itertools.chain.from_iterable(scenes))
        yield media


def load_prompts(config: BuildConfig, sources: Sequence[Source]) -> dict[str, Prompt]:
    """Load the prompt of each source, where there is a teacher to be asked.

    Raises:
        UsageError: a source has none, or it is not right.
    """
    if config.teacher == "templates":
        return {}
    loaded = {}
    for generator in (source.generator for source in sources):
        own = config.prompts.get(generator.name)
        module = type(generator).__module__
        path = shipped(module, "prompts", f"{generator.name}.yaml") if own is None else Path(own)
        with contextlib.suppress(RuntimeError):  # ~ of somebody who is not there: a plain name
            path = path.expanduser()
        loaded[generator.name] = prompts.load(path)
    return loaded


def _refuse_unknown(config: BuildConfig, sources: Sequence[Source], media: Media) -> None:
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
