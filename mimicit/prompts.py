"""Prompts: one YAML file a source, checked when it is loaded, rendered a scene at a time.

What all scenes share (system message, worked examples) comes first and is the same bytes for
every scene, so that providers' prompt caches hit; the scene's own message comes last.

A template is Jinja2 in its sandbox, and an undefined name is an error. Annotations are values to
it, never template text; each is put on one line and its special tokens are broken, so that no
caption can pose as another part of the conversation.
"""

import dataclasses
import hashlib
import itertools
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import jinja2
import jsonschema
import referencing
import yaml
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import BaseModel, ConfigDict, Field, ValidationError

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
from mimicit.checks import HIDDEN, SPECIAL_TOKENS
from mimicit.config import Parameters, explain
from mimicit.errors import UsageError
from mimicit.schema import ImagePart, ImageRef, Message, Scene

MAX_BYTES = 2**20
"""Largest prompt file that is read."""

MAX_CHARACTERS = 400_000
"""Longest message that is made of one scene's annotations."""

VARIABLES: dict[str, type[Annotation]] = {
    "captions": Caption,
    "boxes": Box,
    "segments": Segment,
    "narrations": Narration,
    "differences": Difference,
    "stories": Story,
    "utterances": Utterance,
    "dialogues": Dialogue,
    "notes": Note,
}
"""Each kind of annotation by the name that templates know it by."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as a template sees it.

    Attributes:
        number: Its place in the scene, from 1.
        width: Pixels; 0 where that is not known.
        height: Pixels; 0 where that is not known.
        time: Of a frame: seconds since the first one of its video; else None.
    """

    number: int
    width: int
    height: int
    time: float | None = None


class _ExampleScene(BaseModel):
    """The annotations of a worked example, as typed as those of a real scene."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sizes: Annotated[tuple[tuple[int, int], ...], Field(min_length=1)]
    captions: tuple[Caption, ...] = ()
    boxes: tuple[Box, ...] = ()
    segments: tuple[Segment, ...] = ()
    narrations: tuple[Narration, ...] = ()
    differences: tuple[Difference, ...] = ()
    stories: tuple[Story, ...] = ()
    utterances: tuple[Utterance, ...] = ()
    dialogues: tuple[Dialogue, ...] = ()
    notes: tuple[Note, ...] = ()
    times: tuple[float, ...] = ()

    @property
    def pictures(self) -> list[Picture]:
        """The pictures as a template sees them; frames where there are times."""
        times = itertools.chain(self.times, itertools.repeat(None))
        numbered = enumerate(zip(self.sizes, times, strict=False), 1)
        return [Picture(number, *size, time) for number, (size, time) in numbered]


class _Example(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    scene: _ExampleScene
    reply: dict[str, Any]


class _PromptFile(BaseModel):
    """A file of `prompts/`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    system: Annotated[str, Field(min_length=1)]
    user: Annotated[str, Field(min_length=1)]
    reply: dict[str, Any]
    parameters: Parameters = {}
    examples: Annotated[tuple[_Example, ...], Field(min_length=3)]


@dataclass(frozen=True, slots=True)
class Prompt:
    """A loaded prompt.

    Attributes:
        path: Its file.
        sha256: Digest of the file.
        reply_schema: JSON Schema of the reply, as canonical JSON text.
        parameters: What to ask the endpoint for besides, such as `max_tokens`.
        shared: The messages that come first, for every scene the same.
        example_replies: The worked examples' replies, as JSON text.
    """

    path: Path
    sha256: str
    reply_schema: str
    parameters: Parameters
    shared: tuple[Message, ...]
    example_replies: tuple[str, ...]
    _template: jinja2.Template = field(repr=False)

    def messages(self, scene: Scene, images: Sequence[ImagePart]) -> tuple[Message, ...]:
        """Write the messages about a scene.

        Args:
            scene: What is asked about.
            images: Its pictures, in order, where the teacher sees; else none.

        Raises:
            UsageError: the template fails on this scene.
        """
        known = _variables(scene.annotations)
        pictures = [_picture(number, ref) for number, ref in enumerate(scene.images, 1)]
        parts = self._parts(known, pictures, scene.language, images, f"scene {scene.id!r}")
        return (*self.shared, Message("user", parts))

    def _parts(
        self,
        known: Mapping[str, Sequence[Annotation]],
        pictures: Sequence[Picture],
        language: str,
        images: Sequence[ImagePart],
        about: str,
    ) -> tuple[str | ImagePart, ...]:
        # Nobody can guess the mark, so no annotation can place or repeat a picture.
        secret = secrets.token_hex(16)
        mark = f"[picture {secret} "
        try:
            text = self._template.render(
                **known,
                images=pictures,
                image=_Image(mark, len(images)),
                vision=bool(images),
                language=language,
            ).strip()
        except Exception as error:  # templates may fail as any program may
            raise UsageError(f"{str(self.path)!r}: `user` fails on {about}: {error}") from error
        first, *rest = text.split(mark)
        parts: list[str | ImagePart] = [first]
        for piece in rest:
            number, _, after = piece.partition("]")
            parts += [images[int(number) - 1], after]
        if secret in "".join(part for part in parts if isinstance(part, str)).lower():
            raise UsageError(f"{str(self.path)!r}: `user` changes what image(…) gives; leave it be")
        if not rest:
            parts = [*images, text]
        return tuple(part for part in parts if not isinstance(part, str) or part.strip())


def _picture(number: int, ref: ImageRef) -> Picture:
    time = ref.origin.time if ref.origin else None
    return Picture(number, *(ref.size or (0, 0)), time)


