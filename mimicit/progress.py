"""Showing how far a pass has come: a bar with rate and time of arrival, or quiet lines."""

import operator
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Generic, Protocol, TypeVar

from tqdm import tqdm

from mimicit.schema import Rejection

T = TypeVar("T")


class Counted(Iterator[T], Generic[T]):
    """An iterator that knows how many items are to come, which gives a time of arrival."""

    def __init__(self, items: Iterator[T], total: int) -> None:
        self._items = items
        self._total = total

    def __next__(self) -> T:
        return next(self._items)

    def __length_hint__(self) -> int:
        return self._total


class Track(Protocol):
    """Passes items on and shows that it does."""

    def __call__(self, items: Iterable[T], name: str, unit: str, /) -> Iterator[T]:
        """Yield the items of the pass called `name`, counted in `unit`."""


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
    if sys.stderr.isatty():
        with tqdm(desc=f"{name:<9}", unit=f" {unit}", total=total, dynamic_ncols=True) as bar:
            for item in items:
                yield item
                bar.update(not isinstance(item, Rejection))
        return
    start = last = time.monotonic()
    count = 0
    for item in items:
        yield item
        count += not isinstance(item, Rejection)
        now = time.monotonic()
        if count and now - last >= QUIET_SECONDS:
            last = now
            of_total = f" of {total:,}" if total else ""
            left = f", {(total - count) / count * (now - start):.0f} s left" if total else ""
            _line(f"{name}: {count:,}{of_total} {unit}, {count / (now - start):.0f}/s{left}")
    _line(f"{name}: {count:,} {unit} in {time.monotonic() - start:.1f} s")


def _line(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
