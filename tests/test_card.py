"""The dataset card: what loaders and people read of it, and what cannot get into it."""

import ast
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from conftest import Asking, Coco
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from PIL import Image

from mimicit import card_text, prices
from mimicit.card import Tally, read_counts, write_card
from mimicit.config import BuildConfig, SourceConfig
from mimicit.decoding import FAILURES
from mimicit.markdown import fenced, said, table, visible
from mimicit.reasons import REASONS
from mimicit.tables import arrow_schema
from mimicit.writer import FileEntry, describe

PACKAGE = Path(__file__).parents[1] / "mimicit"

HOSTILE = [
    "```\n# out\n<img src=x onerror=alert(1)>",
    "~~~~~~\n<script>x</script>",
    "`````` and ` and ``",
    "\n---\nconfigs: []\n---\n",
    "<img src=x>",
    "a | b |\n| --- |",
    "![](http://evil.example/pixel.png)",
    "[click](http://evil.example)](http://evil.example)",
    "http://evil.example www.evil.example me@evil.example",
    "\x00\x07\x1b[31m\u202e\u2028\x85\U000e0041\ud800",
    "\r\n\r\n# heading\r\n> quote",
    "&lt;img src=x&gt; &#60;b&#62; \\| \\\\| $x$ :smile: @team #1",
    "    \t indented",
]


def commonmark(text: str) -> list[Any]:
    """Parse as the Hub does: CommonMark with tables, raw HTML let in; inline tokens unfolded."""
    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    tokens = []
    for token in parser.parse(text):
        tokens += [token, *(token.children or [])]
    return tokens


def instruction(name: str, split: str = "train", **change: Any) -> dict[str, Any]:
    texts = {"instruction": f"What is {name}?", "answer": f"It is {name}."}
    ids = {"id": f"LA_INS_{name}", "image_ids": [f"LA_IMG_{name}"], "rel_ins_ids": []}
    keys = {"scene_id": name, "group": name, "licence": "CC0-1.0", "teacher": "templates"}
    digests = {"prompt_sha256": "0" * 64, "request_key": ""}
    own = {"source": "coco", "split": split, "language": "en", "kind": "count"}
    return {**ids, **texts, **own, **keys, **digests, **change}


def picture(name: str, folder: Path) -> dict[str, Any]:
    path = folder / "one.png"
    Image.new("RGB", (4, 3), "red").save(path)
    data = path.read_bytes()
    path.unlink()
    sha256 = hashlib.sha256(data).hexdigest()
    origin: dict[str, Any] = {
        "path": "one.png",
        "sha256": sha256,
        "time": None,
        "pts": None,
        "time_base": "",
    }
    origin |= {"decoder": "", "jpeg_quality": None, "instead_of": [], "notes": []}
    known = {"sha256": sha256, "phash": "0" * 16, "width": 4, "height": 3, "format": "PNG"}
    file = {"bytes": data, "path": "one.png"}
    row = {"image_id": f"LA_IMG_{name}", "image": file, "source_ref": origin}
    return {**row, **known, "licence": "CC0-1.0"}


class Made:
    """A dataset directory made by hand, and its card."""

    def __init__(self, directory: Path, form: str = "parquet") -> None:
        directory.mkdir(exist_ok=True)
        self.directory, self.form = directory, form
        self.entries: list[FileEntry] = []
        self.tally = Tally()
        self.settings: dict[str, Any] = {}

    def shard(self, table: str, split: str, rows: list[dict[str, Any]], place: str = "0/1") -> None:
        form = "parquet" if table == "images" else self.form
        number, _, count = place.partition("/")
        name = f"{table}/{split}-{int(number):05d}-of-{int(count):05d}.{form}"
        path = self.directory / name
        path.parent.mkdir(exist_ok=True)
        if form == "parquet":
            pq.write_table(pa.Table.from_pylist(rows, schema=arrow_schema(table)), path)
        else:
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        self.entries.append(describe(path, name, len(rows)))
        if table == "instructions":
            self.tally.kinds.update(row["kind"] for row in rows)
            self.tally.sources.update(row["source"] for row in rows)
            self.tally.languages.update(row["language"] for row in rows)
            self.tally.splits.update(row["split"] for row in rows)

    def card(self) -> str:
        config = BuildConfig(sources=[SourceConfig(name="coco", sample=True)], **self.settings)
        write_card(self.directory, self.entries, self.tally, config)
        return (self.directory / "README.md").read_text()


