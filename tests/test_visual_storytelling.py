"""The visual storytelling source: stories over albums, and how they are told."""

import json
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from conftest import SHARED, needs_shared
from hypothesis import given
from hypothesis import strategies as st

from mimicit.annotations import Note, Story
from mimicit.checks import check
from mimicit.errors import SourceError, UsageError
from mimicit.generators import open_source
from mimicit.images import examine
from mimicit.reasons import REASONS
from mimicit.schema import Exchange, ImageRef, Rejection, Scene
from mimicit.templates import write
from mimicit.templates._untokenised import mended
from mimicit.templates.stories import _wording

NAMES = _wording().capitals


def told(photo: Any, place: int, text: str, story: Any = "7", **more: Any) -> list[dict[str, Any]]:
    one = {"photo_flickr_id": photo, "story_id": story, "worker_arranged_photo_order": place}
    return [{**one, "text": text, "album_id": "1", **more}]


def photo(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "album_id": "1", **more}


def write_file(
    root: Path, annotations: list[Any], images: list[Any] | None = None, **more: Any
) -> Path:
    root.mkdir(exist_ok=True)
    known = images if images is not None else [photo(name) for name in "abcde"]
    content = {"images": known, "annotations": annotations, **more}
    (root / "tiny.story-in-sequence.json").write_text(json.dumps(content))
    return root


def read(root: Path, **options: str) -> tuple[dict[str, Scene], list[Rejection]]:
    items = list(open_source("visual_storytelling", {"root": str(root), **options}).scenes())
    scenes = [item for item in items if isinstance(item, Scene)]
    rejected = [item for item in items if isinstance(item, Rejection)]
    assert [s.id for s in scenes] == sorted({s.id for s in scenes})
    assert {r.reason for r in rejected} <= REASONS["annotations"].keys()
    return {s.id: s for s in scenes}, rejected


def story_of(scene: Scene) -> Story:
    (found,) = (a for a in scene.annotations if isinstance(a, Story))
    return found


def test_a_story_is_a_scene_and_its_album_the_group(tmp_path: Path) -> None:
    said = [told("b", 1, "then it rained ."), told("a", 0, "we went out .")]
    scenes, rejected = read(write_file(tmp_path, [*said, told("a", 0, "a day out .", "8")]))
    assert list(scenes) == ["1_7", "1_8"]
    assert {scene.groups for scene in scenes.values()} == {("1",)}
    assert [ref.id for ref in scenes["1_7"].images] == ["VST_IMG_a", "VST_IMG_b"]
    assert story_of(scenes["1_7"]) == Story("7", ("we went out .", "then it rained ."), (0, 1))
    assert not rejected


def test_a_photograph_of_which_a_story_tells_twice_is_shown_once(tmp_path: Path) -> None:
    said = [told("b", 0, "one two"), told("a", 1, "three four"), told("b", 2, "five six")]
    scenes, _ = read(write_file(tmp_path, said))
    assert [ref.id for ref in scenes["1_7"].images] == ["VST_IMG_b", "VST_IMG_a"]
    assert story_of(scenes["1_7"]).images == (0, 1, 0)


def test_a_sentence_is_spelled_as_it_was_typed_unless_a_name_was_taken_out(tmp_path: Path) -> None:
    said = [
        told("a", 0, "it was joe 's day .", original_text="It was Joe's day."),
        told("b", 1, "[male] was happy .", original_text="Bob was happy."),
    ]
    scenes, _ = read(write_file(tmp_path, said))
    assert story_of(scenes["1_7"]).sentences == ("It was Joe's day.", "[male] was happy .")


def test_what_the_owner_wrote_becomes_notes_without_mark_up(tmp_path: Path) -> None:
    images = [photo("a", title="IMG_1", tags="sea sun"), photo("b", text="us &amp; <b>them</b>")]
    albums = [{"id": "1", "title": "Trip", "description": "<a href='x'>more</a> here"}]
    said = [told("a", 0, "one two"), told("b", 1, "three four")]
    scenes, _ = read(write_file(tmp_path, said, images, albums=albums))
    assert [a for a in scenes["1_7"].annotations if isinstance(a, Note)] == [
        Note("album", "Trip"),
        Note("album description", "more here"),
        Note("title", "IMG_1", 0),
        Note("tags", "sea sun", 0),
        Note("description", "us & them", 1),
    ]


