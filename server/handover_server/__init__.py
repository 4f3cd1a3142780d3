"""The GPU host's side: a gRPC server for GR00T N1.6 and for any other policy."""

from typing import TYPE_CHECKING

from handover_common import lazy

if TYPE_CHECKING:
    from handover_server.errors import ServingError
    from handover_server.policies.hold import HoldPolicy
    from handover_server.policies.replay import ReplayPolicy
    from handover_server.rpc.server import PolicyServer
    from handover_server.rpc.settings import ServerSettings
    from handover_server.serve.own_policy import serve_in_thread, serve_policy

__getattr__, __dir__ = lazy(__name__, __file__)
