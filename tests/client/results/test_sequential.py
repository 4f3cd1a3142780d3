"""Anytime-valid intervals: right whenever one looks, and narrow enough to be of use."""

import numpy as np
import pytest
from handover_client.results.sequential import Interval, decided_after, mean_sequence
from handover_client.results.stopping import Question
from handover_common import UsageError


def test_a_fair_bettor_against_ninety_percent_needs_these_many_successes_in_a_row():
    # with n successes the capital is the mean of (1 + b / 9)^n over the bets: 40 at n = 50 or 51
    bets = (np.arange(64) + 0.5) / 64
    needed = next(n for n in range(200) if np.mean((1 + bets / 9) ** n) >= 40)
    assert decided_after(mean_sequence([1.0] * 80), 0.9) == needed


def test_intervals_only_narrow_and_hold_the_mean():
    outcomes = [1.0, 0.0, 1.0, 1.0, 1.0, 0.0, 1.0] * 12
    intervals = mean_sequence(outcomes)
    lows = [each.low for each in intervals]
    highs = [each.high for each in intervals]
    assert lows == sorted(lows)
    assert highs == sorted(highs, reverse=True)
    assert intervals[-1].low < np.mean(outcomes) < intervals[-1].high
    assert intervals[-1].high - intervals[-1].low < 0.35


def test_success_and_failure_are_mirror_images():
    outcomes = [1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0]
    one, other = mean_sequence(outcomes), mean_sequence([1 - each for each in outcomes])
    for left, right in zip(one, other, strict=True):
        assert left.low == pytest.approx(1 - right.high)
        assert left.high == pytest.approx(1 - right.low)


def test_a_tie_says_nothing_about_which_of_two_is_better():
    wins = [1.0, 1.0, 1.0, -1.0, *[1.0] * 12]
    alone = decided_after(mean_sequence(wins, -1.0, 1.0), 0.0)
    among_ties = [value for win in wins for value in (0.0, win)]
    assert alone is not None
    assert decided_after(mean_sequence(among_ties, -1.0, 1.0), 0.0) == 2 * alone


def test_looking_after_every_outcome_misses_in_at_most_one_run_of_twenty():
    random = np.random.default_rng(0)
    missed = 0
    for _ in range(120):
        intervals = mean_sequence((random.random(60) < 0.7).astype(float))
        missed += decided_after(intervals, 0.7) is not None
    assert missed <= 6  # 5 % of 120; the seed is fixed


def test_an_outcome_of_another_range_is_refused():
    with pytest.raises(ValueError, match=r"2\.0 is not within 0 … 1"):
        mean_sequence([1.0, 2.0])


class Episode:
    success, strict_success = True, False


def test_a_question_is_answered_by_an_interval_without_its_threshold():
    question = Question.parse("success > 90 %")
    assert str(question) == "success > 0.9"
    assert question.answer(Interval(60, 0.91, 1.0)) is True
    assert question.answer(Interval(60, 0.3, 0.89)) is False
    assert question.answer(Interval(60, 0.89, 0.97)) is None
    below = Question.parse("strict<0.5")
    assert below.answer(Interval(60, 0.1, 0.4)) is True
    assert (question.value(Episode()), below.value(Episode())) == (1.0, 0.0)


@pytest.mark.parametrize("text", ["", "success", "success > 1.5", "luck > 0.5", "success = 0.9"])
def test_another_question_is_refused(text):
    with pytest.raises(UsageError, match="as in"):
        Question.parse(text)
