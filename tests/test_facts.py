"""Mending a caption: quotation marks that stand in pairs stay in pairs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimicit.facts import tidy


@pytest.mark.parametrize(
    ("raw", "mended"),
    [
        ('"a dog"', "A dog."),
        ("'a man's dog'", "A man's dog."),
        ('"a dog".', "A dog."),
        ('"Stop" and "Go" are on signs', '"Stop" and "Go" are on signs.'),
        ('a sign says "Stop"', 'A sign says "Stop".'),
        ('she says "mom" and "dad."', 'She says "mom" and "dad."'),
        ('a man yells "stop!"', 'A man yells "stop!"'),
        ('a dog"', "A dog."),
        ("the house of the Smiths'", "The house of the Smiths'."),
        ('"', ""),
    ],
)
def test_a_pair_of_quotation_marks_is_never_halved(raw: str, mended: str) -> None:
    assert tidy(raw) == mended


@given(st.text("\"'ab s.!", max_size=12).filter(lambda text: text.count('"') % 2 == 0))
def test_what_is_in_pairs_stays_in_pairs(text: str) -> None:
    assert tidy(text).count('"') % 2 == 0
