"""COCO, two photographs at a time: what they have in common, and how they differ.

Each photograph is shown beside the one whose captions and labels are most like its own; which
that is stays in a file (`mimicit/generators/_pairs.py`). Pairs may also come ready made, with the
text of both photographs, in the file `csd_query.json` of MIMIC-IT.

A photograph may be in several pairs. All pairs that hang together by their photographs are one
group, which a split keeps whole, so that no photograph is in two splits. They stay small: of the
5,000 photographs of val2017 the largest group has 74.
"""

from collections.abc import Callable, Iterator
from dataclasses import field, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import msgspec

from mimicit.annotations import Annotation, Box, Caption
from mimicit.errors import SourceError, UsageError
from mimicit.generators import generator
from mimicit.generators._coco_files import find_official
from mimicit.generators._pairs import Pair, frozen_pairs
from mimicit.generators._queries import Queries
from mimicit.generators.coco import Coco
from mimicit.media_files import licence_of
from mimicit.progress import Counted
from mimicit.records import reject
from mimicit.schema import ImageRef, Rejection, Scene

T = TypeVar("T")

NAME = "coco_differences"


class _Photograph(msgspec.Struct, array_like=True, gc=False):
    """A scene of COCO, as little of it as is needed; `sure` says that its labels are complete."""

    root: str
    name: str
    size: tuple[int, int] | None
    licence: str
    captions: list[str]
    boxes: list[Box]
    sure: bool

    @property
    def text(self) -> str:
        """What is said of it, to find another that is like it."""
        return " ".join([*self.captions, *(box.label for box in self.boxes)])

    def annotations(self, image: int) -> tuple[Annotation, ...]:
        """Give what is known of it as the picture at a place of a scene."""
        captions = (Caption(text, image) for text in self.captions)
        return (*captions, *(replace(box, image=image) for box in self.boxes))


class _Album(NamedTuple):
    """All photographs by id, packed, as there may be a hundred thousand."""

    packed: dict[str, bytes]
    vocabulary: tuple[str, ...]
    refused: list[Rejection]

    def get(self, photo: str) -> _Photograph:
        """Unpack one."""
        return _DECODER.decode(self.packed[photo])


_DECODER = msgspec.msgpack.Decoder(_Photograph)


@generator(
    prefix="CGD",
    link="same-group,similar-text",
    origin=(
        "COCO's captions and instances are annotations_trainval2017.zip, its photographs "
        "train2017.zip and val2017.zip, from https://cocodataset.org/#download; unpack them "
        "side by side, so that there are DIR/annotations/*.json and DIR/val2017/*.jpg. "
        "Which photographs make a pair is written to DIR/pairs_SPLIT.jsonl."
    ),
)
class CocoDifferences:
    """Pairs of COCO photographs that are alike: what they share and how they differ.

    Official files: https://cocodataset.org/#download. Any dataset in the same layout will do.
    """

    root: Path | None = field(default=None, metadata={"help": "Directory in the official layout."})
    split: str = field(default="", metadata={"help": "Which split of it, such as val2017."})
    captions: Path | None = field(default=None, metadata={"help": "A captions file."})
    instances: Path | None = field(default=None, metadata={"help": "An instances file."})
    images: Path | None = field(default=None, metadata={"help": "Directory of the photographs."})
    pairs: Path | None = field(
        default=None,
        metadata={
            "help": "File of the pairs; those of new photographs are added to it. It is "
            "ROOT/pairs_SPLIT.jsonl where none is named."
        },
    )
    queries: Path | None = field(
        default=None,
        metadata={"help": "Pairs with their text, as MIMIC-IT's csd_query.json, in place of COCO."},
    )
    licence: str = field(
        default="",
        metadata={"help": "SPDX id or words of the licence of photographs that state none."},
    )

    def scenes(self) -> Iterator[Scene | Rejection]:
        """Yield one scene a pair, by ascending id, and what was left out."""
        folder = self.images or self.root
        if folder is None:
            raise UsageError(f"{NAME}: say where the photographs are: -o images=DIR or --root DIR")
        if not folder.is_dir():
            raise SourceError(f"no directory {str(folder)!r}")
        licence = licence_of(folder, self.licence)
        if self.queries:
            names = [""] if self.images else [self.split, f"images/{self.split}"]
            return Queries(NAME, self.queries, folder, names, licence).scenes()
        path = self._pairs_file()
        album = self._album(licence)
        pairs, refused = frozen_pairs(path, album.packed, lambda photo: album.get(photo).text, NAME)
        return Counted(_walk(pairs, [*album.refused, *refused], album), len(pairs))

    def _pairs_file(self) -> Path:
        if self.pairs:
            return self.pairs
        if self.root is None:
            raise UsageError(f"{NAME}: say where the pairs are to be kept: -o pairs=FILE")
        split = self.split
        if not (self.captions or self.instances):
            split = _named(lambda: find_official(self.root or Path(), self.split)[1])
        return self.root / (f"pairs_{split}.jsonl" if split else "pairs.jsonl")

    def _album(self, licence: str) -> _Album:
        """Read all photographs, and what COCO's own source turns away."""
        coco = cast("Any", Coco)(
            root=self.root,
            split=self.split,
            captions=self.captions,
            instances=self.instances,
            images=self.images,
        )
        album = _Album({}, (), [])
        encode = msgspec.msgpack.Encoder().encode
        for item in _named(coco.scenes):
            if isinstance(item, Rejection):
                album.refused.append(item.model_copy(update={"source": NAME}))
                continue
            album = album._replace(vocabulary=album.vocabulary or item.vocabulary)
            album.packed[item.id] = encode(_photograph(item, licence))
        return album


def _named(call: Callable[[], T]) -> T:
    """Call what belongs to COCO's own source; a user's mistake is told in the name of this one.

    Raises:
        UsageError: the same, of this source.
    """
    try:
        return call()
    except UsageError as error:
        raise UsageError(str(error).replace("coco:", f"{NAME}:", 1)) from error


def _photograph(scene: Scene, licence: str) -> _Photograph:
    (ref,) = scene.images
    return _Photograph(
        root=ref.root,
        name=ref.name,
        size=ref.size,
        licence=ref.licence or licence,
        captions=[a.text for a in scene.annotations if isinstance(a, Caption)],
        boxes=[a for a in scene.annotations if isinstance(a, Box)],
        sure=bool(scene.vocabulary),
    )


def _walk(
    pairs: list[Pair], refused: list[Rejection], album: _Album
) -> Iterator[Scene | Rejection]:
    yield from refused
    for pair in sorted(pairs, key=lambda pair: pair.scene_id):
        gone = [photo for photo in pair[:2] if photo not in album.packed]
        if gone:
            detail = f"no photograph {' and '.join(map(repr, gone))} is listed"
            yield reject(NAME, "unknown-image", f"pair {pair.scene_id}", detail, pair.scene_id)
        else:
            yield _scene(pair, album)


def _scene(pair: Pair, album: _Album) -> Scene:
    both = [(photo, album.get(photo)) for photo in pair[:2]]
    known = [a for place, (_, one) in enumerate(both) for a in one.annotations(place)]
    return Scene(
        source=NAME,
        id=pair.scene_id,
        prefix="CGD",
        images=tuple(
            ImageRef(f"CGD_IMG_{photo}", one.root, one.name, one.size, one.licence)
            for photo, one in both
        ),
        annotations=tuple(known),
        groups=(pair.group,),
        vocabulary=album.vocabulary if all(one.sure for _, one in both) else (),
    )
