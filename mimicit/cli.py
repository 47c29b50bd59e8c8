"""The command line: parse, one call, print. Heavy imports wait inside their command."""

import io
import json
import os
import signal
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mimicit import __version__
from mimicit import cli_options as opt
from mimicit.cli_asking import plan, prompts
from mimicit.cli_export import export
from mimicit.cli_import import importer
from mimicit.cli_journal import journal
from mimicit.cli_link import link
from mimicit.cli_trace import trace
from mimicit.errors import InvalidDataset, MimicitError, UsageError

if TYPE_CHECKING:
    from mimicit.pipeline import Summary

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(plan)
app.command()(trace)
app.command()(link)
app.command()(export)
app.add_typer(prompts, name="prompts")
app.add_typer(journal, name="journal")
app.add_typer(importer, name="import")


def main() -> None:
    """Run the command line; an error raised on purpose ends in its message and its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name the terminal cannot spell is no error
            stream.reconfigure(errors="backslashreplace")
    # Arrow's own keeps what it has freed: validating a large dataset takes a fifth more time.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
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
    source: opt.Source = [],  # noqa: B006  # Typer reads the default, nobody changes it
    out: Annotated[
        Path | None,
        typer.Option(help="Directory of the dataset.  [default: out/SOURCE]", show_default=False),
    ] = None,
    root: opt.Root = None,
    sample: opt.Sample = False,
    option: opt.Option = [],  # noqa: B006
    teacher: opt.Teacher = None,
    model: opt.Model = None,
    base_url: opt.BaseUrl = None,
    concurrency: opt.Concurrency = 16,
    rpm: opt.Rpm = None,
    tpm_in: opt.TpmIn = None,
    tpm_out: opt.TpmOut = None,
    budget_usd: opt.BudgetUsd = None,
    prices: opt.Prices = None,
    replicates: opt.Replicates = None,
    vision: opt.Vision = None,
    prompt: opt.Prompt = [],  # noqa: B006
    param: opt.Param = [],  # noqa: B006
    reask: opt.Reask = None,
    send_max_side: opt.SendMaxSide = None,
    store_max_side: opt.StoreMaxSide = None,
    strip_metadata: opt.StripMetadata = None,
    salvage: opt.Salvage = None,
    skip_frames: opt.SkipFrames = [],  # noqa: B006
    allow_licence: opt.AllowLicence = [],  # noqa: B006
    split: opt.Split = None,
    form: opt.Format = None,
    media_cache: opt.MediaCache = None,
    teacher_id: opt.TeacherId = None,
    journal: opt.Journal = None,
    calls: Annotated[
        bool,
        typer.Option("--calls/--no-calls", help="Whether to ask at all, or use what was answered."),
    ] = True,
    partial: Annotated[
        bool, typer.Option("--partial", help="Publish though some requests have no reply yet.")
    ] = False,
    timeout: Annotated[float, typer.Option(help="Seconds that one attempt may take.")] = 120.0,
    total_timeout: Annotated[
        float, typer.Option(help="Seconds that a request may take with all its attempts.")
    ] = 600.0,
    patience: Annotated[
        float,
        typer.Option(help="Seconds of nothing but failures after which the run is given up."),
    ] = 300.0,
    batch: opt.Batch = False,
    link: opt.Link = [],  # noqa: B006
    shots: opt.Shots = None,
    seed: Annotated[
        int | None, typer.Option(help="Varies wording and random links.  [default: 0]")
    ] = None,
    limit: opt.Limit = None,
    only: opt.Only = [],  # noqa: B006
    date: Annotated[
        str | None,
        typer.Option(help="Date for the card, YYYY-MM-DD.  [default: $SOURCE_DATE_EPOCH, or none]"),
    ] = None,
    config: opt.Config = None,
) -> None:
    """Build a dataset."""
    from mimicit.config import Endpoint
    from mimicit.pipeline import build as run
    from mimicit.progress import on_terminal

    given = {
        "teacher": teacher,
        "model": model,
        "replicates": replicates,
        "vision": vision,
        "reask": reask,
        "send_max_side": send_max_side,
        "store_max_side": store_max_side,
        "strip_metadata": strip_metadata,
        "salvage": salvage,
        "skip_frames": skip_frames or None,
        "allow_licences": allow_licence or None,
        "split": split,
        "format": form,
        "teacher_id": teacher_id,
        "link": link or None,
        "shots": shots,
        "seed": seed,
        "limit": limit,
        "only": only or None,
        "date": date,
    }
    made = opt.configure(
        config, source, root, option, prompt=prompt, param=param, given=given, sample=sample
    )
    for name, value in (("--base-url", base_url), ("--budget-usd", budget_usd)):
        if value is not None and made.teacher == "templates":
            raise UsageError(f"{name} needs a teacher that is asked: --teacher openai --model NAME")
    endpoint = Endpoint(
        base_url,
        concurrency,
        timeout,
        total_timeout,
        rpm=rpm,
        tpm_in=tpm_in,
        tpm_out=tpm_out,
        patience=patience,
        batch=batch,
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a scheduler's stop is a stop
    try:
        summary = run(
            made,
            out or Path("out") / "-".join(s.name for s in made.sources),
            track=on_terminal,
            journal=journal,
            media_cache=media_cache,
            endpoint=endpoint if calls else None,
            budget_usd=budget_usd,
            prices=prices,
            partial=partial,
        )
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        _say("\nmimicit: stopped; nothing was published, and what was there before is untouched")
        if made.teacher != "templates":
            _say("every reply is kept: run again to go on")
        if batch:
            _say("batches that were submitted go on: run again to collect them")
        os._exit(130)  # at once: a thread may be busy with a prompt, or wait for the journal
    _print_summary(summary, as_lines=made.format == "jsonl")


def _print_summary(summary: "Summary", *, as_lines: bool) -> None:
    lines = [
        ("scenes", f"{summary.scenes:,}"),
        *_asked_lines(summary),
        ("instructions", f"{summary.instructions:,}"),
        *_split_lines(summary),
        ("images", f"{summary.images:,}"),
        *_equal_lines(summary),
        ("links", f"{summary.links:,} in-context examples"),
        ("rejected", f"{sum(summary.rejected.values()):,}"),
        *(
            (f"  {stage}", f"{count:,} {reason}")
            for (stage, reason), count in summary.rejected.items()
        ),
        ("bytes", f"{summary.size_bytes:,}"),
        ("seconds", f"{summary.seconds:.1f}"),
    ]
    pictures = f'datasets.load_dataset("{summary.out}", "images")'
    if as_lines:  # `datasets` reads all of a directory's tables one way
        pictures = f'datasets.load_dataset("parquet", data_files="{summary.out}/images/*.parquet")'
    opt.print_summary(summary.out, lines)
    for line in summary.advice:
        print(f"\n{line}")  # noqa: T201
    print(  # noqa: T201
        f"\nWhere to look next:\n"
        f"  its card            {summary.out / 'README.md'}\n"
        f"  check it            mimicit validate {summary.out}\n"
        f'  load the text       datasets.load_dataset("{summary.out}")\n'
        f"  load the pictures   {pictures}\n"
        f'  load examples       mimicit.load("{summary.out}")[0].context'
    )


def _split_lines(summary: "Summary") -> list[tuple[str, str]]:
    if list(summary.splits) == ["train"]:
        return []
    return [(f"  {split}", f"{count:,}") for split, count in summary.splits.items()]


def _equal_lines(summary: "Summary") -> list[tuple[str, str]]:
    count = summary.equal_pictures
    return [("", f"{count:,} of them equal to another, under a different id")] if count else []


def _cost_lines(summary: "Summary") -> list[tuple[str, str]]:
    """Say what the replies cost, where that is known."""
    from mimicit.ledger import dollars

    bill = summary.asked.bill
    if bill is None or not bill.gone:
        return []
    doubt = bill.before.doubtful + bill.doubtful
    lines = [("  cost", f"{dollars(bill.bought)} now, {dollars(bill.gone)} in all")]
    if doubt:
        lines.append(("", f"{dollars(doubt)} of it in doubt: sent, and no reply came"))
    return lines


def _asked_lines(summary: "Summary") -> list[tuple[str, str]]:
    asked = summary.asked
    if not asked.known and not asked.replies and not summary.pending:
        return []
    lines = [
        ("replies", f"{asked.known + asked.replies:,}"),
        ("  bought", f"{asked.replies:,} now, {asked.known:,} were there"),
        ("  journal", str(summary.journal)),
    ]
    if asked.replies:
        lines.append(("  tokens", f"{asked.input_tokens:,} in, {asked.output_tokens:,} out"))
    lines += _cost_lines(summary)
    if summary.pending:
        lines.append(("  pending", f"{summary.pending:,}: the dataset is partial"))
    return lines


@app.command()
def validate(
    directory: Annotated[Path, typer.Argument(help="A dataset directory.")],
    decode: Annotated[
        str,
        typer.Option(
            metavar="[all|sample|none]",
            help="Which pictures are decoded and compared with their rows: all, 1,000, or none.",
        ),
    ] = "all",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print each violation as a JSON object on a line.")
    ] = False,
) -> None:
    """List what breaks a dataset's rules; exit with 4 if anything does."""
    from typing import get_args

    from mimicit.gate.pictures import Decode
    from mimicit.markdown import visible
    from mimicit.validate import each_problem

    if decode not in get_args(Decode):
        raise UsageError(f"--decode takes {', '.join(get_args(Decode))}, not {decode!r}")
    found = each_problem(directory, decode=decode)  # type: ignore[arg-type]  # just checked
    count = 0
    for count, problem in enumerate(found, 1):  # noqa: B007  # as they come: there may be millions
        # What a stranger's file is called must not reach the terminal as it is.
        plain = visible(str(problem))
        line = json.dumps(problem._asdict(), ensure_ascii=False) if as_json else plain
        print(line)  # noqa: T201
    if as_json and not count:
        return
    if count:
        _say(f"mimicit: {directory} breaks its rules in {count:,} place(s)")
        sys.exit(InvalidDataset.exit_code)
    print(f"{directory} is valid")  # noqa: T201


