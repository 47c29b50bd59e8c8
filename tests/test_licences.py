import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimicit.licences import allowed

REAL = (
    "CC-BY-2.0",
    "CC-BY-SA-2.0",
    "CC-BY-ND-2.0",
    "CC-BY-NC-2.0",
    "CC-BY-NC-SA-2.0",
    "CC-BY-NC-ND-2.0",
    "CC0-1.0",
    "No known copyright restrictions",
    "United States Government Work",
    "Public domain",
)
"""What the annotations of COCO and the sample come to."""


@pytest.mark.parametrize(
    ("pattern", "taken"),
    [
        ("CC-BY-2.0", ["CC-BY-2.0"]),
        ("cc-by-2.0", ["CC-BY-2.0"]),
        ("CC0-*", ["CC0-1.0"]),
        ("CC-BY-[0-9]*", ["CC-BY-2.0"]),
        ("CC-BY-*", [name for name in REAL if name.startswith("CC-BY-")]),
        ("united states  government work", ["United States Government Work"]),
        ("*public domain*", ["Public domain"]),
        ("CC-BY", []),
        ("*", list(REAL)),
        ("unknown", []),
        ("", []),
    ],
)
def test_a_pattern_takes_these_real_licences(pattern: str, taken: list[str]) -> None:
    assert [name for name in REAL if allowed(name, [pattern])] == taken


@pytest.mark.parametrize("licence", [*REAL, "", "A AND B"])
def test_without_patterns_everything_is_taken(licence: str) -> None:
    assert allowed(licence, [])


def test_one_of_several_patterns_is_enough() -> None:
    assert allowed("CC0-1.0", ["CC-BY-[0-9]*", "CC0-*"])


@pytest.mark.parametrize("blank", ["", "  ", "\n"])
def test_a_licence_that_is_not_stated_is_taken_by_its_name_only(blank: str) -> None:
    assert allowed(blank, ["CC0-*", "Unknown"])
    assert not allowed(blank, ["*"])
    assert not allowed(blank, ["unk*"])
    assert not allowed(blank, [""])


def test_each_of_several_licences_must_be_taken() -> None:
    both = "CC0-1.0 AND CC-BY-NC-2.0"
    assert not allowed(both, ["CC0-*"])
    assert not allowed(both, ["CC-BY-NC-*"])
    assert allowed(both, ["CC0-*", "cc-by-nc-*"])


def test_a_pattern_that_begins_like_the_first_does_not_reach_over_the_second() -> None:
    assert not allowed("CC0-1.0 AND All rights reserved", ["CC0*"])


def test_the_word_and_in_a_licence_divides_nothing() -> None:
    assert allowed("Terms and conditions of Flickr", ["terms and conditions*"])
    assert allowed("Free for research and teaching", ["*teaching"])


def test_patterns_that_are_all_blank_take_nothing() -> None:
    assert not allowed("CC0-1.0", ["", " "])


words = st.text(string.ascii_letters + string.digits + " .-+/", min_size=1).filter(str.strip)
names = words.filter(lambda text: " AND " not in f" {' '.join(text.split())} ")
patterns = st.lists(st.text(string.ascii_letters + "*?-. ", min_size=1), min_size=1)


@given(names)
def test_a_licence_takes_itself_in_any_case(name: str) -> None:
    assert allowed(name.upper(), [name.lower()])
    assert allowed(f" {name.lower()} ", [name.upper()])


@given(st.lists(names, min_size=1), patterns)
def test_several_are_taken_where_each_is(several: list[str], given_: list[str]) -> None:
    each = all(allowed(name, given_) for name in several)
    assert allowed(" AND ".join(several), given_) == each


@given(st.one_of(st.just(""), names), patterns, st.text())
def test_one_more_pattern_takes_nothing_away(name: str, given_: list[str], more: str) -> None:
    if allowed(name, given_):
        assert allowed(name, [*given_, more])


@given(st.text(), st.lists(st.text(), max_size=3))
def test_any_text_is_a_licence_and_a_pattern(licence: str, given_: list[str]) -> None:
    assert allowed(licence, given_) in {True, False}
