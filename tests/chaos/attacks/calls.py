"""gRPC calls that attackers make one after another, whatever comes back."""

import contextlib

import grpc

from .arena import in_threads

OF_ITS_OWN = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1))


def call_for_ever(
    address: str,
    path: str,
    data: bytes,
    clients: int,
    compression: grpc.Compression | None = None,
) -> None:
    """Send `data` from some clients, each with a connection of its own, again and again."""
    channels = [grpc.insecure_channel(address, options=OF_ITS_OWN) for _ in range(clients)]
    calls = [channel.unary_unary(path) for channel in channels]

    def ask(number: int) -> None:
        with contextlib.suppress(grpc.RpcError):
            calls[number](data, timeout=60, compression=compression)

    in_threads(clients, ask)
