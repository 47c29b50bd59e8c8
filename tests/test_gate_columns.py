"""The release gate by the column says what the models and the checks say row by row."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from conftest import SHARED, needs_shared
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mimicit.checks import HIDDEN, LEAKS, REFUSALS, SPECIAL_TOKENS, text_problem
from mimicit.gate.models import misfits
from mimicit.gate.texts import may_have_problem
from mimicit.schema import DESCRIPTOR_BYTES
from mimicit.tables import TABLES, arrow_schema

SAMPLE = Path(__file__).parents[1] / "samples" / "coco" / "annotations"

# ------------------------------------------------------------------------- models

odd = st.one_of(
    st.none(),
    st.sampled_from(["", " ", "\n", "x", "\u00e9", "\u0661", "\u212a", "en\n", "e\u0301", "a\0b"]),
    st.text(max_size=3),
)
"""What hits no constraint, or hits it by a hair."""

numbers = st.one_of(st.none(), st.integers(-2, 3), st.sampled_from([2**63 - 1, -(2**63)]))
floats = st.one_of(st.none(), st.floats())


def around(*good: str) -> st.SearchStrategy[Any]:
    """Give texts that fit, and some that nearly do."""
    near = [*good, *(f"{text}\n" for text in good), *(f" {text}" for text in good)]
    return st.one_of(st.sampled_from(good), st.sampled_from(good), st.sampled_from(near), odd)


def lists(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), st.lists(inner, max_size=3), st.lists(inner, min_size=1))


ids = around(
    *("LA_INS_1_00", "a_INS_~2e~", "LA_INS_", "L_A_INS_1", "LA_INS_\u0661"),
    *("LACR_I2I_00_INS_1", "L__A_INS_1", "_L_INS_1", "L__INS_1", "A_INS_B_INS_1"),
)
pictures = around("LA_IMG_1", "9_IMG_a.b-c_d~", "_IMG_1", "\u0661_IMG_1", "LA_00_IMG_1")
digests = around("0" * 64, "0" * 63, "A" * 64, "abcdef0123456789" * 4)

STRATEGIES: dict[str, st.SearchStrategy[Any]] = {
    "id": ids,
    "query_id": ids,
    "rel_ins_ids": lists(ids),
    "context_ids": lists(ids),
    "image_id": pictures,
    "image_ids": lists(pictures),
    "sha256": digests,
    "prompt_sha256": around("", "0" * 64, "0" * 63),
    "request_key": around("", "0" * 64, "\x1b"),
    "path": around(
        "a.jpg", "a/b.jpg", "../a", "..", "/a", "a\x1b", "...", "a\\b", "a/.../b", "a/.."
    ),
    "phash": around("0123456789abcdef", "0123456789abcde", "0123456789ABCDEF"),
    "descriptor": st.one_of(
        st.none(), st.integers(DESCRIPTOR_BYTES - 1, DESCRIPTOR_BYTES + 1).map(bytes)
    ),
    "split": around("train", "validation", "test", "Train", "dev"),
    "language": around("en", "eng", "e", "engl", "EN"),
    "width": numbers,
    "height": numbers,
    "pts": numbers,
    "jpeg_quality": numbers,
    "time": floats,
    "instead_of": lists(floats),
    "scores": lists(floats),
    "strategies": lists(odd),
    "notes": lists(odd),
    "bytes": st.one_of(st.none(), st.binary(max_size=3)),
}


def rows_of(fields: Any) -> st.SearchStrategy[Any]:
    """Make rows of Arrow's fields, nested ones too."""
    made = {}
    for field in fields:
        inner = STRATEGIES.get(field.name, st.one_of(st.just("fine"), odd))
        if pa.types.is_struct(field.type):
            inner = rows_of(field.type)
        # Mostly right: or else some other field would be wrong in every row.
        made[field.name] = st.one_of(*[_fitting(field)] * 6, inner)
    whole = st.fixed_dictionaries(made)
    return st.one_of(whole, whole, whole, st.none()) if isinstance(fields, pa.StructType) else whole


FITTING: dict[str, Any] = {
    "id": "A_INS_1",
    "query_id": "A_INS_1",
    "rel_ins_ids": ["A_INS_2"],
    "image_id": "A_IMG_1",
    "context_ids": ["A_INS_2", "A_INS_3"],
    "image_ids": ["A_IMG_1"],
    "sha256": "0" * 64,
    "phash": "0" * 16,
    "descriptor": bytes(DESCRIPTOR_BYTES),
    "split": "test",
    "prompt_sha256": "",
    "request_key": "f" * 64,
    "path": "b.jpg",
    "language": "en",
    "width": 1,
    "height": 2,
    "pts": None,
    "jpeg_quality": None,
    "time": None,
    "instead_of": [],
    "scores": [0.5],
    "strategies": [],
    "notes": ["a", "b"],
    "bytes": b"",
}


def _fitting(field: pa.Field) -> st.SearchStrategy[Any]:
    if pa.types.is_struct(field.type):
        return st.fixed_dictionaries({inner.name: _fitting(inner) for inner in field.type})
    return st.just(FITTING.get(field.name, "fine"))


def nullable(field: pa.Field) -> pa.Field:
    """Let everything be null, as other writers do."""
    kind = field.type
    if pa.types.is_struct(kind):
        kind = pa.struct([nullable(inner) for inner in kind])
    if pa.types.is_list(kind):
        kind = pa.list_(pa.field("element", kind.value_type))
    return pa.field(field.name, kind)


