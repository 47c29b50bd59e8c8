"""The pictures of a dataset as trainers read them: `Image.open(file).convert("RGB")`, no more.

Trainers turn no picture upright, put none on white and scale none from 16 bits. So a picture that
would look wrong that way is encoded anew; all others leave byte for byte as they are stored.
"""

import hashlib
import io
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from mimicit import metadata
from mimicit.errors import SourceError
from mimicit.image_store import ImageStore
from mimicit.images import FORMATS, UnusablePicture, opened
from mimicit.pixels import JPEG_QUALITY, JPEG_SIDE, as_jpeg, on_white, shrunk
from mimicit.stored import LOSSY, SALVAGED_QUALITY

SUFFIXES: Mapping[str, str] = {"JPEG": "jpg", "MPO": "jpg", "PNG": "png", "WEBP": "webp"}
"""Formats that every trainer reads, with the ending of their files; of an MPO, which is a JPEG with
more behind it, they show the first picture."""

PLAIN_MODES = frozenset(("1", "L", "P", "RGB"))
"""Pillow's modes that `convert("RGB")` shows as they are."""

NAME_BYTES = 255
"""Length of a file's name at most, on every common file system."""

REMEMBERED = 100_000
"""Pictures of which it is remembered that they are right as they are: many are shown often."""


@dataclass(frozen=True, slots=True)
class Exported:
    """A picture's file for a trainer.

    Attributes:
        data: The file.
        suffix: Ending of its name: `jpg`, `png` or `webp`.
        changed: Whether it is not the stored one.
    """

    data: bytes
    suffix: str
    changed: bool


class Pictures:
    """Reads the pictures of a dataset for trainers.

    Args:
        store: The pictures.
        max_side: Longest side in pixels; 0 for a picture's own size.

    Attributes:
        changed: Ids of the pictures that had to be encoded anew, among those that were read.
    """

    def __init__(self, store: ImageStore, max_side: int = 0) -> None:
        self.changed: set[str] = set()
        self._store, self._max_side = store, max_side
        self._right: dict[str, str] = {}

    def read(self, image_id: str) -> Exported:
        """Read one.

        Raises:
            SourceError: it is not in the dataset, or damaged.
        """
        try:
            data = self._store.read(image_id)
            if image_id in self._right:
                return Exported(data, self._right[image_id], changed=False)
            found = for_trainers(data, self._max_side)
        except KeyError:
            raise SourceError(f"the dataset has no picture {image_id!r}") from None
        except UnusablePicture as error:
            raise SourceError(f"picture {image_id!r} cannot be decoded: {error.detail}") from error
        if found.changed:
            self.changed.add(image_id)
        else:
            if len(self._right) >= REMEMBERED:
                self._right.clear()
            self._right[image_id] = found.suffix
        return found


class EncodedOnce:
    """Reads pictures that are shown again and again, and encodes none of them twice.

    What was encoded waits in a file without a name, which is gone when this is closed or the
    process ends; memory holds the ids of these pictures.

    Args:
        pictures: Where they come from.
        folder: A directory on a disk with room for those that change.
    """

    def __init__(self, pictures: Pictures, folder: Path) -> None:
        self._pictures = pictures
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # `close` does
        self._places: dict[str, tuple[str, int, int]] = {}

    def read(self, image_id: str) -> Exported:
        """Read one.

        Raises:
            SourceError: it is not in the dataset, or damaged.
        """
        if image_id in self._places:
            suffix, start, length = self._places[image_id]
            self._file.seek(start)
            return Exported(self._file.read(length), suffix, changed=True)
        made = self._pictures.read(image_id)
        if made.changed:
            start = self._file.seek(0, io.SEEK_END)
            self._file.write(made.data)
            self._places[image_id] = made.suffix, start, len(made.data)
        return made

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def for_trainers(data: bytes, max_side: int = 0) -> Exported:
    """Make a picture's file one that every trainer shows right: `data` itself where that will do.

    Args:
        data: The file.
        max_side: Longest side in pixels; 0 for any.

    Raises:
        UnusablePicture: it does not decode.
    """
    suffix = _shown_right(data, max_side)
    if suffix:
        return Exported(data, suffix, changed=False)
    picture = opened(data).picture
    lossy = picture.format in LOSSY and not picture.has_transparency_data
    profile = picture.info.get("icc_profile") or b""
    resized = 0 < max_side < max(picture.size)
    shown = shrunk(on_white(picture), max_side)
    if lossy and max(shown.size) <= JPEG_SIDE:
        quality = JPEG_QUALITY if resized else SALVAGED_QUALITY
        colours = profile if profile[16:20] == b"RGB " else b""
        return Exported(as_jpeg(shown, quality, colours), "jpg", changed=True)
    file = io.BytesIO()
    shown.info = {}
    shown.save(file, "PNG")
    return Exported(file.getvalue(), "png", changed=True)


def _shown_right(data: bytes, max_side: int) -> str:
    """Give the ending of a file that looks right as it is, by its header alone; else ""."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # EXIF oddities and large sizes: judged when built
            picture = Image.open(io.BytesIO(data), formats=FORMATS)
            # The EXIF of a PNG may stand behind its pixels, where it is not seen yet.
            late = picture.format == "PNG" and b"eXIf" in data
            right = (
                picture.mode in PLAIN_MODES
                and not picture.has_transparency_data
                and (picture.format == "MPO" or getattr(picture, "n_frames", 1) == 1)
                and not late
                and metadata.orientation(picture) == 1
                and not 0 < max_side < max(picture.size)
            )
    except Exception:  # noqa: BLE001  # whatever reading a header raises: `opened` says it in words
        return ""
    return SUFFIXES.get(picture.format or "", "") if right else ""


def file_name(image_id: str, suffix: str) -> str:
    """Give the place of a picture's file below an export's `images`: `3f/LA_IMG_….jpg`.

    256 folders, so that none is too full for a file system; which one hangs on the id alone. An id
    that is too long for a name, as those of paths in other scripts are, ends with its digest.
    """
    digest = hashlib.sha256(image_id.encode()).hexdigest()
    room = NAME_BYTES - len(suffix) - 1
    stem = image_id if len(image_id) <= room else f"{image_id[: room - 65]}~{digest}"
    return f"{digest[:2]}/{stem}.{suffix}"


class PictureFiles:
    """Writes pictures as files, each once.

    Args:
        pictures: Where they come from.
        folder: Where they go.
    """

    def __init__(self, pictures: Pictures, folder: Path) -> None:
        self._pictures, self._folder = pictures, folder
        self._written: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._written)

    def name(self, image_id: str) -> str:
        """Write a picture, if it is not there yet; give its name below the folder.

        Raises:
            SourceError: it is not in the dataset, or damaged.
            MimicitError: the file system cannot tell its name from that of another.
        """
        if image_id not in self._written:
            made = self._pictures.read(image_id)
            name = file_name(image_id, made.suffix)
            path = self._folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with path.open("xb") as file:
                    file.write(made.data)
            except FileExistsError as error:
                raise SourceError(
                    f"{name!r} is there already: this file system does not tell names apart by "
                    "upper and lower case; export to another one"
                ) from error
            self._written[image_id] = name
        return self._written[image_id]
