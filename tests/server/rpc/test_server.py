"""A server's life: starting, serving, draining; and what tools find on its port."""

import asyncio
import threading

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from handover_proto import policy_pb2 as pb
from handover_proto.errors import ServerUnavailable
from handover_server.errors import ServingError
from handover_server.policies.hold import HoldPolicy
from handover_server.rpc.server import PolicyServer
from handover_server.rpc.settings import ServerSettings

from ..conftest import wait_until

TIMEOUT_S = 60
ALONE = (("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1))
SERVICE = "handover.policy.v1.PolicyService"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def health_of(server, name=""):
    stub = health_pb2_grpc.HealthStub(server.channel)
    return stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=TIMEOUT_S).status


@pytest.mark.parametrize("name", ["", SERVICE])
def test_health_says_serving_only_once_the_policy_is_warm(serve, name):
    server = serve(HoldPolicy(), ready=False)
    assert health_of(server, name) == NOT_SERVING
    server.run(server.server.become_ready())
    assert health_of(server, name) == SERVING


def test_reflection_tells_the_whole_service(serve):
    database = ProtoReflectionDescriptorDatabase(serve(HoldPolicy()).channel)
    assert {SERVICE, "grpc.health.v1.Health"} <= set(database.get_services())
    service = DescriptorPool(database).FindServiceByName(SERVICE)
    assert {method.name for method in service.methods} == {"GetInfo", "Infer", "InferStream"}


def test_draining_answers_what_was_admitted_and_refuses_what_is_new(serve, gated, message):
    server = serve(gated)
    admitted = server.stub.Infer.future(message(sequence=1), timeout=TIMEOUT_S)
    gated.wait_until_busy()
    draining = asyncio.run_coroutine_threadsafe(server.server.drain(TIMEOUT_S), server.loop)
    wait_until(lambda: health_of(server) != SERVING)
    with pytest.raises(ServerUnavailable, match="shutting down"):
        server.infer_bytes(message().SerializeToString())
    gated.let_through()
    assert admitted.result().sequence == 1
    assert draining.result(TIMEOUT_S)
    with pytest.raises(grpc.RpcError) as caught:
        server.infer(message())
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_draining_gives_up_on_a_policy_that_does_not_answer(serve, gated, message, typed_error):
    server = serve(gated)
    stuck = server.stub.Infer.future(message(), timeout=TIMEOUT_S)
    gated.wait_until_busy()
    waiting = server.stub.Infer.future(message(), timeout=TIMEOUT_S)
    server.wait_until_in_flight(2)
    assert server.run(server.server.drain(0.05)) is False
    for call in (stuck, waiting):  # a client's retry policy asks another server then
        assert isinstance(typed_error(call.exception()), ServerUnavailable)


def test_nothing_of_a_server_is_left_running_after_it_drained(serve, message):
    before = set(threading.enumerate())
    server = serve(HoldPolicy())
    server.infer(message())
    assert server.run(server.server.drain(TIMEOUT_S))
    for thread in set(threading.enumerate()) - before:
        if thread.name == "policy" or thread.name.startswith("decode"):
            thread.join(TIMEOUT_S)
            assert not thread.is_alive(), thread.name


def test_a_port_in_use_is_told_and_not_shared(serve):
    taken = serve(HoldPolicy()).server.port

    async def listen():
        await PolicyServer(HoldPolicy, ServerSettings(port=taken)).listen()

    with pytest.raises(ServingError, match=rf"cannot listen on 127.0.0.1:{taken}: Address already"):
        asyncio.run(listen())


def test_an_address_of_another_machine_is_told():
    async def listen():
        await PolicyServer(HoldPolicy, ServerSettings(host="203.0.113.1")).listen()

    with pytest.raises(ServingError, match=r"cannot listen on 203\.0\.113\.1:0"):
        asyncio.run(listen())


def test_a_large_frame_comes_through_and_one_byte_over_the_limit_is_refused(serve):
    server = serve(HoldPolicy())
    # on connections of their own: gRPC tells nobody of what it refuses, so to the guard of the
    # connections the first message stays one that never became whole, and the next one is too much
    with grpc.insecure_channel(f"127.0.0.1:{server.server.port}", options=ALONE) as channel:
        call = channel.unary_unary("/handover.policy.v1.PolicyService/Infer")
        with pytest.raises(grpc.RpcError) as caught:
            call(bytes(32 * 1024 * 1024 + 1), timeout=TIMEOUT_S)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "larger than max (33554433 vs. 33554432)" in caught.value.details()
    call = server.channel.unary_unary("/handover.policy.v1.PolicyService/Infer")
    with pytest.raises(grpc.RpcError) as caught:
        call(bytes(32 * 1024 * 1024), timeout=TIMEOUT_S)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert server.stub.GetInfo(pb.GetInfoRequest(), timeout=TIMEOUT_S).policy == "hold"
