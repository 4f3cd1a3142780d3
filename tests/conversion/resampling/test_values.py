"""Each quantity goes through time in its own way; compared with independent computations."""

from fractions import Fraction

import numpy as np
import pytest
from handover_conversion.resampling.grid import (
    TimeError,
    check_constant,
    gaps,
    in_seconds,
    make_grid,
    make_measured_grid,
)
from handover_conversion.resampling.idle import moving_span
from handover_conversion.resampling.values import TIME_MODES, resample
from hypothesis import given, settings
from hypothesis import strategies as st

seeds = st.integers(0, 2**32 - 1)
RATES = (Fraction(50), Fraction(20))


def _unit_quaternions(seed, steps):
    """Quaternions of a smooth turn about one axis, each of a random sign."""
    generator = np.random.default_rng(seed)
    axis = generator.standard_normal(3)
    axis /= np.linalg.norm(axis)
    angle = np.linspace(0, generator.uniform(1, 6), steps)[:, None]
    quaternions = np.concatenate([np.cos(angle / 2), np.sin(angle / 2) * axis], axis=1)
    return quaternions * generator.choice([-1, 1], (steps, 1)), axis, angle[:, 0]


def _rotation_6d(axis, angles):
    """The first two columns of Rodrigues' matrix, one after the other."""
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    matrices = [np.eye(3) + np.sin(a) * cross + (1 - np.cos(a)) * cross @ cross for a in angles]
    return np.stack([np.concatenate([m[:, 0], m[:, 1]]) for m in matrices])


@pytest.mark.parametrize("mode", TIME_MODES)
def test_equal_rates_change_nothing(mode):
    quaternions, axis, angle = _unit_quaternions(3, 40)
    recorded = {
        "quaternion": quaternions,
        "rotation_6d": _rotation_6d(axis, angle),
        "angle": np.random.default_rng(0).uniform(-np.pi, np.pi, (40, 2)),
    }.get(mode, np.random.default_rng(1).standard_normal((40, 3)))
    recorded = recorded.astype(np.float32)
    rows = resample(recorded, make_grid(40, Fraction(30), Fraction(30)), mode)
    if mode == "quaternion":  # up to the sign, which stays the first one's
        rows = rows * np.sign(np.sum(rows * recorded, axis=1, keepdims=True))
    np.testing.assert_array_equal(rows, recorded)


