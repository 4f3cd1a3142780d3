"""The command `handover info`: what a server serves, and the round trip to it."""

import os
from dataclasses import dataclass

from handover_common import show

from handover_client.connection.flags import (
    NO_SECURITY,
    SecurityOptions,
    check_timeouts,
    read_security,
)

_PINGS = 11  # odd, so that the median is one of them


@dataclass(frozen=True)
class InfoConfig:
    """Print what a policy server serves, and the round trip to it in milliseconds."""

    server: str
    """Address of the server, HOST:PORT."""
    timeout_s: float = 10.0
    """Maximum wait for the server to be ready."""
    security: SecurityOptions = NO_SECURITY
    """How the connection is protected."""


def main(config: InfoConfig) -> None:
    """Print what the server serves and the median round trip of a few GetInfo calls."""
    check_timeouts(config, "timeout_s")
    from handover_client.connection.policy_client import PolicyClient
    from handover_client.diagnostics.server_info import describe, ping_ms

    security = read_security(config.security, os.environ)
    with PolicyClient.connect(
        config.server, timeout_s=config.timeout_s, security=security
    ) as client:
        round_trips_ms = ping_ms(client, _PINGS)
        show(describe(client.info, config.server, round_trips_ms))
