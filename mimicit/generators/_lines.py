"""What each key of a line of one's own data becomes."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from mimicit.annotations import (
    Annotation,
    Box,
    Caption,
    Dialogue,
    Difference,
    Narration,
    Note,
    Segment,
    Story,
    Utterance,
)
from mimicit.boxes import cut_boxes
from mimicit.generators._conversations import Problem, exchanges, pairs
from mimicit.generators._line_keys import (
    BoxItem,
    CaptionItem,
    DifferenceItem,
    Line,
    NarrationItem,
    SegmentItem,
    StoryItem,
    Unfit,
    UtteranceItem,
    convert,
)
from mimicit.records import plain


@dataclass(frozen=True, slots=True)
class Media:
    """What a line's annotations can be about."""

    pictures: int
    video: bool
    sizes: tuple[tuple[int, int], ...] = ()

    def check_picture(self, place: int) -> None:
        """Refuse a picture that the line has not."""
        if 0 <= place < self.pictures:
            return
        if not self.pictures and self.video:
            raise Unfit("no-picture", "it speaks of a picture; say of a video with `segments`")
        last = self.pictures - 1
        detail = f"image {place}, but the pictures are 0 to {last}" if last else f"image {place}, "
        raise Unfit("unknown-image", detail if last else f"{detail}but the only picture is 0")

    def check_timed(self) -> None:
        """Refuse times where nothing lasts: frames may come as a video or as pictures."""
        if not self.video and self.pictures < 2:
            raise Unfit("no-video", "it has times, but the line has no video")


def _text(text: str, reason: str = "empty-sentence") -> str:
    if not plain(text):
        raise Unfit(reason, "no text")
    return plain(text)


def _caption(raw: msgspec.Raw, media: Media) -> Caption:
    one = convert(raw, CaptionItem, "captions")
    media.check_picture(one.image)
    return Caption(_text(one.text, "empty-caption"), one.image)


def _box(raw: msgspec.Raw, media: Media) -> Box:
    one = convert(raw, BoxItem, "boxes")
    media.check_picture(one.image)
    x, y, width, height = one.bbox
    if not (width > 0 and height > 0 and math.isfinite(x + y + width * height)):
        raise Unfit("empty-box", f"{list(one.bbox)} covers nothing")
    return Box(_text(one.label, "no-label"), x, y, width, height, image=one.image)


def _segment(raw: msgspec.Raw, media: Media) -> Segment:
    one = convert(raw, SegmentItem, "segments")
    media.check_timed()
    if not 0 <= one.start <= one.end < math.inf:
        raise Unfit("bad-times", f"{one.start} to {one.end}: no two times in order from 0 on")
    return Segment(one.start, one.end, _text(one.text))


def _narration(raw: msgspec.Raw, media: Media) -> Narration:
    one = convert(raw, NarrationItem, "narrations")
    media.check_timed()
    if not 0 <= one.time < math.inf:
        raise Unfit("bad-times", f"{one.time}: no time from 0 on")
    objects = tuple(plain(name) for name in one.objects if plain(name))
    return Narration(one.time, _text(one.text), one.actor, objects)


def _difference(raw: msgspec.Raw, media: Media) -> Difference:
    one = convert(raw, DifferenceItem, "differences")
    for place in (one.before, one.after):
        media.check_picture(place)
    if one.before == one.after:
        raise Unfit("unknown-image", f"picture {one.before} does not differ from itself")
    return Difference(_text(one.text), one.before, one.after, one.directed)


def _story(raw: msgspec.Raw, media: Media) -> Story:
    if bytes(raw).startswith(b"["):
        raw = msgspec.Raw(b'{"sentences":' + bytes(raw) + b"}")
    one = convert(raw, StoryItem, "stories")
    images = list(range(len(one.sentences))) if one.images is None else one.images
    if len(images) != len(one.sentences) or not images:
        detail = f"{len(one.sentences)} sentences for {len(images)} pictures"
        raise Unfit("uneven-lists", detail)
    for place in images:
        media.check_picture(place)
    sentences = tuple(_text(sentence) for sentence in one.sentences)
    return Story(str(one.id), sentences, tuple(images))


def _utterance(raw: msgspec.Raw, _: Media) -> Utterance:
    one = convert(raw, UtteranceItem, "utterances")
    return Utterance(_text(one.text), plain(one.object))


_PARTS: dict[str, tuple[Callable[[msgspec.Raw, Media], Annotation], str]] = {
    "captions": (_caption, "duplicate-caption"),
    "boxes": (_box, "duplicate-record"),
    "segments": (_segment, "duplicate-segment"),
    "narrations": (_narration, "duplicate-sentence"),
    "differences": (_difference, "duplicate-sentence"),
    "stories": (_story, "duplicate-sentence"),
    "utterances": (_utterance, "duplicate-sentence"),
}
"""What reads the items of a key, and why the second of two that say the same is left out."""

_SPOKEN_FOR = frozenset({"duration", "evidence", "narrator", "sentences", "turn"})
"""Names of notes by which other sources say something that the templates know how to read."""

