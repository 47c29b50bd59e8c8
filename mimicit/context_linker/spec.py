"""How to link, as a user writes it: `similar-text,random shots=4 order=shuffled cap=50`."""

import re
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from mimicit.encoders import open_image, open_text
from mimicit.errors import UsageError

DEFAULT_SHOTS = 3
MOST_SHOTS = 64
STRATEGIES = (
    "conversation",
    "same-image",
    "same-group",
    "wider-group",
    "temporal",
    "similar-image",
    "similar-text",
    "mixed",
    "diverse",
    "random",
)
"""Every strategy by the name it has on the command line (`mimicit.context_linker.strategies`)."""

LABELS = {"similar-image": "similar-image/texts", "mixed": "mixed/pixels"}
"""What strategies are called that have no vision encoder to see by."""

OWN = "default"
"""Stands for a source's own strategies."""

ORDERS = ("similar-last", "similar-first", "shuffled", "time")
"""How the examples of one query may follow each other."""

_NAMED = re.compile(r"([a-z][a-z0-9_]{0,31})=(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class LinkSpec:
    """How to link: which strategies, each filling what those before it left, and by which rules.

    Attributes:
        strategies: Names out of `STRATEGIES`, in the order in which they are tried.
        shots: Examples that an instruction gets at most.
        seed: Varies `random`, `shuffled`, and the choice among equally good ones.
        order: How they follow each other. Models copy the last one most (arXiv:2404.15736), so
            that by default the most similar one is last. Earlier turns of a conversation stand
            last in any case, in their own order.
        cap: How often one instruction may be an example; 0 for any number, None for 8 times and 8
            more for each shot. The queries it serves are those most similar to it, then those with
            the smaller place.
        band: Least and greatest cosine similarity of an example that is chosen for similarity.
        tokens: Tokens that query and examples may have together, as `mimicit.tokens` estimates
            them; the least similar examples are left out first, never the query. 0 for any number.
        balance: Whether the answers of one query's examples may not all be the same yes, no or
            number.
        text: What texts are compared by (`mimicit.encoders.open_text`).
        image: What pictures are compared by (`mimicit.encoders.open_image`); "" where there is
            nothing to compare pixels by, so that what is said of them stands for them.

    Raises:
        UsageError: a value cannot be.
    """

    strategies: tuple[str, ...]
    shots: int = DEFAULT_SHOTS
    seed: int = 0
    order: str = ORDERS[0]
    cap: int | None = None
    band: tuple[float, float] = (-1.0, 1.0)
    tokens: int = 0
    balance: bool = True
    text: str = "static"
    image: str = ""

    def __post_init__(self) -> None:
        """Check the values."""
        for name in self.strategies:
            if name not in STRATEGIES:
                raise UsageError(
                    f"there is no link strategy {name!r}; there are: {', '.join(STRATEGIES)}"
                )
        if not self.strategies or len(set(self.strategies)) < len(self.strategies):
            raise UsageError(
                f"--link takes different strategies, separated by commas, not {str(self)!r}"
            )
        if not 0 <= self.shots <= MOST_SHOTS:
            raise UsageError(f"--shots takes a number from 0 to {MOST_SHOTS}, not {self.shots}")
        if self.order not in ORDERS:
            raise UsageError(f"a link's order is one of {', '.join(ORDERS)}, not {self.order!r}")
        if (self.cap or 0) < 0 or self.tokens < 0:
            raise UsageError("a link's cap and tokens are numbers from 0, which sets no bound")
        if not -1 <= self.band[0] <= self.band[1] <= 1:
            raise UsageError(f"a link's band is two numbers from -1 to 1, not {self.band}")

    @classmethod
    def parse(
        cls, text: str, shots: int = DEFAULT_SHOTS, seed: int = 0, own: str = ""
    ) -> "LinkSpec":
        """Read a specification as a user writes it.

        Args:
            text: Strategies with commas between them, then settings such as `shots=4`.
            shots: Examples where the text does not say how many.
            seed: Seed where the text names none.
            own: What stands for `default`: a source's own strategies.

        Raises:
            UsageError: it cannot be read.
        """
        names, *settings = text.replace(", ", ",").split() or [""]
        given: dict[str, Any] = {"shots": shots, "seed": seed}
        for setting in settings:
            key, equals, value = setting.partition("=")
            if not equals or key not in _SETTINGS:
                raise UsageError(
                    f"a link has no setting {setting!r}; it is written like "
                    f"'similar-text,random shots=4', and there are: {', '.join(_SETTINGS)}"
                )
            given[key] = _read(key, value)
        if "=" in names:
            raise UsageError(
                f"a link begins with its strategies, as in 'similar-text shots=4', not {text!r}"
            )
        listed = [name for name in names.split(",") if name]
        if OWN in listed:
            if not own:
                raise UsageError(
                    "the source of some instructions is not installed, so that its own way to "
                    "link is not known: name strategies, such as --link similar-text"
                )
            place = listed.index(OWN)
            mine = [name for name in own.split(",") if name not in listed]
            listed[place : place + 1] = mine
        return cls(tuple(listed), **given)

    @property
    def chance(self) -> np.uint64:
        """The seed as a number that hashes are mixed with, whatever its size or sign."""
        return np.uint64(self.seed & 0xFFFFFFFFFFFFFFFF)

    @property
    def most_used(self) -> int:
        """How often one instruction may be an example; 0 for any number."""
        return 8 * self.shots + 8 if self.cap is None else self.cap

    def open_encoders(self) -> None:
        """See that its encoders can be had, before anything is paid for.

        Raises:
            UsageError: one is not known or not installed.
        """
        open_text(self.text)
        if self.image:
            open_image(self.image)

    def label(self, strategy: str) -> str:
        """Name a strategy as links do: with what it compares in place of what it is named for."""
        return strategy if self.image else LABELS.get(strategy, strategy)

    def __str__(self) -> str:
        return ",".join(self.strategies)


_SETTINGS = tuple(field.name for field in fields(LinkSpec) if field.name != "strategies")


def _read(key: str, text: str) -> object:
    """Read the value of a setting."""
    try:
        if key == "band":
            least, _, most = text.partition(":")
            return float(least or -1), float(most or 1)
        if key == "balance":
            return {"yes": True, "true": True, "no": False, "false": False}[text.lower()]
        return text if key in {"order", "text", "image"} else int(text)
    except (ValueError, KeyError):
        wanted = {"band": "two numbers such as 0.2:0.9", "balance": "yes or no"}
        raise UsageError(
            f"a link's {key} takes {wanted.get(key, 'a whole number')}, not {text!r}"
        ) from None


def named(text: str) -> tuple[str, str]:
    """Split `NAME=SPEC` into both; the name is "" where there is none.

    A setting cannot be taken for a name: it stands after the strategies.
    """
    found = _NAMED.fullmatch(text.strip())
    return (found[1], found[2]) if found and found[1] not in _SETTINGS else ("", text)