def test_each_photograph_has_the_licence_that_the_file_gives(tmp_path: Path) -> None:
    images = [photo("a", license="4"), photo("b", license=9), photo("c", license=99), photo("d")]
    said = [told(name, place, f"number {place}") for place, name in enumerate("abcd")]
    scenes, _ = read(write_file(tmp_path, said, images), licence="CC-BY-3.0")
    assert [ref.licence for ref in scenes["1_7"].images] == [
        *("CC-BY-2.0", "CC0-1.0", "CC-BY-3.0", "CC-BY-3.0"),
    ]
    table = [{"id": 4, "name": "Ours"}]
    scenes, _ = read(write_file(tmp_path, said, images, licenses=table))
    assert scenes["1_7"].images[0].licence == "Ours"


def test_what_is_wrong_is_named_and_the_rest_stays(tmp_path: Path) -> None:
    said = [
        told("a", 0, "we went out ."),
        told("b", 1, "  "),
        told("z", 2, "nobody knows z ."),
        told("c", 3, "it rained ."),
        told("a", 0, "here .", "8"),
        told("b", 0, "or here .", "8"),
        told("z", 0, "gone .", "9"),
        told("a", 0, "we went out .", "5"),
        told("a", 0, " we went  out .", "5"),
        told("c", 1, "it rained .", "5"),
        told("a", 0, "we went out .", "99"),
        told("c", 1, "it rained .", "99"),
        [],
        17,
        {"photo_flickr_id": "a"},
    ]
    images = [photo(name) for name in "abc"] + [photo("a", title="again"), "b", {}]
    albums = [{"id": "1", "title": "A"}, {"id": 1, "title": "B"}, None]
    scenes, rejected = read(write_file(tmp_path, said, images, albums=albums))
    assert story_of(scenes.pop("1_5")).sentences == ("we went out .", "it rained .")
    assert not scenes
    assert Counter(r.reason for r in rejected) == {
        "duplicate-record": 2,
        "empty-sentence": 1,
        "unknown-image": 2,
        "unclear-order": 1,
        "no-sentence": 1,
        "incomplete-story": 1,
        "duplicate-story": 1,
        "no-content": 1,
        "malformed-record": 5,
        "duplicate-image-id": 1,
    }


WHOLE = [told(name, place, f"sentence {place} .") for place, name in enumerate("abcd")]


@pytest.mark.parametrize(
    ("place", "lost", "words"),
    [
        (1, told("b", 1, None), "annotation 2"),  # type: ignore[arg-type]
        (1, told("b", 1, " "), "photograph b"),
        (1, told("z", 1, "sentence 1 ."), "photograph z"),
        (1, told("b", 1, 17), "annotation 2"),  # type: ignore[arg-type]
        (3, [{"story_id": "7", "photo_flickr_id": "d"}], "annotation 4: photograph d"),
        (3, [{"story_id": 7}], "annotation 4"),
        (1, [17], "place 1"),
        (2, [], "place 2"),
        (0, [], "place 0"),
        (2, told("c", 10**30, "sentence 2 ."), "place 2"),
        (3, told("d", 10**30, "sentence 3 ."), f"places 3 to {10**30 - 1}"),
    ],
)
def test_a_story_of_which_a_sentence_is_lost_is_not_told_as_if_it_were_whole(
    tmp_path: Path, place: int, lost: list[Any], words: str
) -> None:
    said = [*WHOLE[:place], lost, *WHOLE[place + 1 :], told("a", 0, "another one .", "8")]
    scenes, rejected = read(write_file(tmp_path, said))
    assert list(scenes) == ["1_8"]
    (one,) = (r for r in rejected if r.reason == "incomplete-story")
    assert (one.record, one.scene_id) == ("1_7", "1_7")
    assert words in one.detail


def test_places_may_be_counted_from_one(tmp_path: Path) -> None:
    said = [told(name, place, f"sentence {place} .") for place, name in enumerate("abc", 1)]
    scenes, rejected = read(write_file(tmp_path, said))
    assert len(story_of(scenes["1_7"]).sentences) == 3
    assert not rejected


