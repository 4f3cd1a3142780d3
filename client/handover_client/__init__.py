"""The robot's side: policy client, evaluation and the command line."""

from typing import TYPE_CHECKING

from handover_common import lazy

if TYPE_CHECKING:
    from handover_client.connection.async_client import AsyncPolicyClient
    from handover_client.connection.policy_client import PolicyClient
    from handover_client.connection.requests import StreamAnswer
    from handover_client.connection.security import ChannelSecurity
    from handover_client.control.chunk_player import ChunkPlayer

__getattr__, __dir__ = lazy(__name__, __file__)
