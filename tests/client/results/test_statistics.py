"""Intervals and the paired test against published and hand-computed values."""

import math

import numpy as np
import pytest
from handover_client.results.statistics import bootstrap_95, mcnemar_exact, pair, wilson_95
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("successes", "episodes", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17 (1998), table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_the_published_intervals(successes, episodes, low, high):
    assert wilson_95(successes, episodes) == pytest.approx((low, high), abs=5e-5)


@settings(deadline=None)
@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_rate_and_mirrors(counts):
    successes, episodes = counts
    low, high = wilson_95(successes, episodes)
    assert 0 <= low <= successes / episodes <= high <= 1
    mirrored = wilson_95(episodes - successes, episodes)
    assert (1 - high, 1 - low) == pytest.approx(mirrored)


@pytest.mark.parametrize("counts", [(0, 0), (-1, 5), (6, 5)])
def test_impossible_counts_are_refused(counts):
    with pytest.raises(ValueError, match="successes"):
        wilson_95(*counts)


def test_outcomes_are_paired():
    paired = pair([(True, True), (True, False), (True, False), (False, True), (False, False)])
    assert (paired.both, paired.only_a, paired.only_b, paired.neither) == (1, 2, 1, 1)


def test_mcnemar_by_hand():
    assert mcnemar_exact(0, 0) == 1.0
    assert mcnemar_exact(5, 5) == 1.0
    assert mcnemar_exact(0, 5) == 2 / 32
    assert mcnemar_exact(1, 6) == pytest.approx(2 * (1 + 7) / 128)
    assert mcnemar_exact(10, 2) == pytest.approx(0.03857421875)


@settings(deadline=None)
@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_is_a_symmetric_probability(only_a, only_b):
    p_value = mcnemar_exact(only_a, only_b)
    assert 0 < p_value <= 1
    assert p_value == mcnemar_exact(only_b, only_a)


@settings(deadline=None)
@given(st.integers(1, 60), st.data())
def test_mcnemar_adds_up_every_outcome_as_unlikely(discordant, data):
    only_a = data.draw(st.integers(0, discordant))
    weights = [math.comb(discordant, count) for count in range(discordant + 1)]
    as_unlikely = sum(weight for weight in weights if weight <= weights[only_a])
    p_value = mcnemar_exact(only_a, discordant - only_a)
    assert p_value == pytest.approx(min(1.0, as_unlikely / 2**discordant))


def test_an_interval_holds_the_pooled_figure_and_needs_two_trajectories():
    values, steps = [0.2, 0.5, 0.9, 0.4], [100, 50, 100, 10]
    bounds = bootstrap_95(values, steps)
    assert bounds is not None
    assert min(values) <= bounds[0] < np.average(values, weights=steps) < bounds[1] <= max(values)
    assert bootstrap_95(values, steps) == bounds
    assert bootstrap_95([0.3], [10]) is None
    assert bootstrap_95([0.3, 0.3], [10, 20]) == pytest.approx((0.3, 0.3))


def test_an_interval_is_what_a_binomial_distribution_says_of_yes_and_no():
    # draws of 100 from as many 0 as 1: the binomial's 2.5 % and 97.5 % points are 40 and 60
    assert bootstrap_95([0.0, 1.0] * 50, [7] * 100) == pytest.approx((0.40, 0.60), abs=0.011)


def test_an_interval_draws_every_trajectory():
    # each of the two is drawn twice in a quarter of the draws
    assert bootstrap_95([0.0, 1.0], [10, 30]) == (0.0, 1.0)
    assert bootstrap_95([1.0, 0.0], [10, 30]) == (0.0, 1.0)