@pytest.fixture(params=["parquet", "jsonl"])
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path / "made")


def divided(made: Made) -> Made:
    """Fill in three splits, train in two shards, with an index beside the pictures."""
    made.shard("instructions", "test", [instruction("t1", "test", rel_ins_ids=["LA_INS_b"])])
    made.shard("instructions", "train", [instruction("a"), instruction("b")], "0/2")
    made.shard("instructions", "train", [instruction("c")], "1/2")
    made.shard("instructions", "validation", [instruction("v1", "validation")])
    made.shard("images", "train", [picture(n, made.directory) for n in ("a", "b", "c", "t1", "v1")])
    links = {"query_id": "LA_INS_t1", "context_ids": ["LA_INS_b"]}
    made.shard("links", "train", [{**links, "scores": [0.5], "strategies": ["similar-text"]}])
    (made.directory / "images" / "_index.bin").write_bytes(b"offsets")
    made.entries.append(describe(made.directory / "images" / "_index.bin", "images/_index.bin"))
    made.tally.links, made.tally.strategies = 1, Counter({"similar-text": 1})
    return made


def body(card: str) -> str:
    return card.split("\n---\n", 1)[1]


def section(card: str, title: str) -> str:
    found = re.search(rf"^## {title}\n\n(.*?)(?=^## |\Z)", body(card), re.MULTILINE | re.DOTALL)
    assert found, title
    return found[1]


