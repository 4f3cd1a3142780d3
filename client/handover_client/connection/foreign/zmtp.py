"""ZMTP 3's client side (rfc.zeromq.org/spec/23), as much of it as a REQ socket needs.

libzmq takes in what comes before it tells anybody of it, and its REQ socket is of no use after a
reply that did not come; here a reply is bounded while it comes, and a late one goes with its
connection.
"""

from handover_common import printable
from handover_proto import UnmetPrecondition

from handover_client.connection.foreign.duplex import Deadline, Duplex
from handover_client.errors import InvalidReply

_GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
_SIGNATURE_END, _MAJOR, _MECHANISM = 9, 10, slice(12, 32)
_MORE, _LONG, _COMMAND = 1, 2, 4
_READY = b"\x05READY\x0bSocket-Type\x00\x00\x00\x03REQ\x08Identity\x00\x00\x00\x00"
_READY_NAME, _ERROR_NAME = b"\x05READY", b"\x05ERROR"
_PING, _PONG, _CONTEXT = b"\x04PING", b"\x04PONG", slice(7, 23)  # a ping's time to live is skipped
_MOST_COMMAND = 4096
_MOST_COMMANDS = 256  # before a reply


class RequestSocket:
    """A connection on which each message gets one reply."""

    def __init__(self, duplex: Duplex, deadline: Deadline) -> None:
        """Exchange greetings and READY; raises InvalidReply for what is no ZMTP 3."""
        self._duplex = duplex
        duplex.send([_GREETING], deadline)
        greeting = duplex.read(len(_GREETING), deadline)
        if greeting[0] != 0xFF or greeting[_SIGNATURE_END] != 0x7F or greeting[_MAJOR] < 3:
            raise InvalidReply("greeting", "ZeroMQ's, version 3", repr(greeting[:11]))
        mechanism = greeting[_MECHANISM].rstrip(b"\0")
        if mechanism != b"NULL":
            raise UnmetPrecondition(
                f"the server at {deadline.address} wants ZeroMQ's {printable(repr(mechanism))}: "
                "only NULL is spoken here, as by Isaac-GR00T"
            )
        duplex.send([_framed(_COMMAND, _READY)], deadline)
        _, command = self._frame(0, deadline)
        if command.startswith(_ERROR_NAME):
            reason = printable(command[7:].decode(errors="replace"))
            raise UnmetPrecondition(f"the server at {deadline.address} refused: {reason}")
        if not command.startswith(_READY_NAME):
            raise InvalidReply("READY", "ZeroMQ's command", repr(command[:20]))

    def exchange(self, data: bytes, most_bytes: int, deadline: Deadline) -> bytes:
        """Send a message and return its reply, of at most so many bytes."""
        self._duplex.send([_framed(_MORE, b""), _framed(0, data)], deadline)
        parts, left = [], most_bytes
        flags = _MORE
        while flags & _MORE:
            flags, part = self._part(left, deadline)
            parts.append(part)
            left -= len(part)
            if len(parts) > 2:
                raise InvalidReply("reply", "a delimiter and one frame", "more")
        if len(parts) != 2 or parts[0]:
            raise InvalidReply("reply", "a delimiter and one frame", f"{len(parts)} frame(s)")
        return parts[1]

    def close(self) -> None:
        """Hang up."""
        self._duplex.close()

    def _part(self, most_bytes: int, deadline: Deadline) -> tuple[int, bytes]:
        """Return the next frame of a message; pings before it get a pong."""
        for _ in range(_MOST_COMMANDS):
            flags, body = self._frame(most_bytes, deadline)
            if not flags & _COMMAND:
                return flags, body
            if body.startswith(_PING):
                self._duplex.send([_framed(_COMMAND, _PONG + body[_CONTEXT])], deadline)
        raise InvalidReply("reply", "a message", f"{_MOST_COMMANDS} commands")

    def _frame(self, most_bytes: int, deadline: Deadline) -> tuple[int, bytes]:
        flags = self._duplex.read(1, deadline)[0]
        size = int.from_bytes(self._duplex.read(8 if flags & _LONG else 1, deadline), "big")
        if size > (_MOST_COMMAND if flags & _COMMAND else most_bytes):
            raise InvalidReply("reply", "what fits the limit", f"{size} bytes")
        return flags, self._duplex.read(size, deadline)


def _framed(flags: int, body: bytes) -> bytes:
    if len(body) < 256:
        return bytes([flags, len(body)]) + body
    return bytes([flags | _LONG]) + len(body).to_bytes(8, "big") + body
