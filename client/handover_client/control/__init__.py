"""Action chunks in a control loop: requesting, playing, blending, timing."""

from typing import TYPE_CHECKING

from handover_common import lazy

if TYPE_CHECKING:
    from handover_client.control.chunk_player import ChunkPlayer
    from handover_client.control.chunk_sources import (
        ChunkReply,
        ChunkRequest,
        ChunkSource,
        ServerChunks,
    )
    from handover_client.control.controller import RealTimeController
    from handover_client.control.joint_layout import JointLayout, RobotJoints, find_joint_layout
    from handover_client.control.observation import square_image

__getattr__, __dir__ = lazy(__name__, __file__)
