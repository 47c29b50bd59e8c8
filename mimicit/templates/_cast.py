"""Who is who in television shows: the file `prompts/tv_names.yaml`."""

import re
from functools import cache
from typing import Literal

from pydantic import BaseModel

from mimicit.shipped import parse_shipped, shipped

Sex = Literal["man", "woman"]

WORD = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*'?")


class _Names(BaseModel, extra="forbid"):
    """The file `prompts/tv_names.yaml`."""

    shows: dict[str, dict[Sex, tuple[str, ...]]]
    anywhere: dict[Sex, str]
    titles: dict[str, str]
    words: str
    ordinary: str
    openers: str
    determiners: str
    relations: str
    links: str
    not_verbs: str


@cache
def _names() -> _Names:
    text = shipped(__name__, "prompts", "tv_names.yaml").read_bytes()
    return _Names.model_validate(parse_shipped(text))


@cache
def listed(field: str) -> frozenset[str]:
    """Give the words of one of the lists."""
    return frozenset(getattr(_names(), field).split())


@cache
def titles_of() -> dict[str, str]:
    """Map each title to whom it is for: a man, a woman, or either."""
    return {word: sex for sex, words in _names().titles.items() for word in words.split()}


@cache
def cast_of(show: str) -> dict[str, tuple[str, Sex]]:
    """Map each name to the character who bears it, and whether that is a man or a woman."""
    found: dict[str, tuple[str, Sex]] = {}
    for sex, names in _names().anywhere.items():
        found |= {name: (name, sex) for name in names.split()}
    for sex, characters in _names().shows.get(show, {}).items():
        for character in characters:
            first, *_ = called = character.split()
            found |= dict.fromkeys(called, (first, sex))
    return found


def names_somebody(text: str) -> bool:
    """Tell whether a first name occurs in a sentence."""
    return any(bare(word) in cast_of("") for word in WORD.findall(text))


def bare(word: str) -> str:
    """Take the ending of the genitive off a word."""
    return re.sub(r"('s|')$", "", word)
