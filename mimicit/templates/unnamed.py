"""Sentences about television characters, told without their names: "a man", "another woman".

A name is what is not said of anybody who looks at a picture, so it must not be learnt from one.
Who is a man and who is a woman is in `prompts/tv_names.yaml`. Where a sentence cannot be told
surely and well without its names, there is none: the rules here would rather say nothing.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from mimicit.facts import tidy
from mimicit.templates._cast import WORD, Sex, bare, cast_of, listed, titles_of

PLURAL: dict[Sex, str] = {"man": "men", "woman": "women"}
NUMBERS = ("", "a", "two", "three", "four", "five", "six")

_TITLE_DOT = re.compile(r"\b(Dr|Mr|Mrs|Ms|Sr|Jr)\.\s*", re.IGNORECASE)
_PLAIN: dict[Sex, re.Pattern[str]] = {
    "man": re.compile(r"\b(man|men|guys?|boys?|gentlem[ae]n|males?|dudes?)\b", re.IGNORECASE),
    "woman": re.compile(r"\b(wom[ae]n|lad(?:y|ies)|girls?|females?)\b", re.IGNORECASE),
}
_GROWN: dict[Sex, re.Pattern[str]] = {
    "man": re.compile(r"\b(?:man|men|guys?|gentlem[ae]n|males?|dudes?)\b", re.IGNORECASE),
    "woman": re.compile(r"\b(?:wom[ae]n|lad(?:y|ies)|females?)\b", re.IGNORECASE),
}
"""After one of these "a man" is another man; after a boy he is not."""
_LOOKS = r"(?P<looks>(?:(?!(?:of|with|and|to|in|on|from|an?|the|by|at|or|for)\b)[a-z-]+,? ){0,3})"
_NEW_PLAIN: dict[Sex, re.Pattern[str]] = {
    "man": re.compile(rf"\ban? {_LOOKS}(?P<noun>man|guy|boy|gentleman)\b"),
    "woman": re.compile(rf"\ban? {_LOOKS}(?P<noun>woman|lady|girl)\b"),
}
_JOINT = re.compile(r"\s*(?:,|,?\s+and|\s&)\s+")


_BROKEN = re.compile(
    r"\b([Aa]n?|[Tt]he) (an?|another)\b|\b([Hh]is|[Tt]heir|[Aa]nother) another\b|[.!?] +[a-z]"
)
"""Articles that cannot follow each other, and a full stop in the middle of a sentence."""


@dataclass(frozen=True, slots=True)
class _Mention:
    """Where a sentence names somebody.

    Attributes:
        start: Where the name begins.
        end: Where it ends.
        who: Whoever it is.
        sex: A man, or a woman.
        possessive: Whether something of theirs is told of.
        perhaps: Who it may be too: Mrs Green may be Rachel Green, or her mother.
    """

    start: int
    end: int
    who: str
    sex: Sex
    possessive: bool
    perhaps: str


def unnamed(sentence: str, show: str) -> str:
    """Tell a sentence without its names, or give "" where that cannot be done well.

    Args:
        sentence: What a describer wrote.
        show: Which show it is from, such as `friends`.
    """
    text = _TITLE_DOT.sub(lambda found: f"{found[1]} ", sentence.replace("\u2019", "'"))
    text = tidy(text)
    numbered = "Thirteen" in cast_of(show) and re.search(r"\b13\b", text)
    if '"' in text or not text.isprintable() or numbered:
        return ""
    mentions = _mentions(text, show)
    if mentions is None:
        return ""
    told = _told(text, mentions)
    return "" if _BROKEN.search(told) else tidy(told)


def _mentions(text: str, show: str) -> list[_Mention] | None:
    """Find everybody who is named, in order; None where a name is not understood."""
    cast, titles = cast_of(show), titles_of()
    words = list(WORD.finditer(text))
    found: list[_Mention] = []
    place = 0
    while place < len(words):
        run = _run(text, words, place, cast)
        if run is None:
            return None
        if not run:
            place += 1
            continue
        if _described([word[0].lower() for word in words[max(place - 2, 0) : place]]):
            return None
        mention = _mention(run, cast, titles)
        if mention is None:
            return None
        found.append(mention)
        place += len(run)
    unsure = any(a.who != b.who and a.perhaps == b.perhaps for a in found for b in found)
    return None if unsure else found


def _described(before: list[str]) -> bool:
    """Tell whether the words before a name belong to it: "the", "his friend", "a drunk"."""
    if not before:
        return False
    if before[-1] in listed("determiners") or before[-1] in listed("relations"):
        return True
    return before[0] in {"a", "an", "the"} and before[-1] not in listed("links") and len(before) > 1


def _run(
    text: str, words: list[re.Match[str]], place: int, cast: dict[str, tuple[str, Sex]]
) -> list[re.Match[str]] | None:
    """Give the words of a name that begins here, none where there is no name; None for a doubt."""
    run: list[re.Match[str]] = []
    for word in words[place:]:
        apart = bool(run) and text[run[-1].end() : word.start()] != " "
        if apart or (run and run[-1][0].endswith(("'s", "'"))):
            break
        base = bare(word[0])
        opening = word.start() == 0 or text[: word.start()].rstrip()[-1:] in {".", "!", "?"}
        if word[0][0].islower():
            named = base.capitalize() in cast
            if not named or (run and base in listed("words")):
                break
            if base in listed("words"):
                before = words[place - 1][0].lower() if place else ""
                if before in listed("determiners") or before.endswith("'s"):
                    break
                return None
        elif base in listed("ordinary") or (opening and base.lower() in listed("openers")):
            break
        run.append(word)
    return run


def _mention(
    run: list[re.Match[str]], cast: dict[str, tuple[str, Sex]], titles: dict[str, str]
) -> _Mention | None:
    """Say who it is that a run of capitalised words names; None where that is not sure."""
    names = [bare(word[0]) for word in run]
    given = [titles[name] for name in names if name in titles]
    names = [name if name[0].isupper() else name.capitalize() for name in names]
    rest = [name for name in names if name not in titles]
    if not rest or len(rest) > 2 or (len(rest) > 1 and _may_be_verb(rest[1], cast)):
        return None
    who = perhaps = " ".join(rest)
    sex: Sex | None = None
    title = given[0] if given else ""
    if rest[0] in cast:
        who, sex = cast[rest[0]]
        perhaps = who
        if title and who not in rest:
            who = " ".join(names)  # Mrs Green may be Rachel Green, or not
    if title and title not in {"either", sex}:
        sex = "man" if title == "man" else "woman"
        who = perhaps = " ".join(names)  # and Mrs Burke is not Burke
    if sex is None:
        return None
    possessive = run[-1][0] != bare(run[-1][0])
    return _Mention(run[0].start(), run[-1].end(), who, sex, possessive, perhaps)


def _may_be_verb(word: str, cast: dict[str, tuple[str, Sex]]) -> bool:
    """Tell whether the second word of a name may be none: "Castle Opens"."""
    return word not in cast and len(word) > 4 and word.endswith(("s", "ing", "ed"))


def _groups(text: str, mentions: list[_Mention]) -> list[list[_Mention]]:
    """Put together who is named in one breath: "A and B", "A, B and C"."""
    groups: list[list[_Mention]] = [[mention] for mention in mentions[:1]]
    for before, after in pairwise(mentions):
        between = text[before.end : after.start]
        if _JOINT.fullmatch(between):
            groups[-1].append(after)
        else:
            groups.append([after])
    whole = []
    for group in groups:
        joined = len(group) > 1 and re.search(r"and|&", text[group[-2].end : group[-1].start])
        apart = not joined or (len(group) == 2 and _acts_alone(text, group[-1].end))
        whole += [[one] for one in group] if apart else [group]
    return whole


def _acts_alone(text: str, end: int) -> bool:
    """Tell whether only the last of two acts: "A hands B to C and D walks away"."""
    word = WORD.search(text, end)
    return bool(word and word[0].endswith("s") and word[0] not in listed("not_verbs"))


def _told(text: str, mentions: list[_Mention]) -> str:
    """Put "a man" and the like in the place of names; "" where it would be unclear who is who."""
    total = {sex: len({m.who for m in mentions if m.sex == sex}) for sex in PLURAL}
    met: dict[Sex, list[str]] = {"man": [], "woman": []}
    pieces: list[str] = []
    last = 0
    for group in _groups(text, mentions):
        start, end = group[0].start, group[-1].end
        passage = text[last:start]
        said = _phrase(group, met, total, text)
        if said is None:
            return ""
        pieces += [passage, said]
        last = end
        if len(group) > 1 and _acts_alone(text, end):
            return ""
        for one in group:
            if one.who not in met[one.sex]:
                met[one.sex].append(one.who)
    pieces.append(text[last:])
    return _with_strangers("".join(pieces), text, mentions)


def _phrase(
    group: list[_Mention], met: dict[Sex, list[str]], total: dict[Sex, int], text: str
) -> str | None:
    if len(group) > 1 and (any(m.possessive for m in group) or len({m.who for m in group}) < 2):
        return None
    if len(group) == 1:
        return _single(group[0], met, total, text)
    if any(one.who in met[one.sex] for one in group):
        return None
    parts = []
    for sex in dict.fromkeys(one.sex for one in group):
        count = len({one.who for one in group if one.sex == sex})
        if count >= len(NUMBERS):
            return None
        other = bool(met[sex]) or _stranger_before(text, group[0].start, sex)
        if count == 1:
            parts.append(f"another {sex}" if other else f"a {sex}")
        else:
            parts.append(f"{NUMBERS[count]} {'other ' if other else ''}{PLURAL[sex]}")
    return " and ".join(parts)


def _single(
    one: _Mention, met: dict[Sex, list[str]], total: dict[Sex, int], text: str
) -> str | None:
    ending = "'s" if one.possessive else ""
    known = met[one.sex]
    if one.who in known:
        if total[one.sex] == 1 and not _PLAIN[one.sex].search(text):
            return f"the {one.sex}{ending}"
        return None
    if len(known) > 1:
        return None
    other = bool(known) or _stranger_before(text, one.start, one.sex)
    return f"{'another' if other else 'a'} {one.sex}{ending}"


def _stranger_before(text: str, end: int, sex: Sex) -> bool:
    return bool(_GROWN[sex].search(text, 0, end))


def _with_strangers(told: str, text: str, mentions: list[_Mention]) -> str:
    """Tell those apart who had no name before: "a man" after somebody named is another man.

    "A tall man" and "a boy" are told apart as they are.
    """
    for sex in PLURAL:
        named = [mention for mention in mentions if mention.sex == sex]
        plain = [found.start() for found in _PLAIN[sex].finditer(text)]
        late = [place for place in plain if named and place > named[0].start]
        if not late:
            continue
        if len(late) > 1 or len(plain) > len(late) or len({m.who for m in named}) > 1:
            return ""
        mark = next(_spans(told, sex), -1)
        head, tail = told[:mark], told[mark:]
        new = _NEW_PLAIN[sex].search(tail)
        if mark < 0 or not new:
            return ""
        if not new["looks"] and new["noun"] not in {"boy", "girl"}:
            told = f"{head}{tail[: new.start()]}another {new['noun']}{tail[new.end() :]}"
    return told


def _spans(told: str, sex: Sex) -> Iterator[int]:
    """Give where the words for the first who was named end."""
    first = re.search(rf"\b(a|A) {sex}\b", told)
    if first:
        yield first.end()
