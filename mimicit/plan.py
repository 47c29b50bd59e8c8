"""What a build would ask and cost, worked out before anything is sent. No network."""

import contextlib
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mimicit.authors import Attempt, TeacherAuthor
from mimicit.config import BuildConfig
from mimicit.errors import UsageError
from mimicit.journal import Journal, default_path
from mimicit.media import Media
from mimicit.prices import Price, PriceTable
from mimicit.progress import Track, silent
from mimicit.prompts import Prompt
from mimicit.schema import ImagePart, Message, Rejection, Reply, Request
from mimicit.sources import Source, judged, load_prompts
from mimicit.tokens import MESSAGE_OVERHEAD, PRIMING, Patches, Tiles, scaled, text_tokens

TOKENS_A_SECOND = 50.0
"""How fast a model is taken to write, where nobody says how long a reply takes."""

ENOUGH = 10
"""Replies from which the length of others is judged; with fewer, the worked examples serve."""

TILES = Tiles(85, 170)
PATCHES = Patches(1.0)
"""The two rules by which pictures are counted, shown where a model's own is not known."""


@dataclass(slots=True)
class Plan:
    """What is left to ask. Token counts are estimates, and are of what is left only.

    Attributes:
        model: The model that would be asked.
        scenes: Scenes of the sources.
        requests: Requests of all scenes, each once.
        known: Those that the journal has a reply for: free.
        images: Pictures that would be sent, one for each time it is sent.
        text_tokens: Input tokens of text.
        shared_tokens: Those of them that every request begins with, which providers may cache.
        tile_tokens: Input tokens of the pictures by the rule of tiles (`mimicit.tokens`).
        patch_tokens: The same by the rule of 32-pixel patches.
        image_tokens: The same by the model's own rule, where its price is known.
        output_tokens: What the replies are expected to hold.
        most_output_tokens: What they may hold at most, where the prompt limits it; else 0.
        price: The model's price, where it is known.
        journal: Where replies are looked up.
    """

    model: str
    scenes: int = 0
    requests: int = 0
    known: int = 0
    images: int = 0
    text_tokens: int = 0
    shared_tokens: int = 0
    tile_tokens: int = 0
    patch_tokens: int = 0
    image_tokens: int = 0
    output_tokens: int = 0
    most_output_tokens: int = 0
    price: Price | None = None
    journal: Path | None = None

    @property
    def left(self) -> int:
        """Requests that would be sent."""
        return self.requests - self.known

    @property
    def input_tokens(self) -> int:
        """Tokens sent, of text and of pictures."""
        return self.text_tokens + (self.image_tokens if self.price else self.tile_tokens)

    @property
    def cost(self) -> float | None:
        """US dollars expected, nothing cached; None where the price is not known."""
        return self.price.cost(self.input_tokens, self.output_tokens) if self.price else None

    @property
    def most_cost(self) -> float | None:
        """US dollars if every reply is as long as it may be; None where that is not known."""
        if not self.price or not self.most_output_tokens:
            return None
        return self.price.cost(self.input_tokens, self.most_output_tokens)

    def seconds(
        self,
        concurrency: int,
        *,
        reply_seconds: float | None = None,
        rpm: float | None = None,
        tpm_in: float | None = None,
        tpm_out: float | None = None,
    ) -> float:
        """Estimate how long asking takes: the slowest of what limits it.

        Args:
            concurrency: Requests under way at once.
            reply_seconds: How long one reply takes; None to guess from its length.
            rpm: Requests a minute that the endpoint allows.
            tpm_in: Tokens sent a minute that it allows.
            tpm_out: Tokens received a minute that it allows.
        """
        if not self.left:
            return 0.0
        each = reply_seconds or 1.0 + self.output_tokens / self.left / TOKENS_A_SECOND
        limits = [self.left * each / min(concurrency, self.left)]
        if rpm:
            limits.append(60 * self.left / rpm)
        if tpm_in:
            limits.append(60 * self.input_tokens / tpm_in)
        if tpm_out:
            limits.append(60 * self.output_tokens / tpm_out)
        return max(limits)