def fits(table: str, row: dict[str, Any]) -> bool:
    try:
        TABLES[table].model_validate(row)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("table", TABLES)
def test_exactly_the_rows_that_do_not_fit_their_model_are_found(table: str) -> None:
    schema = pa.schema([nullable(field) for field in arrow_schema(table)])
    seen = set()

    @settings(max_examples=15, database=None)
    @given(st.lists(rows_of(schema), min_size=1, max_size=12), st.integers(0, 3))
    def check(rows: list[dict[str, Any]], start: int) -> None:
        batch = pa.RecordBatch.from_pylist(rows, schema=schema).slice(start)
        expected = [not fits(table, row) for row in batch.to_pylist()]
        assert misfits(batch, table).tolist() == expected
        seen.update(expected)

    check()
    assert seen == {True, False}


# -------------------------------------------------------------------------- texts

WORDS = re.findall(r"[a-z']{2,}", LEAKS.pattern + " " + REFUSALS.pattern)
SENTENCES = (
    *("I'm sorry, but I cannot", "i am afraid i can't help with that", "I won't provide this"),
    *("Unfortunately, I'm not able to assist", "As an AI language model, I", "I am a large AI"),
    *("no images here", "can't see the image", "the picture is not available", "image un-loaded"),
    *("according to the provided captions", "as per the given descriptions", "the bounding boxes"),
    *("described in the annotations", "is not clearly mentioned", "the box coordinates"),
    *("isn't specified in the provided context", "both descriptions specify", "based upon details"),
    *("the descriptions does n't mention", "no mention of", "provide a caption"),
)
TOKENS = (
    "<image>",
    "<|im_end|>",
    "[INST]",
    "[/IMG]",
    "<<SYS>>",
    "</s>",
    "< pad >",
    "<\uff5ceos\uff5c>",
)
SPACES = (*" \t\n\v\f\r\x1c\x1d\x1e\x1f\x85\xa0\u1680\u2003\u200b\u2028\u3000\u202f", "  ", "-", "")
ODD_CASE = str.maketrans({"i": "\u0130", "s": "\u017f", "k": "\u212a", "'": "\u2019"})

valid = st.characters(exclude_categories=["Cs"])
pieces = st.one_of(
    st.sampled_from([*SENTENCES, *TOKENS]),
    st.sampled_from(WORDS),
    st.text(valid, max_size=4),
    st.sampled_from(["\u0131", "\u0130", "\x07", "\ufffe", "\u202e", ".", ",", "!", "\u0661", "_"]),
)


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Put fragments of what is looked for together, white space and case being odd."""
    made = "".join(draw(st.lists(pieces | st.sampled_from(SPACES), min_size=1, max_size=6)))
    if draw(st.booleans()):
        space = draw(st.sampled_from(SPACES))
        made = made.replace(" ", space)
    changes: list[Callable[[str], str]] = [str, str.upper, str.title, str.swapcase]
    made = draw(st.sampled_from(changes))(made)
    return made.translate(ODD_CASE) if draw(st.booleans()) else made


def plainly(text: str) -> str:
    """Say what `text_problem` says, by nothing but the patterns."""
    if not re.search(r"\w", text):
        return "empty"
    plain = " ".join(text.lower().replace("\u2019", "'").split())
    found = {
        "special-token": SPECIAL_TOKENS.search(text),
        "control-character": HIDDEN.search(text),
        "refusal": REFUSALS.search(plain),
        "annotation-leak": LEAKS.search(plain),
    }
    return next((reason for reason, hit in found.items() if hit), "")


def check_texts(several: list[str]) -> None:
    reasons = [text_problem(text) for text in several]
    assert reasons == [plainly(text) for text in several]
    suspects = may_have_problem(pa.array(several, pa.string())).tolist()
    passed = [text for text, s, r in zip(several, suspects, reasons, strict=True) if r and not s]
    assert passed == []


many_texts = st.lists(texts(), min_size=10, max_size=30)
test_no_text_with_a_problem_is_passed_over = settings(max_examples=10, database=None)(
    given(many_texts)(check_texts)
)
test_none_of_many_is_passed_over = pytest.mark.slow(
    settings(max_examples=1000, database=None)(given(many_texts)(check_texts))
)


def test_every_sentence_that_has_a_problem_is_suspected_however_it_is_spaced() -> None:
    spaced = [s.replace(" ", space) for s in SENTENCES for space in SPACES]
    spaced += [text.upper().translate(ODD_CASE) for text in spaced]
    suspects = may_have_problem(pa.array(spaced)).tolist()
    assert [t for t, s in zip(spaced, suspects, strict=True) if text_problem(t) and not s] == []
    assert sum(bool(text_problem(text)) for text in spaced) > len(SENTENCES)


@pytest.mark.parametrize(
    "folder", [SAMPLE, pytest.param(SHARED / "coco" / "annotations", marks=needs_shared)]
)
def test_ordinary_sentences_are_passed_over(folder: Path) -> None:
    captions = [
        each["caption"]
        for path in folder.glob("captions*.json")
        for each in json.loads(path.read_text())["annotations"]
    ]
    suspects = may_have_problem(pa.array(captions)).tolist()
    assert len(captions) > 20
    assert sum(suspects) < len(captions) / 20
