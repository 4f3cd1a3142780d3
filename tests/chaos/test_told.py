"""What a robot was told is judged by its limits: hand-computed courses."""

import numpy as np

from benchmarks.robots.told import count_outside, course

LIMITS = {"low": [-1.0], "high": [1.0], "velocity": [2.0], "acceleration": [None]}
PERIOD_S = 0.02


def count(*commands, late_ms=None, **limits):
    late = np.arange(len(commands)) if late_ms is None else np.array(late_ms)
    action = np.array(commands, np.float32)[:, None]
    return count_outside(action, late, {**LIMITS, **limits}, PERIOD_S)


def test_a_command_beyond_a_limit_is_counted():
    assert count(0.0, 0.04, 0.08, 0.08) == 0
    assert count(0.0, 0.04, 0.09) == 1  # 2.5 rad/s
    assert count(0.99, 1.01) == 1
    assert count(0.0, np.nan, 0.0) == 1
    assert count(0.0, 0.0, 0.01, acceleration=[10.0]) == 1  # 25 rad/s²
    assert count(0.0, 0.0, 0.004, acceleration=[10.0]) == 0


def test_a_row_that_repeats_a_missed_step_is_no_command():
    # two missed steps, in which the robot came to rest: 0.04 rad are then 100 rad/s², 0.0008 are 2
    late_ms = [1, 2, 2, 2, 3]
    assert count(0.0, 0.04, 0.04, 0.04, 0.0408, late_ms=late_ms, acceleration=[2.1]) == 0
    assert count(0.0, 0.04, 0.04, 0.04, 0.08, late_ms=late_ms, acceleration=[2.1]) == 1
    assert count(0.0, 0.04, 0.04, 0.04, 0.0408, late_ms=[1, 2, 3, 4, 5], acceleration=[2.1]) == 1


def test_when_it_was_driven_and_when_it_held():
    held = np.array([0] * 100 + [1] * 50 + [0] * 2 + [1] * 50 + [0] * 10, bool)
    assert course(held, PERIOD_S) == "driven 2.0 s, held 2.0 s, driven 0.2 s"
