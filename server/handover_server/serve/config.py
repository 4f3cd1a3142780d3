"""Flags of `handover serve`, and their checks."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Optional

from handover_common import UsageError, check_range

from handover_server.logs import LogFormat, LogLevel
from handover_server.security.exposure import Listener, check_listeners, check_zmq

# ruff: noqa: UP045  # typing.Optional: see handover_common.command


@dataclass(frozen=True)
class ServeConfig:
    """Serve a policy over gRPC."""

    checkpoint: Optional[str] = None
    """Checkpoint folder or Hugging Face Hub name (ORGANIZATION/MODEL); for --policy groot."""
    policy: Literal["groot", "hold", "replay"] = "groot"
    """groot: a GR00T N1.6 checkpoint; hold: stay in place; replay: the actions of a dataset."""
    dataset_path: Optional[Path] = None
    """GR00T dataset to play back; for --policy replay."""
    embodiment_tag: Optional[str] = None
    """Embodiment to serve, if the checkpoint has several."""
    tokenizer: Optional[Path] = None
    """Folder with the tokenizer files, if the checkpoint has none."""
    device: str = "auto"
    """cpu, cuda or cuda:N; auto uses a GPU if there is one."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Data type of the weights; auto is bfloat16 on a GPU and float32 on a CPU."""
    engine: Literal["auto", "reference", "fast"] = "auto"
    """fast: constants folded, checked against reference at start; auto: fast where possible."""
    precision: Literal["full", "fp8"] = "full"
    """full: as given by --dtype; fp8: large layers in FP8, with scales of `handover calibrate`."""
    fp8_scales: Optional[Path] = None
    """File with the FP8 scales; default: the checkpoint's own fp8_scales.json."""
    compile: bool = True
    """On a GPU, compile the fast engine in the background while it answers uncompiled."""
    host: str = "127.0.0.1"
    """Address to listen on; any other than loopback needs TLS and tokens, or --insecure."""
    port: int = 50051
    """Port to listen on; 0 takes a free one and prints it."""
    tls_cert: Optional[Path] = None
    """PEM file with the server's certificate chain; encrypts every port except ZMQ's."""
    tls_key: Optional[Path] = None
    """PEM file with the certificate's private key."""
    client_ca: Optional[Path] = None
    """PEM file: only clients with a certificate signed by this authority may connect (mTLS)."""
    token_file: Optional[Path] = None
    """File with one token per line: only clients that present one of them are served."""
    insecure: bool = False
    """Listen on the network without encryption or tokens: anyone who reaches the port is served."""
    max_batch: Optional[int] = None
    """Maximum batch size, within what the policy allows."""
    max_waiting: int = 128
    """Maximum concurrent requests; clients are asked to retry beyond it."""
    client_requests: int = 32
    """Maximum concurrent requests per client (per token, or per connection without tokens)."""
    client_streams: int = 32
    """Maximum open streams per client."""
    max_connections: int = 512
    """Maximum open connections; one address has at most half of them."""
    batch_window_ms: float = 0.0
    """How long a batch that is not full waits for more requests, in ms; 0 to 2."""
    threads: Optional[int] = None
    """CPU threads of the policy; default: one for a small network, else PyTorch's choice."""
    decode_threads: int = 2
    """Threads that decompress images."""
    metrics_port: Optional[int] = None
    """Port for /metrics (Prometheus) and /healthz; 0 takes a free one; default: none."""
    metrics_host: str = "127.0.0.1"
    """Address for --metrics-port; the rule of --host applies."""
    record: Optional[Path] = None
    """Folder in which every request and chunk is recorded; it will hold camera images."""
    record_max_gb: float = 10.0
    """Maximum size of the recording in GB (10^9 bytes); the oldest requests are deleted."""
    log_format: LogFormat = "text"
    """Format of log lines on stderr; json is one object per line."""
    log_level: LogLevel = "info"
    """debug logs every request, info a summary per minute."""
    openpi_port: Optional[int] = None
    """Port for openpi's websocket clients; 0 takes a free one; default: none."""
    openpi_prompt: str = ""
    """Task for openpi clients that send no prompt."""
    openpi_rate_hz: Optional[float] = None
    """Rate in Hz at which openpi clients take actions; needed for --openpi-port."""
    groot_zmq_port: Optional[int] = None
    """Port for Isaac-GR00T's ZMQ clients; 0 takes a free one; default: none."""
    gateway_host: str = "127.0.0.1"
    """Address for these two ports; the rule of --host applies, and ZMQ has no TLS."""
    drain_s: float = 10.0
    """Seconds that requests in flight have to finish when the server is stopped."""
    watchdog_s: float = 30.0
    """Seconds without an answer after which a batch counts as stuck; requests are refused then."""
    watchdog_exit_s: float = 0.0
    """Further seconds after which a stuck server exits with status 3, for a restart; 0: never."""

    def listeners(self) -> tuple[Listener, ...]:
        """Return the addresses to listen on."""
        return (
            Listener("--host", self.host),
            Listener("--metrics-host", self.metrics_host),
            Listener("--gateway-host", self.gateway_host),
        )


_PORTS = ("port", "metrics_port", "openpi_port", "groot_zmq_port")
_COUNTS = (
    *("max_batch", "max_waiting", "client_requests", "client_streams"),
    "max_connections",
    *("threads", "decode_threads"),
)


def check(config: ServeConfig) -> None:
    """Raise UsageError for flags that are out of range, contradictory or unsafe."""
    _check_policy(config)
    check_range(config, *_PORTS, least=0, most=65535)
    check_range(config, *_COUNTS, least=1)
    check_range(config, "drain_s", "watchdog_s", "watchdog_exit_s", least=0)
    check_range(config, "record_max_gb", least=0.001, most=1e6)
    check_range(config, "batch_window_ms", least=0, most=2)
    if config.openpi_rate_hz is not None and not 0 < config.openpi_rate_hz <= 1000:
        raise UsageError(f"--openpi-rate-hz is {config.openpi_rate_hz:g}, expected up to 1000")
    if config.openpi_port is not None and config.openpi_rate_hz is None:
        raise UsageError(
            "--openpi-port needs --openpi-rate-hz HZ: how many rows of actions a second its "
            "clients take, which they do not tell (openpi's ALOHA loops: 50); at another rate "
            "than theirs the robot would move too fast or too slowly"
        )
    if (config.tls_cert is None) != (config.tls_key is None):
        raise UsageError("--tls-cert and --tls-key belong together: give both")
    if config.client_ca is not None and config.tls_cert is None:
        raise UsageError("--client-ca needs --tls-cert and --tls-key")
    if config.insecure:
        return
    if config.groot_zmq_port is not None:
        check_zmq(config.gateway_host, client_ca=config.client_ca is not None)
    tls, tokens = config.tls_cert is not None, config.token_file is not None
    check_listeners(config.listeners(), tls=tls, tokens=tokens)


def _check_policy(config: ServeConfig) -> None:
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
