"""Sources: what a generator is, and finding the one a user names.

A generator is a frozen dataclass in a file of its own. The file's name is the source's name, its
fields are the options a user sets with `-o name=value`, and `scenes()` yields what it reads.
Other packages add theirs by an entry point of the group `mimicit.generators`; their samples and
prompts are found next to their own module.
"""

import dataclasses
import importlib
import inspect
import os
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar, cast, get_type_hints

from mimicit.errors import UsageError
from mimicit.schema import Rejection, Scene
from mimicit.shipped import shipped

ENTRY_POINTS = "mimicit.generators"


class Generator(Protocol):
    """Reads one source's annotations as scenes.

    Attributes:
        name: What users call the source.
        prefix: Letters its ids begin with.
        link: Default linking strategy.
        origin: Where its files come from, in a sentence.
    """

    name: ClassVar[str]
    prefix: ClassVar[str]
    link: ClassVar[str]
    origin: ClassVar[str]

    def scenes(self) -> Iterator[Scene | Rejection]:
        """Yield the scenes in the order of their ids, and what had to be left out.

        Called once a pass, so it reads afresh each time. An iterator that knows its length
        (`mimicit.progress.Counted`) gives users a time of arrival.

        Raises:
            SourceError: an input is missing or damaged as a whole.
        """


def wider_of(cls: type[Generator]) -> Callable[[str], str] | None:
    """Give what tells the wider group of a source's group: its `wider_group`, if it has one.

    A clip's show, for instance; links of the strategy `wider-group` stay within it.
    """
    return getattr(cls, "wider_group", None)


T = TypeVar("T", bound=type)


def generator(*, prefix: str, link: str, origin: str) -> Callable[[T], T]:
    """Declare the decorated class a source; its module's name becomes the source's name."""

    def declare(cls: T) -> T:
        made: Any = dataclasses.dataclass(frozen=True, kw_only=True)(cls)
        made.name = cls.__module__.rpartition(".")[2]
        made.prefix, made.link, made.origin = prefix, link, origin
        return cast("T", made)

    return declare


def available() -> list[str]:
    """List the names of all sources that can be built, built-in ones and installed ones."""
    return sorted(_built_in() | {point.name for point in entry_points(group=ENTRY_POINTS)})


def _built_in() -> set[str]:
    return {m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")}


def find(name: str) -> type[Generator]:
    """Find a source's class by name.

    Raises:
        UsageError: there is no such source, or its package does not import.
    """
    if name not in available():
        raise UsageError(f"there is no source {name!r}; there are: {', '.join(available())}")
    points = list(entry_points(group=ENTRY_POINTS, name=name))
    if points and name not in _built_in():
        try:
            return cast("type[Generator]", points[0].load())
        except Exception as error:
            raise UsageError(
                f"source {name!r} ({points[0].value}) does not load: {error}"
            ) from error
    module = importlib.import_module(f"{__name__}.{name}")
    members = inspect.getmembers(module, inspect.isclass)
    declared = (cls for _, cls in members if vars(cls).get("name") == name)
    return cast("type[Generator]", next(declared))


def open_source(name: str, options: Mapping[str, str], *, sample: bool = False) -> Generator:
    """Make a source's generator from options as a user writes them.

    With `sample` it reads the small sample that comes with it. With no options at all it looks
    in `$MIMICIT_DATA/NAME`, then in `./data/NAME`.

    Raises:
        UsageError: no such source or option, a value of the wrong type, or nowhere to read from.
    """
    cls = find(name)
    if sample and "root" in options:
        raise UsageError(f"{name}: --sample brings its own files, so leave --root out")
    if sample:
        options = {**options, "root": str(shipped(cls.__module__, "samples", name))}
    elif not options:
        options = {"root": str(_default_root(cls))}
    hints = get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cast("Any", cls))}
    unknown = sorted(options.keys() - fields.keys())
    if unknown:
        raise UsageError(f"{name} has no option {unknown[0]!r}; it has: {', '.join(fields)}")
    values = {key: _convert(name, key, text, hints[key]) for key, text in options.items()}
    return cls(**values)


def _convert(source: str, key: str, text: str, kind: Any) -> Any:
    """Read an option's text as its field's type: text, path, whole number or yes/no."""
    kinds = {str(kind)} | {str(part) for part in getattr(kind, "__args__", ())}
    if str(Path) in kinds:
        return Path(text).expanduser()
    try:
        if str(bool) in kinds:
            return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[
                text.lower()
            ]
        return int(text) if str(int) in kinds else text
    except (KeyError, ValueError):
        wanted = "true or false" if str(bool) in kinds else "a whole number"
        raise UsageError(f"{source}: option {key!r} takes {wanted}, not {text!r}") from None


def _default_root(cls: type[Generator]) -> Path:
    places = [Path("data") / cls.name]
    if os.environ.get("MIMICIT_DATA"):
        places.insert(0, Path(os.environ["MIMICIT_DATA"]).expanduser() / cls.name)
    for place in places:
        if place.is_dir():
            return place
    looked = " and ".join(f"{str(place)!r}" for place in places)
    raise UsageError(
        f"no files for source {cls.name!r}: looked for the directory {looked}.\n"
        f"{cls.origin}\n"
        f"Then name the directory with --root DIR (or set $MIMICIT_DATA to the one above it).\n"
        f"To try mimicit without them: mimicit build --source {cls.name} --sample"
    )
