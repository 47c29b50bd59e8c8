"""The pictures of a release: base64 in Parquet, or in JSON."""

import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mimicit.columns import column
from mimicit.errors import SourceError
from mimicit.images import UnusablePicture
from mimicit.published import json_files

BATCH_ROWS = 16
"""Pictures of a Parquet file that are read at a time."""

ID_ROWS = 65536

_KEYS = ("__index_level_0__", "__null_dask_index__", "id", "image_id", "index")
"""What the column of the ids is called where no pandas says which it is."""

_TEXTS = (
    *(pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view),
    *(pa.types.is_binary, pa.types.is_large_binary),
)

_BASE64 = r"[A-Za-z0-9+/_-]{70}"
"""How a text goes on that may be a picture: without a blank, as no sentence does."""

_BEGINNING = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*\{\s*\"(?:[^\"\\]*_IMG_|[^\"\\]*\"\s*:\s*\[?\s*\""
    + _BASE64.encode()
    + b")"
)
"""What a file begins with that was to be JSON with pictures."""

_FIRST_BYTES = 4096
"""How much is looked at to see what a file begins with."""

_ALPHABET = str.maketrans("-_", "+/")


class Stored(NamedTuple):
    """A picture as a store has it: its place in the store, its id, and what should be base64."""

    place: int
    id: str
    text: object


@dataclass(frozen=True, slots=True)
class Store:
    """A file of pictures.

    Attributes:
        name: Its path below the release.
        path: The file.
        form: What it is written in.
        key: Of Parquet the column of the ids; of JSON the key whose value has them, or "".
        indexed: Whether pandas finds the ids in its index, as the original's loader needs it.
    """

    name: str
    path: Path
    form: Literal["parquet", "json"]
    key: str
    indexed: bool = True

    def ids(self) -> Iterator[pa.Array]:
        """Read all ids, in order, as arrays of strings.

        Raises:
            SourceError: the file is damaged.
        """
        if self.form == "parquet":
            for names, _ in self._batches(ID_ROWS, [self.key]):
                yield names
            return
        gathered: list[str] = []
        for name, _ in json_files.items(self.path, self.name, self.key):
            gathered.append(name)
            if len(gathered) == ID_ROWS:
                yield column(gathered, pa.string())
                gathered = []
        yield column(gathered, pa.string())

    def pictures(self, wanted: np.ndarray) -> Iterator[Stored]:
        """Read the pictures at some places, in order; memory holds a few.

        Args:
            wanted: Whether the picture at each place is read.

        Raises:
            SourceError: the file is damaged, or has not as many pictures as that any more.
        """
        count = 0
        every = self._in_json() if self.form == "json" else self._in_parquet(wanted)
        for count, picture in enumerate(every, 1):
            if count > len(wanted):
                break
            if wanted[picture.place]:
                yield picture
        if count != len(wanted):
            raise SourceError(f"{self.name!r} changed while it was read")

    def _in_json(self) -> Iterator[Stored]:
        items = json_files.items(self.path, self.name, self.key)
        for place, (name, value) in enumerate(items):
            yield Stored(place, name, value)

    def _in_parquet(self, wanted: np.ndarray) -> Iterator[Stored]:
        """Give every picture, without its text where it is not wanted."""
        first = 0
        for names, batch in self._batches(BATCH_ROWS, [self.key, "base64"]):
            texts = batch.column("base64")
            some = wanted[first : first + batch.num_rows].tolist()
            some += [False] * (batch.num_rows - len(some))
            for row, is_wanted in enumerate(some):
                text = _value(texts[row]) if is_wanted else None
                yield Stored(first + row, names[row].as_py(), text)
            first += batch.num_rows

    def _batches(self, rows: int, columns: list[str]) -> Iterator[tuple[pa.Array, pa.RecordBatch]]:
        """Read rows, with their ids as strings."""
        try:
            # Page by page: pandas writes all rows as one group, and Arrow would read it whole.
            with pq.ParquetFile(self.path, pre_buffer=False, buffer_size=2**20) as parquet:
                for batch in parquet.iter_batches(rows, columns=columns):
                    yield _texts(batch.column(self.key)), batch
        except (OSError, pa.ArrowException, ValueError) as error:
            what = " ".join(str(error).split())[:200]
            raise SourceError(f"{self.name!r} is damaged: {what}") from error


