"""Built-in descriptions: ALOHA, mobile ALOHA and SO-101."""

from collections.abc import Mapping
from typing import Any

from handover_proto import GR1_DIMS, GRIPPER_JOINTS, RELATIVE_GROUPS

from handover_conversion.features import Feature
from handover_conversion.robot.parse import RANGE_UNIT

_LEFT, _RIGHT = ([*range(start, start + 6)] for start in (0, 7))
_WIDTH = 14


def built_in(name: str, features: Mapping[str, Feature]) -> dict[str, Any] | None:
    """Return the description `name`; None for another name."""
    makers = {"aloha": _aloha, "aloha_mobile": _aloha_mobile, "so101": _so101}
    return makers[name](features) if name in makers else None


def _aloha(_: Mapping[str, Feature]) -> dict[str, Any]:
    """ALOHA's 14 joints in the 29 slots of GR1 (handover_proto.embodiment), 0 where none is."""
    columns = {
        "left_arm": (_LEFT, "rad"),
        "left_hand": ([GRIPPER_JOINTS[0]], RANGE_UNIT),
        "right_arm": (_RIGHT, "rad"),
        "right_hand": ([GRIPPER_JOINTS[1]], RANGE_UNIT),
        "waist": ([], "rad"),
    }
    state = {
        group: {"columns": columns[group][0], "width": width, "unit": columns[group][1]}
        for group, width in GR1_DIMS.items()
    }
    action = {
        group: {
            **entry,
            "relative": group in RELATIVE_GROUPS,
            "time": "nearest" if group.endswith("hand") else "linear",  # commands are steps
        }
        for group, entry in state.items()
    }
    width = {"state": _WIDTH, "action": _WIDTH}
    return {"name": "aloha", "state": state, "action": action, "recorded_width": width}


def _aloha_mobile(features: Mapping[str, Feature]) -> dict[str, Any]:
    """Mobile ALOHA: the arms, and the base's velocities, which are actions alone."""
    base = {"columns": [_WIDTH, _WIDTH + 1]}
    if "base_action" in features:  # as its HDF5 files have it
        base = {"from": "base_action", "columns": [0, 1]}
    state, action = {}, {}
    for side, arm, gripper in (
        ("left", _LEFT, GRIPPER_JOINTS[0]),
        ("right", _RIGHT, GRIPPER_JOINTS[1]),
    ):
        state[f"{side}_arm"] = {"columns": arm, "unit": "rad"}
        state[f"{side}_gripper"] = {"columns": [gripper], "unit": RANGE_UNIT}
        action[f"{side}_arm"] = {**state[f"{side}_arm"], "relative": True}
        action[f"{side}_gripper"] = {**state[f"{side}_gripper"], "time": "nearest"}
    action["base"] = {**base, "unit": "m/s, rad/s"}
    width = {"state": _WIDTH, "action": _WIDTH + 2 * ("base_action" not in features)}
    return {"name": "aloha_mobile", "state": state, "action": action, "recorded_width": width}


def _so101(_: Mapping[str, Feature]) -> dict[str, Any]:
    """SO-101 (SO-100) as LeRobot records it: five joints and a gripper of 0 … 100.

    The joints' unit is the recorder's choice, degrees or −100 … 100: it is not stated.
    """
    arm, gripper = [0, 1, 2, 3, 4], {"columns": [5], "range": [0, 100]}
    return {
        "name": "so101",
        "state": {"single_arm": {"columns": arm}, "gripper": gripper},
        "action": {
            "single_arm": {"columns": arm, "relative": True},
            "gripper": {**gripper, "time": "nearest"},
        },
        "recorded_width": {"state": 6, "action": 6},
    }
