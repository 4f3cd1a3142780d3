"""The task of docs/tasks.md, installed from outside as a package of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mujoco", reason="needs the extra 'sim'")
pytestmark = pytest.mark.sim

ROOT = Path(__file__).resolve().parents[3]


def environment(*folders: Path) -> dict[str, str]:
    path = [*map(str, folders), *sys.path]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(part for part in path if part)}


@pytest.fixture
def installed(tmp_path):
    """A folder that holds the page's module, with the metadata that pip would write."""
    page = (ROOT / "docs/tasks.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    entry = re.search(r'```toml\n\[project\.entry-points\."(.*)"\]\n(.*?)```', page, re.DOTALL)
    assert code
    assert entry
    assert len(code[1].splitlines()) <= 60
    (tmp_path / "lift_cube.py").write_text(code[1])
    metadata = tmp_path / "lift_cube-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: lift-cube\nVersion: 1.0\n")
    broken = 'broken = "no_such_module:TASK"'
    entries = "\n".join(line.replace('"', "") for line in (entry[2] + broken).splitlines())
    (metadata / "entry_points.txt").write_text(f"[{entry[1]}]\n{entries}\n")
    return tmp_path


def handover(installed: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "handover_client.cli", *arguments],
        env=environment(installed),
        capture_output=True,
        text=True,
        timeout=280,
    )


def test_its_expert_succeeds_in_a_rollout_and_completion_knows_it(installed, tmp_path):
    flags = ["--task", "lift_cube", "--episodes", "1", "--videos", "none", "--workers", "1"]
    output = str(tmp_path / "run")
    done = handover(installed, "rollout", "--policy", "scripted", *flags, "--output", output)
    assert done.returncode == 0, done.stderr
    assert '"success_rate": 1.0' in (tmp_path / "run/metrics.json").read_text()
    assert "it holds the cube off the table" in (tmp_path / "run/report.html").read_text()
    script = handover(installed, "completion", "bash").stdout
    assert "transfer_cube_left" in script
    assert "lift_cube" in script


def test_a_broken_task_is_one_line_and_the_others_work(installed, tmp_path):
    flags = ["--policy", "scripted", "--task", "broken", "--output", str(tmp_path / "run")]
    failed = handover(installed, "rollout", *flags)
    assert failed.returncode == 2
    assert failed.stderr.count("\n") == 1
    assert "task 'broken' cannot be loaded from no_such_module:TASK" in failed.stderr
