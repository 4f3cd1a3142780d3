"""Whatever a stranger sends to the gateways, the next good request is answered."""

import contextlib
import random
import socket

import msgpack
import numpy as np
import pytest
from handover_server.gateways.listeners import GatewaySettings
from handover_server.policies.hold import HoldPolicy

from ..conftest import wait_until
from .conftest import TIMEOUT_S, GrootClient, WebsocketByHand, pack_array

BODIES = [
    b"",
    b"\xc1",
    b"\x80",
    b"\xdf\xff\xff\xff\xff",
    b"\x91" * 50_000,
    msgpack.packb([1, 2]),
    msgpack.packb({"endpoint": ["get_action"]}),
    msgpack.packb({"endpoint": "get_action", "data": 3}),
    msgpack.packb({"endpoint": "get_action", "data": {"observation": {"video": {1: 2}}}}),
    msgpack.packb({"endpoint": "x" * 100_000, "api_token": b"\xff" * 100_000}),
    msgpack.packb({"images": {"cam_high": {b"__ndarray__": 1}}, "state": 1, "prompt": 2}),
    msgpack.packb({"images": {b"a": 1}, "state": {}, "prompt": "x"}),
]


@pytest.fixture
def ports(serve):
    pytest.importorskip("websockets")
    pytest.importorskip("zmq")
    return serve(
        HoldPolicy(), gateways=GatewaySettings(openpi_port=0, groot_zmq_port=0)
    ).server.gateways


def is_refusal(reply: object) -> bool:
    """Whether a client is told what is wrong, and not that something went wrong."""
    return isinstance(reply, str) and "incident" not in reply


def error_of(reply: bytes) -> object:
    return msgpack.unpackb(reply)["error"]


def raw(port: int, data: bytes) -> None:
    """Send bytes that follow no protocol, and leave."""
    stranger = socket.create_connection(("127.0.0.1", port), TIMEOUT_S)
    with stranger, contextlib.suppress(ConnectionError):
        stranger.sendall(data)


def test_openpi_survives(ports, aloha):
    port = ports.openpi_port
    client = WebsocketByHand("127.0.0.1", port)
    for body in BODIES:
        client._ws.send(body)
        assert is_refusal(client._ws.recv(TIMEOUT_S))
    client._ws.send("text")
    assert "binary" in client._ws.recv(TIMEOUT_S)
    noise = random.Random(0)
    for size in (1, 100, 70_000):
        raw(port, noise.randbytes(size))
    raw(port, b"GET / HTTP/1.1\r\n")
    whole = msgpack.packb(aloha, default=pack_array)
    for end in (1, 50, 1000, len(whole) - 1):
        client._ws.send(whole[:end])
        assert is_refusal(client._ws.recv(TIMEOUT_S))
    cut = WebsocketByHand("127.0.0.1", port)
    cut._ws.socket.sendall(b"\x82\xff\x00\x00\x00\x00\x00\x0f\x00\x00abcd" + b"x" * 1000)
    cut._ws.socket.shutdown(socket.SHUT_RDWR)
    assert client.infer(aloha)["actions"].shape == (16, 14)
    client._ws.close()


def test_a_websocket_message_above_the_limit_costs_its_connection_alone(ports, aloha):
    large = WebsocketByHand("127.0.0.1", ports.openpi_port)
    # a frame that claims 2^40 bytes, from a client that masks as it must
    large._ws.socket.sendall(b"\x82\xff" + (2**40).to_bytes(8, "big") + b"mask")
    with pytest.raises(Exception, match=r"1009|too big|no close frame"):
        large._ws.recv(TIMEOUT_S)
    other = WebsocketByHand("127.0.0.1", ports.openpi_port)
    assert other.infer(aloha)["actions"].shape == (16, 14)
    other._ws.close()


def test_zmq_survives(ports, groot_observation):
    client = GrootClient(ports.groot_zmq_port)
    for body in BODIES:
        assert is_refusal(error_of(client.send(body)))
    for frames in ([b"", b""], [b"", b"", b"", b"", b"", b""], [b"x"] * 20):
        assert is_refusal(error_of(client.send(*frames)))
    noise = random.Random(0)
    for size in (1, 64, 70_000):
        raw(ports.groot_zmq_port, noise.randbytes(size))
    whole = groot_request(groot_observation)
    for end in (1, 50, 1000, len(whole) - 1):
        assert is_refusal(error_of(client.send(whole[:end])))
    for _ in range(40):
        damaged = bytearray(whole)
        damaged[noise.randrange(len(damaged))] ^= 1 << noise.randrange(8)
        msgpack.unpackb(client.send(bytes(damaged)))
    reply = msgpack.unpackb(client.send(whole))
    assert isinstance(reply, list)
    client.close()


def groot_request(observation: dict) -> bytes:
    from handover_proto.msgpack_wire import npy

    data = {"observation": observation, "options": None}
    return msgpack.packb({"endpoint": "get_action", "data": data}, default=npy)


def test_a_zmq_peer_that_is_no_req_socket_is_told_so(ports):
    import zmq

    context = zmq.Context()
    dealer = context.socket(zmq.DEALER)
    dealer.setsockopt(zmq.RCVTIMEO, int(1e3 * TIMEOUT_S))
    dealer.connect(f"tcp://127.0.0.1:{ports.groot_zmq_port}")
    dealer.send(b"no delimiter")
    assert "error" in msgpack.unpackb(dealer.recv_multipart()[-1])
    dealer.send_multipart([b"a", b"b", b"c"])
    assert "error" in msgpack.unpackb(dealer.recv_multipart()[-1])
    context.destroy(linger=0)
    client = GrootClient(ports.groot_zmq_port)
    assert client.call("ping")["status"] == "ok"
    client.close()


def test_two_zmq_clients_do_not_wait_for_each_other(serve, gated, groot_observation):
    pytest.importorskip("zmq")
    running = serve(gated, gateways=GatewaySettings(groot_zmq_port=0))
    port = running.server.gateways.groot_zmq_port
    busy, quick = GrootClient(port), GrootClient(port)
    groot = running.server.gateways.groot
    try:
        busy.socket.send(groot_request(groot_observation))
        gated.wait_until_busy()
        assert quick.call("ping")["status"] == "ok"
        wait_until(lambda: groot.in_flight == 1)
        gated.let_through()
        assert isinstance(msgpack.unpackb(busy.socket.recv()), list)
        wait_until(lambda: not groot.in_flight)
    finally:
        busy.close()
        quick.close()


def test_frames_of_zero_size_are_refused(ports, aloha):
    client = WebsocketByHand("127.0.0.1", ports.openpi_port)
    aloha["images"] = {"cam_high": np.zeros((3, 0, 7), np.uint8)}
    with pytest.raises(RuntimeError, match="cam_high"):
        client.infer(aloha)
    client._ws.close()
