"""Made-up observations for the small checkpoint."""

import numpy as np
from handover_proto.embodiment import GR1_DIMS
from handover_proto.types import Observation, PolicyRequest


def state_groups(seed: int = 0) -> dict[str, np.ndarray]:
    """Random state groups: {group: (1, dim) float32}."""
    generator = np.random.default_rng(seed)
    return {
        name: generator.normal(0, 0.3, (1, dim)).astype(np.float32)
        for name, dim in GR1_DIMS.items()
    }


def frame(seed: int = 0, height: int = 64, width: int = 64) -> np.ndarray:
    """A noisy camera frame: (height, width, 3) uint8."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def request(seed: int = 0, task: str = "Insert the peg!", **size: int) -> PolicyRequest:
    """A request whose frame, state and seed come from one number."""
    observation = Observation({"ego_view": [frame(seed, **size)]}, state_groups(seed), task)
    return PolicyRequest(observation, seed=seed)
