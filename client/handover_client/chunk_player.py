"""A policy's chunks as joint targets at any control step: the way from 20 Hz to a robot's 50 Hz.

Times are counted in control steps, and places in a chunk are exact fractions of its steps: no
rounding decides which target is played.
"""

from fractions import Fraction
from typing import Literal, get_args

import numpy as np
from handover_proto.embodiment import ALOHA_JOINTS, GRIPPER_JOINTS

Interpolation = Literal["linear", "hold"]


class ChunkPlayer:
    """Plays the newest chunk; before the first, and past a chunk's end, it holds the last target.

    Step j of a chunk is due j / `chunk_rate_hz` seconds after the observation that it answers,
    however late it comes: the steps that have passed by then are never played. Arms go linearly
    from one step's target to the next (`linear`) or jump to it (`hold`); grippers always jump.
    """

    def __init__(
        self,
        start: np.ndarray,
        chunk_rate_hz: float = 20.0,
        control_rate_hz: float = 50.0,
        interpolation: Interpolation = "linear",
    ) -> None:
        """`start` is what is held before the first chunk: (14,), rad, grippers 0 … 1."""
        if interpolation not in get_args(Interpolation):
            raise ValueError(f"interpolation {interpolation!r}: expected linear or hold")
        self._steps_per_control_step = chunk_steps_per_control_step(chunk_rate_hz, control_rate_hz)
        self._is_linear = interpolation == "linear"
        self._start = _check(np.asarray(start), ndim=1).astype(np.float32)
        self._targets: np.ndarray | None = None
        self._observed_at = 0

    def add(self, targets: np.ndarray, observed_at: int, now: int) -> int:
        """Play this chunk from control step `now` on; returns how many of its steps had passed.

        targets: (steps, 14), absolute: rad, grippers 0 … 1
        observed_at: the control step of the observation that the chunk answers

        A chunk that has passed as a whole, or that answers an older observation than the one
        being played, changes nothing. Raises ValueError for another shape, and for a chunk from
        the future.
        """
        targets = _check(np.asarray(targets), ndim=2).astype(np.float32)
        if observed_at > now:
            raise ValueError(f"a chunk for control step {observed_at} at control step {now}")
        place = (now - observed_at) * self._steps_per_control_step
        is_older = self._targets is not None and observed_at < self._observed_at
        if is_older or place >= len(targets):
            return len(targets)
        self._targets, self._observed_at = targets, observed_at
        return int(place)

    def target_at(self, step: int) -> np.ndarray:
        """Give the joint targets of a control step: (14,) float32."""
        if self._targets is None:
            return self._start.copy()
        place = self._place(step)
        index = min(int(place), len(self._targets) - 1)
        target = self._targets[index].copy()
        if self._is_linear and index + 1 < len(self._targets):
            share = np.float32(place - index)
            following = self._targets[index + 1]
            moved = target + share * (following - target)
            moved[list(GRIPPER_JOINTS)] = target[list(GRIPPER_JOINTS)]
            return moved
        return target

    def is_dry(self, step: int) -> bool:
        """Tell whether the chunk is over at a control step, so that its last target is held."""
        return self._targets is not None and self._place(step) >= len(self._targets)

    def _place(self, step: int) -> Fraction:
        return (step - self._observed_at) * self._steps_per_control_step


def chunk_steps_per_control_step(chunk_rate_hz: float, control_rate_hz: float) -> Fraction:
    """Give the ratio of two rates exactly: 20 Hz and 50 Hz -> 2/5."""
    if not (chunk_rate_hz > 0 and control_rate_hz > 0):
        raise ValueError(f"rates {chunk_rate_hz} Hz and {control_rate_hz} Hz: expected above 0")
    chunk_rate, control_rate = (
        Fraction(rate).limit_denominator(1000) for rate in (chunk_rate_hz, control_rate_hz)
    )
    return chunk_rate / control_rate


def _check(targets: np.ndarray, ndim: int) -> np.ndarray:
    width = len(ALOHA_JOINTS)
    if targets.ndim != ndim or targets.shape[-1] != width or 0 in targets.shape:
        shape = f"(steps, {width})" if ndim == 2 else f"({width},)"
        raise ValueError(f"targets have shape {targets.shape}, expected {shape}")
    return targets
