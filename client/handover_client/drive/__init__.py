"""Robots in real time: a policy's targets through a guard, by an operator, recorded."""

from typing import TYPE_CHECKING

from handover_common import lazy

if TYPE_CHECKING:
    from handover_client.drive.fit import unit_misfits
    from handover_client.drive.guard import Guard, Limits
    from handover_client.drive.robots.interface import Reading, Robot, RobotDescription

__getattr__, __dir__ = lazy(__name__, __file__)
