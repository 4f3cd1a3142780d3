"""The command `handover info`: what a server serves, and the round trip to it."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from handover_common import show

from handover_client.connection.flags import (
    NO_SECURITY,
    SecurityOptions,
    check_timeouts,
    read_security,
)

# ruff: noqa: UP045, Optional for tyro's sake: see handover_common.command

_PINGS = 11  # odd, so that the median is one of them


@dataclass(frozen=True)
class InfoConfig:
    """Print what a policy server serves, and the round trip to it in milliseconds."""

    server: str
    """Address of the server: HOST:PORT, openpi://HOST:PORT or groot://HOST:PORT."""
    spec: Optional[Path] = None
    """JSON file with what openpi's or Isaac-GR00T's protocol does not tell of a policy."""
    timeout_s: float = 10.0
    """Maximum wait for the server to be ready."""
    security: SecurityOptions = NO_SECURITY
    """How the connection is protected."""


def main(config: InfoConfig) -> None:
    """Print what the server serves and the median round trip of a few GetInfo calls."""
    check_timeouts(config, "timeout_s")
    from handover_client.connection.foreign.open import connect_server
    from handover_client.diagnostics.server_info import describe, ping_ms

    security = read_security(config.security, os.environ)
    with connect_server(
        config.server, timeout_s=config.timeout_s, security=security, spec=config.spec
    ) as client:
        round_trips_ms = ping_ms(client, _PINGS)
        show(describe(client, round_trips_ms))