LONGEST_KIND = 60
"""Letters of a kind of question: it is a word or two, and is counted."""


def annotations(line: Line, media: Media) -> Iterator[Annotation | Problem]:
    """Read all that a line says, kind by kind, and what of it has to be left out."""
    told = [] if bytes(line.story) == b"null" else [line.story]
    stories = [*told, *(line.stories or [])]
    for key in _PARTS:
        items = stories if key == "stories" else getattr(line, key) or []
        kept: dict[str, Annotation] = {}
        for where, one in _items(key, items, media):
            if isinstance(one, Unfit):
                yield one.reason, where, one.detail
            else:
                kept[where] = one
        yield from _boxes(kept, media) if key == "boxes" else _in_order(kept)
    yield from _dialogues(line)
    yield from _notes(line)


def _items(
    key: str, items: Sequence[msgspec.Raw], media: Media
) -> Iterator[tuple[str, Annotation | Unfit]]:
    """Read the items of a key, each with its place there."""
    read, repeated = _PARTS[key]
    said: set[Annotation] = set()
    for number, raw in enumerate(items, 1):
        where = f"{key} {number}"
        try:
            one = read(raw, media)
        except Unfit as problem:
            yield where, problem
            continue
        if _same(one) in said:
            yield where, Unfit(repeated, "the same stands there already")
            continue
        said.add(_same(one))
        yield where, one


def _in_order(kept: Mapping[str, Annotation]) -> Iterator[Annotation]:
    """Put what happens in a video in the order of time, and give each story an id of its own."""
    times_given: Counter[str] = Counter()
    for where, one in sorted(kept.items(), key=lambda item: _begins(item[1])):
        if isinstance(one, Story):
            name = one.id or where.rpartition(" ")[2]
            times_given[name] += 1
            again = f" {times_given[name]}" if times_given[name] > 1 else ""
            yield replace(one, id=f"{name}{again}")
        else:
            yield one


def _begins(one: Annotation) -> float:
    if isinstance(one, Segment):
        return one.start
    return one.time if isinstance(one, Narration) else 0.0


def _boxes(kept: Mapping[str, Annotation], media: Media) -> Iterator[Annotation | Problem]:
    """Cut boxes to the sizes that a line states, and turn away those of another form."""
    boxes = {where: one for where, one in kept.items() if isinstance(one, Box)}
    first = next(iter(boxes.values()), None)
    if first and all(max(b.x, b.y, b.width, b.height) <= 1 for b in boxes.values()):
        numbers = [first.x, first.y, first.width, first.height]
        detail = f"{first.label!r} {numbers}: parts of the picture? pixels are meant"
        yield "other-boxes", "boxes", detail
        return
    made: dict[str, Box | tuple[str, str]] = dict(boxes)
    for image, size in enumerate(media.sizes):
        names = [where for where, box in boxes.items() if box.image == image]
        made |= zip(names, cut_boxes([boxes[name] for name in names], size), strict=True)
    for where, one in made.items():
        if isinstance(one, Box):
            yield one
        else:
            yield one[0], where, one[1]


def _same(one: Annotation) -> Annotation:
    """Spell what is said in the way in which it is compared."""
    if isinstance(one, Box | Story | Dialogue):
        return one
    return replace(one, text=one.text.casefold().rstrip(". "))


def _dialogues(line: Line) -> Iterator[Annotation | Problem]:
    kept, problems = pairs(line.conversations or [])
    yield from ((reason, f"conversations, {where}", said) for reason, where, said in problems)
    if kept:
        yield Dialogue(tuple(kept))
    turns: list[tuple[str, str]] = []
    for number, raw in enumerate(line.qa or [], 1):
        try:
            turns.append(msgspec.json.decode(raw, type=tuple[str, str]))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            detail = f"it is no [question, answer]: {error}"
            yield "malformed-record", f"qa {number}", detail
    asked, problems = exchanges(turns)
    yield from ((reason, f"qa, {where}", said) for reason, where, said in problems)
    if asked and asked != kept:
        yield Dialogue(tuple(asked))


def _notes(line: Line) -> Iterator[Note | Problem]:
    for key, value in (line.notes or {}).items():
        name, where = plain(key), f"notes {key!r}"
        text = f"{value:.12g}" if isinstance(value, float) else plain(str(value))
        if not (name and text):
            yield "empty-sentence", where, "a note without a name or a text"
        elif name == "kind" and len(text) > LONGEST_KIND:
            detail = f"{len(text):,} letters; a kind is a word or two, such as `count`"
            yield "malformed-record", where, detail
        else:
            yield _note(name, text)


def _note(name: str, text: str) -> Note:
    """Make a note. One that only looks like another source's is spelled with a capital letter."""
    if name not in _SPOKEN_FOR or (name == "duration" and _is_length(text)):
        return Note(name, text)
    return Note(name.capitalize(), text)


def _is_length(text: str) -> bool:
    try:
        return 0 < float(text) < math.inf
    except ValueError:
        return False
