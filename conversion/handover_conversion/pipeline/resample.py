"""Resampling on the grid t_k = k / rate: exact positions, nearest and linear interpolation.

Positions are kept as fractions of integers, so no rounding decides which frame is nearest, and a
grid point that falls on a recorded step gets exactly that step's values.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

METHOD = {
    "grid": "row k is at k / fps seconds, from 0 up to the last recorded step, never beyond",
    "video": "nearest frame, the earlier one when two are as near; never a blend",
    "state": "linear",
    "action": "linear; nearest for grippers, the earlier step when two are as near",
    "task": "nearest, the earlier step when two are as near",
}


@dataclass(frozen=True)
class Grid:
    """Positions of the new rate's rows among the recorded steps; all arrays are (rows,)."""

    lower: np.ndarray  # int64, the recorded step at or before each row
    weight: np.ndarray  # float64 in [0, 1), how far each row is between it and the next step
    nearest: np.ndarray  # int64, the nearest recorded step, the earlier one of two

    def __len__(self) -> int:
        return len(self.lower)


def exact_rate(rate_hz: float) -> Fraction:
    """Return the fraction that a rate stands for: 50 -> 50, 29.97 -> 30000/1001.

    Raises ValueError when it is not above 0.
    """
    if not 1e-4 < rate_hz < 1_000_000:
        raise ValueError(f"expected a rate above 0 Hz, got {rate_hz}")
    for ntsc in (24_000, 30_000, 60_000):
        if abs(rate_hz * 1001 - ntsc) < 1:
            return Fraction(ntsc, 1001)
    return Fraction(rate_hz).limit_denominator(100_000)


def resampled_length(steps: int, from_hz: Fraction, to_hz: Fraction) -> int:
    """Count the rows of the new rate that lie within `steps` recorded steps."""
    return 0 if steps == 0 else int((steps - 1) * to_hz / from_hz) + 1


def make_grid(steps: int, from_hz: Fraction, to_hz: Fraction) -> Grid:
    """Lay the grid of the new rate over `steps` recorded steps."""
    rows = np.arange(resampled_length(steps, from_hz, to_hz), dtype=np.int64)
    ratio = from_hz / to_hz  # recorded steps per row
    lower, rest = np.divmod(rows * ratio.numerator, ratio.denominator)
    nearest = lower + (2 * rest > ratio.denominator)
    return Grid(lower, rest / ratio.denominator, nearest)


def interpolate(values: np.ndarray, grid: Grid) -> np.ndarray:
    """Interpolate values linearly at the grid's rows: (steps, D) -> (rows, D), float32."""
    upper = np.minimum(grid.lower + 1, len(values) - 1)
    weight = grid.weight[:, None]
    before, after = values[grid.lower].astype(np.float64), values[upper].astype(np.float64)
    return (before + weight * (after - before)).astype(np.float32)


def grid_times(rows: int, rate_hz: Fraction) -> np.ndarray:
    """Return each row's time since the episode's start, in s: (rows,) float32."""
    exact = np.arange(rows, dtype=np.float64) * rate_hz.denominator / rate_hz.numerator
    return exact.astype(np.float32)
