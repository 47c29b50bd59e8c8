"""Which instructions are shown before which, as in-context examples.

MIMIC-IT (arXiv:2306.05425, section 3.1) gives each instruction related ones by a function of its
source; the code for it was never published. Here a strategy proposes candidates for a query, best
first (`strategies`), by what `material` compares them by; the same guards hold for all of them
(`guards`); and `choosing` takes what passes, within caps and budgets, and puts it in order.

Strategies are combined by fallback: with `same-group,similar-text` the second fills what the first
leaves empty. Nothing depends on chance but by the seed, nothing on the order of arithmetic.
"""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from mimicit.catalogue import Catalogue, Linkable, Wider
from mimicit.context_linker.choosing import Chooser
from mimicit.context_linker.material import Material, Pictures, texts_wanted
from mimicit.context_linker.spec import DEFAULT_SHOTS, STRATEGIES, LinkSpec, named
from mimicit.schema import Links

__all__ = ["DEFAULT_SHOTS", "STRATEGIES", "LinkSpec", "Pictures", "catalogue_of", "link", "named"]


def link(
    instructions: Iterable[Linkable],
    specs: Mapping[str, LinkSpec],
    pictures: Pictures | None = None,
    wider: Mapping[str, Wider] | None = None,
) -> Iterator[Links]:
    """Choose the in-context examples of every instruction.

    Args:
        instructions: All of them, those of one scene together, in the order of a dataset.
        specs: How to link the queries of each source, by its name. Their examples may come from
            any source.
        pictures: Their pictures: what look-alikes are found by. Without them, equal pictures are
            only known by their ids.
        wider: What tells the wider group of a group, by source; `wider-group` looks there.

    Yields:
        One `Links` for each instruction that has examples, in the same order; the examples stand
        in the order in which they are to be shown.

    Raises:
        UsageError: an encoder is not known or not installed.
    """
    catalogue = catalogue_of(instructions, specs.values(), wider)
    chooser = Chooser(catalogue, specs, Material(catalogue, pictures))
    for _ in chooser.choose():
        pass
    chosen = chooser.chosen
    for query, count in enumerate(chosen.counts.tolist()):
        if count:
            yield Links(
                query_id=catalogue.id(query),
                context_ids=[catalogue.id(p) for p in chosen.places[query, :count].tolist()],
                scores=[round(score, 4) for score in chosen.scores[query, :count].tolist()],
                strategies=chosen.found_by(catalogue, np.array([query])),
            )


def catalogue_of(
    instructions: Iterable[Linkable],
    specs: Iterable[LinkSpec],
    wider: Mapping[str, Wider] | None = None,
) -> Catalogue:
    """Read all instructions, as far as the strategies need."""
    listed = list(specs)
    wanted = texts_wanted(listed)
    if any(spec.tokens for spec in listed):
        wanted.add("tokens")
    return Catalogue(instructions, wanted, wider)
