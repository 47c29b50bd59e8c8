"""The shape of the project: who may import whom, and what the README says is there."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "mimicit"

LAYERS: tuple[frozenset[str], ...] = tuple(
    frozenset(layer.split())
    for layer in (
        "annotations errors metadata moments names pixels markdown reasons licences plain_values",
        "columns answers lookalikes",
        "schema store_index ledger",
        "shipped images tables tokens shards splits lookup _fake_replies records media_files",
        "stored video boxes",
        "config frames",
        "teachers",
        "decoding media_cache checks encoders neighbours nouns progress directory _fake_http",
        "_fake_wire _fake_embeddings",
        "_fake_batch",
        "_decoder footage prompts replies prices journal_file testing",
        "facts generators journal_writer catalogue image_store",
        "context_linker spool writer journal shown",
        "linking templates dataset media budget upkeep card_text link_text batch_log",
        "link_tables batches example_sets",
        "feeding formats",
        "fleet",
        "asking",
        "authors sources card published",
        "gate",
        "assemble validate plan origins",
        "pipeline trace relink exporters importers",
        "cli_options trace_text",
        "cli_asking cli_export cli_import cli_journal cli_link cli_trace",
        "cli",
        "__main__ __init__",
    )
)
"""Each module imports only from the layers above its own, or from its own package."""

MODULES = sorted(path for path in PACKAGE.rglob("*.py"))


def layer_of(module: str) -> int:
    (found,) = (number for number, layer in enumerate(LAYERS) if module in layer)
    return found


def imports(path: Path) -> set[str]:
    """List the modules of ours that a module imports, however late."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "mimicit":
            parts = (node.module or "").split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {
                alias.name.split(".")[1]
                for alias in node.names
                if alias.name.startswith("mimicit.")
            }
    return found - {"__version__"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path: Path) -> None:
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for module in imports(path):
        assert module == own or layer_of(module) < layer_of(own), f"{own} imports {module}"


def test_teachers_and_sources_do_not_know_each_other() -> None:
    for path in (PACKAGE / "generators").glob("*.py"):
        assert not imports(path) & {"templates", "facts", "pipeline", "context_linker"}
    for path in (PACKAGE / "teachers").glob("*.py"):
        assert not imports(path) & {"generators", "journal", "prompts", "sources", "pipeline"}
    for name in ("templates/*", "facts", "nouns", "prompts", "replies"):
        for path in PACKAGE.glob(f"{name}.py"):
            assert "generators" not in imports(path)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_stay_readable(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) <= 450
    for node in ast.walk(ast.parse("\n".join(lines))):
        if isinstance(node, ast.FunctionDef) and not path.name.startswith("cli"):
            length = (node.end_lineno or 0) - node.lineno
            assert length <= 60, f"{node.name} has {length} lines"


def test_the_tree_in_the_readme_is_the_tree() -> None:
    tree = re.search(r"```text\n(mimicit/.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert tree
    named = set(re.findall(r"\b([a-z0-9_]+)\.py\b", tree[1]))
    built = {path.stem for path in MODULES if not path.stem.startswith("_")}
    sources = {path.stem for path in MODULES if path.parent.name == "generators"}
    assert built - sources <= named, "a source may be drawn in as well, and need not be"
    assert named <= built | {"__init__"}, named - built
