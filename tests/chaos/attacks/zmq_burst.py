"""Ninety-six ZMQ messages of 31 MiB at once."""

import zmq

from .arena import Attack, Target, in_threads, strike_from_command_line

ATTACK = Attack(
    "ZMQ burst", "96 messages of 31 MiB at once, again and again", ("--groot-zmq-port", "0")
)


def strike(target: Target) -> None:
    """Send from 96 sockets, then wait for the refusals."""
    context = zmq.Context()
    context.setsockopt(zmq.MAX_SOCKETS, 1000)
    body = bytes(31 << 20)

    def burst(number: int) -> None:
        with context.socket(zmq.REQ) as socket:
            socket.setsockopt(zmq.RCVTIMEO, 20_000)
            socket.setsockopt(zmq.SNDTIMEO, 20_000)
            socket.setsockopt(zmq.LINGER, 0)
            socket.connect(f"tcp://{target.zmq}")
            socket.send(body, copy=False)
            socket.recv()

    in_threads(96, burst)


if __name__ == "__main__":
    strike_from_command_line(strike)
