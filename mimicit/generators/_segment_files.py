"""What the sources of captioned videos share: which file is read, and which times can be."""

import math
from pathlib import Path

from mimicit.errors import SourceError, UsageError

LONGEST = 1_000_000.0
"""Seconds after which nothing happens in a video: whatever is later is no time in seconds."""

NAMES_ONLY = "_ids.json"
"""How files end that list the videos of a split, and say nothing of them."""


def annotation_file(source: str, root: Path | None, chosen: Path | None, ending: str) -> Path:
    """Choose the annotation file: the one that is named, or the only one of a directory.

    Args:
        source: Who asks, for what the user is told.
        root: Directory whose files, and those of its `annotations`, are looked at.
        chosen: The file that the user names.
        ending: How such files end, such as ".json".

    Raises:
        SourceError: there is no such directory, or no such file.
        UsageError: neither is named, or there are several files to choose from.
    """
    if chosen:
        return chosen
    if root is None:
        raise UsageError(f"{source}: name --root DIR, or -o annotations=FILE and -o videos=DIR")
    if not root.is_dir():
        raise SourceError(f"no directory {str(root)!r}")
    found = sorted(
        path
        for folder in (root, root / "annotations")
        for path in folder.glob(f"*{ending}")
        if path.is_file() and not path.name.endswith(NAMES_ONLY)
    )
    if not found:
        raise SourceError(f"no annotation file *{ending} in {str(root)!r}")
    if len(found) > 1:
        listed = "".join(f"\n  -o annotations={path}" for path in found)
        raise UsageError(f"{source}: several annotation files; say which one:{listed}")
    return found[0]


def media_root(source: str, root: Path | None, videos: Path | None) -> Path:
    """Say in which directory the videos are: the one that is named, else `root`.

    Raises:
        UsageError: neither is named.
    """
    found = videos or root
    if found is None:
        raise UsageError(f"{source}: say where the videos are: -o videos=DIR or --root DIR")
    return found


def check_positive(source: str, **options: int) -> None:
    """Check options that count something.

    Raises:
        UsageError: one of them is below 1.
    """
    for name, value in options.items():
        if value < 1:
            raise UsageError(f"{source}: -o {name}=… is 1 or more, not {value}")


def known_duration(duration: float | None) -> float | None:
    """Give a duration that can be one: a number of seconds above 0, else None."""
    return duration if duration and 0 < duration <= LONGEST else None


def cut(start: float, end: float, duration: float | None) -> tuple[float, float] | str:
    """Cut times in seconds to their video, or say why they are none of it.

    Args:
        start: When something begins.
        end: When it is over.
        duration: Length of the video, where it is known.
    """
    if not (math.isfinite(start) and math.isfinite(end)):
        return f"{start} to {end}: not times"
    if start > end:
        return f"{start} to {end}: it ends before it starts"
    if end < 0 or (duration is not None and start >= duration):
        return f"{start} to {end}: outside of the video, which takes {duration} s"
    last = end if duration is None else min(end, duration)
    if last > LONGEST:
        return f"{start} to {end}: no times in a video"
    return max(start, 0.0), last
