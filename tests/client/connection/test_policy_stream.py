"""The blocking stream: newest wins, errors belong to their request, nothing waits for ever."""

import dataclasses
import itertools
import threading
import traceback

import grpc
import numpy as np
import pytest
from handover_client import PolicyClient
from handover_client.connection.policy_stream import Outbox
from handover_client.connection.requests import SealedRequest
from handover_proto import policy_pb2 as pb
from handover_proto.errors import (
    DeadlinePassed,
    InvalidRequest,
    PolicyFailed,
    ServerUnavailable,
    Superseded,
    UnmetPrecondition,
)
from handover_proto.types import Limits, ServerInfo
from handover_proto.wire import encode_error, encode_info


def test_answers_name_their_request(start_server, observation):
    server = start_server()
    with PolicyClient.connect(server.address, timeout_s=60) as client, client.stream() as stream:
        for sequence in (3, 9):
            stream.send(observation, sequence=sequence, seed=1, client_tag="robot")
            answer = stream.receive(timeout_s=60)
            assert (answer.sequence, answer.client_tag) == (sequence, "robot")
            np.testing.assert_array_equal(
                answer.result().action["hand"], np.ones((4, 1), np.float32)
            )


def test_an_error_reply_belongs_to_its_request_and_the_stream_goes_on(start_server, observation):
    def fail_first(request, context):
        if request.sequence == 0:
            error = encode_error(PolicyFailed("out of memory"))
            return pb.InferReply(sequence=0, error=error)
        return pb.InferReply(sequence=request.sequence)  # no action: garbage

    server = start_server(answer=fail_first)
    with PolicyClient.connect(server.address, timeout_s=60) as client, client.stream() as stream:
        stream.send(observation, sequence=0)
        with pytest.raises(PolicyFailed, match="out of memory"):
            stream.receive(timeout_s=60).result()
        stream.send(observation, sequence=1)
        assert "breaks the contract" in str(stream.receive(timeout_s=60).error)


def test_an_answer_that_does_not_come_is_a_deadline(start_server, observation):
    released = threading.Event()

    def slow(request, context):
        released.wait(120)
        return pb.InferReply()

    server = start_server(answer=slow)
    with PolicyClient.connect(server.address, timeout_s=60) as client, client.stream() as stream:
        stream.send(observation, sequence=0)
        with pytest.raises(DeadlinePassed, match=r"within 0\.1 s"):
            stream.receive(timeout_s=0.1)
        with pytest.raises(DeadlinePassed):
            stream.receive(timeout_s=-0.1)  # what a caller's own deadline may leave
    released.set()


def test_bad_requests_are_not_sent_on_the_stream(start_server, observation):
    server = start_server()
    with PolicyClient.connect(server.address, timeout_s=60) as client, client.stream() as stream:
        with pytest.raises(InvalidRequest, match="2\\^64"):
            stream.send(observation, sequence=-1)
        stream.send(observation, sequence=0)
        stream.receive(timeout_s=60)
    assert len(server.servicer.calls) == 1


def test_a_stream_that_the_server_aborts_tells_every_later_call(start_server, observation):
    def abort(request, context):
        context.abort(grpc.StatusCode.INTERNAL, "policy failed")

    server = start_server(answer=abort)
    with PolicyClient.connect(server.address, timeout_s=60) as client, client.stream() as stream:
        stream.send(observation, sequence=0)
        for _ in range(2):
            with pytest.raises(PolicyFailed, match="policy failed"):
                stream.receive(timeout_s=60)
        with pytest.raises(PolicyFailed, match="policy failed"):
            stream.send(observation, sequence=1)


def test_sending_on_an_ended_stream_again_and_again_keeps_nothing(start_server, observation):
    def abort(request, context):
        context.abort(grpc.StatusCode.INTERNAL, "policy failed")

    def frames_of(call) -> int:
        with pytest.raises(PolicyFailed) as caught:
            call()
        return len(traceback.extract_tb(caught.value.__traceback__))

    server = start_server(answer=abort)
    with PolicyClient.connect(server.address, timeout_s=5) as client, client.stream() as stream:
        stream.send(observation, sequence=0)
        for call in (
            lambda: stream.receive(timeout_s=30),
            lambda: stream.send(observation, sequence=1),
        ):
            assert frames_of(call) == frames_of(call)


def test_closing_a_client_ends_its_streams(start_server, observation):
    server = start_server()
    client = PolicyClient.connect(server.address, timeout_s=60)
    with client.stream() as stream:
        client.close()
        with pytest.raises(ServerUnavailable):
            stream.receive(timeout_s=60)


