"""Replaying episodes: what is asked, with which seed, and what is laid beside what."""

import dataclasses

import numpy as np
import pytest
from handover_client.connection.policy_client import PolicyClient
from handover_client.errors import EvaluationError
from handover_client.replay.action_groups import ActionColumns
from handover_client.replay.baselines import HOLD, MEAN_TRAJECTORY, MeanTrajectory
from handover_client.replay.replayer import (
    Replayer,
    ReplayPlan,
    inference_steps,
    request_seed,
    select_groups,
)
from handover_proto.errors import Overloaded, PolicyFailed
from handover_proto.types import ActionChunk, CameraSpec, Limits, ServerInfo
from handover_proto.wire import (
    ERROR_METADATA_KEY,
    encode_chunk,
    encode_error,
    encode_info,
)
from handover_proto.wire.codec import decode_tensor

LAYOUT = ActionColumns({"arm": 2, "gripper": 1})
NO_MEAN = MeanTrajectory([], 1)


def counting(request, context):
    """Answer with the request's step in every value, and the place in the chunk as a fraction."""
    values = request.sequence + np.arange(4, dtype=np.float32)[:, None] / 10
    return encode_chunk(
        ActionChunk(
            {"arm": np.repeat(values, 2, axis=1), "gripper": values},
            request.seed,
            request.sequence,
            request.client_tag,
        )
    )


@pytest.fixture
def replay(start_server, recordings):
    def run(answer=counting, plan=None, entry=0, mean=NO_MEAN):
        info = encode_info(ServerInfo(recordings.spec, Limits()))
        server = start_server(answer=answer, info=info)
        with PolicyClient.connect(server.address, timeout_s=60) as client:
            replayer = Replayer(client, recordings, LAYOUT, plan or ReplayPlan(200, 4, 0))
            answers = replayer.ask(recordings.episodes[entry], lambda: None)
            trajectory = replayer.trajectory(recordings.episodes[entry], answers, mean)
        return trajectory, server.servicer.calls

    return run


def test_the_policy_is_asked_every_action_horizon_steps_with_that_steps_observation(
    replay, recordings
):
    trajectory, calls = replay()
    assert trajectory.inference_steps == (0, 4, 8)
    assert [call.sequence for call in calls] == [0, 4, 8]
    assert {call.client_tag for call in calls} == {"episode=0"}
    state = recordings.rows[0].state
    for call in calls:
        sent = call.observation
        assert sent.task == f"task of row {call.sequence}"
        assert set(sent.cameras["wrist"].frames[0].data) == {call.sequence}
        np.testing.assert_array_equal(
            decode_tensor(sent.state["arm"], "")[0], state[call.sequence, :2]
        )
        np.testing.assert_array_equal(
            decode_tensor(sent.state["gripper"], "")[0], state[call.sequence, 2:]
        )


def test_a_policy_that_looks_back_sees_the_steps_that_its_server_tells(replay, recordings):
    arm, gripper = recordings.spec.state
    recordings.spec = dataclasses.replace(
        recordings.spec,
        cameras=(CameraSpec("wrist", steps=3, delta_indices=(-5, -1, 0)),),
        state=(dataclasses.replace(arm, steps=2, delta_indices=(-2, 0)), gripper),
    )
    _, calls = replay()
    seen = [[frame.data[0] for frame in call.observation.cameras["wrist"].frames] for call in calls]
    assert seen == [[0, 0, 0], [0, 3, 4], [3, 7, 8]]  # before the start, the first row
    state = recordings.rows[0].state
    for call, rows in zip(calls, ([0, 0], [2, 4], [6, 8]), strict=True):
        sent = call.observation.state
        np.testing.assert_array_equal(decode_tensor(sent["arm"], ""), state[rows, :2])
        np.testing.assert_array_equal(decode_tensor(sent["gripper"], ""), state[rows[1:], 2:])


