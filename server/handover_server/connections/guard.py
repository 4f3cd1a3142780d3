"""Connection guard: closes connections that are too many, or hold bytes that become no message.

gRPC's Python has no resource quota: its core takes whatever a client sends of a message, up to the
limit, on every call of every connection, and tells Python only of whole ones. But the kernel counts
what came on a socket (TCP_INFO), and the server knows which messages it was given. The difference
is memory that strangers hold. Other systems than Linux tell nothing, and nothing is guarded there.
"""

import dataclasses
import logging
import os
import socket
import stat
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from handover_proto import MAX_MESSAGE_BYTES

from handover_server.connections.peers import Place, network_of, place_of, socket_place
from handover_server.connections.sockets import borrowed, received_on

logger = logging.getLogger(__name__)

MIB = 1024 * 1024
_LOOK_S, _ALERT_S = 0.1, 0.01  # between two looks; while much is unfinished
_OF_A_MESSAGE = 1024  # headers and acknowledgements on the wire, beside a message's own bytes
_FORGIVEN_PER_S = 1024  # pings, and whatever else is no message
_SLACK = MIB  # that may stay unfinished for as long as it likes
_AROUND = 8 * MIB  # what a client may have sent of a message before that was refused
_LARGE, _QUIET_S = 4 * MIB, 3.0  # together at a look: heaps grow by it; and a pause after it
_LOG_S = 10.0  # between two lines in the log


@dataclass(frozen=True)
class ConnectionLimits:
    """What connections may be open, and what they may hold that is no whole message yet.

    connections, of_address: in all, and from one address (peers.network_of)
    unfinished, of_connection: bytes, in all and on one connection
    patience_s: within which a connection's bytes must become messages
    """

    connections: int = 512
    of_address: int = 256
    unfinished: int = 96 * MIB
    of_connection: int = 64 * MIB
    patience_s: float = 10.0


@dataclass
class _Connection:
    fd: int
    place: Place
    received: int = 0
    unfinished: float = 0.0
    silent_ms: int = 0
    late_since_s: float | None = None
    address: str = field(init=False)

    def __post_init__(self) -> None:
        self.address = network_of(self.place[0])


