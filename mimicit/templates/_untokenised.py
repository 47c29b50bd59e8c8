"""Sentences of stories that were cut into lower-case words, put together again; or left out.

VIST's sentences read `the kids did n't wait , [male] jumped in !`: names are replaced by marks, and
all else is in small letters. What cannot be put right with certainty is not used.
"""

import re
from collections.abc import Iterator, Mapping, Set
from functools import cache

from mimicit.shipped import shipped

_JOINED: tuple[tuple[str, str], ...] = (
    (r"\bca n't\b", "can't"),
    (r"\b(\d+) (st|nd|rd|th)\b", r"\1\2"),
    (r"\bsight seeing\b", "sightseeing"),
    (r"\b(gon|wan) na\b", r"\1na"),
    (r"\bgot ta\b", "gotta"),
    (r"\bcan not\b", "cannot"),
    (r" (n't|'s|'m|'re|'ve|'ll|'d)(?!\w)", r"\1"),
    (r"(?<=s) '(?= [a-z])(?![^']*')", "'"),
    (r"\s+([,;:!?])", r"\1"),
    (r"\s+(\.+)(?=\s|$)", r"\1"),
    (r"([,;:!?])(?:\s*\1)+", r"\1"),
    (r"(?<!\.)\.\.(?!\.)", "..."),
    (r"\.{4,}", "..."),
    (r"(?<=[a-z]),(?=[a-z])", ", "),
    (r"\(\s+", "("),
    (r"\s+\)", ")"),
    (r"\$\s+(?=\d)", "$"),
    (r"(?<=\d)\s+%", "%"),
    (r"\b(a|an|the|to|of|in|on|and|was|were|is|we|they) \1\b", r"\1"),
)
"""Patterns of what cutting into words has done, and what stood there before."""

_UNSURE = re.compile(
    r"[^A-Za-z0-9 .,;:!?'$%&()/-]"  # marks, brackets, and letters that were read wrongly
    r"|(?:^|\s)'|'(?:\s|$)(?<!s' )"  # a quotation, or half of one
    r"|\b(?!\d+(?:st|nd|rd|th|s|am|pm|k)?\b)(?=[a-z]*\d)\w+"  # fun1
    r"|--|\s-|-\s|(?<!')\b[b-hj-z]\b(?!')|\b(\w+) \1\b|\bw/|\.\w|\w\(|\([^)]*$|^[^(]*\)|!\?|\?!"
    r"|[.!?]\s*[.!?]\s*[a-z]|\blocation\b|\borganization\b",  # what is left of marks
    re.IGNORECASE,
)
"""What shows that a sentence holds more than can be put right."""

_BROKEN = re.compile(
    r"^(?:as|when|while|because|if|since|until|although|whenever)\b[^,]*$"
    r"|\bthe were\b|\bat he\b|\bthey others\b|\b(?:a|the) \w+ it \w+ed\b|^(?:young )?(?:wo)?man\b"
    r"|\ban i\b|\bwith he\b|\b(?:could|should|would|must) of\b|\bsome (?:wo)?man\b"
    r"|\ban (?=[bcdfgj-np-tv-z])|\ba (?=[aeio](?!n[ce]\b|ne\b|nce|u))|\b(?:me|him|them) and i\b"
    r"|^(?:\w+ ?){0,2}[.!?]*$|^(?:[\w']+ ){26,}[\w']+[.!?]*$",
    re.IGNORECASE,
)
"""Half a sentence, two words, and what is long without a comma: as a rule two, run together."""

_ENDINGS = (
    *(("s", ""), ("es", ""), ("ed", ""), ("ed", "e"), ("d", ""), ("ing", ""), ("ing", "e")),
    *(("ly", ""), ("er", ""), ("est", ""), ("ies", "y"), ("ied", "y"), ("ness", "")),
    *(("ful", ""), ("ily", "y")),
)
"""Endings of English words, and what stands in their place in the word they are made of."""

