"""What a request costs: a dated table of models, which a user's file can replace or extend."""

import datetime as dt
import re
from functools import cache
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mimicit.errors import UsageError
from mimicit.shipped import parse_shipped
from mimicit.tokens import Patches, Tiles

SHIPPED = Path(__file__).with_name("prices.yaml")
"""The table that comes with the package; its first lines say where it is from."""

DEFAULT_IMAGE_TOKENS = Tiles(85, 170)
"""What a picture is taken to cost where a model's own rule is not known: as for GPT-4o."""

_DATED = re.compile(r"(.+)-[0-9]{4}-[0-9]{2}-[0-9]{2}")

Dollars = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False, strict=True)]
Count = Annotated[int, Field(ge=0, strict=True)]
Multiplier = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]
Day = Annotated[dt.date, Field(strict=True)]  # a number would be taken for seconds since 1970
Cap = Annotated[int, Field(ge=1, strict=True)]


class Price(BaseModel):
    """What one model costs, in US dollars for a million tokens.

    Attributes:
        input: Tokens sent.
        output: Tokens received, those of hidden reasoning among them.
        cached: Tokens sent that the endpoint still remembers; None where no price is published.
        tiles: Base and tokens a tile, where the model counts a picture so.
        patches: Multiplier, or multiplier and cap, where the model counts a picture so.
        batch: Part of the price that is charged for requests of a batch.
        date: The day on which it held, where it is not that of the whole file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: Dollars
    output: Dollars
    cached: Dollars | None = None
    tiles: tuple[Count, Count] | None = None
    patches: Multiplier | tuple[Multiplier, Cap] | None = None
    batch: Share = 0.5
    date: Day | None = None

    @model_validator(mode="after")
    def _one_rule(self) -> "Price":
        """Refuse a model that counts a picture in two ways."""
        if self.tiles is not None and self.patches is not None:
            raise ValueError("state `tiles` or `patches`, not both")  # pydantic's way
        return self

    @property
    def image_tokens(self) -> Tiles | Patches:
        """The rule by which the model counts a picture, or the default one."""
        if self.tiles is not None:
            return Tiles(*self.tiles)
        if self.patches is None:
            return DEFAULT_IMAGE_TOKENS
        return Patches(*self.patches) if isinstance(self.patches, tuple) else Patches(self.patches)

    def cost(self, input_tokens: int, output_tokens: int, cached_tokens: int = 0) -> float:
        """Compute what a request costs in US dollars.

        Args:
            input_tokens: Tokens sent, cached ones among them.
            output_tokens: Tokens received.
            cached_tokens: Those of the tokens sent that the endpoint still remembered.
        """
        cached = self.input if self.cached is None else self.cached
        sent = (input_tokens - cached_tokens) * self.input + cached_tokens * cached
        return (sent + output_tokens * self.output) / 1_000_000


class PriceTable(BaseModel):
    """Prices of models, each with the day on which it held.

    Attributes:
        date: The day of the file that was read last.
        models: Each model's price, by the name that a request gives it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    date: Day
    models: dict[str, Price]

    def find(self, model: str) -> Price | None:
        """Find a model's price by its name, or by its name less a date such as `-2024-08-06`.

        A name that only begins like a known one is another model, with another price.
        """
        dated = _DATED.fullmatch(model)
        return self.models.get(model) or (self.models.get(dated[1]) if dated else None)


def load(path: Path | None = None) -> PriceTable:
    """Read the shipped prices, and over them those of a file of the same form.

    Raises:
        UsageError: the file cannot be read or is not of that form; the message says what is wrong.
    """
    if path is None:
        return _shipped()
    own = _read(path)
    return PriceTable(date=own.date, models={**_shipped().models, **own.models})


@cache
def _shipped() -> PriceTable:
    return _dated(PriceTable.model_validate(parse_shipped(SHIPPED.read_bytes())))


def _read(path: Path) -> PriceTable:
    form = "expected `date: YYYY-MM-DD` and `models:`, each as `NAME: {input: 2.5, output: 10}`"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise UsageError(f"cannot read the prices {str(path)!r}; {form}:\n{error}") from error
    try:
        table = PriceTable.model_validate(content)
    except ValidationError as error:
        lines = [
            f"{'.'.join(map(str, problem['loc'])) or 'the file'}: {problem['msg']}"
            for problem in error.errors()
        ]
        message = f"{str(path)!r} is no table of prices; {form}:"
        raise UsageError("\n".join([message, *lines])) from error
    return _dated(table)


def _dated(table: PriceTable) -> PriceTable:
    """Give the table's date to each price without one."""
    dated = {
        name: price if price.date else price.model_copy(update={"date": table.date})
        for name, price in table.models.items()
    }
    return PriceTable(date=table.date, models=dated)
