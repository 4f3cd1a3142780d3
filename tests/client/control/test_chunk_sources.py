"""Chunks over the wire for ALOHA, and out of a script."""

import dataclasses

import numpy as np
import pytest
from handover_client import PolicyClient
from handover_client.control import ChunkRequest, ServerChunks
from handover_client.control.chunk_sources import ScriptedChunks, check_targets, sampler_seed
from handover_client.errors import EvaluationError, InvalidReply
from handover_proto.embodiment import (
    ALOHA_JOINTS,
    GR1_DIMS,
    aloha_state_groups,
    split_groups,
    widen,
)
from handover_proto.errors import UnmetPrecondition
from handover_proto.types import (
    ActionChunk,
    ActionSpec,
    CameraSpec,
    ImageCodec,
    Limits,
    Observation,
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
TARGETS = np.random.default_rng(0).uniform(-1, 1, (16, 14)).astype(np.float32)
JOINTS = np.linspace(-1, 1, 14)
FRAME = np.zeros((32, 32, 3), np.uint8)
REQUEST = ChunkRequest(
    100, 40, Observation({"ego_view": [FRAME]}, aloha_state_groups(JOINTS), "move")
)


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
    return ServerChunks(client, ALOHA, seed=1003, client_tag="episode=3", same_weights=True)


def test_joints_go_out_and_come_back_through_the_embodiment(serve):
    server = serve()
    given = chunks_of(server.address).ask(REQUEST)
    np.testing.assert_array_equal(given.targets, TARGETS)
    (call,) = server.servicer.calls
    left_arm = np.frombuffer(call.observation.state["left_arm"].data, "<f4")
    np.testing.assert_array_equal(left_arm, [*JOINTS[:6].astype(np.float32), 0])
    assert (call.sequence, call.client_tag) == (40, "episode=3")
    assert call.seed == sampler_seed(1003, 40)
    assert given.latency_ms > 0


def test_the_rest_of_the_last_chunk_goes_out_as_a_prefix(serve):
    info = encode_info(ServerInfo(dataclasses.replace(ALOHA, supports_prefix=True), Limits()))
    server = serve(info=info)
    rest = TARGETS[10:]
    chunks_of(server.address).ask(dataclasses.replace(REQUEST, rest=rest, delay_steps=2))
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
        chunks_of(server.address).ask(REQUEST)


@pytest.mark.parametrize(
    "change", [{"state": (StateSpec("arm", 7),)}, {"action": ALOHA.action[:-2]}]
)
def test_a_policy_for_another_robot_is_refused(change):
    spec = dataclasses.replace(ALOHA, **change)
    with pytest.raises(UnmetPrecondition, match="not one for ALOHA"):
        ServerChunks(PolicyClient("localhost:1"), spec)


def test_any_weights_may_answer_where_nothing_is_judged(serve):
    server = serve(lambda request, context: answer(request, context, "bb" * 32))
    with PolicyClient.connect(server.address, call_timeout_s=60) as client:
        np.testing.assert_array_equal(ServerChunks(client).ask(REQUEST).targets, TARGETS)
    (call,) = server.servicer.calls
    assert not call.HasField("seed")  # the server draws it


def test_a_script_is_asked_by_time():
    times = []

    def chunk(time_s):
        times.append(time_s)
        return TARGETS

    source = ScriptedChunks(chunk, rate_hz=20.0, horizon=16)
    assert source.ask(dataclasses.replace(REQUEST, sequence=8)).durations is None
    assert times == [0.4]


@pytest.mark.parametrize(
    ("joint", "value"),
    [(0, 7.0), (12, -7.0), (6, 2.5), (13, -1.5), (3, float("nan"))],
)
def test_targets_that_no_aloha_could_take_are_refused(joint, value):
    targets = np.zeros((4, 14), np.float32)
    check_targets(targets)
    targets[2, joint] = value
    with pytest.raises(InvalidReply, match=rf"{ALOHA_JOINTS[joint]}.* at step 2"):
        check_targets(targets)
