"""The command line: parse, one call, print. Heavy imports wait inside their command."""

import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mimicit import __version__
from mimicit.errors import InvalidDataset, MimicitError, UsageError

if TYPE_CHECKING:
    from mimicit.config import BuildConfig
    from mimicit.pipeline import Summary

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command line; an error raised on purpose ends in its message and its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name the terminal cannot spell is no error
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except MimicitError as error:
        _say(f"mimicit: {error}")
        sys.exit(error.exit_code)
    except OSError as error:  # a full disk, a directory without rights
        where = f": {error.filename!r}" if error.filename else ""
        _say(f"mimicit: {error.strerror or error}{where}")
        sys.exit(MimicitError.exit_code)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"mimicit {__version__}")  # noqa: T201
        raise typer.Exit


@app.callback(help="Build multi-modal in-context instruction datasets.")
def _before_commands(
    version: Annotated[  # its callback has done it all
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Take the options that come before a command."""


@app.command()
def build(
    source: Annotated[
        list[str], typer.Option("--source", "-s", help="Source to read; may be repeated.")
    ] = [],  # noqa: B006  # Typer reads the default, nobody changes it
    out: Annotated[
        Path | None,
        typer.Option(help="Directory of the dataset.  [default: out/SOURCE]", show_default=False),
    ] = None,
    root: Annotated[Path | None, typer.Option(help="Directory with the source's files.")] = None,
    sample: Annotated[
        bool, typer.Option("--sample", help="Read the small sample that comes with the source.")
    ] = False,
    option: Annotated[
        list[str],
        typer.Option(
            "--option",
            "-o",
            metavar="[SOURCE.]NAME=VALUE",
            help="An option of the source (`mimicit sources` lists them); may be repeated.",
        ),
    ] = [],  # noqa: B006
    teacher: Annotated[
        str | None,
        typer.Option(help="Who writes the exchanges: templates (free).", show_default=False),
    ] = None,
    link: Annotated[
        str | None,
        typer.Option(
            help="How in-context examples are found, each strategy filling what the last one left: "
            "same-image, same-group, similar-text, random.  [default: the source's own]",
            show_default=False,
        ),
    ] = None,
    shots: Annotated[
        int | None, typer.Option(help="In-context examples an instruction gets.  [default: 3]")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Varies wording and random links.  [default: 0]")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Read only so many scenes of each source.")
    ] = None,
    only: Annotated[
        list[str],
        typer.Option(help="Read only this scene, by its id or a picture's; may be repeated."),
    ] = [],  # noqa: B006
    date: Annotated[
        str | None,
        typer.Option(help="Date for the card, YYYY-MM-DD.  [default: $SOURCE_DATE_EPOCH, or none]"),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help="Settings from a file, such as the build.yaml of a dataset; options win over it."
        ),
    ] = None,
) -> None:
    """Build a dataset."""
    from mimicit.config import make_config, read_config, source_date
    from mimicit.pipeline import build as run
    from mimicit.progress import on_terminal

    settings = read_config(config) if config else {}
    given: dict[str, Any] = {
        "teacher": teacher,
        "link": link,
        "shots": shots,
        "seed": seed,
        "limit": limit,
        "only": only or None,
        "date": date,
    }
    settings |= {name: value for name, value in given.items() if value is not None}
    if source:
        settings["sources"] = [{"name": name} for name in source]
    if "sources" not in settings:
        raise UsageError("name a source, such as --source coco, or a file with --config")
    settings.setdefault("date", source_date())
    made = _with_options(make_config(settings), root, option, sample=sample)
    try:
        summary = run(
            made, out or Path("out") / "-".join(s.name for s in made.sources), track=on_terminal
        )
    except KeyboardInterrupt:
        _say("\nmimicit: stopped; nothing was published, and what was there before is untouched")
        sys.exit(130)
    _print_summary(summary)


def _with_options(
    config: "BuildConfig", root: Path | None, options: list[str], *, sample: bool
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


def _print_summary(summary: "Summary") -> None:
    lines = [
        ("scenes", f"{summary.scenes:,}"),
        ("instructions", f"{summary.instructions:,}"),
        ("images", f"{summary.images:,}"),
        ("links", f"{summary.links:,} in-context examples"),
        ("rejected", f"{sum(summary.rejected.values()):,}"),
        *(
            (f"  {stage}", f"{count:,} {reason}")
            for (stage, reason), count in summary.rejected.items()
        ),
        ("bytes", f"{summary.size_bytes:,}"),
        ("seconds", f"{summary.seconds:.1f}"),
    ]
    if summary.equal_pictures:
        lines.insert(
            3, ("", f"{summary.equal_pictures:,} of them equal to another, under a different id")
        )
    print(f"\n{summary.out}\n")  # noqa: T201
    for name, value in lines:
        print(f"  {name:<14}{value}")  # noqa: T201
    print(  # noqa: T201
        f"\nWhere to look next:\n"
        f"  its card            {summary.out / 'README.md'}\n"
        f"  check it            mimicit validate {summary.out}\n"
        f'  load the text       datasets.load_dataset("{summary.out}")\n'
        f'  load the pictures   datasets.load_dataset("{summary.out}", "images")\n'
        f'  load examples       mimicit.load("{summary.out}")[0].context'
    )


@app.command()
def validate(directory: Annotated[Path, typer.Argument(help="A dataset directory.")]) -> None:
    """List what breaks a dataset's rules; exit with 4 if anything does."""
    from mimicit.validate import find_problems

    problems = find_problems(directory)
    for problem in problems:
        print(problem)  # noqa: T201
    if problems:
        _say(f"mimicit: {directory} breaks its rules in {len(problems):,} places")
        sys.exit(InvalidDataset.exit_code)
    print(f"{directory} is valid")  # noqa: T201


@app.command()
def schema() -> None:
    """Print the JSON Schema of a published instruction."""
    from mimicit.schema import instruction_json_schema

    print(json.dumps(instruction_json_schema(), indent=2))  # noqa: T201


@app.command()
def sources(name: Annotated[str | None, typer.Argument(help="Only this one.")] = None) -> None:
    """List the sources and their options."""
    import dataclasses
    from typing import cast

    from mimicit.generators import available, find

    for each in [name] if name else available():
        cls = find(each)
        print(f"{each}: {(cls.__doc__ or '').strip().splitlines()[0]}")  # noqa: T201
        for field in dataclasses.fields(cast("Any", cls)):
            print(f"  -o {field.name + '=…':<14} {field.metadata.get('help', '')}")  # noqa: T201
        print(f"  {cls.origin}")  # noqa: T201


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
