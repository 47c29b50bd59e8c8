"""Whether what somebody typed is a whole sentence: one that has a verb of its own.

"The mayor announcing the guest speaker." and "A picture of the cake." have none, and in "The lobby
where you wait." the only one is that of a part of it. Words are looked up in lists, as no grammar
of English is at hand; what is not known for a verb is taken for none, so that in doubt a sentence
is left out.
"""

import re
from collections.abc import Iterator
from functools import cached_property

from pydantic import BaseModel


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_DETERMINERS = _set(
    "a an the my our your his her its their this these those some any no many few all both each "
    "every another several most other two three four five six seven eight nine ten"
)
_ALONE = _set("this these those some many few all both most two three four several")
"""Determiners that stand for a thing themselves, too: "some looked like stars"."""

_PREPOSITIONS = _set(
    "of with in by for from on at to into onto over under near about like without through between "
    "around behind beside than as"
)
_SUBJECTS = _set(
    "i we they you he she it who that which everyone everybody nobody somebody someone"
)
_OBJECTS = _set("me us him her it them you up out down off")
_MANY = _set(
    "i we they you who that which these those people children men women couple police some many "
    "all both others two three four five six most few"
)
_ADVERBS = _set(
    "also always never often usually sometimes finally then just really still even all both soon "
    "quickly slowly only each together first now later not almost actually already once here "
    "there"
)
_NO_ADVERBS = _set("family butterfly jelly belly fly italy ally bully lily")
_OPENERS = _set("and but so then well oh also")
_AUXILIARY = _set(
    "is was are were am has have had do does did can could will would should may might must"
)
_BEING = _set("be been being get gets getting got is was are were am has have had")
_TIMES = _set(
    "day night morning time year weekend evening week month summer moment afternoon today "
    "yesterday tonight sudden"
)
_SUBORDINATE = _set(
    "who which whose where when while because if although though whenever why what how that unless"
)
_PERHAPS = _set("as after before until since once like")
"""They begin a part of a sentence where somebody follows who does something."""

_CLIPPED = re.compile(r"(?:n't|'(?:re|ve|ll|m|d))$|^(?:it|that|he|she|there|here|what|who|let)'s$")
_EXCLAIMED = re.compile(r"^(?:what an?|how|such an?|welcome|thanks?|happy|good|merry)\b.*!$")
_ASKED = re.compile(r"^(?:look|look at|check out|enjoy|imagine|let|notice) \w+")


