"""Which of two pictures somebody means: "pic 1", "the before image", "the photo on the left".

Where it is certain which one is meant it is called the first or the second picture, even where only
the other one is named in full ("six people in the left image and two in the right").
"""

import re
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

_N = (
    r"(?:picture|image|photo|pic|photograph|frame|scene|shot|img|screenshot)s?"
    r"(?: (?:frame|photograph|photo|picture)\b)?"
)
_SIDED = (
    r"(?:picture|image|photo|pic|photograph|img|screenshot)s?(?: (?:frame|photograph|photo)\b)?"
)
_FIRST = r"(?:first|1st|before|previous|earlier|original|initial)"
_SECOND = r"(?:second|2nd|after|later|new|newer)"
_HAND = r"(?: ?(?:hand|most|sided))?(?: side)?"
_GO = (  # what follows a picture's name, and not a thing in it
    r"(?=$| (?:there|the|it|its|is|are|has|have|had|shows?|contains?|but|and|while|whereas|was|were"
    r"|which|that|than|not|does|they|he|she|only|you|in)\b)"
)
_VERB = (
    r"(?:(?:only|just|still|also|now) )?(?:has|have|had|shows?|contains?|does|doesn't|did|didn't"
    r"|hasn't|don't|do not|has not|is missing \w+|looks like it has)"
)
_SUBJECT = rf"(?= {_VERB}\b)"
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


class _Scheme(NamedTuple):
    """A way to tell two pictures apart: the word for the first, the one for the second.

    Attributes:
        words: Both, as patterns.
        full: A name that can be nothing else; `W` stands for the word, here and below.
        phrases: Names that are certain where both pictures have one, and what is put for them.
    """

    words: tuple[str, str]
    full: str
    phrases: Sequence[tuple[str, str]]


_END = r"(?=$|,| (?:there|but|and|while|whereas|where|the one|you)\b)"
_JOINT = r"(?:and|but|while|whereas|where|then|than)"
_COUNT = r"(?:one|two|three|four|five|six|seven|eight|nine|[0-9]+|none|not|than)"
_NO_NAME = r"(?<!left )(?<!right )(?<!hand )(?<!side )"


def _scheme(first: str, second: str, full: str, the: str, *more: tuple[str, str]) -> _Scheme:
    name = rf"{the}W(?: hand)?(?: one)?"
    short = (
        (rf"\b(in|from) {name}{_END}", r"\1 NAME"),  # two in the left
        (rf"\b(than|not) {name}{_END}", r"\1 in NAME"),  # but not the left
        (rf"(^|\b{_JOINT} ){name}{_SUBJECT}", r"\1NAME"),  # and the left has
    )
    return _Scheme((first, second), full, (*more, *short))


_SCHEMES = (
    _scheme(
        "left",
        "right",
        rf"\bW{_HAND} {_SIDED}\b",
        "(?:the )?",
        # the image on the left, the one on the left, and only two on the left
        (rf"{_NO_NAME}\b(?:the )?{_SIDED} (?:on|to|in|at) (?:the )?W(?: side)?\b(?! side)", "NAME"),
        (r"\bthe one (?:on|to|in) the W(?= there)", "in NAME"),
        (r"\bthe one (?:on|to|in) the W\b", "NAME"),
        (rf"\b({_COUNT}) (?:on|in) (?:the )?W$", r"\1 in NAME"),
    ),
    _scheme(
        "(?:first|1st)",
        "(?:second|2nd)",
        rf"\bW {_N}\b",
        "the ",
        (r"\b(in|from) W$", r"\1 NAME"),  # but not in first
    ),
    _scheme("before", "after", rf"\bW {_N}\b", "(?:the )?"),
)

_PICTURES = ("the first picture", "the second picture")

_EITHER = r"(?:left|right|1st|2nd|before|after)"
_TOGETHER = re.compile(rf"\b{_EITHER} (?:and|or|to) (?:the )?{_EITHER} {_N}\b", re.IGNORECASE)
"""Both at once, which has no place for two names: "the left and right image"."""

