"""Showing how far a pass has come: a bar with rate and time of arrival, or quiet lines."""

import operator
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, Protocol, TypeVar

from tqdm import tqdm

from mimicit.schema import Rejection

T = TypeVar("T")


TICK = object()
"""An item that is none: time has passed, and what is shown may be brought up to date."""


class Counted(Iterator[T], Generic[T]):
    """An iterator that knows how many items are to come, which gives a time of arrival.

    Attributes:
        status: Says in a few words how things stand.
    """

    def __init__(
        self, items: Iterator[T], total: int, status: Callable[[], str] = lambda: ""
    ) -> None:
        self._items = items
        self._total = total
        self.status = status

    def __next__(self) -> T:
        return next(self._items)

    def __length_hint__(self) -> int:
        return self._total


class Track(Protocol):
    """Passes items on and shows that it does."""

    def __call__(self, items: Iterable[T], name: str, unit: str, /) -> Iterator[T]:
        """Yield the items of the pass called `name`, counted in `unit`."""


STATUS_SECONDS = 0.5
"""How often a bar says how things stand."""

QUIET_SECONDS = 30.0
"""How often a line is written where there is no terminal."""


def silent(items: Iterable[T], _name: str, _unit: str) -> Iterator[T]:
    """Show nothing."""
    return iter(items)


def on_terminal(items: Iterable[T], name: str, unit: str) -> Iterator[T]:
    """Show a bar on a terminal; elsewhere, as in a log, a line now and then and at the end.

    Rejections among scenes are passed on and not counted.
    """
    total = operator.length_hint(items) or None
    status = items.status if isinstance(items, Counted) else lambda: ""
    shown = _bar if sys.stderr.isatty() else _lines
    return shown(items, name, unit, total, status)


def _counts(item: object) -> bool:
    return item is not TICK and not isinstance(item, Rejection)


def _bar(
    items: Iterable[T], name: str, unit: str, total: int | None, status: Callable[[], str]
) -> Iterator[T]:
    shown = 0.0
    with tqdm(desc=f"{name:<9}", unit=f" {unit}", total=total, dynamic_ncols=True) as bar:
        for item in items:
            yield item
            bar.update(_counts(item))
            if time.monotonic() - shown >= STATUS_SECONDS:
                shown = time.monotonic()
                bar.set_postfix_str(status())
        bar.set_postfix_str(status())


def _lines(
    items: Iterable[T], name: str, unit: str, total: int | None, status: Callable[[], str]
) -> Iterator[T]:
    start = last = time.monotonic()
    count = before = 0
    for item in items:
        yield item
        count += _counts(item)
        now = time.monotonic()
        if count and now - last >= QUIET_SECONDS:
            rate = (count - before) / (now - last)  # lately: what was known already went by fast
            last, before = now, count
            said = [f"{name}: {count:,}{f' of {total:,}' if total else ''} {unit}", f"{rate:.1f}/s"]
            said += [f"{(total - count) / rate:.0f} s left"] if total and rate else []
            _line(", ".join(filter(None, [*said, status()])))
    said = [f"{name}: {count:,} {unit} in {time.monotonic() - start:.1f} s", status()]
    _line(", ".join(filter(None, said)))


def _line(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
