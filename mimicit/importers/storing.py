"""The pictures of a release as rows of the images table: decoded, judged, byte for byte."""

import itertools
from collections.abc import Iterator

import numpy as np

from mimicit.card import Tally
from mimicit.decoding import Decoder, Decoders
from mimicit.errors import SourceError
from mimicit.images import UnusablePicture
from mimicit.importers.gathering import Reject
from mimicit.importers.spelling import Spelling
from mimicit.names import published_path
from mimicit.progress import Counted, Track
from mimicit.published.pictures import Pictures
from mimicit.published.stores import Store, Stored, decoded
from mimicit.schema import ImageBytes, ImageInfo, ImageRow, SourceRef
from mimicit.writer import TableWriter

ENDINGS = {"JPEG": "jpg", "TIFF": "tif", "JPEG2000": "jp2"}
"""How the names of files end, where not as their format is called."""


def store_pictures(  # noqa: PLR0913  # what is read, and where all that comes of it goes
    pictures: Pictures,
    wanted: np.ndarray,
    table: TableWriter,
    reject: Reject,
    tally: Tally,
    licence: str,
    track: Track,
) -> tuple[np.ndarray, np.ndarray]:
    """Write the pictures that are wanted; tell which of all were good, and their hashes.

    Args:
        pictures: All pictures.
        wanted: Which of them are written.
        table: Where they are written.
        reject: Takes those that do not decode.
        tally: What is counted for the card.
        licence: Their licence.
        track: Shows progress.

    Returns:
        Of every picture whether it was written, and the perceptual hash of what was: 64 bits each.

    Raises:
        SourceError: a store is damaged, or changed since its ids were read.
    """
    good, hashes = np.zeros(len(wanted), bool), np.zeros(len(wanted), np.uint64)
    digests: set[bytes] = set()
    spell = Spelling("IMG", pictures.ids)
    with Decoders() as decoders:
        every = Counted(_examined(pictures, wanted, decoders), int(wanted.sum()))
        for number, store, picture, data, info in track(every, "pictures", "pictures"):
            if info.problem:
                reject("media", info.problem, picture.id, f"{store.name}: {info.detail}")
            else:
                good[number], hashes[number] = True, int(info.phash, 16)
                table.write(_row(spell(picture.id), store, data, info, licence))
                tally.licences[licence] += 1
                digest = bytes.fromhex(info.sha256)
                tally.equal_pictures += digest in digests
                digests.add(digest)
    return good, hashes


def _examined(
    pictures: Pictures, wanted: np.ndarray, decoders: Decoders
) -> Iterator[tuple[int, Store, Stored, bytes, ImageInfo]]:
    bounds = itertools.pairwise(pictures.starts)
    for store, (start, end) in zip(pictures.stores, bounds, strict=True):
        some = store.pictures(wanted[start:end])
        for picture, data, info in decoders.each(some, _examine):
            number = start + picture.place
            if pictures.name(number) != picture.id:
                raise SourceError(f"{store.name!r} changed while it was read")
            yield number, store, picture, data, info


def _examine(decoder: Decoder, picture: Stored) -> tuple[Stored, bytes, ImageInfo]:
    """Decode what a store has of a picture, and judge it, in a child process."""
    try:
        data = decoded(picture.text)
    except UnusablePicture as error:
        info = ImageInfo(picture.id, problem=error.reason, detail=error.detail)
        return picture._replace(text=None), b"", info
    return picture._replace(text=None), data, decoder.examine(picture.id, data)


def _row(name: str, store: Store, data: bytes, info: ImageInfo, licence: str) -> ImageRow:
    ending = ENDINGS.get(info.format, info.format.lower())
    origin = SourceRef(path=published_path(store.name), sha256=info.sha256)
    return ImageRow(
        image_id=name,
        image=ImageBytes(bytes=data, path=f"{name}.{ending}"),
        sha256=info.sha256,
        phash=info.phash,
        width=info.width,
        height=info.height,
        format=info.format,
        source_ref=origin,
        licence=licence,
        descriptor=info.descriptor,
    )
