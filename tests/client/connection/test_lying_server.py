"""What a server says about itself and about its work is checked before anything goes by it."""

import asyncio
import dataclasses

import numpy as np
import pytest
from handover_client.connection.async_client import AsyncPolicyClient
from handover_client.connection.policy_client import PolicyClient
from handover_client.connection.readiness import MOST_STEPS, check_server_info
from handover_client.errors import InvalidReply
from handover_proto import policy_pb2 as pb
from handover_proto.errors import PolicyFailed, UnmetPrecondition
from handover_proto.types import (
    MAX_MESSAGE_BYTES,
    ActionChunk,
    ActionSpec,
    CameraSpec,
    Limits,
    ServerInfo,
    StageDurations,
    StateSpec,
    TrainingRecord,
)
from handover_proto.wire import decode_error, encode_chunk

from ..conftest import HORIZON, SPEC, hold

RED = "\x1b[31m"


def info_with(**changes) -> ServerInfo:
    return ServerInfo(dataclasses.replace(SPEC, **changes), Limits())


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"rate_hz": float("nan")}, "rate_hz"),
        ({"rate_hz": 1e-300}, "rate_hz"),
        ({"rate_hz": -20.0}, "rate_hz"),
        ({"rate_hz": float("inf")}, "rate_hz"),
        ({"horizon": 0}, "GetInfo"),
        ({"horizon": MOST_STEPS + 1}, "horizon"),
        ({"learned_delay_steps": HORIZON + 1}, "learned_delay_steps"),
        ({"action": (ActionSpec("arm", 3), ActionSpec("arm", 3))}, "action"),
        ({"action": (ActionSpec("arm", 10**6),)}, "action.dim"),
        ({"state": (StateSpec("arm", 3, steps=10**6),)}, "state.steps"),
        ({"cameras": (CameraSpec("top", height=10**6),)}, "cameras.height"),
        ({"cameras": tuple(CameraSpec(str(k)) for k in range(300))}, "cameras"),
        ({"checkpoint_name": f"{RED}fine"}, "GetInfo"),
        ({"policy": "two\nlines"}, "GetInfo"),
        ({"device": "x" * 2000}, "GetInfo"),
        ({"state": (StateSpec("arm", 3, unit=RED),)}, "state"),
        ({"training": (TrainingRecord(RED, "", ()),)}, "training"),
    ],
)
def test_an_info_that_nobody_can_go_by_is_refused_by_name(changes, field):
    with pytest.raises(InvalidReply) as caught:
        check_server_info(info_with(**changes))
    assert caught.value.field == field
    assert "\x1b" not in str(caught.value)


def test_an_honest_info_is_taken():
    check_server_info(info_with())
    check_server_info(info_with(rate_hz=0.0, learned_delay_steps=HORIZON))


def reply_with(request, **changes):
    action = {
        "arm": np.zeros((HORIZON, 3), np.float32),
        "hand": np.zeros((HORIZON, 1), np.float32),
    }
    chunk = ActionChunk(action, request.seed, request.sequence, request.client_tag)
    return encode_chunk(dataclasses.replace(chunk, **changes))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"durations": StageDurations(queue_ms=float("nan"))}, "durations.queue_ms"),
        ({"durations": StageDurations(decode_ms=-1.0)}, "durations.decode_ms"),
        ({"durations": StageDurations(backbone_ms=1e300)}, "durations.backbone_ms"),
        ({"checkpoint_hash": RED}, "checkpoint_hash"),
        (
            {
                "action": {
                    "arm": np.full((HORIZON, 3), 3e38, np.float32),
                    "hand": np.zeros((HORIZON, 1), np.float32),
                }
            },
            'action["arm"]',
        ),
    ],
)
def test_a_chunk_with_impossible_numbers_never_reaches_a_robot(
    start_server, observation, changes, field
):
    server = start_server(answer=lambda request, _: reply_with(request, **changes))
    with (
        PolicyClient.connect(server.address) as client,
        pytest.raises(InvalidReply) as caught,
    ):
        client.infer(observation)
    assert caught.value.field == field


def test_a_stream_ends_at_the_first_answer_that_nobody_asked_for(start_server, observation):
    def of_another(request, context):
        reply = hold(request, context)
        reply.sequence += request.sequence > 7
        return reply

    server = start_server(answer=of_another)
    with PolicyClient.connect(server.address) as client, client.stream() as stream:
        stream.send(observation, sequence=7)
        assert stream.receive(timeout_s=60).chunk is not None
        stream.send(observation, sequence=8)
        with pytest.raises(InvalidReply, match="sequence: expected that of a request"):
            stream.receive(timeout_s=60)
        with pytest.raises(InvalidReply):
            stream.send(observation, sequence=9)


def test_a_second_answer_to_one_request_ends_an_asyncio_stream(start_server, observation):
    def of_the_first(request, context):
        reply = hold(request, context)
        reply.sequence = 7
        return reply

    async def ask(address: str) -> None:
        async with await AsyncPolicyClient.connect(address) as client, client.stream() as stream:
            for sequence in (7, 8):
                stream.send(observation, sequence=sequence)
                answer = await stream.receive(timeout_s=60)
                assert answer.sequence == 7

    with pytest.raises(InvalidReply, match="sequence"):
        asyncio.run(ask(start_server(answer=of_the_first).address))


def test_a_reply_larger_than_a_message_may_be_is_not_asked_for_again(start_server, observation):
    def large(request, _):
        return pb.InferReply(client_tag="x" * (MAX_MESSAGE_BYTES + 1))

    server = start_server(answer=large)
    with PolicyClient.connect(server.address) as client:
        with pytest.raises(UnmetPrecondition, match="too large"):
            client.infer(observation)
        assert len(server.servicer.calls) == 1


def test_a_server_s_words_hold_no_control_sequences():
    error = decode_error(pb.ErrorDetail(status=13, message=f"{RED}boom\x07"))
    assert isinstance(error, PolicyFailed)
    assert str(error) == r"\x1b[31mboom\x07"
    error = decode_error(pb.ErrorDetail(status=3, field=RED, expected="a", got="b"))
    assert "\x1b" not in str(error)