def test_what_may_be_left_out_may_be_null(tmp_path: Path) -> None:
    empty = dict.fromkeys(("album_id", "title", "text", "tags", "license"))
    images = [{"id": "a", **empty}, photo("b", title=2004)]
    said = [told("a", 0, "one two", original_text=None), told("b", 1, "three four")]
    albums = [{"id": "1", "title": None, "description": None}]
    scenes, rejected = read(write_file(tmp_path, said, images, albums=albums, licenses=None))
    assert [a for a in scenes["1_7"].annotations if isinstance(a, Note)] == [
        Note("title", "2004", 1)
    ]
    assert not rejected
    assert not read(write_file(tmp_path, said, images, albums=None))[1]


def test_one_of_several_splits_must_be_chosen(tmp_path: Path) -> None:
    root = write_file(tmp_path, [told("a", 0, "one two")])
    other = root / "annotations" / "val.story-in-sequence.json"
    other.parent.mkdir()
    other.write_bytes((root / "tiny.story-in-sequence.json").read_bytes())
    with pytest.raises(UsageError, match=r"(?s)-o split=.*-o annotations="):
        read(root)
    assert len(read(root, split="val")[0]) == 1
    assert len(read(root, annotations=str(other))[0]) == 1
    with pytest.raises(SourceError, match="third"):
        read(root, split="third")
    with pytest.raises(SourceError, match="gone"):
        read(root / "gone")
    with pytest.raises(UsageError, match="--root DIR"):
        list(open_source("visual_storytelling", {"split": "val"}).scenes())
    with pytest.raises(UsageError, match="-o images=DIR"):
        list(open_source("visual_storytelling", {"annotations": str(other)}).scenes())


@pytest.mark.parametrize("folder", ["images/tiny", "images", "photos", "tiny", ""])
def test_photographs_are_found_by_their_ids(tmp_path: Path, folder: str) -> None:
    root = write_file(tmp_path, [told("a", 0, "one two")])
    (root / folder).mkdir(parents=True, exist_ok=True)
    (root / folder / "a.PNG").write_bytes(b"")
    assert read(root)[0]["1_7"].images[0].name == f"{folder}/a.PNG".lstrip("/")


@pytest.mark.parametrize("name", ["../../secret", "/etc/hostname", "..\\..\\secret"])
def test_a_photograph_is_never_looked_for_outside_of_the_root(tmp_path: Path, name: str) -> None:
    root = write_file(tmp_path / "root", [told(name, 0, "one two")], [photo(name)])
    (tmp_path / "secret.jpg").write_bytes(b"")
    (scene,) = read(root)[0].values()
    assert examine(scene.images[0].id, scene.images[0]).problem in {"unsafe-path", "missing-file"}


_IDS = st.text(st.sampled_from("a_.~-/ é1"), min_size=1, max_size=4)


@given(st.lists(st.tuples(_IDS, _IDS), min_size=1, max_size=6, unique=True), st.integers(0, 99))
def test_ids_are_injective_and_the_order_of_records_makes_no_difference(
    tmp_path_factory: pytest.TempPathFactory, stories: list[tuple[str, str]], seed: int
) -> None:
    root = tmp_path_factory.mktemp("vist")
    said = [
        told("a", 0, f"{place} words", story, album_id=album)
        for place, (album, story) in enumerate(stories)
    ]
    before = read(write_file(root, said))
    assert len(before[0]) == len(stories)
    random.Random(seed).shuffle(said)
    assert read(write_file(root, said))[0] == before[0]


# --------------------------------------------------------------- sentences


@pytest.mark.parametrize(
    ("typed", "right"),
    [
        ("we could n't wait !", "We couldn't wait!"),
        ("i 'm sure i ca n't , he said .", "I'm sure I can't, he said."),
        ("the boys ' faces were red", "The boys' faces were red."),
        ("it was my sister 's birthday in july .", "It was my sister's birthday in July."),
        ("my best friend [male] is getting married .", "My best friend is getting married."),
        ("it cost $ 20 . we paid .", "It cost $20. We paid."),
        ("we had a great great time .. .", None),
        ("[male] and [female] went home .", None),
        ("[male] 's dad was very happy .", None),
        ("we went to [location] .", None),
        ("my favorite team is the location location .", None),
        ("i said `` hello there '' .", None),
        ("then they all sagd hello .", None),
        ("as the professor was explaining .", None),
        ("so fun .", None),
        ("We went to Joe's house with Kim.", None),
        ("We met JOE at the lake.", None),
        ("We met Will at the lake.", None),
        ("We saw it in Paris with Mom.", "We saw it in Paris with Mom."),
        ("it was HUGE .", "It was HUGE."),
        ("WE DROVE TO THE LAKE .", "We drove to the lake."),
        ("We Drove To The Lake Today.", None),
        ("we had a bbq on the 4 th of july .", "We had a BBQ on the 4th of July."),
        ("the ceiling of the opera was a debate .", "The ceiling of the opera was a debate."),
        ("we shopped and clapped .", "We shopped and clapped."),
        ("we were writting to the toliet .", None),
    ],
)
def test_a_sentence_is_put_together_again_or_left_out(typed: str, right: str | None) -> None:
    assert mended(typed, NAMES, _wording().persons) == right


