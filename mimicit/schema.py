"""The value types, one for each arrow of the pipeline. Read this first.

    generator ──Scene──► templates ──Exchange──► checks ──Instruction──► linker ──Links──► writer
                    └──► prompt ──Request──► teacher ──Reply──► replies ──Exchange──┘
    anything that is turned away becomes a Rejection.

What is published (`Instruction`, `ImageRow`, `Links`, `Rejection`) is pydantic and defined once;
its Arrow schema, its JSON Schema and its Hugging Face features are derived from here
(`mimicit.tables`). What stays inside is a frozen, slotted dataclass.
"""

import functools
import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from mimicit.annotations import Annotation
from mimicit.moments import Clip
from mimicit.names import FILE_NAME, RELATIVE_PATH, published_path

SCHEMA_VERSION = "1.2"
"""Version of the published rows: see docs/schema.md for what a change of it means."""

DESCRIPTOR_BYTES = 142
"""Length of what a picture is compared with others by (`mimicit.lookalikes`)."""

Stage = Literal["annotations", "media", "split", "templates", "prompt", "reply", "checks"]

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
"""All splits, in the order in which they are listed."""

# ------------------------------------------------------------------ pictures


@dataclass(frozen=True, slots=True)
class ImageRef:
    """A picture by name: what it is called, and how to read it. Never its bytes.

    Attributes:
        id: Published image id, `{PREFIX}_IMG_…`; comes from the source's own id.
        root: Directory the user handed us. Nothing outside of it is ever read.
        name: Path below `root` as the annotations give it: untrusted until resolved.
        size: (width, height) in pixels as the annotations state it, if they do.
        licence: SPDX id where one is known, else the source's own words, else "".
        origin: The frame of a video that the file was made of, where it is one.
    """

    id: str
    root: str
    name: str
    size: tuple[int, int] | None = None
    licence: str = ""
    origin: "SourceRef | None" = None

    @property
    def path(self) -> str:
        """Where the picture came from, in a form fit for publishing (no local path)."""
        name = self.origin.path if self.origin else self.name
        return published_path(name)


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """The verdict of the media pass on one picture; `problem` is empty for a good one.

    Attributes:
        id: The picture's `ImageRef.id`.
        sha256: Hex digest of the file's bytes.
        content: What stands for the picture in a request, where its bytes do not: a frame is the
            same whichever encoder made a file of it. A hex digest, or "".
        phash: 64-bit perceptual hash, 16 hex digits.
        descriptor: What finds its copies, `DESCRIPTOR_BYTES` of them (`mimicit.lookalikes`).
        width: Pixels, upright (after the EXIF orientation).
        height: Pixels, upright.
        format: Pillow's name of the format, such as `JPEG`.
        media_type: Media type of a file that every endpoint shows right as it is, else "".
        salvaged: Only a part of it could be decoded, and that part is used.
        problem: Reason the picture cannot be used, or "".
        detail: What was found, in words, where there is a problem.
    """

    id: str
    sha256: str = ""
    content: str = ""
    phash: str = ""
    descriptor: bytes = b""
    width: int = 0
    height: int = 0
    format: str = ""
    media_type: str = ""
    salvaged: bool = False
    problem: str = ""
    detail: str = ""

    def to_json(self) -> dict[str, Any]:
        """Spell it for another process, or for a cache."""
        return {**asdict(self), "descriptor": self.descriptor.hex()}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "ImageInfo":
        """Read what `to_json` spelled."""
        return cls(**{**value, "descriptor": bytes.fromhex(value["descriptor"])})


# -------------------------------------------------------------------- scenes


