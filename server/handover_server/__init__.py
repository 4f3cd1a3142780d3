"""The GPU host: a gRPC server for GR00T N1.6 policies."""

from typing import TYPE_CHECKING

from handover_common import lazy

if TYPE_CHECKING:
    from handover_server.policies.hold import HoldPolicy
    from handover_server.policies.replay import ReplayPolicy
    from handover_server.rpc.server import PolicyServer, ServerSettings

__getattr__, __dir__ = lazy(__name__, __file__)
