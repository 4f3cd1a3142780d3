"""ZMTP by hand: what libzmq sends is answered, and what nobody should send costs a hang-up."""

import socket
import struct

import msgpack
import pytest
from handover_server.gateways.listeners import GatewaySettings
from handover_server.gateways.zmtp import MAX_PARTS
from handover_server.policies.hold import HoldPolicy

TIMEOUT_S = 60.0
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"NULL".ljust(20, b"\0") + bytes(32)
READY = b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03REQ"
PING = msgpack.packb({"endpoint": "ping"})
PONG = {"status": "ok", "message": "Server is running"}


def short(body: bytes, flags: int = 0) -> bytes:
    return bytes([flags, len(body)]) + body


@pytest.fixture
def dial(serve):
    """dial() connects to the ZMQ port of a server; what is received is read with `take`."""
    port = serve(HoldPolicy(), gateways=GatewaySettings(groot_zmq_port=0)).server.gateways
    made: list[socket.socket] = []

    def connect(greeting: bytes = GREETING, ready: bytes = READY) -> socket.socket:
        peer = socket.create_connection(("127.0.0.1", port.groot_zmq_port), TIMEOUT_S)
        made.append(peer)
        peer.sendall(greeting + ready)
        return peer

    yield connect
    for each in made:
        each.close()


def take(peer: socket.socket) -> tuple[int, bytes]:
    """Read one frame: its flags and its body."""
    flags = peer.recv(1)[0]
    (size,) = struct.unpack(">Q", exactly(peer, 8)) if flags & 2 else exactly(peer, 1)
    return flags, exactly(peer, size)


def exactly(peer: socket.socket, size: int) -> bytes:
    return peer.recv(size, socket.MSG_WAITALL) if size else b""


def greeted(peer: socket.socket) -> socket.socket:
    greeting = exactly(peer, 64)
    assert (greeting[0], greeting[9], greeting[10], greeting[12:16]) == (0xFF, 0x7F, 3, b"NULL")
    flags, ready = take(peer)
    assert flags == 4
    assert ready.startswith(b"\x05READY\x0bSocket-Type\x00\x00\x00\x06ROUTER")
    return peer


def is_hung_up_on(peer: socket.socket) -> bool:
    """Whether the server closes the connection; it may have answered before."""
    try:
        while peer.recv(65536):
            pass
    except ConnectionError:
        return True
    return True


def answer(peer: socket.socket) -> object:
    assert take(peer) == (1, b"")
    flags, body = take(peer)
    assert flags in (0, 2)
    return msgpack.unpackb(body)


def test_a_request_is_answered_with_its_envelope(dial):
    peer = greeted(dial())
    peer.sendall(short(b"", 1) + short(PING))
    assert answer(peer) == PONG
    peer.sendall(short(b"", 1) + b"\x02" + struct.pack(">Q", len(PING)) + PING)  # a long frame
    assert answer(peer) == PONG


def test_a_heartbeat_gets_its_pong_also_within_a_message(dial):
    peer = greeted(dial())
    ping = short(b"\x04PING\x00\x64abc", 4)
    peer.sendall(ping + short(b"", 1) + ping + short(PING))
    assert take(peer) == (4, b"\x04PONGabc")
    assert take(peer) == (4, b"\x04PONGabc")
    assert answer(peer) == PONG


@pytest.mark.parametrize(
    ("greeting", "ready"),
    [
        (b"GET / HTTP/1.1\r\n".ljust(64), b""),
        (GREETING[:10] + b"\x01" + GREETING[11:], b""),  # version 1
        (GREETING.replace(b"NULL\0", b"PLAIN"), b""),
        (GREETING, short(b"hello")),
        (GREETING, b"\x06" + struct.pack(">Q", 1 << 30)),
    ],
)
def test_who_does_not_greet_as_it_should_is_hung_up_on(dial, greeting, ready):
    assert is_hung_up_on(dial(greeting, ready))


def test_a_message_of_endless_parts_is_cut_off(dial):
    peer = greeted(dial())
    peer.sendall(short(b"", 1) * (MAX_PARTS + 1))
    assert is_hung_up_on(peer)


def test_parts_that_are_too_large_together_are_refused_at_their_length(dial):
    peer = greeted(dial())
    peer.sendall(short(b"x" * 100, 1) + b"\x02" + struct.pack(">Q", 32 << 20))
    assert is_hung_up_on(peer)


def test_another_peer_is_answered_while_one_stops_in_the_middle_of_a_message(dial):
    stuck, other = greeted(dial()), greeted(dial())
    stuck.sendall(short(b"", 1) + b"\x02" + struct.pack(">Q", 1 << 20) + bytes(1000))
    other.sendall(short(b"", 1) + short(PING))
    assert answer(other) == PONG
