"""Texts and pictures as vectors."""

import hashlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mimicit.encoders import (
    IMAGE_SPECS,
    MOST_DIMENSIONS,
    TEXT_SPECS,
    TextEncoder,
    batches,
    length,
    open_image,
    open_text,
    quantise,
)
from mimicit.errors import UsageError

PARAPHRASES = [
    ("A boy throws a ball to his puppy.", "A young child plays fetch with a small dog."),
    ("Two people ride bicycles along the street.", "A pair of cyclists on a city road."),
    ("A woman is slicing vegetables for dinner.", "A lady chops carrots while cooking a meal."),
    ("The plane is about to land at the airport.", "An aircraft comes down to the runway."),
    ("A train waits at the station platform.", "A locomotive has stopped beside the rails."),
    ("Surfers paddle out to the big waves.", "Men with boards swim in the ocean surf."),
    ("A slice of pizza lies on a white plate.", "Someone is about to eat cheese and tomato pie."),
    ("A cup of coffee stands on the table.", "There is a mug of hot espresso on the desk."),
    ("Snow covers the mountain where people ski.", "Skiers go down a slope in winter."),
    ("He types an email on his laptop.", "A man writes on the keyboard of a computer."),
    ("The elephants drink from the river.", "Wild animals of Africa at a water hole."),
    ("A bride and groom cut their cake.", "The newly married couple at their wedding party."),
]

TEXTS = [
    "",
    " \n\t",
    "!?",
    "dog",
    "A brown dog runs.",
    "a brown dog\nruns",
    "Ein brauner Hund läuft.",
    "一只棕色的狗在草地上奔跑",
    "एक भूरा कुत्ता दौड़ता है",
    "كلب بني يركض",
    "\U0001f415 \U0001f3c3\u200d\u2642\ufe0f",
    "half a letter: \ud83d",
    "\0",
    "<s> </s> <unk>",
    "dog " * 300,
]


@pytest.fixture(params=["static", "ngrams"])
def encoder(request: pytest.FixtureRequest) -> TextEncoder:
    return open_text(request.param)


def cosines(vectors: np.ndarray) -> np.ndarray:
    whole = vectors.astype(np.int64)
    found: np.ndarray = (whole @ whole.T) / length(vectors.shape[1]) ** 2
    return found


def test_vectors_are_of_one_length_and_whole(encoder: TextEncoder) -> None:
    vectors = encoder.encode(TEXTS)
    assert vectors.dtype == np.int8
    assert vectors.shape == (len(TEXTS), encoder.dimensions)
    assert encoder.encode([]).shape == (0, encoder.dimensions)
    of_words = vectors[3:].astype(float)
    sizes = np.linalg.norm(of_words[of_words.any(axis=1)], axis=1)
    assert len(sizes) >= len(TEXTS) - 5
    assert np.allclose(sizes, length(encoder.dimensions), rtol=0.03)


def test_a_text_without_words_is_zero(encoder: TextEncoder) -> None:
    assert not encoder.encode(["", " \n\t"]).any()
    assert not open_text("ngrams").encode(["!?", "..."]).any()
    with_words = encoder.encode(["", "dog", "", "cat", ""])
    assert with_words.any(axis=1).tolist() == [False, True, False, True, False]


def test_every_machine_gives_these_bytes() -> None:
    digests = {
        spec: hashlib.sha256(open_text(spec).encode(TEXTS).tobytes()).hexdigest()[:16]
        for spec in ("static", "ngrams")
    }
    assert digests == {"static": "be7b569740027f5a", "ngrams": "a66bf176d4b4a3eb"}


def test_a_static_vector_depends_on_its_text_alone() -> None:
    encoder = open_text("static")
    texts = [*TEXTS, *(text for pair in PARAPHRASES for text in pair)] * 3
    together = encoder.encode(texts)
    for place in range(0, len(texts), 7):
        assert (encoder.encode([texts[place]])[0] == together[place]).all()
    assert (encoder.encode(texts[::-1]) == together[::-1]).all()


def test_ngrams_depend_on_what_the_texts_are_and_not_on_their_order() -> None:
    encoder = open_text("ngrams")
    texts = [f"{a} {b}" for a in ("dog", "cat", "a horse") for b in ("runs", "sleeps")] * 300
    together = encoder.encode(texts)
    assert (encoder.encode(texts[::-1]) == together[::-1]).all()
    others = encoder.encode([*texts, *["A zebra sleeps."] * 1000])
    assert (others[: len(texts)] != together).any(), "a word that has become common weighs less"


words = st.lists(
    st.sampled_from(["a", "dog", "dogs", "runs", "kitchen", "ist", "Küche", "狗", "9", "!"]),
    max_size=6,
)


@given(
    st.lists(words.map(" ".join), min_size=1, max_size=12), st.sampled_from(["static", "ngrams"])
)
def test_products_are_exact_in_float32(texts: list[str], spec: str) -> None:
    vectors = open_text(spec).encode(texts)
    whole, floats = vectors.astype(np.int64), vectors.astype(np.float32)
    assert (floats @ floats.T == whole @ whole.T).all()
    assert np.abs(whole @ whole.T).max() < 2**24


floats = st.floats(-1e300, 1e300, allow_subnormal=False)


