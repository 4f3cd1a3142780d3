"""Channels to policy servers: their addresses, gRPC's settings, and the calls of both clients."""

import ipaddress
import json
import re
from collections.abc import Sequence
from typing import Any, ClassVar

import grpc
from handover_common import UsageError
from handover_proto import MAX_MESSAGE_BYTES, ImageCodec, ServerInfo, ServerUnavailable
from handover_proto import policy_pb2 as pb

from handover_client.connection.readiness import HEALTH_METHOD
from handover_client.connection.security import UNPROTECTED, ChannelSecurity

ChannelOptions = Sequence[tuple[str, int | str]]

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
                # gone, starting or draining; overload is the caller's, who knows how long to wait
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
}

CHANNEL_OPTIONS: ChannelOptions = (
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    # a call above this is not asked again: gRPC's 256 KiB are less than one raw frame
    ("grpc.per_rpc_retry_buffer_size", MAX_MESSAGE_BYTES),
    # A cable that is pulled sends no reset: a ping without an answer ends the calls in 25 s at the
    # latest, whatever their deadlines. On an idle stream pings go on, of which gRPC would send two:
    # they also keep a NAT on the way from forgetting the connection.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
    # gRPC would wait up to 2 minutes before it tries again; a robot's server restarts in seconds.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # Robot and server are neighbours: a web proxy of the environment is not the way between them.
    ("grpc.enable_http_proxy", 0),
)


class ClientBase:
    """What PolicyClient and AsyncPolicyClient have in common: channel, calls, and what is served.

    The calls take serialized requests: the generated stub would serialize a message that was
    serialized to be measured.
    """

    _grpc: ClassVar[Any] = grpc  # or grpc.aio: makes the channel

    def __init__(
        self,
        address: str,
        image_codec: ImageCodec | str = ImageCodec.RAW_RGB8,
        call_timeout_s: float = 10.0,
        security: ChannelSecurity = UNPROTECTED,
        channel_options: ChannelOptions = (),
    ) -> None:
        """Connect to nothing yet; the arguments are `connect`'s."""
        self.address = address
        self.image_codec = ImageCodec.parse(image_codec)
        self.call_timeout_s = call_timeout_s
        self._security, self._metadata = security, security.metadata()
        self._info: ServerInfo | None = None
        self._channel = channel = open_channel(self._grpc, address, security, channel_options)
        self._check_health = channel.unary_unary(HEALTH_METHOD)  # bytes to bytes
        self._get_info = channel.unary_unary(
            f"/{_SERVICE}/GetInfo", response_deserializer=pb.GetInfoReply.FromString
        )
        self._infer = channel.unary_unary(INFER, response_deserializer=pb.InferReply.FromString)
        self._infer_stream = channel.stream_stream(
            f"/{_SERVICE}/InferStream", response_deserializer=pb.InferReply.FromString
        )

    @property
    def info(self) -> ServerInfo:
        """What the server serves, as of the last handshake."""
        if self._info is None:
            name = type(self).__name__
            raise ServerUnavailable(f"not connected to {self.address}: use {name}.connect")
        return self._info


def open_channel(
    kind: Any, address: str, security: ChannelSecurity, options: ChannelOptions = ()
) -> Any:
    """Open a channel to the server, or the replicas, of an address.

    kind: grpc or grpc.aio; options: gRPC's, over ours

    Raises UsageError for another form of address, or a token that would go unencrypted.
    """
    target = channel_target(address)
    security.check(address)
    merged = tuple(dict((*channel_options(address), *options)).items())
    credentials = security.credentials()
    if credentials is None:
        return kind.insecure_channel(target, options=merged)
    return kind.secure_channel(target, credentials, options=merged)


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
    """Return gRPC's name for `address`: as it is, or the list of replicas."""
    parts = check_address(address).split(",")
    return address if len(parts) == 1 else f"{_family(parts)}:{address}"


def channel_options(address: str) -> ChannelOptions:
    """Return the settings of a channel to `address`.

    Replicas in a list go by the first one's host: with TLS each one's certificate has to name it.
    """
    first, _, others = address.partition(",")
    if not others:
        return CHANNEL_OPTIONS
    return (*CHANNEL_OPTIONS, ("grpc.default_authority", first))


def _family(addresses: list[str]) -> str:
    """Return gRPC's scheme for a list: it takes IP addresses, all of one kind."""
    try:
        hosts = [address.rpartition(":")[0].strip("[]") for address in addresses]
        (version,) = {ipaddress.ip_address(host).version for host in hosts}
    except ValueError:
        raise UsageError(
            f"server addresses {','.join(addresses)!r}: expected all IPv4 or all IPv6; to use "
            "names, give one that resolves to all servers"
        ) from None
    return f"ipv{version}"
