"""What a build is asked to do, as a user writes it and as a dataset records it."""

import contextlib
import datetime as dt
import os
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from mimicit.errors import UsageError


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
        teacher: Who writes the exchanges.
        link: Link strategies, such as `same-group,similar-text`; None for each source's own.
        shots: In-context examples an instruction gets at most.
        seed: Varies wording and random links.
        limit: Read only so many scenes of each source.
        only: Read only the scenes with these ids (a scene's or a picture's).
        date: Date to put in the card, as YYYY-MM-DD; None for none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sources: Annotated[list[SourceConfig], Field(min_length=1)]
    teacher: Literal["templates"] = "templates"
    link: str | None = None
    shots: int = Field(default=3, ge=0, le=64)
    seed: int = 0
    limit: int | None = Field(default=None, ge=1)
    only: list[str] = []
    date: dt.date | None = None

    @field_validator("date", mode="before")
    @classmethod
    def _no_number(cls, date: object) -> object:
        """Refuse a bare number, which would be taken for seconds since 1970."""
        if isinstance(date, int | float) or (isinstance(date, str) and date.strip().isdigit()):
            raise ValueError("a date is written YYYY-MM-DD")  # pydantic's way
        return date

    def to_yaml(self) -> str:
        """Write the configuration, paths as `portable` spells them."""
        content = self.model_dump(mode="json", exclude_defaults=True)
        for source in content["sources"]:
            options = source.get("options", {})
            source.update(
                {"options": {k: portable(v) for k, v in options.items()}} if options else {}
            )
        return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=1000)


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
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
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
        lines = [
            f"{'.'.join(map(str, problem['loc']))}: {problem['msg']} (got {problem['input']!r})"
            for problem in error.errors()
        ]
        raise UsageError("the configuration is not right:\n" + "\n".join(lines)) from error


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
