"""Groups of a policy's values that are judged together: all, ALOHA's joints, arms, grippers."""

from collections.abc import Mapping
from dataclasses import dataclass

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


@dataclass(frozen=True)
class ActionColumns:
    """The columns of a trajectory: the policy's action groups, one after the other, in order."""

    dims: Mapping[str, int]

    @property
    def width(self) -> int:
        """Number of columns."""
        return sum(self.dims.values())

    def column_names(self) -> tuple[str, ...]:
        """Name every column: left_arm[0] and so on."""
        return tuple(f"{name}[{place}]" for name, dim in self.dims.items() for place in range(dim))

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
        return ActionGroup(key, title, columns, tuple(ALOHA_JOINTS[place] for place in places))

    return (
        joints("joints_14", "14 joints", tuple(range(len(ALOHA_JOINTS)))),
        ActionGroup("slots_29", "29 slots", tuple(range(GR1_WIDTH)), layout.column_names()),
        joints("arms_12", "arms, 12 joints", ARM_JOINTS),
        joints("grippers_2", "grippers", GRIPPER_JOINTS),
    )


def _group_parts(layout: ActionColumns) -> tuple[ActionGroup, ...]:
    names = layout.column_names()
    parts = [ActionGroup("all", f"all {layout.width} values", tuple(range(layout.width)), names)]
    start = 0
    for name, dim in layout.dims.items():
        columns = tuple(range(start, start + dim))
        parts.append(ActionGroup(name, name, columns, tuple(names[column] for column in columns)))
        start += dim
    return tuple(parts)