@settings(max_examples=30, deadline=None)
@given(seed=seeds)
def test_quaternions_keep_their_norm_and_turn_evenly(seed):
    quaternions, axis, _ = _unit_quaternions(seed, 60)
    rows = resample(quaternions, make_grid(60, *RATES), "quaternion").astype(np.float64)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    assert (np.sum(rows[1:] * rows[:-1], axis=1) > 0).all()  # no sign flips are left
    total = np.arccos(np.clip(abs(quaternions[0] @ quaternions[1]), 0, 1)) * 2 * 59  # rad
    half = np.arange(len(rows)) * 2.5 / 59 * total / 2
    expected = np.concatenate([np.cos(half)[:, None], np.sin(half)[:, None] * axis], axis=1)
    np.testing.assert_allclose(np.abs(np.sum(rows * expected, axis=1)), 1, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(seed=seeds)
def test_rotations_of_six_numbers_stay_rotations(seed):
    _, axis, angle = _unit_quaternions(seed, 60)
    rows = resample(_rotation_6d(axis, angle), make_grid(60, *RATES), "rotation_6d")
    expected = _rotation_6d(axis, np.arange(len(rows)) * 2.5 * angle[1])
    np.testing.assert_allclose(rows, expected, atol=1e-5)


def test_half_a_turn_between_two_steps_is_a_rotation_too():
    recorded = np.array([[1, 0, 0, 0, 1, 0], [-1, 0, 0, 0, -1, 0.0]])
    rows = resample(recorded, make_grid(2, Fraction(1), Fraction(2)), "rotation_6d")
    first, second = rows[1][:3], rows[1][3:]
    np.testing.assert_allclose(
        [first @ first, second @ second, first @ second], [1, 1, 0], atol=1e-6
    )


@settings(max_examples=30, deadline=None)
@given(seed=seeds, positive=st.booleans())
def test_angles_take_the_short_way_and_stay_within_a_turn(seed, positive):
    generator = np.random.default_rng(seed)
    path = np.cumsum(generator.uniform(-0.4, 0.4, (60, 2)), axis=0) + generator.uniform(-9, 9, 2)
    low = 0 if positive else -np.pi
    wrapped = (path - low) % (2 * np.pi) + low
    rows = resample(wrapped, make_grid(60, *RATES), "angle").astype(np.float64)
    at = np.arange(len(rows)) * 2.5
    expected = np.stack([np.interp(at, np.arange(60), path[:, i]) for i in range(2)], axis=1)
    apart = (rows - expected + np.pi) % (2 * np.pi) - np.pi
    np.testing.assert_allclose(apart, 0, atol=1e-5)
    assert np.ptp(rows, axis=0).max() <= 2 * np.pi + 1e-3
    assert (np.abs(rows) <= (2 * np.pi if positive else np.pi) + 1e-3).all()


def test_what_is_no_rotation_is_told():
    grid = make_grid(3, *RATES)
    with pytest.raises(ValueError, match=r"a quaternion has norm 0.5, expected 1, in row 1"):
        resample(np.array([[1, 0, 0, 0], [0.5, 0, 0, 0], [1.0, 0, 0, 0]]), grid, "quaternion")
    with pytest.raises(ValueError, match=r"rotation_6d in row 0 .* expected two unit axes"):
        resample(np.ones((3, 6)), grid, "rotation_6d")


@settings(max_examples=30, deadline=None)
@given(seed=seeds, to_hz=st.sampled_from([10, 20, 50, 60]))
def test_measured_times_place_every_row(seed, to_hz):
    generator = np.random.default_rng(seed)
    time = np.cumsum(generator.uniform(0.012, 0.03, 80)) + 1e6
    time[50:] += 0.4  # a gap
    values = np.sin((time - time[0])[:, None] * generator.uniform(1, 9, 2))
    grid = make_measured_grid(time, Fraction(50), Fraction(to_hz))
    since = time - time[0]
    at = np.arange(len(grid)) / to_hz
    assert len(grid) == int(since[-1] * to_hz) + 1
    expected = np.stack([np.interp(at, since, values[:, i]) for i in range(2)], axis=1)
    np.testing.assert_allclose(resample(values, grid, "linear"), expected, atol=1e-3)
    assert (np.diff(grid.nearest) >= 0).all()
    # no frame is from the future: half a recorded step ahead at most, and never across the gap
    assert (since[grid.nearest] - at <= 0.5 / 50 + 1e-9).all()
    inside = (at > since[49] + 0.011) & (at < since[50] - 0.011)
    assert (grid.nearest[inside] == 49).all()


@settings(max_examples=30, deadline=None)
@given(
    steps=st.integers(1, 200),
    from_hz=st.sampled_from([20, 30, 50]),
    to_hz=st.sampled_from([10, 20, 50]),
)
def test_exact_times_give_the_grid_of_the_rate(steps, from_hz, to_hz):
    time = (np.arange(steps) / from_hz).astype(np.float32)
    measured = make_measured_grid(time, Fraction(from_hz), Fraction(to_hz))
    nominal = make_grid(steps, Fraction(from_hz), Fraction(to_hz))
    assert len(measured) == len(nominal)
    np.testing.assert_allclose(
        measured.lower + measured.weight, nominal.lower + nominal.weight, atol=1e-3
    )
    np.testing.assert_array_equal(measured.nearest, nominal.nearest)  # also of two as near


def test_a_constant_rate_may_start_at_any_time():
    steps = np.arange(300)
    for start in (0, 0.02, 123.4, 1.7e9):
        check_constant(start + steps / 50, 50)
    late = steps / 50
    late[0] -= 0.015  # one bad step does not make the others wrong
    with pytest.raises(TimeError, match=r"up to 15 ms off a constant 50 Hz \(row 0\)"):
        check_constant(late, 50)
    with pytest.raises(TimeError, match=r"run at 49.7 Hz, expected the dataset's 50.*measured"):
        check_constant(steps / 49.7, 50)
    with pytest.raises(TimeError, match=r"run at nan Hz"):
        check_constant(np.zeros(300), 50)
    check_constant(np.zeros(1), 50)


@pytest.mark.parametrize("per_second", [1, 1000, 10**6, 10**9])
def test_the_unit_of_times_is_read_off_the_rate(per_second):
    times = np.arange(100, dtype=np.int64) * (per_second // 50 or 1) + 1_700_000_000 * per_second
    times = times if per_second > 1 else np.arange(100) / 50
    seconds = in_seconds(times, 50)
    np.testing.assert_allclose(seconds - seconds[0], np.arange(100) / 50, atol=1e-6)


def test_times_that_go_back_are_told_and_gaps_are_named():
    with pytest.raises(TimeError, match="do not increase from row 1 to row 2"):
        make_measured_grid(np.array([0, 0.02, 0.02, 0.04]), *RATES)
    assert gaps(np.array([0, 0.02, 0.52, 0.54]), 50) == ["a gap of 0.5 s after row 1"]


def test_stillness_is_cut_to_what_is_kept():
    values = np.concatenate([np.zeros(50), np.linspace(0, 1, 51), np.ones(100)])[:, None]
    time = np.arange(len(values)) / 50
    start, stop = moving_span(values, time, keep_s=0.2)
    assert time[start] == pytest.approx(1.0 - 0.2, abs=0.021)
    assert time[stop - 1] == pytest.approx(2.0 + 0.2, abs=0.021)
    assert moving_span(np.ones((30, 2)), np.arange(30) / 50, 0.0) == (0, 30)
    assert moving_span(values, time, keep_s=100) == (0, len(values))
