"""Simulated robot as one policy sees it: only what the policy wants is drawn, past moments too."""

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


class WatchedRobot:
    """A robot, reset already, that remembers its episode so far; it is a Robot itself."""

    def __init__(self, robot: Robot, view: RobotView) -> None:
        self._robot, self._view = robot, view
        self._joints: list[np.ndarray] = []
        self._places: list[np.ndarray] = []
        self._remember()

    def observe(self) -> tuple[np.ndarray, Observation]:
        """Return joints and observation of now, as RealTimeController.act takes them."""
        return self._view.observe(self._joints, self._draw)

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
        if self._view.looks_back:
            self._places.append(self._robot.qpos)

    def _draw(self, camera: str, height_width: tuple[int, int], ago: int) -> np.ndarray:
        return self._robot.render(height_width, camera, self._places[-1 - ago] if ago else None)
