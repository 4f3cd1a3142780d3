"""Layout of openpi's ALOHA clients: 14 joints and a letterboxed image, for a GR1-shaped policy.

Joint angles are rad and grippers 0 (closed) … 1 (open) on both sides: gym-aloha and openpi's ALOHA
environments observe and command them so. Nothing is flipped or rescaled.
"""

import numpy as np
from handover_proto import GR1_DIMS, PolicySpec

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
