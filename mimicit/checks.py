"""What an exchange must satisfy to be kept. Each check is a function that gives a reason, or "".

The patterns look for what data of this kind is known to go wrong by: tokens that trainers reserve,
answers that decline or speak of the annotations instead of the picture, captions in which an
annotator says that there was nothing to caption.
"""

import re
from collections.abc import Iterator, Sequence

from mimicit.schema import Exchange

SPECIAL_TOKENS = re.compile(
    r"<[\s/]{0,3}((image|img|video|audio)[^<>]{0,60}|(im|vision|start_of|end_of|unused|extra_id)_\w+"
    r"|answer|pad|s|unk|eos|bos|mask|think(ing)?|tool_call|start-image|bbox|ref-object|cot-process)"
    r"[\s/]{0,3}>"
    r"|<[|｜][^|｜<>]{1,40}[|｜]>|\[/?(INST|IMG(_\w{1,10})?)\]|<</?SYS>>",  # noqa: RUF001
    re.IGNORECASE,
)
"""Tokens that trainers give a meaning of their own (Otter, LLaVA, ChatML, Llama, Gemma, …)."""

HIDDEN = re.compile(
    "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\ud800-\\udfff\\ufffe\\uffff\\u202a-\\u202e\\u2066-\\u2069]"
)
"""Control characters, halves of surrogate pairs, and marks that turn the direction of writing."""

_THE = r"(the|this|these|those|each) ((provided|given|original|image|picture|photo) ){0,2}"
_NOTES = r"(captions?|annotations?|bounding[ -]box(es)?)"
_ADVERB = r"((also|only|just|clearly|directly|explicitly|specifically) )?"
_SOURCE = (  # what was written for the teacher, not what stands on a thing in the picture
    rf"({_THE})?({_NOTES}|descriptions?|(provided|given|available) (information|context|data|text)"
    r"|(information|context|data|details) (provided|given|available))\b"
    r"(?! (on|under|below|beside|next to|printed|written|of (?!(the|this) (image|picture|photo))))"
)
LEAKS = re.compile(
    r"\b(no (image|picture|photo)s? (here|to (see|caption|describe|provide))|"
    r"(can ?not|can't|unable to|could not|couldn't) (see|view|load|open) "
    r"(the|an|any|this) (image|picture|photo)|"
    r"(image|picture|photo) (is )?(not|un)[ -]?(available|loading|loaded)|"
    rf"provide a caption|{_THE}{_NOTES}\b|"
    rf"({_THE}|(both|all|given|provided|image) )descriptions? {_ADVERB}"
    r"(do(es)? not|do(es)?n't|given|provided|(mention|say|state|indicate|describe|note|suggest|"
    r"provide|refer|include|list|highlight|reveal|tell)s?|(specif|impl)(y|ies))\b|"
    rf"(according to|based (up)?on|as per) {_SOURCE}|"
    rf"(mentioned|described|stated|noted|given|specified|indicated|provided) (in|by) {_SOURCE}|"
    rf"no mention of|(is|are|was|were|be|been)( not|n't) {_ADVERB}(mentioned|specified)\b(?! on\b)|"
    r"(not|\w+n't) (mentioned|specified|provided|stated|described|indicated) in (the|this|any) "
    r"((provided|given) )?(image|picture|photo|scene|information|text|context|data)\b|"
    r"(the|these|their|its|given) (((bounding[ -])?box|given|provided) )?coordinates)"
)
"""Sentences about the annotating instead of the picture.

They cost some honest ones, which a large dataset can spare more than it can bear a teacher that
speaks of what nobody else can see: whatever says "the caption" of a comic strip, "the coordinates"
of a map on a screen, or "the description says" of a museum label is lost. A description that is
only named, or that stands on, under or below something ("the description on the label says"), is
kept, and so is what a sign does not mention "on" itself.
"""

REFUSALS = re.compile(
    r"^\W*((i'm|i am) )?((so|very|truly|really) )?(sorry|afraid|i apologi[sz]e)\b[^.!?]{0,40}?\bi"
    r"( can ?not| can't| could not| couldn't| won't| will not|('m| am) (unable|not able) to)\b"
    r"(?! (really |quite |clearly |reliably )?(determine|tell|say|see|make out|be (sure|certain)|"
    r"know|read|count|judge|view|load|open)\b)"
    r"|^\W*(unfortunately,? )?(i (can ?not|can't|won't|will not)|(i'm|i am) (unable|not able) to) "
    r"(assist|help(?! (but|\w+ing)\b)|comply|fulfil|engage|participate|discuss|generate|process|"
    r"(provide|answer|continue|complete|do) (that|this|such)|identify (people|individuals|who))"
    r"|\bas an? (\w+ ){0,2}(ai|language model)( \w+){0,4},? (i|my)\b"
    r"|\b(i'm|i am) (just |only |merely )?an? (large )?(ai|language model)\b"
)
"""Answers that decline. "I cannot determine the breed" is none: it may be the honest answer."""


CLUES = (
    *("caption", "annotation", "bounding", "descri", "coordinates", "mention", "specified"),
    *("provided", "given", "stated", "noted", "indicated", "according to", "based", "as per"),
    *("no image", "no picture", "no photo", "available", "loading", "loaded", "n't"),
    *("cannot", "can not", "could not", "will not", "unable", "not able", "sorry", "afraid"),
    *("apologi", " ai", "language model"),
)
"""Whatever `LEAKS` or `REFUSALS` finds has one of these. Looking for them is ten times as fast."""

_WORD = re.compile(r"\w")


def _emptiness(text: str) -> str:
    return "" if _WORD.search(text) else "empty"


def text_problem(text: str) -> str:
    """Give the reason a piece of text cannot be published, or ""."""
    if empty := _emptiness(text):
        return empty
    if ("<" in text or "[" in text) and SPECIAL_TOKENS.search(text):
        return "special-token"
    if not text.isprintable() and HIDDEN.search(text):
        return "control-character"
    plain = _plain(text)
    if not _has_clue(plain):
        return ""
    if REFUSALS.search(plain):
        return "refusal"
    return "annotation-leak" if LEAKS.search(plain) else ""


def _plain(text: str) -> str:
    # In lower case: twice as fast as patterns that ignore it, and every text comes by.
    return " ".join(text.lower().replace("\u2019", "'").split())


def _has_clue(plain: str) -> bool:
    for clue in CLUES:  # noqa: SIM110 - `any` takes twice as long
        if clue in plain:
            return True
    return False


def _is_blameless(exchanges: Sequence[Exchange]) -> bool:
    """Tell whether no text can have a problem but being empty; all at once, it takes a third."""
    text = " ".join([text for e in exchanges for text in (e.instruction, e.answer)])
    return (
        "<" not in text
        and "[" not in text
        and (text.isprintable() or not HIDDEN.search(text))
        and not _has_clue(_plain(text))
    )


def check(exchanges: Sequence[Exchange]) -> Iterator[tuple[Exchange, str]]:
    """Pair each of one scene's exchanges with the reason it is rejected for, or "" if it is kept.

    Of two that ask the same the first stays.
    """
    asked: set[str] = set()
    problem = _emptiness if _is_blameless(exchanges) else text_problem
    for exchange in exchanges:
        question = " ".join(exchange.instruction.casefold().split())
        reason = problem(exchange.instruction) or problem(exchange.answer)
        if not reason and question in asked:
            reason = "duplicate-instruction"
        if not reason:
            asked.add(question)
        yield exchange, reason
