"""Finding files that annotations name without an extension, and the licence of all of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

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

    Attributes:
        root: What `find` is below: the directory, or the one folder linked into it from elsewhere
            that has all there are.

    Args:
        root: Directory the user named.
        folders: Folders below it that may hold the files; those that are not there are passed
            over. "" is `root` itself. One that the user has linked from elsewhere is trusted; a
            link of a single file is not.
        extensions: Which files, in the order of preference.

    Raises:
        SourceError: there is no such directory.
    """

    def __init__(self, root: Path, folders: Sequence[str], extensions: Sequence[str]) -> None:
        if not root.is_dir():
            raise SourceError(f"no directory {str(root)!r}")
        self._extension = extensions[0]
        self._by_stem: dict[str, _Place] = {}
        ranks = {extension: rank for rank, extension in enumerate(extensions)}
        there = [folder for folder in dict.fromkeys(folders) if (root / folder).is_dir()]
        self._first = _Place.of(root, there[0] if there else "", "")
        for folder in there:
            found: dict[str, tuple[int, str]] = {}
            for name in sorted(path.name for path in (root / folder).iterdir()):
                stem, _, extension = name.rpartition(".")
                rank = ranks.get(extension.lower())
                if stem and rank is not None and (rank, name) < found.get(stem, (99, "")):
                    found[stem] = rank, name
            place = _Place.of(root, folder, "")
            for stem, (_, name) in found.items():
                self._by_stem.setdefault(stem, place.with_name(name))
        roots = {place.root for place in self._by_stem.values()} or {str(root)}
        self._one_root = len(roots) == 1
        self.root = next(iter(roots)) if self._one_root else str(root)

    def __contains__(self, stem: str) -> bool:
        """Tell whether there is a file of that stem."""
        return stem in self._by_stem

    def place(self, stem: str) -> tuple[str, str]:
        """Give a trusted directory and the path of a file below it, or where it would be."""
        place = self._place(stem)
        return place.root, place.name

    def find(self, stem: str) -> str:
        """Give the path below `root` of a file, or where it would be: it is missed later."""
        place = self._place(stem)
        return place.name if self._one_root and place.root == self.root else place.below

    def _place(self, stem: str) -> "_Place":
        found = self._by_stem.get(stem)
        return found or self._first.with_name(f"{stem}.{self._extension}")


class _Place(NamedTuple):
    """Where a file is: below a trusted root, and below the directory that the user named."""

    root: str
    name: str
    below: str

    @classmethod
    def of(cls, root: Path, folder: str, name: str) -> "_Place":
        """Trust a folder that is linked into the root; one that is reached by `..` is none."""
        where = (root / folder).resolve()
        below = f"{folder}/{name}" if folder else name
        if ".." in Path(folder).parts or where.is_relative_to(root.resolve()):
            return cls(str(root), below, below)
        return cls(str(where), name, below)

    def with_name(self, name: str) -> "_Place":
        """Give the place of a file in a folder, which is this one."""
        return self._replace(name=f"{self.name}{name}", below=f"{self.below}{name}")


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
