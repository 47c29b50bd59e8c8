"""Whose a thing is in a note of an action: "his" may be the wearer's, or somebody else's."""

from mimicit.templates._verbs import Grammar


def nobody_else(words: list[str], grammar: Grammar) -> bool:
    """Tell whether no person and no animal is told of beside the one who acts."""
    return not {*words} & (grammar.words["people"] | grammar.words["beings"])


def pronouns_are_sure(words: list[str], grammar: Grammar) -> bool:
    """Tell whether "his" and "her" are of the one who acts, as nobody else can be meant.

    Whoever gives the customer his change or brushes the llama on his back may mean another.
    """
    sets = grammar.words
    links = sets["prepositions"] | sets["joined_prepositions"] | {"and"}
    before = links | sets["particles"] | {*grammar.forms}
    verb = grammar.forms.get(words[0], "")
    for place, word in enumerate(words):
        if word not in sets["people_pronouns"] - {"its"}:
            continue
        lead, noun = words[place - 1], next(iter(words[place + 1 :]), "")
        if lead not in before or not nobody_else(words, grammar):
            return False
        if noun == "hair" and verb in sets["salon"]:
            return False
        if lead in links and place > 2 and noun in sets["limbs"] and verb not in sets["moving"]:
            return False
    return True
