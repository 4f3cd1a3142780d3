"""Descriptions of robots: cameras, and state and action groups of recorded columns."""

from typing import TYPE_CHECKING

from handover_common import lazy

if TYPE_CHECKING:
    from handover_conversion.robot.choose import choose_robot
    from handover_conversion.robot.description import Camera, Group, Piece, Robot, Side

__getattr__, __dir__ = lazy(__name__, __file__)
