"""The command line."""

import contextlib
import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import textwrap
import time
from pathlib import Path

import pytest
from conftest import Coco, run_cli

from mimicit import __version__

ENVIRONMENT = {
    k: v for k, v in os.environ.items() if k not in {"MIMICIT_DATA", "SOURCE_DATE_EPOCH"}
}


def test_a_build_ends_in_a_summary_and_where_to_look_next(tmp_path: Path) -> None:
    words = ["build", "--source", "coco", "--sample", "--out", "out/coco"]
    done = subprocess.run(
        [sys.executable, "-m", "mimicit", *words],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for line in (
        r"scenes +10\n",
        r"instructions +45\n",
        r"images +10\n",
        r"links +135 in-context examples\n",
        r"rejected +0\n",
        r"bytes +[\d,]+\n",
        r"seconds +[\d.]+\n",
        r"mimicit validate out/coco\n",
        r'load_dataset\("out/coco", "images"\)\n',
    ):
        assert re.search(line, done.stdout), line
    assert re.search(r"^media: 10 scenes in [\d.]+ s\n", done.stderr), (
        "quiet lines where no terminal is"
    )
    assert (tmp_path / "out" / "coco" / "README.md").is_file()
    checked = run_cli("validate", "out/coco", cwd=tmp_path)
    assert (checked.returncode, checked.stdout) == (0, "out/coco is valid\n")


def test_rejections_are_listed_by_reason(coco: Coco, tmp_path: Path) -> None:
    coco.picture(1).caption(1, "A cat.", " ", "a cat").write()
    done = run_cli("build", "-s", "coco", "--root", coco.root, cwd=tmp_path)
    assert re.search(
        r"rejected +2\n +annotations +1 duplicate-caption\n +annotations +1 empty", done.stdout
    )
    assert (tmp_path / "out" / "coco").is_dir(), "out/SOURCE where --out is not given"


def test_violations_are_listed_and_exit_with_4(tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "x.txt").write_text("x")
    done = run_cli("validate", "broken", cwd=tmp_path)
    assert done.returncode == 4
    assert "x.txt: is not in manifest.json\n" in done.stdout
    assert "breaks its rules in" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["build"], 2, "name a source"),
        (["build", "-s", "nothing"], 2, "no source 'nothing'; there are: "),
        (["build", "-s", "coco"], 2, r"looked for the directory 'data/coco'[^§]*--sample"),
        (["build", "-s", "coco", "--root", "gone"], 3, "no directory 'gone'"),
        (["build", "-s", "coco", "-o", "captions=gone.json", "-o", "images=."], 3, "gone.json"),
        (["build", "-s", "coco", "-o", "what"], 2, "NAME=VALUE"),
        (["build", "-s", "coco", "-o", "what=1"], 2, "no option 'what'"),
        (["build", "-s", "coco", "--sample", "--link", "best"], 2, "no link strategy 'best'"),
        (["build", "-s", "coco", "--sample", "--shots", "-1"], 2, "shots"),
        (["build", "-s", "coco", "--sample", "--date", "soon"], 2, "date"),
        (["build", "-s", "coco", "--sample", "--limit", "0"], 2, "limit"),
        (["build", "-s", "coco", "--sample", "--only", "77"], 2, "--only"),
        (["build", "-s", "coco", "--sample", "--teacher", "me"], 2, "templates"),
        (["build", "-s", "coco", "--sample", "--out", "full"], 2, "not a dataset made by"),
        (["build", "--config", "gone.yaml"], 2, "gone.yaml"),
        (["build", "--config", "list.yaml"], 2, "is no configuration"),
        (["build", "--config", "typo.yaml"], 2, "sorces"),
        (["validate", "gone"], 4, "breaks its rules"),
        (["sources", "gone"], 2, "no source 'gone'"),
    ],
)
def test_a_users_mistake_is_a_sentence_and_an_exit_code(
    tmp_path: Path,
    arguments: list[str],
    code: int,
    words: str,
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "photo.jpg").write_text("precious")
    (tmp_path / "list.yaml").write_text("- a\n")
    (tmp_path / "typo.yaml").write_text("sorces: [coco]\nsources: [{name: coco}]\n")
    done = run_cli(*arguments, cwd=tmp_path)
    said = done.stderr
    assert done.returncode == code, said
    assert re.search(words, said), said
    assert "Traceback" not in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full", "list.yaml", "typo.yaml"]


def test_options_reach_the_source_they_name(coco: Coco, tmp_path: Path) -> None:
    coco.picture(1).caption(1, "A cat.").write()
    root = ("-o", f"coco.root={coco.root}")
    assert run_cli("build", "-s", "coco", *root, "-o", "split=tiny", cwd=tmp_path).returncode == 0


