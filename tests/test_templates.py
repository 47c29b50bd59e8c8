"""What the embedded teacher says, and what it must not say."""

import re
from collections import Counter

import pytest
from conftest import SHARED, needs_shared
from hypothesis import given
from hypothesis import strategies as st

from mimicit import nouns
from mimicit.annotations import Annotation, Box, Caption
from mimicit.checks import check, text_problem
from mimicit.facts import best_captions, place, things, tidy
from mimicit.generators import open_source
from mimicit.schema import Exchange, ImageRef, Scene
from mimicit.templates import write

LABELS = ("cat", "dog", "airplane", "bed", "zebra", "person", "skis", "broccoli", "umbrella", "TV")


def scene(*annotations: Annotation, vocabulary: tuple[str, ...] = LABELS, name: str = "1") -> Scene:
    ref = ImageRef("LA_IMG_1", "/r", "1.jpg", size=(400, 300))
    return Scene("coco", name, "LA", (ref,), annotations, (name,), vocabulary)


def asked(exchanges: list[Exchange], kind: str) -> list[Exchange]:
    return [e for e in exchanges if e.kind == kind]


def answers(kind: str, *annotations: Annotation, vocabulary: tuple[str, ...] = LABELS) -> str:
    """All answers of a kind over many scenes that differ in nothing but their id."""
    scenes = [scene(*annotations, vocabulary=vocabulary, name=str(n)) for n in range(30)]
    return "\n".join(e.answer for s in scenes for e in asked(write(s, 0), kind))


DOG = Box("dog", 20, 40, 100, 200)
CAT = Box("cat", 280, 120, 60, 60)


def test_every_kind_of_question_is_asked_where_it_is_supported() -> None:
    kinds = {
        e.kind
        for e in write(
            scene(Caption("A dog and a cat."), DOG, CAT, Box("bed", 150, 200, 90, 60)), 0
        )
    }
    assert kinds == {
        "description",
        "detail",
        "objects",
        "count",
        "yes-no",
        "location",
        "size",
        "position",
    }


def test_a_count_is_exact_only_if_all_are_seen_whole() -> None:
    inside = [Box("dog", 20 + 90 * n, 40, 50, 50) for n in range(3)]
    assert "three dogs" in answers("count", *inside)
    assert "at least" not in answers("count", *inside).lower()
    cut = [*inside[:2], Box("dog", 350, 40, 50, 50)]
    crowd = [*inside, Box("dog", 10, 200, 300, 50, crowd=True)]
    for unsure in (cut, crowd):
        lines = answers("count", *unsure).splitlines()
        assert lines
        assert all("at least three" in line.lower() for line in lines)
    assert answers("count", DOG, vocabulary=()) == "", "one dog, and perhaps others unlabelled"


def test_no_count_contradicts_a_caption() -> None:
    two = [Box("dog", 20, 40, 50, 50), Box("dog", 200, 40, 50, 50)]
    assert "two dogs" in answers("count", *two)
    assert answers("count", Caption("Three brown dogs play."), *two) == ""
    assert answers("count", Caption("A group of dogs."), *two) == ""
    assert answers("count", Caption("Two happy puppies."), *two) != ""
    assert answers("count", Caption("Many people."), Box("person", 50, 50, 50, 90)) == ""


def test_a_thing_labelled_twice_is_not_two_things() -> None:
    twice = (DOG, Box("dog", 22, 42, 98, 196))
    assert answers("count", *twice) == ""
    assert "dogs" not in answers("objects", *twice, CAT, Box("bed", 150, 200, 90, 60))


def test_a_box_inside_another_is_not_a_second_thing() -> None:
    assert answers("count", Box("dog", 20, 40, 200, 200), Box("dog", 60, 80, 50, 50)) == ""


def test_what_can_hardly_be_seen_is_not_counted() -> None:
    assert answers("count", Box("dog", 20, 40, 90, 90), Box("dog", 200, 40, 9, 9)) == ""


def test_a_caption_that_counts_the_same_settles_a_doubt() -> None:
    cut = (Box("dog", 0, 40, 90, 90), Box("dog", 200, 40, 90, 90))
    assert "at least two" in answers("count", *cut).lower()
    assert "at least" not in answers("count", Caption("Two dogs at play."), *cut).lower()


def test_a_label_is_doubted_where_captions_speak_of_what_looks_like_it() -> None:
    pair = (Box("cat", 20, 40, 90, 90), Box("dog", 200, 40, 90, 90))
    assert "dog" not in answers(
        "objects", Caption("A cat and a bed."), *pair, Box("bed", 0, 200, 300, 90)
    )
    same = (Box("cat", 20, 40, 90, 90), Box("dog", 22, 42, 90, 90))
    assert answers("location", *same) == ""


def test_a_place_is_not_given_away_before_it_is_asked_for() -> None:
    for number in range(40):
        exchanges = write(scene(DOG, CAT, name=str(number)), 0)
        said = [e.answer for e in asked(exchanges, "yes-no") if e.answer.startswith("Yes")]
        (where,) = asked(exchanges, "location")
        for label in ("dog", "cat"):
            assert not (label in where.instruction and f"{label} " in said[0])


