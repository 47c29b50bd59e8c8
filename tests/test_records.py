"""Annotation files: one damaged record is turned away by itself, and no key is lost in silence."""

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimicit.errors import SourceError
from mimicit.generators import open_source
from mimicit.records import read_file, read_table, records
from mimicit.schema import Rejection, Scene


class Line(msgspec.Struct):
    text: str


def kept(items: list[tuple[str, msgspec.Raw]]) -> tuple[list[str], list[tuple[str, str]]]:
    found = list(records(items, Line, "s"))
    good = [item[0] for item in found if not isinstance(item, Rejection)]
    return good, [(item.record, item.detail) for item in found if isinstance(item, Rejection)]


def stored(folder: Path, text: bytes) -> Path:
    (folder / "a.json").write_bytes(text)
    return folder / "a.json"


HALF = "half of a surrogate pair"


@pytest.mark.parametrize("half", [rb"\ud800", rb"\uDFff.", rb"\ud83d\u0041"])
def test_half_a_surrogate_pair_costs_one_record_of_a_list_or_a_table(
    tmp_path: Path, half: bytes
) -> None:
    listed = b'[{"text": "a"}, {"text": "%s"}, {"text": "\\ud83d\\ude00"}]' % half
    items = read_file(stored(tmp_path, listed), list[msgspec.Raw], "a list")
    good, bad = kept([(str(n), item) for n, item in enumerate(items)])
    assert good == ["0", "2"]
    assert [name for name, _ in bad] == ["1"]
    assert HALF in bad[0][1]
    table = b'{"a": {"text": "b"}, "b": {"text": "%s"}}' % half
    items_by_key = read_table(stored(tmp_path, table), "a table", "s").items
    good, bad = kept([*items_by_key.items()])
    assert (good, [name for name, _ in bad]) == (["a"], ["b"])


def test_a_key_with_half_a_surrogate_pair_is_turned_away_by_its_escape(tmp_path: Path) -> None:
    text = rb'{"\ud800": {"text": "a"}, "b": {"text": "b"}}'
    good, bad = kept([*read_table(stored(tmp_path, text), "a table", "s").items.items()])
    assert good == ["b"]
    assert bad[0][0] == r"\ud800"
    assert HALF in bad[0][1]


@pytest.mark.parametrize("also", [b"1", b"NaN"])
def test_bytes_that_are_no_text_cost_one_record(tmp_path: Path, also: bytes) -> None:
    text = b'{"a": {"text": "caf\xe9"}, "b": {"text": "b", "n": %s}}' % also
    good, bad = kept([*read_table(stored(tmp_path, text), "a table", "s").items.items()])
    assert (good, [name for name, _ in bad]) == (["b"], ["a"])


def test_a_sentence_with_half_a_surrogate_pair_costs_that_sentence(tmp_path: Path) -> None:
    pair = r'{"v": {"timestamps": [[0, 5], [6, 9]], "sentences": ["A dog.", "\udc00"]}}'
    (tmp_path / "a.json").write_text(pair)
    found = list(open_source("dense_captions", {"root": str(tmp_path)}).scenes())
    (scene,) = (item for item in found if isinstance(item, Scene))
    assert len(scene.annotations) == 1
    (turned,) = (item for item in found if isinstance(item, Rejection))
    assert (turned.reason, turned.record, turned.detail[:4]) == (
        "malformed-record",
        "segment 2",
        "half",
    )
    (tmp_path / "a.jsonl").write_text(
        r'{"vid_name": "v", "ts": [0, 5], "clip_id": 1, "descs": [{"desc": "\ud800"}]}' + "\n"
    )
    found = list(open_source("tv_captions", {"root": str(tmp_path)}).scenes())
    (turned,) = (item for item in found if isinstance(item, Rejection))
    assert HALF in turned.detail


@pytest.mark.parametrize("number", [b"1", b"NaN"])
@pytest.mark.parametrize("indent", ["", " ", "\n  "])
def test_a_key_that_occurs_twice_is_told(tmp_path: Path, indent: str, number: bytes) -> None:
    entries = b'"a": {"n": 0}, "\\u0062": %s, "a": {"a": 1, "a": "},\\"a\\":{"}, "c": [], "b": 2'
    text = (b"{" + entries % number + b"}").replace(b" ", indent.encode())
    table = read_table(stored(tmp_path, text), "a table", "s")
    assert [(item.reason, item.record) for item in table.refused] == [
        ("duplicate-key", "a"),
        ("duplicate-key", "b"),
    ]
    assert (bytes(table.items["b"]), list(table.items)) == (b"2", ["a", "b", "c"])


@given(
    pairs=st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8"), max_size=3),
            st.recursive(st.none() | st.text('{}[]":,\\ a', max_size=5), st.lists, max_leaves=4),
        ),
        max_size=6,
    ),
    indent=st.sampled_from([None, 0, 2]),
)
def test_each_key_is_used_or_told_whatever_stands_around_it(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[str, object]], indent: int | None
) -> None:
    path = tmp_path_factory.mktemp("table") / "a.json"
    rest = [f"{json.dumps(key)} : {json.dumps(value, indent=indent)}" for key, value in pairs]
    path.write_text("\n{ " + " ,\n".join(rest) + "}\n")
    table = read_table(path, "a table", "s")
    assert sorted([*table.items, *(item.record for item in table.refused)]) == sorted(
        key for key, _ in pairs
    )
    assert {key: json.loads(bytes(raw)) for key, raw in table.items.items()} == dict(pairs)


@pytest.mark.parametrize("inside", [None, "videos"])
def test_a_table_in_a_table_is_read_like_one(tmp_path: Path, inside: str | None) -> None:
    text = b'{"version": 1, "videos": {"v": 1, "w": 2, "v": 3}}'
    table = read_table(stored(tmp_path, text), "a table", "s", inside)
    assert table.inside == bool(inside)
    assert [*table.items] == (["v", "w"] if inside else ["version", "videos"])
    assert [item.record for item in table.refused] == (["v"] if inside else [])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"[1]", "should be a table"),
        (b'{"videos": [1]}', "a table in `videos`"),
        (b'{"a": ', "not valid JSON"),
        (b"", "not valid JSON"),
    ],
)
def test_a_file_that_is_no_table_is_an_error(tmp_path: Path, text: bytes, words: str) -> None:
    with pytest.raises(SourceError, match=words):
        read_table(stored(tmp_path, text), "a table", "s", "videos")
