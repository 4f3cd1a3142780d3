"""Tasks of the simulated ALOHA: scene, instruction, rewards, strict success and expert's plan."""

from typing import TYPE_CHECKING

from handover_common import lazy

if TYPE_CHECKING:
    from handover_envs.tasks.names import TaskName, task_names
    from handover_envs.tasks.registry import TASKS, find_task
    from handover_envs.tasks.task import (
        CONTROL_RATE_HZ,
        DEMONSTRATION_STEPS,
        EXACT,
        LEFT_FINGERS,
        RIGHT_FINGERS,
        SUCCESS_REWARD,
        Contacts,
        Situation,
        Task,
        touch,
    )
    from handover_envs.tasks.variation import Variation
    from handover_envs.tasks.waypoints import Point, Side, Waypoint, moved

__getattr__, __dir__ = lazy(__name__, __file__)
