"""Sentences that describers wrote: mended, and judged by what they need before them.

What stands in a paragraph often leans on it ("she then"), and is no answer by itself.
"""

import re

from mimicit.facts import tidy, words_of
from mimicit.templates.unnamed import names_somebody

_DANGLING = re.compile(
    r"("
    r"he|she|they|it|his|her|hers|their|theirs|its|him|them|this|that|"
    r"these|those|one|both|another|other|others|also|then|next|again|"
    r"finally|afterwards|and|but|so|now|later|still|more|first|second|third|last|lastly|shortly|"
    r"eventually"
    r")\b"
)
"""Words that need a sentence before the one they begin."""
_SUBORDINATE = frozenset({"as", "when", "while", "after", "before", "once", "until", "since"})
_EARLIER = re.compile(
    r"^(?:(?!\b(?:and|but|before)\b)[^,;]){0,60}\b(then|again|also|still|continu\w+|finally|"
    r"eventually|afterwards|later|once more|another|the other|same|rest of|(the|his|her|their) "
    r"(first|second|third|next|last|previous|final))\b"
)
_ADVERB_FIRST = re.compile(
    r"^((shortly |soon |right |just )?after|before|meanwhile|soon|first|second|third|last|once|"
    r"later)\s*,"
)
PRONOUN = re.compile(r"\b(he|she|they|it|his|her|hers|their|theirs|its|him|them)\b")
_PERSONS = {
    "he": re.compile(r"\b(man|boy|guy|male|gentleman|person|child|kid|player|father|son)\b"),
    "she": re.compile(r"\b(woman|girl|lady|female|person|child|kid|player|mother|daughter)\b"),
    "": re.compile(r"\b(m[ae]n|wom[ae]n|boys?|girls?|guys?|lady|ladies|(fe)?males?|people)\b"),
}
_HE_OR_SHE = re.compile(r"\b(?:(he|his|him|himself)|(she|her|hers|herself))\b")
_NOUNS: dict[str, re.Pattern[str]] = {
    "he": re.compile(r"\b(man|boy|guy|male|gentleman|father|player|athlete|person)\b"),
    "she": re.compile(r"\b(woman|girl|lady|female|mother|player|athlete|person)\b"),
    "they": re.compile(
        r"\b(men|women|people|boys|girls|players|kids|children|couple|ladies|guys)\b"
    ),
}
_SOMEBODY = r"^(man|woman|girl|boy|lady|guy|person|child|kid|dog|cat|group|couple)\b"
_BARE = re.compile(
    _SOMEBODY + r"(?= (is|in|on|with|of|wearing|sitting|standing|and|walks|sits|stands|runs|starts|"
    r"begins|talks|shows|plays))",
    re.IGNORECASE,
)
"""Whoever begins a sentence without an article, where the article is all that it lacks."""


_DISAGREES = re.compile(
    r"^(an?|the|one) ([a-z-]+ )?(man|woman|girl|boy|lady|guy|person|child|kid|dog|cat|player|"
    r"camera) (are|were|have|do|go|get|put|take|make|come|give|show|sit|stand|hold|talk|speak|walk|"
    r"run|jump|play|start|begin|throw|hit|ride|rake|cut|clean|wash|use|move|turn|pick|pull|push|look|try|"
    r"dance|continue|explain|demonstrate|perform|wear|fall|swim|climb|mow|brush|shake|lift|drop|open)\b"
)
"""One person and the verb of several."""


def mend(text: str) -> str:
    """Mend what typing does to a sentence: doubled words, missing blanks, capital, full stop."""
    text = re.sub(r"\b(a|an|and|the|to|is|of|in|on|with) \1\b", r"\1", " ".join(text.split()))
    text = re.sub(r"([,;]) *(?:\1 *)+", r"\1 ", text)
    text = re.sub(r',(?="?[A-Za-z])', ", ", text)
    text = re.sub(r"^(A|An|The|Two) (M[ae]n|Wom[ae]n|Boy|Girl|Lady)\b", _lowered, text)
    return tidy(_BARE.sub(lambda found: f"A {found[1].lower()}", tidy(text)))


def _lowered(found: re.Match[str]) -> str:
    return f"{found[1]} {found[2].lower()}"


def stands_alone(text: str) -> bool:
    """Tell whether a sentence is understood by itself, with none before it."""
    return opens(text) and not (_EARLIER.search(text.lower()) or names_somebody(text))


def opens(text: str) -> bool:
    """Tell whether a sentence can be the first: it does not begin with "he", or "after that"."""
    lower = text.lower()
    words = words_of(lower)
    if len(words) < 3 or _DANGLING.match(words[0]) or _ADVERB_FIRST.match(lower):
        return False
    if re.match(_SOMEBODY, lower) or _DISAGREES.match(lower):
        return False
    if words[0] in _SUBORDINATE and ("," not in text or PRONOUN.search(" ".join(words[1:3]))):
        return False
    return not _refers_back(lower)


def _refers_back(lower: str) -> bool:
    """Tell whether somebody is "him" and only women are named before, or the other way round."""
    for pronoun in _HE_OR_SHE.finditer(lower):
        before = lower[: pronoun.start()]
        sex = "he" if pronoun[1] else "she"
        if _PERSONS[""].search(before) and not _PERSONS[sex].search(before):
            return True
    return False


def follows(before: str, after: str) -> bool:
    """Tell whether a sentence is understood right after another: "she" after "a woman"."""
    if stands_alone(after):
        return True
    pattern = _NOUNS.get(words_of(after)[0])
    return bool(pattern and len(pattern.findall(before.lower())) == 1)


def alike(one: str, other: str) -> bool:
    """Tell whether two sentences share so many words that a question may mean either."""
    mine, others = set(words_of(one)), set(words_of(other))
    return len(mine & others) > 0.5 * min(len(mine), len(others))
