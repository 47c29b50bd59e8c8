"""Ids of pictures that no store has, and the known mistakes that such ids are made by.

An id is mended only where exactly one of the ids that it may stand for is in the stores: nothing is
guessed. Sources: https://github.com/Luodian/Otter/issues/172, /228, /329.
"""

import re
from collections.abc import Iterator

DOUBLED, NO_SCAN, TOO_LONG, BARE = "doubled-name", "no-scan", "16-digit-id", "no-prefix"

MISTAKES = {
    DOUBLED: "the name of its clip stands twice",
    NO_SCAN: "its scene lacks the number of the scan",
    TOO_LONG: "it has 16 digits in place of 12",
    BARE: "it has no prefix",
}
"""What may be wrong with an id, in words."""

_CLIP = r"s\d+e\d+_seg\d+_clip_\d+"
_DOUBLED = re.compile(
    rf"TVC_IMG_(?:([a-z]+)_)?({_CLIP})_(?:([a-z]+)_)?\2_(\d+)", re.ASCII | re.DOTALL
)
_NO_SCAN = re.compile(r"SN_IMG_(scene\d{4})_color_(\d+)", re.ASCII)
_TOO_LONG = re.compile(r"CGD_IMG_0000(\d{12})", re.ASCII)
_BARE = re.compile(r"\d{12}", re.ASCII)

SCANS = 100
"""Scans that a scene of ScanNet may have: their numbers have two digits. The first was published.

https://github.com/Luodian/Otter, `mimic-it/convert-it/datasets/utils/scene_navigation_utils.py`.
"""

SHOWLESS = "bbt"
"""The show whose clips have names without it."""


def candidates(name: str) -> Iterator[tuple[str, str]]:
    """Give what an id may stand for, each with the mistake that made this id of it.

    The mistake is "" for what was not published, and was meant by none if by anybody: where there
    is one of these, that is a doubt more.
    """
    if found := _DOUBLED.fullmatch(name):
        before, clip, between, frame = found.groups()
        shows = {before, between} - {None}
        if len(shows) == 1:
            yield DOUBLED, f"TVC_IMG_{min(shows)}_{clip}_{frame}"
        if shows <= {SHOWLESS}:  # of any other show a clip of this name is another show's
            yield DOUBLED, f"TVC_IMG_{clip}_{frame}"
    elif found := _NO_SCAN.fullmatch(name):
        for scan in range(SCANS):
            yield "" if scan else NO_SCAN, f"SN_IMG_{found[1]}_{scan:02d}_color_{found[2]}"
    elif found := _TOO_LONG.fullmatch(name):
        yield TOO_LONG, f"CGD_IMG_{found[1]}"
    elif _BARE.fullmatch(name):
        for prefix in ("LA", "LA_00", "CGD"):
            yield BARE, f"{prefix}_IMG_{name}"