def test_the_dog_is_only_said_of_the_only_dog() -> None:
    assert "The dog is" in answers("location", DOG)
    assert answers("location", DOG, Box("dog", 200, 40, 50, 50)) == ""
    assert answers("location", DOG, Box("dog", 0, 0, 400, 50, crowd=True)) == ""
    assert answers("location", Caption("Dogs in a yard."), DOG) == ""


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ((0.0, 0.1, 0.3, 0.9), "on the left side of the picture"),
        ((0.7, 0.1, 1.0, 0.9), "on the right side of the picture"),
        ((0.0, 0.0, 0.3, 0.3), "in the upper left part of the picture"),
        ((0.7, 0.7, 0.9, 1.0), "in the lower right part of the picture"),
        ((0.4, 0.4, 0.6, 0.6), "in the middle of the picture"),
        ((0.1, 0.7, 0.9, 1.0), "in the lower part of the picture"),
        ((0.0, 0.0, 1.0, 1.0), ""),
        ((0.2, 0.2, 0.6, 0.6), ""),
    ],
)
def test_a_place_is_named_where_it_is_clear(
    box: tuple[float, float, float, float], words: str
) -> None:
    assert place(box) == words


def test_sides_and_heights_are_the_right_way_round() -> None:
    for line in answers("position", DOG, CAT).splitlines():
        assert re.search(r"(dog|It) is to the left|(cat|It) is to the right", line)
    scenes = [scene(DOG, CAT, name=str(n)) for n in range(30)]
    for exchange in [e for s in scenes for e in asked(write(s, 0), "position")]:
        subject = re.search(
            r"(?:is the|Is the|side of the (?:dog|cat) is the) (dog|cat)\b", exchange.instruction
        )
        assert subject
        assert ("left" in exchange.answer) == (subject[1] == "dog")
    stacked = (Box("cat", 100, 20, 90, 60), Box("dog", 100, 200, 90, 60))
    for line in answers("position", *stacked).splitlines():
        assert re.match(r"The cat is (higher up|nearer to the top) than the dog", line)
    overlapping = (Box("cat", 100, 100, 90, 90), Box("dog", 120, 120, 90, 90))
    assert answers("position", *overlapping) == ""


def test_a_size_is_compared_only_where_box_and_outline_agree() -> None:
    assert "The dog" in answers("size", DOG, CAT)
    thin = Box("dog", 20, 40, 100, 200, area=900.0)  # a long, slanting thing: large box, few pixels
    assert answers("size", thin, CAT) == ""


def test_yes_and_no_are_balanced_and_both_true() -> None:
    exchanges = [
        e for n in range(40) for e in asked(write(scene(DOG, CAT, name=str(n)), 0), "yes-no")
    ]
    said = Counter(e.answer.split(",")[0] for e in exchanges)
    assert said["Yes"] == said["No"] == 40
    for exchange in exchanges:
        present = re.search(r"\b(dog|cat)s?\b", exchange.instruction)
        assert bool(present) == exchange.answer.startswith("Yes")


def test_what_a_caption_speaks_of_is_not_denied() -> None:
    text = answers("yes-no", Caption("A dog, a cat, a jet, a sofa bed and someone."), DOG, CAT)
    assert text
    assert "airplane" not in text
    assert "person" not in text
    assert "bed" not in text


def test_absence_is_not_claimed_without_knowledge() -> None:
    assert answers("yes-no", DOG, CAT, vocabulary=()) == ""


def test_what_is_easily_confused_is_not_denied() -> None:
    assert "horse" not in answers(
        "yes-no", Box("zebra", 50, 50, 90, 90), vocabulary=("zebra", "horse", "bed")
    )


def test_captions_that_say_nothing_are_not_chosen() -> None:
    empty = Caption("There is no image here to provide a caption for.")
    good = Caption("a dog on the grass")
    assert best_captions(scene(empty, good))[0] == "A dog on the grass."
    (exchange, reason), *_ = check(asked(write(scene(empty), 0), "description"))
    assert reason == "annotation-leak", exchange


def test_the_caption_most_agree_with_is_chosen() -> None:
    texts = ("A dog runs on grass", "A dog runs on the grass.", "A purple vehicle", "dog on grass")
    assert "dog" in best_captions(scene(*map(Caption, texts)))[0].lower()
    doubted = (Caption("A dog using his airplane."), Caption("A dog using his nose."))
    assert best_captions(scene(*doubted, DOG))[0] == "A dog using his nose."


@pytest.mark.parametrize(
    ("raw", "mended"),
    [
        ("a dog ", "A dog."),
        ("A dog .", "A dog."),
        ("A  dog..", "A dog."),
        ('"a dog"', "A dog."),
        ("Is it a dog?", "Is it a dog?"),
        ("A MAN IS SKIING ON SNOW", "A man is skiing on snow."),
        ("", ""),
    ],
)
def test_a_caption_is_tidied_and_not_rewritten(raw: str, mended: str) -> None:
    assert tidy(raw) == mended


