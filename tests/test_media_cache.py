"""What the media pass found out is kept between builds, and never believed against the file."""

import os
import sqlite3
import stat
from pathlib import Path

import pytest
from conftest import Builder, Coco, contents

from mimicit.annotations import Caption
from mimicit.decoding import Decoders
from mimicit.errors import SourceError
from mimicit.media import Media
from mimicit.media_cache import CACHE_VERSION, MediaCache
from mimicit.schema import ImageRef, Scene
from mimicit.stored import StoreForm

OLD = 1_700_000_000


@pytest.fixture
def photo(coco: Coco) -> Path:
    """A picture that nobody has changed for a while."""
    coco.picture(1).caption(1, "A gradient.").write()
    path = coco.root / "tiny" / "1.jpg"
    os.utime(path, (OLD, OLD))
    return path


def scene(path: Path) -> Scene:
    ref = ImageRef("LA_IMG_1", str(path.parent), path.name)
    return Scene("toy", "1", "LA", (ref,), (Caption("A."),), ("1",))


def judge(path: Path, cache: Path) -> tuple[Media, bool]:
    """Judge a picture; tell also whether a child had to be started for it."""
    with Decoders() as decoders, MediaCache(cache) as kept:
        media = Media(decoders, kept, StoreForm(), ())
        media.judge([scene(path)])
        return media, any(decoder._child for decoder in decoders._all)


def test_a_picture_is_judged_once_as_long_as_it_does_not_change(
    photo: Path, tmp_path: Path
) -> None:
    first, looked = judge(photo, tmp_path / "media")
    again, looked_again = judge(photo, tmp_path / "media")
    assert (looked, looked_again) == (True, False)
    assert again.infos == first.infos
    os.utime(photo, (OLD + 1, OLD + 1))
    assert judge(photo, tmp_path / "media")[1], "another time of change"
    photo.write_bytes(photo.read_bytes() + b"\0")
    os.utime(photo, (OLD + 1, OLD + 1))
    assert judge(photo, tmp_path / "media")[1], "another size"


def test_a_bad_picture_is_remembered_as_well(photo: Path, tmp_path: Path) -> None:
    photo.write_bytes(b"<html>")
    os.utime(photo, (OLD, OLD))
    first, _ = judge(photo, tmp_path / "media")
    again, looked = judge(photo, tmp_path / "media")
    assert not looked
    assert again.infos["LA_IMG_1"].problem == first.infos["LA_IMG_1"].problem == "not-an-image"


def test_a_picture_changed_a_moment_ago_is_not_remembered(photo: Path, tmp_path: Path) -> None:
    os.utime(photo)
    judge(photo, tmp_path / "media")
    assert judge(photo, tmp_path / "media")[1], "it may change again at the same time and size"


def test_a_change_that_hides_is_found_when_the_picture_is_read_and_then_forgotten(
    photo: Path, tmp_path: Path, build_coco: Builder, coco: Coco
) -> None:
    cache = tmp_path / "media"
    judge(photo, cache)
    data = bytearray(photo.read_bytes())
    data[-2:] = b"\xff\xd8"
    photo.write_bytes(data)
    os.utime(photo, (OLD, OLD))
    with Decoders() as decoders, MediaCache(cache) as kept:
        media = Media(decoders, kept, StoreForm(), ())
        media.judge([scene(photo)])
        ref = scene(photo).images[0]
        with pytest.raises(SourceError, match="changed"):
            media.row(ref)()
    assert judge(photo, cache)[1], "a second run looks at it again"


def damage(cache: Path) -> None:
    (cache / f"verdicts-{CACHE_VERSION}.db").write_bytes(b"SQLite format 3\0" + b"\7" * 5000)


def be_a_file(cache: Path) -> None:
    cache.write_text("no directory")


def be_read_only(cache: Path) -> None:
    cache.chmod(stat.S_IRUSR | stat.S_IXUSR)


def hold(cache: Path) -> None:
    holder = sqlite3.connect(cache / f"verdicts-{CACHE_VERSION}.db", isolation_level=None)
    holder.execute("CREATE TABLE other (x)")


@pytest.mark.parametrize("harm", [damage, be_a_file, be_read_only, hold])
def test_a_cache_that_cannot_be_used_is_done_without(
    photo: Path, tmp_path: Path, harm: object
) -> None:
    cache = tmp_path / "media"
    expected, _ = judge(photo, tmp_path / "other")
    if harm is not be_a_file:
        cache.mkdir()
    assert callable(harm)
    harm(cache)
    media, _ = judge(photo, cache)
    assert media.infos == expected.infos
    cache.chmod(stat.S_IRWXU)


def test_a_build_from_the_cache_is_the_same_bytes(
    pets: Coco, build_coco: Builder, tmp_path: Path
) -> None:
    for path in (pets.root / "tiny").iterdir():
        os.utime(path, (OLD, OLD))
    build_coco(pets.root, "first")
    build_coco(pets.root, "second")
    assert contents(tmp_path / "first") == contents(tmp_path / "second")


def test_nothing_is_made_where_there_is_nothing_to_keep(photo: Path, tmp_path: Path) -> None:
    photo.unlink()
    judge(photo, tmp_path / "media")
    assert not (tmp_path / "media").exists()
