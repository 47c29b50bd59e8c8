"""Texts and pictures encoded by a model of one's own, through the `sentence-transformers` package.

A model is a directory, or a name on huggingface.co, from where the package fetches it. The last
digits of what it gives depend on the machine and on what else is in a batch; so vectors are kept,
and stay what they were. They are kept by the model's weights, not by its place: a model that was
trained further has other vectors.
"""

import functools
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from PIL import Image

from mimicit.encoders.cache import Groups, VectorCache, kept, text_digest
from mimicit.errors import MimicitError, UsageError

BATCH = 32
"""Texts or pictures that the model is given at once."""

TEXTS = 256
"""Texts that are sorted by length before they are cut into batches, and kept together."""

_PLACE = re.compile(r"data:|https?://|.*\.\w{2,5}$", re.DOTALL)
"""Texts that a model which sees pictures might take for the place of one, and open."""


class TextModel:
    """A model's vectors of texts.

    Raises:
        UsageError: the package is not installed, or there is no such model.
    """

    def __init__(self, model: str) -> None:
        self._model = _load(model)
        self.name = _name(model, self._model)
        self.dimensions = _dimensions(model, self._model, "text", "reads no texts")
        self._cache = VectorCache(self.name)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Give an int8 row for each text; that of a text without words is zero."""

        def groups(places: list[int]) -> Groups:
            for start in range(0, len(places), TEXTS):
                part = places[start : start + TEXTS]
                yield part, _vectors(self._model, [_plain(texts[place]) for place in part])

        shape = len(texts), self.dimensions
        return kept(self._cache, shape, lambda place: text_digest(texts[place]), groups)


class ImageModel:
    """A model's vectors of pictures.

    Raises:
        UsageError: the package is not installed, there is no such model, or it sees no pictures.
    """

    def __init__(self, model: str) -> None:
        self._model = _load(model)
        self.name = _name(model, self._model)
        blank = Image.new("RGB", (64, 64))
        lack = "sees no pictures; take one such as CLIP or SigLIP"
        self.dimensions = _dimensions(model, self._model, blank, lack)
        self._cache = VectorCache(self.name)

    def encode(self, digests: Sequence[str], read: Callable[[int], Image.Image]) -> np.ndarray:
        """Give an int8 row for each picture.

        Args:
            digests: Hex SHA-256 of each picture's content.
            read: Opens the picture at a place in `digests`, upright; called only for those whose
                vector is not kept yet.
        """

        def groups(places: list[int]) -> Groups:
            for start in range(0, len(places), BATCH):
                part = places[start : start + BATCH]
                yield part, _vectors(self._model, [read(place).convert("RGB") for place in part])

        shape = len(digests), self.dimensions
        return kept(self._cache, shape, lambda place: bytes.fromhex(digests[place]), groups)


@functools.lru_cache(maxsize=2)
def _load(model: str) -> Any:
    """Open a model, once for texts and for pictures."""
    try:
        from sentence_transformers import SentenceTransformer  # noqa: PLC0415
    except ImportError as error:
        raise UsageError(
            f"the encoder 'sentence-transformers:{model}' needs a package that is not installed: "
            "pip install 'mimicit[encoders]'"
        ) from error
    try:
        return SentenceTransformer(model)
    except Exception as error:  # of several libraries
        raise UsageError(
            f"the model {model!r} cannot be opened: {_line(error)}. Expected a directory that "
            "sentence-transformers or transformers has saved, or a name on huggingface.co"
        ) from error


def _name(model: str, opened: Any) -> str:
    """Name a model by what it is called and a hash of what it computes."""
    import torch  # noqa: PLC0415

    digest = xxhash.xxh3_64()
    digest.update(repr((str(opened), opened.prompts, opened.default_prompt_name)).encode())
    for key, tensor in sorted(opened.state_dict().items()):
        digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().data)
    called = Path(model).resolve().name if Path(model).is_dir() else model
    return f"sentence-transformers:{called}@{digest.hexdigest()}"


def _dimensions(name: str, model: Any, sample: object, lack: str) -> int:
    """Find out by trying how many numbers a model gives, which not every one can say."""
    try:
        _, dimensions = _vectors(model, [sample]).shape
    except MimicitError as error:
        raise UsageError(f"the model {name!r} {lack} ({error})") from error
    return int(dimensions)


def _vectors(model: Any, inputs: list[Any]) -> np.ndarray:
    """Run the model: float64 of shape (inputs, dimensions).

    Raises:
        MimicitError: it fails, or gives something else than numbers.
    """
    try:
        made = model.encode(
            inputs, batch_size=BATCH, show_progress_bar=False, convert_to_numpy=True
        )
    except Exception as error:  # whatever the model and its device can meet
        raise MimicitError(f"the model of the encoder fails: {_line(error)}") from error
    vectors = np.asarray(made, np.float64)
    if not np.isfinite(vectors).all():
        raise MimicitError("the model of the encoder gives vectors that are not all numbers")
    return vectors


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _plain(text: str) -> str:
    """Spell a text so that nothing takes it for the place of a picture, which it would open."""
    text = text.encode("utf-8", "replace").decode()  # halves of letters
    return f" {text} " if _PLACE.match(text) else text
