"""The build, in three passes: media, ask, assemble.

A generator reads one source's annotations and media as scenes; scenes become exchanges; checked
exchanges become instructions; the context linker says which instructions
serve as in-context examples for which; the writer publishes them as checked shards whose image
ids point into a separate image store.

Scenes become exchanges either by rule (templates, free), and then there is nothing to ask; or by a
prompt, a request, a teacher and its reply, which the journal keeps.
"""

import contextlib
import functools
import gc
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mimicit.asking import ask
from mimicit.assemble import Assembly
from mimicit.authors import Author, TeacherAuthor, TemplatesAuthor
from mimicit.budget import Budget, account_of, find_price
from mimicit.card import Tally, describe_dataset, versions
from mimicit.config import BuildConfig, Endpoint
from mimicit.directory import replacing
from mimicit.errors import Incomplete
from mimicit.feeding import Look
from mimicit.fleet import Asked
from mimicit.journal import Journal, default_path
from mimicit.linking import how_to_link
from mimicit.media import Media
from mimicit.prices import Price
from mimicit.progress import Track, silent
from mimicit.prompts import Prompt
from mimicit.schema import SPLITS
from mimicit.sources import Source, judged, load_prompts
from mimicit.teachers import Teacher
from mimicit.teachers.limits import Limits
from mimicit.validate import validate
from mimicit.writer import FileEntry, count_rows

DEFAULT_ENDPOINT = Endpoint()
"""The endpoint that the environment names."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a build made.

    Attributes:
        out: The dataset directory.
        scenes: Scenes that were read.
        instructions: Rows published, over all splits.
        splits: Rows published in each split.
        images: Pictures published.
        links: In-context examples, over all instructions.
        rejected: How many records were turned away, by (stage, reason).
        equal_pictures: Pictures equal to another one under a different id.
        size_bytes: Size of the dataset.
        seconds: Wall-clock time.
        asked: What was asked of the teacher, and what the journal had.
        pending: Requests without a reply, where a partial dataset was asked for.
        journal: Where the replies are kept; None where nobody is asked.
        advice: What would make it faster the next time, in lines for the user.
    """

    out: Path
    scenes: int
    instructions: int
    splits: dict[str, int]
    images: int
    links: int
    rejected: dict[tuple[str, str], int]
    equal_pictures: int
    size_bytes: int
    seconds: float
    asked: Asked
    pending: int
    journal: Path | None
    advice: Sequence[str] = ()


def build(  # noqa: PLR0913  # the public call, by keyword
    config: BuildConfig,
    out: str | Path,
    *,
    track: Track = silent,
    journal: str | Path | None = None,
    media_cache: str | Path | None = None,
    endpoint: Endpoint | None = DEFAULT_ENDPOINT,
    budget_usd: float | None = None,
    prices: str | Path | None = None,
    partial: bool = False,
) -> Summary:
    """Build a dataset and publish it at `out`, replacing the dataset that was there.

    Until the very end `out` is as it was. Same configuration, inputs, replies: same bytes.

    Args:
        config: What to build.
        out: Directory of the dataset.
        track: Shows progress (`mimicit.progress`).
        journal: Where a teacher's replies are kept; None for `mimicit.journal.default_path`.
        media_cache: Directory of verdicts on pictures and of frames cut out of videos, which
            later builds use again; None for `$MIMICIT_MEDIA`, else `.mimicit/media`.
        endpoint: Where a teacher is asked; None to ask for nothing, and use what the journal has.
        budget_usd: US dollars that this dataset may cost, all in all, however often it is built.
        prices: File of prices over those that come with mimicit (`mimicit.prices`).
        partial: Publish even if some requests have no reply yet.

    Raises:
        UsageError: the configuration cannot be carried out. Nothing is published in any case.
        SourceError: an input is missing or damaged as a whole, or gave no instruction at all.
        TeacherError: the endpoint is unusable; replies are kept.
        BudgetExceeded: the next request may cost more than is left; replies are kept.
        Incomplete: requests have no reply yet; replies are kept.
        MimicitError: the disk is full or cannot be written to.
        InvalidDataset: what was built breaks the rules of `mimicit validate`: a defect of mimicit.
    """
    start = time.monotonic()
    sources = [Source(entry, config) for entry in config.sources]
    views, wider = how_to_link(config, {s.generator.name: type(s.generator) for s in sources})
    loaded = load_prompts(config, sources)
    price = find_price(config.model or "", Path(prices) if prices else None, budget_usd)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_seldom_collected())
        directory = stack.enter_context(replacing(Path(out)))
        kept = None
        if config.teacher != "templates":
            made = Journal(Path(journal or default_path()), create=endpoint is not None)
            kept = stack.enter_context(made)
        assembly = stack.enter_context(Assembly(directory, config.format))
        with judged(config, sources, track, media_cache) as media:
            passes = _Passes(config, sources, media, kept, track)
            budget = _account(Path(out), kept, media, endpoint, price, budget_usd)
            asked = passes.run(loaded, endpoint, budget, assembly, partial=partial)
        del media, passes, budget  # what is known of a million pictures is not needed any more
        _refuse_unfinished(assembly.tally, partial=partial)
        tables = assembly.finish(views, wider, track)
        listed = describe_dataset(directory, tables, assembly.tally, config, _provenance(config))
        # Its pictures were decoded by the media pass, and its files hashed when they were written.
        validate(directory, decode="none", measured={each.path: each.sha256 for each in listed})
    return _summary(Path(out), listed, assembly, asked, start, kept)


