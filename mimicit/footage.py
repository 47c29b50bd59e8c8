"""The videos of a build: cut once each, however many scenes name them."""

import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path

from mimicit import video
from mimicit.boxes import FrameVerdict
from mimicit.decoding import Decoder, Decoders
from mimicit.errors import UsageError
from mimicit.frames import (
    JPEG_QUALITY,
    FrameInfo,
    VideoInfo,
    VideoTask,
    frame_path,
    spell,
)
from mimicit.images import UnusablePicture, resolve
from mimicit.media_cache import MACHINE, MediaCache
from mimicit.moments import Clip, Sampler, frame_id
from mimicit.names import published_path
from mimicit.progress import Counted, Track
from mimicit.schema import ImageInfo, ImageRef, Rejection, Scene, SourceRef

DARK = 26
"""Brightness (of 255) below which 98 of 100 pixels of a near-black frame lie: FFmpeg's
`blackdetect` takes 0.10 and 0.98."""

DUPLICATE_BITS = 1
"""Bits of the perceptual hash by which a frame may differ from the last one and be the same."""


@dataclass(slots=True)
class _Video:
    """A video: which moments are wanted of it, and what came of that."""

    root: str
    name: str
    samplers: dict[Sampler, int] = field(default_factory=dict)
    path: Path = Path()
    options: str = ""
    info: VideoInfo = field(default_factory=VideoInfo)
    stand_ins: dict[int, set[float]] = field(default_factory=dict)


