"""The command `handover record`: scripted demonstrations as a LeRobot dataset."""

from typing import TYPE_CHECKING

from handover_common import lazy

if TYPE_CHECKING:
    from handover_envs.record.folder import METADATA

__getattr__, __dir__ = lazy(__name__, __file__)
