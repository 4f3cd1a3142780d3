"""Metrics connections whose headers never end, as many as the port takes at a time."""

import contextlib
import time

from .arena import Attack, Target, connect, in_threads, strike_from_command_line

ATTACK = Attack(
    "slow headers", "64 metrics connections, a header each second", ("--metrics-port", "0")
)
CONNECTIONS = 64


def strike(target: Target) -> None:
    """Keep that many connections busy with headers."""

    def trickle(_: int) -> None:
        with connect(target.metrics) as connection, contextlib.suppress(ConnectionError):
            connection.sendall(b"GET /metrics HTTP/1.1\r\n")
            while True:
                connection.sendall(b"X-A: b\r\n")
                time.sleep(1)

    in_threads(CONNECTIONS, trickle)


if __name__ == "__main__":
    strike_from_command_line(strike)
