"""Resampling on a grid: exact positions, from any rate to any rate."""

from fractions import Fraction

import numpy as np
import pytest
from handover_conversion.resampling.grid import (
    exact_rate,
    grid_times,
    make_grid,
    resampled_length,
)
from handover_conversion.resampling.values import interpolate
from hypothesis import given
from hypothesis import strategies as st

rates = st.sampled_from([10, 15, 20, 24, 25, 29.97, 30, 50, 59.94, 60, 100, 12.5]).map(exact_rate)
steps = st.integers(1, 500)


def test_400_steps_at_50_hz_give_160_rows_at_20_hz():
    grid = make_grid(400, Fraction(50), Fraction(20))
    assert len(grid) == 160
    np.testing.assert_array_equal(grid.nearest[:7], [0, 2, 5, 7, 10, 12, 15])
    np.testing.assert_array_equal(grid.lower[:5], [0, 2, 5, 7, 10])
    np.testing.assert_array_equal(grid.weight[:4], [0, 0.5, 0, 0.5])
    np.testing.assert_array_equal(
        grid_times(160, Fraction(20)), (np.arange(160) / 20).astype(np.float32)
    )


def test_the_last_step_is_a_row_when_it_lies_on_the_grid():
    assert resampled_length(401, Fraction(50), Fraction(20)) == 161
    assert resampled_length(1, Fraction(50), Fraction(20)) == 1
    assert resampled_length(0, Fraction(50), Fraction(20)) == 0


@given(steps=steps, rate=rates)
def test_an_equal_rate_changes_nothing(steps, rate):
    grid = make_grid(steps, rate, rate)
    values = np.random.default_rng(steps).standard_normal((steps, 3)).astype(np.float32)
    np.testing.assert_array_equal(grid.nearest, np.arange(steps))
    np.testing.assert_array_equal(interpolate(values, grid), values)


@given(steps=steps, from_hz=rates, to_hz=rates)
def test_rows_are_in_order_within_the_recording_and_nearest(steps, from_hz, to_hz):
    grid = make_grid(steps, from_hz, to_hz)
    assert grid.nearest[0] == grid.lower[0] == 0
    assert grid.nearest.max() <= steps - 1
    assert (np.diff(grid.nearest) >= 0).all()
    recorded = [Fraction(step) / from_hz for step in range(steps)]
    for row in {0, len(grid) // 2, len(grid) - 1}:
        at = Fraction(row) / to_hz
        assert at <= recorded[-1]
        distance = [abs(time - at) for time in recorded]
        assert grid.nearest[row] == distance.index(min(distance))  # the earlier one of two
    following = Fraction(len(grid)) / to_hz
    assert following > recorded[-1]  # no row is left out either


@given(steps=steps, from_hz=rates, to_hz=rates)
def test_what_is_linear_in_time_stays_so(steps, from_hz, to_hz):
    grid = make_grid(steps, from_hz, to_hz)
    recorded = (np.arange(steps) / float(from_hz))[:, None] * [1.0, -2.0]
    expected = (np.arange(len(grid)) / float(to_hz))[:, None] * [1.0, -2.0]
    np.testing.assert_allclose(interpolate(recorded, grid), expected, rtol=1e-6, atol=1e-6)


@given(steps=steps, from_hz=rates, to_hz=rates)
def test_no_row_goes_beyond_the_values_around_it(steps, from_hz, to_hz):
    grid = make_grid(steps, from_hz, to_hz)
    values = np.random.default_rng(steps).standard_normal((steps, 2)).astype(np.float32)
    upper = np.minimum(grid.lower + 1, steps - 1)
    low = np.minimum(values[grid.lower], values[upper])
    high = np.maximum(values[grid.lower], values[upper])
    rows = interpolate(values, grid)
    assert ((low - 1e-6 <= rows) & (rows <= high + 1e-6)).all()


def test_rates_are_read_as_they_were_meant():
    assert exact_rate(29.97) == Fraction(30000, 1001)
    assert exact_rate(30000 / 1001) == Fraction(30000, 1001)
    assert exact_rate(23.976) == Fraction(24000, 1001)
    assert exact_rate(59.94) == Fraction(60000, 1001)
    assert [exact_rate(whole) for whole in (24, 30, 60)] == [24, 30, 60]
    assert exact_rate(50.0) == 50
    assert exact_rate(12.5) == Fraction(25, 2)
    for rate_hz in (0, -50, 1_000_000, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="above 0 Hz"):
            exact_rate(rate_hz)
