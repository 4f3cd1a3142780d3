"""The command `handover replay-requests`: a server's recorded requests, sent again.

The answers are compared with the recorded ones bit by bit.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Optional

from handover_common import check_range, show

from handover_client.connection.flags import (
    NO_SECURITY,
    SecurityOptions,
    check_timeouts,
    read_security,
)

if TYPE_CHECKING:
    from handover_client.diagnostics.request_replay import ReplayCounts

# ruff: noqa: UP045, Optional for tyro's sake: see handover_common.command


@dataclass(frozen=True)
class ReplayRequestsConfig:
    """Send a recording's requests again and report whether the answers are bit-identical."""

    recording: Path
    """Folder written by `handover serve --record`."""
    server: str
    """Address of the server, HOST:PORT."""
    limit: Optional[int] = None
    """Maximum number of requests to send, oldest first; all by default."""
    connect_timeout_s: float = 60.0
    """Maximum wait for the server to be ready."""
    call_timeout_s: float = 60.0
    """Maximum wait for each chunk."""
    security: SecurityOptions = NO_SECURITY
    """How the connection is protected."""


def main(config: ReplayRequestsConfig) -> "ReplayCounts":
    """Send the requests that were answered by a chunk, print the counts; returns them.

    Raises EvaluationError when an answer differs or a request is refused, and when there was
    nothing to compare.
    """
    check_range(config, "limit", least=1)
    check_timeouts(config, "connect_timeout_s", "call_timeout_s")
    from handover_client.connection.policy_client import PolicyClient
    from handover_client.diagnostics.request_replay import compare_recording

    with PolicyClient.connect(
        config.server,
        timeout_s=config.connect_timeout_s,
        call_timeout_s=config.call_timeout_s,
        security=read_security(config.security, os.environ),
    ) as client:
        counts = compare_recording(config.recording, client, config.limit)
        show(counts.describe(client.info.spec.checkpoint_hash))
    counts.check(config.recording)
    return counts
