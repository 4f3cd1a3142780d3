"""The expected delay follows the answers' lags, and not the single late one."""

import itertools
from fractions import Fraction

from handover_client.control.requester import LAGS_REMEMBERED, DelayEstimate

POLICY = Fraction(2, 5)  # 20 Hz at 50 Hz of control


def estimate_after(lags):
    estimate = DelayEstimate()
    for lag in lags:
        estimate.add(lag)
    return estimate.policy_steps(Fraction(1))


def test_nothing_is_expected_before_the_first_answer():
    assert DelayEstimate().policy_steps(POLICY) == 0


def test_the_first_answer_is_what_is_expected_of_the_second():
    assert estimate_after([7]) == 7


def test_one_late_answer_in_twenty_is_not_expected_again():
    lags = [5] * 12 + [40] + [5] * 7
    assert estimate_after(lags) == 5


def test_three_late_answers_in_twenty_are():
    assert estimate_after([5] * 17 + [12] * 3) == 12


def test_it_rises_at_once_and_falls_by_a_step_at_a_time():
    rising = [2] * 3 + [10]
    assert estimate_after(rising) == 10
    fallen = [10] * 3 + [2] * LAGS_REMEMBERED
    estimate = DelayEstimate()
    seen = []
    for lag in fallen:
        estimate.add(lag)
        seen.append(estimate.policy_steps(Fraction(1)))
    assert all(before - after in (0, 1) for before, after in itertools.pairwise(seen))
    assert seen[-1] < 10


def test_it_is_counted_in_whole_steps_of_the_policy_rounded_up():
    estimate = DelayEstimate()
    estimate.add(6)  # 120 ms at 50 Hz: 2.4 steps of 50 ms
    assert estimate.policy_steps(POLICY) == 3
