"""The contract of every source that there is: docs/add_a_source.md says how it comes to run."""

import contextlib
import dataclasses
import functools
import inspect
import itertools
import json
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from mimicit import prompts
from mimicit.annotations import (
    Annotation,
    Box,
    Difference,
    Narration,
    Note,
    Segment,
    Story,
    Utterance,
)
from mimicit.checks import check
from mimicit.config import BuildConfig, Endpoint, SourceConfig
from mimicit.context_linker import LinkSpec
from mimicit.errors import SourceError
from mimicit.generators import available, find, open_source
from mimicit.moments import Clip
from mimicit.pipeline import build
from mimicit.prompts import Prompt
from mimicit.schema import Exchange, ImageRef, Rejection, Scene
from mimicit.shipped import shipped
from mimicit.testing import FakeTeacher
from mimicit.validate import find_problems

ROOT = Path(__file__).parents[1]
SOURCES = available()


def sample_of(name: str) -> Path:
    return shipped(find(name).__module__, "samples", name)


def scenes_of(name: str, root: Path | None = None) -> list[Scene | Rejection]:
    """Read a source's sample, or files in its place."""
    options = {"root": str(root)} if root else {}
    return list(open_source(name, options, sample=root is None).scenes())


def sample_scenes(name: str) -> list[Scene]:
    items = scenes_of(name)
    assert not [item for item in items if isinstance(item, Rejection)], "a sample is without fault"
    return [item for item in items if isinstance(item, Scene)]


@pytest.mark.parametrize("name", SOURCES)
def test_it_says_what_it_is(name: str) -> None:
    cls = find(name)
    assert cls.name == name
    assert re.fullmatch(r"[A-Z0-9]+", cls.prefix)
    assert "http" in cls.origin, "a stranger learns where the files come from"
    assert inspect.getdoc(cls)
    LinkSpec.parse(cls.link)
    for field in dataclasses.fields(cast("Any", cls)):
        assert field.metadata.get("help", "").endswith("."), field.name
    assert dataclasses.is_dataclass(cls)
    assert cast("Any", cls).__dataclass_params__.frozen


@pytest.mark.parametrize("name", SOURCES)
def test_its_sample_has_scenes_in_order_with_ids_of_the_right_form(name: str) -> None:
    scenes = sample_scenes(name)
    ids = [scene.id for scene in scenes]
    assert len(scenes) >= 8
    assert ids == sorted(set(ids))
    for scene in scenes:
        assert (scene.source, scene.prefix) == (name, find(name).prefix)
        assert re.fullmatch(r"[A-Za-z0-9._~-]+", scene.id)
        assert scene.groups
        assert scene.images or scene.clips
        for media in media_of(scene):
            assert re.fullmatch(rf"{scene.prefix}_IMG_[A-Za-z0-9._~-]+", media.id)
            assert media.licence, "a sample says under which licence it may be used"
        for annotation in scene.annotations:
            assert pictures_of(annotation) <= {*range(len(scene.images))}


def media_of(scene: Scene) -> list[ImageRef | Clip]:
    return [*scene.images, *scene.clips]


def pictures_of(annotation: Annotation) -> set[int]:
    """List the places of the pictures that an annotation is about."""
    if isinstance(annotation, Difference):
        return {annotation.before, annotation.after}
    if isinstance(annotation, Story):
        return set(annotation.images)
    image = getattr(annotation, "image", None)
    return set() if image is None else {image}  # None: the whole scene, or a video


@pytest.mark.parametrize("name", SOURCES)
def test_it_reads_afresh_each_time(name: str) -> None:
    assert sample_scenes(name) == sample_scenes(name)


# --------------------------------------------------------- files as they come


def annotation_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.json*") if path.suffix in {".json", ".jsonl"})


def rewrite(path: Path, change: Callable[[list[Any]], list[Any]]) -> None:
    """Change a file's records: its lines, its list, its table, or the lists in its table."""
    if path.suffix == ".jsonl":
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        path.write_text("".join(json.dumps(line) + "\n" for line in change(lines)))
        return
    content = json.loads(path.read_text())
    if isinstance(content, list):
        content = change(content)
    elif any(isinstance(value, list) for value in content.values()):
        lists = {key: value for key, value in content.items() if isinstance(value, list)}
        content |= {key: change(value) for key, value in lists.items()}
    elif isinstance(content.get("videos"), dict):
        content["videos"] = dict(change([*content["videos"].items()]))
    else:
        content = dict(change([*content.items()]))
    path.write_text(json.dumps(content))


@pytest.fixture
def files(name: str, tmp_path: Path) -> Path:
    """A copy of a source's sample, to be spoilt."""
    return shutil.copytree(sample_of(name), tmp_path / "files")


def ids_of(items: Iterable[Scene | Rejection]) -> list[tuple[str, tuple[Annotation, ...]]]:
    return [(item.id, item.annotations) for item in items if isinstance(item, Scene)]


