"""Demonstrations differ a little, within bounds, and alike for the same seed."""

import numpy as np
from handover_envs.tasks.variation import Variation
from hypothesis import given
from hypothesis import strategies as st

SEEDS = st.integers(0, 2**32 - 1)


def vary(seed: int) -> Variation:
    return Variation(np.random.default_rng(seed))


@given(SEEDS)
def test_draws_stay_within_their_bounds(seed):
    draw = vary(seed)
    assert 1.76 <= draw.seconds(2.0) <= 2.24
    assert np.radians(50) <= draw.degrees(55, 5) <= np.radians(60)
    point = draw.near((0.1, 0.2, 0.3), (0.0, 0.0, 0.1), 0.01)
    assert np.abs(np.subtract(point, (0.1, 0.2, 0.4))).max() <= 0.01 + 1e-12


@given(SEEDS)
def test_a_tremor_is_small_begins_at_rest_and_fades_before_the_end(seed):
    tremor = vary(seed).tremor(np.arange(400) / 50)
    assert tremor.shape == (400, 12)
    assert np.abs(tremor).max() <= 0.004
    assert np.abs(np.diff(tremor, axis=0)).max() < 0.001
    assert not tremor[0].any()
    assert not tremor[325:].any()  # 6.5 s


def test_draws_reach_all_of_their_bounds():
    draws = [vary(seed) for seed in range(300)]
    found = {
        0.16: [draw.seconds(2.0) for draw in draws],
        np.radians(5): [draw.degrees(55, 5) for draw in draws],
        0.01: [draw.near((0.1, 0.2, 0.3), (0.0, 0.0, 0.1), 0.01) for draw in draws],
        0.002: [draw.point((0.1, 0.2, 0.3), (0.002, 0.002, 0.002)) for draw in draws],
    }
    for half, values in found.items():
        np.testing.assert_allclose(np.ptp(values, axis=0), 2 * half, rtol=0.05)
    sway = [np.abs(draw.tremor(np.arange(400) / 50)).max(axis=0) for draw in draws]
    assert (np.max(sway, axis=0) > 0.003).all()  # of 4 mrad, in every joint


@given(SEEDS)
def test_the_same_seed_gives_the_same_draws(seed):
    first, again = vary(seed), vary(seed)
    assert first.seconds(1.0) == again.seconds(1.0)
    np.testing.assert_array_equal(first.tremor(np.arange(10)), again.tremor(np.arange(10)))
