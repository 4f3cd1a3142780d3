"""When the next chunk is asked for."""

from fractions import Fraction

import pytest
from handover_client.control.requester import RequestSchedule
from hypothesis import given, settings
from hypothesis import strategies as st

RATIO = Fraction(20, 50)


def asked_at(execute_steps: int, count: int) -> list[int]:
    schedule, steps = RequestSchedule(RATIO, execute_steps, 16), [0]
    while len(steps) < count:
        steps.append(schedule.due_after(steps[-1]))
    return steps


@pytest.mark.parametrize(
    ("execute_steps", "expected"),
    [(8, [0, 20, 40, 60]), (16, [0, 40, 80, 120]), (9, [0, 23, 45, 68]), (1, [0, 3, 5, 8])],
)
def test_observations_keep_to_the_policys_grid(execute_steps, expected):
    assert asked_at(execute_steps, 4) == expected


@settings(deadline=None)
@given(execute_steps=st.integers(1, 16))
def test_the_sequence_counts_the_policys_steps(execute_steps):
    schedule = RequestSchedule(RATIO, execute_steps, 16)
    sequences = [schedule.sequence(step) for step in asked_at(execute_steps, 20)]
    assert sequences == [execute_steps * index for index in range(20)]


def test_a_slow_answer_is_asked_for_before_the_chunk_is_over():
    schedule = RequestSchedule(RATIO, execute_steps=16, horizon=16)
    due = schedule.due_after(0, expected_lag=10)  # 10 control steps are 4 of the policy's
    assert due == 30  # the answer is there at 40, when the 16 steps are over
    # 11 are 4.4, for which 5 are kept: 16 - 5 of the policy's steps are 27.5 control steps
    assert schedule.due_after(0, expected_lag=11) == 28


def test_an_answer_that_outlasts_the_chunk_is_asked_for_at_the_policys_next_step():
    schedule = RequestSchedule(RATIO, execute_steps=8, horizon=16)
    assert [schedule.due_after(0, expected_lag=lag) for lag in (38, 40, 100)] == [3, 3, 3]


def test_a_lag_that_the_chunk_outlasts_changes_nothing():
    schedule = RequestSchedule(RATIO, execute_steps=8, horizon=16)
    assert schedule.due_after(0, expected_lag=20) == schedule.due_after(0) == 20


@settings(deadline=None)
@given(
    ratio=st.sampled_from([RATIO, Fraction(1, 10), Fraction(3, 5), Fraction(1), Fraction(7, 3)]),
    step=st.integers(0, 400),
    lag=st.integers(0, 400),
)
def test_the_next_observation_is_always_later(ratio, step, lag):
    assert RequestSchedule(ratio, 8, 16).due_after(step, lag) > step
