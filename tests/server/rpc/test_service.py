"""Infer and GetInfo over real gRPC: chunks, errors, bounds, deadlines."""

import contextlib
import gc
import threading
import time
from concurrent import futures

import grpc
import numpy as np
import pytest
from handover_proto import policy_pb2 as pb
from handover_proto.errors import (
    DeadlinePassed,
    InvalidRequest,
    Overloaded,
    PolicyFailed,
    ServerUnavailable,
    UnmetPrecondition,
)
from handover_proto.policy_pb2_grpc import PolicyServiceStub
from handover_proto.types import Limits
from handover_proto.wire import decode_chunk, decode_info
from handover_server.inference.shares import AdmissionLimits
from handover_server.policies.hold import HoldPolicy
from handover_server.requests.observer import Observer
from handover_server.requests.request import PendingRequest

from ..conftest import wait_until

TIMEOUT_S = 60


def test_info_tells_the_spec_and_the_limits(serve, noise):
    info = decode_info(serve(noise, max_batch=2).stub.GetInfo(pb.GetInfoRequest(), timeout=60))
    assert info.spec.cameras == noise.spec.cameras
    assert info.spec.state == noise.spec.state
    assert info.spec.action == noise.spec.action
    assert (info.spec.policy, info.spec.checkpoint_hash) == ("noise", "f00d")
    limits = info.limits
    assert limits == Limits(limits.max_message_bytes, max_batch=2)
    assert 3 * limits.max_image_pixels < limits.max_message_bytes < 3.1 * limits.max_image_pixels
    assert info.protocol_version == 1
    assert info.server_version


def test_a_reply_echoes_its_request_and_accounts_for_every_stage(serve, noise, message):
    request = message(sequence=2**63 + 1, client_tag="left robot", seed=11)
    server = serve(noise)
    began_s = time.perf_counter()
    chunk = decode_chunk(server.infer(request))
    passed_ms = (time.perf_counter() - began_s) * 1e3
    assert (chunk.sequence, chunk.client_tag, chunk.seed) == (2**63 + 1, "left robot", 11)
    assert chunk.checkpoint_hash == "f00d"
    durations = chunk.durations
    assert (durations.preprocess_ms, durations.backbone_ms, durations.action_head_ms) == (1, 2, 3)
    assert durations.queue_ms > 0
    assert durations.decode_ms > 0
    assert durations.encode_ms > 0
    assert durations.queue_ms + durations.decode_ms + durations.encode_ms < passed_ms
    assert set(chunk.action) == {group.name for group in noise.spec.action}


def test_without_a_seed_one_is_drawn_and_told(serve, noise, message):
    server = serve(noise)
    one, other = decode_chunk(server.infer(message())), decode_chunk(server.infer(message()))
    assert one.seed != other.seed
    again = decode_chunk(server.infer(message(seed=one.seed)))
    for name in one.action:
        np.testing.assert_array_equal(one.action[name], again.action[name])


def test_an_invalid_request_is_told_by_field_and_the_next_is_answered(
    serve, noise, message, typed_error
):
    server = serve(noise)
    request = message()
    request.observation.state["waist"].dtype = pb.FLOAT64
    with pytest.raises(grpc.RpcError) as caught:
        server.infer(request)
    error = typed_error(caught.value)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.field == 'observation.state["waist"].data'
    assert server.infer(message()).action


def test_bytes_that_are_no_request_are_invalid_and_not_a_crash(serve, noise, message):
    server = serve(noise)
    with pytest.raises(InvalidRequest, match="a serialized InferRequest"):
        server.infer_bytes(b"\xff" * 100)
    with pytest.raises(InvalidRequest, match="do not parse"):
        server.infer_bytes(b"\x22\x02\xff\xfe" + message().SerializeToString())  # tag: not UTF-8
    assert server.infer(message()).action


def test_a_prefix_for_a_policy_without_it_is_a_failed_precondition(serve, noise, message):
    request = message()
    request.prefix.delay_steps = 1
    with pytest.raises(UnmetPrecondition, match="supports_prefix"):
        serve(noise).infer_bytes(request.SerializeToString())


