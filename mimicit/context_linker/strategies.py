"""The strategies: each proposes examples for many queries at once, the best of each first.

Those that look for similarity search among scenes or sets of pictures, not among instructions:
ten questions about one picture would fill every list. Which instruction of a scene is proposed is
decided afterwards: one of the query's kind, as long as the query's; and, behind all of these, any
other one, for when the first would make the answers all alike.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mimicit.catalogue import Catalogue
from mimicit.context_linker.material import Material
from mimicit.context_linker.spec import LinkSpec

TRIED = 4
"""Instructions of a scene among which the one that is as long as the query is looked for."""


class Proposals(NamedTuple):
    """Proposed places and their scores, both of shape (queries, width); -1 where there are none."""

    places: np.ndarray
    scores: np.ndarray


Proposer = Callable[[np.ndarray], Proposals]
"""Proposes examples for the queries at the places given."""


@dataclass(frozen=True, slots=True)
class Strategy:
    """A way to find examples.

    Attributes:
        prepare: Makes the proposer.
        crosses: Whether they must be about other pictures.
        measured: Whether its scores are similarities.
    """

    prepare: Callable[[Catalogue, LinkSpec, Material], Proposer]
    crosses: bool
    measured: bool = False


class Sharing:
    """The places of the train split that share a number, such as that of their group.

    Args:
        numbers: A number for each place, from 0.
        train: Which places may be found.
    """

    def __init__(self, numbers: np.ndarray, train: np.ndarray) -> None:
        self._numbers = numbers
        places = np.flatnonzero(train)
        self.places = places[np.argsort(numbers[places], kind="stable")]
        count = int(numbers.max(initial=-1)) + 1
        self.starts = np.searchsorted(numbers[self.places], np.arange(count + 1))
        self._order = self.places.astype(np.int64) + numbers[self.places].astype(np.int64) * (
            len(numbers) + 1
        )

    def after(self, queries: np.ndarray, width: int) -> np.ndarray:
        """List the places that share each query's number, round and round from its own place.

        So none is always first. At most `width` each; -1 where there are fewer.
        """
        numbers = self._numbers[queries]
        starts, sizes = self.starts[numbers], np.diff(self.starts)[numbers]
        own = queries + numbers.astype(np.int64) * (len(self._numbers) + 1)
        position = np.searchsorted(self._order, own, side="right") - starts
        steps = np.arange(max(0, min(width, int(sizes.max(initial=0)))))
        taken = starts[:, None] + (position[:, None] + steps) % np.maximum(sizes, 1)[:, None]
        places = (
            self.places[np.minimum(taken, max(0, len(self.places) - 1))]
            if len(self.places)
            else np.full(taken.shape, -1)
        )
        return np.where(steps < sizes[:, None], places, -1)


class Members:
    """The instructions of each unit (scene, or set of pictures) that may be examples.

    Args:
        units: The unit of each place.
    """

    def __init__(self, catalogue: Catalogue, units: np.ndarray) -> None:
        self._catalogue = catalogue
        self._kinds = int(catalogue.kinds.max(initial=0)) + 1
        places = np.flatnonzero(catalogue.train)
        keys = units[places].astype(np.int64) * self._kinds + catalogue.kinds[places]
        order = np.argsort(keys, kind="stable")
        self._places, self._keys = places[order], keys[order]
        known, first = np.unique(units, return_index=True)
        self._chance = np.zeros(int(units.max(initial=-1)) + 2, np.uint64)
        self._chance[known] = catalogue.hashes[first]

    def pool(self) -> np.ndarray:
        """List the units that have any, ascending."""
        return np.unique(self._keys // self._kinds)

    def pick(
        self,
        queries: np.ndarray,
        units: np.ndarray,
        seed: np.uint64,
        *,
        kindred: bool,
        unlike: np.ndarray | None = None,
    ) -> np.ndarray:
        """Choose an instruction of each unit for each query: shapes (q,), (q, w) -> (q, w).

        Args:
            queries: Places.
            units: Units for each; -1 for none.
            seed: Varies the choice among those that are equally good.
            kindred: Whether to look for one of the query's kind, and of its length.
            unlike: Places of shape (q, w) whose yes, no or number it should not answer again.
        """
        chance = mixed(self._catalogue.hashes[queries][:, None] + seed, self._chance[units])
        first = np.searchsorted(self._keys, units * self._kinds)
        last = np.searchsorted(self._keys, (units + 1) * self._kinds)
        if kindred:
            kinds = self._catalogue.kinds[queries].astype(np.int64)[:, None]
            low = np.searchsorted(self._keys, units * self._kinds + kinds)
            high = np.searchsorted(self._keys, units * self._kinds + kinds + 1)
            found = low < high
            first, last = np.where(found, low, first), np.where(found, high, last)
        sizes = np.maximum(last - first, 1)
        start = (chance % sizes.astype(np.uint64)).astype(np.int64)
        best = self._at(first + start)
        if kindred:
            wanted = self._catalogue.lengths[queries].astype(np.int64)[:, None]
            gap = np.abs(self._catalogue.lengths[best] - wanted)
            for step in range(1, min(TRIED, int(sizes.max(initial=1)))):
                other = self._at(first + (start + step) % sizes)
                others = np.abs(self._catalogue.lengths[other] - wanted)
                best = np.where(others < gap, other, best)
                gap = np.minimum(gap, others)
        if unlike is not None:
            classes = self._catalogue.classes
            wrong = classes[unlike]
            for step in range(1, min(TRIED, int(sizes.max(initial=1)))):
                again = (classes[best] == wrong) & (wrong > 0)
                best = np.where(again, self._at(first + (start + step) % sizes), best)
        return np.where((units >= 0) & (first < last), best, -1)

    def of_kind(self, queries: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Tell which places are of the query's kind: shapes (q,), (q, w) -> (q, w)."""
        kinds = self._catalogue.kinds
        found: np.ndarray = kinds[places] == kinds[queries][:, None]
        return found

    def _at(self, spots: np.ndarray) -> np.ndarray:
        if not len(self._places):
            return np.zeros(spots.shape, np.int64)
        found: np.ndarray = self._places[np.clip(spots, 0, len(self._places) - 1)]
        return found


