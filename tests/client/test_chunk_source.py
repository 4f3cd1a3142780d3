"""Chunks over the wire for ALOHA, and out of a script."""

import dataclasses

import numpy as np
import pytest
from handover_client.connection.policy_client import PolicyClient
from handover_client.control.chunk_sources import (
    RobotObservation,
    ScriptedChunks,
    ServerChunks,
    sampler_seed,
)
from handover_client.errors import EvaluationError
from handover_proto.embodiment import GR1_DIMS, split_groups, widen
from handover_proto.types import (
    ActionChunk,
    ActionSpec,
    CameraSpec,
    ImageCodec,
    Limits,
    PolicySpec,
    ServerInfo,
    StateSpec,
)
from handover_proto.wire import encode_chunk, encode_info

ALOHA = PolicySpec(
    policy="test",
    cameras=(CameraSpec("ego_view"),),
    state=tuple(StateSpec(name, dim) for name, dim in GR1_DIMS.items()),
    action=tuple(ActionSpec(name, dim) for name, dim in GR1_DIMS.items()),
    horizon=16,
    rate_hz=20.0,
    checkpoint_hash="aa" * 32,
)
TARGETS = np.random.default_rng(0).normal(size=(16, 14)).astype(np.float32)
SIGHT = RobotObservation(40, np.linspace(-1, 1, 14), np.zeros((32, 32, 3), np.uint8))


def answer(request, context, checkpoint_hash=ALOHA.checkpoint_hash):
    chunk = ActionChunk(
        split_groups(widen(TARGETS)),
        request.seed,
        request.sequence,
        request.client_tag,
        checkpoint_hash=checkpoint_hash,
    )
    return encode_chunk(chunk)


@pytest.fixture
def serve(start_server):
    def start(answer=answer, info=None):
        return start_server(answer, info or encode_info(ServerInfo(ALOHA, Limits())))

    return start


def chunks_of(address: str) -> ServerChunks:
    client = PolicyClient(address, ImageCodec.RAW_RGB8, call_timeout_s=60)
    return ServerChunks(client, ALOHA, "move", episode=3, seed=1003)


def test_joints_go_out_and_come_back_through_the_embodiment(serve):
    server = serve()
    given = chunks_of(server.address).ask(SIGHT)
    np.testing.assert_array_equal(given.targets, TARGETS)
    (call,) = server.servicer.calls
    left_arm = np.frombuffer(call.observation.state["left_arm"].data, "<f4")
    np.testing.assert_array_equal(left_arm, [*SIGHT.state[:6].astype(np.float32), 0])
    assert (call.sequence, call.client_tag) == (40, "episode=3")
    assert call.seed == sampler_seed(1003, 40)
    assert given.latency_ms > 0


def test_the_rest_of_the_last_chunk_goes_out_as_a_prefix(serve):
    info = encode_info(ServerInfo(dataclasses.replace(ALOHA, supports_prefix=True), Limits()))
    server = serve(info=info)
    rest = TARGETS[10:]
    chunks_of(server.address).ask(dataclasses.replace(SIGHT, rest=rest, delay_steps=2))
    (call,) = server.servicer.calls
    assert call.prefix.delay_steps == 2
    left_arm = np.frombuffer(call.prefix.action["left_arm"].data, "<f4").reshape(6, 7)
    np.testing.assert_array_equal(left_arm, np.pad(rest[:, :6], ((0, 0), (0, 1))))


def test_noise_differs_between_requests_and_repeats_between_runs():
    seeds = {sampler_seed(episode, step) for episode in range(20) for step in range(20)}
    assert len(seeds) == 400
    assert sampler_seed(1, 2) == sampler_seed(1, 2)


def test_other_weights_in_the_middle_of_a_run_are_refused(serve):
    server = serve(lambda request, context: answer(request, context, "bb" * 32))
    with pytest.raises(EvaluationError, match="one run judges one checkpoint"):
        chunks_of(server.address).ask(SIGHT)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cameras": (CameraSpec("left"), CameraSpec("right"))}, "one camera"),
        ({"cameras": (CameraSpec("ego_view", steps=2),)}, "one camera"),
        ({"state": (StateSpec("arm", 7),)}, "not one for ALOHA"),
        ({"action": ALOHA.action[:-1]}, "not one for ALOHA"),
    ],
)
def test_a_policy_for_another_robot_is_refused(change, words):
    spec = dataclasses.replace(ALOHA, **change)
    client = PolicyClient("localhost:1", ImageCodec.RAW_RGB8, 1.0)
    with pytest.raises(EvaluationError, match=words):
        ServerChunks(client, spec, "move", 0, 0)


def test_a_script_is_asked_by_time():
    times = []

    def chunk(time_s):
        times.append(time_s)
        return TARGETS

    source = ScriptedChunks(chunk, rate_hz=20.0)
    assert source.ask(RobotObservation(8, SIGHT.state, None)).durations is None
    assert times == [0.4]
