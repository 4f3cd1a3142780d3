"""Websockets that are full of pings and read none of the pongs."""

import contextlib
import socket

from .arena import Attack, Target, in_threads, split_address, strike_from_command_line

ATTACK = Attack(
    "unread pongs",
    "4 websockets that send pings and read nothing",
    ("--openpi-port", "0", "--openpi-rate-hz", "50"),
)
CONNECTIONS = 4
_PING = bytes([0x89, 0x80 | 125]) + bytes(4 + 125)
_OPENING = (
    "GET / HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
)


def strike(target: Target) -> None:
    """Send pings for ever."""

    def stuff(_: int) -> None:
        with socket.socket() as connection, contextlib.suppress(ConnectionError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(split_address(target.openpi))
            connection.sendall(_OPENING.format(address=target.openpi).encode())
            while True:
                connection.sendall(500 * _PING)

    in_threads(CONNECTIONS, stuff)


if __name__ == "__main__":
    strike_from_command_line(strike)