def test_chunks_are_cut_to_the_action_horizon_and_the_whole_to_the_episode(replay):
    trajectory, _ = replay(plan=ReplayPlan(200, 3, 0))
    expected = [0, 0.1, 0.2, 3, 3.1, 3.2, 6, 6.1, 6.2, 9]
    np.testing.assert_allclose(trajectory.predicted[:, 0], expected, rtol=1e-6)
    assert trajectory.demonstrated.shape == trajectory.predicted.shape == (10, 3)


def test_steps_cut_a_longer_episode(replay):
    trajectory, calls = replay(plan=ReplayPlan(5, 4, 0))
    assert len(calls) == 2
    np.testing.assert_allclose(trajectory.predicted[:, 0], [0, 0.1, 0.2, 0.3, 4], rtol=1e-6)


def test_demonstrated_columns_are_in_the_policys_order(replay, recordings):
    trajectory, _ = replay()
    action = recordings.rows[0].action  # the dataset stores the gripper first
    np.testing.assert_array_equal(trajectory.demonstrated, action[:, [1, 2, 0]])


def test_baselines_are_held_states_and_the_other_episodes_mean(replay, recordings):
    actions = [
        select_groups(recordings.rows[entry.index].action, recordings.action_groups, LAYOUT)
        for entry in recordings.episodes
    ]
    mean = MeanTrajectory(actions, 200)
    trajectory, _ = replay(entry=1, mean=mean)
    state = recordings.rows[3].state
    np.testing.assert_array_equal(trajectory.baselines[HOLD], state[[0, 0, 0, 0, 4, 4]])
    np.testing.assert_array_equal(trajectory.baselines[MEAN_TRAJECTORY], mean.without(actions[1]))


def test_every_request_has_its_own_seed_and_runs_repeat(replay):
    first, calls = replay(plan=ReplayPlan(200, 4, 5))
    again, _ = replay(plan=ReplayPlan(200, 4, 5))
    other, _ = replay(plan=ReplayPlan(200, 4, 6))
    assert tuple(call.seed for call in calls) == first.seeds == again.seeds
    assert len({*first.seeds, *other.seeds}) == 6


def test_a_requests_seed_is_the_documented_one():
    # numpy's SeedSequence is the same on every platform and in every version
    assert request_seed(0, 0, 0) == 15793235383387715774
    assert request_seed(0, 1, 0) != request_seed(0, 0, 1)


def test_inference_steps_end_before_the_episode_does():
    assert list(inference_steps(16, ReplayPlan(200, 16, 0))) == [0]
    assert list(inference_steps(17, ReplayPlan(200, 16, 0))) == [0, 16]
    assert list(inference_steps(400, ReplayPlan(33, 16, 0))) == [0, 16, 32]


def test_a_full_queue_is_waited_for(replay):
    asked = []

    def busy_twice(request, context):
        asked.append(request.sequence)
        if len(asked) <= 2:
            import grpc

            detail = encode_error(Overloaded("full", 0.01)).SerializeToString()
            context.set_trailing_metadata(((ERROR_METADATA_KEY, detail),))
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "full")
        return counting(request, context)

    trajectory, _ = replay(answer=busy_twice)
    assert asked == [0, 0, 0, 4, 8]
    assert len(trajectory.calls) == 3


def test_a_failing_policy_ends_the_replay(replay):
    def fail(request, context):
        import grpc

        context.abort(grpc.StatusCode.INTERNAL, "out of memory")

    with pytest.raises(PolicyFailed, match="out of memory"):
        replay(answer=fail)


def test_a_checkpoint_that_changes_during_the_run_ends_it(replay):
    def swapped(request, context):
        reply = counting(request, context)
        reply.checkpoint_hash = "0ther"
        return reply

    with pytest.raises(EvaluationError, match="changed during the run"):
        replay(answer=swapped)


def test_numbers_that_are_not_finite_in_a_recording_end_the_replay(replay, recordings):
    recordings.rows[0].action[2, 1] = np.nan
    with pytest.raises(EvaluationError, match="episode 0 holds numbers that are not finite"):
        replay()
