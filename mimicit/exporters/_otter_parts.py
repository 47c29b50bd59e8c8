"""The text files of an export to Otter: one set of them for each number of pictures and split."""

import json
from array import array
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from mimicit.example_sets import ExampleSet, Shown

SAME_PICTURES = frozenset(("same-image", "conversation"))
"""Strategies whose examples are about the query's own pictures."""


class Spelling:
    """Ids as Otter's loaders expect them.

    The older loader (v0.2) tells by the letters an id begins with how contexts are shown: `LACONV`
    below one picture, `LACR` each below its own, `LADD` none. It looks at nothing else of an id,
    and the newer one at nothing at all; ids that begin otherwise stay as they are.

    Args:
        strategies: In-context examples by the strategy that found them.
        ids: Ids of all instructions. Where one is spelled so already, as in what was imported, all
            stay as they are: two could become one otherwise.
    """

    def __init__(self, strategies: Mapping[str, int], ids: pa.ChunkedArray) -> None:
        found = Counter[str]()
        for name, count in strategies.items():
            found[name.partition("/")[0]] += count
        by_picture = found["similar-image"] > found["similar-text"]
        kind = "LACR_I2I" if by_picture else "LACR_T2T"
        if found.keys() <= SAME_PICTURES:
            kind = "LACONV" if found else "LADD"
        # The number was that of a part of the release; here it keeps the two sources apart.
        self._instructions = {"LA": f"{kind}_00", "LLAVA": f"{kind}_01", "FQ": "FunQA"}
        self._images = {"FQ": "FunQA"}
        if pc.any(pc.match_substring_regex(ids, "^(LACONV|LACR|LADD|FunQA)_")).as_py():
            self._instructions, self._images = {}, {}

    def instruction(self, name: str) -> str:
        """Spell the id of an instruction."""
        prefix, _, rest = name.partition("_INS_")
        return f"{self._instructions.get(prefix, prefix)}_INS_{rest}"

    def image(self, name: str) -> str:
        """Spell the id of a picture."""
        prefix, _, rest = name.partition("_IMG_")
        return f"{self._images.get(prefix, prefix)}_IMG_{rest}"


class IdSet:
    """A set of ids that holds 8 bytes of each: enough to tell those of one dataset apart."""

    def __init__(self) -> None:
        self._new = array("Q")
        self._known = np.zeros(0, np.uint64)

    def add(self, names: tuple[str, ...]) -> None:
        """Add some ids."""
        self._new.extend(map(_digest, names))
        if len(self._new) > 1_000_000 + len(self._known):
            self._settle()

    def _settle(self) -> None:
        if self._new:
            self._known = np.union1d(self._known, np.frombuffer(self._new, np.uint64))
            self._new = array("Q")

    def __len__(self) -> int:
        self._settle()
        return len(self._known)

    def __contains__(self, name: str) -> bool:
        self._settle()
        sought = np.uint64(_digest(name))
        place = int(np.searchsorted(self._known, sought))
        return place < len(self._known) and bool(self._known[place] == sought)


def _digest(name: str) -> int:
    return xxhash.xxh3_64_intdigest(name.encode())


class _Table:
    """A file with one JSON object under construction: a value for each id, an entry a line."""

    def __init__(self, path: Path, head: str = "{", tail: str = "}") -> None:
        self._file: TextIO = path.open("w", encoding="utf-8", newline="\n")
        self._file.write(head)
        self._tail, self._between = tail, "\n"

    def write(self, name: str, value: object) -> None:
        self._file.write(f"{self._between}{_json(name)}: {_json(value)}")
        self._between = ",\n"

    def finish(self) -> None:
        self._file.write(f"\n{self._tail}\n")
        self.close()

    def close(self) -> None:
        self._file.close()


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


class Part:
    """The instructions that show one number of pictures, of one split.

    Args:
        folder: Where its files are written.
        number: Number of pictures: 1, 2, or 3 for more.
        split: Split of what is asked.
        meta: Head of the file of instructions.

    Attributes:
        number, split: As given.
        prefixes: What the ids of its instructions begin with.
        images: Ids of its pictures, as the dataset has them.
        asked: How many instructions are asked.
        contexts: How many examples are shown before them.
        foreign: Whether one of these is about other pictures than its query.
    """

    def __init__(self, folder: Path, number: int, split: str, meta: Mapping[str, str]) -> None:
        self.number, self.split = number, split
        self.prefixes: set[str] = set()
        self.images = IdSet()
        self.asked = self.contexts = 0
        self.foreign = False
        self._borrowed: dict[str, Shown] = {}
        self._paths = [folder / f"{number}-{split}.{kind}" for kind in ("texts", "train", "alone")]
        # Loaders read nothing of `meta`; whoever brings the files in has to know what is held out.
        head = f'{{"meta": {_json({**meta, "split": split})}, "data": {{'
        self._texts = _Table(self._paths[0], head, "}}")
        self._train, self._alone = map(_Table, self._paths[1:])

    def add(self, each: ExampleSet, spelled: Spelling) -> int:
        """Write an instruction; give how many of its examples show another number of pictures."""
        contexts = [one for one in each.contexts if number_of(one) == self.number]
        name = spelled.instruction(each.query.id)
        before = [spelled.instruction(one.id) for one in contexts]
        self._tell(each.query, before, spelled)
        self._train.write(name, before)
        self._alone.write(name, [])
        self.asked += 1
        self.contexts += len(contexts)
        self.prefixes.add(name.partition("_INS_")[0].partition("_")[0])
        self.foreign |= any(one.image_ids != each.query.image_ids for one in contexts)
        if self.split != "train":  # its examples are no queries of its own
            self._borrowed |= {one.id: one for one in contexts}
        return len(each.contexts) - len(contexts)

    def _tell(self, shown: Shown, before: list[str], spelled: Spelling) -> None:
        self.images.add(shown.image_ids)
        row: dict[str, Any] = {"instruction": shown.instruction, "answer": shown.answer}
        row["image_ids"] = [spelled.image(name) for name in shown.image_ids]
        self._texts.write(spelled.instruction(shown.id), {**row, "rel_ins_ids": before})

    def finish(self, spelled: Spelling) -> None:
        """Write the examples that are no queries, and end the files."""
        for one in self._borrowed.values():
            self._tell(one, [], spelled)
        for table in (self._texts, self._train, self._alone):
            table.finish()

    def close(self) -> None:
        """Let go of the files, finished or not."""
        for table in (self._texts, self._train, self._alone):
            table.close()

    def rename(self, name: str) -> None:
        """Give the files their names; what asks without examples stays where it is needed."""
        texts, train, alone = self._paths
        texts.rename(texts.with_name(f"{name}_instructions.json"))
        train.rename(train.with_name(f"{name}_train.json"))
        if self.foreign:
            alone.rename(alone.with_name(f"{name}_train_alone.json"))
        else:
            alone.unlink()


def number_of(shown: Shown) -> int:
    """Give the number of an instruction's pictures: 1, 2, or 3 for more."""
    return min(len(shown.image_ids), 3)
