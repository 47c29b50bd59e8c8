"""What refers to what: pictures, in-context examples, links, and splits kept apart.

All ids become numbers once, a large window of rows at a time, since looking some up costs as much
as looking up all that there are.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mimicit.checks import text_problem
from mimicit.columns import column, places_in, to_numpy
from mimicit.gate.agreement import of_licences, within_scenes
from mimicit.gate.files import Findings
from mimicit.gate.pictures import Pictures
from mimicit.gate.rows import Rows, batches, fitting
from mimicit.gate.texts import may_have_problem
from mimicit.schema import SPLITS
from mimicit.splits import lookalikes

WINDOW_ROWS = 250_000
"""Rows whose ids are looked up at once, at least; half of all where these are more."""


TEXT_ROWS = 100_000
"""Rows whose texts are searched at once: compiling a pattern takes as long as searching 10,000."""


GROUP_KEYS = ["source", "group", "split"]


@dataclass(slots=True)
class Instructions:
    """All instructions by number, in the order of their shards.

    The arrays have one place more, so that the number -1, of what is not there, finds it.

    Attributes:
        ids: Their ids, as bytes: text that is not valid is one of the things to be found.
        splits: Number of each one's split among `SPLITS`; -1 for another.
        rows: Of each shard the rows that could be read, in order.
        starts: Number of the first instruction of each shard, in order.
        repeated: Whether another one of the same id came before.
        counts: How many contexts each has; -1 where its row does not fit its model.
        firsts: Where its contexts begin in `contexts`.
        contexts: Numbers of the instructions that are contexts, -1 for one that is not there.
    """

    ids: pa.Array
    splits: np.ndarray
    rows: dict[str, np.ndarray]
    starts: dict[str, int]
    repeated: np.ndarray
    counts: np.ndarray
    firsts: np.ndarray
    contexts: list[np.ndarray] = field(default_factory=list)

    def name(self, number: int) -> str:
        """Give the id of one."""
        found: bytes | None = self.ids[number].as_py()
        return (found or b"").decode(errors="replace")

    def numbers(self, shard: str, rows: np.ndarray) -> np.ndarray:
        """Give the numbers of some rows of a shard."""
        return np.searchsorted(self.rows[shard], rows) + self.starts[shard]

    def place(self, number: int) -> tuple[str, int]:
        """Give the file and the row of one."""
        shard = next(name for name in reversed(self.starts) if self.starts[name] <= number)
        return shard, int(self.rows[shard][number - self.starts[shard]])


def check_references(findings: Findings, pictures: Pictures) -> Instructions:
    """Check all instructions and links against each other and against the pictures.

    Returns:
        The instructions, for what else refers to them.
    """
    known = _read_ids(findings)
    seen_in = np.zeros((len(SPLITS), len(pictures.ids)), bool)
    window = max(WINDOW_ROWS, len(known.ids) // 2)
    groups: list[pa.Table] = []
    divided = len({shard.split for shard in findings.shards["instructions"]}) > 1
    for rows in windows(_read(findings, divided=divided, groups=groups), window):
        _check_window(findings, rows, known, pictures, seen_in)
    if divided:
        _check_groups(findings, groups)
        _check_pictures_apart(findings, pictures, seen_in)
    if known.repeated.any() or not _links_in_step(findings):
        _check_links(findings, known, window)
    return known


def _read_ids(findings: Findings) -> Instructions:
    """Read all ids once, since a context may come after its query; find those that stand twice."""
    ids: list[pa.Array] = []
    codes: list[np.ndarray] = []
    rows: dict[str, list[np.ndarray]] = {}
    starts: dict[str, int] = {}
    total = 0
    names = column([name.encode() for name in SPLITS], pa.binary())
    before = len(findings.problems)
    for shard, first, batch in batches(findings, "instructions", ["id", "split"]):
        starts.setdefault(shard.name, total)
        rows.setdefault(shard.name, []).append(np.arange(first, first + batch.num_rows))
        ids.append(batch.column("id").view(pa.binary()))
        codes.append(places_in(names, batch.column("split").view(pa.binary())))
        total += batch.num_rows
    del findings.problems[before:]  # they are found once more when the rows are read
    everything = pa.concat_arrays(ids) if ids else pa.array([], pa.binary())
    known = Instructions(
        ids=everything,
        splits=np.concatenate([*codes, np.array([-1], np.int32)]).astype(np.int8),
        rows={name: np.concatenate(each) for name, each in rows.items()},
        starts=starts,
        repeated=np.zeros(len(everything) + 1, bool),
        counts=np.full(len(everything) + 1, -1, np.int32),
        firsts=np.zeros(len(everything) + 1, np.int64),
    )
    numbers = places_in(everything, everything)
    for number in np.flatnonzero(numbers != np.arange(len(numbers))).tolist():
        if known.ids[number].is_valid:  # what has none is found when its row is read
            file, row = known.place(number)
            findings.add(file, "has more than one row", row, known.name(number))
    known.repeated[:-1] = numbers != np.arange(len(numbers))
    return known


def _read(findings: Findings, *, divided: bool, groups: list[pa.Table]) -> Iterator[Rows]:
    """Read all instructions; check their texts and splits, and give what refers to others."""
    waiting: list[Rows] = []
    for rows in fitting(findings, "instructions", trusted=["rel_ins_ids"]):
        texts = rows.batch.select(["id", "instruction", "answer"])
        waiting.append(Rows(rows.shard, rows.numbers, texts))
        if sum(len(one.numbers) for one in waiting) >= TEXT_ROWS:
            _check_texts(findings, waiting)
            waiting = []
            pa.default_memory_pool().release_unused()
        split = column([rows.shard.split], pa.string())[0]
        elsewhere = pc.not_equal(rows.batch.column("split"), split)
        for place in np.flatnonzero(to_numpy(elsewhere)).tolist():
            other = rows.batch.column("split")[place].as_py()
            _add(findings, rows, place, f"is of the split {other!r}, and its file is not")
        if divided:
            groups.append(_distinct(rows))
        for place, what in within_scenes(rows.batch):
            _add(findings, rows, place, what)
        columns = ["id", "split", "image_ids", "rel_ins_ids", "licence"]
        yield Rows(rows.shard, rows.numbers, rows.batch.select(columns))
    _check_texts(findings, waiting)


def _check_texts(findings: Findings, rows: Sequence[Rows]) -> None:
    """Find texts that cannot be published."""
    window = Window(rows)
    for name in ("instruction", "answer") if rows else ():
        texts = pa.concat_arrays([one.batch.column(name) for one in rows])
        for suspect in np.flatnonzero(may_have_problem(texts)).tolist():
            reason = text_problem(texts[suspect].as_py())
            if reason:
                window.add(findings, suspect, f"{name}: {reason}")


def _add(findings: Findings, rows: Rows, place: int, text: str) -> None:
    key = "id" if "id" in rows.batch.schema.names else "query_id"
    name = rows.batch.column(key)[place].as_py()
    findings.add(rows.shard.name, text, int(rows.numbers[place]), name)


def windows(rows: Iterator[Rows], size: int) -> Iterator[list[Rows]]:
    """Gather rows until there are enough of them."""
    gathered: list[Rows] = []
    for each in rows:
        gathered.append(each)
        if sum(len(one.numbers) for one in gathered) >= size:
            yield gathered
            gathered = []
    if gathered:
        yield gathered


def flat(rows: Sequence[Rows], name: str) -> tuple[pa.Array, np.ndarray]:
    """Put the lists of all rows behind each other: the values, and how many each row has."""
    lists = [one.batch.column(name) for one in rows]
    values = pa.concat_arrays([pc.list_flatten(one) for one in lists])
    counts = np.concatenate([to_numpy(pc.list_value_length(one)) for one in lists])
    return values, counts.astype(np.int32)


class Window:
    """Rows of several shards by one number, to say where each is."""

    def __init__(self, rows: Sequence[Rows]) -> None:
        self._rows = rows
        self._ends = np.cumsum([len(one.numbers) for one in rows])

    def add(self, findings: Findings, number: int, text: str) -> None:
        """Note a violation of a row."""
        part = int(np.searchsorted(self._ends, number, side="right"))
        rows = self._rows[part]
        start = int(self._ends[part]) - len(rows.numbers)
        _add(findings, rows, number - start, text)


def _check_window(
    findings: Findings,
    rows: list[Rows],
    known: Instructions,
    pictures: Pictures,
    seen_in: np.ndarray,
) -> None:
    """Look up all that these rows refer to."""
    window = Window(rows)
    own = np.concatenate([known.numbers(one.shard.name, one.numbers) for one in rows])
    names, counts = flat(rows, "image_ids")
    found = places_in(pictures.ids, names)
    owners = np.repeat(np.arange(len(own)), counts)
    for place in np.flatnonzero(found < 0).tolist():
        what = f"image id {names[place].as_py()!r} is not in the images table"
        window.add(findings, int(owners[place]), what)
    for row, what in of_licences(rows, counts, found, pictures):
        window.add(findings, row, what)
    there = found >= 0
    for code in range(len(SPLITS)):
        seen_in[code, found[there & (known.splits[own[owners]] == code)]] = True
    names, counts = flat(rows, "rel_ins_ids")
    found = places_in(known.ids, names.view(pa.binary()))
    known.firsts[own] = sum(map(len, known.contexts)) + np.cumsum(counts) - counts
    known.counts[own] = counts
    known.contexts.append(found)
    owners = np.repeat(np.arange(len(own)), counts)
    check_contexts(findings, window, known, own, owners, names, found)


def check_contexts(  # noqa: PLR0913  # the columns of one table
    findings: Findings,
    window: Window,
    known: Instructions,
    own: np.ndarray,
    owners: np.ndarray,
    names: pa.Array,
    found: np.ndarray,
) -> None:
    """Check each context of each query.

    Args:
        findings: What is found is added here.
        window: The rows.
        known: All instructions.
        own: Number of each query among all instructions.
        owners: The query of each context, as a row of the window.
        names: Its id.
        found: Its number among all instructions, or -1.
    """
    itself = found == own[owners]
    foreign = (found >= 0) & ~itself & (known.splits[found] != SPLITS.index("train"))
    for place in np.flatnonzero((found < 0) | itself | foreign).tolist():
        what = f"context id {names[place].as_py()!r} is not in the instructions table"
        if itself[place]:
            what = "is its own context"
        elif foreign[place]:
            what = f"context id {names[place].as_py()!r} is not of the train split"
        window.add(findings, int(owners[place]), what)
    pairs = owners.astype(np.int64) * (len(known.ids) + 1) + found
    order = np.argsort(pairs, kind="stable")
    again = order[1:][(pairs[order][1:] == pairs[order][:-1]) & (found[order][1:] >= 0)]
    for row in np.unique(owners[again]).tolist():
        window.add(findings, row, "a context id stands twice")


# -------------------------------------------------------------------- splits apart


def _distinct(rows: Rows) -> pa.Table:
    """Give the splits that each group has instructions in, with the first one's row in each."""
    columns = {key: rows.batch.column(key).cast(pa.string()) for key in (*GROUP_KEYS, "id")}
    table = pa.table({**columns, "row": pa.array(rows.numbers)})
    found = table.group_by(GROUP_KEYS, use_threads=False).aggregate(
        [("id", "first"), ("row", "first")]
    )
    found = found.rename_columns([*GROUP_KEYS, "id", "row"])
    return found.append_column("file", pa.repeat(rows.shard.name, len(found)))