class Verbs(BaseModel, extra="forbid"):
    """Lists of verbs, part of `prompts/templates/stories.yaml`.

    Attributes:
        finite: Forms that are the verb of a sentence wherever they stand: "was", "went".
        past: Forms that may be a participle as well: "made".
        present: Verbs as a dictionary has them.
        participles: Words in -ed that say how something is, as a rule: "decorated with lights".
    """

    finite: frozenset[str]
    past: frozenset[str]
    present: frozenset[str]
    participles: frozenset[str]

    @cached_property
    def _third(self) -> frozenset[str]:
        """The forms of "he", "she" and "it"."""
        return frozenset(map(_with_s, self.present))

    def are_whole(self, sentence: str) -> bool:
        """Tell whether a sentence has a verb that is not that of a part of it."""
        text = sentence.lower()
        if _EXCLAIMED.search(text) or _ASKED.search(text):
            return True
        words = re.findall(r"[a-z]+(?:'[a-z]+)*'?|,", text)
        places = [at for at in range(len(words)) if self._is_verb(words, at)]
        for taken in self._taken(words, places):
            places.remove(taken)
        return bool(places) and not _is_named_only(words, places)

    def _taken(self, words: list[str], places: list[int]) -> Iterator[int]:
        """Give the verbs of parts of a sentence, such as "wait" in "where you wait"."""
        taken: set[int] = set()
        for at, word in enumerate(words):
            start = all(before in _OPENERS or before == "," for before in words[:at])
            following = words[at + 1] if at + 1 < len(words) else ""
            if (word, following) == ("because", "of") or (word == "while" and words[at - 1] == "a"):
                continue
            if word in _SUBORDINATE:
                # "what is that?" is a question, and "that was fun" is whole
                part = not start or not (at + 1 in places or word == "that")
            else:
                part = word in _PERHAPS and following in _SUBJECTS - {"that"}
            if word == "that":  # not "that night", "after that"
                known = following in _SUBJECTS | _DETERMINERS or at + 1 in places
                part &= known and words[at - 1] not in _PREPOSITIONS | _PERHAPS
            if part:
                found = next((place for place in places if place > at), None)
                if found is not None and found not in taken:
                    taken.add(found)
                    yield found

    def _is_verb(self, words: list[str], at: int) -> bool:
        word = words[at]
        before = _before(words, at)
        if word in self.finite or _CLIPPED.search(word):
            return _has_subject(words, at)
        if word in self.past or (word.endswith("ed") and len(word) > 3):
            return self._is_past(words, at, before)
        if word in self._third:
            if before in _ALONE and words[at + 1 : at + 2] and words[at + 1] in _OBJECTS:
                return True
            return bool(before) and before not in _DETERMINERS | _PREPOSITIONS | {"and", "to", ","}
        if word not in self.present or words[0].endswith(
            "ing"
        ):  # "enjoying watching children play"
            return word in self.present and before in _SUBJECTS
        return before in _MANY or _is_plural(before) or _are_two(words[:at])

    def _is_past(self, words: list[str], at: int, before: str) -> bool:
        """Tell "dad grilled it" from "a grilled fish" and "a cake decorated with flowers"."""
        if before in _SUBJECTS:
            return True
        following = words[at + 1] if at + 1 < len(words) else ""
        if not before or before in _DETERMINERS | _PREPOSITIONS | _BEING | {"to"}:
            doing = words[at] in self.past and words[at] not in self.participles
            return before in _ALONE and (
                doing or following in _DETERMINERS | _PREPOSITIONS | _OBJECTS
            )
        last = not following or following in _PREPOSITIONS | {",", "and", "to"}
        return not (last and words[at] in self.participles)


def _has_subject(words: list[str], at: int) -> bool:
    """Tell "took a look inside" from "we took a look" and from "did they look?"."""
    own = words[at].partition("'")[0] in _SUBJECTS | {"there", "here", "what", "let", "don"}
    if not all(word in _OPENERS for word in words[:at]) or ("'" in words[at] and own):
        return True
    following = words[at + 1] if at + 1 < len(words) else ""
    asking = words[at] in _AUXILIARY | {"came"} or words[at].endswith("n't")
    return asking and following in _SUBJECTS | {"there", "the", "my", "our", "this"}


def _is_named_only(words: list[str], places: list[int]) -> bool:
    """Tell whether a thing is named and nothing said of it: "the house we toured"."""
    if len(places) > 1 or words[0] not in _DETERMINERS - {"each", "every"}:
        return False
    subject = places[0] - 1
    while subject > 0 and (words[subject] in _ADVERBS or words[subject].endswith("ly")):
        subject -= 1
    several = {"i", "we", "they", "you", "he", "she", "it"}
    if subject < 2 or words[subject] not in several:  # "the" and a noun
        return False
    if any(word.removesuffix("s") in _TIMES for word in words[:subject]):
        return False
    return words[subject - 1] not in _OPENERS | _PREPOSITIONS | _ADVERBS | {","}


def _before(words: list[str], at: int) -> str:
    """Give the word before, adverbs left out; "" at the beginning."""
    for word in reversed(words[:at]):
        if word not in _ADVERBS and (not word.endswith("ly") or word in _NO_ADVERBS):
            return word
    return words[0] if at and words[0] in _MANY else ""


def _are_two(words: list[str]) -> bool:
    """Tell whether words name two and nothing else: "the bride and her groom"."""
    several = "and" in words[1:][-3:-1] and _PREPOSITIONS.isdisjoint(words)
    return several and len(words) < 8 and not (words[-1] in _DETERMINERS or "'" in words[-1])


def _is_plural(word: str) -> bool:
    return word.endswith("s") and not word.endswith(("ss", "'s", "us")) and len(word) > 3


def _with_s(verb: str) -> str:
    if verb.endswith(("s", "sh", "ch", "x", "z", "o")):
        return f"{verb}es"
    return f"{verb[:-1]}ies" if re.search(r"[^aeiou]y$", verb) else f"{verb}s"
