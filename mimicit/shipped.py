"""Finding the files that ship beside a module: samples and prompts."""

import sys
from pathlib import Path
from typing import Any

import yaml

from mimicit.errors import UsageError


def shipped(module: str, kind: str, name: str) -> Path:
    """Find `KIND/NAME` (such as `samples/coco`) of the package that an imported module is in.

    Looked for in the module's own directory and in those above it, first in their `_data` (an
    installed package), up to the one that holds the top-level package (a source checkout). So
    a package with sources of its own ships their samples and prompts the same way.

    Raises:
        UsageError: there is none.
    """
    here = Path(sys.modules[module].__file__ or ".").resolve().parent
    for folder in [here, *here.parents[: module.count(".")]]:
        for candidate in (folder / "_data" / kind / name, folder / kind / name):
            if candidate.exists():
                return candidate
    raise UsageError(f"{module} brings no {kind}/{name}")


def parse_shipped(text: bytes) -> Any:
    """Parse YAML that we ship, at several times the speed of `yaml.safe_load`.

    That one is for the files of others: nested deeply enough, they would end the process here.
    """
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - safe too
