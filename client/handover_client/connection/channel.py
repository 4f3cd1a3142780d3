"""Where the policy servers are, what they are asked, and gRPC's settings for every client."""

import ipaddress
import json
import re
from typing import Any

from handover_common import UsageError
from handover_proto import MAX_MESSAGE_BYTES
from handover_proto import policy_pb2 as pb

_SERVICE = pb.DESCRIPTOR.services_by_name["PolicyService"].full_name
INFER = f"/{_SERVICE}/Infer"
_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+(%\w+)?\]|[A-Za-z0-9._-]+):(?P<port>\d{1,5})")

# Servers keep nothing between calls, so any of them may answer the next one, or the same again.
# A stream is not asked again: its client opens another.
_SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [
                {"service": _SERVICE, "method": "GetInfo"},
                {"service": _SERVICE, "method": "Infer"},
                {"service": "grpc.health.v1.Health", "method": "Check"},
            ],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.05s",
                "maxBackoff": "0.5s",
                "backoffMultiplier": 2,
                # gone, starting or draining; overload is for the caller, who knows how long to wait
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
}

CHANNEL_OPTIONS: tuple[tuple[str, int | str], ...] = (
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    # a call above this is not asked again: gRPC's 256 KiB are less than one raw frame
    ("grpc.per_rpc_retry_buffer_size", MAX_MESSAGE_BYTES),
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


class PolicyStub:
    """PolicyService's calls on a channel, blocking or asyncio's: they take serialised requests.

    The generated stub would serialise a message that was serialised to be measured.
    """

    def __init__(self, channel: Any) -> None:
        self.get_info = channel.unary_unary(
            f"/{_SERVICE}/GetInfo", response_deserializer=pb.GetInfoReply.FromString
        )
        self.infer = channel.unary_unary(INFER, response_deserializer=pb.InferReply.FromString)
        self.infer_stream = channel.stream_stream(
            f"/{_SERVICE}/InferStream", response_deserializer=pb.InferReply.FromString
        )


def check_address(address: str) -> str:
    """Return `address` if it is HOST:PORT, or several IP:PORT of replicas, separated by commas.

    Raises UsageError for anything else. A host name may stand for several replicas too: all that
    it resolves to are used in turn.
    """
    parts = address.split(",")
    for part in parts:
        match = _ADDRESS.fullmatch(part)
        if match is None or not 1 <= int(match["port"]) <= 65535:
            raise UsageError(
                f"server address {address!r}: expected HOST:PORT, for example 192.168.1.20:50051 "
                "or [fe80::1]:50051, or several IP:PORT separated by commas"
            )
    if len(parts) > 1:
        _family(parts)
    return address


def channel_target(address: str) -> str:
    """Give gRPC's name for `address`: as it is, or the list of replicas."""
    parts = check_address(address).split(",")
    return address if len(parts) == 1 else f"{_family(parts)}:{address}"


def channel_options(address: str) -> tuple[tuple[str, int | str], ...]:
    """Give the settings of a channel to `address`.

    Replicas in a list go by the first one's host: with TLS each one's certificate has to name it.
    """
    first, _, others = address.partition(",")
    if not others:
        return CHANNEL_OPTIONS
    return (*CHANNEL_OPTIONS, ("grpc.default_authority", first))


def _family(addresses: list[str]) -> str:
    """Tell gRPC's scheme for a list: it takes IP addresses, all of one kind."""
    try:
        hosts = [address.rpartition(":")[0].strip("[]") for address in addresses]
        (version,) = {ipaddress.ip_address(host).version for host in hosts}
    except ValueError:
        raise UsageError(
            f"server addresses {','.join(addresses)!r}: expected all IPv4 or all IPv6; to use "
            "names, give one that resolves to all servers"
        ) from None
    return f"ipv{version}"
