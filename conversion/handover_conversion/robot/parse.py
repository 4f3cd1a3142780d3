"""Parser of a robot's description, as a file or a built-in states it.

    {"name": "franka",
     "cameras": {"ego_view": "observation.images.front",
                 "wrist": {"key": "observation.images.wrist", "image_size": 224}},
     "state": {"arm": {"columns": [0, 1, 2, 3, 4, 5, 6], "unit": "rad"},
               "rotation": {"from": "observation.eef_pose", "columns": [3, 4, 5, 6],
                            "time": "quaternion"},
               "gripper": {"columns": ["gripper"], "range": [0.0, 0.08]}},
     "action": {"arm": {"columns": ["0-6"], "unit": "rad", "relative": true},
                "gripper": {"columns": [7], "time": "nearest"}}}

docs/conversion.md says what each key means. Columns are those of the recording's state or action
unless `from` names another.
"""

import math
from collections.abc import Mapping
from typing import Any

from handover_conversion.resampling.values import BLOCK, TIME_MODES
from handover_conversion.robot.columns import (
    DescriptionError,
    Recorded,
    find_columns,
    is_numeric,
    numeric_columns,
)
from handover_conversion.robot.description import Camera, Group, Piece, Robot, Side

# recorded unit -> (the policy's unit, factor)
_UNITS = {"deg": ("rad", math.pi / 180), "mm": ("m", 1e-3), "cm": ("m", 1e-2)}
RANGE_UNIT = "1 (0 closed, 1 open)"  # of a group with a range
_ROBOT_KEYS = {"name", "cameras", "state", "action", "recorded_width"}
_COLUMN_KEYS = {"from", "columns", "unit", "scale", "range", "time"}
_GROUP_KEYS = _COLUMN_KEYS | {"relative", "width"}
_CAMERA_KEYS = {"key", "image_size", "codec", "color"}


def parse_robot(described: Mapping[str, Any], recorded: Recorded, source: str) -> Robot:
    """Parse a description. Raises DescriptionError naming `source`, where it is from."""
    try:
        _known("description", described, _ROBOT_KEYS)
        name = str(described.get("name", source))
        _check_widths(name, described.get("recorded_width", {}), recorded)
        sides = {side: _side(side, described.get(side), recorded) for side in ("state", "action")}
        _check_relative(sides["state"], sides["action"])
        cameras = _cameras(described.get("cameras", {}))
    except DescriptionError as error:
        raise DescriptionError(f"{source}: {error}") from None
    return Robot(name, cameras, sides["state"], sides["action"])


def parse_camera(name: str, described: object) -> Camera:
    """Parse one camera: its key, or an object of key, image_size, codec and color."""
    given = {"key": described} if isinstance(described, str) else described
    given = _known(f"camera {name!r}", given, _CAMERA_KEYS)
    key, size, codec = given.get("key"), given.get("image_size"), given.get("codec")
    color = given.get("color", "rgb")
    if not isinstance(key, str) or not key:
        raise DescriptionError(f"camera {name!r}: expected the camera's key, got {key!r}")
    if not name or not all(sign.isalnum() or sign in "_-." for sign in name) or name[0] == ".":
        raise DescriptionError(f"camera {name!r}: expected a name of letters, digits, _, - and .")
    if size is not None and (not isinstance(size, int) or size < 16 or size % 2):
        raise DescriptionError(f"camera {name!r}: expected an even image_size from 16, got {size}")
    if codec not in (None, "mp4v", "h264"):
        raise DescriptionError(f"camera {name!r}: expected the codec mp4v or h264, got {codec!r}")
    if color not in ("rgb", "bgr"):
        raise DescriptionError(f"camera {name!r}: expected the color rgb or bgr, got {color!r}")
    return Camera(name, key, size, codec, color)


def _cameras(described: object) -> tuple[Camera, ...]:
    if not isinstance(described, Mapping):
        raise DescriptionError(f"cameras: expected names with keys, got {described!r}")
    return tuple(parse_camera(str(name), camera) for name, camera in described.items())


def _side(side: str, groups: object, recorded: Recorded) -> Side:
    if not isinstance(groups, Mapping) or not groups:
        raise DescriptionError(f"{side}: expected groups by name, got {groups!r}")
    return Side(tuple(_group(side, str(name), one, recorded) for name, one in groups.items()))


def _group(side: str, name: str, described: object, recorded: Recorded) -> Group:
    where = f"{side}.{name}"
    given = {"columns": described} if isinstance(described, list) else described
    given = _known(where, given, _GROUP_KEYS)
    pieces, units = [], []
    for columns in _homogeneous(where, given):
        piece, unit = _piece(where, columns, recorded, side)
        pieces.append(piece)
        units.append(unit)
    pieces = [piece for piece in pieces if piece.indices]
    filled = sum(len(piece.indices) for piece in pieces)
    width = given.get("width", filled)
    if not isinstance(width, int) or width < max(filled, 1):
        raise DescriptionError(f"{where}: has {filled} columns, and a width of {width!r}")
    relative = given.get("relative", False)
    if not isinstance(relative, bool):
        raise DescriptionError(f"{where}: expected relative true or false, got {relative!r}")
    stated = set(units)
    return Group(name, tuple(pieces), width, stated.pop() if len(stated) == 1 else None, relative)


