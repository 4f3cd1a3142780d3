"""Groups of a policy's values that are judged together: all, ALOHA's joints, arms, grippers."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from handover_proto import (
    ALOHA_JOINTS,
    ALOHA_SLOTS,
    ARM_JOINTS,
    GR1_DIMS,
    GR1_WIDTH,
    GRIPPER_JOINTS,
)


@dataclass(frozen=True)
class ActionGroup:
    """Columns of a trajectory (T, D) that have their own figures."""

    key: str  # in metrics.json
    title: str
    columns: tuple[int, ...]
    names: tuple[str, ...]  # one for each column
    units: tuple[str, ...] = ()  # one for each column, empty where the server states none


@dataclass(frozen=True)
class ActionColumns:
    """The columns of a trajectory: the policy's action groups, one after the other, in order."""

    dims: Mapping[str, int]
    units: Mapping[str, str] = field(default_factory=dict)  # {group: unit}, as the server states

    @property
    def width(self) -> int:
        """Number of columns."""
        return sum(self.dims.values())

    def column_names(self) -> tuple[str, ...]:
        """Name every column: left_arm[0] and so on."""
        return tuple(f"{name}[{place}]" for name, dim in self.dims.items() for place in range(dim))

    def units_of(self, columns: tuple[int, ...]) -> tuple[str, ...]:
        """The stated unit of each of these columns, empty where there is none."""
        each = [self.units.get(name, "") for name, dim in self.dims.items() for _ in range(dim)]
        return tuple(each[column] for column in columns)

    def join(self, groups: Mapping[str, np.ndarray]) -> np.ndarray:
        """Concatenate groups: {group: (T, dim)} -> (T, D) float32."""
        return np.concatenate([groups[name] for name in self.dims], axis=-1).astype(np.float32)


def parts_of(layout: ActionColumns, demonstrated: np.ndarray) -> tuple[ActionGroup, ...]:
    """List the groups of values to judge, the headline's first.

    demonstrated: (N, D), every action that is evaluated. The groups of the 29 slots are ALOHA's
    where the slots that ALOHA has no joint for never move from 0; else they are a GR1's own.
    """
    if dict(layout.dims) == GR1_DIMS and list(layout.dims) == list(GR1_DIMS):
        padding = [slot for slot in range(GR1_WIDTH) if slot not in ALOHA_SLOTS]
        if not demonstrated[:, padding].any():
            return _aloha_parts(layout)
    return _group_parts(layout)


def _aloha_parts(layout: ActionColumns) -> tuple[ActionGroup, ...]:
    def joints(key: str, title: str, places: tuple[int, ...]) -> ActionGroup:
        columns = tuple(ALOHA_SLOTS[place] for place in places)
        names = tuple(ALOHA_JOINTS[place] for place in places)
        return ActionGroup(key, title, columns, names, layout.units_of(columns))

    return (
        joints("joints_14", "14 joints", tuple(range(len(ALOHA_JOINTS)))),
        _slice(layout, "slots_29", "29 slots", 0, GR1_WIDTH),
        joints("arms_12", "arms, 12 joints", ARM_JOINTS),
        joints("grippers_2", "grippers", GRIPPER_JOINTS),
    )


def _group_parts(layout: ActionColumns) -> tuple[ActionGroup, ...]:
    parts = [_slice(layout, "all", f"all {layout.width} values", 0, layout.width)]
    start = 0
    for name, dim in layout.dims.items():
        parts.append(_slice(layout, name, name, start, start + dim))
        start += dim
    return tuple(parts)


def _slice(layout: ActionColumns, key: str, title: str, start: int, end: int) -> ActionGroup:
    columns = tuple(range(start, end))
    return ActionGroup(
        key, title, columns, layout.column_names()[start:end], layout.units_of(columns)
    )
