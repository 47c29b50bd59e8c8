"""`mimicit journal`: looking after the file that keeps every reply."""

import datetime as dt
import sys
from pathlib import Path
from typing import Annotated

import typer

from mimicit import cli_options as opt
from mimicit.errors import UsageError

journal = typer.Typer(no_args_is_help=True, help="Look after the file that keeps every reply.")


def _path(given: Path | None) -> Path:
    from mimicit.journal import default_path

    return given or default_path()


@journal.command()
def info(journal: opt.Journal = None) -> None:
    """Say what is in it."""
    from mimicit import upkeep
    from mimicit.ledger import dollars

    found = upkeep.info(_path(journal))
    print(  # noqa: T201
        f"{found.path}: version {found.version}, {found.size_bytes:,} bytes, mode {found.mode}"
    )
    for total in found.teachers:
        print(  # noqa: T201
            f"  {total.teacher}: {total.replies:,} replies, {total.input_tokens:,} tokens in, "
            f"{total.output_tokens:,} out, {_day(total.first)} to {_day(total.last)}"
        )
    if not found.teachers:
        print("  no replies")  # noqa: T201
    for reason, count in found.failures.items():
        print(f"  {count:,} requests that failed: {reason}")  # noqa: T201
    if found.claims:
        print(f"  {found.claims:,} requests are being asked now")  # noqa: T201
    if found.batched:
        print(f"  {found.batched:,} requests are in batches")  # noqa: T201
    for account, stands in found.spending.items():
        doubt = f", {dollars(stands.doubtful)} of it in doubt" if stands.doubtful else ""
        print(f"  {account}: {dollars(stands.gone)} spent{doubt}")  # noqa: T201


@journal.command()
def export(
    out: Annotated[
        Path | None, typer.Argument(help="File to write.  [default: standard output]")
    ] = None,
    journal: opt.Journal = None,
) -> None:
    """Write every reply as a line of JSON."""
    from mimicit import upkeep

    if out is None:
        upkeep.export(_path(journal), sys.stdout)
        return
    if out.exists():
        raise UsageError(f"{str(out)!r} exists; name a new file")
    partial = out.with_name(f".{out.name}.partial")
    try:
        with partial.open("w", encoding="utf-8") as file:
            count = upkeep.export(_path(journal), file)
        partial.rename(out)
    finally:
        partial.unlink(missing_ok=True)
    print(f"{out}: {count:,} replies")  # noqa: T201


@journal.command()
def merge(
    others: Annotated[list[Path], typer.Argument(help="Other journals, or exports of them.")],
    journal: opt.Journal = None,
) -> None:
    """Take in the replies of other journals; where both have one, the one that is here stays."""
    from mimicit import upkeep

    new, known = upkeep.merge(_path(journal), others)
    print(f"{new:,} replies are new, {known:,} were here")  # noqa: T201


@journal.command()
def prune(
    teacher: Annotated[str | None, typer.Option(help="Drop the replies of this teacher.")] = None,
    before: Annotated[
        str | None, typer.Option(help="Drop the replies from before this day, YYYY-MM-DD.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without, it is only counted.")] = False,
    journal: opt.Journal = None,
) -> None:
    """Drop replies that are not wanted any more, and the log of failures."""
    from mimicit import upkeep

    day = None
    if before is not None:
        try:
            day = dt.datetime.strptime(before, "%Y-%m-%d").replace(tzinfo=dt.UTC).timestamp()
        except ValueError:
            raise UsageError(f"--before takes a day as YYYY-MM-DD, not {before!r}") from None
    path = _path(journal)
    teachers = [total.teacher for total in upkeep.info(path).teachers]
    if teacher is not None and teacher not in teachers:
        raise UsageError(f"there are no replies of {teacher!r}; there are: {', '.join(teachers)}")
    replies, failures = upkeep.prune(path, teacher=teacher, before=day, dry=not yes)
    did = "dropped" if yes else "would be dropped (add --yes to do it)"
    print(f"{replies:,} replies and {failures:,} logged failures {did}")  # noqa: T201


@journal.command()
def backup(
    out: Annotated[Path, typer.Argument(help="File to write.")],
    journal: opt.Journal = None,
) -> None:
    """Copy it, whole and consistent, even while builds use it."""
    from mimicit import upkeep

    count = upkeep.backup(_path(journal), out)
    print(f"{out}: {count:,} replies")  # noqa: T201


def _day(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).date().isoformat()
