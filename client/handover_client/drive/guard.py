"""Guard between a policy and a robot: no command leaves the limits, whatever it is asked for.

What a command always keeps, joint by joint, from the start pose on:

    position       low <= p <= high; from outside of it back in, and never further out
    velocity       |v| <= velocity,            v  = (p - the command before) / period
    acceleration   |v - v before| <= acceleration * period

It can, because it never moves so fast towards a limit that it could not brake before it: with
v² / 2a of way left (and one period), braking at `a` ends inside. Limits that are infinite are
none, as for a gripper whose own controller limits it.

What it is asked for is changed, and counted, where it would leave these; where it is not finite;
where it is further from the measured joints than `lead`; and not followed at all (hold) while an
observation or a camera is too old to judge by. It knows nothing of tables, people, or the other
arm: docs/robot.md.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np

NOT_FINITE, POSITION, LEAD = "not finite", "joint limit", "too far ahead"
VELOCITY, ACCELERATION, HOLD = "velocity", "acceleration", "hold"


@dataclass(frozen=True)
class Limits:
    """Limits of each joint, (D,) float64: rad, rad/s, rad/s², or of a gripper's travel, 0 … 1."""

    low: np.ndarray
    high: np.ndarray
    velocity: np.ndarray
    acceleration: np.ndarray
    lead: np.ndarray  # most distance of a target from the measured joint

    def __post_init__(self) -> None:
        """Raise ValueError for limits that no command could keep."""
        sizes = {np.shape(values) for values in vars(self).values()}
        if len(sizes) != 1 or len(next(iter(sizes))) != 1:
            raise ValueError(f"limits have shapes {sizes}, expected one number for each joint")
        if not (np.isfinite(self.low).all() and np.isfinite(self.high).all()):
            raise ValueError("joint limits must be finite numbers")
        if (self.low > self.high).any():
            raise ValueError("a joint's lower limit is above its upper one")
        for name in ("velocity", "acceleration", "lead"):
            if not (getattr(self, name) > 0).all():  # nor is NaN a limit
                raise ValueError(f"{name} limits must be above 0")


@dataclass(frozen=True)
class Guarded:
    """A command that may be sent, and what had to be changed about what was asked for."""

    command: np.ndarray  # (D,) float64
    interventions: tuple[str, ...]  # of this module's words


class Guard:
    """Turns targets, one each control period, into commands within the limits."""

    def __init__(self, limits: Limits, period_s: float, start: np.ndarray) -> None:
        """Begin at rest, at the start: (D,), where the robot is, inside its limits or not."""
        if not (period_s > 0 and np.isfinite(start).all() and start.shape == limits.low.shape):
            raise ValueError("expected a period above 0, and one finite number for each joint")
        self._limits, self._period_s = limits, period_s
        self._command = np.array(start, np.float64)
        self._velocity = np.zeros_like(self._command)
        self._behind = np.zeros(self._command.shape, bool)
        self.counts: Counter[str] = Counter()
        """How many commands each kind of intervention changed, since the start."""

    @property
    def command(self) -> np.ndarray:
        """The last command: (D,)."""
        return self._command.copy()

    @property
    def steps_to_rest(self) -> int:
        """The control steps that braking takes at most, and one at rest."""
        fewer = np.abs(self._velocity) / (self._limits.acceleration * self._period_s)
        return int(np.ceil(fewer).max()) + 1

    def rest(self) -> None:
        """Note that periods went by without a command: the robot has come to rest."""
        self._velocity = np.zeros_like(self._velocity)

    def step(self, target: np.ndarray, measured: np.ndarray, hold: str = "") -> Guarded:
        """Return the command of this period. `hold` names a reason to stop where the robot is.

        target, measured: (D,), of whatever numbers; a measured joint that is not finite is no
            measure, and the robot stops.
        """
        wanted, found = self._wanted(target, measured, hold)
        velocity = (wanted - self._command) / self._period_s
        low, high = self._allowed()
        lower, upper = self._reachable(low, high)
        # a joint that had to be slowed catches up gently, so that it does not go past its target
        outside = (velocity < lower) | (velocity > upper)
        behind = self._behind & (np.abs(velocity) > self._limits.acceleration * self._period_s)
        self._behind = outside | behind
        if self._behind.any():
            slow = np.minimum(np.abs(velocity), self._braking(np.abs(wanted - self._command)))
            eased = np.clip(np.copysign(slow, velocity), lower, upper)
            limit = self._limits.velocity
            too_fast = (np.abs(velocity) > limit)[self._behind].any()
            found |= {VELOCITY if too_fast else ACCELERATION}
            velocity = np.where(self._behind, eased, velocity)
        command = self._command + velocity * self._period_s
        command = np.clip(command, low, high)  # rounding alone
        self._velocity = np.clip(velocity, lower, upper)
        self._command = command
        self.counts.update(found)
        return Guarded(command.copy(), tuple(sorted(found)))

    def _wanted(
        self, target: np.ndarray, measured: np.ndarray, hold: str
    ) -> tuple[np.ndarray, set[str]]:
        """What may be aimed at: inside the limits, and not too far ahead of the robot."""
        still = self._command + self._stopping()
        if hold:
            return still, {HOLD}
        shape = self._command.shape
        usable = target.shape == shape and measured.shape == shape
        if not (usable and np.isfinite(target).all() and np.isfinite(measured).all()):
            return still, {NOT_FINITE}
        found: set[str] = set()
        inside = np.clip(target, self._limits.low, self._limits.high)
        if (inside != target).any():
            found.add(POSITION)
        near = np.clip(inside, measured - self._limits.lead, measured + self._limits.lead)
        if (near != inside).any():
            found.add(LEAD)
        return np.clip(near, self._limits.low, self._limits.high), found

    def _stopping(self) -> np.ndarray:
        """The way until rest of the gentlest stop within the limits: (D,), signed."""
        step = self._limits.acceleration * self._period_s
        slower = np.maximum(0.0, np.abs(self._velocity) - step)
        return np.copysign(slower, self._velocity) * self._period_s

    def _allowed(self) -> tuple[np.ndarray, np.ndarray]:
        """Positions of the next command: the limits, and what is between them and the last one."""
        limits = self._limits
        return np.minimum(limits.low, self._command), np.maximum(limits.high, self._command)

    def _reachable(self, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Velocities that keep every limit now and can be braked later: (lowest, highest)."""
        limits, step = self._limits, self._limits.acceleration * self._period_s
        upper = np.minimum(limits.velocity, self._velocity + step)
        lower = np.maximum(-limits.velocity, self._velocity - step)
        upper = np.minimum(upper, self._braking(high - self._command))
        lower = np.maximum(lower, -self._braking(self._command - low))
        # equal but for rounding, where both bind
        return np.minimum(lower, upper), np.maximum(lower, upper)

    def _braking(self, way: np.ndarray) -> np.ndarray:
        """The highest velocity for one period after which braking ends within `way`: (D,).

        v T + v² / 2a = way, solved for v; way / T where the acceleration has no limit.
        """
        way, a, period_s = np.maximum(way, 0.0), self._limits.acceleration, self._period_s
        with np.errstate(invalid="ignore"):
            braked = a * (np.sqrt(period_s**2 + 2 * way / a) - period_s)
        return np.where(np.isinf(a), way / period_s, np.minimum(braked, way / period_s))
