"""The blocking client against real gRPC servers: deadlines, checks on both ways, restarts."""

import subprocess
import sys
import threading
from dataclasses import replace

import grpc
import numpy as np
import pytest
from handover_client import PolicyClient
from handover_client.connection.requests import seal
from handover_client.errors import InvalidReply, WrongProtocol
from handover_common.errors import UsageError
from handover_proto import policy_pb2 as pb
from handover_proto.errors import (
    DeadlinePassed,
    InvalidRequest,
    ServerUnavailable,
    UnmetPrecondition,
)
from handover_proto.types import (
    ActionChunk,
    ImageCodec,
    Limits,
    Observation,
    PolicyRequest,
    ServerInfo,
)
from handover_proto.wire import (
    encode_chunk,
    encode_info,
)
from handover_proto.wire.codec import encode_tensor

from ..conftest import hold


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_chunk_comes_back_with_sequence_tag_and_seed(start_server, observation):
    server = start_server()
    with PolicyClient.connect(server.address, timeout_s=60) as client:
        assert client.info.spec.checkpoint_name == "tiny"
        chunk = client.infer(observation, seed=7, sequence=42, client_tag="left robot")
    assert (chunk.sequence, chunk.client_tag, chunk.seed) == (42, "left robot", 7)
    expected = np.repeat(observation.state["arm"], 4, axis=0)
    np.testing.assert_array_equal(chunk.action["arm"], expected)


def test_no_seed_means_that_the_server_draws_one(start_server, observation):
    server = start_server()
    with PolicyClient.connect(server.address, timeout_s=60) as client:
        client.infer(observation)
        client.infer(observation, seed=0)
    assert [call.HasField("seed") for call in server.servicer.calls] == [False, True]


@pytest.mark.parametrize("codec", list(ImageCodec))
def test_frames_go_in_the_codec_of_the_callers_choice(start_server, observation, codec):
    server = start_server()
    with PolicyClient.connect(server.address, timeout_s=60, image_codec=codec) as client:
        client.infer(observation)
    (call,) = server.servicer.calls
    assert call.observation.cameras["top"].frames[0].codec == int(codec)


@pytest.mark.parametrize(("word", "codec"), [("raw", 1), ("jpeg", 2), ("png", 3)])
def test_a_codec_may_be_named_by_its_word(start_server, observation, word, codec):
    server = start_server()
    with PolicyClient.connect(server.address, timeout_s=60, image_codec=word) as client:
        assert client.image_codec is ImageCodec(codec)
        client.infer(observation)
    (call,) = server.servicer.calls
    assert call.observation.cameras["top"].frames[0].codec == codec
    with pytest.raises(ValueError, match="image codec is 'webp', expected raw, jpeg, png"):
        PolicyClient.connect(server.address, image_codec="webp")


def test_options_of_grpc_go_over_ours(start_server, observation):
    def gone_at_first(request, context):
        if len(server.servicer.calls) == 1:
            context.abort(grpc.StatusCode.UNAVAILABLE, "restarting")
        return hold(request, context)

    server = start_server(answer=gone_at_first)
    without_retries = (("grpc.enable_retries", 0),)
    with (
        PolicyClient.connect(
            server.address, timeout_s=60, channel_options=without_retries
        ) as client,
        pytest.raises(ServerUnavailable, match="restarting"),
    ):
        client.infer(observation)
    server.servicer.calls.clear()
    with PolicyClient.connect(server.address, timeout_s=60) as client:
        client.infer(observation, timeout_s=60)  # asked again
    assert len(server.servicer.calls) == 2


def test_a_codec_that_the_server_cannot_read_is_refused_on_connecting(start_server, spec):
    info = encode_info(ServerInfo(spec, Limits(), image_codecs=(ImageCodec.RAW_RGB8,)))
    server = start_server(info=info)
    with pytest.raises(UnmetPrecondition, match="cannot read JPEG images, only RAW_RGB8"):
        PolicyClient.connect(server.address, timeout_s=60, image_codec=ImageCodec.JPEG)


@pytest.mark.parametrize(
    "address", ["localhost", "host:", ":50051", "host:0", "host:70000", "http://host:1", ""]
)
def test_an_address_that_is_not_host_and_port_is_a_usage_error(address):
    with pytest.raises(UsageError, match="expected HOST:PORT"):
        PolicyClient.connect(address)


