"""Pairs of measured state and action, by what a dataset states about its columns."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from handover_conversion import DatasetError

Place = tuple[str, int]  # a column of the rows, and an index in it

_STATE, _ACTION = "observation.state", "action"
_MOST_VALUES = 1000  # of a column: a robot has some dozens
_COUNTERS = ("timestamp", "frame_index", "episode_index", "index", "task_index")


@dataclass(frozen=True)
class Value:
    """One value of a robot: where its measured state is recorded, and the action for it."""

    name: str
    state: Place | None
    action: Place | None


@dataclass(frozen=True)
class ValueGroup:
    """Values that belong together, such as an arm's joints."""

    name: str
    values: tuple[Value, ...]


def paired_by_group(
    modality: Mapping[str, Any], features: Mapping[str, Any]
) -> tuple[ValueGroup, ...]:
    """Pair the groups of a modality.json: those of one name, value by value.

    Raises DatasetError for a group that leaves its column.
    """
    sides = [
        {
            name: _part(name, part, column, features)
            for name, part in (modality.get(side) or {}).items()
        }
        for side, column in (("state", _STATE), ("action", _ACTION))
    ]
    groups = []
    for name in dict.fromkeys([*sides[0], *sides[1]]):
        state, action = (side.get(name, []) for side in sides)
        pairs = zip_longest(state, action)
        groups.append(ValueGroup(name, tuple(_value(name, *pair) for pair in enumerate(pairs))))
    return tuple(group for group in groups if group.values)


def _part(
    group: str, part: Mapping[str, Any], column: str, features: Mapping[str, Any]
) -> list[tuple[str, Place]]:
    """The columns of one group: (name in info.json, place) each."""
    column = part.get("original_key") or column
    places = _places(column, features) if column in features else []
    start, end = part.get("start", 0), part.get("end", len(places))
    if not (isinstance(start, int) and isinstance(end, int) and 0 <= start <= end <= len(places)):
        raise DatasetError(
            f"meta/modality.json: {group} is {start}…{end} of {column}, which has {len(places)}"
        )
    return places[start:end]


def _value(
    group: str, place: int, pair: tuple[tuple[str, Place] | None, tuple[str, Place] | None]
) -> Value:
    state, action = pair
    named = state or action
    label = named[0] if named else ""
    return Value(
        f"{group}[{place}]" if not label or label.startswith("[") else label,
        state and state[1],
        action and action[1],
    )


def paired_by_name(features: Mapping[str, Any]) -> tuple[ValueGroup, ...]:
    """Pair the state and the action of a LeRobot dataset; other numbers are groups of their own."""
    numbers = [name for name, feature in features.items() if _is_numbers(name, feature)]
    state = next((name for name in numbers if name.rpartition(".")[2] == "state"), "")
    action = next((name for name in numbers if name in (_ACTION, "actions")), "")
    pair = [*_places(state, features), *_places(action, features)]
    names = dict.fromkeys(label for label, _ in pair)
    places = dict(_places(state, features)), dict(_places(action, features))
    groups = [
        ValueGroup(
            " and ".join(filter(None, (state, action))),
            tuple(Value(name, places[0].get(name), places[1].get(name)) for name in names),
        )
    ]
    for column in numbers:
        if column not in (state, action):
            values = (Value(label, place, None) for label, place in _places(column, features))
            groups.append(ValueGroup(column, tuple(values)))
    return tuple(group for group in groups if group.values)


def _is_numbers(name: str, feature: Mapping[str, Any]) -> bool:
    return str(feature.get("dtype")).startswith("float") and name not in _COUNTERS


def _places(column: str, features: Mapping[str, Any]) -> list[tuple[str, Place]]:
    """Name a column's values: as info.json does, else by their place."""
    if not column:
        return []
    shape = features[column].get("shape") or [1]
    width = math.prod(shape) if all(isinstance(size, int) for size in shape) else 0
    if not 0 < width <= _MOST_VALUES:
        raise DatasetError(
            f"meta/info.json: {column} has the shape {shape}, expected 1 to {_MOST_VALUES} values"
        )
    names = _flat(features[column].get("names"))
    if len(names) != width or len(set(names)) != width:
        names = [column] if width == 1 else [f"[{place}]" for place in range(width)]
    return [(name, (column, place)) for place, name in enumerate(names)]


def _flat(names: object) -> Sequence[str]:
    if isinstance(names, Mapping):
        names = list(names.values())
    if isinstance(names, list | tuple):
        return [name for inner in names for name in _flat(inner)]
    return [] if names is None else [str(names)]
