"""Registry of the axes: ours, and those that installed packages name in `handover.axes`."""

from collections.abc import Mapping, Sequence
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
from handover_envs.tasks.task import Task

GROUP = "handover.axes"
STRENGTHS = (1, 2, 3)
_LARGEST = 2  # of --vary, where none is said
_CHANGES = ("change_look", "move_objects", "reword", "delay")

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


def unchanged(axis: Axis, strength: int, task: Task) -> str:
    """Say why an axis would leave a task as it is; empty where it changes something.

    That is known beforehand of words alone: of an axis that rewords, and does nothing else.
    """
    if _does(axis) != {"reword"} or axis.reword(task.text, strength) != task.text:
        return ""
    return f"“{task.text}” stays as it is ({axis.strengths[strength - 1]})"


def parse_vary(vary: Sequence[str]) -> dict[str, int]:
    """Read AXIS or AXIS:LARGEST each: {axis: largest strength}, 2 where none is said.

    Raises UsageError, also for an axis that changes more than what is seen: an expert plans for the
    task's own poses, and a recording has one instruction and no latency.
    """
    found: dict[str, int] = {}
    for each in vary:
        name, _, largest = each.partition(":")
        if largest not in ("", *map(str, STRENGTHS)) or name in found:
            raise UsageError(
                f"--vary {each}: expected AXIS, or AXIS:LARGEST of 1, 2 or 3, each once"
            )
        axis = find_axis(name)
        if _does(axis) - {"change_look"}:
            raise UsageError(
                f"--vary {name}: it changes more than what is seen; expected an axis such as "
                "light, camera, colours or distractors"
            )
        found[name] = int(largest or _LARGEST)
    return found


def _does(axis: Axis) -> set[str]:
    """Names of the methods that an axis overrides: what it changes."""
    return {name for name in _CHANGES if getattr(type(axis), name) is not getattr(Axis, name)}


@cache
def _installed() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP) if entry.name not in AXES}
