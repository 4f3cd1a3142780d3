"""Normalising arrays and back: sine/cosine, mean/deviation, minimum/maximum. numpy alone.

Results keep the float type of what comes in, and are rounded to it where the published model's
training data was: after the division, then after the shift.
"""

import numpy as np

from handover_model.processing.statistics import KeyStatistics


def sin_cos(values: np.ndarray) -> np.ndarray:
    """Give all sines, then all cosines of angles in rad: (..., D) -> (..., 2 D)."""
    return np.concatenate([np.sin(values), np.cos(values)], axis=-1)


def by_mean_std(values: np.ndarray, statistics: KeyStatistics) -> np.ndarray:
    """Shift and scale to mean 0, deviation 1; dimensions that never varied stay as they are."""
    varied = statistics.std != 0
    scaled = (values - statistics.mean) / np.where(varied, statistics.std, 1)
    return np.where(varied, scaled, values).astype(values.dtype)


def by_range(values: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Map [low, high] to [-1, 1]; dimensions without a range (np.isclose) become exactly 0."""
    flat = np.abs(high - low) <= 1e-8 + 1e-5 * np.abs(low)  # np.isclose, at a tenth of its time
    share = ((values - low) / np.where(flat, 1, high - low)).astype(values.dtype)
    return np.where(flat, 0, 2 * share - 1).astype(values.dtype)


def from_mean_std(values: np.ndarray, statistics: KeyStatistics) -> np.ndarray:
    """Undo by_mean_std: float64; dimensions that never varied pass unchanged here too."""
    return np.where(statistics.std != 0, values * statistics.std + statistics.mean, values)


def from_range(values: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Undo by_range: float64. What is beyond [-1, 1] is clipped first, so `low` … `high` bound it.

    A dimension without a range gives its constant whatever the values say.
    """
    return (np.clip(values, -1, 1) + 1) / 2 * (high - low) + low


def bounds(statistics: KeyStatistics, *, percentiles: bool) -> tuple[np.ndarray, np.ndarray]:
    """Give the ends of the range: minimum and maximum, or the 1 % and 99 % quantiles."""
    if percentiles:
        return statistics.q01, statistics.q99
    return statistics.min, statistics.max
