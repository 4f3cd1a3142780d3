"""The robot of docs/robot.md is one: it is made by its name, and driven."""

import json
import re
from pathlib import Path

import pytest

pytest.importorskip("pyarrow", reason="recording needs the extra sim or replay")
pytest.importorskip("av")
pytest.importorskip("jinja2")

from handover_client.commands import main as cli
from handover_client.drive import run as drive_run
from handover_server.policies.hold import HoldPolicy

from .fakes import Keys

PAGE = Path(__file__).resolve().parents[3] / "docs/robot.md"


def test_the_robot_of_the_page_can_be_driven(serve_policy, tmp_path, monkeypatch):
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    (tmp_path / "my_robot.py").write_text(block)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "robot.json").write_text('{"address": "192.168.1.7"}')
    monkeypatch.setattr(drive_run, "_operator", lambda *_: Keys([[(0.3, "success")]]))
    driven = tmp_path / "driven"
    words = ["--robot", "my_robot:MyRobot", "--robot-config", str(tmp_path / "robot.json")]
    words += ["--server", serve_policy(HoldPolicy()).address, "--camera", "ego_view=cam_high"]
    assert cli.run(["drive", *words, "--task", "Wave.", "--output", str(driven)]) == 0
    figures = json.loads((driven / "metrics.json").read_text())
    assert figures["successes"] == 1
    assert figures["settings"]["robot_settings"] == {"address": "192.168.1.7"}