def plan(
    config: BuildConfig,
    prices: PriceTable,
    *,
    journal: str | Path | None = None,
    media_cache: str | Path | None = None,
    track: Track = silent,
) -> Plan:
    """Work out what a build would ask.

    Args:
        config: What would be built.
        prices: What models cost.
        journal: Where replies are kept; a journal that is not there is not made.
        media_cache: Directory of what is known of pictures: as for `mimicit.build`.
        track: Shows progress.

    Raises:
        UsageError: the configuration asks nobody, or cannot be carried out.
        SourceError: an input is missing or damaged as a whole.
    """
    if config.teacher == "templates":
        raise UsageError("the templates cost nothing; name --teacher openai --model NAME")
    sources = [Source(entry, config) for entry in config.sources]
    prompts = load_prompts(config, sources)
    path = Path(journal or default_path())
    none: dict[str, Reply] = {}
    with contextlib.ExitStack() as stack:
        media = stack.enter_context(judged(config, sources, track, media_cache))
        kept = stack.enter_context(Journal(path, create=False)) if path.is_file() else none
        author = TeacherAuthor(config, prompts, media, kept)
        count = _Count(config, prices, media, prompts)
        count.plan.journal = path
        scenes = (item for source in sources for item in track(source.scenes(), "plan", "scenes"))
        for scene, _ in media.judged(scenes):
            messages = author.messages(scene) if scene else None
            if scene and messages and not isinstance(messages, Rejection):
                for attempt in author.attempts(scene, messages):
                    count.add(attempt, scene.source)
    return count.finish()


def first_request(config: BuildConfig) -> Request:
    """Make the request about the first scene of a build that is worth asking about.

    Raises:
        UsageError: there is none, or the prompt is not right.
        SourceError: an input is missing or damaged as a whole.
    """
    sources = [Source(entry, config) for entry in config.sources]
    prompts = load_prompts(config, sources)
    why = "there is no scene"
    with judged(config, sources, silent) as media:
        author = TeacherAuthor(config, prompts, media, {})
        for scene, rejections in media.judged(item for s in sources for item in s.scenes()):
            if rejections:
                why = f"{rejections[0].reason}: {rejections[0].detail}"
            messages = author.messages(scene) if scene else None
            if isinstance(messages, Rejection):
                why = f"{messages.reason}: {messages.detail}"
            elif scene and messages:
                return next(author.attempts(scene, messages)).request
    raise UsageError(f"nothing would be asked: {why}")


class _Count:
    """Adds requests up."""

    def __init__(
        self,
        config: BuildConfig,
        prices: PriceTable,
        media: Media,
        prompts: Mapping[str, Prompt],
    ) -> None:
        model = config.model or ""
        self.plan = Plan(model, scenes=media.scenes, price=prices.find(model))
        self._media = media
        self._max_side = config.send_max_side
        self._keys: set[str] = set()
        self._seen_tokens = 0
        self._shared = {
            name: _text(prompt.shared) + text_tokens(prompt.reply_schema)
            for name, prompt in prompts.items()
        }
        self._counts = {name: len(prompt.shared) for name, prompt in prompts.items()}
        self._expected = {
            name: statistics.fmean(map(text_tokens, prompt.example_replies))
            for name, prompt in prompts.items()
        }

    def add(self, attempt: Attempt, source: str) -> None:
        """Count a request: free if it has a reply, else by its parts."""
        plan, request = self.plan, attempt.request
        if request.key in self._keys:  # two scenes that ask the same share a reply
            return
        self._keys.add(request.key)
        plan.requests += 1
        if attempt.reply:
            plan.known += 1
            self._seen_tokens += attempt.reply.output_tokens
            return
        own = request.messages[self._counts[source] :]
        plan.shared_tokens += self._shared[source]
        plan.text_tokens += self._shared[source] + _text(own) + PRIMING
        for message in own:
            for part in message.parts:
                if isinstance(part, ImagePart):
                    self._add_picture(part)
        plan.output_tokens += round(self._expected[source])
        limits = dict(request.parameters)
        limit = limits.get("max_tokens", limits.get("max_completion_tokens"))
        plan.most_output_tokens += limit if isinstance(limit, int) else 0

    def finish(self) -> Plan:
        """Expect replies such as those in the journal, once there are some."""
        if self.plan.known >= ENOUGH:
            self.plan.output_tokens = round(self.plan.left * self._seen_tokens / self.plan.known)
        return self.plan

    def _add_picture(self, part: ImagePart) -> None:
        size = scaled(*self._media.size(part), part.max_side)
        self.plan.images += 1
        self.plan.tile_tokens += TILES.tokens(*size)
        self.plan.patch_tokens += PATCHES.tokens(*size)
        if self.plan.price:
            self.plan.image_tokens += self.plan.price.image_tokens.tokens(*size)


def _text(messages: Sequence[Message]) -> int:
    return sum(
        MESSAGE_OVERHEAD + sum(text_tokens(part) for part in m.parts if isinstance(part, str))
        for m in messages
    )
