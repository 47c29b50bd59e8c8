"""Sentences that were typed in a hurry, made fit to be read; or left, where that would be a guess.

Spot-the-Diff's have no capitals and no apostrophes, and call the pictures by many names: "pic 1",
"the before image", "the photo on the left". Where it is certain which picture is meant it is called
the first or the second one. `prompts/templates/differences.yaml` has the words.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache, cached_property, partial

from pydantic import BaseModel

from mimicit.facts import tidy

_N = r"(?:picture|image|photo|pic|photograph|frame|scene|shot|img|screenshot)s?"
_SIDED = r"(?:picture|image|photo|pic|photograph|img|screenshot)s?"
_FIRST = r"(?:first|1st|before|previous|earlier|original|initial)"
_SECOND = r"(?:second|2nd|after|later|new|newer)"
_HAND = r"(?: ?(?:hand|most))?(?: side)?"
_GO = (  # what follows a picture's name, and not a thing in it
    r"(?=$| (?:there|the|it|its|is|are|has|have|had|shows?|contains?|but|and|while|whereas|was|were"
    r"|which|that|than|not|does|they|he|she|only|you|in)\b)"
)
_SUBJECT = r"(?= (?:has|have|had|shows?|contains?|does|do not|is missing \w+)\b)"
_AFTER = r"(?:^(?:the )?|\b(?:the|in|on|from|while|but|and|than|whereas|as) )"

_NAMES: Sequence[tuple[str, str]] = (
    # the before image, the 2nd pic
    (rf"\b(?:(?:the|an?) )?{_FIRST} {_N}\b", "the first picture"),
    (rf"\b(?:(?:the|an?) )?{_SECOND} {_N}\b", "the second picture"),
    # the left photo: not "has left image"
    (rf"{_AFTER}left{_HAND} {_SIDED}\b", "the first picture"),
    (rf"{_AFTER}right{_HAND} {_SIDED}\b", "the second picture"),
    # in photo 1, picture two: not "in the photo two people"
    (rf"(?<!the )(?<!this )(?<!each )\b{_N} (?:one|1|a){_GO}", "the first picture"),
    (rf"(?<!the )(?<!this )(?<!each )\b{_N} (?:two|2|b){_GO}", "the second picture"),
    # the picture on the left has
    (rf"^(?:the )?{_SIDED} (?:on|to|at) the left{_SUBJECT}", "the first picture"),
    (rf"^(?:the )?{_SIDED} (?:on|to|at) the right{_SUBJECT}", "the second picture"),
    # left has
    (rf"^(?:the )?(?:left|before)(?: one)?{_SUBJECT}", "the first picture"),
    (rf"^(?:the )?(?:right|after)(?: one)?{_SUBJECT}", "the second picture"),
)
"""Patterns of names, and whose names they are. Group words before a name are put back."""

_LEADING = re.compile(r"^(?:the|in|on|from|while|but|and|than|whereas|as)\b", re.IGNORECASE)

_BOTH: Sequence[tuple[str, str]] = (
    (
        rf"\b(?:the )?{_SIDED} (?:on|to|in) the left\b",
        rf"\b(?:the )?{_SIDED} (?:on|to|in) the right\b",
    ),
    (r"\bthe one (?:on|to) the left\b", r"\bthe one (?:on|to) the right\b"),
)
"""Names that are certain only where both stand in a sentence."""

_ELLIPTIC = {
    "first": r"\bthe left\b(?= (?:has|does|is not)\b)",
    "second": r"\bthe right\b(?= (?:has|does|is not)\b)",
}
"""Names that are certain only where the other picture has been called by its side."""

_BY_SIDE = re.compile(rf"\b(?:left|right){_HAND} {_SIDED}\b", re.IGNORECASE)

_UNSURE = re.compile(
    rf"\b{_N} ?(?:one|two|1|2|a|b)$|\b{_N} (?:1|2|one)\b|\b(?:in|of|from) {_N} (?:two|a|b)\b"
    rf"|\b{_N} (?:on|to|at|in) (?:the )?(?:left|right)\b"
    rf"|\b(?:left|right){_HAND} {_SIDED}\b|\b{_N} (?:before|after)\b"
    r"|\b(?:on|in|to|at|of) (?:the )?(?:before|after)\b|\bafter\b"
    r"|\b(?:left|right) one\b|\bbefore\b(?!$)|\b(?:before|after) (?:group|people|the|in|is)\b"
    r"|\bin the (?:left|right)\b(?! (?:side|hand|lane|row|corner|part|half|bottom|top|lower|upper|"
    r"middle|back|front|section|area|edge|parking|most|far|of))|\bin (?:left|right)$"
    r"|\b(?:in|on|from) the (?:first|second|1st|2nd)(?:$| (?:one|there|but|and|while|the)\b)"
    rf"|\b(?:next|last|other|r|l|this|3rd|third|person) {_N}\b|\bi\b(?! see\b| can see\b)",
    re.IGNORECASE,
)
"""What may be the name of a picture, or mean something else."""

_RUN_ON = re.compile(
    r"\w (?<!\band )(?<!\bbut )(?<!\bwhile )(?<!\bwhereas )(?<!\bwhere )(?<!\bthan )(?<!\bas )"
    r"(?:(?<!in )(?<!from )(?<!of )(?<!on )(?<!to )the (?:first|second) picture "
    r"(?:has|have|shows?|contains?|does|there|is missing)"
    r"|(?<!picture )(?<!longer )(?<!that )(?<!not )there (?:is|are|were)|here is)\b"
    r"|\b(?:the|an?|in|of|on|and|or|from|with|is|are|but|while|that|were|was|to)$",
    re.IGNORECASE,
)
"""Two sentences with nothing between them, and one that breaks off."""

_FINITE = re.compile(
    r"\b(?:is|are|was|were|has|have|had|isn't|aren't|wasn't|weren't|shows?|contains?|cannot|can"
    r"|does|do)\b(?! (?:to have|been))(?<!to have)(?<!to be)"
)
_JOINTS = re.compile(
    r"\b(?:and|but|while|whereas|where|that|who|which|as|than|when|because|though|instead|compared|so"
    r"|before|if|whose|how|what)\b|,"
)

_NAMELESS = re.compile(
    r"(?<!first )(?<!second )(?<!the )(?<!of )(?<!other )\b(?:photo|picture|image|pic)\b"
)
"""A picture without an article."""

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


def names_a_side(text: str) -> bool:
    """Tell whether left and right may be names of pictures to whoever wrote this."""
    return bool(
        re.search(
            rf"\b(?:left|right){_HAND} {_SIDED}\b|{_SIDED} (?:on|to) the|^(?:the )?"
            r"(?:left|right) (?:has|have|shows)\b",
            text,
            re.IGNORECASE,
        )
    )


def spelled(text: str, words: Words) -> str:
    """Mend spelling, apostrophes, and "there is two"; the meaning stays."""
    text = " ".join(text.split())
    for wrong, right in _spelling(tuple(words.spelling.items())):
        text = wrong.sub(right, text)
    return text


@cache
def _spelling(table: tuple[tuple[str, str], ...]) -> list[tuple[re.Pattern[str], str]]:
    return [(re.compile(rf"\b(?:{wrong})", re.IGNORECASE), right) for wrong, right in table]


def uniform(text: str) -> str | None:
    """Call the pictures "the first picture" and "the second picture"; None where one is unsure."""
    for first, second in _BOTH:
        if re.search(first, text, re.I) and re.search(second, text, re.I):
            text = re.sub(first, "the first picture", text, flags=re.I)
            text = re.sub(second, "the second picture", text, flags=re.I)
    if _BY_SIDE.search(text):
        for which, pattern in _ELLIPTIC.items():
            text = re.sub(pattern, f"the {which} picture", text, flags=re.I)
    for pattern, name in _NAMES:
        put = partial(_put_back, name)
        text = re.sub(pattern, put, text, flags=re.I)
    text = re.sub(r"\b(?:on|at) the (first|second) picture\b", r"in the \1 picture", text)
    return None if _UNSURE.search(text) else text


def _put_back(name: str, found: re.Match[str]) -> str:
    """Keep the preposition or conjunction that stood before a name."""
    first = _LEADING.match(found[0])
    lead = first[0] if first and first[0].lower() != "the" else ""
    return f"{lead} {name}".strip()


def sentence(text: str, words: Words, *, sided: bool) -> str | None:
    """Make a sentence that can be read by itself, and is as true as what was typed; or None.

    Args:
        text: What was typed.
        words: The words of it.
        sided: Whether its author calls the pictures left and right.
    """
    named = uniform(spelled(text, words))
    patterns = words.patterns
    if named is None or patterns["dependent"].match(named) or patterns["poor"].search(named):
        return None
    tells = " picture" in named and re.search(r"\bthe (?:first|second) picture\b", named)
    changes = patterns["changes"].search(named)
    if not _is_whole(named, words) or (_BARE_SIDE.search(named) and (sided or not changes)):
        return None
    if patterns["bare"].match(named):
        if not changes:
            return None
        named = f"the {named}"
    if not tells and not changes:
        within = re.sub(r" (?:in|on) the (?:photo|picture|image|frame|pic)$", "", named)
        named = f"in one of the two pictures, {within}"
    elif lead := re.match(r"in the (?:first|second) picture(?= there\b| the\b| a\b)", named, re.I):
        named = f"{lead[0]},{named[lead.end() :]}"
    return tidy(re.sub(r"(?<!,) (whereas|while there|but there)\b", r", \1", named))


def _is_whole(text: str, words: Words) -> bool:
    """Tell whether words make one sentence: a subject, a verb, and no second sentence run on."""
    start = re.sub(r"^in the (?:first|second) picture,? ", "", text, flags=re.I)
    if _RUN_ON.search(text) or _NAMELESS.search(text) or re.search(r"(?<!['\w])[b-hj-z]\b", text):
        return False
    if len(_FINITE.findall(start)) > 1 + len(_JOINTS.findall(start)):
        return False
    if re.match(r"there\b", start, re.I):
        return bool(_THERE.match(start) and len(start.split()) > 3)
    found = words.patterns["verbs"].search(start)
    return bool(found and found.start() > 1 and len(start.split()) > 2)
