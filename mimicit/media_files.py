"""Finding files that annotations name without an extension, and the licence of all of them."""

from collections.abc import Sequence
from pathlib import Path

from mimicit.errors import SourceError

PICTURES = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "avif")
VIDEOS = (
    *("mp4", "mkv", "webm", "avi", "mov", "m4v", "mpg", "mpeg", "ts", "ogv", "flv", "wmv", "gif"),
)
"""Extensions in the order in which they are preferred, lower case."""


class MediaFiles:
    """Files below a directory by their stem: what stands before the last dot of the name.

    Each directory is listed once. Of several files of one stem the first counts, by the order of
    the folders, then of the extensions.

    Args:
        root: Directory the user named.
        folders: Folders below it that may hold the files; those that are not there are passed
            over. "" is `root` itself.
        extensions: Which files, in the order of preference.

    Raises:
        SourceError: there is no such directory.
    """

    def __init__(self, root: Path, folders: Sequence[str], extensions: Sequence[str]) -> None:
        if not root.is_dir():
            raise SourceError(f"no directory {str(root)!r}")
        self.root = str(root)
        self._extension = extensions[0]
        self._by_stem: dict[str, str] = {}
        ranks = {extension: rank for rank, extension in enumerate(extensions)}
        there = [folder for folder in dict.fromkeys(folders) if (root / folder).is_dir()]
        self._folder = there[0] if there else ""
        for folder in there:
            found: dict[str, tuple[int, str]] = {}
            for name in sorted(path.name for path in (root / folder).iterdir()):
                stem, _, extension = name.rpartition(".")
                rank = ranks.get(extension.lower())
                if stem and rank is not None and (rank, name) < found.get(stem, (99, "")):
                    found[stem] = rank, name
            for stem, (_, name) in found.items():
                self._by_stem.setdefault(stem, f"{folder}/{name}" if folder else name)

    def __contains__(self, stem: str) -> bool:
        """Tell whether there is a file of that stem."""
        return stem in self._by_stem

    def find(self, stem: str) -> str:
        """Give the path below `root` of a file, or where it would be: it is missed later."""
        folder = f"{self._folder}/" if self._folder else ""
        return self._by_stem.get(stem, f"{folder}{stem}.{self._extension}")


def licence_of(root: Path, option: str) -> str:
    """Say which licence all media are under: the option, else the first line of `licence.txt`.

    Raises:
        SourceError: that file cannot be read.
    """
    path = root / "licence.txt"
    if option or not path.is_file():
        return option
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise SourceError(f"cannot read {str(path)!r}: {error.strerror}") from error
    return " ".join(lines[0].split()) if lines else ""
