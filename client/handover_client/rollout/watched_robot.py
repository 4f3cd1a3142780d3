"""Simulated robot as one policy sees it: only what the policy wants is drawn, past moments too."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from handover_proto import Observation

from handover_client.control.robot_view import RobotView


class Robot(Protocol):
    """Interface of the simulated robot."""

    @property
    def state(self) -> np.ndarray:
        """Joint positions: (14,), rad, grippers 0 … 1."""
        ...

    @property
    def qpos(self) -> np.ndarray:
        """Places of robot and objects, from which a past moment is drawn: (nq,)."""
        ...

    @property
    def start_poses(self) -> np.ndarray:
        """Start poses of the objects: (objects, 7), m and quaternions."""
        ...

    @property
    def is_held(self) -> bool:
        """Whether the task is done for good at this moment."""
        ...

    def reset(self, seed: int) -> np.ndarray:
        """Start the episode of a seed; returns the state."""
        ...

    def step(self, targets: np.ndarray) -> int:
        """Play one control step; returns the reward, 0 … 4. Raises HandoverError."""
        ...

    def render(
        self,
        size: int | tuple[int, int] | None = None,
        camera: str = "top",
        qpos: np.ndarray | None = None,
    ) -> np.ndarray:
        """Draw a camera, now or at places in the past: (480, 640, 3) uint8, or of a size."""
        ...


@dataclass(frozen=True)
class FrameAge:
    """Age of the frames, in control steps of `period_s`; known, the joints are of the same time."""

    steps: int = 0
    period_s: float = 0.0
    is_known: bool = True


NOW = FrameAge()


class WatchedRobot:
    """A robot, reset already, that remembers its episode so far; it is a Robot itself."""

    def __init__(self, robot: Robot, view: RobotView, age: FrameAge = NOW) -> None:
        self._robot, self._view, self._age = robot, view, age
        self._joints: list[np.ndarray] = []
        self._places: list[np.ndarray] = []
        self._remember()

    def observe(self) -> tuple[np.ndarray, Observation, float]:
        """Return joints, observation and age in s, as RealTimeController.act takes them."""
        first = len(self._joints) - 1
        age = min(self._age.steps, first)
        known = age if self._age.is_known else 0

        def draw(camera: str, height_width: tuple[int, int], ago: int) -> np.ndarray:
            return self._draw(camera, height_width, min(ago + age, first))

        joints, observation = self._view.observe(self._joints[: first + 1 - known], draw)
        return joints, observation, known * self._age.period_s

    def step(self, targets: np.ndarray) -> int:
        """See Robot."""
        reward = self._robot.step(targets)
        self._remember()
        return reward

    @property
    def state(self) -> np.ndarray:
        """See Robot."""
        return self._robot.state

    @property
    def start_poses(self) -> np.ndarray:
        """See Robot."""
        return self._robot.start_poses

    @property
    def is_held(self) -> bool:
        """See Robot."""
        return self._robot.is_held

    def _remember(self) -> None:
        self._joints.append(self._robot.state)
        if self._view.looks_back or self._age.steps:
            self._places.append(self._robot.qpos)

    def _draw(self, camera: str, height_width: tuple[int, int], ago: int) -> np.ndarray:
        return self._robot.render(height_width, camera, self._places[-1 - ago] if ago else None)
