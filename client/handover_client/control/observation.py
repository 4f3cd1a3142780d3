"""Observations for an ALOHA policy, made of what a robot's control loop reads."""

from collections.abc import Callable, Mapping, Sequence
from math import inf

import numpy as np
from handover_proto import (
    Frame,
    InvalidRequest,
    Observation,
    PolicySpec,
)
from PIL import Image

from handover_client.control.joint_layout import JointLayout

_Frames = Frame | Mapping[str, Frame] | Observation | None
# joints: (D,), of an ALOHA (14,) rad, grippers 0 … 1; and the frame of the policy's one camera, or
# frames by name, or a whole observation; and how long ago, in s, all of that was so, if not now
JointsAndImage = tuple[np.ndarray, _Frames] | tuple[np.ndarray, _Frames, float]
ObserveFn = Callable[[], JointsAndImage | Observation]


def make_observation(
    seen: JointsAndImage | Observation, spec: PolicySpec, layout: JointLayout, task: str
) -> tuple[Observation, np.ndarray, float]:
    """Return what an ObserveFn returned as an observation, its joints, (D,), and its age in s.

    Raises InvalidRequest for anything else, and for one frame where there are several cameras.
    """
    if isinstance(seen, Observation):
        try:
            joints = layout.joints(seen.state)[-1]
        except ValueError as error:
            whose = "ALOHA's groups" if layout.robot.is_aloha else "the robot's groups"
            raise InvalidRequest("observation.state", whose, str(error)) from None
        return seen, _check_joints(joints, layout.robot.names), 0.0
    if not (isinstance(seen, tuple) and len(seen) in (2, 3)):
        expected = "(joints, image), (joints, image, age_s) or an Observation"
        raise InvalidRequest("observe()", expected, type(seen).__name__)
    joints, image = _check_joints(np.asarray(seen[0]), layout.robot.names), seen[1]
    age_s = float(seen[2]) if len(seen) == 3 else 0.0
    if not 0 <= age_s < inf:
        raise InvalidRequest("age_s", "seconds since the observation, 0 or more", f"{age_s}")
    if isinstance(image, Observation):
        return image, joints, age_s
    if any(part.steps != 1 for part in (*spec.cameras, *spec.state)):
        raise InvalidRequest(
            "observe()", "(joints, Observation): this policy looks back in time", "only the present"
        )
    if isinstance(image, Mapping):
        frames = dict(image)
    elif image is None:
        frames = {}
    else:
        names = [camera.name for camera in spec.cameras]
        if len(names) != 1:
            raise InvalidRequest("image", f"frames by name: {', '.join(names)}", "one frame")
        frames = {names[0]: image}
    by_camera = {name: [frame] for name, frame in frames.items()}
    return Observation(by_camera, layout.state_groups(joints[None]), task), joints, age_s


def square_image(frame: np.ndarray, size: int = 256) -> np.ndarray:
    """Crop the centered square and resize it: (H, W, 3) uint8 RGB -> (size, size, 3) uint8 RGB.

    The same as handover_conversion.square_resize, by which `handover convert` and `handover
    rollout` make every frame, with Pillow alone: the square's corner is on even pixels, the filter
    an antialiased bicubic. On frames of our recordings they differ by 0.001 of 255 levels on
    average (Pillow's own resize of 8-bit pixels, which rounds after each axis, by 0.023). Raises
    ValueError for another shape or dtype.
    """
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
        raise ValueError(f"expected an (H, W, 3) uint8 image, got {frame.shape} {frame.dtype}")
    height, width = frame.shape[:2]
    side = min(height, width)
    left, top = (width - side) // 4 * 2, (height - side) // 4 * 2
    return _resized(frame[top : top + side, left : left + side], (size, size))


def frame_of_size(frame: np.ndarray, height_width: tuple[int, int]) -> np.ndarray:
    """Return a frame, (H, W, 3) uint8 RGB, at the size that a policy wants: (height, width).

    A square is cut from the middle, as by square_image; any other size is of the frame's own shape.
    """
    height, width = height_width
    if height == width:
        return square_image(frame, height)
    return frame if frame.shape[:2] == height_width else _resized(frame, height_width)


def _resized(frame: np.ndarray, height_width: tuple[int, int]) -> np.ndarray:
    height, width = height_width
    planes = [
        np.asarray(Image.fromarray(plane).resize((width, height), Image.Resampling.BICUBIC))
        for plane in np.moveaxis(frame.astype(np.float32), -1, 0)
    ]
    return np.clip(np.rint(np.stack(planes, axis=-1)), 0, 255).astype(np.uint8)


def _check_joints(joints: np.ndarray, names: Sequence[str]) -> np.ndarray:
    expected = f"{len(names)} finite numbers: {', '.join(names)}"
    if joints.shape != (len(names),) or joints.dtype.kind not in "fiu":
        raise InvalidRequest("joints", expected, f"{joints.dtype} {joints.shape}")
    if not np.isfinite(joints).all():
        raise InvalidRequest("joints", expected, "NaN or infinity")
    return joints