def _value(found: pa.Scalar) -> object:
    """Give what a column holds, of text that is none its bytes."""
    try:
        return found.as_py()
    except UnicodeDecodeError as error:
        return error.object


def _texts(ids: pa.Array) -> pa.Array:
    """Give ids as strings: pandas may have numbers in its index; what is null is "".

    Raises:
        ValueError: they are neither.
    """
    try:
        found = ids.cast(pa.string())
        found.validate(full=True)
    except pa.ArrowException as error:
        raise ValueError(f"its ids are no text: {error}") from error
    return pc.fill_null(found, "") if found.null_count else found


def open_store(name: str, path: Path) -> Store | None:
    """Look whether a file holds pictures; None where it holds something else.

    Raises:
        SourceError: it cannot be read.
    """
    return _open_parquet(name, path) if name.endswith(".parquet") else _open_json(name, path)


def seems_store(path: Path) -> bool:
    """Tell whether a file that `open_store` cannot read may have been meant to hold pictures.

    What a Parquet file has is told at its very end, and anything may stand in one without that.
    """
    if path.name.endswith(".parquet"):
        return True
    try:
        with path.open("rb") as file:
            return _BEGINNING.match(file.read(_FIRST_BYTES)) is not None
    except OSError:
        return True


def _open_parquet(name: str, path: Path) -> Store | None:
    try:
        schema = pq.read_schema(path)
    except (OSError, pa.ArrowException, ValueError) as error:
        what = " ".join(str(error).split())[:200]
        raise SourceError(f"{name!r} is no Parquet file that can be read: {what}") from error
    if "base64" not in schema.names:
        return None
    index = [each for each in _index(schema) if each in schema.names]
    others = [each for each in schema.names if each != "base64"]
    # The index that pandas made of a table's rows is numbers, and the ids stand beside it.
    likely = [*index, *(key for key in _KEYS if key in others)]
    keys = [*_of_text(schema, likely), *index, *_of_text(schema, others), *likely, *others]
    if not keys:
        raise SourceError(f"{name!r} has a column 'base64', and none with the ids of its pictures")
    if schema.names.count(keys[0]) > 1 or schema.names.count("base64") > 1:
        raise SourceError(f"{name!r} has a column twice")
    return Store(name, path, "parquet", keys[0], indexed=keys[0] in index)


def _of_text(schema: pa.Schema, names: Iterable[str]) -> list[str]:
    """Give the columns that hold text, whatever it is stored as."""
    kinds = {name: schema.field(name).type for name in names if schema.names.count(name) == 1}
    plain = {n: k.value_type if pa.types.is_dictionary(k) else k for n, k in kinds.items()}
    return [n for n, k in plain.items() if any(is_text(k) for is_text in _TEXTS)]


def _index(schema: pa.Schema) -> list[str]:
    """Read which columns are pandas' index.

    Format: https://pandas.pydata.org/docs/development/developer.html
    """
    try:
        said = json.loads((schema.metadata or {})[b"pandas"])["index_columns"]
        return [each for each in said if isinstance(each, str)]
    except (KeyError, ValueError, TypeError, RecursionError):
        return []


def _open_json(name: str, path: Path) -> Store | None:
    key, value = json_files.head(path, name)
    if key == "base64" and value == "start_map":  # a table by columns
        return Store(name, path, "json", "base64")
    if not key or not ("_IMG_" in key or re.search(_BASE64, value[:_FIRST_BYTES])):
        return None
    return Store(name, path, "json", "")


def decoded(text: Any) -> bytes:
    """Decode what a store has of a picture: base64 of either alphabet, also the one item of a list.

    Raises:
        UnusablePicture: `empty-file` or `not-base64`.
    """
    if isinstance(text, list) and len(text) == 1:
        text = text[0]
    if text is None or text in ("", b""):
        raise UnusablePicture("empty-file", "the store has the id, and no picture")
    if isinstance(text, bytes):
        text = text.decode("latin-1")
    if not isinstance(text, str):
        raise UnusablePicture("not-base64", f"a {type(text).__name__} where base64 should be")
    try:
        plain = "".join(text.split()).translate(_ALPHABET)
        return base64.b64decode(plain, validate=True)
    except (binascii.Error, ValueError) as error:
        raise UnusablePicture("not-base64", f"{text[:20]!r}…: {error}") from error