_DOUBLED = re.compile(r"[^aeiou]*[aeiou]([bdgklmnprt])\1")
"""The last letter stands twice in "shopped" and "clapping"."""

_LONG = 12
"""Letters of a text that is set in capitals, and no abbreviation."""

_TIES = (
    "friends?|brother|sister|son|daughter|uncle|aunt|cousin|mom|mother|dad|father|husband|wife|"
    "boyfriend|girlfriend|grandson|granddaughter|grandfather|grandmother|grandpa|grandma|nephew|"
    "niece|roommate|neighbou?r|boss|coworker|teacher|coach|dog|cat|puppy|baby"
)
_APPOSITION = re.compile(
    rf"\b((?:my|his|her|our|their|your)(?: [a-z]+)? (?:{_TIES})) ,? ?\[(?:fe)?male\]"
    r"(?! and|,| \[| ,)"
)
"""A name beside what somebody is to another: "my best friend [male]"."""


def mended(text: str, names: Mapping[str, str], persons: Set[str] = frozenset()) -> str | None:
    """Put a sentence together as it may have been typed; None where that would be a guess.

    Args:
        text: The sentence.
        names: Words that begin with a capital wherever they stand, by how they read in lower case.
        persons: Words that are somebody's name where they have a capital inside of a sentence.
    """
    text = _APPOSITION.sub(r"\1", " ".join(text.split()))
    if len(text) > _LONG and text.isupper():
        text = text.lower()
    for pattern, right in _JOINED:
        text = re.sub(pattern, right, text)
    text = text.strip(" ,;:-").replace("....", "...")
    if _UNSURE.search(text) or _BROKEN.search(text) or not _is_spelled(text, names, persons):
        return None
    text = _pattern(tuple(names)).sub(lambda found: names[found[0]], text) if names else text
    text = re.sub(r"((?<!\.\.)[.!?] )([a-z])", lambda found: found[1] + found[2].upper(), text)
    text = re.sub(r"\bi\b(?!\.e)", "I", text)
    text = text[:1].upper() + text[1:]
    return text if text[-1] in ".!?" else f"{text}."


def _is_spelled(text: str, names: Mapping[str, str], persons: Set[str]) -> bool:
    """Tell whether all words are known: others are misspelled, or names of somebody.

    A capital inside of a sentence is the writer's: it must be that of a known name, or of a word
    that is none.
    """
    bare = re.sub(r"\b(?:can|won)'t\b|n't\b|'\w+|\b\d\w*", "", text)
    known = {part for name in names for part in name.lower().replace("'s", "").split()}
    first, *rest = re.findall(r"[A-Za-z]+", bare) or [""]
    capital = [word for word in rest if len(word) > 1 and not word.islower()]
    if not persons.isdisjoint(map(str.lower, capital)) or len(capital) > len(rest) / 3 + 1:
        return False
    words = map(str.lower, [first, *rest])
    return all(word in known or _is_word(word) for word in words)


@cache
def _vocabulary() -> frozenset[str]:
    path = shipped(__name__, "prompts", "templates") / "words.txt"
    return frozenset(path.read_text(encoding="utf-8").split())


@cache
def _is_word(word: str) -> bool:
    """Look a word up, or what it is made of by two endings at most."""
    made_of = list(_stems(word))
    twice = (stem for one in made_of for stem in _stems(one))
    return len(word) == 1 or not _vocabulary().isdisjoint([word, *made_of, *twice])


def _stems(word: str) -> Iterator[str]:
    for ending, instead in _ENDINGS:
        stem = word.removesuffix(ending) + instead
        if word.endswith(ending) and len(stem) > 3:
            yield stem
            if _DOUBLED.fullmatch(stem):
                yield stem[:-1]


@cache
def _pattern(names: tuple[str, ...]) -> re.Pattern[str]:
    longest = sorted(names, key=len, reverse=True)
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, longest))})\b")
