"""What a teacher may write, and what is read from it."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimicit.replies import UnusableReply, read
from mimicit.schema import Exchange, Reply


def said(text: str, finish_reason: str = "stop") -> Reply:
    return Reply("0" * 64, text, finish_reason, "a-model", 1, 1)


def pairs(text: str) -> list[tuple[str, str]]:
    return [(e.instruction, e.answer) for e in read(said(text))]


def problem(text: str, finish_reason: str = "stop") -> str:
    with pytest.raises(UnusableReply) as caught:
        read(said(text, finish_reason))
    assert len(caught.value.detail) <= 300
    assert caught.value.detail.isprintable()
    return caught.value.reason


ONE = {"question": "What is it?", "answer": "A dog."}
TWO = {"question": "Where?", "answer": "On a mat."}
BOTH = [("What is it?", "A dog."), ("Where?", "On a mat.")]

# ---------------------------------------------------------------- unusable


@pytest.mark.parametrize("text", ["", "Q: Who?\nA: Me.", json.dumps([ONE]), "I'm sorry."])
def test_how_the_teacher_stopped_decides_first(text: str) -> None:
    assert problem(text, "length") == "truncated"
    assert problem(text, "MAX_TOKENS") == "truncated"
    assert problem(text, "content_filter") == "refusal"
    assert problem(text, "refusal") == "refusal"


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n\t\r\n",
        "\ufeff",
        "<think>hm</think>\n",
        "[]",
        '{"exchanges": []}',
        "```json\n[]\n```",
    ],
)
def test_a_reply_that_holds_nothing_is_empty(text: str) -> None:
    assert problem(text) == "empty-reply"


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't assist with that.",
        "I\u2019m sorry, but I can\u2019t assist with that request.",
        "  **I cannot help with identifying people.**",
        "I'm unable to view pictures.",
        "I am not able to do this.",
        "I won't do this.",
        "Sorry! No.",
        "My apologies, this is not possible.",
        "Unfortunately, I can\u2019t do this.",
        "As an AI language model I cannot see pictures.",
        "<think>Should I?</think>I'm sorry, I can't.",
    ],
)
def test_a_text_that_declines_is_a_refusal(text: str) -> None:
    assert problem(text) == "refusal"


@pytest.mark.parametrize(
    "text",
    [
        "Here are some thoughts on this picture.",
        "The man says that he is sorry.",
        "<think>Q: Who?\nA: Me.",
        "<thinking>" + json.dumps([ONE]),
        "A: an answer to nothing",
        '{"exchanges": 3}',
        '{"caption": "A dog.", "boxes": [{"label": "dog"}]}',
        "[1, 2, 3]",
        '["Q: a"]',
        '{"question": "What is it?", "answer": "A',
        "Answer the following: what is it?",
    ],
)
def test_what_holds_no_exchange_is_unparsable(text: str) -> None:
    assert problem(text) == "unparsable"


# -------------------------------------------------------------------- JSON


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"exchanges": [ONE, TWO]}),
        json.dumps({"Exchanges ": [ONE, TWO]}, indent=2),
        json.dumps({"qa_pairs": [ONE, TWO], "image": "a.jpg", "tags": ["dog"]}),
        json.dumps([ONE, TWO]),
        json.dumps([[ONE], [TWO]]),
        json.dumps(ONE) + json.dumps(TWO),
        json.dumps(ONE) + ",\n" + json.dumps(TWO),
        f"{json.dumps(ONE)}\n{json.dumps(TWO)}\n",
        f"Sure [1], here {{they}} are:\n```json\n{json.dumps([ONE, TWO])}\n```\nAnything else?",
        f"```\n{json.dumps(ONE)}\n```\nand\n```\n{json.dumps(TWO)}\n```",
        f"1. {json.dumps(ONE)}\n2. {json.dumps(TWO)}",
        f"<think>Maybe [{json.dumps(TWO)}]?</think>{json.dumps([ONE, TWO])}",
        f"Maybe {json.dumps(TWO)}?\n</think>\n\n{json.dumps([ONE, TWO])}",
        f"Question: what now?\n{json.dumps([ONE, TWO])}",
        json.dumps([ONE, TWO]).replace("}", ",}").replace("]", " , ]"),
        "\ufeff" + json.dumps([ONE, TWO]).replace(" ", "\r\n", 1),
    ],
)
def test_json_is_found_wherever_it_stands(text: str) -> None:
    assert pairs(text) == BOTH


@pytest.mark.parametrize("asks", ["instruction", "Question", "Q", "prompt", "USER", "human"])
@pytest.mark.parametrize("answers", ["answer", "A", "response", "output", "Assistant", "gpt"])
def test_keys_go_by_many_names(asks: str, answers: str) -> None:
    assert pairs(json.dumps({asks: "Who?", answers: "Me."})) == [("Who?", "Me.")]


@pytest.mark.parametrize(
    "names", [("from", "value", "human", "gpt"), ("role", "content", "user", "assistant")]
)
def test_messages_are_paired(names: tuple[str, str, str, str]) -> None:
    who, what, asks, answers = names
    messages = [
        {who: "system", what: "Be kind."},
        {who: asks, what: "What is it?"},
        {who: answers, what: "A dog."},
        {who: asks, what: "And?"},
        {who: asks, what: "Where?"},
        {who: answers, what: "On a mat."},
        {who: answers, what: "Or not."},
    ]
    expected = [BOTH[0], ("And?", ""), BOTH[1], ("", "Or not.")]
    assert pairs(json.dumps(messages)) == expected
    assert pairs(json.dumps([{"id": 1, "conversations": messages}])) == expected
    assert pairs("\n".join(map(json.dumps, messages))) == expected


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3, "3"),
        (2.50, "2.5"),
        (True, "true"),
        (False, "false"),
        (None, ""),
        (["A dog."], ""),
        ({"text": "A dog."}, ""),
        ("", ""),
        (float("nan"), "NaN"),
    ],
)
def test_what_is_no_text_becomes_one_or_is_malformed(value: Any, text: str) -> None:
    assert pairs(json.dumps([{"question": "What?", "answer": value}])) == [("What?", text)]


def test_every_attempt_is_counted() -> None:
    attempts: list[Any] = [
        {"question": "What?"},
        {"answer": "A."},
        {"x": 1},
        {},
        "What?",
        None,
        ONE,
    ]
    expected = [("What?", ""), ("", "A."), *[("", "")] * 4, BOTH[0]]
    assert pairs(json.dumps({"exchanges": attempts})) == expected
    assert pairs(json.dumps(attempts)) == expected


@pytest.mark.parametrize(
    ("kind", "kept"),
    [
        ("count", "count"),
        ("Yes-No", "yes-no"),
        ("spatial relation", "spatial-relation"),
        ("a" * 32, "a" * 32),
        ("a" * 33, "conversation"),
        ("what's this?", "conversation"),
        ("", "conversation"),
        ("9", "conversation"),
        (9, "conversation"),
        (None, "conversation"),
        (["count"], "conversation"),
    ],
)
def test_a_kind_is_kept_if_it_is_plain(kind: Any, kept: str) -> None:
    for key in ("kind", "Type", "category"):
        (exchange,) = read(said(json.dumps({**ONE, key: kind})))
        assert exchange.kind == kept


def test_strings_may_hold_line_breaks_commas_and_brackets() -> None:
    assert pairs('[{"question": "What\nis it?", "answer": "A [dog, ]\tor {cat,}.",}]') == [
        ("What\nis it?", "A [dog, ]\tor {cat,}.")
    ]


def test_whole_objects_are_saved_from_a_broken_list() -> None:
    text = json.dumps({"exchanges": [ONE, TWO]})
    assert pairs(text[:-2]) == BOTH
    assert pairs(text[:-5]) == BOTH[:1]


def test_the_last_of_two_equal_keys_counts() -> None:
    assert pairs('{"question": "Who?", "question": "Where?", "answer": "Here."}') == [
        ("Where?", "Here.")
    ]


def test_numbers_keep_all_their_digits() -> None:
    digits = "7" * 10_000
    text = f'[{{"question": "How many?", "answer": {digits}}}, {{"q": 1.10, "a": -Infinity}}]'
    assert pairs(text) == [("How many?", digits), ("1.10", "-Infinity")]


# -------------------------------------------------------------------- text


@pytest.mark.parametrize(
    ("asks", "answers"),
    [
        ("Question: ", "Answer: "),
        ("Q: ", "A: "),
        ("q:", "a:"),
        ("QUESTION : ", "ANSWER : "),
        ("Q1: ", "A1: "),
        ("Q1. ", "A1. "),
        ("Q1) ", "A1) "),
        ("Question 1: ", "Answer 1: "),
        ("Question #1: ", "Answer #1: "),
        ("Question 1.\n", "Answer 1.\n"),
        ("**Question:** ", "**Answer:** "),
        ("**Question**: ", "**Answer**: "),
        ("**Question 1:** ", "**Answer 1:** "),
        ("**Q1.** ", "**A1.** "),
        ("*Q:* ", "*A:* "),
        ("__Q:__ ", "__A:__ "),
        ("***Q:*** ", "***A:*** "),
        ("1. Question: ", "   Answer: "),
        ("1. **Question:** ", "   - **Answer:** "),
        ("**1. Question:** ", "**Answer:** "),
        ("- **Q:** ", "- **A:** "),
        ("* Q: ", "* A: "),
        ("> Q: ", "> A: "),
        ("### Question 1\n", "### Answer 1\n\n"),
        ("### Question 1: ", "### Answer 1: "),
        ("### **Question 1**\n", "**Answer**\n"),
        ("**Question 1**\n\n", "**Answer 1**\n\n"),
        ("Instruction: ", "Answer: "),
        ("Instruction 1: ", "Answer 1: "),
        ("User: ", "GPT: "),
        ("User: ", "Assistant: "),
        ("Q:\n", "A:\n"),
    ],
)
def test_markers_are_recognised(asks: str, answers: str) -> None:
    written = "\n\n".join(f"{asks}{question}\n{answers}{answer}" for question, answer in BOTH)
    assert pairs(f"Here you are:\n\n{written}\n") == BOTH
    assert pairs(f"Here you are:\n```text\n{written}\n```".replace("\n", "\r\n")) == BOTH


@pytest.mark.parametrize(
    "line", ["**Q: What is it?**", "**Q: What is it**?", "**1. Q: What is it?**"]
)
def test_emphasis_around_a_question_is_removed(line: str) -> None:
    assert pairs(f"{line}\nA: A **big** dog.") == [("What is it?", "A **big** dog.")]


def test_emphasis_of_the_text_itself_stays() -> None:
    assert pairs("Q: **What** is it?\nA: *A dog*") == [("**What** is it?", "*A dog*")]


@pytest.mark.parametrize(
    "answer",
    [
        "There are two: a dog and a cat.",
        "It is 10:30.\nNote: the clock may be wrong.",
        "One.\n\nTwo.\n\n- three: 3\n- four",
        "A 10:30 train.\nA 10:30 train, and\nA. a list\nB: of letters",
        "Question marks abound.\nAnswer the following: who is it?\nQ & A: both",
        "First\n---\nsecond\n# third\nfourth",
        "Yes.\nAnswer: yes.\nA: yes.",
        'The sign says {"answer": "no"} and [1].',
        "```\nprint(1)\n```",
        "I'm sorry, but I can't tell.",
        "# 5",
        "---",
    ],
)
def test_an_answer_keeps_its_colons_and_lines(answer: str) -> None:
    text = f"Q: What is it?\nA: {answer}\n\nQ: Where?\nA: On a mat."
    assert pairs(text) == [("What is it?", answer), BOTH[1]]


@pytest.mark.parametrize(
    "divider", ["---", "***", "* * *", "_____", "## Pair 2", "---\n\n### Next\n"]
)
def test_what_divides_two_pairs_is_in_neither(divider: str) -> None:
    text = f"Q: What is it?\nA: A dog.\n\n{divider}\n\nQ: Where?\nA: On a mat.\n\n{divider}\n"
    assert pairs(text) == BOTH


def test_a_question_without_an_answer_is_counted() -> None:
    assert pairs("Q: Who?\nQ: What\nis it?\nA: A dog.\nQ:\nA: x\nQ: Where?") == [
        ("Who?", ""),
        ("What\nis it?", "A dog."),
        ("", "x"),
        ("Where?", ""),
    ]


def test_an_apology_before_an_exchange_is_no_refusal() -> None:
    assert pairs("I'm sorry, I can't name people.\nQ: Who?\nA: A man.") == [("Who?", "A man.")]


# -------------------------------------------------------------- properties

PIECES = ["Q:", "A:", "**", "\n", "{", "}", "[", "]", '"', ",", ":", "```", "#", "\\", "<think>"]
messy = st.one_of(
    st.text(),
    st.lists(
        st.one_of(st.sampled_from([*PIECES, '"question"', '"answer"']), st.text(max_size=3))
    ).map("".join),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["question", "answer", "from", "value", "exchanges", "kind", ""]), inner
        )
    ),
)
kinds = st.from_regex(r"[a-z][a-z0-9_-]{0,31}", fullmatch=True)


@given(messy | json_values.map(json.dumps), st.sampled_from(["stop", "", "length"]))
def test_any_text_is_read_or_refused(text: str, finish_reason: str) -> None:
    try:
        exchanges = read(said(text, finish_reason))
    except UnusableReply:
        reasons = {"truncated", "refusal", "empty-reply", "unparsable"}
        assert problem(text, finish_reason) in reasons
        return
    assert exchanges
    assert all(isinstance(x, str) for e in exchanges for x in (e.instruction, e.answer, e.kind))


@given(st.lists(st.builds(Exchange, st.text(), st.text(), kinds), min_size=1), st.booleans())
def test_json_reads_back_as_it_was_written(exchanges: list[Exchange], ascii_only: bool) -> None:
    rows = [{"question": e.instruction, "answer": e.answer, "kind": e.kind} for e in exchanges]
    for value in (rows, {"exchanges": rows}):
        text = json.dumps(value, ensure_ascii=ascii_only)
        assert read(said(text)) == exchanges
        assert read(said(f"```json\n{text}\n```")) == exchanges
        assert read(said(f"Here they are: {text}\nIs this what you want?")) == exchanges
    lines = "\n".join(json.dumps(row, ensure_ascii=ascii_only) for row in rows)
    assert read(said(lines)) == exchanges


words = st.sampled_from(["dog", "a", "two:", "Note:", "10:30", "(left)", "*big*", "A", "Qi:", "é"])
plain = st.lists(words, min_size=1, max_size=6).map(" ".join)
paragraphs = st.lists(plain, min_size=1, max_size=3).flatmap(
    lambda lines: st.sampled_from(["\n", "\n\n"]).map(lambda gap: gap.join(lines))
)


@given(
    st.lists(st.tuples(plain, st.just("") | paragraphs), min_size=1),
    st.sampled_from(
        [("Q: ", "A: "), ("**Question 1:** ", "**Answer 1:** "), ("User:\n", "GPT:\n")]
    ),
    st.sampled_from(["\n", "\n\n", "\n\n---\n\n"]),
)
def test_questions_and_answers_read_back_as_they_were_written(
    written: list[tuple[str, str]], markers: tuple[str, str], gap: str
) -> None:
    asks, answers = markers
    assert pairs(gap.join(f"{asks}{q}\n{answers}{a}" for q, a in written)) == written


@pytest.mark.parametrize(
    "piece",
    [
        *[
            "[",
            "{",
            '"',
            "`",
            "```\n",
            "Q:",
            "Q:\n",
            "A:\n",
            "Q:\nA:\n",
            "*",
            "* ",
            "- ",
            "#",
            "# ",
        ],
        *[" ", "\n", "\t", "\\", ",", "<think>", "</think>", "<think></think>", "Question", "1. "],
        *['{"', '["', '{"a":', '{"a":[', '[{"a":1},', "[1,", "[]", "{}", '{"q":1}', '"\\', "I'm "],
        *["---\n", "Q1 ", "sorry ", "as an ", "\ud800", "\r", "\ufeff", "9", "Q:\n```\n", ", "],
    ],
)
def test_a_long_and_hostile_reply_is_read_or_refused(piece: str) -> None:
    body = piece * (40_000 // len(piece))
    for text in (body, "[" * 50 + body, f"Q: {body}", '{"q": "' + body, "Question" + body + "x"):
        with suppress(UnusableReply):
            assert read(said(text))
