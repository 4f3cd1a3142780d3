"""Registry of the axes: ours, and those that installed packages name in `handover.axes`."""

from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from handover_common import UsageError

from handover_envs.perturbations.axes import (
    Camera,
    Colours,
    Distractors,
    Latency,
    Light,
    StartPose,
    Words,
)
from handover_envs.perturbations.axis import Axis

GROUP = "handover.axes"
STRENGTHS = (1, 2, 3)

AXES: Mapping[str, Axis] = {
    axis.name: axis
    for axis in (Light(), Camera(), Colours(), Distractors(), StartPose(), Words(), Latency())
}
"""The axes that are ours."""


def axis_names() -> tuple[str, ...]:
    """Names of all axes of this installation."""
    return (*AXES, *_installed())


@cache
def find_axis(name: str) -> Axis:
    """Look up an axis by name. Raises UsageError listing the known ones, or for a broken one."""
    if name in AXES:
        return AXES[name]
    if name not in _installed():
        raise UsageError(f"unknown axis {name!r}; expected one of: {', '.join(axis_names())}")
    entry = _installed()[name]
    try:
        axis = entry.load()()
    except Exception as error:  # whatever the package does when it is imported
        raise UsageError(f"axis {name!r} cannot be loaded from {entry.value}: {error!r}") from error
    if not isinstance(axis, Axis) or axis.name != name or len(axis.strengths) != len(STRENGTHS):
        raise UsageError(
            f"axis {name!r}: {entry.value} makes {axis!r}, expected a "
            "handover_envs.perturbations.Axis of that name with three strengths"
        )
    return axis


def parse_change(change: str) -> tuple[Axis, int] | None:
    """Read AXIS:STRENGTH; None for no change. Raises UsageError."""
    if not change:
        return None
    name, _, strength = change.partition(":")
    if strength not in map(str, STRENGTHS):
        raise UsageError(f"--change {change}: expected AXIS:STRENGTH with a strength of 1, 2 or 3")
    return find_axis(name), int(strength)


@cache
def _installed() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP) if entry.name not in AXES}
