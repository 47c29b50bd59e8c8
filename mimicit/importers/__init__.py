"""Bringing in what others published: as a dataset like any that is built here."""

from mimicit.importers.otter import Imported, import_otter

__all__ = ["Imported", "import_otter"]
