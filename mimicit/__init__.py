"""Build multi-modal in-context instruction datasets.

    config = mimicit.BuildConfig(sources=[mimicit.SourceConfig(name="coco", sample=True)])
    mimicit.build(config, out="out/coco")
    for example in mimicit.load("out/coco"):
        ...

The names below are the public interface; they are imported when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mimicit.config import BuildConfig, Endpoint, SourceConfig
    from mimicit.context_linker import LinkSpec, link
    from mimicit.dataset import Dataset, Example, load
    from mimicit.errors import MimicitError, Problem, SourceError
    from mimicit.exporters import export
    from mimicit.image_store import ImageStore
    from mimicit.pipeline import Summary, build
    from mimicit.validate import find_problems

__version__ = "0.1.0"

__all__ = [
    "BuildConfig",
    "Dataset",
    "Endpoint",
    "Example",
    "ImageStore",
    "LinkSpec",
    "MimicitError",
    "Problem",
    "SourceConfig",
    "SourceError",
    "Summary",
    "build",
    "export",
    "find_problems",
    "link",
    "load",
]

_HOMES = {
    "BuildConfig": "config",
    "Dataset": "dataset",
    "Endpoint": "config",
    "Example": "dataset",
    "ImageStore": "image_store",
    "LinkSpec": "context_linker",
    "MimicitError": "errors",
    "Problem": "errors",
    "SourceConfig": "config",
    "SourceError": "errors",
    "Summary": "pipeline",
    "build": "pipeline",
    "export": "exporters",
    "find_problems": "validate",
    "link": "context_linker",
    "load": "dataset",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mimicit' has no attribute {name!r}")
    return getattr(import_module(f"mimicit.{_HOMES[name]}"), name)
