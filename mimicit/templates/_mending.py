"""Sentences that were typed in a hurry, made fit to be read; or left, where that would be a guess.

Spot-the-Diff's have no capitals and no apostrophes, and call the pictures by many names
(`mimicit/templates/_naming.py`). `prompts/templates/differences.yaml` has the words.
"""

import re
from collections.abc import Mapping
from functools import cache, cached_property
from typing import NamedTuple

from pydantic import BaseModel

from mimicit.facts import tidy
from mimicit.templates._naming import uniform

_RUN_ON = re.compile(
    r"\w (?<!\band )(?<!\bbut )(?<!\bwhile )(?<!\bwhereas )(?<!\bwhere )(?<!\bthan )(?<!\bas )"
    r"(?:(?<!in )(?<!from )(?<!of )(?<!on )(?<!to )the (?:first|second) picture "
    r"(?:has|have|shows?|contains?|does|doesn't|didn't|there|is missing)"
    r"|(?<!picture )(?<!longer )(?<!that )(?<!not )(?<!previously )there (?:is|are|were|was)"
    r"|here is|in the (?:first|second) picture,? there (?:is|are|was|were)"
    r"|(?<!picture )(?<!that )(?<!now )(?<!left )(?<!right )(?<!corner )you (?:can|have|see))\b"
    r"|(?<!in )(?<!from )(?<!of )the (?:first|second) picture there (?:is|are|was|were)\b"
    r"|\b(?:the|an?|in|of|on|and|or|from|with|is|are|but|while|that|were|was|to)$",
    re.IGNORECASE,
)
"""Two sentences with nothing between them, and one that breaks off."""

_FINITE = re.compile(
    r"\b(?:is|are|was|were|has|have|had|isn't|aren't|wasn't|weren't|shows?|contains?|cannot|can"
    r"|does|do)\b(?! (?:to have|been))(?<!to have)(?<!to be)"
)
_AUXILIARY = re.compile(
    r"\b(does|do|did|can)((?:n't| not)?) (?:even |also |still |now )?(?:have|show|contain)\b",
    re.IGNORECASE,
)
"""Two verbs that are one: "does not have"."""

_RELATIVE = re.compile(r"\b(?:that|who|which) (?:is|are|was|were|has|have|had)(?: \w+ed)?\b", re.I)
"""What is said in passing, and makes no sentence of "a person that was not there"."""

_JOINTS = re.compile(
    r"\b(?:and|but|while|whereas|where|that|who|which|as|than|when|because|though|instead|compared|so"
    r"|before|if|whose|how|what)\b|,"
)

_NAMELESS = re.compile(
    r"(?<!first )(?<!second )(?<!the )(?<!of )(?<!other )\b(?:photo|picture|image|pic)\b"
)
"""A picture without an article."""

_NAMED = re.compile(r"\bthe (first|second) picture\b", re.IGNORECASE)

_SIDE_BY_SIDE = re.compile(
    r"(in the (first|second) picture,? there\b.*?\w|the (first|second) picture (?:has|shows) .*?\w)"
    r"(?<! and)(?<! but)(?<! while)(?<! whereas)(?<! than)(?<! where)(?<! or)(?<! in)(?<! of) "
    r"(?!in the (?:\2|\3) )(in the (?:first|second) picture,? there\b.*"
    r"|(?<!in )the (?:first|second) picture (?:has|shows) .*)",
    re.IGNORECASE,
)
"""Two sentences, one of each picture, that lack the word between them."""

_HEADED = re.compile(
    r"^(the (?:first|second) picture)(?= (?:an?|the|people|everyone|two|three|four|some) )", re.I
)
"""A name that stands first as if it were a heading: "the first picture people are walking"."""

_ASIDE = re.compile(
    r"(?<=\w )(in the (?:first|second) picture) (?=(?:no|none|absent|two|three|four|five|six|seven"
    r"|[0-9]+)\b(?: \w+){0,3} in the (?:first|second) picture$)",
    re.IGNORECASE,
)
"""What is in the other picture, with nothing before it: "a bus in the first, no bus in the"."""

_LEAD = re.compile(
    r"^(in the (?:first|second) picture)"
    r"(?= (?!(?:is|are|was|were|that|who|which|but|and|has|have)\b))",
    re.IGNORECASE,
)

_THERE = re.compile(
    r"there(?:'s| (?:is|are|was|were|isn't|aren't|appears?|seems?|has|have)\b)", re.IGNORECASE
)

_BARE_SIDE = re.compile(
    r"\b(?:on|at|to|in)(?: the)?(?: far)? (?:left|right)(?:$| (?!side|hand|lane|corner|edge|part"
    r"|half|most|of|row|section|bottom|top|lower|upper|front|back))",
    re.IGNORECASE,
)


