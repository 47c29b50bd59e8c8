"""TV captions: moments of TV shows and what happens in them, one scene a moment.

Several moments are cut out of one video, and only a moment's own number is unique.
"""

import bisect
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from mimicit.annotations import Note, Segment
from mimicit.errors import SourceError
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
from mimicit.records import padded, plain, read_lines, records, reject, why
from mimicit.schema import ImageRef, Rejection, Scene

NAME = "tv_captions"

SHOWS = ("castle", "friends", "grey", "house", "met")
"""What the names of videos begin with; those of the sixth show, bbt, begin with the season."""

EVIDENCE = {"v": "seen", "t": "heard", "vt": "seen and heard"}
"""How a describer knows: by the video, by the subtitles, by both."""


class _Description(msgspec.Struct, gc=False):
    """What one describer wrote of a moment."""

    desc: str
    type: str | None = None
    desc_id: int | str | None = None


class _Moment(msgspec.Struct, gc=False):
    """A line of the file."""

    vid_name: str
    ts: tuple[float, float]
    clip_id: int | str
    duration: float | None = None
    descs: list[msgspec.Raw] | None = None


_DESCRIPTION = msgspec.json.Decoder(_Description)


@generator(
    prefix="TVC",
    link="same-group,wider-group,similar-text",
    origin=(
        "TVC's annotations (tvc_train_release.jsonl and others) are at "
        "https://github.com/jayleicn/TVCaption; the videos' frames are TVQA's: "
        "https://nlp.cs.unc.edu/data/jielei/tvqa/tvqa_public_html/download_tvqa.html."
    ),
)
class TvCaptions:
    """Moments of TV shows with descriptions of what happens in them, as in TVC.

    The annotation file is the only *.jsonl of the directory (or of its folder `annotations`), or
    the one that is named. Where the directory has folders such as `friends_frames`, TVQA's frames
    are read (`friends_frames/VIDEO/00001.jpg` and so on, three a second); else videos by their
    names, whatever their extension, in `videos/` and in the directory itself.

    A moment without descriptions, as in the test file, is a scene all the same: a model that sees
    can be asked about it.
    """

    root: Path | None = field(
        default=None, metadata={"help": "Directory with annotations and videos or frames."}
    )
    annotations: Path | None = field(
        default=None, metadata={"help": "The annotation file, where there are several."}
    )
    videos: Path | None = field(
        default=None, metadata={"help": "Directory of the videos, or of the folders of frames."}
    )
    frames: int = field(
        default=8, metadata={"help": "Frames of each moment, evenly spread over it."}
    )
    fps: int = field(default=3, metadata={"help": "Frames a second in folders of frames."})
    licence: str = field(
        default="",
        metadata={"help": "SPDX id or words of the media's licence, where it is the same for all."},
    )

    @staticmethod
    def wider_group(group: str) -> str:
        """Tell the show that a clip is of."""
        return show_of(group)

    def scenes(self) -> Iterator[Scene | Rejection]:
        """Yield one scene a moment, by ascending id, and the lines that were left out."""
        check_positive(NAME, frames=self.frames, fps=self.fps)
        path = annotation_file(NAME, self.root, self.annotations, ".jsonl")
        media = media_root(NAME, self.root, self.videos)
        licence = licence_of(media, self.licence)
        folders = _Folders(media, self.frames, self.fps, licence)
        shots: _Shots = folders
        if not folders.names:
            files = MediaFiles(media, ("videos", ""), VIDEOS)
            shots = _Files(files, self.frames, licence)
        refused: list[Rejection] = []
        moments: list[tuple[str, bytes, _Moment]] = []
        for name, line in read_lines(path):
            for item in records([(name, line)], _Moment, NAME):
                if isinstance(item, Rejection):
                    refused.append(item)
                else:
                    moments.append((padded(item[1].clip_id, 6), line, item[1]))
        moments.sort(key=lambda moment: moment[:2])
        return Counted(_walk(moments, refused, shots), len(moments))


@dataclass(frozen=True, slots=True)
class _Files:
    """Videos as files."""

    files: MediaFiles
    count: int
    licence: str

    def of(
        self, video: str, start: float, end: float, _duration: float | None
    ) -> tuple[tuple[ImageRef, ...], tuple[Clip, ...]]:
        clip = Clip(
            id=f"TVC_IMG_{escape_id(video)}",
            root=self.files.root,
            name=self.files.find(video),
            sampler=Uniform(self.count, start, end),
            licence=self.licence,
        )
        return (), (clip,)


