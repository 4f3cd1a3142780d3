"""Several servers at once: calls take turns, and those of a server that dies go to another."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
from handover_client import AsyncPolicyClient, ChannelSecurity, PolicyClient
from handover_client.connection.channel import channel_target, check_address
from handover_client.errors import UntrustedServer
from handover_common.errors import UsageError
from handover_proto.embodiment import GR1_DIMS
from handover_proto.errors import InvalidRequest, Overloaded, ServerUnavailable
from handover_proto.types import Observation

from ..conftest import hold
from ..serving import ServerProcess

TIMEOUT_S = 60.0  # never reached where all is well


@pytest.mark.parametrize(
    ("address", "target"),
    [
        ("robot-server:50051", "robot-server:50051"),
        ("10.0.0.1:50051,10.0.0.2:50051", "ipv4:10.0.0.1:50051,10.0.0.2:50051"),
        ("[::1]:1,[fe80::2]:2", "ipv6:[::1]:1,[fe80::2]:2"),
    ],
)
def test_replicas_are_named_as_grpc_wants_them(address, target):
    assert check_address(address) == address
    assert channel_target(address) == target


@pytest.mark.parametrize("address", ["a:1,b:2", "10.0.0.1:1,[::1]:2", "10.0.0.1:1,", "1.2.3.4:1,x"])
def test_a_list_that_grpc_cannot_take_is_a_usage_error(address):
    with pytest.raises(UsageError, match=r"server address.*expected"):
        check_address(address)


def test_servers_take_turns(start_server, observation):
    servers = [start_server() for _ in range(3)]
    address = ",".join(server.address for server in servers)
    with PolicyClient.connect(address, timeout_s=TIMEOUT_S) as client:
        end_s = time.monotonic() + TIMEOUT_S
        while not all(server.servicer.calls for server in servers):  # once all are connected
            client.infer(observation)
            assert time.monotonic() < end_s
        before = [len(server.servicer.calls) for server in servers]
        for _ in range(9):
            client.infer(observation)
        after = [len(server.servicer.calls) for server in servers]
    assert [more - less for more, less in zip(after, before, strict=True)] == [3, 3, 3]


def test_a_server_that_is_stopping_is_asked_again_but_nobody_hears_of_it(start_server, observation):
    def first_unavailable(request, context):
        if len(server.servicer.calls) == 1:
            context.abort(grpc.StatusCode.UNAVAILABLE, "stopping")
        return hold(request, context)

    server = start_server(answer=first_unavailable)
    with PolicyClient.connect(server.address, timeout_s=TIMEOUT_S) as client:
        assert client.infer(observation, sequence=7).sequence == 7
    assert [call.sequence for call in server.servicer.calls] == [7, 7]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, InvalidRequest),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, Overloaded),
    ],
)
def test_what_would_fail_again_is_asked_once(start_server, observation, status, error):
    server = start_server(answer=lambda request, context: context.abort(status, "no"))
    with PolicyClient.connect(server.address, timeout_s=TIMEOUT_S) as client:
        with pytest.raises(error):
            client.infer(observation)
        assert len(server.servicer.calls) == 1


def test_the_async_client_uses_replicas_too(start_server, observation):
    gone, there = start_server(), start_server()

    async def ask() -> int:
        address = f"{gone.address},{there.address}"
        async with await AsyncPolicyClient.connect(address, timeout_s=TIMEOUT_S) as client:
            await client.infer(observation)
            gone.server.stop(grace=0).wait(60)
            return (await client.infer(observation, sequence=3)).sequence

    assert asyncio.run(ask()) == 3


def encrypted_replicas(start_server, authority):
    certificate, key = authority.sign("replica")
    pair = (key.read_bytes(), certificate.read_bytes())
    servers = [start_server(tls=grpc.ssl_server_credentials([pair])) for _ in range(2)]
    return ",".join(server.address for server in servers)


def test_replicas_show_a_certificate_for_the_first_ones_name(start_server, observation, authority):
    address = encrypted_replicas(start_server, authority)
    ca = authority.certificate.read_bytes()
    security = ChannelSecurity(True, ca, token="a-token-0123456789abcdef")
    with PolicyClient.connect(address, timeout_s=TIMEOUT_S, security=security) as client:
        assert client.infer(observation, sequence=5).sequence == 5


def test_replicas_with_a_strangers_certificate_are_told_of(start_server, authority, new_authority):
    address = encrypted_replicas(start_server, authority)
    stranger = ChannelSecurity(True, new_authority().certificate.read_bytes())
    with pytest.raises(UntrustedServer, match="not signed by an authority"):
        PolicyClient.connect(address, timeout_s=TIMEOUT_S, security=stranger)


def test_a_token_goes_unencrypted_to_no_list_with_another_machine_in_it():
    with pytest.raises(UsageError, match="unencrypted"):
        ChannelSecurity(token="a-token-0123456789abcdef").check("127.0.0.1:1,10.0.0.1:2")
    ChannelSecurity(token="a-token-0123456789abcdef").check("127.0.0.1:1,127.0.0.1:2")


def aloha_observation() -> Observation:
    """A raw frame of 480x640: more than gRPC keeps for another try by default."""
    state = {name: np.zeros((1, dim), np.float32) for name, dim in GR1_DIMS.items()}
    return Observation({"ego_view": [np.zeros((480, 640, 3), np.uint8)]}, state, "hand it over")


def test_killing_one_of_three_servers_under_load_loses_no_request(tmp_path):
    servers = [ServerProcess("--policy", "hold", log=tmp_path / f"{i}.log") for i in range(3)]
    try:
        for server in servers:
            server.start()
        address = ",".join(server.wait() for server in servers)
        observation, answered = aloha_observation(), threading.Semaphore(0)
        with PolicyClient.connect(address, timeout_s=TIMEOUT_S) as client:

            def ask(sequence: int) -> int:
                chunk = client.infer(observation, sequence=sequence, timeout_s=TIMEOUT_S)
                answered.release()
                return chunk.sequence

            with ThreadPoolExecutor(4) as robots:
                answers = robots.map(ask, range(60))
                for _ in range(12):
                    assert answered.acquire(timeout=TIMEOUT_S)
                servers[1].kill()
                assert list(answers) == list(range(60))
            for server in (servers[0], servers[2]):
                server.kill()
            with pytest.raises(ServerUnavailable):
                client.infer(observation, timeout_s=TIMEOUT_S)
    finally:
        for server in servers:
            server.kill()
