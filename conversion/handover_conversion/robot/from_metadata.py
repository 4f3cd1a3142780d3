"""Descriptions that the recording's own metadata gives: its joints as they are, or modality.json.

They say nothing of how values go through time, so that is read off the values themselves
(robot/look.py), and told.
"""

from collections.abc import Mapping
from typing import Any

from handover_conversion.features import Feature
from handover_conversion.resampling.values import TimeMode
from handover_conversion.robot.columns import (
    DescriptionError,
    Recorded,
    find_columns,
    is_numeric,
    joint_names,
)
from handover_conversion.robot.description import Camera, Group, Piece, Robot, Side

# modality.json's rotation_type -> the way through time; others are blended linearly, and told
_ROTATIONS: dict[str, TimeMode] = {
    "quaternion": "quaternion",
    "rotation_6d": "rotation_6d",
    "euler_angles_rpy": "angle",
    "euler_angles_ryp": "angle",
    "euler_angles_pry": "angle",
    "euler_angles_pyr": "angle",
    "euler_angles_yrp": "angle",
    "euler_angles_ypr": "angle",
}


def identity(recorded: Recorded) -> Robot:
    """Leave the columns as they are, in the groups of info.json, all absolute."""
    sides = []
    for side in ("state", "action"):
        column = recorded.column(side)
        sides.append(_named_groups(column, recorded.features[column], side))
    return Robot("identity", (), *sides)


def _named_groups(column: str, feature: Feature, side: str) -> Side:
    names = feature.names or {"joints": ("",) * feature.width}
    if sum(map(len, names.values())) != feature.width:
        raise DescriptionError(
            f"info.json names {len(joint_names(feature))} joints, {column} is {feature.width} "
            "wide: describe the groups in a file (--robot)"
        )
    groups, start = [], 0
    for group, joints in names.items():
        stepped = [side == "action" and "gripper" in joint.lower() for joint in joints]
        pieces, first = [], 0
        for place in range(1, len(joints) + 1):  # a gripper's commands are steps
            if place == len(joints) or stepped[place] != stepped[first]:
                indices = tuple(range(start + first, start + place))
                pieces.append(Piece(column, indices, "nearest" if stepped[first] else "linear"))
                first = place
        groups.append(Group(group, tuple(pieces), len(joints)))
        start += len(joints)
    return Side(tuple(groups))


def from_modality(modality: Mapping[str, Any], recorded: Recorded) -> Robot:
    """Take the groups and cameras of a modality.json. Raises DescriptionError."""
    notes: list[str] = []
    try:
        sides = [_modality_side(modality, side, recorded, notes) for side in ("state", "action")]
        cameras = tuple(
            Camera(str(name), entry.get("original_key") or f"observation.images.{name}")
            for name, entry in modality.get("video", {}).items()
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DescriptionError(f"meta/modality.json is not usable: {error!r}") from None
    return Robot("modality.json", cameras, *sides, notes=tuple(notes))


def _modality_side(
    modality: Mapping[str, Any], side: str, recorded: Recorded, notes: list[str]
) -> Side:
    groups = []
    for name, entry in modality[side].items():
        where = f"meta/modality.json: {side}.{name}"
        column = entry.get("original_key") or recorded.column(side)
        feature = recorded.features.get(column)
        if feature is None or not is_numeric(feature):
            raise DescriptionError(f"{where} is of {column!r}, which info.json does not have")
        start, end = int(entry["start"]), int(entry["end"])
        find_columns(where, f"{start}-{end - 1}", column, feature)
        kind = entry.get("rotation_type")
        if kind is not None and kind not in _ROTATIONS:
            notes.append(f"{side}.{name} is a rotation ({kind}): each value is resampled linearly")
        if entry.get("absolute") is False:
            notes.append(f"{side}.{name} holds differences: they are resampled as they stand")
        unit = entry.get("unit")
        piece = Piece(column, tuple(range(start, end)), _ROTATIONS.get(kind or "", "linear"))
        groups.append(Group(str(name), (piece,), end - start, unit if unit else None))
    return Side(tuple(groups))
