"""Smoothness of the played targets: jerk and acceleration, where chunks take over and within."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from handover_proto import ARM_JOINTS


def motion(
    targets: np.ndarray, borders: Sequence[int], began: int, control_rate_hz: float
) -> dict[str, Any]:
    """The figures of an episode's motion, by their names in an EpisodeRecord.

    began: control step of the first chunk; before it the start is held
    """
    played, within = targets[began:], [border - began for border in borders]
    return {
        "jerk_rms": jerk_rms(targets, control_rate_hz),
        "border_jerk_rms": border_jerk_rms(targets, borders, control_rate_hz),
        "border_acceleration": border_acceleration(targets, borders, control_rate_hz),
        "within_jerk_rms": within_jerk_rms(played, within, control_rate_hz),
        "within_acceleration": within_acceleration(played, within, control_rate_hz),
    }


def jerk_rms(targets: np.ndarray, control_rate_hz: float) -> float | None:
    """Root mean square third derivative of the arms' targets, in rad/s³; None below 4 steps.

    targets: (steps, 14), as they were played
    """
    jerk = np.diff(_arms(targets), n=3, axis=0) * control_rate_hz**3
    return float(np.sqrt(np.mean(jerk**2))) if jerk.size else None


def border_jerk_rms(
    targets: np.ndarray, borders: Sequence[int], control_rate_hz: float
) -> float | None:
    """Root mean square third derivative of the arms' targets across borders, rad/s³.

    Over the up to three windows of four control steps that hold targets of both sides of a border,
    all arm joints and all borders; as `jerk_rms` is over all windows. None without a border.

    targets: (steps, 14), as they were played
    borders: control steps whose target was the first one of another chunk
    """
    jerk = _across(targets, borders, 3) * control_rate_hz**3
    return float(np.sqrt(np.mean(jerk**2))) if jerk.size else None


def border_acceleration(
    targets: np.ndarray, borders: Sequence[int], control_rate_hz: float
) -> float | None:
    """Mean acceleration of the arms' targets over the borders, rad/s²; None without a border.

    Of one border b: the larger Euclidean norm, over the 12 arm joints, of the second differences
    (q[k+1] - 2 q[k] + q[k-1]) · rate² at k = b - 1 and b, those that hold targets of both sides.
    """
    pulls = []
    for border in borders:
        across = _across(targets, [border], 2) * control_rate_hz**2
        if across.size:
            pulls.append(np.linalg.norm(across, axis=1).max())
    return float(np.mean(pulls)) if pulls else None


def within_jerk_rms(
    targets: np.ndarray, borders: Sequence[int], control_rate_hz: float
) -> float | None:
    """Root mean square third derivative of the arms' targets within chunks, rad/s³.

    Over the windows of four control steps that span no border: those that `border_jerk_rms` leaves.
    """
    differences = np.diff(_arms(targets), n=3, axis=0)
    within = np.delete(differences, _spanning(borders, 3, len(differences)), axis=0)
    jerk = within * control_rate_hz**3
    return float(np.sqrt(np.mean(jerk**2))) if jerk.size else None


def within_acceleration(
    targets: np.ndarray, borders: Sequence[int], control_rate_hz: float
) -> float | None:
    """Mean acceleration of the arms' targets within chunks, rad/s², as at a border.

    Of a control step c: the larger norm of the second differences at c - 1 and c; over all c for
    which neither of them spans a border.
    """
    pulls = np.linalg.norm(np.diff(_arms(targets), n=2, axis=0), axis=1) * control_rate_hz**2
    pulls[_spanning(borders, 2, len(pulls))] = np.nan
    pairs = np.maximum(pulls[:-1], pulls[1:])  # NaN where either is
    within = pairs[~np.isnan(pairs)]
    return float(np.mean(within)) if within.size else None


def _spanning(borders: Sequence[int], order: int, count: int) -> list[int]:
    """List the differences of an order, of `count`, that hold targets of both sides of a border."""
    first = {
        k for border in borders for k in range(border - order, border)
    }  # k is of k … k + order
    return sorted(k for k in first if 0 <= k < count)


def _across(targets: np.ndarray, borders: Sequence[int], order: int) -> np.ndarray:
    """Differences of an order that span a border: (n, 12) float64."""
    differences = np.diff(_arms(targets), n=order, axis=0)
    return differences[_spanning(borders, order, len(differences))]


def _arms(targets: np.ndarray) -> np.ndarray:
    return targets[:, list(ARM_JOINTS)].astype(np.float64)
