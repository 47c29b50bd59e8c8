"""`mimicit trace`: the whole way back of a published row."""

import shutil
from pathlib import Path
from typing import Annotated

import typer

from mimicit import cli_options as opt


def trace(
    name: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="Id of an instruction, an image or a scene, or the record of a rejected row.",
        ),
    ],
    directories: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="DIR",
            help="Dataset directories.  [default: all of out/]",
            show_default=False,
        ),
    ] = None,
    journal: opt.Journal = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print a line of JSON a dataset, for programs.")
    ] = False,
) -> None:
    """Print the whole way back of a row: annotations, pictures, prompt, reply, examples."""
    from mimicit.trace import find_traces
    from mimicit.trace_text import as_json, as_text

    found = find_traces(name, directories or [], journal)
    if json:
        print(*map(as_json, found), sep="\n")  # noqa: T201
        return
    width = min(shutil.get_terminal_size((100, 24)).columns, 120)
    print("\n\n".join(as_text(one, width) for one in found), end="")  # noqa: T201