class ConnectionGuard:
    """Watches this process's connections to some of its ports, in a thread of its own."""

    def __init__(self, limits: ConnectionLimits, give_back: Callable[[], None]) -> None:
        """give_back: called to return freed memory to the system, after large messages."""
        self._limits, self._give_back = limits, give_back
        self._large_s: float | None = None  # when something large was last seen, not given back
        self._gave_back_s = 0.0
        self._ports: set[int] = set()
        self._known: dict[tuple[int, int], _Connection | None] = {}  # by file and inode
        self._delivered: deque[tuple[str, int]] = deque()
        self._closed: Counter[tuple[str, str]] = Counter()
        self._told_s = -_LOG_S
        self._looked_s = time.monotonic()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def expect(self, message_bytes: int) -> None:
        """Let a connection hold two messages of so many bytes, the most that a request can need.

        Or a single one of the most that gRPC takes, so that its client is told what is wrong.
        """
        most = max(2 * message_bytes, MAX_MESSAGE_BYTES + _AROUND)
        self._limits = dataclasses.replace(self._limits, of_connection=most)

    def watch(self, *ports: int) -> None:
        """Watch the connections to these ports too."""
        self._ports.update(port for port in ports if port)
        if self._thread is None and sys.platform == "linux":
            self._thread = threading.Thread(target=self._run, name="connections", daemon=True)
            self._thread.start()

    def delivered(self, peer: str, size: int = 0) -> None:
        """Note that a message of `size` bytes came whole from a peer (peers.peer_name)."""
        if self._thread is not None:
            self._delivered.append((peer, size))

    def close(self) -> None:
        """Watch no longer."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        wait_s = _LOOK_S
        while not self._stop.wait(wait_s):
            try:
                unfinished = self.look()
            except Exception:  # the guard outlives what it did not expect
                logger.exception("the connections could not be looked at")
                unfinished = 0.0
            wait_s = _ALERT_S if unfinished > self._limits.unfinished / 8 else _LOOK_S

    def look(self) -> float:
        """Look at every connection and close what is too much; returns the bytes unfinished."""
        delivered = [self._delivered.popleft() for _ in range(len(self._delivered))]
        shut = self._closed.total()
        open_now = self._find()
        self._count(open_now, delivered)
        limits, late_s = self._limits, time.monotonic() - self._limits.patience_s
        for each in open_now:
            if each.unfinished > limits.of_connection:
                self._shut(each, "it holds too much that is no whole message")
            elif each.late_since_s is not None and each.late_since_s < late_s:
                self._shut(each, f"no whole message within {limits.patience_s:g} s")
        self._close_largest(open_now)
        self._close_surplus(open_now)
        unfinished = sum(each.unfinished for each in open_now)
        if unfinished > _LARGE or sum(size for _, size in delivered) > _LARGE:
            self._large_s = time.monotonic()
        self._clean_up(self._closed.total() > shut)
        self._tell()
        return unfinished

    def _clean_up(self, shut: bool) -> None:
        """Return freed memory once no large message came for a while, or connections were shut."""
        if self._large_s is None:
            return
        now_s = time.monotonic()
        if now_s - self._large_s > _QUIET_S or (shut and now_s - self._gave_back_s > _QUIET_S / 3):
            self._give_back()
            self._gave_back_s = time.monotonic()
            self._large_s = self._gave_back_s if shut else None

    def _find(self) -> list[_Connection]:
        """Return the open connections to our ports."""
        known: dict[tuple[int, int], _Connection | None] = {}
        for name in os.listdir("/proc/self/fd"):
            fd = int(name)
            try:
                status = os.fstat(fd)
            except OSError:  # closed in the meantime
                continue
            if stat.S_ISSOCK(status.st_mode):
                key = (fd, status.st_ino)
                known[key] = self._known[key] if key in self._known else self._identify(fd)
        self._known = known
        return [each for each in known.values() if each is not None]

    def _identify(self, fd: int) -> _Connection | None:
        try:
            with borrowed(fd) as peer:
                if peer.family not in (socket.AF_INET, socket.AF_INET6):
                    return None
                ours = peer.getsockname()[1] in self._ports
                return _Connection(fd, socket_place(peer.getpeername())) if ours else None
        except OSError:  # it listens, is not connected any more, or was closed in the meantime
            return None

    def _count(self, open_now: list[_Connection], delivered: Iterable[tuple[str, int]]) -> None:
        now_s = time.monotonic()
        forgiven = _FORGIVEN_PER_S * (now_s - self._looked_s)
        self._looked_s = now_s
        credit: Counter[Place | None] = Counter()
        for peer, size in delivered:
            credit[place_of(peer)] += size + size // 50 + _OF_A_MESSAGE  # TLS takes a little more
        for each in open_now:
            counted = received_on(each.fd)
            if counted is None:
                continue
            each.silent_ms, received = counted
            came, each.received = received - each.received, received
            each.unfinished = max(0.0, each.unfinished + came - credit[each.place] - forgiven)
            if each.unfinished <= _SLACK:
                each.late_since_s = None
            elif each.late_since_s is None:
                each.late_since_s = now_s

    def _close_largest(self, open_now: list[_Connection]) -> None:
        left = sorted(open_now, key=lambda each: -each.unfinished)
        total = sum(each.unfinished for each in left)
        for each in left:
            if total <= self._limits.unfinished:
                return
            total -= each.unfinished
            self._shut(each, "all connections hold too much that is no whole message")

    def _close_surplus(self, open_now: list[_Connection]) -> None:
        """Close of an address with too many connections those that were silent for longest."""
        of_address = Counter(each.address for each in open_now)
        total = len(open_now)
        if total <= self._limits.of_address:
            return
        for each in sorted(open_now, key=lambda each: -each.silent_ms):
            most = of_address.most_common(1)[0]
            crowded = of_address[each.address] > self._limits.of_address
            if crowded or (total > self._limits.connections and most[0] == each.address):
                of_address[each.address] -= 1
                total -= 1
                self._shut(each, "too many connections")

    def _shut(self, connection: _Connection, reason: str) -> None:
        """Shut a connection down; whoever owns it then closes its file."""
        connection.unfinished, connection.late_since_s = 0.0, None
        try:
            with socket.socket(fileno=os.dup(connection.fd)) as peer:
                if socket_place(peer.getpeername()) == connection.place:  # else it was reused
                    peer.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # gone already
        self._closed[connection.address, reason] += 1

    def _tell(self) -> None:
        if self._closed and time.monotonic() - self._told_s >= _LOG_S:
            self._told_s = time.monotonic()
            for (address, reason), count in self._closed.most_common(4):
                logger.warning("closed %d connection(s) of %s: %s", count, address, reason)
            self._closed.clear()
