"""Look at recorded values: what seems to be something else than its description says, and is told.

Names say nothing for sure, values nearly so: four numbers whose norm is 1 in every row are a
quaternion, a joint that leaps by a turn is an angle that wraps.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np

from handover_conversion.features import Feature
from handover_conversion.robot.columns import COUNTERS, joint_names
from handover_conversion.robot.description import Group, Piece, Robot, Side

_NORM_TOLERANCE = 1e-3
_LEAST_MOTION = 1e-3  # of a quaternion's values: four constants of norm 1 may be anything
_MOST_RAD = 4 * np.pi  # no joint turns further without being an angle that wraps, or degrees


def settle(robot: Robot, columns: Mapping[str, np.ndarray], decide: bool) -> Robot:
    """Compare a robot's groups with some recorded rows: {column: (L, width)}; the rest is told.

    decide: the description says nothing of time, so what looks like a quaternion becomes one.
    """
    notes, sides = list(robot.notes), []
    for side, described in (("state", robot.state), ("action", robot.action)):
        groups = []
        for group in described.groups:
            where, settled = f"{side}.{group.name}", []
            for piece in group.pieces:
                parts = _parts(piece, columns) if decide else [piece]
                for part in parts:
                    if part.time == "quaternion" != piece.time:
                        notes.append(f"{where}: {_at(part)} is resampled as a quaternion")
                settled += parts
            group = replace(group, pieces=tuple(settled))
            notes += [f"{where}: {what}" for what in _suspicions(group, columns)]
            doubts = [*_angle_doubts(group, columns), *_gripper_doubts(group, columns)]
            notes += [f"{where}: {what}, so its unit is not announced" for what in doubts]
            groups.append(replace(group, unit=None) if doubts else group)
        sides.append(Side(tuple(groups)))
    return replace(robot, state=sides[0], action=sides[1], notes=tuple(dict.fromkeys(notes)))


def _parts(piece: Piece, columns: Mapping[str, np.ndarray]) -> list[Piece]:
    """Cut the quaternions out of a piece that is linear because nothing says otherwise."""
    if piece.time != "linear":
        return [piece]
    parts, rest = [], list(piece.indices)
    for start in _quaternions(columns[piece.column][:, piece.indices]):
        indices = piece.indices[start : start + 4]
        before = rest[: rest.index(indices[0])]
        if before:
            parts.append(replace(piece, indices=tuple(before)))
        parts.append(replace(piece, indices=indices, time="quaternion"))
        rest = rest[len(before) + 4 :]
    return [*parts, replace(piece, indices=tuple(rest))] if rest else parts


def _quaternions(values: np.ndarray) -> list[int]:
    """Find the starts of four values that are a unit quaternion in every row."""
    found, start = [], 0
    while start + 4 <= values.shape[1]:
        block = values[:, start : start + 4].astype(np.float64)
        unit = np.abs(np.linalg.norm(block, axis=1) - 1).max(initial=0) < _NORM_TOLERANCE
        if unit and len(block) > 1 and (np.ptp(block, axis=0) > _LEAST_MOTION).sum() >= 2:
            found.append(start)
            start += 4
        else:
            start += 1
    return found


def _suspicions(group: Group, columns: Mapping[str, np.ndarray]) -> list[str]:
    found = []
    for piece in group.pieces:
        values = np.asarray(piece.converted(columns), np.float64)
        if piece.time in ("linear", "nearest"):
            for start in _quaternions(values):
                part = replace(piece, indices=piece.indices[start : start + 4])
                found.append(
                    f"{_at(part)} looks like a quaternion, and is described as {piece.time}"
                )
        if piece.time == "linear" and len(values) > 1:
            leaps = np.abs(np.diff(values, axis=0))
            for turn, unit in ((2 * np.pi, "rad"), (360.0, "deg")):
                wraps = (np.abs(leaps - turn) < 0.1 * turn) & (
                    leaps > 10 * np.median(leaps, axis=0)
                )
                for place in np.flatnonzero(wraps.any(axis=0)):
                    part = replace(piece, indices=(piece.indices[place],))
                    row = int(np.flatnonzero(wraps[:, place])[0])
                    found.append(
                        f"{_at(part)} leaps by {leaps[row, place]:.4g} after row {row}: it looks "
                        f"like an angle in {unit} that wraps, and is described as linear"
                    )
    return found


def _angle_doubts(group: Group, columns: Mapping[str, np.ndarray]) -> list[str]:
    """Joints in rad that turn further than any joint are in degrees."""
    if group.unit != "rad":
        return []
    found = []
    for piece in group.pieces:
        largest = float(np.abs(piece.converted(columns)).max(initial=0))
        if largest > _MOST_RAD:
            found.append(f"{_at(piece)} reaches {largest:.4g} and is described in rad (degrees?)")
    return found


def _gripper_doubts(group: Group, columns: Mapping[str, np.ndarray]) -> list[str]:
    """A gripper of 0 … 1 whose values span a tenth of that, or leave it, is in another unit."""
    if group.unit is None or not group.unit.startswith("1 (0 closed"):
        return []
    found = []
    for piece in group.pieces:
        values = np.asarray(piece.converted(columns), np.float64)
        low, high = float(values.min(initial=0)), float(values.max(initial=0))
        if high > 1.5 or low < -0.5 or (0 < high < 0.15 and np.ptp(values) > 1e-3):
            found.append(
                f"{_at(piece)} goes from {low:.3g} to {high:.3g} and is described as 0 closed … 1 "
                "open (metres? range in the robot's description converts them)"
            )
    return found


def dropped(robot: Robot, features: Mapping[str, Feature], kept: Collection[str]) -> list[str]:
    """Name what no group uses: values of used columns, and whole columns but those in `kept`."""
    used: dict[str, set[int]] = {}
    for side in (robot.state, robot.action):
        for column, indices in side.used.items():
            used.setdefault(column, set()).update(indices)
    told = []
    for column, feature in features.items():
        if feature.dtype in ("video", "image") or column in (*COUNTERS, *kept):
            continue
        left = [index for index in range(feature.width) if index not in used.get(column, set())]
        if column not in used:
            told.append(column)
        elif left:
            names = joint_names(feature)
            named = [names[i] if len(names) == feature.width else str(i) for i in left]
            told.append(f"{column} {', '.join(named)}")
    return told


def _at(piece: Piece) -> str:
    return f"{piece.column}{list(piece.indices)}".replace(" ", "")
