"""Scripted experts for the ALOHA tasks: planning and inverse kinematics."""

from typing import TYPE_CHECKING

from handover_common import lazy

if TYPE_CHECKING:
    from handover_envs.experts.expert import (
        EXACT,
        Expert,
        ScriptedPolicy,
        Trajectory,
    )
    from handover_envs.experts.inverse_kinematics import Side
    from handover_envs.experts.waypoints import Point

__getattr__, __dir__ = lazy(__name__, __file__)
