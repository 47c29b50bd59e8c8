"""The media pass: every picture that scenes name is judged before anything is asked about it."""

import base64
import contextlib
import dataclasses
import functools
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

from mimicit.boxes import fit_boxes
from mimicit.decoding import Decoder, Decoders
from mimicit.errors import SourceError
from mimicit.footage import Footage
from mimicit.images import UnusablePicture, read_unchanged, resolve
from mimicit.licences import allowed
from mimicit.media_cache import MACHINE, MediaCache
from mimicit.names import published_path
from mimicit.pixels import JPEG_QUALITY
from mimicit.progress import Track, silent
from mimicit.schema import (
    ImageBytes,
    ImageInfo,
    ImagePart,
    ImageRef,
    ImageRow,
    Rejection,
    Scene,
    SourceRef,
)
from mimicit.splits import Splits, lookalikes
from mimicit.stored import SALVAGED_QUALITY, StoreForm


class Media:
    """The verdicts on all pictures, and which file each image id stands for.

    Args:
        decoders: Children that open what strangers made.
        cache: What earlier builds found out.
        form: How pictures are stored.
        skip: What frames of videos are left out: `dark`, `duplicate`.
        splits: Which split a scene belongs to.
        allow: Licences that pictures may have (`mimicit.licences`); empty for any.

    Attributes:
        infos: Verdicts by image id.
        places: Which picture of which file an image id was first used for.
        scenes: How many scenes were read.
        rejections: How many records the sources left out.
    """

    def __init__(  # noqa: PLR0913  # all that decides what is used
        self,
        decoders: Decoders,
        cache: MediaCache,
        form: StoreForm,
        skip: Collection[str],
        splits: Splits | None = None,
        allow: Sequence[str] = (),
    ) -> None:
        self.infos: dict[str, ImageInfo] = {}
        self.places: dict[str, tuple[object, ...]] = {}
        self.scenes = 0
        self.rejections = 0
        self._decoders = decoders
        self._cache = cache
        self._form = form
        self._footage = Footage(cache, skip)
        self._splits = splits or Splits({})
        self._allow = allow
        self._held_out: dict[str, str] = {}
        self._options = f"picture, pillow {version('pillow')}, salvage {form.salvage}"

    def judge(self, items: Iterable[Scene | Rejection], track: Track = silent) -> None:
        """Judge every picture of some scenes, and cut every video, each once, on all cores."""
        for info in self._decoders.each(self._unknown(items), self._examine):
            self.infos[info.id] = info
        self._footage.cut(self._decoders, track)

    def _unknown(self, items: Iterable[Scene | Rejection]) -> Iterator[ImageRef]:
        """Walk the scenes, and give those of their pictures that have to be looked at."""
        for item in items:
            self.rejections += isinstance(item, Rejection)
            if not isinstance(item, Scene):
                continue
            self.scenes += 1
            for clip in item.clips:
                self._footage.add(clip)
            for ref in item.images:
                if ref.id not in self.places:
                    self.places[ref.id] = _place(ref)
                    if not self._known(ref):
                        yield ref

    def _known(self, ref: ImageRef) -> bool:
        """Look for what is known of a picture, or cannot be known."""
        try:
            found = self._cache.get(resolve(ref), self._options)
        except UnusablePicture as error:
            self.infos[ref.id] = ImageInfo(ref.id, problem=error.reason, detail=error.detail)
            return True
        if found is not None:
            self.infos[ref.id] = ImageInfo.from_json({**found, "id": ref.id})
        return found is not None

    def _examine(self, child: Decoder, ref: ImageRef) -> ImageInfo:
        try:
            path = resolve(ref)
        except UnusablePicture as error:  # it has gone since
            return ImageInfo(ref.id, problem=error.reason, detail=error.detail)
        stamp = self._cache.stamp(path)
        info = child.examine(ref.id, ref, salvage=self._form.salvage)
        if info.problem not in MACHINE:
            self._cache.put(path, self._options, stamp, info.to_json())
        return info

    def hold_out(self, items: Iterable[Scene | Rejection]) -> None:
        """Find the pictures that look like one of the validation or the test split.

        They are kept out of the train split, also where they are that very picture.
        """
        held: dict[str, int] = {}
        train: dict[str, int] = {}
        for item in items:
            scene = self._with_frames(item)[0] if isinstance(item, Scene) else None
            if scene is None or any(self.problems(scene)):
                continue
            split = self._splits.of(scene.source, scene.groups[0])
            hashes = {ref.id: int(self.infos[ref.id].phash, 16) for ref in scene.images}
            (train if split == "train" else held).update(hashes)
        found = lookalikes(list(train.values()), list(held.values())).tolist()
        names = list(held)
        pairs = zip(train, found, strict=True)
        self._held_out = {name: names[place] for name, place in pairs if place >= 0}

    def judged(
        self, items: Iterable[Scene | Rejection]
    ) -> Iterator[tuple[Scene | None, list[Rejection]]]:
        """Give each scene that can be used, fitted to its pictures, and what is turned away.

        Every pass over the scenes goes through here, so that none pays for, or publishes, a scene
        that another one leaves out.

        Raises:
            SourceError: a scene was not there in the media pass.
        """
        seen: set[str] = set()
        for item in items:
            if isinstance(item, Rejection):
                yield None, [item]
                continue
            name = f"{item.prefix}_{item.id}"
            if name in seen:
                detail = "another scene has the same id"
                yield None, [item.reject("annotations", "duplicate-scene", name, detail)]
                continue
            seen.add(name)
            scene, told = self._with_frames(item)
            problems = [] if scene is None else [*self.problems(scene), *self._leaks(scene)]
            if scene is None or problems:
                yield None, [*told, *problems]
            else:
                fitted, dropped = fit_boxes(scene, [self.infos[ref.id] for ref in scene.images])
                split = self._splits.of(scene.source, scene.groups[0])
                if split != fitted.split:
                    fitted = dataclasses.replace(fitted, split=split)
                yield fitted, [*told, *dropped]

    def _with_frames(self, scene: Scene) -> tuple[Scene | None, list[Rejection]]:
        """Put the frames of a scene's clips among its pictures; None where they are too few.

        Raises:
            SourceError: the scene was not there in the media pass.
        """
        if not scene.clips:
            return scene, []
        told: list[Rejection] = []
        refs = list(scene.images)
        for clip in scene.clips:
            try:
                pictures, more = self._footage.pictures(scene, clip)
            except KeyError:
                raise _changed_meanwhile(scene) from None
            told += more
            if not pictures:
                return None, told
            for ref, info in pictures:
                self.infos.setdefault(ref.id, info)
                self.places.setdefault(ref.id, _place(ref))
                refs.append(ref)
        return dataclasses.replace(scene, images=tuple(refs), clips=()), told

    def problems(self, scene: Scene) -> Iterator[Rejection]:
        """Say which of a scene's pictures cannot be used, and why.

        Raises:
            SourceError: the scene was not there in the media pass.
        """
        for ref in scene.images:
            if ref.id not in self.infos:
                raise _changed_meanwhile(scene)
            place, info = self.places[ref.id], self.infos[ref.id]
            if place != _place(ref):
                detail = f"{ref.path!r} and {place[1]!r} have the same image id"
                yield scene.reject("media", "image-id-conflict", ref.id, detail)
            elif info.problem:
                yield scene.reject("media", info.problem, ref.id, info.detail)
            elif not allowed(ref.licence, self._allow):
                detail = f"licence {ref.licence or 'unknown'!r}"
                yield scene.reject("media", "licence-not-allowed", ref.id, detail)

    def _leaks(self, scene: Scene) -> Iterator[Rejection]:
        """Say which pictures of a scene to be trained on are like one that is held out."""
        if self._held_out and self._splits.of(scene.source, scene.groups[0]) == "train":
            for ref in scene.images:
                if ref.id in self._held_out:
                    detail = f"looks like {self._held_out[ref.id]!r} of validation or test"
                    yield scene.reject("split", "near-held-out", ref.id, detail)

    def row(self, ref: ImageRef) -> Callable[[], ImageRow]:
        """Read a picture for the image store; what is called for it gives its row.

        The bytes are those that were judged, and no others. What has to be changed about them is
        done by a child meanwhile.
        """
        info = self.infos[ref.id]
        if self._is_stored_as_it_is(info):
            return lambda: _row(ref, info, info, self._read(ref, info.sha256), [])
        return self._decoders.submit(lambda child: self._changed(child, ref, info)).result

    def _is_stored_as_it_is(self, info: ImageInfo) -> bool:
        large = 0 < self._form.max_side < max(info.width, info.height)
        return not (large or self._form.strip_metadata or info.salvaged)

    def _changed(self, child: Decoder, ref: ImageRef, info: ImageInfo) -> ImageRow:
        data = self._read(ref, info.sha256)
        try:
            made, now, changes = child.store(data, self._form)
        except UnusablePicture as error:
            raise SourceError(f"{ref.path!r} could be read, and now not: {error}") from error
        return _row(ref, info, now, made, changes)

    def size(self, part: ImagePart) -> tuple[int, int]:
        """Give width and height of a picture in pixels, upright, before it is fitted."""
        info = self.infos[part.ref.id]
        return info.width, info.height

    def data_url(self, part: ImagePart) -> bytes:
        """Read, fit and encode a picture for the wire: here, and nowhere before.

        Raises:
            SourceError: the file is not the one that was judged.
        """
        data, kind = self._read(part.ref, part.sha256 or part.content), part.media_type
        if not kind:
            fit = functools.partial(
                Decoder.fit, data=data, max_side=part.max_side, salvage=self._form.salvage
            )
            try:
                data, kind = self._decoders.run(fit)
            except UnusablePicture as error:
                raise SourceError(
                    f"{part.ref.path!r} could be read, and now not: {error.detail}"
                ) from error
        return b"data:%b;base64,%b" % (kind.encode(), base64.b64encode(data))

    def _read(self, ref: ImageRef, sha256: str) -> bytes:
        try:
            return read_unchanged(ref, sha256)
        except SourceError:
            with contextlib.suppress(UnusablePicture):  # or it would be believed once more
                self._cache.forget(resolve(ref))
            raise


