"""Interface of a robot that can be driven: six methods, and the values they exchange.

A robot of one's own is a class with these methods, made with the settings of --robot-config; named
by an entry point of the group `handover.robots`, or as --robot module:Class.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from handover_client.drive.guard import Limits


@dataclass(frozen=True)
class RobotDescription:
    """What a robot is: its joints in their order, cameras, rate, limits, start pose.

    Joints named as ALOHA's 14 fit policies of an ALOHA; others need --group where the policy has
    several groups.
    """

    joints: tuple[str, ...]
    units: tuple[str, ...]  # of each joint, as the server states units: "rad"
    cameras: Mapping[str, tuple[int, int]]  # {name: (height, width)}
    control_rate_hz: float
    limits: Limits
    start: np.ndarray  # (D,), where every episode begins
    pictures_have_noise: bool = False  # as real cameras' do: one that never changes is frozen
    kind: str = "aloha"  # the dataset's robot_type


@dataclass(frozen=True)
class CameraFrame:
    """A camera's newest frame: (H, W, 3) uint8 RGB, and when it was taken (time.monotonic, s)."""

    image: np.ndarray
    time_s: float


@dataclass(frozen=True)
class Reading:
    """What a robot measures now: joints (D,), when (time.monotonic, s), and its newest frames."""

    joints: np.ndarray
    time_s: float
    frames: Mapping[str, CameraFrame]


class Robot(Protocol):
    """A robot under control. Raises HandoverError where it fails; no method waits for long."""

    def connect(self) -> None:
        """Connect, and begin to measure; the arms hold where they are."""
        ...

    def observe(self) -> Reading:
        """Return the newest measurements at once; their times say how old they are."""
        ...

    def command(self, target: np.ndarray) -> None:
        """Aim the joints at a target, (D,), from now on; returns at once."""
        ...

    def hold(self) -> None:
        """Stay at the last command, with torque; also what happens when no more commands come."""
        ...

    def release(self) -> None:
        """Disconnect; may be called at any time, and twice. The arms go on holding."""
        ...

    def describe(self) -> RobotDescription:
        """Return what the robot is; constant once it is connected."""
        ...


@runtime_checkable
class Scene(Protocol):
    """What a simulated robot offers besides: a table that sets itself up, a judge, an expert."""

    def set_up(self, episode: int) -> None:
        """Put robot and objects to the start of an episode."""
        ...

    def is_done(self) -> bool:
        """Whether the task is done for good at this moment."""
        ...

    def take_over(self, command: np.ndarray) -> np.ndarray:
        """Plan what a person would do from here on: (L, D) targets, one each control step.

        Raises NoPlan where there is nothing to be done; then the policy goes on.
        """
        ...


@runtime_checkable
class TakesCameras(Protocol):
    """What a robot offers besides whose cameras may be given as --camera NAME=SOURCE."""

    def add_cameras(self, sources: Mapping[str, str]) -> None:
        """Add cameras, {name: device, file or address}, before it is connected."""
        ...
