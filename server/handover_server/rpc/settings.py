"""Settings of a policy server, and the gRPC options that follow from them."""

from dataclasses import dataclass, field

from handover_proto import MAX_MESSAGE_BYTES

from handover_server.connections.guard import ConnectionLimits
from handover_server.gateways.listeners import GatewaySettings
from handover_server.inference.shares import AdmissionLimits
from handover_server.operations.watchdog import WatchdogSettings
from handover_server.requests.observer import Observer
from handover_server.security.tls import TlsFiles
from handover_server.security.tokens import TokenCheck

_CALLS_BESIDE = 16  # per connection: GetInfo, health, reflection, and refusals in the meantime

_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),  # or a second server shares the port silently
    # a client may ask every 5 s whether the connection lives, also between calls and on a stream
    # without traffic: by gRPC's defaults it would be hung up on after some minutes of that
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),  # 0: any number, so that this server asks on too
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # frames come as JPEG or PNG; a compressed message costs its sender a thousandth of what it
    # costs here, so that gRPC refuses it (UNIMPLEMENTED). Bit 0: no compression
    ("grpc.compression_enabled_algorithms_bitset", 1),
    # a stranger who does not begin to speak HTTP/2, and a client that asks nothing
    ("grpc.server_handshake_timeout_ms", 10_000),
    ("grpc.max_connection_idle_ms", 600_000),
)


@dataclass(frozen=True)
class ServerSettings:
    """Settings of a server: addresses, limits, security, observers; port 0 takes a free one.

    monitor: host and port for /metrics and /healthz, if wanted
    """

    host: str = "127.0.0.1"
    port: int = 0
    max_batch: int | None = None
    batch_window_s: float = 0.0
    decode_threads: int = 2
    limits: AdmissionLimits = field(default_factory=AdmissionLimits)
    connections: ConnectionLimits = field(default_factory=ConnectionLimits)
    tokens: TokenCheck = field(default_factory=TokenCheck)
    tls: TlsFiles | None = None
    watchdog: WatchdogSettings = field(default_factory=WatchdogSettings)
    observer: Observer = field(default_factory=Observer)
    gateways: GatewaySettings = field(default_factory=GatewaySettings)
    monitor: tuple[str, int] | None = None

    def grpc_options(self) -> tuple[tuple[str, int], ...]:
        """Return gRPC's options: calls beyond one client's limits wait in the client, not here."""
        calls = self.limits.client_requests + self.limits.client_streams + _CALLS_BESIDE
        return (
            *_OPTIONS,
            ("grpc.max_concurrent_streams", calls),
            ("grpc.max_allowed_incoming_connections", self.connections.connections),
        )
