"""The command that links a finished dataset anew."""

from pathlib import Path
from typing import Annotated

import typer

from mimicit import cli_options as opt


def link(
    directory: Annotated[Path, typer.Argument(help="The dataset.", show_default=False)],
    link: opt.Link = [],  # noqa: B006  # Typer reads the default, nobody changes it
    shots: opt.Shots = None,
    seed: Annotated[
        int | None, typer.Option(help="Varies what is left to chance.  [default: the build's]")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Where the result goes.  [default: in place]", show_default=False),
    ] = None,
) -> None:
    """Link a finished dataset anew, without asking anybody."""
    from mimicit.progress import on_terminal
    from mimicit.relink import relink

    made = relink(directory, link, shots=shots, seed=seed, out=out, track=on_terminal)
    for table, health in made.items():
        found = sum(health.strategies.values())
        print(  # noqa: T201
            f"\n{out or directory} {table}: {found:,} in-context examples\n"
            f"  full                {health.full:,} of {health.queries:,} instructions, "
            f"{health.some:,} with fewer\n"
            + "".join(f"  {name:<20}{count:,}\n" for name, count in health.strategies.items())
            + f"  used                {100 * health.used:.1f} % of those that may be, "
            f"the most used {health.in_degree[-1]:,} times\n"
            f"  leaks               {health.leaks}"
        )