def mixed(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Mix two 64-bit numbers into one that is as good as chance (splitmix64, Steele 2014)."""
    with np.errstate(over="ignore"):
        value = left + (right + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        result: np.ndarray = value ^ (value >> np.uint64(31))
    return result


def width_of(spec: LinkSpec) -> int:
    """How many scenes are looked at for each query: guards and caps turn some away."""
    return 4 * spec.shots + 8


# ---------------------------------------------------------- about the same thing


def _conversation(catalogue: Catalogue, spec: LinkSpec, _material: Material) -> Proposer:
    """Earlier turns of the same conversation: what stood before it in the same reply."""

    def propose(queries: np.ndarray) -> Proposals:
        starts = catalogue.first[catalogue.scenes[queries]]
        back = 1 + np.arange(min(2 * width_of(spec), int((queries - starts).max(initial=0))))
        places = queries[:, None] - back
        inside = places >= starts[:, None]
        places = np.where(inside, places, 0)
        same = catalogue.variants[places] == catalogue.variants[queries][:, None]
        scores = np.broadcast_to(1.0 / back, places.shape)
        return Proposals(np.where(inside & same, places, -1), scores)

    return propose


def _same(numbers_of: Callable[[Catalogue], np.ndarray]) -> Callable[..., Proposer]:
    def prepare(catalogue: Catalogue, spec: LinkSpec, _material: Material) -> Proposer:
        sharing = Sharing(numbers_of(catalogue), catalogue.train)

        def propose(queries: np.ndarray) -> Proposals:
            places = sharing.after(queries, 2 * width_of(spec))
            return Proposals(places, np.ones(places.shape))

        return propose

    return prepare


def _temporal(catalogue: Catalogue, spec: LinkSpec, _material: Material) -> Proposer:
    """The scenes of the same video or album that are next in time, before or after."""
    first = catalogue.first[:-1]
    groups, times = catalogue.groups[first], catalogue.times[first]
    order = np.lexsort((np.arange(len(first)), times, groups))
    rank = np.argsort(order)
    members = Members(catalogue, catalogue.scenes)
    reach = spec.shots + 4
    steps = np.array([sign * n for n in range(1, reach + 1) for sign in (-1, 1)])

    def propose(queries: np.ndarray) -> Proposals:
        scenes = catalogue.scenes[queries]
        spots = rank[scenes][:, None] + steps
        inside = (spots >= 0) & (spots < len(order))
        near = order[np.where(inside, spots, 0)]
        inside &= groups[near] == groups[scenes][:, None]
        gaps = np.where(inside, np.abs(times[near] - times[scenes][:, None]), np.inf)
        by_gap = np.argsort(gaps, axis=1, kind="stable")
        near, gaps = (np.take_along_axis(a, by_gap, 1) for a in (near, gaps))
        units = np.where(np.isfinite(gaps), near, -1)
        places = members.pick(queries, units, spec.chance, kindred=True)
        return Proposals(places, 1 / (1 + np.where(places >= 0, gaps, 0)))

    return propose


# ------------------------------------------------------------ about other things


def _alternatives(
    members: Members, queries: np.ndarray, units: np.ndarray, scores: np.ndarray, seed: np.uint64
) -> Proposals:
    """Propose an instruction of each unit, those of the query's kind first; others behind them."""
    kindred = members.pick(queries, units, seed, kindred=True)
    order = np.argsort(~members.of_kind(queries, kindred), axis=1, kind="stable")
    first, its_scores = (np.take_along_axis(table, order, 1) for table in (kindred, scores))
    others = members.pick(queries, units, seed, kindred=False, unlike=kindred)
    return Proposals(np.hstack([first, others]), np.hstack([its_scores, scores]))


def _similar_text(catalogue: Catalogue, spec: LinkSpec, material: Material) -> Proposer:
    """Scenes whose answers say what those about the query's scene say."""
    members = Members(catalogue, catalogue.scenes)
    found = material.like_scenes(spec.text, members.pool(), width_of(spec))

    def propose(queries: np.ndarray) -> Proposals:
        units, scores = found.of(catalogue.scenes[queries])
        return _alternatives(members, queries, units, scores, spec.chance)

    return propose


def _similar_image(catalogue: Catalogue, spec: LinkSpec, material: Material) -> Proposer:
    """Pictures that look alike to an encoder; without one, those that the same is said of."""
    members = Members(catalogue, catalogue.pictures)
    found = material.like_pictures(spec, members.pool(), width_of(spec))

    def propose(queries: np.ndarray) -> Proposals:
        units, scores = found.of(catalogue.pictures[queries])
        return _alternatives(members, queries, units, scores, spec.chance)

    return propose


def _mixed(catalogue: Catalogue, spec: LinkSpec, material: Material) -> Proposer:
    """Of the pictures that are most alike, those first of which the same is said.

    Pictures choose and text ranks, as in MMICES (arXiv:2311.18021).
    """
    members = Members(catalogue, catalogue.pictures)
    pool = material.like_looks(spec, members.pool(), 4 * width_of(spec))

    def propose(queries: np.ndarray) -> Proposals:
        units, _ = pool.of(catalogue.pictures[queries])
        scores = material.picture_text_scores(spec.text, catalogue.pictures[queries], units)
        order = np.argsort(-scores, axis=1, kind="stable")[:, : width_of(spec)]
        units, scores = (np.take_along_axis(a, order, 1) for a in (units, scores))
        return _alternatives(members, queries, units, scores, spec.chance)

    return propose


def _diverse(catalogue: Catalogue, spec: LinkSpec, material: Material) -> Proposer:
    """Scenes that are like the query's and unlike each other.

    Maximal marginal relevance (Carbonell and Goldstein 1998): each next one has the greatest
    similarity to the query less its greatest similarity to those before it, in equal parts.
    """
    members = Members(catalogue, catalogue.scenes)
    found = material.like_scenes(spec.text, members.pool(), width_of(spec))

    def propose(queries: np.ndarray) -> Proposals:
        units, scores = found.of(catalogue.scenes[queries])
        order = material.diversified(spec.text, units, scores)
        units, scores = (np.take_along_axis(a, order, 1) for a in (units, scores))
        return _alternatives(members, queries, units, scores, spec.chance)

    return propose


def _random(catalogue: Catalogue, spec: LinkSpec, _material: Material) -> Proposer:
    """Any instructions about other pictures, by seed: the baseline other strategies must beat."""
    pool = np.flatnonzero(catalogue.train)
    draws = np.arange(8 * spec.shots + 32 if len(pool) else 0, dtype=np.uint64)

    def propose(queries: np.ndarray) -> Proposals:
        chance = mixed(catalogue.hashes[queries][:, None] ^ spec.chance, draws)
        places = pool[(chance % np.uint64(max(1, len(pool)))).astype(np.int64)]
        return Proposals(places, np.zeros(places.shape))

    return propose


PROPOSING: dict[str, Strategy] = {
    "conversation": Strategy(_conversation, crosses=False),
    "same-image": Strategy(_same(lambda catalogue: catalogue.pictures), crosses=False),
    "same-group": Strategy(_same(lambda catalogue: catalogue.groups), crosses=False),
    "wider-group": Strategy(_same(lambda catalogue: catalogue.wider), crosses=False),
    "temporal": Strategy(_temporal, crosses=False),
    "similar-image": Strategy(_similar_image, crosses=True, measured=True),
    "similar-text": Strategy(_similar_text, crosses=True, measured=True),
    "mixed": Strategy(_mixed, crosses=True, measured=True),
    "diverse": Strategy(_diverse, crosses=True, measured=True),
    "random": Strategy(_random, crosses=True),
}
"""Every strategy by its name."""
