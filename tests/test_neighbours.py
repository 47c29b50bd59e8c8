"""The nearest of many vectors: all of them, in one order, however they are searched for."""

import hashlib
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mimicit import neighbours
from mimicit.errors import UsageError
from mimicit.neighbours import Neighbours, approximate, exact, search


def like_captions(count: int, seed: int = 0, dimensions: int = 64) -> np.ndarray:
    """Draw vectors around centres, of one length, as those of texts are."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(max(1, count // 20), dimensions))
    drawn = centres[rng.integers(0, len(centres), count)]
    drawn = drawn + 0.7 * rng.normal(size=(count, dimensions))
    drawn *= 22.5 * dimensions**0.5 / np.linalg.norm(drawn, axis=1, keepdims=True)
    return np.clip(np.rint(drawn), -127, 127).astype(np.int8)


def by_hand(
    vectors: np.ndarray, pool: np.ndarray, k: int, asking: np.ndarray | None = None
) -> list[list[tuple[int, int]]]:
    """Compare all with all, and list (place, score) for each, the best first."""
    products = vectors.astype(np.int64) @ vectors.astype(np.int64).T
    found = []
    for query in range(len(vectors)) if asking is None else asking.tolist():
        scores = products[query, pool]
        order = np.lexsort([pool, -scores])
        pairs = zip(pool[order].tolist(), scores[order].tolist(), strict=True)
        others = [pair for pair in pairs if pair[0] != query]
        found.append(others[:k] if vectors[query].any() else [])
    return found


def as_pairs(found: Neighbours) -> list[list[tuple[int, int]]]:
    assert found.places.dtype == found.scores.dtype == np.int32
    assert not found.scores[found.places < 0].any()
    pairs = []
    for places, scores in zip(found.places.tolist(), found.scores.tolist(), strict=True):
        there = [pair for pair in zip(places, scores, strict=True) if pair[0] >= 0]
        assert places[len(there) :] == [-1] * (len(places) - len(there))
        pairs.append(there)
    return pairs


tie_heavy = st.tuples(
    st.integers(0, 40),  # vectors
    st.integers(1, 5),  # dimensions
    st.integers(0, 2),  # largest number: few different vectors, many zeros and ties
    st.integers(1, 12),  # k
    st.integers(0, 2**32 - 1),
)


@given(tie_heavy, st.sampled_from([1, 2, 8, 768]), st.sampled_from([1, 3, 64]))
@settings(deadline=None)
def test_what_is_found_is_what_comparing_all_finds_whatever_the_blocks(
    drawn: tuple[int, int, int, int, int], pool_block: int, asking_block: int
) -> None:
    count, dimensions, largest, k, seed = drawn
    rng = np.random.default_rng(seed)
    vectors = rng.integers(-largest, largest, (count, dimensions), np.int8, endpoint=True)
    pool = np.flatnonzero(rng.random(count) < 0.7)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact, "POOL_BLOCK", pool_block)
        patch.setattr(exact, "ASKING_BLOCK", asking_block)
        found = search(vectors, pool, k)
    assert found.places.shape == (count, min(k, len(pool)))
    assert as_pairs(found) == by_hand(vectors, pool, k)


@pytest.mark.parametrize("k", [1, 24, 300])
@pytest.mark.parametrize("order", ["as drawn", "better and better", "all alike"])
def test_many_vectors_are_searched_through_as_few_are(k: int, order: str) -> None:
    """Where a block holds what is better than all before, and where all is equally good."""
    vectors = like_captions(2500, dimensions=8)
    if order == "better and better":
        vectors = vectors[np.argsort(vectors[:, 0], kind="stable")]
    elif order == "all alike":
        vectors = np.repeat(vectors[:1], len(vectors), axis=0)
    pool, asking = np.arange(0, len(vectors), 2), np.arange(0, len(vectors), 5)
    found = as_pairs(search(vectors, pool, k, asking=asking))
    assert found == by_hand(vectors, pool, k, asking)


@given(st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=25)
def test_another_order_of_the_vectors_gives_the_same_neighbours_by_other_names(seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.integers(-9, 9, (80, 6), np.int8)
    order = rng.permutation(len(vectors))
    pool = np.arange(len(vectors))
    found, turned = search(vectors, pool, 79), search(vectors[order], pool, 79)
    assert (found.scores[order] == turned.scores).all()
    for query, place in enumerate(order):
        named = zip(turned.scores[query].tolist(), order[turned.places[query]], strict=True)
        whole = zip(found.scores[place].tolist(), found.places[place].tolist(), strict=True)
        assert sorted(named) == sorted(whole)


def test_the_most_extreme_numbers_are_added_exactly() -> None:
    vectors = np.full((3, 1023), -128, np.int8)
    vectors[2] = 127
    found = search(vectors, np.arange(3), 2)
    assert found.scores[0].tolist() == [1023 * 128 * 128, -1023 * 127 * 128]


def test_vectors_that_could_not_be_added_exactly_are_refused() -> None:
    with pytest.raises(ValueError, match="sum up to 16777216, and not below"):
        search(np.full((2, 1024), -128, np.int8), np.arange(2), 1)
    with pytest.raises(ValueError, match="int8"):
        search(np.ones((2, 4), np.float32), np.arange(2), 1)
    assert search(np.full((2, 1024), 22, np.int8), np.arange(2), 1).scores[0, 0] == 1024 * 22 * 22


def test_a_pool_is_never_copied_whole() -> None:
    vectors = np.random.default_rng(0).integers(-40, 40, (100_000, 256), np.int8)
    pool = np.arange(len(vectors))
    tracemalloc.start()
    search(vectors, pool, 5, asking=pool[:2000], index="exact")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < vectors.nbytes * (1 + exact.threads() / 2), "four times that would be a copy"


@pytest.mark.parametrize("index", ["auto", "exact", "approximate"])
def test_where_there_is_nothing_to_find_nothing_is_found(
    index: neighbours.IndexChoice,
) -> None:
    vectors = like_captions(3)
    assert search(vectors[:0], np.arange(0), 5, index=index).places.shape == (0, 0)
    assert search(vectors, np.arange(0), 5, index=index).places.shape == (3, 0)
    assert search(vectors, np.arange(3), 0, index=index).places.shape == (3, 0)
    assert search(vectors[:1], np.arange(1), 5, index=index).places.tolist() == [[-1]]
    zeros = search(np.zeros_like(vectors), np.arange(3), 5, index=index)
    assert zeros.places.tolist() == [[-1] * 3] * 3


@pytest.mark.parametrize("index", ["exact", "approximate"])
def test_some_may_ask_alone(index: neighbours.IndexChoice) -> None:
    vectors, pool, asking = like_captions(400), np.arange(100, 300), np.array([350, 7, 150])
    whole = search(vectors, pool, 9, index=index)
    some = search(vectors, pool, 9, asking=asking, index=index)
    assert (some.places == whole.places[asking]).all()
    assert (some.scores == whole.scores[asking]).all()


@pytest.mark.parametrize("index", ["exact", "approximate"])
@pytest.mark.parametrize("count", [1, 63, 5000])
def test_progress_adds_up_to_those_that_ask(index: neighbours.IndexChoice, count: int) -> None:
    told: list[int] = []
    vectors = like_captions(count, dimensions=8)
    vectors[::7] = 0
    search(vectors, np.arange(0, count, 3), 4, index=index, tick=told.append)
    assert sum(told) == count
    assert min(told) > 0


def test_an_index_finds_nearly_all_and_says_how_nearly() -> None:
    vectors, pool = like_captions(3000), np.arange(0, 3000, 2)
    truth = search(vectors, pool, 20)
    found = search(vectors, pool, 20, index="approximate")
    assert (truth.index, truth.recall, truth.sampled) == ("exact", None, 0)
    assert (found.index, found.expansion, found.sampled) == ("usearch", 64, 2000)
    hits = (found.scores[:, :16] >= truth.scores[:, 15:16]).sum() / (16 * len(vectors))
    assert found.recall is not None
    assert found.recall == pytest.approx(hits, abs=0.01)
    assert found.recall >= approximate.ENOUGH


def test_an_index_scores_and_orders_as_an_exact_search_does() -> None:
    vectors, pool = like_captions(600, dimensions=16), np.arange(0, 600, 2)
    vectors[100:140] = vectors[100]
    found = search(vectors, pool, 10, index="approximate")
    products = vectors.astype(np.int64) @ vectors.astype(np.int64).T
    for query, pairs in enumerate(as_pairs(found)):
        assert len({place for place, _ in pairs} - {query}) == len(pairs) == 10
        assert all(score == products[query, place] for place, score in pairs)
        assert pairs == sorted(pairs, key=lambda pair: (-pair[1], pair[0]))
        assert {place % 2 for place, _ in pairs} == {0}
    assert found.places[139].tolist() == list(range(100, 120, 2)), "of equal ones the first"


def test_an_index_answers_for_small_sets_as_an_exact_search_does() -> None:
    for count in (2, 3, 20):
        vectors = like_captions(count, seed=count)
        pool = np.arange(count)
        found = search(vectors, pool, 30, index="approximate")
        assert as_pairs(found) == by_hand(vectors, pool, 30)
        assert found.recall == 1.0


def test_equal_vectors_in_a_row_are_found_all_the_same() -> None:
    """A graph that they were added to one after the other would lose many of them."""
    vectors = np.repeat(like_captions(150), 40, axis=0)
    found = search(vectors, np.arange(len(vectors)), 16, index="approximate")
    assert found.recall is not None
    assert found.recall > 0.99
    assert found.expansion == 64


def test_a_search_keeps_more_candidates_until_enough_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vectors = np.random.default_rng(0).integers(-40, 40, (2000, 64), np.int8)
    pool = np.arange(len(vectors))
    monkeypatch.setattr(approximate, "EXPANSIONS", (8, 40, 160))
    reached: list[tuple[float, int]] = []
    for more in (-1.0, 1e-6, 1.0):  # the last cannot be reached: it is told how near one came
        monkeypatch.setattr(approximate, "ENOUGH", more + (reached[0][0] if reached else 0))
        found = search(vectors, pool, 8, index="approximate")
        reached.append((found.recall or 0.0, found.expansion or 0))
    assert [expansion for _, expansion in reached] == [8, 40, 160]
    assert reached == sorted(reached)


SCRIPT = """
from tests.test_neighbours import found_by_index
print(found_by_index())
"""


def found_by_index() -> str:
    vectors = like_captions(3000, dimensions=32)
    found = search(vectors, np.arange(0, 3000, 2), 20, index="approximate")
    return hashlib.sha256(found.places.tobytes() + found.scores.tobytes()).hexdigest()


def test_an_index_gives_the_same_bytes_each_time_and_in_every_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = {found_by_index() for _ in range(2)}
    for workers in (1, 3):
        monkeypatch.setattr(exact, "MOST_THREADS", workers)
        given.add(found_by_index())
    ran = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    given.add(ran.stdout.strip())
    assert len(given) == 1


def without_usearch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "usearch", None)
    monkeypatch.setitem(sys.modules, "usearch.index", None)


def test_an_index_that_is_asked_for_and_missing_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without_usearch(monkeypatch)
    with pytest.raises(UsageError, match=r"pip install 'mimicit\[index\]'"):
        search(like_captions(50), np.arange(50), 5, index="approximate")


def test_an_index_is_taken_where_comparing_all_takes_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vectors, pool = like_captions(200), np.arange(200)
    assert search(vectors, pool, 5).index == "exact"
    monkeypatch.setattr(neighbours, "EXACT_WORK", 200 * 200 * 64 - 1)
    assert search(vectors, pool, 5).index == "usearch"
    assert search(vectors, pool, 5, index="exact").index == "exact"
    without_usearch(monkeypatch)
    found = search(vectors, pool, 5)
    assert (found.index, found.advice) == ("exact", approximate.ADVICE)
    monkeypatch.setattr(neighbours, "EXACT_WORK", 200 * 200 * 64)
    assert not search(vectors, pool, 5).advice