def _check_groups(findings: Findings, groups: list[pa.Table]) -> None:
    """Find groups with instructions in more than one split, by a row in each but the first."""
    if not groups:
        return
    # A file that was written by another program may allow nulls where others do not.
    known = pa.concat_tables(groups, promote_options="permissive")
    firsts = [(name, "first") for name in ("id", "row", "file")]
    pairs = known.group_by(GROUP_KEYS, use_threads=False).aggregate(firsts)
    counted = pairs.group_by(["source", "group"]).aggregate([("split", "count")])
    divided = counted.filter(pc.greater(counted.column("split_count"), 1))
    wrong = {(row["source"], row["group"]): "" for row in divided.to_pylist()}
    for row in pairs.to_pylist() if wrong else ():
        group = row["source"], row["group"]
        if wrong.get(group):
            what = f"the group {group[1]!r} of {group[0]!r} is in the split {wrong[group]!r} too"
            findings.add(row["file_first"], what, row["row_first"], row["id_first"])
        elif group in wrong:
            wrong[group] = row["split"]


def _check_pictures_apart(findings: Findings, pictures: Pictures, seen_in: np.ndarray) -> None:
    """Find pictures of the train split that are, or look like, one of the others."""
    train = np.flatnonzero(seen_in[SPLITS.index("train")])
    held = np.flatnonzero(seen_in[1:].any(axis=0))
    near = lookalikes(pictures.hashes[train].tolist(), pictures.hashes[held].tolist())
    for place in np.flatnonzero(near >= 0).tolist():
        number, other = int(train[place]), int(held[near[place]])
        name, like = pictures.ids[number].as_py(), pictures.ids[other].as_py()
        what = f"of the train split, looks like {like!r} of validation or test"
        if number == other:
            what = "is in the train split, and in validation or test"
        file, row = pictures.place(number)
        findings.add(file, what, row, name)