@dataclass(frozen=True, slots=True)
class Scene:
    """What one prompt, or one run of the templates, is about.

    Attributes:
        source: Name of the generator.
        id: The source's own id, injective within the source.
        prefix: Letters its ids begin with, such as `LA`.
        images: Pictures in the author's order.
        split: Split it belongs to; the media pass says so.
        clips: Videos whose frames are shown after them, in order of time; the media pass makes
            pictures of them. There is at least one picture or one clip.
        annotations: What is known of them, sorted by the source's own order.
        groups: Keys of what belongs together. The first is the unit a split keeps whole and
            `same-group` links within (image, video, album); wider ones follow.
        vocabulary: Labels that were looked for in every picture, so that the absence of one
            is knowledge; empty where absence says nothing.
        language: ISO 639-1 code of the annotations.
    """

    source: str
    id: str
    prefix: str
    images: tuple[ImageRef, ...]
    annotations: tuple[Annotation, ...]
    groups: tuple[str, ...]
    vocabulary: tuple[str, ...] = ()
    language: str = "en"
    clips: tuple[Clip, ...] = ()
    split: Split = "train"

    @property
    def licence(self) -> str:
        """The pictures' licences, each once, in order."""
        return " AND ".join(dict.fromkeys(ref.licence for ref in self.images if ref.licence))

    def instruction_id(self, ordinal: int, replicate: int = 0) -> str:
        """Name the exchange that stood at `ordinal` in a reply, before any check."""
        suffix = f"_r{replicate}" if replicate else ""
        return f"{self.prefix}_INS_{self.id}_{ordinal:02d}{suffix}"

    def reject(self, stage: Stage, reason: str, record: str, detail: str) -> "Rejection":
        """Turn something of this scene away: `record` names it, `reason` can be counted."""
        scene = {"scene_id": self.id, "source": self.source}
        return Rejection(**scene, stage=stage, reason=reason, record=record, detail=detail)


# ------------------------------------------------------- asking (the paid path)


Parameter = JsonValue
"""What a parameter of a request may be set to."""