def _row(
    ref: ImageRef, judged: ImageInfo, made: ImageInfo, data: bytes, changes: Sequence[str]
) -> ImageRow:
    """Make the published row of a picture.

    Args:
        ref: The picture.
        judged: The verdict on what it was made of.
        made: The verdict on what is stored.
        data: What is stored.
        changes: What was done to it.
    """
    origin = ref.origin or SourceRef(path=ref.path, sha256=judged.sha256)
    update: dict[str, object] = {"notes": [*origin.notes, *changes]} if changes else {}
    if made.format == "JPEG" and "re-encoded" in changes:
        update["jpeg_quality"] = JPEG_QUALITY if "resized" in changes else SALVAGED_QUALITY
    return ImageRow(
        image_id=ref.id,
        image=ImageBytes(bytes=data, path=_file_name(ref, judged.format, made.format)),
        sha256=made.sha256,
        phash=made.phash,
        width=made.width,
        height=made.height,
        format=made.format,
        source_ref=origin.model_copy(update=update) if update else origin,
        licence=ref.licence,
        descriptor=made.descriptor,
    )


def _file_name(ref: ImageRef, before: str, now: str) -> str:
    name = f"{ref.id}.jpg" if ref.origin else published_path(ref.name).rpartition("/")[2]
    if now != before:
        name = f"{Path(name).stem}.{'jpg' if now == 'JPEG' else 'png'}"
    return name if name.strip(".") else ref.id


def _changed_meanwhile(scene: Scene) -> SourceError:
    return SourceError(f"the files of {scene.source!r} changed while they were read")


def _place(ref: ImageRef) -> tuple[object, ...]:
    return ref.root, ref.name, ref.path
