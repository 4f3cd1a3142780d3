"""`--robot lerobot`: what is asked for and what is known, on a robot with LeRobot's interface.

LeRobot itself is not installed here: tests/lerobot drives its real robots.
"""

import contextlib
import importlib.util
import json
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from handover_client.drive.robots import lerobot
from handover_client.drive.robots.lerobot_config import joint_units
from handover_client.drive.robots.registry import make_robot
from handover_common import HandoverError, UsageError

JOINTS = ("pan", "lift", "gripper")
LIMITS = {"low": -1.5, "high": 1.5, "velocity": 2, "acceleration": 40, "lead": {"pan": 0.5}}
LIMITS["lead"] |= {"lift": 0.5, "gripper": None}
SETTINGS = {"robot": {"type": "arm"}, "control_rate_hz": 50, "limits": LIMITS, "start": "here"}


class Arm:
    """Three motors of LeRobot's interface that are where they were sent, in LeRobot's units."""

    name = "arm"

    def __init__(self):
        modes = dict(zip(JOINTS, ("degrees", "degrees", "range_0_100"), strict=True))
        motors = {name: SimpleNamespace(norm_mode=mode) for name, mode in modes.items()}
        self.bus = SimpleNamespace(motors=motors)
        self.cameras = {"top": SimpleNamespace(latest_timestamp=None)}
        self.positions = {f"{name}.pos": 90.0 for name in JOINTS}
        self.is_connected, self.is_calibrated, self.fails = False, True, False
        self.threads, self.calls = set(), []

    @property
    def action_features(self):
        return dict.fromkeys(self.positions, float)

    @property
    def observation_features(self):
        return {**self.action_features, "top": (4, 6, 3), "top_depth": (4, 6, 1)}

    def connect(self, calibrate):
        assert not calibrate
        self.is_connected = True

    def get_observation(self):
        self.threads.add(threading.get_ident())
        if self.fails:
            raise ConnectionError("no status packet")
        self.cameras["top"].latest_timestamp = time.perf_counter() - 0.1
        return {**self.positions, "top": np.zeros((4, 6, 3), np.uint8)}

    def send_action(self, action):
        self.threads.add(threading.get_ident())
        self.positions = dict(action)

    def disconnect(self):
        self.calls.append("disconnect")
        self.is_connected = False


@pytest.fixture
def arm(monkeypatch):
    arm = Arm()
    monkeypatch.setattr(lerobot, "load_robot", lambda robot: arm)
    return arm


@pytest.fixture
def robot(arm):
    robot = make_robot("lerobot", SETTINGS)
    robot.connect()
    yield robot
    robot.release()


def wait_until(condition):
    deadline_s = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


def test_degrees_and_percent_come_as_rad_and_fractions_and_go_back(robot, arm):
    described = robot.describe()
    assert described.joints == JOINTS
    assert described.units == ("rad", "rad", "0 closed … 1 open")
    assert described.cameras == {"top": (4, 6)}  # depth is no camera of a policy
    assert described.kind == "arm"
    np.testing.assert_allclose(described.start, [np.pi / 2, np.pi / 2, 0.9])
    robot.command(np.array([np.pi, 0.0, 0.25]))
    wait_until(lambda: arm.positions["pan.pos"] != 90.0)
    assert arm.positions == pytest.approx({"pan.pos": 180.0, "lift.pos": 0.0, "gripper.pos": 25.0})


def test_everything_is_said_to_the_robot_by_one_thread_and_frames_are_as_old_as_they_are(
    robot, arm
):
    robot.command(np.zeros(3))
    wait_until(lambda: arm.positions["pan.pos"] == 0.0)
    assert len(arm.threads) == 1
    assert threading.get_ident() not in arm.threads
    reading = robot.observe()
    assert reading.time_s - reading.frames["top"].time_s > 0.05


def test_lost_packets_make_the_joints_old_and_a_lost_robot_is_said(robot, arm, monkeypatch):
    arm.fails = True
    wait_until(lambda: robot._error)
    assert robot.observe().joints.shape == (3,)
    monkeypatch.setattr(lerobot, "_LOST_S", 0.0)
    with pytest.raises(HandoverError, match="does not answer any more: ConnectionError: no status"):
        robot.observe()
    monkeypatch.undo()
    arm.fails = False
    wait_until(lambda: not robot._error)
    robot.observe()


