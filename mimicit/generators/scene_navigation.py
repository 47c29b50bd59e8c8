"""Scene navigation: walks through rooms, and sentences about the objects in them.

Reads ScanNet's rooms with the sentences of `scan_info.json`, ScanRefer or Nr3D. A scene is a walk
through a room; a few activities are drawn for it, which somebody there may have in mind.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mimicit.annotations import Note, Utterance
from mimicit.errors import SourceError, UsageError
from mimicit.generators import generator
from mimicit.generators._room_files import Said, read_rooms
from mimicit.media_files import PICTURES, VIDEOS, MediaFiles, licence_of
from mimicit.moments import Clip, Uniform
from mimicit.names import escape_id
from mimicit.progress import Counted
from mimicit.records import digest, plain, reject
from mimicit.schema import ImageRef, Rejection, Scene
from mimicit.shipped import shipped

NAME = "scene_navigation"

SHOWN = "sentences shown"
"""Name of the note that says how many sentences of a room are in its prompt."""

_UNUSED = frozenset({"depth", "pose", "label", "instance", "intrinsics"})
"""What stands beside `color` in ScanNet's folders."""


@generator(
    prefix="SN",
    link="conversation,similar-text",
    origin=(
        "ScanNet's frames (scannet_frames_25k) are at http://www.scan-net.org/, for those who "
        "agree to its terms; the sentences are ScanRefer's "
        "(https://daveredrum.github.io/ScanRefer/) or Nr3D's (https://referit3d.github.io/)."
    ),
)
class SceneNavigation:
    """Rooms with sentences about their objects: ScanNet with ScanRefer or Nr3D.

    The annotation file is scan_info*.json, ScanRefer*.json, nr3d*.csv or nr3d*.json in the
    directory or in its folder `annotations`, or the one that is named. Frames are
    ROOM/color/NUMBER.jpg, however deep in the directory; a room without frames is looked for as a
    video, ROOM.mp4 or the like, in `videos` and in the directory itself.
    """

    root: Path | None = field(
        default=None, metadata={"help": "Directory with annotations and frames."}
    )
    annotations: Path | None = field(
        default=None, metadata={"help": "The annotation file, where there are several."}
    )
    frames: int = field(
        default=8, metadata={"help": "Frames of each room at most, evenly over the walk."}
    )
    sentences: int = field(
        default=50,
        metadata={
            "help": "Sentences of each room that a model is shown, at most; which ones, depends on "
            "them. Templates read all."
        },
    )
    activities: Path | None = field(
        default=None, metadata={"help": "A text file with an activity a line, for a list of yours."}
    )
    per_room: int = field(default=3, metadata={"help": "Activities that are drawn for each room."})
    seed: int = field(default=0, metadata={"help": "Varies which activities are drawn."})
    licence: str = field(
        default="",
        metadata={"help": "SPDX id or words of the media's licence, where it is the same for all."},
    )

    def scenes(self) -> Iterator[Scene | Rejection]:
        """Yield one scene a room, by ascending id, and the sentences that were left out."""
        if self.root is None:
            raise UsageError(f"{NAME}: name --root DIR")
        if self.frames < 1 or self.sentences < 1 or self.per_room < 0:
            raise UsageError(f"{NAME}: frames and sentences are 1 or more, per_room 0 or more")
        path = self.annotations or _annotation_file(self.root)
        walks = _Walks(self.root, self.frames, licence_of(self.root, self.licence))
        activities = _activities(self.activities)
        refused: list[Rejection] = []
        rooms: dict[str, list[Said]] = {}
        for item in read_rooms(path, NAME):
            if isinstance(item, Rejection):
                refused.append(item)
            else:
                rooms.setdefault(item.scene, []).append(item)
        refused.sort(key=lambda item: (item.scene_id, item.record, item.detail))
        return Counted(self._walk(rooms, refused, walks, activities), len(rooms))

    def _walk(
        self,
        rooms: dict[str, list[Said]],
        refused: list[Rejection],
        walks: "_Walks",
        activities: list[str],
    ) -> Iterator[Scene | Rejection]:
        yield from refused
        for name in sorted(rooms, key=escape_id):
            scene_id = escape_id(name)
            kept: list[Said] = []
            for item in _once(scene_id, rooms[name]):
                if isinstance(item, Rejection):
                    yield item
                else:
                    kept.append(item)
            drawn = sorted(activities, key=lambda text: digest(self.seed, scene_id, text))
            planned = sorted(drawn[: self.per_room])
            pictures, clips = walks.of(name)
            yield Scene(
                source=NAME,
                id=scene_id,
                prefix="SN",
                images=pictures,
                annotations=(
                    *_utterances(scene_id, kept, self.sentences),
                    *(Note("activity", text) for text in planned),
                ),
                groups=(_room(scene_id),),
                clips=clips,
            )


