"""Action chunks in a control loop: requesting, playing, blending, timing."""

from typing import TYPE_CHECKING

from handover_common import lazy

if TYPE_CHECKING:
    from handover_client.control.chunk_player import ChunkPlayer
    from handover_client.control.chunk_sources import RobotObservation, ServerChunks

__getattr__, __dir__ = lazy(__name__, __file__)
