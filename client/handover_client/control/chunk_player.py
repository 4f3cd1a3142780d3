"""Chunk player: a policy's chunks as joint targets at any control step, from 20 Hz to 50 Hz.

Times are counted in control steps, and places in a chunk are exact fractions of its steps: no
rounding decides which target is played.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, get_args

import numpy as np
from handover_proto import ALOHA_JOINTS, GRIPPER_JOINTS

from handover_client.control.blending import FADE_S, Blend, ensemble_weights, fade_out

Interpolation = Literal["linear", "hold"]
_STEPS_REMEMBERED = 100  # two seconds at 50 Hz: an observation is not as old


@dataclass(frozen=True)
class _Chunk:
    """(steps, 14) float32 targets, and the control steps of their observation and first play."""

    targets: np.ndarray
    observed_at: Fraction | int
    since: int


class ChunkPlayer:
    """Plays the newest chunk; before the first, and past a chunk's end, it holds the last target.

    Step j of a chunk is due j / `chunk_rate_hz` seconds after the observation that it answers,
    however late it comes: the steps that have passed by then are never played. Arms go linearly
    from one step's target to the next (`linear`) or jump to it (`hold`); grippers always jump.

    blend: `newest` plays that one alone; `ensemble` plays the weighted mean of all chunks that are
    not over; `crossfade` goes from the old one to the new one within 0.2 s, and where the old one
    is over before, its last difference to the new one fades.
    """

    def __init__(
        self,
        start: np.ndarray,
        chunk_rate_hz: float = 20.0,
        control_rate_hz: float = 50.0,
        interpolation: Interpolation = "linear",
        blend: Blend = "newest",
        grippers: Sequence[int] | None = None,
    ) -> None:
        """`start` is what is held before the first chunk: (14,), rad, grippers 0 … 1.

        grippers: their places among the joints of another robot, which has as many as `start`
        """
        if interpolation not in get_args(Interpolation):
            raise ValueError(f"interpolation {interpolation!r}: expected linear or hold")
        if blend not in get_args(Blend):
            raise ValueError(f"blend {blend!r}: expected newest, ensemble or crossfade")
        self._steps_per_control_step = chunk_steps_per_control_step(chunk_rate_hz, control_rate_hz)
        self._fade_steps = FADE_S * control_rate_hz
        self._is_linear, self._blend = interpolation == "linear", blend
        self._grippers = list(GRIPPER_JOINTS if grippers is None else grippers)
        self._width = len(ALOHA_JOINTS) if grippers is None else np.size(start)
        self._start = self._check(np.asarray(start), ndim=1).astype(np.float32)
        self._chunks: list[_Chunk] = []  # the newest is the last, and alone if it is played alone
        # (control step, target) of what was played, for as long as a new chunk may look back
        self._played: deque[tuple[int, np.ndarray]] = deque(maxlen=_STEPS_REMEMBERED)
        self.borders: list[int] = []
        """The control steps at which a chunk took over from another, or joined it."""
        self.began = 0
        """The control step of the first chunk: until then the start is held."""

    def add(self, targets: np.ndarray, observed_at: Fraction | int, now: int) -> int:
        """Play this chunk from control step `now` on; returns how many of its steps had passed.

        targets: (steps, 14), absolute: rad, grippers 0 … 1
        observed_at: the control step of the observation that the chunk answers

        A chunk that has passed as a whole, or that answers an older observation than the one
        being played, changes nothing. Raises ValueError for another shape, and for a chunk from
        the future.
        """
        chunk = _Chunk(
            self._check(np.asarray(targets), ndim=2).astype(np.float32), observed_at, now
        )
        if observed_at > now:
            raise ValueError(f"a chunk for control step {float(observed_at):g} at {now}")
        is_older = bool(self._chunks) and observed_at < self._chunks[-1].observed_at
        if is_older or self._left(chunk, now) <= 0:
            return len(targets)
        if self._chunks:
            self.borders.append(now)
        else:
            self.began = now
        kept: list[_Chunk] = []
        if self._blend == "ensemble":
            kept = [old for old in self._chunks if self._left(old, now) > 0]
        elif self._blend == "crossfade":
            fading = [place for place in range(1, len(self._chunks)) if self._share(place, now)]
            kept = self._chunks[(fading or [len(self._chunks)])[0] - 1 :]
        self._chunks = [*kept, chunk]
        return int(self._place(chunk, now))

    def play(self, step: int) -> np.ndarray:
        """Return `target_at` a control step, and remember that it was played."""
        target = self.target_at(step)
        self._played.append((step, target))
        return target

    def target_at(self, step: int | Fraction) -> np.ndarray:
        """Return the joint targets of a control step, or of a moment between two: (14,) float32."""
        if not self._chunks:
            return self._start.copy()
        if self._blend != "ensemble":
            return self._faded(len(self._chunks) - 1, step)
        running = [chunk for chunk in self._chunks if self._left(chunk, step) > 0]
        running = running or self._chunks[-1:]
        targets = [self._target_of(chunk, step) for chunk in running]
        weights = ensemble_weights(len(targets))
        return np.average(targets, axis=0, weights=weights).astype(np.float32)

    def rest(self, step: int | Fraction) -> np.ndarray:
        """Return what there is to play from a control step on, at the chunks' own rate.

        (steps, 14) float32; the first is due at `step`. Of a step that has passed, what was played
        since then comes first. Empty where nothing is left.
        """
        rest: list[np.ndarray] = []
        if self._chunks:
            newest, moment = self._chunks[-1], Fraction(step)
            while self._left(newest, moment) >= 1:
                rest.append(self._played_at(moment))
                moment += 1 / self._steps_per_control_step
        return np.array(rest, np.float32).reshape(-1, self._width)

    @property
    def is_empty(self) -> bool:
        """Whether no chunk has been played yet: the start is held."""
        return not self._chunks

    def is_dry(self, step: int) -> bool:
        """Return whether the chunk is over at a control step, so that its last target is held."""
        return bool(self._chunks) and self._left(self._chunks[-1], step) <= 0

    def _faded(self, place: int, step: int | Fraction) -> np.ndarray:
        """Return a chunk's target at a moment, and what is left there of the one before it."""
        chunk = self._chunks[place]
        share = self._share(place, step)
        if place and step <= chunk.since:
            return self._faded(place - 1, step)
        target = self._target_of(chunk, step)
        if not share:
            return target
        old = self._chunks[place - 1]
        over = old.observed_at + (len(old.targets) - 1) / self._steps_per_control_step
        last = min(step, max(over, chunk.since))
        difference = self._faded(place - 1, last) - self._target_of(chunk, last)
        return target + np.float32(share) * difference

    def _share(self, place: int, step: int | Fraction) -> float:
        """Return the weight at a moment of what was played before a chunk; 0 for the first."""
        since = self._chunks[place].since
        return fade_out(float(step - since) / self._fade_steps) if place else 0.0

    def _target_of(self, chunk: _Chunk, step: int | Fraction) -> np.ndarray:
        return self._interpolate(chunk.targets, self._place(chunk, step))

    def _played_at(self, moment: Fraction) -> np.ndarray:
        """Return the target of a moment, of the past too; before what is remembered, the first."""
        if not self._played or moment > self._played[-1][0]:
            return self.target_at(moment)
        after = next(place for place, (step, _) in enumerate(self._played) if step >= moment)
        (late, target), (early, before) = self._played[after], self._played[max(0, after - 1)]
        if late == moment or not after:
            return target.copy()
        share = np.float32((moment - early) / (late - early)) if self._is_linear else np.float32(0)
        moved = before + share * (target - before)
        moved[self._grippers] = before[self._grippers]
        return moved

    def _interpolate(self, targets: np.ndarray, place: Fraction) -> np.ndarray:
        index = min(int(place), len(targets) - 1)
        target = targets[index].copy()
        if self._is_linear and index + 1 < len(targets):
            share = np.float32(place - index)
            moved = target + share * (targets[index + 1] - target)
            moved[self._grippers] = target[self._grippers]
            return moved
        return target

    def _place(self, chunk: _Chunk, step: int | Fraction) -> Fraction:
        return (step - chunk.observed_at) * self._steps_per_control_step

    def _left(self, chunk: _Chunk, step: int | Fraction) -> Fraction:
        """Count a chunk's steps that are to come; 0 or less where it is over."""
        return len(chunk.targets) - self._place(chunk, step)

    def _check(self, targets: np.ndarray, ndim: int) -> np.ndarray:
        width = self._width
        if targets.ndim != ndim or targets.shape[-1] != width or 0 in targets.shape:
            shape = f"(steps, {width})" if ndim == 2 else f"({width},)"
            raise ValueError(f"targets have shape {targets.shape}, expected {shape}")
        return targets


def chunk_steps_per_control_step(chunk_rate_hz: float, control_rate_hz: float) -> Fraction:
    """Return the ratio of two rates exactly: 20 Hz and 50 Hz -> 2/5."""
    if not (chunk_rate_hz > 0 and control_rate_hz > 0):
        raise ValueError(f"rates {chunk_rate_hz} Hz and {control_rate_hz} Hz: expected above 0")
    chunk_rate, control_rate = (
        Fraction(rate).limit_denominator(1000) for rate in (chunk_rate_hz, control_rate_hz)
    )
    return chunk_rate / control_rate
