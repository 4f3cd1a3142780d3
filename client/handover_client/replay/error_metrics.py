"""Error metrics of a predicted trajectory against the demonstrated one, with their definitions.

A trajectory is (T, D): T steps of D values in physical units (rad; grippers 0 … 1). e is predicted
minus demonstrated, in float64.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

THRESHOLDS = (0.05, 0.10, 0.20)

DEFINITIONS = {
    "mse": "mean of e² over all steps and values",
    "mae": "mean of |e| over all steps and values",
    "success_at": "share of the steps at which |e| of every value is at most the threshold",
    "accuracy_at": "share of the single values whose |e| is at most the threshold",
    "drift": "slope of the straight line fitted (least squares) to the per-step MSE over the steps "
    "0 … T-1 of a trajectory, in MSE per step; over several trajectories the mean of their slopes",
}


@dataclass(frozen=True)
class Score:
    """The figures of one trajectory, or of several pooled; thresholds are keys: "0.05" …"""

    steps: int
    mse: float
    mae: float
    success_at: dict[str, float]
    accuracy_at: dict[str, float]
    drift: float


def threshold_key(threshold: float) -> str:
    """Write a threshold as the metrics' keys have it: 0.1 -> "0.10"."""
    return f"{threshold:.2f}"


def score(predicted: np.ndarray, demonstrated: np.ndarray) -> Score:
    """Compare two trajectories of one shape, (T, D) with T and D at least 1."""
    error = _error(predicted, demonstrated)
    within = {threshold_key(limit): np.abs(error) <= limit for limit in THRESHOLDS}
    return Score(
        steps=len(error),
        mse=float(np.mean(error**2)),
        mae=float(np.mean(np.abs(error))),
        success_at={key: float(np.mean(inside.all(axis=1))) for key, inside in within.items()},
        accuracy_at={key: float(np.mean(inside)) for key, inside in within.items()},
        drift=slope(np.mean(error**2, axis=1)),
    )


def step_mse(predicted: np.ndarray, demonstrated: np.ndarray) -> np.ndarray:
    """Mean squared error of each step: (T, D) and (T, D) -> (T,)."""
    return np.mean(_error(predicted, demonstrated) ** 2, axis=1)


def slope(values: np.ndarray) -> float:
    """Slope of the straight line fitted to values over their places 0 … T-1; 0 for one value."""
    places = np.arange(len(values)) - (len(values) - 1) / 2
    spread = float(places @ places)
    return float(places @ values) / spread if spread else 0.0


def pool(scores: Sequence[Score]) -> Score:
    """Pool several trajectories: every step counts once; drift is the mean of the drifts.

    Raises ValueError without any.
    """
    if not scores:
        raise ValueError("no scores to pool")
    steps = [item.steps for item in scores]

    def weighted(values: Sequence[float]) -> float:
        return float(np.average(values, weights=steps))

    return Score(
        steps=sum(steps),
        mse=weighted([item.mse for item in scores]),
        mae=weighted([item.mae for item in scores]),
        success_at={
            key: weighted([item.success_at[key] for item in scores]) for key in scores[0].success_at
        },
        accuracy_at={
            key: weighted([item.accuracy_at[key] for item in scores])
            for key in scores[0].accuracy_at
        },
        drift=float(np.mean([item.drift for item in scores])),
    )


def _error(predicted: np.ndarray, demonstrated: np.ndarray) -> np.ndarray:
    if predicted.shape != demonstrated.shape or predicted.ndim != 2 or 0 in predicted.shape:
        raise ValueError(
            f"expected two trajectories (T, D) of one shape, got {predicted.shape} "
            f"and {demonstrated.shape}"
        )
    return predicted.astype(np.float64) - demonstrated.astype(np.float64)