class Words(BaseModel, extra="forbid"):
    """The part `mending` of `prompts/templates/differences.yaml`."""

    spelling: Mapping[str, str]
    verbs: tuple[str, ...]
    changes: tuple[str, ...]
    dependent: tuple[str, ...]
    bare: tuple[str, ...]
    colours: tuple[str, ...]
    poor: tuple[str, ...]

    @cached_property
    def patterns(self) -> Mapping[str, re.Pattern[str]]:
        """Each list as one pattern of whole words."""
        lists = {"verbs": self.verbs, "changes": self.changes, "poor": self.poor}
        made = {name: re.compile(rf"\b(?:{'|'.join(x)})\b", re.I) for name, x in lists.items()}
        made["dependent"] = re.compile(rf"(?:{'|'.join(self.dependent)})\b", re.I)
        colours = rf"(?:(?:{'|'.join(self.colours)}) )*"
        made["bare"] = re.compile(rf"{colours}(?:{'|'.join(self.bare)})\b", re.I)
        return made


def spelled(text: str, words: Words) -> str:
    """Mend spelling, apostrophes, and "there is two"; the meaning stays."""
    text = " ".join(text.split())
    for wrong, right in _spelling(tuple(words.spelling.items())):
        text = wrong.sub(right, text)
    return text


@cache
def _spelling(table: tuple[tuple[str, str], ...]) -> list[tuple[re.Pattern[str], str]]:
    return [(re.compile(rf"\b(?:{wrong})", re.IGNORECASE), right) for wrong, right in table]


class Mended(NamedTuple):
    """A sentence that can be read by itself, or "" and why there is none."""

    text: str
    problem: str


_CAPITAL = re.compile(r"^[A-Z](?=[a-z]* )")
"""How a sentence begins whose first word is no abbreviation."""


def sentence(text: str, words: Words, *, sided: bool, directed: bool = False) -> Mended:
    """Make a sentence that can be read by itself, and is as true as what was typed.

    Args:
        text: What was typed.
        words: The words of it.
        sided: Whether its author calls the pictures left and right.
        directed: Whether it is known that it tells of the second picture as against the first.
    """
    named = uniform(spelled(text, words))
    if named is None:
        return Mended("", "it is not certain which picture it speaks of")
    named = _joined(named)
    patterns = words.patterns
    changes = bool(patterns["changes"].search(named))
    problem = _problem(named, words, sided=sided, changes=changes)
    if problem:
        return Mended("", problem)
    if _lacks_article(named, words):
        named = f"the {named}"
    if not changes and not _NAMED.search(named):
        within = re.sub(r" (?:in|on) the (?:photo|picture|image|frame|pic)$", "", named)
        which = "in the second picture" if directed else "in one of the two pictures"
        named = f"{which}, {_CAPITAL.sub(lambda found: found[0].lower(), within)}"
    named = _LEAD.sub(r"\1,", named)
    return Mended(tidy(re.sub(r"(?<!,) (whereas|while there|but there)\b", r", \1", named)), "")


def _joined(named: str) -> str:
    """Put in the words that lack between what is said of one picture and of the other."""
    if halves := _SIDE_BY_SIDE.fullmatch(named):
        named = f"{halves[1]}, and {halves[4]}"
    named = _HEADED.sub(r"in \1", named)
    named = re.sub(
        r"(?<=picture)(,? and)? not (?=the (?:first|second) picture$)", r"\1 not in ", named
    )
    return _ASIDE.sub(r"\1, ", named)


def _problem(named: str, words: Words, *, sided: bool, changes: bool) -> str:
    """Say why a sentence whose pictures are known cannot be told, or ""."""
    patterns = words.patterns
    pictures = _NAMED.findall(named)
    twice = len(pictures) > 1 and len(set(pictures)) == 1
    poor = patterns["poor"].search(named)
    fragment = not changes and _lacks_article(named, words)
    unsure_side = _BARE_SIDE.search(named) and (sided or not changes)
    problems = (
        (patterns["dependent"].match(named), "it needs the sentence before it"),
        (poor, f"{poor and poor[0]!r} is no good English, or may mean several things"),
        (twice, f"both of what it compares is in the {pictures and pictures[0]} picture"),
        (fragment or not _is_whole(named, words), "it is not one whole sentence"),
        (unsure_side, "its left or right may be a picture or a part of one"),
    )
    return next((problem for found, problem in problems if found), "")


def _lacks_article(text: str, words: Words) -> bool:
    """Tell whether its first noun should have one; "kids" should only where it is said of all."""
    noun = words.patterns["bare"].match(text)
    several = noun and noun[0].endswith("s") and not noun[0].endswith("bus")
    return bool(noun and (not several or words.patterns["changes"].search(text)))


def _is_whole(text: str, words: Words) -> bool:
    """Tell whether words make one sentence: a subject, a verb, and no second sentence run on."""
    start = re.sub(r"^in the (?:first|second) picture,? ", "", text, flags=re.I)
    start = _AUXILIARY.sub(r"\1", start)
    if _RUN_ON.search(text) or _NAMELESS.search(text) or re.search(r"(?<!['\w])[b-hj-z]\b", text):
        return False
    if len(_FINITE.findall(start)) > 1 + len(_JOINTS.findall(start)):
        return False
    if re.match(r"there\b", start, re.I):
        return bool(_THERE.match(start) and len(start.split()) > 3)
    found = words.patterns["verbs"].search(_RELATIVE.sub("", start))
    return bool(found and found.start() > 1 and len(start.split()) > 2)
