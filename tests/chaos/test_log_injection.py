"""Control sequences in whatever a client can send: log and metrics show them and obey none."""

import http.client
import json
import re
import socket

import grpc
import msgpack
import pytest
from handover_common.terminal import is_printable
from handover_proto import policy_pb2 as pb
from handover_proto.policy_pb2_grpc import PolicyServiceStub
from handover_proto.types import PolicyRequest
from handover_proto.wire.messages import serialize_request

from .attacks.arena import target_of
from .robots import CONNECT_S, observation
from .server_process import ServerProcess

# a title for the window, a cleared screen, C1's CSI, the other direction, and a line of one's own
EVIL = "\x1b]0;mine\x07\x1b[2J\x9b31m\u202eevil\n2026-01-31T12:00:00.000Z INFO forged"
FLAGS = (
    *("--log-level", "debug", "--metrics-port", "0", "--groot-zmq-port", "0"),
    *("--openpi-port", "0", "--openpi-rate-hz", "50"),
)
_EVENT = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z (DEBUG|INFO|WARNING|ERROR) (?!forged)")
_ADDRESS = re.compile(r"(openpi|Isaac-GR00T) clients on |serving ")  # on standard output


def good() -> pb.InferRequest:
    return pb.InferRequest.FromString(serialize_request(PolicyRequest(observation(), seed=1)))


def requests() -> list[pb.InferRequest]:
    """One for each string of an InferRequest; the first is valid, and its policy raises."""
    raising, camera, extra, state, prefix, empty = (good() for _ in range(6))
    raising.observation.task, raising.client_tag = EVIL, "raise"
    camera.observation.cameras[EVIL].CopyFrom(camera.observation.cameras.pop("ego_view"))
    extra.observation.cameras[EVIL].CopyFrom(extra.observation.cameras["ego_view"])
    state.observation.state[EVIL].CopyFrom(state.observation.state.pop("waist"))
    prefix.prefix.action[EVIL].CopyFrom(prefix.observation.state["waist"])
    empty.observation.task, empty.client_tag = "", EVIL
    return [raising, camera, extra, state, prefix, empty]


def send_grpc(address: str) -> None:
    """Send them, and what else a call may name; then a good request, which is answered."""
    with grpc.insecure_channel(address) as channel:
        stub = PolicyServiceStub(channel)
        metadata = (("handover-bin", EVIL.encode()), ("user", "\x20~ %1b[2J"))
        for request in requests():
            with pytest.raises(grpc.RpcError):
                stub.Infer(request, metadata=metadata, timeout=CONNECT_S)
        for method in (f"/{EVIL}/Infer", f"/handover.policy.v1.PolicyService/{EVIL}"):
            with pytest.raises((grpc.RpcError, ValueError)):
                channel.unary_unary(method)(b"", timeout=CONNECT_S)
        check = channel.unary_unary("/grpc.health.v1.Health/Check")
        with pytest.raises(grpc.RpcError):  # a HealthCheckRequest: field 1, the service's name
            check(b"\x0a" + bytes([len(EVIL.encode())]) + EVIL.encode(), timeout=CONNECT_S)
        assert stub.Infer(good(), timeout=CONNECT_S).action


def send_openpi(address: str) -> None:
    """Send names of images, keys and prompts; what comes back is for its sender."""
    sync = pytest.importorskip("websockets.sync.client")
    ndarray = {b"__ndarray__": True, b"data": bytes(12), b"dtype": "|u1", b"shape": [3, 2, 2]}
    whole = {"images": {EVIL: ndarray, "cam_high": ndarray}, "state": ndarray, "prompt": EVIL}
    with sync.connect(f"ws://{address}", compression=None, proxy=None) as client:
        client.recv(CONNECT_S)
        for message in (whole, {EVIL: EVIL}, {"images": EVIL}, EVIL):
            client.send(msgpack.packb(message))
            client.recv(CONNECT_S)
        client.send(EVIL)
        client.recv(CONNECT_S)
    with socket.create_connection(_split(address), CONNECT_S) as stranger:
        stranger.sendall(f"GET /{EVIL} HTTP/1.1\r\nHost: {EVIL}\r\n\r\n".encode())
        stranger.recv(1000)


def send_zmq(address: str) -> None:
    """Send names of endpoints, cameras and groups."""
    zmq = pytest.importorskip("zmq")
    context = zmq.Context()
    try:
        for message in (
            {"endpoint": EVIL},
            {"endpoint": "get_action", "data": {"observation": {"video": {EVIL: EVIL}}}},
            {"endpoint": "get_action", "data": {EVIL: EVIL}, "api_token": EVIL},
        ):
            client = context.socket(zmq.REQ)
            client.setsockopt(zmq.RCVTIMEO, int(1e3 * CONNECT_S))
            client.setsockopt(zmq.IDENTITY, EVIL.encode()[:200])
            client.connect(f"tcp://{address}")
            client.send(msgpack.packb(message))
            client.recv()
            client.close(linger=0)
    finally:
        context.destroy(linger=0)


def read_metrics(address: str) -> str:
    """Ask for what does not exist, and then for the metrics."""
    with socket.create_connection(_split(address), CONNECT_S) as stranger:
        stranger.sendall(f"{EVIL} /{EVIL} HTTP/1.1\r\n{EVIL}: {EVIL}\r\n\r\n".encode())
        stranger.recv(1000)
    connection = http.client.HTTPConnection(*_split(address), timeout=CONNECT_S)
    connection.request("GET", "/metrics", headers={"Origin": EVIL.encode("latin-1", "replace")[:7]})
    connection.getresponse().read()
    connection = http.client.HTTPConnection(*_split(address), timeout=CONNECT_S)
    connection.request("GET", "/metrics")
    reply = connection.getresponse()
    assert reply.status == 200
    return reply.read().decode()


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_strangers_send_neither_commands_a_terminal_nor_writes_a_line_of_its_own(form):
    with ServerProcess("--log-format", form, *FLAGS) as server:
        target = target_of(server)
        send_grpc(server.address)
        send_openpi(target.openpi)
        send_zmq(target.zmq)
        metrics = read_metrics(target.metrics)
        server.wait_for_lines("request settled", 2)
        server.wait_for_lines("cannot \\x1b]0" if form == "text" else "cannot \\\\x1b]0")
        log = [line.removesuffix("\n") for line in server.log]
    assert all(is_printable(line) for line in metrics.splitlines())
    assert all(is_printable(line) for line in log)
    events = [line for line in log if not _ADDRESS.match(line)]
    assert len(log) - len(events) == 3
    if form == "json":
        assert any("evil" in json.loads(line).get("traceback", "") for line in events)
    else:  # a traceback is indented
        assert all(line.startswith("  ") or _EVENT.match(line) for line in events)