@pytest.mark.parametrize(
    "typed",
    [
        "exploring an abandon house .",
        "the mayor announcing the guest speaker .",
        "picture of the cake .",
        "a picture of the bride and groom with his parents .",
        "the main lobby where you wait .",
        "our group before heading out to look for mushrooms .",
        "some riders who were injured .",
        "the house we toured .",
        "an apple that was able to grow inside .",
        "a grave covered in flowers .",
        "and took a look inside .",
        "on out trip we stopped to see the stores .",
        "the bike club gathered i the square .",
        "all of their friends were their to help .",
        "the people are on there way to a funeral .",
        "they where huge and we saw them .",
        "it was her 2 and birthday .",
        "the day had entered it 's second half .",
        "i returned it to it 's own place .",
        "it 's first day was a success .",
        "there were a lot of student 's graduating .",
        "they people parked the car .",
        "most reporters were to busy with other matters .",
    ],
)
def test_what_is_no_sentence_or_has_a_wrong_word_is_left_out(typed: str) -> None:
    made = asked(scene_of(DAY[0], typed, *DAY[1:]))
    assert made.keys() <= {"opening", "continuation", "matching"}
    assert not any(
        mended(typed, NAMES) in (e.instruction, e.answer)
        for e in made.values()
        if mended(typed, NAMES)
    )
    assert "opening" not in asked(scene_of(typed, *DAY[1:]))


@pytest.mark.parametrize(
    "typed",
    [
        "the bride and groom share a kiss .",
        "a couple of guests posed for the camera .",
        "on the way home we saw a crow .",
        "the next day we went to the beach .",
        "after that they had dinner .",
        "dad filled his plate .",
        "what is that ?",
        "some looked like stars .",
        "the family likes this place .",
        "walking was the one thing that helped .",
        "it 's time to go .",
        "look at these crazy people !",
        "the band that played was great .",
        "we could n't believe it .",
        "the people over there were nice .",
        "its doors were open and it 's a great place .",
    ],
)
def test_a_whole_sentence_is_kept(typed: str) -> None:
    assert "story" in asked(scene_of(DAY[0], typed, *DAY[1:]))


@given(st.text(max_size=60))
def test_whatever_was_typed_no_mark_is_published(typed: str) -> None:
    found = mended(typed, NAMES)
    assert found is None or not re.search(r"[\[\]<>`\"]", found)


def scene_of(*sentences: str, name: str = "7") -> Scene:
    refs = tuple(ImageRef(f"VST_IMG_{n}", "", f"{n}.jpg") for n in range(len(sentences)))
    story = Story(name, sentences, tuple(range(len(sentences))))
    return Scene("visual_storytelling", f"1_{name}", "VST", refs, (story,), ("1",))


def asked(scene: Scene) -> dict[str, Exchange]:
    made = write(scene, 0)
    assert all(reason == "" for _, reason in check(made))
    return {exchange.kind: exchange for exchange in made}


DAY = ("we drove to the lake .", "dad put up a tent .", "the dog was wet .", "it was a great day .")


def test_a_story_is_told_from_the_first_photograph_to_the_last() -> None:
    made = asked(scene_of(*DAY))
    whole = "We drove to the lake. Dad put up a tent. The dog was wet. It was a great day."
    assert made["story"].answer == whole
    assert made["opening"].answer == "We drove to the lake."
    assert made["ending"].answer == "It was a great day."
    assert "The dog was wet." in made["ending"].instruction
    assert made["ending"].answer not in made["ending"].instruction
    assert made["continuation"].answer in {"Dad put up a tent.", "The dog was wet."}
    assert re.search("first|second|third|[123]", made["matching"].answer)


