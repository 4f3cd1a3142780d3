"""Simulated ALOHA robot in MuJoCo, with its tasks, scripted experts and Gymnasium environments."""

from typing import TYPE_CHECKING

from handover_common import lazy

if TYPE_CHECKING:
    from handover_envs.experts.expert import Expert, ScriptedPolicy
    from handover_envs.simulator.gymnasium_env import register
    from handover_envs.simulator.simulator import AlohaSimulator
    from handover_envs.tasks.registry import TASKS
    from handover_envs.tasks.task import Task

__getattr__, __dir__ = lazy(__name__, __file__)
