"""Flags of `handover bench`, and their check."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Optional

from handover_common import UsageError, check_range

from handover_client.connection.flags import NO_SECURITY, SecurityOptions

# ruff: noqa: UP045, Optional for tyro's sake: see handover_common.command


@dataclass(frozen=True)
class BenchConfig:
    """Load a policy server and measure its latency, throughput and refusals."""

    server: str
    """Address of the server: HOST:PORT, openpi://HOST:PORT or groot://HOST:PORT."""
    spec: Optional[Path] = None
    """JSON file with what openpi's or Isaac-GR00T's protocol does not tell of a policy."""
    clients: int = 1
    """Concurrent connections."""
    rate: Optional[float] = None
    """Total requests per second; by default each client asks again as soon as it is answered."""
    arrivals: Literal["poisson", "fixed"] = "poisson"
    """Arrivals of a --rate: a Poisson process, or at fixed intervals."""
    seconds: float = 10.0
    """Duration of the measurement."""
    warm_up: float = 1.0
    """Warm-up seconds, excluded from the figures."""
    image_height: int = 256
    """Height of each camera's random image, in pixels."""
    image_width: int = 256
    """Width of each camera's random image, in pixels."""
    codec: Literal["raw", "jpeg"] = "raw"
    """Encoding of the images."""
    timeout_s: float = 10.0
    """Deadline of each request."""
    processes: Optional[int] = None
    """Processes to spread the clients over; by default one per 16 clients."""
    seed: int = 0
    """Seed of the random image and the arrival times."""
    output: Optional[Path] = None
    """JSON file for the figures."""
    security: SecurityOptions = NO_SECURITY
    """How the connection is protected."""


def check(config: BenchConfig) -> None:
    """Raise UsageError for flags that make no sense."""
    positive = ("clients", "seconds", "timeout_s", "processes", "rate")
    for flag in (*positive, "image_height", "image_width"):
        value = getattr(config, flag)
        if value is not None and not 0 < value < 1e6:
            raise UsageError(
                f"--{flag.replace('_', '-')} is {value:g}, expected above 0 and below 10^6"
            )
    check_range(config, "warm_up", least=0, most=1e6)
    check_range(config, "seed", least=0)
    if config.output is not None and config.output.is_dir():
        raise UsageError(f"--output {config.output} is a folder: expected the name of a file")