@dataclass(frozen=True, slots=True)
class ImagePart:
    """A picture inside a message: its content's digest and the size it is sent at.

    Attributes:
        content: What stands for it: as a rule the digest of its file.
        max_side: Pixels its longer side is scaled down to; 0 where it is sent at its own size.
        ref: Where to read it when it is sent; this and what follows say how it is sent, and are
            not part of the request's identity.
        sha256: Digest of the file that is read; "" where it is `content`.
        media_type: Media type of a file that is sent as it is; "" where it is to be converted.
    """

    content: str
    max_side: int
    ref: ImageRef
    sha256: str = ""
    media_type: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn: text and pictures in the author's order."""

    role: Literal["system", "user", "assistant"]
    parts: tuple[str | ImagePart, ...]


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of a teacher about one scene, the part all scenes share coming first.

    Attributes:
        teacher: Teacher id (by default the model's name).
        messages: The conversation.
        parameters: (name, JSON value) pairs such as temperature, each name once.
        reply_schema: Canonical JSON text of the schema asked for, or "".
        replicate: 0 for the first reply to the same request, then 1, 2, …
    """

    teacher: str
    messages: tuple[Message, ...]
    parameters: tuple[tuple[str, Parameter], ...] = ()
    reply_schema: str = ""
    replicate: int = 0
    _key: str = field(default="", init=False, repr=False, compare=False)

    @property
    def key(self) -> str:
        """Hex SHA-256 of all that can change the reply, and of nothing else."""
        if not self._key:
            parameters = _json(sorted(self.parameters, key=lambda pair: pair[0]))
            rest = f"{parameters},{_json_text(self.reply_schema)},{self.replicate}"
            text = f"[{_json_text(self.teacher)},[{','.join(map(_spelled, self.messages))}],{rest}]"
            digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
            object.__setattr__(self, "_key", digest)  # asked for again and again
        return self._key


_json = functools.partial(json.dumps, ensure_ascii=False, separators=(",", ":"))
_json_text = functools.lru_cache(maxsize=64)(_json)


def _spelled(message: Message) -> str:
    plain = all(isinstance(part, str) for part in message.parts)
    return _spelled_once(message) if plain else _spelled_anew(message)


def _spelled_anew(message: Message) -> str:
    parts = [
        p if isinstance(p, str) else {"image": p.content, "max_side": p.max_side}
        for p in message.parts
    ]
    return _json([message.role, parts])


_spelled_once = functools.lru_cache(maxsize=64)(_spelled_anew)
"""The same for messages of text: most are those of every scene."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a teacher said, raw, under the key of what it was asked."""

    key: str
    text: str
    finish_reason: str
    model: str
    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Exchange:
    """One question and its answer, before it is checked."""

    instruction: str
    answer: str
    kind: str


# ------------------------------------------------------------- published rows

_PREFIX = r"[A-Za-z0-9]+(_[A-Za-z0-9]+)*"
"""What ids begin with: those of datasets made elsewhere have several parts, as `LACR_I2I_00`."""

INSTRUCTION_ID = rf"^{_PREFIX}_INS_[A-Za-z0-9._~-]+$"
IMAGE_ID = rf"^{_PREFIX}_IMG_[A-Za-z0-9._~-]+$"

InstructionId = Annotated[str, Field(pattern=INSTRUCTION_ID)]
ImageId = Annotated[str, Field(pattern=IMAGE_ID)]
Text = Annotated[str, Field(min_length=1)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Sha256OrNone = Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]


class Row(BaseModel):
    """A row of a published table: immutable, nothing in it but its fields, each number finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Instruction(Row):
    """One instruction and its answer about one or more pictures, with its in-context examples."""

    id: InstructionId = Field(description="Unique over the dataset; made of the source's own ids.")
    instruction: Text = Field(description="What is asked.")
    answer: Text = Field(description="What should be answered.")
    image_ids: list[ImageId] = Field(
        min_length=1, description="Pictures it is about, in order: keys of the images table."
    )
    rel_ins_ids: list[InstructionId] = Field(
        description="In-context examples to show before it, in the order to show them."
    )
    source: Text = Field(
        description="Name of the generator that made it, or of the form it was imported from."
    )
    split: Split = Field(description="Split it belongs to.")
    language: str = Field(pattern=r"^[a-z]{2,3}$", description="ISO 639 code.")
    kind: Text = Field(description="What sort of question it is, such as `count`.")
    scene_id: Text = Field(description="The source's own id of what it is about.")
    group: Text = Field(description="What a split keeps whole: image, video, album or room.")
    licence: str = Field(description="Licence of its pictures, or empty where unknown.")
    teacher: Text = Field(description="What wrote it: `templates`, or a model's name.")
    prompt_sha256: Sha256OrNone = Field(description="Digest of the prompt file, or empty.")
    request_key: Sha256OrNone = Field(description="Key of the request in the journal, or empty.")


class ImageBytes(Row):
    """A picture as `datasets` stores one: the file's own bytes."""

    bytes: bytes
    path: str = Field(pattern=FILE_NAME)


class SourceRef(Row):
    """Where a picture came from, and what was done to it: enough to make it again."""

    path: str = Field(pattern=RELATIVE_PATH, description="File below the source's directory.")
    sha256: Sha256 = Field(description="Digest of that file.")
    time: float | None = Field(None, description="Of a frame: seconds since the first one.")
    pts: int | None = Field(None, description="Of a frame: its time in the stream's own ticks.")
    time_base: str = Field("", description="Of a frame: seconds a tick, as `1/90000`; else empty.")
    decoder: str = Field("", description="Of a frame: what decoded it, its version; else empty.")
    jpeg_quality: int | None = Field(None, description="Quality of a JPEG that was made here.")
    instead_of: list[float] = Field(
        [], description="Times whose own frame does not decode, for which this nearest one stands."
    )
    notes: list[str] = Field(
        [],
        description="What was done to it or is to be known of it: `resized`, `re-encoded`, "
        "`metadata-stripped`, `salvaged`, `tone-mapped`, `damaged-video`, `unchecked`.",
    )


class ImageRow(Row):
    """One picture: its file as the source has it, unless `source_ref` says otherwise."""

    image_id: ImageId = Field(description="Unique over the dataset.")
    image: ImageBytes = Field(description="The picture's file; decoded by `datasets` when read.")
    sha256: Sha256 = Field(description="Digest of the file.")
    phash: str = Field(pattern=r"^[0-9a-f]{16}$", description="Perceptual hash, 64 bits.")
    width: int = Field(gt=0, description="Pixels, upright.")
    height: int = Field(gt=0, description="Pixels, upright.")
    format: Text = Field(description="Format of the file, such as `JPEG`.")
    source_ref: SourceRef = Field(description="Where it came from, and what was done to it.")
    licence: str = Field(description="SPDX id or the source's words, or empty where unknown.")
    descriptor: bytes | None = Field(
        None,
        min_length=DESCRIPTOR_BYTES,
        max_length=DESCRIPTOR_BYTES,
        description="What copies of it are found by that were cut, mirrored or changed in tone.",
    )


class Links(Row):
    """Why these in-context examples: best last, as they are to be shown."""

    query_id: InstructionId = Field(description="The instruction that is shown last.")
    context_ids: list[InstructionId] = Field(min_length=1, description="Equal to its rel_ins_ids.")
    scores: list[float] = Field(description="Similarity of each, in the same order.")
    strategies: list[str] = Field(description="Strategy that found each, in the same order.")


class Rejection(Row):
    """Something that was turned away, and why."""

    scene_id: str = Field(description="The source's own id, or empty where there was none.")
    source: Text = Field(description="Name of the generator.")
    stage: Text = Field(description="Where it was turned away.")
    reason: Text = Field(description="Short and countable, such as `missing-file`.")
    record: str = Field(description="What was turned away: an annotation, image or instruction.")
    detail: str = Field(description="What was found, in words.")
