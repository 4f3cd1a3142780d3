"""Robots that can be driven: their interface, their registry, and the simulated ALOHA."""

from typing import TYPE_CHECKING

from handover_common import lazy

if TYPE_CHECKING:
    from handover_client.drive.robots.interface import CameraFrame, Reading, Robot, RobotDescription
    from handover_client.drive.robots.lerobot_config import joint_units

__getattr__, __dir__ = lazy(__name__, __file__)
