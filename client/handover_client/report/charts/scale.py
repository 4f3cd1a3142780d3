"""One axis of a chart: its ends, its ticks at round numbers, its title with the unit."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Scale:
    """Where values lie along an axis."""

    title: str  # what it shows, and in which unit
    low: float
    high: float
    ticks: tuple[float, ...]

    def place(self, values: Iterable[float]) -> np.ndarray:
        """Tell how far along the axis values lie: 0 at its start, 1 at its end."""
        return (np.asarray(list(values), np.float64) - self.low) / (self.high - self.low)

    def written(self, tick: float) -> str:
        """Write a tick with as many digits as tell the ticks apart."""
        gap = self.ticks[1] - self.ticks[0] if len(self.ticks) > 1 else 1.0
        digits = max(0, -math.floor(math.log10(gap) + 1e-9))
        if digits > 4:
            return f"{tick:.0e}".replace("e-0", "e-") if tick else "0"
        return f"{tick:.{digits}f}".replace("-", "−")


def scale(title: str, low: float, high: float, ticks: int = 5) -> Scale:
    """Make an axis from `low` to `high`, with about so many ticks at round numbers between them.

    There are at most half as many more. Ends that are equal are moved apart.
    """
    if not high > low:
        low, high = low - 0.5, high + 0.5
    step = _round_step((high - low) / (1.5 * ticks))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return Scale(title, low, high, tuple(step * k for k in range(first, last + 1)))


def around(title: str, values: Iterable[float], narrowest: float, ticks: int = 5) -> Scale:
    """Make an axis that holds values with some room, and is no narrower than told."""
    array = np.asarray(list(values), np.float64)
    low, high = float(array.min()), float(array.max())
    middle, width = (low + high) / 2, max(1.08 * (high - low), narrowest)
    return scale(title, middle - width / 2, middle + width / 2, ticks)


def _round_step(width: float) -> float:
    """Take the next of 1, 2, 5, 10, 20, 50 …, of any power of ten, that is at least `width`."""
    power = 10.0 ** math.floor(math.log10(width))
    return power * next(step for step in (1, 2, 5, 10) if step * power >= width * (1 - 1e-9))