_UNSURE = re.compile(
    rf"\b{_N} ?(?:one|two|1|2|a|b)$|\b{_N} (?:1|2|one)\b|\b(?:in|of|from) {_N} (?:two|a|b)\b"
    rf"|\b{_N} (?:on|to|at|in) (?:the )?(?:left|right)\b"
    rf"|\b(?:left|right){_HAND} {_SIDED}\b|\b{_N} (?:before|after)\b"
    r"|\b(?:on|in|to|at|of) (?:the )?(?:before|after)\b|\bafter\b"
    r"|\b(?:left|right)(?: hand| side)? one\b|\bbefore\b(?!$)"
    r"|\b(?:before|after) (?:group|people|the|in|is)\b"
    r"|\bin the (?:left|right)\b(?! (?:side|hand|lane|row|corner|part|half|bottom|top|lower|upper|"
    r"middle|back|front|section|area|edge|parking|most|far|of))|\bin (?:left|right)$"
    r"|\b(?:in|on|from) the (?:first|second|1st|2nd)(?:$| (?:one|there|but|and|while|the)\b)"
    rf"|\b(?:next|last|other|r|l|this|3rd|third|person) {_N}\b|\bi\b(?! see\b| can see\b)"
    # the left does not, but not the right, right people are standing, left a car is missing
    r"|(?<!on )(?<!to )(?<!at )(?<!towards )(?<!toward )(?<!of )(?<!1st from )(?<!2nd from )"
    rf"(?<!3rd from )(?<!th from )\bthe (?:left|right)(?:$|{_SUBJECT})"
    r"|\b(?:and|not|than) (?:left|right)\b"
    rf"|\bthe (?:first|second)(?: one)?{_SUBJECT}"
    r"|^(?:left|right) (?:an?|the|people|men|women|persons|kids|[0-9]+|two|three|four|five|six|no"
    r"|more|only|just|is|are|was|were|there|looks?|you)\b",
    re.IGNORECASE,
)
"""What may be the name of a picture, or mean something else."""


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


def uniform(text: str) -> str | None:
    """Call the pictures "the first picture" and "the second picture"; None where one is unsure."""
    if _TOGETHER.search(text):
        return None
    text, left_over = _in_short(text)
    for pattern, name in _NAMES:
        text = re.sub(pattern, partial(_put_back, name), text, flags=re.I)
    text = re.sub(r"\b(?:on|at) the (first|second) picture\b", r"in the \1 picture", text)
    named = set(re.findall(r"\bthe (first|second) picture\b", text))
    if len(named) == 1:
        other = "second" if "first" in named else "first"
        text = re.sub(rf"\bthe other {_N}\b", f"the {other} picture", text)
    rest = re.sub(r"\bthe (?:first|second) picture\b|\b(?:has|have|had|just) left\b", "", text)
    if left_over and re.search(left_over, rest, re.I):
        return None
    return None if _UNSURE.search(text) else text


def _in_short(text: str) -> tuple[str, str]:
    """Spell out names that are certain as both pictures have one.

    Returns:
        The text, and a pattern of words that would be unsure where one is left in it.
    """
    for words, full, phrases in _SCHEMES:
        short = [
            [p for p, _ in phrases if re.search(p.replace("W", word), text, re.I)] for word in words
        ]
        both = all(
            patterns or re.search(full.replace("W", word), text, re.I)
            for word, patterns in zip(words, short, strict=True)
        )
        if not both or not any(short):
            continue
        for word, name in zip(words, _PICTURES, strict=True):
            for pattern, put in phrases:
                text = re.sub(
                    pattern.replace("W", word), put.replace("NAME", name), text, flags=re.I
                )
        return text, rf"\b(?:{'|'.join(words)})\b"
    return text, ""


def _put_back(name: str, found: re.Match[str]) -> str:
    """Keep the preposition or conjunction that stood before a name."""
    first = _LEADING.match(found[0])
    lead = first[0] if first and first[0].lower() != "the" else ""
    return f"{lead} {name}".strip()