@pytest.mark.parametrize("name", SOURCES)
def test_the_order_of_records_changes_nothing(name: str, files: Path) -> None:
    before = ids_of(scenes_of(name, files))
    for path in annotation_files(files):
        rewrite(path, lambda records: records[::-1])
    assert ids_of(scenes_of(name, files)) == before


@pytest.mark.parametrize("name", SOURCES)
def test_which_of_two_records_with_one_id_stays_is_not_up_to_their_order(
    name: str, files: Path
) -> None:
    for path in annotation_files(files):
        rewrite(path, clashing)
    before = scenes_of(name, files)
    for path in annotation_files(files):
        rewrite(path, lambda records: records[::-1])
    after = scenes_of(name, files)
    scenes = [[item for item in items if isinstance(item, Scene)] for items in (before, after)]
    assert scenes[0] == scenes[1]


def clashing(records: list[Any]) -> list[Any]:
    """Add to each record one that has a key from it, be it the id, and all else from the next."""
    objects = [record for record in records if isinstance(record, dict)]
    pairs = list(itertools.pairwise(objects))
    keys = {
        key for record in objects for key, value in record.items() if not isinstance(value, list)
    }
    return records + [
        {**other, key: one[key]} for key in sorted(keys) for one, other in pairs if key in one
    ]


@pytest.mark.parametrize("name", SOURCES)
def test_what_happens_is_told_in_the_order_of_time_however_it_is_listed(
    name: str, files: Path
) -> None:
    for path in annotation_files(files):
        rewrite(path, lambda records: [turned(record) for record in records])
    for scene in (item for item in scenes_of(name, files) if isinstance(item, Scene)):
        starts = [a.start for a in scene.annotations if isinstance(a, Segment)]
        times = [a.time for a in scene.annotations if isinstance(a, Narration)]
        assert (starts, times) == (sorted(starts), sorted(times)), scene.id


def turned(value: Any) -> Any:
    """Turn every list of objects in a record round."""
    if isinstance(value, dict):
        return {key: turned(inside) for key, inside in value.items()}
    if isinstance(value, tuple):  # a key of a table, and what stands there
        return (value[0], turned(value[1]))
    if isinstance(value, list) and all(isinstance(inside, dict) for inside in value):
        return [turned(inside) for inside in reversed(value)]
    return value


@pytest.mark.parametrize("name", SOURCES)
def test_a_broken_record_is_turned_away_and_the_others_stay(name: str, files: Path) -> None:
    before = ids_of(scenes_of(name, files))
    for path in annotation_files(files):
        rewrite(path, spoilt)
        found = scenes_of(name, files)
        rejected = [item for item in found if isinstance(item, Rejection)]
        assert ids_of(found) == before
        assert rejected, f"{path.name}: the broken record vanished"
        for item in rejected:
            assert (item.source, item.stage) == (name, "annotations")
            assert item.record
            assert item.detail


def spoilt(records: list[Any]) -> list[Any]:
    """Add a record of another kind: a number where there should be an object."""
    return [*records, ("broken", 17) if records and isinstance(records[0], tuple) else 17]


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize(
    "content", [b"", b"{", b'[{"a": 1},', b"<html>", b"\xff\xfe\x00", b"17", b"[" * 100_000]
)
def test_a_file_that_is_no_annotation_file_is_told(name: str, files: Path, content: bytes) -> None:
    for path in annotation_files(files):
        kept = path.read_bytes()
        path.write_bytes(content)
        if path.suffix == ".json":
            with pytest.raises(SourceError, match=re.escape(path.name)):
                scenes_of(name, files)
        else:  # a file of lines: each that is broken is a record of its own
            with contextlib.suppress(SourceError):
                found = scenes_of(name, files)
                assert not content or any(isinstance(item, Rejection) for item in found)
        path.write_bytes(kept)


# ---------------------------------------------------------------- its prompt


UNSAID = {(Box, "area"), (Story, "id"), (Note, "name"), (Utterance, "object")}
"""What need not come up in a prompt: names of things, and what only the templates need."""


def asked(name: str, scene: Scene) -> str:
    """Write what a model is told of a scene, without the pictures."""
    return str(prompt_of(name).messages(scene, [])[-1].parts[0])


@functools.cache
def prompt_of(name: str) -> Prompt:
    return prompts.load(shipped(find(name).__module__, "prompts", f"{name}.yaml"))


def others(value: object, pictures: int, field: str) -> Iterator[object]:
    """Give values that say something else."""
    if field == "image" and isinstance(value, int):
        yield from ((value + 1) % pictures,) if pictures > 1 else ()
    elif field in {"before", "after"}:
        return  # a test of its own
    elif isinstance(value, bool):
        yield not value
    elif isinstance(value, float | int):
        yield value + 37
    elif isinstance(value, str):
        actors = {"wearer", "other", "unsure"}
        yield from sorted(actors - {value}) if value in actors else [f"{value} zebra"]
    elif isinstance(value, tuple):
        yield from () if value[::-1] == value else (value[::-1],)
        for place, item in enumerate(value if field != "images" else ()):
            for other in others(item, pictures, ""):
                yield (*value[:place], other, *value[place + 1 :])


