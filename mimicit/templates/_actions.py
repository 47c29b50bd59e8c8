"""What somebody notes that a person does, as parts of speech: "Takes plate", "taking the plate".

Notes of actions begin with a verb in any form ("take", "takes", "taking") and often lack articles.
Here they are read word by word; what does not fit into a simple pattern of English is left out.
`prompts/templates/narrations.yaml` has the words.
"""

from dataclasses import dataclass, field

from mimicit.templates._verbs import Grammar
from mimicit.templates._whose import nobody_else, pronouns_are_sure
from mimicit.templates._words import persons, without_start


@dataclass(frozen=True, slots=True)
class Action:
    """Words of an action; each verb stands in the form that it has after "to".

    Attributes:
        words: The words.
        verbs: Places of the verbs whose form depends on the sentence.
        grammar: What gives the other form.
    """

    words: tuple[str, ...]
    verbs: tuple[int, ...]
    grammar: Grammar = field(repr=False, compare=False)

    @property
    def do(self) -> str:
        """Say it after "you": "take the plate"."""
        return " ".join(self.words).replace("_", " ")

    @property
    def broad(self) -> bool:
        """Whether it takes long, and other things are done meanwhile."""
        broad = self.grammar.words["broad"]
        return any(self.words[place] in broad for place in self.verbs)

    @property
    def lasting(self) -> bool:
        """Whether it may go on while the next thing is done."""
        lasting = self.grammar.words["lasting"]
        return self.broad or any(self.words[place] in lasting for place in self.verbs)

    def repeats(self, other: "Action") -> bool:
        """Tell whether both name the same action, one perhaps with more words."""
        small = self.grammar.words["prepositions"] | self.grammar.words["articles"]
        mine, theirs = {*self.words} - small, {*other.words} - small
        return self.words[0] == other.words[0] and (mine <= theirs or theirs <= mine)

    @property
    def doing(self) -> str:
        """Say it after "you are": "taking the plate"."""
        words = [
            self.grammar.doing(word) if place in self.verbs else word
            for place, word in enumerate(self.words)
        ]
        return " ".join(words).replace("_", " ")


def read(words: list[str], grammar: Grammar, *, wearer: bool) -> Action | None:
    """Read an action of the wearer, or of another person; None where it cannot be told properly."""
    return _Reader(words, grammar, wearer=wearer).action()


