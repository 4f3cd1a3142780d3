"""The command `handover replay-requests`: a server's recorded requests sent once more.

The answers are laid beside those of the recording, bit by bit.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Optional

from handover_common import UsageError

from handover_client.connection.flags import NO_SECURITY, SecurityOptions, read_security
from handover_client.connection.timeout_flags import check_timeouts

if TYPE_CHECKING:
    from handover_client.diagnostics.request_replay import ReplayCounts

# typing.Optional: tyro checks such a default without importing typeguard, which would take a third
# of the time of --help
# ruff: noqa: UP045


@dataclass(frozen=True)
class ReplayRequestsConfig:
    """Send the requests of a recording again and tell whether the answers are bit-identical."""

    recording: Path
    """Folder that `handover serve --record` wrote."""
    server: str
    """Address of the server, HOST:PORT."""
    limit: Optional[int] = None
    """Most requests to send, from the oldest on; all of them by default."""
    connect_timeout_s: float = 60.0
    """How long to wait for the server to be ready."""
    call_timeout_s: float = 60.0
    """How long to wait for each chunk."""
    security: SecurityOptions = NO_SECURITY
    """How the connection is protected."""


def main(config: ReplayRequestsConfig) -> "ReplayCounts":
    """Send what was answered by a chunk, print the counts; returns them.

    Raises EvaluationError when an answer differs or a request is refused, and when there was
    nothing to compare.
    """
    if config.limit is not None and config.limit < 1:
        raise UsageError(f"--limit is {config.limit}, expected 1 or more")
    check_timeouts(config, "connect_timeout_s", "call_timeout_s")
    from handover_client.connection.policy_client import PolicyClient
    from handover_client.diagnostics.request_replay import compare_recording
    from handover_client.errors import EvaluationError

    with PolicyClient.connect(
        config.server,
        timeout_s=config.connect_timeout_s,
        call_timeout_s=config.call_timeout_s,
        security=read_security(config.security, os.environ),
    ) as client:
        found = compare_recording(config.recording, client, config.limit)
        print(found.describe(client.info.spec.checkpoint_hash))
    if not found.sent:
        raise EvaluationError(f"{config.recording} holds no request that was answered by a chunk")
    if found.identical < found.sent:
        raise EvaluationError(
            f"{found.sent - found.identical} of {found.sent} answers are not what was recorded"
        )
    return found


def cli() -> None:
    """Parse the command line and run."""
    import tyro

    main(tyro.cli(ReplayRequestsConfig))


if __name__ == "__main__":
    cli()
