"""What a build is asked to do, as a user writes it and as a dataset records it."""

import contextlib
import datetime as dt
import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from mimicit.errors import UsageError
from mimicit.schema import Parameter
from mimicit.splits import check_shares, parse_shares
from mimicit.stored import StoreForm

RESERVED = frozenset(["model", "messages", "n", "stream", "stream_options", "response_format"])
"""Parameters that have an option of their own, or must be as they are."""


def _plain_parameters(parameters: dict[str, Parameter]) -> dict[str, Parameter]:
    """Refuse what mimicit sets itself, and numbers that JSON cannot spell."""
    taken = RESERVED & parameters.keys()
    if taken:
        raise ValueError(f"{min(taken)!r} is set by mimicit itself")
    json.dumps(parameters, allow_nan=False)
    return parameters


Parameters = Annotated[dict[str, Parameter], AfterValidator(_plain_parameters)]
"""Parameters of a request by name, such as temperature; None drops one."""


def _read_shares(shares: object) -> object:
    """Take shares as a user types them on the command line as well."""
    return parse_shares(shares) if isinstance(shares, str) else shares


def _as_list(links: object) -> object:
    """Take one view as text."""
    return [links] if isinstance(links, str) else links or []


Shares = Annotated[dict[str, float], BeforeValidator(_read_shares), AfterValidator(check_shares)]
"""Part of the groups by split."""


class SourceConfig(BaseModel):
    """One source of a build: its name, its options, or its own sample."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    options: dict[str, str] = {}
    sample: bool = False

    @field_validator("options", mode="before")
    @classmethod
    def _as_text(cls, options: object) -> object:
        """Take YAML's true, 3 and null as the text a user would type."""
        if not isinstance(options, dict):
            return options
        given = {k: v for k, v in options.items() if v is not None}
        return {k: str(v).lower() if isinstance(v, bool) else str(v) for k, v in given.items()}


