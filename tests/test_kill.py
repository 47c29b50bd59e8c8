"""Builds that are killed: what was there stays, and stays loadable."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import Builder, Coco, contents

from mimicit.validate import find_problems

pytestmark = pytest.mark.slow


def test_a_kill_at_any_moment_leaves_the_old_dataset(
    coco: Coco, build_coco: Builder, tmp_path: Path
) -> None:
    for number in range(200):
        coco.picture(number, size=(400, 300)).caption(number, f"A cat with {number} dogs.")
        coco.box(number, 17, 10, 100, 80, 80)
    coco.write()
    for path in coco.root.rglob("*.jpg"):  # what is known of files that are this new is not used
        os.utime(path, (0, 10**9))
    out = tmp_path / "out"
    build_coco(coco.root, limit=3)
    before = contents(out)
    command = [sys.executable, "-m", "mimicit", "build", "-s", "coco", "--root", str(coco.root)]
    command += ["--out", str(out), "--seed", "1"]
    subprocess.run(command, check=True, capture_output=True)  # from now on the pictures are known
    start = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    whole = time.monotonic() - start
    after = contents(out)
    moments = random.Random(5)
    killed = 0
    for _ in range(12):
        build_coco(coco.root, limit=3)
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as build:
            time.sleep(moments.uniform(0.1, whole))
            os.kill(build.pid, signal.SIGKILL)
        killed += build.returncode == -signal.SIGKILL
        assert contents(out) in (before, after)
        assert find_problems(out) == []
    assert killed >= 6
    subprocess.run(command, check=True, capture_output=True)
    assert contents(out) == after
    assert [path.name for path in tmp_path.iterdir() if "building" in path.name] == []