def _account(  # noqa: PLR0913  # whose, where, and how much may be spent
    out: Path,
    journal: Journal | None,
    media: Media,
    endpoint: Endpoint | None,
    price: Price | None,
    usd: float | None,
) -> Budget | None:
    """Open the account of a dataset; None where nobody is asked."""
    if journal is None or endpoint is None:
        return None
    name = account_of(out, journal.path)
    return Budget(journal, name, media.size, price=price, limit=usd, batch=endpoint.batch)


@dataclass(frozen=True, slots=True)
class _Passes:
    """The passes that walk the scenes, once their pictures are judged."""

    config: BuildConfig
    sources: Sequence[Source]
    media: Media
    journal: Journal | None
    track: Track

    def run(
        self,
        prompts: Mapping[str, Prompt],
        endpoint: Endpoint | None,
        budget: Budget | None,
        assembly: Assembly,
        *,
        partial: bool,
    ) -> Asked:
        """Ask for what there is no reply for, and assemble.

        Raises:
            Incomplete: requests have no reply yet, and the dataset is not to be partial.
        """
        if self.journal is None:
            self._assemble(assembly, TemplatesAuthor(self.config.seed))
            return Asked()
        author = TeacherAuthor(self.config, prompts, self.media, self.journal)
        asked = Asked()
        if endpoint and budget:
            asked = self._ask(author, self.journal, endpoint, budget)
        _refuse_pending(asked, self.journal.path, calls=True, partial=partial)
        self._assemble(assembly, author)
        if endpoint is None:
            asked.known = assembly.tally.replies
            asked.failures["not asked"] = assembly.tally.pending
            _refuse_pending(asked, self.journal.path, calls=False, partial=partial)
        return asked

    def _assemble(self, assembly: Assembly, author: Author) -> None:
        scenes = (
            item for s in self.sources for item in self.track(s.scenes(), "assemble", "scenes")
        )
        assembly.read(self.media.judged(scenes), self.media, author)

    def _ask(
        self, author: TeacherAuthor, journal: Journal, endpoint: Endpoint, budget: Budget
    ) -> Asked:
        limits = Limits(
            endpoint.concurrency,
            rpm=endpoint.rpm,
            tpm_in=endpoint.tpm_in,
            tpm_out=endpoint.tpm_out,
            patience=endpoint.patience,
        )

        def open_teacher() -> Teacher:
            from mimicit.teachers.openai import OpenAITeacher  # noqa: PLC0415  # slow to import

            model = self.config.model or ""
            return OpenAITeacher(model, endpoint, self.media.data_url, limits, budget)

        return ask(
            functools.partial(self._looks, author),
            journal,
            open_teacher,
            budget=budget,
            limits=limits,
            concurrency=endpoint.concurrency,
            rounds=self.config.reask,
            total=self.media.scenes * self.config.replicates,
            track=self.track,
            batch=endpoint.batch,
            teacher=self.config.teacher_name,
        )

    def _looks(self, author: TeacherAuthor) -> Iterator[Look]:
        """Walk all scenes, each to be looked up if and when that is wanted."""
        items = (item for source in self.sources for item in source.scenes())
        for scene, _ in self.media.judged(items):
            if scene:
                yield functools.partial(author.unanswered, scene)


@contextlib.contextmanager
def _seldom_collected() -> Iterator[None]:
    """Look for garbage seldom: rows and verdicts by the million hold no cycles.

    Looking through all of them again and again took a quarter of a large build's time.
    """
    before = gc.get_threshold()
    gc.set_threshold(100_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _summary(  # noqa: PLR0913  # everything that a summary tells
    out: Path,
    entries: list[FileEntry],
    assembly: Assembly,
    asked: Asked,
    start: float,
    journal: Journal | None,
) -> Summary:
    counts, tally = count_rows(entries), assembly.tally
    return Summary(
        out=out,
        scenes=tally.scenes,
        instructions=counts["instructions"],
        splits={split: tally.splits[split] for split in SPLITS if tally.splits[split]},
        images=counts["images"],
        links=tally.links,
        rejected=dict(sorted(tally.rejected.items())),
        equal_pictures=tally.equal_pictures,
        size_bytes=sum(entry.bytes for entry in entries),
        seconds=time.monotonic() - start,
        asked=asked,
        pending=tally.pending,
        journal=journal.path if journal else None,
        advice=assembly.advice,
    )


def _refuse_pending(asked: Asked, journal: Path, *, calls: bool, partial: bool) -> None:
    """Refuse to publish while requests have no reply, unless that is asked for.

    Raises:
        Incomplete: there are some.
    """
    pending = sum(asked.failures.values())
    if not pending or partial:
        return
    why = ", ".join(f"{count:,} {reason}" for reason, count in asked.failures.most_common(5))
    first = f"\nThe first: {asked.detail}" if asked.detail else ""
    advice = "run again to go on"
    if not calls:
        advice = "run without --no-calls, name the journal that has the others with --journal"
    raise Incomplete(
        f"{pending:,} of {pending + asked.known + asked.replies:,} requests have no reply "
        f"({why}), so nothing was published.{first}\n"
        f"Every reply is kept in the journal {str(journal)!r}: {advice}, or publish what there is "
        "with --partial."
    )


def _refuse_unfinished(tally: Tally, *, partial: bool) -> None:
    """Refuse to publish where assembling met requests that were not there when asking.

    Raises:
        Incomplete: it did.
    """
    if tally.pending and not partial:
        raise Incomplete(
            f"{tally.pending:,} requests have no reply, so nothing was published: annotations or "
            "prompts changed during the build. Run again to go on."
        )


def _provenance(config: BuildConfig) -> dict[str, object]:
    """Say what made a dataset, and when, where that is to be told."""
    used = versions("inflect", "numpy", "pillow", "pyarrow")
    date = {"date": config.date.isoformat()} if config.date else {}
    return {"versions": used, "teacher": config.teacher_name, **date}