class Footage:
    """All videos that scenes name, and the frames that were cut out of them.

    Args:
        cache: Where frames go, and verdicts on videos that were cut before.
        skip: What frames are left out: `dark`, `duplicate`.
    """

    def __init__(self, cache: MediaCache, skip: Collection[str]) -> None:
        self._cache = cache
        self._skip = skip
        self._videos: dict[tuple[str, str], _Video] = {}

    def add(self, clip: Clip) -> None:
        """Note that a clip is wanted."""
        key = clip.root, clip.name
        found = self._videos.setdefault(key, _Video(*key))
        found.samplers.setdefault(clip.sampler, len(found.samplers))

    def cut(self, decoders: Decoders, track: Track) -> None:
        """Cut every video that is not in the cache, on all cores.

        Raises:
            UsageError: there are videos, and no decoder of videos is installed.
        """
        if not self._videos:
            return
        if not video.decoders():
            raise UsageError(
                "the source has videos, and no decoder of videos is installed: "
                "pip install 'mimicit[video]'"
            )
        decoder = video.version_of(video.decoders()[0])
        versions = [decoder, f"pillow {version('pillow')}", JPEG_QUALITY]

        def judge(child: Decoder, wanted: _Video) -> None:
            stamp = self._cache.stamp(wanted.path)
            task = VideoTask(str(wanted.path), tuple(wanted.samplers), str(self._cache.frames))
            wanted.info = child.sample(task)
            if wanted.info.problem not in MACHINE:
                self._cache.put(wanted.path, wanted.options, stamp, wanted.info.to_json())

        everything = Counted(iter(self._videos.values()), len(self._videos))
        uncut = (v for v in track(everything, "frames", "videos") if not self._known(v, versions))
        for _ in decoders.each(uncut, judge):
            pass
        for each in self._videos.values():
            for pick in (pick for picks in each.info.picks for pick in picks if not pick.own):
                each.stand_ins.setdefault(pick.frame, set()).add(pick.moment)

    def _known(self, wanted: _Video, versions: Sequence[object]) -> bool:
        """Look for what is known of a video, or cannot be known."""
        try:
            wanted.path = resolve(ImageRef("", wanted.root, wanted.name))
        except UnusablePicture as error:
            wanted.info = VideoInfo(problem=error.reason, detail=error.detail)
            return True
        wanted.options = json.dumps(["video", spell(tuple(wanted.samplers)), versions])
        known = self._cache.get(wanted.path, wanted.options)
        if known is None:
            return False
        wanted.info = VideoInfo.from_json(known)
        folder = self._cache.frames
        return all(frame_path(folder, frame.sha256).exists() for frame in wanted.info.frames)

    def pictures(
        self, scene: Scene, clip: Clip
    ) -> tuple[list[tuple[ImageRef, ImageInfo]], list[Rejection]]:
        """Make pictures of a clip's frames, in order of time, each once.

        Returns:
            The pictures, none where there are fewer than the clip's minimum; and what there is to
            be told: moments without a frame of their own, frames that were left out.

        Raises:
            KeyError: the clip was not there in the media pass.
        """
        found = self._videos[clip.root, clip.name]
        if found.info.problem:
            problem = scene.reject("media", found.info.problem, clip.id, found.info.detail)
            return [], [problem]
        number = found.samplers[clip.sampler]
        told = list(self._told(scene, clip, found.info, number))
        kept: list[int] = []
        for place in sorted({pick.frame for pick in found.info.picks[number]}):
            frame = found.info.frames[place]
            last = found.info.frames[kept[-1]] if kept else None
            why = self._left_out(frame, last)
            if why:
                name = frame_id(clip.id, Fraction(frame.time))
                told.append(scene.reject("media", why[0], name, why[1]))
            else:
                kept.append(place)
        if len(kept) < clip.minimum:
            detail = f"{len(kept)} frames, and it takes {clip.minimum}"
            told.append(scene.reject("media", "too-few-frames", clip.id, detail))
            return [], told
        return [self._picture(clip, found, place) for place in kept], told

    def _told(self, scene: Scene, clip: Clip, info: VideoInfo, number: int) -> Iterator[Rejection]:
        for pick in info.picks[number]:
            if not pick.own:
                time = float(Fraction(info.frames[pick.frame].time))
                detail = f"the frame of {time:.3f} s, the nearest that decodes, stands for it"
                yield scene.reject("media", "undecodable-moment", _at(clip, pick.moment), detail)
        for moment in info.missing[number]:
            detail = "no frame near it decodes either"
            yield scene.reject("media", "undecodable-moment", _at(clip, moment), detail)
        for moment in info.late[number]:
            detail = f"the video ends at {info.duration:.3f} s"
            yield scene.reject("media", "after-the-end", _at(clip, moment), detail)

    def _left_out(self, frame: FrameInfo, last: FrameInfo | None) -> tuple[str, str] | None:
        if "dark" in self._skip and frame.highlights < DARK:
            return "dark-frame", f"98 of 100 pixels are no brighter than {frame.highlights} of 255"
        if "duplicate" in self._skip and last:
            bits = (int(frame.phash, 16) ^ int(last.phash, 16)).bit_count()
            if bits <= DUPLICATE_BITS:
                time = float(Fraction(last.time))
                return "duplicate-frame", f"looks like the one of {time:.3f} s"
        return None

    def _picture(self, clip: Clip, found: _Video, place: int) -> tuple[ImageRef, ImageInfo]:
        info, frame = found.info, found.info.frames[place]
        time = Fraction(frame.time)
        notes = {
            "damaged-video": info.damaged,
            "tone-mapped": frame.tone_mapped,
            "unchecked": not info.checked,
        }
        origin = SourceRef(
            path=published_path(clip.name),
            sha256=info.sha256,
            time=float(time),
            pts=frame.pts,
            time_base=frame.time_base,
            decoder=info.decoder,
            jpeg_quality=JPEG_QUALITY,
            notes=[note for note, holds in notes.items() if holds],
            instead_of=sorted(found.stand_ins.get(place, ())),
        )
        name = frame_id(clip.id, time)
        folder = self._cache.frames
        path = frame_path(folder, frame.sha256).relative_to(folder).as_posix()
        ref = ImageRef(name, str(folder), path, licence=clip.licence, origin=origin)
        content = f"{info.sha256} {frame.pts} {frame.time_base}"
        judged = FrameVerdict(
            id=name,
            sha256=frame.sha256,
            content=hashlib.sha256(content.encode()).hexdigest(),
            phash=frame.phash,
            descriptor=frame.descriptor,
            width=frame.width,
            height=frame.height,
            format="JPEG",
            media_type="image/jpeg",
            video_length=info.duration,
        )
        return ref, judged


def _at(clip: Clip, moment: float) -> str:
    return f"{clip.id} at {moment:.3f} s"
