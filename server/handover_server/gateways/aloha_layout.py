"""Layout of openpi's ALOHA clients: 14 joints and a letterboxed image, for a GR1-shaped policy.

Joint angles are rad and grippers 0 (closed) … 1 (open) on both sides: gym-aloha and openpi's ALOHA
environments observe and command them so. Nothing is flipped or rescaled.
"""

import numpy as np
from handover_proto import ALOHA_JOINTS, GR1_DIMS, GRIPPER_JOINTS, PolicySpec

TOP_CAMERA = "cam_high"  # openpi's name for the one camera of gym-aloha

_ASPECT = (3, 4)  # of ALOHA's cameras, height to width


def is_aloha_shaped(spec: PolicySpec) -> bool:
    """Return whether a policy's groups are those that handover_proto maps the 14 joints to."""
    state = {group.name: group.dim for group in spec.state if group.steps == 1}
    action = {group.name: group.dim for group in spec.action}
    return state == action == GR1_DIMS and len(spec.state) == len(GR1_DIMS)


def training_square(frame: np.ndarray) -> np.ndarray:
    """Crop a frame to the center square that `handover convert` trains on.

    (height, width, 3) uint8 -> (side, side, 3). openpi's clients put a 4:3 image into a square
    with black bars above and below; these are cut off first. Bars are rows that are all zero,
    and only where exactly 4:3 remains between them.
    """
    height, width = frame.shape[:2]
    if height == width:
        bar = (height - round(width * _ASPECT[0] / _ASPECT[1])) // 2
        if bar and not frame[:bar].any() and not frame[height - bar :].any():
            frame = frame[bar : height - bar]
            height = frame.shape[0]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return frame[top : top + side, left : left + side]


def at_rate(targets: np.ndarray, rate_hz: float, control_rate_hz: float) -> np.ndarray:
    """Resample a chunk to a target per control step: (steps, 14) -> (more or fewer, 14), float32.

    Step j of a chunk is due j / rate_hz after its observation. Arms go linearly from one step to
    the next, grippers jump: as handover_client.control.chunk_player does in Handover's client.
    """
    count = int(len(targets) * control_rate_hz / rate_hz + 1e-9)
    places = np.arange(count) * (rate_hz / control_rate_hz)
    index = np.minimum((places + 1e-9).astype(int), len(targets) - 1)
    following = np.minimum(index + 1, len(targets) - 1)
    share = np.clip(places - index, 0, 1)[:, None].astype(np.float32)
    rows = targets[index] + share * (targets[following] - targets[index])
    rows[:, GRIPPER_JOINTS] = targets[index][:, GRIPPER_JOINTS]
    assert rows.shape[1] == len(ALOHA_JOINTS)
    return rows.astype(np.float32)