def test_a_failing_policy_is_internal_without_a_traceback(serve, moody, message):
    server = serve(moody)
    with pytest.raises(PolicyFailed, match=r"incident [0-9a-f]{8}$") as caught:
        server.infer_bytes(message(client_tag="raise").SerializeToString())
    for leaked in ("secret", "Traceback", ".py", "RuntimeError"):
        assert leaked not in str(caught.value)
        assert leaked not in str(caught.value.__cause__)
    assert server.infer(message()).action


def test_a_reply_that_cannot_be_made_is_an_incident_too(serve, message):
    class Faulty(Observer):
        def encoded(self, duration_ms):
            raise RuntimeError("secret path")

    with pytest.raises(PolicyFailed, match=r"answering a request failed; .* incident") as caught:
        serve(HoldPolicy(), observer=Faulty()).infer_bytes(message().SerializeToString())
    assert "secret" not in str(caught.value)


def test_before_the_policy_is_loaded_calls_are_told_to_come_back(
    serve, noise, message, typed_error
):
    server = serve(noise, ready=False)
    with pytest.raises(ServerUnavailable, match="starting"):
        server.infer_bytes(message().SerializeToString())
    with pytest.raises(grpc.RpcError) as caught:
        server.stub.GetInfo(pb.GetInfoRequest(), timeout=TIMEOUT_S)
    assert isinstance(typed_error(caught.value), ServerUnavailable)
    server.run(server.server.become_ready())
    assert server.infer(message()).action


def test_a_full_server_says_when_to_try_again(serve, gated, message, typed_error):
    server = serve(gated, limits=AdmissionLimits(requests=2))
    calls = [server.stub.Infer.future(message(), timeout=TIMEOUT_S)]
    gated.wait_until_busy()
    calls.append(server.stub.Infer.future(message(), timeout=TIMEOUT_S))
    server.wait_until_in_flight(2)
    with pytest.raises(grpc.RpcError) as caught:
        server.infer(message())
    error = typed_error(caught.value)
    assert isinstance(error, Overloaded)
    assert error.retry_after_s > 0
    gated.let_through(10)
    for call in calls:
        assert call.result().action
    assert server.infer(message()).action


def test_a_client_may_not_fill_the_server_alone(serve, gated, message, typed_error):
    server = serve(gated, limits=AdmissionLimits(client_requests=1))
    busy = server.stub.Infer.future(message(), timeout=TIMEOUT_S)
    gated.wait_until_busy()
    with pytest.raises(Overloaded, match="has 1 requests in flight") as caught:
        server.infer_bytes(message().SerializeToString())
    assert caught.value.retry_after_s > 0
    of_its_own = (("grpc.use_local_subchannel_pool", 1),)
    with grpc.insecure_channel(server.address, options=of_its_own) as channel:
        other = PolicyServiceStub(channel).Infer.future(message(sequence=2), timeout=TIMEOUT_S)
        gated.let_through(2)
        assert other.result().sequence == 2
    assert busy.result().action
    gated.let_through()
    assert server.infer(message()).action


def test_a_slow_client_comes_between_the_requests_of_one_that_floods(serve, gated, message):
    server = serve(gated)
    flood = [server.stub.Infer.future(message(sequence=n), timeout=TIMEOUT_S) for n in range(8)]
    gated.wait_until_busy()
    wait_until(lambda: server.server.levels()["queue_depth"] == 7)
    of_its_own = (("grpc.use_local_subchannel_pool", 1),)
    with grpc.insecure_channel(server.address, options=of_its_own) as channel:
        slow = PolicyServiceStub(channel).Infer.future(message(sequence=100), timeout=TIMEOUT_S)
        wait_until(lambda: server.server.levels()["queue_depth"] == 8)
        gated.let_through(9)
        assert slow.result().sequence == 100
    assert {call.result().sequence for call in flood} == set(range(8))
    assert gated.sequences.index([100]) <= 2  # behind one that ran and one whose turn it was


