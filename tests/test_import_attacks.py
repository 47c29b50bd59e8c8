"""Published directories that are made to break an import: depth, odd stores, ids that mislead."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from published import Published, row

from mimicit.errors import SourceError
from mimicit.importers import import_otter
from mimicit.published.json_files import MAX_DEPTH, items
from mimicit.validate import find_problems

CAT = "LA_IMG_000000033471"


@pytest.fixture
def release(tmp_path: Path) -> Published:
    return Published(tmp_path / "release").parquet("LA", CAT)


def written(release: Published, text: str) -> Published:
    (release.root / "LADD_instructions.json").write_text(text)
    return release


@pytest.mark.parametrize("opens", ["[", '{"]}]}":'])
@pytest.mark.parametrize("where", ['{"meta": %s 1', '{"data": {"LADD_INS_1": %s 1'])
def test_a_file_that_is_deep_ends_at_once_and_not_the_memory(
    release: Published, where: str, opens: str
) -> None:
    written(release, where % (opens * 100_000))
    wrong = f"'LADD_instructions.json' is damaged at its beginning: .* more than {MAX_DEPTH} deep"
    with pytest.raises(SourceError, match=wrong):
        import_otter(release.root, release.root.parent / "out")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("X.json", '{"X_IMG_1": %s}'),
        ("X_instructions.json", '{"meta": {"split": %s}, "data": {}}'),
        ("X_train.json", '{"X_INS_1": %s}'),
    ],
)
def test_a_number_without_end_is_damage_and_not_the_end_of_the_process(
    release: Published, name: str, text: str
) -> None:
    release.instructions("X", {"X_INS_1": row([CAT])})
    (release.root / name).write_text(text % ("9" * 5000))
    with pytest.raises(SourceError, match=f"'{name}' is .*: parse error: integer overflow"):
        import_otter(release.root, release.root.parent / "out")
    assert name in [problem.file for problem in find_problems(release.root)]


def deep(levels: int) -> Any:
    value: Any = 1
    for level in range(levels):
        value = [value, "]"] if level % 2 else {'}"\\': value}
    return value


@given(st.lists(st.integers(0, MAX_DEPTH - 1), min_size=1), st.integers(5, 40))
def test_what_is_not_deep_is_read_wherever_it_is_cut(
    tmp_path_factory: pytest.TempPathFactory, depths: list[int], size: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "shallow.json"
    value = {f'"{place}[': deep(depth) for place, depth in enumerate(depths)}
    path.write_text(json.dumps(value))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mimicit.published.json_files.BUFFER_BYTES", size)
        assert dict(items(path, "shallow.json")) == value
        path.write_text(json.dumps({**value, "deeper": deep(MAX_DEPTH)}))
        with pytest.raises(
            SourceError, match=f"after record {len(value)}, .*more than {MAX_DEPTH}"
        ):
            list(items(path, "shallow.json"))
