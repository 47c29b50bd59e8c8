"""The release gate: what must hold of a dataset before a stranger trains on it.

Every file is the one its manifest lists; every row is of the published schema; every image id and
every context id resolves to exactly one row; contexts come from the train split and are never the
query itself; no group and no picture is in two splits; every picture decodes and is what its row
says, and lies where the index says; the card counts what is there. All violations are found in one
run, whatever state the directory is in.

A directory without a manifest that holds instructions of MIMIC-IT's published form is held against
the rules of that form (`mimicit.gate.published`).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from mimicit.errors import InvalidDataset, Problem
from mimicit.gate.files import Findings, check_counts, check_files
from mimicit.gate.pictures import Decode, check_pictures
from mimicit.gate.published import release_problems
from mimicit.gate.references import check_references
from mimicit.gate.rows import fitting
from mimicit.gate.views import check_views
from mimicit.published.release import is_release


def find_problems(
    directory: str | Path, *, decode: Decode = "all", measured: Mapping[str, str] | None = None
) -> list[Problem]:
    """List every violation in a dataset directory.

    Args:
        directory: Any directory, in any state.
        decode: Which pictures are decoded and compared with their rows: `all`, a `sample` of
            1,000, or `none`. Nothing else is left out.
        measured: SHA-256 of files by name that were hashed just now, and need not be once more.
    """
    return list(each_problem(directory, decode=decode, measured=measured))


def each_problem(
    directory: str | Path, *, decode: Decode = "all", measured: Mapping[str, str] | None = None
) -> Iterator[Problem]:
    """Find the same one by one: of a published directory each as it is found, as there may be many.

    Args:
        directory: Any directory, in any state.
        decode: As `find_problems` takes it.
        measured: As `find_problems` takes it.
    """
    if is_release(Path(directory)):
        yield from release_problems(Path(directory), decode)
    else:
        yield from _in_dataset(Path(directory), decode, measured or {})


def _in_dataset(directory: Path, decode: Decode, measured: Mapping[str, str]) -> list[Problem]:
    findings = Findings(directory)
    if not findings.directory.is_dir():
        return [Problem(str(directory), "is not a directory")]
    listed = check_files(findings, measured)
    pictures = check_pictures(findings, decode)
    check_views(findings, check_references(findings, pictures))
    for _ in fitting(findings, "rejected"):
        pass
    if not any(findings.rows[shard.name] for shard in findings.shards["instructions"]):
        findings.add("instructions", "has no rows")
    check_counts(findings, listed)
    return list(dict.fromkeys(findings.problems))


def validate(
    directory: str | Path, *, decode: Decode = "all", measured: Mapping[str, str] | None = None
) -> None:
    """Prove a dataset directory right, or say everything that is wrong.

    Raises:
        InvalidDataset: with every violation in `problems`.
    """
    problems = find_problems(directory, decode=decode, measured=measured)
    if problems:
        raise InvalidDataset(problems)
