"""Disturbances of a demonstration: where a learner's mistakes would lead, and the way back.

The expert means one trajectory, the robot plays another one near it, and what is learnt is what the
expert meant in the places that the robot came to (DART: Laskey, Lee, Fox, Dragan, Goldberg, 2017).
"""

import numpy as np
from handover_proto import ARM_JOINTS

from handover_envs.experts.expert import Expert
from handover_envs.tasks.task import CONTROL_RATE_HZ, DEMONSTRATION_STEPS, EXACT
from handover_envs.tasks.waypoints import Point, Side

_MISS_M, _MOST_M = (0.006, 0.0025, 0.0015), 0.012


def disturbed_targets(expert: Expert, seed: int, rng: np.random.Generator) -> np.ndarray:
    """Draw what the robot plays in a seed's demonstration: (steps, 14) float32, rad, at 50 Hz.

    `expert.plan(seed)` is what the expert means meanwhile.
    """
    targets = expert.plan(seed, misses(rng)).targets.copy()
    targets[:, ARM_JOINTS] += pushes(rng, len(targets))
    return targets


def misses(rng: np.random.Generator) -> dict[Side, Point]:
    """Draw how far beside its aim each hand grasps, in m; in a quarter of the episodes it does not.

    So a learner sees objects held askew, as its own grasps will hold them.
    """
    if rng.random() < 0.25:
        return dict(EXACT)
    (lx, ly, lz), (rx, ry, rz) = rng.normal(0, _MISS_M, (2, 3)).clip(-_MOST_M, _MOST_M).tolist()
    return {"left": (lx, ly, lz), "right": (rx, ry, rz)}


def pushes(rng: np.random.Generator, steps: int = DEMONSTRATION_STEPS) -> np.ndarray:
    """Draw how far the arms are pushed off their path: (steps, 12) float64, rad.

    30 % of the episodes are left undisturbed; in the others each arm gets one or two smooth bumps.
    """
    disturbed = np.zeros((steps, 12))
    if rng.random() < 0.3:
        return disturbed
    time_s = np.arange(steps) / CONTROL_RATE_HZ
    for arm in (slice(0, 6), slice(6, 12)):
        for _ in range(rng.integers(1, 3)):
            middle_s, width_s = rng.uniform(0, 6.5), rng.uniform(0.25, 0.7)
            bump = np.exp(-0.5 * ((time_s - middle_s) / width_s) ** 2)
            disturbed[:, arm] += bump[:, None] * rng.normal(0, 0.018, 6)
    return disturbed
