"""Descriptions of the first kind: one map for state and action, still read.

    {"name": "so100", "groups": {"arm": [0, 1, 2, 3, 4], "gripper": ["gripper"]},
     "relative": ["arm"], "nearest": ["gripper"]}

A group whose columns only the actions have (a base's velocities) is a group of actions alone.
"""

from collections.abc import Mapping
from itertools import groupby
from typing import Any

from handover_conversion.features import Feature
from handover_conversion.robot.columns import DescriptionError, Recorded, find_columns
from handover_conversion.robot.description import Group, Piece, Robot, Side


def parse_former(described: Mapping[str, Any], recorded: Recorded, source: str) -> Robot:
    """Parse such a description. Raises DescriptionError."""
    try:
        groups = {str(name): list(columns) for name, columns in described["groups"].items()}
        nearest = list(described.get("nearest", []))
        relative = [str(name) for name in described.get("relative", [])]
    except (KeyError, TypeError, AttributeError) as error:
        raise DescriptionError(
            f"{source} is not an embodiment map: {error!r}; see docs/conversion.md"
        ) from None
    if not set(relative) <= set(groups):
        raise DescriptionError(f"{source}: relative names {relative}, the groups are {[*groups]}")
    state, action = (recorded.column(side) for side in ("state", "action"))
    features = recorded.features
    there = {
        name: columns
        for name, columns in groups.items()
        if _has(columns, state, features[state]) or not _has(columns, action, features[action])
    }
    alone = [name for name in groups if name not in there]
    if set(alone) & set(relative):
        raise DescriptionError(f"{source}: {', '.join(alone)} is relative to no group of the state")
    stepped = {i for one in nearest for i in find_columns(source, one, action, features[action])}
    return Robot(
        str(described.get("name", source)),
        (),
        _side(source, there, state, features[state], set(), []),
        _side(source, groups, action, features[action], stepped, relative),
        notes=tuple(f"{name} is a group of actions alone: the state lacks it" for name in alone),
    )


def _has(columns: list[Any], column: str, feature: Feature) -> bool:
    try:
        for one in columns:
            find_columns("", one, column, feature)
    except DescriptionError:
        return False
    return True


def _side(
    source: str,
    groups: Mapping[str, list[Any]],
    column: str,
    feature: Feature,
    stepped: set[int],
    relative: list[str],
) -> Side:
    found = {
        name: [i for one in columns for i in find_columns(source, one, column, feature)]
        for name, columns in groups.items()
    }
    order = [index for indices in found.values() for index in indices]
    if len(set(order)) != len(order) or not order or not all(found.values()):
        raise DescriptionError(f"{source}: a column is in two groups, or a group is empty")
    made = []
    for name, indices in found.items():
        runs = groupby(indices, key=lambda index: index in stepped)
        pieces = [Piece(column, tuple(run), "nearest" if is_ else "linear") for is_, run in runs]
        made.append(Group(name, tuple(pieces), len(indices), None, name in relative))
    return Side(tuple(made))