def _annotation_file(root: Path) -> Path:
    if not root.is_dir():
        raise SourceError(f"no directory {str(root)!r}")
    found = sorted(
        path
        for folder in (root, root / "annotations")
        if folder.is_dir()
        for path in folder.iterdir()
        if path.suffix.lower() in {".json", ".csv"}
        and path.name.lower().startswith(("scan_info", "scanrefer", "nr3d"))
    )
    if not found:
        wanted = "scan_info*.json, ScanRefer*.json, nr3d*.csv or nr3d*.json"
        raise SourceError(f"no {wanted} in {str(root)!r}")
    if len(found) > 1:
        listed = "".join(f"\n  -o annotations={path}" for path in found)
        raise UsageError(f"{NAME}: several annotation files; say which one:{listed}")
    return found[0]


def _activities(path: Path | None) -> list[str]:
    """Read a list of activities, one a line, each once; lines that begin with # are comments."""
    path = path or shipped(__name__, "prompts", "activities.txt")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise SourceError(f"cannot read {str(path)!r}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SourceError(f"{str(path)!r} is not in UTF-8: {error}") from error
    texts = [plain(line) for line in lines]
    return sorted({text for text in texts if text and not text.startswith("#")})


def _once(scene_id: str, said: list[Said]) -> Iterator[Said | Rejection]:
    """Give each sentence once, the same ones whatever the order of the file."""
    found: set[tuple[str, str]] = set()
    for item in sorted(said, key=lambda s: (s.object, s.text, len(s.record), s.record)):
        key = (item.object, item.text.casefold())
        if key in found:
            detail = f"said of a {item.object} already: {item.text}"
            yield reject(NAME, "duplicate-sentence", item.record, detail, scene_id)
        else:
            found.add(key)
            yield item


def _utterances(scene_id: str, said: list[Said], most: int) -> Iterator[Utterance | Note]:
    """Give the sentences that a model is shown, in a fixed order, and then the others.

    Where there are others, a note tells the prompt how many of the first ones to show.
    """
    ranked = sorted(said, key=lambda s: digest(scene_id, s.object, s.text))
    for part in (ranked[:most], ranked[most:]):
        for item in sorted(part, key=lambda s: (s.object, s.text)):
            yield Utterance(item.text, item.object)
    if len(said) > most:
        yield Note(SHOWN, str(most))


def _room(scene_id: str) -> str:
    """Name the room that was scanned: `scene0000_01` is the second walk through scene0000."""
    room, _, walk = scene_id.rpartition("_")
    is_walk = room.startswith("scene") and room[5:].isdigit() and len(walk) == 2 and walk.isdigit()
    return room if is_walk else scene_id


@dataclass(frozen=True)
class _Folder:
    """The frames of a walk: the path of their folder below the root, and their names."""

    path: str
    names: tuple[str, ...]


class _Walks:
    """The frames or the video of each room below a directory, listed once."""

    def __init__(self, root: Path, frames: int, licence: str) -> None:
        self._videos = MediaFiles(root, ["videos", ""], VIDEOS)
        self._frames, self._licence = frames, licence
        self._folders: dict[str, _Folder] = {}
        for folder, names, _ in os.walk(root):
            names[:] = sorted(set(names) - _UNUSED)
            if "color" in names:
                names.remove("color")
                path = Path(folder, "color")
                room = Path(folder).name
                found = _Folder(path.relative_to(root).as_posix(), _numbered(path))
                if found.names:
                    self._folders.setdefault(room, found)

    def of(self, room: str) -> tuple[tuple[ImageRef, ...], tuple[Clip, ...]]:
        """Choose frames of a walk: the middles of as many equal parts of it."""
        folder = self._folders.get(room)
        if folder is None:
            clip = Clip(
                id=f"SN_IMG_{escape_id(room)}",
                root=self._videos.root,
                name=self._videos.find(room),
                sampler=Uniform(self._frames),
                licence=self._licence,
            )
            return (), (clip,)
        total, count = len(folder.names), min(self._frames, len(folder.names))
        chosen = [folder.names[(2 * n + 1) * total // (2 * count)] for n in range(count)]
        pictures = [
            ImageRef(
                id=f"SN_IMG_{escape_id(room)}_color_{name.partition('.')[0]}",
                root=self._videos.root,
                name=f"{folder.path}/{name}",
                licence=self._licence,
            )
            for name in chosen
        ]
        return tuple(pictures), ()


def _numbered(folder: Path) -> tuple[str, ...]:
    """List pictures whose names are numbers, in order, one file a number as it is spelled."""
    found: dict[str, tuple[int, str]] = {}
    for name in sorted(path.name for path in folder.iterdir()):
        stem, _, extension = name.partition(".")
        if stem.isascii() and stem.isdigit() and extension.lower() in PICTURES:
            rank = PICTURES.index(extension.lower())
            found[stem] = min(found.get(stem, (rank, name)), (rank, name))
    return tuple(found[stem][1] for stem in sorted(found, key=lambda s: (int(s), s)))
