"""WebSocket's client side (RFC 6455), as much of it as a request and its reply need."""

import base64
import hashlib
import os

import numpy as np
from handover_common import printable
from handover_proto import NotAuthorised, Overloaded, PolicyError, ServerUnavailable

from handover_client.connection.foreign.duplex import Deadline, Duplex
from handover_client.errors import InvalidReply

_ACCEPT = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
_MOST_HEAD = 16 * 1024  # bytes of the answer to the handshake
_MOST_FRAMES = 4096  # of one message, and of pings beside it
_MOST_TEXT = 400
_FINAL, _MASKED = 0x80, 0x80
_MORE, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0, 1, 2, 8, 9, 10
_POLICY_VIOLATION, _TRY_AGAIN_LATER = 1008, 1013  # iana.org/assignments/websocket


class WebSocket:
    """A connection on which messages go out and come in whole, within bounds."""

    def __init__(self, duplex: Duplex, place: str, token: str | None, deadline: Deadline) -> None:
        """Shake hands; place: HOST:PORT.

        Raises NotAuthorised, ServerUnavailable, InvalidReply for what is no WebSocket server.
        """
        self._duplex = duplex
        key = base64.b64encode(os.urandom(16))
        head = [
            "GET / HTTP/1.1",
            f"Host: {place}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key.decode()}",
            "Sec-WebSocket-Version: 13",
            *([f"Authorization: Api-Key {token}"] if token else []),
        ]
        duplex.send(["\r\n".join([*head, "", ""]).encode()], deadline)
        status, fields = self._read_head(deadline)
        if status != 101:
            raise self._refusal(status, fields, deadline)
        accepted = base64.b64encode(hashlib.sha1(key + _ACCEPT, usedforsecurity=False).digest())
        if fields.get("sec-websocket-accept") != accepted.decode():
            raise InvalidReply("handshake", "a WebSocket server's", f"status {status}")

    def send(self, data: bytes, deadline: Deadline) -> None:
        """Send a binary message."""
        self._send(_BINARY, data, deadline)

    def receive(self, most_bytes: int, deadline: Deadline) -> bytes | str:
        """Return the next message, binary or text; pings before it are answered.

        Raises InvalidReply for one above `most_bytes`, or frames of no meaning; and what the server
        closed the connection with.
        """
        kind, parts, size = _MORE, [], 0
        for _ in range(_MOST_FRAMES):
            opcode, is_final, data = self._frame(most_bytes - size, deadline)
            if opcode == _PING:
                self._send(_PONG, data, deadline)
            elif opcode == _CLOSE:
                raise _closed(data, deadline.address)
            elif opcode != _PONG:
                if (opcode == _MORE) != (kind != _MORE):
                    raise InvalidReply("frame", "a message, one after the other", f"{opcode}")
                kind, size = kind or opcode, size + len(data)
                parts.append(data)
                if is_final:
                    message = b"".join(parts)
                    return message if kind == _BINARY else message.decode(errors="replace")
        raise InvalidReply("message", f"at most {_MOST_FRAMES} frames", "more")

    def ping(self, deadline: Deadline) -> None:
        """Send a ping and wait for its answer."""
        self._send(_PING, b"handover", deadline)
        for _ in range(_MOST_FRAMES):
            opcode, _, data = self._frame(0, deadline)
            if opcode == _PONG and data == b"handover":
                return
            if opcode == _PING:
                self._send(_PONG, data, deadline)
            if opcode == _CLOSE:
                raise _closed(data, deadline.address)
        raise InvalidReply("ping", "its answer", f"{_MOST_FRAMES} other frames")

    def close(self) -> None:
        """Hang up."""
        self._duplex.close()

    def _send(self, opcode: int, data: bytes, deadline: Deadline) -> None:
        size, mask = len(data), os.urandom(4)
        if size < 126:
            head = bytes([_FINAL | opcode, _MASKED | size])
        elif size < 1 << 16:
            head = bytes([_FINAL | opcode, _MASKED | 126]) + size.to_bytes(2, "big")
        else:
            head = bytes([_FINAL | opcode, _MASKED | 127]) + size.to_bytes(8, "big")
        self._duplex.send([head + mask, _masked(data, mask)], deadline)

    def _frame(self, most_bytes: int, deadline: Deadline) -> tuple[int, bool, bytes]:
        first, second = self._duplex.read(2, deadline)
        opcode, size = first & 0x0F, second & 0x7F
        known = (_MORE, _TEXT, _BINARY, _CLOSE, _PING, _PONG)
        if second & _MASKED or first & 0x70 or opcode not in known:
            raise InvalidReply("frame", "one of RFC 6455's", f"0x{first:02x}{second:02x}")
        if size > 125 and opcode >= _CLOSE:
            raise InvalidReply("frame", "a control frame of at most 125 bytes", "more")
        if size > 125:
            size = int.from_bytes(self._duplex.read(2 if size == 126 else 8, deadline), "big")
        if size > most_bytes and opcode < _CLOSE:
            raise InvalidReply("message", "what fits the limit", f"{size} bytes more")
        return opcode, bool(first & _FINAL), self._duplex.read(size, deadline)

    def _read_head(self, deadline: Deadline) -> tuple[int, dict[str, str]]:
        """Read the answer's status and fields, byte by byte: what follows is a frame's."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self._duplex.read(1, deadline)
            if len(head) > _MOST_HEAD or not b"HTTP/1.1 ".startswith(head[:9]):
                raise InvalidReply("handshake", "an HTTP/1.1 answer", repr(head[:20]))
        lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines[1:])
        fields = {name.strip().lower(): value.strip() for name, _, value in pairs}
        status = lines[0].split(" ")[1]
        if not (status.isascii() and status.isdigit()):
            raise InvalidReply("handshake", "an HTTP status", repr(status[:20]))
        return int(status), fields

    def _refusal(self, status: int, fields: dict[str, str], deadline: Deadline) -> PolicyError:
        length = fields.get("content-length", "")
        size = int(length) if length.isascii() and length.isdigit() else 0
        body = self._duplex.read(min(size, _MOST_TEXT), deadline).decode(errors="replace")
        text = printable(body.strip().partition("\n")[0]) or f"HTTP status {status}"
        told = f"the server at {deadline.address} refused: {text}"
        if status in (401, 403):
            return NotAuthorised(told)
        if status in (429, 503):
            return ServerUnavailable(told)
        return InvalidReply("handshake", "a WebSocket server's", text)


def _masked(data: bytes, mask: bytes) -> bytes:
    padded = np.frombuffer(data + bytes(-len(data) % 4), np.uint32)
    return (padded ^ np.frombuffer(mask, np.uint32)).tobytes()[: len(data)]


def _closed(data: bytes, address: str) -> PolicyError:
    code = int.from_bytes(data[:2], "big")
    reason = printable(data[2:].decode(errors="replace")) or f"code {code}"
    told = f"the server at {address} closed the connection: {reason}"
    if code == _POLICY_VIOLATION:
        return NotAuthorised(told)
    return Overloaded(told) if code == _TRY_AGAIN_LATER else ServerUnavailable(told)
