"""Authors: who makes a scene's exchanges. By rule and for free, or out of a teacher's replies.

Both passes that follow the media pass go through an author. Asking wants the requests that have
no reply yet; assembling wants instructions, rejections, and what is still pending.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from mimicit import replies, templates
from mimicit.checks import check, text_problem
from mimicit.config import BuildConfig
from mimicit.media import Media
from mimicit.prompts import MAX_CHARACTERS, Prompt
from mimicit.schema import (
    Exchange,
    ImageInfo,
    ImagePart,
    ImageRef,
    Instruction,
    Message,
    Rejection,
    Reply,
    Request,
    Scene,
)


@dataclass(frozen=True, slots=True)
class Pending:
    """A request that has no reply yet."""

    scene_id: str
    key: str


Written = Instruction | Rejection | Pending | Reply
"""What comes of a scene."""


class Author(Protocol):
    """Makes the exchanges of scenes."""

    def write(self, scene: Scene) -> Iterator[Written]:
        """Give a scene's instructions, what was turned away or is pending, and replies used."""


@dataclass(frozen=True, slots=True)
class TemplatesAuthor:
    """Writes by rule (`mimicit.templates`)."""

    seed: int

    def write(self, scene: Scene) -> Iterator[Written]:
        """Give what the annotations support."""
        exchanges = templates.write(scene, self.seed)
        if not exchanges:
            detail = templates.silence(scene)
            yield scene.reject("templates", "nothing-to-say", scene.id, detail)
        ids = [scene.instruction_id(ordinal) for ordinal in range(len(exchanges))]
        made = _Making(scene, templates.NAME, templates.wording_sha256(scene))
        yield from made.checked(exchanges, ids, [""] * len(ids))


@dataclass(frozen=True, slots=True)
class Attempt:
    """One time of asking about a scene.

    Attributes:
        request: What is asked.
        key: Its key.
        number: Its place among the scene's attempts; part of the ids of what comes of it.
        reply: What the journal has for it.
    """

    request: Request
    key: str
    number: int
    reply: Reply | None


class Replies(Protocol):
    """Replies by key: a journal, or a plain dictionary."""

    def get(self, key: str, /) -> Reply | None:
        """Give the reply to a request, or None."""


class TeacherAuthor:
    """Asks a teacher: prompts make requests of scenes, replies in the journal make exchanges."""

    def __init__(
        self, config: BuildConfig, prompts: Mapping[str, Prompt], media: Media, kept: Replies
    ) -> None:
        self._config = config
        self._teacher = config.teacher_name
        self._prompts = prompts
        self._media = media
        self._kept = kept

    def write(self, scene: Scene) -> Iterator[Written]:
        """Give what the replies in the journal come to. Asks nobody."""
        messages = self.messages(scene)
        if isinstance(messages, Rejection):
            yield messages
            return
        exchanges: list[Exchange] = []
        ids: list[str] = []
        keys: list[str] = []
        for attempt in self.attempts(scene, messages):
            if attempt.reply is None:
                yield Pending(scene.id, attempt.key)
                continue
            yield attempt.reply
            try:
                found = replies.read(attempt.reply)
            except replies.UnusableReply as error:
                record = scene.instruction_id(0, attempt.number)
                yield scene.reject("reply", error.reason, record, error.detail)
                continue
            exchanges += found
            ids += [scene.instruction_id(n, attempt.number) for n in range(len(found))]
            keys += [attempt.key] * len(found)
        made = _Making(scene, self._teacher, self._prompts[scene.source].sha256)
        yield from made.checked(exchanges, ids, keys)

    def unanswered(self, scene: Scene) -> tuple[list[Request], int]:
        """List a scene's requests without a reply, and count those with one."""
        messages = self.messages(scene)
        if isinstance(messages, Rejection):
            return [], 0
        attempts = list(self.attempts(scene, messages))
        missing = [attempt.request for attempt in attempts if attempt.reply is None]
        return missing, len(attempts) - len(missing)

    def messages(self, scene: Scene) -> tuple[Message, ...] | Rejection:
        """Write what is asked about a scene, or say why it is not worth paying for.

        Raises:
            UsageError: the prompt fails on this scene.
        """
        if not scene.annotations and not self._config.vision:
            detail = "no annotation, and the teacher does not see the pictures"
            return scene.reject("prompt", "nothing-to-say", scene.id, detail)
        messages = self._prompts[scene.source].messages(scene, self._pictures(scene))
        length = sum(len(part) for part in messages[-1].parts if isinstance(part, str))
        if length > MAX_CHARACTERS:
            detail = f"{length:,} characters, more than {MAX_CHARACTERS:,}"
            return scene.reject("prompt", "too-long", scene.id, detail)
        return messages

    def attempts(self, scene: Scene, messages: tuple[Message, ...]) -> Iterator[Attempt]:
        """List what is asked about a scene: its replicates, and then what is asked once more."""
        times = self._config.replicates
        last: list[Attempt] = []
        for replicate in range(times):
            attempt = self._attempt(scene, messages, replicate, replicate)
            last.append(attempt)
            yield attempt
        for again in range(1, self._config.reask + 1):
            following = []
            for attempt in last:
                why = attempt.reply and _what_is_wrong(attempt.reply)
                if attempt.reply and why:
                    longer = _with_objection(attempt.request, attempt.reply, why)
                    replicate = attempt.request.replicate
                    number = replicate + again * times
                    following.append(self._attempt(scene, longer, replicate, number))
            yield from following
            last = following

    def _attempt(
        self, scene: Scene, messages: tuple[Message, ...], replicate: int, number: int
    ) -> Attempt:
        prompt = self._prompts[scene.source]
        parameters = {**prompt.parameters, **self._config.parameters}
        if parameters.get("max_completion_tokens"):  # the same limit under its newer name
            parameters.pop("max_tokens", None)
        request = Request(
            teacher=self._teacher,
            messages=messages,
            parameters=tuple((k, v) for k, v in sorted(parameters.items()) if v is not None),
            reply_schema=prompt.reply_schema,
            replicate=replicate,
        )
        key = request.key
        return Attempt(request, key, number, self._kept.get(key))

    def _pictures(self, scene: Scene) -> list[ImagePart]:
        if not self._config.vision:
            return []
        limit = self._config.send_max_side
        return [_part(ref, self._media.infos[ref.id], limit) for ref in scene.images]


