"""Confidence intervals of run figures, and McNemar's test on paired episodes."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

_RESAMPLES = 2000  # enough that the interval's ends are steady to about 1 % of its width
_Z_95 = 1.959963984540054  # the normal distribution's 97.5 % point


def wilson_95(successes: int, episodes: int) -> tuple[float, float]:
    """95 % interval of a success rate by Wilson's score (JASA 22, 1927): (low, high).

    Right for few episodes and near 0 and 1 too. Raises ValueError unless 0 <= successes <= episodes
    and there are episodes.
    """
    if not 0 <= successes <= episodes or episodes == 0:
        raise ValueError(f"{successes} successes of {episodes} episodes")
    rate, z2 = successes / episodes, _Z_95**2
    center = rate + z2 / (2 * episodes)
    spread = _Z_95 * math.sqrt(rate * (1 - rate) / episodes + z2 / (4 * episodes**2))
    scale = 1 + z2 / episodes
    low = 0.0 if successes == 0 else (center - spread) / scale
    high = 1.0 if successes == episodes else (center + spread) / scale
    return low, high


def bootstrap_95(values: Sequence[float], weights: Sequence[float]) -> tuple[float, float] | None:
    """95 % interval of a weighted mean: percentile bootstrap over the values, with a fixed seed.

    None for fewer than two values, which say nothing about others.
    """
    if len(values) < 2:
        return None
    draws = np.random.default_rng(0).integers(0, len(values), (_RESAMPLES, len(values)))
    drawn = np.asarray(weights, np.float64)[draws]
    means = (np.asarray(values, np.float64)[draws] * drawn).sum(axis=1) / drawn.sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


@dataclass(frozen=True)
class PairedOutcomes:
    """The same episodes in two runs, counted by who succeeded."""

    both: int
    only_a: int
    only_b: int
    neither: int

    @property
    def p_value(self) -> float:
        """McNemar's exact two-sided test: either run is as likely to be the one that succeeds."""
        return mcnemar_exact(self.only_a, self.only_b)


def pair(outcomes: Iterable[tuple[bool, bool]]) -> PairedOutcomes:
    """Count (success in a, success in b) of episodes."""
    counts = {(True, True): 0, (True, False): 0, (False, True): 0, (False, False): 0}
    for in_a, in_b in outcomes:
        counts[bool(in_a), bool(in_b)] += 1
    return PairedOutcomes(
        both=counts[True, True],
        only_a=counts[True, False],
        only_b=counts[False, True],
        neither=counts[False, False],
    )


def paired_difference_95(pairs: PairedOutcomes) -> tuple[float, float]:
    """95 % interval of the share of successes in b minus that in a, on the same episodes.

    Wald's interval with 1/2 added to each of the four counts, as Agresti and Min recommend
    (Statistics in Medicine 24, 2005), within -1 … 1.
    """
    only_a, only_b = pairs.only_a + 0.5, pairs.only_b + 0.5
    count = pairs.both + pairs.neither + 1 + only_a + only_b
    center = (only_b - only_a) / count
    spread = _Z_95 * math.sqrt(only_a + only_b - (only_b - only_a) ** 2 / count) / count
    return max(-1.0, center - spread), min(1.0, center + spread)


def mcnemar_exact(only_a: int, only_b: int) -> float:
    """Two-sided p-value of McNemar's test from the discordant pairs, exactly.

    Where only one of two runs succeeds, it is either with probability 1/2: a binomial distribution,
    whose tail up to the smaller count is taken twice (at most 1).
    """
    discordant = only_a + only_b
    tail = sum(math.comb(discordant, count) for count in range(min(only_a, only_b) + 1))
    return min(1.0, 2 * tail / 2**discordant)  # exact integers up to this one division
