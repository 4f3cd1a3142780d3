"""View of a robot as a policy wants it: cameras by its names, its frame sizes, its past moments."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from handover_proto import CameraSpec, Observation, PolicySpec, UnmetPrecondition

from handover_client.control.joint_layout import JointLayout

# real ALOHAs' names of what the simulator has too
_SAME = {"cam_high": "top", "cam_left_wrist": "left_wrist", "cam_right_wrist": "right_wrist"}
DEFAULT_SIZE = 256

DrawFn = Callable[[str, tuple[int, int], int], np.ndarray]
"""Draws a camera at a size (height, width) as it saw the robot a number of control steps ago."""


@dataclass(frozen=True)
class CameraView:
    """A camera of the policy, the robot's camera that stands for it, and its frames' size."""

    name: str
    source: str
    height_width: tuple[int, int]
    delta_indices: tuple[int, ...]  # of its frames, in the policy's steps; 0 is now


@dataclass(frozen=True)
class RobotView:
    """What one policy is shown of a robot.

    control_steps: per step of the policy
    """

    cameras: tuple[CameraView, ...]
    layout: JointLayout
    state_deltas: Mapping[str, tuple[int, ...]]
    task: str
    control_steps: float

    @property
    def looks_back(self) -> int:
        """How many control steps the policy looks back."""
        deltas = [delta for camera in self.cameras for delta in camera.delta_indices]
        deltas += [delta for each in self.state_deltas.values() for delta in each]
        return max((self._ago(delta) for delta in deltas), default=0)

    def observe(self, past: Sequence[np.ndarray], draw: DrawFn) -> tuple[np.ndarray, Observation]:
        """Return the joints, (14,), and the observation of now.

        past: joint positions of every control step of the episode so far, the last of now. What is
        from before the first is the first, as in training.
        """
        first = len(past) - 1
        frames = {
            camera.name: [
                draw(camera.source, camera.height_width, min(self._ago(delta), first))
                for delta in camera.delta_indices
            ]
            for camera in self.cameras
        }
        state = {}
        for name, deltas in self.state_deltas.items():
            rows = np.stack([self._joints(past, delta) for delta in deltas])
            state[name] = self.layout.state_groups(rows)[name]
        return past[first], Observation(frames, state, self.task)

    def _joints(self, past: Sequence[np.ndarray], delta: int) -> np.ndarray:
        """Return the joints at one of the policy's steps: linear between control steps."""
        place = max(0.0, len(past) - 1 + delta * self.control_steps)
        before, share = int(place), place % 1
        if not share:
            return past[before]
        return (1 - share) * past[before] + share * past[before + 1]

    def _ago(self, delta: int) -> int:
        """Control steps ago of one of the policy's steps; between two, the earlier."""
        return -ceil(delta * self.control_steps - 0.5)


def view_for(
    spec: PolicySpec,
    layout: JointLayout,
    task: str,
    *,
    control_steps: float,
    cameras: Sequence[str],
    told: Mapping[str, str],
    size: int | None = None,
) -> RobotView:
    """Lay out what a policy is shown. Raises UnmetPrecondition where that is not certain.

    cameras: those of the robot
    told: {a camera of the policy: one of the robot}
    size: of square frames, instead of those that the policy names
    """
    unknown = sorted(set(told) - {camera.name for camera in spec.cameras})
    if unknown:
        named = ", ".join(camera.name for camera in spec.cameras) or "no camera"
        raise UnmetPrecondition(f"--camera {', '.join(unknown)}: the policy wants {named}")
    views = tuple(
        CameraView(
            camera.name,
            _source(camera, len(spec.cameras) == 1, cameras, told),
            _height_width(camera, size),
            _deltas(f"camera {camera.name}", camera.steps, camera.delta_indices),
        )
        for camera in spec.cameras
    )
    deltas = {
        part.name: _deltas(f"state {part.name}", part.steps, part.delta_indices)
        for part in spec.state
    }
    return RobotView(views, layout, deltas, task, control_steps)


def _source(
    camera: CameraSpec, is_only: bool, cameras: Sequence[str], told: Mapping[str, str]
) -> str:
    """Return the robot's camera for one of the policy's; its only one is the top camera."""
    short = camera.name.rsplit(".", 1)[-1]
    source = told.get(camera.name) or _SAME.get(short, short)
    if is_only and camera.name not in told and source not in cameras:
        source = "top"
    if source not in cameras:
        raise UnmetPrecondition(
            f"which camera is {camera.name}? Say it with --camera {camera.name}=CAMERA; there are: "
            f"{', '.join(cameras)}"
        )
    return source


def _height_width(camera: CameraSpec, size: int | None) -> tuple[int, int]:
    if size is None and camera.height and camera.width:
        return camera.height, camera.width
    return size or DEFAULT_SIZE, size or DEFAULT_SIZE


def _deltas(what: str, steps: int, deltas: tuple[int, ...]) -> tuple[int, ...]:
    if not deltas and steps == 1:
        return (0,)
    if len(deltas) != steps or any(delta > 0 for delta in deltas):
        raise UnmetPrecondition(
            f"{what}: the policy wants {steps} moments and names {list(deltas) or 'no times'}; "
            "expected the time of each, none in the future"
        )
    return deltas