class _Folders:
    """Videos as folders of numbered frames: the first, 00001.jpg, is at 0 seconds."""

    def __init__(self, root: Path, count: int, fps: int, licence: str) -> None:
        if not root.is_dir():
            raise SourceError(f"no directory {str(root)!r}")
        self._root, self._count, self._fps, self._licence = str(root), count, fps, licence
        self.names = {
            path.relative_to(root).as_posix(): frozenset(entry.name for entry in path.iterdir())
            for path in sorted([*root.glob("*_frames"), *root.glob("*/*_frames")])
            if path.is_dir()
        }

    def of(
        self, video: str, start: float, end: float, duration: float | None
    ) -> tuple[tuple[ImageRef, ...], tuple[Clip, ...]]:
        last = math.inf if duration is None else max(math.ceil(duration * self._fps) - 1, 0)
        first = math.ceil(start * self._fps - 1e-6)
        final = min(math.floor(end * self._fps + 1e-6), last)
        if final < first:  # between two frames: the one that is shown then
            first = final = int(min(math.floor(start * self._fps), last))
        there = int(final) - first + 1
        count = min(self._count, there)
        places = [first + (2 * n + 1) * there // (2 * count) for n in range(count)]
        usual = f"{show_of(video)}_frames"
        holding = [name for name, videos in self.names.items() if video in videos]
        folder = (holding or [usual])[0]
        names = [(f"{place + 1:05d}", place) for place in places]
        return tuple(
            ImageRef(
                id=f"TVC_IMG_{escape_id(video)}_{number}",
                root=self._root,
                name=f"{folder}/{video}/{number}.jpg",
                licence=self._licence,
            )
            for number, _ in names
        ), ()


_Shots = _Files | _Folders


def show_of(video: str) -> str:
    """Tell the show by the name of one of its videos."""
    prefix = video.partition("_")[0]
    return prefix if prefix in SHOWS else "bbt"


def _walk(
    moments: list[tuple[str, bytes, _Moment]], refused: list[Rejection], shots: _Shots
) -> Iterator[Scene | Rejection]:
    yield from refused
    last = ""
    for scene_id, line, moment in moments:
        shown = f"moment {moment.clip_id}"
        if not scene_id or not moment.vid_name.strip():
            detail = f"{line[:80].decode(errors='replace')}: it lacks a clip_id or a vid_name"
            yield reject(NAME, "no-image-id", shown, detail, scene_id)
            continue
        if scene_id == last:
            yield reject(NAME, "duplicate-scene", shown, f"of {moment.vid_name}", scene_id)
            continue
        last = scene_id
        yield from _read(scene_id, moment, shots)


def _read(scene_id: str, moment: _Moment, shots: _Shots) -> Iterator[Scene | Rejection]:
    """Make the scene of one moment, after the descriptions of it that say nothing."""
    duration = known_duration(moment.duration)
    times = cut(*moment.ts, duration)
    if isinstance(times, str):
        yield reject(NAME, "bad-times", f"moment {moment.clip_id}", times, scene_id)
        return
    if moment.duration is not None and duration is None:
        detail = f"{moment.duration} is no length of a video"
        yield reject(NAME, "bad-times", "duration", detail, scene_id)
    descriptions: list[_Description] = []
    for item in _descriptions(scene_id, moment):
        if isinstance(item, Rejection):
            yield item
        else:
            bisect.insort(descriptions, item, key=_order)
    images, clips = shots.of(moment.vid_name, *times, duration)
    yield Scene(
        source=NAME,
        id=scene_id,
        prefix="TVC",
        images=images,
        annotations=(
            *(Segment(*times, one.desc) for one in descriptions),
            *(Note("evidence", EVIDENCE.get(one.type or "", "unknown")) for one in descriptions),
        ),
        groups=(escape_id(moment.vid_name), f"show~{show_of(moment.vid_name)}"),
        clips=clips,
    )


def _descriptions(scene_id: str, moment: _Moment) -> Iterator[_Description | Rejection]:
    """Read a moment's descriptions, each text once."""
    said: set[str] = set()
    for number, raw in enumerate(moment.descs or (), 1):
        record = f"description {number}"
        try:
            one = _DESCRIPTION.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            yield reject(NAME, "malformed-record", record, why(error, raw), scene_id)
            continue
        text = plain(one.desc)
        key = text.casefold().rstrip(". ")
        if not text:
            yield reject(NAME, "empty-sentence", record, "no text", scene_id)
        elif key in said:
            yield reject(NAME, "duplicate-segment", record, f"stands there: {text}", scene_id)
        else:
            said.add(key)
            yield msgspec.structs.replace(one, desc=text)


def _order(one: _Description) -> tuple[bool, int, str, str]:
    number = one.desc_id if isinstance(one.desc_id, int) else 0
    named = isinstance(one.desc_id, str)
    return named, number, str(one.desc_id or ""), one.desc
