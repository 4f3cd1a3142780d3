"""HTTP/2 by hand (RFC 9113): connections that send what no gRPC library would."""

import socket
import struct
import threading

from .arena import connect

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE = 0, 1, 2, 3, 4, 6, 8
END_STREAM, END_HEADERS = 1, 4
INFER = "/handover.policy.v1.PolicyService/Infer"
INFER_STREAM = "/handover.policy.v1.PolicyService/InferStream"
WATCH = "/grpc.health.v1.Health/Watch"
STRANGER = "127.0.0.66"  # an address that the innocent client does not have


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return a frame: RFC 9113, section 4.1."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def header_block(path: str, **headers: str) -> bytes:
    """Literal header fields without Huffman coding: RFC 7541, section 6.2.2."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "x",
        "content-type": "application/grpc",
        "te": "trailers",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    block = b""
    for name, value in fields.items():
        block += bytes([0, len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
    return block


def prefixed(data: bytes, claims: int | None = None) -> bytes:
    """A gRPC message of `data`, which may claim to be longer."""
    return b"\0" + struct.pack(">I", len(data) if claims is None else claims) + data


class Connection:
    """A connection that ignores what it is told, except how much more it may send."""

    def __init__(self, address: str, source: str = "127.0.0.1") -> None:
        self.socket = connect(address, source)
        self._room = threading.Condition()
        self._windows: dict[int, int] = {}
        self._of_connection = 65535
        self._initial = 65535
        self._next = 1
        self.asked = self.answers = 0
        self.closed = False
        self.socket.sendall(
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
            + frame(SETTINGS, 0, 0)
            + frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 2**30))
        )
        self.socket.settimeout(None)
        threading.Thread(target=self._read, daemon=True).start()

    def call(self, path: str, body: bytes = b"", end: bool = False, **headers: str) -> int:
        """Open a call and send `body`, as far as it fits into the first window."""
        stream, self._next = self._next, self._next + 2
        with self._room:
            self._windows[stream] = self._initial
        opening = frame(HEADERS, END_HEADERS, stream, header_block(path, **headers))
        self.socket.sendall(opening)
        if body:
            self.send(stream, body, end)
        return stream

    def has_room(self, stream: int) -> bool:
        """Whether anything could be sent now; true also of a call that is over."""
        with self._room:
            return self._may(stream) > 0

    def send(self, stream: int, body: bytes, end: bool = False, wait_s: float = 60.0) -> None:
        """Send data when the windows have room for it; KeyError where the call is over."""
        view = memoryview(body)
        while view:
            with self._room:
                if not self._room.wait_for(lambda: self.closed or self._may(stream) > 0, wait_s):
                    raise TimeoutError("the server takes no more")
                if self.closed:
                    raise ConnectionError("the server hung up")
                size = min(16384, self._may(stream), len(view))
                self._windows[stream] -= size
                self._of_connection -= size
            last = END_STREAM if end and size == len(view) else 0
            self.socket.sendall(frame(DATA, last, stream, bytes(view[:size])))
            view = view[size:]

    def _may(self, stream: int) -> int:
        return min(self._windows.get(stream, 1), self._of_connection)

    def _read(self) -> None:
        try:
            stream = self.socket.makefile("rb")
            while head := stream.read(9):
                size = int.from_bytes(head[:3], "big")
                kind, flags = head[3], head[4]
                number = int.from_bytes(head[5:], "big") & 0x7FFFFFFF
                self._take(kind, flags, number, stream.read(size))
        except (OSError, ValueError, IndexError):
            pass
        with self._room:
            self.closed = True
            self._room.notify_all()

    def _take(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        with self._room:
            if kind == WINDOW_UPDATE and number:
                if number in self._windows:
                    self._windows[number] += int.from_bytes(payload, "big")
            elif kind == WINDOW_UPDATE:
                self._of_connection += int.from_bytes(payload, "big")
            elif kind == SETTINGS and not flags & 1:
                for at in range(0, len(payload), 6):
                    if payload[at : at + 2] == b"\0\x04":
                        value = int.from_bytes(payload[at + 2 : at + 6], "big")
                        for stream in self._windows:
                            self._windows[stream] += value - self._initial
                        self._initial = value
                self.socket.sendall(frame(SETTINGS, 1, 0))
            elif kind == PING and not flags & 1:
                self.socket.sendall(frame(PING, 1, 0, payload))
            elif kind == RST_STREAM or (kind == HEADERS and flags & END_STREAM):
                self._windows.pop(number, None)
                self.answers += 1
            self._room.notify_all()


def closed_by_peer(connection: socket.socket) -> bool:
    """Whether the other side has hung up."""
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
