"""The axis of docs/robustness.md, installed from outside as a package of its own."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mujoco", reason="needs the extra 'sim'")
pytestmark = pytest.mark.sim

ROOT = Path(__file__).resolve().parents[3]

PROGRAM = """
from handover_envs.perturbations import ChangedSimulator, axis_names
from handover_envs.simulator import AlohaSimulator
assert "dusk" in axis_names()
with ChangedSimulator("insertion", "dusk:3", "plain") as dark, \\
        AlohaSimulator("insertion", "plain") as plain:
    dark.reset(3)
    plain.reset(3)
    assert (dark.qpos == plain.qpos).all()
    print(dark.render(64).mean() < 0.8 * plain.render(64).mean())
"""


def test_it_is_found_and_changes_what_is_drawn_alone(tmp_path):
    page = (ROOT / "docs/robustness.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert code
    assert len(code[1].splitlines()) <= 20
    (tmp_path / "dusk.py").write_text(code[1])
    metadata = tmp_path / "dusk-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: dusk\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[handover.axes]\ndusk = dusk:Dusk\n")
    path = [str(tmp_path), *[part for part in sys.path if part]]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {path!r}\n{PROGRAM}"],
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.stdout.strip() == "True", done.stderr
