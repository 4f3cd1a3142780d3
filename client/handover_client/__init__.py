"""The robot's side: policy client, real-time control, evaluation and the command line."""

from typing import TYPE_CHECKING

from handover_common import lazy

if TYPE_CHECKING:
    from handover_proto import ActionChunk, ActionPrefix, ImageCodec, Observation

    from handover_client.connection.async_client import AsyncPolicyClient
    from handover_client.connection.foreign.open import connect_server
    from handover_client.connection.policy_client import PolicyClient
    from handover_client.connection.requests import StreamAnswer
    from handover_client.connection.security import ChannelSecurity
    from handover_client.control.chunk_player import ChunkPlayer
    from handover_client.control.controller import RealTimeController
    from handover_client.control.observation import square_image

__getattr__, __dir__ = lazy(__name__, __file__)
