"""Otter's text of an in-context example set, its pictures, and the tokens that the loss falls on.

What is shown makes one chunk each, contexts first, the query last; a model of Flamingo's kind sees
a chunk's pictures at its `<image>` (arXiv 2306.05425; https://github.com/Luodian/Otter, v0.2):

    <image>User: What is this? GPT:<answer> A lighthouse.<|endofchunk|>

The loss falls on every answer, those of the contexts too: on what follows `<answer>`, through
`<|endofchunk|>`. Torch is not needed; docs/exporting.md has a `torch.utils.data.Dataset` of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, overload

from PIL import Image

from mimicit.checks import SPECIAL_TOKENS
from mimicit.dataset import Example
from mimicit.errors import UsageError
from mimicit.example_sets import ExampleSet

IMAGE = "<image>"
ANSWER = "<answer>"
END = "<|endofchunk|>"
SPECIAL = (IMAGE, ANSWER, END)
"""Tokens with a meaning of their own: a tokenizer must know each as one."""

IGNORED = -100
"""Label of what the loss does not fall on: PyTorch's `ignore_index`."""

Picture = TypeVar("Picture")
"""What stands for a picture: its id, or the picture itself."""


@dataclass(frozen=True, slots=True)
class Rendered(Generic[Picture]):
    """An in-context example set as one text.

    Attributes:
        text: The text: K contexts, then the query.
        spans: (start, end) in characters of what the loss falls on, one for each answer.
        media: Pictures for each `<image>`, K + 1 of them. A pair of pictures, or the frames of a
            video, belong to one `<image>`.
    """

    text: str
    spans: tuple[tuple[int, int], ...]
    media: tuple[tuple[Picture, ...], ...]


@dataclass(frozen=True, slots=True)
class Encoded(Generic[Picture]):
    """An in-context example set as tokens.

    Attributes:
        input_ids: The tokens.
        labels: As many: the token where the loss falls on it, else `IGNORED`. Not shifted: models
            of `transformers` shift them on their own.
        media: Pictures for each `<image>` that is left.
        dropped: Contexts that were left out, since all of them would have been too long.
    """

    input_ids: list[int]
    labels: list[int]
    media: tuple[tuple[Picture, ...], ...]
    dropped: int


class Tokenizer(Protocol):
    """A `tokenizers.Tokenizer`, or a tokenizer of `transformers`."""

    def encode(self, text: str, /, *, add_special_tokens: bool) -> Any:
        """Give the tokens of a text: their ids, or an object with these as its `ids`."""


@overload
def render(example: Example) -> Rendered[Image.Image]: ...
@overload
def render(example: ExampleSet) -> Rendered[str]: ...
def render(example: Example | ExampleSet) -> Rendered[Any]:
    """Write an in-context example set as Otter's text.

    Args:
        example: What `mimicit.load` gives, with decoded pictures, or what
            `mimicit.example_sets.example_sets` gives, with ids.

    Raises:
        UsageError: a text holds a special token, or there is no picture: a dataset that
            `mimicit validate` passes has neither.
    """
    chunks = _chunks(example)
    spans, end = [], 0
    for chunk in chunks:
        start = end + len(chunk.head)
        end += len(chunk.text)
        spans.append((start, end))
    text = "".join(chunk.text for chunk in chunks)
    return Rendered(text, tuple(spans), tuple(chunk.pictures for chunk in chunks))


