"""What the dataset card says to people: its sections, made of plain values."""

import datetime as dt
import json
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from mimicit import prices
from mimicit.config import BuildConfig
from mimicit.generators import find
from mimicit.markdown import cut, fenced, said, table, visible
from mimicit.reasons import REASONS

TEXT = 300
"""Letters of a question or an answer that are shown."""

ROWS = {
    "instructions": "a question, its answer, the ids of its pictures and of its examples",
    "images": "a picture: its file as it came, unless `source_ref.notes` says otherwise",
    "links": "why an instruction has the examples it has",
    "rejected": "something that was turned away, and why",
}

STRATEGIES = {
    "conversation": "what was asked before it in the same conversation",
    "same-image": "another question about the same pictures",
    "same-group": "another question about the same image, video, album or room",
    "wider-group": "from the same show, or whatever else the source's groups belong to",
    "temporal": "what is next to it in time, in the same video or album",
    "similar-image": "from pictures that are alike",
    "similar-image/texts": "from pictures of which the same is said, since none was seen",
    "similar-text": "from scenes about which the same is said",
    "mixed": "from pictures that are alike, those first about which the same is said",
    "mixed/pixels": "from pictures whose pixels are alike, those first of which the same is said",
    "diverse": "from scenes that are like it and unlike each other",
    "random": "drawn by the seed",
    "given": "as the dataset that was imported has them",
}


def ranked(what: str, of: str, counter: Counter[str], empty: str = "not stated") -> str:
    """Write a table of counts, the largest first."""
    order = sorted(counter.items(), key=lambda item: (-item[1], item[0]))
    return table((what, of), [(said(name) or empty, f"{count:,}") for name, count in order])


def many(count: int, what: str) -> str:
    """Say how many there are: `1 picture`, `2 pictures`."""
    plural = "replies" if what == "reply" else f"{what}s"
    return f"{count:,} {what if count == 1 else plural}"


def title(config: BuildConfig) -> str:
    """Name the dataset by its sources."""
    return (
        f"In-context instructions from {', '.join(dict.fromkeys(s.name for s in config.sources))}"
    )


def summary(
    rows: Mapping[str, Mapping[str, int]], links: int, author: str, date: dt.date | None
) -> str:
    """Say in a paragraph what this is, and tabulate the tables.

    Args:
        rows: Rows by table and split.
        links: In-context examples, over all instructions.
        author: Who wrote it, in a sentence.
        date: The day to state, if any.
    """
    totals = {name: sum(splits.values()) for name, splits in rows.items()}
    questions = many(totals["instructions"], "question")
    text = f"{questions} about {many(totals.get('images', 0), 'picture')}, with answers. "
    if links:
        with_some = totals.get("links", 0)
        of_them = f"{with_some:,} {'has' if with_some == 1 else 'have'}"
        of_them = "Each has" if with_some == totals["instructions"] else of_them
        text += f"{of_them} in-context examples to show before it, {links:,} in all. "
    text += f"{author} Made with mimicit{f' on {date}' if date else ''}.\n\n"
    divided = len(rows["instructions"]) > 1
    header = ("table", "rows", *(["by split"] if divided else []), "what a row is")
    lines = []
    for name, splits in rows.items():
        by_split = ", ".join(f"{split} {count:,}" for split, count in splits.items())
        cell = [by_split if name == "instructions" else "all"] if divided else []
        what = ROWS.get(name, "the same, of another way to link")
        lines.append((name, f"{totals[name]:,}", *cell, what))
    return text + table(header, lines)


def how_to_load(*, divided: bool, lines: bool) -> str:
    """Show how the tables are loaded.

    Args:
        divided: Whether there is more than one split.
        lines: Whether the tables are JSON Lines, of which `datasets` reads none beside Parquet.
    """
    one = "" if divided else ', split="train"'
    note = "# text and ids" + (", by split" if divided else "")
    pictures = 'load_dataset("DIRECTORY", "images", split="train")'
    if lines:
        pictures = 'load_dataset("parquet", data_files="DIRECTORY/images/*.parquet", split="train")'
    code = f"""\
## How to load it

```python
from datasets import load_dataset

instructions = load_dataset("DIRECTORY"{one})  {note}
images = {pictures}

import mimicit

for example in mimicit.load("DIRECTORY"):  # pictures and in-context examples resolved
    example.instruction, example.answer, example.images, example.context
```

`DIRECTORY` is where this file lies. """
    return code + (
        "`images` and `rejected` serve all splits: their own is always called `train`, "
        "which says nothing about the pictures in it.\n"
        if divided
        else "Every table has one split, `train`.\n"
    )


