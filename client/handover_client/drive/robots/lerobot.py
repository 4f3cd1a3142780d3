"""Any robot of the installed LeRobot, driven from a thread of its own at its control rate.

LeRobot's calls wait for serial ports and cameras, and may not come from two threads: the thread
sends the newest command, reads joints and cameras, and begins again when a command comes or a
period is over.
"""

import threading
import time
from typing import Any

import numpy as np
from handover_common import HandoverError, UsageError

from handover_client.drive.robots.interface import CameraFrame, Reading, RobotDescription
from handover_client.drive.robots.lerobot_config import (
    LeRobotSettings,
    joint_features,
    joint_units,
    joint_values,
    read_limits,
)
from handover_client.drive.robots.lerobot_factory import load_robot, motor_units

_FIRST_S = 30.0  # until the first measurement: cameras warm up
_LOST_S = 2.0  # without a measurement; a bus that loses a packet now and then is none
_END_S = 10.0


class LeRobotRobot:
    """A robot by its LeRobot type and config, with what LeRobot does not say in --robot-config."""

    def __init__(self, **settings: Any) -> None:
        """Take the settings of --robot-config. Raises UsageError, MissingExtra."""
        self._settings = LeRobotSettings(**settings)
        self._settings.check()
        robot = load_robot(self._settings.robot)
        observed = robot.observation_features
        self._robot, self._kind = robot, robot.name
        features = joint_features(self._settings, robot.action_features, observed)
        self._features = tuple(features.values())
        self._joints = tuple(features)
        stated = {
            ours: motor_units(robot)[feature.removesuffix(".pos")]
            for ours, feature in features.items()
            if feature.removesuffix(".pos") in motor_units(robot)
        }
        self._units, self._factors = joint_units(self._settings.units or {}, self._joints, stated)
        self._limits = read_limits(self._settings, self._joints)
        self._cameras = {
            name: (int(shape[0]), int(shape[1]))
            for name, shape in observed.items()
            if isinstance(shape, tuple) and len(shape) == 3 and shape[2] == 3
        }
        self._start: np.ndarray | None = None
        if self._settings.start != "here":
            self._start = joint_values("start", self._settings.start, self._joints)
        self._lock = threading.Lock()
        self._reading: Reading | None = None
        self._command: np.ndarray | None = None
        self._wake, self._ending = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._error = ""

    def connect(self) -> None:
        """Connect by LeRobot, and wait for the first measurement. Raises HandoverError."""
        try:
            self._robot.connect(calibrate=False)  # LeRobot's calibration asks at the keyboard
        except Exception as error:  # a driver's, of any kind
            raise HandoverError(f"LeRobot cannot connect to the robot: {_line(error)}") from error
        if not self._robot.is_calibrated:
            self.release()
            raise UsageError("the robot is not calibrated: run lerobot-calibrate first")
        self._thread = threading.Thread(target=self._run, name="lerobot", daemon=True)
        self._thread.start()
        deadline_s = time.monotonic() + _FIRST_S
        while self._reading is None:
            if time.monotonic() > deadline_s:
                self.release()
                raise HandoverError(f"the robot measures nothing: {self._error or 'no error'}")
            time.sleep(0.01)
        if self._start is None:
            self._start = self._reading.joints.copy()

    def observe(self) -> Reading:
        """Return the newest measurements. Raises HandoverError where there are none for seconds."""
        with self._lock:
            reading = self._reading
        if reading is None:
            raise HandoverError("the robot is not connected")
        silent_s = time.monotonic() - reading.time_s
        if silent_s > _LOST_S:
            why = self._error or f"LeRobot has been waiting for it for {silent_s:.1f} s"
            raise HandoverError(f"the robot does not answer any more: {why}")
        return reading

    def command(self, target: np.ndarray) -> None:
        """Aim the joints at a target, sent at once by the thread."""
        with self._lock:
            self._command = np.array(target, np.float64)
        self._wake.set()

    def hold(self) -> None:
        """Stay at the last command: position targets of LeRobot's robots last."""

    def release(self) -> None:
        """End the thread and disconnect."""
        self._ending.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(_END_S)
        try:
            if self._robot.is_connected:
                self._robot.disconnect()
        except Exception as error:  # a driver's, of any kind
            raise HandoverError(f"LeRobot cannot disconnect: {_line(error)}") from error

    def describe(self) -> RobotDescription:
        """Return what the robot is, by LeRobot's description and the settings."""
        if self._start is None:
            raise HandoverError("a robot that starts where it is is described once it is connected")
        return RobotDescription(
            joints=self._joints,
            units=self._units,
            cameras=self._cameras,
            control_rate_hz=self._settings.rate_hz,
            limits=self._limits,
            start=self._start,
            pictures_have_noise=self._settings.pictures_have_noise,
            kind=self._kind,
        )

    def _run(self) -> None:
        while not self._ending.is_set():
            self._wake.wait(1 / self._settings.rate_hz)
            self._wake.clear()
            with self._lock:
                command = self._command
            try:
                if command is not None and not self._ending.is_set():
                    self._robot.send_action(self._action(command))
                reading = self._read()
            except Exception as error:  # a driver's, of any kind; it may be a packet that was lost
                self._error = _line(error)
                time.sleep(0.01)
                continue
            with self._lock:
                self._reading, self._error = reading, ""

    def _action(self, command: np.ndarray) -> dict[str, float]:
        values = command / self._factors
        return {name: float(value) for name, value in zip(self._features, values, strict=True)}

    def _read(self) -> Reading:
        now_s = time.monotonic()
        seen = self._robot.get_observation()
        joints = np.array([float(seen[name]) for name in self._features]) * self._factors
        frames = {}
        for name, size in self._cameras.items():
            image = np.asarray(seen[name])
            if image.shape != (*size, 3) or image.dtype != np.uint8:
                raise HandoverError(
                    f"camera {name} gives {image.dtype} {image.shape}, LeRobot's description says "
                    f"uint8 {(*size, 3)}"
                )
            frames[name] = CameraFrame(image, self._taken_s(name, now_s))
        return Reading(joints, now_s, frames)

    def _taken_s(self, camera: str, now_s: float) -> float:
        """When a camera took its newest frame, where LeRobot's camera says so."""
        cameras = getattr(self._robot, "cameras", None) or {}
        stamp = getattr(cameras.get(camera), "latest_timestamp", None)
        if not isinstance(stamp, float):
            return now_s
        return time.monotonic() - max(0.0, time.perf_counter() - stamp)  # LeRobot's clock


def _line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
