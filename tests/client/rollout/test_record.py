"""What counts as success, when, and how jerk is measured."""

import numpy as np
import pytest
from handover_client.rollout.record import EpisodeScore
from handover_client.rollout.smoothness import jerk_rms
from handover_proto.embodiment import ARM_JOINTS, GRIPPER_JOINTS


def scored(rewards, held=()) -> EpisodeScore:
    score = EpisodeScore()
    for step, reward in enumerate(rewards):
        score.add(reward, step in held)
    return score


def test_a_reward_counts_from_the_first_step_that_reached_it():
    score = scored([0, 0, 2, 1, 3, 0])
    assert score.first_steps == {1: 3, 2: 3, 3: 5}
    assert score.max_reward == 3
    assert not score.success


def test_one_step_at_reward_four_is_success():
    score = scored([0, 4, 0])
    assert score.success
    assert not score.strict_success


def test_strict_success_takes_ten_steps_in_a_row():
    assert not scored([4] * 30, held={*range(9), *range(10, 19)}).strict_success
    assert scored([4] * 30, held=range(3, 13)).strict_success


def test_nothing_reached_is_reward_zero():
    assert scored([0, 0]).max_reward == 0


def test_a_cubic_has_constant_jerk():
    time_s = np.arange(50) / 50
    targets = np.zeros((50, 14))
    targets[:, list(ARM_JOINTS)] = time_s[:, None] ** 3  # third derivative 6
    assert jerk_rms(targets, 50.0) == pytest.approx(6.0, rel=1e-6)


def test_grippers_have_no_part_in_the_jerk():
    targets = np.zeros((20, 14))
    targets[:, list(GRIPPER_JOINTS)] = np.random.default_rng(0).random((20, 2))
    assert jerk_rms(targets, 50.0) == 0.0


def test_jerk_takes_four_steps():
    targets = np.zeros((4, 14))
    targets[3, list(ARM_JOINTS)] = 0.1
    assert jerk_rms(targets, 50.0) == pytest.approx(0.1 * 50**3)
    assert jerk_rms(targets[:3], 50.0) is None
