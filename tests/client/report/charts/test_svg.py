"""Axes: ticks are round numbers inside the ends, places go from 0 to 1."""

import pytest
from handover_client.report.charts.svg import around, scale
from hypothesis import given
from hypothesis import strategies as st

numbers = st.floats(-1e6, 1e6, allow_nan=False)


@given(numbers, st.floats(1e-6, 1e6), st.integers(1, 10))
def test_ticks_lie_between_the_ends_and_are_not_many(low, width, ticks):
    axis = scale("time, s", low, low + width, ticks)
    slack = 1e-6 * (abs(low) + width)
    assert len(axis.ticks) <= 1.5 * ticks + 1
    assert all(axis.low - slack <= tick <= axis.high + slack for tick in axis.ticks)


@given(st.lists(numbers, min_size=1, max_size=9), st.floats(0.01, 10))
def test_values_lie_inside_the_axis_made_around_them(values, narrowest):
    axis = around("angle, rad", values, narrowest)
    assert axis.high - axis.low >= 0.99 * narrowest
    assert all(-1e-6 <= place <= 1 + 1e-6 for place in axis.place(values))


@pytest.mark.parametrize(
    ("low", "high", "written"),
    [
        (0, 8, ["0", "2", "4", "6", "8"]),
        (-1.0, 0.0, ["−1.0", "−0.8", "−0.6", "−0.4", "−0.2", "0.0"]),
        (0.4, 0.6, ["0.40", "0.45", "0.50", "0.55", "0.60"]),
        (3.0, 3.0, ["2.6", "2.8", "3.0", "3.2", "3.4"]),
    ],
)
def test_ticks_are_written_with_the_digits_that_tell_them_apart(low, high, written):
    axis = scale("", low, high, 5)
    assert [axis.written(tick) for tick in axis.ticks] == written
