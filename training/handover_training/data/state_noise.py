"""State noise: small errors of the state, from which the policy learns to recover.

The network is given a moved state. Its relative targets are computed from that, so the absolute
targets stay the demonstrator's. Groups whose actions are absolute (grippers) stay exact.
"""

from dataclasses import dataclass, replace

import numpy as np
from handover_common import UsageError
from handover_model.processing import StateActionCodec

from handover_training.data.windows import Window

NOISY_SHARE = 0.5  # of the samples; the others stay exact


@dataclass(frozen=True)
class StateNoise:
    """Draws such errors."""

    groups: tuple[str, ...]
    """State groups that relative actions refer to"""
    spread: float
    """Standard deviation in the state's own unit; one error for all steps of a state"""

    def disturb(self, window: Window, rng: np.random.Generator) -> Window:
        """Move the state of some windows."""
        if rng.random() >= NOISY_SHARE:
            return window
        moved = {
            key: window.state[key]
            + rng.normal(0, self.spread, window.state[key].shape[-1]).astype(np.float32)
            for key in self.groups
        }
        return replace(window, state={**window.state, **moved})


def make_state_noise(codec: StateActionCodec, spread: float) -> StateNoise | None:
    """Choose the groups that are moved. Raises UsageError where no action is relative."""
    if spread == 0:
        return None
    keys = [key for key in codec.modality.action.keys if codec.is_relative(key)]
    if not keys:
        raise UsageError(
            "--state-noise moves states whose actions are relative to them, and this modality "
            "config has none; leave it out"
        )
    return StateNoise(tuple(dict.fromkeys(map(codec.reference_key, keys))), spread)
