"""What the inputs of a dataset still have of it: scenes read anew, prompts, pictures' own files.

`build.yaml` says where they are, relative to the directory that the build ran in. They may have
moved or changed since; that is said, and is no error.
"""

import contextlib
import hashlib
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mimicit.annotations import Annotation
from mimicit.config import BuildConfig, make_config, read_config
from mimicit.errors import MimicitError
from mimicit.generators import find
from mimicit.images import MAX_FILE_BYTES, UnusablePicture, resolve
from mimicit.prompts import MAX_BYTES
from mimicit.schema import ImageRef, Scene
from mimicit.shipped import shipped
from mimicit.sources import Source

MOVED = "paths in build.yaml count from the directory that the build ran in: go there, try again"

SceneName = tuple[str, str]
"""A scene by its source and its own id."""


@dataclass(frozen=True, slots=True)
class Known:
    """What its source says of a scene now.

    Attributes:
        source: Name of the source.
        id: The source's own id.
        groups: What it belongs to, closest first.
        language: ISO 639 code of the annotations.
        annotations: All of them, as the source has them: before any box is fitted to its picture.
        videos: Files that its pictures are frames of.
        problem: Why nothing is known, or "".
    """

    source: str
    id: str
    groups: tuple[str, ...] = ()
    language: str = ""
    annotations: tuple[Annotation, ...] = ()
    videos: tuple[str, ...] = ()
    problem: str = ""


class Origins:
    """The inputs of a dataset, looked at again.

    Args:
        directory: The dataset.
    """

    def __init__(self, directory: Path) -> None:
        self._scenes: list[Scene] = []
        self._config: BuildConfig | None = None
        self._problem = ""
        try:
            self._config = make_config(read_config(directory / "build.yaml"))
        except MimicitError as error:
            self._problem = str(error)

    def known(self, names: Iterable[SceneName]) -> list[Known]:
        """Read scenes anew, no further than to the last of them."""
        wanted = list(dict.fromkeys(names))
        found: dict[SceneName, Scene] = {}
        problems: dict[str, str] = {}
        for source in dict.fromkeys(source for source, _ in wanted):
            ids = {name for of, name in wanted if of == source}
            try:
                found |= {(source, scene.id): scene for scene in self._read(source, ids)}
            except (MimicitError, OSError) as error:
                problems[source] = f"{error}\n{MOVED}"
        self._scenes += found.values()
        return [
            _known(found[source, name])
            if (source, name) in found
            else Known(source, name, problem=problems.get(source) or "its source has it no more")
            for source, name in wanted
        ]

    def _read(self, source: str, ids: set[str]) -> Iterator[Scene]:
        """Read scenes of a source until all are found.

        Raises:
            MimicitError: its files, or the build that says where they are, cannot be read.
        """
        if self._config is None:
            raise MimicitError(self._problem)
        left = set(ids)
        config = self._config.model_copy(update={"only": sorted(ids), "limit": None})
        for entry in config.sources:
            if entry.name != source or not left:
                continue
            for item in Source(entry, config).scenes():
                if isinstance(item, Scene) and item.id in left:
                    left.discard(item.id)
                    yield item
                    if not left:
                        break

    def prompt(self, source: str, sha256: str, *, asked: bool) -> str:
        """Find the prompt file with a digest: the build's own, or the one that ships; else "".

        Args:
            source: Whose prompt.
            sha256: The digest.
            asked: Whether a model was asked; what templates have is their wording.
        """
        if not sha256:  # words of the source's own
            return ""
        own = self._config.prompts.get(source) if self._config else None
        places = [own] if own else []
        with contextlib.suppress(MimicitError):
            if asked:
                places.append(str(shipped(find(source).__module__, "prompts", f"{source}.yaml")))
            else:
                folder = shipped(__name__, "prompts", "templates")
                places += [str(path) for path in sorted(folder.glob("*.yaml"))]
        return next((place for place in places if _digest(place, MAX_BYTES) == sha256), "")

    def local(self, image_id: str, sha256: str) -> tuple[str, str]:
        """Find the file that a picture was made of: its path or "", and what is wrong.

        Args:
            image_id: Of a scene that was read before.
            sha256: Digest that the file had.
        """
        ref = next(self._refs(image_id), None)
        if ref is None:
            return "", "where its source has it is not known"
        try:
            path = str(resolve(ref))
        except UnusablePicture as error:
            return "", error.detail
        now = _digest(path, MAX_FILE_BYTES)
        return path, "" if now in {sha256, ""} else "the file has changed since"

    def _refs(self, image_id: str) -> Iterator[ImageRef]:
        for scene in self._scenes:
            yield from (ref for ref in scene.images if ref.id == image_id)
            for clip in scene.clips:  # a frame's id is its clip's, and its time
                if image_id.rpartition("_")[0] == clip.id:
                    yield ImageRef(clip.id, clip.root, clip.name)


def _known(scene: Scene) -> Known:
    videos = tuple(clip.name for clip in scene.clips)
    return Known(scene.source, scene.id, scene.groups, scene.language, scene.annotations, videos)


def _digest(path: str, most: int) -> str:
    """Hash a regular file; "" where it is none, is larger than `most`, or cannot be read."""
    try:
        found = Path(path).expanduser()
        about = found.stat()
        if not stat.S_ISREG(about.st_mode) or about.st_size > most:
            return ""
        with found.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError, RuntimeError):
        return ""
