"""The command `handover bench`: load on a policy server, and how long its answers took."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Optional

import tyro
from handover_common import HandoverError, UsageError

from handover_client.connection.flags import NO_SECURITY, SecurityOptions, read_security

# typing.Optional: see security_flags
# ruff: noqa: UP045


@dataclass(frozen=True)
class BenchConfig:
    """Load a policy server and measure its latency, throughput and refusals."""

    server: str
    """Address of the server, HOST:PORT."""
    clients: int = 1
    """Connections that ask at the same time."""
    rate: Optional[float] = None
    """Requests per second of all clients together; by default each asks again once answered."""
    arrivals: Literal["poisson", "fixed"] = "poisson"
    """How requests of a --rate come: at random moments, or evenly."""
    seconds: float = 10.0
    """How long to measure."""
    warm_up: float = 1.0
    """Seconds before that, which do not count."""
    image_height: int = 256
    """Height of the random image of each camera, in pixels."""
    image_width: int = 256
    """Its width."""
    codec: Literal["raw", "jpeg"] = "raw"
    """How images are sent."""
    timeout_s: float = 10.0
    """Deadline of each request."""
    processes: Optional[int] = None
    """Processes that the clients are spread over; by default one for 16 clients."""
    seed: int = 0
    """Of the image and of the moments of arrival."""
    output: Optional[Path] = None
    """JSON file for the figures."""
    security: SecurityOptions = NO_SECURITY
    """How the connection is protected."""


def main(config: BenchConfig) -> dict[str, object]:
    """Measure, print a table, write the JSON; returns its content. Raises HandoverError."""
    _check(config)
    from handover_client.diagnostics.load_figures import load_figures, print_load
    from handover_client.diagnostics.load_run import run_load
    from handover_client.results.run_folder import make_folders_above, write_json

    if config.output is not None:
        make_folders_above(config.output)
    security = read_security(config.security, os.environ)
    load = run_load(config, security)
    figures = load_figures(config, load)
    print_load(figures)
    if config.output is not None:
        write_json(config.output, figures)
    if figures["latency_ms"]["p50"] is None:
        raise HandoverError("no request was answered with a chunk within the time that counts")
    return figures


def _check(config: BenchConfig) -> None:
    for flag in (
        "clients",
        "seconds",
        "timeout_s",
        "processes",
        "rate",
        "image_height",
        "image_width",
    ):
        value = getattr(config, flag)
        if value is not None and not 0 < value < 1e6:
            raise UsageError(
                f"--{flag.replace('_', '-')} is {value:g}, expected above 0 and below 10^6"
            )
    if not 0 <= config.warm_up < 1e6:
        raise UsageError(f"--warm-up is {config.warm_up:g}, expected 0 to 10^6")
    if config.seed < 0:
        raise UsageError(f"--seed is {config.seed}, expected 0 or more")
    if config.output is not None and config.output.is_dir():
        raise UsageError(f"--output {config.output} is a folder: expected the name of a file")


def cli() -> None:
    """Parse the command line and run."""
    if main(tyro.cli(BenchConfig))["interrupted"]:
        raise KeyboardInterrupt


if __name__ == "__main__":
    cli()
