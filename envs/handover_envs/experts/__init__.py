"""Scripted experts for the ALOHA tasks: planning and inverse kinematics."""

from typing import TYPE_CHECKING

from handover_common import lazy

if TYPE_CHECKING:
    from handover_envs.experts.disturbances import disturbed_targets, misses, pushes
    from handover_envs.experts.expert import (
        Expert,
        ScriptedPolicy,
        Trajectory,
        joints_at,
        nearest_steps,
    )

__getattr__, __dir__ = lazy(__name__, __file__)