def test_an_unsent_observation_is_superseded_by_the_next():
    outbox = Outbox()
    first, second = (SealedRequest(bytes([number]), number, "") for number in (1, 2))
    assert outbox.put(first) is None
    assert outbox.put(second) is first
    assert next(iter(outbox)) == second.data
    outbox.close()
    assert list(outbox) == []


def test_every_observation_of_a_burst_is_answered(start_server, observation):
    server = start_server()
    with PolicyClient.connect(server.address, timeout_s=60) as client, client.stream() as stream:
        for sequence in range(50):
            stream.send(observation, sequence=sequence)
        answers = [stream.receive(timeout_s=60) for _ in range(50)]
    assert sorted(answer.sequence for answer in answers) == list(range(50))
    failed = [answer.error for answer in answers if answer.chunk is None]
    assert all(isinstance(error, Superseded) for error in failed)
    assert max(answer.sequence for answer in answers if answer.chunk is not None) == 49


def served_again(start_server, server, **changes):
    """A server on the port of one that was stopped."""
    return start_server(port=server.port, **changes)


def test_a_stream_is_opened_again_when_its_server_is_back(start_server, observation):
    server = start_server()
    with (
        PolicyClient.connect(server.address, timeout_s=60) as client,
        client.stream(reopen_within_s=60) as stream,
    ):
        stream.send(observation, sequence=0)
        assert stream.receive(timeout_s=60).chunk is not None
        server.server.stop(grace=0).wait(60)
        for sequence in (1, 2):  # whether the break was noticed by then or not
            stream.send(observation, sequence=sequence)
            answer = stream.receive(timeout_s=60)
            assert answer.sequence == sequence
            assert isinstance(answer.error, ServerUnavailable)
            assert "being opened again" in str(answer.error)
        served_again(start_server, server)
        for sequence in itertools.count(3):
            stream.send(observation, sequence=sequence)
            answer = stream.receive(timeout_s=60)
            assert answer.sequence == sequence
            if answer.chunk is not None:
                break


def test_what_was_under_way_is_answered_when_the_stream_breaks(start_server, observation):
    asked, released = threading.Event(), threading.Event()

    def stuck(request, context):
        asked.set()
        released.wait(120)
        return pb.InferReply()

    server = start_server(answer=stuck)
    with (
        PolicyClient.connect(server.address, timeout_s=60) as client,
        client.stream(reopen_within_s=60) as stream,
    ):
        stream.send(observation, sequence=7, client_tag="robot")
        assert asked.wait(60)
        server.server.stop(grace=0)
        answer = stream.receive(timeout_s=60)
        assert (answer.sequence, answer.client_tag) == (7, "robot")
        assert isinstance(answer.error, ServerUnavailable)
        released.set()


def test_a_server_that_does_not_come_back_in_time_ends_the_stream(start_server, observation):
    server = start_server()
    with (
        PolicyClient.connect(server.address, timeout_s=60) as client,
        client.stream(reopen_within_s=0.2) as stream,
    ):
        server.server.stop(grace=0).wait(60)
        for _ in range(2):
            with pytest.raises(ServerUnavailable, match=r"no server ready at .* within 0\.2 s"):
                stream.receive(timeout_s=60)


def test_a_stream_does_not_go_on_with_another_policy(start_server, observation, spec):
    server = start_server()
    with (
        PolicyClient.connect(server.address, timeout_s=60) as client,
        client.stream(reopen_within_s=60) as stream,
    ):
        stream.send(observation, sequence=0)
        assert stream.receive(timeout_s=60).chunk is not None  # it is open on that server
        server.server.stop(grace=0).wait(60)
        other = dataclasses.replace(spec, horizon=spec.horizon + 1)
        served_again(start_server, server, info=encode_info(ServerInfo(other, Limits())))
        with pytest.raises(UnmetPrecondition, match="another policy, whose horizon differ"):
            stream.receive(timeout_s=60)


def test_a_stream_can_be_closed_while_its_server_is_away(start_server):
    server = start_server()
    with PolicyClient.connect(server.address, timeout_s=60) as client:
        stream, other = (client.stream(reopen_within_s=1e6) for _ in range(2))
        server.server.stop(grace=0).wait(60)
        stream.close()
    for each in (stream, other):  # the other one by its client's end
        with pytest.raises(ServerUnavailable):
            each.receive(timeout_s=60)
