"""Reading Ego4D's narrations, in each of the layouts that there are."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from mimicit.annotations import Narration
from mimicit.generators._ego4d_marks import read_marks
from mimicit.generators._segment_files import LONGEST
from mimicit.records import numbered, plain, records, reject
from mimicit.schema import Rejection

NAME = "ego4d"


class _Pass(msgspec.Struct, gc=False):
    """What one narrator wrote of a video."""

    narrations: list[msgspec.Raw] | None = None
    summaries: list[msgspec.Raw] | None = None


class Video(msgspec.Struct, gc=False):
    """A video in any of the layouts."""

    narration_pass_1: _Pass | None = None
    narration_pass_2: _Pass | None = None
    narrations: list[msgspec.Raw] | None = None
    summaries: list[msgspec.Raw] | None = None
    clips: list[msgspec.Raw] | None = None


class _Stretch(msgspec.Struct, gc=False):
    """A clip of a video, with its narrations."""

    narrations: list[msgspec.Raw] | None


class _Row(msgspec.Struct, gc=False, rename={"annotation": "_annotation_uid"}):
    """A narration in any of the layouts."""

    timestamp_sec: float | None = None
    time: float | None = None
    narration_text: str | None = None
    text: str | None = None
    object_description: list[str | None] | str | None = None
    annotation: str | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """A narration, who wrote it, and what its record is called."""

    narration: Narration
    narrator: str
    record: str

    @property
    def words(self) -> tuple[str, str]:
        """Give what two narrations have in common that tell of the same."""
        return self.narration.actor, self.narration.text.casefold().rstrip(". ")

    @property
    def order(self) -> tuple[float, str, str, str, int, tuple[str, ...]]:
        """Give what narrations are sorted by: content alone, whatever the order of the file."""
        told = self.narration
        return (
            *(told.time, self.narrator, told.actor, told.text),
            *(-len(told.objects), told.objects),
        )


def read_narrations(video_id: str, video: Video, passes: str) -> Iterator[Told | Rejection]:
    """Read a video's narrations in all layouts, and say which of them cannot be used."""
    for number, given in enumerate((video.narration_pass_1, video.narration_pass_2), 1):
        if given and passes in {str(number), "both"}:
            label = f"narration_pass_{number}, "
            yield from _read(video_id, given.narrations or (), label, str(number))
            yield from _summaries(video_id, given.summaries or (), label)
    writers = _writers(video.narrations or ())
    yield from _read(video_id, video.narrations or (), "", "1", writers)
    yield from _summaries(video_id, video.summaries or (), "")
    for item in records(
        ((f"clip{n[6:]}", raw) for n, raw in numbered(video.clips or ())), _Stretch, NAME
    ):
        if isinstance(item, Rejection):
            yield reject(NAME, item.reason, item.record, item.detail, video_id)
        else:
            # Whoever wrote for clips wrote of the camera wearer, and marked nothing.
            rows = item[1].narrations or ()
            yield from _read(video_id, rows, f"{item[0]}, ", "1", unmarked="wearer")


def _writers(rows: Sequence[msgspec.Raw]) -> dict[str, str]:
    """Number the narrators of a list that holds what several of them wrote."""
    found = {
        item[1].annotation or ""
        for item in records(numbered(rows), _Row, NAME)
        if not isinstance(item, Rejection)
    }
    return {writer: str(number) for number, writer in enumerate(sorted(found), 1)}


def _read(  # noqa: PLR0913  # a list, and all that is known of it
    video_id: str,
    rows: Sequence[msgspec.Raw],
    label: str,
    narrator: str,
    writers: dict[str, str] | None = None,
    unmarked: Literal["wearer", "unsure"] = "unsure",
) -> Iterator[Told | Rejection]:
    named = ((f"{label}narration{name[6:]}", raw) for name, raw in numbered(rows))
    for item in records(named, _Row, NAME):
        if isinstance(item, Rejection):
            yield reject(NAME, item.reason, item.record, item.detail, video_id)
            continue
        record, row = item
        time = row.timestamp_sec if row.timestamp_sec is not None else row.time
        raw = row.narration_text if row.narration_text is not None else row.text
        if time is None or raw is None:
            detail = "it has no time or no text"
            yield reject(NAME, "malformed-record", record, detail, video_id)
            continue
        marked = read_marks(raw, unmarked)
        given = row.object_description or []
        names = [given] if isinstance(given, str) else given
        objects = [plain(name or "") for name in names]
        if marked.summary:
            yield reject(NAME, "summary", record, plain(raw), video_id)
        elif not any(letter.isalnum() for letter in marked.text):
            yield reject(NAME, "empty-sentence", record, f"at {time} s: no text", video_id)
        elif not (math.isfinite(time) and 0 <= time <= LONGEST):
            yield reject(NAME, "bad-times", record, f"{time}: no time in a video", video_id)
        else:
            if not all(objects):
                yield reject(NAME, "empty-label", record, "an object without a name", video_id)
            told = Narration(time, marked.text, marked.actor, tuple(filter(None, objects)))
            yield Told(told, (writers or {}).get(row.annotation or "", narrator), record)


def _summaries(video_id: str, summaries: Sequence[msgspec.Raw], label: str) -> Iterator[Rejection]:
    for name, raw in numbered(summaries):
        shown = bytes(raw)[:120].decode(errors="replace")
        yield reject(NAME, "summary", f"{label}summary{name[6:]}", shown, video_id)