def _part(ref: ImageRef, info: ImageInfo, limit: int) -> ImagePart:
    large = max(info.width, info.height) > limit
    return ImagePart(
        content=info.content or info.sha256,
        max_side=limit if large else 0,  # one that is small enough is the same under any limit
        ref=ref,
        sha256=info.sha256,
        media_type="" if large else info.media_type,
    )


@dataclass(frozen=True, slots=True)
class _Making:
    """Makes instructions of a scene's exchanges."""

    scene: Scene
    teacher: str
    prompt_sha256: str

    def checked(
        self, exchanges: Sequence[Exchange], ids: Sequence[str], keys: Sequence[str]
    ) -> Iterator[Instruction | Rejection]:
        """Check exchanges together, each with its instruction id and its request's key."""
        images = [ref.id for ref in self.scene.images]
        licence = self.scene.licence
        for (exchange, reason), name, key in zip(check(exchanges), ids, keys, strict=True):
            if reason:
                detail = f"{exchange.instruction!r}: {exchange.answer!r}"[:500]
                yield self.scene.reject("checks", reason, name, detail)
            else:
                yield self._instruction(exchange, name, key, images, licence)

    def _instruction(
        self, exchange: Exchange, name: str, key: str, images: list[str], licence: str
    ) -> Instruction:
        scene = self.scene
        return Instruction(
            id=name,
            instruction=exchange.instruction,
            answer=exchange.answer,
            image_ids=images,
            rel_ins_ids=[],
            source=scene.source,
            split=scene.split,
            language=scene.language,
            kind=exchange.kind,
            scene_id=scene.id,
            group=scene.groups[0],
            licence=licence,
            teacher=self.teacher,
            prompt_sha256=self.prompt_sha256,
            request_key=key,
        )


OBJECTIONS = {
    "truncated": "it was cut off before its end; be shorter",
    "refusal": "it declined; write only what is harmless and plain to see",
    "empty": "something in it was empty",
    "empty-reply": "it was empty",
    "annotation-leak": "it spoke of the notes, which nobody but you has read; speak of the picture",
    "special-token": "it contained tokens that are reserved, such as <image>",
    "control-character": "it contained control characters",
}
"""What a teacher is told about a reply that was of no use, by the reason."""


def _what_is_wrong(reply: Reply) -> str:
    """Say why nothing of a reply can be kept; "" where something can."""
    try:
        exchanges = replies.read(reply)
    except replies.UnusableReply as error:
        return OBJECTIONS.get(error.reason, "it was not of the form that was asked for")
    problems = [text_problem(e.instruction) or text_problem(e.answer) for e in exchanges]
    if not all(problems):
        return ""
    return OBJECTIONS.get(problems[0] if problems else "empty-reply", "it was of no use")


def _with_objection(request: Request, reply: Reply, why: str) -> tuple[Message, ...]:
    said = reply.text[:4000].strip() or "(nothing)"
    objection = f"That reply cannot be used: {why}. Write the whole reply again."
    return (*request.messages, Message("assistant", (said,)), Message("user", (objection,)))
