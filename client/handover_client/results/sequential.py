"""Anytime-valid intervals of a mean: they may be looked at after every episode, and be stopped by.

An interval that is right in 95 % of all runs whenever somebody stops looking: a betting confidence
sequence (Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting",
JRSS B 86, 2024, arXiv:2010.09686). Against each value that the mean could have, a gambler bets on
every outcome; whose capital has once grown 40-fold is refuted (Ville's inequality: a fair game
does that with a probability of at most 1/40, on either side).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

ERROR = 0.05  # probability that any of a sequence's intervals misses the mean
_BETS = 64  # fractions of the most that may be bet, mixed evenly: no choice among them is needed
_BISECTIONS = 24  # halvings of the unit interval


@dataclass(frozen=True)
class Interval:
    """What is known of a mean after some outcomes, whenever one looks."""

    outcomes: int
    low: float
    high: float

    def excludes(self, value: float) -> bool:
        """Tell whether the mean is known to differ from a value."""
        return not self.low <= value <= self.high


class MeanSequence:
    """Interval of a mean that is brought up to date with every outcome.

    Outcomes are numbers from least to most, independent and of one mean, in the order in which they
    were planned (not that in which they ended: what takes longer may be what fails).
    """

    def __init__(self, least: float = 0.0, most: float = 1.0) -> None:
        self._least, self._width = least, most - least
        self._seen: dict[float, int] = {}
        self._low, self._high = 0.0, 1.0
        self.intervals: list[Interval] = []

    def add(self, outcome: float) -> Interval:
        """Give the interval after one more outcome, within the one before.

        Raises ValueError for an outcome out of range.
        """
        scaled = (outcome - self._least) / self._width
        if not 0.0 <= scaled <= 1.0:
            most = self._least + self._width
            raise ValueError(f"{outcome} is not within {self._least:g} … {most:g}")
        self._seen[scaled] = self._seen.get(scaled, 0) + 1
        values, counts = np.array(list(self._seen)), np.array(list(self._seen.values()))
        self._low = _lowest(values, counts, self._low)
        self._high = 1.0 - _lowest(1.0 - values, counts, 1.0 - self._high)
        low, high = (self._least + self._width * end for end in (self._low, self._high))
        self.intervals.append(Interval(len(self.intervals) + 1, low, high))
        return self.intervals[-1]


def mean_sequence(
    outcomes: Iterable[float], least: float = 0.0, most: float = 1.0
) -> list[Interval]:
    """Give the interval of the mean after each outcome; see MeanSequence."""
    sequence = MeanSequence(least, most)
    return [sequence.add(outcome) for outcome in outcomes]


def decided_after(intervals: Sequence[Interval], value: float) -> int | None:
    """Count the outcomes after which the mean was known to differ from a value; None if never."""
    return next((each.outcomes for each in intervals if each.excludes(value)), None)


def bet_fractions() -> np.ndarray:
    """Give the gamblers' bets, as shares of the most that keeps a capital from falling below 0."""
    return (np.arange(_BETS) + 0.5) / _BETS


def _lowest(values: np.ndarray, counts: np.ndarray, known: float) -> float:
    """Find the largest mean that bets on more than it refute, from `known` on."""
    low, high = known, float(np.average(values, weights=counts))
    if low > 0.0 and _log_capital(values, counts, low) < np.log(2 / ERROR):
        return low  # less is won against larger means
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if middle > low and _log_capital(values, counts, middle) >= np.log(2 / ERROR):
            low = middle
        else:
            high = middle
    return low


def _log_capital(values: np.ndarray, counts: np.ndarray, mean: float) -> float:
    """Tell what bets on outcomes above `mean` have made of a capital of 1; its logarithm.

    A bet of a fraction b of 1 / mean multiplies the capital by 1 + b (outcome / mean - 1), which is
    never below 0, and 1 on average if the mean is right; `_BETS` gamblers share the capital.
    """
    growth = np.log1p(bet_fractions()[:, None] * (values / mean - 1.0)) @ counts
    top = growth.max()
    return float(top + np.log(np.mean(np.exp(growth - top))))
