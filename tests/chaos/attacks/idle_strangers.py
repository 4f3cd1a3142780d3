"""Connections that say nothing, more than the server may have files open."""

import contextlib
import time

from .arena import Attack, Target, connect, strike_from_command_line
from .h2 import STRANGER, closed_by_peer

ATTACK = Attack(
    "idle strangers", "600 connections that say nothing; at most 512 open files", limit=512
)
CONNECTIONS = 600


def strike(target: Target) -> None:
    """Keep as many connections open as the server lets."""
    held: list = []
    while True:
        held = [each for each in held if not closed_by_peer(each)]
        while len(held) < CONNECTIONS:
            with contextlib.suppress(OSError):
                held.append(connect(target.grpc, STRANGER))
        time.sleep(0.05)


if __name__ == "__main__":
    strike_from_command_line(strike)