def front(card: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(card.split("---\n")[1])
    return found


# ------------------------------------------------------------------ what loaders read


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what `datasets` makes of files within the test."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


@pytest.mark.usefixtures("cached")
def test_datasets_loads_every_split(tmp_path: Path, form: str) -> None:
    made = divided(Made(tmp_path / "made", form))
    made.card()
    found = datasets.load_dataset(str(made.directory))
    assert {split: rows["id"][:] for split, rows in found.items()} == {
        "train": ["LA_INS_a", "LA_INS_b", "LA_INS_c"],
        "validation": ["LA_INS_v1"],
        "test": ["LA_INS_t1"],
    }
    assert found["test"][0]["rel_ins_ids"] == ["LA_INS_b"]
    assert found["train"].features == datasets.Features.from_arrow_schema(
        arrow_schema("instructions")
    )
    links = datasets.load_dataset(str(made.directory), "links")
    assert {split: len(rows) for split, rows in links.items()} == {"train": 1}


@pytest.mark.usefixtures("cached")
def test_what_the_card_shows_loads_text_and_pictures(tmp_path: Path, form: str) -> None:
    made = divided(Made(tmp_path / "made", form))
    (code,) = re.findall(r"```python\n(.*?)```", made.card(), re.DOTALL)
    names: dict[str, Any] = {}
    text = code.partition("import mimicit")[0].replace("DIRECTORY", str(made.directory))
    exec(text, names)
    assert names["instructions"].num_rows == {"train": 3, "validation": 1, "test": 1}
    assert names["images"].num_rows == 5
    assert names["images"][3]["image_id"] == "LA_IMG_t1"
    assert names["images"][3]["image"].size == (4, 3)


@pytest.mark.usefixtures("cached")
def test_the_card_of_a_build_works_as_a_copy(sample: Path) -> None:
    card = (sample / "README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code.replace("DIRECTORY", str(sample)), names)
    assert names["instructions"].num_rows == 45
    assert names["images"].num_rows == 10
    assert len(names["example"].context) == 3


@pytest.mark.usefixtures("cached")
def test_datasets_refuses_a_count_that_is_wrong(made: Made) -> None:
    card = divided(made).card()
    (made.directory / "README.md").write_text(card.replace("num_examples: 3", "num_examples: 4", 1))
    with pytest.raises(datasets.exceptions.NonMatchingSplitsSizesError):
        datasets.load_dataset(str(made.directory))


def test_the_front_matter_lists_shards_and_counts_by_split(made: Made) -> None:
    card = divided(made).card()
    sizes: Counter[str] = Counter()
    for entry in made.entries:
        sizes[entry.path.partition("-")[0]] += entry.bytes
    configs = {entry["config_name"]: entry["data_files"] for entry in front(card)["configs"]}
    infos = {entry["config_name"]: entry["splits"] for entry in front(card)["dataset_info"]}
    assert list(configs) == list(infos) == ["instructions", "images", "links"]
    assert [f["split"] for f in configs["instructions"]] == ["train", "validation", "test"]
    assert [f["path"] for f in configs["images"]] == ["images/train-*.parquet"]
    assert [s["num_bytes"] for s in infos["instructions"]] == [
        sizes["instructions/train"],
        sizes["instructions/validation"],
        sizes["instructions/test"],
    ]
    assert infos["images"] == [
        {"name": "train", "num_bytes": sizes["images/train"], "num_examples": 5}
    ]


def test_the_counts_are_read_back_by_split(tmp_path: Path, form: str) -> None:
    made = divided(Made(tmp_path / "made", form))
    made.shard("rejected", "train", [])
    assert read_counts(made.card()) == {
        "instructions": {"train": 3, "validation": 1, "test": 1},
        "images": {"train": 5},
        "links": {"train": 1},
    }


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("instructions/test-*", "elsewhere/test-*"),
        ("instructions/test-*.parquet", "instructions/test-*.jsonl"),
        ("images/train-*", "images/*"),
        ("default: true", "default: false"),
        ("- split: validation", "- split: test"),
        ("- name: validation\n", "- name: test\n"),
        ("- config_name: links\n  features", "- config_name: images\n  features"),
        ("  - name: test\n    num_bytes", "  - called: test\n    num_bytes"),
        ("dataset_info:", "dataset_infos:"),
    ],
)
def test_a_card_that_says_something_else_is_refused(made: Made, old: str, new: str) -> None:
    card = divided(made).card()
    assert old in card
    with pytest.raises(ValueError, match=r"dataset_info|configs"):
        read_counts(card.replace(old, new, 1))


# ------------------------------------------------------------------ what people read


def test_it_says_what_how_many_and_how_made_in_order(made: Made) -> None:
    made.settings = {"split": {"train": 0.6, "validation": 0.2, "test": 0.2}}
    if "split" not in BuildConfig.model_fields:
        made.settings = {}
    card = divided(made).card()
    assert re.findall("^#+ (.*)", body(card), re.MULTILINE) == [
        "In-context instructions from coco",
        "How to load it",
        "Examples",
        "What is in it",
        "How it was made",
        "Splits",
        "Licences",
        "What was turned away",
        "Limits",
        "Where it comes from",
    ]
    assert "5 questions about 5 pictures, with answers. 1 has in-context examples" in card
    assert "| instructions | 5 | train 3, validation 1, test 1 |" in card
    assert "| images | 5 | all |" in card
    assert card_text.how_to_load(divided=True, lines=False) in card


def test_the_same_tables_give_the_same_card(tmp_path: Path) -> None:
    cards = set()
    for name in ("one", "two"):
        made = divided(Made(tmp_path / name))
        made.tally.rejected = Counter({("media", "damaged"): 1, ("checks", "empty"): 1})
        if name == "two":
            made.entries.reverse()
            made.tally.rejected = Counter(dict(reversed(made.tally.rejected.items())))
        cards.add(made.card())
    assert len(cards) == 1