def test_a_request_that_got_too_old_is_never_computed(serve, gated, door, message, typed_error):
    server = serve(gated, observer=door)
    busy = server.stub.Infer.future(message(sequence=1), timeout=TIMEOUT_S)
    gated.wait_until_busy()
    old = server.stub.Infer.future(message(sequence=2, max_age_ms=1), timeout=TIMEOUT_S)
    young = server.stub.Infer.future(message(sequence=3, max_age_ms=60_000), timeout=TIMEOUT_S)
    door.wait_for(1, 2, 3)
    time.sleep(0.01)  # more than the greatest age of 2
    gated.let_through(10)
    assert busy.result().sequence == 1
    assert isinstance(typed_error(old.exception()), DeadlinePassed)
    assert young.result().sequence == 3
    assert [2] not in gated.sequences


def test_more_bytes_than_there_is_room_for_are_refused(serve, noise, message):
    server = serve(noise, limits=AdmissionLimits(message_bytes=1000))
    with pytest.raises(Overloaded, match=r"MiB\) in flight"):
        server.infer_bytes(message().SerializeToString())


def test_a_request_whose_client_gave_up_never_reaches_the_policy(serve, gated, message):
    server = serve(gated)
    busy = server.stub.Infer.future(message(sequence=1), timeout=TIMEOUT_S)
    gated.wait_until_busy()
    with pytest.raises(grpc.RpcError) as caught:
        server.infer(message(sequence=2), timeout_s=0.2)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    server.wait_until_in_flight(1)  # the server's clock for the call began later than the client's
    cancelled = server.stub.Infer.future(message(sequence=3), timeout=TIMEOUT_S)
    cancelled.cancel()
    gated.let_through(10)
    assert busy.result().sequence == 1
    assert server.infer(message(sequence=4)).sequence == 4
    assert [2] not in gated.sequences


def test_many_clients_at_once_each_get_their_own_answer(serve, noise, message):
    server = serve(noise)
    alone = {seed: decode_chunk(server.infer(message(seed=seed))) for seed in range(4)}

    def ask(seed):
        with grpc.insecure_channel(server.address) as channel:
            call = channel.unary_unary(
                "/handover.policy.v1.PolicyService/Infer",
                pb.InferRequest.SerializeToString,
                pb.InferReply.FromString,
            )
            return [decode_chunk(call(message(seed=seed), timeout=TIMEOUT_S)) for _ in range(5)]

    with futures.ThreadPoolExecutor(8) as pool:
        for seed, chunks in zip(range(4), pool.map(ask, range(4)), strict=True):
            for chunk in chunks:
                for name, values in chunk.action.items():
                    np.testing.assert_array_equal(values, alone[seed].action[name])


def test_a_server_keeps_nothing_of_the_requests_that_it_answered(serve, moody, message):
    server = serve(moody)
    for tag in ["", "refuse"] * 20:
        with contextlib.suppress(InvalidRequest):
            server.infer_bytes(message(client_tag=tag).SerializeToString())
    server.infer(message())

    def left():
        gc.collect()
        return sum(isinstance(each, PendingRequest) for each in gc.get_objects())

    until_s = time.monotonic() + TIMEOUT_S
    while left() > 2 and time.monotonic() < until_s:  # the last one's may be in a thread's frame
        time.sleep(0.05)
    assert left() <= 2


def test_garbage_from_one_client_leaves_another_served(serve, message):
    server = serve(HoldPolicy())
    bomb = b"\x0a\x00" * (8 * 1024 * 1024)
    refused = [threading.Event(), threading.Event()]
    others_done = threading.Event()

    def spam(first):
        while not others_done.is_set():
            with pytest.raises(InvalidRequest):
                server.infer_bytes(bomb)
            first.set()

    with futures.ThreadPoolExecutor(2) as pool:
        spammers = [pool.submit(spam, first) for first in refused]
        try:
            assert all(first.wait(TIMEOUT_S) for first in refused)
            for _ in range(10):
                assert server.infer(message()).action
        finally:
            others_done.set()
        for spammer in spammers:
            spammer.result()