class BuildConfig(BaseModel):
    """Everything that decides what a build makes, and nothing that does not.

    Attributes:
        sources: What to read, in this order.
        teacher: Who writes the exchanges: rules (`templates`), or a model behind an endpoint
            that speaks OpenAI's protocol (`openai`). Of a dataset that was made elsewhere and
            brought in (`imported`), `teacher_id` says who did, and nothing is built.
        model: The model that is asked, as its endpoint calls it.
        teacher_id: What its replies are kept under; None for the model's name.
        prompts: Prompt files in place of a source's own, by source.
        vision: Whether the model is sent the pictures.
        replicates: How many times each scene is asked about.
        reask: How often a scene whose reply was of no use is asked about once more.
        parameters: What the endpoint is asked for besides the prompt's own; None drops one.
        send_max_side: Longest side in pixels at which a picture is sent.
        store_max_side: Longest side in pixels at which a picture is stored; None for its own.
        strip_metadata: Store pictures without EXIF, GPS and the like; pixels stay as they are.
        salvage: Use what can be decoded of a picture that is cut off.
        skip_frames: What frames of videos are left out.
        allow_licences: Licences that pictures may have, as patterns such as `CC-BY-[0-9]*`; a
            scene with a picture of any other is turned away. Empty for any licence.
        split: Part of the groups for each split; empty for all in train.
        format: How instructions, links and rejections are written; pictures are Parquet always.
        link: Views of the links, each `[NAME=]STRATEGIES [SETTING=VALUE …]`, such as
            `similar-text,random order=shuffled` (`mimicit.context_linker.LinkSpec`); the first
            fills `rel_ins_ids`, and every other one needs a name. None for each source's own.
        shots: In-context examples an instruction gets at most.
        seed: Varies wording and random links.
        limit: Read only so many scenes of each source.
        only: Read only the scenes with these ids (a scene's or a picture's).
        date: Date to put in the card, as YYYY-MM-DD; None for none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sources: Annotated[list[SourceConfig], Field(min_length=1)]
    teacher: Literal["templates", "openai", "imported"] = "templates"
    model: str | None = None
    teacher_id: str | None = None
    prompts: dict[str, str] = {}
    vision: bool = True
    replicates: int = Field(default=1, ge=1, le=100)
    reask: int = Field(default=0, ge=0, le=5)
    parameters: Parameters = {}
    send_max_side: int = Field(default=1024, ge=64, le=8192)
    store_max_side: int | None = Field(default=None, ge=16, le=65535)
    strip_metadata: bool = False
    salvage: bool = False
    skip_frames: list[Literal["dark", "duplicate"]] = []
    allow_licences: list[str] = []
    split: Shares = {}
    format: Literal["parquet", "jsonl"] = "parquet"
    link: Annotated[list[str], BeforeValidator(_as_list)] = []
    shots: int = Field(default=3, ge=0, le=64)
    seed: int = 0
    limit: int | None = Field(default=None, ge=1)
    only: list[str] = []
    date: dt.date | None = None

    @model_validator(mode="after")
    def _one_teacher(self) -> "BuildConfig":
        asks = self.teacher == "openai"
        asking = {"model", "prompts", "replicates", "reask", "parameters", "teacher_id"}
        given = asking & self.model_dump(exclude_defaults=True).keys()
        given -= {"teacher_id"} if self.teacher == "imported" else set()
        if asks and not (self.model or "").strip():
            raise ValueError(
                f"teacher {self.teacher!r} needs the name of a model, such as --model gpt-4o-mini"
            )
        if not asks and given:
            raise ValueError(f"{min(given)!r} needs a teacher that is asked: --teacher openai")
        foreign = self.prompts.keys() - {source.name for source in self.sources}
        if foreign:
            raise ValueError(f"a prompt for {min(foreign)!r}, which is no source of this build")
        return self

    @property
    def store_form(self) -> StoreForm:
        """How pictures are stored."""
        return StoreForm(
            max_side=self.store_max_side or 0,
            strip_metadata=self.strip_metadata,
            salvage=self.salvage,
        )

    @property
    def teacher_name(self) -> str:
        """What the rows of the dataset call their teacher."""
        return self.teacher_id or self.model or self.teacher

    @field_validator("date", mode="before")
    @classmethod
    def _no_number(cls, date: object) -> object:
        """Refuse a bare number, which would be taken for seconds since 1970."""
        form = ValueError("a date is written YYYY-MM-DD")  # pydantic's way
        if isinstance(date, int | float) or (isinstance(date, str) and date.strip().isdigit()):
            raise form
        try:
            return dt.date.fromisoformat(date) if isinstance(date, str) else date
        except ValueError:
            raise form from None

    def to_yaml(self) -> str:
        """Write the configuration, paths as `portable` spells them."""
        content = self.model_dump(mode="json", exclude_defaults=True)
        for source in content["sources"]:
            options = source.get("options", {})
            source.update(
                {"options": {k: portable(v) for k, v in options.items()}} if options else {}
            )
        if "prompts" in content:
            content["prompts"] = {k: portable(v) for k, v in content["prompts"].items()}
        return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=1000)


def is_url(text: str) -> bool:
    """Tell whether something is the URL of a server."""
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where and how a teacher is asked. Nothing here changes what is asked, or the dataset.

    Attributes:
        base_url: Its URL, such as `http://localhost:8000/v1`; None for `$OPENAI_BASE_URL`, else
            OpenAI's own (or Azure's, where `$AZURE_OPENAI_ENDPOINT` names one).
        concurrency: Requests under way at once.
        timeout: Seconds that one attempt may take.
        total_timeout: Seconds that a request may take with all its attempts.
        rpm: Requests a minute that are sent at most; None for any number.
        tpm_in: Tokens a minute that are sent at most.
        tpm_out: Tokens a minute that replies may hold at most.
        patience: Seconds without any reply, but with failures, after which a run is given up.
        batch: Whether to ask by the batch: at half the price, within a day.
    """

    base_url: str | None = None
    concurrency: int = 16
    timeout: float = 120.0
    total_timeout: float = 600.0
    rpm: float | None = None
    tpm_in: float | None = None
    tpm_out: float | None = None
    patience: float = 300.0
    batch: bool = False

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            UsageError: one cannot be.
        """
        if not 1 <= self.concurrency <= 1000:
            raise UsageError(f"the concurrency must be 1 to 1,000, not {self.concurrency}")
        if not (self.timeout > 0 and self.total_timeout > 0 and self.patience > 0):
            raise UsageError("a timeout must be above 0 seconds")
        for name in ("rpm", "tpm_in", "tpm_out"):
            limit = getattr(self, name)
            if limit is not None and not 0 < limit < math.inf:
                raise UsageError(f"--{name.replace('_', '-')} must be above 0, not {limit:g}")
        if self.base_url is not None and not is_url(self.base_url):
            raise UsageError("--base-url is not a URL such as http://localhost:8000/v1")


def portable(text: str) -> str:
    """Spell an absolute path as little as it can be: a dataset is published, its disk is not.

    Relative to the working directory, or to the home directory as `~`; only what shares no
    directory with either stays absolute.
    """
    path = Path(text)
    if not path.is_absolute():
        return text
    with contextlib.suppress(ValueError):  # another drive
        common = os.path.commonpath([path, Path.cwd()])
        if common != path.anchor:
            return os.path.relpath(path)
    with contextlib.suppress(ValueError, RuntimeError):
        return str(Path("~") / path.relative_to(Path.home()))
    return text


def read_config(path: Path) -> dict[str, object]:
    """Read a configuration file as plain settings, for `make_config`.

    Raises:
        UsageError: it cannot be read or is not a YAML mapping.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"cannot read the configuration {str(path)!r}: {error.strerror}"
        ) from error
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise UsageError(f"cannot read the configuration {str(path)!r}: {error}") from error
    if not isinstance(content, dict):
        raise UsageError(f"{str(path)!r} is no configuration: expected settings such as `sources:`")
    return content


def make_config(settings: dict[str, object]) -> BuildConfig:
    """Check settings and make a configuration of them.

    Raises:
        UsageError: one is unknown or has a wrong value; the message names each.
    """
    try:
        return BuildConfig.model_validate(settings)
    except ValidationError as error:
        raise UsageError("the configuration is not right:\n" + explain(error)) from error


def explain(error: ValidationError) -> str:
    """Say what is wrong with a file's or a user's settings, a line each."""
    problems = error.errors()
    places = [problem["loc"] for problem in problems]
    lines = []
    for problem in problems:
        place, text = problem["loc"], problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            text = "there is no such setting"
        if any(other[: len(place)] == place and other != place for other in places):
            continue  # only because of what is wrong inside of it
        given = problem["input"]
        got = "" if isinstance(given, dict | list) else f" (got {given!r})"
        lines.append(": ".join(filter(None, [".".join(map(str, place)), f"{text}{got}"])))
    return "\n".join(lines)


def source_date() -> dt.date | None:
    """Read the date that SOURCE_DATE_EPOCH sets (https://reproducible-builds.org/specs), if any.

    Raises:
        UsageError: it is not a number of seconds.
    """
    text = os.environ.get("SOURCE_DATE_EPOCH")
    if not text:
        return None
    try:
        return dt.datetime.fromtimestamp(int(text), dt.UTC).date()
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(f"SOURCE_DATE_EPOCH must be seconds since 1970, not {text!r}") from error
