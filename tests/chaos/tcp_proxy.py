"""A TCP proxy on the loopback interface that passes bytes on as badly as a test tells it to."""

import contextlib
import random
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: closing sends RST and throws away the rest
_PIECE = 16 * 1024


@dataclass
class Direction:
    """One way through the proxy, over all of its connections."""

    bytes_per_s: float = float("inf")
    hold_s: Callable[[], float] = lambda: 0.0
    """How long a piece waits before it is passed on."""
    cut_after: int | None = None
    """Bytes after which the connection that carries them is reset, once."""
    passed: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def allow(self, data: bytes) -> tuple[bytes, bool]:
        """What of `data` may pass, and whether the connection is to be cut then."""
        with self.lock:
            if self.cut_after is not None and len(data) >= self.cut_after:
                data, self.cut_after = data[: self.cut_after], None
                return data, True
            if self.cut_after is not None:
                self.cut_after -= len(data)
            self.passed += len(data)
        return data, False


class TcpProxy:
    """Listens on a free port and passes on to `server`; a context manager.

    forget_s: a connection without a byte for so long is forgotten, as by a NAT: what comes later
        is swallowed, and neither end is told
    """

    def __init__(self, server: str, forget_s: float = float("inf")) -> None:
        host, _, port = server.rpartition(":")
        self._server = (host, int(port))
        self.up, self.down = Direction(), Direction()
        self._forget_s = forget_s
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> "TcpProxy":
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        for connection in self._sockets:
            connection.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                # small buffers, or the kernel would hide how slow the way is
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _PIECE)
                self._sockets += [client, server]
                seen_s = [time.monotonic()]
                ways = ((client, server, self.up, seen_s), (server, client, self.down, seen_s))
                for way in ways:
                    threading.Thread(target=self._pump, args=way, daemon=True).start()

    def _pump(
        self,
        source: socket.socket,
        sink: socket.socket,
        direction: Direction,
        seen_s: list[float],
    ) -> None:
        """Pass bytes on; seen_s: when a byte was last seen, in either direction."""
        with contextlib.suppress(OSError):
            while data := source.recv(_PIECE):
                if time.monotonic() - seen_s[0] > self._forget_s:
                    continue
                seen_s[0] = time.monotonic()
                time.sleep(len(data) / direction.bytes_per_s + direction.hold_s())
                data, cut = direction.allow(data)
                sink.sendall(data)
                if cut:
                    break
            else:
                sink.shutdown(socket.SHUT_WR)
                return
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                end.shutdown(socket.SHUT_RD)
                end.close()


def like_a_poor_network(seed: int) -> Callable[[], float]:
    """Hold each piece 50 to 150 ms, and 1 in 20 for 300 ms more, as if it had to be sent again."""
    chance = random.Random(seed)
    return lambda: chance.uniform(0.05, 0.15) + (0.3 if chance.random() < 0.05 else 0.0)