class _Reader:
    """Goes through the words of an action, from the first to the last."""

    def __init__(self, words: list[str], grammar: Grammar, *, wearer: bool) -> None:
        self._grammar = grammar
        self._sets = grammar.words
        self._wearer = wearer
        given = without_start(words)
        self._alone = nobody_else(given, grammar)
        sure = not wearer or pronouns_are_sure(given, grammar)
        self._words = (persons(given, grammar, wearer=wearer) or []) if sure else []
        self._at = 0
        self._out: list[str] = []
        self._verbs: list[int] = []
        self._opening = True  # a thing may begin here
        self._from = 0  # where the last one began
        self._led = False  # something like "into" stands before
        self._thing = False  # the verb has its thing
        self._placed = False  # and a place

    def action(self) -> Action | None:
        """Give the action, or None."""
        if not self._words or {*self._words} & (self._sets["odd"] | self._sets["misspelt"]):
            return None
        while True:
            if not self._phrase():
                return None
            if self._at == len(self._words):
                return Action(tuple(self._out), tuple(self._verbs), self._grammar)
            self._take()  # "and"

    def _next(self, ahead: int = 0) -> str:
        place = self._at + ahead
        return self._words[place] if place < len(self._words) else ""

    def _take(self) -> str:
        self._out.append(self._words[self._at])
        self._at += 1
        return self._out[-1]

    def _is_verb(self, ahead: int) -> bool:
        """Tell whether a word after "and" is another verb."""
        word = self._next(ahead)
        return word in self._grammar.forms and word not in self._sets["after_and"]

    def _phrase(self) -> bool:
        """Read a verb and what belongs to it, up to the next verb or to the end."""
        verb = self._grammar.forms.get(self._next(), "")
        if not verb:
            return False
        self._verbs.append(len(self._out))
        self._at += 1
        self._out.append(verb)
        if self._next() == "and" and self._is_verb(1):
            return verb in self._sets["objects"]  # "peel and chop the onion"
        placed = self._particle(verb)
        if placed is None:
            return False
        return self._arguments(verb, placed=placed)

    def _particle(self, verb: str) -> bool | None:
        """Take what may stand between a verb and its object; tell whether it is a place."""
        word = self._next()
        worn = self._words[-1] in self._sets["clothes"]
        allowed = (
            word in self._sets["particles"]
            or (word == "on" and verb in self._sets["particles_on"])
            or (word == "on" and verb == "put" and worn)
            or (word == "in" and verb in self._sets["particles_in"])
        )
        if not allowed:
            return False
        place = word in self._sets["particles_place"] or word == "on"
        if verb in self._sets["places"] and not place:
            return None
        self._take()
        return place

    def _arguments(self, verb: str, *, placed: bool) -> bool:
        """Read things, places and adverbs; tell whether the verb has all that it needs."""
        begun = len(self._out)
        self._opening, self._led, self._thing, self._placed = True, False, False, placed
        links = self._sets["prepositions"] | self._sets["joined_prepositions"]
        while self._at < len(self._words):
            word = self._next()
            if word == "and" and self._is_verb(1):
                break
            if word in self._sets["adverbs"]:
                self._take()
                continue
            if word in self._sets["directions"] and self._is_last(1) and self._next(1) != "of":
                if not self._direct():
                    return False
                continue
            if word == "and":
                step = self._join
            elif word in links:
                step = self._lead
            else:
                step = self._trail if word in self._sets["particles"] else self._name
            if not step():
                return False
        return self._is_whole(verb, begun, thing=self._thing, placed=self._placed)

    def _is_last(self, ahead: int) -> bool:
        """Tell whether what a word belongs to is over when it comes."""
        links = self._sets["prepositions"] | self._sets["joined_prepositions"]
        return self._next(ahead) in links | self._sets["adverbs"] | {"and", ""}

    def _direct(self) -> bool:
        """Take a word that says where to, as "left" and "upstairs" do."""
        if self._opening and self._led:
            if self._next() in {"left", "right"}:
                self._out.append("the")
            elif self._out[-1] != "from":
                return False
        self._take()
        self._placed, self._opening, self._led = True, False, False
        return True

    def _join(self) -> bool:
        """Take the "and" between two things."""
        if self._opening or not self._next(1):
            return False
        self._take()
        return True

    def _lead(self) -> bool:
        """Take what leads to a place or to another thing: "into", "with", "of"."""
        word = self._next()
        if (self._opening and self._led) or (word == "to" and self._next(1) in self._grammar.forms):
            return False
        measured = word == "of" and self._out[-1].removesuffix("s") in self._sets["amounts"]
        self._take()
        self._placed = self._placed or word != "of"
        self._led, self._opening = True, not measured
        return True

    def _trail(self) -> bool:
        """Take what stands after a thing and says where it goes: "down", "away"."""
        links = self._sets["prepositions"] | self._sets["joined_prepositions"] | {"and", ""}
        if self._next(1) not in links:
            return False
        self._take()
        self._placed, self._opening = True, False
        return True

    def _name(self) -> bool:
        """Take a word of a thing's name."""
        self._thing = self._thing or not self._led
        if self._opening:
            self._from = len(self._out)
            if not self._begin_thing():
                return False
        elif {self._next()} & {*self._out[self._from :], *self._sets["articles"]}:
            return False  # "mix the wash the rice", "the dough half dough"
        links = self._sets["prepositions"] | self._sets["particles"] | {"and", ""}
        # "hands you a plate": another thing follows at once
        self._opening = self._take() == "you" and self._next() not in links
        return True

    def _begin_thing(self) -> bool:
        """Write the article that a thing lacks, or "your"; tell whether the words make sense."""
        word, following = self._next(), self._next(1)
        if word in self._sets["articles"]:
            return self._after_article(word, following)
        given = word in self._sets["determiners"] | self._sets["people_pronouns"]
        bare = self._out[-1] in {"in", "into"} and {word, following} & self._sets["bare"]
        if given or bare or word[0].isdigit():
            return True
        sided = word in {"left", "right"}
        noun = following if sided else word
        if noun in self._sets["body"] or noun in self._grammar.own:
            return self._begin_body(noun, self._next(2 if sided else 1))
        self._out.append("a" if word in self._sets["people"] else "the")
        return not (word in self._sets["adjectives"] and self._is_last(1))

    def _begin_body(self, noun: str, following: str) -> bool:
        """Write whose hand it is; tell whether that is sure."""
        verb = self._out[self._verbs[-1]]
        if following == "of":
            self._out.append("the")
            return True
        if verb == "shake" and noun == "hands" and following == "with":
            return True
        self._out.append("your")
        return self._wearer and self._is_own(noun)

    def _is_own(self, noun: str) -> bool:
        """Tell whether a part of a body is surely the wearer's."""
        verb = self._out[self._verbs[-1]]
        if noun in self._grammar.own:
            return self._alone and verb in self._grammar.own[noun].split()
        return self._alone or (self._led and "with" in self._out[-2:])

    def _after_article(self, article: str, following: str) -> bool:
        """Tell whether an article has a thing after it; the wearer's own hand is "your hand"."""
        wrong = self._sets["prepositions"] | self._sets["determiners"] - {"two", "three", "few"}
        if not following or following in wrong:
            return False
        sided = following in {"left", "right"}
        noun, after = (self._next(2), self._next(3)) if sided else (following, self._next(2))
        part = noun in self._sets["body"] or noun in self._grammar.own
        if self._wearer and article == "the" and part and after != "of":
            if self._is_own(noun):
                self._words[self._at] = "your"
            elif not self._alone:
                return False
        return not (following in self._sets["adjectives"] and self._is_last(2))

    def _is_whole(self, verb: str, begun: int, *, thing: bool, placed: bool) -> bool:
        """Tell whether a verb has what it needs, and nothing hangs at the end."""
        if not self._ends_well(verb, thing=thing):
            return False
        if verb in self._sets["free"]:
            return not thing
        if verb in self._sets["either"]:
            return len(self._out) > begun or placed or self._out[-1] != verb
        return thing and (placed or verb not in self._sets["places"])

    def _ends_well(self, verb: str, *, thing: bool) -> bool:
        """Tell whether the last word may be the last one."""
        last = self._out[-1]
        if last in self._sets["articles"] | {"your", "some", "more", "another"}:
            return False
        links = self._sets["prepositions"] | self._sets["joined_prepositions"]
        if last not in links or last in self._sets["directions"]:
            return True
        if last not in {"on", "off", "over", "in", "around", "through"}:
            return False
        if verb in self._sets["places"]:  # "put the lid on"
            return self._out[-2] in self._sets["clothes"]
        return thing or verb not in self._sets["objects"]
