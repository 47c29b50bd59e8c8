"""Published ids as our schema takes them: as they are, or spelled so that no two become one."""

import re
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from mimicit.names import escape_id
from mimicit.schema import IMAGE_ID, INSTRUCTION_ID

FOREIGN = "OTTER"
"""What ids begin with that were of another form."""

_FORMS = {"IMG": re.compile(IMAGE_ID), "INS": re.compile(INSTRUCTION_ID)}


class Spelling:
    """Spells the ids of all pictures, or of all instructions, of a release.

    Injective: an id of the schema's form stays, and no other one becomes one that is there.

    Args:
        what: `IMG` or `INS`, as the ids of pictures and of instructions have it.
        ids: All of them.
    """

    def __init__(self, what: Literal["IMG", "INS"], ids: pa.ChunkedArray) -> None:
        self._form = _FORMS[what]
        self._prefix = f"{FOREIGN}_{what}_"
        self._taken: frozenset[str] = frozenset()
        alike = pc.starts_with(ids, self._prefix)
        fits = pc.match_substring_regex(ids, self._form.pattern)
        if pc.any(alike).as_py() and not pc.all(fits).as_py():
            self._taken = frozenset(ids.filter(alike).to_pylist())

    def __call__(self, name: str) -> str:
        """Spell an id."""
        if self._form.fullmatch(name):
            return name
        # An empty name becomes what no other one does: of a "~" alone `escape_id` makes "~7e~".
        spelled = f"{self._prefix}{escape_id(name) or '~'}"
        while spelled in self._taken:  # which no spelling ends in
            spelled += "~"
        return spelled
