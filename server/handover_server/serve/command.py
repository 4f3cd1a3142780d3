"""`handover serve`: a policy behind gRPC, until it is told to stop."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Optional

import tyro
from handover_common import HandoverError, MissingExtra, UsageError

from handover_server.logs import LogFormat, LogLevel, configure_logging
from handover_server.security.exposure import check_listeners, warn_of_exposure

_COUNTS = (
    *("max_batch", "max_waiting", "client_requests", "client_streams"),
    *("threads", "decode_threads"),
)

# typing.Optional: tyro checks such a default without importing typeguard, which would take a third
# of the time of --help
# ruff: noqa: UP045


@dataclass(frozen=True)
class ServeConfig:
    """Serve a policy over gRPC."""

    checkpoint: Optional[str] = None
    """Checkpoint folder or hub name (ORGANISATION/MODEL); for --policy groot."""
    policy: Literal["groot", "hold", "replay"] = "groot"
    """groot: a GR00T N1.6 checkpoint; hold: stay in place; replay: a dataset's own actions."""
    dataset_path: Optional[Path] = None
    """GR00T dataset to play back; for --policy replay."""
    embodiment_tag: Optional[str] = None
    """Embodiment to serve, where the checkpoint has several."""
    tokenizer: Optional[Path] = None
    """Folder with the tokenizer's files, where the checkpoint has none."""
    device: str = "auto"
    """cpu, cuda, cuda:N; auto takes a GPU if there is one."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the weights; auto is bfloat16 on a GPU and float32 on a CPU."""
    engine: Literal["auto", "reference", "fast"] = "auto"
    """fast: constants folded, checked against reference at start; auto: fast where it can be."""
    precision: Literal["full", "fp8"] = "full"
    """full: as --dtype says; fp8: the large layers in FP8, by scales of `handover calibrate`."""
    fp8_scales: Optional[Path] = None
    """File with those scales; by default the checkpoint's own fp8_scales.json."""
    compile: bool = True
    """On a GPU, compile the fast engine in the background while it answers uncompiled."""
    host: str = "127.0.0.1"
    """Address to listen on; any but the machine's own needs TLS and tokens, or --insecure."""
    port: int = 50051
    """Port to listen on; 0 takes a free one and prints it."""
    tls_cert: Optional[Path] = None
    """PEM file with the server's certificate and its chain; encrypts every port but ZMQ's."""
    tls_key: Optional[Path] = None
    """PEM file with the certificate's key."""
    client_ca: Optional[Path] = None
    """PEM file: only clients with a certificate that it signed may connect (mTLS)."""
    token_file: Optional[Path] = None
    """File with a token per line: only clients that show one of them are served."""
    insecure: bool = False
    """Listen on the network without encryption or token: whoever reaches the port is served."""
    max_batch: Optional[int] = None
    """Most requests computed together, within what the policy allows."""
    max_waiting: int = 64
    """Requests under way at once; more are told to try again later."""
    client_requests: int = 32
    """Of these, the most of one client (a token, or without tokens a connection)."""
    client_streams: int = 32
    """Most streams that one client may have open."""
    batch_window_ms: float = 0.0
    """How long a batch that is not full waits for more requests; 0 to 2."""
    threads: Optional[int] = None
    """CPU threads of the policy; by default one for a small network, else what PyTorch chooses."""
    decode_threads: int = 2
    """Threads that decompress images."""
    metrics_port: Optional[int] = None
    """Port for /metrics (Prometheus) and /healthz; 0 takes a free one; none by default."""
    metrics_host: str = "127.0.0.1"
    """Address of that port; the rule of --host holds for it."""
    record: Optional[Path] = None
    """Folder in which every request and chunk is kept (a black box): it holds camera images."""
    record_max_gb: float = 10.0
    """Most disk space for that, 10^9 bytes; beyond it the oldest is deleted."""
    log_format: LogFormat = "text"
    """How log lines are written to stderr; json is one object a line."""
    log_level: LogLevel = "info"
    """debug has a line for every request, info a summary a minute."""
    openpi_port: Optional[int] = None
    """Port for openpi's websocket clients; 0 takes a free one; none by default."""
    openpi_prompt: str = ""
    """Task for openpi clients that send no prompt."""
    openpi_rate_hz: Optional[float] = None
    """How often ALOHA clients of openpi take an action; by default as often as the policy."""
    groot_zmq_port: Optional[int] = None
    """Port for Isaac-GR00T's ZMQ clients; 0 takes a free one; none by default."""
    gateway_host: str = "127.0.0.1"
    """Address of these two ports; the rule of --host holds, and ZMQ has no TLS."""
    drain_s: float = 10.0
    """Seconds that requests under way have when the server is told to stop."""
    watchdog_s: float = 30.0
    """Seconds after which a batch without an answer counts as stuck: clients are turned away."""
    watchdog_exit_s: float = 0.0
    """Further seconds after which a stuck server ends with status 3, for a restart; 0: never."""


def main(config: ServeConfig) -> None:
    """Serve until SIGTERM or SIGINT; raises HandoverError when it cannot start."""
    _check(config)
    configure_logging(config.log_format, config.log_level)
    warn_of_exposure(config)
    try:
        from handover_server.serve.run import serve_until_stopped
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "grpc", "serve") from None
    serve_until_stopped(config)


def _check(config: ServeConfig) -> None:
    if config.policy == "groot" and not config.checkpoint:
        raise UsageError("--policy groot needs --checkpoint DIR_OR_REPO")
    if config.policy == "replay" and config.dataset_path is None:
        raise UsageError("--policy replay needs --dataset-path DIR")
    if config.policy != "groot" and config.checkpoint:
        raise UsageError(f"--policy {config.policy} takes no --checkpoint")
    if config.policy != "replay" and config.dataset_path is not None:
        raise UsageError(f"--policy {config.policy} takes no --dataset-path")
    if config.precision == "fp8" and config.engine == "reference":
        raise UsageError("--precision fp8 is computed by the fast engine, not by the reference")
    if config.fp8_scales is not None and config.precision != "fp8":
        raise UsageError("--fp8-scales needs --precision fp8")
    for flag in ("port", "metrics_port", "openpi_port", "groot_zmq_port"):
        port = getattr(config, flag)
        if port is not None and not 0 <= port < 65536:
            raise UsageError(f"--{flag.replace('_', '-')} is {port}, expected 0 to 65535")
    for flag in _COUNTS:
        value = getattr(config, flag)
        if value is not None and value < 1:
            raise UsageError(f"--{flag.replace('_', '-')} is {value}, expected 1 or more")
    for flag in ("drain_s", "watchdog_s", "watchdog_exit_s"):
        value = getattr(config, flag)
        if not value >= 0:  # nan neither
            raise UsageError(f"--{flag.replace('_', '-')} is {value}, expected 0 or more")
    if not 0.001 <= config.record_max_gb <= 1e6:
        raise UsageError(f"--record-max-gb is {config.record_max_gb:g}, expected 0.001 or more")
    if not 0 <= config.batch_window_ms <= 2:
        raise UsageError(f"--batch-window-ms is {config.batch_window_ms:g}, expected 0 to 2")
    if config.openpi_rate_hz is not None and not 0 < config.openpi_rate_hz <= 1000:
        raise UsageError(f"--openpi-rate-hz is {config.openpi_rate_hz:g}, expected up to 1000")
    check_listeners(config)


def cli() -> None:
    """Parse the command line and serve."""
    try:
        main(tyro.cli(ServeConfig, prog="handover serve"))
    except HandoverError as error:
        print(f"handover serve: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, UsageError) else 1)


if __name__ == "__main__":
    cli()