def _homogeneous(where: str, group: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Split a group's columns where an object among them names others, with their own keys."""
    common = {key: group[key] for key in _COLUMN_KEYS - {"columns"} if key in group}
    columns = group.get("columns")
    if columns is None:
        if "from" not in group:
            raise DescriptionError(f"{where}: expected columns, or from")
        return [common]
    if not isinstance(columns, list):
        raise DescriptionError(f"{where}: expected a list of columns, got {columns!r}")
    parts: list[dict[str, Any]] = []
    plain: list[Any] = []
    for column in columns:
        if not isinstance(column, Mapping):
            plain.append(column)
            continue
        if plain:
            parts.append({**common, "columns": plain})
            plain = []
        parts.append({**common, **_known(where, column, _COLUMN_KEYS)})
    return [*parts, {**common, "columns": plain}] if plain or not parts else parts


def _piece(
    where: str, given: Mapping[str, Any], recorded: Recorded, side: str
) -> tuple[Piece, str | None]:
    features = recorded.features
    column = given["from"] if "from" in given else recorded.column(side)
    feature = features.get(column)
    if feature is None or not is_numeric(feature):
        raise DescriptionError(
            f"{where}: the recording has no column {column!r} of numbers; it has: "
            f"{', '.join(numeric_columns(features))}"
        )
    indices = tuple(
        index
        for one in given.get("columns", range(feature.width))
        for index in find_columns(where, one, column, feature)
    )
    time = given.get("time", "linear")
    if time not in TIME_MODES:
        raise DescriptionError(f"{where}: expected time {', '.join(TIME_MODES)}, got {time!r}")
    if len(indices) % BLOCK.get(time, 1):
        raise DescriptionError(
            f"{where}: {time} takes {BLOCK[time]} columns, or so many times more, "
            f"got {len(indices)}"
        )
    scale, offset, unit = _unit(where, given)
    if time in BLOCK and (scale, offset) != (1.0, 0.0):
        raise DescriptionError(f"{where}: {time} has no unit, scale or range")
    return Piece(column, indices, time, scale, offset), unit


def _unit(where: str, given: Mapping[str, Any]) -> tuple[float, float, str | None]:
    """Return (scale, offset, the policy's unit) of unit, scale and range."""
    unit, scale, ends = given.get("unit"), given.get("scale", 1.0), given.get("range")
    if unit is not None and not isinstance(unit, str):
        raise DescriptionError(f"{where}: expected a unit's name, got {unit!r}")
    if not _is_number(scale) or scale == 0:
        raise DescriptionError(f"{where}: expected a scale other than 0, got {scale!r}")
    if ends is None:
        to, factor = _UNITS.get(unit or "", (unit, 1.0))
        return float(scale) * factor, 0.0, to
    if scale != 1.0 or unit is not None:
        raise DescriptionError(f"{where}: range says unit and scale: expected neither beside it")
    whole = isinstance(ends, list | tuple) and len(ends) == 2 and all(map(_is_number, ends))
    if not whole or ends[0] == ends[1]:
        raise DescriptionError(f"{where}: expected range [closed, open], got {ends!r}")
    reach = float(ends[1]) - float(ends[0])
    return 1 / reach, -float(ends[0]) / reach, RANGE_UNIT


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _known(where: str, given: object, keys: set[str]) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise DescriptionError(f"{where}: expected an object, got {given!r}")
    unknown = [str(key) for key in given if key not in keys]
    if unknown:
        raise DescriptionError(
            f"{where}: {', '.join(unknown)} is not known; expected {', '.join(sorted(keys))}"
        )
    return dict(given)


def _check_widths(name: str, expected: Mapping[str, int], recorded: Recorded) -> None:
    for side in expected:
        column = recorded.column(side)
        width = recorded.features[column].width
        if width != expected[side]:
            raise DescriptionError(
                f"meta/info.json: {column} is {width} wide, embodiment {name!r} expects "
                f"{expected[side]}: --robot names another, or a file that describes this one"
            )


def _check_relative(state: Side, action: Side) -> None:
    if any(group.relative for group in state.groups):
        raise DescriptionError("state: only a group of actions can be relative")
    there = {group.name: group for group in state.groups}
    for group in action.groups:
        if not group.relative:
            continue
        if group.name not in there or there[group.name].width != group.width:
            raise DescriptionError(
                f"action.{group.name} is relative to the state's group of that name: expected "
                f"one of width {group.width} among {list(there)}"
            )
        turning = [piece.time for piece in group.pieces if piece.time not in ("linear", "nearest")]
        if turning:
            raise DescriptionError(
                f"action.{group.name}: the policy takes plain differences, which {turning[0]} "
                "has not: expected an absolute group"
            )