def examples(found: Sequence[tuple[Mapping[str, Any], Sequence[Mapping[str, Any]]]]) -> str:
    """Show some instructions, each after its in-context examples."""
    note = (
        "Chosen by a hash of their ids, not for how good they are. In-context examples come first, "
        "in the order to show them; the question itself is last.\n"
    )
    parts = [f"## Examples\n\n{note}"]
    for query, context in found:
        lines = [line for shown in context for line in [*_example("example", shown), ""]]
        parts.append(fenced([*lines, *_example("question", query)]))
    return "\n".join(parts)


def _example(role: str, row: Mapping[str, Any]) -> list[str]:
    about = ", ".join(row["image_ids"][:4]) + (", …" if len(row["image_ids"]) > 4 else "")
    lines = [f"{role:8}  {row['id']}  ({row['kind']})  about {about}"]
    for letter, text in (("Q", row["instruction"]), ("A", row["answer"])):
        # Indented this far, no line of it could end a block, whatever it began with.
        shown = textwrap.wrap(visible(cut(text, TEXT)), 90, break_on_hyphens=False)
        lines.append(f"     {letter}  " + "\n        ".join(shown))
    return "\n".join(lines).split("\n")


def contents(
    kinds: Counter[str], sources: Counter[str], languages: Counter[str], strategies: Counter[str]
) -> str:
    """Tabulate what sorts of rows there are; what is the same for all of them is left out."""
    parts = ["## What is in it\n", ranked("kind of question", "instructions", kinds)]
    if len(sources) > 1:
        parts.append(ranked("source", "instructions", sources))
    if len(languages) > 1:
        parts.append(ranked("language", "instructions", languages))
    if strategies:
        order = sorted(strategies.items(), key=lambda item: (-item[1], item[0]))
        found = [(said(n), f"{count:,}", STRATEGIES.get(n, "")) for n, count in order]
        parts.append(table(("in-context examples by", "examples", "which are these"), found))
    return "\n".join(parts)


def author(config: BuildConfig) -> str:
    """Say in a sentence who wrote the questions and answers."""
    if config.teacher == "imported":
        named = config.teacher_id not in {None, "unknown"}
        who = f", written by {said(config.teacher_name)}" if named else ""
        return f"Imported from a dataset that was made elsewhere{who}; its mistakes are in it."
    if config.teacher == "templates":
        return "Written by rule from the sources' annotations, without a model."
    asked = ""
    if config.model and config.model != config.teacher_name:
        asked = f" (asked for as {said(config.model)})"
    return f"Written by the model {said(config.teacher_name)}{asked}; its mistakes are in it."


def how_made(config: BuildConfig) -> str:
    """Say by which rules it was written, or how a model was asked."""
    if config.teacher == "imported":
        return (
            "By others. What was published came in as it was: texts and the files of pictures byte "
            "for byte, in-context examples as they were given. `manifest.json` counts under "
            "`imported` what was mended.\n"
        )
    if config.teacher == "templates":
        return (
            "By mimicit's rules for what annotations support, in wordings that the seed "
            f"({config.seed}) varies. No model was asked, and nothing was paid.\n"
        )
    text = "The model was given each scene's annotations"
    text += (
        f" and its pictures, scaled down to {config.send_max_side:,} pixels where they were larger"
        if config.vision
        else ", and did not see the pictures"
    )
    text += f", {config.replicates} times over. " if config.replicates > 1 else ". "
    if config.reask:
        times = "once more" if config.reask == 1 else f"up to {config.reask} times more"
        text += f"Where nothing of a reply could be used it was asked {times}. "
    if config.parameters:
        named = [said(f"{k}={json.dumps(v)}") for k, v in sorted(config.parameters.items())]
        text += f"Parameters besides the prompt's own: {', '.join(named)}. "
    return text + (
        "`prompt_sha256` of a row says which prompt was asked, `request_key` which reply the row "
        "comes from.\n"
    )


def digests(what: str, prompts: Mapping[str, str]) -> str:
    """Tabulate the digest of what each source was written by."""
    rows = [(said(source), f"`{digest}`") for source, digest in sorted(prompts.items())]
    return table(("source", f"sha256 of {what}"), rows)


def cost(model: str, replies: int, input_tokens: int, output_tokens: int) -> str:
    """Say what the replies that were used cost."""
    used = f"{many(replies, 'reply')} {'was' if replies == 1 else 'were'} used"
    if not input_tokens + output_tokens:
        return f"{used}; the endpoint did not say how many tokens they took.\n"
    text = f"{used}: {input_tokens:,} tokens sent, {output_tokens:,} received"
    price = prices.load().find(model)
    if price is None:
        return f"{text}. mimicit's price table has no price for {said(model)}.\n"
    dollars = price.cost(input_tokens, output_tokens)
    amount = "under $0.01" if 0 < dollars < 0.01 else f"${dollars:,.2f}"
    return (
        f"{text}, which is {amount} by mimicit's price table of {price.date}; a batch or cached "
        "price may have been lower, and failed attempts are not in it.\n"
    )


