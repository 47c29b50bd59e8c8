"""Cutting frames out of one video, in a child process: decoded once, encoded once, judged.

A frame is kept as JPEG under the digest of its bytes, in a folder that builds share, and from then
on it is a picture like any other.
"""

import gc
import hashlib
import io
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from mimicit.images import UnusablePicture, examine
from mimicit.moments import SAMPLERS, Sampler, choose
from mimicit.video import Frame, Video, open_video

JPEG_QUALITY = 92
"""Quality of a frame's one and only compression."""

MAX_FILE_BYTES = 64 * 2**30
"""Largest video that is read."""


@dataclass(frozen=True, slots=True)
class VideoTask:
    """What is cut out of which video.

    Attributes:
        path: The file.
        samplers: Which moments, any number of times.
        folder: Where the frames go.
    """

    path: str
    samplers: tuple[Sampler, ...]
    folder: str

    def to_json(self) -> dict[str, Any]:
        """Spell it for another process."""
        return {"path": self.path, "samplers": spell(self.samplers), "folder": self.folder}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "VideoTask":
        """Read what `to_json` spelled."""
        samplers = tuple(_sampler(*spelled) for spelled in value["samplers"])
        return cls(value["path"], samplers, value["folder"])


def _sampler(name: str, values: dict[str, Any]) -> Sampler:
    kind: Callable[..., Sampler] = SAMPLERS[name]
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


def spell(samplers: Sequence[Sampler]) -> list[tuple[str, dict[str, Any]]]:
    """Spell samplers as names and values."""
    names = {kind: name for name, kind in SAMPLERS.items()}
    return [(names[type(sampler)], asdict(sampler)) for sampler in samplers]


@dataclass(frozen=True, slots=True)
class FrameInfo:
    """A frame that was cut out, as it lies in the folder.

    Attributes:
        time: Presentation time in seconds as a fraction, the first frame's being 0.
        pts: The same in the stream's own ticks.
        time_base: Seconds a tick, as a fraction.
        sha256: Digest of the JPEG, which is also its name.
        phash: Perceptual hash of it.
        descriptor: What finds its copies, as `ImageInfo.descriptor`.
        width: Pixels, upright and square.
        height: Pixels.
        highlights: Brightness (0 to 255) that 98 of 100 pixels do not exceed.
        tone_mapped: It was brought down from high dynamic range.
    """

    time: str
    pts: int
    time_base: str
    sha256: str
    phash: str
    descriptor: bytes
    width: int
    height: int
    highlights: int
    tone_mapped: bool


