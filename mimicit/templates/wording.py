"""How templates find words: the files of `prompts/templates/`, and choices that depend on nothing.

Wording varies by a hash of the seed, the scene and the kind of question, so that the same scene
always reads the same whatever stands beside it.
"""

import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, Field

from mimicit.schema import Exchange, Scene
from mimicit.shipped import parse_shipped, shipped

T = TypeVar("T")
W = TypeVar("W", bound=BaseModel)
Phrases = Annotated[tuple[str, ...], Field(min_length=1)]


class Forms(BaseModel, extra="forbid"):
    """Ways to ask, and ways to answer, that go together freely."""

    ask: Phrases
    answer: Phrases
    at_least: tuple[str, ...] = ()


class Pair(BaseModel, extra="forbid"):
    """A way to ask, and the answer that goes with it."""

    ask: str
    answer: str


class Choice:
    """Picks by hash, so that nothing depends on order, on other scenes or on a random state."""

    def __init__(self, seed: int, scene: Scene) -> None:
        self._prefix = f"{seed}\0{scene.source}\0{scene.id}\0"

    def of(self, slot: str, options: Sequence[T]) -> T:
        """Pick one of some options; `slot` names what is picked."""
        digest = hashlib.blake2b((self._prefix + slot).encode(), digest_size=8).digest()
        return options[int.from_bytes(digest, "big") % len(options)]

    def order(self, slot: str, options: Sequence[T]) -> list[T]:
        """Put options in an order."""
        rest, ordered = list(options), []
        while rest:
            chosen = self.of(f"{slot}{len(rest)}", range(len(rest)))
            ordered.append(rest.pop(chosen))
        return ordered


def _path(name: str) -> Path:
    return shipped(__name__, "prompts", "templates") / f"{name}.yaml"


@cache
def sha256(name: str) -> str:
    """Give the digest of a wording, which is to templates what a prompt is to a model.

    It is "" for templates that have no words of their own.
    """
    path = _path(name)
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""


def wording(name: str, kind: type[W]) -> W:
    """Read the wording `name` as what its templates need."""
    return kind.model_validate(parse_shipped(_path(name).read_bytes()))


def ask(kind: str, choice: Choice, forms: Forms, slot: str = "", **words: str) -> Exchange:
    """Fill a way to ask and a way to answer with the same words."""
    question = choice.of(f"{kind} {slot} ask", forms.ask)
    answer = choice.of(f"{kind} {slot} answer", forms.answer)
    return Exchange(question.format(**words), answer.format(**words), kind)


def ask_pair(kind: str, choice: Choice, pairs: Sequence[Pair], **words: str) -> Exchange:
    """Fill a way to ask and its own answer."""
    chosen = choice.of(f"{kind} wording", pairs)
    return Exchange(chosen.ask.format(**words), chosen.answer.format(**words), kind)
