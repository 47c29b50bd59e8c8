"""Ego4D: first-person videos with narrations, one scene a window of a video.

Three layouts are told apart by their shape, video by video: the official `narration.json` with its
passes, `all_narrations_redacted.json` with one list, and lists of clips with objects.
"""

from collections.abc import Iterator, Sequence
from dataclasses import field
from pathlib import Path

import msgspec

from mimicit.annotations import Narration, Note
from mimicit.errors import UsageError
from mimicit.generators import generator
from mimicit.generators._ego4d_rows import NAME, Told, Video, read_narrations
from mimicit.generators._segment_files import annotation_file, check_positive, media_root
from mimicit.media_files import VIDEOS, MediaFiles, licence_of
from mimicit.moments import Clip, Uniform
from mimicit.names import escape_id
from mimicit.records import Table, read_table, records, reject
from mimicit.schema import Rejection, Scene

FOLDERS = ("full_scale", "v2/full_scale", "v1/full_scale", "clips", "v2/clips", "videos", "")
"""Where Ego4D's downloader puts videos."""


@generator(
    prefix="E4D",
    link="temporal,similar-text",
    origin=(
        "Ego4D is at https://ego4d-data.org: after the licence is signed, its downloader "
        "(https://github.com/facebookresearch/Ego4d) puts annotations/*.json and "
        "full_scale/*.mp4 below v1/ or v2/."
    ),
)
class Ego4d:
    """First-person videos with narrations of what the camera wearer does (Ego4D).

    The annotation file is the only *.json of the directory (or of its folder `annotations`), or
    the one that is named. Videos are found by their ids, whatever their extension, in
    `full_scale/`, `v2/full_scale/`, `clips/`, `videos/` and in the directory itself.

    Windows lie on a fixed grid from the start of the video, so that none depends on which
    narrations there are; those without a narration give no scene.
    """

    root: Path | None = field(
        default=None, metadata={"help": "Directory with annotations and videos."}
    )
    annotations: Path | None = field(
        default=None, metadata={"help": "The annotation file, where there are several."}
    )
    videos: Path | None = field(default=None, metadata={"help": "Directory of the videos."})
    window: int = field(default=16, metadata={"help": "Seconds of a video that make a scene."})
    frames: int = field(
        default=8, metadata={"help": "Frames of each window, evenly spread over it."}
    )
    passes: str = field(
        default="both",
        metadata={"help": "Whose narrations, of the two who wrote for most videos: 1, 2 or both."},
    )
    licence: str = field(
        default="",
        metadata={"help": "SPDX id or words of the media's licence, where it is the same for all."},
    )

    def scenes(self) -> Iterator[Scene | Rejection]:
        """Yield one scene a window, by ascending id, and the narrations that were left out."""
        check_positive(NAME, frames=self.frames, window=self.window)
        if self.passes not in {"1", "2", "both"}:
            raise UsageError(f"{NAME}: -o passes=… is 1, 2 or both, not {self.passes!r}")
        path = annotation_file(NAME, self.root, self.annotations, ".json")
        media = media_root(NAME, self.root, self.videos)
        licence = licence_of(media, self.licence)
        table = read_table(path, "a table of videos", NAME, "videos")
        files = MediaFiles(media, FOLDERS, VIDEOS)
        return self._walk(table, files, licence)

    def _walk(self, table: Table, files: MediaFiles, licence: str) -> Iterator[Scene | Rejection]:
        yield from table.refused
        items = table.items
        for names in _in_order(items):
            scenes: list[Scene] = []
            for item in records([(name, items[name]) for name in names], Video, NAME):
                if isinstance(item, Rejection):
                    yield item
                    continue
                name, video = item
                clip = Clip(f"E4D_IMG_{escape_id(name)}", files.root, files.find(name), Uniform(1))
                for made in self._windows(name, video, clip, licence):
                    if isinstance(made, Scene):
                        scenes.append(made)
                    else:
                        yield made
            yield from sorted(scenes, key=lambda scene: scene.id)

    def _windows(
        self, name: str, video: Video, clip: Clip, licence: str
    ) -> Iterator[Scene | Rejection]:
        """Give the scenes of one video, and what of it was left out."""
        video_id = escape_id(name)
        if not video_id:
            yield reject(NAME, "no-image-id", repr(name), "the video has an empty id")
            return
        told: list[Told] = []
        for item in read_narrations(video_id, video, self.passes):
            if isinstance(item, Told):
                told.append(item)
            else:
                yield item
        windows: dict[int, list[Told]] = {}
        for one in _without_repeats(video_id, told):
            if isinstance(one, Told):
                windows.setdefault(int(one.narration.time // self.window), []).append(one)
            else:
                yield one
        if not windows:
            yield reject(NAME, "no-narrations", name, "nothing is told of it", video_id)
        for number, inside in windows.items():
            start, end = number * self.window, (number + 1) * self.window
            yield Scene(
                source=NAME,
                id=f"{video_id}_{start * 1000:09d}",
                prefix="E4D",
                images=(),
                annotations=_annotations(sorted(inside, key=lambda one: one.order), start, end),
                groups=(video_id,),
                clips=(
                    Clip(
                        id=clip.id,
                        root=clip.root,
                        name=clip.name,
                        sampler=Uniform(self.frames, float(start), float(end)),
                        licence=licence,
                    ),
                ),
            )


def _in_order(names: dict[str, msgspec.Raw]) -> Iterator[list[str]]:
    """Put videos in the order of their scenes' ids: together those whose ids may interleave."""
    together: list[str] = []
    first = ""
    for name in sorted(names, key=lambda name: f"{escape_id(name)}_"):
        spelled = f"{escape_id(name)}_"
        if together and not spelled.startswith(first):
            yield together
            together = []
        first = first if together else spelled
        together.append(name)
    if together:
        yield together


def _annotations(inside: Sequence[Told], start: int, end: int) -> tuple[Narration | Note, ...]:
    """Say what is known of a window; who wrote it only where it was more than one."""
    narrators = {one.narrator for one in inside}
    notes = [Note("start", str(start)), Note("end", str(end))]
    if len(narrators) > 1:
        notes += [Note("narrator", one.narrator) for one in inside]
    return (*(one.narration for one in inside), *notes)


def _without_repeats(video_id: str, told: list[Told]) -> Iterator[Told | Rejection]:
    """Leave out what a narrator tells twice of one time.

    What another narrator tells too stays: without it, what one of them tells would have gaps, and
    what comes after what would not be known.
    """
    kept: dict[tuple[str, float, str, str], Told] = {}
    for one in sorted(told, key=lambda one: (one.narrator, one.order)):
        time = one.narration.time
        twin = kept.setdefault((one.narrator, time, *one.words), one)
        if twin is one:
            yield one
            continue
        detail = f"told already at {time} s ({twin.record}): {one.narration.text}"
        yield reject(NAME, "duplicate-narration", one.record, detail, video_id)