def test_examples_differ_and_come_with_their_context_in_order(made: Made) -> None:
    kinds = ["count", "count", "detail", "yes-no", "location"]
    rows = [
        instruction(f"{n:02d}", kind=kinds[n % 5], image_ids=[f"LA_IMG_{n // 2}"])
        for n in range(40)
    ]
    for row in rows[5:]:
        row["rel_ins_ids"] = ["LA_INS_03", "LA_INS_01"]
    made.shard("instructions", "train", rows)
    shown = re.findall(r"```text\n(.*?)```", made.card(), re.DOTALL)
    asked = [re.findall(r"^question  (\S+)  \((.*?)\)  about (\S+)", s, re.M)[0] for s in shown]
    assert len(shown) == 3
    assert all(len({each[place] for each in asked}) == 3 for place in range(3))
    for text, (name, *_) in zip(shown, asked, strict=True):
        order = ["LA_INS_03", "LA_INS_01", name]
        assert re.findall(r"^(?:example |question)  (\S+)", text, re.M) == order
        assert re.findall(r"Q  What is (\d+)\?", text) == [each[-2:] for each in order]
        assert re.findall(r"A  It is (\d+)\.", text) == [each[-2:] for each in order]


def test_examples_are_of_train_and_of_every_source(made: Made) -> None:
    made.shard("instructions", "test", [instruction("held-out", "test", kind="size")])
    rows = [instruction(f"a{n}", kind=f"kind {n}") for n in range(9)]
    rows += [instruction("other", source="another", rel_ins_ids=[])]
    made.shard("instructions", "train", rows)
    text = section(made.card(), "Examples")
    assert "LA_INS_held-out" not in text
    assert "LA_INS_other" in text


def test_long_texts_are_cut(made: Made) -> None:
    made.shard("instructions", "train", [instruction("a", answer="word " * 2000)])
    text = section(made.card(), "Examples")
    assert 50 < text.count("word") <= 60
    assert "…" in text
    assert max(map(len, text.split("```text")[1].splitlines())) <= 100


def test_a_reply_is_priced_by_the_dated_table() -> None:
    table = prices.load()
    dollars = table.models["gpt-4o-mini"].cost(2_000_000, 500_000)
    text = card_text.cost("gpt-4o-mini-2024-07-18", 1234, 2_000_000, 500_000)
    assert "1,234 replies were used: 2,000,000 tokens sent, 500,000 received" in text
    assert f"${dollars:,.2f} by mimicit's price table of {table.date}" in text
    assert "a batch or cached price may have been lower" in text
    assert "1 reply was used: 10 tokens" in card_text.cost("gpt-4o-mini", 1, 10, 10)
    assert "under $0.01" in card_text.cost("gpt-4o-mini", 1, 10, 10)
    unknown = card_text.cost("my [model](http://x)", 2, 10, 10)
    assert "no price for `my [model](http://x)`" in unknown
    assert "$" not in unknown
    assert "did not say how many tokens" in card_text.cost("gpt-4o-mini", 2, 0, 0)


def test_a_model_is_named_with_how_it_was_asked(made: Made) -> None:
    made.settings = {"teacher": "openai", "model": "served", "teacher_id": "org/tuned"}
    made.settings |= {"parameters": {"temperature": 0.2, "stop": None}, "reask": 2}
    made.settings |= {"replicates": 3, "vision": False}
    made.tally.prompts = {"coco": "ab" * 32}
    made.tally.replies, made.tally.pending = 3, 1
    card = divided(made).card()
    assert "Written by the model org/tuned (asked for as served)" in card
    how = section(card, "How it was made")
    assert "did not see the pictures, 3 times over" in how
    assert "asked up to 2 times more" in how
    assert "`stop=null`, `temperature=0.2`" in how
    assert f"| coco | `{'ab' * 32}` |" in how
    assert "3 replies were used" in how
    assert "**Partial**: 1 of 4 requests" in section(card, "Limits")


def test_rules_cost_nothing_and_have_a_digest(made: Made) -> None:
    made.tally.prompts = {"coco": "cd" * 32}
    how = section(divided(made).card(), "How it was made")
    assert "No model was asked, and nothing was paid" in how
    assert f"| coco | `{'cd' * 32}` |" in how
    assert "replies" not in how