@given(hnp.arrays(np.float64, st.tuples(st.integers(0, 5), st.integers(1, 40)), elements=floats))
def test_any_vectors_become_whole_ones_whose_products_are_exact(vectors: np.ndarray) -> None:
    whole = quantise(vectors).astype(np.int64)
    assert (whole.any(axis=1) == vectors.any(axis=1)).all()
    assert np.abs(whole).max(initial=0) <= 127
    bound = length(vectors.shape[1]) + np.sqrt(vectors.shape[1])
    assert (np.linalg.norm(whole, axis=1) <= bound).all()
    assert (whole * np.sign(vectors) >= 0).all()


def test_the_bound_holds_up_to_the_most_dimensions() -> None:
    for dimensions in (1, 2, 3, 256, 1024, 12_288, MOST_DIMENSIONS):
        assert (length(dimensions) + np.sqrt(dimensions)) ** 2 < 2**24
    assert (length(256), length(1024)) == (360, 720)
    with pytest.raises(UsageError, match="40,000 numbers"):
        length(40_000)


def test_one_number_larger_than_int8_does_not_cost_a_vector_its_length() -> None:
    vectors = np.random.default_rng(0).normal(size=(20, 512))
    vectors[:, 3] = 20
    rounded = quantise(vectors)
    assert (rounded[:, 3] == 127).all()
    assert np.allclose(np.diag(cosines(rounded)), 1, atol=0.01)


def test_nearest_by_meaning_is_the_other_way_to_say_it() -> None:
    texts = [text for pair in PARAPHRASES for text in pair]
    scores = cosines(open_text("static").encode(texts))
    np.fill_diagonal(scores, -1)
    assert scores.argmax(axis=1).tolist() == [place ^ 1 for place in range(len(texts))]


def test_ngrams_find_what_words_have_in_common_in_any_script() -> None:
    texts = [
        "Die Katze schläft auf dem Sofa.",
        "Schlafende Katzen auf einem Sofa",
        "Ein Zug steht im Bahnhof.",
        "一只棕色的狗在草地上奔跑",
        "草地上有一只棕色的狗",
        "厨房里有一个炉子",
        "एक भूरा कुत्ता दौड़ता है",
        "भूरे कुत्ते दौड़ते हैं",
        "रसोई में चूल्हा",
    ]
    scores = cosines(open_text("ngrams").encode(texts))
    np.fill_diagonal(scores, -1)
    assert [scores[place].argmax() for place in (0, 1, 3, 4, 6, 7)] == [1, 0, 4, 3, 7, 6]


def test_one_spelling_of_a_letter_is_as_good_as_another() -> None:
    composed, parted, large = open_text("ngrams").encode(["café", "cafe\u0301", "ＣＡＦÉ"])
    assert (composed == parted).all()
    assert (composed == large).all()


def test_lines_are_words_apart_like_spaces() -> None:
    one, two = open_text("static").encode(["A dog.\nA cat.", "A dog. A cat."])
    assert (one == two).all()


@pytest.mark.parametrize("text", ["dog " * 250_000, "x" * 1_000_000, "狗" * 200_000])
def test_a_text_of_a_million_letters_is_a_text(encoder: TextEncoder, text: str) -> None:
    long, short = encoder.encode([text, text[:12]])
    assert np.linalg.norm(long.astype(float)) == pytest.approx(length(encoder.dimensions), rel=0.03)
    if text[0] == "d":
        assert cosines(np.array([long, short]))[0, 1] > 0.98


def test_batches_keep_to_both_bounds_and_leave_nothing_out() -> None:
    texts = ["a" * n for n in (1, 2, 3, 50, 1, 1, 1, 1, 0, 9)]
    cut = list(batches(texts, 3, 10))
    assert [text for _, batch in cut for text in batch] == texts
    assert [start for start, _ in cut] == [0, 3, 4, 7]
    assert list(batches([], 3, 10)) == []


@pytest.mark.parametrize("spec", ["", "word2vec", "static:x", "openai", "openai:", "ngrams:2"])
def test_an_unknown_encoder_is_named_beside_those_there_are(spec: str) -> None:
    with pytest.raises(UsageError) as raised:
        open_text(spec)
    assert repr(spec) in str(raised.value)
    assert all(known in str(raised.value) for known in TEXT_SPECS)
    with pytest.raises(UsageError, match="no picture encoder 'static'") as raised:
        open_image("static")
    assert all(known in str(raised.value) for known in IMAGE_SPECS)


@pytest.mark.skipif(
    importlib.util.find_spec("sentence_transformers") is not None, reason="it is installed"
)
@pytest.mark.parametrize("opened", [open_text, open_image])
def test_a_missing_extra_says_what_to_install(opened: Callable[[str], object]) -> None:
    with pytest.raises(UsageError, match=r"pip install 'mimicit\[encoders\]'"):
        opened("sentence-transformers:all-MiniLM-L6-v2")


def test_embedded_encoders_import_no_model_library() -> None:
    code = (
        "import sys; from mimicit.encoders import open_text; "
        "[open_text(spec).encode(['a dog']) for spec in ('static', 'ngrams')]; "
        "print(sorted({'wordllama', 'torch', 'transformers', 'openai', 'requests'} & "
        "set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_a_table_of_words_that_is_not_there_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "wordllama").mkdir()
    (tmp_path / "wordllama" / "__init__.py").touch()
    code = "from mimicit.encoders import open_text; open_text('static')"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    )
    assert "MimicitError: the vectors of words cannot be read" in done.stderr
    assert "install it anew" in done.stderr
