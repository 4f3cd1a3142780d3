"""Shares of episodes: how sure one is, and whether two runs of the same episodes differ."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

_Z_95 = 1.959963984540054  # the normal distribution's 97.5 % point


def wilson_95(successes: int, episodes: int) -> tuple[float, float]:
    """Give the 95 % interval of a success rate by Wilson's score (JASA 22, 1927): (low, high).

    Right for few episodes and near 0 and 1 too. Raises ValueError unless 0 <= successes <= episodes
    and there are episodes.
    """
    if not 0 <= successes <= episodes or episodes == 0:
        raise ValueError(f"{successes} successes of {episodes} episodes")
    rate, z2 = successes / episodes, _Z_95**2
    centre = rate + z2 / (2 * episodes)
    spread = _Z_95 * math.sqrt(rate * (1 - rate) / episodes + z2 / (4 * episodes**2))
    scale = 1 + z2 / episodes
    low = 0.0 if successes == 0 else (centre - spread) / scale
    high = 1.0 if successes == episodes else (centre + spread) / scale
    return low, high


@dataclass(frozen=True)
class PairedOutcomes:
    """The same episodes in two runs, counted by who succeeded."""

    both: int
    only_a: int
    only_b: int
    neither: int

    @property
    def p_value(self) -> float:
        """McNemar's exact two-sided test: as likely for either run to be the one that succeeds."""
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


def mcnemar_exact(only_a: int, only_b: int) -> float:
    """Give the two-sided p-value of McNemar's test from the discordant pairs, exactly.

    Where only one of two runs succeeds, it is either with probability 1/2: a binomial distribution,
    whose tail up to the smaller count is taken twice (at most 1).
    """
    discordant = only_a + only_b
    tail = sum(math.comb(discordant, count) for count in range(min(only_a, only_b) + 1))
    return min(1.0, 2 * tail / 2**discordant)  # exact integers up to this one division
