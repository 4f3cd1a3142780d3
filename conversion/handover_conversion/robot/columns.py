"""Columns of a recording, by the names and indices that descriptions use."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from handover_conversion.errors import DatasetError
from handover_conversion.features import Feature

_USUAL = {"state": "observation.state", "action": "action"}
_OTHERS = {"state": {"state", "states", "qpos"}, "action": {"action", "actions"}}
COUNTERS = {"timestamp", "frame_index", "episode_index", "index", "task_index"}


class DescriptionError(DatasetError):
    """A description of a robot that is none, or does not fit the recording."""


@dataclass(frozen=True)
class Recorded:
    """The columns that a description may name; which holds the state, and which the action."""

    features: Mapping[str, Feature]
    state_column: str | None = None  # None: the usual name, or the only one that is like it
    action_column: str | None = None

    def column(self, side: str) -> str:
        """Return the column of the state or the action. Raises DescriptionError."""
        chosen = self.state_column if side == "state" else self.action_column
        numeric = numeric_columns(self.features)
        flag = f"--{side}-column"
        if chosen is not None:
            if chosen not in numeric:
                raise DescriptionError(
                    f"no column {chosen!r} of numbers; the recording has: {_listed(numeric)} "
                    f"({flag})"
                )
            return chosen
        if _USUAL[side] in numeric:
            return _USUAL[side]
        like = [name for name in numeric if _last_word(name) in _OTHERS[side]]
        if len(like) == 1:
            return like[0]
        raise DescriptionError(
            f"meta/info.json describes no {_USUAL[side]!r}; {flag} says which of its columns is "
            f"the {side}: {_listed(like or numeric)}"
        )


def _last_word(name: str) -> str:
    return re.split(r"[./]", name)[-1].lower()


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "none"


def find_columns(where: str, one: object, column: str, feature: Feature) -> range:
    """Return the indices that an index, a name or a span such as "0-5" means."""
    names = joint_names(feature)
    if isinstance(one, str) and names.count(one) == 1:
        return range(names.index(one), names.index(one) + 1)
    first = last = one if isinstance(one, int) and not isinstance(one, bool) else -1
    if isinstance(one, str) and re.fullmatch(r"\d{1,6} *- *\d{1,6}", one):
        first, last = (int(end) for end in one.split("-"))
    if 0 <= first <= last < feature.width:
        return range(first, last + 1)
    raise DescriptionError(
        f"{where}: no column {one!r} in {column}, which has {names or feature.width}"
    )


def joint_names(feature: Feature) -> list[str]:
    """The names of a column's values, in order; empty where info.json names none."""
    return [name for group in feature.names.values() for name in group]


def is_numeric(feature: Feature) -> bool:
    """Whether a column holds numbers."""
    return feature.dtype.startswith(("float", "int", "uint", "bool"))


def numeric_columns(features: Mapping[str, Feature]) -> list[str]:
    """Name the columns of numbers that are not the recorder's own counters."""
    return [name for name, f in features.items() if is_numeric(f) and name not in COUNTERS]