def test_a_build_that_asks_says_what_its_replies_took(
    pets: Coco, asking: Asking, tmp_path: Path
) -> None:
    asking(pets.root, model="gpt-4o-mini")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "Written by the model gpt-4o-mini" in card
    how = section(card, "How it was made")
    assert re.search(r"3 replies were used: [1-9][0-9,]* tokens sent, [1-9][0-9,]* received", how)
    assert re.search(r"\| coco \| `[0-9a-f]{64}` \|", how)


def test_what_was_turned_away_is_explained(made: Made) -> None:
    made.tally.rejected = Counter(
        {("media", "missing-file"): 1200, ("media", "of-tomorrow"): 1, ("new", "<b>"): 2}
    )
    text = section(divided(made).card(), "What was turned away")
    assert "| media | missing-file | 1,200 | there is no such file |" in text
    assert "| media | of-tomorrow | 1 |  |" in text
    assert "| new | `<b>` | 2 |  |" in text


NAME = re.compile("[a-z]+(-[a-z]+)*")


def reasons_in_the_code() -> Iterator[str]:
    """Find every reason that is written out where something is turned away."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Return) and path.name == "checks.py":
                yield from constants(node)
            if isinstance(node, ast.Call):
                called = getattr(node.func, "attr", getattr(node.func, "id", ""))
                place = {"reject": 1, "_reject": 1, "UnusablePicture": 0, "_refuse": 0}.get(called)
                if place is not None and not any(isinstance(a, ast.Starred) for a in node.args):
                    yield from (
                        reason for arg in node.args[place:][:1] for reason in constants(arg)
                    )
            if path.parent.name == "generators" and isinstance(node, ast.Constant):
                yield from re.findall("^([a-z]+-[a-z-]+): ", str(node.value))


def constants(node: ast.AST) -> Iterator[str]:
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and NAME.fullmatch(str(part.value)):
            yield str(part.value)


def test_every_reason_has_a_meaning() -> None:
    known = {reason for meanings in REASONS.values() for reason in meanings}
    found = set(reasons_in_the_code())
    assert len(found) > 40
    assert found <= known, found - known
    assert {f"decoder-{name}" for name in FAILURES} <= known
    assert not any("|" in text for meanings in REASONS.values() for text in meanings.values())


def test_limits_are_named(made: Made) -> None:
    made.settings = {"limit": 5, "salvage": True}
    made.tally.equal_pictures = 2
    text = section(divided(made).card(), "Limits")
    for words in (
        "A part of the sources",
        "No person has read",
        "may show people",
        "EXIF",
        "salvaged",
        "2 pictures are byte for byte equal",
    ):
        assert words in text
    made.settings, made.tally.equal_pictures = {"strip_metadata": True}, 0
    text = section(made.card(), "Limits")
    for words in ("A part of the sources", "EXIF", "salvaged", "byte for byte"):
        assert words not in text


def test_licences_are_counted_and_those_let_in_are_named() -> None:
    text = card_text.licences(Counter({"CC0-1.0": 2, "": 5, "see [x](y)": 1}), ["CC0-1.0"])
    assert "let in: CC0-1.0." in text
    assert re.findall(r"^\| (.*?) \| (\d) \|", text, re.M) == [
        ("not stated", "5"),
        ("CC0-1.0", "2"),
        ("`see [x](y)`", "1"),
    ]
    assert "for whoever publishes them to decide" in text


def test_splits_are_explained_where_there_are_any() -> None:
    text = card_text.splits({"train": 0.98, "test": 0.02}, {"train": 97, "test": 3})
    assert "| train | 0.98 | 97 |" in text
    assert "no group is divided" in text
    assert "from train only" in text
    assert (
        card_text.splits({}, {"train": 5}) == "Everything is in `train`: no split was asked for.\n"
    )
    imported = card_text.splits({}, {"train": 5, "test": 1_000})
    assert "imported" in imported
    assert "| test | 1,000 |" in imported


# ---------------------------------------------------------------- what cannot get into it


@pytest.mark.parametrize("form", ["parquet", "jsonl"], indirect=True)
def test_texts_of_strangers_stay_where_they_are_put(tmp_path: Path, form: str) -> None:
    made = Made(tmp_path / "made", form)
    texts = [text.replace("\ud800", "") for text in HOSTILE]  # no file of tables can hold it
    rows = [
        instruction(
            f"{n}", instruction=text, answer=text, kind=text or "x", rel_ins_ids=["LA_INS_0"]
        )
        for n, text in enumerate(texts)
    ]
    made.tally.licences = Counter(HOSTILE)
    made.tally.rejected = Counter({(text, text): 1 for text in HOSTILE})
    made.tally.strategies = Counter(HOSTILE)
    made.tally.prompts = dict.fromkeys(HOSTILE, "0" * 64)
    made.settings = {"teacher": "openai", "model": HOSTILE[0], "teacher_id": HOSTILE[6]}
    made.settings["parameters"] = {"x": HOSTILE[4]}
    made.shard("instructions", "train", rows)
    card = made.card()
    assert read_counts(card) == {"instructions": {"train": len(HOSTILE)}}
    tokens = commonmark(body(card))
    assert not [t.content for t in tokens if "html" in t.type or t.type == "image"]
    assert not [t.attrs for t in tokens if t.type == "link_open"]
    assert [t.tag for t in tokens if t.type == "heading_open"] == ["h1", *["h2"] * 9]
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e\U000e0041]", card)
    for run in re.findall(r"https?://\S*evil|www\.evil|\S+@evil", prose(tokens)):
        pytest.fail(f"{run} would become a link")


def prose(tokens: list[Any]) -> str:
    """Join what is text to Markdown, and neither code nor a name in a code span."""
    return " ".join(t.content for t in tokens if t.type == "text")


@given(st.lists(st.text(st.characters(codec=None)) | st.sampled_from(HOSTILE)))
def test_a_block_is_closed_where_we_close_it(lines: list[str]) -> None:
    tokens = commonmark("before\n\n" + fenced(lines) + "\nafter\n")
    kinds = [t.type for t in tokens]
    one = ["paragraph_open", "inline", "text", "paragraph_close"]
    assert kinds == [*one, "fence", *one]
    assert tokens[4].content == "".join(f"{visible(line)}\n" for line in lines)
    assert len(tokens[4].content.splitlines()) == len(lines)


@given(st.text(st.characters(codec=None)) | st.sampled_from(HOSTILE))
def test_a_name_stays_in_its_cell(text: str) -> None:
    tokens = commonmark(table(("one", "two"), [(said(text), "mine")]))
    assert [t.type for t in tokens].count("td_open") == 2
    cell = tokens[[t.type for t in tokens].index("td_open") + 1]
    inside = [child.type for child in cell.children or []]
    assert inside in ([], ["text"], ["code_inline"])
    shown = "".join(child.content for child in cell.children or [])
    if len(text) < 100:
        assert shown == visible(" ".join(text.split())).replace("|", "\\x7c")


@given(st.text(st.characters(codec=None)) | st.sampled_from(HOSTILE))
def test_a_name_stays_in_its_sentence(text: str) -> None:
    tokens = commonmark(f"Written by {said(text)}; its mistakes are in it.")
    assert {t.type for t in tokens} <= {
        "paragraph_open",
        "inline",
        "text",
        "code_inline",
        "paragraph_close",
    }
    assert tokens[-2].content.endswith("; its mistakes are in it.")


@given(st.text(st.characters(codec=None)) | st.sampled_from(HOSTILE))
def test_an_example_takes_one_block_whatever_it_says(text: str) -> None:
    row = instruction("a", instruction=text, answer=text, kind=text)
    tokens = commonmark(card_text.examples([(row, [row])]))
    assert [t.type for t in tokens if t.type in {"fence", "html_block", "html_inline"}] == ["fence"]
    assert [t.type for t in tokens][-1] == "fence"
