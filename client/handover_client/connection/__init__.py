"""Connection to a policy server over gRPC: clients, streams, security."""

from typing import TYPE_CHECKING

from handover_common import lazy

if TYPE_CHECKING:
    from handover_client.connection.flags import (
        NO_SECURITY,
        SecurityFlags,
        SecurityOptions,
        read_security,
    )
    from handover_client.connection.policy_client import PolicyClient

__getattr__, __dir__ = lazy(__name__, __file__)
