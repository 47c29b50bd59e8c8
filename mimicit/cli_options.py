"""The options that several commands share, and the configuration that they come to."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mimicit.errors import UsageError

if TYPE_CHECKING:
    from mimicit.config import BuildConfig

Source = Annotated[
    list[str], typer.Option("--source", "-s", help="Source to read; may be repeated.")
]
Root = Annotated[Path | None, typer.Option(help="Directory with the source's files.")]
Sample = Annotated[
    bool, typer.Option("--sample", help="Read the small sample that comes with the source.")
]
Option = Annotated[
    list[str],
    typer.Option(
        "--option",
        "-o",
        metavar="[SOURCE.]NAME=VALUE",
        help="An option of the source (`mimicit sources` lists them); may be repeated.",
    ),
]
Limit = Annotated[int | None, typer.Option(help="Read only so many scenes of each source.")]
Only = Annotated[
    list[str],
    typer.Option(help="Read only this scene, by its id or a picture's; may be repeated."),
]
Config = Annotated[
    Path | None,
    typer.Option(
        help="Settings from a file, such as the build.yaml of a dataset; options win over it."
    ),
]
Teacher = Annotated[
    str | None,
    typer.Option(
        help="Who writes the exchanges: templates (free), or openai (a model behind any endpoint "
        "that speaks OpenAI's protocol; the key is read from $OPENAI_API_KEY).",
        show_default=False,
    ),
]
Model = Annotated[
    str | None, typer.Option(help="Model to ask, as the endpoint calls it.", show_default=False)
]
BaseUrl = Annotated[
    str | None,
    typer.Option(
        help="URL of the endpoint, such as http://localhost:8000/v1.  "
        "[default: $OPENAI_BASE_URL, or OpenAI]",
        show_default=False,
    ),
]
Concurrency = Annotated[
    int, typer.Option(help="Requests under way at once, at most; fewer where the endpoint strains.")
]
Rpm = Annotated[
    float | None, typer.Option(help="Requests a minute at most.  [default: any number]")
]
TpmIn = Annotated[
    float | None,
    typer.Option(help="Tokens a minute that are sent at most.  [default: any number]"),
]
TpmOut = Annotated[
    float | None,
    typer.Option(help="Tokens a minute that replies may hold at most.  [default: any number]"),
]
BudgetUsd = Annotated[
    float | None,
    typer.Option(
        help="US dollars that the dataset may cost, all in all, however often it is built; what "
        "does not fit is not sent.  [default: any sum]",
        show_default=False,
    ),
]
Prices = Annotated[
    Path | None,
    typer.Option(help="File of prices, over the table that comes with mimicit."),
]
Batch = Annotated[
    bool,
    typer.Option("--batch", help="Ask by the batch: at half the price, within a day."),
]
Replicates = Annotated[
    int | None,
    typer.Option("--replicates", "-n", help="Times that each scene is asked about.  [default: 1]"),
]
Vision = Annotated[
    bool | None,
    typer.Option(
        "--vision/--no-vision", help="Whether the model is sent the pictures.  [default: vision]"
    ),
]
Prompt = Annotated[
    list[str],
    typer.Option("--prompt", metavar="[SOURCE=]FILE", help="Prompt in place of the source's own."),
]
Param = Annotated[
    list[str],
    typer.Option(
        "--param",
        metavar="NAME=VALUE",
        help="A parameter of the request, such as temperature=0.2; null drops one of the prompt's.",
    ),
]
Reask = Annotated[
    int | None,
    typer.Option(
        help="Ask once more, saying what was wrong, where nothing of a reply is of use.  "
        "[default: 0]"
    ),
]
SendMaxSide = Annotated[
    int | None,
    typer.Option(help="Longest side in pixels at which a picture is sent.  [default: 1024]"),
]
TeacherId = Annotated[
    str | None,
    typer.Option(
        help="Name that replies are kept under, to tell models of one name apart.  "
        "[default: the model's name]",
        show_default=False,
    ),
]
Link = Annotated[
    list[str],
    typer.Option(
        metavar="[NAME=]STRATEGIES [SETTING=VALUE …]",
        help="How in-context examples are found: strategies, each filling what the last one left "
        "(conversation, same-image, same-group, wider-group, temporal, similar-image, "
        "similar-text, mixed, diverse, random, or default), then settings such as "
        "'order=shuffled cap=50'. May be repeated: every view but the first needs a name.  "
        "[default: the source's own]",
        show_default=False,
    ),
]
Shots = Annotated[
    int | None, typer.Option(help="In-context examples an instruction gets.  [default: 3]")
]
StoreMaxSide = Annotated[
    int | None,
    typer.Option(
        help="Longest side in pixels at which a picture is stored.  [default: its own]",
        show_default=False,
    ),
]
StripMetadata = Annotated[
    bool | None,
    typer.Option(
        "--strip-metadata/--keep-metadata",
        help="Store pictures without EXIF, GPS and the like, their pixels untouched.  "
        "[default: keep]",
        show_default=False,
    ),
]
Salvage = Annotated[
    bool | None,
    typer.Option(
        "--salvage/--no-salvage",
        help="Use what can be seen of a picture that is cut off.  [default: no-salvage]",
        show_default=False,
    ),
]
SkipFrames = Annotated[
    list[str],
    typer.Option(help="Leave out frames of videos: dark or duplicate; may be repeated."),
]
AllowLicence = Annotated[
    list[str],
    typer.Option(
        help="Use only pictures under this licence, such as CC0-1.0 or CC-BY-[0-9]*; may be "
        "repeated. `unknown` is one that is not stated.  [default: any]",
        show_default=False,
    ),
]
Split = Annotated[
    str | None,
    typer.Option(
        metavar="NAME=SHARE,…",
        help="Divide the dataset, as train=0.98,val=0.01,test=0.01: by a hash of image, video or "
        "album, so that more data move nothing.  [default: all in train]",
        show_default=False,
    ),
]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="[parquet|jsonl]",
        help="How text is written; pictures are Parquet always.  [default: parquet]",
        show_default=False,
    ),
]
MediaCache = Annotated[
    Path | None,
    typer.Option(
        help="Directory of what is known of pictures, and of frames cut out of videos.  "
        "[default: $MIMICIT_MEDIA, or .mimicit/media]",
        show_default=False,
    ),
]
Journal = Annotated[
    Path | None,
    typer.Option(
        help="File that keeps every reply.  [default: $MIMICIT_JOURNAL, or .mimicit/journal.db]",
        show_default=False,
    ),
]


def configure(
    config: Path | None,
    source: Sequence[str],
    root: Path | None,
    option: Sequence[str],
    *,
    prompt: Sequence[str],
    param: Sequence[str],
    given: Mapping[str, Any],
    sample: bool,
) -> "BuildConfig":
    """Make the configuration of the options, over those of a file.

    Raises:
        UsageError: one is unknown or wrong, or there is no source.
    """
    from mimicit.config import make_config, read_config, source_date

    settings = read_config(config) if config else {}
    settings |= {name: value for name, value in given.items() if value is not None}
    if source:
        settings["sources"] = [{"name": name} for name in source]
    if "sources" not in settings:
        raise UsageError("name a source, such as --source coco, or a file with --config")
    if prompt:
        settings["prompts"] = _over(settings.get("prompts"), _prompts(prompt, settings["sources"]))
    if param:
        settings["parameters"] = _over(settings.get("parameters"), _parameters(param))
    settings.setdefault("date", source_date())
    return _with_options(make_config(settings), root, option, sample=sample)


def _over(first: object, second: Mapping[str, object]) -> dict[str, object]:
    return {**(first if isinstance(first, dict) else {}), **second}


def _prompts(given: Sequence[str], sources: object) -> dict[str, object]:
    """Read each `--prompt [SOURCE=]FILE`."""
    listed = sources if isinstance(sources, list) else []
    names = [str(s.get("name")) for s in listed if isinstance(s, dict)]
    found: dict[str, object] = {}
    for text in given:
        scope, equals, path = text.partition("=")
        if equals and scope in names:
            found[scope] = path
        elif len(set(names)) == 1:
            found[names[0]] = text
        else:
            raise UsageError(
                f"--prompt {text!r}: say for which source, as in {(names or ['coco'])[0]}={text}"
            )
    return found


def _parameters(given: Sequence[str]) -> dict[str, object]:
    """Read each `--param NAME=VALUE`; a value that is no JSON is text."""
    found: dict[str, object] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise UsageError(f"--param takes NAME=VALUE, such as temperature=0.2, not {text!r}")
        try:
            found[name] = json.loads(value)
        except (ValueError, RecursionError):
            found[name] = value
    return found


def _with_options(
    config: "BuildConfig", root: Path | None, options: Sequence[str], *, sample: bool
) -> "BuildConfig":
    """Hand `--root`, `--sample` and each `-o [SOURCE.]NAME=VALUE` to the source that it is for."""
    names = [source.name for source in config.sources]
    added: dict[str, dict[str, str]] = {name: {} for name in names}
    pairs = [*options, *([f"root={root}"] if root else [])]
    for text in pairs:
        key, equals, value = text.partition("=")
        scope, dot, bare = key.partition(".")
        if dot and scope in added:
            names_for, key = [scope], bare
        else:
            names_for = names
        if not equals or not key:
            raise UsageError(f"-o takes NAME=VALUE, such as -o split=val2017, not {text!r}")
        if len(set(names_for)) != 1:
            raise UsageError(f"{text!r}: say for which source, as in -o {names[0]}.{text}")
        added[names_for[0]][key] = value
    sources = [
        source.model_copy(
            update={
                "options": source.options | added[source.name],
                "sample": source.sample or sample,
            }
        )
        for source in config.sources
    ]
    return config.model_copy(update={"sources": sources})


def print_summary(out: Path, lines: Iterable[tuple[str, str]]) -> None:
    """Say what was made where: a line for each name and value."""
    print(f"\n{out}\n")  # noqa: T201
    for name, value in lines:
        print(f"  {name:<14}{value}")  # noqa: T201
