"""Calls beside the policy's: health, reflection and GetInfo, however large their messages are."""

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from handover_proto import policy_pb2 as pb
from handover_server.policies.hold import HoldPolicy
from handover_server.rpc import small_calls

TIMEOUT_S = 60.0
CHECK, WATCH = "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"
REFLECT = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
GET_INFO = "/handover.policy.v1.PolicyService/GetInfo"
SERVING = health_pb2.HealthCheckResponse.SERVING


def status_of(reply: bytes) -> int:
    return health_pb2.HealthCheckResponse.FromString(reply).status


def test_health_answers_by_name_as_its_protocol_says(serve):
    check = serve(HoldPolicy()).channel.unary_unary(CHECK)
    ours = health_pb2.HealthCheckRequest(service="handover.policy.v1.PolicyService")
    assert status_of(check(ours.SerializeToString(), timeout=TIMEOUT_S)) == SERVING
    other = health_pb2.HealthCheckRequest(service="another")
    with pytest.raises(grpc.RpcError) as caught:
        check(other.SerializeToString(), timeout=TIMEOUT_S)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_a_name_of_megabytes_is_not_looked_at(serve, monkeypatch):
    monkeypatch.setattr(small_calls, "_PAUSE_S", 0.01)
    server = serve(HoldPolicy())
    long = health_pb2.HealthCheckRequest(service="x" * (3 << 20)).SerializeToString()
    watching = server.channel.unary_stream(WATCH)
    for refused in (
        lambda: server.channel.unary_unary(CHECK)(long, timeout=TIMEOUT_S),
        lambda: list(watching(long, timeout=TIMEOUT_S)),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            refused()
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "above 4096 bytes" in caught.value.details()
    names = server.channel.stream_stream(REFLECT)
    request = reflection_pb2.ServerReflectionRequest(file_by_filename="x" * (3 << 20))
    (reply,) = names(iter([request.SerializeToString()]), timeout=TIMEOUT_S)
    told = reflection_pb2.ServerReflectionResponse.FromString(reply).error_response
    assert told.error_code == grpc.StatusCode.INVALID_ARGUMENT.value[0]


def test_info_is_told_whatever_the_request_holds(serve):
    call = serve(HoldPolicy()).channel.unary_unary(GET_INFO)
    reply = pb.GetInfoReply.FromString(call(b"\xff" * (3 << 20), timeout=TIMEOUT_S))
    assert reply.policy == "hold"
