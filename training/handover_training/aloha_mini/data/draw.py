"""Drawing of snapshots: scripted episodes with disturbed arms, a few images of each.

A recording has every image of an episode; here are few images of many episodes, so the objects'
poses vary more for the same drawing time. Now and then the arms are pushed off their path and
grasp slightly beside their aim. Loose snapshots show the objects where no episode has them, and the
arms in either role.
"""

from functools import lru_cache

import numpy as np
from handover_envs.experts import Expert, disturbed_targets
from handover_envs.simulator import AlohaSimulator, LookName
from handover_envs.tasks import TaskName, find_task

from handover_training.aloha_mini.configs import SnapshotsConfig
from handover_training.aloha_mini.data.snapshots import (
    SnapshotWriter,
    missing_seeds,
    task_of,
)

_ARM_QPOS = 16  # MuJoCo's coordinates of both arms come first; the objects' are the last
_REST_Z = {"transfer_cube": (0.02,), "insertion": (0.01, 0.022)}  # m, the parts on the table
_JITTER_M = 0.02  # loose objects lie a little beyond where episodes start,
_TABLE_M = ((-0.25, 0.35), (0.25, 0.65))  # or anywhere that both hands reach (x, y),
_HIGHEST_M = 0.3  # on the table or above it
# waist, forearm roll and wrist rotation turn the other way in the table's mirror image
_MIRRORED = np.array([-1, 1, 1, -1, 1, -1, 1, 1])
_LAST_STEP = 360  # later the hands rest


def draw_snapshots(config: SnapshotsConfig) -> None:
    """Draw the episodes whose files are missing. Raises HandoverError."""
    renderer = SnapshotRenderer(config)
    for seed in missing_seeds(config):
        renderer.draw(seed)


class PosableSimulator(AlohaSimulator):
    """A simulator whose arms and objects can be put anywhere, without physics."""

    @property
    def arms(self) -> np.ndarray:
        """MuJoCo's coordinates of both arms: (16,) float64."""
        return self._world.physics.data.qpos[:_ARM_QPOS].copy()

    def put(self, arms: np.ndarray, poses: np.ndarray) -> None:
        """Set arms (16,) and objects (objects, 7)."""
        physics = self._world.physics
        physics.data.qpos[:_ARM_QPOS] = arms
        physics.data.qpos[-poses.size :] = poses.ravel()
        physics.forward()


class SnapshotRenderer:
    """Draws episodes into files: what a clumsy expert sees."""

    def __init__(self, config: SnapshotsConfig) -> None:
        self._config = config

    def draw(self, seed: int) -> None:
        """Draw one episode."""
        task = task_of(seed)
        rng = np.random.default_rng([seed, 1])
        look: LookName = "fast" if rng.random() < self._config.shadows else "plain"
        simulator = _simulator(task, look)
        executed = disturbed_targets(_expert(task), seed, rng)
        wanted = set(rng.choice(_LAST_STEP, self._config.on_the_way, replace=False).tolist())
        snapshots, arms = SnapshotWriter(), []
        simulator.reset(seed)
        for step, targets in enumerate(executed):
            arms.append(simulator.arms)
            if step in wanted:
                snapshots.take(simulator)
            simulator.step(targets)
        for _ in range(self._config.loose):
            pose = arms[rng.integers(len(arms))]
            simulator.put(mirrored(pose) if rng.random() < 0.5 else pose, self._scatter(task, rng))
            snapshots.take(simulator)
        snapshots.write(self._config.output, seed)

    def _scatter(self, task: TaskName, rng: np.random.Generator) -> np.ndarray:
        """Draw poses of the objects, (objects, 7): near where episodes start, or anywhere."""
        poses = find_task(task).start_poses(int(rng.integers(2**31)))
        if rng.random() < 0.5:
            poses[:, :2] = rng.uniform(*_TABLE_M, (len(poses), 2))
        else:
            poses[:, :2] += rng.uniform(-_JITTER_M, _JITTER_M, (len(poses), 2))
        if rng.random() < 0.7:
            poses[:, 2] = _REST_Z[task]
        else:
            poses[:, 2] = rng.uniform(_REST_Z[task][0], _HIGHEST_M, len(poses))
        return poses


def mirrored(arms: np.ndarray) -> np.ndarray:
    """Exchange the arms: MuJoCo's coordinates (16,) of the mirror image about the table's middle.

    So the backbone sees either hand in either role.
    """
    left, right = np.split(arms, 2)
    return np.concatenate([right * _MIRRORED, left * _MIRRORED])


@lru_cache(maxsize=2)
def _expert(task: TaskName) -> Expert:
    return Expert(task)


@lru_cache(maxsize=4)
def _simulator(task: TaskName, look: LookName) -> PosableSimulator:
    return PosableSimulator(task, look)
