"""State noise: small errors of the arm joints, from which the policy learns to recover.

The state given to the network is moved, and its relative targets are moved back by as much: the
absolute targets stay the demonstrator's.
"""

from dataclasses import dataclass

import numpy as np
from handover_model.processing import EmbodimentStatistics
from handover_proto import ALOHA_JOINTS, ALOHA_SLOTS, GR1_SLICES, GRIPPER_JOINTS

_ARM_SLOTS = [slot for joint, slot in enumerate(ALOHA_SLOTS) if joint not in GRIPPER_JOINTS]
assert len(_ARM_SLOTS) == len(ALOHA_JOINTS) - len(GRIPPER_JOINTS)


@dataclass(frozen=True)
class StateNoise:
    """Draws such errors, in normalized units."""

    state_scale: np.ndarray
    """(width,) float32: normalized units per rad; 0 where nothing is moved"""
    action_scale: np.ndarray
    """(16, width) float32"""
    spread_rad: float

    def draw(self, samples: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return what to add to states (B, 1, width) and to actions (B, 16, width), float32."""
        error = rng.normal(0, self.spread_rad, (samples, 1, len(self.state_scale)))
        error = error * (rng.random((samples, 1, 1)) < 0.5)  # half of the samples stay exact
        states, actions = error * self.state_scale, -error * self.action_scale
        return states.astype(np.float32), actions.astype(np.float32)


def make_noise(statistics: EmbodimentStatistics, width: int, spread_rad: float) -> StateNoise:
    """Take the scales from the statistics that states and actions are normalized with."""
    steps = next(iter(statistics.relative_action.values())).min.shape[0]
    state_scale, action_scale = np.zeros(width), np.zeros((steps, width))
    for key, entry in statistics.relative_action.items():
        part, state = GR1_SLICES[key], statistics.state[key]
        state_scale[part] = _per_unit(state.max - state.min)
        action_scale[:, part] = _per_unit(entry.max - entry.min)
    moved = np.isin(np.arange(width), _ARM_SLOTS)
    return StateNoise(state_scale * moved, action_scale * moved, spread_rad)


def _per_unit(width: np.ndarray) -> np.ndarray:
    return np.divide(2.0, width, out=np.zeros_like(width), where=width > 0)
