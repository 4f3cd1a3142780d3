"""Interpolation of recorded values at a grid's rows, each quantity in its own way.

A row on a recorded step gets that step's values as they are (a quaternion: up to its sign).
"""

from typing import Literal, get_args

import numpy as np

from handover_conversion.resampling.grid import Grid

TimeMode = Literal["linear", "nearest", "angle", "quaternion", "rotation_6d"]
TIME_MODES: tuple[TimeMode, ...] = get_args(TimeMode)
BLOCK = {"quaternion": 4, "rotation_6d": 6}  # values that belong together
_NORM_TOLERANCE = 0.1  # of a recorded quaternion's, or a rotation's axes'
_TURN = 2 * np.pi


def resample(values: np.ndarray, grid: Grid, mode: TimeMode) -> np.ndarray:
    """Take values to the grid's rows: (steps, D) -> (rows, D) float32.

    Angles are in rad. Raises ValueError where quaternions or rotations are none.
    """
    if mode == "nearest":
        return values[grid.nearest].astype(np.float32)
    if mode == "linear":
        return interpolate(values, grid)
    way = {"angle": _angles, "quaternion": _quaternions, "rotation_6d": _rotations}[mode]
    return way(values.astype(np.float64), grid).astype(np.float32)


def interpolate(values: np.ndarray, grid: Grid) -> np.ndarray:
    """Interpolate values linearly at the grid's rows: (steps, D) -> (rows, D), float32."""
    before, after = _neighbours(values, grid)
    weight = grid.weight[:, None]
    return (before + weight * (after - before)).astype(np.float32)


def _neighbours(values: np.ndarray, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    upper = np.minimum(grid.lower + 1, len(values) - 1)
    return values[grid.lower].astype(np.float64), values[upper].astype(np.float64)


def _angles(values: np.ndarray, grid: Grid) -> np.ndarray:
    """Turn the short way round; the result is in [0, 2π] if the recording is, else in [−π, π]."""
    before, after = _neighbours(values, grid)
    turn = (after - before + np.pi) % _TURN - np.pi
    between = before + grid.weight[:, None] * turn
    slack = 1e-4  # float32's π is above π
    positive = (values.min(axis=0) >= -slack) & (values.max(axis=0) > np.pi + slack)
    low = np.where(positive & (values.max(axis=0) <= _TURN + slack), 0.0, -np.pi)
    inside = (between >= low - slack) & (between <= low + _TURN + slack)
    return np.where(inside, between, (between - low) % _TURN + low)


def _quaternions(values: np.ndarray, grid: Grid) -> np.ndarray:
    """Interpolate unit quaternions on the sphere (slerp), in whatever order of components."""
    blocks = np.split(values, values.shape[1] // 4, axis=1)
    return np.concatenate([_slerp(block, grid) for block in blocks], axis=1)


def _slerp(quaternions: np.ndarray, grid: Grid) -> np.ndarray:
    norms = np.linalg.norm(quaternions, axis=1)
    wrong = np.flatnonzero(np.abs(norms - 1) > _NORM_TOLERANCE)
    if len(wrong):
        raise ValueError(
            f"a quaternion has norm {norms[wrong[0]]:.3g}, expected 1, in row {wrong[0]}"
            f" ({len(wrong)} in total)"
        )
    unit = quaternions / norms[:, None]
    # q and −q are one rotation: each step takes the sign that is nearer to the step before
    flips = np.sign(np.sum(unit[1:] * unit[:-1], axis=1))
    signs = np.cumprod(np.concatenate([[1.0], np.where(flips == 0, 1, flips)]))
    before, after = _neighbours(unit * signs[:, None], grid)
    weight = grid.weight[:, None]
    cosine = np.clip(np.sum(before * after, axis=1, keepdims=True), -1, 1)
    angle = np.arccos(cosine)
    near = np.sin(angle) < 1e-6  # linear, then: their directions are one
    sine = np.where(near, 1.0, np.sin(angle))
    first = np.where(near, 1 - weight, np.sin((1 - weight) * angle) / sine)
    second = np.where(near, weight, np.sin(weight * angle) / sine)
    between = first * before + second * after
    between /= np.linalg.norm(between, axis=1, keepdims=True)
    on_step = quaternions[grid.lower] * signs[grid.lower, None]
    return np.where(weight == 0, on_step, between)


def _rotations(values: np.ndarray, grid: Grid) -> np.ndarray:
    """Turn between two rotations about one axis; (6,) are two axes of 3, one after the other."""
    blocks = np.split(values, values.shape[1] // 6, axis=1)
    return np.concatenate([_turn_between(block, grid) for block in blocks], axis=1)


def _turn_between(axes: np.ndarray, grid: Grid) -> np.ndarray:
    matrices = _matrices(axes)
    before, after = _neighbours(matrices, grid)
    step = np.swapaxes(before, 1, 2) @ after
    cosine = np.clip((np.trace(step, axis1=1, axis2=2) - 1) / 2, -1, 1)
    angle = np.arccos(cosine)
    axis = _axes(step)
    turned = before @ _about(axis, grid.weight * angle)
    between = np.concatenate([turned[:, :, 0], turned[:, :, 1]], axis=1)
    return np.where(grid.weight[:, None] == 0, axes[grid.lower], between)


def _matrices(axes: np.ndarray) -> np.ndarray:
    """Complete two recorded axes to a rotation: (L, 6) -> (L, 3, 3), the axes its columns."""
    first, second = axes[:, :3], axes[:, 3:]
    lengths = np.linalg.norm(np.stack([first, second]), axis=2)
    across = np.abs(np.sum(first * second, axis=1))
    wrong = np.flatnonzero((np.abs(lengths - 1) > _NORM_TOLERANCE).any(axis=0) | (across > 0.1))
    if len(wrong):
        raise ValueError(
            f"rotation_6d in row {wrong[0]} is {np.round(axes[wrong[0]], 3).tolist()}, expected "
            f"two unit axes at right angles, three values each ({len(wrong)} rows in total)"
        )
    first = first / np.linalg.norm(first, axis=1, keepdims=True)
    second = second - np.sum(first * second, axis=1, keepdims=True) * first
    second = second / np.linalg.norm(second, axis=1, keepdims=True)
    return np.stack([first, second, np.cross(first, second)], axis=2)


def _axes(rotations: np.ndarray) -> np.ndarray:
    """Return each rotation's unit axis: (L, 3, 3) -> (L, 3); any where there is no turn."""
    skew = np.stack(
        [
            rotations[:, 2, 1] - rotations[:, 1, 2],
            rotations[:, 0, 2] - rotations[:, 2, 0],
            rotations[:, 1, 0] - rotations[:, 0, 1],
        ],
        axis=1,
    )
    length = np.linalg.norm(skew, axis=1, keepdims=True)
    # at half a turn the skew part vanishes: the axis is the column of R + 1 that is longest
    half = rotations + np.eye(3)
    longest = np.argmax(np.linalg.norm(half, axis=1), axis=1)
    column = half[np.arange(len(half)), :, longest]
    column = column / np.maximum(np.linalg.norm(column, axis=1, keepdims=True), 1e-12)
    return np.where(length > 1e-9, skew / np.maximum(length, 1e-12), column)


def _about(axis: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Rotate about unit axes by angles in rad (Rodrigues): (L, 3), (L,) -> (L, 3, 3)."""
    x, y, z = axis.T
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=1).reshape(-1, 3, 3)
    sine, cosine = np.sin(angle)[:, None, None], np.cos(angle)[:, None, None]
    return np.eye(3) + sine * cross + (1 - cosine) * (cross @ cross)
