"""Published ids as our schema takes them: as they are, or spelled so that no two become one."""

import re

from mimicit.names import escape_id
from mimicit.schema import IMAGE_ID, INSTRUCTION_ID

FOREIGN = "OTTER"
"""What ids begin with that were of another form."""

_IMAGE, _INSTRUCTION = re.compile(IMAGE_ID), re.compile(INSTRUCTION_ID)


def image_id(name: str) -> str:
    """Spell the id of a picture."""
    return name if _IMAGE.fullmatch(name) else _spelled("IMG", name)


def instruction_id(name: str) -> str:
    """Spell the id of an instruction."""
    return name if _INSTRUCTION.fullmatch(name) else _spelled("INS", name)


def _spelled(what: str, name: str) -> str:
    # An empty name becomes what no other one does: of a "~" alone `escape_id` makes "~7e~".
    return f"{FOREIGN}_{what}_{escape_id(name) or '~'}"


class Once:
    """Finds out where an id of another form is spelled like one that was there already."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def is_taken(self, name: str) -> bool:
        """Note a spelled id; tell whether another one was spelled like it."""
        if not name.startswith(f"{FOREIGN}_"):
            return False
        taken = name in self._seen
        self._seen.add(name)
        return taken
