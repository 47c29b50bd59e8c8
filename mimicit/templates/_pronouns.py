"""Whether a sentence is clear by itself: each "he", "they" and "it" follows who it stands for.

"This made him happy." leaves open who is meant; "Dad laughed as this made him happy." does not.
"""

import re

from mimicit.facts import words_of


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_ONE = _set("he she him her his hers himself herself")
_SEVERAL = _set("they them their theirs themselves")
_THING = _set("it its itself")

_DETERMINERS = _set(
    "a an the my our your this that these those some each every another no one two three"
)
_PREPOSITIONS = _set("in on at to of for from with by into down up over under near after")
_PERSON = re.compile(
    r"(?:.*(?:man|woman|boy|girl|person|mom|mommy|mother|dad|daddy|father|son|daughter|brother"
    r"|sister|friend|husband|wife|kid|child|baby|uncle|aunt|cousin|niece|nephew|bride|groom|bridesmaid|boss"
    r"|grandma|grandpa|graduate|student|guest|guy|lady|toddler|gentleman|couple|dog|puppy|cat|kitten"
    r"|horse|bird|king|queen|captain|guard|chef|nurse|neighbor|sibling|teen|athlete|attendee"
    r"|fiance|fiancee|president|priest|pastor|coach|mascot|santa|clown|cop|dean|employee|everyone"
    r"|everybody|someone|somebody|nobody|anyone)|[a-z]{3,}(?:er|or|ist|ian))(?:'s)?"
)
_GROUP = _set(
    "people everyone everybody someone somebody nobody family families couple band team crowd "
    "group police men women children and many most others parents"
)
_EXPLETIVE = re.compile(
    r"^(?:\w+,? ){0,2}it(?:'s|'d been| (?:was|is|had been|has been|took|felt|seemed|looked like"
    r"|rained|snowed|turned out))\b.*\b(?:an?|the|my|our|so|time|raining|snowing|cold|hot|warm"
    r"|chilly|dark|late|early|sunny|to|rained|snowed|that)\b"
)


def are_clear(sentence: str, told: str = "") -> bool:
    """Tell whether each pronoun of the third person has somebody or something before it.

    Args:
        sentence: The sentence.
        told: What was said just before, which may name a person or several.
    """
    earlier, words = words_of(told), words_of(sentence)
    opens = bool(told) or bool(_EXPLETIVE.search(sentence.lower()))
    for at, word in enumerate(words):
        bare, before = word.partition("'")[0], words[:at]
        if bare in _ONE and not any(map(_PERSON.fullmatch, earlier + before)):
            return False
        if bare in _SEVERAL and not any(map(_is_group, earlier + before)):
            return False
        if bare in _THING and not opens and not _names_something(before):
            return False
    return True


def _is_group(word: str) -> bool:
    return word in _GROUP or _is_plural(word)


def _is_plural(word: str) -> bool:
    return len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "'s", "was"))


def _names_something(words: list[str]) -> bool:
    """Tell whether words hold a thing: several, or a determiner and what follows it.

    "Down the stairs it went." holds none that "it" could be.
    """
    for at, word in enumerate(words[:-1]):
        part = words[at - 1 : at] and words[at - 1] in _PREPOSITIONS
        of_it = words[-1] in _PREPOSITIONS and len(words) - at < 4  # "a photo of it"
        if word in _DETERMINERS and not part and not of_it:
            return True
    return any(map(_is_plural, words))
