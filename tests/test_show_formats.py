"""The page with one example in every form is what the exporters write now."""

import importlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"

INSTRUCTIONS = [
    "Where in the picture is the camera?",
    "Where in the picture is the flag?",
    "Where can the shuttle model be found in this picture?",
]
ANSWERS = [
    "It is in the upper part of the picture.",
    "You can find the flag on the left side of the picture.",
    "You can find the shuttle model on the right side of the picture.",
]
PICTURES = ["LA_IMG_900000000003", "LA_IMG_900000000002", "LA_IMG_900000000001"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What the tool writes now."""
    folder = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "tools")
        importlib.import_module("show_formats").write(folder)
    yield folder
    for name in ("show_formats", "_shown_files", "draw_context_set"):
        del sys.modules[name]


def sections() -> dict[str, str]:
    """Divide the page: its sections by title, those of one form's ways by both."""
    parts = re.split(r"^## (.*)\n", (DOCS / "one_example.md").read_text(), flags=re.MULTILINE)
    found = {}
    for title, text in zip(parts[1::2], parts[2::2], strict=True):
        whole, *ways = re.split(r"^### (.*)\n", text, flags=re.MULTILINE)
        found[title] = whole
        found |= {f"{title}, {way}": said for way, said in zip(ways[::2], ways[1::2], strict=True)}
    return found


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def test_the_page_is_what_the_tool_writes(made: Path) -> None:
    now, shown = ((folder / "one_example.md").read_text() for folder in (made, DOCS))
    assert now == shown, "run: python tools/show_formats.py"


def test_the_picture_is_what_the_tool_draws(made: Path) -> None:
    now, shown = (Image.open(folder / "one_example.jpg") for folder in (made, DOCS))
    assert now.size == shown.size
    difference = np.abs(np.asarray(now).astype(int) - np.asarray(shown))
    assert difference.mean() < 2, "run: python tools/show_formats.py"  # JPEG libraries differ
    assert (DOCS / "one_example.jpg").stat().st_size < 100_000


@pytest.mark.parametrize("title", [title for title in sections() if "Each" not in title])
def test_every_form_names_the_same_texts_and_pictures_in_the_same_order(title: str) -> None:
    said = "".join(blocks(sections()[title], "(?:json|diff)"))
    for texts in (INSTRUCTIONS, ANSWERS):
        places = [said.index(text) for text in texts]
        # The dataset's own row of the query stands first: its examples are rows of their own.
        assert places == sorted(places) or title == "In the dataset"
    if title != "Otter's text":
        places = [said.rindex(picture) for picture in PICTURES]
        assert places == sorted(places)


def test_without_examples_the_query_stands_with_its_picture() -> None:
    (content,) = blocks(sections()["WebDataset: tar shards, Each picture once"], "json")
    sample = json.loads(content)
    (asked,) = sample["instructions"]
    assert sample["image_ids"] == PICTURES[-1:]
    assert (asked["instruction"], asked["answer"]) == (INSTRUCTIONS[-1], ANSWERS[-1])


def test_the_parts_of_otter_s_text_are_the_text() -> None:
    (shown,) = blocks(sections()["Otter's text"], "diff")
    lines = shown.splitlines()
    assert [line[0] for line in lines] == [" ", "+"] * 3
    expected = "".join(
        f"<image>User: {asked} GPT:<answer> {answer}<|endofchunk|>"
        for asked, answer in zip(INSTRUCTIONS, ANSWERS, strict=True)
    )
    assert "".join(line[2:] for line in lines) == expected


def test_what_is_shown_as_json_is_json() -> None:
    count = 0
    for text in sections().values():
        for shown in blocks(text, "json"):
            json.loads(shown)
            count += 1
    assert count > 10