def test_a_configuration_is_replayed_and_options_win_over_it(coco: Coco, tmp_path: Path) -> None:
    coco.picture(1).picture(2).caption(1, "A cat.").caption(2, "A dog.").write()
    build = ("build", "-s", "coco", "--root", "coco", "--seed", "4")
    assert run_cli(*build, "--out", "one", cwd=tmp_path).returncode == 0
    assert (
        run_cli("build", "--config", "one/build.yaml", "--out", "two", cwd=tmp_path).returncode == 0
    )
    one, two = ((tmp_path / name / "manifest.json").read_bytes() for name in ("one", "two"))
    assert one == two
    changed = ("build", "--config", "one/build.yaml", "--limit", "1", "--out", "three")
    assert re.search(r"scenes +1\n", run_cli(*changed, cwd=tmp_path).stdout)
    assert "seed: 4" in (tmp_path / "three" / "build.yaml").read_text()


def test_source_date_epoch_dates_the_card(tmp_path: Path) -> None:
    done = run_cli("build", "-s", "coco", "--sample", cwd=tmp_path, SOURCE_DATE_EPOCH="1770000000")
    assert done.returncode == 0
    assert "on 2026-02-02" in (tmp_path / "out" / "coco" / "README.md").read_text()
    done = run_cli("build", "-s", "coco", "--sample", cwd=tmp_path, SOURCE_DATE_EPOCH="today")
    assert (done.returncode, "SOURCE_DATE_EPOCH" in done.stderr) == (2, True)


def test_sources_and_schema_are_printed(tmp_path: Path) -> None:
    listed = run_cli("sources", cwd=tmp_path)
    assert re.search(r"^coco +COCO photographs with captions and boxes\.$", listed.stdout, re.M)
    told = run_cli("sources", "coco", cwd=tmp_path).stdout
    assert re.search(r"^  root +Directory in the official layout\.$", told, re.M)
    assert re.search(r"\[default: true\]$", told, re.M)
    assert "https://cocodataset.org" in told
    schema = json.loads(run_cli("schema", cwd=tmp_path).stdout)
    assert schema["required"][:2] == ["id", "instruction"]


def test_the_version_is_shown(tmp_path: Path) -> None:
    assert run_cli("--version", cwd=tmp_path).stdout == f"mimicit {__version__}\n"


def test_help_is_quick_because_nothing_heavy_is_imported(tmp_path: Path) -> None:
    done = run_cli("--help", cwd=tmp_path)
    assert "build" in done.stdout
    code = "import sys, mimicit.cli; print([m for m in sys.modules if m in sys.argv])"
    heavy = [
        "pyarrow",
        "numpy",
        "PIL",
        "pydantic",
        "datasets",
        "inflect",
        "yaml",
        "msgspec",
        "rich",
    ]
    loaded = subprocess.run(
        [sys.executable, "-c", code, *heavy], capture_output=True, text=True, check=True
    )
    assert loaded.stdout == "[]\n"


def test_what_takes_long_to_load_is_not_loaded_for_a_build_and_its_check(tmp_path: Path) -> None:
    code = """
        import sys
        from mimicit.cli import app
        app("build --source coco --sample --out out".split(), standalone_mode=False)
        app("validate out".split(), standalone_mode=False)
        print([name for name in ("pandas", "datasets", "openai", "av") if name in sys.modules])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"


def on_a_terminal(command: list[str], cwd: Path) -> str:
    """Run a command as on a terminal, and return what it shows."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    with subprocess.Popen(
        command, cwd=cwd, env=ENVIRONMENT, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # the other side is closed at the end
            while chunk := os.read(ours, 65536):
                shown += chunk
    os.close(ours)
    assert process.returncode == 0
    return shown.decode()


def test_a_terminal_shows_bars_with_rate_and_time_of_arrival(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mimicit", "build", "-s", "coco", "--sample"]
    shown = on_a_terminal(command, tmp_path)
    for name in ("media", "assemble", "link"):
        assert re.search(
            rf"{name} *: +100%\|.*\| (10/10|45/45) \[\d\d:\d\d<\d\d:\d\d, .*/s\]", shown
        )


def test_stopping_by_hand_changes_nothing(coco: Coco, tmp_path: Path) -> None:
    for number in range(300):
        coco.picture(number).caption(number, f"A cat {number}.")
    coco.write()
    command = [sys.executable, "-m", "mimicit", "build", "-s", "coco", "--root", str(coco.root)]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that runs the tests in the background has its children ignore the signal.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  # no threads
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("out/.coco.building-*")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "nothing was published" in errors
    assert "Traceback" not in errors
    assert not (tmp_path / "out").exists()
