"""The conversations that LLaVA and its kin are trained on: a JSON array a split, and pictures.

Format: https://github.com/haotian-liu/LLaVA/blob/main/docs/Finetune_Custom_Data.md, as it is read
by `llava/train/train.py` there, by the file of that name in https://github.com/LLaVA-VL/LLaVA-NeXT,
and by `qwen-vl-finetune/qwenvl/data/data_processor.py` in https://github.com/QwenLM/Qwen3-VL.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from mimicit.dataset import Dataset
from mimicit.exporters import IMAGES
from mimicit.exporters._conversations import JSON_ARRAY, Part, Round, SplitTexts, conversations
from mimicit.exporters.form import Context, Format, How, Told
from mimicit.exporters.pictures import PictureFiles, Pictures
from mimicit.schema import SPLITS


def write(dataset: Dataset, out: Path, how: How) -> Told:
    """Write `train.json`, `validation.json` and `test.json`, as far as there are any, and pictures.

    Raises:
        SourceError: a picture is damaged or not there.
    """
    pictures = Pictures(dataset.images, how.max_side)
    files = PictureFiles(pictures, out / IMAGES)
    contexts = several = 0
    with SplitTexts(out, "{}.json", JSON_ARRAY) as texts:
        for one in conversations(dataset, files, how):
            # A name where one picture is all there is: LLaVA 1.5 joins it to a path.
            image = one.images[0] if len(one.images) == 1 else one.images
            said = list(_said(one.rounds))
            entry = {"id": one.of.query.id, "image": image, "conversations": said}
            texts.write(one.of.split, entry)
            contexts += one.contexts
            several += len(one.images) > 1
    return Told(
        instructions=texts.rows.total(),
        contexts=contexts,
        pictures=len(files),
        changed=len(pictures.changed),
        readme=_readme(texts.rows, several, how.context),
    )


def _said(rounds: tuple[Round, ...]) -> Iterator[dict[str, str]]:
    for one in rounds:
        yield {"from": "human", "value": "".join(map(_marked, one.asked))}
        yield {"from": "gpt", "value": one.answer}


def _marked(part: Part) -> str:
    # First in its message, with a line of its own: where LLaVA moves a single one anyway.
    return "<image>\n" * len(part.image_ids) + part.text


def _readme(rows: dict[str, int], several: int, context: Context) -> str:
    names = ", ".join(
        f"`{split}.json` ({rows[split]:,} entries)" for split in SPLITS if rows.get(split)
    )
    return "\n".join((f"{names}.\n{_FORM}", *_readers(several, context), _WAYS[context]))


_FORM = """
An entry has an `id`, an `image` (a name, or a list of names where it shows several pictures) and
`conversations`, in which `human` and `gpt` take turns. Every `<image>` is one picture, in the order
of the list. Names are relative to this directory, which is called `DIR` below.
"""


def _readers(several: int, context: Context) -> Iterator[str]:
    yield "## Training on it\n"
    yield "- LLaVA-NeXT: `--data_path DIR/train.json --image_folder DIR`"
    yield (
        "- Qwen's `qwen-vl-finetune`: an entry of `qwenvl/data/__init__.py` with "
        '`"annotation_path": "DIR/train.json", "data_path": "DIR"`'
    )
    if not several:
        yield "- LLaVA 1.5, which opens one picture an entry, as all have here: the same options"
    else:
        one = " `--context none` gives each the pictures of a single instruction."
        yield (
            "- LLaVA 1.5 opens one picture an entry, and cannot read these: "
            f"{several:,} entries have several.{one if context != 'none' else ''}"
        )


_WAYS: Mapping[Context, str] = {
    "turns": """
In-context examples are earlier rounds; one about the pictures of the round before it doesn't show
them again. These trainers learn the answer of every round; `--context interleaved` leaves them the
query's alone.
""",
    "interleaved": """
In-context examples stand in one message before the query: the pictures of each, its question, a
line with its answer, an empty line. What is about the pictures right before it doesn't show them
again. Only the query's answer is learnt.
""",
    "none": """
In-context examples are left out.
""",
}

FORMAT = Format(
    "conversations as LLaVA, LLaVA-NeXT and Qwen's fine-tuning read them",
    ("turns", "interleaved", "none"),
    write,
)
