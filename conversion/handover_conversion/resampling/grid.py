"""Grid of the output's rows, t_k = k / rate, laid over recorded steps by their rate or their times.

At a constant rate positions are fractions of integers, so no rounding decides which frame is
nearest, and a grid point that falls on a recorded step gets exactly that step's values.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np

METHOD = {
    "grid": "row k is at k / fps seconds, from 0 up to the last recorded step, never beyond",
    "video": "nearest frame, the earlier one when two are as near; never a blend",
    "values": "each group's own way: linear, nearest (the earlier step when two are as near), "
    "angle, quaternion or rotation_6d",
    "task": "nearest, the earlier step when two are as near",
}
# what a recorder's rounding, or float32, adds to a time at a constant rate
TOLERANCE_STEPS = 0.1
_SAME_S = 1e-5  # float32 tells times of 100 s apart by as much
_GAP_STEPS = 3  # a longer pause between two steps is told

Timestamps = Literal["nominal", "measured"]


class TimeError(ValueError):
    """Recorded times that cannot be resampled as asked."""


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
    """Lay the grid of the new rate over `steps` recorded steps of a constant rate."""
    rows = np.arange(resampled_length(steps, from_hz, to_hz), dtype=np.int64)
    ratio = from_hz / to_hz  # recorded steps per row
    lower, rest = np.divmod(rows * ratio.numerator, ratio.denominator)
    nearest = lower + (2 * rest > ratio.denominator)
    return Grid(lower, rest / ratio.denominator, nearest)


def make_measured_grid(time_s: np.ndarray, from_hz: Fraction, to_hz: Fraction) -> Grid:
    """Lay the grid of the new rate over steps at measured times, of which the first is time 0.

    A step is a row's nearest only up to half a nominal step ahead of it: across a gap a row gets
    what was last seen, not what comes after the gap. Raises TimeError.
    """
    time_s = np.asarray(time_s, np.float64) - time_s[0]
    backwards = np.flatnonzero(np.diff(time_s) <= 0)
    if len(backwards):
        raise TimeError(
            f"timestamps do not increase from row {backwards[0]} to row {backwards[0] + 1}"
            f" ({len(backwards)} such rows)"
        )
    count = int((time_s[-1] + _SAME_S) * to_hz) + 1
    at = np.arange(count) * to_hz.denominator / to_hz.numerator
    lower = np.searchsorted(time_s, at + _SAME_S, side="right") - 1
    upper = np.minimum(lower + 1, len(time_s) - 1)
    since, ahead = at - time_s[lower], time_s[upper] - at
    between = (upper > lower) & (since > _SAME_S)
    weight = np.where(between, since / np.where(between, since + ahead, 1.0), 0.0)
    later = between & (ahead < since - 2 * _SAME_S) & (ahead <= 0.5 / float(from_hz))
    return Grid(lower, weight, np.where(later, upper, lower))


def check_constant(time_s: np.ndarray, fps: float) -> None:
    """Check that steps are at a constant rate, whatever time they start at. Raises TimeError."""
    offset = np.asarray(time_s, np.float64) - np.arange(len(time_s)) / fps
    off = offset - offset[0]
    wrong = np.flatnonzero(np.abs(off) > TOLERANCE_STEPS / fps)
    if not len(wrong):
        return
    # a first step that is off would accuse all others: the middle offset is the start's
    off = offset - np.median(offset)
    wrong = np.flatnonzero(np.abs(off) > TOLERANCE_STEPS / fps)
    if not len(wrong):
        return
    steps = np.arange(len(time_s)) - (len(time_s) - 1) / 2
    period_s = float(
        steps @ (time_s - np.mean(time_s)) / (steps @ steps)
    )  # of the line through all
    rate = 1 / period_s if period_s > 0 else float("nan")
    if not abs(rate / fps - 1) < 2e-3:
        what = f"timestamps run at {rate:.4g} Hz, expected the dataset's {fps:g}"
    else:
        worst = 1000 * np.abs(off).max()
        what = f"timestamps are up to {worst:.3g} ms off a constant {fps:g} Hz"
    rows = ", ".join(map(str, wrong[:5])) + (f" … ({len(wrong)} in total)" * (len(wrong) > 5))
    raise TimeError(f"{what} (row {rows}): --timestamps measured resamples by them")


def _middle_rate(time_s: np.ndarray) -> float:
    """Return the rate of the middle step, in Hz; nan where the times do not increase."""
    if len(time_s) < 2:
        return float("nan")
    middle = float(np.median(np.diff(np.asarray(time_s, np.float64))))
    return 1 / middle if middle > 0 else float("nan")


def in_seconds(times: np.ndarray, fps: float) -> np.ndarray:
    """Convert times to seconds: recorders write s, ms, µs or ns, and the rate tells which.

    Seconds, where none of the units fits the dataset's rate.
    """
    rate = _middle_rate(times)
    for per_second in (1, 1e3, 1e6, 1e9):
        if np.isfinite(rate) and 0.5 < rate * per_second / fps < 2:
            break
    else:
        per_second = 1
    if per_second == 1:
        return np.asarray(times, np.float64)
    return (times - times[0]).astype(np.float64) / per_second


def gaps(time_s: np.ndarray, fps: float) -> list[str]:
    """Describe the pauses of more than three nominal steps between recorded steps."""
    pauses = np.diff(time_s)
    return [
        f"a gap of {pauses[row]:.3g} s after row {row}"
        for row in np.flatnonzero(pauses > _GAP_STEPS / fps)
    ]


def grid_times(rows: int, rate_hz: Fraction) -> np.ndarray:
    """Return each row's time since the episode's start, in s: (rows,) float32."""
    exact = np.arange(rows, dtype=np.float64) * rate_hz.denominator / rate_hz.numerator
    return exact.astype(np.float32)
