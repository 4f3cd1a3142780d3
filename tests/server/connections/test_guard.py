"""The guard closes connections that hold too much, are late, or are too many; and no others."""

import socket
import subprocess
import sys
import time

import pytest
from handover_server.connections import guard as guard_module
from handover_server.connections.guard import ConnectionGuard, ConnectionLimits
from handover_server.connections.peers import peer_name

from ..conftest import TIMEOUT_S, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the counts are Linux's")
KIB = 1024
LIMITS = ConnectionLimits(
    connections=6, of_address=4, unfinished=3000 * KIB, of_connection=2000 * KIB, patience_s=0.0
)


class Ends:
    """Connections to a listening socket: the strangers' ends, and those of this server."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=32)
        self.port = self.listener.getsockname()[1]
        self.theirs: list[socket.socket] = []
        self.ours: list[socket.socket] = []

    def connect(self, source: str = "127.0.0.1") -> socket.socket:
        self.theirs.append(
            socket.create_connection(("127.0.0.1", self.port), TIMEOUT_S, (source, 0))
        )
        self.ours.append(self.listener.accept()[0])
        return self.theirs[-1]

    def carry(self, index: int, size: int) -> None:
        """Let `size` bytes come on a connection, and read them as gRPC's core would."""
        sent = 0
        while sent < size:
            chunk = min(50 * KIB, size - sent)
            self.theirs[index].sendall(bytes(chunk))
            sent += len(self.ours[index].recv(chunk, socket.MSG_WAITALL))

    def name(self, index: int) -> str:
        return peer_name("ipv4", self.theirs[index].getsockname())

    def closed(self) -> list[int]:
        return [index for index, each in enumerate(self.theirs) if is_closed(each)]


def is_closed(peer: socket.socket) -> bool:
    peer.setblocking(False)
    try:
        return peer.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        peer.settimeout(TIMEOUT_S)


@pytest.fixture
def ends():
    made = Ends()
    yield made
    for each in (made.listener, *made.theirs, *made.ours):
        each.close()


@pytest.fixture
def guard_of(monkeypatch, ends):
    """guard_of(**limits) is a guard of the port whose thread looks only when it is told to."""
    monkeypatch.setattr(guard_module, "_LOOK_S", 1e6)
    made = []

    def make(**limits: float) -> ConnectionGuard:
        values = {**vars(LIMITS), "patience_s": 1e6, **limits}
        made.append(ConnectionGuard(ConnectionLimits(**values), lambda: None))
        made[-1].watch(ends.port)
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_bytes_that_become_messages_may_be_as_many_as_they_like(guard_of, ends):
    guard = guard_of()
    ends.connect()
    for _ in range(20):
        ends.carry(0, 500 * KIB)
        guard.delivered(ends.name(0), 500 * KIB)
        assert guard.look() < 50 * KIB
    assert ends.closed() == []


def test_a_connection_that_holds_too_much_is_closed_alone(guard_of, ends):
    guard = guard_of()
    for _ in range(3):
        ends.connect()
    ends.carry(0, 1900 * KIB)
    ends.carry(1, 2100 * KIB)
    guard.look()
    assert ends.closed() == [1]


def test_where_all_hold_too_much_together_the_largest_goes(guard_of, ends):
    guard = guard_of()
    for index, size in enumerate((500, 1800, 1200)):
        ends.connect()
        ends.carry(index, size * KIB)
    guard.look()
    assert ends.closed() == [1]


def test_small_messages_do_not_hide_what_is_held(guard_of, ends):
    guard = guard_of()
    ends.connect()
    for _ in range(30):
        ends.carry(0, 60 * KIB)
        guard.delivered(ends.name(0), 100)
        guard.look()
    assert ends.closed() == []  # 30 x 60 KiB are under the limit, 36 would be over it
    ends.carry(0, 300 * KIB)
    guard.look()
    assert ends.closed() == [0]


def test_a_message_that_is_not_whole_in_time_costs_its_connection(guard_of, ends):
    guard = guard_of(patience_s=0.05)
    ends.connect()
    ends.connect()
    ends.carry(0, 1100 * KIB)
    ends.carry(1, 900 * KIB)  # a robot may pause within a frame
    guard.look()
    assert ends.closed() == []
    time.sleep(0.06)
    guard.look()
    assert ends.closed() == [0]


def test_of_too_many_connections_of_an_address_the_most_silent_go(guard_of, ends):
    guard = guard_of()
    for _ in range(6):
        ends.connect("127.0.0.2")
    ends.connect()
    time.sleep(0.02)
    for index in (0, 2, 4, 5):
        ends.carry(index, 100)
    guard.look()
    assert ends.closed() == [1, 3]


def test_of_too_many_connections_in_all_those_of_the_largest_address_go(guard_of, ends):
    guard = guard_of()
    for number in range(7):
        ends.connect("127.0.0.2" if number < 4 else f"127.0.0.{number}")
    time.sleep(0.02)
    for index in (0, 1, 3, 4, 5, 6):
        ends.carry(index, 100)
    guard.look()
    assert ends.closed() == [2]


def test_files_that_are_no_connection_to_the_port_are_left_alone(guard_of, ends):
    guard = guard_of(of_connection=0, unfinished=0)
    other = Ends()
    other.connect()
    other.carry(0, 100 * KIB)
    pair = socket.socketpair()
    pair[0].sendall(b"x" * 1000)
    guard.look()
    assert other.closed() == []
    assert pair[1].recv(1000)
    for each in (*pair, other.listener, *other.theirs, *other.ours):
        each.close()


def test_the_log_names_the_address_and_the_reason(guard_of, ends, caplog):
    guard = guard_of()
    ends.connect()
    ends.carry(0, 2100 * KIB)
    guard.look()
    assert "closed 1 connection(s) of 127.0.0.1: it holds too much" in caplog.text


@pytest.mark.parametrize("messages", [1, 10])
def test_memory_is_given_back_after_large_messages_or_many(monkeypatch, ends, messages):
    given = []
    monkeypatch.setattr(guard_module, "_QUIET_S", 0.01)
    monkeypatch.setattr(guard_module, "_LOOK_S", 0.5)  # in which all of them come
    guard = ConnectionGuard(LIMITS, lambda: given.append(1))
    guard.watch(ends.port)
    try:
        for _ in range(messages):
            guard.delivered("ipv4:127.0.0.1:1", (5 << 20) // messages)
        wait_until(lambda: given == [1])
    finally:
        guard.close()


@pytest.mark.parametrize(("soft", "hard", "room"), [(64, 4096, 100), (64, 300, 44), (64, 100, 1)])
def test_there_is_room_for_as_many_connections_as_files_may_be_opened(soft, hard, room):
    script = (
        "import resource; from handover_server.connections.sockets import allow_connections; "
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard})); "
        "print(allow_connections(100))"
    )
    told = subprocess.check_output([sys.executable, "-c", script], text=True, timeout=TIMEOUT_S)
    assert int(told) == room
