"""nginx and Envoy before a server: robots are served, and strangers bounded."""

import contextlib
import queue
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from handover_client.connection.policy_client import PolicyClient
from handover_client.connection.security import ChannelSecurity
from handover_proto.errors import NotAuthorised, PolicyError
from handover_proto.policy_pb2_grpc import PolicyServiceStub
from handover_proto.types import PolicyRequest
from handover_proto.wire.messages import serialize_request

from . import proxies
from .attacks.h2 import INFER, STRANGER, Connection, closed_by_peer, prefixed
from .robots import CONNECT_S, observation
from .server_process import ROOT, ServerProcess
from .tls_forwarder import TlsForwarder

STREAMS, BURST = 64, 100  # of an address: server/nginx-limits.conf
_OPTIONS = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1))


@dataclass(frozen=True)
class Place:
    """Where the proxy is, and what its clients need."""

    address: str
    ca: Path
    token: str

    def robot(self, token: str = "") -> PolicyClient:
        """Connect as a robot does."""
        security = ChannelSecurity(tls=True, ca=self.ca.read_bytes(), token=token or self.token)
        return PolicyClient.connect(self.address, timeout_s=CONNECT_S, security=security)

    def stranger(self) -> TlsForwarder:
        """Return a way to it from another address."""
        return TlsForwarder(self.address, self.ca, STRANGER)

    def metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.token}"),)


@pytest.fixture
def place(request, tmp_path) -> Iterator[Place]:
    """A server of the hold policy with TLS and a token, and before it the proxy of that name."""
    secrets = tmp_path / "secrets"
    subprocess.run(
        [ROOT / "server/make_secrets.sh"],
        env={"PATH": "/usr/bin:/bin", "HANDOVER_SECRETS": str(secrets)},
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=60,
    )
    flags = (
        *("--tls-cert", f"{secrets}/server.pem", "--tls-key", f"{secrets}/server.key"),
        *("--token-file", f"{secrets}/token", "--client-streams", "1000"),
    )
    make = getattr(proxies, request.param)
    with ServerProcess(*flags) as server, make(server.address, secrets, tmp_path) as proxy:
        yield Place(proxy.address, secrets / "ca.pem", (secrets / "token").read_text().strip())


both = pytest.mark.parametrize("place", ["nginx", "envoy"], indirect=True)


@both
def test_robots_are_served_over_tls_and_only_with_a_token(place):
    seen = observation()
    with place.robot() as robot, robot.stream() as stream:
        for sequence in range(20):
            stream.send(seen, sequence=sequence)
            assert stream.receive(timeout_s=CONNECT_S).result().sequence == sequence
            assert robot.infer(seen, sequence=sequence).sequence == sequence
    with pytest.raises(NotAuthorised):
        place.robot("not-the-right-token-at-all")


@both
def test_who_says_nothing_is_hung_up_on(place):
    host, _, port = place.address.rpartition(":")
    context = ssl.create_default_context(cafile=str(place.ca))
    context.set_alpn_protocols(["h2"])
    silent = socket.create_connection((host, int(port)), CONNECT_S)
    half = socket.create_connection((host, int(port)), CONNECT_S)
    half.sendall(b"\x16\x03\x01\x02\x00\x01")  # a TLS record that goes on
    with silent, half:
        until_s = time.monotonic() + CONNECT_S
        while not (closed_by_peer(silent) and closed_by_peer(half)):
            assert time.monotonic() < until_s
            time.sleep(0.05)


@both
def test_headers_and_messages_beyond_the_limits_cost_their_sender_alone(place):
    large = ((("x-stranger", "x" * 40_000),), b""), (place.metadata(), bytes(33 << 20))
    with place.robot() as robot, place.stranger() as stranger:
        for metadata, message in large:
            channel = grpc.insecure_channel(stranger.address, options=_OPTIONS)
            with channel, pytest.raises(grpc.RpcError):
                channel.unary_unary(INFER)(message, metadata=metadata, timeout=CONNECT_S)
            assert robot.infer(observation(), sequence=7).sequence == 7


@both
def test_messages_that_are_never_whole_cost_their_sender_alone(place):
    robots, errors, stop = place.robot(), list[PolicyError](), threading.Event()
    served = queue.Queue[int]()

    def ask() -> None:
        while not stop.is_set():
            try:
                served.put(robots.infer(observation(), sequence=3).sequence)
            except PolicyError as error:
                errors.append(error)
            time.sleep(0.02)

    asking = threading.Thread(target=ask)
    asking.start()
    part = prefixed(bytes(20 << 20), claims=31 << 20)
    token = place.metadata()[0][1]
    try:
        with place.stranger() as stranger:
            for _ in range(6):  # 120 MiB, of which the server lets nobody hold more than 96
                connection = Connection(stranger.address)
                with contextlib.suppress(TimeoutError, OSError, KeyError):  # it was hung up on
                    connection.call(INFER, part, authorization=token)
            for _ in range(20):
                assert served.get(timeout=CONNECT_S) == 3
    finally:
        stop.set()
        asking.join()
        robots.close()
    assert errors == []


@pytest.mark.parametrize("place", ["nginx"], indirect=True)
def test_an_address_has_so_many_calls_open_and_others_are_served_beside_it(place):
    asked, over = 2 * STREAMS, queue.Queue[grpc.Future]()
    lines: list[queue.Queue[bytes]] = [queue.Queue() for _ in range(asked)]
    with place.stranger() as stranger:
        channels = [grpc.insecure_channel(stranger.address, options=_OPTIONS) for _ in range(4)]
        for number, line in enumerate(lines):
            stub = PolicyServiceStub(channels[number % len(channels)])
            call = stub.InferStream(iter(line.get, b""), metadata=place.metadata())
            call.add_done_callback(over.put)
        refused = [over.get(timeout=CONNECT_S) for _ in range(asked - STREAMS)]
        assert {call.code() for call in refused} == {grpc.StatusCode.UNAVAILABLE}
        with place.robot() as robot:
            assert robot.infer(observation(), sequence=1).sequence == 1
        assert over.empty()
        for channel in channels:
            channel.close()
        for line in lines:
            line.put(b"")


@pytest.mark.parametrize("place", ["slow_nginx"], indirect=True)
def test_an_address_asks_so_often_and_others_are_served_beside_it(place):
    sight, outcomes = serialize_request(PolicyRequest(observation(), seed=1)), []
    with place.stranger() as stranger, place.robot() as robot:
        channel = grpc.insecure_channel(stranger.address, options=_OPTIONS)
        for _ in range(3 * BURST):
            call = channel.unary_unary(INFER).future(sight, metadata=place.metadata())
            outcomes.append(call.code())
        for sequence in range(20):
            assert robot.infer(observation(), sequence=sequence).sequence == sequence
        channel.close()
    answered = outcomes.count(grpc.StatusCode.OK)
    assert answered >= BURST
    assert outcomes[-BURST:].count(grpc.StatusCode.UNAVAILABLE) > BURST / 2


def test_the_page_shows_the_limits_as_they_are():
    page = (ROOT / "docs/scaling.md").read_text()
    for line in (ROOT / "server/nginx-limits.conf").read_text().splitlines():
        assert line.startswith("#") or line in page, line
