"""ALOHA's embodiment: its 14 joints, the 29 GR1 slots of the policy, and the mapping between them.

Joint angles are in rad, grippers go from 0 (closed) to 1 (open). A slot that ALOHA has no joint for
holds 0. The order of the slots is left_arm, left_hand, right_arm, right_hand, waist.
"""

from collections.abc import Mapping

import numpy as np

ALOHA_JOINTS = tuple(
    f"{side}_{joint}"
    for side in ("left", "right")
    for joint in (
        "waist",
        "shoulder",
        "elbow",
        "forearm_roll",
        "wrist_angle",
        "wrist_rotate",
        "gripper",
    )
)
GRIPPER_JOINTS = (6, 13)  # their places among ALOHA_JOINTS
ARM_JOINTS = tuple(joint for joint in range(14) if joint not in GRIPPER_JOINTS)

GR1_DIMS = {"left_arm": 7, "left_hand": 6, "right_arm": 7, "right_hand": 6, "waist": 3}
GR1_WIDTH = sum(GR1_DIMS.values())
_STARTS = dict(
    zip(GR1_DIMS, np.cumsum([0, *GR1_DIMS.values()][:-1]).tolist(), strict=True)  # 0 7 13 20 26
)
GR1_SLICES = {name: slice(_STARTS[name], _STARTS[name] + dim) for name, dim in GR1_DIMS.items()}
RELATIVE_GROUPS = ("left_arm", "right_arm")  # their actions are relative to the current state

CAMERA = "ego_view"  # the camera's name in NVIDIA's gr1 configuration
LANGUAGE_KEY = "annotation.human.task_description"
POLICY_RATE_HZ = 20.0
CHUNK_STEPS = 16  # of ALOHA's modality config: 0.8 s at 20 Hz

# place of each ALOHA joint among the 29 slots
ALOHA_SLOTS = (
    *range(_STARTS["left_arm"], _STARTS["left_arm"] + 6),
    _STARTS["left_hand"],
    *range(_STARTS["right_arm"], _STARTS["right_arm"] + 6),
    _STARTS["right_hand"],
)


def widen(joints: np.ndarray) -> np.ndarray:
    """Map ALOHA's joints to the policy's slots, 0 elsewhere: (..., 14) -> (..., 29), float32.

    Raises ValueError when the last axis does not hold 14 joints.
    """
    joints = np.asarray(joints)
    _check_width(joints, len(ALOHA_JOINTS), ", ".join(ALOHA_JOINTS))
    slots = np.zeros((*joints.shape[:-1], GR1_WIDTH), np.float32)
    slots[..., ALOHA_SLOTS] = joints
    return slots


def narrow(slots: np.ndarray) -> np.ndarray:
    """Map the policy's slots back to ALOHA's joints: (..., 29) -> (..., 14), float32.

    Raises ValueError when the last axis does not hold 29 slots.
    """
    slots = np.asarray(slots)
    _check_width(slots, GR1_WIDTH, ", ".join(f"{name} {dim}" for name, dim in GR1_DIMS.items()))
    return slots[..., ALOHA_SLOTS].astype(np.float32)


def split_groups(slots: np.ndarray) -> dict[str, np.ndarray]:
    """Split the 29 slots into groups: (..., 29) -> {group: (..., dim)}, views of the input."""
    slots = np.asarray(slots)
    _check_width(slots, GR1_WIDTH, ", ".join(f"{name} {dim}" for name, dim in GR1_DIMS.items()))
    return {name: slots[..., part] for name, part in GR1_SLICES.items()}


def join_groups(groups: Mapping[str, np.ndarray]) -> np.ndarray:
    """Join what split_groups split: {group: (..., dim)} -> (..., 29), float32.

    Raises ValueError naming the group that is missing, unknown or of another width.
    """
    if set(groups) != set(GR1_DIMS):
        raise ValueError(f"expected the groups {', '.join(GR1_DIMS)}, got {', '.join(groups)}")
    for name, dim in GR1_DIMS.items():
        _check_width(np.asarray(groups[name]), dim, name)
    return np.concatenate([np.asarray(groups[name], np.float32) for name in GR1_DIMS], axis=-1)


def aloha_state_groups(joints: np.ndarray) -> dict[str, np.ndarray]:
    """Convert ALOHA's joint positions to the policy's state: (14,) -> {group: (1, dim) float32}."""
    return split_groups(widen(joints)[None, :])


def aloha_targets(groups: Mapping[str, np.ndarray]) -> np.ndarray:
    """Convert a chunk's action groups to ALOHA's joint targets: {group: (T, dim)} -> (T, 14)."""
    return narrow(join_groups(groups))


def _check_width(values: np.ndarray, width: int, names: str) -> None:
    if values.ndim == 0 or values.shape[-1] != width:
        raise ValueError(
            f"array of shape {values.shape}: the last axis should hold {width} ({names})"
        )
