"""The command that writes a finished dataset in the form that a trainer reads."""

from pathlib import Path
from typing import Annotated, Any

import typer

from mimicit import cli_options as opt


def export(
    directory: Annotated[Path, typer.Argument(help="The dataset.", show_default=False)],
    to: Annotated[
        str,
        typer.Option(
            "--to", metavar="FORMAT", help="chat, llava, otter or webdataset.", show_default=False
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            help="Where it goes: a new directory, or an earlier export.", show_default=False
        ),
    ],
    context: Annotated[
        str | None,
        typer.Option(
            metavar="[turns|interleaved|none]",
            help="How in-context examples are shown: as earlier turns of a conversation, all in "
            "one message, or not at all.  [default: the format's]",
            show_default=False,
        ),
    ] = None,
    max_side: Annotated[
        int, typer.Option(min=0, help="Longest side of the pictures in pixels; 0 for their own.")
    ] = 0,
) -> None:
    """Write a dataset in the form that a trainer reads."""
    from mimicit.exporters import export as run
    from mimicit.progress import on_terminal

    ways: Any = context  # checked there
    made = run(directory, to, out, context=ways, max_side=max_side, track=on_terminal)
    told = made.told
    lines = [
        ("instructions", f"{told.instructions:,}"),
        ("contexts", f"{told.contexts:,} in-context examples before them"),
        ("pictures", f"{told.pictures:,}, {told.changed:,} of them encoded anew"),
        *(("left out", f"{count:,} {reason}") for reason, count in told.left_out.items()),
        ("bytes", f"{made.size_bytes:,}"),
    ]
    opt.print_summary(made.out, lines)
    print(f"\nHow it is used: {made.out / 'README.md'}")  # noqa: T201
