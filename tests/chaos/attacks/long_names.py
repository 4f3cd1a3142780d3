"""Whole names of 31 MiB of services that are asked for their health."""

import grpc

from .arena import Attack, Target, in_threads, strike_from_command_line
from .refused_requests import OPTIONS

ATTACK = Attack("names of 31 MiB", "Health/Check of 6 clients, one by one")
CLIENTS = 6


def strike(target: Target) -> None:
    """Ask for the health of services with names of 31 MiB."""
    size = 31 << 20
    request = b"\x0a" + bytes([size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80])
    request += bytes([size >> 14 & 0x7F | 0x80, size >> 21]) + b"x" * size
    channels = [grpc.insecure_channel(target.grpc, options=OPTIONS) for _ in range(CLIENTS)]
    calls = [channel.unary_unary("/grpc.health.v1.Health/Check") for channel in channels]

    def ask(number: int) -> None:
        try:
            calls[number](request, timeout=60)
        except grpc.RpcError as error:
            assert error.code() is not grpc.StatusCode.UNKNOWN, error  # type: ignore[attr-defined]

    in_threads(CLIENTS, ask)


if __name__ == "__main__":
    strike_from_command_line(strike)