@pytest.mark.parametrize(
    ("label", "one", "many"),
    [
        ("umbrella", "an umbrella", "umbrellas"),
        ("person", "a person", "people"),
        ("skis", "a pair of skis", "pairs of skis"),
        ("broccoli", "some broccoli", "pieces of broccoli"),
        ("TV", "a TV", "TVs"),
        ("knife", "a knife", "knives"),
        ("sheep", "a sheep", "sheep"),
        ("wine glass", "a wine glass", "wine glasses"),
        ("hourglass", "an hourglass", "hourglasses"),
    ],
)
def test_grammar(label: str, one: str, many: str) -> None:
    assert (nouns.one(label), nouns.many(label)) == (one, many)


box_of = st.builds(
    Box,
    st.sampled_from(LABELS),
    st.floats(0, 300),
    st.floats(0, 200),
    st.floats(5, 100),
    st.floats(5, 100),
    crowd=st.booleans(),
)


@given(st.lists(box_of, max_size=12), st.integers(0, 5))
def test_nothing_is_said_that_the_boxes_do_not_support(boxes: list[Box], seed: int) -> None:
    made = scene(*boxes)
    exchanges = write(made, seed)
    present = {box.label for box in boxes}
    said = Counter(e.answer.split(",")[0] for e in asked(exchanges, "yes-no"))
    assert said["Yes"] == said["No"]
    for exchange in exchanges:
        names = {x for label in LABELS for x in (label, nouns.many(label)) if label not in present}
        named = [x for x in names if re.search(rf"\b{x}\b", exchange.answer)]
        assert not named or exchange.answer.startswith("No, "), exchange
        assert text_problem(exchange.answer) == ""
        assert re.fullmatch(r"[A-Z][^{}]*[.?]", exchange.answer), exchange
    for thing in things(made):
        if thing.certainty == "exact":
            assert thing.count == sum(b.label == thing.label and not b.crowd for b in boxes)
            assert not thing.crowd


@given(st.permutations([DOG, CAT, Box("bed", 150, 200, 90, 60), Box("person", 10, 10, 30, 60)]))
def test_the_order_of_boxes_does_not_matter(boxes: list[Box]) -> None:
    assert write(scene(*boxes), 0) == write(scene(*sorted(boxes, key=lambda b: b.label)), 0)


def test_wording_varies_by_seed_and_scene_and_by_nothing_else() -> None:
    one = scene(Caption("A dog."), DOG, CAT)
    assert write(one, 0) == write(one, 0)
    assert write(one, 0) != write(one, 1)
    openings = {write(scene(Caption("A dog."), name=str(n)), 0)[0].instruction for n in range(60)}
    assert len(openings) >= 6


def test_labels_and_captions_are_never_executed() -> None:
    trap = "{0.__class__} {caption} %s <image>"
    exchanges = write(scene(Caption(trap), Box("{label.__class__}", 10, 10, 90, 90), CAT), 0)
    assert any("{label.__class__}" in e.answer for e in exchanges)
    rejected = [reason for e, reason in check(exchanges) if trap in e.answer]
    assert set(rejected) == {"special-token"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("A dog.", ""),
        (" \n", "empty"),
        ("A dog <image> here", "special-token"),
        ("A dog<|endofchunk|>", "special-token"),
        ("< Answer > yes", "special-token"),
        ("[INST] hi", "special-token"),
        ("a < b and c > d", ""),
        ("bell\x07", "control-character"),
        ("half \ud800", "control-character"),
        ("The caption mentions a dog.", "annotation-leak"),
        ("I can't see the image above.", "annotation-leak"),
        ("There is no picture here.", "annotation-leak"),
        ("A man taking a picture here.", ""),
    ],
)
def test_text_that_cannot_be_published_has_a_reason(text: str, reason: str) -> None:
    assert text_problem(text) == reason


def test_the_first_of_two_equal_questions_stays() -> None:
    exchanges = [Exchange("What?", "A.", "x"), Exchange(" what? ", "B.", "x")]
    assert [reason for _, reason in check(exchanges)] == ["", "duplicate-instruction"]


@needs_shared
def test_real_scenes_are_balanced_and_clean() -> None:
    scenes = open_source("coco", {"root": str(SHARED / "coco")}).scenes()
    exchanges = [e for s in scenes if isinstance(s, Scene) for e in write(s, 0)]
    said = Counter(e.answer.split(",")[0] for e in exchanges if e.kind == "yes-no")
    assert said["Yes"] == said["No"] > 200
    assert not [e for e in exchanges if text_problem(e.answer) or text_problem(e.instruction)]
    assert not [
        e for e in exchanges if re.search(r"\b(a|an) (people|TVs)\b|\bone people\b|  ", e.answer)
    ]
