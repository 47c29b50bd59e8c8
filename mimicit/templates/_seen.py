"""Descriptions of moments of television shows: what can be seen, told without the names."""

import re
from collections.abc import Iterator

from mimicit.annotations import Note, Segment
from mimicit.schema import Scene
from mimicit.templates.sentences import mend, opens
from mimicit.templates.unnamed import unnamed

_SPOKEN = re.compile(
    r"\b(say|says|said|saying|tells?|told|telling|explain\w*|mention\w*|admit\w*|reveal\w*|claim\w*|"
    r"suggest\w*|think\w*|thought|believ\w*|wonder\w*|know|knows|knew|knowing|remember\w*|realiz\w*|realis\w*|about|"
    r"because|stat(?:es|ed|ing)|names?|calls|called|calling|asks?|asked|wants?|wanted|decid\w*|hears?|heard|voice|sounds?)\b",
    re.IGNORECASE,
)
"""What is told by talk or thought; the pictures do not show it."""

_HEARD = {
    "heard": "is known from what is said alone",
    "seen and heard": "is known from what is seen and said together",
}


def told_as_seen(scene: Scene) -> Iterator[tuple[str, str]]:
    """Give each description without names, and "", or why it cannot be told."""
    notes = [a.text for a in scene.annotations if isinstance(a, Note) and a.name == "evidence"]
    segments = [a for a in scene.annotations if isinstance(a, Segment)]
    show = scene.groups[-1].removeprefix("show~")
    for segment, how in zip(segments, notes, strict=False):
        text = ""
        if how != "seen":
            why = _HEARD.get(how, "does not say how it is known")
        elif _SPOKEN.search(segment.text):
            why = "tells of talk or thoughts"
        elif not (text := unnamed(mend(segment.text), show)):
            why = "names somebody who cannot be told surely without the name"
        else:
            why = "" if opens(text) else "needs another before it, or is no plain English"
        yield text, why
