"""Mapping of recorded joints to the policy's slots: ALOHA's, identity, or the user's own.

The user's own is a small JSON file: groups in the policy's order, each a list of columns by index
or by their name in info.json, the same for state and action:

    {"name": "so100", "groups": {"arm": [0, 1, 2, 3, 4], "gripper": ["gripper"]},
     "relative": ["arm"], "nearest": ["gripper"]}
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from handover_proto import ALOHA_JOINTS, ALOHA_SLOTS, GR1_SLICES, GRIPPER_JOINTS, RELATIVE_GROUPS

from handover_conversion.errors import DatasetError
from handover_conversion.features import Feature

BUILT_IN = ("aloha", "identity")


@dataclass(frozen=True)
class EmbodimentMap:
    """Assignment of recorded columns to the policy's slots, the same for state and action."""

    name: str
    source_width: int
    slots: tuple[int, ...]  # the slot of each recorded column; -1: left out
    groups: Mapping[str, slice]  # the policy's groups among its slots
    relative_groups: tuple[str, ...]  # their actions are relative to the current state
    nearest_columns: tuple[
        int, ...
    ]  # recorded action columns that are never interpolated: grippers

    @property
    def width(self) -> int:
        return max(part.stop for part in self.groups.values())

    def widen(self, values: np.ndarray) -> np.ndarray:
        """Map columns to the slots, 0 elsewhere: (L, source) -> (L, width) float32."""
        slots = np.zeros((len(values), self.width), np.float32)
        kept = [column for column, slot in enumerate(self.slots) if slot >= 0]
        slots[:, [self.slots[column] for column in kept]] = values[:, kept]
        return slots

    def described(self) -> dict[str, Any]:
        """Describe the map, for a dataset's record of how it was made."""
        return {
            "name": self.name,
            "slots": list(self.slots),
            "groups": {name: [part.start, part.stop] for name, part in self.groups.items()},
            "relative": list(self.relative_groups),
            "nearest": list(self.nearest_columns),
        }


def choose_embodiment(name: str, state: Feature, action: Feature) -> EmbodimentMap:
    """Return the map `name` for a dataset: a built-in one, or a JSON file.

    Raises DatasetError if the dataset's state or action is not as wide as the map expects.
    """
    if name == "aloha":
        chosen = _aloha()
    elif name == "identity":
        chosen = _identity(state)
    elif Path(name).is_file():
        chosen = _from_file(Path(name), state)
    else:
        raise DatasetError(
            f"no embodiment {name!r}: expected {', '.join(BUILT_IN)} or a JSON file (--embodiment)"
        )
    for label, feature in (("observation.state", state), ("action", action)):
        if feature.width != chosen.source_width:
            raise DatasetError(
                f"meta/info.json: {label} is {feature.width} wide, embodiment {chosen.name!r} "
                f"expects {chosen.source_width} (--embodiment)"
            )
    return chosen


def _aloha() -> EmbodimentMap:
    return EmbodimentMap(
        name="aloha",
        source_width=len(ALOHA_JOINTS),
        slots=ALOHA_SLOTS,
        groups=GR1_SLICES,
        relative_groups=RELATIVE_GROUPS,
        nearest_columns=GRIPPER_JOINTS,
    )


def _identity(state: Feature) -> EmbodimentMap:
    """Leave the columns as they are, in the groups of info.json."""
    groups, start = {}, 0
    for group, names in (state.names or {"joints": ("",) * state.width}).items():
        groups[group] = slice(start, start + len(names))
        start += len(names)
    if start != state.width:
        raise DatasetError(
            f"info.json names {start} joints, observation.state is {state.width} wide: "
            "write the groups into a JSON file (--embodiment)"
        )
    return EmbodimentMap(
        name="identity",
        source_width=state.width,
        slots=tuple(range(state.width)),
        groups=groups,
        relative_groups=(),
        nearest_columns=tuple(
            place for place, joint in enumerate(_joints(state)) if "gripper" in joint.lower()
        ),
    )


def _from_file(path: Path, state: Feature) -> EmbodimentMap:
    try:
        described = json.loads(path.read_text())
        columns = {
            str(group): [_column(column, state, path) for column in members]
            for group, members in described["groups"].items()
        }
        nearest = tuple(_column(column, state, path) for column in described.get("nearest", []))
        relative = tuple(described.get("relative", []))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(
            f"{path} is not an embodiment map: {error!r}; see docs/conversion.md"
        ) from None
    order = [column for members in columns.values() for column in members]
    if len(set(order)) != len(order) or not order or not all(columns.values()):
        raise DatasetError(f"{path}: a column is in two groups, or a group is empty")
    if not set(relative) <= set(columns):
        raise DatasetError(f"{path}: relative names {relative}, the groups are {list(columns)}")
    slots, groups, start = [-1] * state.width, {}, 0
    for group, members in columns.items():
        groups[group] = slice(start, start + len(members))
        start += len(members)
    for slot, column in enumerate(order):
        slots[column] = slot
    name = str(described.get("name", path.stem))
    return EmbodimentMap(name, state.width, tuple(slots), groups, relative, nearest)


def _column(column: Any, state: Feature, path: Path) -> int:
    joints = _joints(state)
    if isinstance(column, str) and column in joints:
        return joints.index(column)
    if isinstance(column, int) and 0 <= column < state.width:
        return column
    raise DatasetError(
        f"{path}: no column {column!r}; the dataset has {list(joints) or state.width}"
    )


def _joints(state: Feature) -> tuple[str, ...]:
    return tuple(name for names in state.names.values() for name in names)
