"""How one episode went: what it reached and when, and how smoothly the arms were driven."""

from dataclasses import dataclass, field

import numpy as np
from handover_proto import ARM_JOINTS

SUCCESS_REWARD = 4  # gym-aloha's reward goes 0 … 4; one control step at 4 is its success
STRICT_STEPS = 10  # control steps in a row that the object is held for a strict success


@dataclass
class EpisodeScore:
    """Counts rewards step by step.

    first_steps: {reward 1 … 4: control steps played until it, or more, was first reached}
    """

    first_steps: dict[int, int] = field(default_factory=dict)
    steps: int = 0
    strict_success: bool = False
    _held_steps: int = 0

    def add(self, reward: int, is_held: bool) -> None:
        """Count one control step: its reward, and whether the object is held for good after it."""
        self.steps += 1
        for reached in range(1, reward + 1):
            self.first_steps.setdefault(reached, self.steps)
        self._held_steps = self._held_steps + 1 if is_held else 0
        self.strict_success = self.strict_success or self._held_steps >= STRICT_STEPS

    @property
    def success(self) -> bool:
        """gym-aloha's success: reward 4 in any control step."""
        return SUCCESS_REWARD in self.first_steps

    @property
    def max_reward(self) -> int:
        """The highest reward of any control step."""
        return max(self.first_steps, default=0)


def jerk_rms(targets: np.ndarray, control_rate_hz: float) -> float | None:
    """Root mean square third derivative of the arms' targets, in rad/s³; None below 4 steps.

    targets: (steps, 14), as they were played
    """
    if len(targets) < 4:
        return None
    arms = targets[:, list(ARM_JOINTS)].astype(np.float64)
    jerk = np.diff(arms, n=3, axis=0) * control_rate_hz**3
    return float(np.sqrt(np.mean(jerk**2)))
