"""Which instructions serve as examples for which."""

from collections import Counter
from collections.abc import Sequence
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mimicit.answers import answer_class, content
from mimicit.catalogue import Catalogue, variant
from mimicit.context_linker import STRATEGIES, LinkSpec, catalogue_of, link, named
from mimicit.context_linker.choosing import Chooser
from mimicit.context_linker.health import examine
from mimicit.context_linker.material import Material
from mimicit.context_linker.strategies import PROPOSING, TRIED, mixed, width_of
from mimicit.encoders import open_text
from mimicit.errors import UsageError
from mimicit.lookalikes import describe
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
    question: str = "",
    images: Sequence[str] = (),
    tail: str = "",
    language: str = "en",
) -> Instruction:
    """Make an instruction; without more, its answer shares no word with any other's."""
    return Instruction.model_validate(
        {
            "id": f"LA_INS_{scene:04d}_{ordinal:02d}{tail}",
            "instruction": question or f"What is it, {ordinal}?",
            "answer": answer or f"thing{scene}x{ordinal}.",
            "image_ids": list(images) or [f"LA_IMG_{scene if image is None else image}"],
            "rel_ins_ids": [],
            "source": source,
            "split": split,
            "language": language,
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


def test_a_wider_group_is_what_groups_belong_to() -> None:
    rows = [row(1, group="friends_1"), row(2, group="friends_2"), row(3, group="house_1")]
    specs = {"coco": LinkSpec.parse("wider-group")}
    wider = {"coco": lambda group: group.partition("_")[0]}
    links = {one.query_id: one.context_ids for one in link(rows, specs, wider=wider)}
    assert links == {"LA_INS_0001_00": ["LA_INS_0002_00"], "LA_INS_0002_00": ["LA_INS_0001_00"]}
    assert linked(rows, "wider-group") == {}, "where nothing is wider, the group is all there is"


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


# ------------------------------------------------------------------ strategies


def test_a_conversation_shows_the_turns_before_it_in_their_order() -> None:
    rows = [row(1, n) for n in range(5)]
    links = linked(rows, "conversation", 3)
    assert "LA_INS_0001_00" not in links
    assert links["LA_INS_0001_02"].context_ids == ["LA_INS_0001_00", "LA_INS_0001_01"]
    assert links["LA_INS_0001_04"].context_ids == [f"LA_INS_0001_0{n}" for n in (1, 2, 3)]


def test_a_conversation_stays_next_to_its_query_whatever_the_order() -> None:
    rows = [row(1, 0), row(1, 1), *(row(n) for n in range(2, 8))]
    for order in ("similar-last", "similar-first", "shuffled", "time"):
        found = linked(rows, f"conversation,random order={order}", 3)["LA_INS_0001_01"]
        assert found.strategies == ["random", "random", "conversation"]


def test_a_conversation_is_that_of_one_reply() -> None:
    """Of another replicate, or in another language, the same was said before."""
    rows = [row(1, n, tail=tail) for n in range(2) for tail in ("", "_r1", "_fr")]
    links = linked(sorted(rows, key=lambda r: r.id), "conversation,same-image")
    assert links["LA_INS_0001_01_r1"].context_ids == ["LA_INS_0001_00_r1"]
    assert links["LA_INS_0001_01"].context_ids == ["LA_INS_0001_00"]


def windows(seconds: Sequence[int]) -> list[Instruction]:
    return [
        row(n, group="video", images=[f"E_IMG_video_{1000 * second:09d}"])
        for n, second in enumerate(seconds)
    ]


def test_temporal_gives_what_is_next_in_time() -> None:
    links = linked([*windows([0, 16, 32, 300, 316]), row(9)], "temporal", 2)
    assert links["LA_INS_0001_00"].context_ids == ["LA_INS_0002_00", "LA_INS_0000_00"]
    assert set(links["LA_INS_0003_00"].context_ids) == {"LA_INS_0004_00", "LA_INS_0002_00"}
    assert links["LA_INS_0003_00"].context_ids[-1] == "LA_INS_0004_00", "the nearest one last"
    assert "LA_INS_0009_00" not in links, "another video has no part in it"


def test_temporal_goes_by_the_clock_and_not_by_the_order_of_rows() -> None:
    links = linked(windows([300, 0, 310, 16]), "temporal", 1)
    assert links["LA_INS_0000_00"].context_ids == ["LA_INS_0002_00"]
    assert links["LA_INS_0001_00"].context_ids == ["LA_INS_0003_00"]


def test_without_times_temporal_goes_by_the_order_of_scenes() -> None:
    rows = [row(n, group="album") for n in range(5)]
    links = linked(rows, "temporal", 2)
    assert set(links["LA_INS_0002_00"].context_ids) == {"LA_INS_0001_00", "LA_INS_0003_00"}


def test_similar_image_goes_by_what_is_said_of_a_picture_where_nobody_sees() -> None:
    """All scenes about a picture count, and the scene that is asked about need not be alike."""
    rows = [
        row(1, 0, "A brown dog runs over the grass.", image=1, group="a"),
        row(2, 0, "Two.", image=1, group="b"),
        row(3, 0, "A white dog runs on the lawn.", image=3),
        row(4, 0, "A plate of pasta with tomatoes.", image=4),
    ]
    found = linked(rows, "similar-image", 1)["LA_INS_0002_00"]
    assert found.context_ids == ["LA_INS_0003_00"]
    assert found.strategies == ["similar-image/texts"], "and says so"


class Drawn:
    """Pictures that were drawn here, by id."""

    def __init__(self, pictures: dict[str, Image.Image]) -> None:
        self.pictures = pictures

    def descriptors(self, ids: Sequence[str]) -> np.ndarray:
        data = b"".join(describe(self.pictures[name]) for name in ids)
        return np.frombuffer(data, np.int8).reshape(len(ids), -1)

    def digests(self, ids: Sequence[str]) -> list[str]:
        return list(ids)

    def read(self, image_id: str) -> Image.Image:
        return self.pictures[image_id]


def blobs(seed: int, size: tuple[int, int] = (96, 72)) -> Image.Image:
    drawn = np.random.default_rng(seed).integers(0, 255, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(drawn).resize(size, Image.Resampling.BICUBIC)


def test_a_near_duplicate_is_no_example() -> None:
    """Though its id, scene and group are other ones."""
    rows = [row(n, 0, f"A dog and a ball, {n}.") for n in (1, 2, 3)]
    shown = {"LA_IMG_1": blobs(1), "LA_IMG_2": blobs(1, (48, 36)), "LA_IMG_3": blobs(3)}
    for spec in ("similar-text", "random", "similar-image", "diverse", "mixed"):
        specs = {"coco": LinkSpec.parse(spec)}
        found = {links.query_id: links.context_ids for links in link(rows, specs, Drawn(shown))}
        assert found["LA_INS_0001_00"] == ["LA_INS_0003_00"], spec
        assert found["LA_INS_0002_00"] == ["LA_INS_0003_00"], spec


def test_mixed_looks_among_pictures_that_are_alike_and_ranks_by_what_is_said() -> None:
    alike = {"LA_IMG_1": blobs(1)}
    for n in range(2, 30):
        alike[f"LA_IMG_{n}"] = Image.blend(blobs(1), blobs(n), 0.6)
    answers = {2: "A cat sleeps on a sofa.", 3: "A plane in the sky."}
    rows = [row(1, 0, "A kitten is sleeping on a couch.")]
    rows += [row(n, 0, answers.get(n, f"A truck and wagon{n}.")) for n in range(2, 30)]
    specs = {"coco": LinkSpec.parse("mixed", 1)}
    found = {links.query_id: links for links in link(rows, specs, Drawn(alike))}
    assert found["LA_INS_0001_00"].context_ids == ["LA_INS_0002_00"]


def test_diverse_gives_no_two_of_the_same() -> None:
    rows = [
        row(1, 0, "A dog plays with a red ball in the park."),
        row(2, 0, "A dog plays with a red ball in the garden."),
        row(3, 0, "A dog plays with a red ball in a garden."),
        row(4, 0, "A dog plays with a red ball in the big garden."),
        row(5, 0, "Children are playing football in the park."),
        row(6, 0, "A bowl of soup."),
    ]
    similar = linked(rows, "similar-text", 2)["LA_INS_0001_00"].context_ids
    assert set(similar) <= {f"LA_INS_000{n}_00" for n in (2, 3, 4)}
    diverse = linked(rows, "diverse", 2)["LA_INS_0001_00"].context_ids
    assert diverse[-1] in {f"LA_INS_000{n}_00" for n in (2, 3, 4)}
    assert diverse[0] not in {f"LA_INS_000{n}_00" for n in (2, 3, 4)}


# ---------------------------------------------------------------------- guards


def test_an_example_about_the_same_thing_does_not_give_the_answer_away() -> None:
    rows = [
        row(1, 0, "The scene shows a mirror above a sink.", question="Describe the room."),
        row(1, 1, "You can find a mirror above a sink.", question="Where is a mirror?"),
        row(1, 2, "There are four chairs.", question="What can one sit on?"),
    ]
    links = linked(rows, "same-image")
    assert links["LA_INS_0001_01"].context_ids == ["LA_INS_0001_02"]
    assert set(links["LA_INS_0001_02"].context_ids) == {"LA_INS_0001_00", "LA_INS_0001_01"}


def test_no_example_quotes_a_sentence_of_a_story() -> None:
    story = "We went to the beach at noon. A big wave came in. All of us got wet."
    rows = [
        row(1, 0, story, question="Tell the story.", group="album"),
        row(1, 1, "All of us got wet.", question='"A big wave came in." Go on.', group="album"),
        row(2, 0, "The dog barked at a seagull.", group="album"),
    ]
    assert linked(rows, "same-group")["LA_INS_0001_00"].context_ids == ["LA_INS_0002_00"]


def test_other_scenes_of_the_group_are_not_about_another_thing() -> None:
    rows = [row(1, group="video"), row(2, group="video"), row(3)]
    for spec in ("similar-text", "random", "diverse", "similar-image"):
        for found in linked(rows, f"{spec}").values():
            assert {found.query_id, *found.context_ids} != {"LA_INS_0001_00", "LA_INS_0002_00"}
            assert "LA_INS_0003_00" in {found.query_id, *found.context_ids}


def test_a_long_video_does_not_keep_its_scenes_from_those_of_others() -> None:
    rows = [row(n, 0, f"You cut an onion, cut{n}.", group="long") for n in range(60)]
    rows += [row(n, 0, f"You paint a fence, cut{n}.") for n in range(60, 64)]
    links = linked(rows, "similar-text cap=0")
    assert len(links) == 64
    assert {c for n in range(60) for c in links[f"LA_INS_{n:04d}_00"].context_ids} <= {
        f"LA_INS_{n:04d}_00" for n in range(60, 64)
    }


def test_examples_are_of_the_querys_language() -> None:
    rows = [row(n, 0, f"A dog, {n}.", language="fr" if n % 2 else "en") for n in range(6)]
    for found in linked(rows, "similar-text,random").values():
        assert {int(c[7:11]) % 2 for c in found.context_ids} == {int(found.query_id[7:11]) % 2}


def test_a_held_out_query_gets_its_examples_from_train() -> None:
    rows = [row(1, split="test"), row(2, split="test"), row(3), row(4, split="validation")]
    for spec in ("random", "similar-text"):
        links = linked(rows, spec)
        assert links["LA_INS_0001_00"].context_ids == ["LA_INS_0003_00"]
        assert "LA_INS_0003_00" not in links, "there is no other one in train"


def test_the_band_of_similarity_is_kept() -> None:
    for found in linked(PETS, "similar-text band=0.3:0.7").values():
        assert all(0.3 <= score <= 0.7 for score in found.scores)
    assert len(linked(PETS, "similar-text")) == len(PETS)


def test_a_long_series_shares_no_picture_wherever_it_stands() -> None:
    series = [f"LA_IMG_{n}" for n in range(9)]
    rows = [row(1, images=series), row(2, images=[*series[5:6], "LA_IMG_x", "LA_IMG_y"]), row(30)]
    assert linked(rows, "random")["LA_INS_0001_00"].context_ids == ["LA_INS_0030_00"]


def test_no_instruction_serves_more_often_than_its_cap_and_serves_the_most_similar() -> None:
    rows = [row(0, 0, "A dog runs in the park.")]
    rows += [
        row(n, 0, f"A dog runs in the park{' and barks' * (n > 5)}, {n}.") for n in range(1, 12)
    ]
    free = linked(rows, "similar-text cap=0", 2)
    capped = linked(rows, "similar-text cap=2", 2)
    uses = Counter(c for links in free.values() for c in links.context_ids)
    assert max(uses.values()) > 2
    uses = Counter(c for links in capped.values() for c in links.context_ids)
    assert max(uses.values()) <= 2
    assert sum(uses.values()) >= 0.9 * 2 * len(rows), "who lost one looks for another"


def test_examples_are_left_out_before_the_query_is_too_long() -> None:
    rows = [row(n, 0, "A dog runs in the park. " * 20 + str(n)) for n in range(5)]
    every = linked(rows, "similar-text", 3)
    some = linked(rows, "similar-text tokens=320", 3)
    none = linked(rows, "similar-text tokens=10", 3)
    assert {len(links.context_ids) for links in every.values()} == {3}
    assert {len(links.context_ids) for links in some.values()} == {1}
    assert some["LA_INS_0000_00"].context_ids == every["LA_INS_0000_00"].context_ids[-1:]
    assert none == {}


def test_answers_of_one_set_are_not_all_the_same_yes() -> None:
    rows = [
        row(n, 0, f"{'No' if n % 7 == 0 else 'Yes'}, there is a dog{n} in it.", kind="yes-no")
        for n in range(1, 40)
    ]
    by_id = {r.id: r.answer for r in rows}
    for spec in ("similar-text,random", "random"):
        for found in linked(rows, spec, 3).values():
            assert len({answer_class(by_id[c]) for c in found.context_ids}) == 2
        alike = linked(rows, f"{spec} balance=no", 3).values()
        assert any(len({answer_class(by_id[c]) for c in each.context_ids}) == 1 for each in alike)


def test_what_is_left_of_a_set_is_not_all_the_same_yes_either() -> None:
    """Where a budget takes some of it away, or a cap does."""
    rows = [
        row(n, 0, f"{'No' if n < 3 else 'Yes'}, there is a dog{n} in it.", kind="yes-no")
        for n in range(1, 15)
    ]
    by_id = {r.id: r.answer for r in rows}
    for spec in ("random tokens=34", "random cap=3", "similar-text cap=2"):
        for found in linked(rows, spec, 3).values():
            kinds = {answer_class(by_id[c]) for c in found.context_ids}
            assert len(found.context_ids) < 2 or len(kinds) == 2, spec


def test_where_two_examples_would_answer_the_same_yes_another_question_is_taken() -> None:
    kinds = ("yes-no", "description")
    rows = [
        row(n, k, (f"Yes, a dog{n}.", f"A dog{n} on a lawn.")[k], kind=kind)
        for n in range(3)
        for k, kind in enumerate(kinds)
    ]
    found = linked(rows, "similar-text", 2)["LA_INS_0000_00"]
    assert sorted(c[-2:] for c in found.context_ids) == ["00", "01"]


def test_a_card_names_the_search_of_its_own_view() -> None:
    rows = [row(n, 0, f"A dog, {n}.") for n in range(9)]
    specs = [{"coco": LinkSpec.parse(text)} for text in ("similar-image", "random", "similar-text")]
    catalogue = catalogue_of(rows, [one["coco"] for one in specs])
    material, found = Material(catalogue), []
    for one in specs:
        chooser = Chooser(catalogue, one, material)
        for _ in chooser.choose():
            pass
        found.append(list(examine(catalogue, chooser, material).searches))
    assert found == [["picture texts by static"], [], ["scenes by static"]]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("Yes, it is.", 1),
        ("No.", 2),
        ("No dogs", 0),
        ("There are three cats.", 6),
        ("7", 10),
        ("Two of the five men.", 0),
        ("A dog.", 0),
        ("One finds a chair.", 4),
        ("", 0),
    ],
)
def test_answers_are_told_apart_by_yes_no_and_count(answer: str, kind: int) -> None:
    assert answer_class(answer) == kind


def test_what_an_answer_adds_is_what_its_question_did_not_say() -> None:
    added, said = content("Is there a red bus?", "Yes, there is a red bus near a tree.")
    assert added.bit_count() == 2, "near, tree"
    assert said.bit_count() == 4
    assert content("Is there a bus?", "Yes, there is a bus.")[0].bit_count() == 1
    assert content("?", "Yes.") == (0, 0)


def test_replicate_and_language_are_read_off_an_id() -> None:
    assert variant("LA_INS_000000000139_05") == ""
    assert variant("LA_INS_000000000139_05_r1") == "_r1"
    assert variant("LA_INS_a_b_05_r12_fr") == "_r12_fr"


# ----------------------------------------------------------------------- order


def test_the_order_is_as_asked_for() -> None:
    def order(name: str) -> list[str]:
        return linked(PETS, f"similar-text order={name}", 4)["LA_INS_0001_00"].context_ids

    assert order("similar-first") == order("similar-last")[::-1]
    assert order("time") == sorted(order("similar-last"))
    assert sorted(order("shuffled")) == order("time")
    orders = {
        tuple(links.context_ids)
        for seed in range(8)
        for links in [linked(PETS, "similar-text order=shuffled", 4, seed)["LA_INS_0001_00"]]
    }
    assert len(orders) > 2


# ------------------------------------------------------------------------ laws

rows_of = st.lists(
    st.tuples(
        st.integers(0, 6),  # scene
        st.integers(0, 4),  # image
        st.sampled_from(["a", "b"]),
        st.sampled_from(["count", "size"]),
        st.sampled_from(["train", "train", "validation", "test"]),
        st.sampled_from(["A dog.", "A dog runs.", "A cat.", "", "Yes.", "Two cats sit on a wall."]),
    ),
    max_size=25,
)


def made(drawn: list[tuple[int, int, str, str, str, str]]) -> list[Instruction]:
    return [
        row(scene, n, answer, image=image, group=group, kind=kind, split=split)
        for n, (scene, image, group, kind, split, answer) in enumerate(sorted(drawn))
    ]


SPECS = [*STRATEGIES, "same-group,similar-text,random", "conversation,temporal,diverse cap=2"]


@given(rows_of, st.sampled_from(SPECS), st.integers(0, 4))
def test_the_guards_always_hold(
    drawn: list[tuple[int, int, str, str, str, str]], spec: str, shots: int
) -> None:
    rows = made(drawn)
    by_id = {r.id: r for r in rows}
    order, uses = [], Counter[str]()
    for found in link(rows, {"coco": LinkSpec.parse(spec, shots)}):
        order.append(found.query_id)
        uses.update(found.context_ids)
        query = by_id[found.query_id]
        examples = [by_id[c] for c in found.context_ids]
        assert len(set(found.context_ids)) == len(examples) <= shots
        assert len(found.scores) == len(found.strategies) == len(examples)
        asked = [(e.instruction, e.answer) for e in [query, *examples]]
        assert len(set(asked)) == len(asked)
        crossing = [
            example.scene_id
            for example, strategy in zip(examples, found.strategies, strict=True)
            if PROPOSING[strategy.partition("/")[0]].crosses
        ]
        assert len(set(crossing)) == len(crossing)
        for example, strategy in zip(examples, found.strategies, strict=True):
            assert example.id != query.id
            assert example.split == "train"
            if PROPOSING[strategy.partition("/")[0]].crosses:
                assert example.image_ids != query.image_ids
                assert (example.scene_id, example.group) != (query.scene_id, query.group)
                assert example.group != query.group
    assert order == sorted(order)
    if "cap=2" in spec:
        assert not uses or max(uses.values()) <= 2


@given(st.lists(st.text("abcdef ", min_size=1, max_size=12), max_size=20), st.randoms())
def test_the_order_of_scenes_decides_nothing_but_ties(texts: list[str], random: Random) -> None:
    rows = [row(n, 0, f"{text}.") for n, text in enumerate(texts)]
    for spec in ("similar-text cap=0", "similar-image cap=0"):
        before = {k: links.scores for k, links in linked(rows, spec).items()}
        random.shuffle(rows)
        assert {k: links.scores for k, links in linked(rows, spec).items()} == before


@given(rows_of, st.sampled_from(SPECS))
def test_linking_again_gives_the_same(
    drawn: list[tuple[int, int, str, str, str, str]], spec: str
) -> None:
    rows = made(drawn)
    specs = {"coco": LinkSpec.parse(spec)}
    assert list(link(rows, specs)) == list(link(iter(rows), specs))


@given(st.lists(st.tuples(st.integers(0, 8), st.text("ab d", max_size=9)), max_size=30))
def test_the_linker_is_its_plain_reference(drawn: list[tuple[int, str]]) -> None:
    rows = [
        row(scene, n, f"{text}.", kind="ab"[n % 2]) for n, (scene, text) in enumerate(sorted(drawn))
    ]
    found = {
        links.query_id: links.context_ids
        for links in link(rows, {"coco": LinkSpec.parse("similar-text cap=0 balance=no")})
    }
    assert found == {k: v for k, v in reference(rows).items() if v}


def reference(rows: list[Instruction], shots: int = 3) -> dict[str, list[str]]:
    """Link by similar texts as plainly as can be: loops over all pairs, no array but a vector."""
    scenes: dict[str, list[Instruction]] = {}
    for one in rows:
        scenes.setdefault(one.scene_id, []).append(one)
    encoder, names = open_text("static"), list(scenes)
    vectors = {
        name: encoder.encode(["\n".join(r.answer for r in own)])[0].astype(int).tolist()
        for name, own in scenes.items()
    }
    hashes = {r.id: int(h) for r, h in zip(rows, Catalogue(rows).hashes, strict=True)}
    result = {}
    for query in rows:
        ranked = sorted(
            (
                -sum(a * b for a, b in zip(vectors[query.scene_id], vectors[n], strict=True)),
                place,
                n,
            )
            for place, n in enumerate(names)
            if n != query.scene_id and any(vectors[n]) and any(vectors[query.scene_id])
        )[: width_of(LinkSpec(("random",), shots))]
        proposed: list[tuple[bool, Instruction]] = []
        for kindred in (True, False):
            for *_, name in ranked:
                pick = plainly_picked(query, scenes[name], hashes, kindred=kindred)
                proposed.append((kindred and pick.kind == query.kind, pick))
        half = len(ranked)
        ordered = sorted(proposed[:half], key=lambda one: not one[0]) + proposed[half:]
        taken: list[Instruction] = []
        for _, pick in ordered:
            asked = {(r.instruction.casefold(), r.answer.casefold()) for r in [query, *taken]}
            fresh = (pick.instruction.casefold(), pick.answer.casefold()) not in asked
            if len(taken) < shots and fresh and pick.scene_id not in {r.scene_id for r in taken}:
                taken.append(pick)
        result[query.id] = [r.id for r in reversed(taken)]
    return result


def plainly_picked(
    query: Instruction, scene: list[Instruction], hashes: dict[str, int], *, kindred: bool
) -> Instruction:
    own = sorted(scene, key=lambda r: r.kind)
    same = [r for r in own if r.kind == query.kind]
    own = same if kindred and same else own
    mixed_up = mixed(*(np.array([hashes[one.id]], np.uint64) for one in (query, scene[0])))
    start = int(mixed_up[0]) % len(own)
    turned = [own[(start + step) % len(own)] for step in range(min(TRIED, len(own)))]
    if not kindred:
        return turned[0]
    return min(turned, key=lambda r: abs(len(r.answer) - len(query.answer)))


def test_a_planted_near_duplicate_never_leaks() -> None:
    """Whatever the strategy: half of these pictures are another one's copy in another size."""
    shown = {f"LA_IMG_{n}": blobs(n % 20, (96, 72) if n < 20 else (80, 60)) for n in range(40)}
    rows = [row(n, 0, f"A dog and a ball in garden{n % 20}.") for n in range(40)]
    for spec in ("similar-text", "similar-image", "mixed", "diverse", "random"):
        found = list(link(rows, {"coco": LinkSpec.parse(spec)}, Drawn(shown)))
        assert len(found) == 40
        for links in found:
            own = int(links.query_id[7:11]) % 20
            assert own not in {int(c[7:11]) % 20 for c in links.context_ids}, spec


def test_a_picture_in_common_is_enough_to_be_no_example() -> None:
    both = row(1).model_copy(update={"image_ids": ["LA_IMG_1", "LA_IMG_2"]})
    for spec in ("similar-text", "random"):
        links = linked([both, row(2), row(3)], spec)
        assert links["LA_INS_0001_00"].context_ids == ["LA_INS_0003_00"]


# ---------------------------------------------------------------------- health


def test_health_tells_a_good_view_from_chance() -> None:
    rows = [row(n, 0, f"A {animal} {n}.") for n, animal in enumerate(["dog", "plane", "soup"] * 20)]
    specs = {"coco": LinkSpec.parse("similar-text")}
    catalogue = catalogue_of(rows, specs.values())
    material = Material(catalogue)
    chooser = Chooser(catalogue, specs, material)
    for _ in chooser.choose():
        pass
    health = examine(catalogue, chooser, material)
    assert (health.queries, health.full, health.some, health.leaks) == (60, 60, 0, 0)
    assert health.similarity
    assert health.random_similarity is not None
    assert list(health.similarity) == sorted(health.similarity, reverse=True)
    assert health.similarity[-1] > health.random_similarity + 0.1
    assert health.overlap > health.random_overlap
    assert 0 < health.used <= 1
    assert health.in_degree[-1] <= 32
    assert health.searches["scenes by static"]["recall"] is None


# ------------------------------------------------------------------------ specs


@pytest.mark.parametrize(
    ("spec", "shots", "words"),
    [
        ("nearest", 3, "no link strategy 'nearest'; there are: conversation, same-image"),
        ("", 3, "different strategies"),
        ("random,random", 3, "different strategies"),
        ("random", 65, "0 to 64"),
        ("random shots=65", 3, "0 to 64"),
        ("random order=best", 3, "one of similar-last"),
        ("random cap=-1", 3, "from 0"),
        ("random cap=many", 3, "whole number"),
        ("random band=2:3", 3, "-1 to 1"),
        ("random band=x", 3, "0.2:0.9"),
        ("random balance=maybe", 3, "yes or no"),
        ("random fast", 3, "no setting 'fast'"),
        ("random speed=3", 3, "no setting 'speed=3'.*there are: shots, seed, order"),
        ("shots=4", 3, "begins with its strategies"),
        ("default", 3, "not installed"),
    ],
)
def test_a_wrong_spec_says_what_to_do(spec: str, shots: int, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        LinkSpec.parse(spec, shots)


def test_a_spec_is_read_as_it_is_written() -> None:
    spec = LinkSpec.parse(
        "similar-text, random shots=5 order=time cap=9 band=0.1:0.8 balance=no", 3
    )
    assert spec.strategies == ("similar-text", "random")
    assert (spec.shots, spec.order, spec.cap, spec.band) == (5, "time", 9, (0.1, 0.8))
    assert not spec.balance
    assert LinkSpec.parse("default,random", own="same-group,similar-text").strategies == (
        "same-group",
        "similar-text",
        "random",
    )
    assert named("t2t=similar-text shots=2") == ("t2t", "similar-text shots=2")
    assert named("similar-text shots=2") == ("", "similar-text shots=2")


def test_nothing_to_link_gives_nothing() -> None:
    for spec in STRATEGIES:
        assert linked([], spec) == {}
        assert linked([row(1)], spec) == {}
        assert linked([row(1, split="test")], spec) == {}
