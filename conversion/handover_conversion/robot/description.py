"""Robot: the cameras, and the groups of state and of action, that a policy of it knows.

A group is a row of values that the policy sees under one name: columns of the recording, in its
units, each with its way through time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from handover_conversion.resampling.grid import Grid
from handover_conversion.resampling.values import TimeMode, resample
from handover_conversion.video.encode import Codec

ColorOrder = Literal["rgb", "bgr"]


@dataclass(frozen=True)
class Camera:
    """A camera of the policy, and how its frames are stored; None: as the command says."""

    name: str
    key: str  # of the recording
    image_size: int | None = None
    codec: Codec | None = None
    color: ColorOrder = "rgb"  # bgr: the recorder swapped red and blue


@dataclass(frozen=True)
class Piece:
    """Values of one recorded column that go through time together: recorded × scale + offset."""

    column: str
    indices: tuple[int, ...]
    time: TimeMode = "linear"
    scale: float = 1.0
    offset: float = 0.0

    def converted(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        """Take the values in the policy's unit: (L, len(indices))."""
        values = columns[self.column][:, self.indices]
        if (self.scale, self.offset) == (1.0, 0.0):
            return values
        return values.astype(np.float64) * self.scale + self.offset


@dataclass(frozen=True)
class Group:
    """Values that the policy sees under one name; those behind its pieces' are 0."""

    name: str
    pieces: tuple[Piece, ...]
    width: int
    unit: str | None = None  # None: not stated
    relative: bool = False  # an action that the policy takes relative to the current state


@dataclass(frozen=True)
class Side:
    """The groups of state, or of action, in the order of their slots."""

    groups: tuple[Group, ...]

    @property
    def width(self) -> int:
        return sum(group.width for group in self.groups)

    @property
    def slices(self) -> dict[str, slice]:
        """Each group's slots."""
        found, start = {}, 0
        for group in self.groups:
            found[group.name] = slice(start, start + group.width)
            start += group.width
        return found

    @property
    def units(self) -> dict[str, str]:
        """The units that are stated, by group."""
        return {group.name: group.unit for group in self.groups if group.unit is not None}

    @property
    def used(self) -> dict[str, set[int]]:
        """The recorded columns that are used, and which of their values."""
        used: dict[str, set[int]] = {}
        for piece in self.pieces:
            used.setdefault(piece.column, set()).update(piece.indices)
        return used

    @property
    def pieces(self) -> tuple[Piece, ...]:
        return tuple(piece for group in self.groups for piece in group.pieces)

    def resample(self, columns: Mapping[str, np.ndarray], grid: Grid) -> np.ndarray:
        """Take the recorded steps to the grid's rows and slots: (rows, width) float32.

        Raises ValueError naming the group whose values are not what it says.
        """
        slots = np.zeros((len(grid), self.width), np.float32)
        for group, part in zip(self.groups, self.slices.values(), strict=True):
            place = part.start
            for piece in group.pieces:
                try:
                    values = resample(piece.converted(columns), grid, piece.time)
                except ValueError as error:
                    raise ValueError(f"group {group.name!r} ({piece.column}): {error}") from None
                slots[:, place : place + values.shape[1]] = values
                place += values.shape[1]
        return slots


@dataclass(frozen=True)
class Robot:
    """A robot as its policy knows it. `notes` are what was decided without being told."""

    name: str
    cameras: tuple[Camera, ...]  # none: the command, or the recording, says which
    state: Side
    action: Side
    notes: tuple[str, ...] = field(default=())

    @property
    def relative_groups(self) -> tuple[str, ...]:
        return tuple(group.name for group in self.action.groups if group.relative)

    @property
    def units(self) -> dict[str, str]:
        """The units that are stated, by group; a group's state and action must agree."""
        state, action = self.state.units, self.action.units
        return {
            name: unit
            for name, unit in {**state, **action}.items()
            if state.get(name, unit) == action.get(name, unit) == unit
        }

    def described(self) -> dict[str, Any]:
        """Describe it, for a dataset's record of how it was made."""
        return {
            "name": self.name,
            "state": [_described(group) for group in self.state.groups],
            "action": [_described(group) for group in self.action.groups],
            "relative": list(self.relative_groups),
            "units": self.units,
        }


def _described(group: Group) -> dict[str, Any]:
    pieces = [
        {
            "column": piece.column,
            "indices": list(piece.indices),
            "time": piece.time,
            "scale": piece.scale,
            "offset": piece.offset,
        }
        for piece in group.pieces
    ]
    return {"name": group.name, "width": group.width, "unit": group.unit, "columns": pieces}
