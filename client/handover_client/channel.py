"""Where a policy server is, and the gRPC settings with which every client reaches it."""

import re

from handover_proto.contract import MAX_MESSAGE_BYTES
from handover_proto.errors import UsageError

_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+(%\w+)?\]|[A-Za-z0-9._-]+):(?P<port>\d{1,5})")

CHANNEL_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    # A cable that is pulled sends no reset: a ping without an answer ends the calls in 25 s at the
    # latest, whatever their deadlines.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    # gRPC would wait up to 2 minutes before it tries again; a robot's server restarts in seconds.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # Robot and server are neighbours: a web proxy of the environment is not the way between them.
    ("grpc.enable_http_proxy", 0),
)


def check_address(address: str) -> str:
    """Return `address` if it is HOST:PORT with a port from 1 to 65535; raise UsageError if not."""
    match = _ADDRESS.fullmatch(address)
    if match is None or not 1 <= int(match["port"]) <= 65535:
        raise UsageError(
            f"server address {address!r}: expected HOST:PORT, for example 192.168.1.20:50051 "
            "or [fe80::1]:50051"
        )
    return address
