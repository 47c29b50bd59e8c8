"""What instructions and answers say, as numbers that a million of them can be compared by."""

import functools
import hashlib
import operator
import re
import zlib

WORDS = 4
"""64-bit numbers that hold the words of a text: 256 bits, one of which stands for each word."""

YES, NO, COUNT = 1, 2, 3
"""Classes of answers; a count of n is of class `COUNT + n`, and 0 is any other answer."""

_SMALL_WORDS = """
a an the this that these those there here it its is are was were be been being am do does did
has have had can could may might will would shall should of in on at by to for from with and
or but not no yes as than then so very also too i you he she they we my your his her their our
me him them us what which who whom whose where when why how one ones some any each both
picture pictures image images photo photograph photographs video see seen show shows shown
find found
"""

_SMALL = frozenset(_SMALL_WORDS.split())
"""Words that say nothing about what a picture shows."""

_NUMBERS = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
sixteen seventeen eighteen nineteen twenty
"""

_COUNTS = {name: n for n, name in enumerate(_NUMBERS.split())} | {"none": 0, "single": 1}

_WORD = re.compile(r"\w+")

_SENTENCE_END = re.compile(r"[.!?]+[\"'\u201d\u2019]*\s|[\"\u201c\u201d\n]+")

SENTENCES = 8
"""Sentences of an answer that are looked for in examples; of an instruction and its answer,
twice as many are looked through."""

MOST_WORDS = 1 << 17
"""Words whose bit is kept."""

LEAST_WORDS = 4
"""Words of a sentence that says something of its own."""


def digest(instruction: str, answer: str) -> int:
    """Give 64 bits that are the same for the same question and answer, whatever their capitals."""
    return hash64(f"{instruction}\0{answer}".casefold())


def hash64(text: str) -> int:
    """Give 64 bits that stand for a text, the same on every machine."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8)
    return int.from_bytes(digest.digest(), "little")


def answer_class(answer: str) -> int:
    """Tell a yes, a no, and a short answer that gives one number, from all others."""
    found = _WORD.match(answer)
    first = found[0].lower() if found else ""
    if first == "yes":
        return YES
    if answer.count(" ") > 12 or len(answer) > 200:
        return NO if first == "no" else 0
    words = _WORD.findall(answer.lower())
    if first == "no" and len(words) != 2:  # `No dogs.` is none of them
        return NO
    numbers = {_COUNTS.get(word, int(word) if word.isdecimal() else -1) for word in words} - {-1}
    return COUNT + min(numbers.pop(), 1_000_000) if len(numbers) == 1 else 0


def content(instruction: str, answer: str) -> tuple[int, int]:
    """Say which words an instruction gives, as bits: those its answer adds, and all of its words.

    An answer that adds none to its question stands with all that it says.
    """
    asked, said = _bits_of(instruction), _bits_of(answer)
    return said & ~asked or said, asked | said


def sentences(text: str, most: int) -> list[int]:
    """Give a hash, above 0, of each of a text's first sentences that says something of its own."""
    found: list[int] = []
    if text.count(" ") < LEAST_WORDS - 1:
        return found
    for part in _SENTENCE_END.split(text + " "):
        words = _WORD.findall(part.lower())
        if len(words) >= LEAST_WORDS and len(found) < most:
            said = " ".join(words).encode("utf-8", "surrogatepass")
            found.append(zlib.crc32(said) | 1)
    return found


class _Bits(dict[str, int]):
    """The bit of each word met so far, which singular and plural share; 0 for a small word."""

    def __missing__(self, word: str) -> int:
        stem = word[:-1] if len(word) > 3 and word.endswith("s") else word
        place = zlib.crc32(stem.encode("utf-8", "surrogatepass")) % (64 * WORDS)
        bit = 0 if word in _SMALL or stem in _SMALL else 1 << place
        if len(self) < MOST_WORDS:
            self[word] = bit
        return bit


_BIT = _Bits()


def _bits_of(text: str) -> int:
    return functools.reduce(operator.or_, map(_BIT.__getitem__, _WORD.findall(text.lower())), 0)
