"""Dense captions: videos with sentences for their segments, one scene a video.

Two layouts are told apart by their shape: ActivityNet Captions (a table of videos, with parallel
lists of times and sentences) and YouCook2 (`database`, with a list of annotations a video).
"""

from collections.abc import Iterator
from dataclasses import field
from pathlib import Path

import msgspec

from mimicit.annotations import Note, Segment
from mimicit.generators import generator
from mimicit.generators._segment_files import (
    annotation_file,
    check_positive,
    cut,
    known_duration,
    media_root,
)
from mimicit.media_files import VIDEOS, MediaFiles, licence_of
from mimicit.moments import Clip, Uniform
from mimicit.names import escape_id
from mimicit.progress import Counted
from mimicit.records import plain, read_table, records, reject, why
from mimicit.schema import Rejection, Scene

NAME = "dense_captions"


class _Parallel(msgspec.Struct, gc=False):
    """A video of ActivityNet Captions."""

    timestamps: list[msgspec.Raw]
    sentences: list[msgspec.Raw]
    duration: float | None = None


class _Recipe(msgspec.Struct, gc=False):
    """A video of YouCook2."""

    annotations: list[msgspec.Raw] | None = None
    duration: float | None = None
    subset: str | None = None
    recipe_type: str | int | None = None


class _Step(msgspec.Struct, gc=False):
    """An annotation of a YouCook2 video."""

    segment: tuple[float, float]
    sentence: str


_TIMES = msgspec.json.Decoder(tuple[float, float], strict=False)
_TEXT = msgspec.json.Decoder(str)
_STEP = msgspec.json.Decoder(_Step, strict=False)

_Video = tuple[str, _Parallel | _Recipe]


@generator(
    prefix="DC",
    link="same-group,similar-text",
    origin=(
        "ActivityNet Captions (captions.zip: train.json, val_1.json, val_2.json) is at "
        "https://cs.stanford.edu/people/ranjaykrishna/densevid/, its videos are on YouTube; "
        "YouCook2 is at http://youcook2.eecs.umich.edu/."
    ),
)
class DenseCaptions:
    """Videos with a sentence for each of their segments: ActivityNet Captions, YouCook2.

    The annotation file is the only *.json of the directory (or of its folder `annotations`), or
    the one that is named. Videos are found by their ids, whatever their extension, in `videos/`
    and in the directory itself; those of YouCook2 also in `raw_videos/SUBSET/RECIPE/`.

    A segment that runs past the end of its video is cut to it. One that ends before it starts is
    turned round where both times lie within a video whose length is known: the two were swapped.
    """

    root: Path | None = field(
        default=None, metadata={"help": "Directory with annotations and videos."}
    )
    annotations: Path | None = field(
        default=None, metadata={"help": "The annotation file, where there are several."}
    )
    videos: Path | None = field(default=None, metadata={"help": "Directory of the videos."})
    frames: int = field(
        default=16, metadata={"help": "Frames of each video, evenly spread over it."}
    )
    subset: str = field(
        default="",
        metadata={"help": "Which subset of YouCook2, such as validation; all where it is empty."},
    )
    licence: str = field(
        default="",
        metadata={"help": "SPDX id or words of the media's licence, where it is the same for all."},
    )

    def scenes(self) -> Iterator[Scene | Rejection]:
        """Yield one scene a video, by ascending id, and the segments that were left out."""
        check_positive(NAME, frames=self.frames)
        path = annotation_file(NAME, self.root, self.annotations, ".json")
        media = media_root(NAME, self.root, self.videos)
        licence = licence_of(media, self.licence)
        table = read_table(path, "a table of videos", NAME, "database")
        kind: type[_Parallel | _Recipe] = _Recipe if table.inside else _Parallel
        refused = [*table.refused]
        videos: list[_Video] = []
        for item in records(table.items.items(), kind, NAME):
            if isinstance(item, Rejection):
                refused.append(item)
            elif not (self.subset and getattr(item[1], "subset", "") != self.subset):
                videos.append(item)
        files = MediaFiles(media, _folders(videos), VIDEOS)
        return Counted(self._walk(videos, refused, files, licence), len(videos))

    def _walk(
        self, videos: list[_Video], refused: list[Rejection], files: MediaFiles, licence: str
    ) -> Iterator[Scene | Rejection]:
        yield from sorted(refused, key=lambda item: item.record)
        for name, video in sorted(videos, key=lambda item: escape_id(item[0])):
            scene_id = escape_id(name)
            if not scene_id:
                yield reject(NAME, "no-image-id", repr(name), "the video has an empty id")
                continue
            duration = known_duration(video.duration)
            if video.duration is not None and duration is None:
                detail = f"{video.duration} is no length of a video"
                yield reject(NAME, "bad-times", "duration", detail, scene_id)
            segments: list[Segment] = []
            for item in _segments(scene_id, video, duration):
                if isinstance(item, Segment):
                    segments.append(item)
                else:
                    yield item
            if not segments:
                yield reject(NAME, "no-segments", name, "nothing is said of it", scene_id)
                continue
            # A stable sort: of what starts at once, the author's order is kept.
            segments.sort(key=lambda segment: segment.start)
            told = [Note("duration", f"{round(duration, 2):.12g}")] if duration else []
            told += [Note("sentences", "steps of a recipe")] if isinstance(video, _Recipe) else []
            recipe = _kind(video) if isinstance(video, _Recipe) else ""
            clip = Clip(
                id=f"DC_IMG_{scene_id}",
                root=files.root,
                name=files.find(name),
                sampler=Uniform(self.frames),
                licence=licence,
            )
            yield Scene(
                source=NAME,
                id=scene_id,
                prefix="DC",
                images=(),
                annotations=(*segments, *told),
                groups=(scene_id, f"recipe~{escape_id(recipe)}") if recipe else (scene_id,),
                clips=(clip,),
            )


