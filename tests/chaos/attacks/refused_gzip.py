"""The same, compressed: some kilobytes on the wire."""

import grpc

from .arena import Attack, Target, strike_from_command_line
from .refused_requests import strike as refused

ATTACK = Attack("refused requests, gzip", "31 MiB each from 6 clients, of 31 kB on the wire")


def strike(target: Target) -> None:
    """Send them and read the refusals."""
    refused(target, grpc.Compression.Gzip)


if __name__ == "__main__":
    strike_from_command_line(strike)
