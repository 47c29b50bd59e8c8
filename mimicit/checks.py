"""What an exchange must satisfy to be kept. Each check is a function that gives a reason, or "".

The patterns look for what data of this kind is known to go wrong by: tokens that trainers reserve,
answers that speak of the annotations instead of the picture, captions in which an annotator says
that there was nothing to caption.
"""

import re
from collections.abc import Iterator, Sequence

from mimicit.schema import Exchange

SPECIAL_TOKENS = re.compile(
    r"<\s*(image|answer|video|PAD|s|/s|unk|eos|bos)\s*>|<\|[^|<>]{1,40}\|>|\[/?INST\]|<<SYS>>",
    re.IGNORECASE,
)
"""Tokens that trainers give a meaning of their own (Otter, LLaVA, ChatML, Llama)."""

HIDDEN = re.compile(
    "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\ud800-\\udfff\\ufffe\\uffff\\u202a-\\u202e\\u2066-\\u2069]"
)
"""Control characters, halves of surrogate pairs, and marks that turn the direction of writing."""

LEAKS = re.compile(
    r"\b(no (image|picture|photo)s? (here|to (see|caption|describe|provide))|"
    r"(can ?not|can't|unable to|could not|couldn't) (see|view|load|open) "
    r"(the|an|any|this) (image|picture|photo)|"
    r"(image|picture|photo) (is )?(not|un)[ -]?(available|loading|loaded)|"
    r"(the|this) (caption|annotation|bounding box)(es|s)?\b|provide a caption)",
    re.IGNORECASE,
)
"""Sentences about the annotating instead of the picture."""


def text_problem(text: str) -> str:
    """Give the reason a piece of text cannot be published, or ""."""
    if not re.search(r"\w", text):
        return "empty"
    if SPECIAL_TOKENS.search(text):
        return "special-token"
    if HIDDEN.search(text):
        return "control-character"
    if LEAKS.search(text):
        return "annotation-leak"
    return ""


def check(exchanges: Sequence[Exchange]) -> Iterator[tuple[Exchange, str]]:
    """Pair each of one scene's exchanges with the reason it is rejected for, or "" if it is kept.

    Of two that ask the same the first stays.
    """
    asked: set[str] = set()
    for exchange in exchanges:
        question = " ".join(exchange.instruction.casefold().split())
        reason = text_problem(exchange.instruction) or text_problem(exchange.answer)
        if not reason and question in asked:
            reason = "duplicate-instruction"
        if not reason:
            asked.add(question)
        yield exchange, reason
