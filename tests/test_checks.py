"""What keeps an exchange from being published."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimicit.checks import check, text_problem
from mimicit.schema import Exchange


@pytest.mark.parametrize(
    "token",
    [
        "<image>",
        "<answer>",
        "<bbox>",
        "<ref-object>",
        "<start-image>",
        "<Image>",
        "< image >",
        "<image_1>",
        "<image 1>",
        "</image>",
        "<img>",
        "<img src='a.jpg'>",
        "[IMG]",
        "[IMG_END]",
        "[INST]",
        "<<SYS>>",
        "<pad>",
        "<|endofchunk|>",
        "<|im_start|>",
        "<｜User｜>",  # noqa: RUF001
        "<im_patch>",
        "<start_of_turn>",
        "<end_of_image>",
        "<vision_start>",
        "<unused_7>",
        "<s>",
        "</s>",
        "</think>",
    ],
)
def test_a_reserved_token_is_never_published(token: str) -> None:
    assert text_problem(f"A dog {token} on a mat.") == "special-token"


@pytest.mark.parametrize(
    "text",
    [
        "A sign saying <3.",
        "a < b and c > d",
        "The label reads <fragile>.",
        "The screen shows <b>Hello</b>.",
        "It says [exit] and |x|.",
        "The images < 5 > are small.",
        "1 << 2",
    ],
)
def test_honest_angles_and_brackets_are_kept(text: str) -> None:
    assert text_problem(text) == ""


@pytest.mark.parametrize(
    "text",
    [
        "The caption mentions a dog.",
        "These captions describe a dog.",
        "The provided caption says so.",
        "The image captions agree.",
        "Each annotation has a label.",
        "The bounding boxes overlap.",
        "What do the captions say?",
        "The description mentions a dog.",
        "The descriptions say that it rains.",
        "The image description states it.",
        "The description does not say.",
        "The description also indicates rain.",
        "According to the caption, it rains.",
        "According to the provided information, it rains.",
        "Based on the descriptions, it rains.",
        "Based on the given information, it rains.",
        "Based on the information provided, it rains.",
        "Based on bounding box data, it rains.",
        "Based on the description of the image, it rains.",
        "As mentioned in the description, it rains.",
        "It rains, as stated in the given description.",
        "There is no mention of a dog.",
        "The breed is not mentioned.",
        "The breed isn't explicitly mentioned.",
        "The breed is not specified.",
        "The year is not provided in the image.",
        "The year, not stated in the given context, is unknown.",
        "The coordinates show it on the left.",
        "Its box coordinates show it on the left.",
        "I can\u2019t see the image.",
        "According to\nthe  annotations, it rains.",
    ],
)
def test_speaking_of_the_annotations_is_a_leak(text: str) -> None:
    assert text_problem(text) == "annotation-leak"


@pytest.mark.parametrize(
    "text",
    [
        "A poster with a description of the bird.",
        "The description on the label says that it is a wren.",
        "According to the description on the plaque, it is a wren.",
        "According to the description of the bird on the poster, it is a wren.",
        "According to the sign, the shop is closed.",
        "Based on the image, it is winter.",
        "Based on the shadows, it is noon.",
        "The price is not mentioned on the menu.",
        "Towels are not provided in the bathroom.",
        "The information given on the board is about trains.",
        "A box with a ribbon stands on the table.",
        "She coordinates the dancers.",
        "A short caption is printed below the photo.",
        "It is mentioned in the headline of the newspaper.",
        "The man describes the scene to a friend.",
    ],
)
def test_honest_words_about_a_picture_are_kept(text: str) -> None:
    assert text_problem(text) == ""


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't assist with that.",
        "I\u2019m sorry, but I can\u2019t help with that.",
        "Sorry, I cannot identify the person.",
        "I am very sorry, however I am not able to answer.",
        "I cannot assist with this request.",
        "I can't help with that.",
        "I'm unable to provide that information.",
        "Unfortunately, I cannot identify people.",
        "As an AI language model, I cannot see.",
        "As an AI, I do not have eyes.",
        "Well, as an AI assistant I have no opinion.",
        "I'm just an AI and have no eyes.",
    ],
)
def test_declining_is_a_refusal(text: str) -> None:
    assert text_problem(text) == "refusal"


@pytest.mark.parametrize(
    "text",
    [
        "I cannot determine the breed from here.",
        "I can't tell whether it is a cat or a dog.",
        "I'm sorry, but I can't make out the letters.",
        "I'm afraid I cannot tell the time from this clock.",
        "I can't help but notice the dog.",
        'The sign says "Sorry, we cannot accept cards."',
        "Sorry, we can't take cash.",
        "A poster of a robot as an AI assistant.",
        "The girl looks sorry.",
    ],
)
def test_honest_doubt_is_no_refusal(text: str) -> None:
    assert text_problem(text) == ""


def test_questions_are_checked_as_answers_are() -> None:
    good = Exchange("What is it?", "A dog.", "x")
    leak = Exchange("What does the caption say?", "A dog.", "x")
    refusal = Exchange("Who is it?", "I'm sorry, but I can't identify the person.", "x")
    silent = Exchange("Where is it?", "", "x")
    found = [reason for _, reason in check([good, leak, refusal, silent, good])]
    assert found == ["", "annotation-leak", "refusal", "empty", "duplicate-instruction"]


PIECES = st.sampled_from(
    [
        *("A dog.", "the caption", " says", "\u2019t ", "isn", "as an", " ai, i", "<ima", "ge>"),
        *("[/IN", "ST]", "", " ", "\n", "\x00", "\ud83d", "\ude00", "I'm sorry, I can't"),
        *("LANGUAGE  MODEL", "\u0130"),
    ]
)
TEXTS = st.lists(PIECES | st.text(max_size=5), max_size=3).map("".join)


@given(st.lists(st.tuples(TEXTS, TEXTS), max_size=4))
def test_texts_are_judged_together_as_they_are_alone(pairs: list[tuple[str, str]]) -> None:
    together = check([Exchange(*pair, "x") for pair in pairs])
    for (question, answer), (_, reason) in zip(pairs, together, strict=True):
        alone = text_problem(question) or text_problem(answer)
        assert reason == alone or (not alone and reason == "duplicate-instruction")


@given(st.text())
def test_any_text_is_judged(text: str) -> None:
    assert text_problem(text) in {
        "",
        "empty",
        "special-token",
        "control-character",
        "refusal",
        "annotation-leak",
    }


@pytest.mark.parametrize(
    "piece", ["<", "< ", "<image", "the image ", "as an ai ", "sorry ", "isn't "]
)
def test_a_long_text_is_judged_too(piece: str) -> None:
    assert isinstance(text_problem(piece * (1_000_000 // len(piece))), str)
