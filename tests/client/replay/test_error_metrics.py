"""Every metric against numbers worked out by hand, and against what must always hold."""

import numpy as np
import pytest
from handover_client.replay.error_metrics import pool, score, slope
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

ZEROS = np.zeros((4, 2), np.float32)


def test_scores_of_a_trajectory_worked_out_by_hand():
    # errors by step: (0.04, 0.08) (0.0, 0.0) (0.25, 0.15) (0.01, -0.5)
    predicted = np.array([[0.04, 0.08], [0, 0], [0.25, 0.15], [0.01, -0.5]])
    result = score(predicted, ZEROS.astype(np.float64))
    step_mse = [0.004, 0.0, 0.0425, 0.12505]
    assert result.steps == 4
    assert result.mse == pytest.approx(sum(step_mse) / 4)
    assert result.mae == pytest.approx((0.04 + 0.08 + 0.25 + 0.15 + 0.01 + 0.5) / 8)
    # all dimensions within: @0.05 only step 1; @0.10 steps 0, 1; @0.20 the same two
    assert result.success_at == {"0.05": 0.25, "0.10": 0.5, "0.20": 0.5}
    # single values within: 0.04 0 0 0.01 | + 0.08 | + 0.15
    assert result.accuracy_at == {"0.05": 0.5, "0.10": 0.625, "0.20": 0.75}
    # slope: sum((x - 1.5) y) / 5 with x - 1.5 = -1.5 -0.5 0.5 1.5
    by_hand = (-1.5 * 0.004 - 0.5 * 0.0 + 0.5 * 0.0425 + 1.5 * 0.12505) / 5
    assert result.drift == pytest.approx(by_hand)


def test_an_error_of_exactly_the_threshold_is_within_it():
    result = score(np.full((1, 1), 0.05), np.zeros((1, 1)))
    assert result.success_at["0.05"] == 1.0


def test_the_demonstration_itself_scores_perfectly():
    demonstrated = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    result = score(demonstrated, demonstrated)
    assert (result.mse, result.mae, result.drift) == (0.0, 0.0, 0.0)
    assert set(result.success_at.values()) | set(result.accuracy_at.values()) == {1.0}


def test_the_drift_of_an_error_that_grows_by_the_step():
    # squared error 0.5 t: the slope is 0.5 per step
    predicted = np.sqrt(0.5 * np.arange(10))[:, None]
    assert score(predicted, np.zeros((10, 1))).drift == pytest.approx(0.5)


def test_a_single_step_has_no_slope():
    assert slope(np.array([3.0])) == 0.0


@given(hnp.arrays(np.float64, st.integers(2, 40), elements=st.floats(-100, 100)))
def test_the_slope_is_numpys_least_squares_line(values):
    expected = np.polyfit(np.arange(len(values)), values, 1)[0]
    assert slope(values) == pytest.approx(expected, abs=1e-9)


@given(
    hnp.arrays(np.float32, (5, 3), elements=st.floats(-1, 1, width=32)),
    hnp.arrays(np.float32, (9, 3), elements=st.floats(-1, 1, width=32)),
)
def test_pooling_counts_every_step_once(short, long):
    pooled = pool([score(short, np.zeros_like(short)), score(long, np.zeros_like(long))])
    together = np.concatenate([short, long])
    whole = score(together, np.zeros_like(together))
    for name in ("mse", "mae"):
        assert getattr(pooled, name) == pytest.approx(getattr(whole, name))
    for limit in ("0.05", "0.10", "0.20"):
        assert pooled.success_at[limit] == pytest.approx(whole.success_at[limit])
        assert pooled.accuracy_at[limit] == pytest.approx(whole.accuracy_at[limit])
    assert pooled.steps == 14


def test_nothing_cannot_be_pooled():
    with pytest.raises(ValueError, match="no scores"):
        pool([])


def test_the_pooled_drift_is_the_mean_of_the_drifts():
    rising = score(np.sqrt(np.arange(4.0))[:, None], np.zeros((4, 1)))
    flat = score(np.ones((9, 1)), np.zeros((9, 1)))
    assert pool([rising, flat]).drift == pytest.approx(0.5)


@given(hnp.arrays(np.float32, (6, 4), elements=st.floats(-1, 1, width=32)))
def test_success_never_exceeds_accuracy_and_both_grow_with_the_threshold(predicted):
    result = score(predicted, np.zeros_like(predicted))
    for shares in (result.success_at, result.accuracy_at):
        assert list(shares.values()) == sorted(shares.values())
    assert all(result.success_at[key] <= result.accuracy_at[key] for key in result.success_at)


@pytest.mark.parametrize("shapes", [((3, 2), (4, 2)), ((3,), (3,)), ((0, 2), (0, 2))])
def test_trajectories_of_other_shapes_are_refused(shapes):
    with pytest.raises(ValueError, match="one shape"):
        score(np.zeros(shapes[0]), np.zeros(shapes[1]))
