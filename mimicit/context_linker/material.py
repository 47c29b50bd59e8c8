"""Vectors of scenes and pictures, and their neighbours: each worked out once for all views."""

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from PIL import Image

from mimicit.catalogue import Catalogue
from mimicit.context_linker.spec import LinkSpec
from mimicit.encoders import length, open_image, open_text, quantise
from mimicit.errors import UsageError
from mimicit.lookalikes import layouts
from mimicit.neighbours import EXACT_WORK, Neighbours, search
from mimicit.progress import Counted, Track, silent

NUMBERS_AT_ONCE = 1 << 24
"""Numbers of vectors that are compared at once: 64 MB."""


class Pictures(Protocol):
    """The pictures of a dataset, by their ids."""

    def descriptors(self, ids: Sequence[str]) -> np.ndarray:
        """Give what each looks like (`mimicit.lookalikes`); zeros where that is not known."""

    def digests(self, ids: Sequence[str]) -> list[str]:
        """Give the SHA-256 of each one's file."""

    def read(self, image_id: str) -> Image.Image:
        """Decode one, upright, in RGB."""


class Found(NamedTuple):
    """Nearest units of each unit, best first, and their cosines; -1 where there are fewer."""

    places: np.ndarray
    scores: np.ndarray

    def of(self, units: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give those of some units."""
        return self.places[units].astype(np.int64), self.scores[units]


class Material:
    """What strategies compare instructions by.

    Args:
        catalogue: All instructions, with their texts where any strategy looks at them.
        pictures: Their pictures, where any strategy looks at pixels.
        track: Shows how far a search has come.

    Attributes:
        searches: What searched, by what it compared: for the record of how links were made.
        used: Which of them the view has used that is being linked.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        pictures: Pictures | None = None,
        track: Track = silent,
    ) -> None:
        self._catalogue = catalogue
        self._pictures = pictures
        self._track = track
        self._vectors: dict[tuple[str, str], np.ndarray] = {}
        self._found: dict[tuple[str, str, int], Found] = {}
        self.searches: dict[str, Neighbours] = {}
        self.used: set[str] = set()
        self._descriptors: np.ndarray | None = None

    @property
    def descriptors(self) -> np.ndarray | None:
        """What each picture looks like, by its place in `image_ids`; None without pictures."""
        if self._descriptors is None and self._pictures is not None:
            self._descriptors = self._pictures.descriptors(self._catalogue.image_ids)
        return self._descriptors

    # ------------------------------------------------------------- neighbours

    def like_scenes(self, text: str, pool: np.ndarray, k: int) -> Found:
        """Find scenes about which the same is said."""
        return self._nearest("scenes", text, pool, k)

    def like_pictures(self, spec: LinkSpec, pool: np.ndarray, k: int) -> Found:
        """Find sets of pictures that look alike to an encoder, or that the same is said of."""
        if spec.image:
            self._pictures_for(spec.image)
            return self._nearest("pictures", spec.image, pool, k)
        return self._nearest("picture texts", spec.text, pool, k)

    def like_looks(self, spec: LinkSpec, pool: np.ndarray, k: int) -> Found:
        """Find sets of pictures that look alike to a vision encoder, or pixel by pixel."""
        if spec.image or not self._pictures:
            return self.like_pictures(spec, pool, k)
        return self._nearest("descriptors", "pixels", pool, k)

    def _nearest(self, what: str, by: str, pool: np.ndarray, k: int) -> Found:
        """Find the nearest units of other groups."""
        key = what, by, k
        self.used.add(f"{what} by {by}")
        if key not in self._found:
            vectors = self.vectors(what, by)
            counted = Counted(iter(range(len(vectors))), len(vectors))
            progress = iter(self._track(counted, "search", what))

            def tick(done: int) -> None:
                deque(itertools.islice(progress, done), maxlen=0)

            result = search(vectors, pool, k, tick=tick)
            next(progress, None)  # so that it ends
            self.searches[f"{what} by {by}"] = result
            places, scores = self._of_others(result, self._groups(what), pool, vectors)
            self._found[key] = Found(places, _cosines(scores, vectors.shape[1]))
        return self._found[key]

    def _groups(self, what: str) -> np.ndarray:
        """Give the group of each unit: that of the first instruction about it."""
        known = self._catalogue
        units = known.scenes if what == "scenes" else known.pictures
        _, first = np.unique(units, return_index=True)
        return known.groups[first]

    def _of_others(
        self, found: Neighbours, groups: np.ndarray, pool: np.ndarray, vectors: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Leave out neighbours of the same group, such as a long video's other scenes.

        Where they are most of what was found, the others are searched by themselves.
        """
        places, scores = _apart(found.places, found.scores, groups, np.arange(len(groups)))
        lacking = np.flatnonzero((places >= 0).sum(axis=1) < places.shape[1] // 2)
        lacking = lacking[vectors[lacking].any(axis=1)]
        if len(lacking) * len(pool) * vectors.shape[1] > EXACT_WORK:
            return places, scores  # fewer examples are better than hours
        for group in np.unique(groups[lacking]):
            asking, others = lacking[groups[lacking] == group], pool[groups[pool] != group]
            more = search(vectors, others, places.shape[1], asking=asking)
            width = more.places.shape[1]
            places[asking, :width], scores[asking, :width] = more.places, more.scores
        return places, scores

    # ---------------------------------------------------------------- vectors

    def vectors(self, what: str, by: str) -> np.ndarray:
        """Give the vectors of all units: int8 of shape (units, dimensions)."""
        if (what, by) not in self._vectors:
            makers: dict[str, Callable[[], np.ndarray]] = {
                "scenes": lambda: open_text(by).encode(self._catalogue.scene_texts),
                "picture texts": lambda: open_text(by).encode(self._catalogue.picture_texts),
                "descriptors": self._looks,
                "pictures": lambda: self._seen(by),
            }
            self._vectors[what, by] = makers[what]()
        return self._vectors[what, by]

    def _looks(self) -> np.ndarray:
        self._pictures_for("pixels")
        return self._of_sets(layouts(np.asarray(self.descriptors)))

    def _seen(self, by: str) -> np.ndarray:
        pictures = self._pictures_for(by)
        chosen = np.unique(self._catalogue.representatives)
        ids = [self._catalogue.image_ids[place] for place in chosen[chosen >= 0]]
        found = open_image(by).encode(pictures.digests(ids), lambda i: pictures.read(ids[i]))
        vectors = np.zeros((len(self._catalogue.image_ids), found.shape[1]))
        vectors[chosen[chosen >= 0]] = found
        return self._of_sets(vectors)

    def _pictures_for(self, encoder: str) -> Pictures:
        """Give the pictures.

        Raises:
            UsageError: there are none to be compared.
        """
        if self._pictures is None:
            raise UsageError(f"linking by {encoder!r} needs the pictures; hand them to link()")
        return self._pictures

    def _of_sets(self, vectors: np.ndarray) -> np.ndarray:
        """Bring the vectors of pictures to those of sets: the mean of their representatives."""
        chosen = self._catalogue.representatives
        total = np.zeros((len(chosen), vectors.shape[1]))
        for column in chosen.T:
            total += np.where((column >= 0)[:, None], vectors[column], 0)
        return quantise(total)

    # ------------------------------------------------------------ comparisons

    def scene_cosines(self, queries: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Compare what is said about the scenes of pairs of instructions: shapes (n,) -> (n,)."""
        by = next((by for what, by in self._vectors if what == "scenes"), "static")
        vectors = self.vectors("scenes", by)
        mine, theirs = (vectors[self._catalogue.scenes[places]] for places in (queries, others))
        products = (mine.astype(np.int64) * theirs).sum(axis=1)
        return _cosines(products, vectors.shape[1])

    def picture_text_scores(self, text: str, units: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Compare what is said of sets of pictures: shapes (q,) and (q, w) -> (q, w)."""
        vectors = self.vectors("picture texts", text)
        scores = np.zeros(others.shape, np.int64)
        for rows in _slices(others, vectors.shape[1]):
            mine = vectors[units[rows]].astype(np.float32)[:, :, None]
            theirs = vectors[others[rows]].astype(np.float32)  # of shape (q, w, d)
            scores[rows] = (theirs @ mine)[:, :, 0]
        return np.where(others >= 0, _cosines(scores, vectors.shape[1]), -2.0)

    def diversified(self, text: str, units: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """Order units by maximal marginal relevance: the places of each row's units, (q, w)."""
        vectors = self.vectors("scenes", text)
        relevance = np.rint(scores * length(vectors.shape[1]) ** 2).astype(np.int64)
        relevance = np.where(units >= 0, relevance, -NEVER)
        order = np.zeros(units.shape, np.int64)
        for rows in _slices(units, vectors.shape[1]):
            order[rows] = _marginal(relevance[rows], vectors[units[rows]].astype(np.float32))
        return order


NEVER = np.int64(1) << 40
"""More than any product of two vectors."""


def _slices(table: np.ndarray, dimensions: int) -> Iterator[slice]:
    """Cut the rows of a table of units into as many as are compared at once."""
    rows = max(1, NUMBERS_AT_ONCE // max(1, table.shape[1] * dimensions))
    return (slice(start, start + rows) for start in range(0, len(table), rows))


def _marginal(relevance: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Order candidates by relevance less their likeness to those before them.

    Args:
        relevance: Of shape (q, w).
        candidates: Their vectors, of shape (q, w, d).
    """
    between = (candidates @ candidates.transpose(0, 2, 1)).astype(np.int64)
    rows, width = np.arange(len(relevance)), relevance.shape[1]
    closest = np.full(relevance.shape, -NEVER)
    order = np.zeros(relevance.shape, np.int64)
    left = np.ones(relevance.shape, np.bool_)
    for step in range(width):
        gain = relevance - (closest if step else 0)
        best = np.where(left, gain, -4 * NEVER).argmax(axis=1)
        order[:, step] = best
        left[rows, best] = False
        closest = np.maximum(closest, between[rows, best])
    return order


def _apart(
    places: np.ndarray, scores: np.ndarray, groups: np.ndarray, units: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Leave out of each unit's neighbours those of its own group, and close the gaps."""
    other = (places >= 0) & (groups[places] != groups[units][:, None])
    order = np.argsort(~other, axis=1, kind="stable")
    kept = np.take_along_axis(other, order, 1)
    places, scores = (np.take_along_axis(table, order, 1) for table in (places, scores))
    return np.where(kept, places, -1), np.where(kept, scores, 0)


def _cosines(scores: np.ndarray, dimensions: int) -> np.ndarray:
    """Bring products of vectors to cosines; rounding may take equal ones a little beyond 1."""
    found: np.ndarray = np.clip(scores / length(dimensions) ** 2, -1, 1)
    return found


def texts_wanted(specs: Iterable[LinkSpec]) -> set[str]:
    """Say whose texts strategies compare: those of `scenes`, those of `pictures`."""
    wanted = set()
    for spec in specs:
        if not {"similar-text", "diverse"}.isdisjoint(spec.strategies):
            wanted.add("scenes")
        if "mixed" in spec.strategies or ("similar-image" in spec.strategies and not spec.image):
            wanted.add("pictures")
    return wanted
