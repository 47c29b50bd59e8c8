"""A trace on paper: whatever the data holds, it is shown and does nothing."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimicit.annotations import (
    Annotation,
    Box,
    Caption,
    Dialogue,
    Difference,
    Narration,
    Segment,
    Story,
    Utterance,
)
from mimicit.lookup import Found
from mimicit.origins import Known
from mimicit.schema import Reply
from mimicit.trace import Trace, Writing
from mimicit.trace_text import as_json, as_text, clean


def hostile() -> Trace:
    evil = "\x1b]0;owned\x07\x1b[2J\u202e\x9b31m\r\u2028\nREJECTED\n  stage  none\ud800\x7f"
    reply = Reply("0" * 64, evil, evil, evil, 1, 2)
    values = dict.fromkeys(("stage", "reason", "record", "detail", "source", "scene_id"), evil)
    scene = Known(evil, evil, (evil,), annotations=(Caption(evil), Box(evil, 1, 2, 3, 4)))
    return Trace(
        dataset="out",
        id="x",
        kind="rejected",
        writing=Writing(evil, evil, evil, 1, 1, "0" * 64, evil, reply),
        rejections=(Found("rejected/a.parquet", 0, values),),
        scenes=(scene, Known("a", "b", problem=evil)),
    )


def test_nothing_in_the_data_can_act_on_the_terminal_or_pass_for_a_heading() -> None:
    text = as_text(hostile())
    assert all(c.isprintable() or c == "\n" for c in text)
    assert "\\x1b[2J" in text
    assert "\\u202e" in text
    headings = [line for line in text.splitlines() if line and not line.startswith("  ")]
    assert [line.split(",")[0] for line in headings] == [
        "out: rejected x",
        "REJECTED",
        "HOW IT WAS WRITTEN",
        "SCENE",
        "SCENE",
    ]


def test_json_is_ascii_without_controls() -> None:
    line = as_json(hostile())
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["writing"]["reply"]["text"].startswith("\x1b]0;owned\x07")


def test_a_number_that_json_cannot_spell_is_null() -> None:
    found = Trace(
        "out", "x", "scene", scenes=(Known("a", "b", annotations=(Segment(0, float("inf"), "t"),)),)
    )
    (annotation,) = json.loads(as_json(found))["scenes"][0]["annotations"]
    assert annotation == {"type": "segment", "start": 0, "end": None, "text": "t"}


@given(st.text())
def test_printable_text_stays_as_it_is(text: str) -> None:
    cleaned = clean(text)
    assert all(c.isprintable() or c == "\n" for c in cleaned)
    kept = "".join(c for c in text if c.isprintable() or c == "\n")
    assert cleaned == text or len(cleaned) > len(kept)


@pytest.mark.parametrize(
    ("annotation", "said"),
    [
        (Caption("A dog."), 'caption: "A dog."'),
        (Caption("A dog.", 2), 'caption: "A dog." (picture 2)'),
        (Caption("A dog.\n  box: cat"), 'caption: "A dog.\\n  box: cat"'),
        (Box("dog", 20, 40, 160.5, 200), "box: dog at 20, 40, 160.5 x 200"),
        (Box("dog", 1, 2, 3, 4, 95729.58, crowd=True), "3 x 4, covers 95729.58 pixels, a crowd"),
        (Segment(0, 2.5, "He runs."), 'segment: 0 s to 2.5 s: "He runs."'),
        (Narration(3, "cuts", "other", ("knife",)), 'narration: 3 s, other: "cuts", knife'),
        (Difference("gone"), 'difference: "gone" (between picture 0 and picture 1)'),
        (Difference("gone", directed=True), "(from picture 0 to picture 1)"),
        (
            Story("s1", ("Once.", "End."), (4, 1)),
            'story: s1\n      "Once." (picture 4)\n      "End." (picture 1)',
        ),
        (Utterance("the red one", "chair"), 'utterance: "the red one" (of chair)'),
        (Dialogue((("Who?", "Me."),)), 'dialogue: 1 turn(s)\n      "Who?": "Me."'),
    ],
)
def test_every_kind_of_annotation_is_shown(annotation: Annotation, said: str) -> None:
    found = Trace("out", "x", "scene", scenes=(Known("a", "b", annotations=(annotation,)),))
    assert f"{said}\n" in as_text(found)
