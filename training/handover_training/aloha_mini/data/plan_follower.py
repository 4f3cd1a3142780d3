"""Where on an expert's plan a robot is that somebody else drives, and what the expert would do.

So a policy's own mistakes become lessons (DAgger; Ross, Gordon, Bagnell, 2011): the expert goes on
from the moment of its plan that is most like what the robot does.
"""

import numpy as np
from handover_envs.experts import Trajectory
from handover_envs.simulator import CONTROL_RATE_HZ, AlohaSimulator
from handover_proto import ARM_JOINTS, GRIPPER_JOINTS

from handover_training.aloha_mini.data.snapshot_file import CHUNK_TIMES_S

_AHEAD = 40  # steps that a robot may be further along than when it was last looked at
_ARMS_OFF_RAD = 0.35  # further off than this (both arms, Euclidean), the plan is no guide
_OBJECTS_OFF_M = 0.012
_GRIPPER_WEIGHT = 0.3  # rad that a whole opening counts for


class PlanFollower:
    """Follows a robot along a plan; looks must come in the order of time."""

    def __init__(self, plan: Trajectory, simulator: AlohaSimulator) -> None:
        """Play the plan once; the simulator is left at its end."""
        self._plan, self._at = plan, 0
        simulator.reset(plan.seed)
        states, places = [], []
        for targets in plan.targets:
            states.append(simulator.state)
            places.append(simulator.object_poses[:, :3])
            simulator.step(targets)
        self._states, self._places = np.array(states), np.array(places)

    def chunk(self, state: np.ndarray, poses: np.ndarray) -> np.ndarray | None:
        """Give the expert's next targets: (14,), (objects, 7) -> (16, 14) float32.

        None where the robot or the objects are not where any near moment of the plan has them.
        """
        window = slice(self._at, min(self._at + _AHEAD, len(self._states)))
        off = self._states[window] - state
        arms = np.linalg.norm(off[:, ARM_JOINTS], axis=1)
        grippers = np.abs(off[:, GRIPPER_JOINTS]).sum(axis=1)
        nearest = int(np.argmin(arms + _GRIPPER_WEIGHT * grippers))
        objects = np.linalg.norm(self._places[window][nearest] - poses[:, :3], axis=1)
        if arms[nearest] > _ARMS_OFF_RAD or objects.max() > _OBJECTS_OFF_M:
            return None
        self._at += nearest
        return self._plan.at(self._at / CONTROL_RATE_HZ + CHUNK_TIMES_S)