def test_a_driver_that_does_not_return_is_a_lost_robot_too(robot, arm, monkeypatch):
    returns = threading.Event()
    monkeypatch.setattr(arm, "get_observation", lambda: returns.wait(60) and {})
    monkeypatch.setattr(lerobot, "_LOST_S", 0.2)

    def is_said():
        with contextlib.suppress(HandoverError):
            robot.observe()
            return False
        return True

    wait_until(is_said)
    with pytest.raises(HandoverError, match=r"LeRobot has been waiting for it for [\d.]+ s"):
        robot.observe()
    returns.set()


def test_it_is_released_once_however_often_it_is_said(robot, arm):
    robot.release()
    robot.release()
    assert arm.calls == ["disconnect"]


def test_a_start_of_zero_is_a_start(arm):
    described = make_robot("lerobot", {**SETTINGS, "start": 0}).describe()
    np.testing.assert_array_equal(described.start, np.zeros(3))


def test_what_is_not_calibrated_is_not_driven(arm):
    arm.is_calibrated = False
    with pytest.raises(UsageError, match="run lerobot-calibrate"):
        make_robot("lerobot", SETTINGS).connect()
    assert arm.calls == ["disconnect"]


def test_everything_that_is_missing_is_asked_for_at_once(arm):
    with pytest.raises(UsageError, match=r"robot \(.*control_rate_hz \(.*limits \(.*start \("):
        make_robot("lerobot", {})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"units": {"pan": "rad"}}, "pan: its motor says degrees, you rad"),
        ({"units": {"arm": "rad"}}, "arm: no such joint; there are pan, lift, gripper"),
        ({"joints": ["pan", "lift"]}, "expected each of pan, lift, gripper once, got pan, lift"),
        ({"limits": {**LIMITS, "low": {"pan": 0}}}, "wrong or missing: gripper, lift"),
        ({"limits": {"low": -1}}, "wrong or missing: acceleration, high, lead, velocity"),
        ({"limits": {**LIMITS, "low": 2}}, "a joint's lower limit is above its upper one"),
        ({"limits": {**LIMITS, "high": None}}, "joint limits must be finite"),
        ({"start": {"pan": 0, "lift": "up", "gripper": 0}}, "start in --robot-config"),
        ({"start": {"pan": 0, "lift": None, "gripper": 0}}, "start in --robot-config"),
        ({"limits": {**LIMITS, "low": True}}, "limits.low in --robot-config"),
        ({"control_rate_hz": 5000}, "expected 1 to 1000"),
        ({"rate": 5}, "--robot-config does not fit the robot lerobot"),
    ],
)
def test_what_does_not_fit_is_said_and_not_guessed(arm, change, said):
    with pytest.raises(UsageError, match=said.replace("(", r"\(")):
        make_robot("lerobot", {**SETTINGS, **change})


def test_a_motor_that_does_not_say_its_unit_has_to_be_told(arm):
    del arm.bus.motors["lift"]
    with pytest.raises(UsageError, match="lift: LeRobot does not say its unit"):
        make_robot("lerobot", SETTINGS)
    robot = make_robot("lerobot", {**SETTINGS, "units": {"lift": "-100 … 100"}})
    assert robot._units == ("rad", "-100 … 100", "0 closed … 1 open")


def test_another_order_and_other_names_are_as_told(arm):
    joints = {"hand": "gripper", "first": "pan", "second": "lift"}
    limits = {**LIMITS, "lead": 1}
    robot = make_robot("lerobot", {**SETTINGS, "joints": joints, "limits": limits})
    assert robot._features == ("gripper.pos", "pan.pos", "lift.pos")
    assert robot._units[0] == "0 closed … 1 open"


@pytest.mark.parametrize("name", ["x.vel", "mode"])
def test_velocities_are_not_driven(arm, name):
    arm.positions[name] = 0.0
    with pytest.raises(UsageError, match=f"commanded by {name}: only joint positions"):
        make_robot("lerobot", SETTINGS)


def test_units_are_one_table():
    units, factors = joint_units({}, ("a",), {"a": "range_m100_100"})
    assert (units, factors.tolist()) == (("-100 … 100",), [1.0])


@pytest.mark.skipif(importlib.util.find_spec("lerobot") is not None, reason="it is installed")
def test_without_lerobot_it_is_said_what_to_install(tmp_path):
    settings = tmp_path / "arm.json"
    settings.write_text(json.dumps(SETTINGS))
    with pytest.raises(HandoverError, match=r"Python 3\.12|'lerobot'"):
        make_robot("lerobot", SETTINGS)
