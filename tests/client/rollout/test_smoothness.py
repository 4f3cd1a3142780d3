import numpy as np
import pytest
from handover_client.rollout.smoothness import (
    border_acceleration,
    border_jerk_rms,
    jerk_rms,
    motion,
    within_acceleration,
    within_jerk_rms,
)
from handover_proto.embodiment import ARM_JOINTS, GRIPPER_JOINTS


def jump_at(step: int, height: float = 0.1, joints=ARM_JOINTS, length: int = 20) -> np.ndarray:
    targets = np.zeros((length, 14))
    targets[step:, list(joints)] = height
    return targets


def test_a_jump_at_a_border_is_what_its_differences_say():
    # second differences around a jump h: h and -h in each of 12 joints
    assert border_acceleration(jump_at(8), [8], 50.0) == pytest.approx(0.1 * 50**2 * np.sqrt(12))
    # third differences around it: h, -2 h, h
    assert border_jerk_rms(jump_at(8), [8], 50.0) == pytest.approx(0.1 * 50**3 * np.sqrt(2))


def test_a_jump_elsewhere_and_grippers_do_not_count():
    assert border_acceleration(jump_at(8), [12], 50.0) == 0
    assert border_jerk_rms(jump_at(8), [12], 50.0) == 0
    assert border_acceleration(jump_at(8, joints=GRIPPER_JOINTS), [8], 50.0) == 0


def test_a_steady_motion_has_borders_without_a_pull():
    ramp = np.repeat(np.arange(20.0)[:, None], 14, axis=1)
    assert border_acceleration(ramp, [5, 10], 50.0) == pytest.approx(0)
    assert border_jerk_rms(ramp, [5, 10], 50.0) == pytest.approx(0)


def test_borders_are_averaged_and_windows_counted_once():
    targets = jump_at(8, 0.1) + jump_at(14, 0.3)
    pulls = [0.1 * 50**2 * np.sqrt(12), 0.3 * 50**2 * np.sqrt(12)]
    assert border_acceleration(targets, [8, 14], 50.0) == pytest.approx(np.mean(pulls))
    everywhere = range(1, 20)  # then it is the jerk of the whole episode
    assert border_jerk_rms(targets, everywhere, 50.0) == pytest.approx(jerk_rms(targets, 50.0))


@pytest.mark.parametrize(("borders", "length"), [([], 20), ([1], 2), ([30], 20)])
def test_without_a_border_in_the_episode_there_is_no_figure(borders, length):
    targets = np.zeros((length, 14))
    assert border_jerk_rms(targets, borders, 50.0) is None
    assert border_acceleration(targets, borders, 50.0) is None


def test_what_is_within_chunks_is_what_borders_leave():
    targets = jump_at(8, 0.1) + jump_at(14, 0.3)  # 20 steps, so 17 third differences
    assert within_jerk_rms(targets, [8, 14], 50.0) == 0
    assert within_acceleration(targets, [8, 14], 50.0) == 0
    assert within_jerk_rms(targets, [], 50.0) == pytest.approx(jerk_rms(targets, 50.0))
    # around the jump at 8: 3 of the 14 third differences that do not span the border at 14
    assert within_jerk_rms(targets, [14], 50.0) == pytest.approx(0.1 * 50**3 * np.sqrt(6 / 14))
    # of the 20 control steps 1 … 18 have both second differences; 13, 14 and 15 see the border,
    # and 7, 8 and 9 the jump at 8
    pull = 0.1 * 50**2 * np.sqrt(12)
    pairs = [max(a, b) for a, b in within_pairs(targets, 14)]
    assert within_acceleration(targets, [14], 50.0) == pytest.approx(np.mean(pairs))
    assert pairs.count(pytest.approx(pull)) == 3


def within_pairs(targets, border):
    """(k - 1, k) norms of second differences, none of which holds both sides of the border."""
    rows = targets[:, list(ARM_JOINTS)]
    pulls = {
        k: np.linalg.norm(rows[k + 1] - 2 * rows[k] + rows[k - 1]) * 50**2
        for k in range(1, len(rows) - 1)
        if k not in (border - 1, border)
    }
    return [(pulls[k - 1], pulls[k]) for k in range(2, len(rows) - 1) if {k - 1, k} <= set(pulls)]


def test_the_leap_with_which_the_first_chunk_begins_is_not_within_one():
    figures = motion(jump_at(8), [12], 8, 50.0)
    assert figures["within_jerk_rms"] == figures["within_acceleration"] == 0
    assert motion(jump_at(8), [12], 7, 50.0)["within_jerk_rms"] > 0
    assert figures["jerk_rms"] == jerk_rms(jump_at(8), 50.0)
