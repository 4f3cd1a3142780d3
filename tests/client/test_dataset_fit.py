"""A dataset, a policy and a run that do not fit: one clear line."""

from dataclasses import replace
from pathlib import Path

import pytest
from handover_client.errors import EvaluationError
from handover_client.replay.compatibility import check_fit, check_horizon, choose_episodes
from handover_client.replay.config import ReplayConfig, check
from handover_common.errors import UsageError
from handover_proto.types import ActionSpec, CameraSpec, StateSpec


def test_a_fitting_dataset_is_laid_out_in_the_policys_order(recordings):
    assert list(check_fit(recordings, recordings.spec).dims.items()) == [("arm", 2), ("gripper", 1)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cameras": (CameraSpec("top"),)}, r"camera top \(it has wrist\)"),
        ({"state": (StateSpec("leg", 2),)}, r"state group leg \(it has arm, gripper\)"),
        ({"action": (ActionSpec("leg", 2),)}, "action group leg"),
        ({"state": (StateSpec("arm", 7),)}, "'arm' has 2 values in the dataset and 7"),
        ({"action": (ActionSpec("gripper", 6),)}, "'gripper' has 1 values in the dataset and 6"),
        ({"rate_hz": 20.0}, "10 steps per second, the policy 20.*--fps 20"),
        ({"cameras": (CameraSpec("wrist", steps=2),)}, "several steps of wrist"),
        ({"cameras": (CameraSpec("wrist", 2, 0, 0, (0, 1)),)}, "several steps of wrist"),
        ({"state": (StateSpec("arm", 2, 3, "", (-1, 0)),)}, "several steps of arm"),
    ],
)
def test_what_does_not_fit_is_named(recordings, change, message):
    with pytest.raises(EvaluationError, match=message):
        check_fit(recordings, replace(recordings.spec, **change))


def test_everything_that_lacks_is_named_at_once(recordings):
    spec = replace(recordings.spec, cameras=(CameraSpec("top"),), state=(StateSpec("leg", 1),))
    with pytest.raises(EvaluationError, match=r"camera top.*state group leg"):
        check_fit(recordings, spec)


def test_a_rate_that_the_checkpoint_does_not_tell_fits(recordings):
    check_fit(recordings, replace(recordings.spec, rate_hz=0.0))


def test_episodes_are_taken_in_the_order_asked_for_and_all_by_default(recordings):
    assert [entry.index for entry in choose_episodes(recordings, (6, 0))] == [6, 0]
    assert [entry.index for entry in choose_episodes(recordings, ())] == [0, 3, 6]


@pytest.mark.parametrize(
    ("traj_ids", "message"),
    [((0, 1, 99), "no episode 1, 99; it has 0, 3, 6"), ((3, 3), "named twice")],
)
def test_unknown_and_repeated_ids_are_usage_errors(recordings, traj_ids, message):
    with pytest.raises(UsageError, match=message):
        choose_episodes(recordings, traj_ids)


def test_known_ids_are_written_as_ranges(recordings):
    recordings.episodes = [type(recordings.episodes[0])(index, 5) for index in (0, 1, 2, 3, 7)]
    with pytest.raises(UsageError, match=r"it has 0-3, 7$"):
        choose_episodes(recordings, (9,))


@pytest.mark.parametrize("action_horizon", [0, 5])
def test_a_horizon_that_the_chunks_do_not_have_is_a_usage_error(recordings, action_horizon):
    with pytest.raises(UsageError, match=r"^--action-horizon .*expected 1 to 4"):
        check_horizon(action_horizon, recordings.spec)


@pytest.mark.parametrize(("flag", "value"), [("steps", 0), ("seed", -1)])
def test_numbers_that_make_no_sense_are_usage_errors(flag, value):
    config = ReplayConfig("127.0.0.1:1", Path("here"), Path("out"), **{flag: value})
    with pytest.raises(UsageError, match=rf"^--{flag} is {value}, expected"):
        check(config)
