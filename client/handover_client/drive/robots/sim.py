"""Simulated ALOHA as a robot: gym-aloha in processes of its own, at 50 Hz of wall time."""

import multiprocessing
import os
import threading
import time
from typing import Any

import numpy as np
from handover_common import HandoverError, UsageError
from handover_proto import ALOHA_JOINTS, GRIPPER_JOINTS

from handover_client.drive.guard import Limits
from handover_client.drive.robots.interface import CameraFrame, Reading, RobotDescription
from handover_client.drive.robots.sim_worker import (
    Shared,
    SimSettings,
    limits_and_size,
    run_cameras,
    run_physics,
)
from handover_client.errors import NoPlan

_START_S = 120.0  # until physics and cameras run: loading MuJoCo takes seconds
_ANSWER_S = 30.0
# of the arms, at most: a ViperX's joints turn with about 3 rad/s, and its scripted demonstrations
# ask for up to 18 where a wrist rolls over. Grippers are fractions of their travel, and jump.
_VELOCITY, _ACCELERATION, _LEAD = 2 * np.pi, 250.0, 0.6
_RATE_HZ = 50.0


class SimRobot:
    """gym-aloha's two arms on this machine. A robot as any other, and a Scene besides."""

    def __init__(self, **settings: Any) -> None:
        """Take the settings of --robot-config, those of SimSettings. Raises UsageError."""
        from handover_envs.simulator import LOOKS, check_packages

        check_packages()
        self._settings = SimSettings(**settings)
        if self._settings.look not in LOOKS:
            raise UsageError(f"look {self._settings.look!r}: expected one of {', '.join(LOOKS)}")
        if not 0 < self._settings.camera_rate_hz <= 1000:
            raise UsageError("camera_rate_hz: expected above 0 and at most 1000")
        self._processes: list[Any] = []
        self._asking = threading.Lock()  # a plan is asked for in a thread of its own
        self._description: RobotDescription | None = None

    def connect(self) -> None:
        """Start the processes; returns once physics and every camera run."""
        context = multiprocessing.get_context("spawn")
        low, high, size = limits_and_size(self._settings.task)
        self._shared = Shared.make(context, size, self._settings.cameras)
        self._requests, theirs = context.Pipe()
        common = self._settings, self._shared
        for work, arguments in (
            (run_physics, (*common, theirs, os.getpid())),
            (run_cameras, (*common, os.getpid())),
        ):
            process = context.Process(target=work, args=arguments, daemon=True)
            process.start()
            self._processes.append(process)
        try:
            self._wait_for(lambda: self._requests.poll(0.05), "physics")
            self._requests.recv()
            self._wait_for(self._all_drawn, "cameras")
        except BaseException:
            self.release()
            raise
        start, _ = self._shared.joints.read()
        self._description = _describe(self._settings, low, high, start)

    def observe(self) -> Reading:
        """Return the newest joints and pictures."""
        joints, time_s = self._shared.joints.read()
        frames = {
            name: CameraFrame(*picture.read()) for name, picture in self._shared.pictures.items()
        }
        return Reading(joints, time_s, frames)

    def command(self, target: np.ndarray) -> None:
        """Aim the joints at a target from the next step on."""
        self._shared.command.write(target)

    def hold(self) -> None:
        """Stay at the last command, as the simulated arms do by themselves."""

    def release(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join(10)
            if process.is_alive():
                process.kill()
        self._processes.clear()

    def describe(self) -> RobotDescription:
        """Return what gym-aloha's robot is."""
        if self._description is None:
            raise HandoverError("the simulated robot is described once it is connected")
        return self._description

    def set_up(self, episode: int) -> None:
        """Put the arms at home, and the objects where the task has them for the episode's seed."""
        self._ask("set_up", episode)
        since_s = time.monotonic()
        self._wait_for(lambda: self._all_drawn(since_s), "cameras")

    def is_done(self) -> bool:
        """Whether the task is done for good at this moment."""
        return bool(self._shared.done.read()[0][0])

    def take_over(self, command: np.ndarray) -> np.ndarray:
        """Plan the rest of the episode by the scripted expert: (L, 14) float32 at 50 Hz.

        It takes a second; meanwhile the robot may be driven. Raises NoPlan.
        """
        plan = self._ask("take_over", command)
        if isinstance(plan, str):
            raise NoPlan(plan)
        return plan

    def _ask(self, name: str, argument: object) -> Any:
        with self._asking:
            try:
                self._requests.send((name, argument))
                if self._requests.poll(_ANSWER_S):
                    return self._requests.recv()
            except (OSError, EOFError):
                pass
        raise HandoverError(f"the simulated robot does not answer ({name}): start it again")

    def _all_drawn(self, since_s: float = 0.0) -> bool:
        return all(each.read()[1] > since_s for each in self._shared.pictures.values())

    def _wait_for(self, condition: Any, what: str) -> None:
        deadline_s = time.monotonic() + _START_S
        while not condition():
            if not all(process.is_alive() for process in self._processes):
                raise HandoverError(f"the simulated robot's {what} did not start: see above")
            if time.monotonic() > deadline_s:
                raise HandoverError(f"the simulated robot's {what} did not start in {_START_S} s")
            time.sleep(0.01)


def _describe(
    settings: SimSettings, low: np.ndarray, high: np.ndarray, start: np.ndarray
) -> RobotDescription:
    def limit(value: float) -> np.ndarray:
        values = np.full(len(ALOHA_JOINTS), value)
        values[list(GRIPPER_JOINTS)] = np.inf
        return values

    return RobotDescription(
        joints=ALOHA_JOINTS,
        units=tuple(
            "0 closed … 1 open" if place in GRIPPER_JOINTS else "rad"
            for place in range(len(ALOHA_JOINTS))
        ),
        cameras=dict.fromkeys(settings.cameras, (480, 640)),
        control_rate_hz=_RATE_HZ,
        limits=Limits(low, high, limit(_VELOCITY), limit(_ACCELERATION), limit(_LEAD)),
        start=start,
    )
