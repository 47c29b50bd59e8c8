"""The words that reading actions needs, and the forms of English verbs.

`prompts/templates/narrations.yaml` has the words.
"""

import re
from collections.abc import Mapping
from functools import cached_property

from pydantic import BaseModel

_VOWELS = "aeiou"


class Grammar(BaseModel, extra="forbid"):
    """The part `grammar` of `prompts/templates/narrations.yaml`: lists of words."""

    objects: str
    places: str
    free: str
    either: str
    doubled: str
    irregular: Mapping[str, str]
    particles: str
    particles_on: str
    clothes: str
    particles_in: str
    particles_place: str
    prepositions: str
    joined: tuple[str, ...]
    joined_prepositions: str
    determiners: str
    articles: str
    adverbs: str
    bare: str
    after_and: str
    broad: str
    lasting: str
    amounts: str
    body: str
    own: Mapping[str, str]
    salon: str
    limbs: str
    moving: str
    people: str
    beings: str
    directions: str
    adjectives: str
    odd: str
    people_pronouns: str
    reflexive: str
    proper: tuple[str, ...]
    spelling: Mapping[str, str]
    misspelt: str

    @cached_property
    def words(self) -> Mapping[str, frozenset[str]]:
        """Each list as a set."""
        lists = self.model_dump()
        return {name: frozenset(x.split()) for name, x in lists.items() if isinstance(x, str)}

    @cached_property
    def forms(self) -> Mapping[str, str]:
        """Each form of a verb, and the verb."""
        words = self.words
        verbs = words["objects"] | words["places"] | words["free"] | words["either"]
        made = {_third(verb): verb for verb in verbs}
        return made | {self.doing(verb): verb for verb in verbs} | {verb: verb for verb in verbs}

    @cached_property
    def mistakes(self) -> tuple[tuple[re.Pattern[str], str], ...]:
        """What is spelt otherwise."""
        pairs = self.spelling.items()
        return tuple((re.compile(rf"\b{wrong}\b", re.I), right) for wrong, right in pairs)

    def doing(self, verb: str) -> str:
        """Give the form of a verb that ends in -ing."""
        if verb in self.irregular:
            return self.irregular[verb]
        if verb in self.words["doubled"]:
            return f"{verb}{verb[-1]}ing"
        silent = verb.endswith("e") and not verb.endswith(("ee", "oe", "ye"))
        return f"{verb[:-1] if silent else verb}ing"


def _third(verb: str) -> str:
    if verb.endswith(("s", "x", "z", "ch", "sh")):
        return f"{verb}es"
    if verb.endswith("y") and verb[-2] not in _VOWELS:
        return f"{verb[:-1]}ies"
    return f"{verb}s"