def _kind(recipe: _Recipe) -> str:
    """Give the number that YouCook2 has for what is cooked, or ""."""
    return "" if recipe.recipe_type is None else str(recipe.recipe_type)


def _folders(videos: list[_Video]) -> list[str]:
    """List the folders that may hold the videos, by what the records say and in a fixed order."""
    recipes = {
        f"raw_videos/{escape_id(video.subset)}/{escape_id(_kind(video))}"
        for _, video in videos
        if isinstance(video, _Recipe) and video.subset and _kind(video)
    }
    return ["videos", "", *sorted(name for name in recipes if ".." not in name)]


def _segments(
    scene_id: str, video: _Parallel | _Recipe, duration: float | None
) -> Iterator[Segment | Rejection]:
    """Read a video's segments in the author's order, and say which of them cannot be used."""
    if isinstance(video, _Parallel) and len(video.timestamps) != len(video.sentences):
        counts = f"{len(video.timestamps)} times and {len(video.sentences)} sentences"
        detail = f"{counts}: which belong together cannot be known"
        yield reject(NAME, "uneven-lists", "segments", detail, scene_id)
        return
    seen: set[Segment] = set()
    for number, raw in enumerate(_raw(video), 1):
        record = f"segment {number}"
        try:
            start, end, text = _decoded(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            yield reject(NAME, "malformed-record", record, why(error, raw[-1]), scene_id)
            continue
        if not text:
            yield reject(NAME, "empty-sentence", record, f"{start} to {end}: no text", scene_id)
            continue
        if duration is not None and 0 <= end < start <= duration:
            start, end = end, start
        times = cut(start, end, duration)
        if isinstance(times, tuple) and times[0] == times[1]:
            times = f"{start} to {end}: it takes no time"
        if isinstance(times, str):
            yield reject(NAME, "bad-times", record, f"{times}: {text}", scene_id)
            continue
        segment = Segment(*times, text)
        if segment in seen:
            yield reject(
                NAME, "duplicate-segment", record, f"stands there already: {text}", scene_id
            )
            continue
        seen.add(segment)
        yield segment


def _raw(video: _Parallel | _Recipe) -> list[tuple[msgspec.Raw, ...]]:
    if isinstance(video, _Recipe):
        return [(annotation,) for annotation in video.annotations or ()]
    return list(zip(video.timestamps, video.sentences, strict=True))


def _decoded(raw: tuple[msgspec.Raw, ...]) -> tuple[float, float, str]:
    if len(raw) == 1:
        step = _STEP.decode(raw[0])
        return *step.segment, plain(step.sentence)
    return *_TIMES.decode(raw[0]), plain(_TEXT.decode(raw[1]))
