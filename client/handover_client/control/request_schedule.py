"""When a robot asks for its next chunk: counted in control steps, kept on the policy's own grid."""

from dataclasses import dataclass
from fractions import Fraction
from math import ceil


@dataclass(frozen=True)
class RequestSchedule:
    """Ask again when `execute_steps` of a chunk's `horizon` steps have been played."""

    steps_per_control_step: Fraction  # chunk steps that pass in one control step
    execute_steps: int
    horizon: int

    def sequence(self, step: int) -> int:
        """Count the policy's steps up to a control step, to the nearest: 20 Hz for 50 Hz."""
        return round(step * self.steps_per_control_step)

    def due_after(self, step: int, expected_lag: int = 0) -> int:
        """Give the control step at which to observe next, after an observation at `step`.

        expected_lag: control steps until the answer will be there; where the chunk would be over
        before that, the observation is made as much earlier. It is always after `step`: one of the
        policy's steps is further on than rounding to them goes back.
        """
        lag = ceil(expected_lag * self.steps_per_control_step)
        executed = max(1, min(self.execute_steps, self.horizon - lag))
        return ceil((self.sequence(step) + executed) / self.steps_per_control_step)
