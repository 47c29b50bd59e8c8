"""The commands that bring in what others published."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mimicit import cli_options as opt

if TYPE_CHECKING:
    from mimicit.importers import Imported

importer = typer.Typer(no_args_is_help=True, help="Bring in datasets that were made elsewhere.")


@importer.callback()
def _before_commands() -> None:
    """Keep the form's name in the command, with one form as with several."""


@importer.command()
def otter(
    directory: Annotated[
        Path,
        typer.Argument(help="A published MIMIC-IT directory.", show_default=False),
    ],
    out: Annotated[Path, typer.Option(help="Directory of the dataset.", show_default=False)],
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Mend known mistakes, where nothing has to be guessed."),
    ] = False,
    language: Annotated[str, typer.Option(help="ISO 639 code of the texts.")] = "en",
    licence: Annotated[
        str, typer.Option(help="SPDX id of the pictures' licence.  [default: not known]")
    ] = "",
    teacher: Annotated[str, typer.Option(help="Who wrote the texts.")] = "unknown",
) -> None:
    """Bring in MIMIC-IT as it was published: X_instructions.json, X.parquet or X.json."""
    from mimicit.importers import import_otter
    from mimicit.progress import on_terminal

    made = import_otter(
        directory,
        out,
        repair=repair,
        language=language,
        licence=licence,
        teacher=teacher,
        track=on_terminal,
    )
    _print(made, directory)


def _print(made: "Imported", directory: Path) -> None:
    lines = [
        ("read", f"{made.read:,} instructions"),
        *([("", f"{made.repeated:,} of them again, as examples")] if made.repeated else []),
        ("instructions", f"{made.instructions:,}"),
        *((f"  {split}", f"{n:,}") for split, n in made.splits.items() if len(made.splits) > 1),
        *([("", f"{made.respelled:,} with ids of another form")] if made.respelled else []),
        ("images", f"{made.images:,}"),
        *([("", f"{made.unused:,} more in the stores were left out")] if made.unused else []),
        ("links", f"{made.links:,} in-context examples"),
        *([("", f"{made.fallen:,} fell away: rejected or held out")] if made.fallen else []),
        *([("", f"{made.doubled:,} more were named twice")] if made.doubled else []),
        ("mended", f"{sum(made.mended.values()):,}"),
        *(("", f"{count:,} {mistake}") for mistake, count in made.mended.items()),
        ("rejected", f"{sum(made.rejected.values()):,}"),
        *((f"  {stage}", f"{n:,} {reason}") for (stage, reason), n in made.rejected.items()),
        *(("not read", f"{name!r}: it {why}") for name, why in made.passed_over),
    ]
    opt.print_summary(made.out, lines)
    if made.mendable:
        print(  # noqa: T201
            f"\n--repair would keep up to {made.mendable:,} of those that were rejected; "
            f"`mimicit validate {directory}` says what is wrong with each"
        )
    print(  # noqa: T201
        f"\nWhere to look next:\n"
        f"  its card            {made.out / 'README.md'}\n"
        f"  check it            mimicit validate {made.out}\n"
        f"  link it anew        mimicit link {made.out} --link similar-text\n"
        f'  load examples       mimicit.load("{made.out}")[0].context'
    )