@pytest.mark.parametrize("name", SOURCES)
def test_nothing_that_is_known_is_lost_on_the_way_into_its_prompt(name: str) -> None:
    for scene in sample_scenes(name):
        told = asked(name, scene)
        for place, annotation in enumerate(scene.annotations):
            for field in dataclasses.fields(annotation):
                if (type(annotation), field.name) in UNSAID:
                    continue
                value = getattr(annotation, field.name)
                for other in others(value, len(scene.images), field.name):
                    changed = dataclasses.replace(cast("Any", annotation), **{field.name: other})
                    known = (*scene.annotations[:place], changed, *scene.annotations[place + 1 :])
                    altered = dataclasses.replace(scene, annotations=known)
                    assert asked(name, altered) != told, f"{annotation}: {field.name} is not said"


def test_the_page_on_prompts_names_all_that_they_can_say() -> None:
    page = (ROOT / "docs" / "teachers.md").read_text().partition("## A prompt of your own")[2]
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", page, re.MULTILINE)
    said = {name: set(re.findall(r"`(\w+)`", row)) for name, row in rows}
    kinds = {**prompts.VARIABLES, "images": prompts.Picture}
    for name, kind in kinds.items():
        fields = {field.name for field in dataclasses.fields(kind)}
        assert fields <= said[name], f"{name}: {fields - said[name]}"
    assert "`sizes`" in page
    assert "`times`" in page


@pytest.mark.parametrize("name", SOURCES)
def test_a_difference_has_a_direction(name: str) -> None:
    for scene in sample_scenes(name):
        differences = [a for a in scene.annotations if isinstance(a, Difference)]
        for one in differences:
            turned = dataclasses.replace(one, before=one.after, after=one.before)
            known = tuple(turned if a is one else a for a in scene.annotations)
            altered = dataclasses.replace(scene, annotations=known)
            assert asked(name, altered) != asked(name, scene)


@pytest.mark.parametrize("name", SOURCES)
def test_its_worked_examples_could_be_published(name: str) -> None:
    """A model does as it is shown: what we would turn away from it, we must not teach it."""
    found = [json.loads(text)["exchanges"] for text in prompt_of(name).example_replies]
    assert len(found) >= 3
    assert len({len(exchanges) for exchanges in found}) > 1, "they differ in length"
    assert len({one.get("kind") for exchanges in found for one in exchanges}) > 1, "and in kind"
    for exchanges in found:
        made = [Exchange(one["instruction"], one["answer"], "") for one in exchanges]
        assert [reason for _, reason in check(made)] == [""] * len(made)
        for one in exchanges:
            assert not PHRASES.search(one["instruction"] + " " + one["answer"]), one


PHRASES = re.compile(
    r"further assistance|no mention|cannot (confidently )?determine|provided (frames|video|image)"
    r"|the user\b|according to|anything else i can",
    re.IGNORECASE,
)
"""What released datasets are known to have learnt from their prompts."""


# ------------------------------------------------------------------ building


@pytest.mark.parametrize("name", SOURCES)
def test_its_sample_builds_into_a_valid_dataset(name: str, tmp_path: Path) -> None:
    config = BuildConfig(sources=[SourceConfig(name=name, sample=True)])
    summary = build(config, tmp_path / "out")
    assert summary.rejected == {}
    assert summary.instructions >= summary.scenes
    assert find_problems(tmp_path / "out") == []


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("vision", [True, False])
def test_its_sample_is_asked_about_with_its_prompt(
    name: str, tmp_path: Path, teacher: FakeTeacher, *, vision: bool
) -> None:
    source = SourceConfig(name=name, sample=True)
    config = BuildConfig(sources=[source], teacher="openai", model="fake", vision=vision)
    endpoint = Endpoint(teacher.base_url)
    journal = tmp_path / "journal.db"
    summary = build(config, tmp_path / "out", journal=journal, endpoint=endpoint)
    assert summary.rejected == {}
    assert teacher.count == summary.asked.replies == summary.scenes
    shared = {json.dumps(call.body["messages"][:-1]) for call in teacher.calls}
    assert len(shared) == 1, "what scenes share comes first, the same for all"
    for call in teacher.calls:
        sent = json.dumps(call.body["messages"][-1])
        assert ("image_url" in sent) == vision
    assert find_problems(tmp_path / "out") == []


@pytest.mark.parametrize("name", SOURCES)
def test_its_sample_is_small_and_says_where_it_comes_from(name: str) -> None:
    folder = sample_of(name)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert size < 1_000_000
    licences = (folder / "LICENSES.md").read_text()
    for scene in sample_scenes(name):
        assert all(media.name in licences for media in media_of(scene))
