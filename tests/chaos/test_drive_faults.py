"""A robot that is driven while something goes wrong: it is told nothing outside its limits.

Run in the environments of the robots: .venv-sim (or HANDOVER_SIM_ENV) for sim, and for trossen that
of docs/robot.md, which HANDOVER_ARMS_ENV names.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYTHONS = {
    "sim": Path(os.environ.get("HANDOVER_SIM_ENV", ROOT / ".venv-sim")) / "bin/python",
    "trossen": Path(os.environ.get("HANDOVER_ARMS_ENV", "ARMS")) / "bin/python",
}
ROLES = ("common", "proto", "model", "conversion", "training", "server", "client", "envs")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.mark.parametrize("robot", PYTHONS)
def test_a_robot_under_fault_stays_within_its_limits(robot, tmp_path, record_property):
    python = PYTHONS[robot]
    if not python.exists():
        pytest.skip(f"no environment of {robot} at {python.parents[1]}: see docs/robot.md")
    paths = os.pathsep.join([*(str(ROOT / role) for role in ROLES), str(ROOT)])
    command = [python, "-m", "benchmarks.robots.faults", "--robot", robot]
    subprocess.run(
        [*command, "--output", tmp_path / "faults"],
        check=True,
        env={**os.environ, "PYTHONPATH": paths},
        timeout=3500,
    )
    found = json.loads((tmp_path / "faults/findings.json").read_text())
    record_property("drive", found["findings"])
    assert found["outside_at_the_arms"] == 0
    by_fault = {finding["fault"]: finding for finding in found["findings"]}
    assert len(by_fault) == (9 if robot == "trossen" else 8)
    assert [finding["outside"] for finding in found["findings"]] == [0] * len(by_fault)
    for fault in ("server killed and restarted", "latency of 1 s", "an arm is silent"):
        assert "held" in by_fault[fault]["told"], fault
        assert by_fault[fault]["told"].partition(";")[0].rpartition(", ")[2].startswith("driven")
    assert by_fault["hostile policy: NaN"]["ended"] == "policy_error failure"
    assert "joint limit" in by_fault["hostile policy: far out of range"]["told"]
