"""Linking the instructions of one dataset: all views of it, and a report on each."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mimicit.catalogue import Catalogue, LinkRow, Wider
from mimicit.config import BuildConfig
from mimicit.context_linker import LinkSpec, Pictures, catalogue_of, named
from mimicit.context_linker.choosing import Chooser, Chosen
from mimicit.context_linker.health import Health, examine
from mimicit.context_linker.material import Material
from mimicit.errors import UsageError
from mimicit.generators import Generator, wider_of
from mimicit.progress import Counted, Track

FIRST = "links"
"""Table of the first view, whose examples stand in the instructions themselves."""


@dataclass(frozen=True, slots=True)
class View:
    """One way to link a dataset.

    Attributes:
        table: Where its links are written: `links`, or `links_NAME`.
        specs: How the queries of each source are linked, by its name.
    """

    table: str
    specs: Mapping[str, LinkSpec]


@dataclass(frozen=True, slots=True)
class Linked:
    """What linking came to.

    Attributes:
        catalogue: All instructions.
        chosen: The examples of each, by the table of the view.
        health: What is to be known of each view.
        advice: What would make it faster the next time, in lines for the user.
    """

    catalogue: Catalogue
    chosen: Mapping[str, Chosen]
    health: Mapping[str, Health]
    advice: Sequence[str]


def views_of(links: Sequence[str], shots: int, seed: int, own: Mapping[str, str]) -> list[View]:
    """Read the views that a user asks for.

    Args:
        links: Specifications, each `[NAME=]STRATEGIES [SETTING=VALUE …]`; none for each source's
            own strategies.
        shots: Examples where a specification does not say how many.
        seed: Seed where it names none.
        own: Each source's own strategies.

    Raises:
        UsageError: one cannot be read, or two have one name.
    """
    views: list[View] = []
    for number, text in enumerate(links or ["default"]):
        name, spec = named(text)
        if number and not name:
            raise UsageError(
                f"--link {text!r}: every view but the first needs a name, such as "
                f"--link 'similar={text}'"
            )
        table = f"{FIRST}_{name}" if number else FIRST
        if table in {view.table for view in views}:
            raise UsageError(f"--link names {name!r} twice")
        specs = {s: LinkSpec.parse(spec, shots, seed, strategies) for s, strategies in own.items()}
        for one in specs.values():
            one.open_encoders()
        views.append(View(table, specs))
    return views


def how_to_link(
    config: BuildConfig, sources: Mapping[str, type[Generator] | None]
) -> tuple[list[View], dict[str, Wider]]:
    """Read the views that are asked for, and find what tells the wider groups of sources.

    Args:
        config: What is asked for.
        sources: The sources by name; None for one that is not installed.

    Raises:
        UsageError: a view cannot be read, or its encoder is not installed.
    """
    own = {name: cls.link if cls else "" for name, cls in sources.items()}
    wider = {name: above for name, cls in sources.items() if cls and (above := wider_of(cls))}
    return views_of(config.link, config.shots, config.seed, own), wider


def link_views(
    rows: Iterable[LinkRow],
    views: Sequence[View],
    wider: Mapping[str, Wider],
    pictures: Pictures | None,
    track: Track,
) -> Linked:
    """Choose the examples of all instructions in every view.

    Args:
        rows: The instructions, those of one scene together.
        views: How.
        wider: What tells the wider group of a group, by source.
        pictures: Their pictures.
        track: Shows progress.

    Raises:
        UsageError: an encoder is not known or not installed.
    """
    specs = [spec for view in views for spec in view.specs.values()]
    catalogue = catalogue_of(rows, specs, wider)
    material = Material(catalogue, pictures, track)
    chosen: dict[str, Chosen] = {}
    health: dict[str, Health] = {}
    for view in views:
        chooser = Chooser(catalogue, view.specs, material)
        done = itertools.chain.from_iterable(map(range, chooser.choose()))
        what = "link" if view.table == FIRST else view.table
        for _ in track(Counted(done, len(catalogue)), what, "instructions"):
            pass
        chosen[view.table] = chooser.chosen
        health[view.table] = examine(catalogue, chooser, material)
    advice = dict.fromkeys(found.advice for found in material.searches.values() if found.advice)
    return Linked(catalogue, chosen, health, list(advice))
