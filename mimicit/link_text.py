"""What the dataset card says of the links: how good they are, in a table a view."""

from collections.abc import Mapping
from typing import Any

from mimicit.markdown import said, table


def health(views: Mapping[str, Mapping[str, Any]]) -> str:
    """Tabulate what is to be known of the links, a column for each view.

    Args:
        views: Records of `mimicit.context_linker.health.Health`, by the table of the view.
    """
    rows = [
        ("instructions with all the examples they may have", _part("full", "queries")),
        ("with fewer, but one at least", _part("some", "queries")),
        ("instructions of train that are an example of any", lambda v: _percent(v["used"])),
        ("times that one is an example: median, 90 %, 99 %, most", _degrees),
        ("likeness of query and example, the last one shown first", _similarity),
        ("the same, drawn by chance", lambda v: _cosine(v["random_similarity"])),
        ("part of an answer's words that its examples have", lambda v: _percent(v["overlap"])),
        ("the same, drawn by chance", lambda v: _percent(v["random_overlap"])),
        ("leaks: held-out, of the same scene or picture", lambda v: f"{v['leaks']:,}"),
        ("neighbours found by", _searches),
        ("turned away by the guards", _turned_away),
    ]
    header = ("", *(f"`{name}`" for name in views))
    lines = [(what, *(show(view) for view in views.values())) for what, show in rows]
    return "### The in-context examples\n\n" + table(header, lines)


def _part(name: str, whole: str) -> Any:
    return lambda view: f"{view[name]:,} of {view[whole]:,}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _cosine(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _degrees(view: Mapping[str, Any]) -> str:
    return ", ".join(f"{n:,}" for n in view["in_degree"])


def _similarity(view: Mapping[str, Any]) -> str:
    return ", ".join(_cosine(value) for value in view["similarity"] or ())


def _searches(view: Mapping[str, Any]) -> str:
    parts = []
    for what, how in view["searches"].items():
        recall = "" if how["recall"] is None else f", recall {how['recall']:.3f}"
        parts.append(said(f"{what}: {how['index']}{recall}"))
    return "; ".join(parts)


def _turned_away(view: Mapping[str, Any]) -> str:
    return "; ".join(f"{said(why)} {count:,}" for why, count in view["turned_away"].items())
