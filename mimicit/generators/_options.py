"""Questions with options, of which one is right: the others are what is true of other videos.

Everything is chosen by hashes of content, so that nothing depends on the order of records. Videos
stand on a ring, each at the hash of its id; the wrong options are those of the next ones on it that
will do. A video that is added later changes only the questions of those few just before it.
"""

import hashlib
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

OPTIONS = 4
"""Options of a question, the right one among them."""

TRIED = 200
"""Videos that are looked at for wrong options."""

QUESTIONS = (
    "Which of these describes what happens in the video?",
    "Which description fits this video?",
    "What can be seen in this video?",
    "Only one of these descriptions is of this video. Which one?",
    "Choose the description that is true of the video.",
    "Which of the following takes place in this video?",
)

TELLING = 4
"""Words of its own that a wrong option has at least: one that says little may be true anywhere."""

_COMMON = """
about above after against along also another around away back because been before behind being
below beside between both camera could does doing down each ends even ever finally first following
forward from front gets getting goes going hand hands have having head here himself herself
however into itself just keeps left like look looking looks made make makes making many more most
move moves moving nearby next once only onto other others over person place puts quickly right
same scene second seems several side slowly some someone something starts suddenly take takes
taking than that their them then there these they this those through time together towards turn
turned turns under until upon using very video walk walked walking walks were what when where
which while with without
"""
"""Words that descriptions of most videos may have."""


@dataclass(frozen=True, slots=True)
class Described:
    """What a video shows, in a sentence or a few.

    Attributes:
        video: Its id.
        family: What it was cut from: others of the same family may show the same.
        text: The description.
    """

    video: str
    family: str
    text: str


@dataclass(frozen=True, slots=True)
class _Placed:
    """A described video on the ring."""

    place: int
    described: Described
    words: frozenset[str]


class Options:
    """Makes a question with options about a video."""

    def __init__(self, described: Mapping[str, Described]) -> None:
        placed = [_Placed(_hash("ring", d.video), d, _content(d.text)) for d in described.values()]
        self._ring = sorted(placed, key=lambda one: (one.place, one.described.video))
        self._places = [one.place for one in self._ring]
        self._described = described

    def question(self, video: str) -> tuple[str, str] | None:
        """Give a question and its answer; None where too few videos are clearly different."""
        mine = self._described.get(video)
        if mine is None:
            return None
        wrong: list[str] = []
        for other in self._following(mine):
            if len(wrong) == OPTIONS - 1:
                break
            wrong.append(other.text)
        if len(wrong) < OPTIONS - 1:
            return None
        right = _hash("place", video) % OPTIONS
        options = [*wrong[:right], mine.text, *wrong[right:]]
        letters = [f"{chr(ord('A') + n)}. {sentence(text)}" for n, text in enumerate(options)]
        asked = QUESTIONS[_hash("question", video) % len(QUESTIONS)]
        return "\n".join([asked, *letters]), letters[right]

    def _following(self, mine: Described) -> Iterator[Described]:
        """Walk the ring from a video: those that have hardly a word in common with it."""
        words = _content(mine.text)
        seen: set[str] = {mine.text.casefold()}
        start = bisect_right(self._places, _hash("ring", mine.video))
        for step in range(min(TRIED, len(self._ring))):
            other = self._ring[(start + step) % len(self._ring)]
            text = other.described.text
            if other.described.video == mine.video or other.described.family == mine.family:
                continue
            tells = len(other.words) >= TELLING and not words & other.words
            if tells and text.casefold() not in seen:
                seen.add(text.casefold())
                yield other.described


def first_by_hash(video: str, texts: list[str]) -> str:
    """Choose one of a video's descriptions, whatever their order."""
    return min(texts, key=lambda text: (_hash(video, text), text))


def sentence(text: str) -> str:
    """Begin a sentence with a capital and end it with a full stop."""
    text = text[:1].upper() + text[1:]
    return text if text[-1] in ".!?\"'" else f"{text}."


def _content(text: str) -> frozenset[str]:
    """List what a text speaks of: its words but the most common, without their endings."""
    words = re.findall(r"[a-z]{3,}", text.lower())
    common, short = _common()
    return frozenset(_stem(word) for word in words if len(word) > 3 or word in short) - common


@cache
def _common() -> tuple[frozenset[str], frozenset[str]]:
    return frozenset(map(_stem, _COMMON.split())), frozenset(_SHORT.split())


_SHORT = "cat dog man boy car bus bed cup hat egg toy cow pig hen bee box bag cap sea"
"""Short words that tell something."""


def _stem(word: str) -> str:
    for ending in ("ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) > len(ending) + 3:
            return word.removesuffix(ending)
    return word


def _hash(*parts: str) -> int:
    digest = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big")
