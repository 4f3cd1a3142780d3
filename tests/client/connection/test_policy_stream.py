"""The blocking stream: newest wins, errors belong to their request, nothing waits for ever."""

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
)
from handover_proto.wire.messages import encode_error


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
