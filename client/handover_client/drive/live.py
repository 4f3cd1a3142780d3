"""Interface of a live view of a drive: what is shown while the robot moves."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from handover_client.drive.recording import Step
from handover_client.drive.robots.interface import CameraFrame


@dataclass(frozen=True)
class Moment:
    """One control step as it is shown: when it was, what was measured, asked for and sent.

    joints: their names; guard: how often each kind of intervention came in the episode so far;
    waits: why the robot holds, or empty
    """

    episode: int
    seconds: float
    joints: tuple[str, ...]
    step: Step
    frames: Mapping[str, CameraFrame]
    guard: Mapping[str, int]
    waits: str


class LiveView(Protocol):
    """A view that never makes the robot wait: what it cannot show in time it leaves out."""

    def show(self, moment: Moment) -> None:
        """Show a control step; returns at once."""
        ...
