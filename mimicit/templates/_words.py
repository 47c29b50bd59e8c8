"""The words of a note of an action: spelling mended, and persons called what they are."""

import re

from mimicit.templates._verbs import Grammar


def tokens(text: str, grammar: Grammar) -> list[str] | None:
    """Split what somebody typed into words, spelling mended; None where it is no plain phrase."""
    text = " ".join(text.split()).strip(" .,;:!-")
    for wrong, right in grammar.mistakes:
        text = wrong.sub(right, text)
    for phrase in grammar.joined:
        text = re.sub(rf"\b{phrase}\b", phrase.replace(" ", "_"), text, flags=re.I)
    if re.search(r"[^A-Za-z0-9'\-_ é]|--|(?<!\S)-|-(?!\S)", text):
        return None
    return [
        word if word in grammar.proper or (len(word) == 1 and word != "A") else word.lower()
        for word in text.split()
    ]


def without_start(words: list[str]) -> list[str]:
    """Leave out what stands before the verb: "is", "still", "continues"."""
    if words[0] == "to":
        words = words[1:]
    if len(words) > 1 and words[0] in {"is", "are"} and words[1].endswith("ing"):
        words = words[1:]
    while len(words) > 1 and (
        words[0] in {"still", "now"}
        or (words[0] in {"continue", "continues"} and words[1].endswith("ing"))
    ):
        words = words[1:]
    return list(words)


def persons(words: list[str], grammar: Grammar, *, wearer: bool) -> list[str] | None:
    """Put persons into words that are clear without a list of letters; None where that fails.

    "a man X" is a man. "C" is the camera wearer, who is spoken to as "you".
    """
    known = grammar.words
    others = not wearer or bool({*words} & known["people"])
    made: list[str] = []
    for place, word in enumerate(words):
        single = len(word) == 1 and word.isalpha() and word != "a"
        if single and made and made[-1] in known["people"]:
            continue
        if word in {"c's", "C's"}:
            made.append("your")
        elif word == "C" and not wearer:
            made.append("you")
        elif single or re.fullmatch(r"[a-z]'s", word):
            return None
        elif word in known["people_pronouns"] and wearer and word != "its":
            if others or place + 1 == len(words) or words[place + 1] in known["prepositions"]:
                return None
            made.append("your")
        elif word in known["reflexive"]:
            if not wearer or others:
                return None
            made.append("yourself")
        else:
            made.append(word)
    return made
