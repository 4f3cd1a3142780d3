"""Registry of the tasks: each one by its name."""

from collections.abc import Mapping
from functools import cache

from handover_common import UsageError

from handover_envs.tasks.insertion import INSERTION
from handover_envs.tasks.names import GROUP, installed_tasks, task_names
from handover_envs.tasks.task import Task
from handover_envs.tasks.transfer_cube import TRANSFER_CUBE
from handover_envs.tasks.transfer_cube_left import TRANSFER_CUBE_LEFT

TASKS: Mapping[str, Task] = {
    task.name: task for task in (TRANSFER_CUBE, INSERTION, TRANSFER_CUBE_LEFT)
}
"""The tasks that are ours."""


@cache
def find_task(name: str) -> Task:
    """Look up a task by name. Raises UsageError listing the known ones, or for a broken one."""
    if name in TASKS:
        return TASKS[name]
    if name not in installed_tasks():
        raise UsageError(
            f"unknown task {name!r}; expected one of: {', '.join(task_names())}; other packages' "
            f"tasks are entry points of {GROUP}"
        )
    entry = installed_tasks()[name]
    try:
        task = entry.load()
    except Exception as error:  # whatever the package does when it is imported
        raise UsageError(f"task {name!r} cannot be loaded from {entry.value}: {error!r}") from error
    if not isinstance(task, Task) or task.name != name:
        raise UsageError(
            f"task {name!r}: {entry.value} is {task!r}, expected a handover_envs.Task of that name"
        )
    return task
