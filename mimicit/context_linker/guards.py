"""What no example may be to its query, whichever strategy proposed it. Each guard counts."""

from collections import Counter
from collections.abc import Iterator

import numpy as np

from mimicit.catalogue import REPRESENTATIVES, Catalogue
from mimicit.context_linker.spec import LinkSpec
from mimicit.context_linker.strategies import Proposals, Strategy
from mimicit.lookalikes import near

GIVEN_AWAY = (3, 4)
"""Part of the words that an answer adds to its question which must not stand in an example about
the same thing: more, and the example gives the answer away."""


class Guards:
    """Checks proposals.

    Args:
        catalogue: All instructions.
        looks: What each of their pictures looks like (`mimicit.lookalikes`), by its place in
            `image_ids`; where it is None, look-alikes are not found.

    Attributes:
        turned_away: How many proposals each guard turned away.
    """

    def __init__(self, catalogue: Catalogue, looks: np.ndarray | None = None) -> None:
        self._catalogue = catalogue
        self.turned_away: Counter[str] = Counter()
        self._looks = looks

    def allowed(
        self, queries: np.ndarray, proposed: Proposals, strategy: Strategy, spec: LinkSpec
    ) -> np.ndarray:
        """Tell which proposals may be examples: bool of shape (queries, width).

        Whether pictures look alike is left to `alike`: it is asked of those that would be taken.
        """
        there = proposed.places >= 0
        places = np.where(there, proposed.places, 0)
        for name, wrong in self._pairwise(queries[:, None], places, strategy, spec, proposed):
            self.turned_away[name] += int((there & wrong).sum())
            there &= ~wrong
        return there

    def _pairwise(
        self,
        queries: np.ndarray,
        places: np.ndarray,
        strategy: Strategy,
        spec: LinkSpec,
        proposed: Proposals,
    ) -> Iterator[tuple[str, np.ndarray]]:
        """Say of each guard which pairs it turns away."""
        known = self._catalogue
        same_scene = known.scenes[places] == known.scenes[queries]
        same_group = known.groups[places] == known.groups[queries]
        yield "itself", places == queries
        yield (
            "another form of the same record",
            same_scene & (known.variants[places] != known.variants[queries]),
        )
        yield "held-out split", ~known.train[places]
        yield "another language", known.languages[places] != known.languages[queries]
        yield "same question and answer", known.questions[places] == known.questions[queries]
        if strategy.crosses:
            yield "same scene or group", same_scene | same_group
            yield "same picture", self._share_a_picture(queries, places)
        else:
            yield "gives the answer away", self._gives_away(queries, places)
        if strategy.measured:
            least, most = spec.band
            outside = (proposed.scores < least) | (proposed.scores > most)
            yield "similarity out of band", outside

    def _gives_away(self, queries: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Tell which examples say a sentence of the query's answer, or most of what it adds."""
        known = self._catalogue
        sentences = known.sentences[places]
        quoted = np.zeros(places.shape, np.bool_)
        for one in np.moveaxis(known.told_sentences[queries], -1, 0):
            quoted |= (one[..., None] == sentences).any(axis=-1)
        told = known.told[queries]
        total = np.bitwise_count(told).sum(axis=-1, dtype=np.int64)
        found = np.bitwise_count(told & known.words[places]).sum(axis=-1, dtype=np.int64)
        part, whole = GIVEN_AWAY
        result: np.ndarray = quoted | ((total > 0) & (whole * found >= part * total))
        return result

    def _share_a_picture(self, queries: np.ndarray, places: np.ndarray) -> np.ndarray:
        mine, theirs = self._catalogue.pictures[queries], self._catalogue.pictures[places]
        shared = mine == theirs
        ours, others = (self._catalogue.representatives[sets] for sets in (mine, theirs))
        for one in range(REPRESENTATIVES):
            for other in range(REPRESENTATIVES):
                shared = shared | ((ours[..., one] >= 0) & (ours[..., one] == others[..., other]))
        return np.asarray(shared)

    def alike(self, queries: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Tell which pairs show the same picture, or nearly: shapes (n,), (n,) -> (n,).

        What `allowed` has passed: only long series can still share a picture by its id.
        """
        known = self._catalogue
        found = self._long_series_share(queries, places)
        if self._looks is None or not len(queries):
            return found
        mine = known.representatives[known.pictures[queries]]
        theirs = known.representatives[known.pictures[places]]
        for one in range(REPRESENTATIVES):
            for other in range(REPRESENTATIVES):
                both = np.flatnonzero((mine[:, one] >= 0) & (theirs[:, other] >= 0) & ~found)
                if len(both):
                    left, right = self._looks[mine[both, one]], self._looks[theirs[both, other]]
                    found[both] = near(left, right)
        self.turned_away["looks like the query's picture"] += int(found.sum())
        return found

    def _long_series_share(self, queries: np.ndarray, places: np.ndarray) -> np.ndarray:
        known = self._catalogue
        found = np.zeros(len(queries), np.bool_)
        mine, theirs = known.pictures[queries], known.pictures[places]
        for pair in np.flatnonzero(known.is_long[mine] | known.is_long[theirs]).tolist():
            ours, others = known.picture_sets[mine[pair]], known.picture_sets[theirs[pair]]
            found[pair] = not set(ours).isdisjoint(others)
        return found