# --------------------------------------------------------------------------- links


def _links_in_step(findings: Findings) -> bool:
    """Tell whether links and contexts say the same in the same order, as they are written.

    Then no id has to be looked up; else `_check_links` says what is wrong.
    """
    mine = (
        batch.filter(pc.list_value_length(batch.column("rel_ins_ids")).cast(pa.bool_()))
        for _, _, batch in batches(findings, "instructions", ["id", "rel_ins_ids"])
    )
    trusted = ["query_id", "context_ids"]
    theirs = (rows.batch for rows in fitting(findings, "links", trusted=trusted))
    for ours, links in _side_by_side(mine, theirs):
        if ours is None or links is None or not ours.column(0).equals(links.column("query_id")):
            return False
        contexts = links.column("context_ids")
        if not ours.column(1).equals(contexts):
            return False
        counts = pc.list_value_length(contexts)
        if not all(pc.list_value_length(links.column(c)).equals(counts) for c in ADDED):
            return False
    return True


ADDED = ("scores", "strategies")
"""What links say of each context."""


def _side_by_side(
    a: Iterator[pa.RecordBatch], b: Iterator[pa.RecordBatch]
) -> Iterator[tuple[pa.RecordBatch | None, pa.RecordBatch | None]]:
    """Cut two streams of batches so that each piece has as many rows; None where one has ended."""
    first, second = next(a, None), next(b, None)
    while first is not None or second is not None:
        if first is not None and not first.num_rows:
            first = next(a, None)
        elif second is not None and not second.num_rows:
            second = next(b, None)
        elif first is None or second is None:
            yield first, second
            return
        else:
            count = min(first.num_rows, second.num_rows)
            yield first.slice(0, count), second.slice(0, count)
            first, second = first.slice(count), second.slice(count)