def test_nobody_there_is_told_with_the_address_within_the_deadline():
    port = free_port()
    with pytest.raises(ServerUnavailable, match=f"no server ready at 127.0.0.1:{port} within 0.5"):
        PolicyClient.connect(f"127.0.0.1:{port}", timeout_s=0.5)


def test_connecting_waits_for_a_server_that_starts_later(start_server, observation):
    port = free_port()
    starter = threading.Timer(0.5, start_server, kwargs={"port": port})
    starter.start()
    with PolicyClient.connect(f"127.0.0.1:{port}", timeout_s=60) as client:
        assert client.infer(observation).action
    starter.join()


class Health(grpc.GenericRpcHandler):
    """grpc.health.v1 that says NOT_SERVING a few times before it says SERVING."""

    def __init__(self, refusals: int) -> None:
        self.asked, self.refusals = 0, refusals

    def service(self, handler_call_details):
        if handler_call_details.method == "/grpc.health.v1.Health/Check":
            return grpc.unary_unary_rpc_method_handler(self.check)
        return None

    def check(self, request, context):
        self.asked += 1
        return b"\x08\x02" if self.asked <= self.refusals else b"\x08\x01"


def test_connecting_waits_until_health_says_serving(start_server):
    health = Health(refusals=3)
    server = start_server(handlers=(health,))
    PolicyClient.connect(server.address, timeout_s=60).close()
    assert health.asked == 4


def test_a_server_that_never_warms_up_is_told_so(start_server):
    server = start_server(handlers=(Health(refusals=10**6),))
    with pytest.raises(ServerUnavailable, match="starting or draining"):
        PolicyClient.connect(server.address, timeout_s=3)


def test_another_protocol_version_is_refused_at_once(start_server, spec):
    server = start_server(info=encode_info(ServerInfo(spec, Limits(), protocol_version=2)))
    with pytest.raises(WrongProtocol, match="speaks protocol version 2, this client 1"):
        PolicyClient.connect(server.address, timeout_s=60)


def test_a_server_without_action_groups_is_refused(start_server, spec):
    server = start_server(info=encode_info(ServerInfo(replace(spec, action=()), Limits())))
    with pytest.raises(InvalidReply, match="0 groups"):
        PolicyClient.connect(server.address, timeout_s=60)


