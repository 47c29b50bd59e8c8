"""Finding media by the stem of their names, in the folders that a source names."""

from pathlib import Path

import pytest

from mimicit.errors import SourceError
from mimicit.images import UnusablePicture, resolve
from mimicit.media_files import MediaFiles
from mimicit.schema import ImageRef


def put(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


def opened(files: MediaFiles, stem: str) -> list[Path]:
    """The file as both ways of asking find it, opened as a picture is."""
    places = (files.place(stem), (files.root, files.find(stem)))
    return [resolve(ImageRef("X_IMG_1", *place)) for place in places]


def test_of_several_files_of_one_stem_the_first_folder_counts_then_the_extension(
    tmp_path: Path,
) -> None:
    for name in ("b/1.png", "a/1.gif", "a/1.jpg", "a/2.jpg", "3.png"):
        put(tmp_path / name)
    files = MediaFiles(tmp_path, ["a", "b", "none", ""], ("jpg", "png"))
    assert [files.find(stem) for stem in "1234"] == ["a/1.jpg", "a/2.jpg", "3.png", "a/4.jpg"]
    assert ["4" in files, "3" in files] == [False, True]
    assert {files.root, *(files.place(stem)[0] for stem in "1234")} == {str(tmp_path)}
    with pytest.raises(SourceError, match="no directory"):
        MediaFiles(tmp_path / "gone", [""], ("jpg",))


def test_a_folder_linked_from_elsewhere_is_trusted(tmp_path: Path) -> None:
    far = put(tmp_path / "far" / "1.png")
    root = tmp_path / "root"
    root.mkdir()
    (root / "images").symlink_to(tmp_path / "far")
    files = MediaFiles(root, ["images", ""], ("png",))
    assert opened(files, "1") == [far, far]
    assert files.place("2") == (str(tmp_path / "far"), "2.png")


def test_a_linked_folder_beside_another_is_trusted_where_it_is_asked_for_by_place(
    tmp_path: Path,
) -> None:
    far, near = put(tmp_path / "far" / "1.png"), put(tmp_path / "root" / "2.png")
    (tmp_path / "root" / "images").symlink_to(tmp_path / "far")
    files = MediaFiles(tmp_path / "root", ["images", ""], ("png",))
    assert resolve(ImageRef("X_IMG_1", *files.place("1"))) == far
    assert opened(files, "2") == [near, near]


def test_a_single_file_that_is_linked_from_elsewhere_is_refused(tmp_path: Path) -> None:
    secret = put(tmp_path / "secret.png")
    put(tmp_path / "root" / "images" / "1.png")
    (tmp_path / "root" / "images" / "2.png").symlink_to(secret)
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "images").symlink_to(tmp_path / "root" / "images")
    for root in ("root", "linked"):
        files = MediaFiles(tmp_path / root, ["images"], ("png",))
        with pytest.raises(UnusablePicture, match="leads out"):
            opened(files, "2")


def test_a_folder_that_leads_out_by_its_name_is_not_trusted(tmp_path: Path) -> None:
    put(tmp_path / "1.png")
    (tmp_path / "root" / "images").mkdir(parents=True)
    files = MediaFiles(tmp_path / "root", ["images/../.."], ("png",))
    with pytest.raises(UnusablePicture, match="does not stay"):
        opened(files, "1")