def _check_links(findings: Findings, known: Instructions, window: int) -> None:
    """Compare the links with the contexts of the instructions."""
    contexts = np.concatenate([np.zeros(0, np.int32), *known.contexts])
    left = (known.counts > 0) & ~known.repeated
    seen = np.zeros(len(known.counts), bool)
    for rows in windows(fitting(findings, "links"), window):
        place = Window(rows)
        queries = pa.concat_arrays([one.batch.column("query_id") for one in rows])
        own = places_in(known.ids, queries.view(pa.binary()))
        names, counts = flat(rows, "context_ids")
        found = places_in(known.ids, names.view(pa.binary()))
        same = (own >= 0) & (known.counts[own] == counts)
        at = np.repeat(known.firsts[own], counts) + _within(counts)
        owners = np.repeat(np.arange(len(own)), counts)
        of_same = same[owners]
        differ = np.zeros(len(found), bool)
        differ[of_same] = contexts[at[of_same]] != found[of_same]
        same[owners[differ]] = False
        same |= (own >= 0) & (known.counts[own] < 0)  # what is wrong there is said already
        for row in np.flatnonzero(~same).tolist():
            what = "context_ids are not the rel_ins_ids of its instruction"
            there = "query_id is not in the instructions table"
            place.add(findings, row, what if own[row] >= 0 else there)
        for added in ADDED:
            for row in np.flatnonzero(flat(rows, added)[1] != counts).tolist():
                place.add(findings, row, f"contexts and {added} differ in number")
        first = np.zeros(len(own), bool)
        first[np.unique(own, return_index=True)[1]] = True
        for row in np.flatnonzero((own >= 0) & (seen[own] | ~first)).tolist():
            place.add(findings, row, "has more than one row")
        seen[own[own >= 0]] = True
        left[own[own >= 0]] = False
    for number in np.flatnonzero(left).tolist():
        what = "has rel_ins_ids, but no row of its own in the links table"
        file, line = known.place(number)
        findings.add(file, what, line, known.name(number))


def _within(counts: np.ndarray) -> np.ndarray:
    """Count from 0 within each run of so many."""
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    within: np.ndarray = np.arange(total) - np.repeat(ends - counts, counts)
    return within
