"""The licences of one's own pictures and videos, which several lines may name."""

from collections.abc import Sequence

from mimicit.generators._line_keys import Unfit
from mimicit.records import plain


class Licences:
    """The licence of each picture and video: what a line states of it, else that of all.

    Args:
        default: The licence of all that no line states one of.
    """

    def __init__(self, default: str) -> None:
        self._default = default
        self._stated: dict[str, tuple[str, str]] = {}

    def state(self, line: str, licence: str, paths: Sequence[str]) -> None:
        """Note what a line states of its media; nothing of it where another states otherwise.

        Raises:
            Unfit: another line states another licence of one of them.
        """
        licence = plain(licence)
        for path in paths:
            other, where = self._stated.get(path, (licence, ""))
            if other != licence:
                detail = f"{path!r} is {licence!r} here, and {other!r} in {where}, which stays"
                raise Unfit("licence-conflict", detail)
        for path in paths:
            self._stated.setdefault(path, (licence, line))

    def of(self, path: str) -> str:
        """Give the licence of a picture or a video."""
        return self._stated.get(path, (self._default, ""))[0]
