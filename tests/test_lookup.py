"""Finding rows: all that are there, and no more read than it takes."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimicit import lookup
from mimicit.errors import SourceError
from mimicit.lookup import Found

names = st.text("ab_0é", min_size=1, max_size=3)


@given(
    st.lists(st.lists(names, max_size=8), max_size=4),
    st.sets(names, max_size=3),
    st.integers(1, 5),
    st.sampled_from(["parquet", "jsonl"]),
)
def test_what_is_found_is_what_is_there(
    tmp_path_factory: pytest.TempPathFactory,
    shards: list[list[str]],
    wanted: set[str],
    group: int,
    suffix: str,
) -> None:
    out = tmp_path_factory.mktemp("lookup")
    (out / "t").mkdir()
    there = []
    for number, values in enumerate(shards):
        path = out / "t" / f"train-{number:05d}-of-{len(shards):05d}.{suffix}"
        table = pa.table(
            {
                "id": pa.array(values, pa.string()),
                "ids": pa.array([[v, "x", v] for v in values], pa.list_(pa.string())),
                "n": pa.array(range(len(values)), pa.int64()),
            }
        )
        if suffix == "parquet":
            pq.write_table(table, path, row_group_size=group)
        else:
            path.write_text("".join(json.dumps(r) + "\n" for r in table.to_pylist()))
        there += [Found(f"t/{path.name}", n, {"n": n}) for n, v in enumerate(values) if v in wanted]
    for column in ("id", "ids"):
        assert list(lookup.find(out, "t", column, wanted, ["n"])) == there


def test_row_groups_that_cannot_hold_it_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "t").mkdir()
    ids = [f"{number:06d}" for number in range(1000)]
    pq.write_table(pa.table({"id": ids}), tmp_path / "t" / "a.parquet", row_group_size=10)
    read: list[int] = []
    whole = pq.ParquetFile.read_row_group

    def watched(file: Any, number: int, **more: Any) -> pa.Table:
        read.append(number)
        return whole(file, number, **more)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", watched)
    (found,) = lookup.find(tmp_path, "t", "id", ["000505"], ["id"])
    assert (found.row, set(read)) == (505, {50})


def test_a_column_that_is_not_there_is_said(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "t" / "a.parquet")
    for column, columns in (("name", ["id"]), ("id", ["id", "name"])):
        with pytest.raises(SourceError, match=r"a\.parquet.*no column 'name'"):
            list(lookup.find(tmp_path, "t", column, ["a"], columns))
    with pytest.raises(SourceError, match=r"a\.parquet"):
        lookup.column_of(tmp_path, "t", "name")


def test_a_column_is_read_over_all_files(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    pq.write_table(pa.table({"id": ["a", "b"]}), tmp_path / "t" / "a.parquet")
    (tmp_path / "t" / "b.jsonl").write_text('{"id": "c"}\n')
    (tmp_path / "t" / ".hidden.jsonl").write_text("never read")
    assert lookup.column_of(tmp_path, "t", "id").to_pylist() == ["a", "b", "c"]
    assert len(lookup.column_of(tmp_path, "absent", "id")) == 0