def test_another_grpc_service_is_told_apart():
    from concurrent import futures

    server = grpc.server(futures.ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with pytest.raises(UnmetPrecondition, match="not a Handover policy server"):
        PolicyClient.connect(f"127.0.0.1:{port}", timeout_s=60)
    server.stop(0).wait(60)


def test_a_slow_server_meets_the_calls_deadline(start_server, observation):
    released = threading.Event()

    def slow(request, context):
        released.wait(120)
        return pb.InferReply()

    server = start_server(answer=slow)
    with PolicyClient.connect(server.address, timeout_s=60, call_timeout_s=0.2) as client:
        with pytest.raises(DeadlinePassed, match="did not answer in time"):
            client.infer(observation)
        with pytest.raises(DeadlinePassed):
            client.infer(observation, timeout_s=0.1)
        client.call_timeout_s = 300.0
        with pytest.raises(DeadlinePassed):
            client.infer(observation, timeout_s=0.0)
    released.set()


def test_requests_are_checked_before_they_are_sent(start_server, observation):
    server = start_server()
    bad = Observation(observation.cameras, {"arm": np.zeros((1, 3), np.float32)}, "task")
    with PolicyClient.connect(server.address, timeout_s=60) as client:
        with pytest.raises(InvalidRequest, match="missing 'hand'"):
            client.infer(bad)
        with pytest.raises(InvalidRequest, match="instruction in words"):
            client.infer(replace(observation, task=" "))
    assert server.servicer.calls == []


def test_a_request_over_the_servers_limit_is_not_sent(start_server, spec, observation):
    info = encode_info(ServerInfo(spec, Limits(max_message_bytes=200)))
    server = start_server(info=info)
    with (
        PolicyClient.connect(server.address, timeout_s=60) as client,
        pytest.raises(InvalidRequest, match="at most 200 bytes"),
    ):
        client.infer(observation)
    assert server.servicer.calls == []


def test_a_request_may_be_as_large_as_the_limit(spec, observation):
    def sealed(limit):
        info = ServerInfo(spec, Limits(max_message_bytes=limit))
        return seal(PolicyRequest(observation), info, ImageCodec.RAW_RGB8).data

    size = len(sealed(10**6))
    assert len(sealed(size)) == size
    with pytest.raises(InvalidRequest, match=f"at most {size - 1} bytes"):
        sealed(size - 1)


def reply_with(**action: np.ndarray) -> pb.InferReply:
    return encode_chunk(ActionChunk(action))


ARM, HAND = np.zeros((4, 3), np.float32), np.zeros((4, 1), np.float32)
GARBAGE = {
    "a missing group": reply_with(arm=ARM),
    "no group": pb.InferReply(),
    "an unknown group": reply_with(arm=ARM, hand=HAND, leg=ARM),
    "a short chunk": reply_with(arm=ARM[:3], hand=HAND),
    "a wide group": reply_with(arm=ARM, hand=ARM),
    "another dtype": reply_with(arm=ARM.astype(np.float64), hand=HAND),
    "NaN": reply_with(arm=ARM * np.nan, hand=HAND),
    "infinity": reply_with(arm=ARM, hand=HAND + np.inf),
    "another sequence": pb.InferReply(
        action={"arm": encode_tensor(ARM), "hand": encode_tensor(HAND)}, sequence=1
    ),
    "too few bytes": pb.InferReply(
        action={"arm": pb.Tensor(dtype=1, shape=(4, 3), data=b"123"), "hand": encode_tensor(HAND)}
    ),
    "a huge claim": pb.InferReply(
        action={"arm": pb.Tensor(dtype=1, shape=(2**31, 2**31)), "hand": encode_tensor(HAND)}
    ),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_from_the_server_never_reaches_the_robot(start_server, observation, name):
    server = start_server(answer=lambda request, context: GARBAGE[name])
    with (
        PolicyClient.connect(server.address, timeout_s=60) as client,
        pytest.raises(InvalidReply, match="breaks the contract"),
    ):
        client.infer(observation)


KILLABLE = """
import sys, time
from concurrent import futures
import grpc
from handover_proto import policy_pb2 as pb, policy_pb2_grpc as rpc
class Servicer(rpc.PolicyServiceServicer):
    def GetInfo(self, request, context):
        return pb.GetInfoReply.FromString(bytes.fromhex(sys.argv[1]))
    def Infer(self, request, context):
        print("asked", flush=True); time.sleep(60)
    def InferStream(self, requests, context):
        next(requests); print("asked", flush=True); time.sleep(60); yield
server = grpc.server(futures.ThreadPoolExecutor(2))
rpc.add_PolicyServiceServicer_to_server(Servicer(), server)
print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start(); time.sleep(60)
"""


@pytest.mark.parametrize("way", ["unary", "stream"])
def test_a_server_killed_in_the_middle_of_a_call_ends_it(spec, observation, way):
    info = encode_info(ServerInfo(spec, Limits())).SerializeToString().hex()
    process = subprocess.Popen(
        [sys.executable, "-c", KILLABLE, info], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    port = int(process.stdout.readline())

    def kill_once_asked():
        process.stdout.readline()
        process.kill()

    killer = threading.Thread(target=kill_once_asked)
    killer.start()
    with PolicyClient.connect(f"127.0.0.1:{port}", timeout_s=60, call_timeout_s=60) as client:
        # ServerUnavailable, not DeadlinePassed: the deadlines of 60 s are not waited for
        if way == "unary":
            with pytest.raises(ServerUnavailable, match=f"no policy server answers at 127.*{port}"):
                client.infer(observation)
        else:
            with client.stream() as stream:
                stream.send(observation, sequence=0)
                with pytest.raises(ServerUnavailable):
                    stream.receive(timeout_s=60)
                with pytest.raises(ServerUnavailable):
                    stream.send(observation, sequence=1)
    killer.join()
    process.wait(60)
    process.stdout.close()


def test_a_restarted_server_is_found_again(start_server, observation):
    first = start_server()
    with PolicyClient.connect(first.address, timeout_s=60) as client:
        client.infer(observation)
        first.server.stop(0).wait(60)
        with pytest.raises(ServerUnavailable):
            client.infer(observation)
        start_server(port=first.port)
        client.wait_until_ready(timeout_s=60)
        assert client.infer(observation).action


def test_a_closed_client_says_so(start_server, observation):
    server = start_server()
    client = PolicyClient.connect(server.address, timeout_s=60)
    client.close()
    with pytest.raises(ServerUnavailable, match="was closed"):
        client.infer(observation)
    with pytest.raises(ServerUnavailable, match="was closed"):
        client.stream()
