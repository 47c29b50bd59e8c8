"""What `show_formats.py` shows of exports: what it reads of their files, and how that looks."""

import ast
import contextlib
import io
import json
import re
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

WIDTH = 108
"""Letters of a line of JSON at most, where it can be broken."""

# ------------------------------------------------------------------- what is read


def rows_of(path: str | Path, columns: Sequence[str] | None = None) -> list[dict[str, Any]]:
    files = sorted(Path(path).glob("*.parquet")) or [Path(path)]
    tables = [pq.read_table(file, columns=columns) for file in files]
    return [row for table in tables for row in table.to_pylist()]


def lines(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def entry(rows: Sequence[dict[str, Any]], name: str) -> dict[str, Any]:
    (found,) = (row for row in rows if row["id"] == name)
    return found


def sample_of(path: str, name: str) -> dict[str, bytes]:
    """Give the files of the sample in which an instruction is asked, in the order of the tar."""
    samples: dict[str, dict[str, bytes]] = {}
    with tarfile.open(path) as tar:
        for member in tar:
            file = tar.extractfile(member)
            assert file
            samples.setdefault(member.name.partition(".")[0], {})[member.name] = file.read()
    for key, members in samples.items():
        content = json.loads(members[f"{key}.json"])
        if name in {row["id"] for row in content.get("instructions", [content])}:
            return members
    raise KeyError(name)


def executed(code: str) -> Any:
    """Run code, and give what its last line is: what the page shows is what this code gives."""
    *before, last = ast.parse(code).body
    assert isinstance(last, ast.Expr)
    names: dict[str, Any] = {}
    with contextlib.redirect_stderr(io.StringIO()):
        exec(compile(ast.Module(before, []), "page", "exec"), names)
        return eval(compile(ast.Expression(last.value), "page", "eval"), names)


# ---------------------------------------------------------------------- how it looks


def opened(code: str) -> Iterator[str]:
    """Show code, and what its last line is."""
    yield fence(code, "python")
    yield block(executed(code))


def fence(text: str, language: str) -> str:
    return f"```{language}\n{text.strip(chr(10))}\n```\n"


def block(value: object) -> str:
    return fence(spelled(value), "json")


def spelled(value: Any, indent: int = 0) -> str:
    """Write JSON with each value on one line if it fits, so that a person can read it."""
    flat = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or indent + len(flat) <= WIDTH:
        return flat
    named = value.items() if isinstance(value, dict) else (("", each) for each in value)
    inner = [
        " " * (indent + 2)
        + (f"{json.dumps(name, ensure_ascii=False)}: " if name else "")
        + spelled(each, indent + 2)
        for name, each in named
    ]
    first, last = "{}" if isinstance(value, dict) else "[]"
    return "\n".join((first, ",\n".join(inner), " " * indent + last))


def parted(text: str, spans: Sequence[tuple[int, int]]) -> Iterator[str]:
    """Break a text where the loss begins and ends to fall on it, as lines that a diff adds."""
    end = 0
    for start, stop in spans:
        yield f"  {text[end:start]}"
        yield f"+ {text[start:stop]}"
        end = stop


def listing(folder: str) -> Iterator[str]:
    """List the files of an export, all pictures in one line."""
    names = Counter(
        re.sub(r"^images/.*", "images/…", path.relative_to(folder).as_posix())
        for path in Path(folder).rglob("*")
        if path.is_file()
    )
    told = [name + (f"  {count} files" if count > 1 else "") for name, count in names.items()]
    yield fence("\n".join(f"{folder}/{each}" for each in sorted(told)), "text")


def excerpt(folder: str, heading: str, *, start: str = "", skip: str = "") -> Iterator[str]:
    """Quote a section of an export's README, from a line that begins so; some lines left out."""
    text = (Path(folder) / "README.md").read_text(encoding="utf-8")
    section = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0].strip()
    section = section[section.index(start) :]
    kept = [line for line in section.splitlines() if not skip or not line.startswith(skip)]
    yield f"Its `README.md` says under “{heading}”:\n"
    yield "\n".join(f"> {line}".rstrip() for line in "\n".join(kept).strip().splitlines()) + "\n"
