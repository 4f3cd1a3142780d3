"""The commands of README.md's "by hand" block, run as they stand there but for the port."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mujoco", reason="needs the extra 'sim'")

from .left_behind import marked, none_left

ROOT = Path(__file__).resolve().parents[2]


def block_of_the_readme() -> str:
    _, _, rest = (
        (ROOT / "README.md").read_text().partition("<!-- run: tests/e2e/test_readme.py -->")
    )
    return rest.partition("```bash\n")[2].partition("```")[0]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.mark.slow
@pytest.mark.sim
@pytest.mark.timeout(900)
def test_the_commands_by_hand_end_in_a_report(server_bin, tmp_path):
    (tmp_path / ".venv-server").symlink_to(server_bin.parent)
    (tmp_path / ".venv-sim").symlink_to(Path(sys.executable).parents[1])
    (tmp_path / "checkpoints").symlink_to(ROOT / "checkpoints")
    mark = f"README_TEST_{os.getpid()}"
    commands = block_of_the_readme().replace("50051", str(free_port()))
    done = subprocess.run(
        [shutil.which("bash"), "-euo", "pipefail", "-mc", commands],
        cwd=tmp_path,
        env={**os.environ, mark: "1"},
        capture_output=True,
        text=True,
        timeout=800,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert none_left(mark), marked(mark)
    assert (tmp_path / "runs/report.html").stat().st_size > 50_000
    for run in ("open_loop", "closed_loop"):
        assert (tmp_path / "runs" / run / "metrics.json").exists()
