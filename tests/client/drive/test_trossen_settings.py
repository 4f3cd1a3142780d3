"""The settings of --robot trossen: every key, unit and order is said; nothing is guessed."""

import copy
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from handover_client.drive.robots import registry
from handover_client.drive.robots.trossen import TrossenRobot
from handover_client.drive.robots.trossen_settings import trossen_settings
from handover_common import MissingExtra, UsageError

PAGE = Path(__file__).resolve().parents[3] / "docs/robot.md"
ARM = {"address": "192.168.1.4", "start_rad": [0.0, 1.0, 0.5, 0.6, 0, 0], "start_gripper_m": 0.02}
SETTINGS = {
    "left": ARM,
    "right": {**ARM, "address": "192.168.1.5"},
    "joint_order": [f"joint_{place}" for place in range(6)],
    "limits": {
        "low_rad": [-1.5, 0.0, 0.0, -1.5, -1.5, -2.0],
        "high_rad": [1.5, 2.5, 2.3, 1.5, 1.5, 2.0],
        "velocity_rad_s": [1.5] * 6,
        "acceleration_rad_s2": [10.0] * 6,
        "lead_rad": [0.3] * 6,
    },
    "gripper": {
        "closed_m": 0.0,
        "open_m": 0.04,
        "velocity_m_s": 0.2,
        "acceleration_m_s2": 4.0,
        "lead_m": 0.03,
    },
    "cameras": {"cam_high": "/dev/video0", "cam_low": {"source": "rtsp://arm/1", "height": 240}},
}


def changed(key, value):
    """The settings with another value at a key, "left.address"; None takes the key away."""
    settings = copy.deepcopy(SETTINGS)
    *way, last = key.split(".")
    place = settings
    for name in way:
        place = place[name]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return settings


def test_what_the_robot_is_follows_from_the_settings():
    described = TrossenRobot(**SETTINGS).describe()
    assert described.cameras == {"cam_high": (480, 640), "cam_low": (240, 640)}
    np.testing.assert_allclose(described.start[:7], [0, 1, 0.5, 0.6, 0, 0, 0.5])
    # metres become shares of the gripper's travel
    assert described.limits.velocity[6] == described.limits.velocity[13] == 5.0
    assert described.limits.lead[6] == 0.75
    assert (described.limits.low[6], described.limits.high[6]) == (0.0, 1.0)
    assert [described.units[place] for place in (5, 6)] == ["rad", "0 closed … 1 open"]


def test_a_camera_of_the_command_line_is_the_robots():
    robot = TrossenRobot(**SETTINGS)
    robot.add_cameras({"ego_view": "/dev/video2"})
    assert "ego_view" in robot.describe().cameras


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("left.adress", "x", "left.adress: expected one of the keys address"),
        ("speed", 1, "speed: expected one of the keys left"),
        ("limits.lead_rad", None, "limits.lead_rad: expected a value: nothing is guessed"),
        ("right", None, "right: expected a value"),
        ("left", "192.168.1.4", "left: expected keys address"),
        ("left.address", "192.168.1.5", "another one than left.address"),
        ("left.address", 4, "the address of the arm's controller, got 4"),
        ("left.start_rad", [0, 0, 0], "a list of 6 numbers"),
        ("left.start_rad", [0, float("nan"), 0, 0, 0, 0], "start_rad[1]: expected a finite"),
        ("left.start_rad", [0, "1e3", 0, 0, 0, 0], "a finite number, got '1e3'"),
        ("left.start_rad", [0, True, 0, 0, 0, 0], "a finite number, got True"),
        ("left.start_rad", [2, 0, 0, 0, 0, 0], "inside the limits, as joint_0 is not"),
        ("left.start_gripper_m", 0.5, "closed_m to open_m"),
        ("limits.velocity_rad_s", [0] * 6, "six numbers above 0"),
        ("limits.high_rad", [-2] * 6, "above low_rad"),
        ("gripper.open_m", 40, "in metres"),  # those were millimetres
        ("gripper.lead_m", 0, "above 0"),
        ("joint_order", ["waist"] * 6, "each of joint_0"),
        ("joint_order", ["joint_0"] * 6, "each of joint_0"),
        ("end_effector", "hand", "one of wxai_v0_follower"),
        ("control_rate_hz", 1000, "10 to 200"),
        ("lost_after_s", 0, "above 0"),
        ("cameras", ["/dev/video0"], "NAME: source"),
        ("cameras.cam_high", {"source": ""}, "a device, a file or an address"),
        ("cameras.cam_high", {"source": "/dev/video0", "fps": 30}, "one of the keys source"),
        ("cameras.cam_high", {"source": "/dev/video0", "height": 0}, "pixels, 1 to 4096"),
    ],
)
def test_what_is_wrong_is_named_with_its_key(key, value, said):
    with pytest.raises(UsageError) as raised:
        trossen_settings(changed(key, value))
    assert said in str(raised.value)
    assert str(raised.value).startswith("--robot-config: ")


def test_a_file_of_yaml_is_read_strictly(tmp_path):
    pytest.importorskip("yaml", reason="needs the extra trossen")
    path = tmp_path / "arms.yaml"
    path.write_text("left: {address: 192.168.1.4}\nrate: .nan\n")
    assert registry.read_settings(path)["left"] == {"address": "192.168.1.4"}
    for text, said in {
        "a: 1\na: 2": "the key 'a' is there twice",
        "b: {c: 1, c: 2}": "the key 'c' is there twice",
        "a: !!python/object/apply:os.getcwd []": "no YAML that can be read",
        "a: [1": "no YAML that can be read",
        "- a": "expected YAML with an object of settings",
        "1: a": "expected YAML with an object of settings",
    }.items():
        path.write_text(text)
        with pytest.raises(UsageError) as raised:
            registry.read_settings(path)
        assert said in str(raised.value)


def test_the_pages_settings_are_ones(tmp_path):
    pytest.importorskip("yaml", reason="needs the extra trossen")
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    (tmp_path / "arms.yaml").write_text(block)
    described = TrossenRobot(**registry.read_settings(tmp_path / "arms.yaml")).describe()
    assert set(described.cameras) == {"cam_high", "cam_left_wrist"}


def test_without_the_vendors_driver_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "trossen_arm", None)
    settings = changed("cameras", {})
    with pytest.raises(MissingExtra, match="needs the extra 'trossen'"):
        TrossenRobot(**settings).connect()