@dataclass(frozen=True, slots=True)
class Pick:
    """Which frame a moment has: its place among the frames, and whether it is the moment's own."""

    moment: float
    frame: int
    own: bool


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What came of cutting frames out of a video; `problem` is empty if it could be read.

    Attributes:
        sha256: Digest of the video's file.
        decoder: What decoded it, with its version.
        checked: The decoder finds damage out.
        damaged: Something in the file did not decode, or is missing.
        frames: Every frame that a sampler chose, once, in order of time.
        picks: For each sampler, the frames of its moments, in its order.
        missing: For each sampler, the moments that have no frame.
        late: For each sampler, the moments that lie after the video's end.
        duration: End of the last frame in seconds.
        problem: Why no frame could be cut out, or "".
        detail: What was found, in words, where there is a problem.
    """

    sha256: str = ""
    decoder: str = ""
    checked: bool = True
    damaged: bool = False
    frames: tuple[FrameInfo, ...] = ()
    picks: tuple[tuple[Pick, ...], ...] = ()
    missing: tuple[tuple[float, ...], ...] = ()
    late: tuple[tuple[float, ...], ...] = ()
    duration: float = 0.0
    problem: str = ""
    detail: str = ""

    def to_json(self) -> dict[str, Any]:
        """Spell it for another process, or for a cache."""
        value = asdict(self)
        for frame in value["frames"]:
            frame["descriptor"] = frame["descriptor"].hex()
        return value

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "VideoInfo":
        """Read what `to_json` spelled."""
        nested = {
            "frames": tuple(
                FrameInfo(**{**frame, "descriptor": bytes.fromhex(frame["descriptor"])})
                for frame in value["frames"]
            ),
            "picks": tuple(tuple(Pick(**pick) for pick in picks) for picks in value["picks"]),
            "missing": tuple(map(tuple, value["missing"])),
            "late": tuple(map(tuple, value["late"])),
        }
        return cls(**{**value, **nested})


def frame_path(folder: str | Path, sha256: str) -> Path:
    """Say where a frame lies."""
    return Path(folder) / sha256[:2] / f"{sha256}.jpg"


def sample(task: VideoTask, beat: Callable[[], None]) -> VideoInfo:
    """Cut out the frames that some samplers choose; what is wrong stands in `problem`.

    Args:
        task: Which video, which moments, where to.
        beat: Called as long as it gets on.

    Raises:
        OSError: a frame cannot be written.
    """
    try:
        digest = _digest(Path(task.path), beat)
        video = open_video(Path(task.path), beat=beat)
    except UnusablePicture as error:
        return VideoInfo(problem=error.reason, detail=error.detail)
    except OSError as error:
        return VideoInfo(problem="unreadable-file", detail=error.strerror or "")
    try:
        return _sampled(video, digest, task)
    except UnusablePicture as error:
        return VideoInfo(sha256=digest, problem=error.reason, detail=error.detail)
    finally:
        video.close()
        gc.collect()  # a frame or two are part of cycles, and large


def _digest(path: Path, beat: Callable[[], None]) -> str:
    if path.stat().st_size > MAX_FILE_BYTES:
        raise UnusablePicture("file-too-large", f"more than {MAX_FILE_BYTES:,} bytes")
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(8 * 2**20):
            digest.update(chunk)
            beat()
    return digest.hexdigest()


@dataclass(slots=True)
class _Cut:
    """The frames that came so far, and which moment each is for."""

    frames: dict[int, FrameInfo] = field(default_factory=dict)
    shown: dict[float, tuple[int, bool]] = field(default_factory=dict)

    def add(self, frame: Frame, folder: str) -> None:
        if frame.pts not in self.frames:
            self.frames[frame.pts] = _keep(frame, folder)
        self.shown |= dict.fromkeys(frame.moments, (frame.pts, True))
        self.shown |= dict.fromkeys(frame.instead_of, (frame.pts, False))


def _sampled(video: Video, digest: str, task: VideoTask) -> VideoInfo:
    line = video.timeline
    try:
        chosen = [choose(sampler, line.duration, line.keyframes) for sampler in task.samplers]
    except ValueError as error:
        raise UnusablePicture("too-many-frames", str(error)) from error
    cut = _Cut()
    for frame in video.frames([moment for inside, _ in chosen for moment in inside]):
        cut.add(frame, task.folder)
    order = sorted(cut.frames)
    places = {pts: place for place, pts in enumerate(order)}
    return VideoInfo(
        sha256=digest,
        decoder=video.decoder,
        checked=video.checked,
        damaged=video.damaged,
        frames=tuple(cut.frames[pts] for pts in order),
        picks=tuple(
            tuple(
                Pick(moment, places[cut.shown[moment][0]], cut.shown[moment][1])
                for moment in inside
                if moment in cut.shown
            )
            for inside, _ in chosen
        ),
        missing=tuple(tuple(m for m in inside if m not in cut.shown) for inside, _ in chosen),
        late=tuple(tuple(late) for _, late in chosen),
        duration=float(line.duration),
    )


def _keep(frame: Frame, folder: str) -> FrameInfo:
    """Encode a frame, judge what was encoded, and put it into the folder."""
    file = io.BytesIO()
    frame.picture.save(file, "JPEG", quality=JPEG_QUALITY)
    data = file.getvalue()
    info = examine("", data)
    path = frame_path(folder, info.sha256)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}")
        part.write_bytes(data)
        part.replace(path)
    return FrameInfo(
        time=str(frame.time),
        pts=frame.pts,
        time_base=str(frame.time_base),
        sha256=info.sha256,
        phash=info.phash,
        descriptor=info.descriptor,
        width=info.width,
        height=info.height,
        highlights=_highlights(frame.picture),
        tone_mapped=frame.tone_mapped,
    )


def _highlights(picture: Image.Image) -> int:
    counts = picture.reduce(4).convert("L").histogram()
    left = sum(counts) * 98 / 100
    for value, count in enumerate(counts):
        left -= count
        if left <= 0:
            return value
    return 255