@app.command()
def schema() -> None:
    """Print the JSON Schema of a published instruction."""
    from mimicit.tables import instruction_json_schema

    print(json.dumps(instruction_json_schema(), indent=2))  # noqa: T201


@app.command()
def sources(name: Annotated[str | None, typer.Argument(help="Only this one.")] = None) -> None:
    """List the sources, or tell what one reads, its options and where its files come from."""
    import inspect

    from mimicit.generators import available, find

    if name is None:
        listed = [(each, inspect.getdoc(find(each)) or "") for each in available()]
        width = max(len(each) for each, _ in listed)
        for each, text in listed:
            print(f"{each:<{width}}  {text.partition(chr(10))[0]}")  # noqa: T201
        print("\nmimicit sources NAME says more of one.")  # noqa: T201
        return
    cls = find(name)
    print(f"{name}: {inspect.getdoc(cls)}\n")  # noqa: T201
    print("Options, as in -o NAME=VALUE:")  # noqa: T201
    for option in _options_of(cls):
        print(option)  # noqa: T201
    print(f"\nIds begin with {cls.prefix}_. Linked by default: {cls.link}.")  # noqa: T201
    print(f"\n{textwrap.fill(cls.origin, 88, break_on_hyphens=False)}")  # noqa: T201
    print(f"\nTo try it: mimicit build --source {name} --sample")  # noqa: T201


def _options_of(cls: object) -> Iterator[str]:
    """Spell a source's options: its name, what it is for, and its default."""
    import dataclasses
    from typing import cast

    fields = dataclasses.fields(cast("Any", cls))
    width = max(len(field.name) for field in fields)
    for field in fields:
        default = field.default
        said = default if isinstance(default, int | str) and default != "" else None
        said = {True: "true", False: "false"}[said] if isinstance(said, bool) else said
        text = field.metadata.get("help", "")
        text += f"  [default: {said}]" if said is not None else ""
        indent = " " * (width + 4)
        yield textwrap.fill(
            text, 96, initial_indent=f"  {field.name:<{width}}  ", subsequent_indent=indent
        )


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