def splits(shares: Mapping[str, float], counts: Mapping[str, int]) -> str:
    """Say how instructions were divided."""
    if not shares and list(counts) == ["train"]:
        return "Everything is in `train`: no split was asked for.\n"
    if not shares:
        counted = [(name, f"{count:,}") for name, count in counts.items()]
        return (
            "The files that were imported say what is held out. No group (column `group`) is "
            "divided: what shows a picture, video or room of a held-out split too, or a picture "
            "nearly equal to one, is kept out of train, as rows of `rejected`. In-context examples "
            "come from train only, whatever the split of the question.\n\n"
            + table(("split", "instructions"), counted)
        )
    rows = [(name, f"{share:.4g}", f"{counts.get(name, 0):,}") for name, share in shares.items()]
    return (
        "The hash of a group (column `group`: a picture, video, album or room) says which split "
        "it belongs to, so that no group is divided, and what is added later moves nothing. "
        "Pictures nearly equal to one of validation or test are kept out of train, as rows of "
        "`rejected`. In-context examples come from train only, whatever the split of the "
        "question.\n\n" + table(("split", "share asked for", "instructions"), rows)
    )


def licences(pictures: Counter[str], allowed: Sequence[str]) -> str:
    """Tabulate the pictures' licences, and say what they do not cover."""
    only = f"Only pictures under these were let in: {', '.join(map(said, allowed))}.\n\n"
    return (
        (only if allowed else "")
        + ranked("licence of the picture", "pictures", pictures)
        + "\nThey are what the sources say of each picture (column `licence`), which nobody "
        "checked. What licence the questions and answers are under is for whoever publishes them "
        "to decide; the terms of the annotations, or of the model, may bear on it.\n"
    )


def turned_away(rejected: Counter[tuple[str, str]]) -> str:
    """Tabulate what was turned away, by stage and reason."""
    if not rejected:
        return "Nothing.\n"
    rows = [
        (said(stage), said(reason), f"{count:,}", REASONS.get(stage, {}).get(reason, ""))
        for (stage, reason), count in sorted(rejected.items())
    ]
    return (
        "Every record that could not be used is a row of the `rejected` table, with what was "
        "found.\n\n" + table(("stage", "reason", "records", "what it means"), rows)
    )


def limits(config: BuildConfig, *, equal_pictures: int, pending: int, replies: int) -> str:
    """List what a user should know before training on it.

    Args:
        config: What was built.
        equal_pictures: Pictures equal to another one under a different id.
        pending: Requests without a reply.
        replies: Requests with one.
    """
    known = []
    if pending:
        known.append(
            f"**Partial**: {pending:,} of {many(pending + replies, 'request')} had no reply when "
            "this was made; what they were about is missing."
        )
    if config.limit or config.only:
        known.append("A part of the sources was read only (`limit`, `only` in `build.yaml`).")
    if config.teacher == "imported":
        known.append("Whether any person has read the questions and answers is not known here.")
    else:
        known.append(_unread(config))
    known.append("Pictures may show people who were not asked; no face or number plate is hidden.")
    if not config.strip_metadata:
        known.append("The files of pictures may hold what cameras write: EXIF, names, GPS.")
    if config.salvage:
        known.append("Pictures with the note `salvaged` are cut off.")
    if equal_pictures:
        are = "picture is" if equal_pictures == 1 else "pictures are"
        known.append(
            f"{equal_pictures:,} {are} byte for byte equal to another one under a different id."
        )
    return "".join(f"- {text}\n" for text in known)


def _unread(config: BuildConfig) -> str:
    """Say what it means that nobody has read what rules or a model wrote."""
    return (
        "No person has read the questions and answers. They say what the annotations say, and are "
        "wrong where those are; their English is that of a few patterns, which repeat."
        if config.teacher == "templates"
        else "No person has read the questions and answers. The model may have told of what is not "
        "in a picture, and the checks find form, not truth."
    )


def origins(config: BuildConfig) -> str:
    """Say where the sources' files are from, and how this is made again."""
    if config.teacher == "imported":
        names = [source.name for source in config.sources]
        again = " ".join(f"`mimicit import {name} DIR --out OUT`" for name in names)
        return f"{again} with the options in `build.yaml` makes it again, byte for byte.\n"
    own = "the sample that ships with mimicit."
    lines = [f"- `{s.name}`: {own if s.sample else find(s.name).origin}\n" for s in config.sources]
    replies = "" if config.teacher == "templates" else ", from the same journal of replies,"
    return (
        "".join(dict.fromkeys(lines))
        + f"\n`mimicit build --config build.yaml`{replies} makes it again, byte for byte; "
        "`manifest.json` has the versions that it was made with and the digest of every file.\n"
    )
