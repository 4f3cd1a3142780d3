"""Names of the tasks: ours, and those that installed packages have in `handover.tasks`.

Commands read this for --help and completion, so it imports neither numpy nor any task.
"""

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Literal

GROUP = "handover.tasks"
OURS = ("transfer_cube", "insertion", "transfer_cube_left")


def task_names() -> tuple[str, ...]:
    """Names of all tasks of this installation."""
    return (*OURS, *installed_tasks())


@cache
def installed_tasks() -> dict[str, EntryPoint]:
    """Entry points of other packages' tasks by name; none of them is imported."""
    return {entry.name: entry for entry in entry_points(group=GROUP) if entry.name not in OURS}


if TYPE_CHECKING:
    TaskName = str
else:
    TaskName = Literal[task_names()]  # so a flag's help lists them, and completion knows them