def test_a_story_with_a_sentence_that_cannot_be_published_is_not_told_as_a_whole() -> None:
    made = asked(scene_of(DAY[0], DAY[1], "[male] fell into it .", DAY[3]))
    assert made.keys() == {"opening", "continuation", "matching"}
    assert made["continuation"].answer == "Dad put up a tent."


def test_a_sentence_that_goes_with_several_photographs_is_not_matched() -> None:
    assert "matching" not in asked(scene_of("the dog ran off .", "we ran after the dog .", DAY[3]))


def test_question_and_answer_of_a_matching_fit_each_other() -> None:
    fitting = {
        "For which": "(It was written for|For) ",
        "Which photograph": "(The third photograph goes best with it|Photograph 3)",
        "In a story told": "(It belongs to|At) ",
        "A story has": "The third (photograph is meant|one)",
        "Match this": "It (goes with|fits) ",
    }
    told_of = (DAY[0], "the sun shone .", DAY[1], "we slept well .")
    made = [asked(scene_of(*told_of, name=str(n)))["matching"] for n in range(80)]
    seen = {start for start in fitting for one in made if one.instruction.startswith(start)}
    assert seen == fitting.keys()
    for one in made:
        (form,) = (form for start, form in fitting.items() if one.instruction.startswith(start))
        assert re.match(form, one.answer), one


@pytest.mark.parametrize(
    ("clear", "unclear"),
    [
        (["we saw a train .", "we had lunch ."], ["we saw a train .", "it was long ."]),
        (["there was a clown .", "we left ."], ["there was a clown .", "some were funny ."]),
        (["dad rented a bike .", "we had lunch ."], ["dad rented a bike .", "a cyclist fell ."]),
        (["there was a sign .", "we left ."], ["we could sign up .", "we left ."]),
        (["we ate cheese .", "we left ."], ["everyone had to say cheese .", "we left ."]),
        (["the fireworks began .", "we left ."], ["the fireworks began .", "the sky lit up ."]),
        (["the fireworks began .", "we left ."], ["the fireworks began .", "we loved the show ."]),
        (["we took a bike .", "we left ."], ["we took no bike .", "we left ."]),
        (["my son made a cookie .", "we left ."], ["we made cookies .", "we had simple ones ."]),
    ],
)  # fmt: skip
def test_only_what_one_photograph_must_show_is_matched(
    clear: list[str], unclear: list[str]
) -> None:
    rest = ["the day was over .", "everyone was tired ."]
    assert "matching" in asked(scene_of(*clear, *rest))
    assert "matching" not in asked(scene_of(*unclear, *rest))


@pytest.mark.parametrize(
    ("told", "follows"),
    [
        ("dad laughed because this made him happy .", True),
        ("this made him happy .", False),
        ("the kids got their diplomas .", True),
        ("we all got their diplomas .", False),
        ("we gave it to her .", False),
        ("it was a great day .", True),
        ("it made us happy .", False),
        ("we took a photo of it .", False),
    ],
)
def test_a_sentence_that_leaves_open_who_is_meant_is_not_gone_on_with(
    told: str, follows: bool
) -> None:
    made = asked(scene_of(told, "we sat down .", "[male] left ."))
    assert ("continuation" in made) == follows
    assert follows or "opening" not in made


def test_no_continuation_speaks_of_somebody_who_was_not_named() -> None:
    assert "continuation" in asked(scene_of("a boy came .", "he sat down .", "[male] left ."))
    assert "continuation" not in asked(scene_of("we came .", "he sat down .", "[male] left ."))


@needs_shared
def test_the_real_file_is_read_whole() -> None:
    scenes, rejected = read(SHARED / "vist")
    assert len(scenes) == 1387
    assert Counter(r.reason for r in rejected) == {"duplicate-story": 2049}
    complete = [
        scene
        for scene in scenes.values()
        if all((Path(ref.root) / ref.name).is_file() for ref in scene.images)
    ]
    assert [scene.groups[0] for scene in complete] == [
        *("72057594128484139", "72157623107791583"),
        "unknown-49305",
    ]
    for scene in list(scenes.values())[::20]:
        for exchange in write(scene, 0):
            assert not re.search(r"[\[\]`]| [.,!?]|\bi\b", exchange.instruction + exchange.answer)
