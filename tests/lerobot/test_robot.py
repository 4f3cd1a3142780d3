"""`--robot lerobot` with LeRobot's own robots: their descriptions, refusals, and a drive."""

import json
import time

import numpy as np
import pytest
from handover_client.commands import main as cli
from handover_client.drive import run as drive_run
from handover_client.drive.robots.registry import make_robot
from handover_common import HandoverError, UsageError
from handover_proto import ALOHA_JOINTS

from ..client.drive.fakes import Keys

SIMULATED = {"type": "simulated_aloha", "disable_torque_on_disconnect": False}
LIMITS = {"low": -6, "high": 6, "velocity": 6, "acceleration": 250, "lead": 2}
SO101 = {
    "type": "so101_follower",
    "port": "/dev/no-such-port",
    "id": "test",
    "disable_torque_on_disconnect": False,
    "cameras": {
        "front": {"type": "opencv", "index_or_path": 9, "width": 640, "height": 480, "fps": 30}
    },
}
REST = {"control_rate_hz": 30, "limits": LIMITS, "start": 0.0}
ALOHA_UNITS = {name: "0 … 1" if name.endswith("gripper") else "rad" for name in ALOHA_JOINTS}


def test_an_so101s_own_motors_say_its_joints_and_units():
    described = make_robot("lerobot", {"robot": SO101, **REST}).describe()
    assert described.joints[0] == "shoulder_pan"
    assert described.units == ("rad",) * 5 + ("0 closed … 1 open",)
    assert described.cameras == {"front": (480, 640)}


def test_two_arms_have_their_motors_behind_their_sides():
    arm = {name: SO101[name] for name in ("port", "disable_torque_on_disconnect")}
    both = {"type": "bi_so_follower", "left_arm_config": arm, "right_arm_config": arm, "id": "two"}
    described = make_robot("lerobot", {"robot": both, **REST}).describe()
    assert len(described.joints) == 12
    assert described.units[5] == described.units[11] == "0 closed … 1 open"


def test_an_arm_that_is_not_there_is_one_error():
    robot = make_robot("lerobot", {"robot": SO101, **REST})
    with pytest.raises(HandoverError, match="LeRobot cannot connect"):
        robot.connect()


@pytest.mark.parametrize(
    ("robot", "said"),
    [
        ({"type": "arm7"}, r"no robot of type 'arm7': expected one of .*so101_follower"),
        ({**SO101, "prot": 1}, "LeRobot cannot make a so101_follower"),
        (
            {name: SO101[name] for name in ("type", "port")},
            "does not say disable_torque_on_disconnect",
        ),
        ("missing.yaml", "cannot be read"),
    ],
)
def test_what_lerobot_does_not_know_is_said(robot, said):
    with pytest.raises(UsageError, match=said):
        make_robot("lerobot", {"robot": robot, **REST})


def test_a_plugins_robot_from_its_own_file_moves_where_it_is_told(tmp_path):
    (tmp_path / "robot.yaml").write_text(json.dumps(SIMULATED))
    settings = {**REST, "control_rate_hz": 50, "start": "here", "units": ALOHA_UNITS}
    robot = make_robot("lerobot", {"robot": str(tmp_path / "robot.yaml"), **settings})
    robot.connect()
    try:
        target = robot.describe().start.copy()
        target[0] += 0.3
        robot.command(target)
        deadline_s = time.monotonic() + 60
        while abs(robot.observe().joints[0] - target[0]) > 0.05:
            assert time.monotonic() < deadline_s
            time.sleep(0.02)
        assert robot.observe().frames["top"].image.std() > 1
    finally:
        robot.release()


def test_a_session_on_it_is_a_dataset_that_lerobot_reads(server, tmp_path, monkeypatch):
    settings = {"robot": SIMULATED, "units": ALOHA_UNITS, **REST, "control_rate_hz": 50}
    settings |= {"start": "here", "pictures_have_noise": False}
    (tmp_path / "arm.json").write_text(json.dumps(settings))
    monkeypatch.setattr(drive_run, "_operator", lambda *_: Keys([[(20.0, "success")]]))
    driven = tmp_path / "driven"
    words = ["--robot", "lerobot", "--robot-config", str(tmp_path / "arm.json")]
    words += ["--server", server, "--camera", "ego_view=top", "--stale-s", "5", "--frozen-s", "5"]
    words += ["--task", "Pick up the cube.", "--output", str(driven)]
    assert cli.run(["drive", *words, "--rerun", str(tmp_path / "drive.rrd")]) == 0
    figures = json.loads((driven / "metrics.json").read_text())
    assert figures["episodes"] == figures["successes"] == 1
    assert figures["settings"]["joints"] == list(ALOHA_UNITS)
    assert json.loads((driven / "meta/info.json").read_text())["robot_type"] == "simulated_aloha"
    import pyarrow.parquet as pq

    rows = pq.read_table(driven / "data/chunk-000/episode_000000.parquet").to_pydict()
    actions = np.array(rows["action"])
    assert actions.shape[1] == 14
    assert np.ptp(actions, axis=0).max() > 0.05  # the policy moved it
    assert (tmp_path / "drive.rrd").stat().st_size > 10_000