class Encoder:
    """Encodes example sets for training.

    What is too long loses contexts, those farthest from the query first. The query is never cut.

    Args:
        tokenizer: The tokenizer. Each of `SPECIAL` must be a special token of it.
        max_tokens: Tokens at most, the first and the last one included; None for any number.
        bos_id: Token to put first, if any. The loss falls on neither this nor the last one.
        eos_id: Token to put last, if any.

    Raises:
        UsageError: the tokenizer does not know the special tokens, or does not divide texts there.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        max_tokens: int | None = None,
        *,
        bos_id: int | None = None,
        eos_id: int | None = None,
    ) -> None:
        self._tokenizer, self._max = tokenizer, max_tokens
        self._first = [] if bos_id is None else [bos_id]
        self._last = [] if eos_id is None else [eos_id]
        self._image, self._answer, self._end = _special_ids(tokenizer)
        probe: _Chunk[str] = _Chunk("probe", "What is it?", "A dog.", ())
        if self._ids(2 * probe.text) != 2 * self._coded(probe):
            raise UsageError(_NOT_DIVIDED)

    @overload
    def __call__(self, example: Example) -> Encoded[Image.Image]: ...
    @overload
    def __call__(self, example: ExampleSet) -> Encoded[str]: ...
    def __call__(self, example: Example | ExampleSet) -> Encoded[Any]:
        """Encode one, as `render` writes it.

        Raises:
            UsageError: the query alone is longer than `max_tokens`, or see `render`.
        """
        chunks = _chunks(example)
        kept: list[list[int]] = []
        length = len(self._first) + len(self._last)
        for chunk in reversed(chunks):
            coded = self._coded(chunk)
            length += len(coded)
            if self._max is not None and length > self._max:
                if not kept:
                    raise UsageError(
                        f"{chunk.id!r} has {length:,} tokens without any context, and max_tokens "
                        f"is {self._max:,}: a query is never cut; allow more, or leave it out"
                    )
                break
            kept.insert(0, coded)
        pictures = tuple(chunk.pictures for chunk in chunks[-len(kept) :])
        labels = [label for coded in kept for label in self._labels(coded)]
        return Encoded(
            input_ids=[*self._first, *(token for coded in kept for token in coded), *self._last],
            labels=[*(IGNORED for _ in self._first), *labels, *(IGNORED for _ in self._last)],
            media=pictures,
            dropped=len(chunks) - len(kept),
        )

    def _ids(self, text: str) -> list[int]:
        made = self._tokenizer.encode(text, add_special_tokens=False)
        return list(getattr(made, "ids", made))

    def _coded(self, chunk: "_Chunk[Any]") -> list[int]:
        """Encode a chunk, and see that its special tokens stand where they do in the text."""
        ids = self._ids(chunk.text)
        special = [token for token in ids if token in {self._image, self._answer, self._end}]
        whole = ids[:1] == [self._image] and ids[-1:] == [self._end]
        if not whole or special != [self._image, self._answer, self._end]:
            raise UsageError(f"{chunk.id!r}: {_NOT_DIVIDED}")
        return ids

    def _labels(self, coded: Sequence[int]) -> list[int]:
        start = coded.index(self._answer) + 1
        return [IGNORED] * start + list(coded[start:])


@dataclass(frozen=True, slots=True)
class _Chunk(Generic[Picture]):
    """One of what is shown; its id is for messages."""

    id: str
    instruction: str
    answer: str
    pictures: tuple[Picture, ...]

    @property
    def head(self) -> str:
        """What the loss does not fall on."""
        return f"{IMAGE}User: {self.instruction} GPT:{ANSWER}"

    @property
    def text(self) -> str:
        return f"{self.head} {self.answer}{END}"


def _chunks(example: Example | ExampleSet) -> Sequence[_Chunk[Any]]:
    """Take an example set of either kind apart.

    Raises:
        UsageError: a text holds a special token, or there is no picture.
    """
    chunks: list[_Chunk[Any]]
    if isinstance(example, ExampleSet):
        chunks = [
            _Chunk(one.id, one.instruction, one.answer, one.image_ids) for one in example.shown
        ]
    else:
        chunks = [
            _Chunk(one.id, one.instruction, one.answer, tuple(one.images))
            for one in (*example.context, example)
        ]
    for chunk in chunks:
        for text in (chunk.instruction, chunk.answer):
            if found := SPECIAL_TOKENS.search(text):
                raise UsageError(
                    f"{chunk.id!r} holds {found[0]!r}, which trainers give a meaning of its own; "
                    "`mimicit validate` lists all such texts"
                )
        if not chunk.pictures:
            raise UsageError(f"{chunk.id!r} has no picture, but {IMAGE} stands for at least one")
    return chunks


def _special_ids(tokenizer: Any) -> Sequence[int]:
    """Look up the ids of `SPECIAL`.

    Raises:
        UsageError: not each is there, or this is no tokenizer.
    """
    known: Mapping[str, int]
    if hasattr(tokenizer, "get_added_vocab"):  # transformers
        known = tokenizer.get_added_vocab()
    elif hasattr(tokenizer, "get_added_tokens_decoder"):  # tokenizers
        added = tokenizer.get_added_tokens_decoder()
        known = {token.content: number for number, token in added.items()}
    else:
        raise UsageError(
            f"{type(tokenizer).__name__!r} is neither a tokenizers.Tokenizer nor a tokenizer of "
            "transformers; of a processor, pass its `tokenizer`"
        )
    if missing := [token for token in SPECIAL if token not in known]:
        raise UsageError(
            f"the tokenizer does not know {', '.join(missing)}; {_ADD}, and give the model's "
            "embeddings a row for each"
        )
    return [known[token] for token in SPECIAL]


_ADD = (
    f"add {', '.join(SPECIAL)} as special tokens: tokenizer.add_special_tokens([…]) in tokenizers, "
    "tokenizer.add_tokens([…], special_tokens=True) in transformers"
)
_NOT_DIVIDED = (
    f"the tokenizer does not divide the text at {', '.join(SPECIAL)}, or pads or cuts it. "
    f"Turn off its padding and truncation, and {_ADD}"
)