class _Image:
    """What `image` is in a template: called with a number it stands for that picture."""

    def __init__(self, mark: str, count: int) -> None:
        self._mark = mark
        self._count = count

    def __call__(self, number: int) -> str:
        if not self._count:
            return ""
        if type(number) is not int or not 1 <= number <= self._count:
            raise ValueError(f"image({number!r}), but there are pictures 1 to {self._count}")
        return f"{self._mark}{number}]"

    def __str__(self) -> str:
        raise ValueError("`image` needs a number, as in image(1)")


def _variables(annotations: Sequence[Annotation]) -> dict[str, list[Annotation]]:
    return {
        name: [a for a in annotations if isinstance(a, kind)] for name, kind in VARIABLES.items()
    }


def _harmless(value: object) -> object:
    """Put what a template inserts on one line, and break tokens that would begin another turn."""
    if not isinstance(value, str):
        return value
    line = " ".join(HIDDEN.sub("", value.replace("\r", " ")).split())
    return SPECIAL_TOKENS.sub(lambda found: f"{found[0][0]} {found[0][1:]}", line)


_ENVIRONMENT = ImmutableSandboxedEnvironment(
    undefined=jinja2.StrictUndefined,
    finalize=_harmless,
    trim_blocks=True,
    lstrip_blocks=True,
    autoescape=False,  # the text goes to a model, not to a browser
)
# The same scene is the same request, or it would be paid for again each time.
_ENVIRONMENT.filters.pop("random")
_ENVIRONMENT.globals.pop("lipsum")


@lru_cache(maxsize=64)
def _content(data: bytes) -> _PromptFile:
    """Read a prompt's fields, once for every build of a process: YAML takes long."""
    return _PromptFile.model_validate(yaml.safe_load(data))


def load(path: Path) -> Prompt:
    """Read and check a prompt: its fields, its template, and each example against the schema.

    Raises:
        UsageError: something is wrong with it; the message says what and where.
    """
    try:
        data = _read(path)
        content = _content(data)
        template = _ENVIRONMENT.from_string(content.user)
        schema = _checked_schema(content.reply)
        # in the order in which the fields are to be written
        reply_schema = json.dumps(content.reply, ensure_ascii=False, allow_nan=False)
        replies = tuple(
            json.dumps(e.reply, ensure_ascii=False, allow_nan=False) for e in content.examples
        )
    except ValidationError as error:
        raise UsageError(f"the prompt {str(path)!r} is not right:\n{explain(error)}") from error
    except jinja2.TemplateSyntaxError as error:
        raise UsageError(
            f"the prompt {str(path)!r}: `user`, line {error.lineno}: {error.message}"
        ) from error
    except OSError as error:
        raise UsageError(f"cannot read the prompt {str(path)!r}: {error.strerror}") from error
    except Exception as error:  # a file may be wrong in any way
        raise UsageError(f"the prompt {str(path)!r} is not right: {error}") from error
    bare = Prompt(
        path=path,
        sha256=hashlib.sha256(data).hexdigest(),
        reply_schema=reply_schema,
        parameters=content.parameters,
        shared=(),
        example_replies=replies,
        _template=template,
    )
    return _with_examples(bare, content, schema)


def _read(path: Path) -> bytes:
    if path.exists() and not path.is_file():
        raise ValueError("it is no file")
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"it is larger than {MAX_BYTES:,} bytes")
    return data


def _checked_schema(schema: dict[str, Any]) -> jsonschema.Draft202012Validator:
    """Check that a reply schema is one, and asks for exchanges of an instruction and an answer."""
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
        fields = schema["properties"]["exchanges"]["items"]["properties"]
        complete = {"instruction", "answer"} <= fields.keys()
    except jsonschema.SchemaError as error:
        raise ValueError(f"`reply` is no JSON Schema: {error.message}") from error
    except (KeyError, TypeError, AttributeError):
        complete = False
    if not complete:
        raise ValueError(
            "`reply` must be the schema of an object with a list `exchanges`, whose items have "
            "an `instruction` and an `answer`"
        )
    # an empty registry: a schema that points elsewhere is an error, and nothing is fetched
    return jsonschema.Draft202012Validator(schema, registry=referencing.Registry())


def _with_examples(
    bare: Prompt, content: _PromptFile, schema: jsonschema.Draft202012Validator
) -> Prompt:
    """Add the shared messages: the system's, then each worked example as a turn and its reply."""
    shared = [Message("system", (content.system.strip(),))]
    for number, (example, reply) in enumerate(
        zip(content.examples, bare.example_replies, strict=True), 1
    ):
        _check_example(bare.path, number, example.reply, schema)
        known = {name: list(getattr(example.scene, name)) for name in VARIABLES}
        pictures, about = example.scene.pictures, f"example {number}"
        parts = bare._parts(known, pictures, "en", (), about)  # noqa: SLF001  # our own
        seen = [ImagePart("", 0, ImageRef("", "", "")) for _ in pictures]
        bare._parts(known, pictures, "en", seen, about)  # noqa: SLF001  # to check the template
        shared += [Message("user", parts), Message("assistant", (reply,))]
    return dataclasses.replace(bare, shared=tuple(shared))


def _check_example(
    path: Path, number: int, reply: dict[str, Any], schema: jsonschema.Draft202012Validator
) -> None:
    try:
        problem = next(schema.iter_errors(reply), None)
    except referencing.exceptions.Unresolvable as error:
        raise UsageError(f"the prompt {str(path)!r}: `reply` points elsewhere: {error}") from error
    except Exception as error:  # a schema that refers to itself, or to what is no schema
        raise UsageError(f"the prompt {str(path)!r}: `reply` cannot be used: {error}") from error
    if problem:
        place = "/".join(map(str, problem.absolute_path))
        raise UsageError(
            f"the prompt {str(path)!r}: the reply of example {number} does not obey `reply`: "
            f"{place}: {problem.message}"
        )
