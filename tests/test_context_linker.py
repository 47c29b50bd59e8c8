"""Which instructions serve as examples for which."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mimicit import neighbours
from mimicit.context_linker import STRATEGIES, LinkSpec, link
from mimicit.encoders import LENGTH, TextVectors
from mimicit.errors import UsageError
from mimicit.neighbours import nearest
from mimicit.schema import Instruction, Links


def row(
    scene: int,
    ordinal: int = 0,
    answer: str = "",
    *,
    image: int | None = None,
    group: str = "",
    kind: str = "count",
    split: str = "train",
    source: str = "coco",
) -> Instruction:
    return Instruction.model_validate(
        {
            "id": f"LA_INS_{scene:04d}_{ordinal:02d}",
            "instruction": f"What is it, {ordinal}?",
            "answer": answer or f"Thing {scene} and {ordinal}.",
            "image_ids": [f"LA_IMG_{scene if image is None else image}"],
            "rel_ins_ids": [],
            "source": source,
            "split": split,
            "language": "en",
            "kind": kind,
            "scene_id": f"{scene:04d}",
            "group": group or str(scene),
            "licence": "",
            "teacher": "templates",
            "prompt_sha256": "",
            "request_key": "",
        }
    )


def linked(
    rows: Sequence[Instruction], spec: str, shots: int = 3, seed: int = 0
) -> dict[str, Links]:
    specs = {r.source: LinkSpec.parse(spec, shots, seed) for r in rows}
    return {links.query_id: links for links in link(rows, specs)}


def test_same_image_gives_the_other_questions_about_it() -> None:
    rows = [row(1, n) for n in range(3)] + [row(2)]
    links = linked(rows, "same-image")
    assert set(links["LA_INS_0001_00"].context_ids) == {"LA_INS_0001_01", "LA_INS_0001_02"}
    assert "LA_INS_0002_00" not in links, "a picture with one question has no other"


def test_no_question_is_every_others_example() -> None:
    rows = [row(1, n) for n in range(8)]
    used = Counter(c for links in linked(rows, "same-image", 3).values() for c in links.context_ids)
    assert set(used.values()) == {3}


def test_same_group_reaches_over_pictures() -> None:
    rows = [row(1, group="album"), row(2, group="album"), row(3, group="other")]
    links = linked(rows, "same-group")
    assert links["LA_INS_0001_00"].context_ids == ["LA_INS_0002_00"]
    assert "LA_INS_0003_00" not in links


def test_groups_of_different_sources_are_different() -> None:
    rows = [row(1, group="7"), row(2, group="7", source="other")]
    assert linked(rows, "same-group") == {}


PETS = [
    row(1, 0, "A brown dog runs over the grass in a park."),
    row(2, 0, "A white dog runs on the grass of a park."),
    row(3, 0, "A kitchen with a stove and a sink."),
    row(4, 0, "A kitchen with an oven, a stove and a sink."),
    row(5, 0, "Two zebras drink at a water hole."),
]


def test_similar_text_finds_the_like_and_puts_it_last() -> None:
    links = linked(PETS, "similar-text", 2)
    assert links["LA_INS_0001_00"].context_ids[-1] == "LA_INS_0002_00"
    assert links["LA_INS_0003_00"].context_ids[-1] == "LA_INS_0004_00"
    for found in links.values():
        assert found.scores == sorted(found.scores)
        assert set(found.strategies) == {"similar-text"}


def test_similar_text_gives_a_question_of_the_same_kind_and_one_a_scene() -> None:
    rows = [
        r.model_copy(update={"id": f"{r.id[:-2]}{n:02d}", "kind": kind, "instruction": f"{kind}?"})
        for r in PETS
        for n, kind in enumerate(("count", "size"))
    ]
    for found in linked(rows, "similar-text", 4).values():
        assert {c[-2:] for c in found.context_ids} == {found.query_id[-2:]}
        assert len({c[:-3] for c in found.context_ids}) == 4


def test_a_fallback_fills_what_the_first_leaves() -> None:
    rows = [row(1, 0), row(1, 1), *(row(n) for n in range(2, 8))]
    found = linked(rows, "same-image,random", 3)["LA_INS_0001_00"]
    assert found.context_ids[-1] == "LA_INS_0001_01"
    assert found.strategies == ["random", "random", "same-image"]


def test_each_source_is_linked_its_own_way() -> None:
    rows = [row(1, 0), row(1, 1), row(2, 0, source="b"), row(2, 1, source="b")]
    specs = {"coco": LinkSpec.parse("same-image"), "b": LinkSpec.parse("random")}
    by_query = {links.query_id: set(links.strategies) for links in link(rows, specs)}
    assert by_query["LA_INS_0001_00"] == {"same-image"}
    assert by_query["LA_INS_0002_00"] == {"random"}


def test_random_depends_on_the_seed_and_on_nothing_else() -> None:
    rows = [row(n) for n in range(30)]
    assert linked(rows, "random", seed=1) == linked(rows, "random", seed=1)
    assert linked(rows, "random", seed=1) != linked(rows, "random", seed=2)
    used = Counter(c for links in linked(rows, "random").values() for c in links.context_ids)
    assert len(used) > 20


rows_of = st.lists(
    st.tuples(
        st.integers(0, 6),  # scene
        st.integers(0, 4),  # image
        st.sampled_from(["a", "b"]),
        st.sampled_from(["count", "size"]),
        st.sampled_from(["train", "train", "validation", "test"]),
        st.sampled_from(["A dog.", "A dog runs.", "A cat.", ""]),
    ),
    max_size=25,
)


@given(rows_of, st.sampled_from([*STRATEGIES, "same-group,similar-text,random"]), st.integers(0, 4))
@settings(deadline=None)
def test_the_guards_always_hold(
    drawn: list[tuple[int, int, str, str, str, str]], spec: str, shots: int
) -> None:
    rows = [
        row(scene, n, answer, image=image, group=group, kind=kind, split=split)
        for n, (scene, image, group, kind, split, answer) in enumerate(sorted(drawn))
    ]
    by_id = {r.id: r for r in rows}
    order = []
    for found in link(rows, {"coco": LinkSpec.parse(spec, shots)}):
        order.append(found.query_id)
        query = by_id[found.query_id]
        examples = [by_id[c] for c in found.context_ids]
        assert len(set(found.context_ids)) == len(examples) <= shots
        assert len(found.scores) == len(found.strategies) == len(examples)
        asked = [(e.instruction, e.answer) for e in [query, *examples]]
        assert len(set(asked)) == len(asked)
        crossing = [
            example.scene_id
            for example, strategy in zip(examples, found.strategies, strict=True)
            if STRATEGIES[strategy].crosses
        ]
        assert len(set(crossing)) == len(crossing)
        for example, strategy in zip(examples, found.strategies, strict=True):
            assert example.id != query.id
            assert example.split == "train"
            if STRATEGIES[strategy].crosses:
                assert example.image_ids != query.image_ids
                assert example.scene_id != query.scene_id
    assert order == sorted(order)


def test_a_picture_in_common_is_enough_to_be_no_example() -> None:
    both = row(1).model_copy(update={"image_ids": ["LA_IMG_1", "LA_IMG_2"]})
    for spec in ("similar-text", "random"):
        links = linked([both, row(2), row(3)], spec)
        assert links["LA_INS_0001_00"].context_ids == ["LA_INS_0003_00"]


@pytest.mark.parametrize(
    ("spec", "shots", "words"),
    [
        ("nearest", 3, "no link strategy 'nearest'; there are: same-image"),
        ("", 3, "different strategies"),
        ("random,random", 3, "different strategies"),
        ("random", 65, "0 to 64"),
    ],
)
def test_a_wrong_spec_says_what_to_do(spec: str, shots: int, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        LinkSpec.parse(spec, shots)


def test_nothing_to_link_gives_nothing() -> None:
    for spec in STRATEGIES:
        assert linked([], spec) == {}
        assert linked([row(1)], spec) == {}
        assert linked([row(1, split="test")], spec) == {}


texts_of = st.lists(st.text(alphabet="ab cd", max_size=30), min_size=1, max_size=12)


@given(texts_of, st.integers(1, 6))
@settings(deadline=None)
def test_nearest_is_exact_and_ties_go_to_the_first(texts: list[str], k: int) -> None:
    """Whatever the size of the blocks it is computed in."""
    vectors = TextVectors()
    for text in texts:
        vectors.add(text)
    matrix = vectors.matrix()
    products = matrix.astype(np.int64) @ matrix.astype(np.int64).T
    assert (matrix.astype(np.float32) @ matrix.T.astype(np.float32) == products).all()
    assert products.max() < 2**24
    pool = np.arange(0, len(texts), 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "BLOCK_BYTES", 100)
        rows = list(nearest(matrix, pool, k, LENGTH))
    assert len(rows) == len(texts)
    for query, (found, scores) in enumerate(rows):
        expected = sorted(pool.tolist(), key=lambda p: (-products[query, p], p))[:k]
        assert found.tolist() == expected
        assert scores.tolist() == [products[query, p] / LENGTH**2 for p in expected]
